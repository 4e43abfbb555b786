"""Calls by which a run reaches the disk fail once, or from then on: the run ends, safe, and can be gone on with.

The calls are counted in a sound run first. A fault is then the number of the call that fails.
"""

import errno
import os
import sqlite3
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from sqlite3 import dbapi2

import pytest

from acquisition.casebook import open_casebook
from acquisition.errors import AcquisitionError, ResumeError
from acquisition.handoff import Handoff
from acquisition.journal import read_journal
from acquisition.protocol import Protocol
from acquisition.records import FieldStatus, KaryotypeRecord, KaryotypeStatus, RunRecord, RunStatus
from acquisition.run.context import RunContext, RunFinders, RunInstrument, RunStorage
from acquisition.run.control import RunControl
from acquisition.run.listener import SilentListener
from acquisition.run.slide_run import SlideRun
from acquisition.run.unfinished import FINISHED
from acquisition.storage import RunFolder, write_bytes_atomic
from analysis.finder import Candidate

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="names of open files are read from /proc")

AREA = {"x_min_um": 30_000, "y_min_um": 11_000, "x_max_um": 31_600, "y_max_um": 12_200}
PROTOCOL = Protocol.model_validate(
    {
        "version": 1,
        "name": "test",
        "banding": "G",
        "tissue": "lymphocyte",
        "scan": {"objective": "10x", "area": AREA, "exposure_ms": 5, "focus": {"points": 1}},
        "capture": {"objective": "63x", "oil": "allowed", "number": 1, "exposure_ms": 40},
    }
)
CALLS = ("write", "pwrite", "fsync", "fdatasync", "replace", "open", "posix_fallocate", "ftruncate", "unlink")
SAMPLED = 10


def one_in_the_middle(pixels, um_per_px):
    height, width = pixels.shape
    return [Candidate(width / 2, height / 2, 20.0 / um_per_px, 0.9)]


def proposed(task):
    return KaryotypeRecord(task.capture_uid, KaryotypeStatus.PROPOSED, 0.1, iscn="46,XX", chromosomes=46)


@dataclass
class FailingDisk:
    """Counts the calls that concern a folder, and lets some of them fail."""

    folder: Path
    nth: int | None = None
    lasting: bool = False
    calls: list[str] = field(default_factory=list)

    def pass_by(self, call: str, name: str, error: Callable[[], Exception]) -> None:
        self.calls.append(f"{call} {name}")
        number = len(self.calls) - 1
        if self.nth is not None and (number == self.nth or (self.lasting and number > self.nth)):
            raise error()

    def concern(self, call: str, target: object, flags: object) -> None:
        if isinstance(target, int):
            try:
                path = os.readlink(f"/proc/self/fd/{target}")
            except OSError:
                return
        else:
            path = os.path.abspath(os.fspath(target))
        if not path.startswith(f"{self.folder}{os.sep}"):
            return
        if call == "open" and not (isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR)):
            return
        self.pass_by(call, path.removeprefix(f"{self.folder}{os.sep}"), lambda: OSError(errno.EIO, "I/O error"))


@contextmanager
def failing(disk):
    """Let the calls of the operating system and the commits of databases go through a disk."""
    with pytest.MonkeyPatch.context() as patch:
        for name in CALLS:
            real = getattr(os, name)

            def call(*arguments, _real=real, _name=name, **keywords):
                concerned = arguments[1] if _name == "replace" else arguments[0]
                disk.concern(_name, concerned, arguments[1] if len(arguments) > 1 else None)
                return _real(*arguments, **keywords)

            patch.setattr(os, name, call)
        connect = dbapi2.connect

        class OnDisk(sqlite3.Connection):
            def commit(self) -> None:
                if self.in_transaction:
                    disk.pass_by("commit", "casebook", lambda: sqlite3.OperationalError("disk I/O error"))
                super().commit()

        patch.setattr(dbapi2, "connect", lambda *a, **k: connect(*a, **{"factory": OnDisk, **k}))
        yield disk


@pytest.fixture
def session(bench):
    """One session of a run in a folder; goes on with a run that is there."""

    def one(path, disk):
        def conclude(outcome):
            write_bytes_atomic(path / "run.json", b"{}")
            write_bytes_atomic(path / "report.html", outcome.status.value.encode())

        bench.microscope.resume()
        bench.microscope.slides.declare_clean()
        is_resumed = (path / "journal.log").exists()
        with (
            failing(disk),
            RunFolder.reopen(path) if is_resumed else RunFolder.create(path) as folder,
            open_casebook(folder.casebook) as casebook,
        ):
            if not casebook.runs():
                casebook.begin_run(RunRecord("r", "s", "simulated", "", "test", "", "0", datetime.now(UTC)))
            context = RunContext(
                "r",
                "s",
                RunInstrument(bench.microscope),
                PROTOCOL,
                RunStorage(folder, casebook),
                RunFinders(one_in_the_middle),
                RunControl(),
                SilentListener(),
            )
            handoff = Handoff(lambda: ThreadPoolExecutor(1), work=proposed)
            run = SlideRun(context, handoff, conclude=conclude)
            return run.resume() if is_resumed else run.run()

    return one


def is_safe(bench):
    return not bench.twin.lamp_open and bench.twin.focus_um() == pytest.approx(bench.rig.focus.down_um)


def require_whole(path):
    """The record of a run that came to its end, after whatever."""
    with open_casebook(path / "casebook.sqlite") as casebook:
        assert [field.index for field in casebook.fields("r")] == list(range(4))
        assert all(field.status is FieldStatus.DONE for field in casebook.fields("r"))
        assert len(casebook.candidates("r")) == 4
        captures = casebook.captures("r")
        assert {record.capture_uid for record in casebook.karyotypes("r")} == {record.uid for record in captures}
        assert casebook.run("r").status in FINISHED
    assert (path / "run.json").is_file()
    assert (path / "report.html").read_text() in FINISHED
    assert read_journal(path / "journal.log")[-1].kind == "ended"


def require_survived(bench, session, path, nth, *, lasting):
    disk = FailingDisk(path, nth, lasting)
    try:
        outcome = session(path, disk)
        where = f"call {nth} ({disk.calls[nth] if nth < len(disk.calls) else 'not reached'}), {lasting=}"
        assert is_safe(bench), where
        assert outcome.status in FINISHED or outcome.error, where
    except (AcquisitionError, OSError) as error:
        # Before the run began, or after its end: nothing of it is left undone in silence.
        where = f"call {nth} ({disk.calls[nth]}), {lasting=}: {error}"
        assert not bench.twin.lamp_open, where
        outcome = None
    if outcome is not None and outcome.status in FINISHED:
        require_whole(path)
        return
    if not (path / "journal.log").exists():
        # The folder of a run that never began makes room, as the station does it.
        path.rename(path.with_name(f"{path.name}-not-begun")) if path.exists() else None
    # Refused where the disk kept the last record without confirming it: there is nothing to make up for.
    with suppress(ResumeError):
        outcome = session(path, FailingDisk(path))
        assert outcome.status in FINISHED, (where, outcome.error)
    require_whole(path)


def counted(session, path):
    disk = FailingDisk(path)
    assert session(path, disk).status in FINISHED
    require_whole(path)
    return disk.calls


@pytest.mark.parametrize("lasting", [False, True], ids=["once", "from then on"])
def test_whichever_call_to_the_disk_fails_the_run_ends_safe_and_can_be_gone_on_with(
    bench, session, tmp_path, lasting
):
    calls = counted(session, tmp_path / "sound")
    assert len(calls) > 100
    for nth in range(3 + lasting, len(calls), len(calls) // SAMPLED):
        require_survived(bench, session, tmp_path / f"fault{nth}", nth, lasting=lasting)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.skipif(
    "KARYOSCAN_ALL_FAULTS" not in os.environ, reason="takes many minutes; set KARYOSCAN_ALL_FAULTS"
)
@pytest.mark.parametrize("lasting", [False, True], ids=["once", "from then on"])
def test_every_single_call_to_the_disk(bench, session, tmp_path, lasting):
    """``KARYOSCAN_ALL_FAULTS=1`` takes all, ``8:3`` every eighth from the fourth on: a portion of them."""
    step, _, first = os.environ["KARYOSCAN_ALL_FAULTS"].partition(":")
    calls = counted(session, tmp_path / "sound")
    for nth in range(int(first or 0), len(calls), int(step)):
        require_survived(bench, session, tmp_path / f"fault{nth}", nth, lasting=lasting)


def test_an_end_that_is_not_recorded_is_no_completion_and_is_made_up_for(bench, session, tmp_path):
    """The last word is the journal's: figures and report that can't be written leave the run to be resumed."""
    calls = counted(session, tmp_path / "sound")
    path = tmp_path / "run"
    nth = next(number for number, call in enumerate(calls) if call.startswith("replace report.html"))
    outcome = session(path, FailingDisk(path, nth, lasting=False))
    assert outcome.status is RunStatus.FAILED
    assert "record of it is not whole" in outcome.error
    assert "report.html" in " ".join(outcome.end_faults)
    exposures = bench.twin.exposures
    assert session(path, FailingDisk(path)).status in FINISHED
    assert bench.twin.exposures == exposures
    require_whole(path)
