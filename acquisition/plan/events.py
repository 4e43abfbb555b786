"""The plan in the vocabulary that other acquisition software understands."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from useq import MDAEvent

from acquisition.plan.tiling import PlannedField
from scanner.coordinates import SlideFrame


def as_events(fields: Sequence[PlannedField], frame: SlideFrame, exposure_ms: float) -> Iterator[MDAEvent]:
    """Give the planned fields as useq events, in stage um, for previews and other viewers.

    Parameters
    ----------
    fields
        The plan.
    frame
        How the slide lies on the stage.
    exposure_ms
        Exposure of every field.

    Yields
    ------
    MDAEvent
        One a field, with position, exposure, grid place and index; the focus is left open.
    """
    for field in fields:
        stage = frame.to_stage(field.centre)
        yield MDAEvent(
            index={"p": field.index},
            x_pos=stage.x_um,
            y_pos=stage.y_um,
            exposure=exposure_ms,
            pos_name=f"field-{field.index:05d}",
            metadata={"row": field.row, "column": field.column},
        )
