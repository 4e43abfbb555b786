"""What software and disk take beside the instrument: shipped figures, or those of an earlier run."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

from acquisition.casebook import open_casebook
from acquisition.errors import PlanError
from acquisition.plan.density import CellDensity, FieldYield, step_mm2, yields_of
from acquisition.plan.quantities import MS_PER_S
from acquisition.records import CaptureRecord, FieldRecord, FieldStatus, KaryotypeRecord, KaryotypeStatus
from acquisition.review import rejected_cells
from acquisition.storage.run_folder import CASEBOOK_NAME, RUN_JSON_NAME, SPOOL_NAME

# Steps between two fields or captures longer than this many medians are faults and waits, not the run's pace.
_OUTLIER = 5.0
# Of times that are all the same, as in records made by a program, the median may be 0.
_LEAST_STEP_S = 1e-6
# A field's lines in casebook and journal; what is left over of a small run is its fixed part.
_LARGEST_FIELD_RECORD = 1_200


@dataclass(frozen=True, slots=True)
class Experience:
    """Figures that no rig file holds.

    Attributes
    ----------
    source
        Where the figures come from.
    field_s, focus_point_s, capture_s
        Time per field, focus point and capture beyond the instrument's own.
    find_s
        Time in which the finder searches a field, beside the scan; the scan can't be faster.
    karyotype_s
        Time in which one worker karyotypes a cell.
    worker_start_s
        Time from the first capture until a worker begins with it.
    turret_s
        Time of an objective change beyond the focus drive's.
    overhead_s
        Start and end of a run.
    focus_planes, capture_planes
        Exposures of a focus search, at a focus point of the scan and on a cell.
    capture_fraction, field_fraction
        Bytes of a stored picture as a share of its pixels' bytes: at high magnification, and of a kept field.
    overview_fraction
        Bytes of the overview as a share of its pixels'.
    cell_bytes
        Beside the picture, per cell: thumbnails, karyogram, its part of the report.
    field_bytes
        Record of one field.
    run_bytes
        What every run leaves behind.
    density
        Analysable cells per area of the earlier run's slide; None where it tells nothing of that.
    """

    source: str = "shipped figures"
    field_s: float = 0.012
    focus_point_s: float = 0.6
    capture_s: float = 0.9
    find_s: float = 0.15
    karyotype_s: float = 2.5
    worker_start_s: float = 5.0
    turret_s: float = 1.5
    overhead_s: float = 4.0
    focus_planes: int = 8
    capture_planes: int = 8
    capture_fraction: float = 1.0
    field_fraction: float = 1.0
    overview_fraction: float = 0.35
    cell_bytes: int = 1_030_000
    field_bytes: int = 1_200
    run_bytes: int = 3_000_000
    density: CellDensity | None = None


@dataclass(frozen=True, slots=True)
class RunFigures:
    """What an earlier run measured of itself.

    Attributes
    ----------
    field_period_s, capture_period_s
        Mean time from one field, and one capture, to the next; None where there were fewer than two.
    find_s
        Median time of the finder on a field.
    karyotype_s
        Mean time of the analysis of a cell; None without one.
    phases_s
        Duration of each phase as the run recorded it.
    fields, cells
        Fields photographed and captures stored.
    capture_bytes
        Mean size of a stored capture; None without one.
    cell_bytes, field_bytes, run_bytes
        As in `Experience`.
    protocol_yaml, rig_yaml
        Texts that the run was made with.
    yields
        Analysable cells of each field, by its index.
    field_mm2
        What a field adds to the scanned area; None where the grid doesn't tell.
    """

    field_period_s: float | None
    capture_period_s: float | None
    find_s: float | None
    karyotype_s: float | None
    phases_s: dict[str, float]
    fields: int
    cells: int
    capture_bytes: float | None
    cell_bytes: int
    field_bytes: int
    run_bytes: int
    protocol_yaml: str
    rig_yaml: str
    yields: Mapping[int, FieldYield]
    field_mm2: float | None


def read_run(folder: Path) -> RunFigures:
    """Read what a run measured of itself.

    Parameters
    ----------
    folder
        Folder of a run that has ended.

    Raises
    ------
    PlanError
        It holds no finished run.
    CasebookError
        Its record can't be read.
    """
    if not (folder / CASEBOOK_NAME).is_file():
        raise PlanError("holds no run to learn from", path=folder)
    with open_casebook(folder / CASEBOOK_NAME, create=False) as casebook:
        summary = casebook.runs()[-1]
        uid = summary.record.uid
        fields = [field for field in casebook.fields(uid) if field.status is FieldStatus.DONE]
        captures, karyotypes = casebook.captures(uid), casebook.karyotypes(uid)
        rejected = rejected_cells(casebook, uid)
        candidates = [item for item in casebook.candidates(uid) if item.uid not in rejected]
    if not fields:
        raise PlanError("its run photographed no field: nothing to learn from", path=folder)
    sizes = [(folder / capture.path).stat().st_size for capture in captures]
    cell_bytes, field_bytes, run_bytes = _bytes(folder, len(captures), len(fields), sum(sizes))
    return RunFigures(
        field_period_s=_pace(fields),
        capture_period_s=_pace(captures),
        find_s=_median([field.find_ms / MS_PER_S for field in fields]),
        karyotype_s=_mean(_analysed(karyotypes)),
        phases_s=_phases(folder),
        fields=len(fields),
        cells=len(captures),
        capture_bytes=statistics.fmean(sizes) if sizes else None,
        cell_bytes=cell_bytes,
        field_bytes=field_bytes,
        run_bytes=run_bytes,
        protocol_yaml=summary.record.protocol_yaml,
        rig_yaml=summary.record.rig_yaml,
        yields=yields_of(fields, candidates),
        field_mm2=step_mm2(fields),
    )


def disk_figures(experience: Experience, figures: RunFigures, picture_bytes: int) -> Experience:
    """The experience with an earlier run's bytes.

    Parameters
    ----------
    experience
        What was assumed so far.
    figures
        What the earlier run took.
    picture_bytes
        Size of an uncompressed picture.
    """
    fraction = experience.capture_fraction
    if figures.capture_bytes is not None:
        fraction = figures.capture_bytes / picture_bytes
    return replace(
        experience,
        capture_fraction=fraction,
        cell_bytes=figures.cell_bytes if figures.cells else experience.cell_bytes,
        field_bytes=figures.field_bytes,
        run_bytes=figures.run_bytes,
    )


def _pace(records: Sequence[FieldRecord] | Sequence[CaptureRecord]) -> float | None:
    """Mean time from one picture to the next; waits and faults left out."""
    times = sorted(record.taken_at for record in records)
    steps = [(after - before).total_seconds() for before, after in pairwise(times)]
    if not steps:
        return None
    typical_s = statistics.median(steps)
    return statistics.fmean(step for step in steps if step <= _OUTLIER * max(typical_s, _LEAST_STEP_S))


def _median(values: Sequence[float]) -> float | None:
    return statistics.median(values) if values else None


def _mean(values: Sequence[float]) -> float | None:
    return statistics.fmean(values) if values else None


def _analysed(records: Sequence[KaryotypeRecord]) -> list[float]:
    return [record.seconds for record in records if record.status is KaryotypeStatus.PROPOSED]


def _phases(folder: Path) -> dict[str, float]:
    try:
        seconds = json.loads((folder / RUN_JSON_NAME).read_text(encoding="utf-8"))["seconds"]
        return {str(phase): float(value) for phase, value in seconds.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        # A run that was killed has no figures of its phases; its paces are known from the record all the same.
        return {}


def _bytes(folder: Path, cells: int, fields: int, captures_bytes: int) -> tuple[int, int, int]:
    """Bytes per cell beside its picture, per field, and of the rest."""
    parts = {"cell": 0, "record": 0}
    for path in folder.rglob("*"):
        if path.is_file():
            inside = path.relative_to(folder).parts
            if inside[0] in {"karyograms", "finds", "report.html"}:
                parts["cell"] += path.stat().st_size
            elif inside[0] not in {"captures", "fields", "overview.zarr", SPOOL_NAME}:
                parts["record"] += path.stat().st_size
    per_field = min(_LARGEST_FIELD_RECORD, parts["record"] // max(fields, 1))
    return parts["cell"] // max(cells, 1), per_field, max(0, parts["record"] - per_field * fields)
