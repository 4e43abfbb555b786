"""Time and memory from pixels to masks, beside the contours alone and the classical ways.

    python benchmarks/segment.py [--data FOLDER] [--images N] [--stream FOLDER] [--plot PATH] [--json PATH]

Every picture of a spread over the val split of the Tseng set is cut by every way in turn, so that a busy machine
slows all alike: median and 90th percentile on the wall and on the processors, cost against pixels and against
chromosomes (least squares, and a picture with --plot), peak memory of a process of its own for each way. Limits
are 0.5 s on two cores and 1.5 GB.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from analysis.datasets.root import data_root
from analysis.datasets.tseng import load_tseng
from analysis.errors import NoMetaphaseError
from analysis.evaluation.segmentation_methods import SegmentationMethods
from analysis.imaging.image_file import read_image
from analysis.segmentation.protocol import Segmenter
from analysis.structures.grey_image import GreyImage

LIMIT_S = 0.5
LIMIT_MIB = 1.5e9 / 2**20
COLOURS = ((200, 90, 20), (30, 140, 30), (30, 30, 200), (150, 30, 150), (120, 120, 0), (90, 90, 90), (0, 120, 200))


@dataclass(frozen=True, slots=True)
class Taken:
    """One picture cut one way."""

    pixels: int
    chromosomes: int
    wall_s: float
    processor_s: float


def pictures(data: Path, count: int) -> list[GreyImage]:
    """Pictures spread over the val split."""
    entries = load_tseng(data / "tseng", "val")
    at = np.linspace(0, len(entries) - 1, min(count, len(entries))).round().astype(int)
    return [read_image(entries[k].path) for k in at]


def cut(segmenter: Segmenter, image: GreyImage) -> Taken:
    """Cut one picture."""
    wall_s, processor_s = time.perf_counter(), time.process_time()
    try:
        found = len(segmenter(image).instances)
    except NoMetaphaseError:
        found = 0
    return Taken(image.pixels.size, found, time.perf_counter() - wall_s, time.process_time() - processor_s)


def take_turns(segmenters: Mapping[str, Segmenter], images: list[GreyImage]) -> dict[str, list[Taken]]:
    """Every way on every picture, one after the other, after one round to warm up."""
    for segmenter in segmenters.values():
        cut(segmenter, images[0])
    taken: dict[str, list[Taken]] = {name: [] for name in segmenters}
    for image in images:
        for name, segmenter in segmenters.items():
            taken[name].append(cut(segmenter, image))
    return taken


def summary(taken: list[Taken]) -> dict[str, float]:
    """Medians, and what a megapixel and a chromosome cost."""
    wall = np.asarray([one.wall_s for one in taken])
    processor = np.asarray([one.processor_s for one in taken])
    table = np.asarray([(1.0, one.pixels / 1e6, one.chromosomes) for one in taken])
    fixed, a_megapixel, a_chromosome = np.linalg.lstsq(table, processor, rcond=None)[0]
    return {
        "wall_median_s": float(np.median(wall)),
        "wall_p90_s": float(np.percentile(wall, 90)),
        "processor_median_s": float(np.median(processor)),
        "processor_p90_s": float(np.percentile(processor, 90)),
        "fixed_s": float(fixed),
        "megapixel_s": float(a_megapixel),
        "chromosome_ms": float(a_chromosome * 1e3),
    }


def peak_mib(name: str, arguments: argparse.Namespace) -> float:
    """Peak memory of a process that does nothing but cut this way."""
    command = [sys.executable, __file__, "--data", str(arguments.data), "--only", name]
    if arguments.stream is not None:
        command += ["--stream", str(arguments.stream)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def plotted(taken: Mapping[str, list[Taken]]) -> NDArray[np.uint8]:
    """Draw processor time against megapixels (left) and chromosomes (right)."""
    top = max(1.05 * LIMIT_S, *(one.processor_s for each in taken.values() for one in each))
    panels = []
    for title, value in (
        ("megapixels", lambda one: one.pixels / 1e6),
        ("chromosomes found", lambda one: float(one.chromosomes)),
    ):
        right = 1.05 * max(value(one) for each in taken.values() for one in each)
        panel = np.full((460, 620, 3), 255, np.uint8)
        cv2.rectangle(panel, (60, 20), (600, 410), (0, 0, 0), 1)
        level = round(410 - 390 * LIMIT_S / top)
        cv2.line(panel, (60, level), (600, level), (160, 160, 160), 1)
        for text, at in (
            (f"processor s, line at {LIMIT_S}", (64, 14)),
            (f"{title}, to {right:.1f}", (240, 445)),
            (f"{top:.1f}", (20, 30)),
            ("0", (40, 412)),
        ):
            cv2.putText(panel, text, at, cv2.FONT_HERSHEY_SIMPLEX, 0.42, (0, 0, 0), 1, cv2.LINE_AA)
        for colour, (number, (name, each)) in zip(COLOURS, enumerate(taken.items()), strict=False):
            for one in each:
                x, y = 60 + 540 * value(one) / right, 410 - 390 * one.processor_s / top
                cv2.circle(panel, (round(x), round(y)), 3, colour, -1, cv2.LINE_AA)
            cv2.putText(
                panel, name, (70, 40 + 16 * number), cv2.FONT_HERSHEY_SIMPLEX, 0.42, colour, 1, cv2.LINE_AA
            )
        panels.append(panel)
    return np.hstack(panels)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=None)
    parser.add_argument("--images", type=int, default=30)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--stream", type=Path, help="folder of the stream's weights")
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--only", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    arguments.data = data_root(arguments.data)
    torch.set_num_threads(arguments.threads)
    cv2.setNumThreads(arguments.threads)
    segmenters = SegmentationMethods(baselines=True, stream=arguments.stream).segmenters()
    if arguments.only:
        for image in pictures(arguments.data, 6):
            cut(segmenters[arguments.only], image)
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0)
        return
    taken = take_turns(segmenters, pictures(arguments.data, arguments.images))
    results: dict[str, dict[str, float]] = {}
    for name, each in taken.items():
        results[name] = {**summary(each), "peak_mib": peak_mib(name, arguments)}
        one = results[name]
        print(
            f"{name:22s} wall {one['wall_median_s']:.3f} s (p90 {one['wall_p90_s']:.3f}), processor "
            f"{one['processor_median_s']:.3f} s (p90 {one['processor_p90_s']:.3f}); {one['megapixel_s']:.3f} s a "
            f"megapixel, {one['chromosome_ms']:.1f} ms a chromosome; peak {one['peak_mib']:.0f} MiB"
            f"{'' if one['wall_median_s'] <= LIMIT_S else '  over the time limit'}"
            f"{'' if one['peak_mib'] <= LIMIT_MIB else '  over the memory limit'}"
        )
    if arguments.plot:
        cv2.imwrite(str(arguments.plot), plotted(taken))
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
