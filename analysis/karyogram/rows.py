"""The rows of a karyogram: short arms up, the centromeres of a row on one line, homologues beside each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import numpy as np

from analysis.banding.ideogram import Ideogram, ideogram
from analysis.karyogram.captions import broken_lines
from analysis.karyogram.sheet_geometry import (
    Box,
    ChromosomeTile,
    DrawnIdeogram,
    Ink,
    KaryogramItem,
    MarkSign,
    ReviewMark,
    SheetDraft,
    SheetLine,
    SheetText,
)
from analysis.karyogram.sheet_settings import SHEET
from analysis.structures.classes import MARKER, UNCLASSIFIED

GROUP_OF_FIRST: Final = MappingProxyType(
    {"1": "A", "4": "B", "6": "C", "13": "D", "16": "E", "19": "F", "21": "G"}
)


@dataclass(frozen=True, slots=True)
class ScaledChromosome:
    """A chromosome at the scale of the sheet.

    Attributes
    ----------
    number
        Its index among the items.
    item
        The chromosome.
    width, height
        Of its picture, in px of the sheet.
    centromere
        Px of the sheet from the picture's upper border; None where it isn't measured.
    length
        Along the bent chromosome, in px of the sheet.
    """

    number: int
    item: KaryogramItem
    width: float
    height: float
    centromere: float | None
    length: float


class ScaledCell:
    """The cell's chromosomes by class, at the scale of the sheet.

    Parameters
    ----------
    items
        The chromosomes, in any order.
    ideograms
        Bands of the ideograms beside the pairs; None for none.
    notes
        Class to a short note under its name.
    """

    def __init__(self, items: Sequence[KaryogramItem], ideograms: int | None, notes: Mapping[str, str]) -> None:
        # One odd object (two chromosomes in one) must not make all others small.
        sound = [item for item in items if item.class_name != UNCLASSIFIED] or list(items)
        heights = sorted(item.picture.shape[0] / item.enlargement for item in sound) or [1.0]
        tall = heights[max(0, round(SHEET.tall_percentile * (len(heights) - 1)))]
        self.scale = min(SHEET.longest_px / max(tall, 1.0), SHEET.max_enlargement)
        self.ideograms = ideograms
        self.notes = notes
        gaps = (SHEET.slots_a_row - 1) * SHEET.slot_gap_px
        self.slot_px = (SHEET.width_px - 2 * SHEET.margin_px - gaps) / SHEET.slots_a_row
        self._members: dict[str, list[ScaledChromosome]] = {}
        for number, item in enumerate(items):
            self._members.setdefault(item.class_name, []).append(self._scaled(number, item))
        for members in self._members.values():
            members.sort(key=lambda member: (member.item.derivative, -member.length, member.number))

    def _scaled(self, number: int, item: KaryogramItem) -> ScaledChromosome:
        height, width = item.picture.shape
        scale = min(self.scale / item.enlargement, SHEET.oversize * SHEET.longest_px / max(height, width))
        line = None if item.centromere_px is None else min(max(item.centromere_px, 0.0), float(height)) * scale
        return ScaledChromosome(
            number, item, width * scale, height * scale, line, max(item.length_px, float(height)) * scale
        )

    def members(self, name: str) -> list[ScaledChromosome]:
        """Chromosomes of a class, from the left."""
        return self._members.get(name, [])

    def ideogram_of(self, name: str) -> tuple[Ideogram, float] | None:
        """Bands and height of the ideogram beside a pair; None for markers, no pair, or without the option."""
        members = self.members(name)
        if self.ideograms is None or not members or name == MARKER:
            return None
        return ideogram(name, self.ideograms), float(np.mean([member.length for member in members]))


class KaryogramRow:
    """One row: a centromere line, labels, and groups spread from margin to margin.

    Parameters
    ----------
    scaled_cell
        The chromosomes, at the scale of the sheet.
    groups
        Classes of the row, group by group, from the left.
    """

    def __init__(self, scaled_cell: ScaledCell, groups: tuple[tuple[str, ...], ...]) -> None:
        self._cell = scaled_cell
        self._groups = groups
        self._above, self._below, self._aligned = self._reach()
        self._widths = {name: self._slot_width(name) for group in groups for name in group}
        blocks = [
            sum(self._widths[name] for name in group) + SHEET.slot_gap_px * (len(group) - 1) for group in groups
        ]
        self._blocks = blocks
        self.least_width = sum(blocks) + SHEET.group_gap_px * (len(blocks) - 1)

    def _reach(self) -> tuple[float, float, bool]:
        """Px needed above and below the line of the centromeres (above alone where one isn't measured)."""
        names = [name for group in self._groups for name in group]
        members = [member for name in names for member in self._cell.members(name)]
        places = [member.centromere for member in members if member.centromere is not None]
        if not members or len(places) < len(members):
            heights = [member.height for member in members]
            heights += [drawn[1] for name in names if (drawn := self._cell.ideogram_of(name)) is not None]
            return max([float(SHEET.empty_row_px), *heights]), 0.0, False
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
        used = sum(member.width for member in members) + SHEET.pair_gap_px * max(len(members) - 1, 0)
        return used + (
            SHEET.ideogram_width_px + SHEET.pair_gap_px if self._cell.ideogram_of(name) is not None else 0
        )

    def _slot_width(self, name: str) -> float:
        return max(self._cell.slot_px, self._used_width(name) + SHEET.slot_padding_px)

    def draw(self, width: float) -> tuple[SheetDraft, float]:
        """The row from its own upper left corner, and its height."""
        draft = SheetDraft()
        free = max(0.0, width - sum(self._blocks))
        x, below = 0.0, 0.0
        for group, block in zip(self._groups, self._blocks, strict=True):
            at = x
            for name in group:
                below = max(below, self._slot(draft, name, at))
                at += self._widths[name] + SHEET.slot_gap_px
            letter = GROUP_OF_FIRST.get(group[0])
            if letter:
                draft.texts.append(SheetText(letter, x + 2, self._base_line, SHEET.group_text_px, Ink.PALE))
            x += block + free / max(len(self._groups) - 1, 1)
        return draft, self._line + SHEET.label_px + below

    @property
    def _line(self) -> float:
        return self._above + self._below + SHEET.line_gap_px

    @property
    def _base_line(self) -> float:
        return self._line + SHEET.label_px - SHEET.baseline_px

    def _slot(self, draft: SheetDraft, name: str, x: float) -> float:
        """One class at its place; returns the px its note takes."""
        width, line = self._widths[name], self._line
        self._pair(draft, name, x + (width - self._used_width(name)) / 2.0)
        draft.rules.append(SheetLine(x, line, x + width, line))
        draft.rules += [SheetLine(end, line - SHEET.tick_px, end, line) for end in (x, x + width)]
        draft.texts.append(SheetText(name, x + width / 2.0, self._base_line, SHEET.class_text_px, anchor=0.5))
        lines = broken_lines(self._cell.notes.get(name, ""), width, SHEET.note_text_px)
        step = SHEET.note_text_px * SHEET.line_spacing
        above, below = SHEET.note_gap_px
        for number, text in enumerate(lines):
            y = line + SHEET.label_px + above + number * step + SHEET.note_text_px * SHEET.note_ascent
            draft.texts.append(SheetText(text, x + width / 2.0, y, SHEET.note_text_px, Ink.WARNING, 0.5))
        return len(lines) * step + (below if lines else 0.0)

    def _pair(self, draft: SheetDraft, name: str, x: float) -> None:
        beside = self._cell.ideogram_of(name)
        if beside is not None:
            bands, length = beside
            top = self._above - bands.centromere * length if self._aligned else self._above - length
            draft.ideograms.append(DrawnIdeogram(name, bands, Box(x, top, SHEET.ideogram_width_px, length)))
            x += SHEET.ideogram_width_px + SHEET.pair_gap_px
        for member in self._cell.members(name):
            top = self._above - member.height
            if self._aligned and member.centromere is not None:
                top = self._above - member.centromere
            place_chromosome(draft, member, x, top, self._line + SHEET.mark_offset_px)
            x += member.width + SHEET.pair_gap_px


def place_chromosome(draft: SheetDraft, member: ScaledChromosome, x: float, top: float, mark_y: float) -> None:
    """Place a chromosome and its mark.

    Parameters
    ----------
    draft
        Takes them.
    member
        The chromosome.
    x, top
        Upper left corner, in px of the draft.
    mark_y
        Middle of the mark, in px of the draft.
    """
    line = None if member.centromere is None else top + member.centromere
    draft.tiles.append(ChromosomeTile(member.number, member.item, Box(x, top, member.width, member.height), line))
    if member.item.mark is not ReviewMark.NONE:
        draft.marks.append(MarkSign(member.item.mark, x + member.width / 2.0, mark_y))
