"""The Tseng set: enumeration, boxes, classes and interactions of a karyotyper."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from analysis.datasets.labelled_boxes import grown_boxes, instances_from_boxes, padded_boxes, ranked_boxes
from analysis.datasets.tseng import (
    TSENG_MASK_PADDING_PX,
    TSENG_PADDING_PX,
    TsengImage,
    load_tseng,
    spread_evenly,
)
from analysis.errors import NoMetaphaseError
from analysis.imaging.image_file import read_image
from analysis.imaging.working_image import find_stained
from analysis.metrics.coco import CocoImage, CocoObject, coco_figures
from analysis.metrics.drawn_masks import (
    LOW_PERCENTILE,
    StainCover,
    covered_pixels,
    labelled_stain,
    mask_fragments,
    stain_cover,
)
from analysis.metrics.enumeration import (
    Count,
    bootstrap_interval,
    enumeration_figures,
    enumeration_intervals,
)
from analysis.metrics.interactions import FEW_INTERACTIONS, Interactions, count_interactions
from analysis.metrics.karyotyper import ProposedChromosome, ProposesKaryotypes
from analysis.structures.boxes import box_areas, box_intersections, box_iou, match
from analysis.structures.instance import Instance
from analysis.structures.segmentation import UnselectedProposal


@dataclass(frozen=True, slots=True)
class _Outcome:
    """One image's results."""

    count: Count
    coco: CocoImage
    truths: int
    class_right: int
    end_to_end_right: int
    interactions: Interactions
    by_mask: Count
    cover: StainCover
    fragments: int
    seconds: float


def evaluate_tseng(
    data_dir: Path,
    split: str,
    karyotyper: ProposesKaryotypes,
    *,
    limit: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, float | int]:
    """Evaluate a karyotyper on a split of the Tseng set.

    Parameters
    ----------
    data_dir
        Folder of the set, with ``images.csv``.
    split
        ``"train"``, ``"val"`` or ``"test"``.
    karyotyper
        Proposes karyotypes.
    limit
        Only this many images, spread evenly over the split.
    progress
        Called with (images done, images in all).

    Returns
    -------
    dict
        ``images``; ``box_ap50, box_map, box_mar`` (COCO, one class, what was left out ranked along by its
        score); ``wcr, aer, acc`` pooled, with
        ``_per_image`` twins; ``class_top1``: classes right given the true boxes, jointly assigned;
        ``end_to_end_top1``: boxes matched at IoU .5 and class right, over all true chromosomes;
        ``interactions_mean`` edits a cell and ``share_le2`` cells with at most two; ``seconds_median`` an
        image; of the masks that are drawn ``mask_wcr, mask_aer``, ``stain_covered_mean``, ``_p10`` and ``_worst``,
        and ``loose_fragments_mean`` a cell (`analysis.evaluation.drawn_cells` has more); ``_ci95_low`` and
        ``_ci95_high`` by bootstrap over cases. All shares are fractions of 1.

    Raises
    ------
    DatasetError
        If the set isn't there or isn't what it should be.
    ImageError
        If a picture of it can't be read.
    """
    images = spread_evenly(load_tseng(data_dir, split), limit)
    outcomes = []
    for number, entry in enumerate(images, start=1):
        outcomes.append(_evaluate_image(entry, karyotyper))
        if progress is not None:
            progress(number, len(images))
    return _figures(outcomes)


def _evaluate_image(tseng_image: TsengImage, karyotyper: ProposesKaryotypes) -> _Outcome:
    image = read_image(tseng_image.path)
    size = image.pixels.shape
    start = time.perf_counter()
    proposed: Sequence[ProposedChromosome] = ()
    left_out: Sequence[UnselectedProposal] = ()
    try:
        karyotype = karyotyper.karyotype(image)
        proposed, left_out = karyotype.chromosomes, karyotype.left_out
    except NoMetaphaseError:
        pass
    seconds = time.perf_counter() - start
    found = [chromosome.instance for chromosome in proposed]
    found_classes = [chromosome.class_name for chromosome in proposed]
    truth = tseng_image.boxes_px.astype(np.float64)
    boxes = padded_boxes(found, TSENG_PADDING_PX, size)
    pairs = match(box_iou(truth, boxes))
    given = instances_from_boxes(image, truth, found, find_stained(image))
    classified = karyotyper.classify_instances(image, given)
    return _Outcome(
        count=Count(tseng_image.case, len(pairs), len(found) - len(pairs), len(truth) - len(pairs)),
        coco=CocoImage(
            size[0],
            size[1],
            [CocoObject(_box(row)) for row in truth],
            ranked_boxes(boxes, found, left_out, TSENG_PADDING_PX, size),
        ),
        truths=len(truth),
        class_right=sum(
            one.class_name == right for one, right in zip(classified, tseng_image.classes, strict=True)
        ),
        end_to_end_right=sum(found_classes[j] == tseng_image.classes[i] for i, j in pairs),
        interactions=count_interactions(
            box_intersections(truth, boxes), box_areas(truth), box_areas(boxes), tseng_image.classes, found_classes
        ),
        by_mask=_count_by_mask(tseng_image, found, size),
        cover=stain_cover(
            labelled_stain(image.pixels, tseng_image.boxes_px),
            tseng_image.boxes_px,
            covered_pixels([(each.box_px, each.mask) for each in found], size),
        ),
        fragments=mask_fragments([instance.mask for instance in found]),
        seconds=seconds,
    )


def _count_by_mask(tseng_image: TsengImage, instances: Sequence[Instance], size: tuple[int, ...]) -> Count:
    """Count matches of the padded boxes of the masks."""
    boxes_px = np.array([instance.box_px for instance in instances], np.float64).reshape(-1, 4)
    truth_px = tseng_image.boxes_px.astype(np.float64)
    matched = len(match(box_iou(truth_px, grown_boxes(boxes_px, TSENG_MASK_PADDING_PX, size))))
    return Count(tseng_image.case, matched, len(instances) - matched, len(truth_px) - matched)


def _box(row: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> tuple[float, float, float, float]:
    return float(row[0]), float(row[1]), float(row[2]), float(row[3])


def _figures(outcomes: Sequence[_Outcome]) -> dict[str, float | int]:
    counts = [outcome.count for outcome in outcomes]
    cases = [count.case for count in counts]
    coco = coco_figures([outcome.coco for outcome in outcomes], "bbox")
    edits = np.asarray([outcome.interactions.total for outcome in outcomes], np.float64)
    right = np.asarray([(o.class_right, o.end_to_end_right, o.truths) for o in outcomes], np.float64)
    figures: dict[str, float | int] = {"images": len(outcomes)}
    figures.update({f"box_{name}": value for name, value in coco.items()})
    figures.update(enumeration_figures(counts))
    figures["class_top1"] = float(right[:, 0].sum() / right[:, 2].sum())
    figures["end_to_end_top1"] = float(right[:, 1].sum() / right[:, 2].sum())
    figures["interactions_mean"] = float(edits.mean())
    figures["share_le2"] = float(np.mean(edits <= FEW_INTERACTIONS))
    by_mask = enumeration_figures([outcome.by_mask for outcome in outcomes])
    figures["mask_wcr"], figures["mask_aer"] = by_mask["wcr"], by_mask["aer"]
    covered = [outcome.cover.fraction for outcome in outcomes]
    figures["stain_covered_mean"] = float(np.mean(covered))
    figures["stain_covered_p10"] = float(np.percentile(covered, LOW_PERCENTILE))
    figures["stain_covered_worst"] = float(min(covered))
    figures["loose_fragments_mean"] = float(np.mean([outcome.fragments for outcome in outcomes]))
    figures["seconds_median"] = float(np.median([outcome.seconds for outcome in outcomes]))
    figures.update(enumeration_intervals(counts))
    for column, name in enumerate(("class_top1", "end_to_end_top1")):
        table = right[:, [column, 2]]
        figures.update(bootstrap_interval(name, table, cases, lambda t: float(t[:, 0].sum() / t[:, 1].sum())))
    return figures
