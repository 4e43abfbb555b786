"""Clones among the cells of a case, and the case's ISCN string.

ISCN's rule: the same gain or the same structural change in at least two cells, the same loss in at least three
(a single cell loses chromosomes when it is spread). Changes that miss it are nonclonal (single-cell findings):
they are reported, and the cell counts for the clone that is left without them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from analysis.case.case_iscn import CellLine, count_effect, items_key, parse_case
from analysis.errors import IscnError
from analysis.structures.classes import AUTOSOMES

CELLS_FOR_GAIN: Final = 2
CELLS_FOR_LOSS: Final = 3


class CaseOrigin(StrEnum):
    """Whether changes are read as constitutional or as acquired (neoplastic): how the string is written."""

    CONSTITUTIONAL = "constitutional"
    ACQUIRED = "acquired"


@dataclass(frozen=True, slots=True)
class CellKaryotype:
    """One completely analysed cell.

    Attributes
    ----------
    name
        Of the cell, for the record.
    sex
        Its normal sex chromosomes: "XX", "XY", "X", "XXY" ...
    items
        All else that deviates: "+21", "-7", "t(9;22)(q34;q11.2)" ...
    ploidy
        Haploid sets that the items are relative to.
    """

    name: str
    sex: str
    items: tuple[str, ...] = ()
    ploidy: int = 2

    @classmethod
    def from_iscn(cls, name: str, text: str) -> CellKaryotype:
        """Take a cell from its ISCN string.

        Parameters
        ----------
        name
            Of the cell, for the record.
        text
            The string.

        Raises
        ------
        IscnError
            The string is wrong, incomplete, or of several clones.
        """
        lines = parse_case(text).lines
        if len(lines) != 1 or lines[0].incomplete or lines[0].composite:
            raise IscnError(f"{text!r} isn't the complete karyotype of one cell")
        # "45,X,-Y" says the loss twice: by the complement, and by name.
        items = tuple(item for item in lines[0].items if item not in ("-X", "-Y"))
        gained = Counter(item[1:] for item in items if item in ("+X", "+Y"))
        sex = Counter(lines[0].sex) + gained
        rest = tuple(item for item in items if item not in ("+X", "+Y"))
        return cls(name, "X" * sex["X"] + "Y" * sex["Y"], rest, lines[0].ploidy)


@dataclass(frozen=True, slots=True)
class Clone:
    """Cells with the same changes.

    Attributes
    ----------
    text
        ISCN string without the number of cells.
    cells
        Names of its cells.
    normal
        True where nothing deviates.
    """

    text: str
    cells: tuple[str, ...]
    normal: bool


@dataclass(frozen=True, slots=True)
class NonclonalChange:
    """A change in too few cells to be clonal: its ISCN item, and the cells that have it."""

    item: str
    cells: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CaseClones:
    """The clones of a case.

    Attributes
    ----------
    text
        ISCN string of the case with numbers of cells, such as ``mos 47,XX,+21[12]/46,XX[8]``; empty without cells.
    clones
        Abnormal ones by their number of cells, the normal one last.
    nonclonal
        Changes in too few cells.
    """

    text: str
    clones: tuple[Clone, ...]
    nonclonal: tuple[NonclonalChange, ...]

    @property
    def mosaic(self) -> bool:
        """Whether there are at least two clones."""
        return len(self.clones) > 1


@dataclass(frozen=True, slots=True, order=True)
class _Change:
    """One deviation from the base: its item, and which of several alike it is (the second +8 is 2)."""

    item: str
    number: int = 1

    @property
    def lost(self) -> bool:
        return self.item.startswith("-")


_Changes = frozenset[_Change]


def find_clones(
    cell_karyotypes: Sequence[CellKaryotype], origin: CaseOrigin = CaseOrigin.CONSTITUTIONAL
) -> CaseClones:
    """Find the clones of a case.

    Parameters
    ----------
    cell_karyotypes
        Completely analysed cells; of an incomplete one losses aren't certain, so that it has no place here.
    origin
        Decides how sex chromosomes are written (``45,X`` or ``45,X,-Y``) and whether a mosaic is called one.

    Returns
    -------
    CaseClones
        Its string passes `parse_case`.
    """
    if not cell_karyotypes:
        return CaseClones("", (), ())
    base = base_sex(cell_karyotypes)
    changes = {number: _changes(cell, base) for number, cell in enumerate(cell_karyotypes)}
    counts = Counter(change for own in changes.values() for change in own)
    clonal = {change for change, count in counts.items() if count >= _needed([change])}
    groups: dict[_Changes, list[int]] = {}
    for number, own in changes.items():
        groups.setdefault(frozenset(own & clonal), []).append(number)
    groups = _supported(groups)
    kept = {number: own for own, members in groups.items() for number in members}
    nonclonal: dict[_Change, list[str]] = {}
    for number, own in changes.items():
        for change in sorted(own - kept[number], key=_order):
            nonclonal.setdefault(change, []).append(cell_karyotypes[number].name)
    ordered = sorted(
        groups.items(), key=lambda entry: (not entry[0], -len(entry[1]), _text(entry[0], base, origin))
    )
    clones = tuple(
        Clone(_text(own, base, origin), tuple(cell_karyotypes[number].name for number in members), not own)
        for own, members in ordered
    )
    text = "/".join(f"{clone.text}[{len(clone.cells)}]" for clone in clones)
    if origin is CaseOrigin.CONSTITUTIONAL and len(clones) > 1:
        text = f"mos {text}"
    elif origin is CaseOrigin.ACQUIRED and _heterogeneous(changes, kept, clonal):
        text = composite(cell_karyotypes)
    changes_of_few = tuple(NonclonalChange(change.item, tuple(names)) for change, names in nonclonal.items())
    return CaseClones(text, clones, changes_of_few)


def composite(cell_karyotypes: Sequence[CellKaryotype]) -> str:
    """Composite karyotype of cells that differ among themselves: range, clonal changes with their cells, ``cp``.

    For acquired changes where no two cells are alike; empty without cells.
    """
    if not cell_karyotypes:
        return ""
    base = base_sex(cell_karyotypes)
    changes = [_changes(cell, base) for cell in cell_karyotypes]
    counts = Counter(change for own in changes for change in own)
    clonal = sorted((change for change, count in counts.items() if count >= _needed([change])), key=_order)
    totals = [_total(own, base) for own in changes]
    span = f"{min(totals)}" if min(totals) == max(totals) else f"{min(totals)}~{max(totals)}"
    items = [f"{change.item}[{counts[change]}]" for change in clonal if change.item != _PLOIDY]
    return ",".join([span, base, *items]) + f"[cp{len(cell_karyotypes)}]"


def base_sex(cell_karyotypes: Iterable[CellKaryotype]) -> str:
    """Sex complement that the cells most likely began with: XY where more than one cell has a Y."""
    entries = list(cell_karyotypes)
    with_y = sum("Y" in cell.sex or any("(Y" in item for item in cell.items) for cell in entries)
    # One Y among many cells is a misread chromosome; one of one or two is all that there is.
    return "XY" if with_y >= 2 or 2 * with_y >= max(len(entries), 1) else "XX"


_PLOIDY = "ploidy"


def _changes(cell_karyotype: CellKaryotype, base: str) -> set[_Change]:
    items = list(cell_karyotype.items)
    rearranged = Counter(
        name
        for item in items
        if not item.startswith(("+", "-"))
        for name in _sex_on(item)
        if cell_karyotype.ploidy == 2
    )
    factor = cell_karyotype.ploidy // 2
    for name in ("X", "Y"):
        surplus = cell_karyotype.sex.count(name) + rearranged[name] - base.count(name) * factor
        items += [("+" if surplus > 0 else "-") + name] * abs(surplus)
    items += [_PLOIDY] * (cell_karyotype.ploidy - 2)
    numbered: Counter[str] = Counter()
    numbered_changes = set()
    for item in items:
        numbered[item] += 1
        numbered_changes.add(_Change(item, numbered[item]))
    return numbered_changes


def _sex_on(item: str) -> list[str]:
    inside = item[item.find("(") + 1 : item.find(")")] if "(" in item else ""
    return [name for name in inside.split(";") if name in ("X", "Y")]


def _needed(changes: Iterable[_Change]) -> int:
    return CELLS_FOR_LOSS if all(change.lost for change in changes) else CELLS_FOR_GAIN


def _supported(groups: dict[_Changes, list[int]]) -> dict[_Changes, list[int]]:
    """Merge groups of too few cells into the clone that has most changes in common with them."""
    groups = dict(groups)
    while True:
        weak = [own for own, members in groups.items() if own and len(members) < _least(own, groups)]
        if not weak:
            return groups
        own = max(weak, key=lambda group: (len(group), sorted(group)))
        members = groups.pop(own)
        within = [other for other in groups if other < own]
        # The part of a group that no other one has can become a clone of its own only with further cells.
        candidates = within or [frozenset()]
        clone = max(candidates, key=lambda group: (len(group), len(groups.get(group, ()))))
        groups.setdefault(clone, []).extend(members)


def _heterogeneous(changes: dict[int, set[_Change]], kept: dict[int, _Changes], clonal: set[_Change]) -> bool:
    """Whether most abnormal cells would lose a clonal change if written as clones: then they are none."""
    abnormal = [number for number, own in changes.items() if own & clonal]
    reduced = [number for number in abnormal if (changes[number] & clonal) - kept[number]]
    return 2 * len(reduced) > len(abnormal)


def _least(own: _Changes, groups: dict[_Changes, list[int]]) -> int:
    parents = [other for other in groups if other < own]
    parent = max(parents, key=len, default=frozenset())
    return _needed(own - parent)


def _order(change: _Change) -> tuple[tuple[int, int, str], int]:
    return items_key(change.item), change.number


def _total(changes: Iterable[_Change], base: str) -> int:
    return _line_of(changes, base).low


def _line_of(changes: Iterable[_Change], base: str, origin: CaseOrigin = CaseOrigin.CONSTITUTIONAL) -> CellLine:
    items = [change.item for change in sorted(changes, key=_order) if change.item != _PLOIDY]
    ploidy = 2 + sum(change.item == _PLOIDY for change in changes)
    sex = Counter({name: base.count(name) * (ploidy // 2) for name in "XY"})
    rearranged = Counter(name for item in items if not item.startswith(("+", "-")) for name in _sex_on(item))
    sex.subtract(rearranged)
    # Of a polyploid clone only the complement is written; which of its sex chromosomes came last nobody knows.
    by_name = origin is CaseOrigin.ACQUIRED and ploidy == 2
    written = []
    for item in items:
        if item in ("-X", "-Y") or (item in ("+X", "+Y") and not by_name):
            sex[item[1]] += 1 if item[0] == "+" else -1
        if item[1:] not in ("X", "Y") or by_name:
            written.append(item)
    complement = "X" * max(sex["X"], 0) + "Y" * max(sex["Y"], 0)
    total = len(AUTOSOMES) * ploidy + len(complement) + sum(count_effect(item) for item in written)
    return CellLine(total, total, ploidy, complement, tuple(written))


def _text(changes: Iterable[_Change], base: str, origin: CaseOrigin) -> str:
    line = _line_of(changes, base, origin)
    natural = 2 if line.low <= 57 else 3 if line.low <= 80 else 4
    level = f"<{line.ploidy}n>" if line.ploidy != natural or (line.ploidy > 2 and line.items) else ""
    return ",".join([f"{line.low}{level}", line.sex, *line.items])
