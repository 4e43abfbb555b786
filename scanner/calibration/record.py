"""Calibration results written into the rig, whole or not at all."""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scanner.calibration.errors import CalibrationError
from scanner.calibration.results import (
    Backlash,
    CalibrationEvidence,
    FieldImages,
    ObjectiveOffset,
    PixelGeometry,
    ReadOut,
    Result,
    StageMotion,
)
from scanner.calibration.yaml_edit import KeyPath, YamlEditError, set_value
from scanner.configuration_check import MismatchKind
from scanner.errors import RigError
from scanner.portable.atomic_files import write_atomic
from scanner.rig import RIG_FILE, CalibrationEntry, ReferenceImage, Rig, load_rig

_Edits = list[tuple[KeyPath, str]]


def write_calibration(rig_folder: Path, results: Sequence[Result]) -> Rig:
    """Write results, their dates and residuals into ``rig.yaml``; comments stay.

    Pictures are written first, then the new rig is read and checked from a file of its own, then it replaces the
    old one: whatever fails, the rig that stands there is a whole one.

    Parameters
    ----------
    rig_folder
        Folder of the rig.
    results
        What was measured.

    Returns
    -------
    Rig
        The rig as it now stands.

    Raises
    ------
    RigError
        The rig is wrong before or would be after.
    CalibrationError
        The text of the rig has no place for a value.
    """
    path = rig_folder / RIG_FILE
    rig, _ = load_rig(rig_folder, tolerated=(MismatchKind.PIXEL_SIZE,))
    text = path.read_text(encoding="utf-8")
    entries = {entry.procedure: entry for entry in rig.calibration}
    for result in results:
        edits, found = _edits_of(rig, rig_folder, result)
        for key_path, rendered in edits:
            try:
                text = set_value(text, key_path, rendered)
            except YamlEditError as error:
                raise CalibrationError("record", f"{path}: {error}") from error
        entries.update((entry.procedure, entry) for entry in found)
    try:
        text = set_value(text, ("calibration",), _render_entries(list(entries.values())))
    except YamlEditError as error:
        raise CalibrationError("record", f"{path}: {error}") from error
    # The name ends as load_rig expects of a file, and starts so that nobody takes it for the rig.
    draft = path.with_name(f".draft-{os.getpid()}.yaml")
    try:
        draft.write_text(text, encoding="utf-8", newline="\n")
        written, _ = load_rig(draft, tolerated=(MismatchKind.PIXEL_SIZE,))
    finally:
        draft.unlink(missing_ok=True)
    write_atomic(path, text.encode())
    return written


def load_reference_image(rig_folder: Path, image: ReferenceImage) -> NDArray[np.float32]:
    """Read a flat field or dark that a rig names, and prove that it is the one measured.

    Parameters
    ----------
    rig_folder
        Folder of the rig.
    image
        Name and digest, as the rig has them.

    Returns
    -------
    ndarray
        float32, shape (h, w).

    Raises
    ------
    RigError
        The file is missing, another one, or no such picture.
    """
    path = rig_folder / image.file
    try:
        data = path.read_bytes()
    except OSError as error:
        raise RigError(f"reference image can't be read: {error.strerror}", path=path) from error
    if hashlib.sha256(data).hexdigest() != image.sha256:
        raise RigError("reference image is not the one that was measured: sha256 differs", path=path)
    pixels = np.load(io.BytesIO(data), allow_pickle=False)
    if pixels.dtype != np.float32 or pixels.ndim != 2:
        raise RigError(f"reference image must be float32 (h, w), found {pixels.dtype} {pixels.shape}", path=path)
    return np.asarray(pixels, dtype=np.float32)


def _edits_of(rig: Rig, folder: Path, result: Result) -> tuple[_Edits, list[CalibrationEntry]]:
    if isinstance(result, PixelGeometry):
        return _geometry_edits(rig, result)
    if isinstance(result, ObjectiveOffset):
        return _offset_edits(rig, result)
    if isinstance(result, FieldImages):
        return _image_edits(rig, folder, result)
    if isinstance(result, Backlash):
        edits = [
            (("stage", "backlash_x_um"), _number(result.x_um, 3)),
            (("stage", "backlash_y_um"), _number(result.y_um, 3)),
        ]
        return list(edits), [_entry("backlash", result.evidence)]
    if isinstance(result, StageMotion):
        return _motion_edits(result)
    if isinstance(result, ReadOut):
        read_out: _Edits = [(("camera", "read_out_ms"), _number(result.read_out_ms, 1))]
        return read_out, [_entry("read_out", result.evidence)]
    raise CalibrationError("record", f"no writer for results of type {type(result).__name__}")


def _geometry_edits(rig: Rig, result: PixelGeometry) -> tuple[_Edits, list[CalibrationEntry]]:
    index = _index(rig, result.objective)
    edits: _Edits = [
        (("objectives", index, "um_per_px"), _number(result.um_per_px / (rig.camera.binning or 1), 6))
    ]
    if index == 0:
        # One camera serves all objectives; its mounting is taken from the reference's picture.
        edits += [
            (("camera", "rotation_deg"), _number(result.rotation_deg, 4)),
            (("camera", "flip_x"), json.dumps(result.flip_x)),
            (("camera", "flip_y"), json.dumps(result.flip_y)),
        ]
    return edits, [_entry(f"pixel_geometry.{result.objective}", result.evidence)]


def _offset_edits(rig: Rig, result: ObjectiveOffset) -> tuple[_Edits, list[CalibrationEntry]]:
    index = _index(rig, result.objective)
    values = (
        ("parcentric_x_um", result.parcentric_x_um),
        ("parcentric_y_um", result.parcentric_y_um),
        ("parfocal_um", result.parfocal_um),
    )
    edits: _Edits = [(("objectives", index, key), _number(value, 3)) for key, value in values]
    evidence = result.evidence
    focus = CalibrationEvidence(result.parfocal_residual_um, "um", evidence.measurements, evidence.measured_at)
    return edits, [
        _entry(f"parcentric.{result.objective}", evidence),
        _entry(f"parfocal.{result.objective}", focus),
    ]


def _motion_edits(result: StageMotion) -> tuple[_Edits, list[CalibrationEntry]]:
    edits: _Edits = [
        (("stage", "motion", "acceleration_um_s2"), _number(result.acceleration_um_s2, 0)),
        (("stage", "motion", "settle_ms"), _number(result.settle_ms, 1)),
    ]
    if result.speed_um_s is not None:
        edits.append((("stage", "motion", "speed_um_s"), _number(result.speed_um_s, 0)))
    return edits, [_entry("stage_motion", result.evidence)]


def _image_edits(rig: Rig, folder: Path, result: FieldImages) -> tuple[_Edits, list[CalibrationEntry]]:
    index = _index(rig, result.objective)
    flat = _write_image(folder, f"flat-{_file_stem(result.objective)}.npy", result.flat)
    edits: _Edits = [(("objectives", index, "flat_field"), flat)]
    entries = [_entry(f"flat_field.{result.objective}", result.evidence)]
    if index == 0:
        edits.append((("camera", "dark"), _write_image(folder, "dark.npy", result.dark)))
        evidence = result.evidence
        dark = CalibrationEvidence(result.dark_residual, "levels", evidence.measurements, evidence.measured_at)
        entries.append(_entry("dark", dark))
    return edits, entries


def _write_image(folder: Path, name: str, pixels: NDArray[np.float32]) -> str:
    buffer = io.BytesIO()
    np.save(buffer, pixels, allow_pickle=False)
    digest = hashlib.sha256(buffer.getvalue()).hexdigest()
    # The digest in the name keeps the picture that the old rig names until the new rig stands.
    stem, _, ending = name.rpartition(".")
    file = f"{stem}-{digest[:8]}.{ending}"
    write_atomic(folder / file, buffer.getvalue())
    return f"{{file: {file}, sha256: {json.dumps(digest)}}}"


def _index(rig: Rig, name: str) -> int:
    return rig.objectives.index(rig.objective(name))


def _entry(procedure: str, evidence: CalibrationEvidence) -> CalibrationEntry:
    return CalibrationEntry(
        procedure=procedure,
        measured_at=evidence.measured_at,
        residual=float(f"{evidence.residual:.4g}"),
        unit=evidence.unit,
        measurements=evidence.measurements,
    )


def _render_entries(entries: list[CalibrationEntry]) -> str:
    lines = [
        f"  {{procedure: {json.dumps(entry.procedure)}, measured_at: {json.dumps(entry.measured_at.isoformat())}, "
        f"residual: {_number(entry.residual, 6)}, unit: {json.dumps(entry.unit)}, "
        f"measurements: {entry.measurements}}},"
        for entry in entries
    ]
    return "\n".join(["[", *lines, "]"])


def _number(value: float, digits: int) -> str:
    # Adding nought turns a negative zero into a plain one.
    return f"{round(value, digits) + 0.0:.{digits}f}"


def _file_stem(name: str) -> str:
    return "".join(letter if letter.isalnum() else "-" for letter in name)
