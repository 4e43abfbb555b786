"""Numbers set by hand: how long devices are waited for, and what counts as a frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class MotionSettings:
    """How long a move may take, and how backlash is taken up.

    Attributes
    ----------
    deadline_factor
        A move may take this many times its computed duration: accelerations in a rig are often rounded.
    deadline_margin_s
        And so much longer, for the controller's answer.
    turret_deadline_s
        A turret has no speed in the rig; the slowest motorised ones need 2 to 3 s for a change.
    home_factor, home_margin_s
        Homing approaches the limit switches slowly: as many times the duration of a whole travel, and so much
        longer.
    backlash_margin
        How far below the target a one-sided move turns round, in times the play of the drive.
    """

    deadline_factor: float = 2.0
    deadline_margin_s: float = 1.0
    turret_deadline_s: float = 10.0
    home_factor: float = 10.0
    home_margin_s: float = 20.0
    backlash_margin: float = 4.0


@dataclass(frozen=True, slots=True)
class FrameSettings:
    """What counts as a frame, and how it is waited for.

    Attributes
    ----------
    black_level_fraction, lit_fraction
        A lit field in which fewer than `lit_fraction` of the pixels reach this fraction of full scale is a dead
        lamp or a closed shutter: background lies far above, and even a field full of stain leaves gaps.
    saturated_fraction
        With more pixels than this at full scale, dark chromosomes can't be told from clipped background.
    sure_read_out
        Until this fraction of the rig's read-out time is over, the camera isn't asked for its frame: no camera is
        much faster than its rig says, and every question costs time.
    poll_s
        Time between two questions afterwards.
    overlap_fraction
        A frame that is there so early after the next exposure, as a fraction of the rig's read-out time, can't be
        of that one: no camera is twice as fast as its rig says.
    sample_step_px
        Levels are counted on every so many rows and columns: the stage waits for the answer.
    """

    black_level_fraction: float = 0.02
    lit_fraction: float = 0.01
    saturated_fraction: float = 0.5
    sure_read_out: float = 0.95
    poll_s: float = 0.0002
    overlap_fraction: float = 0.5
    sample_step_px: int = 8


@dataclass(frozen=True, slots=True)
class AutofocusSettings:
    """How a hardware autofocus is watched.

    Attributes
    ----------
    poll_s
        Time between two questions while it searches its lock: a focus drive of 5 mm/s goes 10 um meanwhile, a
        fraction of what any objective has to the glass.
    switch_s
        It may take so long to report that it is off.
    """

    poll_s: float = 0.002
    switch_s: float = 2.0


@dataclass(frozen=True, slots=True)
class LampSettings:
    """How a lamp is waited for.

    Attributes
    ----------
    poll_s
        Time between two questions whether it is ready, and whether anybody still waits: a stop is heard so soon.
    """

    poll_s: float = 0.2


AUTOFOCUS: Final = AutofocusSettings()
LAMP: Final = LampSettings()
MOTION: Final = MotionSettings()
FRAMES: Final = FrameSettings()
