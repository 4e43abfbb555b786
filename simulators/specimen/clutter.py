"""What lies between the metaphases: interphase nuclei and debris."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from simulators.specimen.banding import Contrast

NUCLEUS_UM_PER_PX = 0.2
SPECK_UM_PER_PX = 0.1


@dataclass(frozen=True, slots=True)
class ClutterPatch:
    """A body's optical density on a square or oblong grid centred on the body.

    Attributes
    ----------
    od
        float32, shape (height_px, width_px): optical density, a little below 0 where a body gathers light; where
        the contrast is ``emits``, emitted light as `Contrast` defines it, never below 0.
    um_per_px
        Size of a patch pixel.
    contrast
        Whether the body absorbs light or emits it; all bodies of a slide are alike in this.
    """

    od: NDArray[np.float32]
    um_per_px: float
    contrast: Contrast = Contrast.ABSORBS


def render_nucleus(rng: np.random.Generator, radius_um: float) -> ClutterPatch:
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
    return ClutterPatch((depth * edge * np.clip(texture, 0.3, 2.0)).astype(np.float32), NUCLEUS_UM_PER_PX)


def render_speck(rng: np.random.Generator, size_um: float) -> ClutterPatch:
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
    return ClutterPatch(cv2.GaussianBlur(od.astype(np.float32), (0, 0), 1.0), SPECK_UM_PER_PX)


def render_clump(rng: np.random.Generator, radius_um: float) -> ClutterPatch:
    """Draw a pyknotic clump: what is left of a cell in a dark, lumpy heap, its chromosomes run together.

    Parameters
    ----------
    rng
        Source of all variation.
    radius_um
        Mean radius.
    """
    half = int(np.ceil((radius_um * 1.6 + 1.5) / SPECK_UM_PER_PX))
    offset = np.arange(-half, half, dtype=np.float32) * SPECK_UM_PER_PX
    heap = np.zeros((2 * half, 2 * half), np.float32)
    for _ in range(int(rng.integers(34, 60))):
        away, angle, turn = (
            0.85 * radius_um * rng.random() ** 0.5,
            rng.uniform(0.0, 2.0 * np.pi),
            rng.uniform(0.0, np.pi),
        )
        x, y = offset[None, :] - away * np.cos(angle), offset[:, None] - away * np.sin(angle)
        along, across = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
        length, width = rng.uniform(0.3, 1.6), rng.uniform(0.7, 1.3)
        distance = np.hypot(np.maximum(np.abs(along) - length, 0.0), across)
        heap += np.clip((width - distance) / 0.5 + 0.5, 0.0, 1.0).astype(np.float32)
    # The heap is thicker in its middle, but the stain in it doesn't grow without end.
    od = rng.uniform(0.7, 1.1) * (1.0 - np.exp(-0.8 * heap))
    return ClutterPatch(cv2.GaussianBlur(od.astype(np.float32), (0, 0), 3.5), SPECK_UM_PER_PX)


def render_precipitate(rng: np.random.Generator, radius_um: float) -> ClutterPatch:
    """Draw a clot of precipitated stain: crystals and grains, nearly black where they lie thick.

    Parameters
    ----------
    rng
        Source of all variation.
    radius_um
        Radius within which most of it lies.
    """
    half = int(np.ceil((2.2 * radius_um + 1.0) / NUCLEUS_UM_PER_PX))
    od = np.zeros((2 * half, 2 * half), np.float32)
    grains = int(np.clip(rng.poisson(1.6 * radius_um**1.5), 6, 160))
    places = np.clip(rng.normal(0.0, 0.5 * radius_um, (grains, 2)), -1.8 * radius_um, 1.8 * radius_um)
    for x, y in places:
        size_um = float(np.exp(rng.normal(np.log(0.6), 0.5)))
        axes = (size_um * float(rng.uniform(0.8, 2.0)), size_um)
        centre = (round(half + x / NUCLEUS_UM_PER_PX), round(half + y / NUCLEUS_UM_PER_PX))
        grain = cv2.ellipse(
            np.zeros_like(od),
            centre,
            (max(round(axes[0] / NUCLEUS_UM_PER_PX), 1), max(round(axes[1] / NUCLEUS_UM_PER_PX), 1)),
            float(rng.uniform(0.0, 180.0)),
            0.0,
            360.0,
            (float(rng.uniform(0.3, 0.9)),) * 4,
            -1,
            cv2.LINE_8,
        )
        od += np.asarray(grain, dtype=np.float32)
    blurred = cv2.GaussianBlur(np.minimum(od, np.float32(1.6)), (0, 0), 0.8)
    return ClutterPatch(np.asarray(blurred, dtype=np.float32), NUCLEUS_UM_PER_PX)
