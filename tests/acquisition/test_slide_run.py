"""A whole run on a small slide of the twin, sound and with every fault; the analysis is a stand-in here."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from yaozarrs import validate_zarr_store

from acquisition.casebook import open_casebook
from acquisition.errors import StorageError
from acquisition.handoff import Handoff
from acquisition.protocol import Protocol
from acquisition.records import (
    CandidateStatus,
    FieldStatus,
    KaryotypeRecord,
    KaryotypeStatus,
    RunRecord,
    RunStatus,
)
from acquisition.run import capture_loop
from acquisition.run.context import RunContext, RunFinders, RunInstrument, RunStorage
from acquisition.run.control import RunControl
from acquisition.run.listener import GuardedListener
from acquisition.run.slide_run import SlideRun
from acquisition.storage import RunFolder, read_capture
from analysis.finder import Candidate, find_metaphases
from scanner.coordinates import SlidePoint
from scanner.stillness import Stillness, StillnessVerdict
from simulators.faults import TwinFault, TwinFaultKind

AREA = {"x_min_um": 30_000, "y_min_um": 11_000, "x_max_um": 31_600, "y_max_um": 12_200}


def make_protocol(*, max_failed_fields=3, **capture):
    return Protocol.model_validate(
        {
            "version": 1,
            "name": "test",
            "banding": "G",
            "tissue": "lymphocyte",
            "scan": {"objective": "10x", "area": AREA, "exposure_ms": 5, "focus": {"points": 3}},
            "errors": {"max_failed_fields": max_failed_fields},
            "capture": {"objective": "63x", "oil": "allowed", "number": 5, "exposure_ms": 40} | capture,
        }
    )


def stand_in(task):
    return KaryotypeRecord(task.capture_uid, KaryotypeStatus.PROPOSED, 0.1, iscn="46,XX", chromosomes=46)


class Listener:
    def __init__(self, on_step=lambda name: None):
        self.steps = []
        self.messages = []
        self._on_step = on_step

    def phase(self, name, total):
        pass

    def step(self, name, note=""):
        self.steps.append(name)
        self._on_step(name)

    def message(self, text):
        self.messages.append(text)


@pytest.fixture
def run_on(bench, tmp_path):
    """Run a protocol on the bench; gives outcome and what the casebook says."""
    opened = []

    def run(protocol=None, *, finder=find_metaphases, listener=None, control=None, work=stand_in):
        folder = RunFolder.create(tmp_path / f"run{len(opened)}")
        casebook = open_casebook(folder.casebook)
        opened.extend([casebook, folder])
        record = RunRecord("r", "s", "simulated", "", "test", "", "0", datetime.now(UTC))
        casebook.begin_run(record)
        context = RunContext(
            "r",
            "s",
            RunInstrument(bench.microscope),
            protocol or make_protocol(),
            RunStorage(folder, casebook),
            RunFinders(finder),
            control or RunControl(),
            listener or Listener(),
        )
        outcome = SlideRun(context, Handoff(lambda: ThreadPoolExecutor(1), work=work)).run()
        return outcome, casebook, folder

    yield run
    for thing in opened:
        thing.close()


def assert_safe(bench):
    assert not bench.twin.lamp_open
    assert bench.twin.focus_um() == pytest.approx(bench.rig.focus.down_um)
    assert bench.twin.collisions == ()


def assert_pictures_show_cells(bench, casebook):
    """No picture of a wrong place: a planted cell lies in the middle of each."""
    for capture in casebook.captures("r"):
        where = SlidePoint(capture.slide_x_um, capture.slide_y_um)
        nearest = min(
            where.distance_um(SlidePoint(cell.slide_x_um, cell.slide_y_um)) for cell in bench.twin.truth()
        )
        assert nearest < 12.0


def test_every_planted_cell_is_found_and_photographed_in_the_middle_of_the_picture(bench, run_on):
    outcome, casebook, folder = run_on()
    assert (outcome.status, outcome.error) == (RunStatus.COMPLETED, None)
    assert len(outcome.captures) == len(bench.twin.truth()) == 2
    assert_pictures_show_cells(bench, casebook)
    assert_safe(bench)
    fields = casebook.fields("r")
    assert [f.index for f in fields] == list(range(outcome.fields))
    assert all(f.status is FieldStatus.DONE for f in fields)
    assert {c.status for c in casebook.candidates("r")} == {CandidateStatus.CAPTURED}
    assert {k.iscn for k in casebook.karyotypes("r")} == {"46,XX"}
    for capture in casebook.captures("r"):
        stored = read_capture(folder.path / capture.path, sha256=capture.sha256)
        assert stored.metadata.um_per_px == pytest.approx(bench.rig.objective("63x").um_per_px)
        assert stored.metadata.slide_x_um == pytest.approx(capture.slide_x_um)
    assert casebook.run("r").status is RunStatus.COMPLETED


def test_a_protocol_that_asks_for_everything_gets_it(bench, run_on):
    values = make_protocol(
        number=1, exposure="auto", check_still=True, z_stack={"planes": 3, "step_um": 0.4}
    ).model_dump()
    values["scan"] |= {"exposure": "auto", "keep_fields": "all", "order": "densest_first"}
    values["scan"]["focus"] = {"strategy": "each_field", "points": 2}
    values["stop"] = {"cells": 2, "probability": 0.5}
    outcome, casebook, folder = run_on(Protocol.model_validate(values))
    assert (outcome.status, outcome.error) == (RunStatus.COMPLETED, None)
    fields = casebook.fields("r")
    for field in fields:
        stored = read_capture(folder.path / (field.picture or "")).metadata
        assert stored.um_per_px == pytest.approx(bench.rig.objective("10x").um_per_px)
        assert (stored.stage_x_um, stored.stage_y_um) == (field.stage_x_um, field.stage_y_um)
    validate_zarr_store(folder.overview)
    assert not folder.spool.exists()
    (capture,) = casebook.captures("r")
    planes = sorted(folder.captures.glob("*-z*.ome.tiff"))
    heights = [read_capture(path).metadata.z_um for path in planes]
    assert np.diff(heights) == pytest.approx([0.4, 0.4], abs=0.21)
    assert capture.z_um == pytest.approx(heights[1], abs=0.5)
    told = [event.message for event in casebook.events("r") if event.kind == "exposure"]
    assert len(told) == 2
    brightest = np.percentile(read_capture(folder.path / (fields[0].picture or "")).pixels, 99)
    assert brightest / bench.rig.camera.full_scale == pytest.approx(0.75, abs=0.12)
    assert_safe(bench)


def test_a_stage_that_never_stands_still_gives_no_picture(bench, run_on, monkeypatch):
    moved = Stillness(0.9, 0.1, StillnessVerdict.MOVED)
    monkeypatch.setattr(capture_loop, "prove_stillness", lambda microscope, exposure_ms: moved)
    outcome, casebook, _ = run_on(make_protocol(number=1, check_still=True))
    assert outcome.status is RunStatus.COMPLETED_WITH_ERRORS
    assert casebook.captures("r") == ()
    retried = [event for event in casebook.events("r") if event.kind == "capture_retried"]
    assert len(retried) == make_protocol().errors.motion.retries
    failed = [c for c in casebook.candidates("r") if c.status is CandidateStatus.FAILED]
    assert "moved by 0.90 um between two exposures" in (failed[0].error or "")


def test_a_slide_without_cells_is_a_completed_run_without_captures(bench, run_on):
    bench.twin.settings = replace(bench.twin.settings, cells=0)
    outcome, casebook, _ = run_on()
    assert (outcome.status, outcome.candidates, outcome.captures) == (RunStatus.COMPLETED, 0, [])
    assert casebook.candidates("r") == ()
    assert_safe(bench)


def test_an_empty_glass_is_a_failed_run_that_says_why(bench, run_on):
    bench.twin.settings = replace(bench.twin.settings, cells=0, nuclei_per_mm2=0.0, specks_per_mm2=0.0)
    outcome, casebook, _ = run_on()
    assert outcome.status is RunStatus.FAILED
    assert "could be focused" in (outcome.error or "")
    assert casebook.run("r").error == outcome.error
    assert_safe(bench)


@pytest.mark.parametrize(
    "fault",
    [
        TwinFault(TwinFaultKind.MOVE_FAILS, "XY", nth=6),
        TwinFault(TwinFaultKind.MOVE_SHORT, "XY", nth=6),
        TwinFault(TwinFaultKind.CAMERA_RAISES, "Camera", nth=20),
        TwinFault(TwinFaultKind.BLACK_FRAME, "Camera", nth=20),
        TwinFault(TwinFaultKind.LAMP_DEAD, "Lamp", nth=20),
        TwinFault(TwinFaultKind.MOVE_FAILS, "Z", nth=20),
        TwinFault(TwinFaultKind.MOVE_SHORT, "Z", nth=5),
    ],
    ids=lambda fault: f"{fault.kind.value}-{fault.device}",
)
def test_a_passing_fault_leaves_a_truthful_record_and_no_picture_of_a_wrong_place(bench, run_on, fault):
    bench.twin.faults.add(fault)
    outcome, casebook, _ = run_on()
    assert any(event.kind == "fault" for event in bench.twin.events)
    told = [event for event in casebook.events("r") if event.kind not in {"focus_surface", "focus_skipped"}]
    assert told or outcome.status is RunStatus.FAILED
    assert_pictures_show_cells(bench, casebook)
    captured = {c.uid for c in casebook.candidates("r") if c.status is CandidateStatus.CAPTURED}
    assert {capture.candidate_uid for capture in casebook.captures("r")} == captured
    assert_safe(bench)


@pytest.mark.parametrize(
    "fault",
    [
        TwinFault(TwinFaultKind.MOVE_FAILS, "XY", nth=8, times=None),
        TwinFault(TwinFaultKind.MOVE_SHORT, "XY", nth=8, times=None),
        TwinFault(TwinFaultKind.CAMERA_RAISES, "Camera", nth=15, times=None),
        TwinFault(TwinFaultKind.LAMP_DEAD, "Lamp", nth=15, times=None),
    ],
    ids=lambda fault: f"{fault.kind.value}-{fault.device}",
)
def test_a_lasting_fault_ends_the_run_in_the_safe_state_with_its_reason(bench, run_on, fault):
    bench.twin.faults.add(fault)
    outcome, casebook, _ = run_on(make_protocol(max_failed_fields=1))
    assert outcome.status is RunStatus.FAILED
    assert casebook.run("r").status is RunStatus.FAILED
    assert casebook.run("r").error
    assert_pictures_show_cells(bench, casebook)
    assert_safe(bench)


def test_steps_lost_during_the_scan_show_before_any_oil_comes_near_the_slide(bench, run_on):
    bench.twin.faults.add(TwinFault(TwinFaultKind.LOST_STEPS, "XY", nth=7, times=2))
    outcome, casebook, _ = run_on()
    assert outcome.status is RunStatus.FAILED
    assert "places of the scan can't be trusted" in outcome.error
    assert outcome.candidates > 0
    assert casebook.captures("r") == ()
    assert not bench.microscope.slides.is_oiled()
    assert_safe(bench)


def test_a_wish_to_stop_is_granted_within_one_field(bench, run_on):
    control = RunControl()
    listener = Listener(lambda name: control.request_stop() if name == "scan" else None)
    outcome, casebook, _ = run_on(listener=listener, control=control)
    assert outcome.status is RunStatus.STOPPED
    assert len(casebook.fields("r")) == 1
    assert outcome.captures == []
    assert_safe(bench)


def test_a_stop_during_capture_keeps_what_was_photographed(bench, run_on):
    control = RunControl()
    listener = Listener(lambda name: control.request_stop() if name == "capture" else None)
    outcome, casebook, _ = run_on(listener=listener, control=control)
    assert outcome.status is RunStatus.STOPPED
    assert len(casebook.captures("r")) == 1
    assert_safe(bench)


def test_a_cell_lost_to_the_instrument_makes_the_run_one_with_errors(bench, run_on):
    faults = bench.twin.faults
    lose_next = TwinFault(TwinFaultKind.CAMERA_RAISES, "Camera", times=2)
    listener = Listener(lambda name: faults.add(lose_next) if name == "capture" and not faults.faults else None)
    outcome, casebook, _ = run_on(listener=listener)
    assert outcome.status is RunStatus.COMPLETED_WITH_ERRORS
    statuses = {c.status: c.error for c in casebook.candidates("r")}
    assert set(statuses) == {CandidateStatus.CAPTURED, CandidateStatus.FAILED}
    assert "Camera" in (statuses[CandidateStatus.FAILED] or "")
    assert_safe(bench)


def test_a_broken_display_does_not_end_the_run(bench, tmp_path, run_on):
    def explode(_name):
        raise OSError("terminal gone")

    outcome, _, _ = run_on(listener=GuardedListener(Listener(explode)))
    assert outcome.status is RunStatus.COMPLETED


def test_a_find_that_high_magnification_does_not_confirm_is_no_capture(bench, run_on):
    def dreaming(pixels, um_per_px):
        real = list(find_metaphases(pixels, um_per_px))
        return real if um_per_px < 0.5 else [*real, Candidate(400.0, 300.0, 30.0, 0.99)]

    bench.twin.settings = replace(bench.twin.settings, cells=1)
    outcome, casebook, _ = run_on(finder=dreaming)
    failed = [c for c in casebook.candidates("r") if c.status is CandidateStatus.FAILED]
    assert failed
    assert all(c.error for c in failed)
    assert len(outcome.captures) == 1
    assert_pictures_show_cells(bench, casebook)


def test_more_candidates_than_wanted_are_kept_in_the_record_but_not_photographed(bench, run_on):
    outcome, casebook, _ = run_on(make_protocol(number=1))
    statuses = [c.status for c in casebook.candidates("r")]
    assert statuses == [CandidateStatus.CAPTURED, CandidateStatus.NOT_SELECTED]
    assert len(outcome.captures) == 1


def test_oil_that_the_protocol_forbids_is_refused_before_anything_moves(bench, run_on):
    before = bench.twin.stage_um()
    outcome, _, _ = run_on(make_protocol(oil="forbidden"))
    assert outcome.status is RunStatus.FAILED
    assert "capture.oil: found forbidden" in (outcome.error or "")
    assert bench.twin.stage_um() == before
    assert bench.twin.exposures == 0


@pytest.mark.parametrize(
    ("area", "message"),
    [
        (AREA | {"x_max_um": 90_000}, "scan.area: found stage x"),
        (AREA | {"y_min_um": -3_000}, "scan.area: found stage y"),
    ],
)
def test_an_area_that_can_not_be_reached_is_refused_before_anything_moves(bench, run_on, area, message):
    protocol = make_protocol().model_dump()
    protocol["scan"]["area"] = area
    before = bench.twin.stage_um()
    outcome, _, _ = run_on(Protocol.model_validate(protocol))
    assert outcome.status is RunStatus.FAILED
    assert message in (outcome.error or "")
    assert bench.twin.stage_um() == before


def test_no_room_on_the_disk_is_refused_before_anything_moves(bench, run_on, monkeypatch):
    monkeypatch.setattr(RunFolder, "free_bytes", lambda self: 1000)
    outcome, _, _ = run_on()
    assert outcome.status is RunStatus.PARKED
    assert "free" in (outcome.error or "")
    assert bench.twin.exposures == 0


def test_a_picture_that_can_not_be_written_ends_the_run_and_leaves_no_half_file(bench, run_on, monkeypatch):
    def full(path, pixels, metadata):
        raise StorageError("no space left", path=path)

    monkeypatch.setattr(capture_loop, "write_capture", full)
    outcome, casebook, folder = run_on()
    assert outcome.status is RunStatus.PARKED
    assert "no space left" in (outcome.error or "")
    assert casebook.captures("r") == ()
    assert list(folder.captures.iterdir()) == []
    assert_safe(bench)


def test_a_cell_that_can_not_be_karyotyped_is_recorded_and_the_run_completes(bench, run_on):
    def refuse(task):
        return KaryotypeRecord(task.capture_uid, KaryotypeStatus.REFUSED, 0.1, error="no metaphase")

    outcome, casebook, _ = run_on(work=refuse)
    assert outcome.status is RunStatus.COMPLETED
    assert {k.status for k in casebook.karyotypes("r")} == {KaryotypeStatus.REFUSED}
    assert {k.error for k in casebook.karyotypes("r")} == {"no metaphase"}


def test_a_bug_is_recorded_and_raised_with_the_instrument_safe(bench, run_on):
    def buggy(pixels: np.ndarray, um_per_px: float):
        if um_per_px < 0.5:
            raise ZeroDivisionError("a bug")
        return find_metaphases(pixels, um_per_px)

    with pytest.raises(ZeroDivisionError):
        run_on(finder=buggy)
    assert_safe(bench)


def test_a_finder_that_breaks_on_every_field_ends_the_run_and_every_field_says_so(bench, run_on):
    def buggy(pixels: np.ndarray, um_per_px: float):
        raise ZeroDivisionError("a bug")

    outcome, casebook, _ = run_on(make_protocol(max_failed_fields=1), finder=buggy)
    assert outcome.status is RunStatus.FAILED
    assert "not searched: ZeroDivisionError: a bug" in (outcome.error or "")
    fields = casebook.fields("r")
    assert fields
    assert all(f.status is FieldStatus.FAILED and "a bug" in (f.error or "") for f in fields)
    assert_safe(bench)
