"""Real metaphase pictures laid on the slide at their physical scale."""

from __future__ import annotations

import csv
import gzip
import math
from collections import defaultdict
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

PICTURE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp"})
TSENG_UM_PER_PX = 0.1024
"""Pixel size that pictures are taken to have where nothing else is said."""

LABEL_PADDING_PX = (7.0, 8.0, 5.0, 4.0)
"""Slide between a chromosome and its published box in such pictures: left, top, right, bottom. The number of the
analysis' data set (`analysis.datasets.tseng.TSENG_PADDING_PX`), which no simulator may import."""

MARGIN_UM = 16.0
"""Width of the margin in which nuclei at a picture's border are completed."""

_Sample = TypeVar("_Sample", np.uint8, np.float32)

_FEATHER_UM = 2.5
_NUCLEUS_HALF_UM = 2.2
_BODY_GREY = 38.0
_FLOOR_GREY = 4.0
_GRAIN_OD = 0.045


@dataclass(frozen=True, slots=True)
class BoxLabel:
    """One labelled chromosome: class and (xmin, ymin, xmax, ymax) in picture px, as the file has it."""

    class_name: str
    box_px: tuple[float, float, float, float]


def list_pictures(folder: Path) -> tuple[Path, ...]:
    """Pictures of a folder, sorted by name.

    Raises
    ------
    ValueError
        The folder isn't there or holds no picture.
    """
    if not folder.is_dir():
        raise ValueError(f"specimen {folder}: no such folder")
    pictures = sorted(path for path in folder.iterdir() if path.suffix.lower() in PICTURE_SUFFIXES)
    if not pictures:
        raise ValueError(f"specimen {folder}: no pictures ({', '.join(sorted(PICTURE_SUFFIXES))})")
    return tuple(pictures)


def find_boxes(picture: Path) -> tuple[BoxLabel, ...]:
    """Labels of a picture from ``boxes.csv`` or ``boxes.csv.gz`` beside or above it; empty where there are none.

    Links are followed, so that a folder of links into a labelled set is labelled too.
    """
    for start in (picture, picture.resolve()):
        for folder in (start.parent, start.parent.parent):
            for name in ("boxes.csv", "boxes.csv.gz"):
                table = folder / name
                if table.is_file():
                    boxes = _read_boxes(table).get(start.stem)
                    if boxes is not None:
                        return boxes
    return ()


@lru_cache(maxsize=4)
def _read_boxes(table: Path) -> dict[str, tuple[BoxLabel, ...]]:
    raw = table.read_bytes()
    text = (gzip.decompress(raw) if table.suffix == ".gz" else raw).decode("utf-8")
    rows: dict[str, list[BoxLabel]] = defaultdict(list)
    for row in csv.DictReader(text.splitlines()):
        box = (float(row["xmin"]), float(row["ymin"]), float(row["xmax"]), float(row["ymax"]))
        rows[Path(row["image"]).stem].append(BoxLabel(row["class"], box))
    return {image: tuple(boxes) for image, boxes in rows.items()}


def read_size(picture: Path) -> tuple[int, int]:
    """Width and height of a picture in px.

    Raises
    ------
    ValueError
        The file isn't a readable picture.
    """
    height, width = _read_grey(picture).shape
    return width, height


def picture_od(picture: Path, um_per_px: float) -> NDArray[np.float32]:
    """Optical density of a picture against its own background, fading to none at the border.

    A smooth background is divided out. Nuclei that the frame has cut go on as their mirror image in a margin of
    `MARGIN_UM`; whatever else it has cut fades over a few um, so that no frame shows on the slide.

    Parameters
    ----------
    picture
        File with dark chromosomes on bright ground, or bright on dark (then inverted).
    um_per_px
        Its pixel size.

    Returns
    -------
    ndarray
        float32, shape (height, width) of the picture with the margin on all sides (see `margin_px`).

    Raises
    ------
    ValueError
        The file isn't a readable picture.
    """
    grey = _read_grey(picture).astype(np.float32)
    if np.median(grey) < 100.0 and np.percentile(grey, 5) < 60.0:
        grey = 255.0 - grey
    background = _background(grey, um_per_px)
    od = -np.log10(np.maximum(grey, _FLOOR_GREY) / np.maximum(background, _FLOOR_GREY))
    # What is left of the background is grain of the camera and of JPEG: the twin's camera has its own.
    depth = np.clip(od / _GRAIN_OD, 0.0, 1.0)
    od = np.asarray(od * depth * depth * (3.0 - 2.0 * depth), dtype=np.float32)
    return _without_frame(od, um_per_px)


def margin_px(um_per_px: float) -> int:
    """Pixels that `picture_od` adds on every side."""
    return math.ceil(MARGIN_UM / um_per_px)


def _without_frame(od: NDArray[np.float32], um_per_px: float) -> NDArray[np.float32]:
    """Let the picture end without an edge."""
    margin = margin_px(um_per_px)
    nuclei = _cut_nuclei(od, um_per_px)
    faded = od * np.maximum(_feather(od.shape, _FEATHER_UM / um_per_px), nuclei)
    whole = _mirrored(od * nuclei, margin)
    whole[margin:-margin, margin:-margin] = faded
    return np.asarray(whole * _feather(whole.shape, margin / 2.0), dtype=np.float32)


def _mirrored(picture: NDArray[_Sample], margin: int) -> NDArray[_Sample]:
    return np.pad(picture, margin, mode="symmetric")


def _cut_nuclei(od: NDArray[np.float32], um_per_px: float) -> NDArray[np.float32]:
    """Soft mask, 0 .. 1, of bodies thicker than chromosomes that the frame has cut."""
    # Padded with itself, so that a body at the border isn't taken for thin.
    reach = round(_NUCLEUS_HALF_UM / um_per_px)
    dark = _mirrored((od > 0.1).astype(np.uint8), 2 * reach)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    thick = cv2.morphologyEx(dark, cv2.MORPH_OPEN, kernel)[2 * reach : -2 * reach, 2 * reach : -2 * reach]
    _, labels = cv2.connectedComponents(np.ascontiguousarray(thick))
    border = np.concatenate((labels[0], labels[-1], labels[:, 0], labels[:, -1]))
    cut = np.isin(labels, np.unique(border[border > 0])).astype(np.float32)
    soft = round(0.6 / um_per_px)
    grown = cv2.dilate(cut, np.ones((2 * soft + 1, 2 * soft + 1), np.uint8))
    return np.asarray(cv2.GaussianBlur(grown, (0, 0), soft / 2.0), dtype=np.float32)


def _read_grey(picture: Path) -> NDArray[np.uint8]:
    try:
        raw = np.frombuffer(picture.read_bytes(), np.uint8)
    except OSError as error:
        raise ValueError(f"specimen {picture}: {error.strerror}") from error
    grey = cv2.imdecode(raw, cv2.IMREAD_GRAYSCALE) if raw.size else None
    if grey is None:
        raise ValueError(f"specimen {picture}: not a readable picture")
    return np.asarray(grey, dtype=np.uint8)


def _background(grey: NDArray[np.float32], um_per_px: float) -> NDArray[np.float32]:
    """Grey level of the empty glass: large-scale, from pixels near the brightest mode and away from bodies."""
    counts = np.bincount(grey.astype(np.int64).ravel(), minlength=256).astype(np.float64)
    smooth = gaussian_filter(counts, 2.0)
    bright = int(np.percentile(grey, 50))
    mode = float(bright + np.argmax(smooth[bright:]))
    bodies = (grey < mode - _BODY_GREY).astype(np.uint8)
    reach = round(1.0 / um_per_px)
    glass = 1.0 - cv2.dilate(bodies, np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)).astype(np.float32)
    sigma = max(grey.shape) / 14.0
    weight = cv2.GaussianBlur(glass, (0, 0), sigma, borderType=cv2.BORDER_REFLECT)
    total = cv2.GaussianBlur(glass * grey, (0, 0), sigma, borderType=cv2.BORDER_REFLECT)
    # Where little glass is seen the mode of the whole picture stands in.
    share = 0.05
    return np.asarray((total + share * mode) / (weight + share), dtype=np.float32)


def _feather(shape: tuple[int, ...], width_of_ramp_px: float) -> NDArray[np.float32]:
    def ramp(length: int) -> NDArray[np.float32]:
        from_edge = np.minimum(np.arange(length), np.arange(length)[::-1]).astype(np.float32)
        part = np.clip((from_edge + 0.5) / width_of_ramp_px, 0.0, 1.0)
        return np.asarray(part * part * (3.0 - 2.0 * part), dtype=np.float32)

    return np.asarray(ramp(shape[0])[:, None] * ramp(shape[1])[None, :], dtype=np.float32)
