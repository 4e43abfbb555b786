"""Label camera on a serial line; the command set stands in ``docs/reference/serial/label-camera.md``."""

from __future__ import annotations

import base64
import binascii
import time
import zlib
from dataclasses import dataclass
from enum import IntEnum

import cv2
import numpy as np
from numpy.typing import NDArray

from scanner.devices.framing import CommandRefusedError
from scanner.devices.peripheral import SerialPeripheral
from scanner.errors import DeviceError, DeviceNotReadyError, LabelError

KIND = "KS-LABELCAM"
CHUNK_BYTES = 144
"""Bytes of the picture in one line: 192 characters."""

_LARGEST_BYTES = 2_000_000
_LARGEST_PX = 4_000


class LabelCameraCode(IntEnum):
    """Why a label camera refuses a command."""

    COMMAND = 1
    """Unknown command."""
    CHECKSUM = 2
    """The command arrived damaged, and was not obeyed."""
    ARGUMENT = 3
    """There is no such part of the picture."""
    BUSY = 4
    """A picture is being taken."""
    NO_FRAME = 10
    """The sensor gave no picture."""


@dataclass(frozen=True, slots=True)
class _Announced:
    width_px: int
    height_px: int
    byte_count: int
    crc32: int


class SerialLabelCamera(SerialPeripheral):
    """Camera over the label, `scanner.peripherals.LabelCamera`.

    Properties, besides those of `SerialPeripheral`: ``PictureTimeout_s``, within which a picture has to be here.
    """

    KIND = KIND

    def __init__(self) -> None:
        super().__init__()
        self._picture_timeout_s = 60.0
        self.register_property(
            "PictureTimeout_s",
            property_type=float,
            getter=lambda _device: self._picture_timeout_s,
            setter=SerialLabelCamera._set_picture_timeout,
            limits=(0.1, 600.0),
        )

    def picture(self) -> NDArray[np.uint8]:
        """Take a picture of the label.

        Returns
        -------
        NDArray[np.uint8]
            Grey levels, shape (height, width).

        Raises
        ------
        LabelError
            No picture in time, or one that arrived damaged.
        DeviceError
            No answer, or none that makes sense.
        """
        deadline_s = time.monotonic() + self._picture_timeout_s
        announced = self._snap()
        data = bytearray()
        while len(data) < announced.byte_count:
            if time.monotonic() > deadline_s:
                raise LabelError(
                    "the picture did not arrive in time",
                    device=self.get_label(),
                    wanted=f"{announced.byte_count} bytes within {self._picture_timeout_s:g} s",
                    actual=f"{len(data)} bytes",
                )
            data += self._read(len(data), min(CHUNK_BYTES, announced.byte_count - len(data)))
        return self._decoded(bytes(data), announced)

    def _set_up(self) -> None:
        # The greeting has told all there is to know.
        self._ask("STATE")

    def _snap(self) -> _Announced:
        words = self._ask("SNAP")
        try:
            width, height, count, checksum = words
            announced = _Announced(int(width), int(height), int(count), int(checksum, 16))
        except ValueError as error:
            raise self.line.nonsense("SNAP", " ".join(words), "width height bytes crc32") from error
        sides_are_sound = 0 < min(announced.width_px, announced.height_px) <= _LARGEST_PX
        if not sides_are_sound or not 0 < announced.byte_count <= _LARGEST_BYTES:
            raise self.line.nonsense("SNAP", " ".join(words), f"at most {_LARGEST_BYTES} bytes")
        return announced

    def _read(self, offset: int, count: int) -> bytes:
        words = self._ask("READ", offset, count)
        try:
            found, text = words
            part = base64.b64decode(text, validate=True)
        except (ValueError, binascii.Error) as error:
            raise self.line.nonsense("READ", " ".join(words)[:40], "offset base64") from error
        if found != str(offset) or len(part) != count:
            raise self.line.nonsense("READ", f"{len(part)} bytes from {found}", f"{count} bytes from {offset}")
        return part

    def _decoded(self, data: bytes, announced: _Announced) -> NDArray[np.uint8]:
        if zlib.crc32(data) != announced.crc32:
            raise LabelError("the picture arrived damaged", device=self.get_label(), wanted="its checksum")
        picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE)
        shape = (announced.height_px, announced.width_px)
        if picture is None or picture.shape != shape:
            raise LabelError(
                "what came is not the picture that was announced",
                device=self.get_label(),
                wanted=f"JPEG or PNG of {shape} px",
                actual="no picture" if picture is None else f"{picture.shape} px",
            )
        return np.asarray(picture, dtype=np.uint8)

    def _ask(self, command: str, *arguments: int) -> tuple[str, ...]:
        try:
            return self.line.ask(command, *arguments)
        except CommandRefusedError as refused:
            raise self._refusal(refused) from refused

    def _refusal(self, refused: CommandRefusedError) -> DeviceError:
        if refused.code == LabelCameraCode.NO_FRAME:
            return LabelError("the camera gave no picture", device=self.get_label())
        known = refused.code in LabelCameraCode.__members__.values()
        reason = LabelCameraCode(refused.code).name.lower() if known else "unknown reason"
        return DeviceNotReadyError(
            f"refuses {refused.command}: {reason} (code {refused.code})", device=self.get_label()
        )

    def _set_picture_timeout(self, value: float) -> None:
        self._picture_timeout_s = float(value)
