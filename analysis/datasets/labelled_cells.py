"""Labelled cells of every source the classifier is trained on, cut as the inference cuts them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from analysis.datasets.bioimlab import bioimlab_cells as read_bioimlab_cells
from analysis.datasets.crop_archives import CropCell, rises
from analysis.datasets.gband612 import gband612_cells as read_gband612_cells
from analysis.datasets.labelled_boxes import instances_from_boxes
from analysis.datasets.mfish import OVERLAP_LABEL, MfishCell, load_mfish, mfish_instances
from analysis.datasets.tseng import TsengImage
from analysis.errors import DatasetError, NoMetaphaseError
from analysis.imaging.background import estimate_background
from analysis.imaging.working_image import find_stained
from analysis.straightening.crops import cut_instances, object_from_picture
from analysis.structures.classes import CLASS_NAMES
from analysis.structures.crop import ObjectPixels
from analysis.structures.grey_image import GreyImage
from analysis.structures.segmentation import Segmentation

logger = logging.getLogger(__name__)

NO_CHROMOSOME = len(CLASS_NAMES)
"""Class index of debris, several chromosomes in one and parts of one."""
POLARITY_UPRIGHT, POLARITY_TURNED, POLARITY_UNKNOWN = 0, 1, -1
MATCH_IOU = 0.5
"""From here on a found box has the class of the true one."""
NO_MATCH_IOU = 0.35
"""Below, it is no single chromosome; in between nobody can tell."""
PADDING_PX = 3.5
"""Boxes of the tseng set are wider than the chromosome by this much on every side."""
BIOIMLAB_VAL_EVERY = 7
"""Every so manieth cell of the set's train split is kept for validation."""
MFISH_VAL_SLIDES = frozenset({"A02", "P08", "V16", "V19"})
"""Slides of the set's train split that are kept for validation: a third of its cells, of both sexes."""
MERGED_AREA = 1.6
"""Pieces of a class map larger than this many times the other one are two homologues in one."""


@dataclass(frozen=True, slots=True)
class LabelledCell:
    """Objects of one cell with what is known of them; -1 stands for unknown."""

    objects: tuple[ObjectPixels, ...]
    classes: tuple[int, ...]
    polarity: tuple[int, ...]


def gband612_cells(data_dir: Path, split: str) -> Iterator[LabelledCell]:
    """Cells of the gband612 set: crops are upright, so that the polarity is known.

    Parameters
    ----------
    data_dir
        Root of the data sets.
    split
        ``"train"``, ``"val"`` or ``"test"``.
    """
    for cell in read_gband612_cells(data_dir / "gband612", split):
        yield _labelled_crops(cell)


def _labelled_crops(crop_cell: CropCell) -> LabelledCell:
    objects = tuple(object_from_picture(picture, inverted=crop_cell.inverted) for picture in crop_cell.pictures)
    classes = tuple(_class_index(name) for name in crop_cell.classes)
    polarity = tuple(POLARITY_UPRIGHT if rises(piece) else POLARITY_UNKNOWN for piece in objects)
    return LabelledCell(objects, classes, polarity)


def bioimlab_cells(data_dir: Path, split: str) -> Iterator[LabelledCell]:
    """Q-banded cells of the set's train split; its test split is never looked at.

    Parameters
    ----------
    data_dir
        Root of the data sets.
    split
        ``"train"`` or ``"val"``.
    """
    for number, cell in enumerate(read_bioimlab_cells(data_dir / "bioimlab_qband", "train")):
        if (number % BIOIMLAB_VAL_EVERY == BIOIMLAB_VAL_EVERY // 2) == (split == "val"):
            yield _labelled_crops(cell)


def mfish_cells(
    data_dir: Path, split: str, segment: Callable[[GreyImage], Segmentation], read: Callable[[Path], GreyImage]
) -> Iterator[LabelledCell]:
    """DAPI cells of the set's train split, cut by its maps of classes; its test split is never looked at.

    Parameters
    ----------
    data_dir
        Root of the data sets.
    split
        ``"train"`` or ``"val"``.
    segment
        Gives the background.
    read
        Reads a picture.
    """
    for entry in load_mfish(data_dir / "mfish", "train"):
        if (entry.case in MFISH_VAL_SLIDES) != (split == "val"):
            continue
        image = read(entry.image_path)
        try:
            background = segment(image).background
        except NoMetaphaseError:
            logger.warning("cell %s left out: no background without a metaphase", entry.name)
            continue
        instances = mfish_instances(entry.classmap())
        objects = cut_instances(image, background, instances)
        classes = _mfish_classes(entry, [(each.box_px, each.mask) for each in instances])
        yield LabelledCell(objects, classes, (POLARITY_UNKNOWN,) * len(objects))


def _mfish_classes(
    mfish_cell: MfishCell, pieces: Sequence[tuple[tuple[int, int, int, int], NDArray[np.bool_]]]
) -> tuple[int, ...]:
    """Class of every piece of a map; unknown where homologues touch, so that a piece is two of them."""
    classmap = mfish_cell.classmap()
    labels = []
    for (x0, y0, x1, y1), mask in pieces:
        own = classmap[y0:y1, x0:x1][mask]
        own = own[(own > 0) & (own != OVERLAP_LABEL)]
        labels.append(int(np.bincount(own).argmax()) - 1 if own.size else -1)
    areas = np.array([np.count_nonzero(mask) for _, mask in pieces])
    single_x = mfish_cell.name.endswith("XY")
    for label in range(len(CLASS_NAMES)):
        rows = [k for k, each in enumerate(labels) if each == label]
        expected = 1 if label == len(CLASS_NAMES) - 1 or (single_x and label == len(CLASS_NAMES) - 2) else 2
        if len(rows) != expected or (expected == 2 and areas[rows].max() > MERGED_AREA * areas[rows].min()):
            for row in rows:
                labels[row] = -1
    return tuple(labels)


@dataclass(frozen=True, slots=True)
class TsengViews:
    """One metaphase of the tseng set, cut twice.

    Attributes
    ----------
    detected
        What the segmentation finds, with the class of the box it matches, or none.
    given
        One object for every true box.
    """

    detected: LabelledCell
    given: LabelledCell


def tseng_views(
    tseng_image: TsengImage, segment: Callable[[GreyImage], Segmentation], read: Callable[[Path], GreyImage]
) -> TsengViews | None:
    """Cut one metaphase by the segmentation and by its true boxes; None where it can't be cut.

    Parameters
    ----------
    tseng_image
        The metaphase.
    segment
        Cuts it.
    read
        Reads the picture.
    """
    image = read(tseng_image.path)
    try:
        segmentation = segment(image)
        stained = find_stained(image)
    except DatasetError:
        raise
    except Exception:
        # One image that can't be cut must not end an hour of preparation; it is recorded and left out.
        logger.exception("image %s left out", tseng_image.name)
        return None
    labels = tuple(_class_index(name) for name in tseng_image.classes)
    truth = [
        (label, (float(box[0]), float(box[1]), float(box[2]), float(box[3])))
        for label, box in zip(labels, tseng_image.boxes_px, strict=True)
    ]
    objects = cut_instances(image, segmentation.background, segmentation.instances)
    classes = match_classes([instance.box_px for instance in segmentation.instances], truth)
    given = instances_from_boxes(image, tseng_image.boxes_px, segmentation.instances, stained)
    cut = cut_instances(image, estimate_background(image.pixels), given)
    return TsengViews(
        LabelledCell(objects, classes, (POLARITY_UNKNOWN,) * len(objects)),
        LabelledCell(cut, labels, (POLARITY_UNKNOWN,) * len(cut)),
    )


def match_classes(
    boxes_px: Sequence[tuple[int, int, int, int]],
    true_boxes: Sequence[tuple[int, tuple[float, float, float, float]]],
    padding_px: float = PADDING_PX,
) -> tuple[int, ...]:
    """Classes of found boxes by the true box that overlaps most, both ways.

    24 (no single chromosome) where nothing overlaps much, -1 where it can't be told.

    Parameters
    ----------
    boxes_px
        Boxes (xmin, ymin, xmax, ymax) in px.
    true_boxes
        Class index and box, padded by ``padding_px`` on every side.
    """
    if not boxes_px or not true_boxes:
        return (NO_CHROMOSOME,) * len(boxes_px)
    a = np.asarray(boxes_px, dtype=np.float64)
    b = np.asarray([box for _, box in true_boxes]) + np.array([1, 1, -1, -1]) * padding_px
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    shared = np.prod(np.maximum(high - low, 0.0), axis=2)
    area_a, area_b = np.prod(a[:, 2:] - a[:, :2], axis=1), np.prod(b[:, 2:] - b[:, :2], axis=1)
    iou = shared / np.maximum(area_a[:, None] + area_b[None] - shared, 1e-9)
    best = iou.argmax(axis=1)
    mutual = iou.argmax(axis=0)[best] == np.arange(len(a))
    value = iou[np.arange(len(a)), best]
    classes = np.array([label for label, _ in true_boxes])[best]
    classes = np.where(mutual & (value >= MATCH_IOU), classes, -1)
    return tuple(int(label) for label in np.where(value < NO_MATCH_IOU, NO_CHROMOSOME, classes))


def _class_index(name: str) -> int:
    return CLASS_NAMES.index(name) if name in CLASS_NAMES else -1
