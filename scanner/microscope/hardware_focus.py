"""The hardware autofocus, made strict: what it locks on is believed only where the specimen can be."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from scanner.device_calls import DeviceCalls
from scanner.errors import (
    AutofocusDefect,
    AutofocusError,
    DeviceError,
    DeviceNotReadyError,
    ScannerError,
)
from scanner.microscope.focus_drive import FocusDrive
from scanner.microscope.settings import AUTOFOCUS, AutofocusSettings
from scanner.peripherals import HardwareAutofocus
from scanner.rig import Objective, Span
from scanner.rig_equipment import AutofocusConfig, AutofocusMode

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class FocusWindow:
    """Where a lock is believed.

    Attributes
    ----------
    expected_um
        Focus by the focus map.
    tolerance_um
        Largest accepted distance from it.
    envelope
        Focus envelope of the objective.
    """

    expected_um: float
    tolerance_um: float
    envelope: Span

    def holds(self, z_um: float) -> bool:
        """Whether a position lies in it."""
        return z_um in self.envelope and abs(z_um - self.expected_um) <= self.tolerance_um

    def __str__(self) -> str:
        return f"{self.expected_um:.1f} +- {self.tolerance_um:.1f} within {self.envelope}"


class HardwareFocus:
    """A hardware autofocus that is watched: no lock is believed before the position has been read back.

    Parameters
    ----------
    calls
        Access to the devices.
    label
        Label of the autofocus.
    device
        The autofocus.
    config
        What the rig says of it.
    focus_drive
        The drive that it moves.
    settings
        How it is watched.

    Notes
    -----
    Whatever goes wrong, it is off when a method has raised: it would go on driving the objective.
    """

    def __init__(
        self,
        calls: DeviceCalls,
        label: str,
        device: HardwareAutofocus,
        config: AutofocusConfig,
        *,
        focus_drive: FocusDrive,
        settings: AutofocusSettings = AUTOFOCUS,
    ) -> None:
        self.label = label
        self.config = config
        self._calls = calls
        self._device = device
        self._focus = focus_drive
        self._settings = settings
        # Somebody may have left it on.
        self._may_be_on = True
        self._window: FocusWindow | None = None
        self._offset: float | None = None

    @property
    def is_holding(self) -> bool:
        """Whether it has locked on the specimen and holds it, as far as was heard."""
        return self._window is not None

    def is_on(self) -> bool:
        """Whether it may drive the focus; asked of the device.

        Raises
        ------
        DeviceError
            No answer.
        """
        with self._calls.device_errors(self.label, "state"):
            return self._device.is_on()

    def lock(self, window: FocusWindow, objective: Objective) -> float:
        """Lock on the specimen, and prove it; the focus stands near it, the stage rests.

        Parameters
        ----------
        window
            Where the lock is believed.
        objective
            In the light path.

        Returns
        -------
        float
            The position read back, um.

        Raises
        ------
        AutofocusError
            It refused, did not lock in time, left the envelope, or locked elsewhere. It is off.
        DeviceNotReadyError
            The rig has no offset for this objective, or it can't be switched off.
        MoveStoppedError, DeviceError
            The instrument was stopped, or a device does not answer.
        """
        if objective.autofocus_offset is None:
            raise DeviceNotReadyError("has no offset for this objective", device=self.label, wanted=objective.name)
        self._calls.check_not_stopped(self.label)
        self._window = None
        try:
            if self.config.mode is AutofocusMode.SINGLE:
                self._focus_once(objective.autofocus_offset)
            else:
                self._begin(objective.autofocus_offset)
                self._await_lock(window)
            self._check_offset(objective.autofocus_offset)
            z_um = self._check_position(window)
        except BaseException:
            self._let_go()
            raise
        if self.config.mode is AutofocusMode.CONTINUOUS:
            self._window = window
        return z_um

    def check_holds(self) -> None:
        """Prove that a lock still holds; nothing is asked where it isn't meant to.

        Raises
        ------
        AutofocusError
            The lock was lost, or has crept away. It is off.
        DeviceError
            A device does not answer.
        """
        window = self._window
        if window is None:
            return
        try:
            with self._calls.device_errors(self.label, "lock"):
                is_locked = self._device.is_locked()
            if not is_locked:
                raise AutofocusError("the lock was lost", device=self.label, defect=AutofocusDefect.LOST)
            self._check_position(window)
        except BaseException:
            self._let_go()
            raise

    def release(self) -> None:
        """Switch it off and prove it; nothing is asked where it is off for sure.

        Raises
        ------
        DeviceNotReadyError
            It stays on: nothing else may drive the focus.
        DeviceError
            No answer.
        """
        self._window = None
        if not self._may_be_on:
            return
        with self._calls.device_errors(self.label, "switching off"):
            if self._device.is_on():
                self._device.switch(on=False)
            self._await_off()
        self._may_be_on = False

    def halt(self) -> None:
        """Switch it off, whatever it does; any thread.

        Raises
        ------
        DeviceError
            It did not obey.
        """
        self._may_be_on = True
        self.release()

    # -- inside --------------------------------------------------------------------------------------------

    def _begin(self, offset: float) -> None:
        if self._may_be_on and self.is_on() and offset == self._offset:
            # It holds its lock from field to field.
            return
        self._may_be_on = True
        try:
            with self._calls.device_errors(self.label, "offset", wanted=f"{offset:g}"):
                self._device.set_offset(offset)
                self._offset = offset
            with self._calls.device_errors(self.label, "switching on"):
                self._device.switch(on=True)
        except DeviceError as error:
            raise self._refusal(error) from error

    def _focus_once(self, offset: float) -> None:
        self._may_be_on = True
        try:
            with self._calls.device_errors(self.label, "focusing once"):
                self._device.set_offset(offset)
                self._device.focus_once()
        except DeviceError as error:
            raise self._refusal(error) from error

    def _refusal(self, error: DeviceError) -> AutofocusError:
        return AutofocusError(f"can't lock: {error.message}", device=self.label, defect=AutofocusDefect.REFUSED)

    def _await_lock(self, window: FocusWindow) -> None:
        deadline_s = self._calls.now() + self.config.lock_s
        while True:
            self._calls.check_not_stopped(self.label)
            with self._calls.device_errors(self.label, "lock"):
                is_locked = self._device.is_locked()
            z_um = self._focus.position_um()
            if z_um not in window.envelope:
                raise self._elsewhere("left the focus envelope while it searched its lock", z_um, window)
            if is_locked:
                return
            if self._calls.now() >= deadline_s:
                raise AutofocusError(
                    "no lock",
                    device=self.label,
                    defect=AutofocusDefect.NO_LOCK,
                    wanted=f"within {self.config.lock_s:g}",
                    unit="s",
                )
            self._calls.wait_until(self.label, self._calls.now() + self._settings.poll_s)

    def _check_position(self, window: FocusWindow) -> float:
        z_um = self._focus.position_um()
        if not window.holds(z_um):
            raise self._elsewhere("locked on another surface than the specimen", z_um, window)
        return z_um

    def _elsewhere(self, message: str, z_um: float, window: FocusWindow) -> AutofocusError:
        return AutofocusError(
            message,
            device=self.label,
            defect=AutofocusDefect.WRONG_SURFACE,
            actual=z_um,
            allowed=str(window),
            unit="um",
        )

    def _check_offset(self, wanted: float) -> None:
        with self._calls.device_errors(self.label, "offset"):
            offset = self._device.offset()
        if not abs(offset - wanted) <= self.config.offset_tolerance:
            raise AutofocusError(
                "holds another offset than was set",
                device=self.label,
                defect=AutofocusDefect.OFFSET,
                wanted=wanted,
                actual=offset,
            )

    def _await_off(self) -> None:
        deadline_s = self._calls.now() + self._settings.switch_s
        while self._device.is_on():
            if self._calls.now() >= deadline_s:
                raise DeviceNotReadyError("did not switch off", device=self.label, wanted="off", actual="on")
            self._calls.wait_until(self.label, self._calls.now() + self._settings.poll_s, stoppable=False)

    def _let_go(self) -> None:
        """Off, and the drive stands; whoever hears of the first fault hears of it whatever this brings."""
        try:
            self.release()
            self._focus.halt()
            self._calls.wait_idle(self._focus.label, self._settings.switch_s, stoppable=False)
        except ScannerError:
            _log.exception("%s could not be switched off", self.label)
