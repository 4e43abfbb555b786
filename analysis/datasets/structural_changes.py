"""Simulated structural changes, cut and pasted into real chromosomes of normal cells.

Real texture, simulated rearrangement: a chromosome is straightened at its own resolution, its rows are put into
another order, and the result goes the whole path again as if it had been cut from the slide.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from analysis.banding.ideogram import ideogram
from analysis.datasets.gband612 import gband612_cells
from analysis.straightening.crops import crops_of_cell, object_from_picture
from analysis.straightening.medial_axis import medial_axis, sample_straight
from analysis.structures.classes import CLASS_NAMES
from analysis.structures.crop import ChromosomeCrop, ObjectPixels
from analysis.structures.medial_axis import MedialAxis

NORMAL_COUNT: Final = 46
_SIZES_MB: Final = (
    *(249, 242, 198, 190, 182, 171, 159, 145, 138, 134, 135, 133),
    *(114, 107, 102, 90, 83, 80, 59, 64, 47, 51, 156, 57),
)
MEGABASES: Final = dict(zip(CLASS_NAMES, _SIZES_MB, strict=True))
"""Lengths of the chromosomes of GRCh38."""
TIP_ROWS: Final = 3


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
class ChangeSettings:
    """What a change may be, in fractions of a chromosome's length."""

    largest: float = 0.45
    """A larger part of a chromosome isn't changed."""
    largest_inversion: float = 0.8
    """Of a pericentric inversion."""
    inversion_arm: float = 0.25
    """Of a pericentric inversion that lies on the short arm at least."""
    tip: float = 0.06
    """Of the short arm that no pericentric break lies in; of the draw, a third less."""
    arm: float = 0.9
    """Of the long arm that a change takes at most."""
    short_arm: float = 0.8
    """Of the short arm that a terminal deletion takes at most."""
    first: float = 0.04
    """First place of a pericentric break."""
    last_start: float = 0.96
    """Last place of its second one, before which:"""
    last_stop: float = 0.98
    inversion_long_arm: float = 0.75
    """Of a pericentric inversion on the short arm at most."""
    centromere_gap: float = 0.02
    """Between the centromere and an interstitial change."""
    centromere_room: float = 0.021
    """The same where no room is left."""
    last: float = 0.99
    """End of an interstitial change."""
    half_width: float = 1.2
    """Of a straightened chromosome, in widths."""
    tip_width: float = 0.3
    """Of the first row of a rounded end, over the width; and more a row:"""
    tip_growth: float = 0.12


_SETTINGS: Final = ChangeSettings()


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
        What was changed, as fractions of the normal chromosome.
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


def changed_cells(folder: Path, split: str, *, limit: int | None = None, seed: int = 0) -> Iterator[ChangedCell]:
    """Normal cells of gband612, with one change of every kind and size in each.

    Parameters
    ----------
    folder
        Of the set.
    split
        ``"train"``, ``"val"`` or ``"test"``.
    limit
        Cells at most; None for all.
    seed
        Of the changes.

    Raises
    ------
    DatasetError
        If the set isn't there or damaged, or the split is empty.
    """
    made = 0
    for number, cell in enumerate(gband612_cells(folder, split)):
        if not _normal(cell.classes):
            continue
        if limit is not None and made >= limit:
            return
        made += 1
        objects = [object_from_picture(picture) for picture in cell.pictures]
        yield changed_cell(cell.name, cell.case, objects, cell.classes, np.random.default_rng((seed, number)))


def changed_cell(
    name: str,
    case: str,
    objects: Sequence[ObjectPixels],
    classes: Sequence[str],
    rng: np.random.Generator,
) -> ChangedCell:
    """Make the changes of one normal cell, whose objects are upright.

    Parameters
    ----------
    name
        Of the cell.
    case
        Of the patient.
    objects
        Its chromosomes, upright.
    classes
        Theirs.
    rng
        Source of all choices.
    """
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
    change_kind: StructuralChange,
    size_mb: int,
    objects: Sequence[ObjectPixels],
    axes: Sequence[MedialAxis],
    classes: Sequence[str],
    width_px: float,
    rng: np.random.Generator,
) -> list[tuple[_Plan, ObjectPixels]]:
    """One change: one chromosome, or the two of a translocation; nothing where the cell has none that is fit."""
    paired = [row for row, name in enumerate(classes) if classes.count(name) == 2 and name in CLASS_NAMES]
    rows = [row for row in rng.permutation(paired) if change_fits(change_kind, size_mb, classes[row])]
    if change_kind is StructuralChange.TRANSLOCATION:
        other = [row for row in rows if classes[row] != classes[rows[0]]] if rows else []
        if not other:
            return []
        both = [rows[0], other[0]]
        straight = [_Straight.of(objects[row], axes[row], width_px) for row in both]
        shares = [size_mb / MEGABASES[classes[row]] for row in both]
        ends = [piece.cut(1.0 - share, 1.0) for piece, share in zip(straight, shares, strict=True)]
        return [
            (
                _Plan(change_kind, size_mb, int(both[k]), 1.0 - shares[k], 1.0),
                straight[k].cut(0.0, 1.0 - shares[k]).then(ends[1 - k]).picture(),
            )
            for k in range(2)
        ]
    if not rows:
        return []
    row = int(rows[0])
    start, stop = changed_stretch(change_kind, size_mb, classes[row], rng)
    piece = _Straight.of(objects[row], axes[row], width_px)
    before, inside, after = piece.cut(0.0, start), piece.cut(start, stop), piece.cut(stop, 1.0)
    if change_kind in (StructuralChange.TERMINAL, StructuralChange.INTERSTITIAL):
        new = before.then(after)
    elif change_kind is StructuralChange.NONE:
        new = before.then(inside).then(after)
    elif change_kind is StructuralChange.DUPLICATION:
        new = before.then(inside).then(inside).then(after)
    else:
        new = before.then(inside.turned()).then(after)
    return [(_Plan(change_kind, size_mb, row, start, stop), new.picture())]


def change_fits(change_kind: StructuralChange, size_mb: int, name: str) -> bool:
    """Whether a chromosome is long enough for a change.

    Parameters
    ----------
    change_kind
        The change.
    size_mb
        Megabases it concerns.
    name
        Class of the chromosome.
    """
    fraction = size_mb / MEGABASES[name]
    if change_kind is StructuralChange.PERICENTRIC:
        # Both breaks lie in euchromatin, half of the stretch at the least on the long arm.
        return (
            fraction < _SETTINGS.largest_inversion
            and ideogram(name).centromere > _SETTINGS.inversion_arm * fraction + _SETTINGS.tip
        )
    if change_kind is StructuralChange.TRANSLOCATION:
        return fraction < _SETTINGS.largest and name not in ("X", "Y")
    return fraction < min(_SETTINGS.largest, _SETTINGS.arm * (1.0 - ideogram(name).centromere))


def changed_stretch(
    change_kind: StructuralChange, size_mb: int, name: str, rng: np.random.Generator
) -> tuple[float, float]:
    """Draw the stretch of a change: fractions of the length from the tip of the short arm.

    Parameters
    ----------
    change_kind
        The change.
    size_mb
        Megabases it concerns.
    name
        Class of the chromosome.
    rng
        Source of the place.
    """
    fraction, centre = size_mb / MEGABASES[name], ideogram(name).centromere
    if change_kind is StructuralChange.TERMINAL:
        # Of the short arm where it is long enough, in one of two.
        short = fraction < _SETTINGS.short_arm * centre and rng.random() < 0.5
        return (0.0, fraction) if short else (1.0 - fraction, 1.0)
    if change_kind is StructuralChange.PERICENTRIC:
        low = max(_SETTINGS.first, centre - _SETTINGS.inversion_long_arm * fraction)
        high = min(centre - _SETTINGS.inversion_arm * fraction, _SETTINGS.last_start - fraction)
        start = float(rng.uniform(low, max(low, high)))
        return start, min(start + fraction, _SETTINGS.last_stop)
    start = float(
        rng.uniform(
            centre + _SETTINGS.centromere_gap,
            max(_SETTINGS.last_stop - fraction, centre + _SETTINGS.centromere_room),
        )
    )
    return start, min(start + fraction, _SETTINGS.last)


@dataclass(frozen=True, slots=True)
class _Straight:
    """A chromosome made straight at its own resolution: density and mask, row by row."""

    density: NDArray[np.float32]
    mask: NDArray[np.bool_]

    @classmethod
    def of(cls, piece: ObjectPixels, axis: MedialAxis, width_px: float) -> _Straight:
        rows, half = max(round(axis.length_px), 8), _SETTINGS.half_width * width_px
        columns = 2 * round(half)
        density, _ = sample_straight(
            piece.density, piece.mask, axis, row_count=rows, columns=columns, half_width_px=half
        )
        solid = piece.mask.astype(np.float32)
        inside, _ = sample_straight(solid, piece.mask, axis, row_count=rows, columns=columns, half_width_px=half)
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
            keep = away <= 0.5 * columns * (_SETTINGS.tip_width + _SETTINGS.tip_growth * row)
            mask[row] &= keep
            mask[-1 - row] &= keep
        density = np.where(mask, self.density, 0.0).astype(np.float32)
        return ObjectPixels(np.pad(density, 3), np.pad(mask, 3))


def _normal(classes: Sequence[str]) -> bool:
    counts = [classes.count(name) for name in CLASS_NAMES]
    return counts[:22] == [2] * 22 and counts[22:] in ([2, 0], [1, 1]) and len(classes) == NORMAL_COUNT
