"""Runs on an instrument whose lamp warms up, with filters, on a stage that counts steps."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from acquisition.plan.check import Severity, check
from acquisition.plan.timing import InstrumentTiming
from acquisition.records import RunStatus
from acquisition.run.control import RunControl
from scanner.camera_setup import set_up_camera
from scanner.core import ScanCore
from scanner.microscope import Microscope
from scanner.rig import load_rig
from simulators.devices import twin_of
from simulators.faults import TwinFault, TwinFaultKind
from simulators.specimen.banding import Banding
from tests.acquisition.conftest import small_protocol
from tests.conftest import SMALL_AREA_UM, Bench

EQUIPPED_RIG = Path(__file__).parents[2] / "hardware_configs" / "simulated-equipped"
FIELDS = 4


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


def kinds(session) -> Counter:
    return Counter(event.kind for event in session.events)


def require_safe(bench) -> None:
    assert not bench.twin.lamp_open
    assert bench.twin.focus_um() == pytest.approx(bench.rig.focus.down_um)
    assert bench.twin.collisions == ()


def test_the_run_waits_for_the_lamp_tells_so_and_records_rounded_places(bench, run_in):
    session = run_in("run", protocol=small_protocol())
    assert session.outcome.status is RunStatus.COMPLETED
    assert kinds(session)["lamp_warms_up"] == kinds(session)["lamp_ready"] == 1
    assert bench.core.getStateLabel("Reflector") == "1-empty"
    (steps,) = (event for event in session.events if event.kind == "rounded_to_steps")
    assert steps.context == {"axis": "stage", "um_per_step": 0.5}
    done = [r.values["record"] for r in session.records if r.kind == "found"]
    assert len(done) == FIELDS
    assert all((2 * record["stage_x_um"]) % 1 == pytest.approx(0.0, abs=1e-6) for record in done)
    require_safe(bench)


def test_a_lamp_that_never_gets_ready_parks_the_slide_and_the_instrument_is_safe(bench, run_in):
    bench.twin.faults.add(TwinFault(TwinFaultKind.LAMP_NEVER_READY, "Lamp"))
    session = run_in("run", protocol=small_protocol(number=0))
    assert session.outcome.status is RunStatus.PARKED
    assert "the lamp did not get ready" in session.outcome.error
    assert bench.twin.exposures == 0
    require_safe(bench)


def test_a_stop_is_heard_while_the_lamp_warms_up(bench, run_in):
    control = RunControl()

    class Stopping:
        def phase(self, name, total):
            pass

        def step(self, name, note=""):
            pass

        def message(self, text):
            if "waiting for the lamp" in text:
                control.request_stop()

    session = run_in("run", protocol=small_protocol(number=0), control=control, listener=Stopping())
    assert session.outcome.status is RunStatus.STOPPED
    assert bench.twin.exposures == 0
    require_safe(bench)


def test_dapi_is_photographed_through_its_filters(bench, run_in):
    bench.twin.settings = replace(bench.twin.settings, banding=Banding.DAPI)
    protocol = small_protocol(number=0, banding="DAPI")
    session = run_in("run", protocol=protocol)
    assert bench.core.getStateLabel("Reflector") == "2-DAPI"
    assert session.outcome.status in {RunStatus.COMPLETED, RunStatus.PARKED}
    assert kinds(session)["field_failed"] == 0


def test_filters_that_stay_stuck_park_the_slide_before_the_light_is_on(bench, run_in):
    bench.twin.faults.add(TwinFault(TwinFaultKind.FILTERS_STUCK, "Reflector", times=None))
    session = run_in("run", protocol=small_protocol(number=0, banding="DAPI"))
    assert session.outcome.status is RunStatus.PARKED
    assert "wrong filters for fluorescence" in session.outcome.error
    assert bench.twin.exposures == 0
    require_safe(bench)


def test_filters_that_lie_give_no_field(bench, run_in):
    bench.twin.settings = replace(bench.twin.settings, banding=Banding.DAPI)
    bench.twin.faults.add(TwinFault(TwinFaultKind.FILTERS_LIE, "Reflector", times=None))
    session = run_in("run", protocol=small_protocol(number=0, banding="DAPI"))
    assert session.outcome.status in {RunStatus.PARKED, RunStatus.FAILED}
    assert not [r for r in session.records if r.kind == "found"]
    require_safe(bench)


def test_a_rig_without_filters_for_fluorescence_refuses_the_protocol():
    rig, _ = load_rig(EQUIPPED_RIG)
    reflector = rig.reflector.model_copy(update={"fluorescence": None})
    protocol = small_protocol(banding="DAPI")
    assert not [f for f in check(protocol, rig) if f.level is Severity.REFUSED]
    refused = [
        f for f in check(protocol, rig.model_copy(update={"reflector": reflector})) if f.level is Severity.REFUSED
    ]
    assert [finding.key for finding in refused] == [("banding",)]


def test_the_time_of_a_run_counts_the_warm_up():
    rig, _ = load_rig(EQUIPPED_RIG)
    lamp = rig.lamp.model_copy(update={"warm_up_s": 90.0})
    assert InstrumentTiming(rig).warm_up_s == 0.0
    assert InstrumentTiming(rig.model_copy(update={"lamp": lamp})).warm_up_s == 90.0
