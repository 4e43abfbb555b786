"""Where a set of fitted numbers comes from: the manifest beside its content file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from enum import StrEnum
from importlib import metadata
from pathlib import Path
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from analysis.errors import WeightsError

CONTENT_SUFFIX: Final = ".safetensors"
MANIFEST_SUFFIX: Final = ".json"
LIBRARIES: Final = ("numpy", "safetensors", "scipy", "torch")
"""Libraries whose version can change what a fit comes to."""


class ParameterKind(StrEnum):
    """What a parameter set is."""

    NET = "net"
    """Weights of a neural net."""
    TABLE = "table"
    """Statistics by class, by banding technique or by feature."""
    COEFFICIENTS = "coefficients"
    """A few numbers of a formula."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """Where a parameter set comes from and how good it is.

    Attributes
    ----------
    name
        Name of the files without their endings.
    kind, description
        What the set is, and what its numbers decide; filled when one of the product's sets is written.
    net, arguments
        Of a net: its class and the arguments it was made with.
    columns
        Of an array whose entries along the last axis have names: these names, by the array's.
    data
        Examples of every data set that the numbers were fitted to.
    split
        Which part of the data sets.
    command
        Command lines that make the set again, parted by `` && ``.
    provenance
        What the command does not repeat; empty where it repeats everything.
    settings, seed, steps
        Of the fit; ``steps`` is 0 where a fit has none.
    metrics
        Figures of quality, on the split that they name.
    libraries
        Versions of the libraries, by name; filled when the set is written.
    date
        Of the fit, as ISO 8601; filled when the set is written.
    sha256
        Of the content file; filled when the set is written.
    calibration
        Of a net: numbers fitted after training on the validation split, such as a temperature.
    drift
        Of a net: mean and standard deviation of statistics of its training population.
    calibration_sha256
        Of ``calibration`` and ``drift``; filled when the set is written, empty where it has neither.
    """

    name: str
    kind: ParameterKind = ParameterKind.NET
    description: str = ""
    net: str = ""
    arguments: dict[str, Any] = field(default_factory=dict)
    columns: dict[str, list[str]] = field(default_factory=dict)
    data: dict[str, int]
    split: str
    command: str
    provenance: str = ""
    settings: dict[str, Any]
    metrics: dict[str, float]
    seed: int
    steps: int
    libraries: dict[str, str] = field(default_factory=dict)
    date: str = ""
    sha256: str = ""
    calibration: dict[str, float] = field(default_factory=dict)
    drift: dict[str, dict[str, float]] = field(default_factory=dict)
    calibration_sha256: str = ""

    @property
    def commands(self) -> tuple[str, ...]:
        """The command lines one by one."""
        return tuple(line.strip() for line in self.command.split("&&"))

    def calibration_digest(self) -> str:
        """Compute what `calibration_sha256` should be."""
        if not self.calibration and not self.drift:
            return ""
        text = json.dumps([self.calibration, self.drift], sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def to_json(self) -> str:
        """The manifest as its file holds it."""
        return json.dumps(asdict(self), indent=2, sort_keys=True) + "\n"


_MANIFEST: Final = TypeAdapter(Manifest)


def read_manifest(name: str, folder: Path) -> Manifest:
    """Read a manifest.

    Parameters
    ----------
    name
        Name of the files without their endings.
    folder
        Where they lie.

    Raises
    ------
    WeightsError
        Where it is missing or isn't a manifest.
    """
    path = folder / f"{name}{MANIFEST_SUFFIX}"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise WeightsError(f"the manifest can't be read ({error.strerror})", path=path) from error
    except ValueError as error:
        raise WeightsError("the manifest is damaged", path=path) from error
    if not isinstance(content, dict):
        raise WeightsError("the manifest is damaged", path=path)
    content = _with_libraries(content)
    if not content.keys() <= {entry.name for entry in fields(Manifest)}:
        raise WeightsError("the manifest has unknown entries", path=path)
    try:
        manifest = _MANIFEST.validate_python(content)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise WeightsError(f"the manifest has a missing or wrong entry, {place}", path=path) from error
    if not manifest.sha256:
        raise WeightsError("the manifest has no sha256 of its content", path=path)
    if manifest.calibration_sha256 not in ("", manifest.calibration_digest()):
        raise WeightsError("the manifest's calibration is damaged: its sha256 is another one", path=path)
    return manifest


def library_versions() -> dict[str, str]:
    """Versions of `LIBRARIES` by name; those that aren't installed are left out."""
    versions = {}
    for name in LIBRARIES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


def _with_libraries(content: Mapping[str, Any]) -> dict[str, Any]:
    """Bring a manifest of the first format, which named the version of torch alone, to this one."""
    renewed = dict(content)
    if "torch" in renewed:
        renewed["libraries"] = {"torch": str(renewed.pop("torch")), **renewed.get("libraries", {})}
    return renewed
