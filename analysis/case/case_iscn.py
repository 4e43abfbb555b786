"""Read ISCN strings of cells and cases, and check their parts against their counts.

The general grammars there are accept ``46,XY,+21`` and ``47,XX``; a laboratory's report must not. Every item is
understood as what it adds to, or takes from, the number of chromosomes, and what isn't understood is refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from analysis.errors import IscnError
from analysis.structures.classes import AUTOSOMES, SEX_CHROMOSOMES

_CHROMOSOME = r"(?:1\d|2[0-2]|[1-9]|X|Y)"
_BREAK = r"\??[pq](?:\d+(?:\.\d+)?|ter)?"
_CHROMOSOMES = rf"\({_CHROMOSOME}(?:;{_CHROMOSOME})*\)"
_BREAKS = rf"\({_BREAK}(?:{_BREAK})*(?:;{_BREAK}(?:{_BREAK})*)*\)"
_SYMBOLS = "add|del|dic|dup|fis|hsr|idic|inv|ins|i|psu dic|qdp|rcp|rob|r|tas|trc|trp|t"
_EVENT = rf"(?:{_SYMBOLS}){_CHROMOSOMES}(?:{_BREAKS})?"
_ORIGIN = r"(?:mat|pat|dn|dmat|dpat|inh|c)?"
_TIMES = r"(?:[x×](?P<times>\d))?"

_NUMERICAL = re.compile(rf"(?P<sign>[+-])(?P<name>{_CHROMOSOME})(?:c)?{_TIMES}")
_MARKER = re.compile(r"\+(?P<count>\d*)(?:mar\d*|r\d*)(?:x(?P<times>\d))?")
_MINUTES = re.compile(r"(?:\d+(?:~\d+)?)?dmin|hsr")
_STRUCTURAL = re.compile(
    rf"(?P<sign>[+-]?)\??(?P<symbol>der|{_SYMBOLS})(?P<on>{_CHROMOSOMES})(?P<breaks>{_BREAKS})?"
    rf"(?:{_EVENT})*{_ORIGIN}{_TIMES}"
)
_LINE = re.compile(
    r"(?P<low>\d+)(?:[~-](?P<high>\d+))?(?:<(?P<ploidy>[1-9])n>)?,(?P<rest>.+?)"
    r"(?:\[(?P<composite>cp)?(?P<cells>\d+)\])?"
)
_COUNTED_ITEM = re.compile(r"(?P<item>.+?)\[(?P<cells>\d+)\]")
_STEM = re.compile(r"idem|sl|sdl\d*")


@dataclass(frozen=True, slots=True)
class CellLine:
    """One clone as an ISCN string has it.

    Attributes
    ----------
    low, high
        Chromosomes; a range where the string has one.
    ploidy
        Haploid sets that changes are relative to.
    sex
        Sex chromosomes that are normal, such as "XY".
    items
        Changes, in the order of the string; those of a stem line are written out.
    cells
        Number in brackets; None without.
    composite
        True for a composite karyotype (``cp``), whose cells differ among themselves.
    item_cells
        Of a composite karyotype: cells with each item, 0 where it isn't said.
    incomplete
        True where the string ends in ``inc``.
    """

    low: int
    high: int
    ploidy: int
    sex: str
    items: tuple[str, ...]
    cells: int | None = None
    composite: bool = False
    item_cells: tuple[int, ...] = ()
    incomplete: bool = False


@dataclass(frozen=True, slots=True)
class CaseIscn:
    """All clones of a case, and whether it is called a mosaic."""

    lines: tuple[CellLine, ...]
    mosaic: bool = False


def parse_case(text: str) -> CaseIscn:
    """Read the ISCN string of a cell or a case.

    Understood are whole-chromosome changes, markers, ring, and the structural changes of ISCN by their symbols and
    breakpoints; ``idem`` and ``sl``; ranges, ploidy levels, composite karyotypes and numbers of cells.

    Raises
    ------
    IscnError
        Something isn't understood, or the parts don't add up to the count.
    """
    mosaic = text.startswith("mos ")
    body = text.removeprefix("mos ")
    lines: list[CellLine] = []
    for part in _split(body, "/"):
        lines.append(_line(part, lines, text))
    if mosaic and len(lines) < 2:
        raise IscnError(f"{text!r}: a mosaic has at least two clones")
    if len(lines) > 1 and any(line.cells is None for line in lines) != all(line.cells is None for line in lines):
        raise IscnError(f"{text!r}: some clones have a number of cells and some don't")
    return CaseIscn(tuple(lines), mosaic)


def count_effect(item: str) -> int:
    """Chromosomes that an item adds to autosomes and the sex chromosomes that are written out.

    Raises
    ------
    IscnError
        The item isn't understood.
    """
    numerical = _NUMERICAL.fullmatch(item)
    if numerical:
        times = int(numerical["times"] or 1)
        if numerical["sign"] == "-":
            # The sex complement already lacks what was lost.
            return 0 if numerical["name"] in SEX_CHROMOSOMES else -times
        return times
    marker = _MARKER.fullmatch(item)
    if marker:
        return int(marker["count"] or 1) * int(marker["times"] or 1)
    if _MINUTES.fullmatch(item):
        return 0
    structural = _STRUCTURAL.fullmatch(item)
    if structural is None:
        raise IscnError(f"{item!r} is not understood")
    on = structural["on"][1:-1].split(";")
    if structural["sign"]:
        return (1 if structural["sign"] == "+" else -1) * int(structural["times"] or 1)
    merged = structural["symbol"] in ("rob", "dic", "psu dic", "der", "trc") and len(on) > 1
    # A rearranged sex chromosome isn't among those that are written out.
    return on.count("X") + on.count("Y") - (len(on) - 1 if merged else 0)


def items_key(item: str) -> tuple[int, int, str]:
    """Sorting key of items: sex chromosomes, then 1 to 22, gains and losses first, markers last."""
    match = re.search(_CHROMOSOME, item.replace("mar", ""))
    if "mar" in item or "dmin" in item or match is None:
        return (99, 0, item)
    place = (*SEX_CHROMOSOMES, *AUTOSOMES).index(match.group())
    return (place, 0 if _NUMERICAL.fullmatch(item) else 1, item)


def _line(part: str, before: list[CellLine], text: str) -> CellLine:
    form = _LINE.fullmatch(part.strip())
    if form is None:
        raise IscnError(f"{text!r}: {part!r} isn't a karyotype: count, sex chromosomes, changes")
    low, high = int(form["low"]), int(form["high"] or form["low"])
    first, *rest = _split(form["rest"], ",")
    incomplete = bool(rest) and rest[-1] == "inc"
    rest = rest[:-1] if incomplete else rest
    items, item_cells = _counted(rest)
    sex, ploidy = first, int(form["ploidy"] or 0)
    if _STEM.fullmatch(first):
        if not before:
            raise IscnError(f"{text!r}: {first!r} needs a clone before it")
        stem = before[-1] if first.startswith("sdl") else before[0]
        sex, items, ploidy = stem.sex, stem.items + items, ploidy or stem.ploidy
        item_cells = (0,) * len(stem.items) + item_cells
    elif not re.fullmatch(r"X+Y*|Y+", first):
        raise IscnError(f"{text!r}: {first!r} aren't sex chromosomes")
    ploidy = ploidy or (2 if low <= 57 else 3 if low <= 80 else 4)
    cells = int(form["cells"]) if form["cells"] else None
    line = CellLine(low, high, ploidy, sex, items, cells, bool(form["composite"]), item_cells, incomplete)
    _check(line, text)
    return line


def _counted(rest: list[str]) -> tuple[tuple[str, ...], tuple[int, ...]]:
    items, cells = [], []
    for entry in rest:
        counted = _COUNTED_ITEM.fullmatch(entry)
        items.append(counted["item"] if counted else entry)
        cells.append(int(counted["cells"]) if counted else 0)
    return tuple(items), tuple(cells)


def _check(line: CellLine, text: str) -> None:
    try:
        named = len(AUTOSOMES) * line.ploidy + len(line.sex) + sum(count_effect(item) for item in line.items)
    except IscnError as error:
        raise IscnError(f"{text!r}: {error}") from error
    losses = [item[1:] for item in line.items if item.startswith("-")]
    for name in set(losses) & set(AUTOSOMES):
        if losses.count(name) > line.ploidy + line.items.count(f"+{name}"):
            raise IscnError(f"{text!r}: chromosome {name} is lost more often than it is there")
    if line.cells == 0:
        raise IscnError(f"{text!r}: a clone of no cells")
    if line.composite:
        if any(count > (line.cells or 0) for count in line.item_cells):
            raise IscnError(f"{text!r}: a change in more cells than there are")
        return
    if line.low != line.high:
        if not line.low <= named <= line.high:
            raise IscnError(f"{text!r}: the parts make {named}, which isn't within {line.low} to {line.high}")
        return
    # Of an incomplete karyotype losses aren't listed.
    if named != line.low and not (line.incomplete and named > line.low):
        raise IscnError(f"{text!r}: the parts make {named}, not {line.low}")


def _split(text: str, at: str) -> list[str]:
    """Split where no bracket is open."""
    parts, depth, start = [], 0, 0
    for position, letter in enumerate(text):
        depth += (letter in "([") - (letter in ")]")
        if letter == at and depth == 0:
            parts.append(text[start:position])
            start = position + 1
    parts.append(text[start:])
    if depth != 0 or not all(part.strip() for part in parts):
        raise IscnError(f"{text!r}: brackets or parts are missing")
    return parts
