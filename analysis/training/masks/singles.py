"""Chromosomes with free masks: what lies alone on its slide, or was cut out by a laboratory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from analysis.datasets.gband612 import gband612_cells
from analysis.errors import DatasetError
from analysis.imaging.chromosome_width import estimate_width
from analysis.straightening.crops import object_from_picture
from analysis.structures.classes import CLASS_NAMES
from analysis.training.detector.data import DENSITY_STEPS, NO_CLASS, prepare_cells
from analysis.training.engine.checkpoint import whole_file
from analysis.training.engine.progress import Progress

LEVEL_STEPS: Final = 100.0
"""Densities in units of the cell's typical stain, up to 2.5, are kept as bytes."""

SOURCES: Final = ("tseng", "gband612")
_EDGE: Final = 0.5
_SHARPENED_EDGE: Final = 0.3
_SOFT_PX: Final = 1.3
_MIN_WIDTH_PX: Final = 8.0
_MAX_LENGTH: Final = 11.0
"""Longer ones, in widths, are no chromosomes but two."""


@dataclass(frozen=True, slots=True)
class FreeSingle:
    """One chromosome, alone.

    Attributes
    ----------
    level
        uint8, shape (h, w): density over the cell's typical stain, times 100; 0 outside of its halo.
    mask
        bool, shape (h, w).
    width_px
        Typical width of a chromosome in its cell.
    cell
        Number of its cell: chromosomes of one cell are stained alike.
    class_index
        0..21 for 1..22, 22 X, 23 Y; `NO_CLASS` where nobody said.
    """

    level: NDArray[np.uint8]
    mask: NDArray[np.bool_]
    width_px: float
    cell: int
    class_index: int = NO_CLASS


@dataclass(frozen=True, slots=True)
class SingleBank:
    """Chromosomes to build scenes of.

    Attributes
    ----------
    singles
        All of them.
    by_cell
        Their indices, cell by cell.
    """

    singles: tuple[FreeSingle, ...]
    by_cell: tuple[tuple[int, ...], ...]

    @staticmethod
    def of(singles: Sequence[FreeSingle]) -> SingleBank:
        """Sort chromosomes by their cells."""
        groups: dict[int, list[int]] = {}
        for number, single in enumerate(singles):
            groups.setdefault(single.cell, []).append(number)
        return SingleBank(tuple(singles), tuple(tuple(rows) for rows in groups.values()))

    def __len__(self) -> int:
        return len(self.singles)


def load_bank(
    data_dir: Path,
    cache_dir: Path,
    split: str,
    *,
    sources: Sequence[str] = SOURCES,
    cell_count: int | None = None,
    progress: Progress | None = None,
) -> SingleBank:
    """Gather chromosomes of a split, or read them where they were gathered already.

    Parameters
    ----------
    data_dir
        Data root.
    cache_dir
        Where they are kept; outside of a repository.
    split
        ``"train"`` or ``"val"`` (by case).
    sources
        ``"tseng"``: isolated chromosomes of that set's metaphases; any other name: a folder of the data root with
        crops as gband612 has them, ``crops.zip`` and ``crops.csv``.
    cell_count
        At most as many cells of each source.

    Raises
    ------
    DatasetError
        Where a set isn't there, or for the test split.
    """
    if split not in {"train", "val"}:
        raise DatasetError(f"nothing is trained with the split {split!r}", path=data_dir)
    gathered: list[FreeSingle] = []
    for source in sources:
        path = cache_dir / f"singles-{source}-{split}-{cell_count or 'all'}.npz"
        if not path.is_file():
            if progress is not None:
                progress(f"gathering single chromosomes of {source}, {split}")
            if source == "tseng":
                groups = _tseng(data_dir, cache_dir, split, cell_count)
            elif (data_dir / source / "crops.csv").is_file():
                groups = _crops(data_dir / source, split, cell_count)
            else:
                raise DatasetError(f"no source of single chromosomes: {source!r}", path=data_dir)
            _write(path, [single for group in groups for single in group])
        offset = 1 + max((single.cell for single in gathered), default=-1)
        gathered += _read(path, offset)
    return SingleBank.of(gathered)


def singles_of_cell(
    levels: Sequence[NDArray[np.float32]],
    masks: Sequence[NDArray[np.bool_]],
    cell_number: int,
    class_indices: Sequence[int] | None = None,
) -> list[FreeSingle]:
    """Relate the chromosomes of a cell to its typical stain and width.

    Parameters
    ----------
    levels
        float32, shape (h, w) each: densities in any unit, 0 outside.
    masks
        bool, of the same shape each.
    cell_number
        Number of the cell.
    class_indices
        Of the chromosomes, see `FreeSingle`; None where nobody said.
    """
    classes = [NO_CLASS] * len(masks) if class_indices is None else class_indices
    labelled = [each for each in zip(levels, masks, classes, strict=True) if each[1].any()]
    if not labelled:
        return []
    width = _width([mask for _, mask, _ in labelled])
    typical = float(np.median(np.concatenate([level[mask] for level, mask, _ in labelled])))
    if width < _MIN_WIDTH_PX or typical <= 0.0:
        return []
    made = []
    for level, mask, class_index in labelled:
        if max(mask.shape) > _MAX_LENGTH * width or np.count_nonzero(mask) < 0.8 * width**2:
            continue
        steps = np.rint(np.clip(level / typical * LEVEL_STEPS, 0.0, 255.0)).astype(np.uint8)
        made.append(FreeSingle(steps, mask, width, cell_number, class_index))
    return made


def _width(masks: Sequence[NDArray[np.bool_]]) -> float:
    """Typical width over all masks of a cell, laid side by side."""
    height = max(mask.shape[0] for mask in masks) + 2
    strip = np.zeros((height, sum(mask.shape[1] + 2 for mask in masks)), np.bool_)
    at = 1
    for mask in masks:
        strip[1 : 1 + mask.shape[0], at : at + mask.shape[1]] = mask
        at += mask.shape[1] + 2
    return estimate_width(strip)


def _tseng(data_dir: Path, cache_dir: Path, split: str, cell_count: int | None) -> Iterator[list[FreeSingle]]:
    for number, cell in enumerate(prepare_cells(data_dir / "tseng", cache_dir, split, limit=cell_count)):
        levels = [single.density.astype(np.float32) / np.float32(DENSITY_STEPS) for single in cell.singles]
        masks = [_outlined(level, _EDGE) for level in levels]
        yield singles_of_cell(levels, masks, number, [single.class_index for single in cell.singles])


def _crops(folder: Path, split: str, cell_count: int | None) -> Iterator[list[FreeSingle]]:
    for number, cell in enumerate(gband612_cells(folder, split)):
        if cell_count is not None and number >= cell_count:
            return
        objects = [object_from_picture(np.pad(picture, 4, constant_values=255)) for picture in cell.pictures]
        # These pictures were sharpened until pale bands are as white as the slide.
        levels = [
            np.asarray(
                cv2.GaussianBlur(np.where(piece.mask, piece.density, 0.0), (0, 0), _SOFT_PX), dtype=np.float32
            )
            for piece in objects
        ]
        masks = [_outlined(level, _SHARPENED_EDGE) for level in levels]
        yield singles_of_cell(levels, masks, number, [_class_index(name) for name in cell.classes])


def _class_index(name: str) -> int:
    return CLASS_NAMES.index(name) if name in CLASS_NAMES else NO_CLASS


def _outlined(level: NDArray[np.float32], edge: float) -> NDArray[np.bool_]:
    """Mark the chromosome: what is darker than a share of its stain, in one piece and without holes."""
    inside = level[level > 0.0]
    if inside.size == 0:
        return np.zeros(level.shape, np.bool_)
    stain = float(np.median(inside[inside >= np.median(inside)]))
    byte = (level > edge * stain).astype(np.uint8)
    byte = np.asarray(
        cv2.morphologyEx(np.pad(byte, 2), cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8)), dtype=np.uint8
    )
    contours, _ = cv2.findContours(byte, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    filled = np.zeros_like(byte)
    if contours:
        cv2.drawContours(filled, [max(contours, key=cv2.contourArea)], -1, 1, cv2.FILLED)
    return np.asarray(filled[2:-2, 2:-2] > 0, dtype=np.bool_)


def _write(path: Path, singles: Sequence[FreeSingle]) -> None:
    flat = [single.level.ravel() for single in singles]
    with whole_file(path) as file:
        np.savez(
            file,
            level=np.concatenate(flat) if flat else np.zeros(0, np.uint8),
            mask=np.packbits(
                np.concatenate([single.mask.ravel() for single in singles]) if flat else np.zeros(0, bool)
            ),
            shape=np.asarray([single.level.shape for single in singles], np.int32).reshape(-1, 2),
            width_px=np.asarray([single.width_px for single in singles], np.float32),
            cell=np.asarray([single.cell for single in singles], np.int32),
            class_index=np.asarray([single.class_index for single in singles], np.int32),
        )


def _read(path: Path, first_cell: int) -> list[FreeSingle]:
    with np.load(path) as arrays:
        level, shapes = arrays["level"], arrays["shape"]
        mask = np.unpackbits(arrays["mask"], count=len(level)).astype(np.bool_)
        widths, cells = arrays["width_px"], arrays["cell"]
        # Files of earlier versions have no classes.
        classes = arrays["class_index"] if "class_index" in arrays else np.full(len(cells), NO_CLASS)
    made, at = [], 0
    for (height, width), width_px, cell, class_index in zip(shapes, widths, cells, classes, strict=True):
        size = int(height) * int(width)
        shape = (int(height), int(width))
        made.append(
            FreeSingle(
                level[at : at + size].reshape(shape),
                mask[at : at + size].reshape(shape),
                float(width_px),
                first_cell + int(cell),
                int(class_index),
            )
        )
        at += size
    return made
