"""A batch on the twin with a feeder: who is scanned, who is parked and why, and that nothing ends the night."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from acquisition import deadline
from acquisition.batch.batch import SlideBatch, SlideJob, SlideResult, slide_folder_name
from acquisition.batch.report import BatchReport, SlideReport, SlideStatus, read_report
from acquisition.batch.tray import FeederTray, FrameTray, tray_of
from acquisition.batch.worklist import load_worklist
from acquisition.errors import DiskFullError, StorageError
from acquisition.records import RunStatus
from acquisition.run.control import RunControl
from acquisition.run.listener import SilentListener
from scanner.core import ScanCore
from scanner.errors import DeviceError
from scanner.microscope import Microscope
from scanner.portable.file_names import file_name_part
from scanner.rig import load_rig
from simulators.devices import twin_of
from simulators.faults import TwinFault, TwinFaultKind
from simulators.feeder import Feeder
from simulators.peripherals import feeder_of
from simulators.storage_faults import faulty_disk, parse_storage_faults
from simulators.tray import fill_tray

RIG = Path(__file__).parents[2] / "hardware_configs" / "simulated-feeder"
SLOTS = 4


class Lines(SilentListener):
    def __init__(self, lines: list[str]) -> None:
        self._lines = lines

    def message(self, text: str) -> None:
        self._lines.append(text)


@dataclass
class Night:
    """A tray of four slides, all of them wanted, and a scan that only writes down what it was asked."""

    microscope: Microscope
    feeder: Feeder
    folder: Path
    jobs: list[SlideJob] = field(default_factory=list)
    labels_seen: list[str | None] = field(default_factory=list)
    results: dict[str, SlideResult | Exception] = field(default_factory=dict)
    control: RunControl = field(default_factory=RunControl)
    stop_after: int | None = None
    told: list[SlideReport] = field(default_factory=list)
    missing: list[tuple[str | None, int]] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    seconds: Iterator[float] = field(default_factory=lambda: itertools.count(0.0, 1.0))

    def barcode(self, slot: int) -> str:
        return self.feeder.tray.slides[slot].label

    def worklist(self, rows: list[str] | None = None) -> Path:
        (self.folder / "blood.yaml").write_text("")
        rows = rows or [f"{self.barcode(slot)},case-{slot},blood.yaml," for slot in range(1, SLOTS + 1)]
        path = self.folder / "night.csv"
        path.write_text("\n".join(["barcode,accession,protocol,priority", *rows]))
        return path

    def scan(self, job: SlideJob) -> SlideResult:
        self.jobs.append(job)
        job.folder.mkdir(exist_ok=True)
        on_stage = self.feeder.slide_on_stage
        self.labels_seen.append(None if on_stage is None else on_stage.label)
        if self.stop_after == len(self.jobs):
            self.control.request_stop()
            return SlideResult(RunStatus.STOPPED, None, 0, enough=False)
        result = self.results.get(job.entry.barcode, SlideResult(RunStatus.COMPLETED, None, 20, enough=True))
        if isinstance(result, Exception):
            raise result
        self.microscope.safe_state()
        return result

    def run(self, rows: list[str] | None = None, done: dict[str, SlideReport] | None = None) -> BatchReport:
        worklist = load_worklist(self.worklist(rows))
        tray = FeederTray(self.microscope)
        batch = SlideBatch(
            tray,
            worklist,
            self.scan,
            self.folder,
            self.control,
            Lines(self.lines),
            done=done,
            on_parked=self.told.append,
            on_missing=self.take_missing,
            now_s=lambda: next(self.seconds),
        )
        return batch.run()

    def take_missing(self, slide: SlideReport) -> None:
        self.missing.append((slide.barcode, len(self.jobs)))

    def status(self, report: BatchReport) -> dict[str | None, str]:
        return {slide.slot: slide.status.value for slide in report.slides}


@pytest.fixture
def night(tmp_path: Path) -> Iterator[Night]:
    rig, cfg = load_rig(RIG)
    loader = rig.loader.model_copy(update={"slots": SLOTS, "self_recovery": True})
    rig = rig.model_copy(update={"loader": loader})
    core = ScanCore()
    core.loadSystemConfiguration(cfg)
    feeder = feeder_of(core)
    feeder.tray = fill_tray(SLOTS, replace(twin_of(core).settings, seed=3, cells=1))
    yield Night(Microscope(core, rig), feeder, tmp_path)
    core.unloadAllDevices()


def reason(report: BatchReport, slot: int) -> str:
    return next(slide.reason for slide in report.slides if slide.slot == str(slot))


def test_every_slide_is_scanned_under_its_own_name_and_brought_back(night):
    report = night.run()
    assert report.count(SlideStatus.FINISHED) == SLOTS
    assert [job.entry.barcode for job in night.jobs] == night.labels_seen
    assert night.feeder.sensors().occupied == {1, 2, 3, 4}
    assert not night.feeder.sensors().on_stage
    written = json.loads((night.folder / "batch.json").read_text())
    assert written["counts"]["finished"] == SLOTS
    assert written["ended"] == ""
    assert written["started_at"] < written["slides"][0]["at"] < written["finished_at"]
    assert all(slide["seconds"] is not None for slide in written["slides"])
    assert night.told == []
    assert read_report(night.folder) == report


def test_urgent_slides_come_first(night):
    rows = [f"{night.barcode(slot)},case-{slot},blood.yaml,{9 - slot}" for slot in range(1, SLOTS + 1)]
    night.run(rows)
    assert [job.slot for job in night.jobs] == ["4", "3", "2", "1"]


def test_a_slide_that_nobody_asked_for_is_parked_and_one_that_is_not_there_is_told(night):
    rows = [f"{night.barcode(slot)},case-{slot},blood.yaml," for slot in (1, 2, 3)] + ["ZZ-9,case-9,blood.yaml,"]
    report = night.run(rows)
    assert night.status(report) == {
        "1": "finished",
        "2": "finished",
        "3": "finished",
        "4": "parked",
        None: "missing",
    }
    assert "not on the worklist" in reason(report, 4)
    assert len(night.jobs) == 3
    assert [slide.slot for slide in night.told] == ["4"]


def test_what_is_not_in_the_tray_is_named_before_anything_is_scanned(night):
    near = f"{night.barcode(4)}0"
    rows = [f"{night.barcode(slot)},case-{slot},blood.yaml," for slot in (1, 2, 3)] + [
        f"{near},case-9,blood.yaml,1"
    ]
    written = []
    night.take_missing = lambda slide: night.missing.append((slide.barcode, len(night.jobs)))
    scan = night.scan

    def scan_and_look(job):
        written.append([s.barcode for s in read_report(night.folder).slides if s.status is SlideStatus.MISSING])
        return scan(job)

    night.scan = scan_and_look
    night.run(rows)
    assert night.missing == [(near, 0)]
    assert written == [[near]] * 3
    (line,) = [line for line in night.lines if line.startswith("missing: ")]
    assert f"{near} (case-9, line 5 of the worklist)" in line
    assert f"slot 4 reads {night.barcode(4)}, nearly the same" in line


def test_where_labels_could_not_be_read_that_is_said_of_what_is_missing(night):
    night.feeder.twin.faults.add(TwinFault(TwinFaultKind.LABEL_UNREADABLE, "LabelCamera", nth=2, times=1))
    report = night.run()
    (slide,) = [slide for slide in report.slides if slide.status is SlideStatus.MISSING]
    assert slide.barcode == night.barcode(2)
    assert "1 label could not be read" in slide.reason


def test_after_a_stop_among_the_labels_nobody_says_that_slides_are_missing(night):
    night.control.request_stop()
    report = night.run()
    assert report.count(SlideStatus.MISSING) == 0
    assert {slide.status for slide in report.slides} == {SlideStatus.NOT_REACHED}
    assert night.missing == []


def test_durations_are_those_of_a_clock_that_nobody_sets(night):
    # Dates may run backwards; here they don't run at all.
    report = night.run([f"{night.barcode(1)},case-1,blood.yaml,"])
    assert [slide.seconds for slide in report.slides if slide.status is SlideStatus.FINISHED] == [1.0]
    assert report.elapsed_s is not None
    assert report.elapsed_s > 1.0


def test_an_unreadable_label_is_parked(night):
    night.feeder.twin.faults.add(TwinFault(TwinFaultKind.LABEL_UNREADABLE, "LabelCamera", nth=2, times=1))
    report = night.run()
    assert night.status(report)["2"] == "parked"
    assert report.count(SlideStatus.FINISHED) == 3


def test_both_bearers_of_one_name_are_parked(night):
    twins = dict(night.feeder.tray.slides)
    twins[3] = replace(twins[3], label=twins[1].label)
    night.feeder.tray = replace(night.feeder.tray, slides=twins)
    rows = [f"{night.barcode(slot)},case-{slot},blood.yaml," for slot in (1, 2, 4)]
    report = night.run(rows)
    assert night.status(report) == {"1": "parked", "2": "finished", "3": "parked", "4": "finished"}
    assert "twice: slot 3" in reason(report, 1)
    assert [job.slot for job in night.jobs] == ["2", "4"]


def test_a_wrong_slide_is_never_scanned_under_the_asked_name(night):
    # Slides are loaded once to be read and once to be scanned: the sixth load brings slot 2 to be scanned.
    night.feeder.twin.faults.add(TwinFault(TwinFaultKind.WRONG_SLIDE, "Loader", nth=6))
    report = night.run()
    assert night.status(report)["2"] == "parked"
    assert "another slide" in reason(report, 2)
    assert [job.entry.barcode for job in night.jobs] == night.labels_seen
    assert report.count(SlideStatus.FINISHED) == 3


def test_a_jam_parks_its_slide_and_the_night_goes_on_where_the_gripper_gets_free(night):
    night.feeder.withdraws_after_jam = True
    night.feeder.twin.faults.add(TwinFault(TwinFaultKind.LOADER_JAMS, "Loader", nth=5))
    report = night.run()
    assert report.count(SlideStatus.PARKED) == 1
    assert report.count(SlideStatus.FINISHED) == 3
    assert not report.ended
    assert night.feeder.sensors().occupied == {1, 2, 3, 4}
    assert night.feeder.twin.collisions == ()


def test_a_jam_that_needs_a_hand_ends_the_night_with_every_slide_accounted_for(night):
    night.feeder.withdraws_after_jam = False
    night.feeder.twin.faults.add(TwinFault(TwinFaultKind.LOADER_JAMS, "Loader", nth=9))
    report = night.run()
    assert "jam" in report.ended
    assert sorted(night.status(report).values()) == ["not_reached", "not_reached", "not_reached", "parked"]
    assert night.jobs == []


@pytest.mark.parametrize(
    "failure",
    [
        DeviceError("no answer", device="XY"),
        ZeroDivisionError("a bug"),
        SlideResult(RunStatus.FAILED, "XY: still busy", 0, enough=False),
        SlideResult(RunStatus.PARKED, "disk full", 0, enough=False),
    ],
)
def test_a_slide_that_fails_does_not_end_the_night(night, failure):
    night.results[night.barcode(2)] = failure
    report = night.run()
    assert night.status(report) == {"1": "finished", "2": "parked", "3": "finished", "4": "finished"}
    assert reason(report, 2)
    # A run that came to its own end has told of it.
    assert [slide.slot for slide in night.told] == ([] if isinstance(failure, SlideResult) else ["2"])


def test_a_sister_slide_is_taken_only_when_the_first_is_poor(night):
    rows = [
        f"{night.barcode(1)},case-A,blood.yaml,",
        f"{night.barcode(2)},case-A,blood.yaml,",
        f"{night.barcode(3)},case-B,blood.yaml,",
        f"{night.barcode(4)},case-B,blood.yaml,",
    ]
    night.results[night.barcode(3)] = SlideResult(RunStatus.COMPLETED, None, 2, enough=False)
    report = night.run(rows)
    assert night.status(report) == {"1": "finished", "2": "not_needed", "3": "finished", "4": "finished"}
    assert "case-A gave enough" in reason(report, 2)
    assert "fewer than the protocol asks for" in reason(report, 3)


def test_a_stop_leaves_the_rest_and_the_slide_goes_back(night):
    night.stop_after = 2
    report = night.run()
    assert night.status(report) == {
        "1": "finished", "2": "not_reached", "3": "not_reached", "4": "not_reached",
    }  # fmt: skip
    assert report.ended == "stopped by a person"
    assert not night.feeder.sensors().on_stage


def test_a_stop_within_the_last_slide_is_no_batch_that_is_done(night):
    night.stop_after = SLOTS
    report = night.run()
    assert night.status(report)[str(SLOTS)] == "not_reached"
    assert report.ended == "stopped by a person"


def test_a_second_sitting_scans_what_the_first_left(night):
    night.stop_after = 2
    first = night.run()
    night.stop_after = None
    night.control = RunControl()
    done = {slide.barcode: slide for slide in first.slides if slide.barcode}
    jobs = len(night.jobs)
    report = night.run(done=done)
    assert report.count(SlideStatus.FINISHED) == SLOTS
    assert [job.slot for job in night.jobs[jobs:]] == ["2", "3", "4"]


def test_a_finished_slide_whose_folder_is_gone_is_scanned_again(night):
    first = night.run()
    done = {slide.barcode: slide for slide in first.slides if slide.barcode}
    (night.folder / done[night.barcode(2)].folder).rmdir()
    jobs = len(night.jobs)
    assert night.run(done=done).count(SlideStatus.FINISHED) == SLOTS
    assert [job.slot for job in night.jobs[jobs:]] == ["2"]


def test_a_finished_slide_that_was_taken_away_is_not_missing(night):
    first = night.run()
    done = {slide.barcode: slide for slide in first.slides if slide.barcode}
    rows = [f"{night.barcode(slot)},case-{slot},blood.yaml," for slot in range(1, SLOTS + 1)]
    slides = dict(night.feeder.tray.slides)
    del slides[3]
    night.feeder.tray = replace(night.feeder.tray, slides=slides)
    report = night.run(rows, done=done)
    assert report.count(SlideStatus.FINISHED) == SLOTS
    assert not report.needs_person


def test_a_finished_slide_is_parked_when_the_worklist_names_another_case(night):
    first = night.run()
    done = {slide.barcode: slide for slide in first.slides if slide.barcode}
    rows = [f"{night.barcode(slot)},case-{slot + (slot == 2)},blood.yaml," for slot in range(1, SLOTS + 1)]
    report = night.run(rows, done=done)
    assert night.status(report)["2"] == "parked"
    assert "was scanned as case-2, the worklist says case-3 now" in reason(report, 2)
    assert len(night.jobs) == SLOTS


@pytest.mark.parametrize("times", ["", "x*"])
@pytest.mark.parametrize("nth", range(1, SLOTS + 3))
def test_a_night_whose_record_can_not_be_written_ends_with_the_slide_put_back(night, nth, times):
    """Each of its writes once: before the first slide, after each, and at the end."""
    with (
        faulty_disk(night.folder, parse_storage_faults(f"disk_full@batch.json:{nth} {times}")),
        pytest.raises(DiskFullError, match=r"batch\.json: no room on the disk"),
    ):
        night.run()
    assert len(night.jobs) == min(nth - 1, SLOTS)
    assert not night.feeder.sensors().on_stage
    assert night.feeder.sensors().occupied == {1, 2, 3, 4}
    assert night.feeder.twin.collisions == ()
    before = read_report(night.folder)
    assert (before is None) is (nth == 1)
    # With room again, the night goes on.
    assert night.run().count(SlideStatus.FINISHED) == SLOTS


def test_a_night_whose_share_hangs_ends_with_the_slide_put_back(night, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(deadline, "DISK_DEADLINE_S", 2.0)
        with (
            faulty_disk(night.folder, parse_storage_faults("disk_hangs@batch.json:2")),
            pytest.raises(StorageError, match=r"batch\.json: writing: no answer for 2 s"),
        ):
            night.run()
    assert len(night.jobs) == 1
    assert not night.feeder.sensors().on_stage
    assert night.run().count(SlideStatus.FINISHED) == SLOTS


@pytest.mark.parametrize("barcode", ["KS-1", "A/B", "x" * 300, "\N{GRINNING FACE}" * 60])
@pytest.mark.parametrize("slot", ["1", "y" * 300, "left:top"])
def test_the_name_of_a_slides_folder_is_read_back_as_it_is(slot, barcode):
    name = slide_folder_name(slot, barcode)
    assert file_name_part(name) == name
    assert slide_folder_name("1", "KS-1") == "slot-1-KS-1"


def test_a_tray_is_a_feeder_or_a_frame(night, bench):
    assert isinstance(tray_of(night.microscope), FeederTray)
    tray = tray_of(bench.microscope)
    assert isinstance(tray, FrameTray)
    assert list(tray.slots()) == ["1"]
    tray.bring("1")
    assert tray.frame("1") == bench.rig.slide.frame
