"""The digital twin: a slide, a microscope around it, and a record of what happened."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from simulators.clock import Clock, InstantClock, advances_itself
from simulators.faults import FaultKind, FaultPlan
from simulators.motion import Axis, Drive
from simulators.oil import OilDrop
from simulators.optics import SIXTY_THREE, TEN, ObjectiveModel, SensorModel, Shot, SlideCamera
from simulators.specimen.glass import GLASS_UM
from simulators.specimen.slide import CellTruth, SlideSettings, SlideWorld
from simulators.tray import Magazine

EMPTY_STAGE = SlideSettings(cells=0, nuclei_per_mm2=0.0, specks_per_mm2=0.0, tilt_um=0.0, warp_um=0.0)
"""What the camera sees where no slide lies: light, and nothing in it."""


@dataclass(frozen=True, slots=True)
class Anatomy:
    """The twin's mechanics and optics; nothing that a user of the microscope is told.

    Attributes
    ----------
    objectives
        By turret position.
    sensor
        The camera.
    xy_drive, z_drive
        The axes.
    x_limits_um, y_limits_um, z_limits_um
        Ends of travel.
    focus_um
        Drive position at which the first objective sees the mean specimen plane sharply; higher is nearer to it.
    turret_clear_um
        Below this drive position the turret turns freely; above it an objective would scrape the slide holder.
    contact_um
        An objective with less working distance than this is in oil when it is this near to its focus.
    contact_travel_um
        Longest stage move that the oil film stands while the objective is in it.
    turret_s, read_out_s
        Time of an objective change and of reading a frame.
    slide_origin_um
        Stage position at which the first objective looks at the slide's corner.
    """

    objectives: tuple[ObjectiveModel, ...] = (TEN, SIXTY_THREE)
    sensor: SensorModel = field(default_factory=SensorModel)
    xy_drive: Drive = field(default_factory=lambda: Drive(100_000.0, 2_000_000.0, 0.02))
    z_drive: Drive = field(default_factory=lambda: Drive(5_000.0, 50_000.0, 0.005))
    x_limits_um: tuple[float, float] = (0.0, 76_000.0)
    y_limits_um: tuple[float, float] = (0.0, 26_000.0)
    z_limits_um: tuple[float, float] = (0.0, 4_000.0)
    focus_um: float = 2_000.0
    turret_clear_um: float = 500.0
    contact_um: float = 300.0
    contact_travel_um: float = 5_000.0
    turret_s: float = 1.5
    read_out_s: float = 0.083
    slide_origin_um: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True, slots=True)
class TwinEvent:
    """Something worth telling.

    Attributes
    ----------
    time_s
        Simulated time.
    kind
        ``"collision"``, ``"fault"``, ``"exposure"``, ``"objective"`` or ``"moving_exposure"``; what
        `simulators.feeder` and `simulators.oil` add is told there.
    detail
        One line.
    """

    time_s: float
    kind: str
    detail: str


class Twin:
    """The microscope's true state. Devices show it to the core; tests ask it what really happened.

    Parameters
    ----------
    settings
        The slide.
    clock
        Time.
    faults
        What will go wrong.
    anatomy
        Mechanics and optics.

    Attributes
    ----------
    lock
        Held while anything changes; what hangs on the twin and changes with it holds it too.
    watchers
        Called with ``"stage"``, ``"focus"`` or ``"turret"`` when one has begun to move, with ``"camera"`` before
        an exposure.
    oil
        Drops on the slide that lies on the stage.
    magazine
        Where the slide on the stage comes from; None where somebody has laid it there.

    Notes
    -----
    The slide is built when it is first looked at. All methods may be called from any thread.
    """

    def __init__(
        self,
        settings: SlideSettings | None = None,
        clock: Clock | None = None,
        faults: FaultPlan | None = None,
        anatomy: Anatomy | None = None,
    ) -> None:
        self._anatomy = anatomy or Anatomy()
        self.faults = faults or FaultPlan()
        self._clock: Clock = clock or InstantClock()
        self._settings = settings or SlideSettings()
        self._stage_is_empty = False
        self.oil: tuple[OilDrop, ...] = ()
        self.magazine: Magazine | None = None
        self.watchers: list[Callable[[str], None]] = []
        self.lock = threading.RLock()
        self._camera: SlideCamera | None = None
        self._events: list[TwinEvent] = []
        self._exposures = 0
        self._read_out_end_s = 0.0
        self._turret_end_s = 0.0
        self._objective = 0
        self._stuck: set[str] = set()
        self.lamp_open = False
        self.lamp_intensity = 0.5
        start = self._anatomy
        self.x = Axis(start.xy_drive, sum(start.x_limits_um) / 2.0)
        self.y = Axis(start.xy_drive, sum(start.y_limits_um) / 2.0)
        self.z = Axis(start.z_drive, start.z_limits_um[0])

    # -- anatomy -------------------------------------------------------------------------------------------

    @property
    def anatomy(self) -> Anatomy:
        """Mechanics and optics; setting them stops all axes where they are."""
        return self._anatomy

    @anatomy.setter
    def anatomy(self, anatomy: Anatomy) -> None:
        with self.lock:
            now_s = self._clock.now_s()
            self.x = Axis(anatomy.xy_drive, self.x.position_um(now_s))
            self.y = Axis(anatomy.xy_drive, self.y.position_um(now_s))
            self.z = Axis(anatomy.z_drive, self.z.position_um(now_s))
            self._anatomy = anatomy
            self._camera = None

    # -- the slide -----------------------------------------------------------------------------------------

    @property
    def settings(self) -> SlideSettings:
        """What the slide follows from; setting it puts another slide on the stage."""
        return self._settings

    @settings.setter
    def settings(self, settings: SlideSettings) -> None:
        with self.lock:
            if settings != self._settings:
                self._settings = settings
                self._camera = None

    def lay_slide(self, settings: SlideSettings | None, oil: Iterable[OilDrop] = ()) -> None:
        """Put another slide on the stage, with the oil that is on it; None takes the slide away."""
        with self.lock:
            self._stage_is_empty = settings is None
            self._settings = settings or self._settings
            self.oil = tuple(oil)
            self._camera = None

    def drop_oil(self, drop: OilDrop) -> bool:
        """Let a drop fall; tells whether there was a slide under it."""
        with self.lock:
            is_on_glass = 0.0 <= drop.slide_x_um <= GLASS_UM[0] and 0.0 <= drop.slide_y_um <= GLASS_UM[1]
            if self._stage_is_empty or not is_on_glass:
                return False
            self.oil = (*self.oil, drop)
            return True

    def has_oil_at(self, slide_x_um: float, slide_y_um: float) -> bool:
        """Whether there is oil at a place of the slide on the stage."""
        return any(drop.covers(slide_x_um, slide_y_um) for drop in self.oil)

    @property
    def world(self) -> SlideWorld:
        """The slide on the stage."""
        return self._slide_camera().world

    def truth(self) -> tuple[CellTruth, ...]:
        """Planted cells, in slide um."""
        with self.lock:
            return self.world.truth()

    # -- time and record -----------------------------------------------------------------------------------

    @property
    def clock(self) -> Clock:
        """The clock; setting it stops all axes where they are."""
        return self._clock

    @clock.setter
    def clock(self, clock: Clock) -> None:
        with self.lock:
            now_s = self._clock.now_s()
            places = [axis.position_um(now_s) for axis in (self.x, self.y, self.z)]
            self._clock = clock
            self.x, self.y, self.z = (
                Axis(axis.drive, place) for axis, place in zip((self.x, self.y, self.z), places, strict=True)
            )
            self._read_out_end_s = self._turret_end_s = 0.0

    @property
    def events(self) -> tuple[TwinEvent, ...]:
        """Everything that was worth telling, in order."""
        with self.lock:
            return tuple(self._events)

    @property
    def collisions(self) -> tuple[TwinEvent, ...]:
        """Events in which glass would have broken."""
        return tuple(event for event in self.events if event.kind == "collision")

    @property
    def exposures(self) -> int:
        """Frames taken."""
        return self._exposures

    def note(self, kind: str, detail: str) -> None:
        """Write an event down."""
        with self.lock:
            self._events.append(TwinEvent(self._clock.now_s(), kind, detail))

    # -- stage and focus -----------------------------------------------------------------------------------

    def stage_um(self) -> tuple[float, float]:
        """Where the stage is, under way too."""
        now_s = self._clock.now_s()
        return self.x.position_um(now_s), self.y.position_um(now_s)

    def focus_um(self) -> float:
        """Where the focus drive is."""
        return self.z.position_um(self._clock.now_s())

    def move_stage(self, x_um: float, y_um: float, device: str) -> None:
        """Start a stage move.

        Raises
        ------
        ValueError
            The target lies beyond the ends of travel.
        OSError
            A fault: the controller refused.
        """
        _check_travel(device, "x", x_um, self.anatomy.x_limits_um)
        _check_travel(device, "y", y_um, self.anatomy.y_limits_um)
        with self.lock:
            now_s = self._clock.now_s()
            share = self._share_of_move(device)
            here = self.stage_um()
            target = tuple(start + share * (end - start) for start, end in zip(here, (x_um, y_um), strict=True))
            distance = max(abs(target[0] - here[0]), abs(target[1] - here[1]))
            if distance > self.anatomy.contact_travel_um and self.in_contact():
                self.note("collision", f"stage moved {distance:.0f} um with {self.objective.label} in contact")
            durations = (self.x.send(target[0], now_s), self.y.send(target[1], now_s))
            self._pass_time(max(durations))
            self._tell("stage")

    def move_focus(self, z_um: float, device: str) -> None:
        """Start a focus move.

        Raises
        ------
        ValueError
            The target lies beyond the ends of travel.
        OSError
            A fault: the controller refused.
        """
        _check_travel(device, "z", z_um, self.anatomy.z_limits_um)
        with self.lock:
            now_s = self._clock.now_s()
            here = self.focus_um()
            target = here + self._share_of_move(device) * (z_um - here)
            reach = self.sharp_um(self.objective) + self.objective.working_distance_um
            if target > reach:
                self.note(
                    "collision", f"{self.objective.label} driven to z {target:.0f} um, glass at {reach:.0f} um"
                )
            self._pass_time(self.z.send(target, now_s))
            self._tell("focus")

    def is_stage_busy(self, device: str) -> bool:
        """Whether the stage moves, settles or pretends to."""
        now_s = self._clock.now_s()
        return device in self._stuck or self.x.is_moving(now_s) or self.y.is_moving(now_s)

    def is_focus_busy(self, device: str) -> bool:
        """Whether the focus drive moves, settles or pretends to."""
        return device in self._stuck or self.z.is_moving(self._clock.now_s())

    def halt(self, device: str, *axes: Axis) -> None:
        """Stop axes where they are."""
        with self.lock:
            self._stuck.discard(device)
            for axis in axes:
                axis.halt(self._clock.now_s())

    def _share_of_move(self, device: str) -> float:
        """1, or less where a fault ends the move early."""
        if self.faults.strikes(FaultKind.MOVE_FAILS, device):
            self.note("fault", f"{device}: move refused")
            raise OSError(f"{device}: controller error 32, move not executed")
        if self.faults.strikes(FaultKind.NEVER_IDLE, device):
            self.note("fault", f"{device}: stays busy")
            self._stuck.add(device)
        if self.faults.strikes(FaultKind.MOVE_SHORT, device):
            self.note("fault", f"{device}: move ends early")
            return 0.7
        return 1.0

    def _tell(self, moved: str) -> None:
        for watcher in self.watchers:
            watcher(moved)

    def _pass_time(self, duration_s: float) -> None:
        if not advances_itself(self._clock):
            self._clock.sleep_s(duration_s)

    # -- objective -----------------------------------------------------------------------------------------

    @property
    def objective(self) -> ObjectiveModel:
        """In the light path."""
        return self.anatomy.objectives[self._objective]

    @property
    def objective_position(self) -> int:
        """Turret position."""
        return self._objective

    def turn_turret(self, position: int) -> None:
        """Change the objective."""
        with self.lock:
            if position == self._objective:
                return
            z_um = self.focus_um()
            if z_um > self.anatomy.turret_clear_um:
                self.note(
                    "collision", f"turret turned at z {z_um:.0f} um, free below {self.anatomy.turret_clear_um:.0f}"
                )
            self._objective = position
            self._turret_end_s = self._clock.now_s() + self.anatomy.turret_s
            self.note("objective", self.objective.label)
            self._pass_time(self.anatomy.turret_s)
            self._tell("turret")

    def is_turret_busy(self) -> bool:
        """Whether the turret turns."""
        return self._clock.now_s() < self._turret_end_s

    def sharp_um(self, objective: ObjectiveModel) -> float:
        """Drive position at which an objective sees the specimen in its centre sharply, where the stage is now."""
        x_um, y_um = self._looking_at(objective)
        return self.anatomy.focus_um + self.world.surface_um(x_um, y_um) + objective.parfocal_um

    def in_contact(self) -> bool:
        """Whether an immersion objective is in its oil."""
        objective = self.objective
        return objective.index > 1.1 and self.focus_um() > self.sharp_um(objective) - self.anatomy.contact_um

    def view_um(self, objective: ObjectiveModel | None = None) -> tuple[float, float]:
        """Where on the slide an objective truly looks, the one in the light path unless another is named."""
        return self._looking_at(objective or self.objective)

    def _looking_at(self, objective: ObjectiveModel) -> tuple[float, float]:
        x_um, y_um = self._table_um()
        origin = self.anatomy.slide_origin_um
        return x_um + objective.parcentric_um[0] - origin[0], y_um + objective.parcentric_um[1] - origin[1]

    def _table_um(self) -> tuple[float, float]:
        now_s = self._clock.now_s()
        return self.x.table_um(now_s), self.y.table_um(now_s)

    def seen_at_px(self, slide_x_um: float, slide_y_um: float) -> tuple[float, float]:
        """Where in a picture taken now a place of the slide truly is: x and y in px, perhaps outside."""
        sensor = self.anatomy.sensor
        um_per_px = sensor.pixel_um / self.objective.magnification
        x_um, y_um = self._looking_at(self.objective)
        offset = sensor.image_to_stage().T @ np.array([slide_x_um - x_um, slide_y_um - y_um]) / um_per_px
        return float(offset[0]) + (sensor.width_px - 1) / 2.0, float(offset[1]) + (sensor.height_px - 1) / 2.0

    # -- camera --------------------------------------------------------------------------------------------

    def expose(self, exposure_ms: float, camera: str, lamp: str) -> NDArray[np.uint16]:
        """Expose one frame; returns when the exposure has ended, the read-out going on behind.

        Raises
        ------
        OSError
            A fault: no frame came.
        """
        with self.lock:
            self._exposures += 1
            number = self._exposures
            self._tell("camera")
        before = self._table_um()
        self._clock.sleep_s(exposure_ms / 2000.0)
        with self.lock:
            shot = self._shot(exposure_ms, camera, lamp)
        self._clock.sleep_s(exposure_ms / 2000.0)
        after = self._table_um()
        shot = _smeared(shot, before, after)
        if shot.smear_um != (0.0, 0.0):
            self.note("moving_exposure", f"stage went {shot.smear_um[0]:.2f}, {shot.smear_um[1]:.2f} um meanwhile")
        self._read_out_end_s = self._clock.now_s() + self.anatomy.read_out_s
        self._pass_time(self.anatomy.read_out_s)
        if self.faults.strikes(FaultKind.CAMERA_RAISES, camera):
            self.note("fault", f"{camera}: no frame")
            raise OSError(f"{camera}: frame lost")
        return self._slide_camera().expose(shot, number)

    def is_camera_busy(self) -> bool:
        """Whether a frame is still read out."""
        return self._clock.now_s() < self._read_out_end_s

    def _shot(self, exposure_ms: float, camera: str, lamp: str) -> Shot:
        light = self.lamp_intensity if self.lamp_open and not self.is_turret_busy() else 0.0
        if self.faults.strikes(FaultKind.LAMP_DEAD, lamp):
            self.note("fault", f"{lamp}: no light")
            light = 0.0
        if self.faults.strikes(FaultKind.BLACK_FRAME, camera):
            self.note("fault", f"{camera}: black frame")
            light = 0.0
        objective = self.objective
        x_um, y_um = self._looking_at(objective)
        return Shot(x_um, y_um, objective, self.focus_um() - self.sharp_um(objective), light, exposure_ms)

    def _slide_camera(self) -> SlideCamera:
        with self.lock:
            if self._camera is None:
                settings = EMPTY_STAGE if self._stage_is_empty else self._settings
                self._camera = SlideCamera(SlideWorld(settings), self.anatomy.sensor, settings.seed)
            return self._camera


def _smeared(shot: Shot, before: tuple[float, float], after: tuple[float, float]) -> Shot:
    smear = (after[0] - before[0], after[1] - before[1])
    return Shot(
        shot.centre_x_um,
        shot.centre_y_um,
        shot.objective,
        shot.defocus_um,
        shot.light,
        shot.exposure_ms,
        smear_um=smear if max(abs(smear[0]), abs(smear[1])) > 1e-3 else (0.0, 0.0),
    )


def _check_travel(device: str, axis: str, wanted_um: float, limits_um: tuple[float, float]) -> None:
    if not limits_um[0] <= wanted_um <= limits_um[1]:
        raise ValueError(
            f"{device}: {axis} {wanted_um:.1f} um lies beyond the travel {limits_um[0]:g} .. {limits_um[1]:g} um"
        )
