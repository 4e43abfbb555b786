"""What moves slides: a gripper between magazine and stage, with its sensors, on the digital twin."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from scanner.devices.loader import LoaderCode
from scanner.peripherals import LoaderState
from simulators.clock import advances_itself
from simulators.faults import TwinFaultKind
from simulators.oil import OilDrop
from simulators.specimen.slide import SlideSettings
from simulators.tray import FEEDER_SLOTS, Tray, TraySlide, fill_tray
from simulators.twin import Twin

# Shares of a change at which the gripper has lifted a slide, and at which a jam stops it.
_LIFTED, _STUCK = 0.3, 0.5
# The gripper finds the stage within this distance of the load position.
_GRIP_UM = 500.0


class FeederError(Exception):
    """The feeder refuses.

    Parameters
    ----------
    code
        Why.
    """

    def __init__(self, code: LoaderCode) -> None:
        self.code = code
        super().__init__(code.name)


class FeederStep(StrEnum):
    """What the gripper is doing."""

    LOAD = "load"
    UNLOAD = "unload"
    HOME = "home"


@dataclass(frozen=True, slots=True)
class Carried:
    """A slide outside the magazine.

    Attributes
    ----------
    slot
        Where it came from.
    slide
        The slide.
    oil
        Drops on it.
    """

    slot: int
    slide: TraySlide
    oil: tuple[OilDrop, ...] = ()


@dataclass(frozen=True, slots=True)
class _Job:
    step: FeederStep
    slot: int
    start_s: float
    end_s: float
    jams: bool = False
    loses_slide: bool = False

    def at_s(self, share: float) -> float:
        return self.start_s + share * (self.end_s - self.start_s)


class Feeder:
    """A gripper and its magazine.

    Parameters
    ----------
    twin
        On whose stage slides are laid.
    device
        Label by which faults know it.
    tray
        The magazine; None makes one like the twin's slide settings when it is first needed.
    change_s
        Time of one load or unload.
    load_um
        Where the stage has to stand, stage um.
    withdraws_after_jam
        Whether the gripper gets free by itself when it is homed after a jam; otherwise a hand is needed.

    Attributes
    ----------
    make_tray
        Fills the magazine, until something moves or somebody has filled it.

    Notes
    -----
    The gripper moves whenever told to: what it would have broken becomes a ``"collision"`` of the twin, and so
    does a stage, focus drive or turret that moves while it is over the stage. Its own sensors it heeds: it refuses
    an empty slot and an occupied stage. All methods may be called from any thread.
    """

    def __init__(
        self,
        twin: Twin,
        device: str = "Loader",
        tray: Tray | None = None,
        *,
        change_s: float = 12.0,
        load_um: tuple[float, float] = (0.0, 0.0),
        withdraws_after_jam: bool = False,
    ) -> None:
        self.twin = twin
        self.withdraws_after_jam = withdraws_after_jam
        self.device = device
        self.change_s = change_s
        self.load_um = load_um
        self.make_tray: Callable[[], Tray] = lambda: fill_tray(FEEDER_SLOTS, twin.settings)
        self._tray = tray
        # Until something moves, the magazine follows the settings of the twin's slide.
        self._fills_itself = tray is None
        self._template: SlideSettings | None = None
        self._magazine: dict[int, Carried] = {}
        self._on_stage: Carried | None = None
        self._in_gripper: Carried | None = None
        # Slot of a slide that the stage's sensor pretends to feel.
        self._believed_slot: int | None = None
        self._job: _Job | None = None
        self._error = LoaderCode.OK
        if tray is not None:
            self._fill(tray)
        twin.lay_slide(None)
        twin.watchers.append(self._watch)
        twin.magazine = self

    # -- the magazine --------------------------------------------------------------------------------------

    @property
    def tray(self) -> Tray:
        """The magazine as it was filled; setting it takes all slides off and fills it anew."""
        with self.twin.lock:
            if self._tray is None or (self._fills_itself and self._template is not self.twin.settings):
                self._template = self.twin.settings
                self._tray = self.make_tray()
                self._fill(self._tray)
            return self._tray

    @tray.setter
    def tray(self, tray: Tray) -> None:
        with self.twin.lock:
            self._tray = tray
            self._fills_itself = False
            self._fill(tray)
            self._on_stage = self._in_gripper = self._job = None
            self._believed_slot = None
            self._error = LoaderCode.OK
            self.twin.lay_slide(None)

    def refill(self) -> None:
        """Fill the magazine anew when it is next needed, unless somebody has filled it or it has moved."""
        with self.twin.lock:
            self._template = None

    @property
    def slide_on_stage(self) -> TraySlide | None:
        """Truth: the slide that lies on the stage."""
        with self.twin.lock:
            self._follow()
            return None if self._on_stage is None else self._on_stage.slide

    @property
    def label_in_view(self) -> TraySlide | None:
        """The slide whose label a camera sees that looks at gripper and load position."""
        with self.twin.lock:
            self._follow()
            if self._in_gripper is not None:
                return self._in_gripper.slide
            return None if self._on_stage is None or self._away_um() > _GRIP_UM else self._on_stage.slide

    def clear_by_hand(self) -> None:
        """Somebody opens the door, puts the slide that hangs in the gripper back and closes the door."""
        with self.twin.lock:
            self._follow()
            if self._in_gripper is not None:
                self._magazine[self._in_gripper.slot] = self._in_gripper
                self._in_gripper = None
            if self._error is LoaderCode.JAMMED:
                self._error = LoaderCode.HALTED

    # -- commands ------------------------------------------------------------------------------------------

    @property
    def slots(self) -> int:
        """Slots of the magazine."""
        return self.tray.slots

    def sensors(self) -> LoaderState:
        """What its sensors say."""
        with self.twin.lock:
            _ = self.tray
            self._follow()
            slot = self._believed_slot if self._on_stage is None else self._on_stage.slot
            return LoaderState(frozenset(self._magazine), slot is not None, slot)

    @property
    def is_gripper_occupied(self) -> bool:
        """Whether a slide is sensed in the gripper."""
        with self.twin.lock:
            self._follow()
            return self._in_gripper is not None

    @property
    def error(self) -> LoaderCode:
        """How the last motion ended; `OK` while one is under way."""
        with self.twin.lock:
            self._follow()
            return self._error

    @property
    def is_busy(self) -> bool:
        """Whether the gripper is under way."""
        with self.twin.lock:
            self._follow()
            return self._job is not None

    def load(self, slot: int, extra_s: float = 0.0) -> None:
        """Start to lay a slide on the stage.

        Parameters
        ----------
        slot
            Where it is taken from.
        extra_s
            Time that the gripper needs besides.

        Raises
        ------
        FeederError
            Refused; nothing has moved.
        """
        with self.twin.lock:
            if not 1 <= slot <= self.slots:
                raise FeederError(LoaderCode.ARGUMENT)
            self._check_ready()
            if slot not in self._magazine:
                raise FeederError(LoaderCode.SLOT_EMPTY)
            if self.sensors().on_stage:
                raise FeederError(LoaderCode.STAGE_OCCUPIED)
            if self._strikes(TwinFaultKind.WRONG_SLIDE, "takes the slide of the neighbouring slot"):
                slot = self._neighbour(slot)
            loses = self._strikes(TwinFaultKind.NO_SLIDE, "reports a slide where none is")
            self._start(FeederStep.LOAD, slot, extra_s, loses_slide=loses)

    def unload(self, extra_s: float = 0.0) -> None:
        """Start to bring the slide on the stage back to its slot.

        Raises
        ------
        FeederError
            Refused; nothing has moved.
        """
        with self.twin.lock:
            self._check_ready()
            state = self.sensors()
            if not state.on_stage:
                raise FeederError(LoaderCode.STAGE_EMPTY)
            if state.taken_from is None or state.taken_from in self._magazine:
                raise FeederError(LoaderCode.SLOT_OCCUPIED)
            self._start(FeederStep.UNLOAD, state.taken_from, extra_s)

    def home(self) -> None:
        """Start to withdraw the gripper into the magazine; a slide that it holds goes back to its slot.

        Raises
        ------
        FeederError
            Under way, or jammed and not cleared by hand.
        """
        with self.twin.lock:
            _ = self.tray
            self._follow()
            if self._job is not None:
                raise FeederError(LoaderCode.BUSY)
            if self._error is LoaderCode.JAMMED and not self.withdraws_after_jam:
                raise FeederError(LoaderCode.JAMMED)
            slot = 0 if self._in_gripper is None else self._in_gripper.slot
            self._start(FeederStep.HOME, slot, 0.0)

    def stop(self) -> None:
        """Halt where it is."""
        with self.twin.lock:
            self._follow()
            if self._job is not None:
                self._job = None
                self._error = LoaderCode.HALTED

    # -- inside --------------------------------------------------------------------------------------------

    def _fill(self, tray: Tray) -> None:
        self._magazine = {slot: Carried(slot, slide) for slot, slide in tray.slides.items()}

    def _check_ready(self) -> None:
        _ = self.tray
        self._follow()
        if self._job is not None:
            raise FeederError(LoaderCode.BUSY)
        if self._error in (LoaderCode.JAMMED, LoaderCode.HALTED):
            raise FeederError(self._error)

    def _strikes(self, kind: TwinFaultKind, what: str) -> bool:
        if not self.twin.faults.strikes(kind, self.device):
            return False
        self.twin.note("fault", f"{self.device}: {what}")
        return True

    def _neighbour(self, slot: int) -> int:
        others = [other for other in self._magazine if other != slot]
        return min(others, key=lambda other: (abs(other - slot), -other), default=slot)

    def _start(self, step: FeederStep, slot: int, extra_s: float, *, loses_slide: bool = False) -> None:
        if step is not FeederStep.HOME or self._in_gripper is not None:
            self._check_clear(f"gripper set out to {step}")
        clock = self.twin.clock
        now_s = clock.now_s()
        self._fills_itself = False
        self._error = LoaderCode.OK
        jams = step is not FeederStep.HOME and self._strikes(TwinFaultKind.LOADER_JAMS, "jams")
        self._job = _Job(step, slot, now_s, now_s + self.change_s + extra_s, jams, loses_slide)
        if not advances_itself(clock):
            clock.sleep_s(self.change_s + extra_s)
            self._follow()

    def _check_clear(self, doing: str) -> None:
        twin = self.twin
        away_um = self._away_um()
        z_um = max(twin.focus_um(), twin.z.target_um)
        if away_um > _GRIP_UM:
            twin.note("collision", f"{doing} with the stage {away_um:.0f} um from the load position")
        if z_um > twin.configuration.turret_clear_um:
            twin.note("collision", f"{doing} with the focus at {z_um:.0f} um")

    def _away_um(self) -> float:
        """How far the stage is from the load position, or on its way to be."""
        twin = self.twin
        return max(
            math.hypot(x_um - self.load_um[0], y_um - self.load_um[1])
            for x_um, y_um in (twin.stage_um(), (twin.x.target_um, twin.y.target_um))
        )

    def _watch(self, moved: str) -> None:
        """The twin tells that something has begun to move, or that the camera is about to look."""
        with self.twin.lock:
            self._follow()
            if self._job is not None and moved != "camera":
                self.twin.note("collision", f"{moved} moved while the gripper was over the stage")

    def _follow(self) -> None:
        """Do what has happened by now."""
        job = self._job
        if job is None:
            return
        now_s = self.twin.clock.now_s()
        if now_s >= job.at_s(_LIFTED):
            self._lift(job)
        if job.jams and now_s >= job.at_s(_STUCK):
            self._job = None
            self._error = LoaderCode.JAMMED
        elif now_s >= job.end_s:
            self._job = None
            self._arrive(job)

    def _lift(self, job: _Job) -> None:
        if self._in_gripper is not None:
            return
        if job.step is FeederStep.LOAD and job.slot in self._magazine:
            self._in_gripper = self._magazine.pop(job.slot)
        elif job.step is FeederStep.UNLOAD and self._on_stage is not None:
            carried = self._on_stage
            self._in_gripper = Carried(carried.slot, carried.slide, self.twin.oil)
            self._on_stage = None
            self.twin.lay_slide(None)

    def _arrive(self, job: _Job) -> None:
        carried, self._in_gripper = self._in_gripper, None
        if job.step is FeederStep.LOAD:
            if job.loses_slide:
                self._believed_slot = job.slot
                self.twin.note("slide_lost", f"{self.device}: the slide of slot {job.slot} fell beside the stage")
            elif carried is not None:
                self._on_stage = carried
                self.twin.lay_slide(carried.slide.settings, carried.oil)
                self.twin.note("slide", f"slot {carried.slot}, {carried.slide.label}")
        elif carried is not None:
            self._magazine[carried.slot] = carried
        elif job.step is FeederStep.UNLOAD:
            self._believed_slot = None
            self._error = LoaderCode.SLIDE_LOST
