"""Pictures and boxes for the detector's training, prepared once and kept outside the repository.

The labellers of the Tseng set left more slide on the upper left of a chromosome than on the lower right, by an
amount that differs from cell to cell. Pictures are turned and mirrored in training, which makes that unlearnable
noise; boxes are therefore centred on their chromosomes first, by what the isolated ones of the cell show.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from analysis.datasets.tseng import TSENG_PADDING_PX, TsengImage, load_tseng_for_training
from analysis.detection.preprocessing import density_of, relative_density
from analysis.errors import DatasetError
from analysis.imaging.foreground import otsu
from analysis.imaging.image_file import read_image
from analysis.structures.boxes import box_intersections
from analysis.structures.classes import CLASS_NAMES
from analysis.training.engine.checkpoint import whole_file
from analysis.training.engine.progress import Progress

NO_CLASS: Final = -1
"""Class index of a chromosome whose class nobody said."""

DENSITY_STEPS: Final = 150.0
"""Relative densities up to 1.7 are kept as bytes."""

_EDGE: Final = 0.6
"""Border of an isolated chromosome, in units of Otsu's threshold."""

_ISOLATED_SHARE: Final = 0.9
_MAX_PADDING_PX: Final = 16.0
_PRIOR_COUNT: Final = 4.0
"""The set's typical padding counts as this many chromosomes of the cell."""

_SINGLES_A_CELL: Final = 10
_MARGIN_PX: Final = 4


@dataclass(frozen=True, slots=True)
class Single:
    """An isolated chromosome, to be added to other cells.

    Attributes
    ----------
    density
        uint8, relative density in steps; 0 outside the chromosome and its halo, 4 px wide.
    class_index
        0..21 for 1..22, 22 X, 23 Y.
    """

    density: NDArray[np.uint8]
    class_index: int


@dataclass(frozen=True, slots=True)
class DetectorCell:
    """One prepared picture.

    Attributes
    ----------
    name, case
        Of the picture.
    density
        uint8, shape (h, w): relative density in steps of 1/150.
    boxes_px
        float32, shape (n, 4): centred boxes.
    truth_px
        float32, shape (n, 4): boxes as published.
    classes
        int64, shape (n,); `NO_CLASS` where nobody said.
    singles
        Isolated chromosomes of the cell.
    """

    name: str
    case: str
    density: NDArray[np.uint8]
    boxes_px: NDArray[np.float32]
    truth_px: NDArray[np.float32]
    classes: NDArray[np.int64]
    singles: tuple[Single, ...]


def prepare_cells(
    data_dir: Path,
    cache_dir: Path,
    split: str,
    *,
    limit: int | None = None,
    progress: Progress | None = None,
) -> list[DetectorCell]:
    """Prepare the pictures of a split, or read them where they are prepared already.

    Parameters
    ----------
    data_dir
        Folder of the Tseng set.
    cache_dir
        Where prepared pictures are kept; keep it outside of a repository.
    split
        ``"train"`` or ``"val"``; the detector never sees ``"test"``.
    limit
        Only this many pictures, evenly over the split.
    progress
        Called with one line where there is work.

    Raises
    ------
    DatasetError
        Where the set isn't there, or for the test split.
    """
    if split not in {"train", "val"}:
        raise DatasetError(f"the detector isn't trained with the split {split!r}", path=data_dir)
    entries = load_tseng_for_training(data_dir, split)
    if limit is not None and limit < len(entries):
        at = np.linspace(0, len(entries) - 1, limit).round().astype(int)
        entries = tuple(entries[k] for k in at)
    path = cache_dir / f"{split}-{len(entries)}.npz"
    if not path.is_file():
        if progress is not None:
            progress(f"preparing {len(entries)} pictures of {split}")
        _write(path, [_densities(entry) for entry in entries])
    with np.load(path) as arrays:
        return [_cell(entry, arrays[str(k)]) for k, entry in enumerate(entries)]


def _write(path: Path, pictures: list[NDArray[np.uint8]]) -> None:
    named = {str(k): picture for k, picture in enumerate(pictures)}
    with whole_file(path) as file:
        np.savez(file, allow_pickle=False, **named)


def _densities(tseng_image: TsengImage) -> NDArray[np.uint8]:
    relative = relative_density(density_of(read_image(tseng_image.path).pixels))
    return np.asarray(np.rint(relative * DENSITY_STEPS), dtype=np.uint8)


def _cell(tseng_image: TsengImage, density: NDArray[np.uint8]) -> DetectorCell:
    truth = tseng_image.boxes_px.astype(np.float32)
    classes = np.asarray([CLASS_NAMES.index(name) for name in tseng_image.classes], np.int64)
    paddings, singles = _isolated(density, truth, classes)
    shift = centre_shift(paddings)
    centred = truth + np.asarray([*shift, *shift], np.float32)
    return DetectorCell(tseng_image.name, tseng_image.case, density, centred, truth, classes, singles)


def centre_shift(paddings_px: NDArray[np.float32]) -> NDArray[np.float32]:
    """How far (x, y) a cell's boxes have to be moved to lie centred on their chromosomes.

    Parameters
    ----------
    paddings_px
        Shape (n, 4): slide left, above, right and below of n isolated chromosomes of the cell.
    """
    reference = np.asarray(TSENG_PADDING_PX, np.float32)
    weight = len(paddings_px) / (len(paddings_px) + _PRIOR_COUNT)
    own = np.median(paddings_px, axis=0) if len(paddings_px) else reference
    padding = weight * own + (1.0 - weight) * reference
    return np.asarray((padding[:2] - padding[2:]) / 2.0, dtype=np.float32)


def _isolated(
    density: NDArray[np.uint8], true_boxes_px: NDArray[np.float32], classes: NDArray[np.int64]
) -> tuple[NDArray[np.float32], tuple[Single, ...]]:
    """Paddings of the isolated chromosomes, and some of them as pictures."""
    height, width = density.shape
    level = _EDGE * otsu(density[::2, ::2].astype(np.float32))
    _, labels, stats, _ = cv2.connectedComponentsWithStats((density > level).astype(np.uint8), connectivity=4)
    shared = box_intersections(true_boxes_px.astype(np.float64), true_boxes_px.astype(np.float64))
    np.fill_diagonal(shared, 0.0)
    paddings: list[tuple[int, int, int, int]] = []
    singles: list[Single] = []
    for k, box in enumerate(true_boxes_px):
        x0, y0, x1, y1 = (int(value) for value in box)
        if x0 < 3 or y0 < 3 or x1 > width - 3 or y1 > height - 3:
            continue
        inside = labels[y0:y1, x0:x1]
        counts = np.bincount(inside[inside > 0]) if inside.any() else np.zeros(1, np.int64)
        blob = int(counts.argmax())
        if counts[blob] == 0 or counts[blob] < _ISOLATED_SHARE * counts.sum():
            continue
        x, y, w, h, _ = (int(value) for value in stats[blob])
        padding = (x - x0, y - y0, x1 - x - w, y1 - y - h)
        if min(padding) < -2 or max(padding) > _MAX_PADDING_PX:
            continue
        paddings.append(padding)
        if not shared[k].any() and len(singles) < _SINGLES_A_CELL:
            singles.append(Single(_cut(density, labels == blob, (x, y, w, h)), int(classes[k])))
    return np.asarray(paddings, np.float32).reshape(-1, 4), tuple(singles)


def _cut(
    density: NDArray[np.uint8], mask: NDArray[np.bool_], place: tuple[int, int, int, int]
) -> NDArray[np.uint8]:
    """Cut a chromosome and its halo out."""
    x, y, w, h = place
    left, top = max(0, x - _MARGIN_PX), max(0, y - _MARGIN_PX)
    window = (slice(top, y + h + _MARGIN_PX), slice(left, x + w + _MARGIN_PX))
    near = cv2.dilate(mask[window].astype(np.uint8), np.ones((2 * _MARGIN_PX - 1, 2 * _MARGIN_PX - 1), np.uint8))
    soft = cv2.GaussianBlur(near.astype(np.float32), (0, 0), 1.0)
    return np.asarray(np.rint(density[window] * soft), dtype=np.uint8)
