"""A run is gone on with only as it was begun, and what was altered meanwhile is named."""

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest
from sqlalchemy import create_engine, text

from acquisition.errors import ResumeError, StorageError
from acquisition.handoff import Handoff, KaryotypeTask, karyotype_capture
from acquisition.journal import Journal, read_journal
from acquisition.protocol import ErrorPolicy
from acquisition.records import KaryotypeRecord, KaryotypeStatus, RunStatus
from acquisition.run import integrity
from acquisition.run.control import RunControl
from acquisition.run.listener import SilentListener
from acquisition.run.run_log import RunLog, read_sessions
from acquisition.run.unfinished import FINISHED
from acquisition.storage import Modality, read_capture


class StopAfter(SilentListener):
    def __init__(self, control, phase):
        self._control, self._phase = control, phase

    def step(self, name, note=""):
        if name == self._phase:
            self._control.request_stop()


class Analysis:
    """A stand-in for the analysis that writes what the product writes."""

    def __init__(self):
        self.asked, self.tasks, self.fails = [], [], set()

    def __call__(self, task):
        self.tasks.append(task)
        self.asked.append(task.capture_uid)
        if task.capture_uid in self.fails:
            return KaryotypeRecord(task.capture_uid, KaryotypeStatus.FAILED, 0.1, error="no memory")
        path = Path(task.run_dir) / "karyograms" / f"{task.capture_uid}.json"
        path.write_text(json.dumps({"iscn": "46,XX"}), encoding="utf-8")
        return KaryotypeRecord(
            task.capture_uid, KaryotypeStatus.PROPOSED, 0.1, "46,XX", 46, f"karyograms/{path.name}"
        )

    def workers(self):
        return Handoff(lambda: ThreadPoolExecutor(1), work=self)


@pytest.fixture
def analysis():
    return Analysis()


@pytest.fixture
def stopped_in_capture(run_in):
    control = RunControl()
    session = run_in(
        "run", protocol=run_in.protocol(number=2), control=control, listener=StopAfter(control, "capture")
    )
    assert session.outcome.status is RunStatus.STOPPED
    return session


def go_on(run_in, **more):
    return run_in("run", protocol=run_in.protocol(number=2), **more)


def test_the_first_record_binds_slide_protocol_rig_and_software(stopped_in_capture):
    start = next(record.values for record in stopped_in_capture.records if record.kind == "begun")
    assert start["slide"] == "s"
    assert {len(start[name]) for name in ("plan", "protocol_sha256", "rig_sha256")} == {64}
    assert start["software_version"]


def test_every_session_names_its_software_and_its_duration(stopped_in_capture, run_in, tmp_path, monkeypatch):
    monkeypatch.setattr("acquisition.run.slide_run.metadata.version", lambda _name: "9.9")
    session = go_on(run_in)
    assert session.outcome.status in FINISHED
    first, second = read_sessions(session.records)
    assert (first.status, second.status) == (RunStatus.STOPPED, session.outcome.status)
    assert first.software_version != "9.9"
    assert second.software_version == "9.9"
    assert first.elapsed_s > 0
    assert second.elapsed_s > 0


def test_a_clock_that_is_set_back_changes_no_duration(tmp_path, monkeypatch):
    moments = iter([datetime(2026, 1, 2, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC)])
    monkeypatch.setattr("acquisition.run.run_log.datetime", SimpleNamespace(now=lambda _zone: next(moments)))
    seconds = iter([100.0, 100.0, 107.5])
    with Journal.create(tmp_path / "journal.log") as journal:
        log = RunLog(journal, now_s=lambda: next(seconds))
        log.session("0.1.0")
        log.ended(RunStatus.COMPLETED, None)
    (session,) = read_sessions(read_journal(tmp_path / "journal.log"))
    assert (session.elapsed_s, session.status) == (7.5, RunStatus.COMPLETED)


def test_a_session_that_was_cut_off_lasts_to_its_last_record(tmp_path):
    seconds = iter([0.0, 0.0, 4.0])
    with Journal.create(tmp_path / "journal.log") as journal:
        log = RunLog(journal, now_s=lambda: next(seconds))
        log.session("0.1.0")
        log.scanned()
    (session,) = read_sessions(read_journal(tmp_path / "journal.log"))
    assert (session.elapsed_s, session.status) == (4.0, None)
    assert session.to_json()["status"] is None


def test_a_slide_of_another_name_is_refused(stopped_in_capture, run_in):
    outcome = go_on(run_in, slide="other").outcome
    assert outcome.status is RunStatus.FAILED
    assert "name of the slide is not the one with which the run began" in outcome.error


def test_captures_say_case_and_modality_and_another_case_is_refused(run_in, tmp_path, analysis):
    control = RunControl()
    session = run_in(
        "run",
        protocol=run_in.protocol(number=2, banding="DAPI"),
        control=control,
        listener=StopAfter(control, "capture"),
        accession="17-0042",
        handoff=analysis.workers(),
    )
    assert session.outcome.captures
    for capture in session.outcome.captures:
        metadata = read_capture(tmp_path / "run" / capture.path).metadata
        assert (metadata.accession, metadata.modality) == ("17-0042", Modality.FLUORESCENCE)
    assert {task.accession for task in analysis.tasks} == {"17-0042"}
    outcome = go_on(run_in, accession="17-0043").outcome
    assert outcome.status is RunStatus.FAILED
    assert "accession is not the one with which the run began" in outcome.error


@pytest.mark.parametrize(
    ("column", "name"), [("protocol_yaml", "protocol"), ("rig_yaml", "rig"), ("slide", "name of the slide")]
)
def test_a_casebook_that_was_changed_is_refused_by_name(stopped_in_capture, run_in, tmp_path, column, name):
    change(tmp_path / "run", f"UPDATE run SET {column} = 'other'")  # noqa: S608 - a name of this test
    outcome = go_on(run_in).outcome
    assert outcome.status is RunStatus.FAILED
    assert f"the {name} in the casebook is not the one" in outcome.error


def change(path, statement):
    engine = create_engine(f"sqlite:///{path / 'casebook.sqlite'}")
    with engine.begin() as connection:
        connection.execute(text(statement))
    engine.dispose()


def test_a_capture_that_the_casebook_places_elsewhere_is_refused_by_name(stopped_in_capture, run_in, tmp_path):
    change(tmp_path / "run", "UPDATE capture SET slide_x_um = slide_x_um + 100")
    outcome = go_on(run_in).outcome
    assert outcome.status is RunStatus.FAILED
    assert "differs between casebook and journal" in outcome.error


def test_another_version_of_the_software_is_noted(stopped_in_capture, run_in, monkeypatch):
    monkeypatch.setattr(integrity.metadata, "version", lambda name: "99.0")
    session = go_on(run_in)
    assert session.outcome.status in FINISHED, session.outcome.error
    (event,) = [event for event in session.events if event.kind == "software_changed"]
    assert event.context["now"] == "99.0"


@pytest.mark.parametrize("how", ["painted", "deleted"])
def test_an_altered_capture_is_named_and_not_karyotyped(stopped_in_capture, run_in, tmp_path, analysis, how):
    (capture,) = stopped_in_capture.outcome.captures
    path = tmp_path / "run" / capture.path
    path.write_bytes(path.read_bytes() + b"x") if how == "painted" else path.unlink()
    session = go_on(run_in, handoff=analysis.workers())
    assert session.outcome.status is RunStatus.COMPLETED_WITH_ERRORS
    assert [event.context["file"] for event in session.events if event.kind == "altered"] == [capture.path]
    assert capture.uid not in analysis.asked


def test_a_worker_refuses_a_picture_that_is_not_the_recorded_one(tmp_path):
    (tmp_path / "captures").mkdir()
    (tmp_path / "captures" / "c.tiff").write_bytes(b"another picture")
    record = karyotype_capture(KaryotypeTask("c", str(tmp_path), "captures/c.tiff", None, "0" * 64))
    assert record.status is KaryotypeStatus.FAILED
    assert "SHA-256 differs" in record.error


def test_a_proposal_is_named_in_the_journal_and_its_alteration_noted(run_in, tmp_path, analysis):
    session = run_in("run", handoff=analysis.workers())
    (named,) = [record.values for record in session.records if record.kind == "karyotyped"]
    ((path, sha256),) = named["sha256"].items()
    assert (named["capture"], len(sha256)) == ("cell-0001", 64)
    (tmp_path / "run" / path).write_text("{}", encoding="utf-8")
    journal = tmp_path / "run" / "journal.log"
    journal.write_bytes(b"".join(journal.read_bytes().splitlines(keepends=True)[:-1]))
    session = run_in("run", handoff=analysis.workers())
    assert [event.context["file"] for event in session.events if event.kind == "altered"] == [path]


def test_links_in_a_run_folder_are_refused(stopped_in_capture, run_in, tmp_path):
    shutil.move(tmp_path / "run" / "captures", tmp_path / "elsewhere")
    (tmp_path / "run" / "captures").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    with pytest.raises(StorageError, match=r"symbolic links \(captures\)"):
        go_on(run_in)


# -- completed is the last word -------------------------------------------------------------------------------


def test_a_completed_run_with_a_failed_karyotype_gets_it_when_it_is_resumed(bench, run_in, analysis):
    analysis.fails = {"cell-0001"}
    session = run_in("run", handoff=analysis.workers())
    assert session.outcome.status is RunStatus.COMPLETED_WITH_ERRORS
    asked = ErrorPolicy().karyotype.retries + 1
    assert analysis.asked == ["cell-0001"] * asked
    analysis.fails = set()
    exposures, stage = bench.twin.exposures, bench.twin.stage_um()
    session = run_in("run", handoff=analysis.workers())
    assert session.outcome.status is RunStatus.COMPLETED
    assert [record.status for record in session.karyotypes] == [KaryotypeStatus.PROPOSED]
    assert (bench.twin.exposures, bench.twin.stage_um()) == (exposures, stage)
    with pytest.raises(ResumeError, match="nothing to resume"):
        run_in("run", handoff=analysis.workers())


def test_an_analysis_that_fails_is_tried_as_often_as_the_protocol_says(run_in, analysis):
    analysis.fails = {"cell-0001"}
    protocol = run_in.protocol(errors={"karyotype": {"retries": 4}})
    run_in("run", protocol=protocol, handoff=analysis.workers())
    assert len(analysis.asked) == 5


@pytest.mark.parametrize("missing", ["run.json", "report.html"])
def test_what_is_derived_from_a_completed_run_is_made_anew(bench, run_in, tmp_path, missing):
    def conclude(outcome):
        for name in ("run.json", "report.html"):
            (tmp_path / "run" / name).write_text(outcome.status.value)

    run_in("run", conclude=conclude)
    (tmp_path / "run" / missing).unlink()
    exposures = bench.twin.exposures
    assert run_in("run", conclude=conclude).outcome.status in FINISHED
    assert (tmp_path / "run" / missing).read_text() in FINISHED
    assert bench.twin.exposures == exposures
    with pytest.raises(ResumeError, match="nothing to resume"):
        run_in("run", conclude=conclude)


def test_a_run_killed_before_its_last_word_gets_figures_and_report_when_it_is_resumed(run_in, tmp_path):
    made = []
    run_in("run", conclude=made.append)
    path = tmp_path / "run" / "journal.log"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))
    session = run_in("run", conclude=made.append)
    assert session.outcome.status in FINISHED
    assert len(made) == 2
    assert session.records[-1].kind == "ended"
