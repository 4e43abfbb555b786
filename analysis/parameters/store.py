"""The one place of fitted numbers: every parameter set is a safetensors file and a manifest, checked when read."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar, Final, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays

from analysis.errors import WeightsError
from analysis.parameters.manifest import (
    CONTENT_SUFFIX,
    MANIFEST_SUFFIX,
    Manifest,
    library_versions,
    read_manifest,
)
from analysis.parameters.names import DESCRIPTIONS, ParameterSetName
from scanner.portable.atomic_files import write_atomic

PARAMETERS_FOLDER: Final = Path(__file__).parent / "files"
STORED_AS: Final = "stored_as"
"""Metadata of a field that has another name in the file: shipped files keep their sha256."""
_MEGABYTE: Final = 1_000_000
_LEAST_SHOWN_MB: Final = 0.1


class _Coefficients(Protocol):
    """A dataclass of numbers."""

    __dataclass_fields__: ClassVar[dict[str, Any]]


Coefficients = TypeVar("Coefficients", bound=_Coefficients)


@dataclass(frozen=True, slots=True)
class ParameterSet:
    """A parameter set as it was read.

    Attributes
    ----------
    manifest
        Where it comes from.
    arrays
        Its content by name; arrays of any shape and number type.
    """

    manifest: Manifest
    arrays: Mapping[str, NDArray[Any]]

    def array(
        self, name: str, *, shape: tuple[int, ...] | None = None, columns: Sequence[str] | None = None
    ) -> NDArray[np.float64]:
        """One array of the set.

        Parameters
        ----------
        name
            Its name.
        shape
            What shape it must have; -1 stands for any length.
        columns
            What its entries along the last axis must stand for, see `Manifest.columns`.

        Returns
        -------
        NDArray[np.float64]
            The array, finite.

        Raises
        ------
        WeightsError
            Where there is no such array, its shape is another one, or it isn't finite.
        """
        if columns is not None and tuple(self.manifest.columns.get(name, ())) != tuple(columns):
            raise self._refused(f"{name!r} was fitted to other features than this version has")
        if name not in self.arrays:
            raise self._refused(f"{name!r} is missing")
        value = self.arrays[name].astype(np.float64)
        if shape is not None and (
            value.ndim != len(shape)
            or any(expected not in (-1, actual) for expected, actual in zip(shape, value.shape, strict=True))
        ):
            raise self._refused(f"{name!r} has shape {value.shape} instead of {shape}")
        if columns is not None and (value.ndim == 0 or value.shape[-1] != len(columns)):
            raise self._refused(f"{name!r} has shape {value.shape} for {len(columns)} features")
        if not np.isfinite(value).all():
            raise self._refused(f"{name!r} holds numbers that aren't finite")
        return value

    def scalar(self, name: str) -> float:
        """One number of the set.

        Raises
        ------
        WeightsError
            Where there is no such number.
        """
        return float(self.array(name, shape=()))

    def coefficients(self, coefficients_type: type[Coefficients]) -> Coefficients:
        """The set as a dataclass whose fields are its numbers.

        Parameters
        ----------
        coefficients_type
            Dataclass of floats; fields with a default are no part of the set.

        Raises
        ------
        WeightsError
            Where names differ.
        """
        stored = _fitted_fields(coefficients_type)
        expected = set(stored.values())
        if expected != self.arrays.keys():
            odd = sorted(expected ^ self.arrays.keys())
            raise self._refused(f"these are other numbers than this version has, such as {odd[0]!r}")
        return coefficients_type(**{name: self.scalar(key) for name, key in stored.items()})

    def _refused(self, reason: str) -> WeightsError:
        return WeightsError(f"the parameter set {self.manifest.name!r} can't be used: {reason}")


@dataclass(frozen=True, slots=True)
class ParameterStatus:
    """State of one parameter set, for a check of the installation.

    Attributes
    ----------
    name
        Name of the files without their endings.
    intact
        True where the files are what the manifest says.
    message
        What is wrong, or kind, size and date.
    """

    name: str
    intact: bool
    message: str


def read_content(path: Path, sha256: str) -> bytes:
    """Read a content file.

    Parameters
    ----------
    path
        The file.
    sha256
        What its manifest says it is.

    Raises
    ------
    WeightsError
        Where it is missing, damaged or not the one the manifest describes.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise WeightsError(f"the weights can't be read ({error.strerror})", path=path) from error
    if hashlib.sha256(content).hexdigest() != sha256:
        raise WeightsError("the weights are damaged: their sha256 isn't the manifest's", path=path)
    return content


def load_parameters(name: str, folder: Path = PARAMETERS_FOLDER) -> ParameterSet:
    """Read a parameter set that is what its manifest says.

    Parameters
    ----------
    name
        Name of the files without their endings, see `ParameterSetName`.
    folder
        Where they lie; the product's own by default.

    Raises
    ------
    WeightsError
        Where a file is missing, damaged or not the one the manifest describes.
    """
    manifest = read_manifest(name, folder)
    path = folder / f"{name}{CONTENT_SUFFIX}"
    content = read_content(path, manifest.sha256)
    try:
        return ParameterSet(manifest, load_arrays(content))
    except SafetensorError as error:
        raise WeightsError("the weights are no safetensors file", path=path) from error


def write_parameters(folder: Path, arrays: Mapping[str, NDArray[Any]], manifest: Manifest) -> Path:
    """Write content and manifest, each whole or not at all; the manifest last.

    Parameters
    ----------
    folder
        Made where it isn't there.
    arrays
        Content by name: arrays of any shape and number type.
    manifest
        Where it comes from; sha256 and whatever else is filled at writing may be empty.

    Returns
    -------
    Path
        The ``.safetensors`` file.
    """
    return write_content(folder, save_arrays({key: np.array(arrays[key], order="C") for key in arrays}), manifest)


def write_coefficients(folder: Path, coefficients: _Coefficients, manifest: Manifest) -> Path:
    """Write a dataclass of floats as `ParameterSet.coefficients` reads it.

    Parameters
    ----------
    folder
        Made where it isn't there.
    coefficients
        The dataclass; fields with a default are no part of the set.
    manifest
        As in `write_parameters`.

    Returns
    -------
    Path
        The ``.safetensors`` file.
    """
    stored = _fitted_fields(type(coefficients))
    arrays = {key: np.asarray(getattr(coefficients, name), np.float64) for name, key in sorted(stored.items())}
    return write_parameters(folder, arrays, manifest)


def write_content(folder: Path, content: bytes, manifest: Manifest) -> Path:
    """Write an encoded content file and its manifest, each whole or not at all; the manifest last.

    Parameters
    ----------
    folder
        Made where it isn't there.
    content
        A safetensors file.
    manifest
        As in `write_parameters`.

    Returns
    -------
    Path
        The ``.safetensors`` file.
    """
    complete = replace(
        manifest,
        description=manifest.description or DESCRIPTIONS.get(manifest.name, ""),
        sha256=hashlib.sha256(content).hexdigest(),
        calibration_sha256=manifest.calibration_digest(),
        libraries=manifest.libraries or library_versions(),
        date=manifest.date or datetime.now(tz=UTC).date().isoformat(),
    )
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{manifest.name}{CONTENT_SUFFIX}"
    write_atomic(path, content)
    write_atomic(folder / f"{manifest.name}{MANIFEST_SUFFIX}", complete.to_json().encode())
    return path


def parameter_names(folder: Path = PARAMETERS_FOLDER) -> tuple[str, ...]:
    """Names of which a folder holds a manifest or a content file, sorted."""
    endings = (MANIFEST_SUFFIX, CONTENT_SUFFIX)
    return tuple(sorted({path.stem for ending in endings for path in folder.glob(f"*{ending}")}))


def parameters_status(folder: Path = PARAMETERS_FOLDER) -> list[ParameterStatus]:
    """Check every parameter set of a folder; of the product's folder also that none is missing."""
    expected = tuple(ParameterSetName) if folder == PARAMETERS_FOLDER else ()
    names = sorted({*parameter_names(folder), *expected})
    if not names:
        return [ParameterStatus("-", False, f"there are no weights in {folder}")]
    return [_status(name, folder) for name in names]


def verify_all(folder: Path = PARAMETERS_FOLDER) -> None:
    """Check every parameter set, as a run does before the instrument moves; it takes a tenth of a second.

    Parameters
    ----------
    folder
        Where the parameter sets lie; the product's own by default.

    Raises
    ------
    WeightsError
        Naming every set that is missing or damaged.
    """
    broken = [status for status in parameters_status(folder) if not status.intact]
    if broken:
        reasons = "; ".join(f"{status.name}: {status.message}" for status in broken)
        raise WeightsError(f"parameters are missing or damaged, install them anew: {reasons}")


def _fitted_fields(coefficients_type: type[_Coefficients]) -> dict[str, str]:
    """Key in the file by name of the field."""
    return {
        each.name: each.metadata.get(STORED_AS, each.name)
        for each in fields(coefficients_type)
        if each.default is MISSING
    }


def _status(name: str, folder: Path) -> ParameterStatus:
    try:
        parameters = load_parameters(name, folder)
    except WeightsError as error:
        return ParameterStatus(name, False, str(error))
    size_bytes = (folder / f"{name}{CONTENT_SUFFIX}").stat().st_size
    manifest = parameters.manifest
    return ParameterStatus(name, True, f"{manifest.kind}, {_size_text(size_bytes)}, {manifest.date}")


def _size_text(size_bytes: int) -> str:
    megabytes = size_bytes / _MEGABYTE
    return f"{megabytes:.1f} MB" if megabytes >= _LEAST_SHOWN_MB else f"{size_bytes} bytes"
