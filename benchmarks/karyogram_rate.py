"""Time from the pixels of one metaphase to its karyogram, stage by stage.

    python benchmarks/karyogram_rate.py [--data FOLDER] [--images 30] [--threads 2] [--processor] [--json FILE]

Pictures are spread over the val split of the Tseng set, one after the other in one process, as a technician who
opens one picture would wait. Reading the file isn't counted; the picture of the karyogram is. Beside the median
and the 90th percentile stand the ratio to KaryoXpert (Chen et al., tables 5 and 6: 0.916 s for segmentation and
0.144 s for classification, on a GPU, without a picture) and the medians of the stages. "again" is the rescoring
of how the cell was cut, less the time its nets take.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import cv2
import numpy as np
import torch

import analysis.karyotyping.pipeline as karyotyping
from analysis.datasets.root import data_root
from analysis.datasets.tseng import load_tseng
from analysis.errors import NoMetaphaseError
from analysis.imaging.image_file import read_image
from analysis.karyogram.karyotype_picture import draw_karyotype
from analysis.karyotyping.pipeline import Karyotyper, load_karyotyper
from analysis.structures.grey_image import GreyImage

PAPER_S = {"segment": 0.916, "classify": 0.144}
LIMIT_S = 1.0
# Functions that `analysis.karyotyping.pipeline` calls, by the stage they belong to; what is left is "other".
STAGES = {
    "straighten": ("embed_metaphase",),
    "again": ("rescore_metaphase",),
    "assign": ("assign",),
    "review": ("review_proposal", "complete_karyotype"),
}


class Stopwatch:
    """Adds up the time of named stages; what one of them runs within another counts for the inner one alone.

    Parameters
    ----------
    clock
        Tells seconds: of the wall, or of the processors, which a busy machine leaves alone.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self.spent_s: dict[str, float] = {}
        self._within_s = 0.0

    def timed(self, stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The same function, with its time added to a stage."""

        def call(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - whatever the function takes
            with self.running(stage):
                return function(*args, **kwargs)

        return call

    @contextmanager
    def running(self, stage: str) -> Iterator[None]:
        """Add the time of a block to a stage."""
        started, outside_s, self._within_s = self.clock(), self._within_s, 0.0
        try:
            yield
        finally:
            taken_s = self.clock() - started
            self.spent_s[stage] = self.spent_s.get(stage, 0.0) + taken_s - self._within_s
            self._within_s = outside_s + taken_s


def measure(karyotyper: Karyotyper, image: GreyImage, clock: Callable[[], float]) -> dict[str, float] | None:
    """Seconds of every stage of one picture, and in all; None where there is no metaphase."""
    watch = Stopwatch(clock)
    with ExitStack() as stack:
        for stage, names in STAGES.items():
            for name in names:
                if hasattr(karyotyping, name):
                    changed = watch.timed(stage, getattr(karyotyping, name))
                    stack.enter_context(patch.object(karyotyping, name, changed))
        segmenter, classifier = karyotyper._segmenter, karyotyper._classifier  # noqa: SLF001
        stack.enter_context(patch.object(karyotyper, "_segmenter", watch.timed("segment", segmenter)))
        for name in ("embed_crops", "score_embeddings"):
            stack.enter_context(patch.object(classifier, name, watch.timed("net", getattr(classifier, name))))
        started = clock()
        try:
            proposal = karyotyper.karyotype(image)
        except NoMetaphaseError:
            return None
        with watch.running("draw"):
            draw_karyotype(proposal)
        total = clock() - started
    stages = watch.spent_s
    return {**stages, "other": total - sum(stages.values()), "total": total}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=None)
    parser.add_argument("--images", type=int, default=30)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--processor", action="store_true", help="seconds of the processors, not of the wall")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    arguments.data = data_root(arguments.data)
    torch.set_num_threads(arguments.threads)
    cv2.setNumThreads(arguments.threads)
    entries = load_tseng(arguments.data / "tseng", "val")
    at = np.linspace(0, len(entries) - 1, min(arguments.images, len(entries))).round().astype(int)
    karyotyper = load_karyotyper()
    clock = time.process_time if arguments.processor else time.perf_counter
    measure(karyotyper, read_image(entries[int(at[0])].path), clock)
    runs = (measure(karyotyper, read_image(entries[int(k)].path), clock) for k in at)
    figures = summary([one for one in runs if one is not None])
    figures |= {"threads": arguments.threads, "clock": "processors" if arguments.processor else "wall"}
    for name, value in figures.items():
        print(f"{name:24} {value:.3f}" if isinstance(value, float) else f"{name:24} {value}")
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    if figures["median_s"] > LIMIT_S:
        sys.exit(f"the median of {figures['median_s']:.2f} s is above {LIMIT_S} s")


def summary(taken: list[dict[str, float]]) -> dict[str, Any]:
    """Median and 90th percentile in all, medians of the stages, ratio to the paper."""
    total = np.asarray([one["total"] for one in taken])
    stages = sorted({name for one in taken for name in one} - {"total"})
    figures: dict[str, Any] = {
        "images": len(taken),
        "median_s": float(np.median(total)),
        "p90_s": float(np.percentile(total, 90)),
        "ratio_to_paper": float(np.median(total) / sum(PAPER_S.values())),
    }
    for name in stages:
        figures[f"{name}_median_s"] = float(np.median([one.get(name, 0.0) for one in taken]))
    return figures


if __name__ == "__main__":
    main()
