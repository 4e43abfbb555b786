"""Keys of a rig for equipment that not every microscope has."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from scanner.rig_quantities import LongTimeS, NotNegative, ShortTimeMs, StrictModel


class AutofocusMode(StrEnum):
    """How a hardware autofocus is used."""

    CONTINUOUS = "continuous"
    """It holds the focus until it is switched off."""
    SINGLE = "single"
    """It focuses once and lets go."""


class AutofocusConfig(StrictModel):
    """Hardware autofocus: it finds the focus by light that a surface of the glass reflects, and drives it."""

    mode: AutofocusMode = Field(
        default=AutofocusMode.CONTINUOUS,
        description="continuous: holds the focus from field to field; single: focuses once a field and lets go",
    )
    lock_s: LongTimeS = Field(default=3.0, description="longest time that it may take to lock")
    settle_ms: ShortTimeMs = Field(
        default=150.0,
        description="typical time from the end of a stage move to the lock; run times are computed from it",
    )
    surface_tolerance_um: Annotated[float, Field(ge=0.1, le=50, allow_inf_nan=False)] = Field(
        default=15.0,
        description="a lock further than this from the focus map is on another surface, such as the coverslip's "
        "upper side; a coverslip of 170 um appears 112 um thick",
    )
    offset_tolerance: NotNegative = Field(
        default=0.5, description="accepted difference between the offset set and the one read back, device's unit"
    )


class CameraRegion(StrictModel):
    """Part of the sensor that is read out; its size is the picture's."""

    x_px: Annotated[int, Field(ge=0, le=100_000)] = Field(
        description="first column, in pixels of a binned picture"
    )
    y_px: Annotated[int, Field(ge=0, le=100_000)] = Field(description="first row, in pixels of a binned picture")


class OverlapConfig(StrictModel):
    """How a camera is triggered that exposes one picture while it reads out the one before."""

    trigger_property: str = Field(
        description="property that, set to trigger_value, exposes one picture of a sequence"
    )
    trigger_value: str = Field(default="1", description="see trigger_property")
    trigger_delay_ms: ShortTimeMs = Field(
        default=1.0,
        description="longest time from the trigger to the beginning of the exposure; the stage waits it",
    )
    mode_property: str | None = Field(
        default=None, description="property that makes a sequence wait for triggers; left out: it always does"
    )
    mode_value: str = Field(default="Software", description="value of mode_property while fields are photographed")
    single_value: str = Field(default="Internal", description="value of mode_property for single pictures")

    @property
    def properties(self) -> tuple[tuple[str, str], ...]:
        """Properties that the camera has to offer, with a value that it has to take."""
        modes = () if self.mode_property is None else ((self.mode_property, self.mode_value),)
        return (*modes, (self.trigger_property, self.trigger_value))


class LampConfig(StrictModel):
    """Lamp that takes its time until it gives the light that it will give."""

    warm_up_s: Annotated[float, Field(ge=0, le=7_200, allow_inf_nan=False)] = Field(
        default=0.0, description="from the first time that the light is switched on until it is steady"
    )
    ready_property: str | None = Field(
        default=None, description="property that tells whether the lamp is ready; left out: the time alone counts"
    )
    ready_value: str = Field(default="Ready", description="value of ready_property of a lamp that is ready")
    ready_device: str | None = Field(
        default=None, description="label of the device with ready_property; left out: devices.lamp"
    )
    deadline_s: LongTimeS = Field(default=600.0, description="longest wait for ready_property")


class LightPath(StrEnum):
    """Kind of light by which a specimen is seen."""

    BRIGHT_FIELD = "bright_field"
    FLUORESCENCE = "fluorescence"


class ReflectorConfig(StrictModel):
    """Reflector or filter turret: which position serves which kind of light."""

    bright_field: str = Field(description="label of the position for transmitted light")
    fluorescence: str | None = Field(
        default=None, description="label of the position for fluorescence, such as DAPI; left out: there is none"
    )

    def position(self, path: LightPath) -> str | None:
        """Label for a kind of light; None where there is no position for it."""
        return self.bright_field if path is LightPath.BRIGHT_FIELD else self.fluorescence

    @property
    def labels(self) -> dict[LightPath, str]:
        """Label by kind of light, of those that there are."""
        return {path: label for path in LightPath if (label := self.position(path)) is not None}
