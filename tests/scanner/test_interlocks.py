"""Every rule of the table, with a situation it forbids and the nearest one it allows."""

from dataclasses import replace
from pathlib import Path

import pytest

from scanner.errors import InterlockError
from scanner.interlocks import INTERLOCKS, Action, Situation, broken_rule
from scanner.rig import load_rig

RIG, _ = load_rig(Path(__file__).parents[2] / "hardware_configs" / "simulated")
DRY, OIL = RIG.objective("10x"), RIG.objective("63x")
TURN_DRY = Situation(OIL, target=DRY)
TURN_OIL = Situation(DRY, target=OIL, oil_allowed=True)
FOCUS = Situation(DRY)
MOVE = Situation(DRY, focus_is_down=False)
HOME = Situation(DRY, homing_allowed=True)
CHANGE = Situation(DRY, at_load_position=True)
APPLY = Situation(OIL, oil_allowed=True)

CASES = {
    "nothing_moves_after_a_loader_failure": (Action.MOVE, MOVE, {"loader_failed": True}),
    "autofocus_off_before_anything_else_acts": (Action.TURN_TURRET, TURN_OIL, {"autofocus_is_on": True}),
    "no_dry_travel_into_oil": (Action.MOVE, MOVE, {"path_oiled": True}),
    "homing_needs_permission": (Action.HOME, HOME, {"homing_allowed": False}),
    "focus_down_before_homing": (Action.HOME, HOME, {"focus_is_down": False}),
    "focus_down_before_oil": (Action.APPLY_OIL, APPLY, {"focus_is_down": False}),
    "focus_down_before_turret": (Action.TURN_TURRET, TURN_OIL, {"focus_is_down": False}),
    "oil_needs_permission": (Action.TURN_TURRET, TURN_OIL, {"oil_allowed": False}),
    "no_dry_lens_over_oil": (Action.TURN_TURRET, TURN_DRY, {"slide_oiled": True}),
    "no_dry_focus_in_oil": (Action.FOCUS, FOCUS, {"slide_oiled": True}),
    "focus_down_before_slide_change": (Action.CHANGE_SLIDE, CHANGE, {"focus_is_down": False}),
    "load_position_before_slide_change": (Action.CHANGE_SLIDE, CHANGE, {"at_load_position": False}),
    "oil_once_a_spot": (Action.APPLY_OIL, APPLY, {"spot_oiled": True}),
    "oil_only_when_allowed": (Action.APPLY_OIL, APPLY, {"oil_allowed": False}),
}


def test_every_rule_has_its_case():
    assert set(CASES) == {rule.name for rule in INTERLOCKS}
    assert len(CASES) == len(INTERLOCKS)


@pytest.mark.parametrize("name", CASES)
def test_a_rule_forbids_its_situation_and_nothing_less(name):
    action, allowed, change = CASES[name]
    assert broken_rule(action, allowed) is None
    rule = broken_rule(action, replace(allowed, **change))
    assert rule is not None
    assert rule.name == name
    assert rule.reason


def test_a_dry_objective_over_an_oiled_slide_waits_until_it_is_declared_clean(bench):
    microscope = bench.microscope
    microscope.select_objective("63x", oil_allowed=True)
    microscope.focus_to(2000.0)
    assert microscope.slides.is_oiled()
    with pytest.raises(InterlockError, match="declare the slide clean"):
        microscope.select_objective("10x")
    assert microscope.objective.name == "63x"
    microscope.slides.declare_clean()
    microscope.select_objective("10x")
    microscope.focus_to(2000.0)
    assert bench.twin.collisions == ()


def test_an_oil_objective_that_never_came_near_leaves_no_oil(bench):
    bench.microscope.select_objective("63x", oil_allowed=True)
    assert not bench.microscope.slides.is_oiled()
    bench.microscope.select_objective("10x")
