"""Protocols held against the schema and a rig, before a run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from acquisition.errors import ProtocolError
from acquisition.plan.check import ProtocolFinding, Severity, check
from acquisition.protocol import load_protocol
from scanner.rig import Rig
from scanner.strict_yaml import key_lines, line_of
from scanner.yaml_core import KeyPath


@dataclass(frozen=True, slots=True)
class ProtocolCheck:
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


def check_protocol(path: Path, rig: Rig | None) -> ProtocolCheck:
    """Read a protocol, and hold it against a rig where there is one.

    Parameters
    ----------
    path
        The file.
    rig
        Instrument that shall carry it out; None for the schema alone.
    """
    text = read_text(path)
    try:
        protocol = load_protocol(path, text=text)
    except ProtocolError as error:
        return ProtocolCheck(path, str(error), (), {})
    findings = check(protocol, rig) if rig is not None else ()
    return ProtocolCheck(path, None, findings, key_lines(text or ""))


def read_text(path: Path) -> str | None:
    """Contents of a file; None where it can't be read, which the loader then tells."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None
