from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulators.clock import InstantClock, ManualClock, RealClock, ScaledClock, advances_itself, parse_clock
from simulators.motion import Axis, Drive

DRIVE = Drive(speed_um_s=100_000.0, acceleration_um_s2=2_000_000.0, settle_s=0.02)


@pytest.mark.parametrize(
    ("distance_um", "seconds"),
    [(620.0, 0.0352), (5_000.0, 0.1), (50_000.0, 0.55), (-620.0, 0.0352), (0.0, 0.0)],
)
def test_trapezoid_takes_the_time_of_the_formula(distance_um: float, seconds: float) -> None:
    assert DRIVE.travel_s(distance_um) == pytest.approx(seconds, rel=0.01)


@given(
    distance_um=st.floats(-76_000.0, 76_000.0),
    parts=st.lists(st.floats(0.0, 1.2), min_size=2, max_size=8),
)
def test_a_move_never_turns_back_and_arrives(distance_um: float, parts: list[float]) -> None:
    total_s = DRIVE.travel_s(distance_um)
    ways = [abs(DRIVE.travelled_um(distance_um, part * total_s)) for part in sorted(parts)]
    assert all(sooner <= later + 1e-6 for sooner, later in itertools.pairwise(ways))
    assert DRIVE.travelled_um(distance_um, total_s) == distance_um
    assert abs(DRIVE.travelled_um(distance_um, total_s / 2.0)) == pytest.approx(abs(distance_um) / 2.0, abs=1e-3)


def test_axis_can_be_read_under_way_halted_and_sent_anew() -> None:
    axis = Axis(DRIVE, 1_000.0)
    assert not axis.is_moving(0.0)
    duration_s = axis.send(6_000.0, now_s=0.0)
    assert duration_s == pytest.approx(0.12)
    assert axis.position_um(0.05) == pytest.approx(3_500.0)
    assert axis.is_moving(0.11)  # arrived, settling
    assert axis.position_um(0.11) == 6_000.0
    assert not axis.is_moving(0.1201)
    axis.send(1_000.0, now_s=1.0)
    axis.halt(1.05)
    assert axis.position_um(9.0) == pytest.approx(3_500.0)
    assert not axis.is_moving(1.06)


def test_clocks() -> None:
    instant = InstantClock()
    instant.sleep_s(100.0)
    assert instant.now_s() == 100.0
    assert not advances_itself(instant)
    assert advances_itself(ManualClock())
    scaled = parse_clock("scaled:1000")
    assert isinstance(scaled, ScaledClock)
    before_s = scaled.now_s()
    scaled.sleep_s(1.0)
    assert scaled.now_s() - before_s >= 1.0
    assert isinstance(parse_clock("real"), RealClock)
    assert isinstance(parse_clock("instant"), InstantClock)


@pytest.mark.parametrize("text", ["", "fast", "scaled:", "scaled:0", "scaled:-3", "scaled:x"])
def test_unknown_clock_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="clock"):
        parse_clock(text)
