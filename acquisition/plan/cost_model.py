"""What a run costs in time, room, oil and travel: the arithmetic of a dry run."""

from __future__ import annotations

import heapq
from itertools import pairwise

import numpy as np

from acquisition.plan.capture_order import capture_order
from acquisition.plan.coverslip import coarse_fields
from acquisition.plan.estimate import DiskPart, Phase, Reach
from acquisition.plan.experience import Experience
from acquisition.plan.field_size import covered_um
from acquisition.plan.order import densest_first, sample
from acquisition.plan.outline import area_mm2, contains
from acquisition.plan.quantities import MS_PER_S, S_PER_MIN
from acquisition.plan.tiling import PlannedField, serpentine
from acquisition.plan.timing import InstrumentTiming
from acquisition.protocol import (
    AnyArea,
    Area,
    DetectedArea,
    ExposureMode,
    FieldOrder,
    FocusStrategy,
    KeepFields,
    Protocol,
)
from scanner.coordinates import SlidePoint, stage_to_centre
from scanner.rig import Objective, Rig

SPOOL_BYTES = 256 * 1024 * 1024
"""Room that frames may take while they wait for the finder."""

OVERVIEW_UM_PER_PX = 4.0
"""Pixel size of the overview, a byte each; its smaller copies take a third more."""

_PYRAMID = 4.0 / 3.0
# Places of cells that nobody knows yet are drawn at random, always alike.
_SEED = 0
_AUTO_EXPOSURES = 4


class RunCostModel:
    """Time, room, oil and travel of one protocol on one rig.

    Parameters
    ----------
    protocol, rig
        What is asked for, and of what; the rig has the protocol's objectives.
    experience
        Figures of software and disk.
    expected_cells
        Usable cells on the slide; None where nobody knows.
    """

    def __init__(self, protocol: Protocol, rig: Rig, experience: Experience, expected_cells: int | None) -> None:
        self._protocol, self._rig, self._experience = protocol, rig, experience
        self._timing = InstrumentTiming(rig)
        self._scan = rig.objective(protocol.scan.objective)
        self._high = rig.objective(protocol.capture.objective)
        self._area = _likely_area(protocol.scan.area)
        size_um = covered_um(rig, self._scan)
        self._coarse = (
            coarse_fields(protocol.scan.area, *size_um) if isinstance(protocol.scan.area, DetectedArea) else ()
        )
        self.fields = serpentine(self._area, *size_um, protocol.scan.overlap)
        self.picture_bytes = 2 * rig.camera.width_px * rig.camera.height_px
        number = protocol.capture.number
        count = number if expected_cells is None else min(number, expected_cells)
        self.cells = _scattered(self._area, count)
        self._order = capture_order(self.cells, protocol.capture.max_rank_delay)
        self._expected_cells = expected_cells

    @property
    def area_mm2(self) -> float:
        """What is to be scanned."""
        return area_mm2(self._area.outline_um)

    # -- time ----------------------------------------------------------------------------------------------

    def phases(self) -> tuple[Phase, ...]:
        """Parts of the run, in order."""
        scanned, cells = len(self._scanned()), len(self.cells)
        scan_s, captures_s = self.scan_s(), self.captures_s() if cells else 0.0
        searched_s = scanned * self._experience.find_s
        phases = [Phase("prepare", 1, "run", self._experience.overhead_s + self._timing.warm_up_s)]
        if self._coarse:
            phases.append(Phase("coverslip", len(self._coarse), "fields", self.coarse_s()))
        phases += [
            Phase("focus", self._protocol.scan.focus.points, "points", self.focus_s()),
            Phase("scan", scanned, "fields", scan_s),
            Phase("search", scanned, "fields", max(0.0, searched_s - scan_s)),
        ]
        if cells:
            phases.append(Phase("capture", cells, "cells", captures_s + self._change_s()))
        if cells and self._protocol.karyotype.enabled:
            phases.append(Phase("karyotype", cells, "cells", self._analysis_tail_s(captures_s / cells)))
        return tuple(phases)

    def _scanned(self) -> tuple[PlannedField, ...]:
        """The fields in the order in which they are photographed, as far as the stop rule lets them."""
        fields = self.fields
        if self._protocol.scan.order is FieldOrder.DENSEST_FIRST:
            first = sample(fields)
            # Where cells lie nobody knows yet: as if every field of the sample had shown one.
            fields = (*first, *densest_first(fields, {field.index: 1.0 for field in first}))
        wanted, expected = self._protocol.stop.cells, self._expected_cells
        if wanted is None or not expected:
            return fields
        return fields[: max(1, round(len(fields) * min(1.0, wanted / expected)))]

    def scan_s(self) -> float:
        """The pass at low magnification; searching the frames goes on beside it."""
        scan = self._protocol.scan
        fields = self._scanned()
        seconds = self._timing.fields_s(fields, scan.exposure_ms, self._scan)
        seconds += len(fields) * self._experience.field_s
        if scan.focus.strategy is FocusStrategy.EACH_FIELD:
            seconds += len(fields) * self._search_s(self._scan, scan.exposure_ms, self._experience.focus_planes)
        if scan.focus.strategy is FocusStrategy.HARDWARE and self._rig.autofocus is not None:
            seconds += len(fields) * self._rig.autofocus.settle_ms / MS_PER_S
        if self._protocol.stop.max_minutes is not None:
            seconds = min(seconds, S_PER_MIN * self._protocol.stop.max_minutes)
        return seconds

    def focus_s(self) -> float:
        """The focus points before the scan."""
        scan = self._protocol.scan
        points = scan.focus.points
        corners = [SlidePoint(x, y) for x, y in self._area.outline_um]
        travel_s = sum(self._timing.stage_s(a, b, self._scan) for a, b in pairwise(corners)) / (len(corners) - 1)
        search_s = self._search_s(self._scan, scan.exposure_ms, self._experience.focus_planes)
        auto_s = _AUTO_EXPOSURES * self._timing.picture_s(scan.exposure_ms)
        return points * (travel_s + search_s + self._experience.focus_point_s) + (
            auto_s if scan.exposure is ExposureMode.AUTO else 0.0
        )

    def captures_s(self) -> float:
        """All captures without the change of the objective."""
        capture = self._protocol.capture
        if not self.cells:
            return 0.0
        route = [self.cells[index] for index in self._order]
        seconds = sum(self._timing.stage_s(a, b, self._high) for a, b in pairwise(route))
        pictures = 1 + (2 if capture.check_still else 0)
        each_s = self._search_s(self._high, capture.exposure_ms, self._experience.capture_planes)
        each_s += pictures * self._timing.picture_s(capture.exposure_ms)
        each_s += (capture.z_stack.planes if capture.z_stack.planes > 1 else 0) * self._timing.plane_s(
            capture.exposure_ms, capture.z_stack.step_um
        )
        drop_s = self._rig.oiler.drop_s if self._rig.oiler is not None else 0.0
        return seconds + len(route) * (each_s + self._experience.capture_s) + self.oil_drops() * drop_s

    def _search_s(self, objective: Objective, exposure_ms: float, planes: int) -> float:
        return planes * self._timing.plane_s(exposure_ms, 2 * objective.depth_of_field_um)

    def coarse_s(self) -> float:
        """The coarse pass, where the coverslip has to be found."""
        exposure_ms = self._protocol.scan.exposure_ms
        return self._timing.fields_s(self._coarse, exposure_ms, self._scan) + len(self._coarse) * (
            self._experience.field_s
        )

    def _change_s(self) -> float:
        return self._timing.objective_change_s(self._experience.turret_s)

    def _analysis_tail_s(self, pace_s: float) -> float:
        """How long the workers go on after the last capture."""
        # Workers are started with the first capture, and load the analysis before they begin.
        free_at = [pace_s + self._experience.worker_start_s] * self._protocol.karyotype.workers
        heapq.heapify(free_at)
        last_s = 0.0
        for number in range(1, len(self.cells) + 1):
            begin_s = max(number * pace_s, heapq.heappop(free_at))
            last_s = begin_s + self._experience.karyotype_s
            heapq.heappush(free_at, last_s)
        return max(0.0, max(free_at, default=last_s) - len(self.cells) * pace_s)

    # -- disk ----------------------------------------------------------------------------------------------

    def disk(self) -> tuple[DiskPart, ...]:
        """What the run writes."""
        protocol, experience = self._protocol, self._experience
        scanned, cells = len(self._scanned()), len(self.cells)
        planes = protocol.capture.z_stack.planes
        # The sharpest plane of a stack is stored as the capture, beside the planes.
        pictures = cells * (planes + 1 if planes > 1 else 1)
        parts = [
            DiskPart("captures", pictures, round(pictures * self.picture_bytes * experience.capture_fraction)),
            DiskPart("karyograms, thumbnails, report", cells, cells * experience.cell_bytes),
            DiskPart("record", 1, experience.run_bytes + scanned * experience.field_bytes),
        ]
        if protocol.scan.keep_fields is not KeepFields.NONE:
            bounds = self._area.bounds
            pixels = bounds.width_um * bounds.height_um / OVERVIEW_UM_PER_PX**2
            parts.append(DiskPart("overview", 1, round(pixels * _PYRAMID * experience.overview_fraction)))
        if protocol.scan.keep_fields is KeepFields.ALL:
            parts.append(
                DiskPart("fields", scanned, round(scanned * self.picture_bytes * experience.field_fraction))
            )
        slots = min(scanned, SPOOL_BYTES // self.picture_bytes)
        parts.append(DiskPart("spool", slots, slots * self.picture_bytes, stays=False))
        return tuple(part for part in parts if part.count)

    # -- travel and oil ------------------------------------------------------------------------------------

    def oil_drops(self) -> int:
        """Drops for the captures: each serves what lies within the oiler's reach, one all where a person oils."""
        if self._high.immersion != "oil" or not self.cells:
            return 0
        if self._rig.oiler is None:
            return 1
        drops: list[SlidePoint] = []
        for index in self._order:
            cell = self.cells[index]
            if all(cell.distance_um(drop) > self._rig.oiler.spot_radius_um for drop in drops):
                drops.append(cell)
        return len(drops)

    def reach(self) -> tuple[Reach, ...]:
        """How far the axes go, over all slots of the rig."""
        rig = self._rig
        places = [
            place
            for frame in rig.slides.values()
            for place in (
                *(frame.to_stage(field.centre) for field in (*self.fields, *self._coarse)),
                *(
                    stage_to_centre(frame.to_stage(SlidePoint(x, y)), self._high.parcentric)
                    for x, y in self._area.outline_um
                ),
            )
        ]
        xs, ys = [p.x_um for p in places], [p.y_um for p in places]
        top_um = max(self._scan.focus.max_um, self._high.focus.max_um)
        focus, stage = rig.focus, rig.stage
        return (
            Reach("x", min(xs), max(xs), stage.x.min_um, stage.x.max_um),
            Reach("y", min(ys), max(ys), stage.y.min_um, stage.y.max_um),
            Reach("z", focus.down_um, top_um, focus.z.min_um, focus.z.max_um),
        )


def _likely_area(area: AnyArea) -> AnyArea:
    """The area itself; of a coverslip that has to be found, one of its size in the middle of the search."""
    if not isinstance(area, DetectedArea):
        return area
    if area.size_mm is None:
        return area.search
    search = area.search
    middle_x, middle_y = (search.x_min_um + search.x_max_um) / 2, (search.y_min_um + search.y_max_um) / 2
    half_x, half_y = area.size_mm.width_um / 2 - area.margin_um, area.size_mm.height_um / 2 - area.margin_um
    return Area(
        x_min_um=middle_x - half_x,
        y_min_um=middle_y - half_y,
        x_max_um=middle_x + half_x,
        y_max_um=middle_y + half_y,
    )


def _scattered(area: AnyArea, count: int) -> tuple[SlidePoint, ...]:
    """Places of cells, evenly at random."""
    rng = np.random.default_rng(_SEED)
    bounds = area.bounds
    places: list[SlidePoint] = []
    while len(places) < count:
        x, y = (
            float(rng.uniform(bounds.x_min_um, bounds.x_max_um)),
            float(rng.uniform(bounds.y_min_um, bounds.y_max_um)),
        )
        if contains(area.outline_um, x, y):
            places.append(SlidePoint(x, y))
    return tuple(places)
