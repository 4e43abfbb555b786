"""What all fields of a slide have in common."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from analysis.training.synthesis.truth import FLUORESCENCE

FIELD_PX: Final = (1024, 1360)
"""Rows and columns of a field."""

_USUAL_UM_PER_PX: Final = 0.645
_UM_PER_PX: Final = (0.4, 1.3)


@dataclass(frozen=True, slots=True)
class SlideConditions:
    """A slide, its stain and the instrument it is seen with.

    Attributes
    ----------
    um_per_px
        Pixel size, 0.4 to 1.3.
    height_px, width_px
        Size of its fields.
    stain
        Factor of all density (light).
    metaphases
        Mean number a field; 0 on an empty slide.
    negatives
        Mean number of hard negatives a field.
    nuclei_per_mm2, debris_per_mm2
        Density of single nuclei and grains.
    nucleus_scale
        Size of nuclei over those of the images.
    spoilt_share
        Share of spoilt metaphases.
    level
        Grey level of empty glass over full scale; of a chromosome in fluorescence.
    background
        In fluorescence: background over a chromosome's light.
    fall_off, tilt
        Loss of light in the corners, and over the field from one side to the other, in [0, 1].
    tilt_rad
        Direction of the tilt.
    grain
        Factor of the ground's own grain.
    haze
        Standard deviation of slow unevenness, in density (light).
    blur_um
        Blur of the objective in focus, standard deviation.
    defocus_um
        Mean further blur.
    electrons
        At full scale.
    read_noise
        Electrons.
    bits
        8 or 12 of the camera; 12 are given as uint16.
    """

    um_per_px: float
    height_px: int
    width_px: int
    stain: float
    metaphases: float
    negatives: float
    nuclei_per_mm2: float
    debris_per_mm2: float
    nucleus_scale: float
    spoilt_share: float
    level: float
    background: float
    fall_off: float
    tilt: float
    tilt_rad: float
    grain: float
    haze: float
    blur_um: float
    defocus_um: float
    electrons: float
    read_noise: float
    bits: int

    @property
    def field_mm2(self) -> float:
        """Area of a field."""
        return self.height_px * self.width_px * self.um_per_px**2 / 1e6


def draw_conditions(
    rng: np.random.Generator, domain: str, *, empty: bool, least_negatives: float, size_px: tuple[int, int]
) -> SlideConditions:
    """Draw the conditions of a slide.

    Parameters
    ----------
    rng
        Source of all variation.
    domain
        ``"brightfield"`` or ``"fluorescence"``.
    empty
        Whether there is no metaphase on it.
    least_negatives
        Hard negatives a field, at least.
    size_px
        Rows and columns of its fields.
    """
    usual = rng.random() < 0.7
    um_per_px = (
        _USUAL_UM_PER_PX if usual else math.exp(rng.uniform(math.log(_UM_PER_PX[0]), math.log(_UM_PER_PX[1])))
    )
    glow = domain == FLUORESCENCE
    dense = math.exp(rng.normal(0.0, 0.8))
    return SlideConditions(
        um_per_px=um_per_px,
        height_px=size_px[0],
        width_px=size_px[1],
        stain=1.0 if glow else math.exp(rng.normal(0.0, 0.28)),
        metaphases=0.0 if empty else float(np.clip(math.exp(rng.normal(0.3, 0.8)), 0.25, 6.0)),
        negatives=max(least_negatives, float(rng.uniform(1.0, 8.0))),
        nuclei_per_mm2=float(np.clip(50.0 * dense, 4.0, 320.0)),
        debris_per_mm2=float(np.clip(80.0 * math.exp(rng.normal(0.0, 1.0)), 5.0, 700.0)),
        nucleus_scale=float(rng.uniform(0.55, 1.05)),
        spoilt_share=float(rng.uniform(0.15, 0.55)),
        level=float(rng.uniform(0.12, 0.6)) if glow else float(rng.uniform(0.4, 0.9)),
        background=float(rng.uniform(0.02, 0.35)),
        fall_off=float(rng.uniform(0.0, 0.35)),
        tilt=float(rng.uniform(0.0, 0.2)),
        tilt_rad=float(rng.uniform(0.0, 2.0 * math.pi)),
        grain=float(rng.uniform(0.3, 1.3)),
        haze=float(min(rng.exponential(0.006), 0.03)) * (2.0 if glow else 1.0),
        blur_um=float(rng.uniform(0.4, 0.65)),
        defocus_um=float(rng.exponential(0.25)),
        electrons=float(math.exp(rng.uniform(math.log(3000.0), math.log(25000.0)))),
        read_noise=float(rng.uniform(3.0, 14.0)),
        bits=8 if rng.random() < 0.4 else 12,
    )
