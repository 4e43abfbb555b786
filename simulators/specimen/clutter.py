"""What lies between the metaphases: interphase nuclei and debris."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from simulators.specimen.banding import Contrast
from simulators.specimen.variation import LogNormal, Uniform

NUCLEUS_UM_PER_PX = 0.2
SPECK_UM_PER_PX = 0.1

_FULL_TURN_DEG = 360


@dataclass(frozen=True, slots=True)
class NucleusAppearance:
    """How interphase nuclei look in Giemsa; set by eye against fields of routine slides.

    Attributes
    ----------
    reach
        Half the patch over the mean radius: outlines swing out by less than a third.
    swing
        Standard deviation of the outline's waves over the radius, divided by their order.
    edge_um
        Width of the soft edge.
    coarse_um, fine_um
        Sizes of the chromatin's grains.
    coarse, fine
        Relative unevenness that they make.
    least_texture
        No place is paler than this over the mean.
    depth_od
        Optical density.
    """

    reach: float = 1.35
    swing: float = 0.12
    edge_um: float = 0.6
    coarse_um: float = 1.6
    fine_um: float = 0.35
    coarse: float = 0.12
    fine: float = 0.09
    least_texture: float = 0.3
    depth_od: Uniform = Uniform(0.18, 0.42)


@dataclass(frozen=True, slots=True)
class SpeckAppearance:
    """How dirt looks; set by eye against fields of routine slides.

    Attributes
    ----------
    fractions
        How many of the specks are of each kind.
    reach
        Half the patch over the size, by kind.
    margin_um
        What the blur of the edge adds to it.
    stretch
        A grain's length over its breadth.
    depth_od, stain_od
        Optical density, of solid specks and of pale stains.
    rod_length, rod_slimness
        Half a rod's length over its size, and how much slimmer than a grain it is.
    ring_radius, ring_slimness
        Radius of a ring over its size, and how much slimmer than a grain its line is.
    stain_spread
        How much broader than a grain a pale stain is.
    softness_um, stain_softness
        Width of the edge; of a pale stain, over its size.
    """

    fractions: tuple[tuple[str, float], ...] = (("grain", 0.7), ("rod", 0.12), ("ring", 0.05), ("stain", 0.13))
    reach: tuple[tuple[str, float], ...] = (("grain", 1.8), ("rod", 3.5), ("ring", 3.0), ("stain", 5.0))
    margin_um: float = 0.6
    stretch: Uniform = Uniform(1.0, 1.6)
    depth_od: Uniform = Uniform(0.15, 0.8)
    stain_od: Uniform = Uniform(0.02, 0.06)
    rod_length: float = 2.2
    rod_slimness: float = 2.5
    ring_radius: float = 1.8
    ring_slimness: float = 3.0
    stain_spread: float = 3.0
    softness_um: float = 0.12
    stain_softness: float = 0.35


@dataclass(frozen=True, slots=True)
class ClumpAppearance:
    """How pyknotic clumps look; set by eye.

    Attributes
    ----------
    reach, margin_um
        Half the patch: over the mean radius, and what pieces add to it.
    filled
        The middles of pieces lie within this part of the radius.
    length_um, width_um
        Half the length and half the width of a piece.
    depth_od, saturation
        The stain in a heap of n pieces is ``depth * (1 - exp(-saturation * n))``.
    blur_px
        Outlines have run together.
    """

    reach: float = 1.6
    margin_um: float = 1.5
    filled: float = 0.85
    length_um: Uniform = Uniform(0.3, 1.6)
    width_um: Uniform = Uniform(0.7, 1.3)
    depth_od: Uniform = Uniform(0.7, 1.1)
    saturation: float = 0.8
    blur_px: float = 3.5


@dataclass(frozen=True, slots=True)
class PrecipitateAppearance:
    """How clots of precipitated stain look; set by eye.

    Attributes
    ----------
    reach
        Half the patch over the radius.
    grains, grains_exponent
        Mean number of grains: ``grains * radius_um ** grains_exponent``, more in the middle of large clots.
    farthest
        No grain lies farther out than this, over the radius.
    size_um
        Radius of a grain.
    stretch
        Its length over its breadth.
    depth_od, largest_od
        Optical density of a grain, and where many lie upon one another.
    blur_px
        Of the outlines.
    """

    reach: float = 2.2
    grains: float = 1.6
    grains_exponent: float = 1.5
    farthest: float = 1.8
    size_um: LogNormal = LogNormal(0.6, 0.5)
    stretch: Uniform = Uniform(0.8, 2.0)
    depth_od: Uniform = Uniform(0.3, 0.9)
    largest_od: float = 1.6
    blur_px: float = 0.8


_NUCLEUS = NucleusAppearance()
_SPECK = SpeckAppearance()
_CLUMP = ClumpAppearance()
_PRECIPITATE = PrecipitateAppearance()


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
    half = int(np.ceil((radius_um * _NUCLEUS.reach + 1.0) / NUCLEUS_UM_PER_PX))
    offset = np.arange(-half, half, dtype=np.float32) * NUCLEUS_UM_PER_PX
    x, y = offset[None, :], offset[:, None]
    angle = np.arctan2(y, x)
    outline = np.full_like(angle, radius_um)
    for order in (2, 3, 5):
        swing = rng.normal(0.0, _NUCLEUS.swing / order)
        outline += radius_um * swing * np.cos(order * angle + rng.uniform(0.0, 2.0 * np.pi))
    edge = np.clip((outline - np.hypot(x, y)) / _NUCLEUS.edge_um + 0.5, 0.0, 1.0)
    shape = edge.shape
    noise = rng.standard_normal(shape, dtype=np.float32)
    coarse = gaussian_filter(noise, _NUCLEUS.coarse_um / NUCLEUS_UM_PER_PX)
    noise = rng.standard_normal(shape, dtype=np.float32)
    fine = gaussian_filter(noise, _NUCLEUS.fine_um / NUCLEUS_UM_PER_PX)
    texture = 1.0 + _NUCLEUS.coarse * coarse / coarse.std() + _NUCLEUS.fine * fine / fine.std()
    depth_od = _NUCLEUS.depth_od.draw(rng)
    od = depth_od * edge * np.clip(texture, _NUCLEUS.least_texture, 2.0)
    return ClutterPatch(od.astype(np.float32), NUCLEUS_UM_PER_PX)


def render_speck(rng: np.random.Generator, size_um: float) -> ClutterPatch:
    """Draw a grain of stain or dirt, now and then a rod, a ring or a pale stain.

    Parameters
    ----------
    rng
        Source of all variation.
    size_um
        Radius of a round grain.
    """
    kinds, fractions = zip(*_SPECK.fractions, strict=True)
    kind = rng.choice(kinds, p=fractions)
    reach_um = size_um * dict(_SPECK.reach)[str(kind)] + _SPECK.margin_um
    half = int(np.ceil(reach_um / SPECK_UM_PER_PX))
    offset = np.arange(-half, half, dtype=np.float32) * SPECK_UM_PER_PX
    turn = rng.uniform(0.0, np.pi)
    along = offset[None, :] * np.cos(turn) + offset[:, None] * np.sin(turn)
    across = offset[:, None] * np.cos(turn) - offset[None, :] * np.sin(turn)
    distance = np.hypot(along, across * _SPECK.stretch.draw(rng))
    depth_od = _SPECK.depth_od.draw(rng)
    if kind == "rod":
        distance = np.hypot(
            np.maximum(np.abs(along) - _SPECK.rod_length * size_um, 0.0), across * _SPECK.rod_slimness
        )
    elif kind == "ring":
        distance = np.abs(distance - _SPECK.ring_radius * size_um) * _SPECK.ring_slimness
        depth_od *= 0.5
    elif kind == "stain":
        depth_od = _SPECK.stain_od.draw(rng)
        distance = distance / _SPECK.stain_spread
    softness_um = _SPECK.stain_softness * size_um if kind == "stain" else _SPECK.softness_um
    od = depth_od * np.clip((size_um - distance) / (2.0 * softness_um) + 0.5, 0.0, 1.0)
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
    half = int(np.ceil((radius_um * _CLUMP.reach + _CLUMP.margin_um) / SPECK_UM_PER_PX))
    offset = np.arange(-half, half, dtype=np.float32) * SPECK_UM_PER_PX
    heap = np.zeros((2 * half, 2 * half), np.float32)
    for _ in range(int(rng.integers(34, 60))):
        away, angle, turn = (
            _CLUMP.filled * radius_um * rng.random() ** 0.5,
            rng.uniform(0.0, 2.0 * np.pi),
            rng.uniform(0.0, np.pi),
        )
        x, y = offset[None, :] - away * np.cos(angle), offset[:, None] - away * np.sin(angle)
        along, across = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
        length, width = _CLUMP.length_um.draw(rng), _CLUMP.width_um.draw(rng)
        distance = np.hypot(np.maximum(np.abs(along) - length, 0.0), across)
        heap += np.clip((width - distance) / 0.5 + 0.5, 0.0, 1.0).astype(np.float32)
    # The heap is thicker in its middle, but the stain in it doesn't grow without end.
    od = _CLUMP.depth_od.draw(rng) * (1.0 - np.exp(-_CLUMP.saturation * heap))
    return ClutterPatch(cv2.GaussianBlur(od.astype(np.float32), (0, 0), _CLUMP.blur_px), SPECK_UM_PER_PX)


def render_precipitate(rng: np.random.Generator, radius_um: float) -> ClutterPatch:
    """Draw a clot of precipitated stain: crystals and grains, nearly black where they lie thick.

    Parameters
    ----------
    rng
        Source of all variation.
    radius_um
        Radius within which most of it lies.
    """
    half = int(np.ceil((_PRECIPITATE.reach * radius_um + 1.0) / NUCLEUS_UM_PER_PX))
    od = np.zeros((2 * half, 2 * half), np.float32)
    mean_grains = _PRECIPITATE.grains * radius_um**_PRECIPITATE.grains_exponent
    grains = int(np.clip(rng.poisson(mean_grains), 6, 160))
    farthest_um = _PRECIPITATE.farthest * radius_um
    places = np.clip(rng.normal(0.0, 0.5 * radius_um, (grains, 2)), -farthest_um, farthest_um)
    for x, y in places:
        size_um = _PRECIPITATE.size_um.draw(rng)
        axes = (size_um * _PRECIPITATE.stretch.draw(rng), size_um)
        centre = (round(half + x / NUCLEUS_UM_PER_PX), round(half + y / NUCLEUS_UM_PER_PX))
        grain = cv2.ellipse(
            np.zeros_like(od),
            centre,
            (max(round(axes[0] / NUCLEUS_UM_PER_PX), 1), max(round(axes[1] / NUCLEUS_UM_PER_PX), 1)),
            float(rng.uniform(0.0, _FULL_TURN_DEG / 2)),
            0.0,
            _FULL_TURN_DEG,
            (_PRECIPITATE.depth_od.draw(rng),) * 4,
            -1,
            cv2.LINE_8,
        )
        od += np.asarray(grain, dtype=np.float32)
    blurred = cv2.GaussianBlur(np.minimum(od, np.float32(_PRECIPITATE.largest_od)), (0, 0), _PRECIPITATE.blur_px)
    return ClutterPatch(np.asarray(blurred, dtype=np.float32), NUCLEUS_UM_PER_PX)
