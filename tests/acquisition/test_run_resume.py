"""Runs that are cut off go on where they were, on the slide they began with, and on no other."""

import importlib.util
import os
import random
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from acquisition.casebook import open_casebook
from acquisition.errors import ResumeError, StorageError
from acquisition.journal import read_journal
from acquisition.protocol import Protocol
from acquisition.records import CandidateStatus, FieldStatus, RunRecord, RunStatus
from acquisition.run import run_log
from acquisition.run.context import RunContext, RunFinders, RunInstrument, RunStorage
from acquisition.run.control import RunControl
from acquisition.run.run_log import read_progress
from acquisition.run.slide_run import SlideRun
from acquisition.storage import FrameSpool, RunFolder
from analysis.finder import Candidate, find_metaphases
from simulators.faults import TwinFault, TwinFaultKind

ROOT = Path(__file__).parents[2]
AREA = {"x_min_um": 30_000, "y_min_um": 11_000, "x_max_um": 31_600, "y_max_um": 12_200}


def make_protocol(number=2):
    return Protocol.model_validate(
        {
            "version": 1,
            "name": "test",
            "banding": "G",
            "tissue": "lymphocyte",
            "scan": {"objective": "10x", "area": AREA, "exposure_ms": 5, "focus": {"points": 1}},
            "capture": {"objective": "63x", "oil": "allowed", "number": number, "exposure_ms": 40},
            "karyotype": {"enabled": False},
        }
    )


def one_in_the_middle(pixels, um_per_px):
    """A finder that takes no time: one cell in each field, so that the counting is easy."""
    height, width = pixels.shape
    return [Candidate(width / 2, height / 2, 20.0 / um_per_px, 0.9)]


class StopAfter:
    """A listener that asks for a stop after so many steps of a phase."""

    def __init__(self, control, phase, steps):
        self._control, self._phase, self._left = control, phase, steps

    def phase(self, name, total):
        pass

    def step(self, name, note=""):
        if name == self._phase:
            self._left -= 1
            if self._left == 0:
                self._control.request_stop()

    def message(self, text):
        pass


@pytest.fixture
def sit(bench, tmp_path):
    """One sitting of a run in a folder; later ones resume it."""

    def sitting(name="run", *, stop_after=None, protocol=None, finder=one_in_the_middle, clean=True):
        path = tmp_path / name
        is_resumed = (path / "journal.log").exists()
        bench.microscope.resume()
        if clean:
            bench.microscope.slides.declare_clean()
        control = RunControl()
        folder = RunFolder.reopen(path) if is_resumed else RunFolder.create(path)
        with folder, open_casebook(folder.casebook) as casebook:
            if not is_resumed:
                casebook.begin_run(RunRecord("r", "s", "simulated", "", "test", "", "0", datetime.now(UTC)))
            listener = StopAfter(control, *(stop_after or ("", 0)))
            context = RunContext(
                "r",
                "s",
                RunInstrument(bench.microscope),
                protocol or make_protocol(),
                RunStorage(folder, casebook),
                RunFinders(finder),
                control,
                listener,
            )
            run = SlideRun(context, None)
            outcome = run.resume() if is_resumed else run.run()
            told = (casebook.fields, casebook.candidates, casebook.captures, casebook.events)
            return outcome, *(records("r") for records in told)

    return sitting


def cut(path: Path, records: int, torn: bytes = b"") -> None:
    """Bring a run folder to where it was after so many records of the journal, as a power cut leaves it."""
    lines = (path / "journal.log").read_bytes().splitlines(keepends=True)
    (path / "journal.log").write_bytes(b"".join(lines[:records]) + torn)


def exposures_of_fields(bench):
    return sum(sight.objective.startswith("10x") for sights in bench.twin.handed_over for sight in sights)


def test_a_stopped_scan_goes_on_at_the_first_unfinished_field(bench, sit):
    outcome, fields, _, captures, _ = sit(stop_after=("scan", 2))
    assert (outcome.status, len(fields), captures) == (RunStatus.STOPPED, 2, ())
    outcome, fields, candidates, captures, events = sit()
    assert outcome.status in {RunStatus.COMPLETED, RunStatus.COMPLETED_WITH_ERRORS}, outcome.error
    assert [field.index for field in fields] == list(range(4))
    assert all(field.status is FieldStatus.DONE for field in fields)
    assert len(candidates) == 4
    told = {event.kind for event in events}
    assert {"resumed", "slide_recognised"} <= told
    assert not bench.twin.lamp_open


def test_a_stopped_capture_goes_on_at_the_next_cell(bench, sit, monkeypatch):
    protocol = make_protocol(number=3)
    outcome, _, candidates, captures, _ = sit(stop_after=("capture", 1), protocol=protocol)
    assert (outcome.status, len(captures)) == (RunStatus.STOPPED, 1)
    before = {c.uid: (c.slide_x_um, c.slide_y_um) for c in candidates}
    outcome, _, candidates, captures, _ = sit(protocol=protocol)
    assert {c.uid: (c.slide_x_um, c.slide_y_um) for c in candidates} == before
    assert CandidateStatus.SELECTED not in {c.status for c in candidates}
    captured = [c.uid for c in candidates if c.status is CandidateStatus.CAPTURED]
    assert sorted(capture.candidate_uid for capture in captures) == sorted(captured)


def test_a_cell_that_was_rejected_is_not_photographed_and_the_next_best_takes_its_place(sit, tmp_path):
    sit(stop_after=("capture", 1))
    with open_casebook(tmp_path / "run" / "casebook.sqlite") as casebook:
        first, second, third, _ = casebook.candidates("r")
        at = datetime.now(UTC)
        casebook.decide("r", second.uid, accepted=False, reviewer="kim", at=at, reason="a burst cell")
    outcome, _, candidates, *_ = sit()
    assert outcome.status in {RunStatus.COMPLETED, RunStatus.COMPLETED_WITH_ERRORS}, outcome.error
    status = {candidate.uid: (candidate.status, candidate.error) for candidate in candidates}
    assert status[second.uid] == (CandidateStatus.NOT_SELECTED, "rejected by kim: a burst cell")
    assert status[third.uid][0] is not CandidateStatus.NOT_SELECTED
    assert status[first.uid][0] is not CandidateStatus.NOT_SELECTED


def test_with_oil_on_the_slide_the_next_cell_is_taken_without_the_dry_objective(bench, sit):
    protocol = make_protocol(number=3)
    bench.twin.settings = replace(bench.twin.settings, cells=3)
    outcome, _, candidates, captures, _ = sit(stop_after=("capture", 1), protocol=protocol, finder=find_metaphases)
    assert len(captures) == 1
    assert len(candidates) > 1
    seen = len(bench.twin.handed_over)
    outcome, _, candidates, captures, events = sit(protocol=protocol, finder=find_metaphases, clean=False)
    assert outcome.status is RunStatus.COMPLETED, outcome.error
    assert len(captures) == len(candidates)
    assert "slide_recognised" in {event.kind for event in events}
    later = [sight for sights in bench.twin.handed_over[seen:] for sight in sights]
    assert later
    assert all(sight.objective.startswith("63x") for sight in later)


def test_another_slide_is_refused_with_the_reason_and_its_own_is_taken_afterwards(bench, sit):
    own = bench.twin.settings
    sit(stop_after=("scan", 3))
    bench.twin.settings = replace(own, seed=own.seed + 1)
    outcome, fields, *_ = sit()
    assert outcome.status is RunStatus.FAILED
    assert "another slide" in outcome.error
    assert len(fields) == 3
    assert not bench.twin.lamp_open
    bench.twin.settings = own
    outcome, fields, *_ = sit()
    assert outcome.status in {RunStatus.COMPLETED, RunStatus.COMPLETED_WITH_ERRORS}, outcome.error
    assert len(fields) == 4


def test_an_empty_glass_in_its_place_is_refused(bench, sit):
    sit(stop_after=("scan", 3))
    bench.twin.settings = replace(bench.twin.settings, cells=0, nuclei_per_mm2=0.0, specks_per_mm2=0.0)
    outcome, *_ = sit()
    assert outcome.status is RunStatus.FAILED
    assert outcome.error


def test_a_run_that_is_complete_is_not_resumed(sit):
    sit()
    with pytest.raises(ResumeError, match="nothing to resume"):
        sit()


def test_another_protocol_is_refused(sit):
    sit(stop_after=("scan", 2))
    values = make_protocol().model_dump()
    values["scan"]["overlap"] = 0.2
    outcome, *_ = sit(protocol=Protocol.model_validate(values))
    assert outcome.status is RunStatus.FAILED
    assert "the plan is another one" in outcome.error


def test_wherever_the_journal_ends_the_run_is_brought_to_the_same_end(bench, sit, tmp_path):
    """A power cut may come after any record; the casebook is then ahead of the journal, or behind."""
    sit("whole")
    whole = tmp_path / "whole"
    kinds = [record.kind for record in read_journal(whole / "journal.log")]
    rng = random.Random(4)
    cuts = rng.sample(range(1, len(kinds) - 1), 3)
    for number, records in enumerate(cuts):
        name = f"cut{number}"
        copy_run(whole, tmp_path / name)
        cut(tmp_path / name, records, torn=b"12345678 90 {half a li")
        outcome, fields, candidates, *_ = sit(name)
        where = f"cut after record {records} ({kinds[records - 1]})"
        assert outcome.status in {RunStatus.COMPLETED, RunStatus.COMPLETED_WITH_ERRORS}, (where, outcome.error)
        assert [field.index for field in fields] == list(range(4)), where
        assert len(candidates) == 4, where
        assert CandidateStatus.SELECTED not in {c.status for c in candidates}, where


def copy_run(source: Path, target: Path) -> None:
    """A run folder whose casebook says only that the run began: the harshest case for the journal."""
    import shutil

    shutil.copytree(source, target)
    for path in target.glob("casebook*"):
        path.unlink()
    with open_casebook(target / "casebook.sqlite") as casebook:
        casebook.begin_run(RunRecord("r", "s", "simulated", "", "test", "", "0", datetime.now(UTC)))


def test_after_a_power_cut_only_secured_frames_are_believed(sit, tmp_path, monkeypatch):
    sit(stop_after=("scan", 4))
    path = tmp_path / "run" / "journal.log"
    records = [record for record in read_journal(path) if record.kind != "found"]
    first = next(record for record in records if record.kind == "field")
    secured = [record for record in records if record.kind == "secured"]
    assert sorted(index for record in secured for index in record.values["fields"]) == [0, 1, 2, 3]
    progress = read_progress(records, path)
    assert set(progress.waiting) == {0, 1, 2, 3}
    monkeypatch.setattr(run_log, "boot_id", lambda: "another boot")
    unsecured = [record for record in records if record is not secured[0]]
    progress = read_progress(unsecured, path)
    assert first.values["record"]["index"] in progress.lost
    assert progress.lost == set(secured[0].values["fields"])


def test_a_disk_that_fills_ends_the_scan_cleanly_and_the_run_goes_on_when_there_is_room(bench, sit, monkeypatch):
    real, calls = RunFolder.free_bytes, []

    def filling(self):
        calls.append(1)
        return real(self) if len(calls) <= 3 else 1000

    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, "free_bytes", filling)
        outcome, fields, *_ = sit()
    assert outcome.status is RunStatus.PARKED
    assert "free" in outcome.error
    assert 0 < len(fields) < 4
    assert not bench.twin.lamp_open
    outcome, fields, *_ = sit()
    assert outcome.status in {RunStatus.COMPLETED, RunStatus.COMPLETED_WITH_ERRORS}, outcome.error
    assert [field.index for field in fields] == list(range(4))


def test_a_frame_that_can_not_be_kept_ends_the_scan_and_what_was_kept_is_searched(bench, sit, monkeypatch):
    real, puts = FrameSpool.put, []

    def full(self, pixels):
        puts.append(1)
        if len(puts) == 3:
            raise StorageError("no space left", path=self.path)
        return real(self, pixels)

    with monkeypatch.context() as patch:
        patch.setattr(FrameSpool, "put", full)
        outcome, fields, *_ = sit()
    assert outcome.status is RunStatus.PARKED
    assert "no space left" in outcome.error
    assert [(field.index, field.status) for field in fields] == [(0, FieldStatus.DONE), (1, FieldStatus.DONE)]
    outcome, fields, *_ = sit()
    assert [field.index for field in fields] == list(range(4))


def test_a_field_that_is_skipped_is_told_and_not_tried_again_when_the_run_goes_on(bench, sit):
    bench.twin.faults.add(TwinFault(TwinFaultKind.MOVE_FAILS, "XY", nth=4, times=3))
    _, fields, *_ = sit(stop_after=("scan", 3))
    skipped = {field.index for field in fields if field.status is FieldStatus.FAILED}
    assert skipped
    assert all(field.error for field in fields if field.index in skipped)
    _, fields, *_ = sit()
    assert {field.index for field in fields if field.status is FieldStatus.FAILED} == skipped


def test_a_damaged_journal_is_refused_before_anything_moves(bench, sit, tmp_path):
    sit(stop_after=("scan", 2))
    path = tmp_path / "run" / "journal.log"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))
    before = bench.twin.stage_um()
    with pytest.raises(StorageError, match="damaged"):
        sit()
    assert bench.twin.stage_um() == before


def kill_harness():
    spec = importlib.util.spec_from_file_location("kill_resume", ROOT / "benchmarks" / "kill_resume.py")
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look their module up while it is made.
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_runs_killed_at_random_moments_lose_nothing_and_repeat_at_most_the_field_under_way(tmp_path):
    """In a process of its own: it forks, which a process with threads must not."""
    command = [sys.executable, str(ROOT / "benchmarks" / "kill_resume.py"), "--runs", "2", "--seed", "11"]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=280, env=os.environ | {"TMPDIR": str(tmp_path)}
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert '"wrong_runs": 0' in done.stdout
