"""The whole plan of a slide, from protocol and rig."""

from __future__ import annotations

from acquisition.errors import PlanError
from acquisition.plan.check import Severity, check
from acquisition.plan.field_size import covered_um
from acquisition.plan.tiling import PlannedField, serpentine
from acquisition.protocol import AnyArea, DetectedArea, Protocol
from scanner.coordinates import SlideFrame
from scanner.rig import Rig


def plan_fields(
    protocol: Protocol, rig: Rig, area: AnyArea | None = None, frame: SlideFrame | None = None
) -> tuple[PlannedField, ...]:
    """Cover the protocol's area with fields of its scan objective, in serpentine order.

    Parameters
    ----------
    protocol, rig
        What is asked for, and of what.
    area
        Covered instead of the protocol's own: the area of a coverslip that was looked for.
    frame
        How the slide lies; default: as in the rig's first slot.

    Raises
    ------
    PlanError
        The rig can't carry the protocol out; the first reason is told.
    """
    if area is None and isinstance(protocol.scan.area, DetectedArea):
        raise PlanError("scan.area: found detected; its coverslip has to be found before fields can be planned")
    refusals = [
        finding for finding in check(protocol, rig, area=area, frame=frame) if finding.level is Severity.REFUSED
    ]
    if refusals:
        more = f" (and {len(refusals) - 1} more)" if len(refusals) > 1 else ""
        raise PlanError(f"{refusals[0]}{more}")
    width_um, height_um = covered_um(rig, rig.objective(protocol.scan.objective), frame)
    return serpentine(area or protocol.scan.area, width_um, height_um, protocol.scan.overlap)


def require_possible(
    protocol: Protocol, rig: Rig, area: AnyArea | None = None, frame: SlideFrame | None = None
) -> None:
    """Refuse a protocol that a rig can't carry out; parameters as of `plan_fields`.

    Parameters
    ----------
    protocol, rig, area, frame
        As for `plan_fields`.

    Raises
    ------
    PlanError
        The first reason, with key, found and allowed.
    """
    refusals = [
        finding for finding in check(protocol, rig, area=area, frame=frame) if finding.level is Severity.REFUSED
    ]
    if refusals:
        more = f" (and {len(refusals) - 1} more)" if len(refusals) > 1 else ""
        raise PlanError(f"{refusals[0]}{more}")
