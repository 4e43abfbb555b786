"""The twin's loader, oiler and label camera, as a Micro-Manager configuration loads them.

They hang on the `simulators.devices.TwinHub` by a ``Parent`` line and keep the protocols of `scanner.peripherals`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pymmcore_plus.experimental.unicore import GenericDevice
from pymmcore_plus.experimental.unicore.devices._device_base import Device

from scanner.barcode import BarcodeFormat
from scanner.core import ScanCore
from scanner.devices.loader import REASONS, LoaderCode
from scanner.errors import DeviceNotReadyError, LimitError, LoaderError, OilError
from scanner.peripherals import LoaderState
from simulators.bed import PITCH_UM, Bed, lay_out
from simulators.devices import OnTwin
from simulators.feeder import Feeder, FeederError
from simulators.label import LabelStyle
from simulators.label_view import photograph_label
from simulators.oil import Dispenser
from simulators.specimen.glass import GLASS_UM
from simulators.specimen.slide import SlideSettings
from simulators.tray import FEEDER_SLOTS, FRAME_SLOTS, Tray, fill_tray


def feeder_of(core: ScanCore) -> Feeder:
    """The simulated feeder behind a core.

    Parameters
    ----------
    core
        Core with a configuration loaded that has a `TwinLoader`.

    Raises
    ------
    DeviceNotReadyError
        It has none.
    """
    for label in core.python_labels():
        device = core.python_device(label)
        if isinstance(device, TwinLoader):
            return device.feeder
    raise DeviceNotReadyError(
        "the configuration has no simulated feeder", device="Loader", wanted="simulators.peripherals.TwinLoader"
    )


class _Peripheral(OnTwin, GenericDevice):
    """What hangs on the hub and offers settings of its machine as properties."""

    def _offer(
        self,
        name: str,
        kind: type,
        get: Callable[[], Any],
        put: Callable[[Any], None],
        limits: tuple[float, float] | None = None,
    ) -> None:
        self.register_property(
            name,
            property_type=kind,
            getter=lambda _device: get(),
            setter=lambda _device, value: put(kind(value)),
            limits=limits,
        )


class TwinLoader(_Peripheral):
    """Slide feeder; the stage is empty until it has loaded a slide.

    Properties: ``Slots``, ``Empty`` (slots without a slide, such as ``3 7``), ``LabelPrefix`` and ``LabelFormat``
    (``DataMatrix``, ``QR``, ``Code128``) of its magazine, whose slides are otherwise like the hub's: they count
    until it first moves. ``Change_s``, ``LoadX_um`` and ``LoadY_um`` may be changed at any time.
    """

    def __init__(self) -> None:
        super().__init__()
        self._feeder: Feeder | None = None
        self._slots = FEEDER_SLOTS
        self._empty = ""
        self._prefix = "KS"
        self._format = BarcodeFormat.DATA_MATRIX
        self._offer(
            "WithdrawsAfterJam", int, lambda: int(self.feeder.withdraws_after_jam), self._set_withdraws, (0, 1)
        )
        self._offer("Slots", int, lambda: self._slots, self._set_slots, (1, 400))
        self._offer("Empty", str, lambda: self._empty, self._set_empty)
        self._offer("LabelPrefix", str, lambda: self._prefix, self._set_prefix)
        self._offer("LabelFormat", str, lambda: str(self._format), self._set_format)
        self._offer("Change_s", float, lambda: self.feeder.change_s, self._set_change, (0.1, 600.0))
        for index, name in enumerate(("LoadX_um", "LoadY_um")):
            self._offer_load(name, index)

    @property
    def feeder(self) -> Feeder:
        """What moves the slides."""
        if self._feeder is None:
            raise DeviceNotReadyError("has no hub", device=type(self).__name__, wanted="a line '#py Parent,...'")
        return self._feeder

    def connect_hub(self, hub: Device) -> None:
        """Take the hub, and the slide off its stage."""
        super().connect_hub(hub)
        self._feeder = Feeder(self.twin, self.get_label() or "Loader")
        self._feeder.make_tray = self._make_tray

    # -- scanner.peripherals.SlideLoader ---------------------------------------------------------------------

    def slots(self) -> int:
        """Slots of the magazine."""
        return self.feeder.slots

    def state(self) -> LoaderState:
        """What the sensors say."""
        return self.feeder.sensors()

    def start_load(self, slot: int) -> None:
        """Begin to lay the slide of a slot on the stage.

        Raises
        ------
        LimitError
            No such slot.
        LoaderError
            Refused: empty slot, slide on the stage, jammed, halted or under way; nothing has moved.
        """
        feeder = self.feeder
        if not 1 <= slot <= feeder.slots:
            raise LimitError(
                "refused before moving", device=self.get_label(), axis="slot", wanted=str(slot),
                allowed=f"1 .. {feeder.slots}",
            )  # fmt: skip
        try:
            feeder.load(slot)
        except FeederError as error:
            raise self._error(error.code, slot) from error

    def start_unload(self) -> None:
        """Begin to bring the slide on the stage back.

        Raises
        ------
        LoaderError
            Refused: no slide, its slot occupied, jammed, halted or under way; nothing has moved.
        """
        try:
            self.feeder.unload()
        except FeederError as error:
            raise self._error(error.code) from error

    def home(self) -> None:
        """Begin to withdraw the gripper after a halt, or after a jam that was cleared by hand.

        Raises
        ------
        LoaderError
            Jammed and not cleared, or under way.
        """
        try:
            self.feeder.home()
        except FeederError as error:
            raise self._error(error.code) from error

    def busy(self) -> bool:
        """Whether the gripper is under way.

        Raises
        ------
        LoaderError
            It jammed, or lost the slide.
        """
        feeder = self.feeder
        if feeder.is_busy:
            return True
        if feeder.error in (LoaderCode.JAMMED, LoaderCode.SLIDE_LOST):
            raise self._error(feeder.error)
        return False

    def stop(self) -> None:
        """Halt the gripper now."""
        self.feeder.stop()

    # -- inside --------------------------------------------------------------------------------------------

    def _make_tray(self) -> Tray:
        empty = _slots_in(self._empty, self.get_label())
        return fill_tray(
            self._slots, self.twin.settings, empty=empty, prefix=self._prefix, barcode_format=self._format
        )

    def _error(self, code: LoaderCode, slot: int | None = None) -> LoaderError:
        return LoaderError(
            REASONS[code],
            device=self.get_label(),
            axis="gripper",
            wanted=None if slot is None else f"slot {slot}",
        )

    def _set_slots(self, value: int) -> None:
        self._slots = value
        self.feeder.refill()

    def _set_empty(self, text: str) -> None:
        _ = _slots_in(text, self.get_label())
        self._empty = text
        self.feeder.refill()

    def _set_prefix(self, text: str) -> None:
        self._prefix = text
        self.feeder.refill()

    def _set_format(self, text: str) -> None:
        self._format = BarcodeFormat(text)
        self.feeder.refill()

    def _set_withdraws(self, value: int) -> None:
        self.feeder.withdraws_after_jam = bool(value)

    def _set_change(self, value: float) -> None:
        self.feeder.change_s = value

    def _offer_load(self, name: str, index: int) -> None:
        def put(value: float) -> None:
            load_um = list(self.feeder.load_um)
            load_um[index] = value
            self.feeder.load_um = (load_um[0], load_um[1])

        self._offer(name, float, lambda: self.feeder.load_um[index], put, (-2e5, 2e5))


class TwinFrame(_Peripheral):
    """Frame on the stage that holds several slides; it needs no command, and widens the stage's travel.

    Properties: ``Slots``, ``Columns``, ``PitchX_um``, ``PitchY_um``, ``Empty`` (slots without a slide, such as
    ``3 7``), ``LabelPrefix`` and ``LabelFormat``. The slides are otherwise like the hub's.
    """

    def __init__(self) -> None:
        super().__init__()
        self._values: dict[str, Any] = {
            "Slots": FRAME_SLOTS,
            "Columns": 2,
            "PitchX_um": PITCH_UM[0],
            "PitchY_um": PITCH_UM[1],
            "Empty": "",
            "LabelPrefix": "KS",
            "LabelFormat": str(BarcodeFormat.DATA_MATRIX),
        }
        largest = {"Slots": 40.0, "Columns": 10.0, "PitchX_um": 2e5, "PitchY_um": 2e5}
        for name, value in self._values.items():
            self._offer_value(name, type(value), largest.get(name))

    def connect_hub(self, hub: Device) -> None:
        """Take the hub and lay the frame on its stage."""
        super().connect_hub(hub)
        self._lay()

    def _offer_value(self, name: str, kind: type, largest: float | None) -> None:
        def put(value: Any) -> None:  # noqa: ANN401 (text or number, as the property is)
            before = self._values[name]
            self._values[name] = value
            try:
                self._lay()
            except ValueError:
                self._values[name] = before
                raise

        self._offer(name, kind, lambda: self._values[name], put, None if largest is None else (1.0, largest))

    def _lay(self) -> None:
        values = self._values
        _ = BarcodeFormat(values["LabelFormat"])
        pitch_um = (values["PitchX_um"], values["PitchY_um"])
        columns, slots = values["Columns"], values["Slots"]
        if pitch_um[0] < GLASS_UM[0] or pitch_um[1] < GLASS_UM[1]:
            raise ValueError(f"{self.get_label()}: slides of {GLASS_UM} um do not fit at a pitch of {pitch_um}")
        empty = _slots_in(values["Empty"], self.get_label())

        def make_bed(like: SlideSettings) -> Bed:
            tray = fill_tray(
                slots,
                like,
                empty=empty,
                prefix=values["LabelPrefix"],
                barcode_format=BarcodeFormat(values["LabelFormat"]),
            )
            return lay_out(tray, columns, pitch_um)

        configuration = self.twin.configuration
        rows = -(-slots // columns)
        self.twin.configuration = replace(
            configuration, x_limits_um=(0.0, columns * pitch_um[0]), y_limits_um=(0.0, rows * pitch_um[1])
        )
        self.twin.lay_frame(make_bed)


class TwinOiler(_Peripheral):
    """Oil dispenser.

    Properties: ``OffsetX_um`` and ``OffsetY_um`` (where a drop truly falls, against the image centre), ``Drop_s``,
    ``Reservoir`` (drops).
    """

    def __init__(self) -> None:
        super().__init__()
        self._dispenser: Dispenser | None = None
        for index, name in enumerate(("OffsetX_um", "OffsetY_um")):
            self._offer_offset(name, index)
        self._offer("Drop_s", float, lambda: self.dispenser.drop_s, self._set_drop_s, (0.1, 60.0))
        self._offer("Reservoir", int, lambda: self.dispenser.reservoir_drops, self._set_reservoir, (0, 10**6))

    @property
    def dispenser(self) -> Dispenser:
        """What gives the drops."""
        if self._dispenser is None:
            raise DeviceNotReadyError("has no hub", device=type(self).__name__, wanted="a line '#py Parent,...'")
        return self._dispenser

    def connect_hub(self, hub: Device) -> None:
        """Take the hub."""
        super().connect_hub(hub)
        self._dispenser = Dispenser(self.twin, self.get_label() or "Oiler")

    # -- scanner.peripherals.Oiler -----------------------------------------------------------------------------

    def start_drop(self) -> None:
        """Begin to give one drop.

        Raises
        ------
        OilError
            The reservoir is empty, or a drop is under way; nothing falls.
        """
        if not self.dispenser.start_drop():
            reason = "the reservoir is empty" if self.dispenser.is_empty else "a drop is under way"
            raise OilError(reason, device=self.get_label())

    def busy(self) -> bool:
        """Whether a drop is under way."""
        return self.dispenser.is_busy

    def drops_given(self) -> int:
        """Drops that the drop sensor has seen."""
        return self.dispenser.drops_given

    def is_empty(self) -> bool:
        """Whether the reservoir's sensor says so."""
        return self.dispenser.is_empty

    def stop(self) -> None:
        """Stop now."""
        self.dispenser.stop()

    def _offer_offset(self, name: str, index: int) -> None:
        def put(value: float) -> None:
            offset_um = list(self.dispenser.offset_um)
            offset_um[index] = value
            self.dispenser.offset_um = (offset_um[0], offset_um[1])

        self._offer(name, float, lambda: self.dispenser.offset_um[index], put, (-1e5, 1e5))

    def _set_drop_s(self, value: float) -> None:
        self.dispenser.drop_s = value

    def _set_reservoir(self, value: int) -> None:
        self.dispenser.reservoir_drops = value


class TwinLabelCamera(_Peripheral):
    """Camera over the label of the slide on the stage or in the gripper.

    Properties: ``Blur_px``, ``Contrast`` and ``Dirt`` (see `simulators.label.LabelStyle`); ``OffsetX_um`` and
    ``OffsetY_um``, where it looks at a frame, against the image centre. Every slide lies a little differently.
    """

    def __init__(self) -> None:
        super().__init__()
        self._look = {"Blur_px": 0.8, "Contrast": 0.9, "Dirt": 0.004}
        for name, largest in (("Blur_px", 20.0), ("Contrast", 1.0), ("Dirt", 1.0)):
            self._offer_look(name, largest)
        self._offset_um = (0.0, 0.0)
        for index, name in enumerate(("OffsetX_um", "OffsetY_um")):
            self._offer_offset(name, index)

    # -- scanner.peripherals.LabelCamera -----------------------------------------------------------------------

    def picture(self) -> NDArray[np.uint8]:
        """Take a picture of the label: uint8, shape (480, 640)."""
        style = LabelStyle(blur_px=self._look["Blur_px"], contrast=self._look["Contrast"], dirt=self._look["Dirt"])
        return photograph_label(self.twin, self.get_label() or "LabelCamera", style, self._offset_um)

    def _offer_offset(self, name: str, index: int) -> None:
        def put(value: float) -> None:
            offset_um = list(self._offset_um)
            offset_um[index] = value
            self._offset_um = (offset_um[0], offset_um[1])

        self._offer(name, float, lambda: self._offset_um[index], put, (-2e5, 2e5))

    def _offer_look(self, name: str, largest: float) -> None:
        def put(value: float) -> None:
            self._look[name] = value

        self._offer(name, float, lambda: self._look[name], put, (0.0, largest))


def _slots_in(text: str, label: str) -> tuple[int, ...]:
    words = text.replace(",", " ").split()
    if not all(word.isdigit() for word in words):
        raise ValueError(f"{label}: Empty takes numbers of slots, got {text!r}")
    return tuple(int(word) for word in words)
