"""Time to classify 100 karyotypes whose chromosomes are cut already, against the 14.4 s of the paper.

    python benchmarks/classify_cells.py --data FOLDER --cells 100 --processes 2

KaryoXpert (Chen et al., table 6) needs 14.4 s for 100 reports on a graphics processor. Counted here:
straightening, net, look at the cell and joint assignment of cells of the gband612 train split; the pictures are in
memory.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch

from analysis.assignment.joint_assignment import assign
from analysis.classification.classifier import Classifier
from analysis.datasets.gband612 import gband612_cells
from analysis.datasets.root import data_root
from analysis.straightening.crops import crops_of_cell, object_from_picture
from analysis.structures.crop import ObjectPixels

PAPER_S = 14.4
Cell = tuple[ObjectPixels, ...]


def classify(cells: Sequence[Cell]) -> tuple[float, float, float]:
    """Classify cells on one thread; seconds of straightening, net and assignment."""
    torch.set_num_threads(1)
    classifier = Classifier.load()
    classifier.score(crops_of_cell(cells[0][:2]))
    spent = np.zeros(3)
    for cell in cells:
        marks = [time.perf_counter()]
        crops = crops_of_cell(cell)
        marks.append(time.perf_counter())
        scores = classifier.score(crops)
        marks.append(time.perf_counter())
        assign(scores.log_prob, scores.log_none)
        marks.append(time.perf_counter())
        spent += np.diff(marks)
    return float(spent[0]), float(spent[1]), float(spent[2])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=None, help="root of the data sets")
    parser.add_argument("--cells", type=int, default=100)
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    options.data = data_root(options.data)
    taken = itertools.islice(gband612_cells(options.data / "gband612", "train"), options.cells)
    cells = [tuple(object_from_picture(picture) for picture in cell.pictures) for cell in taken]
    parts = [cells[k :: options.processes] for k in range(options.processes)]
    with ProcessPoolExecutor(options.processes, mp_context=get_context("spawn")) as pool:
        spent = np.array(list(pool.map(classify, parts)))
    # The slowest process decides; loading the weights is done once and not counted.
    wall_s = float(spent.sum(axis=1).max()) * 100 / len(cells)
    steps = spent.sum(axis=0) / len(cells) * 1000
    print(f"{len(cells)} cells, {sum(map(len, cells))} chromosomes, {options.processes} processes of one thread")
    print(f"a cell: straightening {steps[0]:.0f} ms, net {steps[1]:.0f} ms, assignment {steps[2]:.0f} ms")
    print(f"100 cells: {wall_s:.1f} s (paper: {PAPER_S} s on a graphics processor)")


if __name__ == "__main__":
    main()
