"""Every way a run can end, in every phase: ``python benchmarks/ends.py [--ends SIGHUP,exit] [--json FILE]``.

Each row is a scan on the simulated microscope in a process of its own (simulated instrument). In the middle of the
phase the end comes: a signal, a closed standard output, an exception out of the display, a power cut (SIGKILL).
Afterwards light, stage and focus of the simulated instrument are read, and the journal's last record; then the run
is resumed on the same slide. Safe is: light off, stage at rest, focus down, the end in the journal. After a power
cut there is nobody to make it safe: it has to be resumable.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console

from acquisition.journal import read_journal
from acquisition.protocol import read_protocol
from acquisition.run.control import RunControl
from acquisition.run.interruption import interruptions_handled
from acquisition.run.listener import RunListener
from station.compose import open_instrument
from station.run.progress import RichListener
from station.run.scan import ScanRequest, lying_slide, scan_slide

RIG = Path(__file__).parents[1] / "hardware_configs" / "simulated"
PHASES = ("focus", "scan", "capture", "karyotype")
SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGXCPU", "SIGUSR1")
EXCEPTIONS = {
    "exit": SystemExit(1),
    "keyboard": KeyboardInterrupt(),
    "memory": MemoryError(),
    "broken display": RuntimeError("the display is gone"),
    "generator": GeneratorExit(),
}
POWER_CUT = "power cut"
CLOSED = "closed output"
TWICE = "SIGINT twice"
ENDS = (*SIGNALS, TWICE, CLOSED, *EXCEPTIONS, POWER_CUT)
PATIENCE_S = 240.0
PROTOCOL = """\
version: 1
name: ends
banding: G
tissue: lymphocyte
scan:
  objective: 10x
  area: {x_min_um: 29000, y_min_um: 11000, x_max_um: 31000, y_max_um: 12500}
  exposure_ms: 5
  focus: {points: 2, range_um: 40}
capture: {objective: 63x, oil: allowed, number: 2, exposure_ms: 40}
karyotype: {enabled: true, workers: 1, counted: 2, analysed: 1, karyotyped: 1}
"""


@dataclass(frozen=True)
class Row:
    """What became of one run."""

    end: str
    phase: str
    came: bool
    ended: str
    lamp_off: bool | None
    stage_at_rest: bool | None
    focus_down: bool | None
    collisions: int | None
    last_record: str
    resumed: str

    @property
    def safe(self) -> bool:
        through = self.resumed in {"completed", "completed_with_errors"}
        if self.end == POWER_CUT:
            return self.came and through
        return bool(
            self.came
            and self.lamp_off
            and self.stage_at_rest
            and self.focus_down
            and not self.collisions
            and self.last_record == "ended"
            and through
        )


class Ending:
    """Passes everything on to a display, and lets the end come at the second step of a phase, or at its begin."""

    def __init__(self, display: RunListener, phase: str, end: Callable[[], None], came: Path) -> None:
        self._display = display
        self._phase = phase
        self._end = end
        self._came = came

    def phase(self, name: str, total: int) -> None:
        self._display.phase(name, total)
        if name == self._phase and total <= 1:
            self._let_it_come()

    def step(self, name: str, note: str = "") -> None:
        self._display.step(name, note)
        if name == self._phase:
            self._let_it_come()

    def message(self, text: str) -> None:
        self._display.message(text)

    def _let_it_come(self) -> None:
        if not self._came.exists():
            self._came.write_text("")
            self._end()


def end_of(name: str) -> Callable[[], None]:
    """Make what ends the run."""

    def strike() -> None:
        if name in EXCEPTIONS:
            raise EXCEPTIONS[name]
        if name == CLOSED:
            read, write = os.pipe()
            os.close(read)
            os.dup2(write, sys.stdout.fileno())
        elif name == POWER_CUT:
            os.kill(os.getpid(), signal.SIGKILL)
        elif name == TWICE:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)
        else:
            os.kill(os.getpid(), getattr(signal, name))

    return strike


def hear_signals() -> None:
    """Undo what a shell does for commands in the background, and ``nohup``: ignored signals end nothing."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for name in SIGNALS:
        if name != "SIGINT":
            signal.signal(getattr(signal, name), signal.SIG_DFL)


def child(end: str, phase: str, folder: Path) -> None:
    """Scan in this process, and write down what the simulated instrument is like at the end."""
    hear_signals()
    protocol_path = folder / "ends.yaml"
    protocol = read_protocol(protocol_path)
    request = ScanRequest(RIG, protocol_path, folder / "run", seed=3, cells=2)
    control = RunControl()
    with open_instrument(RIG, lying_slide(request, protocol.protocol)) as instrument:
        try:
            with (
                RichListener(Console(force_terminal=True)) as display,
                interruptions_handled(control, display.message),
            ):
                ending = Ending(display, phase, end_of(end), folder / "came")
                ended = str(scan_slide(instrument, request, protocol, control, ending).summary["status"])
        except BaseException as error:  # noqa: BLE001 - how the run ended is what is asked for
            ended = type(error).__name__
        twin = instrument.twin
        assert twin is not None
        state = {
            "ended": ended,
            "lamp_off": not twin.lamp_open,
            "stage_at_rest": not twin.is_stage_busy("XY"),
            "focus_down": abs(twin.focus_um() - instrument.rig.focus.down_um) < 1.0,
            "collisions": len(twin.collisions),
        }
        (folder / "state.json").write_text(json.dumps(state))


def run(end: str, phase: str) -> Row:
    """Let one run end, look at what is left, and resume it."""
    with tempfile.TemporaryDirectory(prefix="ends-") as name:
        folder = Path(name)
        (folder / "ends.yaml").write_text(PROTOCOL)
        arguments = [sys.executable, __file__, "--child", end, phase, str(folder)]
        try:
            subprocess.run(arguments, capture_output=True, timeout=PATIENCE_S, check=False)
            state = json.loads((folder / "state.json").read_text()) if (folder / "state.json").exists() else {}
        except subprocess.TimeoutExpired:
            state = {"ended": "hung"}
        journal = folder / "run" / "journal.log"
        records = read_journal(journal) if journal.exists() else ()
        resumed = "not needed" if state.get("ended") == "completed" else _resume(folder / "run")
        return Row(
            end=end,
            phase=phase,
            came=(folder / "came").exists(),
            ended=state.get("ended", "killed"),
            lamp_off=state.get("lamp_off"),
            stage_at_rest=state.get("stage_at_rest"),
            focus_down=state.get("focus_down"),
            collisions=state.get("collisions"),
            last_record=records[-1].kind if records else "none",
            resumed="completed" if resumed == "not needed" else resumed,
        )


def _resume(folder: Path) -> str:
    code = "import sys; from station.cli import main; sys.argv[0] = 'karyoscan'; main()"
    try:
        subprocess.run(
            [sys.executable, "-c", code, "resume", str(folder)],
            capture_output=True,
            timeout=PATIENCE_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return "hung"
    summary = folder / "run.json"
    return str(json.loads(summary.read_text()).get("status")) if summary.exists() else "no run.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ends", help=f"some of: {', '.join(ENDS)}")
    parser.add_argument("--phases", help=f"some of: {', '.join(PHASES)}")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--child", nargs=3, metavar=("END", "PHASE", "FOLDER"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.child[0], options.child[1], Path(options.child[2]))
        return
    ends = options.ends.split(",") if options.ends else ENDS
    phases = options.phases.split(",") if options.phases else PHASES
    pairs = [(end, phase) for end in ends for phase in phases]
    with ThreadPoolExecutor(options.processes) as pool:
        rows = list(pool.map(lambda pair: run(*pair), pairs))
    print(f"{'end':16} {'phase':10} {'ended':22} light stage focus  last record  resumed")
    for row in rows:
        marks = [
            "-" if value is None else "ok" if value else "NO"
            for value in (row.lamp_off, row.stage_at_rest, row.focus_down)
        ]
        verdict = "" if row.safe else "  <- NOT SAFE" if row.came else "  (phase not reached)"
        print(
            f"{row.end:16} {row.phase:10} {row.ended:22} {marks[0]:5} {marks[1]:5} {marks[2]:5}  "
            f"{row.last_record:12} {row.resumed}{verdict}"
        )
    print(f"{sum(row.safe for row in rows)} of {len(rows)} safe or resumable")
    if options.json:
        options.json.write_text(json.dumps([asdict(row) for row in rows], indent=1))


if __name__ == "__main__":
    main()
