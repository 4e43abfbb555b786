"""The same scan, resume, batch and karyotype with POSIX and without it, and what came out of either, side by side.

    python -m tests.station.posix_comparison comparison.md

Without POSIX means `windows_rehearsal/sitecustomize.py`: no POSIX module, call or signal, and the branches for
Windows. Nothing here runs on Windows.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml

from acquisition.storage import read_capture
from simulators.specimen.karyotype import parse_karyotype
from simulators.specimen.metaphase import render_metaphase
from station.exit_codes import ExitCode

ROOT = Path(__file__).parents[2]
REHEARSAL = Path(__file__).parent / "windows_rehearsal"
RIGS = ROOT / "hardware_configs"
Figures = dict[str, str]

_SMALL_AREA = {"x_min_um": 30_000, "y_min_um": 11_000, "x_max_um": 31_600, "y_max_um": 12_200}
_KILLED = 9
"""SIGKILL, by which the fault ends the process."""
_RUN_KEYS = ("status", "fields", "planted", "found", "candidates", "captured", "false_finds", "safe_state_faults")
_TIMEOUT_S = 200


def environment(folder: Path, *, posix: bool) -> dict[str, str]:
    """Variables of a process with POSIX, or as on Windows with a cp1252 terminal."""
    values = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
        "XDG_STATE_HOME": str(folder / "state"),
    }
    if posix:
        return values
    return {
        **values,
        "PYTHONPATH": os.pathsep.join((str(REHEARSAL), str(ROOT))),
        "PYTHONWARNDEFAULTENCODING": "1",
        "PYTHONIOENCODING": "cp1252",
        "PYTHONUTF8": "0",
        "PYTHONCOERCECLOCALE": "0",
        "LC_ALL": "C",
    }


def call(folder: Path, *arguments: object, posix: bool, status: int = 0) -> None:
    """Run a command of karyoscan in a folder."""
    done = subprocess.run(
        [sys.executable, "-m", "station.cli", *map(str, arguments)],
        cwd=folder,
        env=environment(folder, posix=posix),
        capture_output=True,
        timeout=_TIMEOUT_S,
        check=False,
    )
    assert done.returncode == status, (arguments, done.returncode, done.stderr.decode("cp1252", errors="replace"))


def scanned(folder: Path, *, posix: bool) -> Figures:
    """A scan from its first field to its capture."""
    call(folder, "scan", *_scan_options(folder), posix=posix)
    return run_figures(folder / "run")


def resumed(folder: Path, *, posix: bool) -> Figures:
    """A scan whose process is killed in the middle, and the rest of it."""
    fault = ("--faults", "process_killed@journal/found:2")
    call(folder, "scan", *_scan_options(folder), *fault, posix=posix, status=-_KILLED)
    assert not (folder / "run" / "run.json").exists()
    call(folder, "resume", folder / "run", posix=posix)
    return run_figures(folder / "run")


def batched(folder: Path, *, posix: bool) -> Figures:
    """A tray of two slides, of which one carries another name than the worklist wants."""
    _write_protocol(folder)
    (folder / "night.csv").write_bytes(
        b"barcode,accession,protocol,priority\nKS-1,case-1,small.yaml,\nKS-2,case-2,small.yaml,\n"
    )
    (folder / "tray.csv").write_bytes(b"slot,barcode,cells,seed\n1,KS-1,1,5\n2,KS-8,0,6\n")
    options = (
        "--rig",
        RIGS / "simulated-feeder",
        "--worklist",
        "night.csv",
        "--tray",
        "tray.csv",
        "--out",
        "batch",
    )
    call(folder, "batch", *options, posix=posix, status=ExitCode.PARTLY_DONE)
    report = json.loads((folder / "batch" / "batch.json").read_bytes())
    slides = {f"slide {slide['barcode']}": slide["status"] for slide in report["slides"]}
    (run,) = (folder / "batch").glob("*/run.json")
    return {**slides, **run_figures(run.parent)}


def karyotyped(folder: Path, *, posix: bool) -> Figures:
    """A drawn cell, to its karyogram."""
    cell = render_metaphase(parse_karyotype("46,XY"), np.random.default_rng(4))
    pixels = np.clip(np.rint(230.0 * 10.0**-cell.od), 0, 255).astype(np.uint8)
    cv2.imwrite(str(folder / "cell.png"), pixels)
    call(folder, "karyotype", "--out", "out", "cell.png", posix=posix)
    proposal = json.loads((folder / "out" / "cell.json").read_bytes())
    classes = [(one["class"], one["box_px"] if "box_px" in one else one["id"]) for one in proposal["chromosomes"]]
    karyogram = cv2.imread(str(folder / "out" / "cell.karyogram.png"), cv2.IMREAD_UNCHANGED)
    return {
        "ISCN": str(proposal["iscn"]),
        "chromosomes": str(len(classes)),
        "classes and boxes": _digest(json.dumps(classes).encode()),
        "pixels of the karyogram": _digest(karyogram.tobytes()),
    }


STEPS: dict[str, Callable[..., Figures]] = {
    "scan": scanned,
    "resume after a kill": resumed,
    "batch": batched,
    "karyotype": karyotyped,
}


def run_figures(run: Path) -> Figures:
    """What a run found, where, and what it photographed; no times and no names of this run alone."""
    summary: dict[str, Any] = json.loads((run / "run.json").read_bytes())
    with (run / "candidates.csv").open(encoding="utf-8", newline="") as file:
        candidates = [
            [row[key] for key in ("rank", "slide_x_um", "slide_y_um", "score", "analysable")]
            for row in csv.DictReader(file)
        ]
    captures = sorted((run / "captures").glob("*.ome.tiff"))
    return {
        **{key: str(summary[key]) for key in _RUN_KEYS},
        "places and scores": _digest(json.dumps(candidates).encode()),
        "pixels of the captures": _digest(b"".join(read_capture(path).pixels.tobytes() for path in captures)),
        "files left behind": ", ".join(sorted(path.name for path in run.glob("*.raw"))) or "none",
    }


def compare(step: str, folder: Path) -> list[tuple[str, str, str]]:
    """Name, value with POSIX and value without it, of every figure of a step."""
    results = {}
    for posix in (True, False):
        own = folder / ("posix" if posix else "without")
        own.mkdir(parents=True)
        results[posix] = STEPS[step](own, posix=posix)
    names = dict.fromkeys([*results[True], *results[False]])
    return [(name, results[True].get(name, "-"), results[False].get(name, "-")) for name in names]


def _scan_options(folder: Path) -> tuple[object, ...]:
    protocol = _write_protocol(folder)
    rig = RIGS / "simulated"
    return ("--rig", rig, "--protocol", protocol, "--out", folder / "run", "--cells", 1, "--seed", 3)


def _write_protocol(folder: Path) -> Path:
    data = yaml.safe_load((ROOT / "protocols" / "demo.yaml").read_text(encoding="utf-8"))
    data["scan"]["area"] = _SMALL_AREA
    data["scan"]["focus"]["points"] = 2
    data["capture"]["number"] = 1
    data["karyotype"]["enabled"] = False
    path = folder / "small.yaml"
    path.write_text(yaml.safe_dump(data), encoding="utf-8", newline="\n")
    return path


def _digest(content: bytes) -> str:
    return f"sha256 {hashlib.sha256(content).hexdigest()[:12]}"


def main(out: Path) -> int:
    """Write the table; 1 where anything differs."""
    lines = ["| step | figure | with POSIX | without | same |", "|---|---|---|---|---|"]
    differs = False
    with tempfile.TemporaryDirectory() as folder:
        for step in STEPS:
            for name, with_posix, without in compare(step, Path(folder) / step.replace(" ", "-")):
                same = with_posix == without
                differs |= not same
                lines.append(f"| {step} | {name} | {with_posix} | {without} | {'yes' if same else '**no**'} |")
                out.write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")
    return int(differs)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
