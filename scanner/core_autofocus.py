"""Autofocus devices of Micro-Manager behind the scanner's own interface."""

from __future__ import annotations

from pymmcore_plus import DeviceType

from scanner.core import ScanCore
from scanner.errors import DeviceNotReadyError
from scanner.peripherals import HardwareAutofocus


class CoreAutofocus:
    """A device of type ``AutoFocus``, such as Nikon's PFS, Zeiss' Definite Focus or ASI's CRISP.

    Parameters
    ----------
    core
        Core with the device loaded. The device becomes the core's autofocus: the core asks one at a time.
    label
        Label of the device.

    Raises
    ------
    DeviceNotReadyError
        It is no autofocus.
    """

    def __init__(self, core: ScanCore, label: str) -> None:
        kind = core.getDeviceType(label)
        if kind != DeviceType.AutoFocus:
            raise DeviceNotReadyError("is no autofocus", device=label, wanted="AutoFocus", actual=kind.name)
        self._core = core
        core.setAutoFocusDevice(label)

    def switch(self, *, on: bool) -> None:
        """Begin to hold the focus, or let it go."""
        self._core.enableContinuousFocus(on)

    def is_on(self) -> bool:
        """Whether continuous focus is enabled."""
        return bool(self._core.isContinuousFocusEnabled())

    def is_locked(self) -> bool:
        """Whether continuous focus is locked."""
        return bool(self._core.isContinuousFocusLocked())

    def focus_once(self) -> None:
        """Focus, and let go; returns when that is done."""
        self._core.fullFocus()

    def set_offset(self, offset: float) -> None:
        """Set the distance from the reflection that it holds."""
        self._core.setAutoFocusOffset(offset)

    def offset(self) -> float:
        """That distance."""
        return float(self._core.getAutoFocusOffset())


def autofocus_of(core: ScanCore, label: str) -> HardwareAutofocus:
    """The hardware autofocus of this label, a Python device or one of Micro-Manager.

    Parameters
    ----------
    core
        Core with the device loaded.
    label
        Label of the device.

    Raises
    ------
    DeviceNotReadyError
        It is none.
    """
    if not core.isPyDevice(label):
        return CoreAutofocus(core, label)
    device = core.python_device(label)
    if not isinstance(device, HardwareAutofocus):
        raise DeviceNotReadyError("is no autofocus", device=label, actual=type(device).__name__)
    return device
