"""A motion controller as a Micro-Manager hub: it owns the one connection."""

from __future__ import annotations

import logging
import threading
from abc import abstractmethod

from pymmcore_plus.experimental.unicore import HubDevice

from scanner.devices.connection import PortSettings
from scanner.devices.controller import MotionController
from scanner.errors import DeviceNotReadyError, ScannerError

_log = logging.getLogger(__name__)


class ControllerHub(HubDevice):
    """Owner of a motion controller; stage and focus of `scanner.devices.axes` hang on it by a ``Parent`` line.

    Properties: ``Port`` (device file or pyserial URL), ``BaudRate``, ``StopBits`` and, to be changed at any time,
    ``AnswerTimeout_ms``; ``Identity`` tells what the controller calls itself.
    """

    DEFAULT_BAUD_RATE = 9600

    def __init__(self) -> None:
        super().__init__()
        self._start_lock = threading.Lock()
        self._controller: MotionController | None = None
        self._start_error: ScannerError | None = None
        self.register_property("Port", default_value="", is_pre_init=True)
        self.register_property("BaudRate", default_value=self.DEFAULT_BAUD_RATE, is_pre_init=True)
        self.register_property("StopBits", default_value=1, allowed_values=(1, 2), is_pre_init=True)
        self._answer_timeout_ms = 500.0
        self.register_property(
            "AnswerTimeout_ms",
            property_type=float,
            getter=lambda _hub: self._answer_timeout_ms,
            setter=ControllerHub._set_answer_timeout,
            limits=(10.0, 60_000.0),
        )
        self.register_property(
            "Identity",
            property_type=str,
            getter=lambda _hub: "" if self._controller is None else self._controller.identity,
            is_read_only=True,
        )

    @abstractmethod
    def make_controller(self, port: PortSettings) -> MotionController:
        """Make the controller, without contacting it yet.

        Raises
        ------
        DeviceNotReadyError
            A property is missing.
        """

    def get_installed_peripherals(self) -> tuple[tuple[str, str], ...]:
        """Classes of `scanner.devices.axes` that hang on the hub."""
        return (("SerialXYStage", "XY stage of a controller"), ("SerialFocus", "Focus drive of a controller"))

    def initialize(self) -> None:
        """Contact the controller."""
        self.controller()

    def shutdown(self) -> None:
        """Give the joystick back and let the line go."""
        with self._start_lock:
            controller, self._controller = self._controller, None
            self._start_error = None
        if controller is None:
            return
        try:
            controller.close()
        except ScannerError:
            # Unloading goes on: the other devices have to be let go as well.
            _log.exception("%s: not left in order", controller.device)

    def controller(self) -> MotionController:
        """The controller, contacted.

        Devices are initialised side by side; whoever comes first makes the contact, for all.

        Raises
        ------
        ScannerError
            Why there is no contact.
        """
        with self._start_lock:
            if self._start_error is not None:
                raise DeviceNotReadyError(
                    f"no contact: {self._start_error}", device=self.get_label()
                ) from self._start_error
            if self._controller is None:
                controller = self.make_controller(self._port_settings())
                try:
                    controller.start()
                except ScannerError as error:
                    self._start_error = error
                    self._abandon(controller)
                    raise
                self._controller = controller
            return self._controller

    def _abandon(self, controller: MotionController) -> None:
        try:
            controller.close()
        except ScannerError:
            _log.exception("%s: not left in order", controller.device)

    def _port_settings(self) -> PortSettings:
        return PortSettings(
            str(self.get_property_value("Port")),
            int(self.get_property_value("BaudRate")),
            int(self.get_property_value("StopBits")),
            self._answer_timeout_ms / 1000,
        )

    def _set_answer_timeout(self, value: float) -> None:
        self._answer_timeout_ms = float(value)
        if self._controller is not None:
            self._controller.answer_timeout_s = self._answer_timeout_ms / 1000
