"""What a fault does to a move or to a frame of the twin."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from simulators.faults import TwinFaultKind, TwinFaultPlan

FRACTION_SHORT: Final = 0.7
"""How much of a move is made that ends short: far outside every tolerance."""
FRACTION_STALLED: Final = 0.4
"""How much of a move is made before the drive stalls."""
FRACTION_LOST: Final = 0.02
"""Steps lost on a move, of its distance: as little as a slipping coupling loses."""
LEAST_LOST_UM: Final = 3.0
"""And never fewer: less than this is within what a stage repeats."""
DRIFT_UM_S: Final = 5.0
"""How fast the specimen creeps out of focus: several depths of field of the 63x between two pictures."""
DRIFT_END_UM: Final = 20.0
"""How far it creeps until it has warmed through."""
_EDGE_PARTS: Final = 8
"""A torn frame breaks no nearer to its edges than an eighth of its height, so that both parts count."""


@dataclass(frozen=True, slots=True)
class FaultyMove:
    """How a move really goes.

    Attributes
    ----------
    fraction
        How much of the distance is made.
    sticks
        The device stays busy until it is stopped.
    loses_steps
        The count goes to its end, the table not quite.
    announced
        The device calls the move made at once.
    drifts
        The specimen creeps away afterwards.
    """

    fraction: float = 1.0
    sticks: bool = False
    loses_steps: bool = False
    announced: bool = False
    drifts: bool = False

    def lost_um(self, distance_um: float) -> float:
        """Steps lost on a distance, with its sign."""
        if not self.loses_steps:
            return 0.0
        lost_um = min(abs(distance_um), max(FRACTION_LOST * abs(distance_um), LEAST_LOST_UM))
        return float(np.copysign(lost_um, distance_um))


def faulty_move_of(faults: TwinFaultPlan, device: str, note: Callable[[str], None]) -> FaultyMove:
    """What becomes of the next move of a device.

    Parameters
    ----------
    faults
        What will go wrong.
    device
        Label of the device.
    note
        Called with every fault that strikes.

    Raises
    ------
    OSError
        The controller refuses it.
    """
    if faults.strikes(TwinFaultKind.MOVE_FAILS, device):
        note("move refused")
        raise OSError(f"{device}: controller error 32, move not executed")
    # Each kind counts each move, so all of them are asked.
    struck = {
        kind: faults.strikes(kind, device)
        for kind in (
            TwinFaultKind.NEVER_IDLE,
            TwinFaultKind.MOVE_STALLS,
            TwinFaultKind.MOVE_SHORT,
            TwinFaultKind.LOST_STEPS,
            TwinFaultKind.LIES_ABOUT_ARRIVAL,
            TwinFaultKind.FOCUS_DRIFTS,
        )
    }
    for kind, is_struck in struck.items():
        if is_struck:
            note(kind.value.replace("_", " "))
    fraction = 1.0
    if struck[TwinFaultKind.MOVE_STALLS]:
        fraction = FRACTION_STALLED
    elif struck[TwinFaultKind.MOVE_SHORT]:
        fraction = FRACTION_SHORT
    return FaultyMove(
        fraction,
        sticks=struck[TwinFaultKind.NEVER_IDLE] or struck[TwinFaultKind.MOVE_STALLS],
        loses_steps=struck[TwinFaultKind.LOST_STEPS],
        announced=struck[TwinFaultKind.LIES_ABOUT_ARRIVAL],
        drifts=struck[TwinFaultKind.FOCUS_DRIFTS],
    )


def drift_um(begun_s: list[float], now_s: float) -> float:
    """How far the specimen has crept away.

    Parameters
    ----------
    begun_s
        Times at which drifts began.
    now_s
        Time.
    """
    return sum(min(DRIFT_UM_S * max(now_s - start_s, 0.0), DRIFT_END_UM) for start_s in begun_s)


@dataclass(frozen=True, slots=True)
class SpoiledFrame:
    """What a failed transfer left of a frame.

    Attributes
    ----------
    frame
        uint16, of the sound frame's shape.
    keeps_parts
        Whether it shows parts of two exposures: a torn frame.
    """

    frame: NDArray[np.uint16]
    keeps_parts: bool


def spoil_frame(
    frame: NDArray[np.uint16], before: NDArray[np.uint16] | None, full_scale: int, rng: np.random.Generator
) -> SpoiledFrame:
    """Spoil a frame as a failed transfer does: noise, a torn frame, or a broken-off one.

    Parameters
    ----------
    frame
        The sound frame, shape (h, w).
    before
        The frame that lay in the camera's memory before, of the same shape; without it nothing can be torn.
    full_scale
        Largest grey level.
    rng
        Decides which, and where.
    """
    defect = str(rng.choice(["noise", "torn", "broken off"]))
    if defect == "noise":
        return SpoiledFrame(rng.integers(0, full_scale + 1, frame.shape, dtype=np.uint16), keeps_parts=False)
    height = frame.shape[0]
    row = int(rng.integers(height // _EDGE_PARTS, (_EDGE_PARTS - 1) * height // _EDGE_PARTS))
    spoiled = frame.copy()
    if defect == "torn" and before is not None:
        spoiled[row:] = before[row:]
        return SpoiledFrame(spoiled, keeps_parts=True)
    spoiled[row:] = 0
    return SpoiledFrame(spoiled, keeps_parts=False)
