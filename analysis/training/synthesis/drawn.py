"""Drawn objects, for what the images hold too few or none of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np

from analysis.training.synthesis.cutout import CUTOUT_UM_PER_PX, Cutout
from simulators.specimen.clutter import (
    ClutterPatch,
    render_clump,
    render_nucleus,
    render_precipitate,
    render_speck,
)

NATURAL: Final = 2.303
"""Simulated bodies have decadic densities."""


@dataclass(frozen=True, slots=True)
class DrawnSettings:
    """Sizes of drawn objects in um."""

    nucleus_radius_um: tuple[float, float] = (5.0, 11.0)
    """Small lymphocytes to blasts."""
    grain_log_um: tuple[float, float] = (-0.9, 0.5)
    """Mean and standard deviation of the logarithm: mostly less than half a micrometre."""
    precipitate_um: tuple[float, float] = (2.0, 12.0)
    clump_um: tuple[float, float] = (3.0, 8.0)
    """Of a pyknotic nucleus."""
    stained: float = 0.05
    """Density from which a pixel belongs to the body."""


_SETTINGS: Final = DrawnSettings()


def draw_nuclei(rng: np.random.Generator, count: int) -> list[Cutout]:
    """Interphase nuclei.

    Parameters
    ----------
    rng
        Source of all variation.
    count
        How many.
    """
    return [
        cutout_of(render_nucleus(rng, float(rng.uniform(*_SETTINGS.nucleus_radius_um))), NATURAL)
        for _ in range(count)
    ]


def draw_grains(rng: np.random.Generator, count: int, strength: float) -> list[Cutout]:
    """Grains of dirt.

    Parameters
    ----------
    rng
        Source of all variation.
    count
        How many.
    strength
        Factor of their density.
    """
    sizes = np.exp(rng.normal(*_SETTINGS.grain_log_um, count))
    return [cutout_of(render_speck(rng, float(size)), NATURAL * strength) for size in sizes]


def draw_precipitates(rng: np.random.Generator, count: int, strength: float) -> list[Cutout]:
    """Clots of precipitated stain.

    Parameters
    ----------
    rng
        Source of all variation.
    count
        How many.
    strength
        Factor of their density.
    """
    sizes = rng.uniform(*_SETTINGS.precipitate_um, count)
    return [cutout_of(render_precipitate(rng, float(size)), NATURAL * strength) for size in sizes]


def draw_clumps(rng: np.random.Generator, count: int) -> list[Cutout]:
    """Pyknotic lumps.

    Parameters
    ----------
    rng
        Source of all variation.
    count
        How many.
    """
    return [cutout_of(render_clump(rng, float(rng.uniform(*_SETTINGS.clump_um))), NATURAL) for _ in range(count)]


def cutout_of(patch: ClutterPatch, strength: float) -> Cutout:
    """A drawn body at the scale of cut-outs, about its patch's middle; densities times ``strength``.

    Parameters
    ----------
    patch
        What was drawn.
    strength
        Factor of its density.
    """
    share = patch.um_per_px / CUTOUT_UM_PER_PX
    height, width = patch.od.shape
    size = (max(round(width * share), 2), max(round(height * share), 2))
    matter = cv2.resize(np.asarray(patch.od * strength, np.float32), size, interpolation=cv2.INTER_AREA)
    on = np.argwhere(matter > _SETTINGS.stained)
    centre = (np.array(matter.shape) - 1.0) / 2.0
    radius = float(np.hypot(*(on - centre).T).max()) if len(on) else 1.0
    return Cutout(np.asarray(matter, np.float32), float(centre[1]), float(centre[0]), radius * CUTOUT_UM_PER_PX)
