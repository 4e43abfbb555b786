"""The scanner's errors.

::

    ScannerError
    +-- RigError              the rig description is wrong (file, key, found, allowed)
    +-- OilRecordError        nobody knows which slides carry oil
    +-- DeviceError           a device, an axis, what was wanted and what came back
        +-- DeviceNotReadyError   not loaded, not initialised or not answering
        +-- LimitError            refused before moving: the target lies outside the allowed range
        +-- InterlockError        refused before moving: the instrument's state forbids it
        +-- MoveTimeoutError      still busy after the deadline computed for this move
        +-- PositionError         at rest, but not where it was sent
        +-- MoveStoppedError      stop() was called while the move was under way
        +-- FrameError            no frame, or one that can't be a picture
        +-- LoaderError           a slide is not where the loader was told to bring it
        +-- OilError              no drop of oil, or nobody knows whether there was one
        +-- LabelError            no picture of the label, or no barcode that could be believed
        +-- FocusError            no plausible focus was found
            +-- BlankFieldError       nothing to focus on
            +-- AutofocusError        the hardware autofocus does not hold the specimen
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path


class ScannerError(Exception):
    """Root of everything the instrument may complain of."""


class RigError(ScannerError):
    """A rig description that can't be used.

    Parameters
    ----------
    message
        One line for the user.
    path
        File in which the fault stands.
    line
        Line of the fault, counted from 1, where known.
    """

    def __init__(self, message: str, *, path: Path | None = None, line: int | None = None) -> None:
        self.path = path
        self.line = line
        where = "" if path is None else f"{path}:{line}: " if line is not None else f"{path}: "
        super().__init__(f"{where}{message}")


class OilRecordError(ScannerError):
    """The record of oiled slides can't be read or written.

    Parameters
    ----------
    message
        One line for the user.
    path
        The record.
    """

    def __init__(self, message: str, *, path: Path) -> None:
        self.path = path
        super().__init__(f"{path}: {message}")


class DeviceError(ScannerError):
    """A device that did not do what was asked.

    Parameters
    ----------
    message
        One line for the user, without the context below.
    device
        Label of the device in the Micro-Manager configuration.
    axis
        ``"x"``, ``"y"``, ``"z"`` or another part of the device.
    wanted, actual
        What was asked for and what was found, in `unit`.
    allowed
        Range or set of allowed values, as text.
    unit
        Unit of `wanted` and `actual`.
    """

    def __init__(
        self,
        message: str,
        *,
        device: str,
        axis: str | None = None,
        wanted: float | str | None = None,
        actual: float | str | None = None,
        allowed: str | None = None,
        unit: str = "",
    ) -> None:
        self.message = message
        self.device = device
        self.axis = axis
        self.wanted = wanted
        self.actual = actual
        self.allowed = allowed
        self.unit = unit
        super().__init__(self._text())

    def _text(self) -> str:
        name = self.device if self.axis is None else f"{self.device}.{self.axis}"
        parts = [f"{name}: {self.message}"]
        for word, value in (("wanted", self.wanted), ("actual", self.actual), ("allowed", self.allowed)):
            if value is None:
                continue
            shown = f"{value:.3f}" if isinstance(value, float) else str(value)
            parts.append(f"{word} {shown}{' ' + self.unit if self.unit else ''}")
        return ", ".join(parts)


class DeviceNotReadyError(DeviceError):
    """Not loaded, not initialised or not answering."""


class LimitError(DeviceError):
    """Refused before moving: the target lies outside the allowed range."""


class InterlockError(DeviceError):
    """Refused before moving: the instrument's state forbids it."""


class MoveTimeoutError(DeviceError):
    """Still busy after the deadline computed for this move."""


class PositionError(DeviceError):
    """At rest, but not where it was sent."""


class MoveStoppedError(DeviceError):
    """`stop` was called while the move was under way."""


class FrameDefect(StrEnum):
    """What is wrong with a frame, for whoever decides what to do about it."""

    MISSING = "missing"
    """None came, or another exposure's."""
    WRONG_KIND = "wrong kind"
    """Of another size or sample type than the rig's camera makes."""
    BLACK = "black"
    SATURATED = "saturated"
    REPEATED = "repeated"
    """The camera handed it over before."""
    TORN = "torn"
    """A part of it was handed over before."""
    EMPTY_ROWS = "empty rows"
    NOISE = "noise"
    """Noise and no picture."""


class FrameError(DeviceError):
    """No frame came, or one that can't be a picture.

    Parameters
    ----------
    message
        One line for the user, without the context below.
    device
        Label of the camera.
    defect
        What is wrong with the frame; None where it isn't the frame that is wrong.
    wanted, actual, allowed, unit
        As in `DeviceError`.
    """

    def __init__(
        self,
        message: str,
        *,
        device: str,
        defect: FrameDefect | None = None,
        wanted: float | str | None = None,
        actual: float | str | None = None,
        allowed: str | None = None,
        unit: str = "",
    ) -> None:
        self.defect = defect
        super().__init__(message, device=device, wanted=wanted, actual=actual, allowed=allowed, unit=unit)


class LoaderError(DeviceError):
    """A slide is not where the loader was told to bring it: jam, empty slot, or nobody knows."""


class OilError(DeviceError):
    """No drop of oil, or nobody knows whether there was one."""


class LabelError(DeviceError):
    """No picture of the label, or no barcode that could be believed."""


class FocusError(DeviceError):
    """No plausible plane of focus was found."""


class BlankFieldError(FocusError):
    """The field shows nothing to focus on; the focus was not moved through a search."""


class AutofocusDefect(StrEnum):
    """What is wrong with a hardware autofocus, for whoever decides what to do about it."""

    REFUSED = "refused"
    """It did not begin to search: out of range, as it says itself."""
    NO_LOCK = "no lock"
    LOST = "lost lock"
    WRONG_SURFACE = "wrong surface"
    """Locked, but not where the specimen is."""
    OFFSET = "offset"
    """It holds another offset than was set."""


class AutofocusError(FocusError):
    """A hardware autofocus that does not hold the specimen; it has been switched off.

    Parameters
    ----------
    message
        One line for the user, without the context below.
    device
        Label of the autofocus.
    defect
        What is wrong.
    wanted, actual, allowed, unit
        As in `DeviceError`.
    """

    def __init__(
        self,
        message: str,
        *,
        device: str,
        defect: AutofocusDefect,
        wanted: float | str | None = None,
        actual: float | str | None = None,
        allowed: str | None = None,
        unit: str = "",
    ) -> None:
        self.defect = defect
        super().__init__(message, device=device, wanted=wanted, actual=actual, allowed=allowed, unit=unit)
