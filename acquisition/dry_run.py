"""What a run would take, before anything moves: fields, time, room on the disk, oil, ways, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from acquisition.plan.check import ProtocolFinding, Severity, check
from acquisition.plan.cost_model import RunCostModel
from acquisition.plan.density import CellDensity, density_of, forecast
from acquisition.plan.estimate import DiskPart, Estimate, Phase, Reach
from acquisition.plan.experience import Experience, RunFigures, disk_figures, read_run
from acquisition.plan.order import sample
from acquisition.plan.quantities import BYTES_PER_GB
from acquisition.protocol import FieldOrder, Protocol, load_protocol
from scanner.errors import RigError
from scanner.rig import Rig
from scanner.strict_yaml import load_strict

__all__ = [
    "DiskPart",
    "Estimate",
    "Experience",
    "Phase",
    "ProtocolFinding",
    "Reach",
    "Severity",
    "estimate",
    "experience_of",
    "with_free_room",
]


def estimate(
    protocol: Protocol, rig: Rig, experience: Experience | None = None, *, expected_cells: int | None = None
) -> Estimate:
    """Reckon what a run would take, without touching the instrument.

    Parameters
    ----------
    protocol, rig
        What is asked for, and of what.
    experience
        Figures of software and disk; default: the shipped ones.
    expected_cells
        Usable cells on the slide, where somebody knows; default: as many as the protocol would photograph, which
        makes time and room upper bounds.

    Returns
    -------
    Estimate
        Where the rig lacks an objective of the protocol, only the findings say anything.
    """
    experience = experience or Experience()
    findings = check(protocol, rig)
    names = {objective.name for objective in rig.objectives}
    if not {protocol.scan.objective, protocol.capture.objective} <= names:
        return Estimate(protocol.name, rig.name, experience.source, 0, 0, (), (), (), 0, findings)
    costs = RunCostModel(protocol, rig, experience, expected_cells)
    return Estimate(
        protocol=protocol.name,
        rig=rig.name,
        source=experience.source,
        fields=len(costs.fields),
        cells=len(costs.cells),
        phases=costs.phases(),
        disk=costs.disk(),
        reach=costs.reach(),
        oil_drops=costs.oil_drops(),
        findings=findings,
        forecast=None
        if experience.density is None
        else forecast(experience.density, costs.area_mm2, protocol.stop),
    )


def experience_of(folder: Path) -> Experience:
    """Figures of software and disk as an earlier run had them.

    What the run took beyond the instrument's own time, reckoned with its own protocol and rig, is laid to the
    software: the figures hold for other areas, objectives and numbers of cells on the same computer.

    Parameters
    ----------
    folder
        Folder of a run that has ended.

    Raises
    ------
    PlanError, CasebookError, ProtocolError, RigError
        There is nothing to learn from.
    """
    figures = read_run(folder)
    protocol = load_protocol(folder / "protocol.yaml", text=figures.protocol_yaml)
    rig = load_strict(Rig, folder / "rig.yaml", _rig_fault, text=figures.rig_yaml)
    bare = replace(
        Experience(source=f"run {folder.name}"), field_s=0.0, focus_point_s=0.0, capture_s=0.0, find_s=0.0
    )
    costs = RunCostModel(protocol, rig, bare, max(figures.cells, 1))
    phases = figures.phases_s
    learnt = disk_figures(bare, figures, costs.picture_bytes)
    field_s = costs.scan_s() / max(len(costs.fields), 1)
    points = max(1, protocol.scan.focus.points)
    cells = max(figures.cells, 1)
    known = Experience()
    return replace(
        learnt,
        field_s=_over(figures.field_period_s, field_s, known.field_s),
        focus_point_s=_over(_per(phases.get("focus"), points), costs.focus_s() / points, known.focus_point_s),
        capture_s=_over(figures.capture_period_s, costs.captures_s() / cells, known.capture_s),
        find_s=known.find_s if figures.find_s is None else _find_s(figures),
        karyotype_s=figures.karyotype_s or known.karyotype_s,
        worker_start_s=_worker_start_s(figures, protocol.karyotype.workers, known.worker_start_s),
        overhead_s=_overhead_s(phases, costs.coarse_s(), known.overhead_s),
        density=_density(figures, protocol, costs),
    )


def _density(figures: RunFigures, protocol: Protocol, costs: RunCostModel) -> CellDensity | None:
    if figures.field_mm2 is None:
        return None
    yields = figures.yields
    if protocol.scan.order is FieldOrder.DENSEST_FIRST:
        # What followed the thin sample was chosen for its cells, and says nothing of the slide as a whole.
        thin = {field.index for field in sample(costs.fields)}
        yields = {index: one for index, one in yields.items() if index in thin}
    return density_of(yields, figures.field_mm2)


def _over(measured_s: float | None, instrument_s: float, otherwise_s: float) -> float:
    return otherwise_s if measured_s is None else max(0.0, measured_s - instrument_s)


def _per(seconds: float | None, count: int) -> float | None:
    return None if seconds is None else seconds / count


def _find_s(figures: RunFigures) -> float:
    """Pace of the finder: where the scan waited for it, how long it took a field in all."""
    waited_s = figures.phases_s.get("search", 0.0)
    if waited_s > 0 and figures.field_period_s is not None:
        return (figures.phases_s.get("scan", 0.0) + waited_s) / figures.fields
    return min(figures.find_s or 0.0, figures.field_period_s or 0.0)


def _worker_start_s(figures: RunFigures, workers: int, otherwise_s: float) -> float:
    """What is left of the time from the first capture to the last answer, beside the analysis itself."""
    tail_s = figures.phases_s.get("karyotype")
    if tail_s is None or figures.karyotype_s is None or not figures.cells:
        return otherwise_s
    captured_s = (figures.cells - 1) * (figures.capture_period_s or 0.0)
    return max(0.0, captured_s + tail_s - figures.cells * figures.karyotype_s / workers)


def _overhead_s(phases: dict[str, float], coarse_s: float, otherwise_s: float) -> float:
    """Start and end, and what else every run does once."""
    if "total" not in phases:
        return otherwise_s
    known_s = sum(phases.get(name, 0.0) for name in ("focus", "scan", "search", "capture", "karyotype"))
    return max(0.0, phases["total"] - known_s - coarse_s)


def with_free_room(result: Estimate, free_bytes: int) -> Estimate:
    """The estimate, refused where the disk has less room than the run needs.

    Parameters
    ----------
    result
        The estimate.
    free_bytes
        Free room on the disk of the run's folder.
    """
    if result.needed_bytes <= free_bytes:
        return result
    finding = ProtocolFinding(
        Severity.REFUSED,
        ("scan", "keep_fields"),
        f"{result.needed_bytes / BYTES_PER_GB:.2f} GB needed",
        f"{free_bytes / BYTES_PER_GB:.2f} GB free",
        "the disk has no room for the run",
    )
    return replace(result, findings=(finding, *result.findings))


def _rig_fault(message: str, path: Path, line: int | None) -> RigError:
    return RigError(message, path=path, line=line)
