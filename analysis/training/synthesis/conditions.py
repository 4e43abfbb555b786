"""What all fields of a slide have in common."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from analysis.training.synthesis.truth import FLUORESCENCE

FIELD_PX: Final = (1024, 1360)
"""Rows and columns of a field."""

_UM2_PER_MM2: Final = 1e6


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
    spoilt_fraction
        Fraction of spoilt metaphases.
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
    spoilt_fraction: float
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
        return self.height_px * self.width_px * self.um_per_px**2 / _UM2_PER_MM2


@dataclass(frozen=True, slots=True)
class ConditionsSettings:
    """How slides and instruments differ; chosen so that routine slides lie well inside."""

    typical_um_per_px: float = 0.645
    """A 10x objective on a camera with 6.45 um pixels, the commonest."""
    typical_fraction: float = 0.7
    """Slides at that pixel size."""
    um_per_px: tuple[float, float] = (0.4, 1.3)
    """Others: 16x to 5x."""
    density_spread: float = 0.8
    """Of the logarithm of the nuclei's density: a slide may hold five times as many as another."""
    stain_spread: float = 0.28
    """Of the logarithm of the stain."""
    metaphases_log: tuple[float, float] = (0.3, 0.8)
    """Mean and standard deviation of the logarithm of metaphases a field."""
    metaphases: tuple[float, float] = (0.25, 6.0)
    """Of them at least and at most."""
    negatives: tuple[float, float] = (1.0, 8.0)
    """Hard negatives a field: far more than on a slide, they are what is learned."""
    nuclei_per_mm2: float = 50.0
    """Median; within:"""
    nuclei_range: tuple[float, float] = (4.0, 320.0)
    debris_per_mm2: float = 80.0
    """Median; within:"""
    debris_range: tuple[float, float] = (5.0, 700.0)
    nucleus_scale: tuple[float, float] = (0.55, 1.05)
    """Images of metaphases show the largest nuclei."""
    spoilt: tuple[float, float] = (0.15, 0.55)
    """Fraction of spoilt metaphases."""
    level_glow: tuple[float, float] = (0.12, 0.6)
    """Grey level of a chromosome in fluorescence, over full scale."""
    level_glass: tuple[float, float] = (0.4, 0.9)
    """Grey level of empty glass."""
    background: tuple[float, float] = (0.02, 0.35)
    """Of fluorescence, over a chromosome's light."""
    fall_off: tuple[float, float] = (0.0, 0.35)
    """Vignetting of worn to good objectives."""
    tilt: tuple[float, float] = (0.0, 0.2)
    """Light that isn't centred."""
    grain: tuple[float, float] = (0.3, 1.3)
    """Of the glass."""
    haze_mean: float = 0.006
    """In density; seldom more than:"""
    haze_most: float = 0.03
    blur_um: tuple[float, float] = (0.4, 0.65)
    """Airy disk of numerical apertures from 0.45 down to 0.25."""
    defocus_um: float = 0.25
    """Mean."""
    electrons: tuple[float, float] = (3000.0, 25000.0)
    """Full wells of small and large pixels."""
    read_noise: tuple[float, float] = (3.0, 14.0)
    """CMOS to old CCD."""
    eight_bit_fraction: float = 0.4
    """Cameras that give 8 bits."""


_SETTINGS: Final = ConditionsSettings()


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
    typical = rng.random() < _SETTINGS.typical_fraction
    um_per_px = _SETTINGS.typical_um_per_px if typical else _log_uniform(rng, _SETTINGS.um_per_px)
    glow = domain == FLUORESCENCE
    dense = math.exp(rng.normal(0.0, _SETTINGS.density_spread))
    return SlideConditions(
        um_per_px=um_per_px,
        height_px=size_px[0],
        width_px=size_px[1],
        stain=1.0 if glow else math.exp(rng.normal(0.0, _SETTINGS.stain_spread)),
        metaphases=0.0
        if empty
        else float(np.clip(math.exp(rng.normal(*_SETTINGS.metaphases_log)), *_SETTINGS.metaphases)),
        negatives=max(least_negatives, float(rng.uniform(*_SETTINGS.negatives))),
        nuclei_per_mm2=float(np.clip(_SETTINGS.nuclei_per_mm2 * dense, *_SETTINGS.nuclei_range)),
        debris_per_mm2=float(
            np.clip(_SETTINGS.debris_per_mm2 * math.exp(rng.normal(0.0, 1.0)), *_SETTINGS.debris_range)
        ),
        nucleus_scale=float(rng.uniform(*_SETTINGS.nucleus_scale)),
        spoilt_fraction=float(rng.uniform(*_SETTINGS.spoilt)),
        level=float(rng.uniform(*(_SETTINGS.level_glow if glow else _SETTINGS.level_glass))),
        background=float(rng.uniform(*_SETTINGS.background)),
        fall_off=float(rng.uniform(*_SETTINGS.fall_off)),
        tilt=float(rng.uniform(*_SETTINGS.tilt)),
        tilt_rad=float(rng.uniform(0.0, 2.0 * math.pi)),
        grain=float(rng.uniform(*_SETTINGS.grain)),
        haze=float(min(rng.exponential(_SETTINGS.haze_mean), _SETTINGS.haze_most)) * (2.0 if glow else 1.0),
        blur_um=float(rng.uniform(*_SETTINGS.blur_um)),
        defocus_um=float(rng.exponential(_SETTINGS.defocus_um)),
        electrons=_log_uniform(rng, _SETTINGS.electrons),
        read_noise=float(rng.uniform(*_SETTINGS.read_noise)),
        bits=8 if rng.random() < _SETTINGS.eight_bit_fraction else 12,
    )


def _log_uniform(rng: np.random.Generator, ends: tuple[float, float]) -> float:
    """Draw a number whose logarithm is even."""
    return float(math.exp(rng.uniform(math.log(ends[0]), math.log(ends[1]))))
