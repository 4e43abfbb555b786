"""Where the specimen lies in height, before the scan starts."""

from __future__ import annotations

from acquisition.plan.tiling import PlannedField, spread_out
from acquisition.records import EventLevel
from acquisition.run.context import RunContext
from scanner.errors import DeviceError, FocusError, MoveStoppedError
from scanner.focus.search import FocusSweep, search_focus
from scanner.focus.surface import FocusPoint, FocusSurface

# Steps of the search in depths of field: the measure still falls visibly from one plane to the next.
COARSE_DEPTHS = 2.0
FINE_DEPTHS = 0.7
# Once a first plane is known, its neighbours lie within the glass' tilt, not within the whole first range.
NEXT_RANGE_SHARE = 0.4
# Fields tried for each point wanted: many fields of a slide are blank.
TRIES_PER_POINT = 3


def sweep_for(
    depth_of_field_um: float, half_range_um: float, exposure_ms: float, share: float = 1.0
) -> FocusSweep:
    """A sweep whose steps suit an objective's depth of field."""
    return FocusSweep(
        half_range_um=half_range_um,
        coarse_step_um=COARSE_DEPTHS * depth_of_field_um,
        fine_step_um=FINE_DEPTHS * depth_of_field_um,
        exposure_ms=exposure_ms,
        centre_share=share,
    )


def measure_focus_surface(context: RunContext, fields: tuple[PlannedField, ...]) -> FocusSurface | None:
    """Focus at places spread over the area and fit a surface.

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
    scan = context.protocol.scan
    microscope = context.microscope
    objective = microscope.objective
    frame = microscope.rig.slide.frame
    depth_um = objective.depth_of_field_um
    expected_um = (objective.focus.min_um + objective.focus.max_um) / 2
    half_range_um = min(scan.focus.range_um, (objective.focus.max_um - objective.focus.min_um) / 2)
    points: list[FocusPoint] = []
    last: DeviceError | None = None
    faults_in_a_row = 0
    context.listener.phase("focus", scan.focus.points)
    for field in spread_out(fields, scan.focus.points * TRIES_PER_POINT):
        if context.control.stop_requested:
            return None
        if len(points) == scan.focus.points:
            break
        sweep = sweep_for(depth_um, half_range_um, scan.exposure_ms)
        try:
            microscope.move_to(frame.to_stage(field.centre))
            result = search_focus(microscope, expected_um, sweep)
        except MoveStoppedError:
            raise
        except FocusError as error:
            last = error
            context.note(EventLevel.INFO, "focus_skipped", f"field {field.index}: {error}", field=field.index)
            continue
        except DeviceError as error:
            last = error
            faults_in_a_row += 1
            context.note(EventLevel.WARNING, "focus_failed", f"field {field.index}: {error}", field=field.index)
            if faults_in_a_row > context.protocol.errors.max_failed_fields:
                raise
            continue
        faults_in_a_row = 0
        points.append(FocusPoint(field.centre, result.z_um))
        expected_um = result.z_um
        half_range_um = max(NEXT_RANGE_SHARE * scan.focus.range_um, 2 * COARSE_DEPTHS * depth_um)
        context.listener.step("focus", f"z {result.z_um:.1f} um")
    if not points:
        raise FocusError(
            f"none of {scan.focus.points * TRIES_PER_POINT} fields could be focused",
            device=microscope.rig.devices.focus,
            axis="z",
        ) from last
    surface = FocusSurface.fit(points)
    context.note(
        EventLevel.INFO,
        "focus_surface",
        f"focus surface through {len(surface.points)} points, residual {surface.rms_um:.2f} um",
        points=len(surface.points),
        rejected=len(surface.rejected),
        rms_um=surface.rms_um,
    )
    return surface
