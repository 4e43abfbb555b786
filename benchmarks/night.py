"""A night of simulated slides that is disturbed: ``python benchmarks/night.py [--slides 24] [--json FILE]``.

`karyoscan batch` takes a tray of small simulated slides (simulated instrument) while, one after the other, a
worker is stopped and never answers (SIGSTOP), another is killed, and the terminal is closed (SIGHUP). The night is
then taken up again. Told is what became of each slide, whether any is missing from the record, and the memory of
the process slide by slide.
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

import psutil

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
PATIENCE_S = 1800.0


def write_inputs(folder: Path, slides: int) -> None:
    (folder / "night.yaml").write_text(PROTOCOL)
    numbers = range(1, slides + 1)
    rows = "".join(f"K-{number:03},A-{number:03},night.yaml\n" for number in numbers)
    (folder / "worklist.csv").write_text(f"barcode,accession,protocol\n{rows}")
    rows = "".join(f"{number},K-{number:03},2,{number}\n" for number in numbers)
    (folder / "tray.csv").write_text(f"slot,barcode,cells,seed\n{rows}")


def begin(folder: Path) -> subprocess.Popen[bytes]:
    arguments = ["batch", "--rig", RIG, "--worklist", folder / "worklist.csv", "--out", folder / "night"]
    arguments += ["--tray", folder / "tray.csv"]
    log = (folder / "output.txt").open("ab")
    return subprocess.Popen([sys.executable, "-c", COMMAND, *map(str, arguments)], stdout=log, stderr=log)


def done_slides(folder: Path) -> int:
    """Slides whose end stands in the record of the batch."""
    path = folder / "night" / "batch.json"
    try:
        return sum(slide["status"] == "finished" for slide in json.loads(path.read_text())["slides"])
    except (OSError, ValueError, KeyError):
        return 0


def worker_of(process: psutil.Process) -> psutil.Process | None:
    """A worker that computes; the youngest of them."""
    workers = [child for child in process.children(recursive=True) if "spawn_main" in " ".join(child.cmdline())]
    return max(workers, key=lambda child: child.create_time(), default=None)


def watch(
    folder: Path, process: subprocess.Popen[bytes], strikes: dict[int, str], memory: dict[int, float]
) -> None:
    """Let the strikes come when so many slides are done; note the memory at each slide."""
    watched = psutil.Process(process.pid)
    started_s = time.monotonic()
    while process.poll() is None and time.monotonic() - started_s < PATIENCE_S:
        done = done_slides(folder)
        if done not in memory:
            memory[done] = watched.memory_info().rss / 1e6
        strike = strikes.get(done)
        if strike == "SIGHUP":
            del strikes[done]
            process.send_signal(signal.SIGHUP)
        elif strike is not None and (worker := worker_of(watched)) is not None:
            del strikes[done]
            worker.send_signal(getattr(signal, strike))
            print(f"after {done} slides: {strike} to worker {worker.pid}", flush=True)
        time.sleep(POLL_S)
    if process.poll() is None:
        process.kill()
        print("HUNG: killed", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--slides", type=int, default=24)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    count = options.slides
    with tempfile.TemporaryDirectory(prefix="night-") as name:
        folder = Path(name)
        write_inputs(folder, count)
        memory: dict[int, float] = {}
        strikes = {count // 8: "SIGSTOP", count // 4: "SIGKILL", (3 * count) // 4: "SIGHUP"}
        started_s = time.monotonic()
        sessions = [strikes, {}, {}]
        codes = []
        for at in sessions:
            process = begin(folder)
            watch(folder, process, dict(at), memory)
            codes.append(process.returncode)
            print(
                f"session ended with {process.returncode}, {done_slides(folder)} of {count} finished", flush=True
            )
            if done_slides(folder) == count:
                break
        report = json.loads((folder / "night" / "batch.json").read_text())
        statuses = Counter(slide["status"] for slide in report["slides"])
        named = {slide["barcode"] for slide in report["slides"]}
        for slide in report["slides"]:
            if slide["status"] != "finished":
                print(f"{slide['barcode']}: {slide['status']}: {slide['reason']}")
        captures = sum(
            len(list((folder / "night").glob(f"slot-{k}-*/captures/*.tiff"))) for k in range(1, count + 1)
        )
        karyograms = sum(
            len(list((folder / "night").glob(f"slot-{k}-*/karyograms/*.json"))) for k in range(1, count + 1)
        )
        print(f"slides: {dict(statuses)}; not named in the record: {count - len(named)}")
        print(f"captures {captures}, proposals {karyograms}; {time.monotonic() - started_s:.0f} s")
        print("memory, MB by slides done:", {done: round(value) for done, value in sorted(memory.items())})
        if options.json:
            options.json.write_text(json.dumps({"codes": codes, "statuses": statuses, "memory": memory}, indent=1))


if __name__ == "__main__":
    main()
