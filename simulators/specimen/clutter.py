"""What lies between the metaphases: interphase nuclei and debris."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

NUCLEUS_UM_PER_PX = 0.2
SPECK_UM_PER_PX = 0.1


@dataclass(frozen=True, slots=True)
class Patch:
    """A body's optical density on a square or oblong grid centred on the body.

    Attributes
    ----------
    od
        float32, shape (height_px, width_px).
    um_per_px
        Size of a patch pixel.
    """

    od: NDArray[np.float32]
    um_per_px: float


def render_nucleus(rng: np.random.Generator, radius_um: float) -> Patch:
    """Draw an interphase nucleus: a smooth, slightly irregular disc of granular chromatin.

    Parameters
    ----------
    rng
        Source of all variation.
    radius_um
        Mean radius.
    """
    half = int(np.ceil((radius_um * 1.35 + 1.0) / NUCLEUS_UM_PER_PX))
    offset = np.arange(-half, half, dtype=np.float32) * NUCLEUS_UM_PER_PX
    x, y = offset[None, :], offset[:, None]
    angle = np.arctan2(y, x)
    outline = np.full_like(angle, radius_um)
    for order in (2, 3, 5):
        swing = rng.normal(0.0, 0.12 / order)
        outline += radius_um * swing * np.cos(order * angle + rng.uniform(0.0, 2.0 * np.pi))
    edge = np.clip((outline - np.hypot(x, y)) / 0.6 + 0.5, 0.0, 1.0)
    shape = edge.shape
    coarse = gaussian_filter(rng.standard_normal(shape, dtype=np.float32), 1.6 / NUCLEUS_UM_PER_PX)
    fine = gaussian_filter(rng.standard_normal(shape, dtype=np.float32), 0.35 / NUCLEUS_UM_PER_PX)
    texture = 1.0 + 0.12 * coarse / coarse.std() + 0.09 * fine / fine.std()
    depth = rng.uniform(0.18, 0.42)
    return Patch((depth * edge * np.clip(texture, 0.3, 2.0)).astype(np.float32), NUCLEUS_UM_PER_PX)


def render_speck(rng: np.random.Generator, size_um: float) -> Patch:
    """Draw a grain of stain or dirt, now and then a rod, a ring or a pale stain.

    Parameters
    ----------
    rng
        Source of all variation.
    size_um
        Radius of a round grain.
    """
    kind = rng.choice(("grain", "rod", "ring", "stain"), p=(0.7, 0.12, 0.05, 0.13))
    reach_um = size_um * {"grain": 1.8, "rod": 3.5, "ring": 3.0, "stain": 5.0}[str(kind)] + 0.6
    half = int(np.ceil(reach_um / SPECK_UM_PER_PX))
    offset = np.arange(-half, half, dtype=np.float32) * SPECK_UM_PER_PX
    turn = rng.uniform(0.0, np.pi)
    along = offset[None, :] * np.cos(turn) + offset[:, None] * np.sin(turn)
    across = offset[:, None] * np.cos(turn) - offset[None, :] * np.sin(turn)
    distance = np.hypot(along, across * rng.uniform(1.0, 1.6))
    depth = rng.uniform(0.15, 0.8)
    if kind == "rod":
        distance = np.hypot(np.maximum(np.abs(along) - 2.2 * size_um, 0.0), across * 2.5)
    elif kind == "ring":
        distance = np.abs(distance - 1.8 * size_um) * 3.0
        depth *= 0.5
    elif kind == "stain":
        depth = rng.uniform(0.02, 0.06)
        distance = distance / 3.0
    softness = 0.35 * size_um if kind == "stain" else 0.12
    od = depth * np.clip((size_um - distance) / (2.0 * softness) + 0.5, 0.0, 1.0)
    return Patch(cv2.GaussianBlur(od.astype(np.float32), (0, 0), 1.0), SPECK_UM_PER_PX)
