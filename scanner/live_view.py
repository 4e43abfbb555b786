"""The instrument watched without being driven: where everything stands, and pictures of whatever lies there.

Only the light is switched and the exposure time set; nothing moves. A live picture is no record: it may be taken
while a person drives the stage by hand, so that it proves nothing about a place.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from scanner.coordinates import StagePoint
from scanner.core import ScanCore
from scanner.errors import DeviceError, ScannerError
from scanner.interlocks import Action, Situation, broken_rule
from scanner.microscope import Microscope
from scanner.rig import Objective, Rig

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class LiveViewSettings:
    """How live pictures are exposed.

    Attributes
    ----------
    first_exposure_ms
        Of the first picture: short enough for a bright lamp, long enough to measure a level by.
    min_exposure_ms, max_exposure_ms
        Bounds of the automatic exposure: the longest still gives two pictures a second.
    target_fraction
        Level over full scale that the brightest hundredth of a picture shall have.
    tolerance
        The exposure stays as it is within this fraction of the target: it doesn't follow noise.
    largest_step
        The exposure is changed by no more than this factor from picture to picture: a clipped or black picture
        says nothing about how much is needed.
    sample_step_px
        Every so many rows and columns are measured.
    """

    first_exposure_ms: float = 8.0
    min_exposure_ms: float = 0.05
    max_exposure_ms: float = 400.0
    target_fraction: float = 0.75
    tolerance: float = 0.1
    largest_step: float = 4.0
    sample_step_px: int = 8


LIVE_VIEW: Final = LiveViewSettings()


@dataclass(frozen=True, slots=True)
class InterlockState:
    """Whether the interlocks allow an action as the instrument stands now.

    Attributes
    ----------
    action
        What somebody might do.
    target
        Name of the objective that would be turned to; None for other actions.
    rule, reason
        Of the rule that forbids it; None where it may go ahead.
    """

    action: Action
    target: str | None
    rule: str | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class InstrumentPositions:
    """Where the instrument stands; None where a device gave no answer.

    Attributes
    ----------
    read_at
        When the devices were asked.
    stage
        Position of the stage.
    focus_um
        Position of the focus; higher is nearer to the specimen.
    focus_is_down
        Whether nothing can touch there.
    turret_label
        Label of the turret's position.
    objective
        Objective of the rig that has this label; None also where the rig has none.
    light_on
        Whether the shutter of the transmitted light is open.
    slide_oiled
        Whether the slide under the objective carries oil.
    interlocks
        What may be done as things stand; empty where that can't be known.
    faults
        Why devices gave no answer.
    """

    read_at: datetime
    stage: StagePoint | None = None
    focus_um: float | None = None
    focus_is_down: bool | None = None
    turret_label: str | None = None
    objective: Objective | None = None
    light_on: bool | None = None
    slide_oiled: bool | None = None
    interlocks: tuple[InterlockState, ...] = ()
    faults: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LivePicture:
    """A picture of whatever lay under the objective.

    Attributes
    ----------
    pixels
        Grey levels, shape (height_px, width_px), uint8 or uint16, as the camera gave them.
    exposure_ms
        Exposure time.
    level_fraction
        Level that a hundredth of the pixels exceeds, over full scale.
    taken_at
        When it was asked for.
    """

    pixels: NDArray[Any]
    exposure_ms: float
    level_fraction: float
    taken_at: datetime


class LiveView:
    """Positions and pictures of an instrument that somebody else drives, or nobody.

    Parameters
    ----------
    core
        Core with the rig's configuration loaded.
    rig
        Description of the instrument.
    microscope
        The instrument; it isn't moved.
    settings
        How pictures are exposed.
    """

    def __init__(
        self, core: ScanCore, rig: Rig, microscope: Microscope, *, settings: LiveViewSettings = LIVE_VIEW
    ) -> None:
        self._core = core
        self._rig = rig
        self._microscope = microscope
        self._settings = settings

    def positions(self) -> InstrumentPositions:
        """Ask every device where it stands; one that doesn't answer is named, and the others are asked."""
        faults: list[str] = []
        microscope, devices = self._microscope, self._rig.devices
        label = self._ask(faults, devices.turret, lambda: str(self._core.getStateLabel(devices.turret)))
        objective = next((one for one in self._rig.objectives if one.label == label), None)
        if label is not None and objective is None:
            faults.append(
                f"{devices.turret}: stands at {label!r}, where the rig has no objective: turn it to one of "
                f"{', '.join(one.label for one in self._rig.objectives)}"
            )
        stage = self._ask(faults, devices.stage, microscope.stage_position)
        is_down = self._ask(faults, devices.focus, microscope.focus_is_down)
        oiled = self._ask(faults, devices.stage, microscope.slides.is_oiled)
        return InstrumentPositions(
            read_at=datetime.now(UTC),
            stage=stage,
            focus_um=self._ask(faults, devices.focus, microscope.focus_position_um),
            focus_is_down=is_down,
            turret_label=label,
            objective=objective,
            light_on=self._ask(faults, devices.lamp, lambda: bool(self._core.getShutterOpen(devices.lamp))),
            slide_oiled=oiled,
            interlocks=self._interlocks(objective, stage, is_down=is_down, oiled=oiled),
            faults=tuple(dict.fromkeys(faults)),
        )

    def picture(self, exposure_ms: float) -> LivePicture:
        """Take a picture of whatever lies under the objective; the light is left as it is.

        Parameters
        ----------
        exposure_ms
            Exposure time.

        Raises
        ------
        DeviceError
            The camera raised, or gave something that is no grey picture.
        """
        label, taken_at = self._rig.devices.camera, datetime.now(UTC)
        try:
            self._core.setExposure(label, exposure_ms)
            self._core.snapImage()
            pixels = np.asarray(self._core.getImage())
        except ScannerError:
            raise
        except Exception as error:
            raise DeviceError(f"picture failed: {_first_line(error)}", device=label) from error
        if pixels.ndim != 2 or pixels.dtype not in (np.uint8, np.uint16) or not pixels.size:
            raise DeviceError(
                "picture of another kind: set the camera to grey pictures of 8 or 16 bits",
                device=label,
                wanted="(height, width) uint8 or uint16",
                actual=f"{pixels.shape} {pixels.dtype}",
            )
        step = self._settings.sample_step_px
        level = float(np.percentile(pixels[::step, ::step], 99)) / self._rig.camera.full_scale
        return LivePicture(pixels, exposure_ms, level, taken_at)

    def next_exposure_ms(self, picture: LivePicture) -> float:
        """Exposure that brings the next picture to the target level, ms.

        Parameters
        ----------
        picture
            The last one.
        """
        settings = self._settings
        if abs(picture.level_fraction - settings.target_fraction) <= settings.tolerance * settings.target_fraction:
            return picture.exposure_ms
        factor = settings.target_fraction / max(
            picture.level_fraction, settings.target_fraction / settings.largest_step
        )
        if picture.level_fraction >= 1.0:
            factor = 1.0 / settings.largest_step
        wanted_ms = picture.exposure_ms * factor
        return min(max(wanted_ms, settings.min_exposure_ms), settings.max_exposure_ms)

    def is_settled(self, picture: LivePicture) -> bool:
        """Whether the exposure of a picture needs no further change, or can't be changed any further."""
        return self.next_exposure_ms(picture) == picture.exposure_ms

    def _interlocks(
        self,
        objective: Objective | None,
        stage: StagePoint | None,
        *,
        is_down: bool | None,
        oiled: bool | None,
    ) -> tuple[InterlockState, ...]:
        if objective is None or stage is None or is_down is None or oiled is None:
            return ()
        rig, slides = self._rig, self._microscope.slides
        load = rig.stage.load
        tolerance_um = rig.stage.motion.tolerance_um

        def situation(target: Objective | None = None) -> Situation:
            return Situation(
                objective,
                target=target,
                focus_is_down=is_down,
                slide_oiled=oiled,
                at_load_position=load is not None and stage.distance_um(load.point) <= tolerance_um,
                path_oiled=oiled,
                homing_allowed=rig.stage.homing,
                loader_failed=slides.loader_failed,
            )

        actions = [Action.MOVE, Action.FOCUS, Action.HOME]
        actions += [Action.CHANGE_SLIDE] if slides.has_loader else []
        states = [_interlock_state(action, situation()) for action in actions]
        others = [other for other in rig.objectives if other.name != objective.name]
        return (*states, *(_interlock_state(Action.TURN_TURRET, situation(other)) for other in others))

    @staticmethod
    def _ask(faults: list[str], device: str, question: Callable[[], Value]) -> Value | None:
        try:
            return question()
        except ScannerError as error:
            faults.append(str(error))
        except Exception as error:  # noqa: BLE001 - recorded: the core raises whatever an adapter raised
            faults.append(f"{device}: {_first_line(error)}")
        return None


def _interlock_state(action: Action, situation: Situation) -> InterlockState:
    rule = broken_rule(action, situation)
    target = None if situation.target is None else situation.target.name
    if rule is None:
        return InterlockState(action, target)
    return InterlockState(action, target, rule.name, rule.reason)


def _first_line(error: Exception) -> str:
    text = str(error).strip().splitlines()
    return text[0] if text else type(error).__name__
