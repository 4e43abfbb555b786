"""One object for the whole instrument: what a run may ask of it, and what it refuses."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from scanner.coordinates import StagePoint
from scanner.core import ScanCore
from scanner.core_autofocus import autofocus_of
from scanner.device_calls import DeviceCalls
from scanner.errors import DeviceNotReadyError, ScannerError
from scanner.frame import Exposure, Frame
from scanner.interlocks import Action, Situation, check_interlocks
from scanner.microscope.camera import Camera
from scanner.microscope.filter_turret import FilterTurret
from scanner.microscope.focus_drive import FocusDrive, focus_sign
from scanner.microscope.hardware_focus import FocusWindow, HardwareFocus
from scanner.microscope.lamp import Lamp
from scanner.microscope.limits import check_limit
from scanner.microscope.slides import Slides
from scanner.microscope.stage import Stage
from scanner.microscope.turret import Turret
from scanner.oil import OilLedger
from scanner.rig import Objective, Rig
from scanner.rig_equipment import LightPath
from scanner.watchdog import CallWatchdog, HungCall

_log = logging.getLogger(__name__)


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
        The turret stands where the rig has no objective, or a peripheral is none.
    RigError
        Which way the focus drive counts isn't certain.

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
        if now is None and pause is None:
            now, pause = core.time_source()
        calls = DeviceCalls(core, now or time.monotonic, pause or time.sleep)
        devices = rig.devices
        self._calls = calls
        sign = focus_sign(calls, devices.focus, rig.focus, simulated=rig.simulated)
        self._focus = FocusDrive(calls, devices.focus, rig.focus, sign=sign, before_move=self.release_autofocus)
        self._autofocus = self._find_autofocus(core)
        self._stage = Stage(calls, devices.stage, rig.stage, before_move=self._prepare_move)
        self._turret = Turret(calls, devices.turret, rig.objectives)
        self._lamp = Lamp(calls, devices.lamp, rig.lamp)
        self._filters: FilterTurret | None = None
        if devices.reflector is not None and rig.reflector is not None:
            self._filters = FilterTurret(calls, devices.reflector, rig.reflector)
        self._camera = Camera(
            calls,
            rig,
            stage=self._stage,
            focus_drive=self._focus,
            turret=self._turret,
            check_focus=self._check_focus_holds,
        )
        self.slides = Slides(
            calls,
            rig,
            stage=self._stage,
            focus_drive=self._focus,
            turret=self._turret,
            autofocus_is_on=self._autofocus_is_on,
            oil=oil if oil is not None else OilLedger(),
        )

    # -- state ---------------------------------------------------------------------------------------------

    @property
    def objective(self) -> Objective:
        """The objective in the light path."""
        return self._turret.objective

    def stage_position(self) -> StagePoint:
        """Position of the stage, read from the controller."""
        return self._stage.position()

    def focus_position_um(self) -> float:
        """Position of the focus, read from the controller; higher is nearer to the specimen."""
        return self._focus.position_um()

    def focus_is_down(self) -> bool:
        """Whether the focus rests where nothing can touch."""
        return self._focus.is_down()

    # -- stage ---------------------------------------------------------------------------------------------

    def check_reachable(self, target: StagePoint) -> None:
        """Refuse a stage position outside the limits.

        Parameters
        ----------
        target
            Position.

        Raises
        ------
        LimitError
            With axis, wanted, allowed and unit.
        """
        self._stage.check_reachable(target)

    def move_to(self, target: StagePoint, *, one_sided: bool = False) -> StagePoint:
        """Move the stage and wait until it rests there.

        Parameters
        ----------
        target
            Where to.
        one_sided
            Arrive from below on both axes, so that the play of the drives (backlash in the rig) always lies on the
            same side. Costs a second, short move where the stage comes from above.

        Returns
        -------
        StagePoint
            The position read back, within tolerance of `target`.

        Raises
        ------
        LimitError, InterlockError, MoveTimeoutError, MoveStoppedError, PositionError, DeviceError
            See `scanner.errors`.
        """
        return self._stage.move_to(target, one_sided=one_sided)

    def start_move(self, target: StagePoint) -> None:
        """Start a move and return at once; `finish_move` has to follow before anything else is asked.

        Parameters
        ----------
        target
            Where to.

        Raises
        ------
        LimitError, InterlockError
            Before moving.
        MoveStoppedError
            The instrument was stopped.
        DeviceError
            The controller refused.
        """
        self._stage.start_move(target)

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
        return self._stage.finish_move()

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
            It isn't allowed, or a slide may be in the way; nothing has moved.
        MoveTimeoutError, DeviceError
            It did not end.
        """
        label = self._stage.label
        permitted = allowed or self.rig.stage.homing
        self._check(Action.HOME, label, homing_allowed=permitted)
        self._calls.check_not_stopped(label)
        self._focus.lower()
        self._check(
            Action.HOME,
            label,
            homing_allowed=permitted,
            focus_is_down=self._focus.is_down(),
            autofocus_is_on=self._autofocus_is_on(),
        )
        return self._stage.home()

    # -- focus and turret ----------------------------------------------------------------------------------

    def focus_to(self, z_um: float) -> float:
        """Move the focus within the envelope of the objective and wait.

        Parameters
        ----------
        z_um
            Where to; higher is nearer to the specimen.

        Returns
        -------
        float
            The position read back, um.

        Raises
        ------
        LimitError
            Outside the objective's focus envelope or the drive's range; nothing has moved.
        """
        self._prepare_focus(z_um)
        return self._focus.move_to(z_um)

    def lower_focus(self) -> None:
        """Bring the objective away from the slide, to the position in which nothing can touch."""
        self._focus.lower()

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
        label = self._turret.label
        # Asked before the focus is lowered: what is forbidden moves nothing at all.
        oiled = self.slides.is_oiled()
        self._check(Action.TURN_TURRET, label, target=wanted, oil_allowed=oil_allowed, slide_oiled=oiled)
        self._calls.check_not_stopped(label)
        self._focus.lower()
        if not self._turret.stands_at(wanted):
            self._check(
                Action.TURN_TURRET,
                label,
                target=wanted,
                oil_allowed=oil_allowed,
                slide_oiled=oiled,
                focus_is_down=self._focus.is_down(),
                autofocus_is_on=self._autofocus_is_on(),
            )
            self._turret.turn_to(wanted)
        return self._turret.confirm(wanted)

    # -- hardware autofocus --------------------------------------------------------------------------------

    @property
    def has_autofocus(self) -> bool:
        """Whether the rig has a hardware autofocus."""
        return self._autofocus is not None

    @property
    def autofocus_holds(self) -> bool:
        """Whether the hardware autofocus has locked on the specimen and holds it, as far as was heard."""
        return self._autofocus is not None and self._autofocus.is_holding

    def lock_autofocus(self, expected_um: float, *, tolerance_um: float | None = None) -> float:
        """Let the hardware autofocus focus where the stage rests; the focus stands near the specimen.

        A continuous one holds the focus until it is released; every move of the focus, and so every change of
        objective or slide, releases it first. Each exposure proves that it still holds.

        Parameters
        ----------
        expected_um
            Focus by the focus map.
        tolerance_um
            How sure that is; never more than the rig allows, which is the default.

        Returns
        -------
        float
            The position read back, um.

        Raises
        ------
        LimitError, InterlockError
            The expected focus is out of reach or forbidden; nothing has moved.
        AutofocusError
            No lock, or not on the specimen: further from `expected_um` than the rig allows, or out of the focus
            envelope. It is off.
        DeviceNotReadyError
            The rig has no autofocus, or no offset for this objective.
        """
        autofocus = self._autofocus
        if autofocus is None:
            raise DeviceNotReadyError("the rig has no hardware autofocus", device=self.rig.name)
        objective = self.objective
        self._prepare_focus(expected_um)
        most_um = autofocus.config.surface_tolerance_um
        sure_um = most_um if tolerance_um is None else min(most_um, tolerance_um)
        window = FocusWindow(expected_um, sure_um, objective.focus)
        return autofocus.lock(window, objective)

    def release_autofocus(self) -> None:
        """Switch the hardware autofocus off, where there is one, and prove it.

        Raises
        ------
        DeviceError
            It does not answer, or stays on.
        """
        if self._autofocus is not None:
            self._autofocus.release()

    # -- light and camera ----------------------------------------------------------------------------------

    def light(self, *, on: bool) -> None:
        """Open or close the light and prove it; before it opens, the filters have to be those that were chosen."""
        if on and self._filters is not None:
            self._filters.check_holds()
        self._lamp.switch(on=on)

    def select_light_path(self, path: LightPath) -> None:
        """Bring the filters for a kind of light into the light path, where the rig has a turret for them.

        Parameters
        ----------
        path
            Kind of light.

        Raises
        ------
        DeviceNotReadyError
            The rig has none for it, or the turret did not end where it was sent.
        MoveTimeoutError, MoveStoppedError, DeviceError
            It isn't certain which filters are in the light path.
        """
        if self._filters is not None:
            self._filters.turn_to(path)

    @property
    def lamp_wait_s(self) -> float:
        """How long the lamp is waited for at most before it counts as ready, s; 0 once it was."""
        return self._lamp.wait_s

    def await_lamp(self, check: Callable[[], None] = lambda: None) -> None:
        """Wait until the lamp is ready; light on.

        Parameters
        ----------
        check
            Called again and again; what it raises ends the wait.

        Raises
        ------
        DeviceNotReadyError
            It did not get ready within its deadline.
        MoveStoppedError, DeviceError
            The instrument was stopped, or gave no answer.
        """
        self._lamp.await_ready(check)

    @contextmanager
    def lit(self) -> Iterator[None]:
        """Light of a lamp that is ready within, off after, whatever happens."""
        try:
            self.light(on=True)
            self.await_lamp()
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
        return self._camera.expose(exposure_ms)

    def read(self, exposure: Exposure) -> Frame:
        """Read the frame of an exposure out of the camera.

        Parameters
        ----------
        exposure
            The last one.

        Raises
        ------
        FrameError
            It isn't the last exposure; or no frame, of another size, black or saturated.
        """
        return self._camera.read(exposure)

    @property
    def overlaps(self) -> bool:
        """Whether the next exposure may be made before the last one has been read."""
        return self._camera.overlaps

    @contextmanager
    def overlapped(self) -> Iterator[None]:
        """Within, expose pictures while the ones before are read out, where the rig's camera can.

        Every exposure still proves that the stage rests where it was sent. What was not read
        is discarded at the end.
        """
        with self._camera.overlapped():
            yield

    def discard_exposure(self) -> None:
        """Leave unread what was exposed; the next exposure may be made."""
        self._camera.discard_exposure()

    # -- stopping ------------------------------------------------------------------------------------------

    def stop(self) -> None:
        """Halt everything that moves now; a waiting move fails, later ones are refused until `resume`. Any thread.

        Raises
        ------
        DeviceError
            A device did not obey; the others have been told all the same.
        """
        self._calls.stop()
        # The autofocus first: it would drive the focus on.
        faults = _try_all(
            [self._halt_autofocus, self._stage.halt, self._focus.halt, self.slides.stop, self.slides.stop_oil]
        )
        if faults:
            raise faults[0]

    def resume(self) -> None:
        """Allow moves again after `stop`."""
        self._calls.resume()

    def safe_state(self) -> tuple[ScannerError, ...]:
        """Light and autofocus off, stage halted, focus down: each is tried whatever the others do.

        Returns
        -------
        tuple of ScannerError
            What could not be done; empty when the instrument is safe.
        """
        self._stage.abandon_move()
        return _try_all(step for _, step in (*self.safe_steps(), ("camera", self._camera.discard_exposure)))

    def safe_steps(self) -> tuple[tuple[str, Callable[[], None]], ...]:
        """What makes the instrument safe, in order, each with its name; any thread."""
        # Lowering is always safe, so it's the one move that a stopped instrument still makes.
        return (
            ("light off", lambda: self.light(on=False)),
            ("stage and autofocus halted", self.stop),
            ("focus down", lambda: self._focus.lower(stoppable=False)),
        )

    @contextmanager
    def watched(self, on_hang: Callable[[HungCall], object]) -> Iterator[None]:
        """Within, notice calls into devices that never return.

        Parameters
        ----------
        on_hang
            Told once, in a thread of its own, while the thread that made the call is stuck in it.
        """
        with CallWatchdog(on_hang) as watchdog:
            self._calls.watchdog = watchdog
            try:
                yield
            finally:
                self._calls.watchdog = None

    # -- interlocks ----------------------------------------------------------------------------------------

    def _prepare_focus(self, z_um: float) -> None:
        """Refuse a focus out of reach or forbidden, and remember where oil comes near."""
        label, objective = self._focus.label, self.objective
        self._turret.check_is_sure()
        check_limit(label, "z", z_um, objective.focus, span_name=f"focus envelope of {objective.name}")
        check_limit(label, "z", z_um, self.rig.focus.z)
        self._check(Action.FOCUS, label, slide_oiled=self.slides.is_oiled())
        if objective.immersion == "oil":
            # Remembered before the drive moves: even a move that fails may have touched the slide.
            self.slides.touched_by_oil()

    def _find_autofocus(self, core: ScanCore) -> HardwareFocus | None:
        label, config = self.rig.devices.autofocus, self.rig.autofocus
        if label is None or config is None:
            return None
        return HardwareFocus(self._calls, label, autofocus_of(core, label), config, focus_drive=self._focus)

    def _autofocus_is_on(self) -> bool:
        return self._autofocus is not None and self._autofocus.is_on()

    def _halt_autofocus(self) -> None:
        if self._autofocus is not None:
            self._autofocus.halt()

    def _check_focus_holds(self) -> None:
        if self._autofocus is not None:
            self._autofocus.check_holds()

    def _prepare_move(self, here: StagePoint, target: StagePoint) -> None:
        """Refuse a stage move that may touch, and lower the focus for a long one."""
        path_oiled = self.slides.is_path_oiled(here, target)
        # Asked of the drive only where it matters: this is the move to every field.
        focus_is_down = self._focus.is_down() if path_oiled and self.objective.immersion != "oil" else True
        self._check(Action.MOVE, self._stage.label, path_oiled=path_oiled, focus_is_down=focus_is_down)
        self._lower_for_travel(here.distance_um(target))

    def _lower_for_travel(self, distance_um: float) -> None:
        objective = self.objective
        if distance_um <= objective.travel_free_um:
            return
        z_um = self._focus.position_um()
        if z_um in objective.focus:
            self._focus.move_to(max(self.rig.focus.down_um, z_um - objective.travel_drop_um))

    def _check(
        self,
        action: Action,
        device: str,
        *,
        target: Objective | None = None,
        focus_is_down: bool = True,
        slide_oiled: bool = False,
        oil_allowed: bool = False,
        path_oiled: bool = False,
        homing_allowed: bool = False,
        autofocus_is_on: bool = False,
    ) -> None:
        """Raise where a rule of the table forbids the action."""
        situation = Situation(
            self.objective,
            target=target,
            focus_is_down=focus_is_down,
            slide_oiled=slide_oiled,
            oil_allowed=oil_allowed,
            path_oiled=path_oiled,
            homing_allowed=homing_allowed,
            loader_failed=self.slides.loader_failed,
            autofocus_is_on=autofocus_is_on,
        )
        check_interlocks(action, situation, device=device)


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
