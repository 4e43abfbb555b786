"""Prepared crops for the classifier's training, cached outside the repository.

Crops are made by the very code of the inference, cell by cell, because sizes and contrast are relative to the
cell.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from analysis.classification.classes import CLASS_NAMES
from analysis.classification.crop import (
    CROP_COLUMNS,
    CROP_ROWS,
    ObjectPixels,
    crops_of_cell,
    cut_instances,
    object_from_picture,
    optical_density,
)
from analysis.classification.straighten import medial_axis
from analysis.errors import DatasetError
from analysis.evaluation import crops
from analysis.evaluation.datasets import load_tseng
from analysis.image import GreyImage
from analysis.segmentation.instance import Segmentation
from simulators.specimen.chromosome import Look, random_look, render_chromosome

logger = logging.getLogger(__name__)

DENSITY_STEPS = 63.0
"""Relative densities up to 4 are kept as bytes."""
NO_CHROMOSOME = len(CLASS_NAMES)
"""Class index of debris, several chromosomes in one and parts of one."""
POLARITY_UPRIGHT, POLARITY_TURNED, POLARITY_UNKNOWN = 0, 1, -1
MATCH_IOU = 0.5
"""From here on a found box has the class of the true one."""
NO_MATCH_IOU = 0.35
"""Below, it is no single chromosome; in between nobody can tell."""
RENDERED_UM_PER_PX = 0.1024
RENDERED_CELLS = {"train": 150, "val": 12}
RENDERED_SEED = {"train": 9002, "val": 9001}
TSENG_IMAGES = {"train": 480, "val": 100}
"""Images taken, spread evenly over the split: their segmentation takes most of the time of the preparation."""
PADDING_PX = 3.5
"""Boxes of the tseng set are wider than the chromosome by this much on every side."""


@dataclass(frozen=True, slots=True)
class CropTable:
    """Crops of many cells, row by row.

    Attributes
    ----------
    images
        uint8, shape (n, CROP_ROWS, CROP_COLUMNS): relative density times 63.
    features
        float32, shape (n, 3), see `ChromosomeCrop.features`.
    classes
        int64, shape (n,): 0..21 for 1..22, 22 X, 23 Y, 24 no single chromosome.
    polarity
        int64, shape (n,): 0 short arm up in the crop, 1 down, -1 unknown.
    cells
        int64, shape (n,): rows with the same number are of one cell.
    """

    images: NDArray[np.uint8]
    features: NDArray[np.float32]
    classes: NDArray[np.int64]
    polarity: NDArray[np.int64]
    cells: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.classes)

    def densities(self) -> NDArray[np.float32]:
        """float32, shape (n, CROP_ROWS, CROP_COLUMNS): relative densities."""
        return self.images.astype(np.float32) / np.float32(DENSITY_STEPS)

    def select(self, rows: NDArray[np.intp] | NDArray[np.bool_]) -> CropTable:
        """Take some rows."""
        return CropTable(
            self.images[rows], self.features[rows], self.classes[rows], self.polarity[rows], self.cells[rows]
        )

    def save(self, path: Path) -> None:
        """Write whole or not at all."""
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(path.name + ".part")
        with partial.open("wb") as file:
            np.savez_compressed(
                file,
                images=self.images,
                features=self.features,
                classes=self.classes,
                polarity=self.polarity,
                cells=self.cells,
            )
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)

    @staticmethod
    def load(path: Path) -> CropTable:
        """Read what `save` wrote."""
        with np.load(path) as arrays:
            return CropTable(
                arrays["images"],
                arrays["features"],
                arrays["classes"],
                arrays["polarity"],
                arrays["cells"],
            )


@dataclass(frozen=True, slots=True)
class LabelledCell:
    """Objects of one cell with what is known of them; -1 stands for unknown."""

    objects: tuple[ObjectPixels, ...]
    classes: tuple[int, ...]
    polarity: tuple[int, ...]


def table_of_cells(cells: Iterable[LabelledCell]) -> CropTable:
    """Straighten cells into a table. Objects without a class only help to set their cell's scale."""
    images: list[NDArray[np.uint8]] = []
    features: list[NDArray[np.float32]] = []
    rows: list[tuple[int, int, int]] = []
    for number, cell in enumerate(cells):
        for crop, label, polarity in zip(crops_of_cell(cell.objects), cell.classes, cell.polarity, strict=True):
            if label < 0:
                continue
            images.append(np.rint(np.clip(crop.image * DENSITY_STEPS, 0, 255)).astype(np.uint8))
            features.append(crop.features())
            rows.append((label, polarity, number))
    labels = np.array(rows, dtype=np.int64).reshape(-1, 3)
    return CropTable(
        np.stack(images) if images else np.zeros((0, CROP_ROWS, CROP_COLUMNS), np.uint8),
        np.stack(features) if features else np.zeros((0, 3), np.float32),
        labels[:, 0],
        labels[:, 1],
        labels[:, 2],
    )


def gband612_cells(data_dir: Path, split: str) -> Iterator[LabelledCell]:
    """Cells of the gband612 set: crops are upright, so that the polarity is known."""
    for cell in crops.gband612_cells(data_dir / "gband612", split):
        objects = tuple(object_from_picture(picture) for picture in cell.pictures)
        classes = tuple(_class_index(name) for name in cell.classes)
        polarity = tuple(POLARITY_UPRIGHT if crops.rises(piece) else POLARITY_UNKNOWN for piece in objects)
        yield LabelledCell(objects, classes, polarity)


def tseng_cells(
    data_dir: Path,
    split: str,
    segment: Callable[[GreyImage], Segmentation],
    read: Callable[[Path], GreyImage],
    limit: int | None = None,
) -> Iterator[LabelledCell]:
    """Cells of the tseng set: instances of the segmentation take the class of the box they match one to one."""
    entries = load_tseng(data_dir / "tseng", split)
    taken = len(entries) if limit is None else min(limit, len(entries))
    for at in np.linspace(0, len(entries) - 1, taken).round().astype(int):
        entry = entries[at]
        image = read(entry.path)
        try:
            segmentation = segment(image)
        except DatasetError:
            raise
        except Exception:
            # One image that can't be cut must not end an hour of preparation; it is recorded and left out.
            logger.exception("image %s left out", entry.name)
            continue
        objects = cut_instances(image, segmentation.background, segmentation.instances)
        found = [instance.box_px for instance in segmentation.instances]
        truth = [
            (_class_index(name), (float(box[0]), float(box[1]), float(box[2]), float(box[3])))
            for name, box in zip(entry.classes, entry.boxes_px, strict=True)
        ]
        classes = match_classes(found, truth)
        yield LabelledCell(objects, classes, (POLARITY_UNKNOWN,) * len(objects))


def prepare_crops(
    data_dir: Path,
    crops_dir: Path,
    *,
    segment: Callable[[GreyImage], Segmentation],
    read: Callable[[Path], GreyImage],
    keep: bool = True,
    progress: Callable[[str], None] | None = None,
) -> None:
    """Write the crop tables ``<source>-train.npz`` and ``<source>-val.npz`` of all sources.

    Parameters
    ----------
    data_dir
        Data root.
    crops_dir
        Where the tables go.
    segment, read
        Segmentation and image reader, for the sources that are whole metaphases.
    keep
        Leave tables alone that are there already.
    progress
        Called with one line per table.

    Raises
    ------
    DatasetError
        Where ``gband612`` isn't there. ``tseng`` may be missing.
    """
    makers: dict[str, Callable[[str], Iterable[LabelledCell]]] = {
        "gband612": lambda split: gband612_cells(data_dir, split),
        "rendered": lambda split: rendered_cells(RENDERED_CELLS[split], RENDERED_SEED[split]),
    }
    if (data_dir / "tseng" / "images.csv").is_file():
        makers["tseng"] = lambda split: tseng_cells(data_dir, split, segment, read, TSENG_IMAGES[split])
    for name, make in makers.items():
        for split in ("val", "train"):
            path = crops_dir / f"{name}-{split}.npz"
            if keep and path.is_file():
                continue
            table = table_of_cells(make(split))
            table.save(path)
            if progress is not None:
                progress(f"{path.name}: {len(table)} crops")


def rendered_cells(count: int, seed: int) -> Iterator[LabelledCell]:
    """Drawn cells, female and male by turns: class and polarity are known, the pictures are nobody's."""
    rng = np.random.default_rng(seed)
    for number in range(count):
        look = random_look(rng)
        names = [name for name in CLASS_NAMES[:22] for _ in range(2)] + (["X", "X"], ["X", "Y"])[number % 2]
        blur_px = float(rng.uniform(0.7, 1.3))
        drawn = [_rendered(name, look, blur_px, rng) for name in names]
        yield LabelledCell(
            tuple(piece for piece, _ in drawn),
            tuple(CLASS_NAMES.index(name) for name in names),
            tuple(polarity for _, polarity in drawn),
        )


def _rendered(name: str, look: Look, blur_px: float, rng: np.random.Generator) -> tuple[ObjectPixels, int]:
    chromosome = render_chromosome(
        name,
        rng,
        um_per_px=RENDERED_UM_PER_PX,
        look=look,
        condensation=float(np.exp(rng.normal(0.0, 0.03))),
        angle_deg=float(rng.uniform(0.0, 360.0)),
        bend_deg=float(rng.normal(0.0, 45.0)),
    )
    # As a camera sees it: blurred transmittance with noise, in 8 bits, above a grey level that isn't quite white.
    light = 215.0 * 10.0 ** -gaussian_filter(chromosome.od, blur_px)
    light += rng.normal(0.0, rng.uniform(0.5, 2.5), light.shape)
    grey = np.clip(np.rint(light), 0, 255).astype(np.uint8)
    density = gaussian_filter(optical_density(grey, 215.0), 0.6)
    mask = density > rng.uniform(0.3, 0.5) * float(density[chromosome.mask].mean())
    mask &= cv2.dilate(chromosome.mask.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    piece = ObjectPixels(optical_density(grey, 215.0), mask if mask.any() else chromosome.mask)
    ends = medial_axis(piece.mask).points_px[[0, -1]]
    from_tip = np.hypot(*(ends - chromosome.axis_px[0]).T)
    return piece, POLARITY_UPRIGHT if from_tip[0] <= from_tip[1] else POLARITY_TURNED


def match_classes(
    found: Sequence[tuple[int, int, int, int]],
    truth: Sequence[tuple[int, tuple[float, float, float, float]]],
    padding_px: float = PADDING_PX,
) -> tuple[int, ...]:
    """Classes of found boxes by the true box that overlaps most, both ways.

    24 (no single chromosome) where nothing overlaps much, -1 where it can't be told.

    Parameters
    ----------
    found
        Boxes (xmin, ymin, xmax, ymax) in px.
    truth
        Class index and box, padded by ``padding_px`` on every side.
    """
    if not found or not truth:
        return (NO_CHROMOSOME,) * len(found)
    a = np.asarray(found, dtype=np.float64)
    b = np.asarray([box for _, box in truth]) + np.array([1, 1, -1, -1]) * padding_px
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    shared = np.prod(np.maximum(high - low, 0.0), axis=2)
    area_a, area_b = np.prod(a[:, 2:] - a[:, :2], axis=1), np.prod(b[:, 2:] - b[:, :2], axis=1)
    iou = shared / np.maximum(area_a[:, None] + area_b[None] - shared, 1e-9)
    best = iou.argmax(axis=1)
    mutual = iou.argmax(axis=0)[best] == np.arange(len(a))
    value = iou[np.arange(len(a)), best]
    classes = np.array([label for label, _ in truth])[best]
    classes = np.where(mutual & (value >= MATCH_IOU), classes, -1)
    return tuple(int(label) for label in np.where(value < NO_MATCH_IOU, NO_CHROMOSOME, classes))


def _class_index(name: str) -> int:
    return CLASS_NAMES.index(name) if name in CLASS_NAMES else -1
