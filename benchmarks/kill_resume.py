"""Kill runs at random, resume them, and count: ``python benchmarks/kill_resume.py [--runs 100] [--json FILE]``.

Each run scans and photographs a small simulated slide in a process of its own, which is killed (SIGKILL) at a
random moment, sometimes again while it is resumed, and then resumed to its end. What was photographed is counted
at the microscope, not in the record: fields lost, recorded twice, and photographed twice although no kill can
explain it. Every tenth run is first resumed with another slide on the stage, which has to be refused.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import cv2

from acquisition.casebook import open_casebook
from acquisition.protocol import Protocol
from acquisition.records import CandidateStatus, FieldStatus, RunRecord, RunStatus
from acquisition.run.context import RunContext, RunFinders, RunInstrument, RunStorage
from acquisition.run.slide_run import SlideRun
from acquisition.storage import RunFolder, read_capture
from analysis.finder import find_metaphases
from scanner.core import ScanCore
from scanner.frame import Exposure, Frame
from scanner.microscope import Microscope
from scanner.rig import load_rig
from simulators.devices import twin_of

RIG = Path(__file__).parents[1] / "hardware_configs" / "simulated"
AREA_UM = (30_000.0, 11_000.0, 32_200.0, 12_700.0)
EXPOSURES_NAME = "exposures.txt"
RUN_UID = "run"
THROUGH = (RunStatus.COMPLETED, RunStatus.COMPLETED_WITH_ERRORS)


def make_protocol() -> Protocol:
    x_min, y_min, x_max, y_max = AREA_UM
    area = {"x_min_um": x_min, "y_min_um": y_min, "x_max_um": x_max, "y_max_um": y_max}
    return Protocol.model_validate(
        {
            "version": 1,
            "name": "kill",
            "banding": "G",
            "tissue": "lymphocyte",
            "scan": {"objective": "10x", "area": area, "exposure_ms": 5, "focus": {"points": 2}},
            "capture": {"objective": "63x", "oil": "allowed", "number": 3, "exposure_ms": 40},
            "karyotype": {"enabled": False},
        }
    )


class WatchedMicroscope(Microscope):
    """Writes down every exposure of the field loop at once, so that it outlives the process."""

    log: int = -1
    _in_snap = False

    def snap(self, exposure_ms: float) -> Frame:
        self._in_snap = True
        try:
            return super().snap(exposure_ms)
        finally:
            self._in_snap = False

    def expose(self, exposure_ms: float) -> Exposure:
        exposure = super().expose(exposure_ms)
        if not self._in_snap:
            stage = exposure.view.stage
            os.write(self.log, f"{stage.x_um:.0f},{stage.y_um:.0f}\n".encode())
        return exposure


def sit(out: Path, seed: int, *, is_resumed: bool) -> RunStatus:
    """One sitting of a run; what a process does until it is killed."""
    rig, cfg = load_rig(RIG)
    core = ScanCore()
    core.loadSystemConfiguration(cfg)
    twin = twin_of(core)
    twin.settings = replace(twin.settings, seed=seed, cells=3, area_um=AREA_UM)
    microscope = WatchedMicroscope(core, rig)
    folder = RunFolder.reopen(out) if is_resumed else RunFolder.create(out)
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
    microscope.log = os.open(out / EXPOSURES_NAME, flags, 0o644)
    protocol = make_protocol()
    with folder, open_casebook(folder.casebook) as casebook:
        if not casebook.runs():
            record = RunRecord(RUN_UID, "slide", rig.name, "", protocol.name, "", "0", datetime.now(UTC))
            casebook.begin_run(record)
        context = RunContext(
            RUN_UID,
            "slide",
            RunInstrument(microscope),
            protocol,
            RunStorage(folder, casebook),
            RunFinders(find_metaphases),
        )
        run = SlideRun(context, None)
        outcome = run.resume() if is_resumed else run.run()
    if outcome.error:
        (out / "error.txt").write_text(outcome.error)
    return outcome.status


@dataclass(frozen=True)
class Moment:
    """When to kill: after a time, or when the journal has grown to a size; never where both are None."""

    after_s: float | None = None
    at_bytes: int | None = None

    def has_come(self, start_s: float, journal: Path) -> bool:
        if self.after_s is not None and time.perf_counter() - start_s >= self.after_s:
            return True
        return self.at_bytes is not None and journal.is_file() and journal.stat().st_size >= self.at_bytes


NEVER = Moment()


def in_child(out: Path, seed: int, *, is_resumed: bool, moment: Moment = NEVER) -> RunStatus | None:
    """Let a fork sit; None where it was killed.

    A fork of this process, which has no threads of its own, spares each run the imports.
    """
    pid = os.fork()
    if pid == 0:
        code = 99
        try:
            status = sit(out, seed, is_resumed=is_resumed)
            code = list(RunStatus).index(status)
        except BaseException as error:
            print(f"child: {type(error).__name__}: {error}", file=sys.stderr)
            raise
        finally:
            os._exit(code)
    status = _wait(pid, moment, out / "journal.log")
    if os.WIFSIGNALED(status):
        return None
    code = os.WEXITSTATUS(status)
    if code == 99:
        raise RuntimeError(f"the run in {out} broke")
    return list(RunStatus)[code]


def _wait(pid: int, moment: Moment, journal: Path) -> int:
    """Wait for one child, and kill it when its moment has come; no other process is ever touched."""
    start_s = time.perf_counter()
    killed = moment == NEVER
    while True:
        done, status = os.waitpid(pid, 0 if killed else os.WNOHANG)
        if done:
            return status
        if moment.has_come(start_s, journal):
            os.kill(pid, signal.SIGKILL)
            killed = True
        time.sleep(0.0005)


@dataclass(frozen=True)
class Verdict:
    """What a run that was killed `kills` times and resumed left behind."""

    kills: int
    fields: int
    lost: int
    recorded_twice: int
    photographed_again: int
    cells: int
    captures_wrong: int
    swapped_refused: bool | None

    @property
    def is_right(self) -> bool:
        return (
            self.lost == 0
            and self.recorded_twice == 0
            and self.photographed_again <= self.kills
            and self.captures_wrong == 0
            and self.swapped_refused is not False
        )


@dataclass(frozen=True)
class Whole:
    """A run that nobody killed."""

    seconds: float
    journal_bytes: int


def judge(out: Path, kills: int, planned: int, swapped_refused: bool | None) -> Verdict:
    """Hold the record against what the microscope saw."""
    with open_casebook(out / "casebook.sqlite", create=False) as casebook:
        fields = casebook.fields(RUN_UID)
        candidates = casebook.candidates(RUN_UID)
        captures = casebook.captures(RUN_UID)
    done = Counter(field.index for field in fields if field.status is FieldStatus.DONE)
    exposures = Counter((out / EXPOSURES_NAME).read_text().split())
    wrong = abs(len(captures) - sum(c.status is CandidateStatus.CAPTURED for c in candidates))
    wrong += sum(c.status is CandidateStatus.SELECTED for c in candidates)
    for capture in captures:
        read_capture(out / capture.path, sha256=capture.sha256)
    return Verdict(
        kills,
        planned,
        planned - len(done),
        sum(count - 1 for count in done.values()),
        sum(count - 1 for count in exposures.values()),
        len(candidates),
        wrong,
        swapped_refused,
    )


def random_moment(whole: Whole, rng: random.Random) -> Moment:
    """By the clock, or by the journal: most records of a run fall into a small part of its time."""
    if rng.random() < 0.5:
        return Moment(after_s=rng.uniform(0.0, whole.seconds))
    return Moment(at_bytes=rng.randrange(1, whole.journal_bytes))


def kill_and_resume(out: Path, seed: int, whole: Whole, rng: random.Random, *, swap: bool) -> Verdict:
    """One run: killed at a random moment, perhaps again while it is resumed, and brought to its end."""
    kills, refused = 0, None
    begun = False
    moment = random_moment(whole, rng)
    while True:
        # Killed before its journal, a run has left nothing that could be resumed: it is begun anew.
        begun = begun or (out / "journal.log").is_file()
        if not begun and out.exists():
            for name in ("casebook.sqlite", "casebook.sqlite-wal", "casebook.sqlite-shm"):
                (out / name).unlink(missing_ok=True)
        if begun and swap and refused is None and _photographed(out):
            ended = in_child(out, seed + 1, is_resumed=True)
            refused = ended is RunStatus.FAILED and "another slide" in (out / "error.txt").read_text()
        status = in_child(out, seed, is_resumed=begun, moment=moment)
        if status is not None:
            break
        kills += 1
        status = _recorded(out)
        if status in THROUGH:
            # Killed after its last record: nothing is left to resume, which the record knows.
            break
        moment = random_moment(whole, rng) if kills < 3 and rng.random() < 0.3 else NEVER
    if status not in THROUGH:
        raise RuntimeError(f"{out}: ended as {status}: {(out / 'error.txt').read_text()}")
    return judge(out, kills, planned_fields(), refused)


def _recorded(out: Path) -> RunStatus | None:
    """How the run ended as far as its record goes; None where nothing was begun."""
    if not (out / "journal.log").is_file():
        return None
    with open_casebook(out / "casebook.sqlite", create=False) as casebook:
        return casebook.run(RUN_UID).status


def _photographed(out: Path) -> bool:
    path = out / EXPOSURES_NAME
    return path.is_file() and bool(path.read_text().strip())


def planned_fields() -> int:
    from acquisition.plan.scan_plan import plan_fields

    return len(plan_fields(make_protocol(), load_rig(RIG)[0]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    rng = random.Random(arguments.seed)
    verdicts: list[Verdict] = []
    with tempfile.TemporaryDirectory(prefix="kill-resume-") as name:
        root = Path(name)
        start_s = time.perf_counter()
        in_child(root / "whole", 5, is_resumed=False)
        seconds = time.perf_counter() - start_s
        whole = Whole(seconds, (root / "whole" / "journal.log").stat().st_size)
        print(f"a whole run takes {seconds:.1f} s, {planned_fields()} fields")
        while len(verdicts) < arguments.runs:
            number = len(verdicts)
            out = root / f"run{number}"
            verdict = kill_and_resume(out, 5, whole, rng, swap=number % 10 == 0)
            if verdict.kills == 0:
                # It was through before the killer came: no test of anything.
                out.rename(root / f"unkilled{time.monotonic_ns()}")
                continue
            verdicts.append(verdict)
            print(f"run {number}: {verdict}{'' if verdict.is_right else '   WRONG'}", flush=True)
    figures = {
        "runs": len(verdicts),
        "kills": sum(v.kills for v in verdicts),
        "fields_lost": sum(v.lost for v in verdicts),
        "fields_recorded_twice": sum(v.recorded_twice for v in verdicts),
        "most_photographed_again_per_kill": max(v.photographed_again / v.kills for v in verdicts),
        "captures_wrong": sum(v.captures_wrong for v in verdicts),
        "swapped_slides": sum(v.swapped_refused is not None for v in verdicts),
        "swapped_slides_refused": sum(v.swapped_refused is True for v in verdicts),
        "wrong_runs": sum(not v.is_right for v in verdicts),
    }
    print(json.dumps(figures, indent=2))
    if arguments.json is not None:
        arguments.json.write_text(json.dumps({**figures, "verdicts": [asdict(v) for v in verdicts]}, indent=2))
    if figures["wrong_runs"]:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
