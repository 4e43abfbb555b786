"""Finding a slide's landmarks on the instrument, with few exposures."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from scanner.calibration.bench import find_exposure
from scanner.coordinates import ImagePoint, ObjectiveView, SlideFrame, SlidePoint, StagePoint, stage_to_centre
from scanner.errors import LimitError, RegistrationError
from scanner.frame import Frame
from scanner.microscope import Microscope
from scanner.registration.fit import Registration, RegistrationMark, Tolerances, fit_slide_frame
from scanner.registration.landmarks import Cross, Edge, RegisteredCoverslip
from scanner.registration.lines import find_line

# Where an edge is looked at: far apart, and clear of the corners, which are often chipped or glued.
_SHARES = (0.15, 0.85)
# Looked at instead of a place at which no edge was found: a fibre or a bubble may lie across it.
_SPARE_SHARES = (0.5, 0.3, 0.7)
# Neighbouring fields of a search overlap by the rest, so that no line falls between two.
_SEARCH_PITCH = 0.7
# A picture tells the direction of a line this well; two places of one edge have to agree with it.
_ANGLE_ERROR_DEG = 0.2
_MAX_ANGLE_MISS_DEG = 0.6
# How well a line is known across its direction, for weighing what was found against what is expected.
_PLACE_ERROR_UM = 20.0


_Vector = tuple[float, float]
_Line = tuple[StagePoint, _Vector]


@dataclass(frozen=True, slots=True)
class SurveyPlan:
    """How to look.

    Attributes
    ----------
    focus_um
        Focus position; None for the middle of the reference objective's envelope. An edge is found tens of um out
        of focus, so none is searched.
    exposure_ms
        None to find one at the first landmark.
    tolerances
        What is plausible; a landmark is looked for as far as the slide may be shifted and turned.
    """

    focus_um: float | None = None
    exposure_ms: float | None = None
    tolerances: Tolerances = field(default_factory=Tolerances)


def register_slide(
    microscope: Microscope,
    landmarks: RegisteredCoverslip | Sequence[Cross],
    nominal: SlideFrame,
    plan: SurveyPlan | None = None,
) -> Registration:
    """Measure how a slide lies.

    Each edge of a coverslip is looked at in two places; where edges that were found meet is a corner; three edges
    are enough. Of crosses, two are enough. What has been found tells where to look for the rest, so that only the
    first landmarks have to be searched for.

    Parameters
    ----------
    microscope
        The instrument; whoever calls answers for the safe state afterwards. The reference objective is put into
        the light path.
    landmarks
        The coverslip, or crosses.
    nominal
        The rig's frame of this slide.
    plan
        How to look.

    Returns
    -------
    Registration
        Frame, residual of every landmark, outliers, exposures.

    Raises
    ------
    RegistrationError
        Too few landmarks were found, or they contradict each other, or the slide can't lie as they say.
    DeviceError
        The instrument failed or refused.
    """
    survey = _Survey(microscope, nominal, plan or SurveyPlan())
    with survey.prepared():
        marks = (
            survey.corners(landmarks) if isinstance(landmarks, RegisteredCoverslip) else survey.crosses(landmarks)
        )
    return survey.fitted(marks)


def seen_coverslip(registration: Registration, nominal: SlideFrame) -> RegisteredCoverslip:
    """Where a registered coverslip truly lies, in the coordinates of the rig's frame.

    Registered by it from then on, the slide keeps these coordinates, wherever it is laid.

    Raises
    ------
    RegistrationError
        Not all four corners were seen and believed.
    """
    corners = [fitted.mark for fitted in registration.marks if fitted.used]
    if len(corners) != 4 or registration.outliers:
        raise RegistrationError(
            "not all corners were found", device="slide", actual=str(len(corners)), allowed="4 corners"
        )
    one, two, three, four = (nominal.to_slide(mark.stage) for mark in corners)
    return RegisteredCoverslip((one, two, three, four))


@dataclass(frozen=True, slots=True)
class _Sighting:
    """A line that was seen: what was expected of it, and what there is.

    Attributes
    ----------
    expected, seen
        A place of the landmark by the rig's frame, and the point of the line seen, stage um.
    normal
        Unit vector across the line, along the stage axes, by the rig's frame.
    turn_deg
        Direction of the line minus that by the rig's frame.
    """

    expected: StagePoint
    seen: StagePoint
    normal: _Vector
    turn_deg: float

    def line(self) -> _Line:
        """The line seen: a point and its direction."""
        turn = math.radians(self.turn_deg)
        x, y = -self.normal[1], self.normal[0]
        return self.seen, (x * math.cos(turn) - y * math.sin(turn), x * math.sin(turn) + y * math.cos(turn))


class _Belief:
    """Where the slide may lie, from what has been seen so far: shift and turn about a pivot, by least squares."""

    def __init__(self, pivot: StagePoint, tolerances: Tolerances) -> None:
        self._pivot = pivot
        self._tolerances = tolerances
        self._rows: list[NDArray[np.float64]] = []
        self._values: list[float] = []

    def learn(self, sighting: _Sighting) -> None:
        """Take a sighting into account."""
        x_row, y_row = self._rows_at(sighting.expected)
        seen, expected = sighting.seen, sighting.expected
        n_x, n_y = sighting.normal
        across_um = (seen.x_um - expected.x_um) * n_x + (seen.y_um - expected.y_um) * n_y
        self._rows.append((n_x * x_row + n_y * y_row) / _PLACE_ERROR_UM)
        self._values.append(across_um / _PLACE_ERROR_UM)
        self._rows.append(np.array([0.0, 0.0, 1.0 / _ANGLE_ERROR_DEG]))
        self._values.append(sighting.turn_deg / _ANGLE_ERROR_DEG)

    def _solved(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Shift in x and y, um, and turn, degrees; and their covariance."""
        shift_um, turn_deg = self._tolerances.shift_um, self._tolerances.rotation_deg
        rows = np.array([(1.0 / shift_um, 0, 0), (0, 1.0 / shift_um, 0), (0, 0, 1.0 / turn_deg), *self._rows])
        values = np.array([0.0, 0.0, 0.0, *self._values])
        covariance = np.linalg.inv(rows.T @ rows)
        return covariance @ rows.T @ values, covariance

    def place(self, expected: StagePoint) -> StagePoint:
        """Where something should be that the rig's frame has at `expected`."""
        believed = self._solved()[0]
        return expected.shifted(*(float(row @ believed) for row in self._rows_at(expected)))

    def reach_um(self, expected: StagePoint, direction: _Vector) -> float:
        """How far from there, in a direction, it may be."""
        x_row, y_row = self._rows_at(expected)
        row = direction[0] * x_row + direction[1] * y_row
        sigma_um = math.sqrt(float(row @ self._solved()[1] @ row))
        return min(self._tolerances.shift_um, 3.0 * sigma_um)

    def _rows_at(self, expected: StagePoint) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """What a unit of each unknown does to the x and the y of a place."""
        x_um, y_um = expected.x_um - self._pivot.x_um, expected.y_um - self._pivot.y_um
        degree = math.radians(1.0)
        return np.array([1.0, 0.0, -degree * y_um]), np.array([0.0, 1.0, degree * x_um])


class _Survey:
    def __init__(self, microscope: Microscope, nominal: SlideFrame, plan: SurveyPlan) -> None:
        self._microscope = microscope
        self._nominal = nominal
        self._plan = plan
        self._exposure_ms = plan.exposure_ms
        self._exposures = 0
        self._reference = microscope.rig.objectives[0]
        self._camera = microscope.rig.camera_frame(self._reference)

    # -- the instrument ------------------------------------------------------------------------------------

    @contextmanager
    def prepared(self) -> Iterator[None]:
        """Reference objective in the light path, light on within."""
        self._microscope.select_objective(self._reference.name)
        with self._microscope.lit():
            yield

    def fitted(self, marks: Sequence[RegistrationMark]) -> Registration:
        """The frame that these marks give."""
        found = fit_slide_frame(
            marks, self._nominal, self._plan.tolerances, device=self._microscope.rig.devices.stage
        )
        return replace(found, exposures=self._exposures)

    def _photograph(self, place: StagePoint) -> Frame | None:
        """A picture of a place; None where the stage can't go."""
        microscope = self._microscope
        target = stage_to_centre(place, self._reference.parcentric)
        try:
            microscope.check_reachable(target)
        except LimitError:
            return None
        microscope.move_to(target, one_sided=True)
        envelope = self._reference.focus
        wanted_um = self._plan.focus_um
        microscope.focus_to((envelope.min_um + envelope.max_um) / 2.0 if wanted_um is None else wanted_um)
        if self._exposure_ms is None:
            self._exposure_ms = find_exposure(microscope)
        self._exposures += 1
        return microscope.snap(self._exposure_ms)

    # -- coverslip -----------------------------------------------------------------------------------------

    def corners(self, coverslip: RegisteredCoverslip) -> list[RegistrationMark]:
        """Corners at which two edges that were found meet."""
        belief = _Belief(self._nominal.to_stage(coverslip.middle), self._plan.tolerances)
        lines: list[_Line | None] = []
        for edge in coverslip.edges:
            lines.append(self._edge(edge, belief))
            if lines.count(None) > 1:
                raise self._fault(
                    "the coverslip was not found"
                    if not any(lines)
                    else "too few edges of the coverslip were found",
                    actual=f"{len(lines) - lines.count(None)} of {len(lines)}",
                    allowed="3 of 4",
                )
        marks = []
        for index, corner in enumerate(coverslip.corners):
            before, after = lines[index - 1], lines[index]
            if before is not None and after is not None:
                marks.append(RegistrationMark(f"corner {index + 1}", corner, _meeting(before, after)))
        return marks

    def _edge(self, edge: Edge, belief: _Belief) -> _Line | None:
        """The line of an edge, from two places of it; None where they were not found or contradict each other."""
        sightings = [self._on_edge(edge, share, belief) for share in _SHARES]
        if any(sightings):
            # The coverslip is there: what hides its edge at one place does not at another.
            for share in _SPARE_SHARES:
                if None in sightings:
                    sightings[sightings.index(None)] = self._on_edge(edge, share, belief)
        first, second = sightings
        if first is None or second is None:
            return None
        line = _through(first.seen, second.seen)
        for sighting in (first, second):
            if abs(_angle_between_deg(line[1], sighting.line()[1])) > _MAX_ANGLE_MISS_DEG:
                return None
        return line

    def _on_edge(self, edge: Edge, share: float, belief: _Belief) -> _Sighting | None:
        place = self._nominal.to_stage(edge.at(share))
        direction = self._direction(edge.start, edge.end)
        normal = (direction[1], -direction[0])
        middle = belief.place(place)
        pitch_um = _SEARCH_PITCH * self._field_um(normal)
        for step in _there_and_back(belief.reach_um(place, normal), pitch_um):
            frame = self._photograph(middle.shifted(step * normal[0], step * normal[1]))
            sighting = None if frame is None else self._line_in(frame, place, direction)
            if sighting is not None:
                belief.learn(sighting)
                return sighting
        return None

    # -- crosses -------------------------------------------------------------------------------------------

    def crosses(self, crosses: Sequence[Cross]) -> list[RegistrationMark]:
        """Crosses that were found; gives up when fewer than two can still be."""
        if len(crosses) < 2:
            raise self._fault("too few crosses to look for", actual=str(len(crosses)), allowed="2 or more")
        belief = _Belief(self._nominal.to_stage(crosses[0].place), self._plan.tolerances)
        marks: list[RegistrationMark] = []
        for number, cross in enumerate(crosses, start=1):
            seen = self._cross(cross, belief)
            if seen is not None:
                marks.append(RegistrationMark(cross.name, cross.place, seen))
            if len(marks) + len(crosses) - number < 2:
                raise self._fault(
                    "too few crosses were found", actual=f"{len(marks)} of {number}", allowed="2 or more"
                )
        return marks

    def _cross(self, cross: Cross, belief: _Belief) -> StagePoint | None:
        place = self._nominal.to_stage(cross.place)
        middle = belief.place(place)
        steps = [
            _there_and_back(belief.reach_um(place, axis), _SEARCH_PITCH * self._field_um(axis))
            for axis in ((1.0, 0.0), (0.0, 1.0))
        ]
        around = sorted(((x, y) for x in steps[0] for y in steps[1]), key=lambda step: math.hypot(*step))
        for x_um, y_um in around:
            strokes = self._strokes(cross, middle.shifted(x_um, y_um))
            if strokes is None:
                continue
            # Once more in the middle of the picture, where all of both strokes is seen.
            strokes = self._strokes(cross, _meeting(strokes[0].line(), strokes[1].line()))
            if strokes is not None:
                for stroke in strokes:
                    belief.learn(stroke)
                return _meeting(strokes[0].line(), strokes[1].line())
        return None

    def _strokes(self, cross: Cross, at: StagePoint) -> tuple[_Sighting, _Sighting] | None:
        """Both strokes in a picture of a place, if they cross in it."""
        frame = self._photograph(at)
        if frame is None:
            return None
        place = self._nominal.to_stage(cross.place)
        origin = SlidePoint(0.0, 0.0)
        along = self._line_in(frame, place, self._direction(origin, SlidePoint(1.0, 0.0)))
        down = self._line_in(frame, place, self._direction(origin, SlidePoint(0.0, 1.0)))
        if along is None or down is None:
            return None
        crossing = frame.view.to_image(_meeting(along.line(), down.line()))
        height, width = frame.pixels.shape
        return (along, down) if 0 <= crossing.x_px < width and 0 <= crossing.y_px < height else None

    # -- pictures and places -------------------------------------------------------------------------------

    def _direction(self, start: SlidePoint, end: SlidePoint) -> _Vector:
        """Direction along the stage axes, by the rig's frame, of a line between two places of the slide."""
        return _through(self._nominal.to_stage(start), self._nominal.to_stage(end))[1]

    def _field_um(self, direction: _Vector) -> float:
        """How much of the slide a picture shows in a direction."""
        x_um, y_um = self._camera.offset_um(ImagePoint(self._camera.centre.x_px + 1.0, self._camera.centre.y_px))
        share = abs(x_um * direction[0] + y_um * direction[1]) / self._camera.um_per_px
        return math.hypot(
            share * self._camera.width_um, math.sqrt(max(0.0, 1.0 - share**2)) * self._camera.height_um
        )

    def _line_in(self, frame: Frame, expected: StagePoint, direction: _Vector) -> _Sighting | None:
        """A line of about this direction in a picture."""
        tilt_deg = self._plan.tolerances.rotation_deg + _MAX_ANGLE_MISS_DEG
        seen = find_line(frame.pixels, _in_picture_deg(frame.view, direction), tilt_deg)
        if seen is None:
            return None
        angle = math.radians(seen.angle_deg)
        further = ImagePoint(
            seen.point.x_px + 1000.0 * math.cos(angle), seen.point.y_px + 1000.0 * math.sin(angle)
        )
        place = frame.view.to_stage(seen.point)
        turn_deg = _angle_between_deg(direction, _through(place, frame.view.to_stage(further))[1])
        return _Sighting(expected, place, (direction[1], -direction[0]), turn_deg)

    def _fault(self, message: str, *, actual: str, allowed: str) -> RegistrationError:
        return RegistrationError(
            f"{message}, {self._exposures} pictures taken",
            device=self._microscope.rig.devices.stage,
            actual=actual,
            allowed=allowed,
        )


def _there_and_back(reach_um: float, pitch_um: float) -> list[float]:
    """0 and multiples of the pitch on both sides, nearest first, until what lies within reach has been seen."""
    count = max(0, math.ceil(reach_um / pitch_um - 0.5))
    return [0.0, *(sign * step * pitch_um for step in range(1, count + 1) for sign in (1.0, -1.0))]


def _through(start: StagePoint, end: StagePoint) -> _Line:
    way_um = start.distance_um(end)
    return start, ((end.x_um - start.x_um) / way_um, (end.y_um - start.y_um) / way_um)


def _meeting(one: _Line, other: _Line) -> StagePoint:
    """Where two lines cross; they are never parallel here."""
    (p, d), (q, e) = one, other
    share = ((q.x_um - p.x_um) * e[1] - (q.y_um - p.y_um) * e[0]) / (d[0] * e[1] - d[1] * e[0])
    return p.shifted(share * d[0], share * d[1])


def _angle_between_deg(one: _Vector, other: _Vector) -> float:
    """Turn from one direction to another, -90 .. 90: a line has no sense."""
    turn_deg = math.degrees(
        math.atan2(one[0] * other[1] - one[1] * other[0], one[0] * other[0] + one[1] * other[1])
    )
    return (turn_deg + 90.0) % 180.0 - 90.0


def _in_picture_deg(view: ObjectiveView, direction: _Vector) -> float:
    start = view.to_image(view.centre)
    end = view.to_image(view.centre.shifted(100.0 * direction[0], 100.0 * direction[1]))
    return math.degrees(math.atan2(end.y_px - start.y_px, end.x_px - start.x_px))
