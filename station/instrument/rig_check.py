"""A check of one instrument that moves everything a little and believes only what is read back."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from acquisition.run.interruption import interruptions_raised
from scanner.calibration.common_steps import find_exposure
from scanner.coordinates import StagePoint
from scanner.core import ScanCore
from scanner.counted import counted
from scanner.errors import DeviceError, DeviceNotReadyError, LimitError, ScannerError
from scanner.microscope import Microscope
from scanner.rig import Rig, Span, load_rig
from scanner.stillness import StillnessVerdict, prove_stillness
from station.compose import open_oil_ledger, require_agreement, require_devices, state_folder
from station.instrument.exclusive_use import exclusive_use
from station.instrument.unproven import UnprovenProperty, unproven_properties

# Way of the trial moves: far enough to be seen, near enough to be harmless.
NUDGE_UM = 500.0
NUDGE_FRACTION = 0.05


class RigCheckState(StrEnum):
    """Outcome of a step."""

    OK = "ok"
    FAULT = "fault"
    NOT_ASSESSED = "not assessed"


@dataclass(frozen=True, slots=True)
class RigCheckStep:
    """One line of the check."""

    what: str
    state: RigCheckState
    detail: str


@dataclass(frozen=True, slots=True)
class CheckPicture:
    """The picture of the check.

    Attributes
    ----------
    pixels
        uint16, shape (height_px, width_px), as the camera gave them.
    exposure_ms
        Exposure time.
    full_scale
        Largest grey level of the camera.
    objective
        Name of the objective in the rig.
    """

    pixels: NDArray[np.uint16]
    exposure_ms: float
    full_scale: int
    objective: str


@dataclass(frozen=True, slots=True)
class RigCheck:
    """Outcome of a check.

    Attributes
    ----------
    name
        Name of the rig; that of its folder where its file can't be read.
    steps
        In order.
    unproven
        What the check leaves open; empty where the rig's file can't be read.
    picture
        None where no picture could be taken.
    """

    name: str
    steps: tuple[RigCheckStep, ...]
    unproven: tuple[UnprovenProperty, ...] = ()
    picture: CheckPicture | None = None

    @property
    def failed(self) -> bool:
        """Whether any step ended in a fault."""
        return any(step.state is RigCheckState.FAULT for step in self.steps)


class _NotAssessedError(Exception):
    """A step that can't be made here; the text says why."""


def check_rig(folder: Path, *, home: bool = False, turret: bool = False) -> RigCheck:
    """Check an instrument: load, limits, moves with read-back, light, picture, stillness, safe state.

    Parameters
    ----------
    folder
        Folder of the rig.
    home
        Drive the stage to its end switches first, even where the rig gives no permission (``stage.homing``).
    turret
        Turn to every objective, focus down, and read back its label. None is driven to the slide.

    Returns
    -------
    RigCheck
        After a fault the later steps are tried all the same, as far as there is something to try.
    """
    steps = _Steps()
    loaded: list[tuple[Rig, Path]] = []
    steps.make("rig file", lambda: _note(loaded, load_rig(folder)))
    if not loaded:
        return RigCheck(folder.resolve().name, steps.done)
    rig, cfg = loaded[0]
    pictures: list[CheckPicture] = []
    with interruptions_raised(), ExitStack() as claimed:
        steps.make("exclusive use", lambda: _claim(claimed, rig))
        if not steps.failed:
            _check_devices(steps, rig, cfg, pictures, home=home, turret=turret)
    picture = pictures[0] if pictures else None
    return RigCheck(rig.name, steps.done, unproven_properties(rig, str(folder), turret_turned=turret), picture)


def _check_devices(
    steps: _Steps, rig: Rig, cfg: Path, pictures: list[CheckPicture], *, home: bool, turret: bool
) -> None:
    core = ScanCore()
    try:
        microscopes: list[Microscope] = []
        steps.make("devices", lambda: _load(core, rig, cfg))
        if steps.failed:
            return
        steps.make("turret", lambda: _microscope(core, rig, microscopes))
        if not microscopes:
            return
        microscope = microscopes[0]
        try:
            _exercise(steps, microscope, pictures, home=home, turret=turret)
        finally:
            steps.make("safe state", lambda: _safe(microscope))
    finally:
        core.unloadAllDevices()


class _Steps:
    """Steps made so far; an expected failure is a line, not the end."""

    def __init__(self) -> None:
        self._done: list[RigCheckStep] = []

    @property
    def done(self) -> tuple[RigCheckStep, ...]:
        return tuple(self._done)

    @property
    def failed(self) -> bool:
        return any(step.state is RigCheckState.FAULT for step in self._done)

    def make(self, what: str, step: Callable[[], str]) -> None:
        try:
            self._done.append(RigCheckStep(what, RigCheckState.OK, step()))
        except _NotAssessedError as reason:
            self._done.append(RigCheckStep(what, RigCheckState.NOT_ASSESSED, str(reason)))
        except ScannerError as error:
            self._done.append(RigCheckStep(what, RigCheckState.FAULT, str(error)))


def _exercise(
    steps: _Steps, microscope: Microscope, pictures: list[CheckPicture], *, home: bool, turret: bool
) -> None:
    steps.make("focus down", lambda: _focus_down(microscope))
    if home or microscope.rig.stage.homing:
        steps.make("home", lambda: _home(microscope, asked=home))
    if turret:
        steps.make("turret turns", lambda: _turn_turret(microscope))
    steps.make("limits", lambda: _limits(microscope))
    for axis in ("x", "y"):
        steps.make(f"stage {axis}", lambda axis=axis: _nudge(microscope, axis))  # type: ignore[misc]
    steps.make("focus", lambda: _focus(microscope))
    steps.make("light", lambda: _light(microscope))
    steps.make("picture", lambda: _picture(microscope, pictures))
    steps.make("stillness", lambda: _stillness(microscope, pictures))
    slides = microscope.slides
    if slides.has_loader or slides.has_label_camera or slides.has_oiler:
        steps.make("slides", lambda: _peripherals(microscope))


def _note(loaded: list[tuple[Rig, Path]], loaded_rig: tuple[Rig, Path]) -> str:
    loaded.append(loaded_rig)
    rig = loaded_rig[0]
    calibrated = f", {counted(len(rig.calibration), 'calibration')}" if rig.calibration else ", never calibrated"
    return f"{rig.name}: {', '.join(objective.name for objective in rig.objectives)}{calibrated}"


def _claim(claimed: ExitStack, rig: Rig) -> str:
    claimed.enter_context(exclusive_use(rig, state_folder()))
    return "simulated, used by this process alone" if rig.simulated else "no other process has it"


def _load(core: ScanCore, rig: Rig, cfg: Path) -> str:
    core.loadSystemConfiguration(cfg)
    require_devices(core, rig)
    require_agreement(core, rig)
    present = set(core.getLoadedDevices())
    return ", ".join(sorted(present - {"Core"}))


def _microscope(core: ScanCore, rig: Rig, microscopes: list[Microscope]) -> str:
    microscopes.append(Microscope(core, rig, oil=open_oil_ledger(rig)))
    return f"{microscopes[0].objective.name} in the light path"


def _focus_down(microscope: Microscope) -> str:
    microscope.lower_focus()
    return f"z {microscope.focus_position_um():.1f} um"


def _home(microscope: Microscope, *, asked: bool) -> str:
    here = microscope.home(allowed=asked)
    return f"x {here.x_um:.1f}, y {here.y_um:.1f} um"


def _turn_turret(microscope: Microscope) -> str:
    """Turn to every objective with the focus down, then back to the one that was in the light path."""
    start = microscope.objective
    if microscope.slides.is_oiled():
        raise _NotAssessedError("the slide carries oil: no dry objective is turned over it")
    turned = []
    for objective in (*(one for one in microscope.rig.objectives if one.name != start.name), start):
        # Turned only, with the focus down: no oil objective comes near the slide, so none carries oil to it.
        confirmed = microscope.select_objective(objective.name, oil_allowed=True)
        turned.append(confirmed.label)
    return f"{start.label} -> {' -> '.join(turned)}, focus down"


def _peripherals(microscope: Microscope) -> str:
    slides = microscope.slides
    found = []
    if slides.has_loader:
        state = slides.state()
        stage = "a slide on the stage" if state.on_stage else "stage empty"
        found.append(f"loader: {counted(len(state.occupied), 'slide')}, {stage}")
    if slides.has_label_camera:
        picture = slides.label_picture()
        found.append(f"label camera: {picture.shape[1]} x {picture.shape[0]} px")
    if slides.has_oiler:
        found.append("oiler: there; no drop is given for a check")
    return ", ".join(found)


def _limits(microscope: Microscope) -> str:
    stage = microscope.rig.stage
    here = microscope.stage_position()
    microscope.check_reachable(here)
    focus = microscope.rig.focus
    beyond = StagePoint(stage.x.max_um + 1.0, here.y_um)
    try:
        microscope.check_reachable(beyond)
    except LimitError:
        return f"x {stage.x}, y {stage.y}, z {focus.z} um; at x {here.x_um:z.1f}, y {here.y_um:z.1f} um"
    raise DeviceNotReadyError("a position beyond the limits was not refused", device=microscope.rig.devices.stage)


def _nudge(microscope: Microscope, axis: str) -> str:
    stage = microscope.rig.stage
    here = microscope.stage_position()
    span, start_um = (stage.x, here.x_um) if axis == "x" else (stage.y, here.y_um)
    step_um = _inward(span, start_um)
    target = here.shifted(step_um, 0.0) if axis == "x" else here.shifted(0.0, step_um)
    there = microscope.move_to(target)
    back = microscope.move_to(here)
    values = [getattr(point, f"{axis}_um") for point in (here, there, back)]
    return " -> ".join(f"{value:z.2f}" for value in values) + " um"


def _inward(span: Span, start_um: float) -> float:
    size_um = min(NUDGE_UM, NUDGE_FRACTION * (span.max_um - span.min_um))
    middle_um = (span.min_um + span.max_um) / 2.0
    return size_um if start_um <= middle_um else -size_um


def _focus(microscope: Microscope) -> str:
    objective = microscope.objective
    if objective.immersion == "oil":
        raise _NotAssessedError(f"{objective.name} is in the light path: it isn't driven to a slide without need")
    envelope = objective.focus
    microscope.focus_to(envelope.min_um)
    first_um = microscope.focus_position_um()
    there_um = microscope.focus_to(envelope.min_um + NUDGE_FRACTION * (envelope.max_um - envelope.min_um))
    back_um = microscope.focus_to((envelope.min_um + envelope.max_um) / 2.0)
    return f"{first_um:.2f} -> {there_um:.2f} -> {back_um:.2f} um"


def _light(microscope: Microscope) -> str:
    microscope.light(on=True)
    return "on"


def _picture(microscope: Microscope, pictures: list[CheckPicture]) -> str:
    exposure_ms = find_exposure(microscope)
    frame = microscope.snap(exposure_ms)
    full_scale = microscope.rig.camera.full_scale
    pictures.append(CheckPicture(frame.pixels, exposure_ms, full_scale, frame.objective))
    height, width = frame.pixels.shape
    return f"{width} x {height} px, mean level {frame.pixels.mean():.0f} at {exposure_ms:.2f} ms"


def _stillness(microscope: Microscope, pictures: list[CheckPicture]) -> str:
    if not pictures:
        raise _NotAssessedError("no picture to compare")
    found = prove_stillness(microscope, pictures[0].exposure_ms)
    if found.verdict is StillnessVerdict.UNDECIDED:
        raise _NotAssessedError("blank field: a shift can't be measured on it")
    if found.verdict is StillnessVerdict.MOVED:
        way = "pictures differ" if found.shift_um is None else f"moved {found.shift_um:.3f} um"
        raise DeviceError(f"{way} between two exposures at rest", device=microscope.rig.devices.stage)
    return f"{found.shift_um:.3f} um between two exposures, allowed {found.limit_um:.3f} um"


def _safe(microscope: Microscope) -> str:
    faults = microscope.safe_state()
    if faults:
        raise DeviceError("; ".join(str(fault) for fault in faults), device=microscope.rig.name)
    return "light off, stage halted, focus down"
