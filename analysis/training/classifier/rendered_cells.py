"""Drawn cells that the classifier is trained on beside real ones."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from scipy.ndimage import gaussian_filter

from analysis.datasets.labelled_cells import POLARITY_TURNED, POLARITY_UPRIGHT, LabelledCell
from analysis.straightening.crops import optical_density
from analysis.straightening.medial_axis import medial_axis
from analysis.structures.classes import CLASS_NAMES
from analysis.structures.crop import ObjectPixels
from simulators.specimen.banding import Banding
from simulators.specimen.chromosome import ChromosomeAppearance, banded, draw_appearance, render_chromosome

RENDERED_UM_PER_PX: Final = 0.1024
"""That of the Tseng set."""


@dataclass(frozen=True, slots=True)
class RenderedCellSettings:
    """How drawn cells are photographed and cut."""

    blur_px: tuple[float, float] = (0.7, 1.3)
    """Of a well-focused objective at this pixel size."""
    condensation_spread: float = 0.03
    """Of the logarithm of lengths within a cell."""
    bend_deg: float = 45.0
    """Standard deviation."""
    glass_level: float = 215.0
    """Grey level of the glass, which isn't quite white."""
    noise: tuple[float, float] = (0.5, 2.5)
    """Standard deviation in grey levels."""
    cut_blur_px: float = 0.6
    """Before a threshold cuts the mask."""
    cut_level: tuple[float, float] = (0.3, 0.5)
    """Of that threshold, over the mean density: masks are cut tight and wide."""


_SETTINGS: Final = RenderedCellSettings()
_FULL_TURN_DEG: Final = 360.0


def rendered_cells(count: int, seed: int, banding: Banding = Banding.G) -> Iterator[LabelledCell]:
    """Drawn cells, female and male by turns: class and polarity are known, the pictures are nobody's.

    Parameters
    ----------
    count
        How many.
    seed
        Of all that is drawn.
    banding
        Technique.
    """
    rng = np.random.default_rng(seed)
    for number in range(count):
        appearance = banded(draw_appearance(rng), banding)
        names = [name for name in CLASS_NAMES[:22] for _ in range(2)] + (["X", "X"], ["X", "Y"])[number % 2]
        blur_px = float(rng.uniform(*_SETTINGS.blur_px))
        drawn = [_rendered(name, appearance, blur_px, rng) for name in names]
        yield LabelledCell(
            tuple(piece for piece, _ in drawn),
            tuple(CLASS_NAMES.index(name) for name in names),
            tuple(polarity for _, polarity in drawn),
        )


def _rendered(
    name: str, appearance: ChromosomeAppearance, blur_px: float, rng: np.random.Generator
) -> tuple[ObjectPixels, int]:
    chromosome = render_chromosome(
        name,
        rng,
        um_per_px=RENDERED_UM_PER_PX,
        appearance=appearance,
        condensation=float(np.exp(rng.normal(0.0, _SETTINGS.condensation_spread))),
        angle_deg=float(rng.uniform(0.0, _FULL_TURN_DEG)),
        bend_deg=float(rng.normal(0.0, _SETTINGS.bend_deg)),
    )
    # As a camera sees it: blurred transmittance with noise, in 8 bits, above a grey level that isn't quite white.
    light = _SETTINGS.glass_level * 10 ** -gaussian_filter(chromosome.od, blur_px)
    light += rng.normal(0.0, rng.uniform(*_SETTINGS.noise), light.shape)
    grey = np.clip(np.rint(light), 0, 255).astype(np.uint8)
    density = gaussian_filter(optical_density(grey, _SETTINGS.glass_level), _SETTINGS.cut_blur_px)
    mask = density > rng.uniform(*_SETTINGS.cut_level) * float(density[chromosome.mask].mean())
    mask &= cv2.dilate(chromosome.mask.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    piece = ObjectPixels(optical_density(grey, _SETTINGS.glass_level), mask if mask.any() else chromosome.mask)
    ends = medial_axis(piece.mask).points_px[[0, -1]]
    from_tip = np.hypot(*(ends - chromosome.axis_px[0]).T)
    return piece, POLARITY_UPRIGHT if from_tip[0] <= from_tip[1] else POLARITY_TURNED
