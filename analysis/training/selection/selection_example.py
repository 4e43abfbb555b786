"""One labelled cell as the selection is fitted to it: proposals, stain, embeddings of crops, and the truth."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from analysis.classification.classifier import CropEmbeddings
from analysis.datasets.labelled_boxes import grown_boxes
from analysis.datasets.tseng import TSENG_PADDING_PX
from analysis.selection.measurements import ProposalMeasurements, measure_proposals
from analysis.structures.box_proposals import BoxProposals
from analysis.structures.boxes import box_iou
from scanner.portable.atomic_files import open_atomic

DENSITY_STEP: Final = 0.01
"""Optical density a grey level of the stored picture: finer than its noise."""

_LARGEST_LEVEL: Final = 255


@dataclass(frozen=True)
class SelectionExample:
    """One labelled cell: n proposals, of which k are cut and embedded.

    Attributes
    ----------
    name, case
        Image and patient.
    true_boxes_px
        float64, shape (t, 4): boxes as they were published, in image px.
    true_classes
        Shape (t,): class names.
    shape
        (height, width) of the image.
    factor
        Working px a px of the image.
    width_px
        Typical width of a chromosome, in working px.
    proposals
        Of the detector, in working px, best first.
    tight_px
        float32, shape (n, 4): close-fitting boxes, in working px.
    stain, nuclei
        bool, shape (h, w): in working px.
    density
        float32, shape (h, w): optical density, in steps of `DENSITY_STEP`.
    selected
        int64, shape (m,): rows of the first pass that have an instance.
    embedded
        int64, shape (k,): rows that are cut and embedded, the selected ones first.
    masks_px
        One a row of `embedded`: box (xmin, ymin, xmax, ymax) in image px and bool mask within it.
    embeddings
        Of the crops, rows as `embedded`.
    """

    name: str
    case: str
    true_boxes_px: NDArray[np.float64]
    true_classes: tuple[str, ...]
    shape: tuple[int, int]
    factor: float
    width_px: float
    proposals: BoxProposals
    tight_px: NDArray[np.float32]
    stain: NDArray[np.bool_]
    nuclei: NDArray[np.bool_]
    density: NDArray[np.float32]
    selected: NDArray[np.int64]
    embedded: NDArray[np.int64]
    masks_px: tuple[tuple[tuple[int, int, int, int], NDArray[np.bool_]], ...]
    embeddings: CropEmbeddings

    @cached_property
    def iou(self) -> NDArray[np.float64]:
        """float64, shape (t, n): overlap of true boxes and proposals, padded as the published boxes are."""
        extents_px = self.tight_px.astype(np.float64) / self.factor
        return box_iou(self.true_boxes_px, grown_boxes(extents_px, TSENG_PADDING_PX, self.shape))

    @cached_property
    def measurements(self) -> ProposalMeasurements:
        """Measurements of the proposals."""
        return measure_proposals(self.proposals, self.tight_px, self.stain)


def write_example(path: Path, record: SelectionExample) -> None:
    """Write a record, whole or not at all.

    Parameters
    ----------
    path
        A ``.npz`` file.
    record
        What is written.
    """
    boxes = np.asarray([box for box, _ in record.masks_px], np.int64).reshape(-1, 4)
    bits = [np.packbits(mask) for _, mask in record.masks_px]
    arrays: dict[str, Any] = {
        "name": np.asarray(record.name),
        "case": np.asarray(record.case),
        "true_boxes_px": record.true_boxes_px,
        "true_classes": np.asarray(record.true_classes),
        "shape": np.asarray(record.shape),
        "scale": np.asarray([record.factor, record.width_px]),
        "boxes_px": record.proposals.boxes_px,
        "score": record.proposals.score,
        "class_probability": record.proposals.class_probability,
        "tight_px": record.tight_px,
        "working_shape": np.asarray(record.stain.shape),
        "stain": np.packbits(record.stain),
        "nuclei": np.packbits(record.nuclei),
        "density": np.clip(np.round(record.density / DENSITY_STEP), 0, _LARGEST_LEVEL).astype(np.uint8),
        "selected": record.selected,
        "embedded": record.embedded,
        "mask_boxes": boxes,
        "mask_bits": np.concatenate([np.zeros(0, np.uint8), *bits]),
    }
    arrays |= {f"embeddings_{name}": getattr(record.embeddings, name).numpy() for name in CropEmbeddings.__slots__}
    with open_atomic(path) as file:
        np.savez_compressed(file, **arrays)


def read_example(path: Path) -> SelectionExample:
    """Read a record."""
    with np.load(path, allow_pickle=False) as held:
        arrays = dict(held)
    high, wide = (int(side) for side in arrays["working_shape"])
    pictures = {
        name: np.unpackbits(arrays[name], count=high * wide).reshape(high, wide).astype(np.bool_)
        for name in ("stain", "nuclei")
    }
    return SelectionExample(
        name=str(arrays["name"]),
        case=str(arrays["case"]),
        true_boxes_px=arrays["true_boxes_px"],
        true_classes=tuple(str(name) for name in arrays["true_classes"]),
        shape=(int(arrays["shape"][0]), int(arrays["shape"][1])),
        factor=float(arrays["scale"][0]),
        width_px=float(arrays["scale"][1]),
        proposals=BoxProposals(arrays["boxes_px"], arrays["score"], arrays["class_probability"]),
        tight_px=arrays["tight_px"],
        stain=pictures["stain"],
        nuclei=pictures["nuclei"],
        density=arrays["density"].astype(np.float32) * np.float32(DENSITY_STEP),
        selected=arrays["selected"],
        embedded=arrays["embedded"],
        masks_px=_unpacked_masks(arrays["mask_boxes"], arrays["mask_bits"]),
        embeddings=CropEmbeddings(
            *(torch.from_numpy(arrays[f"embeddings_{name}"]) for name in CropEmbeddings.__slots__)
        ),
    )


def _unpacked_masks(
    boxes: NDArray[np.int64], bits: NDArray[np.uint8]
) -> tuple[tuple[tuple[int, int, int, int], NDArray[np.bool_]], ...]:
    masks, start = [], 0
    for x0, y0, x1, y1 in boxes.tolist():
        size = (y1 - y0) * (x1 - x0)
        end = start + (size + 7) // 8
        mask = np.unpackbits(bits[start:end], count=size).reshape(y1 - y0, x1 - x0).astype(np.bool_)
        masks.append(((x0, y0, x1, y1), mask))
        start = end
    return tuple(masks)
