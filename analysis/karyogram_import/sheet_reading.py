"""Read a karyogram sheet: its chromosome pictures, and the class of each by its place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_fill_holes

from analysis.errors import ImageError
from analysis.karyogram_import.layout_fit import ClassDefect, FittedLayout, LabelledPlace, fit_layout
from analysis.karyogram_import.printed_labels import BoxPx, PrintedLabel, find_labels
from analysis.karyogram_import.settings import SHEET
from analysis.karyogram_import.sheet_layout import BUILT_IN_LAYOUTS, LabelSide, SheetLayout
from analysis.structures.grey_image import GreyImage
from analysis.structures.region import Region, connected_regions

_LEAST_PICTURE_PX = 30
"""Area in px below which nothing is a picture of a chromosome, on whatever sheet."""


@dataclass(frozen=True, slots=True)
class SheetPicture:
    """One chromosome on a sheet.

    Attributes
    ----------
    number
        Row by row from the top, from left to right, from 0; pictures outside all places last.
    box_px
        On the sheet.
    levels
        uint8, shape of the box: grey levels, the paper outside the mask.
    mask
        bool, same shape.
    class_name
        "1".."22", "X", "Y" or "mar"; None where it isn't certain.
    defect
        Why it has no class; None where it has one.
    """

    number: int
    box_px: BoxPx
    levels: NDArray[np.uint8]
    mask: NDArray[np.bool_]
    class_name: str | None
    defect: ClassDefect | None

    @property
    def area_px(self) -> int:
        """Pixels of the chromosome."""
        return int(np.count_nonzero(self.mask))


@dataclass(frozen=True, slots=True)
class PrintedKaryogram:
    """What a sheet shows.

    Attributes
    ----------
    pictures
        Its chromosomes.
    fitted
        Its layout and places.
    paper
        Grey level of the paper.
    """

    pictures: tuple[SheetPicture, ...]
    fitted: FittedLayout
    paper: float


@dataclass(frozen=True, slots=True)
class _Range:
    """Where the pictures of one label stand."""

    place: LabelledPlace
    left_px: float
    right_px: float
    top_px: float
    bottom_px: float

    def overlap(self, box: BoxPx) -> float:
        """Fraction of a box's width within the range; 0 where its middle is above or below."""
        middle = (box[1] + box[3]) / 2.0
        if not self.top_px <= middle < self.bottom_px:
            return 0.0
        common = min(self.right_px, box[2]) - max(self.left_px, box[0])
        return float(max(0.0, common) / (box[2] - box[0]))


def read_karyogram(sheet: GreyImage, layouts: Sequence[SheetLayout] = BUILT_IN_LAYOUTS) -> PrintedKaryogram:
    """Separate the chromosomes of a sheet from lines and print, and tell their classes by their places.

    Parameters
    ----------
    sheet
        Picture of a finished karyogram.
    layouts
        That it may have.

    Raises
    ------
    ImageError
        Nothing on it can be a chromosome.
    """
    levels = sheet.pixels
    paper = float(np.bincount(levels.ravel(), minlength=256).argmax())
    printed = levels < paper - SHEET.ink_levels
    lines = _find_lines(levels, paper)
    ink = printed & ~_line_pixels(lines, levels.shape)
    labels = find_labels(levels, paper, ink)
    fitted = fit_layout(labels, layouts)
    bodies = _bodies(ink, labels)
    if not bodies:
        raise ImageError(f"{sheet.source}: there is no chromosome on it; a karyogram on white paper is needed")
    side = LabelSide.BELOW if fitted.layout is None else fitted.layout.labels
    ranges = _ranges(fitted, lines, side, levels.shape)
    placed = [_placed(body, ranges) for body in bodies]
    placed = _separated(placed, levels, paper)
    placed = _without_fragments(placed)
    ordered = sorted(placed, key=lambda each: _order(each, ranges))
    pictures = tuple(
        _picture(number, each, levels, paper, has_layout=fitted.layout is not None)
        for number, each in enumerate(ordered)
    )
    return PrintedKaryogram(pictures, fitted, paper)


@dataclass(frozen=True, slots=True)
class _Placed:
    """Ink with its place; None where it has none or stands between two."""

    body: Region
    range_: _Range | None
    between: bool = False

    @property
    def box_px(self) -> BoxPx:
        return _box_of(self.body)


def _box_of(body: Region) -> BoxPx:
    rows, columns = np.flatnonzero(body.mask.any(axis=1)), np.flatnonzero(body.mask.any(axis=0))
    return (
        body.x0_px + int(columns[0]),
        body.y0_px + int(rows[0]),
        body.x0_px + int(columns[-1]) + 1,
        body.y0_px + int(rows[-1]) + 1,
    )


def _find_lines(levels: NDArray[np.uint8], paper: float) -> list[BoxPx]:
    dark = (levels < paper - SHEET.dark_levels).astype(np.uint8)
    length = max(8, round(SHEET.line_length * levels.shape[1]))
    runs = cv2.morphologyEx(dark, cv2.MORPH_OPEN, np.ones((1, length), np.uint8))
    _, _, stats, _ = cv2.connectedComponentsWithStats(runs, connectivity=8)
    lines = []
    for x, y, width, height, _ in stats[1:]:
        box = (int(x), int(y), int(x + width), int(y + height))
        if height <= SHEET.line_height_px and _stands_alone(dark, box):
            lines.append(box)
    return lines


def _stands_alone(dark: NDArray[np.uint8], box: BoxPx) -> bool:
    """Whether there is paper directly above and below: a dark band of a chromosome has neither."""
    xmin, ymin, xmax, ymax = box
    above = dark[max(0, ymin - 2) : max(0, ymin - 1), xmin:xmax]
    below = dark[ymax + 1 : ymax + 2, xmin:xmax]
    return float(np.mean(np.concatenate([above.ravel(), below.ravel(), [0]]))) < SHEET.min_overlap / 2


def _line_pixels(lines: Sequence[BoxPx], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Lines with the short strokes at their ends, which stand up or down by a few px."""
    mask = np.zeros(shape, dtype=np.bool_)
    stroke = 2 * SHEET.line_height_px
    for xmin, ymin, xmax, ymax in lines:
        mask[max(0, ymin - 1) : ymax + 1, max(0, xmin - 2) : xmax + 2] = True
        for x in (xmin, xmax - 1):
            mask[max(0, ymin - stroke) : ymax + stroke, max(0, x - 2) : x + 3] = True
    return mask


def _bodies(ink: NDArray[np.bool_], labels: Sequence[PrintedLabel]) -> list[Region]:
    rest = ink.copy()
    for label in labels:
        xmin, ymin, xmax, ymax = label.box_px
        margin = round(SHEET.isolated * label.height_px)
        rest[max(0, ymin - margin) : ymax + margin, max(0, xmin - margin) : xmax + margin] = False
    regions = [_filled(region) for region in connected_regions(rest, min_area_px=_LEAST_PICTURE_PX)]
    heights = [label.height_px for label in labels]
    highest = (
        SHEET.text_height * float(np.median(heights)) if heights else SHEET.label_height[1] * ink.shape[0] / 2
    )
    regions = _without_text(regions, highest)
    if not regions:
        return []
    areas = np.array([region.area_px for region in regions])
    # Letters and specks are many and small: the typical picture is that of the larger half of the ink.
    typical = _weighted_median(areas)
    return [region for region, area in zip(regions, areas, strict=True) if area >= SHEET.min_picture * typical]


def _weighted_median(areas: NDArray[np.int_]) -> float:
    ordered = np.sort(areas)
    return float(ordered[int(np.searchsorted(np.cumsum(ordered), ordered.sum() / 2.0))])


def _filled(region: Region) -> Region:
    return Region(region.x0_px, region.y0_px, np.asarray(binary_fill_holes(region.mask), dtype=np.bool_))


def _without_text(regions: Sequence[Region], highest_px: float) -> list[Region]:
    """Leave out letters: many of one height beside each other with gaps smaller than they are high."""
    boxes = [_box_of(region) for region in regions]
    kept = []
    for index, box in enumerate(boxes):
        height = box[3] - box[1]
        alike = [
            each
            for each in boxes
            if abs((each[3] - each[1]) - height) <= SHEET.label_size_tolerance * height
            and abs(each[3] - box[3]) <= SHEET.letter_step * height
        ]
        if height > highest_px or _run_length(alike, box, SHEET.letter_gap * height) < SHEET.text_letters:
            kept.append(regions[index])
    return kept


def _run_length(boxes: Sequence[BoxPx], start: BoxPx, gap_px: float) -> int:
    run = {start}
    left, right = start[0], start[2]
    grown = True
    while grown:
        near = {
            each for each in boxes if each not in run and each[0] - right <= gap_px and left - each[2] <= gap_px
        }
        grown = bool(near)
        run |= near
        left, right = min(each[0] for each in run), max(each[2] for each in run)
    return len(run)


def _ranges(fitted: FittedLayout, lines: Sequence[BoxPx], side: LabelSide, shape: tuple[int, ...]) -> list[_Range]:
    rows = sorted({place.row for place in fitted.places})
    by_row = [[place for place in fitted.places if place.row == row] for row in rows]
    ranges = []
    for index, places in enumerate(by_row):
        if side is LabelSide.BELOW:
            top = 0.0 if index == 0 else float(max(place.label.box_px[3] for place in by_row[index - 1]))
            bottom = float(max(place.label.box_px[1] for place in places))
        else:
            top = float(min(place.label.box_px[3] for place in places))
            last = index + 1 == len(by_row)
            bottom = float(shape[0]) if last else float(min(place.label.box_px[1] for place in by_row[index + 1]))
        for position, place in enumerate(places):
            left, right = _columns(places, position, lines, shape[1])
            ranges.append(_Range(place, left, right, top, bottom))
    return ranges


def _columns(
    places: Sequence[LabelledPlace], position: int, lines: Sequence[BoxPx], width_px: int
) -> tuple[float, float]:
    """The line of a label, or half the way to the labels beside it."""
    label = places[position].label
    middle = label.centre_x_px
    for xmin, ymin, xmax, ymax in lines:
        distance = max(label.box_px[1] - ymax, ymin - label.box_px[3])
        if xmin <= middle <= xmax and 0 <= distance <= SHEET.line_reach * label.height_px:
            return float(xmin), float(xmax)
    centres = [place.label.centre_x_px for place in places]
    gaps = np.diff(centres)
    before = gaps[position - 1] if position > 0 else None
    after = gaps[position] if position < len(gaps) else None
    half = min((float(gap) for gap in (before, after) if gap is not None), default=float(width_px)) / 2.0
    left = middle - (half if before is None else float(before) / 2.0)
    right = middle + (half if after is None else float(after) / 2.0)
    return left, right


def _placed(body: Region, ranges: Sequence[_Range]) -> _Placed:
    box = _box_of(body)
    overlaps = [(each.overlap(box), each) for each in ranges]
    best = max(overlaps, key=lambda pair: pair[0], default=None)
    if best is None or best[0] <= 0.0:
        return _Placed(body, None)
    if best[0] < SHEET.min_overlap:
        return _Placed(body, None, between=True)
    return _Placed(body, best[1])


def _separated(placed: Sequence[_Placed], levels: NDArray[np.uint8], paper: float) -> list[_Placed]:
    """Separate pictures that touch on the paper: where two stand side by side at a darker level."""
    areas: dict[int, list[int]] = {}
    for each in placed:
        if each.range_ is not None:
            areas.setdefault(each.range_.place.row, []).append(each.body.area_px)
    separated: list[_Placed] = []
    for each in placed:
        row = None if each.range_ is None else each.range_.place.row
        alone = sum(other.range_ is each.range_ for other in placed) == 1
        if row is None or not alone or each.body.area_px < SHEET.split_area * float(np.median(areas[row])):
            separated.append(each)
            continue
        separated.extend(_Placed(part, each.range_) for part in _side_by_side(each.body, levels, paper))
    return separated


def _side_by_side(body: Region, levels: NDArray[np.uint8], paper: float) -> list[Region]:
    window = levels[
        max(0, body.y0_px) : body.y0_px + body.mask.shape[0], max(0, body.x0_px) : body.x0_px + body.mask.shape[1]
    ]
    if window.shape != body.mask.shape:
        return [body]
    for step in SHEET.split_steps:
        parts = connected_regions(body.mask & (window < paper - step), min_area_px=SHEET.split_part * body.area_px)
        if len(parts) == 2 and _columns_in_common(parts[0], parts[1]) <= SHEET.split_shared:
            return _grown(parts, body)
    return [body]


def _columns_in_common(one: Region, other: Region) -> float:
    first, second = _box_of(one), _box_of(other)
    common = min(first[2], second[2]) - max(first[0], second[0])
    return max(0, common) / min(first[2] - first[0], second[2] - second[0])


def _grown(parts: Sequence[Region], body: Region) -> list[Region]:
    """Give every pixel of a body to the nearer of its parts."""
    distances = []
    for part in parts:
        free = np.ones(body.mask.shape, np.uint8)
        free[
            part.y0_px : part.y0_px + part.mask.shape[0], part.x0_px : part.x0_px + part.mask.shape[1]
        ] &= ~part.mask
        distances.append(cv2.distanceTransform(free, cv2.DIST_L2, 5))
    nearest = np.argmin(np.stack(distances), axis=0)
    return [body.part(body.mask & (nearest == index)) for index in range(len(parts))]


def _without_fragments(placed: Sequence[_Placed]) -> list[_Placed]:
    largest: dict[int, int] = {}
    for each in placed:
        if each.range_ is not None:
            key = id(each.range_)
            largest[key] = max(largest.get(key, 0), each.body.area_px)
    return [
        each
        for each in placed
        if each.range_ is None or each.body.area_px >= SHEET.min_fragment * largest[id(each.range_)]
    ]


def _order(placed: _Placed, ranges: Sequence[_Range]) -> tuple[int, float, float]:
    box = placed.box_px
    if placed.range_ is None:
        return len(ranges), float(box[1]), float(box[0])
    return placed.range_.place.row, placed.range_.left_px, float(box[0])


def _picture(
    number: int, placed: _Placed, levels: NDArray[np.uint8], paper: float, *, has_layout: bool
) -> SheetPicture:
    xmin, ymin, xmax, ymax = box = placed.box_px
    body = placed.body
    mask = body.mask[ymin - body.y0_px : ymax - body.y0_px, xmin - body.x0_px : xmax - body.x0_px]
    window = np.where(mask, levels[ymin:ymax, xmin:xmax], np.uint8(paper)).astype(np.uint8)
    class_name = None if placed.range_ is None else placed.range_.place.class_name
    defect = None
    if class_name is None:
        if placed.between:
            defect = ClassDefect.BETWEEN_PLACES
        elif placed.range_ is None:
            defect = ClassDefect.OUTSIDE_PLACES
        else:
            defect = ClassDefect.LABEL_DISAGREES if has_layout else ClassDefect.NO_LAYOUT
    return SheetPicture(number, box, window, np.ascontiguousarray(mask), class_name, defect)
