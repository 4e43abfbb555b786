"""Learn what each banding technique makes of each class: mean profiles of train cells, and drawn ones for R."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from analysis.banding.technique import BINS, TECHNIQUES, TIPS, BandingTemplates, standardised
from analysis.datasets.banded_cells import (
    BIOIMLAB_LEARNT,
    MFISH_LEARNT,
    BandedCell,
    bioimlab_banded,
    gband612_banded,
    mfish_banded,
    rband_banded,
)
from analysis.parameters.manifest import Manifest, ParameterKind
from analysis.parameters.names import ParameterSetName
from analysis.parameters.store import write_parameters
from analysis.straightening.band_profile import profiles
from analysis.straightening.crops import crops_of_cell
from analysis.structures.banding import BandingKind
from analysis.structures.classes import CLASS_NAMES
from analysis.structures.crop import ObjectPixels
from simulators.specimen.banding import Banding, Contrast
from simulators.specimen.chromosome import banded, draw_appearance, upright_crop

# Chosen on cells of the train splits that the templates don't come from.
ODDS: Final = 40.0
OTHER_LIGHT: Final = 0.15
LEVEL: Final = {BandingKind.Q: 0.035}
DRAWN_CELLS: Final = 8
DRAWN_SEED: Final = 1
_BODY_LEVEL: Final = 0.05
"""Density, over the cell's typical stain, from which a pixel is the chromosome's."""
_LEAST_SPREAD: Final = 1e-6
"""Keeps a profile without bands from dividing by nothing."""


def learn_templates(data_dir: Path, *, step: int = 2) -> BandingTemplates:
    """Learn the templates from train cells.

    Parameters
    ----------
    data_dir
        Root of the data sets.
    step
        Every ``step``-th cell of gband612 is taken.
    """
    g_cells = list(gband612_banded(data_dir, "train", step))
    drawn = {
        kind: _mean(drawn_cells(kind, DRAWN_CELLS, seed=DRAWN_SEED)) for kind in (BandingKind.R, BandingKind.DAPI)
    }
    dapi = _mean(mfish_banded(data_dir, learnt=True), drawn[BandingKind.DAPI])
    # One real R cell says little of 24 classes: it and the drawn ones count the same.
    real_r = _mean(rband_banded(data_dir, "train"), drawn[BandingKind.R])
    by_kind = {
        BandingKind.G: _mean(g_cells),
        BandingKind.Q: _mean(bioimlab_banded(data_dir, learnt=True)),
        BandingKind.R: np.nanmean([_spread_out(real_r), _spread_out(drawn[BandingKind.R])], axis=0),
        BandingKind.DAPI: dapi,
    }
    lengths: dict[str, list[float]] = {name: [] for name in CLASS_NAMES}
    for cell in g_cells:
        for crop, name in zip(cell.crops, cell.classes, strict=True):
            if name in lengths:
                lengths[name].append(float(np.log(crop.relative_length)))
    return BandingTemplates(
        np.nan_to_num(np.stack([by_kind[kind] for kind in TECHNIQUES])).astype(np.float32),
        np.array([np.mean(lengths[name]) for name in CLASS_NAMES], dtype=np.float32),
        np.array([LEVEL.get(kind, 0.0) for kind in TECHNIQUES], dtype=np.float32),
        ODDS,
        OTHER_LIGHT,
    )


def write_templates(templates: BandingTemplates, folder: Path, *, step: int, command: str) -> Path:
    """Write the parameter set ``banding-templates``; profiles in half precision.

    Parameters
    ----------
    templates
        The templates.
    folder
        Gets content and manifest.
    step
        See `learn_templates`.
    command
        The command line that makes them again.

    Returns
    -------
    Path
        The content file.
    """
    manifest = Manifest(
        name=ParameterSetName.BANDING_TEMPLATES,
        kind=ParameterKind.TABLE,
        data={"bioimlab cells": BIOIMLAB_LEARNT, "mfish cells": MFISH_LEARNT, "drawn cells": DRAWN_CELLS},
        split="train of each set (by case); odds and other_light chosen on train cells that gave no template",
        command=command,
        settings={"step": step, "odds": ODDS, "other_light": OTHER_LIGHT, "drawn_cells": DRAWN_CELLS},
        metrics={},
        seed=DRAWN_SEED,
        steps=0,
    )
    arrays = {
        "bands": templates.bands.astype(np.float16),
        "log_length": templates.log_length.astype(np.float16),
        "level": templates.level,
        "odds": np.float32(templates.odds),
        "other_light": np.float32(templates.other_light),
    }
    return write_parameters(folder, {name: np.asarray(value) for name, value in arrays.items()}, manifest)


def drawn_cells(banding_kind: BandingKind, count: int, *, seed: int) -> Iterator[BandedCell]:
    """Cells drawn from the band tables under one technique.

    Parameters
    ----------
    banding_kind
        The technique.
    count
        How many.
    seed
        Of the drawing.
    """
    names = (*CLASS_NAMES[:22], *CLASS_NAMES[:22], "X", "Y")
    technique = Banding(banding_kind.value)
    for number in range(count):
        rng = np.random.default_rng((seed, number))
        look = banded(draw_appearance(rng), technique)
        objects = [ObjectPixels(*upright_crop(name, rng, appearance=look)) for name in names]
        fluorescent = technique.contrast is Contrast.EMITS
        yield BandedCell(f"drawn {number}", "drawn", banding_kind, fluorescent, crops_of_cell(objects), names)


def unbanded(banded_cell: BandedCell) -> BandedCell:
    """The cell as a solid stain would show it: every chromosome of one density along its length."""
    crops = []
    for crop in banded_cell.crops:
        inside = crop.image > _BODY_LEVEL
        level = float(crop.image[inside].mean()) if inside.any() else 0.0
        crops.append(replace(crop, image=np.where(inside, np.float32(level), np.float32(0.0))))
    return replace(banded_cell, kind=BandingKind.NONE, crops=tuple(crops))


def _mean(banded_cells: Iterable[BandedCell], like: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
    """Mean profile by class, shape (24, BINS); where ``like`` is given, turned the way that fits it better."""
    found: dict[str, list[NDArray[np.float64]]] = {name: [] for name in CLASS_NAMES}
    for cell in banded_cells:
        bands = profiles(np.stack([crop.image for crop in cell.crops]), BINS)[:, 0].astype(np.float64)
        for band, name in zip(bands, cell.classes, strict=True):
            if name not in found:
                continue
            inner = band[TIPS:-TIPS]
            level = (band - inner.mean()) / max(float(inner.std()), _LEAST_SPREAD)
            if like is not None and _turned(level, like[CLASS_NAMES.index(name)]):
                level = level[::-1]
            found[name].append(level)
    return np.array(
        [np.mean(found[name], axis=0) if found[name] else np.full(BINS, np.nan) for name in CLASS_NAMES]
    )


def _turned(band: NDArray[np.float64], like: NDArray[np.float64]) -> bool:
    both = standardised(np.stack([band, band[::-1]]))
    return bool(np.argmax(both @ standardised(np.nan_to_num(like))))


def _spread_out(profiles: NDArray[np.float64]) -> NDArray[np.float64]:
    """Without trend, of spread 1: means of many and of few cells then count the same."""
    return np.pad(standardised(profiles), ((0, 0), (TIPS, TIPS)), mode="edge")
