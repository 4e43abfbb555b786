"""The laboratory's tests: the script against a simulated stage, microscope and slide."""

import math

import grid_scan
import pytest
from grid_scan import Area, CameraError, StageError, Tango, scan

from simulators.faults import TwinFault, TwinFaultKind
from simulators.serial.faults import SerialFault, SerialFaultKind

# Four fields, over the part of the slide where cells are planted.
AREA = Area(30_025.0, 11_025.0, 31_575.0, 12_175.0)
FOCUS_UM = 2_000.0


@pytest.fixture
def stage(simulated_tango):
    with Tango(simulated_tango.address) as stage:
        yield stage


@pytest.fixture
def focus_um(simulated_twin):
    """Where this slide is sharp."""
    return simulated_twin.anatomy.focus_um + simulated_twin.world.surface_um(30_800.0, 11_600.0)


def assert_safe(twin):
    assert not twin.lamp_open
    assert twin.focus_um() == pytest.approx(grid_scan.FOCUS_DOWN_UM, abs=1.0)
    assert twin.collisions == ()


def test_fields_cover_the_area():
    fields = list(Area(30_000.0, 11_000.0, 31_600.0, 12_200.0).fields(800.0, 600.0))
    assert fields == [(30_400.0, 11_300.0), (31_200.0, 11_300.0), (31_200.0, 11_900.0), (30_400.0, 11_900.0)]


def test_every_metaphase_is_found_once_and_in_its_place(
    stage, simulated_core, simulated_twin, slide_truth, focus_um
):
    found = scan(stage, simulated_core, AREA, focus_um)
    assert len(found) == len(slide_truth) == 3
    for cell in slide_truth:
        assert min(math.dist(place, (cell.slide_x_um, cell.slide_y_um)) for place in found) < 15.0
    assert_safe(simulated_twin)


@pytest.mark.karyoscan_slide(cells=0)
def test_nuclei_and_dust_are_no_metaphases(stage, simulated_core, focus_um):
    assert scan(stage, simulated_core, AREA, focus_um) == []


@pytest.mark.karyoscan_slide(cells=0)
def test_the_stage_goes_where_it_was_sent(stage, simulated_twin):
    assert stage.move_to(12_345.6, 7_890.1) == pytest.approx((12_345.6, 7_890.1), abs=0.1)
    assert simulated_twin.stage_um() == pytest.approx((12_345.6, 7_890.1), abs=0.1)


@pytest.mark.karyoscan_slide(cells=0)
def test_a_target_beyond_the_limits_is_refused(stage, simulated_twin):
    before = simulated_twin.stage_um()
    with pytest.raises(StageError, match="error 32"):
        stage.move_to(-100.0, 0.0)
    assert simulated_twin.stage_um() == before


@pytest.mark.karyoscan_slide(cells=0)
@pytest.mark.parametrize(
    ("kind", "command"),
    [
        (SerialFaultKind.MUTE, "?pos"),
        (SerialFaultKind.GARBLED, "?pos"),
        (SerialFaultKind.WRONG_ECHO, "?statusaxis"),
        (SerialFaultKind.LIMIT_SWITCH, "!moa"),
        (SerialFaultKind.EMERGENCY_STOP, "!moa"),
        (SerialFaultKind.JOYSTICK_ON, "!moa"),
    ],
)
def test_trouble_with_the_stage_stops_the_scan_safely(
    kind, command, stage, simulated_tango, simulated_core, simulated_twin
):
    simulated_tango.controller.faults.add(SerialFault(kind, command, nth=2))
    with pytest.raises(StageError):
        scan(stage, simulated_core, AREA, FOCUS_UM)
    # The first field was photographed, the second one never.
    assert simulated_twin.exposures == 1
    assert_safe(simulated_twin)


@pytest.mark.karyoscan_slide(cells=0)
@pytest.mark.karyoscan_instrument(faults="move_short@XY:2")
def test_no_picture_is_taken_where_the_stage_fell_short(stage, simulated_core, simulated_twin):
    with pytest.raises(StageError, match="sent to"):
        scan(stage, simulated_core, AREA, FOCUS_UM)
    assert simulated_twin.exposures == 1
    assert_safe(simulated_twin)


@pytest.mark.karyoscan_slide(cells=0)
def test_a_dead_lamp_is_noticed(stage, simulated_core, simulated_faults, simulated_twin):
    simulated_faults.add(TwinFault(TwinFaultKind.LAMP_DEAD, "Lamp", nth=3, times=None))
    with pytest.raises(CameraError, match="dark"):
        scan(stage, simulated_core, AREA, FOCUS_UM)
    assert simulated_twin.exposures == 3
    assert_safe(simulated_twin)


@pytest.mark.karyoscan_slide(cells=0)
def test_a_script_for_another_controller_is_refused(simulated_proscan):
    with pytest.raises(StageError):
        Tango(simulated_proscan.address)
