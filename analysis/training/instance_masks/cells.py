"""Labelled cells at working scale, as the segmentation sees them, with what lies alone already outlined."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from analysis.datasets.tseng import TsengImage, load_tseng_for_training, spread_evenly
from analysis.errors import DatasetError, NoMetaphaseError
from analysis.imaging.foreground import find_foreground
from analysis.imaging.image_file import read_image
from analysis.imaging.working_image import make_working_image
from analysis.segmentation.box_geometry import largest_component, tight_boxes
from analysis.segmentation.instance_masks.prompts import stain_level
from analysis.training.detector.data import centre_shift
from analysis.training.engine.checkpoint import whole_file
from analysis.training.engine.progress import Progress
from analysis.training.masks.singles import LEVEL_STEPS, FreeSingle

_STEPS: Final = 80.0
"""Levels up to 3.1 are kept as bytes."""


@dataclass(frozen=True, slots=True)
class IsolatedOutlineSettings:
    """How an isolated chromosome is found and outlined.

    Attributes
    ----------
    padding_px
        Slide that labellers left about a chromosome, the mean of the four sides, in px of the file.
    alone
        Fraction of a piece that lies within its box.
    other
        Fraction of a piece within another box at most.
    side_px
        How far the piece's sides may be off those of its box.
    half_height
        The outline lies where the stain is this part of the stain near by.
    near_px
        Near by; less than half a chromosome's width, so that pale ends have a border of their own.
    least_level
        Paler than this is slide.
    reach_px
        How far the outline may lie outside of the thresholded piece.
    halo_px
        Of a chromosome that is cut out to be pasted elsewhere.
    """

    padding_px: float = 6.0
    alone: float = 0.97
    other: float = 0.1
    side_px: float = 5.0
    half_height: float = 0.45
    near_px: int = 4
    least_level: float = 0.18
    reach_px: int = 4
    halo_px: int = 4


_OUTLINE: Final = IsolatedOutlineSettings()


@dataclass(frozen=True, slots=True)
class MaskTrainingCell:
    """A labelled cell.

    Attributes
    ----------
    level
        float32, shape (h, w): see `stain_level`.
    nuclei
        bool, shape (h, w).
    tight_px
        float32, shape (n, 4): close-fitting boxes, in working px.
    padding_px
        Slide between these and the labelled boxes.
    width_px
        Typical width of a chromosome.
    isolated
        For each box the outline of its chromosome where it lies alone: bool mask and its corner (x, y); else None.
    """

    level: NDArray[np.float32]
    nuclei: NDArray[np.bool_]
    tight_px: NDArray[np.float32]
    padding_px: float
    width_px: float
    isolated: tuple[tuple[NDArray[np.bool_], int, int] | None, ...]

    def singles(self) -> list[FreeSingle]:
        """Chromosomes that lie alone, cut out with their halo."""
        halo = _OUTLINE.halo_px
        out = []
        for entry in self.isolated:
            if entry is None:
                continue
            mask, x, y = entry
            wide = np.pad(mask, halo)
            y0, x0 = y - halo, x - halo
            height, width = wide.shape
            if y0 < 0 or x0 < 0 or y0 + height > self.level.shape[0] or x0 + width > self.level.shape[1]:
                continue
            near = cv2.dilate(wide.astype(np.uint8), np.ones((2 * halo - 1, 2 * halo - 1), np.uint8))
            soft = cv2.GaussianBlur(near.astype(np.float32), (0, 0), 1.0)
            level = self.level[y0 : y0 + height, x0 : x0 + width] * soft
            steps = np.rint(np.clip(level * LEVEL_STEPS, 0.0, 255.0)).astype(np.uint8)
            out.append(FreeSingle(steps, wide, self.width_px, 0))
        return out


class MaskTrainingCells(Sequence[MaskTrainingCell]):
    """Prepared cells of a split, read from their files one by one.

    Parameters
    ----------
    paths
        Their files.

    Attributes
    ----------
    paths
        The files.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self.paths = tuple(paths)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> MaskTrainingCell:  # type: ignore[override]
        return _read(self.paths[index])

    def __iter__(self) -> Iterator[MaskTrainingCell]:
        return (_read(path) for path in self.paths)


def prepare_mask_cells(
    data_dir: Path,
    cache_dir: Path,
    split: str,
    *,
    limit: int | None = None,
    progress: Progress | None = None,
) -> MaskTrainingCells:
    """Prepare the cells of a split, those that aren't prepared already.

    Parameters
    ----------
    data_dir
        Folder of the Tseng set.
    cache_dir
        Where prepared cells are kept; outside of a repository.
    split
        ``"train"`` or ``"val"``.
    limit
        Only this many, evenly over the split.
    progress
        Called with one line where there is work.

    Raises
    ------
    DatasetError
        Where the set isn't there, or for a split that is for reading figures.
    """
    if split not in {"train", "val"}:
        raise DatasetError(f"the mask net isn't trained with the split {split!r}", path=data_dir)
    entries = spread_evenly(load_tseng_for_training(data_dir, split), limit)
    paths = [cache_dir / split / f"{entry.name}.npz" for entry in entries]
    missing = [(entry, path) for entry, path in zip(entries, paths, strict=True) if not path.is_file()]
    if missing and progress is not None:
        progress(f"preparing {len(missing)} cells of {split}")
    for entry, path in missing:
        _prepare(entry, path)
    return MaskTrainingCells([path for path in paths if path.stat().st_size])


def _prepare(entry: TsengImage, path: Path) -> None:
    """Write a cell's file; an empty one where nothing is stained."""
    image = read_image(entry.path)
    try:
        working = make_working_image(image)
    except NoMetaphaseError:
        with whole_file(path):
            return
    foreground = find_foreground(working.density, working.nuclei, working.width_px)
    level = stain_level(working.density, foreground.level)
    padding_px = _OUTLINE.padding_px * working.factor
    labelled = entry.boxes_px.astype(np.float32) * np.float32(working.factor)
    components = _components(foreground.mask)
    tight = tight_boxes(labelled, padding_px)
    owned = [_piece_of(k, tight, labelled, components) for k in range(len(labelled))]
    offsets = [_offset(piece, labelled[k]) for k, piece in enumerate(owned) if piece is not None]
    shift = centre_shift(np.asarray(offsets, np.float32).reshape(-1, 4) / np.float32(working.factor))
    tight = tight + np.tile(shift * np.float32(working.factor), 2)
    isolated = [
        _outlined(piece, level, components[0]) if piece is not None and _fits(piece, tight[k]) else None
        for k, piece in enumerate(owned)
    ]
    with whole_file(path) as file:
        np.savez(
            file,
            level=np.rint(level * _STEPS).astype(np.uint8),
            nuclei=np.packbits(working.nuclei),
            tight=tight.astype(np.float32),
            scalars=np.asarray([padding_px, working.width_px], np.float32),
            places=np.asarray(
                [(-1, 0, 0, 0) if it is None else (it[1], it[2], *it[0].shape) for it in isolated], np.int32
            ),
            masks=np.packbits(np.concatenate([np.zeros(0, bool), *(it[0].ravel() for it in isolated if it)])),
        )


def _read(path: Path) -> MaskTrainingCell:
    with np.load(path) as arrays:
        level = arrays["level"].astype(np.float32) / np.float32(_STEPS)
        nuclei = np.unpackbits(arrays["nuclei"], count=level.size).astype(np.bool_).reshape(level.shape)
        tight, scalars, places, packed = (arrays[name] for name in ("tight", "scalars", "places", "masks"))
    total = int((places[:, 2] * places[:, 3])[places[:, 0] >= 0].sum())
    flat = np.unpackbits(packed, count=total).astype(np.bool_)
    isolated: list[tuple[NDArray[np.bool_], int, int] | None] = []
    at = 0
    for x, y, height, width in places:
        if x < 0:
            isolated.append(None)
            continue
        mask = flat[at : at + height * width].reshape(height, width)
        isolated.append((mask, int(x), int(y)))
        at += height * width
    return MaskTrainingCell(level, nuclei, tight, float(scalars[0]), float(scalars[1]), tuple(isolated))


_Components = tuple[NDArray[np.int32], NDArray[np.int32]]


def _components(mask: NDArray[np.bool_]) -> _Components:
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=4)
    return np.asarray(labels, dtype=np.int32), np.asarray(stats, dtype=np.int32)


def _piece_of(
    number: int, tight: NDArray[np.float32], labelled: NDArray[np.float32], components: _Components
) -> tuple[int, tuple[int, int, int, int]] | None:
    """Label and box of the piece that is a box's chromosome, alone and whole; None where there is none such."""
    labels, stats = components
    x0, y0, x1, y1 = (max(0, round(float(value))) for value in labelled[number])
    counts = np.bincount(labels[y0:y1, x0:x1].ravel(), minlength=1)
    counts[0] = 0
    label = int(counts.argmax())
    area = int(stats[label, cv2.CC_STAT_AREA]) if counts[label] else 0
    if area == 0 or counts[label] < _OUTLINE.alone * area:
        return None
    x, y, width, height = (int(value) for value in stats[label, :4])
    own = labels[y : y + height, x : x + width] == label
    for other in range(len(tight)):
        if other == number:
            continue
        left, top, right, bottom = (round(float(v)) for v in tight[other] - np.asarray([x, y] * 2, np.float32))
        if right <= 0 or bottom <= 0 or left >= width or top >= height:
            continue
        held = np.count_nonzero(own[max(0, top) : max(0, bottom), max(0, left) : max(0, right)])
        if held > _OUTLINE.other * area:
            return None
    edge = min(x, y, labels.shape[1] - x - width, labels.shape[0] - y - height)
    return (label, (x, y, width, height)) if edge > _OUTLINE.reach_px else None


def _offset(
    piece: tuple[int, tuple[int, int, int, int]], labelled: NDArray[np.float32]
) -> tuple[float, float, float, float]:
    x, y, width, height = piece[1]
    x0, y0, x1, y1 = (float(value) for value in labelled)
    return x - x0, y - y0, x1 - x - width, y1 - y - height


def _fits(piece: tuple[int, tuple[int, int, int, int]], tight: NDArray[np.float32]) -> bool:
    x, y, width, height = piece[1]
    off = np.abs(np.asarray([x, y, x + width, y + height], np.float32) - tight)
    return bool(off.max() <= _OUTLINE.side_px)


def _outlined(
    piece: tuple[int, tuple[int, int, int, int]], level: NDArray[np.float32], labels: NDArray[np.int32]
) -> tuple[NDArray[np.bool_], int, int] | None:
    """Outline a chromosome where its stain is half of that near by: pale ends and bands are part of it."""
    label, (x, y, width, height) = piece
    reach = _OUTLINE.reach_px
    window = (slice(y - reach, y + height + reach), slice(x - reach, x + width + reach))
    own = (labels[window] == label).astype(np.uint8)
    others = ((labels[window] > 0) & (labels[window] != label)).astype(np.uint8)
    size = 2 * reach + 1
    allowed = (cv2.dilate(own, np.ones((size, size), np.uint8)) > 0) & (
        cv2.dilate(others, np.ones((3, 3), np.uint8)) == 0
    )
    stain = level[window]
    near = 2 * _OUTLINE.near_px + 1
    local = cv2.dilate(stain, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (near, near)))
    border = np.maximum(_OUTLINE.half_height * local, _OUTLINE.least_level)
    mask = ((stain > border) & allowed) | (own > 0)
    closed = cv2.morphologyEx(np.pad(mask.astype(np.uint8), 3), cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8))
    contours, _ = cv2.findContours(closed, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    if not contours:
        return None
    filled = np.zeros_like(closed)
    cv2.drawContours(filled, [max(contours, key=cv2.contourArea)], -1, 1, cv2.FILLED)
    smooth = cv2.GaussianBlur(filled.astype(np.float32), (0, 0), 1.0)[3:-3, 3:-3] > 0.5
    body = largest_component(np.asarray(smooth, dtype=np.bool_))
    return (body, x - reach, y - reach) if body.any() else None
