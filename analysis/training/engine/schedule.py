"""Learning-rate schedules, as factors of a constant rate.

Warm-up with a constant rate and a linear decay branched off it is the warm-up-stable-decay schedule of Hu et al.
(2024); the cosine is that of Loshchilov and Hutter (2017).
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Final


@dataclass(frozen=True, slots=True)
class ConstantSchedule:
    """Warm-up, then constant for as long as anybody likes.

    Attributes
    ----------
    warm_up_steps
        Over which the rate rises to its full value.
    """

    warm_up_steps: int

    def factor(self, step: int, spent_s: float) -> float:
        """Factor of the rate.

        Parameters
        ----------
        step
            Steps done before this one.
        spent_s
            Not used.
        """
        del spent_s
        return warm_up(step, self.warm_up_steps)


@dataclass(frozen=True, slots=True)
class LinearDecaySchedule:
    """From a fraction of the constant rate down to nothing.

    Attributes
    ----------
    warm_up_steps
        Of the constant schedule it branches off.
    first_step
        Where it begins.
    steps
        How long it takes.
    start_factor
        Fraction of the constant rate that it begins with.
    """

    warm_up_steps: int
    first_step: int
    steps: int
    start_factor: float = 1.0

    def factor(self, step: int, spent_s: float) -> float:
        """Factor of the rate.

        Parameters
        ----------
        step
            Steps done before this one.
        spent_s
            Not used.
        """
        del spent_s
        rest = 1.0 - (step - self.first_step) / self.steps
        return warm_up(step, self.warm_up_steps) * self.start_factor * rest


class CosineFloor(StrEnum):
    """How a cosine is kept above its least factor."""

    RAISED = "raised"
    """The whole curve is compressed into what lies between the floor and 1."""
    CLAMPED = "clamped"
    """The curve is cut off at the floor."""


@dataclass(frozen=True, slots=True)
class CosineSchedule:
    """Warm-up, then a half cosine over steps, over time, or over whichever is nearer to its end.

    Attributes
    ----------
    warm_up_steps
        Over which the rate rises.
    steps
        Length in steps; None where time alone decides.
    seconds
        Length in seconds of the trainer's clock; None where steps alone decide.
    floor
        Least factor.
    floor_kind
        How it is kept.
    """

    warm_up_steps: int
    steps: int | None = None
    seconds: float | None = None
    floor: float = 0.01
    floor_kind: CosineFloor = CosineFloor.RAISED

    def factor(self, step: int, spent_s: float) -> float:
        """Factor of the rate.

        Parameters
        ----------
        step
            Steps done before this one.
        spent_s
            Seconds spent before it.
        """
        done = [0.0]
        if self.steps is not None:
            done.append(step / self.steps)
        if self.seconds is not None:
            done.append(spent_s / max(self.seconds, _NO_TIME_S))
        half = 0.5 * (1.0 + math.cos(math.pi * min(1.0, max(done))))
        if self.floor_kind is CosineFloor.CLAMPED:
            half = max(self.floor, half)
        else:
            half = self.floor + (1.0 - self.floor) * half
        return warm_up(step, self.warm_up_steps) * half


Schedule = ConstantSchedule | LinearDecaySchedule | CosineSchedule
"""A factor of the learning rate for every step."""

_NO_TIME_S: Final = 1e-9
"""A budget of nothing is over at once; it must not be divided by."""

_SCHEDULES: Final = {each.__name__: each for each in (ConstantSchedule, LinearDecaySchedule, CosineSchedule)}


def warm_up(step: int, steps: int) -> float:
    """Linear warm-up: 1 from ``steps`` on.

    Parameters
    ----------
    step
        Steps done.
    steps
        Length of the warm-up.
    """
    return min(1.0, (step + 1) / steps)


def schedule_to_state(schedule: Schedule) -> dict[str, Any]:
    """What a checkpoint keeps of a schedule: its kind and its numbers."""
    state = {key: str(value) if isinstance(value, StrEnum) else value for key, value in asdict(schedule).items()}
    return {"kind": type(schedule).__name__, **state}


def schedule_from_state(state: dict[str, Any]) -> Schedule:
    """Read what `schedule_to_state` gave.

    Raises
    ------
    KeyError
        There is no such kind.
    """
    numbers = {key: value for key, value in state.items() if key != "kind"}
    if "floor_kind" in numbers:
        numbers["floor_kind"] = CosineFloor(numbers["floor_kind"])
    made: Schedule = _SCHEDULES[state["kind"]](**numbers)
    return made
