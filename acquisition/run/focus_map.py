"""Where the specimen lies in height, before the scan starts."""

from __future__ import annotations

from acquisition.plan.tiling import PlannedField, spread_out
from acquisition.records import EventLevel
from acquisition.run.context import RunContext
from scanner.counted import counted
from scanner.errors import DeviceError, FocusError, MoveStoppedError
from scanner.focus.search import FocusSweep, search_focus
from scanner.focus.surface import FocusPoint, FocusSurface

# Steps of the search in depths of field: the measure still falls visibly from one plane to the next.
COARSE_DEPTHS = 2.0
FINE_DEPTHS = 0.7
# A search covers this many of the surface's own deviations on either side.
RANGE_DEVIATIONS = 3.0
# Fields tried for each point wanted: many fields of a slide are blank.
TRIES_PER_POINT = 3


def sweep_for(
    depth_of_field_um: float, half_range_um: float, exposure_ms: float, centre_fraction: float = 1.0
) -> FocusSweep:
    """A sweep whose steps suit an objective's depth of field.

    Parameters
    ----------
    depth_of_field_um
        Of the objective.
    half_range_um
        How far to search on either side of what is expected.
    exposure_ms
        Exposure of each plane.
    centre_fraction
        Part of the picture's width and height, in its middle, on which focus is measured, in (0, 1].
    """
    return FocusSweep(
        half_range_um=half_range_um,
        coarse_step_um=COARSE_DEPTHS * depth_of_field_um,
        fine_step_um=FINE_DEPTHS * depth_of_field_um,
        exposure_ms=exposure_ms,
        centre_fraction=centre_fraction,
    )


def measure_focus_surface(context: RunContext, fields: tuple[PlannedField, ...]) -> FocusSurface | None:
    """Focus at places of the area, each time where the surface is least sure, and fit it.

    Parameters
    ----------
    context
        The run; light on, scan objective selected.
    fields
        Fields of the scan.

    Returns
    -------
    FocusSurface or None
        None where the run was asked to stop.

    Raises
    ------
    FocusError
        No field had anything to focus on.
    DeviceError
        The instrument failed on more fields in a row than the protocol allows.
    """
    wanted = context.protocol.scan.focus.points
    points: list[FocusPoint] = []
    untried = list(fields)
    last: DeviceError | None = None
    faults_in_a_row = 0
    context.listener.phase("focus", wanted)
    for _ in range(wanted * TRIES_PER_POINT):
        if context.control.stop_requested:
            return None
        if len(points) == wanted or not untried:
            break
        surface = FocusSurface.fit(points) if points else None
        field = _next_field(fields, untried, surface)
        untried.remove(field)
        try:
            point = _focus_at(context, field, surface)
        except MoveStoppedError:
            raise
        except FocusError as error:
            last = error
            context.note(EventLevel.INFO, "focus_skipped", f"field {field.index}: {error}", field=field.index)
        except DeviceError as error:
            last = error
            faults_in_a_row += 1
            context.note(EventLevel.WARNING, "focus_failed", f"field {field.index}: {error}", field=field.index)
            if faults_in_a_row > context.protocol.errors.max_failed_fields:
                raise
        else:
            faults_in_a_row = 0
            points.append(point)
            context.listener.step("focus", f"z {point.z_um:.1f} um")
    if not points:
        raise FocusError(
            f"none of {counted(len(fields) - len(untried), 'field')} could be focused",
            device=context.microscope.rig.devices.focus,
            axis="z",
        ) from last
    return _told(context, FocusSurface.fit(points), fields)


def _next_field(
    fields: tuple[PlannedField, ...], untried: list[PlannedField], surface: FocusSurface | None
) -> PlannedField:
    """The field where the surface is least sure; without one, the untried field furthest from those tried."""
    if surface is not None:
        return max(untried, key=lambda f: (surface.deviation_um(f.centre), -f.index))
    return next(f for f in spread_out(fields, len(fields) - len(untried) + 1) if f in untried)


def _focus_at(context: RunContext, field: PlannedField, surface: FocusSurface | None) -> FocusPoint:
    microscope = context.microscope
    scan, objective = context.protocol.scan, microscope.objective
    step_um = COARSE_DEPTHS * objective.depth_of_field_um
    if surface is None:
        expected_um = (objective.focus.min_um + objective.focus.max_um) / 2
        half_range_um = min(scan.focus.range_um, (objective.focus.max_um - objective.focus.min_um) / 2)
    else:
        expected_um = surface.z_um(field.centre)
        half_range_um = min(
            scan.focus.range_um, max(2 * step_um, RANGE_DEVIATIONS * surface.deviation_um(field.centre))
        )
    microscope.move_to(context.frame.to_stage(field.centre))
    sweep = sweep_for(objective.depth_of_field_um, half_range_um, scan.exposure_ms)
    return FocusPoint(field.centre, search_focus(microscope, expected_um, sweep).z_um)


def _told(context: RunContext, surface: FocusSurface, fields: tuple[PlannedField, ...]) -> FocusSurface:
    unsure_um = max(surface.deviation_um(field.centre) for field in fields)
    context.note(
        EventLevel.INFO,
        "focus_surface",
        f"focus surface through {counted(len(surface.points), 'point')}, residual {surface.rms_um:.2f} um, "
        f"uncertainty at most {unsure_um:.1f} um",
        points=len(surface.points),
        rejected=len(surface.rejected),
        rms_um=surface.rms_um,
        worst_deviation_um=unsure_um,
    )
    return surface
