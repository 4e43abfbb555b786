"""The twin's devices, as a Micro-Manager configuration loads them.

A hub owns the twin; stage, focus, turret, lamp and camera are handed the hub by their ``Parent`` line (see
`scanner.core.HubPeripheral`). Values arrive from configurations as text and are converted by the core.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import DTypeLike
from pymmcore_plus import FocusDirection, Keyword
from pymmcore_plus.experimental.unicore import (
    HubDevice,
    ShutterDevice,
    SimpleCameraDevice,
    StageDevice,
    StateDevice,
    XYStageDevice,
)
from pymmcore_plus.experimental.unicore.devices._device_base import Device

from scanner.core import ScanCore
from scanner.errors import DeviceNotReadyError
from simulators.clock import InstantClock, RealClock, ScaledClock, parse_clock
from simulators.faults import TwinFaultPlan, parse_faults
from simulators.optics import SIXTY_THREE, TEN, SensorModel
from simulators.specimen.glass import GLASS_UM
from simulators.specimen.properties import slide_properties
from simulators.specimen.slide import SlideSettings
from simulators.twin import Twin, TwinConfiguration


def twin_of(core: ScanCore) -> Twin:
    """The twin behind a core that has loaded a configuration with a `TwinHub`.

    Parameters
    ----------
    core
        Core with the configuration loaded.

    Returns
    -------
    Twin
        Truth, events, faults, clock and settings of the twin.

    Raises
    ------
    DeviceNotReadyError
        The configuration has no `TwinHub`: it drives real devices.
    """
    for label in core.python_labels():
        device = core.python_device(label)
        if isinstance(device, TwinHub):
            return device.twin
    raise DeviceNotReadyError(
        "the configuration has no digital twin", device="Hub", wanted="simulators.devices.TwinHub"
    )


class TwinHub(HubDevice):
    """Owner of the twin; its properties decide which slide lies on the stage and how time goes.

    Properties: ``Specimen`` (``rendered`` or a folder of pictures), ``Seed``, ``Cells``, ``AbnormalFraction``,
    ``AreaXMin_um`` .. ``AreaYMax_um`` (slide um), ``PictureUmPerPx``, ``Clock`` (``instant``, ``scaled:N`` or
    ``real``), ``Faults`` (see `simulators.faults.parse_faults`), and those of
    `simulators.specimen.properties.slide_properties`. They may be changed at any time; another slide is
    then built when it is next looked at.
    """

    def __init__(self) -> None:
        super().__init__()
        self.twin = Twin()
        self._faults_text = ""
        self._area_um = list(self.twin.settings.area_um)
        self._offer("Specimen", str, lambda s: s.specimen, lambda s, value: replace(s, specimen=value))
        self._offer("Seed", int, lambda s: s.seed, lambda s, value: replace(s, seed=value), limits=(0, 2**31))
        self._offer("Cells", int, lambda s: s.cells, lambda s, value: replace(s, cells=value), limits=(0, 5000))
        self._offer(
            "AbnormalFraction",
            float,
            lambda s: s.abnormal_fraction,
            lambda s, value: replace(s, abnormal_fraction=value),
            limits=(0.0, 1.0),
        )
        self._offer(
            "PictureUmPerPx",
            float,
            lambda s: s.picture_um_per_px,
            lambda s, value: replace(s, picture_um_per_px=value),
            limits=(0.01, 2.0),
        )
        for entry in slide_properties():
            self._offer(entry.name, entry.kind, entry.get, entry.put, entry.limits)
        for index, name in enumerate(("AreaXMin_um", "AreaYMin_um", "AreaXMax_um", "AreaYMax_um")):
            self._offer_edge(name, index)
        self.register_property("Clock", property_type=str, getter=TwinHub._get_clock, setter=TwinHub._set_clock)
        self.register_property("Faults", property_type=str, getter=TwinHub._get_faults, setter=TwinHub._set_faults)

    def now_s(self) -> float:
        """Seconds on the twin's clock."""
        return self.twin.clock.now_s()

    def sleep_s(self, duration_s: float) -> None:
        """Let time pass on the twin's clock."""
        self.twin.clock.sleep_s(duration_s)

    def get_installed_peripherals(self) -> tuple[tuple[str, str], ...]:
        """Classes of this module that hang on the hub."""
        kinds = (TwinXYStage, TwinFocus, TwinTurret, TwinLamp, TwinCamera)
        return tuple((kind.__name__, (kind.__doc__ or "").splitlines()[0]) for kind in kinds)

    def _offer(
        self,
        name: str,
        kind: type,
        get: Callable[[SlideSettings], Any],
        put: Callable[[SlideSettings, Any], SlideSettings],
        limits: tuple[float, float] | None = None,
    ) -> None:
        def setter(hub: TwinHub, value: str | float) -> None:
            hub.twin.settings = put(hub.twin.settings, kind(value))

        self.register_property(
            name, property_type=kind, getter=lambda hub: get(hub.twin.settings), setter=setter, limits=limits
        )

    def _offer_edge(self, name: str, index: int) -> None:
        # Edges are set one by one: where they are no area in between, the last whole one holds.
        def setter(hub: TwinHub, value: float) -> None:
            edges = self._area_um
            edges[index] = float(value)
            if edges[0] < edges[2] and edges[1] < edges[3]:
                area = (edges[0], edges[1], edges[2], edges[3])
                hub.twin.settings = replace(hub.twin.settings, area_um=area)

        self.register_property(
            name,
            property_type=float,
            getter=lambda _hub: self._area_um[index],
            setter=setter,
            limits=(0.0, GLASS_UM[index % 2]),
        )

    def _get_clock(self) -> str:
        clock = self.twin.clock
        if isinstance(clock, ScaledClock):
            return f"scaled:{clock.speed:g}"
        names = {InstantClock: "instant", RealClock: "real"}
        return names.get(type(clock), type(clock).__name__)

    def _set_clock(self, text: str) -> None:
        self.twin.clock = parse_clock(str(text))

    def _get_faults(self) -> str:
        return self._faults_text

    def _set_faults(self, text: str) -> None:
        self.twin.faults = TwinFaultPlan(parse_faults(str(text)), self.twin.settings.seed)
        self._faults_text = str(text)


class OnTwin(Device):
    """What all peripherals share: the hub and, through it, the twin."""

    _hub: TwinHub | None = None

    def connect_hub(self, hub: Device) -> None:
        """Take the hub."""
        if not isinstance(hub, TwinHub):
            raise DeviceNotReadyError(
                "hangs on the wrong hub", device=type(self).__name__, wanted="TwinHub", actual=type(hub).__name__
            )
        self._hub = hub

    def initialize(self) -> None:
        """Refuse to start without a hub."""
        _ = self.twin

    @property
    def twin(self) -> Twin:
        """The twin."""
        if self._hub is None:
            raise DeviceNotReadyError("has no hub", device=type(self).__name__, wanted="a line '#py Parent,...'")
        return self._hub.twin


class TwinXYStage(OnTwin, XYStageDevice):
    """Motorised stage, 76 x 26 mm of travel."""

    def set_position_um(self, x: float, y: float) -> None:
        """Start a move.

        Parameters
        ----------
        x, y
            Target, um.
        """
        self.twin.move_stage(float(x), float(y), self.get_label())

    def get_position_um(self) -> tuple[float, float]:
        """Position, under way too."""
        return self.twin.stage_um()

    def busy(self) -> bool:
        """Whether it moves or settles."""
        return self.twin.is_stage_busy(self.get_label())

    def stop(self) -> None:
        """Stop where it is."""
        self.twin.halt(self.get_label(), self.twin.x, self.twin.y)

    def home(self) -> None:
        """Go to the limit switches at the lower ends of travel."""
        self.twin.home(self.get_label(), self.twin.x, self.twin.y)

    def set_origin_x(self) -> None:
        """Refuse: coordinates are the encoder's."""
        raise NotImplementedError(f"{self.get_label()}: the origin is fixed")

    def set_origin_y(self) -> None:
        """Refuse: coordinates are the encoder's."""
        raise NotImplementedError(f"{self.get_label()}: the origin is fixed")


class TwinFocus(OnTwin, StageDevice):
    """Focus drive; 0 is down, higher is nearer to the specimen."""

    def set_position_um(self, val: float) -> None:
        """Start a move."""
        self.twin.move_focus(float(val), self.get_label())

    def get_position_um(self) -> float:
        """Position, under way too."""
        return self.twin.focus_um()

    def busy(self) -> bool:
        """Whether it moves or settles."""
        return self.twin.is_focus_busy(self.get_label())

    def stop(self) -> None:
        """Stop where it is."""
        self.twin.halt(self.get_label(), self.twin.z)

    def home(self) -> None:
        """Go down to the limit switch."""
        self.twin.home(self.get_label(), self.twin.z)

    def set_origin(self) -> None:
        """Refuse: coordinates are the encoder's."""
        raise NotImplementedError(f"{self.get_label()}: the origin is fixed")

    def get_focus_direction(self) -> FocusDirection:
        """Higher is nearer to the specimen."""
        return FocusDirection.TowardSample


class TwinTurret(OnTwin, StateDevice):
    """Objective turret. It turns whenever told to; the twin writes down what that would have broken.

    Between two positions it reports -1, which has no label.
    """

    def __init__(self) -> None:
        super().__init__({position: model.label for position, model in enumerate((TEN, SIXTY_THREE))})
        self._told: int | None = None

    def get_state(self) -> int:
        """Position in the light path."""
        return self.twin.objective_position if self._told is None else self._told

    def set_state(self, position: int) -> None:
        """Turn."""
        if self._told is not None:
            return
        # State and label follow one another meanwhile, and would turn it again and again where it got stuck.
        self._told = int(position)
        self.twin.turn_turret(int(position), self.get_label())

    def _set_state(self, state: int) -> None:
        try:
            super()._set_state(state)
        finally:
            self._told = None

    def set_position_or_label(self, pos_or_label: int | str) -> None:
        """Turn, once; the label follows the state."""
        if isinstance(pos_or_label, str):
            pos_or_label = self.get_position_for_label(pos_or_label)
        self.set_property_value(Keyword.State, int(pos_or_label))

    def busy(self) -> bool:
        """Whether it turns."""
        return self.twin.is_turret_busy()


class TwinLamp(OnTwin, ShutterDevice):
    """Transmitted light: a shutter and an intensity from 0 to 1."""

    def __init__(self) -> None:
        super().__init__()
        self.register_property(
            "Intensity",
            property_type=float,
            getter=lambda lamp: lamp.twin.lamp_intensity,
            setter=TwinLamp._set_intensity,
            limits=(0.0, 1.0),
        )

    def get_open(self) -> bool:
        """Whether the shutter is open."""
        return self.twin.lamp_open

    def set_open(self, open: bool) -> None:
        """Open or close the shutter."""
        self.twin.lamp_open = bool(open)

    def _set_intensity(self, value: float) -> None:
        self.twin.lamp_intensity = float(value)


class TwinCamera(OnTwin, SimpleCameraDevice):
    """Interline CCD like the CoolCube 1: 1360 x 1024 pixels of 6.45 um, 12 bit."""

    def __init__(self) -> None:
        super().__init__()
        self._exposure_ms = 8.0
        self._lamp_label = "Lamp"
        self.register_property(
            "Lamp", property_type=str, getter=lambda _camera: self._lamp_label, setter=TwinCamera._set_lamp
        )

    def get_exposure(self) -> float:
        """Exposure in ms."""
        return self._exposure_ms

    def set_exposure(self, exposure: float) -> None:
        """Set the exposure in ms."""
        if not 0.01 <= float(exposure) <= 10_000.0:
            raise ValueError(f"{self.get_label()}: exposure {exposure} ms, allowed 0.01 .. 10000 ms")
        self._exposure_ms = float(exposure)

    def get_binning(self) -> int:
        """Pixels aren't combined."""
        return 1

    def dtype(self) -> DTypeLike:
        """12 bit in 16."""
        return np.uint16

    def sensor_shape(self) -> tuple[int, int]:
        """Rows and columns."""
        sensor: SensorModel = TwinConfiguration().sensor if self._hub is None else self.twin.configuration.sensor
        return sensor.height_px, sensor.width_px

    def snap(self, buffer: np.ndarray[Any, Any]) -> Mapping[str, Any]:
        """Expose; returns at the end of the exposure, `busy` lasts until the frame is read out."""
        np.copyto(buffer, self.twin.expose(self._exposure_ms, self.get_label(), self._lamp_label))
        return {"exposure_number": self.twin.exposures}

    def busy(self) -> bool:
        """Whether a frame is read out."""
        return self.twin.is_camera_busy()

    def _set_lamp(self, label: str) -> None:
        self._lamp_label = str(label)
