"""Pictures and the run folder on disk."""

from __future__ import annotations

from acquisition.storage.atomic import write_bytes_atomic, write_json_atomic, write_png_atomic
from acquisition.storage.capture_file import StoredCapture, read_capture, write_capture
from acquisition.storage.capture_metadata import CaptureMetadata, Immersion, Modality, ObjectiveMetadata
from acquisition.storage.run_folder import RunFolder
from acquisition.storage.spool import FrameSpool

__all__ = [
    "CaptureMetadata",
    "FrameSpool",
    "Immersion",
    "Modality",
    "ObjectiveMetadata",
    "RunFolder",
    "StoredCapture",
    "read_capture",
    "write_bytes_atomic",
    "write_capture",
    "write_json_atomic",
    "write_png_atomic",
]
