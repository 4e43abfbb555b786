"""The coarse pass: thin lines of fields over the glass, and the coverslip they show."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from acquisition.errors import CoverslipError
from acquisition.plan.coverslip import LocatedCoverslip, coarse_fields, find_coverslip
from acquisition.plan.edge_points import CoarseTile
from acquisition.plan.field_size import covered_um
from acquisition.protocol import DetectedArea
from scanner.coordinates import SlideFrame
from scanner.errors import FrameError
from scanner.microscope import Microscope

# A field may be black, over the label or a frame of metal; where most are, the light or the slide is at fault.
_MAX_LOST = 0.3


def detect_coverslip(
    microscope: Microscope,
    area: DetectedArea,
    exposure_ms: float,
    frame: SlideFrame,
    *,
    step: Callable[[], bool] = lambda: True,
) -> LocatedCoverslip:
    """Photograph the coarse pass with the present objective, and find the coverslip.

    An edge is seen tens of micrometres out of focus, so that the focus rests in the middle of its envelope.

    Parameters
    ----------
    microscope
        Scan objective selected, light on.
    area
        Where to look, for what size, and how sure the answer must be.
    exposure_ms
        Exposure of each field.
    frame
        How the slide lies on the stage.
    step
        Called after each field; false ends the pass.

    Raises
    ------
    CoverslipError
        No coverslip is seen surely enough, too many fields were no pictures, or `step` ended the pass.
    DeviceError
        The instrument failed.
    """
    envelope = microscope.objective.focus
    fields = coarse_fields(area, *covered_um(microscope.rig, microscope.objective, frame))
    lost: list[FrameError] = []

    def tiles() -> Iterator[CoarseTile]:
        for field in fields:
            microscope.move_to(frame.to_stage(field.centre))
            microscope.focus_to((envelope.min_um + envelope.max_um) / 2)
            try:
                yield CoarseTile.of_frame(microscope.snap(exposure_ms), frame)
            except FrameError as error:
                lost.append(error)
            if not step():
                raise CoverslipError("the coarse pass was stopped")
        if len(lost) > _MAX_LOST * len(fields):
            raise CoverslipError(
                f"{len(lost)} of {len(fields)} fields of the coarse pass are no pictures: {lost[-1]}"
            ) from lost[-1]

    return find_coverslip(tiles(), area)
