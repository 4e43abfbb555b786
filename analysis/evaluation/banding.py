"""Cells of known banding: is it recognised, and how many bands are told of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from analysis.banding.band_level import estimate_level
from analysis.banding.ideogram import ideogram
from analysis.banding.technique import BandingTemplates, banding_templates, estimate_banding
from analysis.datasets.banded_cells import BandedCell
from analysis.straightening.crops import crops_of_cell, object_from_picture
from analysis.structures.banding import LEVELS, BandingKind
from analysis.structures.classes import CLASS_NAMES
from analysis.structures.crop import ObjectPixels


def evaluate_banding(
    banded_cells: Iterable[BandedCell],
    templates: BandingTemplates | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Measure the recogniser.

    Parameters
    ----------
    banded_cells
        Of labelled banding.
    templates
        Other ones than the product's.
    progress
        Called with (cells done, cells done).

    Returns
    -------
    dict
        ``cells``; ``confusion``: by "set kind", how often each kind was told; ``right``: fraction of the cells;
        ``warned_falsely``: share for which a protocol that is right would have been doubted; ``level``: by set,
        percentiles 10, 50 and 90 of the bands that are told.
    """
    templates = templates or banding_templates()
    confusion: dict[str, dict[str, int]] = {}
    bands: dict[str, list[int]] = {}
    right = warned = count = 0
    for count, cell in enumerate(banded_cells, start=1):
        judged = estimate_banding(cell.crops, fluorescent=cell.fluorescent, templates=templates)
        told = "unknown" if judged.kind is None else judged.kind.value
        line = confusion.setdefault(f"{cell.source} {cell.kind.value}", {})
        line[told] = line.get(told, 0) + 1
        right += judged.kind is cell.kind
        warned += judged.mismatch_warning(cell.kind.value) is not None
        level = None if cell.kind is BandingKind.NONE else estimate_level(cell.crops, cell.classes)
        if level is not None:
            bands.setdefault(cell.source, []).append(level.bands)
        if progress is not None:
            progress(count, count)
    return {
        "cells": count,
        "right": right / max(count, 1),
        "warned_falsely": warned / max(count, 1),
        "confusion": confusion,
        "level": {name: np.percentile(values, (10, 50, 90)).tolist() for name, values in bands.items()},
    }


def evaluate_levels(
    *, median_px: Iterable[int] = (50, 70, 100), blur_px: Iterable[float] = (0.8, 1.2, 1.8, 2.6), seed: int = 0
) -> list[dict[str, Any]]:
    """Band levels told of cells drawn from the three tables, condensed and blurred; simulated.

    Parameters
    ----------
    median_px
        Length of a chromosome of median length: the shorter, the more condensed.
    blur_px
        Standard deviation of the blur.

    Returns
    -------
    list of dict
        ``table, median_px, blur_px, counted, bands, low, high``.
    """
    rng = np.random.default_rng(seed)
    blurs = tuple(blur_px)
    names = (*CLASS_NAMES[:22], "X") * 2
    made = []
    for table in LEVELS:
        for size in median_px:
            for blur in blurs:
                objects = [drawn_from_table(name, table, size, blur, rng) for name in names]
                level = estimate_level(crops_of_cell(objects), names)
                if level is not None:
                    figures = {
                        "counted": round(level.counted, 1),
                        "bands": level.bands,
                        "low": level.low,
                        "high": level.high,
                        "level": level.level,
                    }
                    made.append({"table": table, "median_px": size, "blur_px": blur, **figures})
    return made


@dataclass(frozen=True, slots=True)
class TableDrawingSettings:
    """How a chromosome is drawn from a band table."""

    length_spread: float = 0.03
    """Of the logarithm of lengths within a cell."""
    pale: float = 0.19
    """Density of a pale band; and of a dark one more:"""
    dark: float = 0.44
    edge: float = 0.06
    """Density at which the mask ends."""
    grain: float = 0.035
    """Standard deviation of the grain."""
    white: float = 255.0


_SETTINGS: Final = TableDrawingSettings()


def drawn_from_table(
    name: str, table: int, median_px: int, blur_px: float, rng: np.random.Generator
) -> ObjectPixels:
    """Draw one chromosome from a band table: a bar of the class' typical length, blurred, with grain.

    Parameters
    ----------
    name
        Class.
    table
        Bands of a haploid set: one of the tables' levels.
    median_px
        Length of a chromosome of median length.
    blur_px
        Standard deviation.
    rng
        Source of length and grain.
    """
    length = float(np.exp(banding_templates().log_length[CLASS_NAMES.index(name)]))
    rows = max(round(median_px * length * float(np.exp(rng.normal(0.0, _SETTINGS.length_spread)))), 8)
    bands = ideogram(name, table).darkness(4 * rows).reshape(rows, 4).mean(axis=1)
    density = np.zeros((rows + 20, 36))
    density[10:-10, 10:-10] = (_SETTINGS.pale + _SETTINGS.dark * bands)[:, None]
    density = gaussian_filter(density, blur_px)
    density *= density > _SETTINGS.edge
    grain: NDArray[np.float64] = gaussian_filter(rng.normal(0.0, 1.0, density.shape), 1.0)
    density += (density > 0) * grain * _SETTINGS.grain
    grey = np.clip((_SETTINGS.white + 1.0) * 10 ** -np.maximum(density, 0.0) - 1.0, 0.0, _SETTINGS.white).astype(
        np.uint8
    )
    return object_from_picture(np.where(grey > 248, np.uint8(255), grey).astype(np.uint8))
