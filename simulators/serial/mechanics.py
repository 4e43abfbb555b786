"""What a simulated controller moves: axes of its own, or those of the digital twin."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Protocol

from simulators.clock import Clock, advances_itself
from simulators.motion import Axis, Drive
from simulators.twin import Twin


class Mechanics(Protocol):
    """Axes by name (``x``, ``y``, ``z``), in um of the machine; all methods may be called from any thread."""

    @property
    def clock(self) -> Clock:
        """Time."""

    @property
    def limits_um(self) -> Mapping[str, tuple[float, float]]:
        """Ends of travel by axis; other axes aren't there."""

    def position_um(self, axis: str) -> float:
        """Where an axis is, under way too."""

    def is_moving(self, axis: str) -> bool:
        """Whether it moves or settles."""

    def send(self, targets_um: Mapping[str, float]) -> None:
        """Start axes together.

        Raises
        ------
        OSError
            A fault: the move does not start.
        """

    def halt(self, axes: Iterable[str]) -> None:
        """Stop axes where they are."""

    def set_speed(self, axis: str, speed_um_s: float) -> None:
        """Change the speed of an axis from its next move on, where the mechanics allow it.

        Parameters
        ----------
        axis
            Name of the axis.
        speed_um_s
            Its new top speed.
        """


STAGE_DRIVE = Drive(20_000.0, 200_000.0, 0.0)
FOCUS_DRIVE = Drive(2_000.0, 20_000.0, 0.0)
TRAVEL_UM: Mapping[str, tuple[float, float]] = MappingProxyType(
    {"x": (0.0, 120_000.0), "y": (0.0, 100_000.0), "z": (0.0, 5_000.0)}
)


class FreeMechanics:
    """Axes of its own.

    Parameters
    ----------
    clock
        Time.
    limits_um
        Ends of travel by axis.

    Attributes
    ----------
    lowest_um, highest_um
        The farthest places to which an axis was ever sent, by axis.
    """

    def __init__(self, clock: Clock, limits_um: Mapping[str, tuple[float, float]] = TRAVEL_UM) -> None:
        self.clock = clock
        self.limits_um = dict(limits_um)
        self._lock = threading.RLock()
        self._axes = {
            name: Axis(FOCUS_DRIVE if name == "z" else STAGE_DRIVE, sum(limits) / 2.0)
            for name, limits in limits_um.items()
        }
        self.lowest_um = {name: axis.target_um for name, axis in self._axes.items()}
        self.highest_um = dict(self.lowest_um)

    def position_um(self, axis: str) -> float:
        """Where an axis is, under way too."""
        with self._lock:
            return self._axes[axis].position_um(self.clock.now_s())

    def is_moving(self, axis: str) -> bool:
        """Whether it moves."""
        with self._lock:
            return self._axes[axis].is_moving(self.clock.now_s())

    def send(self, targets_um: Mapping[str, float]) -> None:
        """Start axes together."""
        with self._lock:
            now_s = self.clock.now_s()
            durations = [0.0]
            for name, target_um in targets_um.items():
                self.lowest_um[name] = min(self.lowest_um[name], target_um)
                self.highest_um[name] = max(self.highest_um[name], target_um)
                durations.append(self._axes[name].send(target_um, now_s))
            if not advances_itself(self.clock):
                self.clock.sleep_s(max(durations))

    def halt(self, axes: Iterable[str]) -> None:
        """Stop axes where they are."""
        with self._lock:
            for name in axes:
                self._axes[name].halt(self.clock.now_s())

    def set_speed(self, axis: str, speed_um_s: float) -> None:
        """Change the speed of an axis from its next move on.

        Parameters
        ----------
        axis
            Name of the axis.
        speed_um_s
            Its new top speed.
        """
        with self._lock:
            mover = self._axes[axis]
            mover.drive = replace(mover.drive, speed_um_s=speed_um_s)


class TwinMechanics:
    """Axes of the digital twin, so that its camera looks where the serial controller went.

    Parameters
    ----------
    twin
        The twin.
    stage, focus
        Labels by which the twin's faults know the devices.
    """

    def __init__(self, twin: Twin, stage: str = "XY", focus: str = "Z") -> None:
        self._twin = twin
        self._stage = stage
        self._focus = focus

    @property
    def clock(self) -> Clock:
        """The twin's clock."""
        return self._twin.clock

    @property
    def limits_um(self) -> Mapping[str, tuple[float, float]]:
        """Ends of the twin's travel."""
        configuration = self._twin.configuration
        return {"x": configuration.x_limits_um, "y": configuration.y_limits_um, "z": configuration.z_limits_um}

    def position_um(self, axis: str) -> float:
        """Where an axis is, under way too."""
        if axis == "z":
            return self._twin.focus_um()
        return self._twin.stage_um()[0 if axis == "x" else 1]

    def is_moving(self, axis: str) -> bool:
        """Whether it moves, settles or pretends to."""
        if axis == "z":
            return self._twin.is_focus_busy(self._focus)
        return self._twin.is_stage_busy(self._stage)

    def send(self, targets_um: Mapping[str, float]) -> None:
        """Start axes together."""
        if "x" in targets_um or "y" in targets_um:
            x_um, y_um = self._twin.stage_um()
            self._twin.move_stage(targets_um.get("x", x_um), targets_um.get("y", y_um), self._stage)
        if "z" in targets_um:
            self._twin.move_focus(targets_um["z"], self._focus)

    def halt(self, axes: Iterable[str]) -> None:
        """Stop axes where they are."""
        axes = set(axes)
        if axes & {"x", "y"}:
            self._twin.halt(self._stage, self._twin.x, self._twin.y)
        if "z" in axes:
            self._twin.halt(self._focus, self._twin.z)

    def set_speed(self, axis: str, speed_um_s: float) -> None:
        """Nothing: the twin's drives are what they are.

        Parameters
        ----------
        axis
            Name of the axis.
        speed_um_s
            Its new top speed.
        """
