"""Which layout a sheet has, and the class of each of its places: print and order must agree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from analysis.karyogram_import.printed_labels import PrintedLabel
from analysis.karyogram_import.settings import LABEL, SHEET
from analysis.karyogram_import.sheet_layout import SheetLayout


class ClassDefect(StrEnum):
    """Why a picture on a sheet has no class."""

    LABEL_DISAGREES = "the printed label isn't what the layout has there"
    NO_LAYOUT = "no layout fits the labels of the sheet"
    BETWEEN_PLACES = "it stands between two places"
    OUTSIDE_PLACES = "it stands above no label"


@dataclass(frozen=True, slots=True)
class LabelledPlace:
    """A label with the class it stands for.

    Attributes
    ----------
    label
        As printed.
    row
        Counted from 0.
    class_name
        "1".."22", "X", "Y" or "mar"; None where print and layout disagree.
    """

    label: PrintedLabel
    row: int
    class_name: str | None


@dataclass(frozen=True, slots=True)
class FittedLayout:
    """The layout of a sheet.

    Attributes
    ----------
    layout
        None where none fits.
    places
        Row by row from the top, from left to right.
    agreeing
        Labels that read exactly what the layout has there.
    """

    layout: SheetLayout | None
    places: tuple[LabelledPlace, ...]
    agreeing: int

    @property
    def agreement(self) -> float:
        """Fraction of the labels that read exactly what the layout has there."""
        return self.agreeing / len(self.places) if self.places else 0.0


def label_rows(labels: Sequence[PrintedLabel]) -> list[list[PrintedLabel]]:
    """Sort labels into rows from the top, each from left to right."""
    rows: list[list[PrintedLabel]] = []
    for label in sorted(labels, key=lambda each: each.box_px[3]):
        if rows and label.box_px[3] - rows[-1][-1].box_px[3] < SHEET.row_step * label.height_px:
            rows[-1].append(label)
        else:
            rows.append([label])
    return [sorted(row, key=lambda each: each.box_px[0]) for row in rows]


def fit_layout(labels: Sequence[PrintedLabel], layouts: Sequence[SheetLayout]) -> FittedLayout:
    """Choose the layout that most labels agree with.

    Parameters
    ----------
    labels
        Of the sheet.
    layouts
        To choose from.

    Returns
    -------
    FittedLayout
        A place has a class only where its print and the layout say the same. Rows of numbers in other text are no
        places.
    """
    rows = label_rows(labels)
    best = FittedLayout(
        None, tuple(LabelledPlace(label, number, None) for number, row in enumerate(rows) for label in row), 0
    )
    for layout in layouts:
        fitted = _fitted(rows, layout)
        if fitted is not None and fitted.agreeing > best.agreeing:
            best = fitted
    return (
        best if best.agreement >= LABEL.min_fit else FittedLayout(None, _without_class(best.places), best.agreeing)
    )


def _without_class(places: Sequence[LabelledPlace]) -> tuple[LabelledPlace, ...]:
    return tuple(LabelledPlace(place.label, place.row, None) for place in places)


def _fitted(rows: Sequence[Sequence[PrintedLabel]], layout: SheetLayout) -> FittedLayout | None:
    aligned = _aligned_rows(rows, layout)
    if aligned is None:
        return None
    places = []
    agreeing = 0
    for number, (row, names) in enumerate(aligned):
        for label, name in zip(row, names, strict=True):
            agreeing += label.reading == name
            agrees = label.scores[name] >= label.score - LABEL.max_deficit
            places.append(LabelledPlace(label, number, name if agrees else None))
    return FittedLayout(layout, tuple(places), agreeing)


def _aligned_rows(
    rows: Sequence[Sequence[PrintedLabel]], layout: SheetLayout
) -> list[tuple[Sequence[PrintedLabel], list[str]]] | None:
    """Give every row of the layout a row of labels, in order; what is left over are numbers in other text."""
    count, wanted = len(rows), len(layout.rows)
    if count < wanted:
        return None
    best: list[list[tuple[float, list[int]]]] = [[(0.0, [])] * (count + 1)]
    for index, names in enumerate(layout.rows):
        line: list[tuple[float, list[int]]] = [(-np.inf, [])]
        for used in range(1, count + 1):
            row = rows[used - 1]
            before = best[index][used - 1]
            aligned = _aligned(row, names)
            total = -np.inf
            if aligned is not None:
                total = before[0] + sum(label.scores[name] for label, name in zip(row, aligned, strict=True))
            line.append(max(line[used - 1], (total, [*before[1], used - 1]), key=lambda each: each[0]))
        best.append(line)
    total, chosen = best[wanted][count]
    if total == -np.inf:
        return None
    return [(rows[row], _aligned(rows[row], names) or []) for row, names in zip(chosen, layout.rows, strict=True)]


def _aligned(row: Sequence[PrintedLabel], names: Sequence[str]) -> list[str] | None:
    """Names of a row for its labels, in order, some names left out, with the highest sum of scores."""
    count, width = len(row), len(names)
    if count > width:
        return None
    total = np.full((count + 1, width + 1), -np.inf)
    total[0, :] = 0.0
    for label in range(1, count + 1):
        for name in range(label, width + 1):
            taken = total[label - 1, name - 1] + row[label - 1].scores[names[name - 1]]
            total[label, name] = max(total[label, name - 1], taken)
    aligned: list[str] = []
    name = width
    for label in range(count, 0, -1):
        while total[label, name] == total[label, name - 1]:
            name -= 1
        aligned.append(names[name - 1])
        name -= 1
    return aligned[::-1]
