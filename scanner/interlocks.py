"""What the state of the instrument forbids, as a table: one rule a row, each with its reason."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from scanner.errors import InterlockError
from scanner.rig import Objective


class Action(StrEnum):
    """What is about to happen."""

    MOVE = "move"
    HOME = "home"
    TURN_TURRET = "turn_turret"
    FOCUS = "focus"
    CHANGE_SLIDE = "change_slide"
    APPLY_OIL = "apply_oil"


@dataclass(frozen=True, slots=True)
class Situation:
    """What the rules look at.

    Attributes
    ----------
    objective
        In the light path.
    target
        Objective that the turret would turn to; None for other actions.
    focus_is_down
        The drive rests where nothing can touch.
    slide_oiled
        Oil has been on this slide, and nobody has declared it clean.
    spot_oiled
        Oil has been given at this spot already.
    oil_allowed
        Whoever asks may use oil on this slide.
    at_load_position
        The stage stands where slides are changed.
    path_oiled
        A move would cross a slide that carries oil.
    homing_allowed
        The stage may be driven to its limit switches.
    loader_failed
        The loader failed halfway: a slide or its gripper may be in the way.
    autofocus_is_on
        The hardware autofocus may drive the focus by itself.
    """

    objective: Objective
    target: Objective | None = None
    focus_is_down: bool = True
    slide_oiled: bool = False
    spot_oiled: bool = False
    oil_allowed: bool = False
    at_load_position: bool = False
    path_oiled: bool = False
    homing_allowed: bool = False
    loader_failed: bool = False
    autofocus_is_on: bool = False


@dataclass(frozen=True, slots=True)
class InterlockRule:
    """One row: forbids an action in some situations.

    Attributes
    ----------
    name
        Short and stable; named in errors and logs.
    actions
        What it concerns.
    forbids
        Whether it forbids these actions in a situation.
    reason
        One line for the user.
    """

    name: str
    actions: frozenset[Action]
    forbids: Callable[[Situation], bool]
    reason: str


def _into_oil_unasked(s: Situation) -> bool:
    return s.target is not None and s.target.immersion == "oil" and not s.oil_allowed


def _dry_over_oil(s: Situation) -> bool:
    return s.target is not None and s.target.immersion != "oil" and s.slide_oiled


INTERLOCKS: tuple[InterlockRule, ...] = (
    InterlockRule(
        "nothing_moves_after_a_loader_failure",
        frozenset({Action.MOVE, Action.HOME, Action.TURN_TURRET, Action.FOCUS, Action.CHANGE_SLIDE}),
        lambda s: s.loader_failed,
        "the loader failed and a slide may be in the way: clear it by hand, then confirm that",
    ),
    InterlockRule(
        "autofocus_off_before_anything_else_acts",
        frozenset({Action.HOME, Action.TURN_TURRET, Action.CHANGE_SLIDE, Action.APPLY_OIL}),
        lambda s: s.autofocus_is_on,
        "the hardware autofocus would drive the objective towards the glass: it has to be off",
    ),
    InterlockRule(
        "no_dry_travel_into_oil",
        frozenset({Action.MOVE}),
        lambda s: s.path_oiled and s.objective.immersion != "oil" and not s.focus_is_down,
        "a dry objective would be moved over an oiled slide: lower the focus first",
    ),
    InterlockRule(
        "homing_needs_permission",
        frozenset({Action.HOME}),
        lambda s: not s.homing_allowed,
        "homing drives the stage to its limit switches: the rig does not allow it",
    ),
    InterlockRule(
        "focus_down_before_homing",
        frozenset({Action.HOME}),
        lambda s: not s.focus_is_down,
        "the focus has to be down before the stage is homed",
    ),
    InterlockRule(
        "focus_down_before_turret",
        frozenset({Action.TURN_TURRET}),
        lambda s: not s.focus_is_down,
        "the focus has to be down before the turret turns: an objective could scrape the slide",
    ),
    InterlockRule(
        "oil_needs_permission",
        frozenset({Action.TURN_TURRET}),
        _into_oil_unasked,
        "oil objective without permission for oil",
    ),
    InterlockRule(
        "no_dry_lens_over_oil",
        frozenset({Action.TURN_TURRET}),
        _dry_over_oil,
        "a dry objective over an oiled slide: declare the slide clean first",
    ),
    InterlockRule(
        "no_dry_focus_in_oil",
        frozenset({Action.FOCUS}),
        lambda s: s.slide_oiled and s.objective.immersion != "oil",
        "a dry objective would be driven into oil: declare the slide clean first",
    ),
    InterlockRule(
        "focus_down_before_slide_change",
        frozenset({Action.CHANGE_SLIDE}),
        lambda s: not s.focus_is_down,
        "the focus has to be down before a slide is changed",
    ),
    InterlockRule(
        "load_position_before_slide_change",
        frozenset({Action.CHANGE_SLIDE}),
        lambda s: not s.at_load_position,
        "the stage has to stand at the load position before a slide is changed",
    ),
    InterlockRule(
        "focus_down_before_oil",
        frozenset({Action.APPLY_OIL}),
        lambda s: not s.focus_is_down,
        "the focus has to be down before oil is given",
    ),
    InterlockRule(
        "oil_once_a_spot",
        frozenset({Action.APPLY_OIL}),
        lambda s: s.spot_oiled,
        "this spot has oil already",
    ),
    InterlockRule(
        "oil_only_when_allowed",
        frozenset({Action.APPLY_OIL}),
        lambda s: not s.oil_allowed,
        "oil is not allowed on this slide",
    ),
)


def broken_rule(
    action: Action, situation: Situation, rules: tuple[InterlockRule, ...] = INTERLOCKS
) -> InterlockRule | None:
    """First rule that forbids the action; None where it may go ahead.

    Parameters
    ----------
    action
        What is about to happen.
    situation
        State of the instrument.
    rules
        The table.
    """
    for rule in rules:
        if action in rule.actions and rule.forbids(situation):
            return rule
    return None


def check_interlocks(action: Action, situation: Situation, *, device: str) -> None:
    """Refuse an action that a rule forbids.

    Parameters
    ----------
    action
        What is about to happen.
    situation
        State of the instrument.
    device
        Label of the device that would act.

    Raises
    ------
    InterlockError
        With the rule's reason and name.
    """
    rule = broken_rule(action, situation)
    if rule is None:
        return
    wanted = situation.target.name if situation.target is not None else None
    raise InterlockError(f"{rule.reason} ({rule.name})", device=device, wanted=wanted)
