"""How well a dry run foretells time and disk, on the twin in real time.

One run teaches (or an earlier run's folder with `--measured`); the dry run foretells another one, with
another area and other numbers; then that one is run.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

from acquisition.dry_run import estimate, experience_of
from acquisition.plan.experience import Experience
from acquisition.protocol import load_protocol
from scanner.rig import load_rig

ROOT = Path(__file__).parents[1]
# What is written by scoring against the twin's truth is no part of a run on glass.
NOT_OF_THE_RUN = {"truth.json"}


def real_time_rig(folder: Path) -> Path:
    """The simulated rig, whose moves and read-outs take as long as the rig file says."""
    rig = folder / "rig"
    shutil.copytree(ROOT / "hardware_configs" / "simulated", rig)
    cfg = rig / "micro-manager.cfg"
    cfg.write_text(cfg.read_text().replace("Clock,instant", "Clock,real"))
    return rig


def protocol_of(folder: Path, name: str, area: dict[str, float], analyse: bool) -> Path:
    data = yaml.safe_load((ROOT / "protocols" / "demo.yaml").read_text())
    data["name"] = name
    data["scan"]["area"] = area
    data["karyotype"]["enabled"] = analyse
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(data, sort_keys=False))
    return path


def scan(rig: Path, protocol: Path, out: Path, cells: int, seed: int) -> None:
    command = [sys.executable, "-m", "station.cli", "scan", "--rig", str(rig), "--protocol", str(protocol)]
    command += ["--out", str(out), "--cells", str(cells), "--seed", str(seed)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def error(foretold: float, took: float) -> float:
    return foretold / took - 1.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--measured", type=Path, help="learn from this run instead of running one")
    parser.add_argument("--cells", type=int, default=16)
    parser.add_argument("--no-karyotype", action="store_true", help="leave out the analysis")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="dry-run-"))
    try:
        rig = real_time_rig(folder)
        analyse = not options.no_karyotype
        small = {"x_min_um": 20_000, "y_min_um": 8_000, "x_max_um": 26_000, "y_max_um": 13_000}
        large = {"x_min_um": 30_000, "y_min_um": 6_000, "x_max_um": 39_000, "y_max_um": 14_000}
        teacher = options.measured
        if teacher is None:
            teacher = folder / "teacher"
            scan(rig, protocol_of(folder, "small", small, analyse), teacher, 8, 1)
        protocol = protocol_of(folder, "large", large, analyse)
        read, instrument = load_protocol(protocol), load_rig(rig)[0]
        learnt = estimate(read, instrument, experience_of(teacher), expected_cells=options.cells)
        shipped = estimate(read, instrument, Experience(), expected_cells=options.cells)
        out = folder / "run"
        scan(rig, protocol, out, options.cells, 5)
        seconds = json.loads((out / "run.json").read_text())["seconds"]
        stored = sum(p.stat().st_size for p in out.rglob("*") if p.is_file() and p.name not in NOT_OF_THE_RUN)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(f"{'phase':12} {'foretold':>10} {'took':>10}")
    for phase in learnt.phases[1:]:
        print(f"{phase.name:12} {phase.seconds:9.1f}s {seconds.get(phase.name, 0.0):9.1f}s")
    figures = {
        "foretold_s": learnt.seconds,
        "took_s": seconds["total"],
        "time_error": error(learnt.seconds, seconds["total"]),
        "foretold_bytes": learnt.stored_bytes,
        "took_bytes": stored,
        "disk_error": error(learnt.stored_bytes, stored),
        "time_error_shipped_figures": error(shipped.seconds, seconds["total"]),
        "disk_error_shipped_figures": error(shipped.stored_bytes, stored),
    }
    for key, value in figures.items():
        print(f"{key:28} {value:.3f}" if "error" in key else f"{key:28} {value:,.0f}")
    if options.json is not None:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
