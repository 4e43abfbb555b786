"""Drives that count steps: what their rounding means for the record."""

from __future__ import annotations

from acquisition.records import EventLevel
from acquisition.run.context import RunContext


def note_steps(context: RunContext) -> None:
    """Record by how much places are rounded, where a drive counts steps.

    Parameters
    ----------
    context
        The run.
    """
    rig = context.microscope.rig
    for axis, motion in (("stage", rig.stage.motion), ("focus", rig.focus.motion)):
        if motion.um_per_step is not None:
            context.note(
                EventLevel.INFO,
                "rounded_to_steps",
                f"the {axis} counts steps of {motion.um_per_step:g} um: targets are rounded by up to "
                f"{motion.um_per_step / 2:g} um; the record has the positions read back",
                axis=axis,
                um_per_step=motion.um_per_step,
            )
