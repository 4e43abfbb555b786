"""A whole run over real metaphases: how much of what lies on the slide ends right in a karyogram?

One metaphase of each of the first cases of the Tseng test split is laid on the simulated slide at its physical
scale, scanned at 10x, found, photographed at 63x and karyotyped. Real texture, composed layout, simulated
instrument.

    python benchmarks/real_specimen.py --data ../shared/data [--cells 12] [--out runs/real]
"""

from __future__ import annotations

import argparse
import csv
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path


def choose(data: Path, split: str, number: int) -> list[str]:
    """One image a case, in the order of the list."""
    chosen: dict[str, str] = {}
    with (data / "images.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row["split"] == split:
                chosen.setdefault(row["case"], row["image"])
    return list(chosen.values())[:number]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--split", default="test", choices=("train", "val", "test"))
    parser.add_argument("--cells", type=int, default=12)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("runs/real"))
    arguments = parser.parse_args()
    source = arguments.data / "tseng"
    with tempfile.TemporaryDirectory() as folder:
        for image in choose(source, arguments.split, arguments.cells):
            shutil.copy(source / "images" / f"{image}.jpg", folder)
        shutil.copy(source / "boxes.csv.gz", folder)
        root = Path(__file__).parents[1]
        command = [
            *(sys.executable, "-m", "station.cli", "scan"),
            *("--rig", str(root / "hardware_configs" / "simulated")),
            *("--protocol", str(root / "protocols" / "demo.yaml")),
            *("--specimen", folder, "--cells", str(arguments.cells), "--seed", str(arguments.seed)),
            *("--slide", f"tseng-{arguments.split}", "--out", str(arguments.out)),
        ]
        return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    raise SystemExit(main())
