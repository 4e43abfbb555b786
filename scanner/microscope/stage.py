"""The XY stage: limits, deadlines, proof of arrival."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from scanner.coordinates import StagePoint
from scanner.device_calls import DeviceCalls
from scanner.errors import InterlockError, PositionError
from scanner.microscope.limits import check_limit
from scanner.microscope.settings import MOTION, MotionSettings
from scanner.rig import StageConfig


@dataclass(frozen=True, slots=True)
class _PendingMove:
    target: StagePoint
    earliest_s: float
    deadline_s: float


class Stage:
    """The XY stage. A move is believed when the position read back says so.

    Targets of a stage that counts steps are rounded to the nearest step within the limits.

    Parameters
    ----------
    calls
        Access to the devices.
    label
        Label of the stage.
    config
        What the rig says of it.
    before_move
        Called with the position and the target before a move is sent; raises where the move is forbidden.
    settings
        Deadlines.
    """

    def __init__(
        self,
        calls: DeviceCalls,
        label: str,
        config: StageConfig,
        *,
        before_move: Callable[[StagePoint, StagePoint], None],
        settings: MotionSettings = MOTION,
    ) -> None:
        self.label = label
        self.config = config
        self._calls = calls
        self._before_move = before_move
        self._settings = settings
        self._pending: _PendingMove | None = None
        self._target: StagePoint | None = None

    # -- position ------------------------------------------------------------------------------------------

    def position(self) -> StagePoint:
        """Position, read from the controller.

        Raises
        ------
        DeviceError
            No answer, or no number.
        """
        with self._calls.device_errors(self.label, "position"):
            x_um, y_um = self._calls.core.getXYPosition(self.label)
        return StagePoint(self._calls.finite(x_um, self.label, "x"), self._calls.finite(y_um, self.label, "y"))

    def proven_target(self) -> StagePoint:
        """Where it was sent and has been proven to be.

        Raises
        ------
        PositionError
            A move is under way, has failed, or none was made.
        """
        if self._target is None or self._pending is not None:
            raise PositionError("no proven position to photograph", device=self.label)
        return self._target

    def check_rests_at(self, target: StagePoint) -> StagePoint:
        """Read the position and prove it.

        Parameters
        ----------
        target
            Where it has to be.

        Returns
        -------
        StagePoint
            The position read back, within tolerance of `target`.

        Raises
        ------
        PositionError
            It isn't there; no position is proven any more.
        """
        here = self.position()
        tolerance_um = self.config.motion.read_back_um
        for axis, actual_um, wanted_um in (("x", here.x_um, target.x_um), ("y", here.y_um, target.y_um)):
            if abs(actual_um - wanted_um) > tolerance_um:
                self._target = None
                raise PositionError(
                    "not where it was sent",
                    device=self.label,
                    axis=axis,
                    wanted=wanted_um,
                    actual=actual_um,
                    unit="um",
                )
        return here

    def forget_position(self) -> None:
        """What lies under the objective has changed: no position is proven before the next move."""
        self._target = None

    def abandon_move(self) -> None:
        """Forget a move that was started; its end won't be asked for."""
        self._pending = None
        self._target = None

    # -- moves ---------------------------------------------------------------------------------------------

    def check_reachable(self, target: StagePoint) -> None:
        """Refuse a position outside the limits.

        Parameters
        ----------
        target
            Position.

        Raises
        ------
        LimitError
            With axis, wanted, allowed and unit.
        """
        check_limit(self.label, "x", target.x_um, self.config.x)
        check_limit(self.label, "y", target.y_um, self.config.y)

    def move_to(self, target: StagePoint, *, one_sided: bool = False) -> StagePoint:
        """Move and wait until it rests there.

        Parameters
        ----------
        target
            Where to.
        one_sided
            Arrive from below on both axes, so that backlash always lies on the same side.

        Returns
        -------
        StagePoint
            The position read back, within tolerance of `target`.

        Raises
        ------
        LimitError, InterlockError, MoveTimeoutError, MoveStoppedError, PositionError, DeviceError
            See `scanner.errors`.
        """
        if one_sided:
            self._come_from_below(target)
        self.start_move(target)
        return self.finish_move()

    def start_move(self, target: StagePoint) -> None:
        """Start a move and return at once; `finish_move` has to follow before anything else is asked.

        Parameters
        ----------
        target
            Where to.

        Raises
        ------
        LimitError, InterlockError
            Before moving.
        MoveStoppedError
            The instrument was stopped.
        DeviceError
            The controller refused.
        """
        if self._pending is not None:
            raise InterlockError("a move is still under way", device=self.label)
        self._calls.check_not_stopped(self.label)
        self.check_reachable(target)
        motion = self.config.motion
        target = StagePoint(motion.on_step(target.x_um, self.config.x), motion.on_step(target.y_um, self.config.y))
        # Until the move is proven, nothing may be photographed.
        self._target = None
        here = self.position()
        self._before_move(here, target)
        distance_um = max(abs(target.x_um - here.x_um), abs(target.y_um - here.y_um))
        start_s = self._calls.now()
        with self._calls.device_errors(self.label, "move", wanted=f"({target.x_um:.1f}, {target.y_um:.1f})"):
            self._calls.core.setXYPosition(self.label, target.x_um, target.y_um)
        duration_s = self.config.motion.duration_s(distance_um)
        allowance_s = self._settings.deadline_factor * duration_s + self._settings.deadline_margin_s
        self._pending = _PendingMove(target, start_s + duration_s, self._calls.now() + allowance_s)

    def finish_move(self) -> StagePoint:
        """Wait for the move that `start_move` began and prove its end.

        Returns
        -------
        StagePoint
            The position read back.

        Raises
        ------
        InterlockError
            No move was started.
        MoveTimeoutError, MoveStoppedError, PositionError, DeviceError
            The stage isn't where it was sent; it has been told to stop.
        """
        if self._pending is None:
            raise InterlockError("no move was started", device=self.label)
        move, self._pending = self._pending, None
        self._wait(max(0.0, move.deadline_s - self._calls.now()))
        # A device that calls itself idle sooner than it can be there is not believed.
        self._calls.wait_until(self.label, move.earliest_s)
        here = self.check_rests_at(move.target)
        self._target = move.target
        return here

    def home(self) -> StagePoint:
        """Drive to the limit switches to find zero; whoever calls has checked that nothing is in the way.

        Returns
        -------
        StagePoint
            Where it ended.

        Raises
        ------
        MoveTimeoutError, DeviceError
            It did not end.
        """
        self._target = None
        travel_um = max(span.max_um - span.min_um for span in (self.config.x, self.config.y))
        with self._calls.device_errors(self.label, "homing"):
            self._calls.core.home(self.label)
        settings = self._settings
        self._wait(settings.home_factor * self.config.motion.duration_s(travel_um) + settings.home_margin_s)
        return self.position()

    def halt(self) -> None:
        """Stop where it is; any thread.

        Raises
        ------
        DeviceError
            The controller did not obey.
        """
        with self._calls.device_errors(self.label, "stop"):
            self._calls.core.stop(self.label)

    def _wait(self, allowance_s: float) -> None:
        # A device that can't say when it has arrived must not go on moving.
        self._calls.wait_idle(self.label, allowance_s, halt=lambda: self._calls.core.stop(self.label))

    def _come_from_below(self, target: StagePoint) -> None:
        config = self.config
        if not (config.backlash_x_um or config.backlash_y_um):
            return
        self.check_reachable(target)
        here = self.position()
        margin_x_um = self._settings.backlash_margin * config.backlash_x_um
        margin_y_um = self._settings.backlash_margin * config.backlash_y_um
        if target.x_um - here.x_um >= margin_x_um and target.y_um - here.y_um >= margin_y_um:
            return
        self.move_to(
            StagePoint(
                max(target.x_um - margin_x_um, config.x.min_um), max(target.y_um - margin_y_um, config.y.min_um)
            )
        )
