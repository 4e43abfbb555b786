"""The scan of a protocol for other acquisition software: a useq sequence, as pymmcore-plus and napari read it."""

from __future__ import annotations

from pathlib import Path

from useq import MDASequence

from acquisition.errors import PlanError
from acquisition.plan.scan_plan import plan_fields
from acquisition.plan.sequence import plan_as_sequence
from acquisition.protocol import DetectedArea, load_protocol
from acquisition.storage import write_bytes_atomic
from scanner.rig import load_rig


def scan_sequence(protocol_path: Path, rig_folder: Path) -> MDASequence:
    """The fields of a protocol's scan in their order, in stage um of a rig.

    The focus is left open, since a run measures it on the slide; objective and exposure stand in the metadata.

    Parameters
    ----------
    protocol_path, rig_folder
        Protocol file and folder of the rig.

    Raises
    ------
    ProtocolError, RigError, PlanError
        Either can't be read, the rig can't carry the protocol out, or its area is known only on the slide.
    """
    protocol = load_protocol(protocol_path)
    rig, _ = load_rig(rig_folder)
    area = protocol.scan.area
    if isinstance(area, DetectedArea):
        raise PlanError("the area is detected on the slide: there are no fields to export before a run")
    fields = plan_fields(protocol, rig, area)
    metadata = {
        "protocol": protocol.name,
        "rig": rig.name,
        "objective": protocol.scan.objective,
        "exposure_ms": protocol.scan.exposure_ms,
    }
    return plan_as_sequence(fields, rig.slide.frame, metadata)


def write_sequence(sequence: MDASequence, path: Path) -> None:
    """Write a sequence as JSON.

    Parameters
    ----------
    sequence
        The fields.
    path
        The file.

    Raises
    ------
    StorageError
        It can't be written.
    """
    text = sequence.model_dump_json(exclude_unset=True, indent=2)
    write_bytes_atomic(path, f"{text}\n".encode())
