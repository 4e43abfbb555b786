"""What Micro-Manager has no device type for: slide loader, oil dispenser, label camera.

Each is a Python device of the configuration (``#py pyDevice,<label>,<module>,<Class>``, a `GenericDevice` by base)
that has the methods of its protocol. None of them moves stage or focus; the microscope calls them only when its
interlocks allow.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class LoaderState:
    """What the loader's own sensors say now.

    Attributes
    ----------
    occupied
        Slots of the magazine in which a slide is sensed; counted from 1.
    on_stage
        A slide is sensed on the stage.
    taken_from
        Slot that the slide on the stage came from; None where the stage is empty or the loader does not know.
    """

    occupied: frozenset[int]
    on_stage: bool
    taken_from: int | None


@runtime_checkable
class SlideLoader(Protocol):
    """Feeder that brings a slide from its magazine to the stage and back. Errors are `DeviceError`."""

    def slots(self) -> int:
        """Slots of the magazine."""

    def state(self) -> LoaderState:
        """What the sensors say; asked, never remembered."""

    def start_load(self, slot: int) -> None:
        """Begin to lay the slide of a slot on the stage; returns at once."""

    def start_unload(self) -> None:
        """Begin to bring the slide on the stage back to the slot it came from; returns at once."""

    def home(self) -> None:
        """Begin to withdraw the gripper into the magazine, after a halt or a cleared jam; returns at once."""

    def busy(self) -> bool:
        """Whether the gripper is under way; raises `LoaderError` where it jammed or lost a slide."""

    def stop(self) -> None:
        """Halt the gripper now."""


@runtime_checkable
class Oiler(Protocol):
    """Dispenser of immersion oil. Errors are `DeviceError`."""

    def start_drop(self) -> None:
        """Begin to give one drop; returns at once."""

    def busy(self) -> bool:
        """Whether a drop is under way."""

    def drops_given(self) -> int:
        """Drops since the dispenser was switched on, as its drop sensor counted them."""

    def is_empty(self) -> bool:
        """Whether the reservoir's sensor says that there is no oil for another drop."""

    def stop(self) -> None:
        """Stop now."""


@runtime_checkable
class LabelCamera(Protocol):
    """Camera over the label of the slide on the stage, or in the gripper. Errors are `DeviceError`."""

    def picture(self) -> NDArray[np.uint8]:
        """Take a picture of the label.

        Returns
        -------
        NDArray[np.uint8]
            Grey levels, shape (height, width).
        """


@runtime_checkable
class HardwareAutofocus(Protocol):
    """Device that finds the focus by a reflection of the glass, and drives the focus itself.

    Nikon's PFS, Zeiss' Definite Focus, ASI's CRISP and the TANGO's AF are such. Devices of Micro-Manager are asked
    by `scanner.core_autofocus.CoreAutofocus`. Whoever uses one checks every position that it drives to.
    """

    def switch(self, *, on: bool) -> None:
        """Begin to hold the focus, or let it go; returns at once. Raises where it can't."""

    def is_on(self) -> bool:
        """Whether it holds the focus or searches for its lock."""

    def is_locked(self) -> bool:
        """Whether it has found its reflection and stands at its offset from it."""

    def focus_once(self) -> None:
        """Focus, and let go; returns when that is done."""

    def set_offset(self, offset: float) -> None:
        """Set the distance from the reflection that it holds, in the device's own unit."""

    def offset(self) -> float:
        """That distance."""
