"""Workers, finders and disks that never answer cost a run some time: it ends safe, each item done or marked."""

import os
import signal
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from acquisition import deadline, journal
from acquisition.errors import StorageError
from acquisition.handoff import Handoff, KaryotypeTask, process_pool
from acquisition.journal import Journal
from acquisition.records import EventLevel, KaryotypeRecord, KaryotypeStatus, RunStatus
from acquisition.run import control
from acquisition.run.context import SearchResources
from acquisition.run.control import RunControl
from acquisition.run.search_task import prepare_search
from acquisition.run.unfinished import FINISHED
from acquisition.storage import overview
from acquisition.workers import spawned
from analysis.finder import Candidate
from simulators.storage_faults import faulty_disk, parse_storage_faults

DEADLINE_S = 8.0
"""A worker of these tests starts within this time on a busy machine."""
IN_TIME_S = 120.0
"""Every task may wait for its deadline twice, and starting workers takes some seconds each."""

stops_processes = pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="no SIGSTOP")


@dataclass
class StandingFinder:
    """One cell a field; the first process that searches one is stopped, as by SIGSTOP from elsewhere."""

    mark: Path

    def __call__(self, pixels, um_per_px):
        if not self.mark.exists():
            self.mark.touch()
            os.kill(os.getpid(), signal.SIGSTOP)
        height, width = pixels.shape
        return [Candidate(width / 2, height / 2, 20.0 / um_per_px, 0.9)]


def stand_still_on_the_first(task: KaryotypeTask) -> KaryotypeRecord:
    """Stop the process with the capture that came first, however often it comes."""
    mark = Path(task.run_dir) / "first"
    if not mark.exists():
        mark.write_text(task.capture_uid)
    if mark.read_text() == task.capture_uid:
        os.kill(os.getpid(), signal.SIGSTOP)
    return KaryotypeRecord(task.capture_uid, KaryotypeStatus.PROPOSED, 0.1, iscn="46,XX", chromosomes=46)


def require_safe(bench):
    assert not bench.twin.lamp_open
    assert bench.twin.focus_um() == pytest.approx(bench.rig.focus.down_um)


def require_no_stopped_process():
    children = psutil.Process().children(recursive=True)
    assert [child for child in children if child.status() == psutil.STATUS_STOPPED] == []


@stops_processes
@pytest.mark.slow
def test_a_finder_worker_that_stands_still_is_replaced_and_every_field_searched(bench, run_in, tmp_path):
    search = SearchResources(lambda: spawned(1, prepare_search), 2, deadline_s=DEADLINE_S)
    mark, start_s = tmp_path / "mark", time.monotonic()
    session = run_in(
        "run", finder=StandingFinder(mark), locator=StandingFinder(tmp_path), search=search, protocol=None
    )
    assert mark.exists()
    assert time.monotonic() - start_s < IN_TIME_S
    assert session.outcome.status is RunStatus.COMPLETED
    assert sum(record.kind == "found" for record in session.records) == 4
    assert session.records[-1].kind == "ended"
    require_safe(bench)
    require_no_stopped_process()


@stops_processes
@pytest.mark.slow
def test_a_karyotype_worker_that_stands_still_marks_its_capture_and_the_other_is_done(bench, run_in):
    once = {"karyotype": {"retries": 0, "then": "skip_and_mark"}}
    handoff = Handoff(lambda: process_pool(1), work=stand_still_on_the_first, deadline_s=DEADLINE_S)
    start_s = time.monotonic()
    session = run_in("run", protocol=run_in.protocol(number=2, errors=once), handoff=handoff)
    assert time.monotonic() - start_s < IN_TIME_S
    assert session.outcome.status is RunStatus.COMPLETED_WITH_ERRORS
    assert sorted(record.status for record in session.karyotypes) == ["failed", "proposed"]
    (failed,) = (record for record in session.karyotypes if record.status is KaryotypeStatus.FAILED)
    assert f"no answer for {DEADLINE_S:g} s" in failed.error
    require_safe(bench)
    require_no_stopped_process()


@pytest.fixture
def hanging():
    """A call that comes back only when the test is over."""
    release = threading.Event()
    yield lambda *_arguments, **_keywords: release.wait()
    release.set()


def test_a_finder_that_hangs_at_high_magnification_costs_its_cell_only(bench, run_in, hanging):
    session = run_in("run", locator=hanging, locator_deadline_s=0.2)
    assert session.outcome.status is RunStatus.COMPLETED_WITH_ERRORS
    assert session.outcome.captures == []
    (failed,) = (event for event in session.events if event.kind == "capture_failed")
    assert failed.level is EventLevel.ERROR
    assert "search at high magnification: not tried, since" in failed.message
    (retried,) = (event for event in session.events if event.kind == "capture_retried")
    assert "search at high magnification: no answer for 0.2 s" in retried.message
    assert sum(thread.name == "locator" for thread in threading.enumerate()) == 1, "no more is left behind"
    require_safe(bench)


def test_an_abort_is_heard_while_the_search_at_high_magnification_hangs(bench, run_in, hanging):
    control = RunControl()

    def locator(pixels, um_per_px):
        control.request_abort()
        hanging()

    session = run_in("run", locator=locator, control=control, locator_deadline_s=600.0)
    assert session.outcome.status is RunStatus.ABORTED
    assert session.records[-1].kind == "ended"
    require_safe(bench)


@pytest.mark.skipif(sys.platform == "win32", reason="a reason of the system is compared")
def test_an_overview_that_can_not_be_made_ends_the_run_with_its_reason(bench, run_in, tmp_path, monkeypatch):
    def no_answer(*_arguments, **_keywords):
        # As the library's futures tell that the time is up.
        raise TimeoutError

    protocol = run_in.protocol()
    scan = protocol.scan.model_copy(update={"keep_fields": "overview"})
    monkeypatch.setattr(overview.ts, "open", no_answer)
    session = run_in("run", protocol=protocol.model_copy(update={"scan": scan}))
    assert session.status in {RunStatus.FAILED, RunStatus.PARKED}
    assert f"the disk gave no answer for {overview.DEADLINE_S:g} s" in session.outcome.error
    require_safe(bench)


@pytest.fixture
def short_deadline(monkeypatch):
    """A disk is waited for for a few seconds: enough for one that works, on a busy machine."""
    with monkeypatch.context() as patch:
        patch.setattr(deadline, "DISK_DEADLINE_S", 3.0)
        yield patch


@pytest.mark.parametrize(
    ("faults", "words"),
    [
        ("disk_hangs@journal.log:12", "journal.log: record"),
        ("disk_hangs@journal.log:24", "journal.log: record"),
        ("disk_hangs@casebook.sqlite:6", "casebook.sqlite: record_"),
        ("disk_hangs@captures/*", "cell-0001.ome.tiff: writing: no answer"),
    ],
)
def test_a_share_that_hangs_ends_the_run_safe_and_told_and_it_goes_on_once_the_share_is_back(
    bench, run_in, tmp_path, short_deadline, faults, words
):
    start_s = time.monotonic()
    with faulty_disk(tmp_path / "run", parse_storage_faults(f"{faults} x*")) as disk:

        def conclude(_outcome):
            require_safe(bench)
            if "casebook" in faults:
                # Whoever reads the casebook next would wait for it as well.
                disk.close()

        session = run_in("run", conclude=conclude)
        require_safe(bench)
        assert session.outcome.status in {RunStatus.PARKED, RunStatus.FAILED}
        assert words in session.outcome.error
        assert "no answer" in session.outcome.error
    assert time.monotonic() - start_s < IN_TIME_S
    short_deadline.undo()
    again = run_in("resume")
    assert again.outcome.status in FINISHED
    assert again.records[-1].kind == "ended"
    require_safe(bench)


def test_a_sync_that_never_returns_is_an_error_of_the_journal(tmp_path, short_deadline, hanging, monkeypatch):
    monkeypatch.setattr(journal, "sync_data", hanging)
    with Journal.create(tmp_path / "journal.log") as log:
        with pytest.raises(StorageError, match=r"journal\.log: record 'started': no answer for 3 s"):
            log.append("started")
        with pytest.raises(StorageError, match="not tried, since record 'started' still has no answer"):
            log.append("ended")


def test_a_control_file_on_a_share_that_hangs_gives_no_command_and_keeps_nobody(tmp_path, hanging, monkeypatch):
    monkeypatch.setattr(control, "POLL_DEADLINE_S", 0.2)
    monkeypatch.setattr(Path, "replace", hanging)
    (tmp_path / "control").write_text("stop\n")
    listening = RunControl(tmp_path / "control")
    start_s = time.monotonic()
    for _ in range(100):
        listening.poll()
    assert time.monotonic() - start_s < 5.0
    assert not listening.stop_requested
