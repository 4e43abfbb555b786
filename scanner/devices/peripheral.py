"""What loader, oiler and label camera on a serial line have in common."""

from __future__ import annotations

import logging

from pymmcore_plus.experimental.unicore import GenericDevice

from scanner.devices.connection import PortSettings
from scanner.devices.framing import FramedLine
from scanner.errors import DeviceNotReadyError, ScannerError

_log = logging.getLogger(__name__)

CODE_COMMAND, CODE_CHECKSUM, CODE_ARGUMENT, CODE_BUSY = 1, 2, 3, 4
"""Codes that every kind of device uses alike."""


class SerialPeripheral(GenericDevice):
    """A device of its own on a serial line.

    Properties: ``Port`` (device file or pyserial URL), ``BaudRate`` and, to be changed at any time,
    ``AnswerTimeout_ms``; ``Identity`` tells what the device calls itself.
    """

    KIND = ""
    DEFAULT_BAUD_RATE = 115_200

    def __init__(self) -> None:
        super().__init__()
        self._line: FramedLine | None = None
        self._answer_timeout_ms = 500.0
        self.register_property("Port", default_value="", is_pre_init=True)
        self.register_property("BaudRate", default_value=self.DEFAULT_BAUD_RATE, is_pre_init=True)
        self.register_property(
            "AnswerTimeout_ms",
            property_type=float,
            getter=lambda _device: self._answer_timeout_ms,
            setter=SerialPeripheral._set_answer_timeout,
            limits=(10.0, 60_000.0),
        )
        self.register_property(
            "Identity",
            property_type=str,
            getter=lambda _device: "" if self._line is None else self._line.identity,
            is_read_only=True,
        )

    def initialize(self) -> None:
        """Contact the device and prove what it is.

        Raises
        ------
        ScannerError
            Nobody, or another kind of device, answers.
        """
        settings = PortSettings(
            str(self.get_property_value("Port")),
            int(self.get_property_value("BaudRate")),
            answer_timeout_s=self._answer_timeout_ms / 1000,
        )
        self._line = FramedLine(settings, self.get_label() or self.KIND, self.KIND)
        try:
            self._set_up()
        except ScannerError:
            self._line.close()
            self._line = None
            raise

    def shutdown(self) -> None:
        """Halt what is under way and let the line go."""
        line = self._line
        if line is None:
            return
        try:
            self._leave()
        except ScannerError:
            # Unloading goes on: the other devices have to be let go as well.
            _log.exception("%s: not left in order", line.device)
        finally:
            line.close()
            self._line = None

    @property
    def line(self) -> FramedLine:
        """The line, once the device has been initialised."""
        if self._line is None:
            raise DeviceNotReadyError("not initialised", device=self.get_label() or self.KIND)
        return self._line

    def _set_up(self) -> None:
        """Ask what has to be known; called once the line is there."""
        raise NotImplementedError

    def _leave(self) -> None:
        """Halt what is under way."""

    def _set_answer_timeout(self, value: float) -> None:
        self._answer_timeout_ms = float(value)
        if self._line is not None:
            self._line.set_answer_timeout_s(self._answer_timeout_ms / 1000)
