"""A night of simulated slides that is disturbed: ``python benchmarks/night.py [--slides 24] [--json FILE]``.

`karyoscan batch` takes a tray of small simulated slides (simulated instrument) while, one after the other, the
disk is full for one record of a slide's journal, a worker is stopped and never answers (SIGSTOP), the worker of
the finder is killed (SIGKILL), and the terminal is closed (SIGHUP). The night is then taken up again. Printed is
what became of each slide after each session, whether any is missing from the record, and the memory of the process
slide by slide. It ends with 1 where a slide is neither done nor has a reason, where a disturbance did not come, or
where memory grows.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from acquisition.errors import JournalError
from acquisition.journal import read_journal
from acquisition.run.run_log import LogKind

RIG = Path(__file__).parents[1] / "hardware_configs" / "simulated-feeder"
PROTOCOL = """\
version: 1
name: night
banding: G
tissue: lymphocyte
scan:
  objective: 10x
  area: {x_min_um: 29000, y_min_um: 11000, x_max_um: 31000, y_max_um: 12500}
  exposure_ms: 5
  focus: {points: 2, range_um: 40}
capture: {objective: 63x, oil: allowed, number: 1, exposure_ms: 40}
karyotype: {enabled: true, workers: 1, counted: 2, analysed: 1, karyotyped: 1}
"""
COMMAND = "import sys; from station.cli import main; sys.argv[0] = 'karyoscan'; main()"
POLL_S = 0.5
NTH_WRITE = 60
"""Write of a journal that finds the disk full: with some 40 records a slide, in the second one."""
FILES = ("captures/*.tiff", "karyograms/*.json", "report.html")
FULL_DISK = "no room on the disk"
SETTLING_SLIDES, FEWEST_SLIDES = 7, 8
"""Slides in which a process loads what all need, and the fewest after them of which a slope says anything."""
MOST_GROWTH_MB = 1.5
"""Slope of the memory over the slides of a session that still counts as flat."""
PATIENCE_S = 1800.0


def write_inputs(folder: Path, slides: int) -> None:
    (folder / "night.yaml").write_text(PROTOCOL)
    numbers = range(1, slides + 1)
    rows = "".join(f"K-{number:03},A-{number:03},night.yaml\n" for number in numbers)
    (folder / "worklist.csv").write_text(f"barcode,accession,protocol\n{rows}")
    rows = "".join(f"{number},K-{number:03},2,{number}\n" for number in numbers)
    (folder / "tray.csv").write_text(f"slot,barcode,cells,seed\n{rows}")


def begin(folder: Path, faults: str) -> subprocess.Popen[bytes]:
    arguments = ["batch", "--rig", RIG, "--worklist", folder / "worklist.csv", "--out", folder / "night"]
    arguments += ["--tray", folder / "tray.csv", *(["--faults", faults] if faults else [])]
    log = (folder / "output.txt").open("ab")
    return subprocess.Popen([sys.executable, "-c", COMMAND, *map(str, arguments)], stdout=log, stderr=log)


def slides_of(folder: Path) -> list[dict[str, Any]]:
    """The slides in the record of the batch."""
    try:
        return list(json.loads((folder / "night" / "batch.json").read_text())["slides"])
    except (OSError, ValueError, KeyError):
        return []


def done_slides(folder: Path) -> int:
    """Slides that were taken, whether they came to their end or were parked."""
    return sum(slide["status"] in {"finished", "parked"} for slide in slides_of(folder))


def is_scanning(folder: Path) -> bool:
    """Whether the youngest run photographs fields: the workers are those of the finder then."""
    journals = sorted((folder / "night").glob("slot-*/journal.log"), key=lambda path: path.stat().st_mtime)
    try:
        kinds = {record.kind for record in read_journal(journals[-1])} if journals else set()
    except JournalError:
        return False
    return LogKind.FIELD in kinds and LogKind.SCANNED not in kinds


def worker_of(process: psutil.Process) -> psutil.Process | None:
    """A worker that computes; the youngest of them."""
    workers = [child for child in process.children(recursive=True) if "spawn_main" in " ".join(child.cmdline())]
    return max(workers, key=lambda child: child.create_time(), default=None)


def watch(
    folder: Path, process: subprocess.Popen[bytes], strikes: dict[int, str], memory_mb: dict[int, float]
) -> None:
    """Let the strikes come when so many slides are done; note the memory at the end of each slide."""
    watched = psutil.Process(process.pid)
    started_s = time.monotonic()
    while process.poll() is None and time.monotonic() - started_s < PATIENCE_S:
        done = done_slides(folder)
        # The last value of each count stays: a process that just starts is small.
        memory_mb[done] = watched.memory_info().rss / 1e6
        strike = strikes.get(done)
        if strike == "SIGHUP":
            del strikes[done]
            process.send_signal(signal.SIGHUP)
            print(f"after {done} slides: the terminal is closed (SIGHUP)", flush=True)
        elif strike is not None and is_scanning(folder) and (worker := worker_of(watched)) is not None:
            del strikes[done]
            worker.send_signal(getattr(signal, strike))
            print(f"after {done} slides: {strike} to the finder's worker {worker.pid}", flush=True)
        time.sleep(POLL_S)
    if process.poll() is None:
        process.kill()
        print("HUNG: killed", flush=True)


def growth_mb(memory_mb: dict[int, float]) -> float | None:
    """Slope of the memory over the slides of a session, MB a slide; None where there are too few to tell."""
    counts = sorted(memory_mb)[SETTLING_SLIDES:]
    if len(counts) < FEWEST_SLIDES:
        return None
    return float(np.polyfit(counts, [memory_mb[count] for count in counts], 1)[0])


def print_session(code: int, slides: list[dict[str, Any]], memory_mb: dict[int, float]) -> None:
    statuses = Counter(slide["status"] for slide in slides)
    print(f"session ended with {code}: {dict(statuses)}")
    for reason, count in Counter(s["reason"] for s in slides if s["status"] != "finished").items():
        names = [s["barcode"] for s in slides if s["status"] != "finished" and s["reason"] == reason]
        print(f"  {count} ({names[0]}..{names[-1]}): {reason}" if count > 1 else f"  {names[0]}: {reason}")
    print("  memory, MB by slides done:", {done: round(value) for done, value in sorted(memory_mb.items())})
    growth = growth_mb(memory_mb)
    print("  growth", "not assessed" if growth is None else f"{growth:+.2f} MB a slide", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--slides", type=int, default=24)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    count = options.slides
    # Processes inherit what ``nohup`` ignores.
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    with tempfile.TemporaryDirectory(prefix="night-") as name:
        folder = Path(name)
        write_inputs(folder, count)
        strikes = {count // 8: "SIGSTOP", count // 4: "SIGKILL", (3 * count) // 4: "SIGHUP"}
        started_s = time.monotonic()
        codes, memories_mb, slides, reasons = [], [], list[dict[str, Any]](), list[str]()
        for faults in (f"disk_full@journal.log:{NTH_WRITE}", "", ""):
            memory_mb: dict[int, float] = {}
            process = begin(folder, faults)
            watch(folder, process, strikes, memory_mb)
            codes.append(process.returncode)
            memories_mb.append(memory_mb)
            slides = slides_of(folder)
            reasons += [slide["reason"] for slide in slides]
            print_session(process.returncode, slides, memory_mb)
            if process.returncode == 0:
                break
        found = {kind: len(list((folder / "night").glob(f"slot-*/{kind}"))) for kind in FILES}
        statuses = Counter(slide["status"] for slide in slides)
        faults_found = [f"{strike} never came" for strike in strikes.values()]
        if not any(FULL_DISK in reason for reason in reasons):
            faults_found.append("no slide had a full disk")
        faults_found += [f"{slide['barcode']}: {slide['status']}" for slide in slides if not slide["reason"]]
        if len({slide["barcode"] for slide in slides}) != count:
            faults_found.append(f"{count} slides were to be in the record")
        if statuses["finished"] != count:
            faults_found.append(f"{statuses['finished']} of {count} finished in the end")
        grown_mb = max(growth_mb(memory_mb) or 0.0 for memory_mb in memories_mb)
        if grown_mb > MOST_GROWTH_MB:
            faults_found.append(f"memory grows by {grown_mb:.2f} MB a slide")
        print(f"{found}; {time.monotonic() - started_s:.0f} s")
        print("\n".join(faults_found) or f"all {count} slides done, every disturbance told, memory flat")
        if options.json:
            report = {"codes": codes, "statuses": statuses, "memory_mb": memories_mb, "faults": faults_found}
            options.json.write_text(json.dumps(report, indent=1))
    sys.exit(bool(faults_found))


if __name__ == "__main__":
    main()
