"""The plan in the vocabulary that other acquisition software understands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from useq import MDASequence, Position

from acquisition.plan.tiling import PlannedField
from scanner.coordinates import SlideFrame


def plan_as_sequence(
    fields: Sequence[PlannedField], frame: SlideFrame, metadata: Mapping[str, object]
) -> MDASequence:
    """Give the planned fields as a useq sequence, in stage um, as pymmcore-plus and napari read it.

    Parameters
    ----------
    fields
        The plan; a position each, in its order. The focus is left open, since a run measures it on the slide.
    frame
        How the slide lies on the stage.
    metadata
        Values that JSON can hold; they stand under ``karyoscan``.
    """
    places = [(field.index, frame.to_stage(field.centre)) for field in fields]
    positions = [Position(x=stage.x_um, y=stage.y_um, name=f"field-{index:05d}") for index, stage in places]
    return MDASequence(stage_positions=positions, metadata={"karyoscan": dict(metadata)})
