"""What a run scans: the protocol's area, or what lies below the coverslip that has to be found first."""

from __future__ import annotations

from acquisition.plan.coarse_pass import detect_coverslip
from acquisition.plan.scan_plan import require_possible
from acquisition.protocol import AnyArea, DetectedArea, PolygonArea
from acquisition.records import EventLevel
from acquisition.run.context import RunContext
from acquisition.run.illumination import lit, select_filters
from acquisition.storage import write_json_atomic
from scanner.errors import MoveStoppedError

COVERSLIP_NAME = "coverslip.json"
"""The area once it is known: a run that goes on scans what it began with."""


def scanned_area(context: RunContext) -> AnyArea:
    """Find the coverslip where the protocol asks for it; the protocol's own area otherwise.

    Raises
    ------
    PlanError
        The protocol can't be carried out, or no coverslip is seen surely enough.
    MoveStoppedError
        The run was asked to stop meanwhile.
    DeviceError, StorageError
        The instrument failed, or what was found can't be kept.
    """
    scan, microscope = context.protocol.scan, context.microscope
    if not isinstance(scan.area, DetectedArea):
        return scan.area
    path = context.folder.path / COVERSLIP_NAME
    if path.is_file():
        return PolygonArea.model_validate_json(path.read_text(encoding="utf-8"))
    require_possible(context.protocol, microscope.rig, frame=context.instrument.slide_frame)

    def step() -> bool:
        if context.control.stop_requested:
            raise MoveStoppedError(
                "stopped during the search for the coverslip", device=microscope.rig.devices.stage
            )
        return True

    microscope.select_objective(scan.objective)
    select_filters(context)
    with lit(context):
        found = detect_coverslip(microscope, scan.area, scan.exposure_ms, context.frame, step=step)
    area = found.area(scan.area.margin_um)
    write_json_atomic(path, area.model_dump(mode="json"))
    context.note(
        EventLevel.INFO,
        "coverslip",
        f"coverslip of {found.width_um / 1000:.1f} x {found.height_um / 1000:.1f} mm found, turned by "
        f"{found.angle_deg:.2f} degrees, confidence {found.confidence:.2f}",
        x_um=found.x_um,
        y_um=found.y_um,
        width_um=found.width_um,
        height_um=found.height_um,
        angle_deg=found.angle_deg,
        confidence=found.confidence,
    )
    return area
