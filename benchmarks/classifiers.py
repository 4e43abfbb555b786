"""Ablation of the classifier and other nets in its place, each trained anew in the same processor time.

    python benchmarks/classifiers.py --crops training/classifier/crops --out training/ablation --minutes 3.5

Needs the prepared crops of ``karyoscan train classifier``. One thread; every row is written to a file of its own
as soon as it is there, and the same command goes on where it was stopped. With 12 rows of 3.5 minutes it takes
three quarters of an hour on a quiet machine.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from analysis.training.classifier.ablation import markdown, run_ablation, variants


def main() -> None:
    """Run the comparison and print its table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--crops", type=Path, default=Path("training/classifier/crops"), help="prepared crops")
    parser.add_argument("--out", type=Path, default=Path("training/ablation"), help="rows and table go here")
    parser.add_argument("--minutes", type=float, default=3.5, help="processor time of every row")
    parser.add_argument(
        "--only", action="append", choices=[variant.name for variant in variants()], help="make this row (again)"
    )
    parser.add_argument("--val-cells", type=int, default=None, help="measure on so many cells of every set")
    options = parser.parse_args()
    rows = run_ablation(
        options.crops,
        options.out,
        minutes=options.minutes,
        only=options.only,
        val_cells=options.val_cells,
        progress=lambda line: print(line, flush=True),
    )
    print(markdown(rows))


if __name__ == "__main__":
    main()
