"""The focus drive: deadlines, proof of arrival, and which way leads to the specimen."""

from __future__ import annotations

from collections.abc import Callable

from pymmcore_plus import FocusDirection

from scanner.device_calls import DeviceCalls
from scanner.errors import PositionError, RigError
from scanner.microscope.settings import MOTION, MotionSettings
from scanner.rig import FocusConfig, FocusSense


class FocusDrive:
    """The focus drive. A higher z is nearer to the specimen, whichever way the drive itself counts.

    Parameters
    ----------
    calls
        Access to the devices.
    label
        Label of the drive.
    config
        What the rig says of it.
    sign
        1 where the drive counts up towards the specimen, -1 where it counts down; see `focus_sign`.
    before_move
        Called before a move is sent; raises where the drive isn't free.
    settings
        Deadlines.
    """

    def __init__(
        self,
        calls: DeviceCalls,
        label: str,
        config: FocusConfig,
        *,
        sign: int,
        before_move: Callable[[], None] = lambda: None,
        settings: MotionSettings = MOTION,
    ) -> None:
        self.label = label
        self.config = config
        self._calls = calls
        self._sign = sign
        self._before_move = before_move
        self._settings = settings

    def position_um(self) -> float:
        """Position, read from the controller.

        Raises
        ------
        DeviceError
            No answer, or no number.
        """
        with self._calls.device_errors(self.label, "position"):
            drive_um = self._calls.core.getPosition(self.label)
        return self._sign * self._calls.finite(drive_um, self.label, "z")

    def is_down(self) -> bool:
        """Whether it rests where nothing can touch."""
        return self.position_um() <= self.config.down_um + self.config.motion.tolerance_um

    def move_to(self, z_um: float, *, stoppable: bool = True) -> float:
        """Move and wait until it rests there; limits and interlocks have been checked by whoever calls.

        Parameters
        ----------
        z_um
            Where to.
        stoppable
            Whether a stop of the instrument ends the move, and something that holds the drive may forbid it.

        Returns
        -------
        float
            The position read back, um.

        Raises
        ------
        MoveTimeoutError, MoveStoppedError, PositionError, DeviceError
            The drive isn't where it was sent; it has been told to stop.
        """
        if stoppable:
            self._calls.check_not_stopped(self.label)
            self._before_move()
        motion = self.config.motion
        z_um = motion.on_step(z_um, self.config.z)
        duration_s = motion.duration_s(abs(z_um - self.position_um()))
        start_s = self._calls.now()
        with self._calls.device_errors(self.label, "move", wanted=f"{z_um:.2f}"):
            self._calls.core.setPosition(self.label, self._sign * z_um)
        allowance_s = self._settings.deadline_factor * duration_s + self._settings.deadline_margin_s
        self._calls.wait_idle(
            self.label, allowance_s, stoppable=stoppable, halt=lambda: self._calls.core.stop(self.label)
        )
        # A device that calls itself idle sooner than it can be there is not believed.
        self._calls.wait_until(self.label, start_s + duration_s, stoppable=stoppable)
        here_um = self.position_um()
        if abs(here_um - z_um) > motion.read_back_um:
            raise PositionError(
                "not where it was sent", device=self.label, axis="z", wanted=z_um, actual=here_um, unit="um"
            )
        return here_um

    def lower(self, *, stoppable: bool = True) -> None:
        """Bring the objective away from the slide, to the position in which nothing can touch.

        Parameters
        ----------
        stoppable
            False lowers an instrument that was stopped, too: lowering is always safe.

        Raises
        ------
        MoveTimeoutError, MoveStoppedError, PositionError, DeviceError
            As `move_to`.
        """
        self.move_to(self.config.down_um, stoppable=stoppable)

    def halt(self) -> None:
        """Stop where it is; any thread.

        Raises
        ------
        DeviceError
            The controller did not obey.
        """
        with self._calls.device_errors(self.label, "stop"):
            self._calls.core.stop(self.label)


def focus_sign(calls: DeviceCalls, label: str, config: FocusConfig, *, simulated: bool) -> int:
    """Which way the drive counts: 1 up towards the specimen, -1 down.

    Parameters
    ----------
    calls
        Access to the devices.
    label
        Label of the drive.
    config
        What the rig says of it (``focus.direction``).
    simulated
        The digital twin's drives count up towards the specimen; no line has to say so.

    Returns
    -------
    int
        1 or -1.

    Raises
    ------
    RigError
        Neither the rig nor the Micro-Manager configuration says, or they contradict each other. Nothing may be
        moved: "down" could lead into the slide.
    """
    from_cfg = _cfg_sign(calls, label)
    from_rig = {None: 0, FocusSense.POSITIVE: 1, FocusSense.NEGATIVE: -1}[config.direction]
    if from_cfg and from_rig and from_cfg != from_rig:
        raise RigError(
            f"focus.direction: {config.direction} contradicts 'FocusDirection,{label},{from_cfg}' of the "
            "Micro-Manager configuration; correct the wrong one"
        )
    if not (from_cfg or from_rig) and not simulated:
        raise RigError(
            f"focus.direction: neither rig nor Micro-Manager configuration says whether {label} counts up towards "
            f"the specimen, so that lowering the focus could drive the objective into the slide; move {label} by "
            f"hand a little, and write 'direction: {FocusSense.POSITIVE}' or '{FocusSense.NEGATIVE}' under focus "
            "in rig.yaml"
        )
    return from_cfg or from_rig or 1


def _cfg_sign(calls: DeviceCalls, label: str) -> int:
    with calls.device_errors(label, "focus direction"):
        direction = calls.core.getFocusDirection(label)
    return {FocusDirection.TowardSample: 1, FocusDirection.AwayFromSample: -1}.get(direction, 0)
