"""The description of one instrument: ``hardware_configs/<rig>/rig.yaml``."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import Field, model_validator

from scanner.configuration_check import MismatchKind, compare_with_file
from scanner.configuration_file import read_configuration_file
from scanner.coordinates import GLASS_UM, CameraFrame, ParcentricOffset, SlideFrame, StagePoint
from scanner.errors import RigError
from scanner.rig_equipment import AutofocusConfig, CameraRegion, LampConfig, OverlapConfig, ReflectorConfig
from scanner.rig_quantities import (
    Acceleration,
    Aperture,
    Backlash,
    Finite,
    LongTimeS,
    Magnification,
    NotNegative,
    PixelCount,
    PixelSize,
    Position,
    Positive,
    ShortTimeMs,
    Speed,
    StrictModel,
    Tolerance,
)
from scanner.slots import overlapping_slides
from scanner.strict_yaml import cross_check, key_lines, line_of, load_strict, read_text_file
from scanner.unfinished_rig import refuse_unfinished

RIG_FILE = "rig.yaml"
OIL_INDEX = 1.515
"""Refractive index of immersion oil (ISO 8036)."""
GREEN_UM = 0.55
"""Wavelength of green light, in which G-bands are photographed."""


_ROUNDING_UM: Final = 1e-6
"""Positions are multiples of a step only as far as floating point goes."""


class Span(StrictModel):
    """A closed range on one axis, in um."""

    min_um: Position = Field(description="lowest allowed position")
    max_um: Position = Field(description="highest allowed position")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.min_um < self.max_um:
            raise ValueError(f"min_um {self.min_um} must be below max_um {self.max_um}")
        return self

    def __contains__(self, value_um: object) -> bool:
        return isinstance(value_um, (int, float)) and self.min_um <= value_um <= self.max_um

    def __str__(self) -> str:
        return f"{self.min_um:g} .. {self.max_um:g}"


class DeviceLabels(StrictModel):
    """Labels of the devices in the Micro-Manager configuration."""

    stage: str = Field(description="XY stage")
    focus: str = Field(description="focus drive")
    turret: str = Field(description="objective turret")
    lamp: str = Field(description="shutter of the transmitted light")
    camera: str = Field(description="camera")
    loader: str | None = Field(default=None, description="slide loader; see scanner.peripherals.SlideLoader")
    oiler: str | None = Field(default=None, description="oil dispenser; see scanner.peripherals.Oiler")
    label_camera: str | None = Field(
        default=None, description="camera over the label; see scanner.peripherals.LabelCamera"
    )

    autofocus: str | None = Field(
        default=None, description="hardware autofocus; see scanner.peripherals.HardwareAutofocus"
    )
    reflector: str | None = Field(default=None, description="reflector turret, or filter wheel")

    def missing_from(self, loaded: Iterable[str]) -> tuple[tuple[str, str], ...]:
        """Role and label of every device that the rig names and that is not among those loaded."""
        present = set(loaded)
        return tuple(
            (role, label)
            for role, label in self.model_dump().items()
            if label is not None and label not in present
        )


class Motion(StrictModel):
    """What an axis can do; deadlines are computed from it."""

    speed_um_s: Speed = Field(description="top speed")
    acceleration_um_s2: Acceleration = Field(description="acceleration")
    settle_ms: ShortTimeMs = Field(default=0.0, description="time to come to rest after arrival")
    tolerance_um: Tolerance = Field(description="largest accepted distance between target and position read back")
    um_per_step: Annotated[float, Field(gt=0, le=100, allow_inf_nan=False)] | None = Field(
        default=None,
        description="of a drive that counts steps: targets are rounded to whole steps, and the position read back "
        "has to be within one step of that; left out: it takes any position",
    )

    @model_validator(mode="after")
    def _steps_within_tolerance(self) -> Self:
        if self.um_per_step is not None and self.tolerance_um < self.um_per_step / 2:
            raise ValueError(
                f"tolerance_um {self.tolerance_um:g} must be at least half of um_per_step {self.um_per_step:g}: a "
                "target is rounded by as much"
            )
        return self

    @property
    def read_back_um(self) -> float:
        """Largest accepted distance between the position commanded and the one read back."""
        return self.tolerance_um if self.um_per_step is None else self.um_per_step + _ROUNDING_UM

    def on_step(self, target_um: float, span: Span) -> float:
        """The whole step nearest to a target, within a range.

        Parameters
        ----------
        target_um
            Within the range.
        span
            Allowed positions.
        """
        step_um = self.um_per_step
        if step_um is None or not math.isfinite(target_um):
            return target_um
        steps = round(target_um / step_um)
        if steps * step_um > span.max_um:
            steps -= 1
        elif steps * step_um < span.min_um:
            steps += 1
        return steps * step_um

    def duration_s(self, distance_um: float) -> float:
        """Time of a trapezoidal move, settling included.

        Parameters
        ----------
        distance_um
            Way to go; the sign is ignored.
        """
        way = abs(distance_um)
        ramp = self.speed_um_s**2 / self.acceleration_um_s2
        seconds: float
        if way < ramp:
            seconds = 2.0 * (way / self.acceleration_um_s2) ** 0.5
        else:
            seconds = way / self.speed_um_s + self.speed_um_s / self.acceleration_um_s2
        return seconds + self.settle_ms / 1000


class Place(StrictModel):
    """A position of the stage."""

    x_um: Finite = Field(description="stage um")
    y_um: Finite = Field(description="stage um")

    @property
    def point(self) -> StagePoint:
        """The position."""
        return StagePoint(self.x_um, self.y_um)


class StageConfig(StrictModel):
    """XY stage."""

    x: Span = Field(description="allowed positions, stage um")
    y: Span = Field(description="allowed positions, stage um")
    motion: Motion = Field(description="how fast it moves and how well it arrives")
    backlash_x_um: Backlash = Field(default=0.0, description="between approaches from below and from above")
    backlash_y_um: Backlash = Field(default=0.0, description="between approaches from below and from above")
    load: Place | None = Field(default=None, description="where slides are changed, stage um")
    homing: bool = Field(
        default=False, description="whether the stage may be driven to its limit switches to find its zero"
    )


class ReferenceImage(StrictModel):
    """A picture that calibration left beside the rig file."""

    file: str = Field(description="name beside rig.yaml; float32 .npy")
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] = Field(description="of the file")


class CalibrationEntry(StrictModel):
    """Evidence of one calibration; the measured values stand where they are used."""

    procedure: str = Field(description="what was measured, such as pixel_geometry.10x")
    measured_at: datetime = Field(description="with time zone")
    residual: NotNegative = Field(description="scatter of the measurements about the value")
    unit: str = Field(description="unit of the residual")
    measurements: Annotated[int, Field(gt=0)] = Field(description="how many went into the value")


class FocusSense(StrEnum):
    """Which way a focus drive counts."""

    POSITIVE = "toward_specimen_positive"
    NEGATIVE = "toward_specimen_negative"


class FocusConfig(StrictModel):
    """Focus drive; a higher z is nearer to the specimen, whichever way the drive itself counts."""

    z: Span = Field(description="allowed positions, um")
    down_um: Finite = Field(description="position in which nothing can touch: before turret and slide changes")
    motion: Motion = Field(description="how fast it moves and how well it arrives")
    direction: FocusSense | None = Field(
        default=None,
        description="direction in which the drive counts: toward_specimen_positive, or toward_specimen_negative, "
        "where every z of this file is minus the drive's position; left out: FocusDirection of the Micro-Manager "
        "configuration",
    )

    @model_validator(mode="after")
    def _down_inside(self) -> Self:
        if self.down_um not in self.z:
            raise cross_check(f"{self.down_um:g} must lie within z {self.z}", "down_um")
        return self


class Objective(StrictModel):
    """One position of the turret."""

    name: str = Field(description="name used by protocols, such as 10x")
    label: str = Field(description="label of the turret position in the Micro-Manager configuration")
    magnification: Magnification = Field(description="as engraved")
    numerical_aperture: Aperture = Field(description="as engraved; from 1 on it takes oil")
    immersion: Literal["air", "oil"] = Field(description="what belongs between lens and slide")
    um_per_px: PixelSize = Field(
        description="size of a camera pixel on the specimen; where the rig gives camera.binning, without binning"
    )
    focus: Span = Field(description="focus envelope: z this objective may use")
    parcentric_x_um: Finite = Field(default=0.0, description="where its image centre lies, against the reference")
    parcentric_y_um: Finite = Field(default=0.0, description="where its image centre lies, against the reference")
    parfocal_um: Finite = Field(default=0.0, description="its focus minus the reference objective's focus")
    travel_free_um: NotNegative = Field(
        default=float(1_000_000),
        description="stage moves up to this length are made without lowering the focus",
    )
    travel_drop_um: NotNegative = Field(default=0.0, description="how far the focus is lowered for longer moves")
    flat_field: ReferenceImage | None = Field(default=None, description="light over the field, mean 1")
    autofocus_offset: Finite | None = Field(
        default=None,
        description="offset of the hardware autofocus with which the specimen is sharp, in the device's own unit; "
        "left out: it isn't used with this objective",
    )

    @model_validator(mode="after")
    def _aperture_suits_immersion(self) -> Self:
        if self.immersion == "air" and self.numerical_aperture >= 1.0:
            raise cross_check(
                f"{self.numerical_aperture:g} can't be that of a dry objective (below 1); is its immersion oil?",
                "numerical_aperture",
            )
        return self

    @property
    def parcentric(self) -> ParcentricOffset:
        """Offset against the reference objective."""
        return ParcentricOffset(self.parcentric_x_um, self.parcentric_y_um)

    @property
    def depth_of_field_um(self) -> float:
        """Wave-optical depth of field in green light (0.55 um), without the camera's share."""
        index = OIL_INDEX if self.immersion == "oil" else 1.0
        return GREEN_UM * index / self.numerical_aperture**2


class CameraConfig(StrictModel):
    """Camera and how it is mounted."""

    width_px: PixelCount = Field(description="columns of a picture, with the binning and region in use")
    height_px: PixelCount = Field(description="rows of a picture, with the binning and region in use")
    bit_depth: Annotated[int, Field(ge=8, le=16)] = Field(
        description="bits that a grey level uses, such as 12 of the 16 in which it is handed over"
    )
    read_out_ms: ShortTimeMs = Field(description="time from the end of the exposure to the frame in memory")
    rotation_deg: Finite = Field(default=0.0, description="from image to stage axes")
    flip_x: bool = Field(default=False, description="whether image x runs against stage x")
    flip_y: bool = Field(default=False, description="whether image y runs against stage y")
    dark: ReferenceImage | None = Field(default=None, description="grey levels without light")
    hang_s: LongTimeS = Field(
        default=30.0,
        description="a call into the camera that returns so much later than its exposure would end hangs: the "
        "instrument is made safe from outside, and the run ends",
    )
    binning: Annotated[int, Field(ge=1, le=16)] | None = Field(
        default=None,
        description="pixels of the sensor, along each side, that make one of the picture: set in the camera, and "
        "um_per_px of the objectives is multiplied by it; left out: as its configuration leaves it, and um_per_px "
        "is that of its pictures",
    )
    region: CameraRegion | None = Field(
        default=None, description="part of the sensor that is read out; left out: as its configuration leaves it"
    )
    properties: dict[str, str | int | float] = Field(
        default={},
        description="properties of the camera that are set and read back, such as TriggerMode: Internal",
    )
    overlap: OverlapConfig | None = Field(
        default=None, description="camera that exposes one picture while it reads out the one before"
    )

    @property
    def full_scale(self) -> int:
        """Largest grey level."""
        return int(2**self.bit_depth - 1)


class SlideConfig(StrictModel):
    """How a slide lies on the stage."""

    x_um: Finite = Field(default=0.0, description="stage x of the slide's corner")
    y_um: Finite = Field(default=0.0, description="stage y of the slide's corner")
    rotation_deg: Finite = Field(default=0.0, description="from slide to stage axes")
    flip_x: bool = Field(default=False, description="whether slide x runs against stage x")
    flip_y: bool = Field(default=False, description="whether slide y runs against stage y")

    @property
    def frame(self) -> SlideFrame:
        """The conversion between slide and stage."""
        return SlideFrame(StagePoint(self.x_um, self.y_um), self.rotation_deg, self.flip_x, self.flip_y)


class Slot(SlideConfig):
    """One slide of a frame that holds several on the stage."""

    name: Annotated[str, Field(min_length=1)] = Field(description="name of the slot, such as 1")


class LoaderConfig(StrictModel):
    """Feeder that lays one slide after another on the stage."""

    slots: Annotated[int, Field(ge=1)] = Field(description="slots of the magazine, counted from 1")
    change_s: LongTimeS = Field(description="time of one load or unload")
    self_recovery: bool = Field(
        default=False,
        description="whether a gripper that failed may be commanded to withdraw without a person present",
    )


class OilerConfig(StrictModel):
    """Oil dispenser beside the objective."""

    offset_x_um: Finite = Field(default=0.0, description="where the drop falls, against the image centre")
    offset_y_um: Finite = Field(default=0.0, description="where the drop falls, against the image centre")
    spot_radius_um: Positive = Field(default=2500.0, description="one drop serves captures within this distance")
    drop_s: LongTimeS = Field(default=5.0, description="time of one drop")


class LabelCameraConfig(StrictModel):
    """Camera over the label, where it looks at the stage beside the objective."""

    offset_x_um: Finite = Field(description="its field of view, against the image centre")
    offset_y_um: Finite = Field(description="its field of view, against the image centre")
    label_x_um: Finite = Field(description="centre of the label, slide um")
    label_y_um: Finite = Field(description="centre of the label, slide um")


class Rig(StrictModel):
    """A whole instrument.

    The first objective is the reference: parcentric and parfocal offsets are counted from it.
    """

    version: Literal[1] = Field(description="version of this schema")
    name: str = Field(description="name of the instrument in records and messages")
    description: str = Field(default="", description="what it is, for people")
    simulated: bool = Field(default=False, description="true where the configuration loads the digital twin")
    micro_manager_cfg: str = Field(description="Micro-Manager configuration beside this file")
    devices: DeviceLabels = Field(description="labels of the devices in the configuration")
    stage: StageConfig = Field(description="XY stage")
    focus: FocusConfig = Field(description="focus drive")
    objectives: Annotated[tuple[Objective, ...], Field(min_length=1)] = Field(
        description="positions of the turret in use; the first is the reference for offsets"
    )
    camera: CameraConfig = Field(description="camera and how it is mounted")
    slide: SlideConfig = Field(default=SlideConfig(), description="the slide, where there are no slots")
    slots: tuple[Slot, ...] = Field(default=(), description="slides of a frame that lie on the stage together")
    loader: LoaderConfig | None = Field(default=None, description="slide feeder, where there is one")
    oiler: OilerConfig | None = Field(default=None, description="oil dispenser, where there is one")
    label_camera: LabelCameraConfig | None = Field(
        default=None, description="stage position at which the label camera reads; left out: the load position"
    )
    autofocus: AutofocusConfig | None = Field(default=None, description="hardware autofocus, where there is one")
    lamp: LampConfig | None = Field(default=None, description="how the lamp gets ready, where it takes time")
    reflector: ReflectorConfig | None = Field(
        default=None, description="positions of the reflector turret, where there is one"
    )
    calibration: tuple[CalibrationEntry, ...] = Field(default=(), description="what was measured, and how well")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        names = [objective.name for objective in self.objectives]
        for index, name in enumerate(names):
            if name in names[:index]:
                raise cross_check(f"objective names must differ, found {', '.join(names)}", "objectives", index)
        for index, objective in enumerate(self.objectives):
            if objective.focus.min_um not in self.focus.z or objective.focus.max_um not in self.focus.z:
                raise cross_check(
                    f"focus envelope {objective.focus} of {objective.name} leaves the drive's {self.focus.z}",
                    "objectives",
                    index,
                    "focus",
                )
            if self.focus.down_um in objective.focus:
                raise cross_check(
                    f"{self.focus.down_um:g} lies in the envelope of {objective.name}", "focus", "down_um"
                )
            if self.focus.down_um > objective.focus.max_um:
                raise cross_check(
                    f"{self.focus.down_um:g} lies above the envelope {objective.focus} of {objective.name}, "
                    "through the slide: a higher z is nearer to the specimen, so down has to lie below "
                    f"{objective.focus.min_um:g}",
                    "focus",
                    "down_um",
                )
        self._check_slides()
        self._check_autofocus()
        self._check_parts()
        return self

    def _check_autofocus(self) -> None:
        with_offset = [i for i, o in enumerate(self.objectives) if o.autofocus_offset is not None]
        if self.autofocus is None and with_offset:
            index = with_offset[0]
            raise cross_check(
                f"of {self.objectives[index].name} needs autofocus and devices.autofocus",
                "objectives",
                index,
                "autofocus_offset",
            )
        if self.autofocus is not None and not with_offset:
            raise cross_check("needs an autofocus_offset for at least one objective", "autofocus")

    def _check_slides(self) -> None:
        slots = [slot.name for slot in self.slots]
        for index, name in enumerate(slots):
            if name in slots[:index]:
                raise cross_check(f"slot names must differ, found {', '.join(slots)}", "slots", index)
        for one, other in overlapping_slides(self.slides):
            raise cross_check(f"slots {one} and {other} overlap", "slots", slots.index(other))
        load = self.stage.load
        if load is not None and not (load.x_um in self.stage.x and load.y_um in self.stage.y):
            raise cross_check(f"({load.x_um:g}, {load.y_um:g}) lies outside the stage's limits", "stage", "load")

    def _check_parts(self) -> None:
        """What only makes sense together."""
        for role in ("loader", "oiler", "autofocus", "reflector"):
            here, device = getattr(self, role) is not None, getattr(self.devices, role) is not None
            if here != device:
                at = (role,) if here else ("devices", role)
                raise cross_check(f"{role} and devices.{role} have to be given together", *at)
        if self.loader is not None and self.stage.load is None:
            raise cross_check("a loader needs stage.load, the position at which slides are changed", "loader")
        if self.label_camera is not None and self.devices.label_camera is None:
            raise cross_check("needs devices.label_camera", "label_camera")
        if self.devices.label_camera is not None and self.label_camera is None and self.stage.load is None:
            raise cross_check(
                "a label camera needs its reading position: give label_camera, or stage.load",
                "devices",
                "label_camera",
            )
        if self.loader is not None and len(self.slots) > 1:
            raise cross_check("a loader lays one slide on the stage: slots must name one at most", "slots")

    def objective(self, name: str) -> Objective:
        """The objective of this name.

        Raises
        ------
        RigError
            There is none.
        """
        for objective in self.objectives:
            if objective.name == name:
                return objective
        known = ", ".join(objective.name for objective in self.objectives)
        raise RigError(f"rig {self.name} has no objective {name!r}; it has {known}")

    @property
    def slides(self) -> dict[str, SlideFrame]:
        """Frame of every slide that the stage holds, by slot; ``"1"`` where the rig names no slots."""
        return {slot.name: slot.frame for slot in self.slots} or {"1": self.slide.frame}

    def slide_at(self, point: StagePoint) -> str:
        """Slot of the slide under the objective when the stage stands at `point`: the nearest one."""

        def distance_um(frame: SlideFrame) -> float:
            where = frame.to_slide(point)
            beyond_x = max(-where.x_um, where.x_um - GLASS_UM[0], 0.0)
            beyond_y = max(-where.y_um, where.y_um - GLASS_UM[1], 0.0)
            return math.hypot(beyond_x, beyond_y)

        slides = self.slides
        return min(slides, key=lambda name: distance_um(slides[name]))

    def um_per_px(self, objective: Objective) -> float:
        """Size of a picture's pixel on the specimen, the camera's binning included, um."""
        return objective.um_per_px * (self.camera.binning or 1)

    def camera_frame(self, objective: Objective) -> CameraFrame:
        """Geometry of the camera with an objective."""
        camera = self.camera
        return CameraFrame(
            camera.width_px,
            camera.height_px,
            self.um_per_px(objective),
            camera.rotation_deg,
            camera.flip_x,
            camera.flip_y,
        )


def _rig_fault(message: str, path: Path, line: int | None) -> RigError:
    return RigError(message, path=path, line=line)


def load_rig(folder: Path, *, tolerated: Collection[MismatchKind] = ()) -> tuple[Rig, Path]:
    """Read a rig, and hold it against the text of its Micro-Manager configuration.

    Parameters
    ----------
    folder
        Folder of the rig, or its ``rig.yaml``.
    tolerated
        On what rig and configuration may disagree: a calibration, say, measures the pixel size anew.

    Returns
    -------
    rig, cfg
        The description and the path of the Micro-Manager configuration.

    Raises
    ------
    RigError
        Anything is missing, still to be measured or wrong; with file, line, key, found and allowed.
    """
    path = folder if folder.suffix in {".yaml", ".yml"} else folder / RIG_FILE
    text = read_text_file(path, _rig_fault)
    refuse_unfinished(text, path)
    rig = load_strict(Rig, path, _rig_fault, text=text)
    cfg = path.parent / rig.micro_manager_cfg
    if not cfg.is_file():
        raise RigError(f"micro_manager_cfg: no such file {cfg}", path=path)
    mismatches = compare_with_file(rig, read_configuration_file(cfg))
    for mismatch in mismatches:
        if mismatch.kind not in tolerated:
            line = line_of(mismatch.location, key_lines(text))
            raise RigError(f"{mismatch.key}: {mismatch.text}", path=path, line=line)
    return rig, cfg
