"""From a grey image to chromosomes: the classical segmentation and its seam."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from analysis.errors import NoMetaphaseError
from analysis.imaging.annotations import without_annotations
from analysis.imaging.background import estimate_background, optical_density
from analysis.imaging.chromosome_width import estimate_width
from analysis.imaging.foreground import find_foreground, otsu
from analysis.imaging.nuclei import find_nuclei
from analysis.segmentation.contours.features import piece_features, single_features
from analysis.segmentation.contours.plausibility import Plausibility, load_plausibility
from analysis.segmentation.contours.shape import measure
from analysis.segmentation.contours.split_tree import ContourContext, Piece, resolve
from analysis.segmentation.nucleus_fragments import find_nucleus_fragments
from analysis.structures.grey_image import GreyImage
from analysis.structures.instance import Instance
from analysis.structures.region import Region, connected_regions
from analysis.structures.segmentation import Segmentation

_ESTIMATE_SIDE_PX: Final = 1400
"""Long side of the image the chromosome width is first estimated on."""

_WORK_WIDTH_PX: Final = 15.0
_KEEP_WIDTH_PX: Final = (11.0, 21.0)
"""Images whose chromosomes are this wide are worked as they are; others are resampled to the working width."""

_DENOISE_SIGMA_PX: Final = 0.7

_MIN_WIDTH_PX: Final = 3.5
"""A chromosome narrower than this in the file (0.3 um a pixel) shows neither bands nor slits; noise looks like
that."""

_MIN_STAIN: Final = 0.015
"""Optical density of the border below which nothing is stained: 3.5 % of the light is within the noise of a
camera."""

_MAX_STAINED: Final = 1500.0
"""Stained area in squared widths beyond which it can't be chromosomes: seven crowded metaphases."""

_MAX_PIECE: Final = 60.0
"""A connected piece of more median chromosomes than this is no cluster of one cell."""

_ROD: Final = 2.1
"""Length over thickness from which a body counts as rod-like; a grain of dirt is round (1.8)."""

_SURELY_SINGLE: Final = 0.6
_HARDLY_SINGLE: Final = 0.08
_COMPACT: Final = 0.85
_CONDENSED_AREA: Final = 3.0
"""Median area, in squared widths, below which a cell is too condensed for the single score: it was fitted on cells
where a short round body is dirt."""


MIN_PIECE: Final = 0.3
"""Smaller pieces, in squared widths, are dirt."""

TYPICAL_AREA: Final = 4.5
"""Median area of a chromosome in squared widths, where the cell gives no answer of its own."""


@dataclass(frozen=True, slots=True)
class SegmentationSettings:
    """What a laboratory may want to set.

    Attributes
    ----------
    accept_split
        Score above which a piece is split; higher leaves more clusters whole.
    min_area
        Smallest chromosome, as a share of the cell's median area.
    min_chromosomes
        With fewer plausible chromosomes the image isn't a metaphase.
    """

    accept_split: float = 0.2
    min_area: float = 0.18
    min_chromosomes: int = 8


class Segmenter(Protocol):
    """Anything that finds the chromosomes of an image."""

    def __call__(self, image: GreyImage) -> Segmentation:
        """Segment an image; raise `NoMetaphaseError` where there is nothing to segment."""
        ...


@dataclass(frozen=True, slots=True)
class WorkingImage:
    """The image at working scale.

    Attributes
    ----------
    factor
        Working px a px of the image.
    background, density, nuclei
        See `estimate_background`, `optical_density` and `find_nuclei`.
    width_px
        Typical width of a chromosome, in working px.
    """

    factor: float
    background: NDArray[np.float32]
    density: NDArray[np.float32]
    nuclei: NDArray[np.bool_]
    width_px: float


def segment_by_contours(image: GreyImage, settings: SegmentationSettings | None = None) -> Segmentation:
    """Find the chromosomes of a metaphase by contours and scored cuts.

    Parameters
    ----------
    image
        Dark chromosomes on bright, of any magnification: the scale is taken from the chromosomes themselves.
    settings
        Defaults where None.

    Raises
    ------
    NoMetaphaseError
        If nothing like a metaphase is there: a blank field, noise, only nuclei, one shapeless body.
    """
    chosen = settings or SegmentationSettings()
    working = make_working_image(image)
    found = find_foreground(working.density, working.nuclei, working.width_px)
    pieces = connected_regions(found.mask, min_area_px=MIN_PIECE * working.width_px**2)
    if sum(piece.area_px for piece in pieces) > _MAX_STAINED * working.width_px**2:
        raise NoMetaphaseError(f"{image.source}: no metaphase found, the whole field is stained or noisy")
    cell = learn_cell(pieces, working.density, working.width_px, chosen, load_plausibility())
    limit_px = _MAX_PIECE * cell.median_area * cell.width_px**2
    parts = [
        part
        for piece in pieces
        if piece.area_px <= limit_px
        for part in resolve(piece, cell, accept=chosen.accept_split)
    ]
    kept = [part for part in parts if _is_chromosome(part, cell, found.level)]
    strays = find_nucleus_fragments([part.region for part in kept], working.density, working.width_px)
    kept = [part for part, stray in zip(kept, strays, strict=True) if not stray]
    rods = sum(part.shape.length >= _ROD * part.shape.thickness for part in kept)
    if rods < chosen.min_chromosomes:
        raise NoMetaphaseError(f"{image.source}: no metaphase found ({rods} chromosome-like bodies)")
    instances = _instances(kept, working.factor, image.pixels.shape)
    return Segmentation(instances, *full_size(working, image.pixels.shape))


def find_stained(image: GreyImage) -> NDArray[np.bool_]:
    """Mark the stained pixels outside nuclei: bool, the image's shape; all False where nothing is stained."""
    try:
        working = make_working_image(image)
    except NoMetaphaseError:
        return np.zeros(image.pixels.shape, np.bool_)
    mask = find_foreground(working.density, working.nuclei, working.width_px).mask
    target = (image.width_px, image.height_px)
    return cv2.resize(mask.astype(np.uint8), target, interpolation=cv2.INTER_NEAREST) > 0


def make_working_image(image: GreyImage) -> WorkingImage:
    """Estimate the width, bring the image to working scale, mask the nuclei."""
    pixels = without_annotations(image.pixels)
    factor = min(1.0, _ESTIMATE_SIDE_PX / max(pixels.shape))
    working = _measured(_scaled(pixels, factor), factor)
    if working.width_px <= 0.0:
        raise NoMetaphaseError(f"{image.source}: nothing stained on the image")
    if working.width_px / factor < _MIN_WIDTH_PX:
        raise NoMetaphaseError(f"{image.source}: no metaphase found, nothing is as thick as a chromosome")
    low, high = _KEEP_WIDTH_PX
    if not low <= working.width_px <= high:
        factor *= float(np.clip(_WORK_WIDTH_PX / working.width_px, 0.25, 4.0))
        factor = min(factor, 2400.0 / max(pixels.shape))
        working = _measured(_scaled(pixels, factor), factor)
        if working.width_px <= 0.0:
            raise NoMetaphaseError(f"{image.source}: nothing stained on the image")
    return working


def _measured(pixels: NDArray[np.uint8], factor: float) -> WorkingImage:
    background = estimate_background(pixels)
    density = np.asarray(
        cv2.GaussianBlur(optical_density(pixels, background), (0, 0), _DENOISE_SIGMA_PX), dtype=np.float32
    )
    nuclei = np.zeros(pixels.shape, np.bool_)
    level = otsu(density)
    if level < _MIN_STAIN:
        return WorkingImage(factor, background, density, nuclei, 0.0)
    width = estimate_width(density > 0.8 * level)
    for _ in range(2):
        if width > 0.0:
            nuclei = find_nuclei(density, level, width)
            level = otsu(density, ~nuclei)
            estimate = estimate_width((density > 0.8 * level) & ~nuclei)
            # Once the nuclei are off a pile of chromosomes is the thickest body: only dirt would be measured.
            width = estimate if estimate > 0.5 * width else width
    return WorkingImage(factor, background, density, nuclei, width)


def _scaled(pixels: NDArray[np.uint8], factor: float) -> NDArray[np.uint8]:
    if factor == 1.0:
        return pixels
    height, width = pixels.shape
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    method = cv2.INTER_AREA if factor < 1.0 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(pixels, size, interpolation=method), dtype=np.uint8)


def learn_cell(
    pieces: list[Region],
    density: NDArray[np.float32],
    width_px: float,
    settings: SegmentationSettings,
    scores: Plausibility,
) -> ContourContext:
    """Learn the typical area from the pieces that look like single chromosomes already.

    Parameters
    ----------
    pieces
        Connected foreground.
    density, width_px
        The working image, and the width of a chromosome on it.
    settings
        Of the segmentation.
    scores
        Tell single chromosomes.
    """
    areas, compact = [], []
    for piece in pieces:
        shape = measure(piece.mask, width_px)
        if not TYPICAL_AREA / 6.0 < shape.area < TYPICAL_AREA * 3.0:
            continue
        if shape.solidity > _COMPACT:
            compact.append(shape.area)
        features = piece_features(shape, piece.crop_of(density), piece.mask)
        if scores.single(single_features(features, TYPICAL_AREA)[None])[0] > _SURELY_SINGLE:
            areas.append(shape.area)
    # The score knows long chromosomes; where hardly one is seen among many bodies, the cell is a condensed one.
    if len(areas) < 0.3 * len(compact):
        areas = compact
    # A few singles say little: the expectation counts as three of them.
    median = float(np.median([*areas, *([TYPICAL_AREA] * 3)]))
    return ContourContext(width_px, median, settings.min_area * median, density, scores)


def _is_chromosome(part: Piece, cell: ContourContext, level: float) -> bool:
    """Reject debris: too small, too pale, too thin, or a body as thick as it is long."""
    shape = part.shape
    density = part.region.crop_of(cell.density)
    stain = float(density[part.region.mask].mean())
    return (
        (part.likeness >= _HARDLY_SINGLE or cell.median_area < _CONDENSED_AREA)
        and shape.area >= cell.min_area
        and 0.45 * level <= stain
        and shape.thickness >= 0.5
        and shape.area <= 12.0 * cell.median_area
    )


def _instances(parts: list[Piece], factor: float, size: tuple[int, ...]) -> tuple[Instance, ...]:
    """Bring the parts back to the image's own pixels."""
    made = []
    for part in parts:
        placed = place_region(part.region, factor, size)
        if placed is not None:
            made.append((placed, part))
    overlaps = touching_instances([placed for placed, _ in made])
    return tuple(
        Instance(box, mask, float(np.clip(part.likeness, 0.0, 1.0)), part.route, overlaps[k])
        for k, ((box, mask), part) in enumerate(made)
    )


PlacedMask = tuple[tuple[int, int, int, int], NDArray[np.bool_]]


def place_region(region: Region, factor: float, size: tuple[int, ...]) -> PlacedMask | None:
    """Bring a region to the image's own pixels: box and mask; None where it lies outside."""
    mask = region.mask
    x0, y0 = float(region.x0_px), float(region.y0_px)
    if factor != 1.0:
        height, width = mask.shape
        x1, y1 = round((x0 + width) / factor), round((y0 + height) / factor)
        left, top = round(x0 / factor), round(y0 / factor)
        soft = cv2.resize(
            mask.astype(np.float32), (max(1, x1 - left), max(1, y1 - top)), interpolation=cv2.INTER_LINEAR
        )
        mask = soft >= 0.5
        x0, y0 = left, top
    rows, columns = np.nonzero(mask)
    rows, columns = rows + int(y0), columns + int(x0)
    inside = (rows >= 0) & (columns >= 0) & (rows < size[0]) & (columns < size[1])
    rows, columns = rows[inside], columns[inside]
    if rows.size == 0:
        return None
    box = (int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1)
    out = np.zeros((box[3] - box[1], box[2] - box[0]), np.bool_)
    out[rows - box[1], columns - box[0]] = True
    return box, out


def touching_instances(placed: list[PlacedMask]) -> list[tuple[int, ...]]:
    """List for each instance those that share pixels or a border with it."""
    found: list[list[int]] = [[] for _ in placed]
    for i, (first, first_mask) in enumerate(placed):
        for j in range(i + 1, len(placed)):
            second, second_mask = placed[j]
            x0, y0 = max(first[0], second[0]) - 1, max(first[1], second[1]) - 1
            x1, y1 = min(first[2], second[2]) + 1, min(first[3], second[3]) + 1
            if x1 <= x0 or y1 <= y0:
                continue
            a = _window(first, first_mask, (x0, y0, x1, y1))
            b = _window(second, second_mask, (x0, y0, x1, y1))
            if np.any((cv2.dilate(a, np.ones((3, 3), np.uint8)) > 0) & (b > 0)):
                found[i].append(j)
                found[j].append(i)
    return [tuple(entry) for entry in found]


def _window(
    box: tuple[int, int, int, int], mask: NDArray[np.bool_], window: tuple[int, int, int, int]
) -> NDArray[np.uint8]:
    out = np.zeros((window[3] - window[1], window[2] - window[0]), np.uint8)
    x0, y0, x1, y1 = max(box[0], window[0]), max(box[1], window[1]), min(box[2], window[2]), min(box[3], window[3])
    if x1 > x0 and y1 > y0:
        out[y0 - window[1] : y1 - window[1], x0 - window[0] : x1 - window[0]] = mask[
            y0 - box[1] : y1 - box[1], x0 - box[0] : x1 - box[0]
        ]
    return out


def full_size(working: WorkingImage, size: tuple[int, ...]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Bring background and nuclei to the image's own pixels."""
    if working.density.shape == size:
        return working.background, working.nuclei
    target = (size[1], size[0])
    background = cv2.resize(working.background, target, interpolation=cv2.INTER_LINEAR)
    nuclei = cv2.resize(working.nuclei.astype(np.uint8), target, interpolation=cv2.INTER_NEAREST) > 0
    return np.asarray(background, dtype=np.float32), nuclei
