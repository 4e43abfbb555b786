"""Somebody looks on while the simulated microscope works, and is in nobody's way."""

import threading

import pytest
from look_on import LookOn

from scanner.coordinates import StagePoint


@pytest.fixture
def lines():
    return []


def test_light_pictures_and_the_turret_are_seen_in_order(simulated_core, simulated_microscope, lines):
    with LookOn(simulated_core, lines.append):
        simulated_microscope.move_to(StagePoint(30_800.0, 11_600.0))
        with simulated_microscope.lit():
            simulated_microscope.snap(8.0)
        simulated_microscope.select_objective("63x", oil_allowed=True)
    said = [line.split("s  ", 1)[1] for line in lines]
    light_on, picture, light_off, turret = (
        next(number for number, line in enumerate(said) if line.startswith(beginning))
        for beginning in (
            "propertyChanged  Lamp  State  1",
            "imageSnapped  Camera",
            "propertyChanged  Lamp  State  0",
            "propertyChanged  Objective  Label  63x/1.4 oil",
        )
    )
    assert light_on < picture < light_off < turret


def test_who_is_slow_to_look_doesnt_hold_up_the_microscope(simulated_core, simulated_microscope, lines):
    may_go_on = threading.Event()

    def show(line):
        may_go_on.wait(60)
        lines.append(line)

    with LookOn(simulated_core, show):
        with simulated_microscope.lit():
            pass
        assert lines == []
        may_go_on.set()
    assert len(lines) >= 2


def test_nobody_listens_any_more_at_the_end(simulated_core, simulated_microscope, lines):
    with LookOn(simulated_core, lines.append):
        pass
    with simulated_microscope.lit():
        pass
    assert lines == []
