"""Simulated label camera at the end of a serial line; ``docs/reference/serial/label-camera.md``."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from scanner.devices.label_camera import KIND, LabelCameraCode
from simulators.label import LabelStyle
from simulators.label_view import photograph_label
from simulators.serial.faults import SerialFaultPlan
from simulators.serial.framed import FramedController, SimulatedRefusalError, no_arguments, number_of
from simulators.twin import Twin

EXPOSURE_S = 0.05
_LARGEST_PART = 180
_JPEG_QUALITY = 85


class LabelCameraController(FramedController):
    """Electronics of a label camera.

    Parameters
    ----------
    twin
        Whose slide it looks at.
    faults
        What will go wrong on the line.
    take
        Takes a picture; uint8, shape (height, width). None looks at the twin's label through a sound camera.
    """

    def __init__(
        self,
        twin: Twin,
        faults: SerialFaultPlan | None = None,
        *,
        take: Callable[[], NDArray[np.uint8]] | None = None,
        serial_number: str = "0011",
    ) -> None:
        super().__init__(twin.clock, f"{KIND} {serial_number} 1.0", faults)
        self._twin = twin
        self._take = take or (lambda: photograph_label(twin, "LabelCamera", LabelStyle(contrast=0.9, dirt=0.004)))
        self._data = b""

    def power_cycle(self) -> None:
        """Off and on again: the last picture is forgotten."""
        with self._lock:
            super().power_cycle()
            self._data = b""

    def obey(self, command: str, arguments: list[str]) -> str:
        """Obey a command.

        Parameters
        ----------
        command
            Name of the command.
        arguments
            Its arguments.
        """
        if command == "READ":
            offset, count = number_of(arguments, 2), number_of(arguments, 2, 1)
            if not 0 < count <= _LARGEST_PART or offset + count > len(self._data):
                raise SimulatedRefusalError(LabelCameraCode.ARGUMENT)
            return f"{offset} {base64.b64encode(self._data[offset : offset + count]).decode('ascii')}"
        if command not in ("STATE", "SNAP"):
            raise SimulatedRefusalError(LabelCameraCode.COMMAND)
        no_arguments(arguments)
        return self._snap() if command == "SNAP" else f"IDLE 0 {len(self._data)}"

    def _snap(self) -> str:
        self._twin.clock.sleep_s(EXPOSURE_S)
        picture = self._take()
        is_encoded, jpeg = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
        if not is_encoded:
            raise SimulatedRefusalError(LabelCameraCode.NO_FRAME)
        self._data = jpeg.tobytes()
        height, width = picture.shape
        return f"{width} {height} {len(self._data)} {zlib.crc32(self._data):08X}"
