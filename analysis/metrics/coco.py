"""AP and AR by the COCO tool, never by hand."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from faster_coco_eval import COCO, COCOeval_faster
from faster_coco_eval import mask as coco_mask
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class CocoObject:
    """A chromosome as the COCO tool takes it.

    Attributes
    ----------
    box_px
        xmin, ymin, xmax, ymax.
    mask
        bool, shape of the box; None where only boxes are compared.
    score
        In [0, 1]; ignored for the truth.
    """

    box_px: tuple[float, float, float, float]
    mask: NDArray[np.bool_] | None = None
    score: float = 1.0


@dataclass(frozen=True, slots=True)
class CocoImage:
    """One image's truth and finds.

    Attributes
    ----------
    height_px, width_px
        Its size.
    truth, detections
        The chromosomes.
    """

    height_px: int
    width_px: int
    truth: Sequence[CocoObject]
    detections: Sequence[CocoObject]


def coco_figures(images: Sequence[CocoImage], kind: Literal["bbox", "segm"]) -> dict[str, float]:
    """Average precision and recall of one class as COCO defines them (Lin et al. 2014).

    Parameters
    ----------
    images
        Truth and detections, image by image.
    kind
        Whether boxes or masks are compared.

    Returns
    -------
    dict
        ``ap50``, ``map`` (IoU .5 to .95) and ``mar`` (100 detections an image at most).
    """
    truth: list[dict[str, Any]] = []
    found: list[dict[str, Any]] = []
    for number, image in enumerate(images, start=1):
        for entry in image.truth:
            truth.append(_annotation(entry, image, number, kind, len(truth) + 1))
        found.extend(
            {**_annotation(entry, image, number, kind, 0), "score": float(entry.score)}
            for entry in image.detections
        )
    if not found:
        return {"ap50": 0.0, "map": 0.0, "mar": 0.0}
    dataset = {
        "images": [
            {"id": n, "height": image.height_px, "width": image.width_px}
            for n, image in enumerate(images, start=1)
        ],
        "categories": [{"id": 1, "name": "chromosome"}],
        "annotations": truth,
    }
    # The tool reports its progress on standard output.
    with contextlib.redirect_stdout(io.StringIO()):
        reference = COCO(dataset)
        run = COCOeval_faster(reference, reference.loadRes(found), iouType=kind, print_function=_silent)
        run.evaluate()
        run.accumulate()
        run.summarize()
    stats = np.asarray(run.stats, dtype=np.float64)
    # Order of the COCO summary: AP, AP50, AP75, three sizes, AR at 1, 10 and 100 finds.
    return {"ap50": float(stats[1]), "map": float(stats[0]), "mar": float(stats[8])}


def _silent(*_: object) -> None:
    """Say nothing."""


def _annotation(
    coco_object: CocoObject, image: CocoImage, number: int, kind: str, identity: int
) -> dict[str, Any]:
    x0, y0, x1, y1 = (float(value) for value in coco_object.box_px)
    annotation: dict[str, Any] = {
        "image_id": number,
        "category_id": 1,
        "bbox": [x0, y0, x1 - x0, y1 - y0],
        "area": (x1 - x0) * (y1 - y0),
        "iscrowd": 0,
        "id": identity,
    }
    if kind == "segm" and coco_object.mask is not None:
        full = np.zeros((image.height_px, image.width_px), np.uint8, order="F")
        full[int(y0) : int(y1), int(x0) : int(x1)] = coco_object.mask
        annotation["segmentation"] = coco_mask.encode(full)
        annotation["area"] = float(full.sum())
    return annotation
