from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from scanner.core import ScanCore
from scanner.errors import DeviceNotReadyError, MoveTimeoutError
from simulators.clock import ManualClock
from simulators.devices import twin_of
from simulators.faults import TwinFault, TwinFaultKind, parse_faults
from simulators.optics import SIXTY_THREE
from simulators.twin import Twin

CFG = Path(__file__).parents[2] / "hardware_configs" / "simulated" / "micro-manager.cfg"
FOCUS_UM = 2_000.0


@pytest.fixture
def core() -> Iterator[ScanCore]:
    core = ScanCore()
    core.loadSystemConfiguration(CFG)
    core.setProperty("Hub", "Cells", 1)
    yield core
    core.unloadAllDevices()


@pytest.fixture
def twin(core: ScanCore) -> Twin:
    return twin_of(core)


@pytest.fixture
def manual(twin: Twin) -> ManualClock:
    clock = ManualClock()
    twin.clock = clock
    return clock


def test_the_shipped_configuration_has_the_labels_the_rig_names(core: ScanCore) -> None:
    assert set(core.getLoadedDevices()) == {"Hub", "XY", "Z", "Objective", "Lamp", "Camera", "Core"}
    assert core.getCameraDevice() == "Camera"
    assert core.getXYStageDevice() == "XY"
    assert core.getFocusDevice() == "Z"
    assert core.getShutterDevice() == "Lamp"
    assert core.getStateLabels("Objective") == ("10x/0.45", "63x/1.4 oil")
    assert (core.getImageWidth(), core.getImageHeight()) == (1360, 1024)
    assert not core.getAutoShutter()
    assert core.getPosition("Z") == 0.0


def test_pixel_size_follows_the_turret(core: ScanCore) -> None:
    assert core.getPixelSizeUm() == 0.645
    core.setStateLabel("Objective", "63x/1.4 oil")
    assert core.getPixelSizeUm() == 0.10238
    assert core.getCurrentPixelSizeConfig() == "63x oil"


def test_hub_properties_change_the_slide(core: ScanCore, twin: Twin) -> None:
    first = twin.world.cell_uids, [body.x_um for body in twin.world.bodies_in((28_000, 10_000, 28_500, 10_500))]
    core.setProperty("Hub", "Seed", "7")
    core.setProperty("Hub", "Cells", "3")
    core.setProperty("Hub", "AreaXMin_um", "40000")  # beyond the old maximum for a moment
    core.setProperty("Hub", "AreaXMax_um", "41500")
    assert twin.settings.seed == 7
    assert twin.settings.area_um == (40_000.0, 10_000.0, 41_500.0, 13_000.0)
    assert len(twin.world.cell_uids) == 3
    assert first[1] != [body.x_um for body in twin.world.bodies_in((28_000, 10_000, 28_500, 10_500))]
    with pytest.raises(ValueError, match="not within the allowed range"):
        core.setProperty("Hub", "AreaXMax_um", 90_000)


def test_stage_moves_take_their_time_and_can_be_read_under_way(core: ScanCore, manual: ManualClock) -> None:
    core.setXYPosition("XY", 38_000.0, 13_000.0)
    manual.sleep_s(10.0)
    core.setXYPosition("XY", 43_000.0, 13_620.0)
    assert core.deviceBusy("XY")
    manual.sleep_s(0.05)
    assert core.getXYPosition("XY")[0] == pytest.approx(40_500.0)
    manual.sleep_s(0.055)
    assert core.deviceBusy("XY")  # settling
    assert core.getXYPosition("XY") == pytest.approx((43_000.0, 13_620.0))
    manual.sleep_s(0.02)
    assert not core.deviceBusy("XY")


def test_stop_leaves_the_stage_where_it_is(core: ScanCore, manual: ManualClock) -> None:
    core.setXYPosition("XY", 48_000.0, 13_000.0)
    manual.sleep_s(0.05)
    core.stop("XY")
    here = core.getXYPosition("XY")
    manual.sleep_s(1.0)
    assert core.getXYPosition("XY") == here
    assert 38_000.0 < here[0] < 48_000.0
    assert not core.deviceBusy("XY")


@pytest.mark.parametrize(("x_um", "y_um"), [(-1.0, 0.0), (76_001.0, 0.0), (0.0, -0.5), (0.0, 26_000.5)])
def test_targets_beyond_the_travel_are_refused(core: ScanCore, x_um: float, y_um: float) -> None:
    before = core.getXYPosition("XY")
    with pytest.raises(ValueError, match="beyond the travel"):
        core.setXYPosition("XY", x_um, y_um)
    assert core.getXYPosition("XY") == before


def test_limits_of_one_twin_do_not_leak_into_another(core: ScanCore) -> None:
    other = ScanCore()
    other.loadSystemConfiguration(CFG)
    device = core.python_device("Lamp")
    device.set_property_limits("Intensity", (0.0, 0.2))
    assert core.getPropertyUpperLimit("Lamp", "Intensity") == 0.2
    assert other.getPropertyUpperLimit("Lamp", "Intensity") == 1.0
    assert twin_of(other) is not twin_of(core)
    other.setXYPosition("XY", 1.0, 1.0)
    assert core.getXYPosition("XY") != (1.0, 1.0)
    other.unloadAllDevices()


def test_a_listener_may_read_the_position(core: ScanCore) -> None:
    seen: list[tuple[float, float]] = []
    core.events.XYStagePositionChanged.connect(lambda *_: seen.append(core.getXYPosition("XY")))
    core.setXYPosition("XY", 30_000.0, 12_000.0)
    assert core.getXYPosition("XY") == (30_000.0, 12_000.0)


def look_at_cell(core: ScanCore, twin: Twin) -> None:
    cell = twin.truth()[0]
    dx, dy = twin.objective.parcentric_um
    core.setXYPosition("XY", cell.slide_x_um - dx, cell.slide_y_um - dy)
    core.setPosition("Z", twin.sharp_um(twin.objective))


def snap(core: ScanCore) -> np.ndarray:
    core.snapImage()
    return core.getImage()


def test_camera_sees_the_cell_only_in_light_and_in_focus(core: ScanCore, twin: Twin) -> None:
    look_at_cell(core, twin)
    assert snap(core).max() < 100
    core.setShutterOpen(True)
    sharp = snap(core)
    assert sharp.dtype == np.uint16
    assert 3000 < np.median(sharp) < 3400
    core.setPosition("Z", core.getPosition("Z") - 40.0)
    blurred = snap(core)
    assert blurred[450:570, 620:740].std() < 0.6 * sharp[450:570, 620:740].std()
    core.setProperty("Lamp", "Intensity", "0.25")
    assert np.median(snap(core)) == pytest.approx(np.median(sharp) / 2, rel=0.05)


def test_oil_objective_looks_and_focuses_elsewhere(core: ScanCore, twin: Twin) -> None:
    look_at_cell(core, twin)
    ten_um = twin.sharp_um(twin.objective)
    core.setPosition("Z", 0.0)
    core.setStateLabel("Objective", "63x/1.4 oil")
    assert twin.sharp_um(twin.objective) - ten_um == pytest.approx(SIXTY_THREE.parfocal_um, abs=0.2)
    core.setShutterOpen(True)
    core.setExposure(32.0)
    look_at_cell(core, twin)
    frame = snap(core)
    assert (frame < 0.7 * np.median(frame)).mean() > 0.02
    assert twin.collisions == ()


def test_read_out_goes_on_behind_the_exposure(core: ScanCore, twin: Twin) -> None:
    core.setProperty("Hub", "Clock", "scaled:10")
    core.setShutterOpen(True)
    snap(core)
    core.snapImage()
    assert twin.exposures == 2
    frame = core.getImage()  # waits for the read-out
    assert not core.deviceBusy("Camera")
    assert frame.shape == (1024, 1360)


def test_exposing_under_way_is_written_down_and_smears(core: ScanCore, twin: Twin, manual: ManualClock) -> None:
    core.setShutterOpen(True)
    core.setXYPosition("XY", 45_000.0, 13_000.0)
    manual.sleep_s(0.02)
    core.snapImage()
    assert [event.kind for event in twin.events] == ["moving_exposure"]


def test_turning_the_turret_near_the_slide_is_a_collision(core: ScanCore, twin: Twin) -> None:
    core.setPosition("Z", FOCUS_UM)
    core.setStateLabel("Objective", "63x/1.4 oil")
    assert [event.kind for event in twin.collisions] == ["collision"]
    assert "turret turned at z 2000" in twin.collisions[0].detail
    core.setStateLabel("Objective", "63x/1.4 oil")
    assert len(twin.collisions) == 1


def test_driving_the_lens_into_the_glass_is_a_collision(core: ScanCore, twin: Twin) -> None:
    core.setStateLabel("Objective", "63x/1.4 oil")
    core.setPosition("Z", FOCUS_UM + 100.0)
    assert twin.collisions == ()
    core.setPosition("Z", FOCUS_UM + 300.0)
    assert len(twin.collisions) == 1


def test_dragging_the_oil_lens_over_the_slide_is_a_collision(core: ScanCore, twin: Twin) -> None:
    core.setStateLabel("Objective", "63x/1.4 oil")
    core.setPosition("Z", FOCUS_UM)
    x_um, y_um = core.getXYPosition("XY")
    core.setXYPosition("XY", x_um + 300.0, y_um)
    assert twin.collisions == ()
    core.setXYPosition("XY", x_um + 9_000.0, y_um)
    assert len(twin.collisions) == 1


def test_a_refused_move_raises_and_stays(core: ScanCore, twin: Twin) -> None:
    twin.faults.add(TwinFault(TwinFaultKind.MOVE_FAILS, "XY", nth=2))
    core.setXYPosition("XY", 30_000.0, 12_000.0)
    with pytest.raises(OSError, match="not executed"):
        core.setXYPosition("XY", 31_000.0, 12_000.0)
    assert core.getXYPosition("XY") == (30_000.0, 12_000.0)
    core.setXYPosition("XY", 31_000.0, 12_000.0)
    assert core.getXYPosition("XY") == (31_000.0, 12_000.0)


def test_a_short_move_ends_idle_in_the_wrong_place(core: ScanCore, twin: Twin) -> None:
    twin.faults.add(TwinFault(TwinFaultKind.MOVE_SHORT, "XY"))
    x_um, y_um = core.getXYPosition("XY")
    core.setXYPosition("XY", x_um + 1_000.0, y_um)
    assert not core.deviceBusy("XY")
    assert core.getXYPosition("XY") == pytest.approx((x_um + 700.0, y_um))


def test_a_stage_that_never_rests_runs_into_the_deadline(core: ScanCore, twin: Twin) -> None:
    twin.faults.add(TwinFault(TwinFaultKind.NEVER_IDLE, "XY"))
    core.setXYPosition("XY", 30_000.0, 12_000.0)
    with pytest.raises(MoveTimeoutError, match="XY: still busy"):
        core.wait_until_idle(["XY", "Z"], 0.01)
    core.stop("XY")
    assert not core.deviceBusy("XY")


def test_camera_and_lamp_faults(core: ScanCore, twin: Twin) -> None:
    core.setShutterOpen(True)
    core.setProperty("Hub", "Faults", "camera_raises@Camera:2; black_frame@Camera:3; lamp_dead@Lamp:4x*")
    assert np.median(snap(core)) > 3000
    with pytest.raises(OSError, match="frame lost"):
        core.snapImage()
    assert snap(core).max() < 100
    assert snap(core).max() < 100
    assert core.getShutterOpen()  # as far as anybody can tell
    assert [event.kind for event in twin.events] == ["fault"] * 3


def test_faults_with_a_probability_are_seeded() -> None:
    def run() -> list[bool]:
        twin = Twin()
        for fault in parse_faults("move_short@XYx*~0.3"):
            twin.faults.add(fault)
        return [twin.faults.strikes(TwinFaultKind.MOVE_SHORT, "XY") for _ in range(50)]

    assert run() == run()
    assert 5 < sum(run()) < 28


@pytest.mark.parametrize("text", ["nonsense", "explode@XY", "move_fails@XY:0", "move_fails@XY:1~2"])
def test_unreadable_faults_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="fault"):
        parse_faults(text)


def test_a_core_without_a_twin_says_so() -> None:
    with pytest.raises(DeviceNotReadyError, match="no digital twin"):
        twin_of(ScanCore())
