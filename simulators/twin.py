"""The digital twin: a slide, a microscope around it, and a record of what happened."""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from simulators.bed import Bay, Bed
from simulators.clock import Clock, InstantClock, advances_itself
from simulators.faults import TwinFaultKind, TwinFaultPlan
from simulators.lamp import LampModel
from simulators.mishaps import FaultyMove, drift_um, faulty_move_of, garbage
from simulators.motion import Axis, Drive
from simulators.oil import OilDrop
from simulators.optics import SIXTY_THREE, TEN, ObjectiveModel, SensorModel, Shot, SlideCamera
from simulators.specimen.glass import GLASS_UM
from simulators.specimen.slide import CellTruth, SlideSettings, SlideWorld
from simulators.tray import Magazine

# Slides of a frame that stay drawn: each keeps pictures of what lies on it.
_SLIDES_AT_HAND = 2

EMPTY_STAGE = SlideSettings(cells=0, nuclei_per_mm2=0.0, specks_per_mm2=0.0, tilt_um=0.0, warp_um=0.0)
"""What the camera sees where no slide lies: light, and nothing in it."""


@dataclass(frozen=True, slots=True)
class TwinConfiguration:
    """The twin's mechanics and optics; nothing that a user of the microscope is told.

    Attributes
    ----------
    objectives
        By turret position.
    sensor
        The camera.
    lamp
        How steady the lamp is.
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
    lamp: LampModel = field(default_factory=LampModel)
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


@dataclass(frozen=True, slots=True)
class FieldOfView:
    """What an exposure truly saw.

    Attributes
    ----------
    number
        Of the exposure, counted from 1.
    slide_x_um, slide_y_um
        Place of the slide in the image centre.
    objective
        Label of the objective.
    defocus_um
        Drive position minus the one at which the specimen there is sharp.
    smear_um
        Way that the stage went meanwhile, x and y.
    """

    number: int
    slide_x_um: float
    slide_y_um: float
    objective: str
    defocus_um: float
    smear_um: tuple[float, float]


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
    magazine
        Where the slides come from; None where somebody has laid one on the stage.

    Notes
    -----
    The slide is built when it is first looked at. All methods may be called from any thread.
    """

    def __init__(
        self,
        settings: SlideSettings | None = None,
        clock: Clock | None = None,
        faults: TwinFaultPlan | None = None,
        anatomy: TwinConfiguration | None = None,
    ) -> None:
        self._anatomy = anatomy or TwinConfiguration()
        self.faults = faults or TwinFaultPlan()
        self._clock: Clock = clock or InstantClock()
        self._settings = settings or SlideSettings()
        self._stage_is_empty = False
        self._bed: Bed | None = None
        self._make_bed: Callable[[SlideSettings], Bed] | None = None
        # By bay of the bed; "" is the stage without one.
        self._oil: dict[str, tuple[OilDrop, ...]] = {}
        self.magazine: Magazine | None = None
        self.watchers: list[Callable[[str], None]] = []
        self.lock = threading.RLock()
        self._cameras: OrderedDict[str, SlideCamera] = OrderedDict()
        self._events: list[TwinEvent] = []
        self._exposures = 0
        self._read_out_end_s = 0.0
        self._turret_end_s = 0.0
        self._objective = 0
        self._stuck: set[str] = set()
        self._is_turret_between = False
        self._drifts_s: list[float] = []
        self._handed: list[tuple[FieldOfView, ...]] = []
        self._last_frame: NDArray[np.uint16] | None = None
        self.lamp_open = False
        self.lamp_intensity = 0.5
        start = self._anatomy
        self.x = Axis(start.xy_drive, sum(start.x_limits_um) / 2.0)
        self.y = Axis(start.xy_drive, sum(start.y_limits_um) / 2.0)
        self.z = Axis(start.z_drive, start.z_limits_um[0])

    # -- anatomy -------------------------------------------------------------------------------------------

    @property
    def anatomy(self) -> TwinConfiguration:
        """Mechanics and optics; setting them stops all axes where they are."""
        return self._anatomy

    @anatomy.setter
    def anatomy(self, anatomy: TwinConfiguration) -> None:
        with self.lock:
            now_s = self._clock.now_s()
            self.x = Axis(anatomy.xy_drive, self.x.position_um(now_s))
            self.y = Axis(anatomy.xy_drive, self.y.position_um(now_s))
            self.z = Axis(anatomy.z_drive, self.z.position_um(now_s))
            self._anatomy = anatomy
            self._cameras.clear()

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
                self._forget_slides()

    def lay_slide(self, settings: SlideSettings | None, oil: Iterable[OilDrop] = ()) -> None:
        """Put another slide on the stage, with the oil that is on it; None takes the slide away."""
        with self.lock:
            self._stage_is_empty = settings is None
            self._settings = settings or self._settings
            self._oil = {"": tuple(oil)}
            self._cameras.clear()

    def lay_frame(self, make_bed: Callable[[SlideSettings], Bed] | None) -> None:
        """Put a frame with several slides on the stage.

        Parameters
        ----------
        make_bed
            Fills the frame with slides like the settings; asked again when those change. None takes it away.
        """
        with self.lock:
            self._make_bed = make_bed
            self._forget_slides()

    @property
    def bed(self) -> Bed | None:
        """Frame with several slides; None where one slide lies on the stage."""
        with self.lock:
            if self._bed is None and self._make_bed is not None:
                self._bed = self._make_bed(self._settings)
            return self._bed

    @property
    def bay(self) -> Bay | None:
        """Where in the frame the first objective looks; None without a frame."""
        return self._bay_at(*self._table_um())

    def place_um(self, offset_um: tuple[float, float]) -> tuple[Bay | None, tuple[float, float]]:
        """Bay and place on its slide, um, that lie at an offset from where the first objective looks."""
        table = self._table_um()
        place = (table[0] + offset_um[0], table[1] + offset_um[1])
        bay = self._bay_at(*place)
        corner = self._corner_um(bay)
        return bay, (place[0] - corner[0], place[1] - corner[1])

    def _forget_slides(self) -> None:
        self._bed = None
        self._oil = {}
        self._cameras.clear()

    @property
    def oil(self) -> tuple[OilDrop, ...]:
        """Drops on the slide under the objective."""
        return self._oil.get(_name_of(self.bay), ())

    def drop_oil(self, offset_um: tuple[float, float]) -> tuple[OilDrop, bool]:
        """Let a drop fall.

        Parameters
        ----------
        offset_um
            Where, against the point at which the first objective looks.

        Returns
        -------
        drop, is_on_slide
            Where on the slide, and whether there was one under it.
        """
        with self.lock:
            bay, place = self.place_um(offset_um)
            drop = OilDrop(*place)
            is_on_glass = 0.0 <= drop.slide_x_um <= GLASS_UM[0] and 0.0 <= drop.slide_y_um <= GLASS_UM[1]
            if self._settings_in(bay) is EMPTY_STAGE or not is_on_glass:
                return drop, False
            name = _name_of(bay)
            self._oil[name] = (*self._oil.get(name, ()), drop)
            return drop, True

    def _bay_at(self, x_um: float, y_um: float) -> Bay | None:
        origin = self.anatomy.slide_origin_um
        bed = self.bed
        return None if bed is None else bed.at(x_um - origin[0], y_um - origin[1])

    def _corner_um(self, bay: Bay | None) -> tuple[float, float]:
        """Stage position at which the first objective looks at the corner of a slide."""
        origin = self.anatomy.slide_origin_um
        return origin if bay is None else (origin[0] + bay.origin_um[0], origin[1] + bay.origin_um[1])

    def _settings_in(self, bay: Bay | None) -> SlideSettings:
        if bay is not None:
            return EMPTY_STAGE if bay.slide is None else bay.slide.settings
        return EMPTY_STAGE if self._stage_is_empty else self._settings

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
        """Where the stage says it is, under way too."""
        now_s = self._clock.now_s()
        return self.x.reported_um(now_s), self.y.reported_um(now_s)

    def focus_um(self) -> float:
        """Where the focus drive says it is."""
        return self.z.reported_um(self._clock.now_s())

    def lens_um(self) -> float:
        """Where the focus drive truly is."""
        return self.z.table_um(self._clock.now_s())

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
            self._send(self._course(device), ((self.x, x_um), (self.y, y_um)))
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
            self._send(self._course(device), ((self.z, z_um),))
            self._tell("focus")

    def home(self, device: str, *axes: Axis) -> None:
        """Start axes towards their limit switches, at the lower ends of travel, where lost steps are found again.

        Raises
        ------
        OSError
            A fault: the controller refused.
        """
        anatomy = self.anatomy
        ends = {self.x: anatomy.x_limits_um[0], self.y: anatomy.y_limits_um[0], self.z: anatomy.z_limits_um[0]}
        with self.lock:
            course = self._course(device)
            self._send(course, tuple((axis, ends[axis]) for axis in axes), finds_zero=course.share == 1.0)
            self._tell("focus" if self.z in axes else "stage")

    def is_stage_busy(self, device: str) -> bool:
        """Whether the stage moves, settles or pretends to."""
        now_s = self._clock.now_s()
        return device in self._stuck or self.x.is_busy(now_s) or self.y.is_busy(now_s)

    def is_focus_busy(self, device: str) -> bool:
        """Whether the focus drive moves, settles or pretends to."""
        return device in self._stuck or self.z.is_busy(self._clock.now_s())

    def halt(self, device: str, *axes: Axis) -> None:
        """Stop axes where they are."""
        with self.lock:
            self._stuck.discard(device)
            for axis in axes:
                axis.halt(self._clock.now_s())

    def _course(self, device: str) -> FaultyMove:
        """What becomes of the next move."""
        course = faulty_move_of(self.faults, device, lambda what: self.note("fault", f"{device}: {what}"))
        if course.sticks:
            self._stuck.add(device)
        if course.drifts:
            self._drifts_s.append(self._clock.now_s())
        return course

    def _send(
        self, course: FaultyMove, targets: tuple[tuple[Axis, float], ...], *, finds_zero: bool = False
    ) -> None:
        """Start axes together, and let the time pass where nobody else does."""
        now_s = self._clock.now_s()
        ways = [course.share * (target_um - axis.position_um(now_s)) for axis, target_um in targets]
        slips = [
            0.0 if finds_zero else axis.slip_um(now_s) + course.lost_um(way_um)
            for (axis, _), way_um in zip(targets, ways, strict=True)
        ]
        self._note_collisions(
            {
                axis: axis.position_um(now_s) + way_um - slip_um - axis.table_um(now_s)
                for (axis, _), way_um, slip_um in zip(targets, ways, slips, strict=True)
            }
        )
        durations = [
            axis.send(axis.position_um(now_s) + way_um, now_s, slip_um=slip_um, announced=course.announced)
            for (axis, _), way_um, slip_um in zip(targets, ways, slips, strict=True)
        ]
        if not course.announced:
            self._pass_time(max(durations))

    def _note_collisions(self, ways_um: dict[Axis, float]) -> None:
        """Write down what the ways that axes are about to go will break."""
        objective = self.objective
        way_um = max(abs(ways_um.get(axis, 0.0)) for axis in (self.x, self.y))
        if way_um > self.anatomy.contact_travel_um and self.in_contact():
            self.note("collision", f"stage moved {way_um:.0f} um with {objective.label} in contact")
        if self.z in ways_um:
            end_um, reach_um = (
                self.lens_um() + ways_um[self.z],
                self.sharp_um(objective) + objective.working_distance_um,
            )
            if end_um > reach_um:
                self.note(
                    "collision", f"{objective.label} driven to z {end_um:.0f} um, glass at {reach_um:.0f} um"
                )

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
        """Turret position; -1 between two of them."""
        return -1 if self._is_turret_between else self._objective

    def turn_turret(self, position: int, device: str = "Objective") -> None:
        """Change the objective."""
        with self.lock:
            if position == self._objective and not self._is_turret_between:
                return
            z_um = self.lens_um()
            if z_um > self.anatomy.turret_clear_um:
                self.note(
                    "collision", f"turret turned at z {z_um:.0f} um, free below {self.anatomy.turret_clear_um:.0f}"
                )
            self._is_turret_between = self.faults.strikes(TwinFaultKind.TURRET_BETWEEN, device)
            if self._is_turret_between:
                self.note("fault", f"{device}: turret stops between")
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
        crept_um = drift_um(self._drifts_s, self._clock.now_s())
        return self.anatomy.focus_um + self.world.surface_um(x_um, y_um) + objective.parfocal_um + crept_um

    def in_contact(self) -> bool:
        """Whether an immersion objective is in its oil."""
        objective = self.objective
        return objective.index > 1.1 and self.lens_um() > self.sharp_um(objective) - self.anatomy.contact_um

    def view_um(self, objective: ObjectiveModel | None = None) -> tuple[float, float]:
        """Where on the slide an objective truly looks, the one in the light path unless another is named."""
        return self._looking_at(objective or self.objective)

    def _looking_at(self, objective: ObjectiveModel) -> tuple[float, float]:
        x_um, y_um = self._table_um()
        origin = self._corner_um(self._bay_at(x_um, y_um))
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
        frame = self._slide_camera().expose(shot, number)
        sight = FieldOfView(
            number, shot.centre_x_um, shot.centre_y_um, shot.objective.label, shot.defocus_um, shot.smear_um
        )
        with self.lock:
            return self._hand_over(frame, sight, camera)

    @property
    def handed_over(self) -> tuple[tuple[FieldOfView, ...], ...]:
        """For every frame that the camera handed over, in order: the exposures that its pixels come from."""
        with self.lock:
            return tuple(self._handed)

    def _hand_over(self, frame: NDArray[np.uint16], sight: FieldOfView, camera: str) -> NDArray[np.uint16]:
        kinds = (
            TwinFaultKind.CAMERA_RAISES,
            TwinFaultKind.CAMERA_HANGS,
            TwinFaultKind.FRAME_DROPPED,
            TwinFaultKind.GARBAGE_FRAME,
        )
        struck = {kind for kind in kinds if self.faults.strikes(kind, camera)}
        for kind in sorted(struck):
            self.note("fault", f"{camera}: {kind.value.replace('_', ' ')}")
        if TwinFaultKind.CAMERA_RAISES in struck:
            raise OSError(f"{camera}: frame lost")
        if TwinFaultKind.CAMERA_HANGS in struck:
            self._read_out_end_s = math.inf
        before = self._last_frame
        sources: tuple[FieldOfView, ...] = (sight,)
        if TwinFaultKind.FRAME_DROPPED in struck:
            frame = np.zeros_like(frame) if before is None else before.copy()
            sources = () if before is None else self._handed[-1]
        elif TwinFaultKind.GARBAGE_FRAME in struck:
            rng = np.random.default_rng([self._settings.seed, 79, sight.number])
            frame, what = garbage(frame, before, self.anatomy.sensor.full_scale, rng)
            sources = (sight, *self._handed[-1]) if what == "torn" else ()
        self._last_frame = frame.copy()
        self._handed.append(sources)
        return frame

    def is_camera_busy(self) -> bool:
        """Whether a frame is still read out."""
        return self._clock.now_s() < self._read_out_end_s

    def _shot(self, exposure_ms: float, camera: str, lamp: str) -> Shot:
        is_path_free = not self.is_turret_busy() and not self._is_turret_between
        light = self.lamp_intensity if self.lamp_open and is_path_free else 0.0
        light *= self.anatomy.lamp.share_at(self._clock.now_s())
        if self.faults.strikes(TwinFaultKind.LAMP_DEAD, lamp):
            self.note("fault", f"{lamp}: no light")
            light = 0.0
        if self.faults.strikes(TwinFaultKind.BLACK_FRAME, camera):
            self.note("fault", f"{camera}: black frame")
            light = 0.0
        objective = self.objective
        x_um, y_um = self._looking_at(objective)
        return Shot(x_um, y_um, objective, self.lens_um() - self.sharp_um(objective), light, exposure_ms)

    def _slide_camera(self) -> SlideCamera:
        with self.lock:
            bay = self.bay
            name = _name_of(bay)
            if name not in self._cameras:
                settings = self._settings_in(bay)
                self._cameras[name] = SlideCamera(SlideWorld(settings), self.anatomy.sensor, settings.seed)
                while len(self._cameras) > _SLIDES_AT_HAND:
                    self._cameras.popitem(last=False)
            return self._cameras[name]


def _name_of(bay: Bay | None) -> str:
    return "" if bay is None else bay.name


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
