"""What every XY stage and every focus drive has to keep."""

import math

import pytest

from scanner.errors import DeviceError, InterlockError, LimitError

pytestmark = pytest.mark.conformance


def near(position_um, bench):
    return pytest.approx(position_um, abs=0.51 * bench.step_um + 1e-6)


def a_place(bench):
    return bench.x.min_um + 1234.5678, bench.y.min_um + 987.6543


def test_a_stage_comes_to_where_it_was_sent(any_bench):
    any_bench.core.setXYPosition("XY", *a_place(any_bench))
    any_bench.settle("XY")
    x_um, y_um = any_bench.core.getXYPosition("XY")
    assert x_um == near(a_place(any_bench)[0], any_bench)
    assert y_um == near(a_place(any_bench)[1], any_bench)


def test_a_focus_comes_to_where_it_was_sent(any_bench):
    target_um = any_bench.z.min_um + 123.4567
    any_bench.core.setPosition("Z", target_um)
    any_bench.settle("Z")
    assert any_bench.core.getPosition("Z") == near(target_um, any_bench)


@pytest.mark.parametrize("x_um", [0.1, 1023.9995, 10_485.7123, 20_000.0004])
def test_a_place_is_found_again_from_elsewhere(any_bench, x_um):
    for _ in range(2):
        for target_um in (x_um + 500.0, x_um):
            any_bench.core.setXYPosition("XY", target_um, a_place(any_bench)[1])
            any_bench.settle("XY")
        assert any_bench.core.getXYPosition("XY")[0] == near(x_um, any_bench)


def test_a_relative_move_adds_up(any_bench):
    any_bench.core.setXYPosition("XY", *a_place(any_bench))
    any_bench.settle("XY")
    any_bench.core.setRelativeXYPosition("XY", 10.5, -20.25)
    any_bench.settle("XY")
    x_um, y_um = any_bench.core.getXYPosition("XY")
    assert x_um == pytest.approx(a_place(any_bench)[0] + 10.5, abs=2 * any_bench.step_um)
    assert y_um == pytest.approx(a_place(any_bench)[1] - 20.25, abs=2 * any_bench.step_um)


def test_a_stage_is_busy_from_the_start_of_a_move_to_its_end(any_bench):
    start = any_bench.core.getXYPosition("XY")
    assert not any_bench.core.deviceBusy("XY")
    any_bench.core.setXYPosition("XY", start[0] + 5000.0 if start[0] < 50_000 else start[0] - 5000.0, start[1])
    assert any_bench.core.deviceBusy("XY")
    any_bench.settle("XY")
    assert not any_bench.core.deviceBusy("XY")


def test_the_focus_is_not_busy_because_the_stage_moves(any_bench):
    any_bench.core.setXYPosition("XY", *a_place(any_bench))
    assert not any_bench.core.deviceBusy("Z")


def test_a_position_is_read_under_way_too(any_bench):
    if any_bench.pass_time is None:
        pytest.skip("its time is the wall's")
    any_bench.core.setXYPosition("XY", *a_place(any_bench))
    any_bench.settle("XY")
    start_um, y_um = any_bench.core.getXYPosition("XY")
    any_bench.core.setXYPosition("XY", start_um + 20_000.0, y_um)
    any_bench.pass_time(0.15)
    assert start_um < any_bench.core.getXYPosition("XY")[0] < start_um + 20_000.0


def test_a_stop_ends_a_move_where_it_is(any_bench):
    any_bench.core.setXYPosition("XY", any_bench.x.min_um + 5_000.0, any_bench.y.min_um + 5_000.0)
    any_bench.settle("XY")
    start_um = any_bench.x.min_um + 5_000.0
    any_bench.core.setXYPosition("XY", start_um + 40_000.0, any_bench.y.min_um + 5_000.0)
    if any_bench.pass_time is not None:
        any_bench.pass_time(0.15)
    any_bench.core.stop("XY")
    any_bench.settle("XY")
    x_um = any_bench.core.getXYPosition("XY")[0]
    assert start_um - any_bench.step_um <= x_um < start_um + 39_000.0
    # And it goes on from there.
    any_bench.core.setXYPosition("XY", start_um, any_bench.y.min_um + 5_000.0)
    any_bench.settle("XY")
    assert any_bench.core.getXYPosition("XY")[0] == near(start_um, any_bench)


def test_a_stop_of_the_focus_ends_its_move(any_bench):
    if "Z" not in any_bench.takes_time:
        pytest.skip("its focus is there at once")
    any_bench.core.setPosition("Z", any_bench.z.min_um)
    any_bench.settle("Z")
    any_bench.core.setPosition("Z", any_bench.z.max_um)
    any_bench.pass_time(0.1)
    any_bench.core.stop("Z")
    any_bench.settle("Z")
    assert any_bench.core.getPosition("Z") < any_bench.z.max_um - 10.0


def outside(bench):
    for axis, span in (("x", bench.x), ("y", bench.y)):
        for value in (span.min_um - 0.2, span.max_um + 0.2, 1e9, -1e9, math.nan, math.inf):
            target = {"x": bench.x.min_um + 1.0, "y": bench.y.min_um + 1.0, axis: value}
            yield axis, (target["x"], target["y"])


def test_a_stage_refuses_what_lies_outside_and_stays(any_bench):
    if "XY" not in any_bench.refuses:
        pytest.skip("the device knows no limits: the rig's are all there is")
    before = any_bench.core.getXYPosition("XY")
    for _axis, target in outside(any_bench):
        with pytest.raises(Exception, match="XY"):
            any_bench.core.setXYPosition("XY", *target)
        assert not any_bench.core.deviceBusy("XY")
    assert any_bench.core.getXYPosition("XY") == before


def test_a_focus_refuses_what_lies_outside_and_stays(any_bench):
    before = any_bench.core.getPosition("Z")
    for target_um in (any_bench.z.min_um - 0.2, any_bench.z.max_um + 0.2, 1e9):
        with pytest.raises(Exception, match="Z"):
            any_bench.core.setPosition("Z", target_um)
    assert any_bench.core.getPosition("Z") == before


def test_the_ends_of_travel_themselves_are_allowed(any_bench):
    if any_bench.name == "demo":
        pytest.skip("76 mm take a while at the wall's time")
    for x_um, y_um in ((any_bench.x.min_um, any_bench.y.min_um), (any_bench.x.max_um, any_bench.y.max_um)):
        any_bench.core.setXYPosition("XY", x_um, y_um)
        any_bench.settle("XY")
        assert any_bench.core.getXYPosition("XY") == (near(x_um, any_bench), near(y_um, any_bench))


@pytest.mark.parametrize("label", ["XY", "Z"])
def test_homing_ends_and_the_device_moves_on_from_there(any_bench, label):
    if label not in any_bench.homes:
        with pytest.raises(Exception, match=r"Z|homed"):
            any_bench.core.home(label)
        return
    any_bench.core.home(label)
    any_bench.settle(label)
    if label == "XY":
        any_bench.core.setXYPosition("XY", *a_place(any_bench))
        any_bench.settle("XY")
        assert any_bench.core.getXYPosition("XY")[0] == near(a_place(any_bench)[0], any_bench)
    else:
        any_bench.core.setPosition("Z", any_bench.z.min_um + 10.0)
        any_bench.settle("Z")
        assert any_bench.core.getPosition("Z") == near(any_bench.z.min_um + 10.0, any_bench)


# -- our own drivers: errors are typed -------------------------------------------------------------------------


def test_a_refused_move_names_axis_wanted_allowed_and_unit(wired):
    for axis, target in outside(wired):
        with pytest.raises(LimitError) as caught:
            wired.core.setXYPosition("XY", *target)
        error = caught.value
        assert (error.device, error.axis, error.unit) == ("XY", axis, "um")
        assert str(wired.x if axis == "x" else wired.y) in error.allowed
    with pytest.raises(LimitError) as caught:
        wired.core.setPosition("Z", -1.0)
    assert (caught.value.device, caught.value.axis, caught.value.wanted) == ("Z", "z", -1.0)


def test_a_move_during_a_move_is_refused(wired):
    wired.core.setXYPosition("XY", 100.0, 100.0)
    with pytest.raises(InterlockError, match="under way"):
        wired.core.setXYPosition("XY", 200.0, 200.0)
    with pytest.raises(InterlockError, match="under way"):
        wired.core.home("XY")
    wired.core.setPosition("Z", 100.0)
    wired.settle("XY")
    wired.settle("Z")
    assert wired.core.getPosition("Z") == near(100.0, wired)


@pytest.mark.parametrize("set_origin", ["setOriginX", "setOriginY", "setOriginXY"])
def test_the_origin_is_fixed(wired, set_origin):
    with pytest.raises(InterlockError, match="origin is fixed"):
        getattr(wired.core, set_origin)("XY")


def test_the_joystick_is_locked_out_while_driven_and_given_back(open_serial_bench):
    for name in ("tango", "prior"):
        with open_serial_bench(name) as bench:
            assert not bench.controller.joystick_on
            bench.core.unloadAllDevices()
            assert bench.controller.joystick_on


def test_what_moves_at_the_end_is_halted(wired):
    wired.core.setXYPosition("XY", 100.0, 100.0)
    wired.pass_time(0.1)
    wired.core.unloadAllDevices()
    assert not wired.mechanics.is_moving("x")


def test_homing_the_focus_never_drives_it_up(open_serial_bench):
    with open_serial_bench("tango") as bench:
        start_um = bench.mechanics.position_um("z")
        bench.core.home("Z")
        bench.settle("Z")
        assert bench.mechanics.highest_um["z"] <= start_um
        assert not [command for command in bench.controller.commands if command.startswith("!rm")]


def test_a_homing_that_is_stopped_leaves_no_reference(wired):
    wired.core.home("XY")
    wired.pass_time(0.2)
    wired.core.stop("XY")
    wired.settle("XY")
    with pytest.raises(DeviceError, match="home it"):
        wired.core.setXYPosition("XY", 100.0, 100.0)
    wired.core.home("XY")
    wired.settle("XY")
    wired.core.setXYPosition("XY", 100.0, 100.0)
