"""Two and three interrupts at any moment: ``python benchmarks/interrupts.py [--times 200] [--json FILE]``.

A small run (four fields, two cells, one process, simulated instrument) is interrupted 0 to 600 ms after one of
its phases began, by two or three SIGINT. The second may come within the clean-up of the first, or after the end.
Afterwards light, stage and focus of the simulated instrument are read, the journal's last record and the state in
the casebook; then the run is gone on with. It ends with 1 where one is not safe, not recorded or can't be resumed.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from acquisition.casebook import open_casebook
from acquisition.handoff import Handoff, KaryotypeTask
from acquisition.journal import read_journal
from acquisition.protocol import Protocol
from acquisition.records import KaryotypeRecord, KaryotypeStatus, RunRecord, RunStatus
from acquisition.run.context import RunContext, RunFinders, RunInstrument, RunStorage
from acquisition.run.control import RunControl
from acquisition.run.interruption import interruptions_handled
from acquisition.run.listener import RunListener, SilentListener
from acquisition.run.slide_run import RunOutcome, SlideRun
from acquisition.run.unfinished import FINISHED
from acquisition.storage import RunFolder, write_bytes_atomic
from analysis.finder import Candidate
from station.compose import RENDERED, Instrument, SimulatedSlide, open_instrument

RIG = Path(__file__).parents[1] / "hardware_configs" / "simulated"
PHASES = ("focus", "scan", "search", "capture", "karyotype")
LATEST_S = 0.6
"""After the begin of a phase; what is long in it is begun by then."""
WIDEST_GAP_S = 0.05
"""Between two signals: within it two of them met in the clean-up of the first."""
PATIENCE_S = 120.0
KARYOTYPING_S = 0.8
"""A cell; longer than a capture takes, so that the analysis is waited for at the end."""
PROTOCOL = Protocol.model_validate(
    {
        "version": 1,
        "name": "interrupts",
        "banding": "G",
        "tissue": "lymphocyte",
        "scan": {
            "objective": "10x",
            "area": {"x_min_um": 30_000, "y_min_um": 11_000, "x_max_um": 31_600, "y_max_um": 12_200},
            "exposure_ms": 5,
            "focus": {"points": 1},
        },
        "capture": {"objective": "63x", "oil": "allowed", "number": 2, "exposure_ms": 40},
    }
)

SLIDE = SimulatedSlide(RENDERED, seed=5, cells=4, area=PROTOCOL.scan.area.bounds)
"""Cells enough that high magnification has something to focus on where the finder of this benchmark points."""


@dataclass(frozen=True)
class Row:
    """What became of one run."""

    phase: str
    signals: int
    delay_ms: float
    ended: str
    lamp_off: bool
    stage_at_rest: bool
    focus_down: bool
    collisions: int
    recorded: bool
    resumed: bool

    @property
    def safe(self) -> bool:
        return self.lamp_off and self.stage_at_rest and self.focus_down and not self.collisions


class Interrupting(SilentListener):
    """Lets signals come a while after a phase began, from another thread."""

    def __init__(self, phase: str, delays_s: Sequence[float]) -> None:
        self._phase = phase
        self._delays_s = delays_s
        self.thread: threading.Thread | None = None

    def phase(self, name: str, total: int) -> None:
        if name == self._phase and self.thread is None:
            self.thread = threading.Thread(target=self._strike)
            self.thread.start()

    def _strike(self) -> None:
        for delay_s in self._delays_s:
            time.sleep(delay_s)
            os.kill(os.getpid(), signal.SIGINT)


def one_in_the_middle(pixels: NDArray[np.uint16], um_per_px: float) -> list[Candidate]:
    height, width = pixels.shape
    return [Candidate(width / 2, height / 2, 20.0 / um_per_px, 0.9)]


def proposed(task: KaryotypeTask) -> KaryotypeRecord:
    time.sleep(KARYOTYPING_S)
    return KaryotypeRecord(task.capture_uid, KaryotypeStatus.PROPOSED, 0.1, iscn="46,XX", chromosomes=46)


def session(instrument: Instrument, path: Path, control: RunControl, listener: RunListener) -> RunOutcome:
    """Begin the run in a folder, or go on with it."""
    is_resumed = (path / "journal.log").exists()
    instrument.microscope.resume()
    instrument.microscope.slides.declare_clean()

    def conclude(outcome: RunOutcome) -> None:
        write_bytes_atomic(path / "run.json", b"{}")
        write_bytes_atomic(path / "report.html", outcome.status.value.encode())

    with (
        RunFolder.reopen(path) if is_resumed else RunFolder.create(path) as folder,
        open_casebook(folder.casebook) as casebook,
    ):
        if not is_resumed:
            casebook.begin_run(RunRecord("r", "s", "simulated", "", "interrupts", "", "0", datetime.now(UTC)))
        context = RunContext(
            "r",
            "s",
            RunInstrument(instrument.microscope),
            PROTOCOL,
            RunStorage(folder, casebook),
            RunFinders(one_in_the_middle),
            control,
            listener,
        )
        run = SlideRun(context, Handoff(lambda: ThreadPoolExecutor(1), work=proposed), conclude=conclude)
        return run.resume() if is_resumed else run.run()


def interrupted(instrument: Instrument, path: Path, phase: str, delays_s: Sequence[float]) -> Row:
    """Let one run be interrupted, look at what is left, and go on with it."""
    twin = instrument.twin
    assert twin is not None
    collisions = len(twin.collisions)
    listener, control = Interrupting(phase, delays_s), RunControl()
    with interruptions_handled(control):
        try:
            ended = session(instrument, path, control, listener).status.value
        except BaseException as error:  # noqa: BLE001 - how the run ended is what is asked for
            ended = type(error).__name__
        # What comes after the end is heard by whoever began the run.
        if listener.thread is not None:
            listener.thread.join()
        else:
            ended = f"{ended}, phase not reached"
    lamp_off, at_rest = not twin.lamp_open, not twin.is_stage_busy("XY")
    focus_down = abs(twin.focus_um() - instrument.rig.focus.down_um) < 1.0
    with open_casebook(path / "casebook.sqlite") as casebook:
        status = casebook.run("r").status
    recorded = read_journal(path / "journal.log")[-1].kind == "ended" and status is not RunStatus.RUNNING
    resumed = status in FINISHED or session(instrument, path, RunControl(), SilentListener()).status in FINISHED
    return Row(
        phase=phase,
        signals=len(delays_s),
        delay_ms=round(1000 * delays_s[0], 1),
        ended=ended,
        lamp_off=lamp_off,
        stage_at_rest=at_rest,
        focus_down=focus_down,
        collisions=len(twin.collisions) - collisions,
        recorded=recorded,
        resumed=resumed,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=200)
    parser.add_argument("--phases", help=f"some of: {', '.join(PHASES)}")
    parser.add_argument("--seed", type=int, default=14)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    phases = options.phases.split(",") if options.phases else PHASES
    # A shell lets commands in the background ignore it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    stream = random.Random(options.seed)
    rows: list[Row] = []
    started_s = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="interrupts-") as name, open_instrument(RIG, SLIDE) as instrument:
        for number in range(options.times):
            phase = phases[number % len(phases)]
            signals = 2 + number // len(phases) % 2
            first_s = LATEST_S * number / max(1, options.times - 1)
            delays_s = [first_s, *(stream.uniform(0.0, WIDEST_GAP_S) for _ in range(signals - 1))]
            # A run that hangs would keep all others from coming.
            signal.alarm(round(PATIENCE_S))
            rows.append(interrupted(instrument, Path(name) / f"run-{number:03}", phase, delays_s))
            signal.alarm(0)
            if not (rows[-1].safe and rows[-1].recorded and rows[-1].resumed):
                print(rows[-1], flush=True)
            if options.json:
                options.json.write_text(json.dumps([asdict(row) for row in rows], indent=1))
    print(f"{'phase':10} {'signals':8} {'runs':5} {'safe':5} {'recorded':9} {'resumable':10} ended as")
    for phase in phases:
        for signals in (2, 3):
            of = [row for row in rows if (row.phase, row.signals) == (phase, signals)]
            ends = ", ".join(f"{end} {count}" for end, count in Counter(row.ended for row in of).most_common())
            counts = sum(row.safe for row in of), sum(row.recorded for row in of), sum(row.resumed for row in of)
            print(f"{phase:10} {signals:<8} {len(of):<5} {counts[0]:<5} {counts[1]:<9} {counts[2]:<10} {ends}")
    good = sum(row.safe and row.recorded and row.resumed for row in rows)
    print(f"{good} of {len(rows)} safe, recorded and resumable; {time.monotonic() - started_s:.0f} s")
    sys.exit(good != len(rows))


if __name__ == "__main__":
    main()
