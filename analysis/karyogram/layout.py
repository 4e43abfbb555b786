"""Where everything of a karyogram stands: groups A to G, short arms up, centromeres of a row on one line.

Nothing is drawn here: a `KaryogramSheet` is plain geometry, which `paint` makes a picture of and others a page.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray

from analysis.banding.ideogram import Ideogram, ideogram
from analysis.structures.classes import CLASS_NAMES, MARKER, UNCLASSIFIED

ROWS: Final[tuple[tuple[tuple[str, ...], ...], ...]] = (
    (("1", "2", "3"), ("4", "5")),
    (("6", "7", "8", "9", "10", "11", "12"),),
    (("13", "14", "15"), ("16", "17", "18")),
    (("19", "20"), ("21", "22"), ("X", "Y")),
)
"""Rows from the top, each of groups: A B, C, D E, F G and the sex chromosomes, which stand apart, last. Markers
have their place below the Y."""
GROUP_OF_FIRST: Final = MappingProxyType(
    {"1": "A", "4": "B", "6": "C", "13": "D", "16": "E", "19": "F", "21": "G"}
)

SHEET_WIDTH_PX: Final = 1200
MARGIN_PX: Final = 28
LONGEST_PX: Final = 225
"""Height of the longest chromosome."""
MAX_ENLARGEMENT: Final = 5.0
PAIR_GAP_PX: Final = 10
SLOT_GAP_PX: Final = 20
GROUP_GAP_PX: Final = 40
ROW_GAP_PX: Final = 16
EMPTY_ROW_PX: Final = 60
LABEL_PX: Final = 42
IDEOGRAM_WIDTH_PX: Final = 13
NOTE_SIZE_PX: Final = 12
LEAST_TRAY_PX: Final = 500
"""Where markers leave less, what has no class stands below them and not beside."""
_LINE_SPACING: Final = 1.3
_LETTER_WIDTH: Final = 0.56
"""Mean width of a letter over its size, on the wide side, for breaking lines."""


class ReviewMark(StrEnum):
    """What a chromosome asks of a person; `NONE` where its class is sure."""

    NONE = ""
    CHECK = "check"
    REVIEW = "must review"


class Ink(StrEnum):
    """What a thing is drawn for; painters choose the colours."""

    BLACK = "black"
    PALE = "pale"
    DOUBT = "doubt"
    ALARM = "alarm"


@dataclass(frozen=True, slots=True)
class KaryogramItem:
    """One chromosome of a karyogram.

    Attributes
    ----------
    picture
        uint8, shape (h, w): upright, white outside.
    class_name
        "1".."22", "X", "Y", "mar" or "?".
    mark
        Whether a person should look.
    centromere_px
        Row of the centromere in the picture; None where it isn't known.
    derivative
        True where it is the odd one of a pair: it stands right of its normal homologue.
    length_px
        Length along the bent chromosome in px of the picture; 0 where only its height is known.
    enlargement
        Px of the picture a px of the metaphase.
    """

    picture: NDArray[np.uint8]
    class_name: str
    mark: ReviewMark = ReviewMark.NONE
    centromere_px: float | None = None
    derivative: bool = False
    length_px: float = 0.0
    enlargement: float = 1.0


@dataclass(frozen=True, slots=True)
class Captions:
    """Words round a karyogram.

    Attributes
    ----------
    title
        Such as the ISCN string.
    name
        Of the cell.
    level
        What the proposal asks of a person.
    remark
        Why.
    figures
        Counts and confidence.
    footer
        What the sheet is and isn't.
    """

    title: str = ""
    name: str = ""
    level: str = ""
    remark: str = ""
    figures: str = ""
    footer: str = ""


@dataclass(frozen=True, slots=True)
class Box:
    """Rectangle in px of the sheet, from its upper left corner."""

    x: float
    y: float
    width: float
    height: float

    @property
    def right(self) -> float:
        """Right border."""
        return self.x + self.width

    @property
    def bottom(self) -> float:
        """Lower border."""
        return self.y + self.height

    def moved(self, x: float, y: float) -> Box:
        """The same rectangle elsewhere."""
        return replace(self, x=self.x + x, y=self.y + y)


@dataclass(frozen=True, slots=True)
class ChromosomeTile:
    """A chromosome at its place; ``number`` is its index among the items, ``centromere_y`` px of the sheet."""

    number: int
    item: KaryogramItem
    box: Box
    centromere_y: float | None


@dataclass(frozen=True, slots=True)
class DrawnIdeogram:
    """An ideogram at its place."""

    class_name: str
    bands: Ideogram
    box: Box

    @property
    def centromere_y(self) -> float:
        """Px of the sheet."""
        return self.box.y + self.bands.centromere * self.box.height


@dataclass(frozen=True, slots=True)
class Word:
    """Text; ``y`` is its base line, ``anchor`` the part of its width left of ``x`` (0, 0.5 or 1)."""

    text: str
    x: float
    y: float
    size_px: float
    ink: Ink = Ink.BLACK
    anchor: float = 0.0


@dataclass(frozen=True, slots=True)
class SheetLine:
    """A straight line."""

    x0: float
    y0: float
    x1: float
    y1: float
    ink: Ink = Ink.BLACK


@dataclass(frozen=True, slots=True)
class MarkSign:
    """A mark under a chromosome, by its middle."""

    mark: ReviewMark
    x: float
    y: float


@dataclass(frozen=True, slots=True)
class KaryogramSheet:
    """A karyogram's geometry, in px; painters draw each kind in the order it stands here."""

    width: float
    height: float
    tiles: tuple[ChromosomeTile, ...] = ()
    ideograms: tuple[DrawnIdeogram, ...] = ()
    rules: tuple[SheetLine, ...] = ()
    marks: tuple[MarkSign, ...] = ()
    words: tuple[Word, ...] = ()


@dataclass(slots=True)
class _Draft:
    """Things drawn so far, relative to a corner of their own."""

    tiles: list[ChromosomeTile] = field(default_factory=list)
    ideograms: list[DrawnIdeogram] = field(default_factory=list)
    rules: list[SheetLine] = field(default_factory=list)
    marks: list[MarkSign] = field(default_factory=list)
    words: list[Word] = field(default_factory=list)

    def take(self, other: _Draft, x: float, y: float) -> None:
        """Take another's things over, moved."""
        for tile in other.tiles:
            line = None if tile.centromere_y is None else tile.centromere_y + y
            self.tiles.append(ChromosomeTile(tile.number, tile.item, tile.box.moved(x, y), line))
        self.ideograms += [replace(drawn, box=drawn.box.moved(x, y)) for drawn in other.ideograms]
        self.rules += [replace(r, x0=r.x0 + x, x1=r.x1 + x, y0=r.y0 + y, y1=r.y1 + y) for r in other.rules]
        self.marks += [replace(sign, x=sign.x + x, y=sign.y + y) for sign in other.marks]
        self.words += [replace(word, x=word.x + x, y=word.y + y) for word in other.words]


def lay_out(
    items: Sequence[KaryogramItem],
    captions: Captions | None = None,
    *,
    ideograms: int | None = None,
    notes: Mapping[str, str] | None = None,
) -> KaryogramSheet:
    """Place the chromosomes of one cell.

    The longest chromosome fills its row; all others are to the same scale. In a row whose centromeres are all
    known they lie on one line. A row with many chromosomes widens the sheet; nothing is left out.

    Parameters
    ----------
    items
        Chromosomes in any order: of one class, the longer stands left, a derivative right.
    captions
        Words above and below.
    ideograms
        Bands (400, 550, 850) of the ideograms left of the pairs; None for none.
    notes
        Class to a short note, written under its label.

    Raises
    ------
    ValueError
        There is no such class, or no ideogram of so many bands.
    """
    known = {*CLASS_NAMES, MARKER, UNCLASSIFIED}
    strange = sorted({item.class_name for item in items} - known)
    if strange:
        raise ValueError(f"there is no place for class {strange[0]!r}")
    cell = _Cell(items, ideograms, notes or {})
    rows = [_Row(cell, groups) for groups in ROWS]
    markers = _Row(cell, ((MARKER,),)) if cell.members(MARKER) or cell.members(UNCLASSIFIED) else None
    all_rows = rows if markers is None else [*rows, markers]
    width = max([float(SHEET_WIDTH_PX), *(row.least_width + 2 * MARGIN_PX for row in all_rows)])
    sheet = _Draft()
    y = _header(sheet, captions or Captions(), width)
    for row in rows:
        drawn, height = row.draw(width - 2 * MARGIN_PX)
        sheet.take(drawn, MARGIN_PX, y)
        y += height + ROW_GAP_PX
    if markers is not None:
        y = _below_y(sheet, cell, markers, width, y)
    y = _footer(sheet, captions or Captions(), width, y, marks={item.mark for item in items})
    sheet.words = [word for word in sheet.words if word.text]
    return KaryogramSheet(
        width,
        y,
        tuple(sheet.tiles),
        tuple(sheet.ideograms),
        tuple(sheet.rules),
        tuple(sheet.marks),
        tuple(sheet.words),
    )


@dataclass(frozen=True, slots=True)
class _Member:
    """A chromosome at the scale of the sheet."""

    number: int
    item: KaryogramItem
    width: float
    height: float
    centromere: float | None
    length: float


class _Cell:
    """The cell's chromosomes by class, at the scale of the sheet."""

    def __init__(self, items: Sequence[KaryogramItem], ideograms: int | None, notes: Mapping[str, str]) -> None:
        # One odd object (two chromosomes in one) must not make all others small.
        sound = [item for item in items if item.class_name != UNCLASSIFIED] or list(items)
        heights = sorted(item.picture.shape[0] / item.enlargement for item in sound) or [1.0]
        tall = heights[max(0, round(0.97 * (len(heights) - 1)))]
        self.scale = min(LONGEST_PX / max(tall, 1.0), MAX_ENLARGEMENT)
        self.ideograms = ideograms
        self.notes = notes
        self.slot_px = (SHEET_WIDTH_PX - 2 * MARGIN_PX - 6 * SLOT_GAP_PX) / 7.0
        self._members: dict[str, list[_Member]] = {}
        for number, item in enumerate(items):
            self._members.setdefault(item.class_name, []).append(self._scaled(number, item))
        for members in self._members.values():
            members.sort(key=lambda member: (member.item.derivative, -member.length, member.number))

    def _scaled(self, number: int, item: KaryogramItem) -> _Member:
        height, width = item.picture.shape
        scale = min(self.scale / item.enlargement, 1.5 * LONGEST_PX / max(height, width))
        line = None if item.centromere_px is None else min(max(item.centromere_px, 0.0), float(height)) * scale
        return _Member(
            number, item, width * scale, height * scale, line, max(item.length_px, float(height)) * scale
        )

    def members(self, name: str) -> list[_Member]:
        """Chromosomes of a class, from the left."""
        return self._members.get(name, [])

    def ideogram_of(self, name: str) -> tuple[Ideogram, float] | None:
        """Bands and height of the ideogram beside a pair; None for markers, without a pair, where not wanted."""
        members = self.members(name)
        if self.ideograms is None or not members or name == MARKER:
            return None
        return ideogram(name, self.ideograms), float(np.mean([member.length for member in members]))


class _Row:
    """One row: a centromere line, labels, and groups spread from margin to margin."""

    def __init__(self, cell: _Cell, groups: tuple[tuple[str, ...], ...]) -> None:
        self._cell = cell
        self._groups = groups
        self._above, self._below, self._aligned = self._reach()
        self._widths = {name: self._slot_width(name) for group in groups for name in group}
        blocks = [sum(self._widths[name] for name in group) + SLOT_GAP_PX * (len(group) - 1) for group in groups]
        self._blocks = blocks
        self.least_width = sum(blocks) + GROUP_GAP_PX * (len(blocks) - 1)

    def _reach(self) -> tuple[float, float, bool]:
        """Px needed above and below the line of the centromeres (above alone where one isn't known)."""
        names = [name for group in self._groups for name in group]
        members = [member for name in names for member in self._cell.members(name)]
        places = [member.centromere for member in members if member.centromere is not None]
        if not members or len(places) < len(members):
            heights = [member.height for member in members]
            heights += [drawn[1] for name in names if (drawn := self._cell.ideogram_of(name)) is not None]
            return max([float(EMPTY_ROW_PX), *heights]), 0.0, False
        above = list(places)
        below = [member.height - place for member, place in zip(members, places, strict=True)]
        for name in names:
            drawn = self._cell.ideogram_of(name)
            if drawn is not None:
                above.append(drawn[0].centromere * drawn[1])
                below.append((1.0 - drawn[0].centromere) * drawn[1])
        return max(above), max(below), True

    def _used_width(self, name: str) -> float:
        members = self._cell.members(name)
        used = sum(member.width for member in members) + PAIR_GAP_PX * max(len(members) - 1, 0)
        return used + (IDEOGRAM_WIDTH_PX + PAIR_GAP_PX if self._cell.ideogram_of(name) is not None else 0)

    def _slot_width(self, name: str) -> float:
        return max(self._cell.slot_px, self._used_width(name) + 12.0)

    def draw(self, width: float) -> tuple[_Draft, float]:
        """The row from its own upper left corner, and its height."""
        draft = _Draft()
        free = max(0.0, width - sum(self._blocks))
        x, below = 0.0, 0.0
        for group, block in zip(self._groups, self._blocks, strict=True):
            at = x
            for name in group:
                below = max(below, self._slot(draft, name, at))
                at += self._widths[name] + SLOT_GAP_PX
            letter = GROUP_OF_FIRST.get(group[0])
            if letter:
                draft.words.append(Word(letter, x + 2, self._line + LABEL_PX - 9, 14, Ink.PALE))
            x += block + free / max(len(self._groups) - 1, 1)
        return draft, self._line + LABEL_PX + below

    @property
    def _line(self) -> float:
        return self._above + self._below + 6.0

    def _slot(self, draft: _Draft, name: str, x: float) -> float:
        """One class at its place; returns the px its note takes."""
        width, line = self._widths[name], self._line
        self._pair(draft, name, x + (width - self._used_width(name)) / 2.0)
        draft.rules.append(SheetLine(x, line, x + width, line))
        draft.rules += [SheetLine(end, line - 4, end, line) for end in (x, x + width)]
        draft.words.append(Word(name, x + width / 2.0, line + LABEL_PX - 9, 21, anchor=0.5))
        lines = _broken(self._cell.notes.get(name, ""), width, NOTE_SIZE_PX)
        step = NOTE_SIZE_PX * _LINE_SPACING
        for number, text in enumerate(lines):
            y = line + LABEL_PX + 3 + number * step + NOTE_SIZE_PX * 0.6
            draft.words.append(Word(text, x + width / 2.0, y, NOTE_SIZE_PX, Ink.DOUBT, 0.5))
        return len(lines) * step + (4.0 if lines else 0.0)

    def _pair(self, draft: _Draft, name: str, x: float) -> None:
        beside = self._cell.ideogram_of(name)
        if beside is not None:
            bands, length = beside
            top = self._above - bands.centromere * length if self._aligned else self._above - length
            draft.ideograms.append(DrawnIdeogram(name, bands, Box(x, top, IDEOGRAM_WIDTH_PX, length)))
            x += IDEOGRAM_WIDTH_PX + PAIR_GAP_PX
        for member in self._cell.members(name):
            top = self._above - member.height
            if self._aligned and member.centromere is not None:
                top = self._above - member.centromere
            _set(draft, member, x, top, self._line + 10.0)
            x += member.width + PAIR_GAP_PX


def _set(draft: _Draft, member: _Member, x: float, top: float, mark_y: float) -> None:
    line = None if member.centromere is None else top + member.centromere
    draft.tiles.append(ChromosomeTile(member.number, member.item, Box(x, top, member.width, member.height), line))
    if member.item.mark is not ReviewMark.NONE:
        draft.marks.append(MarkSign(member.item.mark, x + member.width / 2.0, mark_y))


def _header(sheet: _Draft, captions: Captions, width: float) -> float:
    """Title and name; returns where the rows begin."""
    if not (captions.title or captions.name):
        return float(MARGIN_PX)
    lines = _broken(captions.title, width - 2 * MARGIN_PX - 330, 26)
    for number, text in enumerate(lines):
        sheet.words.append(Word(text, MARGIN_PX, 42 + 32 * number, 26))
    sheet.words.append(Word(captions.name, width - MARGIN_PX, 34, 15, Ink.PALE, 1.0))
    ink = (
        Ink.ALARM
        if captions.level == ReviewMark.REVIEW
        else Ink.DOUBT
        if captions.level == ReviewMark.CHECK
        else Ink.PALE
    )
    sheet.words.append(Word(captions.level, width - MARGIN_PX, 54, 15, ink, 1.0))
    return 76.0 + 32 * max(len(lines) - 1, 0)


def _below_y(sheet: _Draft, cell: _Cell, markers: _Row, width: float, y: float) -> float:
    """Markers at the right, and beside them what has no class; returns where the next thing begins.

    The place is there without a marker too where something has no class: it may be one.
    """
    x = width - MARGIN_PX - markers.least_width
    drawn, height = markers.draw(markers.least_width)
    sheet.take(drawn, x, y)
    below = y + height + ROW_GAP_PX
    beside = x - GROUP_GAP_PX
    if beside - MARGIN_PX < LEAST_TRAY_PX:
        return _tray(sheet, cell, width - MARGIN_PX, below)
    return max(below, _tray(sheet, cell, beside, y))


def _tray(sheet: _Draft, cell: _Cell, right: float, y: float) -> float:
    """Objects without a class, in as many lines as they need; returns where the next thing begins."""
    members = cell.members(UNCLASSIFIED)
    if not members:
        return y
    left = MARGIN_PX + 110.0
    sheet.rules.append(SheetLine(MARGIN_PX, y, right, y, Ink.PALE))
    sheet.words.append(Word("without a class", MARGIN_PX, y + 22, 14, Ink.PALE))
    lines: list[list[_Member]] = [[]]
    x = left
    for member in members:
        if x + member.width > right and lines[-1]:
            lines.append([])
            x = left
        lines[-1].append(member)
        x += member.width + 2 * PAIR_GAP_PX
    y += 14
    for line in lines:
        tallest = max(member.height for member in line)
        x = left
        for member in line:
            _set(sheet, member, x, y + tallest - member.height, y + tallest + 8)
            x += member.width + 2 * PAIR_GAP_PX
        y += tallest + 18
    return y


def _footer(sheet: _Draft, captions: Captions, width: float, y: float, *, marks: set[ReviewMark]) -> float:
    """Verdict, figures, signs and what the sheet is; returns its lower end."""
    sheet.rules.append(SheetLine(MARGIN_PX, y, width - MARGIN_PX, y, Ink.PALE))
    y += 22
    for text in _broken(captions.remark, width - 2 * MARGIN_PX, 15):
        sheet.words.append(Word(text, MARGIN_PX, y, 15))
        y += 20
    x = float(MARGIN_PX)
    for mark in (ReviewMark.CHECK, ReviewMark.REVIEW):
        if mark in marks:
            sheet.marks.append(MarkSign(mark, x + 5, y - 4))
            sheet.words.append(Word(mark.value, x + 16, y, 14, Ink.PALE))
            x += 16 + len(mark.value) * 14 * _LETTER_WIDTH + 18
    sheet.words.append(Word(captions.figures, x, y, 14, Ink.PALE))
    sheet.words.append(Word(captions.footer, width - MARGIN_PX, y, 14, Ink.PALE, 1.0))
    return y + 16.0


def _broken(text: str, width: float, size_px: float) -> list[str]:
    if not text:
        return []
    return textwrap.wrap(text, max(8, int(width / (size_px * _LETTER_WIDTH))), break_long_words=True)
