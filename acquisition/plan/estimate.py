"""What a run would take, as plain figures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from acquisition.plan.check import ProtocolFinding, Severity
from acquisition.plan.density import Forecast


@dataclass(frozen=True, slots=True)
class Phase:
    """Part of a run.

    Attributes
    ----------
    name
        As in the run's own record.
    count, unit
        Of what it has how much.
    seconds
        How long it takes.
    """

    name: str
    count: int
    unit: str
    seconds: float


@dataclass(frozen=True, slots=True)
class DiskPart:
    """Files of one kind.

    Attributes
    ----------
    name
        What they are.
    count
        How many.
    size_bytes
        All together.
    stays
        False for what is gone when the run has ended.
    """

    name: str
    count: int
    size_bytes: int
    stays: bool = True


@dataclass(frozen=True, slots=True)
class Reach:
    """How far an axis goes, and may go.

    Attributes
    ----------
    axis
        ``"x"``, ``"y"`` or ``"z"``.
    low_um, high_um
        Positions of the plan.
    min_um, max_um
        Limits.
    """

    axis: str
    low_um: float
    high_um: float
    min_um: float
    max_um: float


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a run would take.

    Attributes
    ----------
    protocol, rig
        Names.
    source
        Where the figures of software and disk come from.
    fields
        Fields of the whole area; with a stop rule fewer may do.
    cells
        Captures that are reckoned with.
    phases, disk, reach
        Time, room and ways.
    oil_drops
        Drops of oil; 0 where the capture objective is dry.
    findings
        What is refused or hardly meant; refusals first.
    forecast
        Analysable cells to be expected, as an earlier run's slide had them; None without such a run.
    """

    protocol: str
    rig: str
    source: str
    fields: int
    cells: int
    phases: tuple[Phase, ...]
    disk: tuple[DiskPart, ...]
    reach: tuple[Reach, ...]
    oil_drops: int
    findings: tuple[ProtocolFinding, ...]
    forecast: Forecast | None = None

    @property
    def seconds(self) -> float:
        """Duration of the whole run."""
        return sum(phase.seconds for phase in self.phases)

    @property
    def stored_bytes(self) -> int:
        """What the run leaves on the disk."""
        return sum(part.size_bytes for part in self.disk if part.stays)

    @property
    def needed_bytes(self) -> int:
        """Room that has to be free at its start."""
        return sum(part.size_bytes for part in self.disk)

    @property
    def refused(self) -> bool:
        """Whether the run would not begin."""
        return any(finding.level is Severity.REFUSED for finding in self.findings)

    def to_json(self) -> dict[str, Any]:
        """Plain values for ``--json``."""
        return {
            "protocol": self.protocol,
            "rig": self.rig,
            "figures_from": self.source,
            "fields": self.fields,
            "cells": self.cells,
            "seconds": round(self.seconds, 1),
            "phases": [
                {"name": p.name, "count": p.count, "unit": p.unit, "seconds": round(p.seconds, 2)}
                for p in self.phases
            ],
            "stored_bytes": self.stored_bytes,
            "needed_bytes": self.needed_bytes,
            "disk": [
                {"name": p.name, "count": p.count, "bytes": p.size_bytes, "stays": p.stays} for p in self.disk
            ],
            "oil_drops": self.oil_drops,
            "analysable_cells": None if self.forecast is None else self.forecast.to_json(),
            "reach_um": [
                {"axis": r.axis, "low": r.low_um, "high": r.high_um, "min": r.min_um, "max": r.max_um}
                for r in self.reach
            ],
            "findings": [
                {
                    "level": f.level.value,
                    "key": ".".join(f.key),
                    "found": f.value,
                    "allowed": f.allowed,
                    "reason": f.reason,
                }
                for f in self.findings
            ],
            "refused": self.refused,
        }
