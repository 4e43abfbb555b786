"""What a fault does to a move or to a frame of the twin."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simulators.faults import TwinFaultKind, TwinFaultPlan

# How much of a move is made before a fault ends it.
SHARE_SHORT = 0.7
SHARE_STALLED = 0.4
# Steps lost on a move: a share of its way, and never so few that nobody could care.
SHARE_LOST = 0.02
LEAST_LOST_UM = 3.0
# How fast the specimen creeps out of focus, and when it has warmed through.
DRIFT_UM_S = 5.0
DRIFT_END_UM = 20.0


@dataclass(frozen=True, slots=True)
class FaultyMove:
    """How a move really goes.

    Attributes
    ----------
    share
        How much of the way is made.
    sticks
        The device stays busy until it is stopped.
    loses_steps
        The count goes to its end, the table not quite.
    announced
        The device calls the move made at once.
    drifts
        The specimen creeps away afterwards.
    """

    share: float = 1.0
    sticks: bool = False
    loses_steps: bool = False
    announced: bool = False
    drifts: bool = False

    def lost_um(self, way_um: float) -> float:
        """Steps lost on a way, with its sign."""
        if not self.loses_steps:
            return 0.0
        return float(np.copysign(min(abs(way_um), max(SHARE_LOST * abs(way_um), LEAST_LOST_UM)), way_um))


def faulty_move_of(faults: TwinFaultPlan, device: str, tell: Callable[[str], None]) -> FaultyMove:
    """What becomes of the next move of a device.

    Raises
    ------
    OSError
        The controller refuses it.
    """
    if faults.strikes(TwinFaultKind.MOVE_FAILS, device):
        tell("move refused")
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
            tell(kind.value.replace("_", " "))
    share = 1.0
    if struck[TwinFaultKind.MOVE_STALLS]:
        share = SHARE_STALLED
    elif struck[TwinFaultKind.MOVE_SHORT]:
        share = SHARE_SHORT
    return FaultyMove(
        share,
        sticks=struck[TwinFaultKind.NEVER_IDLE] or struck[TwinFaultKind.MOVE_STALLS],
        loses_steps=struck[TwinFaultKind.LOST_STEPS],
        announced=struck[TwinFaultKind.LIES_ABOUT_ARRIVAL],
        drifts=struck[TwinFaultKind.FOCUS_DRIFTS],
    )


def drift_um(begun_s: list[float], now_s: float) -> float:
    """How far the specimen has crept away by now, from drifts that began at these times."""
    return sum(min(DRIFT_UM_S * max(now_s - start_s, 0.0), DRIFT_END_UM) for start_s in begun_s)


def garbage(
    frame: NDArray[np.uint16], before: NDArray[np.uint16] | None, full_scale: int, rng: np.random.Generator
) -> tuple[NDArray[np.uint16], str]:
    """What is left of a frame whose transfer went wrong: noise, a torn frame, or a broken-off one.

    Parameters
    ----------
    frame
        The sound frame, shape (h, w).
    before
        The frame that lay in the camera's memory before; without it nothing can be torn.
    full_scale
        Largest grey level.
    rng
        Decides which, and where.

    Returns
    -------
    frame, what
        Another frame of the same shape, and one word for the record.
    """
    what = str(rng.choice(["noise", "torn", "broken off"]))
    if what == "noise":
        return rng.integers(0, full_scale + 1, frame.shape, dtype=np.uint16), what
    row = int(rng.integers(frame.shape[0] // 8, 7 * frame.shape[0] // 8))
    spoiled = frame.copy()
    if what == "torn" and before is not None:
        spoiled[row:] = before[row:]
    else:
        what = "broken off"
        spoiled[row:] = 0
    return spoiled, what
