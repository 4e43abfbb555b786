"""Write what a checkout's product proposes for labelled cells, for comparison with another checkout's.

    PYTHONPATH=CHECKOUT nice python benchmarks/write_cell_predictions.py --split val --out before.jsonl \
        [--data FOLDER] [--limit 120]

The lines are those of ``karyoscan evaluate cells --predictions FILE`` (`analysis.evaluation.cell_predictions`),
made with nothing but calls that checkouts of before have as well. ``karyoscan evaluate compare`` reads both. Cells
that the file already holds are passed over, so that a run that was stopped goes on.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import cv2
import torch

from analysis.datasets.root import data_root
from analysis.datasets.tseng import load_tseng, spread_evenly
from analysis.errors import NoMetaphaseError
from analysis.imaging.image_file import read_image
from analysis.karyotyping.pipeline import Karyotyper, load_karyotyper
from analysis.karyotyping.run_lengths import encode_run_lengths

FORMAT = "karyoscan-cell-prediction"
VERSION = 1


def predicted_line(karyotyper: Karyotyper, name: str, case: str, split: str, path: Path) -> dict[str, Any]:
    """Karyotype one cell and give its line.

    Parameters
    ----------
    karyotyper
        The product.
    name, case, split
        Of the cell.
    path
        Its picture.
    """
    image = read_image(path)
    height_px, width_px = image.pixels.shape
    line: dict[str, Any] = {
        "format": FORMAT,
        "version": VERSION,
        "image": name,
        "case": case,
        "split": split,
        "size_px": [height_px, width_px],
        "objects": [],
        "iscn": None,
        "level": "",
        "reasons": [],
        "left_out": [],
        "unexplained": [],
        "alternatives": [],
    }
    started_s = time.perf_counter()
    try:
        karyotype = karyotyper.karyotype(image)
    except NoMetaphaseError:
        return line | {"seconds": time.perf_counter() - started_s}
    seconds = time.perf_counter() - started_s
    objects = [
        {
            "class": each.class_name,
            "probability": each.probability,
            "score": float(each.instance.score),
            "box_px": [int(side) for side in each.instance.box_px],
            "extent_px": None
            if each.instance.extent_px is None
            else [float(side) for side in each.instance.extent_px],
            "mask": encode_run_lengths(each.instance.mask, each.instance.box_px, height_px, width_px),
        }
        for each in karyotype.chromosomes
    ]
    return line | {
        "objects": objects,
        "iscn": karyotype.iscn.text,
        "level": karyotype.verdict.level.value,
        "reasons": [reason.finding.value for reason in karyotype.verdict.reasons],
        "left_out": [
            [*(float(side) for side in each.extent_px), float(each.score)] for each in karyotype.left_out
        ],
        "seconds": seconds,
    }


def main() -> None:
    """Write the lines."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--split", required=True)
    parser.add_argument("--limit", type=int)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    done = set()
    if arguments.out.exists():
        done = {json.loads(line)["image"] for line in arguments.out.read_text("utf-8").splitlines()}
    cells = spread_evenly(load_tseng(data_root(arguments.data) / "tseng", arguments.split), arguments.limit)
    karyotyper = load_karyotyper()
    with arguments.out.open("a", encoding="utf-8") as stream:
        for cell in cells:
            if cell.name not in done:
                line = predicted_line(karyotyper, cell.name, cell.case, arguments.split, cell.path)
                stream.write(json.dumps(line) + "\n")
                stream.flush()


if __name__ == "__main__":
    main()
