"""All ways of cutting metaphases that are measured side by side, and their run in several processes."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import cv2
import torch

from analysis.detection.detector import Detector
from analysis.evaluation.baselines import BASELINES
from analysis.evaluation.box_free.segmenter import load_stream_segmenter
from analysis.evaluation.boxes_alone import BoxesAlone
from analysis.evaluation.segmenters import CellOutcome, run_segmenters, segmenter_figures
from analysis.segmentation.contours.segmenter import segment_by_contours
from analysis.segmentation.instance_masks.predictor import InstanceMaskPredictor
from analysis.segmentation.protocol import Segmenter
from analysis.segmentation.segmenter import DetectorSegmenter

_PARTS_A_PROCESS: Final = 4


@dataclass(frozen=True, slots=True)
class SegmentationMethods:
    """Which ways are measured; contours and the product's detector always are.

    Attributes
    ----------
    baselines
        Classical ways.
    stream
        Folder of the stream's weights.
    other_detector
        Folder of a detector's weights that aren't the product's.
    boxes_alone
        Whether the detectors' boxes are measured alone too: only where boxes are labelled, they have no masks.
    peer
        Folder of the two-stage peer's weights.
    fluorescence
        Also with fluorescence shown to the detector as if it were bright field.
    """

    baselines: bool = False
    stream: Path | None = None
    other_detector: Path | None = None
    boxes_alone: bool = False
    peer: Path | None = None
    fluorescence: bool = False

    def segmenters(self) -> dict[str, Segmenter]:
        """Load all of them, by their names.

        Raises
        ------
        WeightsError
            Where weights are missing or damaged.
        """
        detector = DetectorSegmenter(Detector.load())
        chosen: dict[str, Segmenter] = {"contours": segment_by_contours, "detector": detector}
        masks = InstanceMaskPredictor.load()
        chosen["detector, masks"] = replace(detector, masks=masks)
        if self.fluorescence:
            chosen["detector, fluorescence"] = replace(detector, fluorescence=True)
            chosen["detector, fluorescence, masks"] = replace(detector, masks=masks, fluorescence=True)
        if self.stream is not None:
            chosen["stream"] = load_stream_segmenter(self.stream)
        if self.other_detector is not None:
            other = DetectorSegmenter(Detector.load(self.other_detector), masks=masks)
            chosen["other detector"] = replace(other, fluorescence=self.fluorescence)
            if self.boxes_alone:
                chosen["other detector, boxes alone"] = BoxesAlone(other)
                chosen["detector, boxes alone"] = BoxesAlone(detector)
        if self.peer is not None:
            # Its library is no dependency of the product.
            from analysis.evaluation.peer import PeerSegmenter, load_peer

            chosen["peer"] = PeerSegmenter(load_peer(self.peer))
        return {**chosen, **BASELINES} if self.baselines else chosen


def run_segmentation_methods(
    data_dir: Path,
    split: str,
    methods: SegmentationMethods,
    *,
    limit: int | None = None,
    processes: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[dict[str, list[CellOutcome]], dict[str, dict[str, float | int]]]:
    """Run all ways over the Tseng set's boxes, each process a part of the cells with one thread.

    Parameters
    ----------
    data_dir
        Folder of the Tseng set.
    split
        ``"train"``, ``"val"`` or ``"test"``.
    methods
        Which.
    limit
        Only this many cells, spread evenly.
    processes
        Beside this one, which waits.
    progress
        Called with (parts done, parts in all).

    Returns
    -------
    tuple
        Outcomes and figures by the names of the ways.

    Raises
    ------
    DatasetError
        If the set isn't there.
    WeightsError
        Where weights are missing or damaged.
    """
    count = processes * _PARTS_A_PROCESS
    parts: dict[int, dict[str, list[CellOutcome]]] = {}
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, context, initializer=_one_thread) as pool:
        waiting = {pool.submit(_part, data_dir, split, methods, limit, (k, count)): k for k in range(count)}
        for done in as_completed(waiting):
            parts[waiting[done]] = done.result()
            if progress is not None:
                progress(len(parts), count)
        outcomes = {
            name: sorted((one for k in range(count) for one in parts[k][name]), key=lambda one: one.entry.name)
            for name in parts[0]
        }
        figures = dict(zip(outcomes, pool.map(segmenter_figures, outcomes.values()), strict=True))
    return outcomes, figures


def _one_thread() -> None:
    torch.set_num_threads(1)
    cv2.setNumThreads(1)


def _part(
    data_dir: Path, split: str, methods: SegmentationMethods, limit: int | None, part: tuple[int, int]
) -> dict[str, list[CellOutcome]]:
    return run_segmenters(data_dir, split, methods.segmenters(), limit=limit, part=part)
