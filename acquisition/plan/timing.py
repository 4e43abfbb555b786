"""How long the instrument itself takes, from what the rig says of it; software comes on top."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from acquisition.plan.quantities import MS_PER_S
from acquisition.plan.tiling import PlannedField
from scanner.coordinates import SlideFrame, SlidePoint
from scanner.rig import Objective, Rig

# From one field to the next the specimen's plane rises or falls by about this.
FIELD_RISE_UM = 0.5


@dataclass(frozen=True, slots=True)
class InstrumentTiming:
    """Times of the instrument's steps, in s.

    Attributes
    ----------
    rig
        The instrument.
    """

    rig: Rig

    def stage_s(self, start: SlidePoint, end: SlidePoint, objective: Objective) -> float:
        """One stage move, settling included; through oil, long moves lower the focus and raise it again.

        Parameters
        ----------
        start, end
            Places on the slide.
        objective
            Under which the slide moves.
        """
        way_x_um, way_y_um = abs(end.x_um - start.x_um), abs(end.y_um - start.y_um)
        frame = next(iter(self.rig.slides.values()))
        if _is_turned(frame):
            way_x_um, way_y_um = way_y_um, way_x_um
        seconds = self.rig.stage.motion.duration_s(max(way_x_um, way_y_um))
        if start.distance_um(end) > objective.travel_free_um and objective.travel_drop_um > 0:
            seconds += 2 * self.rig.focus.motion.duration_s(objective.travel_drop_um)
        return seconds

    def fields_s(self, fields: Sequence[PlannedField], exposure_ms: float, objective: Objective) -> float:
        """The scan's pass: while one field is read out, stage and focus go to the next.

        A camera that overlaps exposes the next one meanwhile, too.

        Parameters
        ----------
        fields
            In the order in which they are photographed.
        exposure_ms
            Exposure of each.
        objective
            The scan's.
        """
        if not fields:
            return 0.0
        exposure_s, read_out_s = exposure_ms / MS_PER_S, self.read_out_s
        focus_s = self.rig.focus.motion.duration_s(FIELD_RISE_UM)
        total_s = exposure_s + read_out_s
        for before, after in pairwise(fields):
            way_s = self.stage_s(before.centre, after.centre, objective) + focus_s
            if self.rig.camera.overlap is not None:
                total_s += max(way_s + exposure_s, read_out_s)
            else:
                total_s += exposure_s + max(way_s, read_out_s)
        return total_s

    def plane_s(self, exposure_ms: float, step_um: float) -> float:
        """One plane of a focus search or a stack: nothing overlaps.

        Parameters
        ----------
        exposure_ms
            Exposure of the plane.
        step_um
            Distance from the plane before.
        """
        return self.rig.focus.motion.duration_s(step_um) + exposure_ms / MS_PER_S + self.read_out_s

    def picture_s(self, exposure_ms: float) -> float:
        """One picture in focus."""
        return exposure_ms / MS_PER_S + self.read_out_s

    def objective_change_s(self, turret_s: float) -> float:
        """Focus down, turret, focus up."""
        height_um = max(abs(o.focus.max_um - self.rig.focus.down_um) for o in self.rig.objectives)
        return 2 * self.rig.focus.motion.duration_s(height_um) + turret_s

    @property
    def warm_up_s(self) -> float:
        """Until a lamp that was off gives steady light."""
        return 0.0 if self.rig.lamp is None else self.rig.lamp.warm_up_s

    @property
    def read_out_s(self) -> float:
        """From the end of an exposure to the frame in memory."""
        return self.rig.camera.read_out_ms / MS_PER_S


def _is_turned(frame: SlideFrame) -> bool:
    """Whether the slide's x axis runs along the stage's y."""
    corner, along = frame.to_stage(SlidePoint(0.0, 0.0)), frame.to_stage(SlidePoint(1.0, 0.0))
    return abs(along.y_um - corner.y_um) > abs(along.x_um - corner.x_um)
