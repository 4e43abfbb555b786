"""A scan whose focus a hardware autofocus holds: faults cost its help, never a sharp picture's truth."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from acquisition.plan.check import Severity, check
from acquisition.protocol import Then
from acquisition.records import EventLevel, RunStatus
from acquisition.run.field_focus import AUTOFOCUS_ATTEMPTS
from scanner.core import ScanCore
from scanner.microscope import Microscope
from scanner.rig import load_rig
from simulators.devices import twin_of
from simulators.faults import TwinFault, TwinFaultKind
from tests.acquisition.conftest import AREA, small_protocol
from tests.conftest import SIMULATED_RIG, SMALL_AREA_UM, Bench

EQUIPPED_RIG = Path(__file__).parents[2] / "hardware_configs" / "simulated-equipped"
FIELDS = 4
PLACE_UM = 2.0
SHARP_UM = 4.0
"""A depth of field of the 10x/0.45 is 2.7 um; a search settles within half a step of it."""


@pytest.fixture
def bench() -> Iterator[Bench]:
    rig, cfg = load_rig(EQUIPPED_RIG)
    core = ScanCore()
    core.loadSystemConfiguration(cfg)
    twin = twin_of(core)
    twin.settings = replace(twin.settings, seed=5, cells=2, nuclei_per_mm2=30.0, area_um=SMALL_AREA_UM)
    yield Bench(rig, core, twin, Microscope(core, rig))
    core.unloadAllDevices()


def hardware_protocol(fallback="software", **more):
    focus = {"points": 1, "strategy": "hardware", "fallback": fallback}
    scan = {"objective": "10x", "area": AREA, "exposure_ms": 5, "focus": focus}
    return small_protocol(number=0, scan=scan, **more)


def kinds(session) -> Counter:
    return Counter(event.kind for event in session.events)


def require_sound(bench, session, fields=FIELDS) -> None:
    """Every field that counts was photographed in focus, and nothing drove against the autofocus."""
    searched = [r.values["record"] for r in session.records if r.kind == "found"]
    done = [record for record in searched if record["status"] == "done"]
    assert len(done) == fields
    shown = [sight for sights in bench.twin.handed_over for sight in sights]
    for record in done:
        # The last exposure of a place is the field's.
        *_, sight = (
            s
            for s in shown
            if abs(s.slide_x_um - record["stage_x_um"]) < PLACE_UM
            and abs(s.slide_y_um - record["stage_y_um"]) < PLACE_UM
        )
        assert abs(sight.defocus_um) < SHARP_UM
    assert not [e for e in bench.twin.events if e.kind in {"autofocus", "collision"}]
    assert not bench.twin.autofocus.is_on
    assert not bench.twin.lamp_open
    assert bench.twin.focus_um() == pytest.approx(bench.rig.focus.down_um)


def test_every_field_is_held_by_the_autofocus(bench, run_in):
    session = run_in("run", protocol=hardware_protocol())
    assert session.outcome.status is RunStatus.COMPLETED
    assert "autofocus_failed" not in kinds(session)
    require_sound(bench, session)


# Faults of the device, fields that are then focused by software.
FAULTS = [
    ("autofocus_out_of_range", 1, 1),
    ("autofocus_never_locks", 2, 1),
    ("autofocus_loses_lock", 2, 1),
    ("autofocus_wrong_surface", 3, 1),
    ("autofocus_runs_away", 2, 1),
]


@pytest.mark.parametrize(("kind", "nth", "failed"), FAULTS, ids=[row[0] for row in FAULTS])
def test_a_field_without_lock_is_focused_by_software_and_recorded(bench, run_in, kind, nth, failed):
    bench.twin.faults.add(TwinFault(TwinFaultKind(kind), "Autofocus", nth))
    session = run_in("run", protocol=hardware_protocol())
    assert session.outcome.status is RunStatus.COMPLETED
    assert kinds(session)["autofocus_failed"] == failed
    (event,) = (event for event in session.events if event.kind == "autofocus_failed")
    assert event.level is EventLevel.WARNING
    assert "is focused by software" in event.message
    assert event.context["defect"]
    require_sound(bench, session)


def test_an_offset_that_creeps_is_noticed_before_it_blurs_a_field(bench, run_in):
    bench.twin.faults.add(TwinFault(TwinFaultKind.AUTOFOCUS_OFFSET_DRIFTS, "Autofocus", times=None))
    session = run_in("run", protocol=hardware_protocol())
    assert session.outcome.status is RunStatus.COMPLETED
    assert kinds(session)["autofocus_failed"] == AUTOFOCUS_ATTEMPTS
    require_sound(bench, session)


def test_one_that_never_locks_is_not_asked_again_and_again(bench, run_in):
    bench.twin.faults.add(TwinFault(TwinFaultKind.AUTOFOCUS_NEVER_LOCKS, "Autofocus", times=None))
    session = run_in("run", protocol=hardware_protocol())
    assert session.outcome.status is RunStatus.COMPLETED
    assert kinds(session)["autofocus_failed"] == AUTOFOCUS_ATTEMPTS
    assert kinds(session)["autofocus_given_up"] == 1
    require_sound(bench, session)


def test_without_fallback_the_field_is_a_fault_for_the_protocol(bench, run_in):
    bench.twin.faults.add(TwinFault(TwinFaultKind.AUTOFOCUS_LOSES_LOCK, "Autofocus", 2, times=None))
    errors = {"focus": {"retries": 0, "then": Then.SKIP_AND_MARK}, "max_failed_fields": 10}
    session = run_in("run", protocol=hardware_protocol("none", errors=errors))
    assert session.outcome.status is RunStatus.COMPLETED_WITH_ERRORS
    assert kinds(session)["field_failed"] == FIELDS - 1
    assert all("the lock was lost" in e.message for e in session.events if e.kind == "field_failed")
    require_sound(bench, session, fields=1)


def test_without_fallback_the_protocol_may_park_the_slide(bench, run_in):
    bench.twin.faults.add(TwinFault(TwinFaultKind.AUTOFOCUS_WRONG_SURFACE, "Autofocus", 2))
    errors = {"focus": {"retries": 0, "then": Then.PARK_SLIDE}}
    session = run_in("run", protocol=hardware_protocol("none", errors=errors))
    assert session.outcome.status is RunStatus.PARKED
    assert not bench.twin.autofocus.is_on
    assert not bench.twin.lamp_open


def test_a_rig_without_one_refuses_the_strategy_before_anything_moves():
    rig, _ = load_rig(SIMULATED_RIG)
    (refused,) = (f for f in check(hardware_protocol(), rig) if f.level is Severity.REFUSED)
    assert refused.key == ("scan", "focus", "strategy")
    equipped, _ = load_rig(EQUIPPED_RIG)
    assert not [f for f in check(hardware_protocol(), equipped) if f.level is Severity.REFUSED]
