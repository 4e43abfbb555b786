"""What no check of an instrument by itself can prove, and how a person or a calibration can."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from scanner.rig import Rig


@dataclass(frozen=True, slots=True)
class UnprovenProperty:
    """A property of the instrument that its read-backs don't show.

    Attributes
    ----------
    what
        The property.
    why
        Why a check can't show it, and when it was calibrated where it was.
    how
        How a person finds it out; empty where the command is enough.
    command
        The command that measures it; None where none does.
    """

    what: str
    why: str
    how: str
    command: str | None


def unproven_properties(rig: Rig, rig_argument: str, *, turret_turned: bool) -> tuple[UnprovenProperty, ...]:
    """What a check of this rig leaves open.

    Parameters
    ----------
    rig
        The instrument.
    rig_argument
        How the rig is named on the command line, for the commands that measure the property.
    turret_turned
        Whether the check turned to every objective.
    """
    calibrate = f"karyoscan rig calibrate {shlex.quote(rig_argument)}"
    oil = " --oil" if any(objective.immersion == "oil" for objective in rig.objectives) else ""
    return (
        UnprovenProperty(
            "direction of the focus drive",
            "the drive reads back its own count, not whether objective and slide come nearer",
            "with the objectives taken out, add 10 um by hand and watch (docs/how-to/new-rig.md, step 3); "
            "compare focus.direction in rig.yaml",
            None,
        ),
        UnprovenProperty(
            "handedness of the camera",
            "one picture doesn't show whether it is mirrored or turned against the stage"
            + _calibrated(rig, "pixel_geometry"),
            "",
            f"{calibrate} --what pixels",
        ),
        UnprovenProperty(
            "labels of the turret",
            "they are kept in the configuration; no turret reads the engraving of an objective"
            + ("" if turret_turned else "; the turret was not turned (--turret turns it)"),
            "compare each position with its engraving; the calibration refuses a pixel size more than 20 % off",
            f"{calibrate} --what pixels{oil}",
        ),
        UnprovenProperty(
            "parfocality",
            "focus was searched through no objective" + _calibrated(rig, "parfocal"),
            "",
            f"{calibrate} --what offsets{oil}",
        ),
        UnprovenProperty(
            "evenness of the light",
            "in one picture, shading and specimen can't be told apart" + _calibrated(rig, "flat_field"),
            "on an empty field, compare corners and centre of the picture; or measure the flat field",
            f"{calibrate} --what field{oil}",
        ),
    )


def _calibrated(rig: Rig, procedure: str) -> str:
    entries = [entry for entry in rig.calibration if entry.procedure.partition(".")[0] == procedure]
    if not entries:
        return "; never calibrated"
    return "; calibrated: " + ", ".join(
        f"{entry.procedure.partition('.')[2]} on {entry.measured_at:%Y-%m-%d}" for entry in entries
    )
