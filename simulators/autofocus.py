"""The twin's hardware autofocus, as a Micro-Manager configuration loads it."""

from __future__ import annotations

from pymmcore_plus.experimental.unicore import GenericDevice

from simulators.devices import OnTwin


class TwinAutofocus(OnTwin, GenericDevice):
    """Hardware autofocus; a `scanner.peripherals.HardwareAutofocus`. Its offset is in um."""

    def switch(self, *, on: bool) -> None:
        """Begin to hold the focus, or let it go."""
        self.twin.autofocus.switch(self.get_label(), on=on)

    def is_on(self) -> bool:
        """Whether it drives the focus."""
        return self.twin.autofocus.is_on

    def is_locked(self) -> bool:
        """Whether it stands at its offset from the reflection."""
        return self.twin.autofocus.is_locked(self.get_label())

    def focus_once(self) -> None:
        """Focus, and let go."""
        self.twin.autofocus.focus_once(self.get_label())

    def set_offset(self, offset: float) -> None:
        """Set the distance from the reflection, um."""
        self.twin.autofocus.offset_um = float(offset)

    def offset(self) -> float:
        """That distance, um."""
        return self.twin.autofocus.offset_um
