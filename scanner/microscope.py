"""One object for the whole instrument: what a run may ask of it, and what it refuses."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

import numpy as np

from scanner.coordinates import ObjectiveView, StagePoint
from scanner.core import ScanCore
from scanner.dialogue import DeviceCalls
from scanner.errors import (
    DeviceNotReadyError,
    FrameDefect,
    FrameError,
    InterlockError,
    LimitError,
    MoveTimeoutError,
    PositionError,
    ScannerError,
)
from scanner.frame import Exposure, Frame
from scanner.frame_witness import RepeatedFrameDetector
from scanner.interlocks import Action, Situation, broken_rule
from scanner.oil import OilLedger
from scanner.rig import Motion, Objective, Rig, Span
from scanner.slides import Slides

_log = logging.getLogger(__name__)

# A move may take this many times its computed duration, plus a fixed share for the controller's answer.
DEADLINE_FACTOR = 2.0
DEADLINE_MARGIN_S = 1.0
# A turret has no speed in the rig; the slowest motorised ones need 2-3 s for a change.
TURRET_DEADLINE_S = 10.0
# Homing looks for the limit switches slowly.
HOME_FACTOR = 10.0
HOME_MARGIN_S = 20.0
# How far below the target a one-sided move turns round, in times the play of the drive.
BACKLASH_MARGIN = 4.0
# A lit field whose 99th percentile stays below this share of full scale is a dead lamp or a closed shutter.
BLACK_SHARE = 0.02
LIT_SHARE = 0.01
# Until so much of the rig's read-out time is over, the camera isn't asked for its frame, and then often.
SURE_READ_OUT = 0.95
FRAME_POLL_S = 0.0002
# Above this share of pixels at full scale, dark chromosomes can no longer be told from clipped background.
SATURATED_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class _Move:
    target: StagePoint
    earliest_s: float
    deadline_s: float


class Microscope:
    """The instrument, made safe.

    Every move is checked against its limits before it starts, waited for until a deadline computed from distance,
    speed and acceleration, and read back. Nothing is photographed unless the stage rests where it was sent.

    Parameters
    ----------
    core
        Core with the rig's configuration loaded.
    rig
        Description of the instrument.
    oil
        What carries oil; by default a ledger that is forgotten with the process.
    now, pause
        Time source and waiting, in s; where neither is given, those of the core's devices.

    Raises
    ------
    DeviceNotReadyError
        The turret stands where the rig knows nothing, or a peripheral is none.

    Notes
    -----
    One thread drives the instrument. `stop` may be called from any thread: it makes a waiting move fail with
    `MoveStoppedError`, and every later move too, until `resume` is called.
    """

    def __init__(
        self,
        core: ScanCore,
        rig: Rig,
        *,
        oil: OilLedger | None = None,
        now: Callable[[], float] | None = None,
        pause: Callable[[float], None] | None = None,
    ) -> None:
        self.rig = rig
        self._core = core
        if now is None and pause is None:
            now, pause = core.time_source()
        self._dialogue = DeviceCalls(core, now or time.monotonic, pause or time.sleep)
        self._frames = RepeatedFrameDetector(rig.devices.camera, rig.camera.full_scale)
        self._turret_is_sure = True
        self._pending: _Move | None = None
        self._target: StagePoint | None = None
        self._exposure_ms: float | None = None
        self._exposed: Exposure | None = None
        self._exposed_at_s = 0.0
        self._objective = self._read_objective()
        self.slides = Slides(self, self._dialogue, oil if oil is not None else OilLedger())

    # -- state ---------------------------------------------------------------------------------------------

    @property
    def objective(self) -> Objective:
        """The objective in the light path."""
        return self._objective

    def stage_position(self) -> StagePoint:
        """Position of the stage, read from the controller."""
        label = self.rig.devices.stage
        with self._dialogue.talking_to(label, "position"):
            x_um, y_um = self._core.getXYPosition(label)
        return StagePoint(self._dialogue.finite(x_um, label, "x"), self._dialogue.finite(y_um, label, "y"))

    def focus_position_um(self) -> float:
        """Position of the focus drive, read from the controller."""
        label = self.rig.devices.focus
        with self._dialogue.talking_to(label, "position"):
            z_um = self._core.getPosition(label)
        return self._dialogue.finite(z_um, label, "z")

    def focus_is_down(self) -> bool:
        """Whether the focus rests where nothing can touch."""
        focus = self.rig.focus
        return self.focus_position_um() <= focus.down_um + focus.motion.tolerance_um

    # -- stage ---------------------------------------------------------------------------------------------

    def check_reachable(self, target: StagePoint) -> None:
        """Refuse a stage position outside the limits.

        Raises
        ------
        LimitError
            With axis, wanted, allowed and unit.
        """
        self._check_limit(self.rig.devices.stage, "x", target.x_um, self.rig.stage.x)
        self._check_limit(self.rig.devices.stage, "y", target.y_um, self.rig.stage.y)

    def move_to(self, target: StagePoint, *, one_sided: bool = False) -> StagePoint:
        """Move the stage and wait until it rests there.

        Parameters
        ----------
        target
            Where to.
        one_sided
            Arrive from below on both axes, so that the play of the drives (backlash in the rig) always lies on the
            same side. Costs a second, short move where the way comes from above.

        Returns
        -------
        StagePoint
            The position read back, within tolerance of `target`.

        Raises
        ------
        LimitError, MoveTimeoutError, MoveStoppedError, PositionError, DeviceError
            See `scanner.errors`.
        """
        if one_sided:
            self._come_from_below(target)
        self.start_move(target)
        return self.finish_move()

    def forget_position(self) -> None:
        """What lies under the objective has changed: no picture before the next move."""
        self._target = None

    def home(self, *, allowed: bool = False) -> StagePoint:
        """Drive the stage to its limit switches to find its zero, focus down.

        Parameters
        ----------
        allowed
            Permission for this once, where the rig gives none.

        Returns
        -------
        StagePoint
            Where it ended.

        Raises
        ------
        InterlockError
            Nobody has allowed it, or a slide may be in the way; nothing has moved.
        MoveTimeoutError, DeviceError
            It did not end.
        """
        label = self.rig.devices.stage
        permitted = allowed or self.rig.stage.homing
        self._require(Action.HOME, label, homing_allowed=permitted)
        self._dialogue.check_not_stopped(label)
        self.lower_focus()
        self._require(Action.HOME, label, homing_allowed=permitted, focus_is_down=self.focus_is_down())
        self._target = None
        stage = self.rig.stage
        way_um = max(span.max_um - span.min_um for span in (stage.x, stage.y))
        with self._dialogue.talking_to(label, "homing"):
            self._core.home(label)
        self._wait(label, HOME_FACTOR * stage.motion.duration_s(way_um) + HOME_MARGIN_S)
        return self.stage_position()

    def start_move(self, target: StagePoint) -> None:
        """Start a move and return at once; `finish_move` has to follow before anything else is asked.

        Raises
        ------
        LimitError
            Before moving.
        MoveStoppedError
            The instrument was stopped.
        DeviceError
            The controller refused.
        """
        if self._pending is not None:
            raise InterlockError("a move is still under way", device=self.rig.devices.stage)
        self._dialogue.check_not_stopped(self.rig.devices.stage)
        self.check_reachable(target)
        label = self.rig.devices.stage
        # Until the move is proven, nothing may be photographed.
        self._target = None
        here = self.stage_position()
        way_oiled = self.slides.is_way_oiled(here, target)
        # Asked of the drive only where it matters: this is the way of every field.
        focus_is_down = self.focus_is_down() if way_oiled and self._objective.immersion != "oil" else True
        self._require(Action.MOVE, label, way_oiled=way_oiled, focus_is_down=focus_is_down)
        self._drop_for_travel(here.distance_um(target))
        way_um = max(abs(target.x_um - here.x_um), abs(target.y_um - here.y_um))
        start_s = self._dialogue.now()
        with self._dialogue.talking_to(label, "move", wanted=f"({target.x_um:.1f}, {target.y_um:.1f})"):
            self._core.setXYPosition(label, target.x_um, target.y_um)
        motion = self.rig.stage.motion
        self._pending = _Move(
            target, start_s + motion.duration_s(way_um), self._dialogue.now() + self._allowance_s(motion, way_um)
        )

    def finish_move(self) -> StagePoint:
        """Wait for the move that `start_move` began and prove its end.

        Returns
        -------
        StagePoint
            The position read back.

        Raises
        ------
        MoveTimeoutError, MoveStoppedError, PositionError, DeviceError
            The stage isn't where it was sent; it has been told to stop.
        """
        if self._pending is None:
            raise InterlockError("no move was started", device=self.rig.devices.stage)
        move, self._pending = self._pending, None
        label = self.rig.devices.stage
        self._wait(label, max(0.0, move.deadline_s - self._dialogue.now()))
        # A device that calls itself idle sooner than it can be there is not believed.
        self._dialogue.sit_out(label, move.earliest_s)
        here = self.stage_position()
        self._check_arrival(here, move.target)
        self._target = move.target
        return here

    # -- focus and turret ----------------------------------------------------------------------------------

    def focus_to(self, z_um: float) -> float:
        """Move the focus within the envelope of the objective and wait.

        Returns
        -------
        float
            The position read back, um.

        Raises
        ------
        LimitError
            Outside the objective's focus envelope or the drive's range; nothing has moved.
        """
        label = self.rig.devices.focus
        self._check_turret_is_sure()
        self._check_limit(label, "z", z_um, self._objective.focus, f"focus envelope of {self._objective.name}")
        self._check_limit(label, "z", z_um, self.rig.focus.z)
        self._require(Action.FOCUS, label, slide_oiled=self.slides.is_oiled())
        if self._objective.immersion == "oil":
            # Remembered before the drive moves: even a move that fails may have touched the slide.
            self.slides.touched_by_oil()
        return self._drive_focus(z_um)

    def lower_focus(self) -> None:
        """Bring the objective away from the slide, to the position in which nothing can touch."""
        self._drive_focus(self.rig.focus.down_um)

    def select_objective(self, name: str, *, oil_allowed: bool = False) -> Objective:
        """Change the objective, focus down first.

        Parameters
        ----------
        name
            Name in the rig.
        oil_allowed
            Immersion oil may be used on this slide.

        Raises
        ------
        InterlockError
            An oil objective without permission, or a dry one after oil; nothing has moved.
        DeviceNotReadyError
            The turret did not end where it was sent.
        """
        wanted = self.rig.objective(name)
        turret = self.rig.devices.turret
        # Asked before the focus is lowered: what is forbidden moves nothing at all.
        oiled = self.slides.is_oiled()
        self._require(Action.TURN_TURRET, turret, target=wanted, oil_allowed=oil_allowed, slide_oiled=oiled)
        self._dialogue.check_not_stopped(turret)
        self.lower_focus()
        with self._dialogue.talking_to(turret, "position"):
            is_there = self._core.getStateLabel(turret) == wanted.label
        if not is_there:
            self._require(
                Action.TURN_TURRET,
                turret,
                target=wanted,
                oil_allowed=oil_allowed,
                slide_oiled=oiled,
                focus_is_down=self.focus_is_down(),
            )
            # Until it is read back, nobody knows through what one would look, or what could touch.
            self._turret_is_sure = False
            with self._dialogue.talking_to(turret, "change", wanted=wanted.label):
                self._core.setStateLabel(turret, wanted.label)
            self._wait(turret, TURRET_DEADLINE_S)
        self._objective = self._read_objective()
        self._turret_is_sure = True
        if self._objective.name != wanted.name:
            raise DeviceNotReadyError(
                "turret is in another position",
                device=turret,
                wanted=wanted.name,
                actual=self._objective.name,
            )
        _log.info("objective %s", wanted.name)
        return self._objective

    # -- light and camera ----------------------------------------------------------------------------------

    def light(self, *, on: bool) -> None:
        """Open or close the light and prove it."""
        label = self.rig.devices.lamp
        with self._dialogue.talking_to(label, "shutter", wanted="open" if on else "closed"):
            self._core.setShutterOpen(label, on)
            self._wait(label, DEADLINE_MARGIN_S, stoppable=False)
            is_on = bool(self._core.getShutterOpen(label))
        if is_on != on:
            raise DeviceNotReadyError(
                "light did not switch",
                device=label,
                wanted="on" if on else "off",
                actual="on" if is_on else "off",
            )

    @contextmanager
    def lit(self) -> Iterator[None]:
        """Light on within, off after, whatever happens."""
        try:
            self.light(on=True)
            yield
        finally:
            self.light(on=False)

    def snap(self, exposure_ms: float) -> Frame:
        """Take a picture of where the stage was sent; `expose`, then `read`.

        Parameters
        ----------
        exposure_ms
            Exposure time.

        Raises
        ------
        PositionError
            The stage isn't, or did not stay, where it was sent: there is no picture.
        FrameError
            No frame, of another size, black or saturated.
        """
        return self.read(self.expose(exposure_ms))

    def expose(self, exposure_ms: float) -> Exposure:
        """Expose where the stage was sent, and leave the frame in the camera.

        The stage may be sent on as soon as this returns: reading out needs no light and no standing stage.

        Parameters
        ----------
        exposure_ms
            Exposure time.

        Raises
        ------
        PositionError
            The stage isn't, or did not stay, where it was sent: there is no picture.
        FrameError
            The camera has not been read since the last exposure.
        """
        if self._target is None or self._pending is not None:
            raise PositionError("no proven position to photograph", device=self.rig.devices.stage)
        self._check_turret_is_sure()
        label = self.rig.devices.camera
        if self._exposed is not None:
            raise FrameError("the last exposure has not been read", device=label)
        target = self._target
        self._check_arrival(self.stage_position(), target)
        taken_at = datetime.now(UTC)
        with self._dialogue.talking_to(label, "exposure"):
            if exposure_ms != self._exposure_ms:
                self._core.setExposure(label, exposure_ms)
                self._exposure_ms = exposure_ms
            begun_s = self._dialogue.now()
            self._core.snapImage()
        # Not the time it is now: a twin whose time passes at once has read the frame out already.
        self._exposed_at_s = begun_s + exposure_ms / 1000.0
        # Read again after the exposure: a stage that crept or was pushed spoils the picture.
        here = self.stage_position()
        self._check_arrival(here, target)
        view = ObjectiveView(here, self.rig.camera_frame(self._objective), self._objective.parcentric)
        self._exposed = Exposure(view, self.focus_position_um(), self._objective.name, exposure_ms, taken_at)
        return self._exposed

    def read(self, exposure: Exposure) -> Frame:
        """Read the frame of an exposure out of the camera.

        Raises
        ------
        FrameError
            It isn't the last exposure; or no frame, of another size, black or saturated.
        """
        label = self.rig.devices.camera
        if exposure is not self._exposed:
            raise FrameError("another exposure is in the camera", device=label, defect=FrameDefect.MISSING)
        self._exposed = None
        self._await_frame(label, exposure.exposure_ms)
        with self._dialogue.talking_to(label, "read-out"):
            pixels = np.asarray(self._core.getImage())
        self._check_frame(pixels)
        self._frames.check(pixels)
        return Frame(
            pixels, exposure.view, exposure.z_um, exposure.objective, exposure.exposure_ms, exposure.taken_at
        )

    # -- stopping ------------------------------------------------------------------------------------------

    def stop(self) -> None:
        """Halt everything that moves now; a waiting move fails, later ones are refused until `resume`. Any thread.

        Raises
        ------
        DeviceError
            A device did not obey; the others have been told all the same.
        """
        self._dialogue.stop()
        drives = (self.rig.devices.stage, self.rig.devices.focus)
        halts = [partial(self._halt_drive, label) for label in drives]
        faults = _try_all([*halts, self.slides.stop, self.slides.stop_oil])
        if faults:
            raise faults[0]

    def resume(self) -> None:
        """Allow moves again after `stop`."""
        self._dialogue.resume()

    def safe_state(self) -> tuple[ScannerError, ...]:
        """Light off, stage halted, focus down: each is tried whatever the others do.

        Returns
        -------
        tuple of ScannerError
            What could not be done; empty when the instrument is safe.
        """
        self._pending = None
        self._target = None
        self._exposed = None
        return _try_all((lambda: self.light(on=False), self.stop, self._lower_when_stopped))

    # -- inside --------------------------------------------------------------------------------------------

    def _lower_when_stopped(self) -> None:
        # Lowering is always safe, so it's the one move that a stopped instrument still makes.
        self._drive_focus(self.rig.focus.down_um, stoppable=False)

    def _drive_focus(self, z_um: float, *, stoppable: bool = True) -> float:
        label = self.rig.devices.focus
        if stoppable:
            self._dialogue.check_not_stopped(label)
        motion = self.rig.focus.motion
        way_um = abs(z_um - self.focus_position_um())
        start_s = self._dialogue.now()
        with self._dialogue.talking_to(label, "move", wanted=f"{z_um:.2f}"):
            self._core.setPosition(label, z_um)
        self._wait(label, self._allowance_s(motion, way_um), stoppable=stoppable)
        self._dialogue.sit_out(label, start_s + motion.duration_s(way_um), stoppable=stoppable)
        here_um = self.focus_position_um()
        if abs(here_um - z_um) > motion.tolerance_um:
            raise PositionError(
                "not where it was sent", device=label, axis="z", wanted=z_um, actual=here_um, unit="um"
            )
        return here_um

    def _drop_for_travel(self, way_um: float) -> None:
        objective = self._objective
        if way_um <= objective.travel_free_um:
            return
        z_um = self.focus_position_um()
        if z_um in objective.focus:
            self._drive_focus(max(self.rig.focus.down_um, z_um - objective.travel_drop_um))

    def _read_objective(self) -> Objective:
        turret = self.rig.devices.turret
        with self._dialogue.talking_to(turret, "position"):
            label = self._core.getStateLabel(turret)
        for objective in self.rig.objectives:
            if objective.label == label:
                return objective
        known = ", ".join(objective.label for objective in self.rig.objectives)
        raise DeviceNotReadyError("turret position unknown to the rig", device=turret, actual=label, allowed=known)

    def _allowance_s(self, motion: Motion, way_um: float) -> float:
        return DEADLINE_FACTOR * motion.duration_s(way_um) + DEADLINE_MARGIN_S

    def _wait(self, label: str, allowance_s: float, *, stoppable: bool = True) -> None:
        drives = (self.rig.devices.stage, self.rig.devices.focus)
        # A device that can't say when it has arrived must not go on moving.
        halt = (lambda: self._core.stop(label)) if label in drives else None
        self._dialogue.wait(label, allowance_s, stoppable=stoppable, halt=halt)

    def _await_frame(self, label: str, exposure_ms: float) -> None:
        allowance_s = DEADLINE_FACTOR * (exposure_ms + self.rig.camera.read_out_ms) / 1000.0 + DEADLINE_MARGIN_S
        # Every question costs time of the processor, and no camera is much faster than its rig says.
        expected_s = self._exposed_at_s + SURE_READ_OUT * self.rig.camera.read_out_ms / 1000.0
        self._dialogue.sit_out(label, expected_s, stoppable=False)
        try:
            self._dialogue.wait(label, allowance_s, stoppable=False, poll_s=FRAME_POLL_S)
        except MoveTimeoutError as error:
            raise FrameError(
                "the frame never came",
                device=label,
                defect=FrameDefect.MISSING,
                wanted=error.wanted,
                unit=error.unit,
            ) from error

    def _check_turret_is_sure(self) -> None:
        if not self._turret_is_sure:
            raise DeviceNotReadyError(
                "nobody knows which objective is in the light path: select one", device=self.rig.devices.turret
            )

    def _halt_drive(self, label: str) -> None:
        with self._dialogue.talking_to(label, "stop"):
            self._core.stop(label)

    def _require(
        self,
        action: Action,
        device: str,
        *,
        target: Objective | None = None,
        focus_is_down: bool = True,
        slide_oiled: bool = False,
        oil_allowed: bool = False,
        way_oiled: bool = False,
        homing_allowed: bool = False,
    ) -> None:
        """Raise where a rule of the table forbids the action."""
        situation = Situation(
            self._objective,
            target=target,
            focus_is_down=focus_is_down,
            slide_oiled=slide_oiled,
            oil_allowed=oil_allowed,
            way_oiled=way_oiled,
            homing_allowed=homing_allowed,
            loader_in_doubt=self.slides.in_doubt,
        )
        rule = broken_rule(action, situation)
        if rule is not None:
            wanted = target.name if target is not None else None
            raise InterlockError(f"{rule.reason} ({rule.name})", device=device, wanted=wanted)

    def _come_from_below(self, target: StagePoint) -> None:
        stage = self.rig.stage
        if not (stage.backlash_x_um or stage.backlash_y_um):
            return
        self.check_reachable(target)
        here = self.stage_position()
        margin_x_um, margin_y_um = (BACKLASH_MARGIN * play for play in (stage.backlash_x_um, stage.backlash_y_um))
        if target.x_um - here.x_um >= margin_x_um and target.y_um - here.y_um >= margin_y_um:
            return
        self.move_to(
            StagePoint(
                max(target.x_um - margin_x_um, stage.x.min_um), max(target.y_um - margin_y_um, stage.y.min_um)
            )
        )

    def _check_limit(self, label: str, axis: str, value: float, span: Span, what: str = "") -> None:
        if not (math.isfinite(value) and value in span):
            allowed = f"{span} um" + (f" ({what})" if what else "")
            raise LimitError(
                "refused before moving",
                device=label,
                axis=axis,
                wanted=float(value),
                allowed=allowed,
                unit="um",
            )

    def _check_arrival(self, here: StagePoint, target: StagePoint) -> None:
        tolerance = self.rig.stage.motion.tolerance_um
        for axis, actual, wanted in (("x", here.x_um, target.x_um), ("y", here.y_um, target.y_um)):
            if abs(actual - wanted) > tolerance:
                self._target = None
                raise PositionError(
                    "not where it was sent",
                    device=self.rig.devices.stage,
                    axis=axis,
                    wanted=wanted,
                    actual=actual,
                    unit="um",
                )

    def _check_frame(self, pixels: np.ndarray) -> None:
        camera = self.rig.camera
        label = self.rig.devices.camera
        expected = (camera.height_px, camera.width_px)
        if pixels.shape != expected or pixels.dtype != np.uint16:
            raise FrameError(
                "frame of another kind",
                device=label,
                defect=FrameDefect.WRONG_KIND,
                wanted=f"{expected} uint16",
                actual=f"{pixels.shape} {pixels.dtype}",
            )
        sample = pixels[::8, ::8]
        # Counted rather than sorted: the stage waits for the answer.
        lit = np.count_nonzero(sample >= BLACK_SHARE * camera.full_scale) / sample.size
        if lit < LIT_SHARE:
            raise FrameError(
                "black frame: lamp dead, shutter closed or light path blocked",
                device=label,
                defect=FrameDefect.BLACK,
                actual=float(np.percentile(sample, 100.0 * (1.0 - LIT_SHARE))),
            )
        clipped = np.count_nonzero(sample >= camera.full_scale) / sample.size
        if clipped > SATURATED_SHARE:
            raise FrameError(
                "saturated frame",
                device=label,
                defect=FrameDefect.SATURATED,
                actual=clipped,
                allowed=f"up to {SATURATED_SHARE} of the pixels",
            )


def _try_all(steps: Iterable[Callable[[], None]]) -> tuple[ScannerError, ...]:
    """Make every step, whatever the others do; what failed, in order."""
    faults: list[ScannerError] = []
    for step in steps:
        try:
            step()
        except ScannerError as error:
            _log.exception("could not make the instrument safe")
            faults.append(error)
    return tuple(faults)
