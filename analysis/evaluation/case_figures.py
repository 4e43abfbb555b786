"""Cases as a whole: the clones that the product finds among the cells of a case, against those of the labels.

Both sides go through the same rule, `analysis.case.clones.find_clones`: a gain in two cells, a loss in three. Of
the product's cells those count that it gives a complete ISCN string.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from analysis.case.clones import CaseClones, CellKaryotype, find_clones
from analysis.errors import IscnError
from analysis.evaluation.drawn_cells import MeasuredCell
from analysis.karyotyping.iscn import compose_iscn

LEAST_CELLS: Final = 2
"""Cells of a case: one alone has no clone."""


@dataclass(frozen=True, slots=True)
class ComparedCase:
    """One case with at least `LEAST_CELLS` labelled cells.

    Attributes
    ----------
    case
        Patient.
    cells, complete
        Labelled cells, and those of them that the product gives a complete ISCN string.
    labelled, proposed
        ISCN string of the case by the labels, and by the product; empty where none of its cells is complete.
    aneuploid
        Whether any cell is labelled with another set than 46,XX or 46,XY.
    clones_right
        Whether the abnormal clones are the same on both sides.
    changes_right
        Whether the same classes are extra or missing in any cell, clonal or not.
    false_clones
        Abnormal clones of the product that the labels don't have.
    """

    case: str
    cells: int
    complete: int
    labelled: str
    proposed: str
    aneuploid: bool
    clones_right: bool
    changes_right: bool
    false_clones: tuple[str, ...]


def compare_cases(measured: Iterable[MeasuredCell]) -> tuple[ComparedCase, ...]:
    """Compare the clones of every case that has enough labelled cells."""
    by_case: dict[str, list[MeasuredCell]] = {}
    for cell in measured:
        by_case.setdefault(cell.case, []).append(cell)
    return tuple(_compared(case, cells) for case, cells in by_case.items() if len(cells) >= LEAST_CELLS)


def _compared(case: str, cells: Sequence[MeasuredCell]) -> ComparedCase:
    labelled_cells = _karyotypes((cell.image, compose_iscn(cell.true_classes).text) for cell in cells)
    proposed_cells = _karyotypes((cell.image, cell.iscn) for cell in cells)
    labelled, proposed = find_clones(labelled_cells), find_clones(proposed_cells)
    true_clones, clones = _abnormal(labelled), _abnormal(proposed)
    return ComparedCase(
        case=case,
        cells=len(cells),
        complete=len(proposed_cells),
        labelled=labelled.text,
        proposed=proposed.text,
        aneuploid=any(cell.aneuploid for cell in cells),
        clones_right=bool(proposed_cells) and true_clones == clones,
        changes_right=bool(proposed_cells) and _changes(labelled_cells) == _changes(proposed_cells),
        false_clones=tuple(sorted(clones - true_clones)),
    )


def _karyotypes(named: Iterable[tuple[str, str | None]]) -> list[CellKaryotype]:
    """Karyotypes of the cells whose string is complete."""
    karyotypes = []
    for name, text in named:
        if text is None:
            continue
        try:
            karyotypes.append(CellKaryotype.from_iscn(name, text))
        except IscnError:
            # Incomplete ("inc"): a loss in it isn't certain.
            continue
    return karyotypes


def _abnormal(case_clones: CaseClones) -> set[str]:
    return {clone.text for clone in case_clones.clones if not clone.normal}


def _changes(karyotypes: Sequence[CellKaryotype]) -> set[str]:
    """Sex complements and items that occur, but the normal ones."""
    items = {item for karyotype in karyotypes for item in karyotype.items}
    return items | ({karyotype.sex for karyotype in karyotypes} - {"XX", "XY"})


def case_figures(cases: Sequence[ComparedCase]) -> dict[str, float]:
    """Sum cases up.

    Parameters
    ----------
    cases
        Of `compare_cases`.

    Returns
    -------
    dict
        ``aneuploid cases``, and how many of them have the right clones and the right changes; ``normal cases`` and
        how many of them have a false clone. All are numbers of cases.
    """
    aneuploid = [each for each in cases if each.aneuploid]
    normal = [each for each in cases if not each.aneuploid]
    return {
        "aneuploid cases": len(aneuploid),
        "aneuploid cases: clones right": sum(each.clones_right for each in aneuploid),
        "aneuploid cases: extra and missing classes right": sum(each.changes_right for each in aneuploid),
        "normal cases": len(normal),
        "normal cases: with a false clone": sum(bool(each.false_clones) for each in normal),
    }
