"""Structural changes that were cut and pasted into real chromosomes: are the pairs flagged, and where.

Real texture, simulated rearrangement: a chromosome of a normal cell is straightened at its own resolution, its
rows are put into another order, and the result goes the whole way again as if it had been cut from the slide. No
figure of this module is of a real structural change.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from analysis.banding.ideogram import ideogram
from analysis.datasets.images import load_tseng
from analysis.errors import DatasetError, NoMetaphaseError
from analysis.evaluation.crops import gband612_cells
from analysis.evaluation.statistics import auc, bootstrap
from analysis.homologues.comparison import compare_traces
from analysis.homologues.cut_quality import cut_defects, measure_cut_quality
from analysis.homologues.reference_statistics import HomologueStatistics, load_homologue_statistics
from analysis.homologues.traces import Traces, traces_of
from analysis.imaging.image_file import read_image
from analysis.karyotyping.pipeline import Karyotyper
from analysis.straightening.crops import crops_of_cell, cut_instances, object_from_picture
from analysis.straightening.medial_axis import medial_axis, sample_straight
from analysis.structures.band_reading import HomologueDifference
from analysis.structures.classes import CLASS_NAMES, UNCLASSIFIED
from analysis.structures.crop import ChromosomeCrop, ObjectPixels
from analysis.structures.grey_image import GreyImage
from analysis.structures.karyotype import Karyotype
from analysis.structures.medial_axis import MedialAxis

NORMAL_COUNT: Final = 46
_SIZES_MB: Final = (
    *(249, 242, 198, 190, 182, 171, 159, 145, 138, 134, 135, 133),
    *(114, 107, 102, 90, 83, 80, 59, 64, 47, 51, 156, 57),
)
MEGABASES: Final = dict(zip(CLASS_NAMES, _SIZES_MB, strict=True))
"""Lengths of the chromosomes of GRCh38."""
LARGEST_SHARE: Final = 0.45
"""A larger part of a chromosome isn't changed."""
TIP_ROWS: Final = 3
FALSE_FLAGS: Final = (0.005, 0.01, 0.02, 0.05)


class StructuralChange(StrEnum):
    """Kinds of change; ``NONE``: straightened and put back, to see what that does by itself."""

    NONE = "none, put back"
    TERMINAL = "terminal deletion"
    INTERSTITIAL = "interstitial deletion"
    DUPLICATION = "duplication"
    PARACENTRIC = "paracentric inversion"
    PERICENTRIC = "pericentric inversion"
    TRANSLOCATION = "translocation"


SIZES_MB: Final[dict[StructuralChange, tuple[int, ...]]] = {
    StructuralChange.NONE: (20,),
    StructuralChange.TERMINAL: (10, 20, 40),
    StructuralChange.INTERSTITIAL: (10, 20, 40),
    StructuralChange.DUPLICATION: (10, 20, 40),
    StructuralChange.PARACENTRIC: (20, 40, 60),
    StructuralChange.PERICENTRIC: (20, 40, 80),
    StructuralChange.TRANSLOCATION: (10, 20, 40),
}


@dataclass(frozen=True, slots=True)
class ChangedPair:
    """One changed chromosome and its homologue.

    Attributes
    ----------
    event
        Number of the change in its cell; both derivatives of a translocation share one.
    kind, size_mb
        What was done.
    row
        The chromosome that the changed one stands for.
    crop
        The changed one.
    start, stop
        What was changed, as shares of the normal chromosome.
    fit
        Whether it would be compared, by its cut.
    covariates
        float64, shape (`CUT_COVARIATES`,), see `CutQuality.covariates`; None where nothing is known of the cut.
    """

    event: int
    kind: StructuralChange
    size_mb: int
    row: int
    crop: ChromosomeCrop
    start: float
    stop: float
    fit: bool = True
    covariates: NDArray[np.float64] | None = None


@dataclass(frozen=True, slots=True)
class ChangedCell:
    """A normal cell, and chromosomes changed each by itself.

    Attributes
    ----------
    name, case, crops, classes, changes
        Of the cell.
    doubtful
        Rows that aren't compared, by their cut.
    covariates
        float64, shape (n, `CUT_COVARIATES`), see `CutQuality.covariates`; None where nothing is known of the cuts.
    """

    name: str
    case: str
    crops: tuple[ChromosomeCrop, ...]
    classes: tuple[str, ...]
    changes: tuple[ChangedPair, ...]
    doubtful: frozenset[int] = frozenset()
    covariates: NDArray[np.float64] | None = None


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
    cells: Iterator[ChangedCell],
    norms: HomologueStatistics | None = None,
    *,
    count: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Measure how well changed pairs are flagged.

    Parameters
    ----------
    cells
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
    for number, cell in enumerate(cells, start=1):
        _add(tally, cell, norms)
        if progress is not None:
            progress(number, count or number)
    if not tally.normal:
        raise DatasetError("there is no normal cell to compare with")
    return _figures(tally)


def changed_cells(folder: Path, split: str, *, limit: int | None = None, seed: int = 0) -> Iterator[ChangedCell]:
    """Normal cells of gband612, with one change of every kind and size in each."""
    cases = _cases(folder)
    made = 0
    for number, cell in enumerate(gband612_cells(folder, split)):
        if not _normal(cell.classes):
            continue
        if limit is not None and made >= limit:
            return
        made += 1
        objects = [object_from_picture(picture) for picture in cell.pictures]
        yield changed_cell(
            cell.name, cases[cell.name], objects, cell.classes, np.random.default_rng((seed, number))
        )


def own_changed_cells(
    folder: Path, split: str, karyotyper: Karyotyper, *, limit: int | None = None, seed: int = 0
) -> Iterator[ChangedCell]:
    """Cells of the Tseng set as the software cuts them, with one change of every kind and size in each.

    A changed chromosome takes the place of the one it was made of after the cut: hidden where that was hidden, of
    the class and the way up that were told of it. Cells aren't known to be normal; the few that hold changes of
    their own count as false flags.
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


def changed_cell(
    name: str,
    case: str,
    objects: Sequence[ObjectPixels],
    classes: Sequence[str],
    rng: np.random.Generator,
) -> ChangedCell:
    """Make the changes of one normal cell, whose objects are upright."""
    axes = [medial_axis(piece.mask) for piece in objects]
    width_px = float(np.median([axis.width_px for axis in axes]))
    made: list[tuple[_Plan, ObjectPixels]] = []
    event = 0
    for kind, sizes in SIZES_MB.items():
        for size_mb in sizes:
            for plan, piece in _make(kind, size_mb, objects, axes, classes, width_px, rng):
                made.append((replace(plan, event=event), piece))
            event += 1
    extra = [piece for _, piece in made]
    crops = crops_of_cell([*objects, *extra], [*axes, *(medial_axis(piece.mask) for piece in extra)])
    changes = tuple(
        ChangedPair(plan.event, plan.kind, plan.size_mb, plan.row, crop, plan.start, plan.stop)
        for (plan, _), crop in zip(made, crops[len(objects) :], strict=True)
    )
    return ChangedCell(name, case, crops[: len(objects)], tuple(classes), changes)


@dataclass(frozen=True, slots=True)
class _Plan:
    kind: StructuralChange
    size_mb: int
    row: int
    start: float
    stop: float
    event: int = 0


def _make(
    kind: StructuralChange,
    size_mb: int,
    objects: Sequence[ObjectPixels],
    axes: Sequence[MedialAxis],
    classes: Sequence[str],
    width_px: float,
    rng: np.random.Generator,
) -> list[tuple[_Plan, ObjectPixels]]:
    """One change: one chromosome, or the two of a translocation; nothing where the cell has none that is fit."""
    paired = [row for row, name in enumerate(classes) if classes.count(name) == 2 and name in CLASS_NAMES]
    rows = [row for row in rng.permutation(paired) if change_fits(kind, size_mb, classes[row])]
    if kind is StructuralChange.TRANSLOCATION:
        other = [row for row in rows if classes[row] != classes[rows[0]]] if rows else []
        if not other:
            return []
        both = [rows[0], other[0]]
        straight = [_Straight.of(objects[row], axes[row], width_px) for row in both]
        shares = [size_mb / MEGABASES[classes[row]] for row in both]
        ends = [piece.cut(1.0 - share, 1.0) for piece, share in zip(straight, shares, strict=True)]
        return [
            (
                _Plan(kind, size_mb, int(both[k]), 1.0 - shares[k], 1.0),
                straight[k].cut(0.0, 1.0 - shares[k]).then(ends[1 - k]).picture(),
            )
            for k in range(2)
        ]
    if not rows:
        return []
    row = int(rows[0])
    start, stop = changed_stretch(kind, size_mb, classes[row], rng)
    piece = _Straight.of(objects[row], axes[row], width_px)
    before, inside, after = piece.cut(0.0, start), piece.cut(start, stop), piece.cut(stop, 1.0)
    if kind in (StructuralChange.TERMINAL, StructuralChange.INTERSTITIAL):
        new = before.then(after)
    elif kind is StructuralChange.NONE:
        new = before.then(inside).then(after)
    elif kind is StructuralChange.DUPLICATION:
        new = before.then(inside).then(inside).then(after)
    else:
        new = before.then(inside.turned()).then(after)
    return [(_Plan(kind, size_mb, row, start, stop), new.picture())]


def change_fits(kind: StructuralChange, size_mb: int, name: str) -> bool:
    """Whether a chromosome is long enough for a change."""
    share = size_mb / MEGABASES[name]
    if kind is StructuralChange.PERICENTRIC:
        # Both breaks lie in euchromatin, half of the stretch at the least on the long arm.
        return share < 0.8 and ideogram(name).centromere > 0.5 * share * 0.5 + 0.06
    if kind is StructuralChange.TRANSLOCATION:
        return share < LARGEST_SHARE and name not in ("X", "Y")
    return share < min(LARGEST_SHARE, 0.9 * (1.0 - ideogram(name).centromere))


def changed_stretch(
    kind: StructuralChange, size_mb: int, name: str, rng: np.random.Generator
) -> tuple[float, float]:
    """Draw the stretch of a change: shares of the length from the tip of the short arm."""
    share, centre = size_mb / MEGABASES[name], ideogram(name).centromere
    if kind is StructuralChange.TERMINAL:
        # Of the short arm where it is long enough, in one of two.
        short = share < 0.8 * centre and rng.random() < 0.5
        return (0.0, share) if short else (1.0 - share, 1.0)
    if kind is StructuralChange.PERICENTRIC:
        low = max(0.04, centre - 0.75 * share)
        high = min(centre - 0.25 * share, 0.96 - share)
        start = float(rng.uniform(low, max(low, high)))
        return start, min(start + share, 0.98)
    start = float(rng.uniform(centre + 0.02, max(0.98 - share, centre + 0.021)))
    return start, min(start + share, 0.99)


@dataclass(frozen=True, slots=True)
class _Straight:
    """A chromosome made straight at its own resolution: density and mask, row by row."""

    density: NDArray[np.float32]
    mask: NDArray[np.bool_]

    @classmethod
    def of(cls, piece: ObjectPixels, axis: MedialAxis, width_px: float) -> _Straight:
        rows, half = max(round(axis.length_px), 8), 1.2 * width_px
        columns = 2 * round(half)
        density, _ = sample_straight(
            piece.density, piece.mask, axis, rows=rows, columns=columns, half_width_px=half
        )
        solid = piece.mask.astype(np.float32)
        inside, _ = sample_straight(solid, piece.mask, axis, rows=rows, columns=columns, half_width_px=half)
        return cls(density, inside > 0.5)

    def cut(self, start: float, stop: float) -> _Straight:
        rows = slice(round(start * len(self.mask)), round(stop * len(self.mask)))
        return _Straight(self.density[rows], self.mask[rows])

    def turned(self) -> _Straight:
        return _Straight(self.density[::-1], self.mask[::-1])

    def then(self, other: _Straight) -> _Straight:
        return _Straight(np.concatenate([self.density, other.density]), np.concatenate([self.mask, other.mask]))

    def picture(self) -> ObjectPixels:
        """As a picture of its own, with round ends, whatever stood there before."""
        mask = self.mask.copy()
        columns = mask.shape[1]
        away = np.abs(np.arange(columns) - 0.5 * (columns - 1))
        for row in range(min(TIP_ROWS, len(mask) // 4)):
            # The further out, the narrower; what was round already is narrower still.
            keep = away <= 0.5 * columns * (0.3 + 0.12 * row)
            mask[row] &= keep
            mask[-1 - row] &= keep
        density = np.where(mask, self.density, 0.0).astype(np.float32)
        return ObjectPixels(np.pad(density, 3), np.pad(mask, 3))


def _add(tally: _Tally, cell: ChangedCell, norms: HomologueStatistics) -> None:
    traces = traces_of(cell.crops, [False] * len(cell.crops))
    normal = compare_traces(traces, _compared(cell, ()), norms, cell.covariates)
    tally.cells += 1
    tally.pairs += sum(cell.classes.count(name) > 1 for name in CLASS_NAMES)
    tally.normal += [each.score for each in normal]
    tally.normal_case += [cell.case] * len(normal)
    tally.normal_flags += sum(each.flagged for each in normal)
    tally.cells_flagged += any(each.flagged for each in normal)
    events: dict[int, list[ChangedPair]] = {}
    for change in cell.changes:
        events.setdefault(change.event, []).append(change)
    for changes in events.values():
        found = compare_traces(
            _replaced(traces, changes),
            _compared(cell, changes),
            norms,
            _replaced_covariates(cell.covariates, changes),
        )
        by_class = {each.class_name: each for each in found}
        pairs = [(by_class.get(cell.classes[change.row]), change) for change in changes]
        outcomes = [(each, change) for each, change in pairs if each is not None]
        key = (changes[0].kind, changes[0].size_mb)
        tally.changes.setdefault(key, []).append(_outcome(cell.case, outcomes))


def _compared(cell: ChangedCell, changes: Sequence[ChangedPair]) -> list[str]:
    """The classes, none for what isn't compared."""
    doubtful = cell.doubtful | {change.row for change in changes if not change.fit}
    return [UNCLASSIFIED if row in doubtful else name for row, name in enumerate(cell.classes)]


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


def _off_bands(found: HomologueDifference, change: ChangedPair) -> float:
    drawn = ideogram(found.class_name)
    edges = np.array([0.0, *(band.stop for band in drawn.bands)])
    places = [0.5 * (found.start + found.stop), 0.5 * (change.start + change.stop)]
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
    found: Sequence[_Outcome],
    normal: NDArray[np.float64],
    normal_case: NDArray[np.intp],
    number: dict[str, int],
    lines: dict[float, float],
) -> dict[str, Any]:
    compared = np.array([each.score is not None for each in found])
    score = np.array([-np.inf if each.score is None else each.score for each in found])
    flagged = np.array([each.flagged for each in found])
    case = np.array([number[each.case] for each in found])
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
    off = [each.off_bands for each in found if each.off_bands is not None]
    return {
        "n": len(found),
        "compared": float(compared.mean()),
        "sensitivity": float(flagged.mean()),
        "sensitivity_interval": bootstrap(len(number), sensitivity, rounds=400),
        "auc": area(everything),
        "auc_interval": bootstrap(len(number), area, rounds=200),
        "sensitivity_at": {str(rate): float(np.mean(score >= line)) for rate, line in lines.items()},
        "off_bands": float(np.median(off)) if off else None,
    }


def _normal(classes: Sequence[str]) -> bool:
    counts = [classes.count(name) for name in CLASS_NAMES]
    return counts[:22] == [2] * 22 and counts[22:] in ([2, 0], [1, 1]) and len(classes) == NORMAL_COUNT


def _cases(folder: Path) -> dict[str, str]:
    path = folder / "crops.csv"
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return {row["cell"]: row["case"] for row in csv.DictReader(file)}
    except (OSError, KeyError) as error:
        raise DatasetError("the data set isn't there or lacks a column (see KARYOSCAN_DATA)", path=path) from error
