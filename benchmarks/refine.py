"""Time of every edit of a cell on one core, over cells of the Tseng set's val split: median and 95th percentile.

    python benchmarks/refine.py [--data FOLDER] [--images 8] [--chromosomes 4] [--processor] [--json FILE]

Each edit is made to several chromosomes of each cell as it was proposed, in a cell that is opened anew for each:
nothing is remembered of edits before. ``--processor`` measures the seconds of the processor, which other work on
the machine doesn't lengthen.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from analysis.datasets.root import data_root
from analysis.datasets.tseng import load_tseng, spread_evenly
from analysis.errors import EditError
from analysis.imaging.image_file import read_image
from analysis.karyotyping.pipeline import load_karyotyper
from analysis.karyotyping.refine.application import refine, undo
from analysis.karyotyping.refine.opening import RefineModels, open_cell
from analysis.karyotyping.refine.refinable_cell import RefinableCell
from analysis.structures.alternatives import Pile, PileExplanation
from analysis.structures.cell_edit import (
    AddAlongScribble,
    AddAtPoint,
    AddInBox,
    CellEdit,
    ChooseExplanation,
    Delete,
    Join,
    OutlineAlongScribble,
    OutlineByPolygon,
    ResolveCrossing,
    SeparateByLine,
    SetClass,
)
from analysis.structures.instance import Instance
from analysis.structures.karyotype import Karyotype, KaryotypedChromosome

LIMIT_S = 0.3
"""An edit that takes longer is felt as waiting."""

Points = tuple[tuple[float, float], ...]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=None)
    parser.add_argument("--images", type=int, default=8)
    parser.add_argument("--chromosomes", type=int, default=4, help="of each cell")
    parser.add_argument("--processor", action="store_true", help="seconds of the processor, not of the wall")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    clock = time.process_time if arguments.processor else time.perf_counter
    taken: dict[str, list[float]] = defaultdict(list)
    karyotyper, models = load_karyotyper(), RefineModels.load()
    entries = spread_evenly(load_tseng(data_root(arguments.data) / "tseng", "val"), arguments.images)
    for number, entry in enumerate(entries):
        proposed = karyotyper.karyotype(read_image(entry.path))
        if number == 0:
            # The first cell after a start pays for what is loaded once.
            refine(open_cell(proposed, models), Delete(chromosome=0, reassign=True))
        measure(proposed, models, arguments.chromosomes, clock, taken)
    figures = {
        name: {
            "times": len(seconds),
            "median_s": float(np.median(seconds)),
            "p95_s": float(np.percentile(seconds, 95)),
        }
        for name, seconds in taken.items()
    }
    for name, row in figures.items():
        print(f"{name:28} {row['times']:4d}  median {row['median_s']:.3f}  p95 {row['p95_s']:.3f}")
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    slow = [name for name, row in figures.items() if name != "open" and row["p95_s"] > LIMIT_S]
    if slow:
        sys.exit(f"slower than {LIMIT_S} s in one of twenty: {', '.join(slow)}")


def measure(
    proposed: Karyotype,
    models: RefineModels,
    count: int,
    clock: Callable[[], float],
    taken: dict[str, list[float]],
) -> None:
    """Time the opening of a cell, and every edit of some of its chromosomes.

    Parameters
    ----------
    proposed
        The cell.
    models
        The nets.
    count
        Chromosomes of it.
    clock
        Gives seconds.
    taken
        Gets the seconds by what took them.
    """
    chosen = [proposed.chromosomes[int(row)] for row in np.linspace(0, len(proposed.chromosomes) - 1, count)]
    for each in chosen:
        # A cell opened anew remembers nothing of the edits before.
        started = clock()
        cell = open_cell(with_pile(proposed, each), models)
        taken["open"].append(clock() - started)
        for name, start, edit in edits_of(cell, each):
            started = clock()
            try:
                refine(start, edit)
            except EditError as error:
                print(f"{proposed.image.source}: {name} refused: {error}", file=sys.stderr)
                continue
            taken[name].append(clock() - started)
        started = clock()
        undo(refine(cell, Delete(chromosome=each.id)))
        taken["undo of one edit"].append(clock() - started)


def with_pile(proposed: Karyotype, chromosome: KaryotypedChromosome) -> Karyotype:
    """The proposal with a pile of one chromosome that may as well be two."""
    xmin, ymin, xmax, ymax = chromosome.instance.box_px
    mask = chromosome.instance.mask
    halves = []
    for rows in (slice(0, (ymax - ymin) // 2), slice((ymax - ymin) // 2, ymax - ymin)):
        half = np.zeros_like(mask)
        half[rows] = mask[rows]
        if half.any():
            kept = np.flatnonzero(half.any(axis=1))
            box_px = (xmin, ymin + int(kept[0]), xmax, ymin + int(kept[-1]) + 1)
            halves.append(Instance(box_px, half[kept[0] : kept[-1] + 1], 0.5, chromosome.instance.route))
    pile = Pile((PileExplanation(0.8, (chromosome.instance,)), PileExplanation(0.2, tuple(halves))))
    return replace(proposed, piles=(pile,))


def edits_of(cell: RefinableCell, each: KaryotypedChromosome) -> Iterator[tuple[str, RefinableCell, CellEdit]]:
    """Every edit for one chromosome, with the cell that it is made to."""
    axis, line = axis_and_line(each)
    xmin, ymin, xmax, ymax = each.instance.box_px
    box_px = (float(xmin), float(ymin), float(xmax), float(ymax))
    half = len(axis) // 2
    yield "separate", cell, SeparateByLine(chromosome=each.id, line_px=line)
    parted = refine(cell, SeparateByLine(chromosome=each.id, line_px=line))
    yield "join", parted, Join(chromosomes=parted.changed)
    yield "delete", cell, Delete(chromosome=each.id)
    yield "delete, reassign", cell, Delete(chromosome=each.id, reassign=True)
    without = refine(cell, Delete(chromosome=each.id))
    yield "add at point", without, AddAtPoint(point_px=axis[len(axis) // 2])
    yield "add in box", without, AddInBox(box_px=box_px)
    yield "add along scribble", without, AddAlongScribble(points_px=axis)
    yield "outline by polygon", cell, OutlineByPolygon(chromosome=each.id, outline_px=corners(each))
    yield "outline along scribble", cell, OutlineAlongScribble(chromosome=each.id, points_px=axis)
    yield "resolve crossing", cell, ResolveCrossing(chromosomes=(each.id,), axes_px=(axis[:half], axis[half:]))
    yield "choose explanation", cell, ChooseExplanation(pile=0, explanation=1)
    yield "set class, reassign", cell, SetClass(chromosome=each.id, class_name="21", reassign=True)


def axis_and_line(each: KaryotypedChromosome) -> tuple[Points, Points]:
    """The axis of a chromosome, and a line across its middle, in px of the picture."""
    assert each.axis is not None
    points = each.axis.points_px.astype(np.float64) + np.asarray(each.instance.box_px[:2])
    thinned = points[:: max(1, len(points) // 8)]
    along = points[-1] - points[0]
    normal = np.asarray([-along[1], along[0]]) / max(float(np.hypot(along[0], along[1])), 1.0)
    centre, reach = points[len(points) // 2], 0.8 * each.axis.width_px
    ends = (centre - reach * normal, centre + reach * normal)
    return as_points(thinned), as_points(np.stack(ends))


def corners(each: KaryotypedChromosome) -> Points:
    """The outline of a mask."""
    lines, _ = cv2.findContours(each.instance.mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    longest = max(lines, key=len)[:, 0, :].astype(np.float64)
    return as_points(longest + np.asarray(each.instance.box_px[:2]))


def as_points(rows: NDArray[np.float64]) -> Points:
    """Rows of x and y as plain numbers, none beyond the upper and left edge of the picture."""
    return tuple((max(0.0, float(x)), max(0.0, float(y))) for x, y in rows)


if __name__ == "__main__":
    main()
