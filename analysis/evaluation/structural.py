"""Simulated structural changes: are the pairs flagged, and where.

The changes are those of `analysis.datasets.structural_changes`, or drawn. No figure of this module is of a real
structural change.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from analysis.banding.ideogram import ideogram
from analysis.datasets.structural_changes import ChangedCell, ChangedPair, StructuralChange, changed_cell
from analysis.datasets.tseng import load_tseng
from analysis.errors import DatasetError, NoMetaphaseError
from analysis.homologues.comparison import compare_traces
from analysis.homologues.cut_quality import cut_defects, measure_cut_quality
from analysis.homologues.reference_statistics import HomologueStatistics, load_homologue_statistics
from analysis.homologues.traces import Traces, traces_of
from analysis.imaging.image_file import read_image
from analysis.karyotyping.pipeline import Karyotyper
from analysis.metrics.statistics import auc, bootstrap
from analysis.straightening.crops import cut_instances
from analysis.structures.band_reading import HomologueDifference
from analysis.structures.classes import CLASS_NAMES, UNCLASSIFIED
from analysis.structures.crop import ObjectPixels
from analysis.structures.grey_image import GreyImage
from analysis.structures.karyotype import Karyotype

FALSE_FLAGS: Final = (0.005, 0.01, 0.02, 0.05)


@dataclass(slots=True)
class _Outcome:
    """Of one change: the highest score of its pairs (None where none is compared), its flag, how far off it is."""

    case: str
    score: float | None
    flagged: bool
    off_bands: float | None


@dataclass(slots=True)
class _Tally:
    normal: list[float] = field(default_factory=list)
    normal_case: list[str] = field(default_factory=list)
    normal_flags: int = 0
    pairs: int = 0
    cells: int = 0
    cells_flagged: int = 0
    changes: dict[tuple[StructuralChange, int], list[_Outcome]] = field(default_factory=dict)


def evaluate_structural(
    changed_cells: Iterator[ChangedCell],
    norms: HomologueStatistics | None = None,
    *,
    count: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Measure how well changed pairs are flagged.

    Parameters
    ----------
    changed_cells
        From `changed_cells` or drawn.
    norms
        Other ones than the product's.
    count
        Number of cells, for the progress.
    progress
        Called with (cells done, cells in all).

    Returns
    -------
    dict
        ``simulated`` (True); ``cells``, ``cases``, ``pairs`` that were compared, and their share ``compared``;
        ``false_flags``: share of them flagged though normal; ``cells_with_false_flag``: share of the cells with
        one; and ``changes``: one entry a kind and size with ``n``, ``compared``, ``sensitivity`` (what isn't
        compared counts as missed) and ``auc`` (of what is compared) with intervals by case, ``sensitivity_at``
        other shares of false flags, and the median of ``off_bands``, the distance of the middle of the flagged
        stretch from the true one in bands of the 550-band table.

    Raises
    ------
    DatasetError
        Where there is no cell.
    """
    norms = norms or load_homologue_statistics()
    tally = _Tally()
    for number, cell in enumerate(changed_cells, start=1):
        _add(tally, cell, norms)
        if progress is not None:
            progress(number, count or number)
    if not tally.normal:
        raise DatasetError("there is no normal cell to compare with")
    return _figures(tally)


def own_changed_cells(
    folder: Path, split: str, karyotyper: Karyotyper, *, limit: int | None = None, seed: int = 0
) -> Iterator[ChangedCell]:
    """Cells of the Tseng set as the software cuts them, with one change of every kind and size in each.

    A changed chromosome takes the place of the one it was made of after the cut: hidden where that was hidden, of
    the class and the way up that were told of it. Cells aren't known to be normal; the few that hold changes of
    their own count as false flags.

    Parameters
    ----------
    folder
        Of the Tseng set.
    split
        ``"train"``, ``"val"`` or ``"test"``.
    karyotyper
        Cuts and classifies.
    limit
        Pictures at most.
    seed
        Of the changes.
    """
    images = load_tseng(folder, split)
    step = max(1, len(images) // (limit or len(images)))
    for number, entry in enumerate(images[::step][:limit]):
        image = read_image(entry.path)
        try:
            karyotype = karyotyper.karyotype(image)
        except NoMetaphaseError:
            continue
        if karyotype.verdict.readable and karyotype.bands.homologues:
            yield _own_changed_cell(
                entry.name, entry.case, image, karyotype, np.random.default_rng((seed, number))
            )


def _own_changed_cell(
    name: str, case: str, image: GreyImage, karyotype: Karyotype, rng: np.random.Generator
) -> ChangedCell:
    entries = karyotype.chromosomes
    instances = [entry.instance for entry in entries]
    upright = [
        ObjectPixels(piece.density[::-1, ::-1], piece.mask[::-1, ::-1]) if entry.flipped else piece
        for piece, entry in zip(cut_instances(image, karyotype.background, instances), entries, strict=True)
    ]
    classes = [entry.class_name for entry in entries]
    cell = changed_cell(name, case, upright, classes, rng)
    rows = [*range(len(entries)), *(change.row for change in cell.changes)]
    cuts = measure_cut_quality(
        [*cell.crops, *(change.crop for change in cell.changes)],
        [classes[row] for row in rows],
        [instances[row] for row in rows],
    )
    doubts = cut_defects(cuts)[len(entries) :]
    changes = [
        replace(change, fit=doubt is None, covariates=covariates)
        for change, doubt, covariates in zip(cell.changes, doubts, cuts.covariates[len(entries) :], strict=True)
    ]
    doubtful = frozenset(row for each in karyotype.bands.not_compared for row, _ in each.defects)
    return replace(cell, changes=tuple(changes), doubtful=doubtful, covariates=cuts.covariates[: len(entries)])


def _add(tally: _Tally, changed_cell: ChangedCell, norms: HomologueStatistics) -> None:
    traces = traces_of(changed_cell.crops, [False] * len(changed_cell.crops))
    normal = compare_traces(traces, _compared(changed_cell, ()), norms, changed_cell.covariates)
    tally.cells += 1
    tally.pairs += sum(changed_cell.classes.count(name) > 1 for name in CLASS_NAMES)
    tally.normal += [each.score for each in normal]
    tally.normal_case += [changed_cell.case] * len(normal)
    tally.normal_flags += sum(each.flagged for each in normal)
    tally.cells_flagged += any(each.flagged for each in normal)
    events: dict[int, list[ChangedPair]] = {}
    for change in changed_cell.changes:
        events.setdefault(change.event, []).append(change)
    for changes in events.values():
        found = compare_traces(
            _replaced(traces, changes),
            _compared(changed_cell, changes),
            norms,
            _replaced_covariates(changed_cell.covariates, changes),
        )
        by_class = {each.class_name: each for each in found}
        pairs = [(by_class.get(changed_cell.classes[change.row]), change) for change in changes]
        outcomes = [(each, change) for each, change in pairs if each is not None]
        key = (changes[0].kind, changes[0].size_mb)
        tally.changes.setdefault(key, []).append(_outcome(changed_cell.case, outcomes))


def _compared(changed_cell: ChangedCell, changes: Sequence[ChangedPair]) -> list[str]:
    """The classes, none for what isn't compared."""
    doubtful = changed_cell.doubtful | {change.row for change in changes if not change.fit}
    return [UNCLASSIFIED if row in doubtful else name for row, name in enumerate(changed_cell.classes)]


def _replaced_covariates(
    covariates: NDArray[np.float64] | None, changes: Sequence[ChangedPair]
) -> NDArray[np.float64] | None:
    if covariates is None:
        return None
    made = covariates.copy()
    for change in changes:
        if change.covariates is not None:
            made[change.row] = change.covariates
    return made


def _replaced(traces: Traces, changes: Sequence[ChangedPair]) -> Traces:
    new = traces_of([change.crop for change in changes], [False] * len(changes))
    rows = [change.row for change in changes]
    bands, lengths = traces.bands.copy(), traces.log_length.copy()
    bands[rows], lengths[rows] = new.bands, new.log_length
    return Traces(bands, lengths)


def _outcome(case: str, outcomes: Sequence[tuple[HomologueDifference, ChangedPair]]) -> _Outcome:
    off = [_off_bands(found, change) for found, change in outcomes if found.structural]
    return _Outcome(
        case,
        max((found.score for found, _ in outcomes), default=None),
        any(found.structural for found, _ in outcomes),
        min(off) if off else None,
    )


def _off_bands(difference: HomologueDifference, change: ChangedPair) -> float:
    drawn = ideogram(difference.class_name)
    edges = np.array([0.0, *(band.stop for band in drawn.bands)])
    places = [0.5 * (difference.start + difference.stop), 0.5 * (change.start + change.stop)]
    at = np.interp(places, edges, np.arange(len(edges)))
    return float(abs(at[0] - at[1]))


def _figures(tally: _Tally) -> dict[str, Any]:
    normal = np.array(tally.normal)
    cases = sorted(set(tally.normal_case))
    number = {name: index for index, name in enumerate(cases)}
    normal_case = np.array([number[name] for name in tally.normal_case])
    lines = {rate: float(np.quantile(normal, 1.0 - rate)) for rate in FALSE_FLAGS}
    return {
        "simulated": True,
        "cells": tally.cells,
        "cases": len(cases),
        "pairs": len(normal),
        "compared": len(normal) / tally.pairs,
        "false_flags": tally.normal_flags / len(normal),
        "cells_with_false_flag": tally.cells_flagged / tally.cells,
        "changes": [
            {"kind": kind.value, "size_mb": size, **_change_figures(found, normal, normal_case, number, lines)}
            for (kind, size), found in tally.changes.items()
        ],
    }


def _change_figures(
    outcomes: Sequence[_Outcome],
    normal: NDArray[np.float64],
    normal_case: NDArray[np.intp],
    number: dict[str, int],
    lines: dict[float, float],
) -> dict[str, Any]:
    compared = np.array([each.score is not None for each in outcomes])
    score = np.array([-np.inf if each.score is None else each.score for each in outcomes])
    flagged = np.array([each.flagged for each in outcomes])
    case = np.array([number[each.case] for each in outcomes])
    of_case = [np.flatnonzero(case == k) for k in range(len(number))]
    normal_of_case = [normal[normal_case == k] for k in range(len(number))]

    def sensitivity(drawn: NDArray[np.int64]) -> float:
        rows = np.concatenate([of_case[k] for k in drawn])
        return float(flagged[rows].mean()) if len(rows) else float("nan")

    def area(drawn: NDArray[np.int64]) -> float:
        rows = np.concatenate([of_case[k] for k in drawn])
        rows = rows[compared[rows]]
        if len(rows) == 0:
            return float("nan")
        plain = np.concatenate([normal_of_case[k] for k in drawn])
        return auc(
            np.concatenate([plain, score[rows]]),
            np.concatenate([np.zeros(len(plain), np.bool_), np.ones(len(rows), np.bool_)]),
        )

    everything = np.arange(len(number))
    off = [each.off_bands for each in outcomes if each.off_bands is not None]
    return {
        "n": len(outcomes),
        "compared": float(compared.mean()),
        "sensitivity": float(flagged.mean()),
        "sensitivity_interval": bootstrap(len(number), sensitivity, rounds=400),
        "auc": area(everything),
        "auc_interval": bootstrap(len(number), area, rounds=200),
        "sensitivity_at": {str(rate): float(np.mean(score >= line)) for rate, line in lines.items()},
        "off_bands": float(np.median(off)) if off else None,
    }
