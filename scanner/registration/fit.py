"""A slide's frame from marks whose places on the slide are known and that were seen on the stage."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scanner.coordinates import SlideFrame, SlidePoint, StagePoint
from scanner.errors import RegistrationError

# A frame through two marks extrapolates their errors to the others: a candidate is allowed this many residuals.
_CANDIDATE_SLACK = 2.0


@dataclass(frozen=True, slots=True)
class RegistrationMark:
    """Something that can be found again.

    Attributes
    ----------
    name
        For messages and records.
    slide
        Where it is on the slide.
    stage
        Where it was seen: the stage point of this slide point.
    """

    name: str
    slide: SlidePoint
    stage: StagePoint


@dataclass(frozen=True, slots=True)
class Tolerances:
    """What is still plausible.

    Attributes
    ----------
    residual_um
        Largest distance between where a mark was seen and where the frame says it is.
    rotation_deg, shift_um
        Largest difference to the rig's frame; the shift is that of the middle of the marks.
    baseline_um
        The two marks farthest apart must be at least so far apart: below, rotation is guessed.
    """

    residual_um: float = 25.0
    rotation_deg: float = 1.5
    shift_um: float = 2_000.0
    baseline_um: float = 5_000.0


@dataclass(frozen=True, slots=True)
class FittedMark:
    """A mark and how well it fits.

    Attributes
    ----------
    mark
        The mark.
    residual_um
        Distance between where it was seen and where the frame says it is.
    used
        False for an outlier, which has no say in the frame.
    """

    mark: RegistrationMark
    residual_um: float
    used: bool


@dataclass(frozen=True, slots=True)
class Registration:
    """How a slide lies, and the evidence.

    Attributes
    ----------
    frame
        Conversion between slide and stage; flips are the rig's.
    marks
        All marks by name, outliers too.
    rms_um
        Root mean square residual of the marks used.
    rotation_deg, shift_um
        Difference to the rig's frame: turn, and way of the middle of the marks used.
    exposures
        Pictures it took; 0 where the marks were given.
    """

    frame: SlideFrame
    marks: tuple[FittedMark, ...]
    rms_um: float
    rotation_deg: float
    shift_um: float
    exposures: int = 0

    @property
    def outliers(self) -> tuple[str, ...]:
        """Names of the marks that were not believed."""
        return tuple(fitted.mark.name for fitted in self.marks if not fitted.used)


def fit_slide_frame(
    marks: Iterable[RegistrationMark],
    nominal: SlideFrame,
    tolerances: Tolerances | None = None,
    *,
    device: str = "slide",
) -> Registration:
    """Fit rotation and shift to marks by least squares (Kabsch 1976, in the plane).

    With three marks and more, those that contradict a majority are left out. Where two halves contradict each
    other, nobody knows which is right, and neither is believed.

    Parameters
    ----------
    marks
        Two or more; their order does not matter.
    nominal
        The rig's frame: its flips are kept, rotation and shift are compared with it.
    tolerances
        What is still plausible.
    device
        Named in errors.

    Raises
    ------
    RegistrationError
        Too few marks or too near to each other; residual, rotation or shift is implausible. With what was found
        and what is allowed.
    """
    allowed = tolerances or Tolerances()
    ordered = sorted(marks, key=lambda mark: mark.name)
    if len(ordered) < 2:
        raise RegistrationError("too few marks", device=device, actual=str(len(ordered)), allowed="2 or more")
    if len({mark.name for mark in ordered}) < len(ordered):
        raise RegistrationError("two marks of one name", device=device)
    chosen = _consistent(ordered, nominal, allowed, device)
    used = [ordered[index] for index in chosen]
    _check_baseline(used, allowed, device)
    frame = _least_squares(used, nominal)
    residuals_um = _residuals_um(ordered, frame)
    fitted = tuple(
        FittedMark(mark, float(residual_um), index in chosen)
        for index, (mark, residual_um) in enumerate(zip(ordered, residuals_um, strict=True))
    )
    rms_um = float(np.sqrt(np.mean(residuals_um[list(chosen)] ** 2)))
    result = Registration(frame, fitted, rms_um, _turn_deg(nominal, frame), _shift_um(used, nominal, frame))
    _check_plausible(result, allowed, device)
    return result


def _consistent(
    marks: Sequence[RegistrationMark], nominal: SlideFrame, allowed: Tolerances, device: str
) -> tuple[int, ...]:
    """Indices of the marks that agree with each other: all, or a majority of them that no other set contests."""
    everyone = tuple(range(len(marks)))
    worst_um = _worst_um(marks, everyone, nominal)
    if worst_um <= allowed.residual_um:
        return everyone
    least = max(2, len(marks) // 2 + 1)
    sets: set[tuple[int, ...]] = set()
    for pair in itertools.combinations(everyone, 2):
        candidate = _least_squares([marks[index] for index in pair], nominal)
        near = _residuals_um(marks, candidate) <= _CANDIDATE_SLACK * allowed.residual_um
        members = tuple(int(index) for index in np.flatnonzero(near))
        if set(pair) <= set(members) and len(members) >= least:
            sets.add(members)
    agreed = {members for members in sets if _worst_um(marks, members, nominal) <= allowed.residual_um}
    # A set within a larger one that agrees adds nothing.
    agreed = {members for members in agreed if not any(set(members) < set(other) for other in agreed)}
    if len(agreed) != 1:
        raise RegistrationError(
            "marks contradict each other" if not agreed else "marks contradict each other in more than one way",
            device=device,
            axis="residual",
            actual=worst_um,
            allowed=f"{allowed.residual_um:g} um",
            unit="um",
        )
    return agreed.pop()


def _least_squares(marks: Sequence[RegistrationMark], nominal: SlideFrame) -> SlideFrame:
    flips = np.array([-1.0 if nominal.flip_x else 1.0, -1.0 if nominal.flip_y else 1.0])
    slide, stage = _places(marks)
    flipped = slide * flips
    middle, target = flipped.mean(axis=0), stage.mean(axis=0)
    p, q = flipped - middle, stage - target
    angle = math.atan2(float(np.sum(p[:, 0] * q[:, 1] - p[:, 1] * q[:, 0])), float(np.sum(p * q)))
    cos, sin = math.cos(angle), math.sin(angle)
    origin = target - np.array([[cos, -sin], [sin, cos]]) @ middle
    return SlideFrame(
        StagePoint(float(origin[0]), float(origin[1])), math.degrees(angle), nominal.flip_x, nominal.flip_y
    )


def _places(marks: Sequence[RegistrationMark]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Places on the slide and on the stage, each of shape (n, 2)."""
    slide = np.array([(mark.slide.x_um, mark.slide.y_um) for mark in marks], dtype=np.float64)
    stage = np.array([(mark.stage.x_um, mark.stage.y_um) for mark in marks], dtype=np.float64)
    return slide, stage


def _residuals_um(marks: Sequence[RegistrationMark], frame: SlideFrame) -> NDArray[np.float64]:
    return np.array([frame.to_stage(mark.slide).distance_um(mark.stage) for mark in marks], dtype=np.float64)


def _worst_um(marks: Sequence[RegistrationMark], members: Sequence[int], nominal: SlideFrame) -> float:
    chosen = [marks[index] for index in members]
    return float(np.max(_residuals_um(chosen, _least_squares(chosen, nominal))))


def _turn_deg(nominal: SlideFrame, frame: SlideFrame) -> float:
    return (frame.rotation_deg - nominal.rotation_deg + 180.0) % 360.0 - 180.0


def _shift_um(marks: Sequence[RegistrationMark], nominal: SlideFrame, frame: SlideFrame) -> float:
    x_um, y_um = _places(marks)[0].mean(axis=0)
    middle = SlidePoint(float(x_um), float(y_um))
    return nominal.to_stage(middle).distance_um(frame.to_stage(middle))


def _check_baseline(marks: Sequence[RegistrationMark], allowed: Tolerances, device: str) -> None:
    baseline_um = max(one.slide.distance_um(other.slide) for one, other in itertools.combinations(marks, 2))
    if baseline_um < allowed.baseline_um:
        raise RegistrationError(
            "marks lie too near to each other",
            device=device,
            axis="baseline",
            actual=baseline_um,
            allowed=f"{allowed.baseline_um:g} um or more",
            unit="um",
        )


def _check_plausible(result: Registration, allowed: Tolerances, device: str) -> None:
    for axis, value, limit, unit in (
        ("rotation", result.rotation_deg, allowed.rotation_deg, "deg"),
        ("shift", result.shift_um, allowed.shift_um, "um"),
    ):
        if not abs(value) <= limit:
            raise RegistrationError(
                "the slide can't lie like this",
                device=device,
                axis=axis,
                wanted=0.0,
                actual=value,
                allowed=f"up to {limit:g} {unit}",
                unit=unit,
            )
