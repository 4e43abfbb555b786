"""The map of the scanned area, in the px of an SVG drawing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from statistics import median

from acquisition.plan.density import yields_of
from acquisition.records import CandidateRecord, CandidateStatus, FieldRecord, FieldStatus
from scanner.counted import counted
from station.report.record import ReportArea, ReportedTrueCell, RunOnDisk

MAX_WIDTH_PX = 960.0
MAX_HEIGHT_PX = 640.0
MIN_MARKER_PX = 5.0
_BAR_SHARE = 0.2
# A find on an otherwise empty record still deserves a map.
_MARGIN_UM = 200.0


class MarkerKind(StrEnum):
    """What a marker of the map stands for; false and missed exist only where the truth is known."""

    CAPTURED = "captured"
    DETECTED = "found"
    NOT_SELECTED = "not_selected"
    FAILED = "failed"
    FALSE = "false"
    MISSED = "missed"


@dataclass(frozen=True, slots=True)
class MapField:
    """A field as a rectangle, in px of the drawing."""

    x: float
    y: float
    width: float
    height: float
    failed: bool
    title: str


@dataclass(frozen=True, slots=True)
class DensityField:
    """What a field adds to the area as a rectangle, in px of the drawing, with its analysable cells."""

    x: float
    y: float
    width: float
    height: float
    cells: float


@dataclass(frozen=True, slots=True)
class Marker:
    """A find or a missed cell, in px of the drawing; `target` is the find whose capture the page shows."""

    x: float
    y: float
    radius: float
    kind: MarkerKind
    title: str
    target: str | None = None


@dataclass(frozen=True, slots=True)
class SlideMap:
    """The whole drawing: sizes and positions in px, `area` in um of the slide."""

    width: float
    height: float
    area: ReportArea
    fields: tuple[MapField, ...]
    markers: tuple[Marker, ...]
    bar_px: float
    bar_label: str
    density: tuple[DensityField, ...] = ()

    def count(self, kind: str) -> int:
        """Number of markers of a kind."""
        return Counter(marker.kind.value for marker in self.markers)[kind]

    @property
    def most_cells(self) -> float:
        """Analysable cells expected on the field that has most."""
        return max((field.cells for field in self.density), default=0.0)

    @property
    def failed_fields(self) -> int:
        """Number of fields that failed."""
        return sum(field.failed for field in self.fields)


def draw_map(run: RunOnDisk) -> SlideMap | None:
    """Lay out the map of a run, x to the right and y down; None where no area, field or find is known."""
    size_um = run.field_um or _field_size_um(run.fields)
    area = run.area or _bounds(run, size_um)
    if area is None or area.x_max_um <= area.x_min_um or area.y_max_um <= area.y_min_um:
        return None
    width_um, height_um = area.x_max_um - area.x_min_um, area.y_max_um - area.y_min_um
    scale = min(MAX_WIDTH_PX / width_um, MAX_HEIGHT_PX / height_um)
    frame = _Frame(area, scale)
    bar_um = _round_length(_BAR_SHARE * width_um)
    captured = {capture.candidate_uid for capture in run.captures}
    finds = [_find_marker(item, run, frame, shown=item.uid in captured) for item in run.candidates]
    missed = [_missed_marker(cell, frame) for cell in (run.truth.missed() if run.truth else ())]
    return SlideMap(
        width=round(width_um * scale, 1),
        height=round(height_um * scale, 1),
        area=area,
        fields=tuple(_map_field(field, frame, size_um) for field in _by_place(run.fields)) if size_um else (),
        markers=tuple(finds + missed),
        bar_px=round(bar_um * scale, 1),
        bar_label=f"{bar_um / 1000:g} mm" if bar_um >= 1000 else f"{bar_um:g} µm",
        density=_density(run, frame),
    )


@dataclass(frozen=True, slots=True)
class _Frame:
    area: ReportArea
    scale: float

    def x(self, x_um: float) -> float:
        return round((x_um - self.area.x_min_um) * self.scale, 1)

    def y(self, y_um: float) -> float:
        return round((y_um - self.area.y_min_um) * self.scale, 1)

    def length(self, length_um: float) -> float:
        return round(length_um * self.scale, 1)


def _density(run: RunOnDisk, frame: _Frame) -> tuple[DensityField, ...]:
    """Fields side by side: overlaps would look like more cells."""
    step_um = _field_size_um(run.fields)
    if step_um is None:
        return ()
    yields = yields_of(run.fields, run.wanted)
    return tuple(
        DensityField(
            frame.x(field.slide_x_um - step_um[0] / 2),
            frame.y(field.slide_y_um - step_um[1] / 2),
            frame.length(step_um[0]),
            frame.length(step_um[1]),
            yields[field.index].cells,
        )
        for field in run.fields
        if field.index in yields
    )


def _map_field(field: FieldRecord, frame: _Frame, size_um: tuple[float, float]) -> MapField:
    failed = field.status is FieldStatus.FAILED
    told = f"failed: {field.error or 'no reason recorded'}" if failed else counted(field.candidates, "candidate")
    return MapField(
        frame.x(field.slide_x_um - size_um[0] / 2),
        frame.y(field.slide_y_um - size_um[1] / 2),
        frame.length(size_um[0]),
        frame.length(size_um[1]),
        failed,
        f"Field {field.index} (row {field.row}, column {field.column}): {told}",
    )


def _find_marker(item: CandidateRecord, run: RunOnDisk, frame: _Frame, *, shown: bool) -> Marker:
    cell = None if run.truth is None else run.truth.cell(item.uid)
    kind = MarkerKind(item.status.value)
    told = [f"Find {item.uid}, rank {item.rank}, score {item.score:.2f}"]
    if item.analysable is not None:
        told.append(f"analysable {item.analysable:.2f}")
    told.append(_words(item.status))
    if item.uid in run.decisions:
        told.append(f"{'accepted' if run.decisions[item.uid].accepted else 'rejected'} by a reviewer")
    if run.truth is not None and cell is None:
        kind = MarkerKind.FALSE
        told.append("false find")
    if cell is not None and cell.iscn:
        told.append(f"planted {cell.iscn}")
    if item.error:
        told.append(item.error)
    return Marker(
        frame.x(item.slide_x_um),
        frame.y(item.slide_y_um),
        max(frame.length(item.radius_um), MIN_MARKER_PX),
        kind,
        "; ".join(told),
        item.uid if shown else None,
    )


def _missed_marker(true_cell: ReportedTrueCell, frame: _Frame) -> Marker:
    iscn = f", {true_cell.iscn}" if true_cell.iscn else ""
    return Marker(
        frame.x(true_cell.slide_x_um),
        frame.y(true_cell.slide_y_um),
        max(frame.length(true_cell.radius_um), MIN_MARKER_PX),
        MarkerKind.MISSED,
        f"Missed: cell {true_cell.uid}{iscn}",
    )


def _words(status: CandidateStatus) -> str:
    return status.value.replace("_", " ")


def _by_place(fields: tuple[FieldRecord, ...]) -> list[FieldRecord]:
    """Row by row from the left: fields overlap, and drawn in the order of the scan they would look like bricks."""
    return sorted(fields, key=lambda field: (field.row, field.column))


def _field_size_um(fields: tuple[FieldRecord, ...]) -> tuple[float, float] | None:
    """The step of the grid, which is what one field adds to the scanned area."""
    step_x = _step_um(fields, lambda item: item.column, lambda item: item.slide_x_um)
    step_y = _step_um(fields, lambda item: item.row, lambda item: item.slide_y_um)
    if step_x is None and step_y is None:
        return None
    # One row or one column alone: a square is as good a guess as any for a drawing.
    return (step_x or step_y or 0.0), (step_y or step_x or 0.0)


def _step_um(
    fields: Iterable[FieldRecord],
    number: Callable[[FieldRecord], int],
    place_um: Callable[[FieldRecord], float],
) -> float | None:
    places: dict[int, list[float]] = {}
    for item in fields:
        places.setdefault(number(item), []).append(place_um(item))
    lines = sorted((line, median(values)) for line, values in places.items())
    steps = [abs(later - former) / (b - a) for (a, former), (b, later) in pairwise(lines)]
    return median(steps) if steps and median(steps) > 0 else None


def _bounds(run: RunOnDisk, size_um: tuple[float, float] | None) -> ReportArea | None:
    points = [(field.slide_x_um, field.slide_y_um) for field in run.fields]
    points += [(item.slide_x_um, item.slide_y_um) for item in run.candidates]
    if run.truth is not None:
        points += [(cell.slide_x_um, cell.slide_y_um) for cell in run.truth.cells]
    if not points:
        return None
    half_x, half_y = (size_um[0] / 2, size_um[1] / 2) if size_um else (_MARGIN_UM, _MARGIN_UM)
    xs, ys = zip(*points, strict=True)
    return ReportArea(min(xs) - half_x, min(ys) - half_y, max(xs) + half_x, max(ys) + half_y)


def _round_length(length_um: float) -> float:
    """The largest 1, 2 or 5 times a power of ten that is not longer."""
    power = 10.0 ** (len(f"{int(length_um)}") - 1)
    return next((step * power for step in (5.0, 2.0, 1.0) if step * power <= length_um), length_um)
