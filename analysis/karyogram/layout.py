"""Draw a karyogram in the standard layout: groups A to G, short arms up, labels under lines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from analysis.classification.classes import UNCLASSIFIED

ROWS: tuple[tuple[tuple[str, ...], ...], ...] = (
    (("1", "2", "3"), ("4", "5")),
    (("6", "7", "8", "9", "10", "11", "12"),),
    (("13", "14", "15"), ("16", "17", "18")),
    (("19", "20"), ("21", "22"), ("X", "Y")),
)
"""Rows from the top, each of groups: A B, C, D E, F G and the sex chromosomes. X and Y stand apart, last."""
GROUP_OF_FIRST = {"1": "A", "4": "B", "6": "C", "13": "D", "16": "E", "19": "F", "21": "G"}

CANVAS_WIDTH_PX = 1200
MARGIN_PX = 28
LONGEST_PX = 230
"""Height of the longest chromosome."""
MAX_ENLARGEMENT = 4.0
PAIR_GAP_PX = 10
SLOT_GAP_PX = 22
LABEL_PX = 40
ROW_GAP_PX = 22
CAPTION_PX = 56
INK = (0, 0, 0)
PALE_INK = (130, 130, 130)
DOUBT_INK = (40, 120, 235)
"""BGR: an orange dot marks what should be looked at."""
WHITE = 255


@dataclass(frozen=True, slots=True)
class KaryogramItem:
    """One chromosome of a karyogram.

    Attributes
    ----------
    picture
        uint8, shape (h, w): upright, white outside.
    class_name
        "1".."22", "X", "Y" or "?".
    doubtful
        True where a person should look first.
    centromere_px
        Row of the centromere in the picture; None where it isn't known.
    """

    picture: NDArray[np.uint8]
    class_name: str
    doubtful: bool = False
    centromere_px: float | None = None


def draw_karyogram(items: Sequence[KaryogramItem], *, title: str = "", note: str = "") -> NDArray[np.uint8]:
    """Draw the karyogram of one cell.

    Centromeres of one row lie on one line, where those of all its chromosomes are known; otherwise all stand on
    the line of the labels.

    Parameters
    ----------
    items
        Chromosomes; those of one class stand in the order given.
    title
        Left of the caption, such as the ISCN string.
    note
        Right of the caption, such as counts and confidence.

    Returns
    -------
    NDArray[np.uint8]
        Shape (height, width, 3), BGR.
    """
    pages = _Scaled(items)
    rows = [[pages.group(names, pages.reach(groups)) for names in groups] for groups in ROWS]
    # A row with many extra chromosomes widens the sheet for all.
    width = max([CANVAS_WIDTH_PX, *(_needed_width(blocks) for blocks in rows)])
    strips = [_row(blocks, width) for blocks in rows]
    tray = pages.tray(width)
    if tray is not None:
        strips.append(tray)
    parts = [np.full((MARGIN_PX, width, 3), WHITE, np.uint8)]
    for strip in strips:
        parts += [strip, np.full((ROW_GAP_PX, width, 3), WHITE, np.uint8)]
    parts.append(_caption(width, title, note))
    return np.concatenate(parts)


class _Scaled:
    """The cell's pictures at the scale of the karyogram, by class."""

    def __init__(self, items: Sequence[KaryogramItem]) -> None:
        classified = [item for item in items if item.class_name != UNCLASSIFIED] or list(items)
        # One odd object (two chromosomes in one) must not make all others small.
        heights = sorted(item.picture.shape[0] for item in classified) or [1]
        tall = heights[max(0, round(0.97 * (len(heights) - 1)))]
        self.scale = min(LONGEST_PX / tall, MAX_ENLARGEMENT)
        self.items: dict[str, list[KaryogramItem]] = {}
        for item in items:
            self.items.setdefault(item.class_name, []).append(self._scaled(item))
        inner = CANVAS_WIDTH_PX - 2 * MARGIN_PX
        self.slot_px = (inner - 6 * SLOT_GAP_PX) // 7

    def _scaled(self, item: KaryogramItem) -> KaryogramItem:
        height, width = item.picture.shape
        scale = min(self.scale, 1.5 * LONGEST_PX / max(height, width))
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        method = cv2.INTER_CUBIC if scale > 1 else cv2.INTER_AREA
        return KaryogramItem(
            np.asarray(cv2.resize(item.picture, size, interpolation=method), dtype=np.uint8),
            item.class_name,
            item.doubtful,
            None if item.centromere_px is None else item.centromere_px * scale,
        )

    def reach(self, groups: Sequence[tuple[str, ...]]) -> tuple[int, int] | None:
        """Px that a row needs above and below the line of its centromeres; None where one isn't known."""
        members = [item for names in groups for name in names for item in self.items.get(name, [])]
        places = [item.centromere_px for item in members if item.centromere_px is not None]
        if not members or len(places) < len(members):
            return None
        above = max(round(place) for place in places)
        below = max(item.picture.shape[0] - round(at) for item, at in zip(members, places, strict=True))
        return above, below

    def group(self, names: tuple[str, ...], reach: tuple[int, int] | None) -> NDArray[np.uint8]:
        """Classes of one group side by side."""
        slots = [self._slot(name, reach) for name in names]
        height = max(slot.shape[0] for slot in slots)
        gap = np.full((height, SLOT_GAP_PX, 3), WHITE, np.uint8)
        parts: list[NDArray[np.uint8]] = []
        for slot in slots:
            parts += [_raised(slot, height), gap]
        block = np.concatenate(parts[:-1], axis=1)
        letter = GROUP_OF_FIRST.get(names[0])
        if letter:
            _text(block, letter, (2, height - 8), 0.5, PALE_INK)
        return block

    def _slot(self, name: str, reach: tuple[int, int] | None) -> NDArray[np.uint8]:
        members = self.items.get(name, [])
        used = sum(item.picture.shape[1] for item in members) + PAIR_GAP_PX * max(len(members) - 1, 0)
        width = max(self.slot_px, used + 12)
        tallest = max([20, *(item.picture.shape[0] for item in members)]) if reach is None else sum(reach)
        slot = np.full((tallest + LABEL_PX, width, 3), WHITE, np.uint8)
        _place(slot, members, (width - used) // 2, tallest, None if reach is None else reach[0])
        cv2.line(slot, (0, tallest + 5), (width - 1, tallest + 5), INK, 1)
        for x in (0, width - 1):
            cv2.line(slot, (x, tallest + 1), (x, tallest + 5), INK, 1)
        _text(slot, name, (width // 2, tallest + LABEL_PX - 8), 0.7, INK, centred=True)
        return slot

    def tray(self, width: int) -> NDArray[np.uint8] | None:
        """Objects without a class, in as many lines as they need."""
        members = self.items.get(UNCLASSIFIED, [])
        if not members:
            return None
        inner = width - 2 * MARGIN_PX - 40
        lines: list[list[KaryogramItem]] = [[]]
        used = 0
        for item in members:
            wanted = item.picture.shape[1] + PAIR_GAP_PX
            if used + wanted > inner and lines[-1]:
                lines.append([])
                used = 0
            lines[-1].append(item)
            used += wanted
        parts = []
        for number, line in enumerate(lines):
            tallest = max(item.picture.shape[0] for item in line)
            strip = np.full((tallest + 16, width, 3), WHITE, np.uint8)
            _place(strip, line, MARGIN_PX + 40, tallest)
            if number == 0:
                _text(strip, UNCLASSIFIED, (MARGIN_PX + 8, tallest), 0.7, INK)
            parts.append(strip)
        rule = np.full((9, width, 3), WHITE, np.uint8)
        cv2.line(rule, (MARGIN_PX, 0), (width - MARGIN_PX, 0), PALE_INK, 1)
        return np.concatenate([rule, *parts])


def _needed_width(blocks: Sequence[NDArray[np.uint8]]) -> int:
    gaps = 2 * SLOT_GAP_PX * (len(blocks) - 1)
    return int(sum(block.shape[1] for block in blocks)) + gaps + 2 * MARGIN_PX


def _row(blocks: Sequence[NDArray[np.uint8]], width: int) -> NDArray[np.uint8]:
    """One row with its groups spread from the left to the right margin."""
    height = max(block.shape[0] for block in blocks)
    strip = np.full((height, width, 3), WHITE, np.uint8)
    free = width - 2 * MARGIN_PX - sum(block.shape[1] for block in blocks)
    x = MARGIN_PX
    for block in blocks:
        strip[height - block.shape[0] :, x : x + block.shape[1]] = block
        x += block.shape[1] + free // max(len(blocks) - 1, 1)
    return strip


def _place(
    strip: NDArray[np.uint8], members: Sequence[KaryogramItem], x: int, bottom: int, line: int | None = None
) -> None:
    for item in members:
        height, width = item.picture.shape
        top = bottom - height
        if line is not None and item.centromere_px is not None:
            top = line - round(item.centromere_px)
        strip[top : top + height, x : x + width] = item.picture[:, :, None]
        if item.doubtful:
            cv2.circle(strip, (x + width // 2, bottom + 11), 3, DOUBT_INK, cv2.FILLED, cv2.LINE_AA)
        x += width + PAIR_GAP_PX


def _caption(width: int, title: str, note: str) -> NDArray[np.uint8]:
    caption = np.full((CAPTION_PX, width, 3), WHITE, np.uint8)
    cv2.line(caption, (MARGIN_PX, 2), (width - MARGIN_PX, 2), PALE_INK, 1)
    _text(caption, title, (MARGIN_PX, 34), 0.75, INK)
    used = cv2.getTextSize(note, cv2.FONT_HERSHEY_SIMPLEX, 0.5, 1)[0][0]
    _text(caption, note, (width - MARGIN_PX - used, 33), 0.5, PALE_INK)
    return caption


def _text(
    image: NDArray[np.uint8],
    text: str,
    at: tuple[int, int],
    size: float,
    ink: tuple[int, int, int],
    *,
    centred: bool = False,
) -> None:
    # The built-in fonts have ASCII alone.
    text = text.encode("ascii", "replace").decode()
    if centred:
        at = (at[0] - cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, size, 1)[0][0] // 2, at[1])
    cv2.putText(image, text, at, cv2.FONT_HERSHEY_SIMPLEX, size, ink, 1, cv2.LINE_AA)


def _raised(block: NDArray[np.uint8], height: int) -> NDArray[np.uint8]:
    above = np.full((height - block.shape[0], block.shape[1], 3), WHITE, np.uint8)
    return np.concatenate([above, block])
