"""Protocols before a run: checked, explained, and begun from a shipped one."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel

from acquisition.dry_run import Estimate, Experience, estimate, experience_of, with_free_room
from acquisition.errors import ProtocolError, StorageError
from acquisition.plan.check import ProtocolFinding, Severity, check
from acquisition.protocol import Protocol, load_protocol
from acquisition.storage.atomic import write_bytes_atomic
from scanner.rig import Rig, load_rig
from scanner.strict_yaml import key_lines, line_of
from scanner.yaml_core import KeyPath
from station.errors import UsageError

SHIPPED = Path(__file__).parents[2] / "protocols"
"""Protocols to start from; they lie beside the packages, in a checkout and in an installation."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,79}")


@dataclass(frozen=True, slots=True)
class ProtocolVerdict:
    """What was found in one protocol file.

    Attributes
    ----------
    path
        The file.
    error
        Why it can't be read, with file and line; None where it can.
    findings
        What the rig says, refusals first; empty without a rig.
    lines
        Line of each key of the file.
    """

    path: Path
    error: str | None
    findings: tuple[ProtocolFinding, ...]
    lines: dict[KeyPath, int]

    @property
    def refused(self) -> bool:
        """Whether a run with it would not begin."""
        return self.error is not None or any(finding.level is Severity.REFUSED for finding in self.findings)

    def where(self, finding: ProtocolFinding) -> str:
        """File and line of a finding."""
        line = line_of(finding.key, self.lines)
        return f"{self.path}" if line is None else f"{self.path}:{line}"


def check_protocol(path: Path, rig: Rig | None) -> ProtocolVerdict:
    """Read a protocol, and hold it against a rig where there is one."""
    text = _text(path)
    try:
        protocol = load_protocol(path, text=text)
    except ProtocolError as error:
        return ProtocolVerdict(path, str(error), (), {})
    findings = check(protocol, rig) if rig is not None else ()
    return ProtocolVerdict(path, None, findings, key_lines(text or ""))


def _text(path: Path) -> str | None:
    """Contents of a file; None where it can't be read, which the loader then tells."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None


@dataclass(frozen=True, slots=True)
class Explanation:
    """A dry run, and where in the file each finding stands."""

    estimate: Estimate
    verdict: ProtocolVerdict


def explain_protocol(
    path: Path,
    rig_folder: Path,
    *,
    measured: Path | None = None,
    cells: int | None = None,
    out: Path | None = None,
) -> Explanation:
    """Reckon what a run would take.

    Parameters
    ----------
    path, rig_folder
        Protocol and rig.
    measured
        Folder of an earlier run on the same computer, whose own figures are used.
    cells
        Usable cells that are expected on the slide.
    out
        Where the run would write: its disk has to have room.

    Raises
    ------
    ProtocolError, RigError, PlanError, CasebookError
        Protocol, rig or earlier run can't be read.
    """
    text = _text(path)
    protocol = load_protocol(path, text=text)
    rig, _ = load_rig(rig_folder)
    experience = Experience() if measured is None else experience_of(measured)
    result = estimate(protocol, rig, experience, expected_cells=cells)
    if out is not None:
        result = with_free_room(result, _free_bytes(out))
    return Explanation(result, ProtocolVerdict(path, None, result.findings, key_lines(text or "")))


def _free_bytes(folder: Path) -> int:
    existing = next((part for part in (folder, *folder.resolve().parents) if part.exists()), Path("/"))
    try:
        return shutil.disk_usage(existing).free
    except OSError as error:
        raise StorageError(f"can't tell the room on the disk: {error.strerror}", path=folder) from error


def shipped_protocols() -> tuple[str, ...]:
    """Names of the protocols to start from."""
    return tuple(sorted(path.stem for path in SHIPPED.glob("*.yaml")))


def new_protocol(name: str, template: str, folder: Path) -> Path:
    """Write a copy of a shipped protocol under another name, comments included.

    Returns
    -------
    Path
        The new file.

    Raises
    ------
    UsageError
        No such template, no usable name, or the file exists.
    StorageError
        It can't be written.
    """
    if template not in shipped_protocols():
        raise UsageError(f"--like: found {template!r}; allowed: {', '.join(shipped_protocols())}")
    if not _NAME.fullmatch(name):
        raise UsageError(f"name: found {name!r}; allowed: letters, digits, '_', '-' and '.', at most 80")
    path = folder / f"{name}.yaml"
    if path.exists():
        raise UsageError(f"{path} exists; choose another name")
    text = (SHIPPED / f"{template}.yaml").read_text(encoding="utf-8")
    quoted = yaml.safe_dump(name, default_style='"' if not name[0].isalpha() else None).splitlines()[0]
    renamed = re.sub(r"^name: .*$", lambda _: f"name: {quoted}", text, count=1, flags=re.MULTILINE)
    load_protocol(path, text=renamed)
    folder.mkdir(parents=True, exist_ok=True)
    write_bytes_atomic(path, renamed.encode())
    return path


class SchemaOf(StrEnum):
    """Files whose schema is published."""

    PROTOCOL = "protocol"
    RIG = "rig"


_MODELS: dict[SchemaOf, tuple[type[BaseModel], str]] = {
    SchemaOf.PROTOCOL: (Protocol, "A scan protocol of KaryoScan"),
    SchemaOf.RIG: (Rig, "An instrument of KaryoScan: rig.yaml"),
}


def schema_of(what: SchemaOf) -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of a file, for editors and other programs.

    Rules between keys, such as limits that have to be in order, are beyond it: `protocol check` knows all.
    """
    model, title = _MODELS[what]
    schema = model.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": title}


def schema_text(what: SchemaOf) -> str:
    """The schema as it is published in ``docs/schemas``."""
    return json.dumps(schema_of(what), indent=2, ensure_ascii=False) + "\n"
