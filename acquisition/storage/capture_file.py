"""High-magnification pictures as OME-TIFF."""

from __future__ import annotations

import hashlib
import io
import struct
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray

from acquisition.errors import StorageError
from acquisition.storage.atomic import write_bytes_atomic
from acquisition.storage.capture_metadata import CaptureMetadata
from acquisition.storage.ome_xml import from_ome_xml, to_ome_xml

_UM_PER_CM = 10_000


@dataclass(frozen=True, slots=True)
class StoredCapture:
    """A picture read back.

    Attributes
    ----------
    pixels
        uint16, shape (height_px, width_px).
    metadata
        What the file says of its making.
    """

    pixels: NDArray[np.uint16]
    metadata: CaptureMetadata


def write_capture(path: Path, pixels: NDArray[np.uint16], metadata: CaptureMetadata) -> str:
    """Write a picture with its metadata as OME-TIFF, whole or not at all.

    Parameters
    ----------
    path
        File to write, by convention ``*.ome.tiff``; its folder has to exist.
    pixels
        uint16, shape (height_px, width_px); no value may need more than `metadata.significant_bits`.
    metadata
        Where, when and with what the picture was taken.

    Returns
    -------
    str
        SHA-256 of the file, as 64 hexadecimal digits.

    Raises
    ------
    DiskFullError
        There is no room; nothing is left behind.
    StorageError
        Anything else went wrong; nothing is left behind.
    """
    if pixels.dtype != np.uint16 or pixels.ndim != 2 or pixels.size == 0:
        raise StorageError(f"no capture: {pixels.dtype} of shape {pixels.shape}", path=path)
    brightest = int(pixels.max())
    if brightest >= 1 << metadata.significant_bits:
        raise StorageError(f"pixel value {brightest} does not fit {metadata.significant_bits} bits", path=path)
    height_px, width_px = pixels.shape
    pixels_per_cm = _UM_PER_CM / metadata.um_per_px
    buffer = io.BytesIO()
    tifffile.imwrite(
        buffer,
        np.ascontiguousarray(pixels),
        photometric="minisblack",
        description=to_ome_xml(metadata, width_px=width_px, height_px=height_px),
        metadata=None,
        resolution=(pixels_per_cm, pixels_per_cm),
        resolutionunit="CENTIMETER",
        software="KaryoScan",
        datetime=metadata.taken_at.astimezone(UTC).strftime("%Y:%m:%d %H:%M:%S"),
    )
    content = buffer.getvalue()
    write_bytes_atomic(path, content)
    return hashlib.sha256(content).hexdigest()


def read_capture(path: Path, *, sha256: str | None = None) -> StoredCapture:
    """Read a picture that `write_capture` wrote.

    Parameters
    ----------
    path
        File to read.
    sha256
        What the casebook says; a file that differs is refused.

    Raises
    ------
    StorageError
        The file is missing, damaged, altered or not one of ours.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise StorageError(f"can't be read: {error.strerror}", path=path) from error
    if sha256 is not None and hashlib.sha256(content).hexdigest() != sha256:
        raise StorageError("is not the file that was recorded (SHA-256 differs)", path=path)
    try:
        with tifffile.TiffFile(io.BytesIO(content)) as tiff:
            pixels = tiff.pages.first.asarray()
            description = tiff.ome_metadata
    except (tifffile.TiffFileError, struct.error, ValueError, LookupError, TypeError) as error:
        raise StorageError(f"is not a whole TIFF: {error}", path=path) from error
    if description is None:
        raise StorageError("is not an OME-TIFF", path=path)
    try:
        metadata = from_ome_xml(description)
    except ValueError as error:
        raise StorageError(f"has metadata of another form: {error}", path=path) from error
    if pixels.dtype != np.uint16 or pixels.ndim != 2:
        raise StorageError(f"no capture: {pixels.dtype} of shape {pixels.shape}", path=path)
    return StoredCapture(pixels, metadata)
