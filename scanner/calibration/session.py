"""One calibration of the instrument: the procedures in the order in which each can use what came before."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from enum import StrEnum

from scanner.calibration.common_steps import arrive, find_exposure, find_focus
from scanner.calibration.errors import CalibrationError
from scanner.calibration.field_images import measure_field_images
from scanner.calibration.geometry import measure_pixel_geometry
from scanner.calibration.motion import measure_backlash, measure_read_out, measure_stage_motion
from scanner.calibration.offsets import (
    Reference,
    find_structure,
    measure_objective_offset,
    take_references,
)
from scanner.calibration.pictures import PictureSink, discard_picture
from scanner.calibration.results import PixelGeometry, Result
from scanner.coordinates import StagePoint
from scanner.microscope import Microscope
from scanner.rig import Objective


class Procedure(StrEnum):
    """What can be measured."""

    PIXELS = "pixels"
    BACKLASH = "backlash"
    FIELD = "field"
    READ_OUT = "read-out"
    MOTION = "motion"
    OFFSETS = "offsets"


@dataclass(frozen=True, slots=True)
class CalibrationPlan:
    """What to measure, and where.

    Attributes
    ----------
    at
        Stage position with several cells or nuclei in view of the reference objective.
    focus_um
        Where focus is expected there with the reference objective; None for the middle of its envelope.
    what
        Procedures; pixel geometry is measured wherever another procedure needs it.
    oil_allowed
        Objectives that need oil may be measured: there is oil on the slide.
    """

    at: StagePoint
    focus_um: float | None = None
    what: frozenset[Procedure] = frozenset(Procedure)
    oil_allowed: bool = False


def calibrate(
    microscope: Microscope,
    plan: CalibrationPlan,
    now: Callable[[], float],
    report: Callable[[Result], None] = lambda _result: None,
    on_picture: PictureSink = discard_picture,
) -> tuple[Result, ...]:
    """Run procedures; whoever calls answers for the safe state afterwards.

    Parameters
    ----------
    microscope
        The instrument.
    plan
        What to measure.
    now
        Time source in s: the one by which stage and camera move.
    report
        Handed each result as it is found.
    on_picture
        Handed the pictures that geometry, backlash and offsets are measured by.

    Returns
    -------
    tuple of Result
        All of it, or an error: half a calibration isn't returned, so it can't be written.

    Raises
    ------
    CalibrationError, FocusError, DeviceError
        A procedure refused.
    """
    if not plan.what:
        raise CalibrationError("plan", "nothing to measure")
    session = _Session(microscope, plan, now, report, on_picture)
    with microscope.lit():
        session.through_reference()
        if Procedure.OFFSETS in plan.what or Procedure.PIXELS in plan.what:
            session.through_others()
    if Procedure.MOTION in plan.what:
        # Last, in the dark: its moves are long, and the focus has to be down for them.
        session.keep(measure_stage_motion(microscope, now))
    return tuple(session.results)


class _Session:
    def __init__(
        self,
        microscope: Microscope,
        plan: CalibrationPlan,
        now: Callable[[], float],
        report: Callable[[Result], None],
        on_picture: PictureSink,
    ) -> None:
        self._microscope = microscope
        self._plan = plan
        self._now = now
        self._report = report
        self._on_picture = on_picture
        self._geometry: PixelGeometry | None = None
        self._references: dict[str, tuple[Reference, ...]] = {}
        self.results: list[Result] = []

    def keep(self, result: Result) -> None:
        self.results.append(result)
        self._report(result)

    def _others(self) -> tuple[Objective, ...]:
        # Dry ones first: none of them may follow oil.
        others = self._microscope.rig.objectives[1:]
        allowed = [one for one in others if self._plan.oil_allowed or one.immersion != "oil"]
        return tuple(sorted(allowed, key=lambda one: one.immersion == "oil"))

    def through_reference(self) -> None:
        microscope, what = self._microscope, self._plan.what
        reference = microscope.rig.objectives[0]
        microscope.select_objective(reference.name)
        if what == {Procedure.MOTION}:
            return
        microscope.move_to(self._plan.at)
        envelope = reference.focus
        expected_um = self._plan.focus_um
        if expected_um is None:
            expected_um = (envelope.min_um + envelope.max_um) / 2.0
        microscope.focus_to(expected_um)
        exposure_ms = find_exposure(microscope)
        if Procedure.READ_OUT in what:
            longest = exposure_ms
            self.keep(measure_read_out(microscope, self._now, (0.25 * longest, 0.6 * longest, longest)))
        if Procedure.FIELD in what:
            self.keep(measure_field_images(microscope))
        needs_structure = what - {Procedure.READ_OUT, Procedure.FIELD, Procedure.MOTION}
        if not needs_structure and not (Procedure.FIELD in what and self._others()):
            return
        find_focus(microscope, expected_um, exposure_ms)
        geometry = measure_pixel_geometry(microscope, exposure_ms, self._on_picture)
        self._geometry = geometry
        if Procedure.PIXELS in what:
            self.keep(geometry)
        if Procedure.BACKLASH in what:
            self.keep(measure_backlash(microscope, geometry, exposure_ms, self._on_picture))
        if what & {Procedure.OFFSETS, Procedure.PIXELS, Procedure.FIELD}:
            self._look_at_references(geometry, exposure_ms)

    def _look_at_references(self, geometry: PixelGeometry, exposure_ms: float) -> None:
        microscope = self._microscope
        for objective in self._others():
            arrive(microscope, self._plan.at)
            view = microscope.rig.camera_frame(objective)
            self._references[objective.name] = take_references(
                microscope, geometry, exposure_ms, (view.width_um, view.height_um), self._on_picture
            )

    def through_others(self) -> None:
        microscope, what = self._microscope, self._plan.what
        base = self._geometry
        if base is None:
            return
        for objective in self._others():
            references = self._references[objective.name]
            microscope.select_objective(objective.name, oil_allowed=self._plan.oil_allowed)
            first = references[0]
            arrive(microscope, first.view.centre.shifted(-objective.parcentric_x_um, -objective.parcentric_y_um))
            microscope.focus_to(first.z_um + objective.parfocal_um)
            exposure_ms = find_exposure(microscope)
            find_structure(microscope, references, exposure_ms)
            geometry = measure_pixel_geometry(microscope, exposure_ms, self._on_picture)
            _check_same_mounting(base, geometry)
            if Procedure.PIXELS in what:
                self.keep(geometry)
            if Procedure.OFFSETS in what:
                self.keep(
                    measure_objective_offset(
                        microscope=microscope,
                        references=references,
                        reference_geometry=base,
                        geometry=geometry,
                        exposure_ms=exposure_ms,
                        on_picture=self._on_picture,
                    )
                )
            if Procedure.FIELD in what:
                self.keep(measure_field_images(microscope))


# One camera serves all objectives: it can't be turned for one of them by more than a measurement's error.
_MAX_TURN_DEG = 0.3


def _check_same_mounting(base: PixelGeometry, other: PixelGeometry) -> None:
    turn = abs(base.rotation_deg - other.rotation_deg)
    flips_differ = (base.flip_x, base.flip_y) != (other.flip_x, other.flip_y)
    if flips_differ or turn > _MAX_TURN_DEG:
        raise CalibrationError(
            f"pixel geometry of {other.objective}",
            f"the camera is turned by {turn:.2f} degrees against {base.objective}, allowed {_MAX_TURN_DEG:g}",
        )


def procedures_of(names: Collection[str]) -> frozenset[Procedure]:
    """Procedures by name; all of them where there is no name.

    Raises
    ------
    CalibrationError
        There is none of that name.
    """
    known = {procedure.value: procedure for procedure in Procedure}
    for name in names:
        if name not in known:
            raise CalibrationError("plan", f"no procedure {name!r}; there are {', '.join(known)}")
    return frozenset(known[name] for name in names) or frozenset(Procedure)
