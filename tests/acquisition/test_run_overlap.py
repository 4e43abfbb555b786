"""A scan with a camera that exposes one field while it reads out the one before: the same record and places."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from acquisition.plan.tiling import serpentine
from acquisition.plan.timing import InstrumentTiming
from acquisition.records import RunStatus
from acquisition.run.control import RunControl
from scanner.camera_setup import set_up_camera
from scanner.core import ScanCore
from scanner.microscope import Microscope
from scanner.rig import load_rig
from simulators.devices import twin_of
from simulators.faults import TwinFault, TwinFaultKind
from tests.acquisition.conftest import small_protocol
from tests.conftest import SIMULATED_RIG, SMALL_AREA_UM, Bench

EQUIPPED_RIG = Path(__file__).parents[2] / "hardware_configs" / "simulated-equipped"
FIELDS = 4
TOLERANCE_UM = 2.0


@pytest.fixture
def bench() -> Iterator[Bench]:
    rig, cfg = load_rig(EQUIPPED_RIG)
    core = ScanCore()
    core.loadSystemConfiguration(cfg)
    set_up_camera(core, rig)
    twin = twin_of(core)
    twin.settings = replace(twin.settings, seed=5, cells=2, area_um=SMALL_AREA_UM)
    yield Bench(rig, core, twin, Microscope(core, rig))
    core.unloadAllDevices()


def photographed(session) -> list[dict]:
    return [r.values["record"] for r in session.records if r.kind == "found"]


class RecordingFinder:
    """Finds nothing, and remembers what it was given."""

    def __init__(self) -> None:
        self.frames = []

    def __call__(self, pixels, um_per_px):
        self.frames.append(pixels.copy())
        return []


def require_true_places(bench, session, fields=FIELDS) -> None:
    done = [record for record in photographed(session) if record["status"] == "done"]
    assert len(done) == fields
    shown = [sight for sights in bench.twin.handed_over for sight in sights]
    for record in done:
        assert any(
            abs(s.slide_x_um - record["stage_x_um"]) <= TOLERANCE_UM
            and abs(s.slide_y_um - record["stage_y_um"]) <= TOLERANCE_UM
            and s.smear_um == (0.0, 0.0)
            for s in shown
        )
    assert not bench.twin.lamp_open
    assert not bench.core.isSequenceRunning()


def test_fields_are_exposed_ahead_and_each_is_recorded_at_its_place(bench, run_in):
    finder = RecordingFinder()
    session = run_in("run", protocol=small_protocol(number=0), finder=finder)
    assert session.outcome.status is RunStatus.COMPLETED
    require_true_places(bench, session)
    assert len(finder.frames) == FIELDS
    assert bench.core.python_device("Camera").ignored_triggers == 0


@pytest.mark.parametrize("kind", ["move_short", "move_fails", "never_idle"])
@pytest.mark.parametrize("nth", [3, 4])
def test_a_move_that_fails_costs_an_attempt_and_no_picture_of_another_place(bench, run_in, kind, nth):
    bench.twin.faults.add(TwinFault(TwinFaultKind(kind), "XY", nth))
    session = run_in("run", protocol=small_protocol(number=0))
    assert session.outcome.status is RunStatus.COMPLETED
    assert [event.kind for event in session.events].count("field_retried") == 1
    require_true_places(bench, session)


@pytest.mark.parametrize(
    "kind", ["camera_raises", "black_frame", "frame_dropped", "camera_hangs", "garbage_frame", "trigger_ignored"]
)
def test_a_frame_that_fails_costs_its_own_attempt(bench, run_in, kind):
    # The search of the focus takes some pictures before the fields; the fault strikes the second field.
    before = []
    bench.twin.watchers.append(lambda what: what == "camera" and before.append(bench.microscope.overlaps))

    def spoil(what):
        if what == "camera" and bench.microscope.overlaps and not bench.twin.faults.faults:
            bench.twin.faults.add(TwinFault(TwinFaultKind(kind), "Camera", 2))

    bench.twin.watchers.append(spoil)
    session = run_in("run", protocol=small_protocol(number=0))
    assert session.outcome.status is RunStatus.COMPLETED
    assert [event for event in bench.twin.events if event.kind == "fault"]
    assert 1 <= [event.kind for event in session.events].count("field_retried") <= 2
    require_true_places(bench, session)


def test_a_stop_leaves_no_exposure_behind_and_the_rest_is_photographed_on_resume(bench, run_in):
    control = RunControl()

    class Stopping:
        def phase(self, name, total):
            pass

        def step(self, name, note=""):
            if name == "scan":
                control.request_stop()

        def message(self, text):
            pass

    session = run_in("run", protocol=small_protocol(number=0), control=control, listener=Stopping())
    assert session.outcome.status is RunStatus.STOPPED
    require_true_places(bench, session, fields=1)
    session = run_in("run", protocol=small_protocol(number=0))
    assert session.outcome.status is RunStatus.COMPLETED
    require_true_places(bench, session)


def test_the_run_time_counts_on_it():
    single, overlapping = load_rig(SIMULATED_RIG)[0], load_rig(EQUIPPED_RIG)[0]
    frame = single.camera_frame(single.objectives[0])
    area = small_protocol().scan.area
    fields = serpentine(area, frame.width_um, frame.height_um, 0.1)
    exposure_ms = 5.0
    one, other = (
        InstrumentTiming(rig).fields_s(fields, exposure_ms, rig.objectives[0]) for rig in (single, overlapping)
    )
    # One exposure a field is saved, as long as the way takes no longer than the read-out.
    assert one - other == pytest.approx((len(fields) - 1) * exposure_ms / 1000, rel=0.2)
