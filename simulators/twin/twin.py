"""The twin as devices and tests know it: one object over its parts."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

from simulators.bed import Bay, Bed
from simulators.clock import Clock, InstantClock
from simulators.faults import TwinFaultPlan
from simulators.motion import Axis
from simulators.oil import OilDrop
from simulators.optics import ObjectiveModel
from simulators.specimen.slide import CellTruth, SlideSettings, SlideWorld
from simulators.tray import Magazine
from simulators.twin.autofocus import SimulatedAutofocus
from simulators.twin.exposure import SimulatedCamera
from simulators.twin.motion import TwinMotion
from simulators.twin.oil import OilOnSlides
from simulators.twin.record import FieldOfView, TwinEvent, TwinRecord
from simulators.twin.state import TwinConfiguration, TwinState
from simulators.twin.view import StageView


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
    configuration
        Mechanics and optics.

    Attributes
    ----------
    lock
        Held while anything changes; what hangs on the twin and changes with it holds it too.
    watchers
        Called with ``"stage"``, ``"focus"`` or ``"turret"`` when one has begun to move, with ``"camera"`` before
        an exposure.
    autofocus
        Hardware autofocus; off unless a device switches it on.
    magazine
        Where the slides come from; None where somebody has laid one on the stage.

    Notes
    -----
    The slide is built when it is first photographed. All methods may be called from any thread.
    """

    def __init__(
        self,
        settings: SlideSettings | None = None,
        clock: Clock | None = None,
        faults: TwinFaultPlan | None = None,
        configuration: TwinConfiguration | None = None,
    ) -> None:
        self._state = TwinState(
            configuration or TwinConfiguration(), clock or InstantClock(), faults or TwinFaultPlan()
        )
        self._record = TwinRecord(self._state)
        self._view = StageView(self._state, settings or SlideSettings())
        self._oil = OilOnSlides(self._state, self._view)
        self._motion = TwinMotion(self._state, self._view, self._record)
        self._camera = SimulatedCamera(self._state, self._view, self._record)
        self.autofocus = SimulatedAutofocus(self._state, self._view, self._record)
        self.magazine: Magazine | None = None
        self.lock = self._state.lock
        self.watchers: list[Callable[[str], None]] = self._state.watchers

    # -- configuration, time, faults -----------------------------------------------------------------------

    @property
    def configuration(self) -> TwinConfiguration:
        """Mechanics and optics; setting them stops all axes where they are."""
        return self._state.configuration

    @configuration.setter
    def configuration(self, configuration: TwinConfiguration) -> None:
        with self.lock:
            self._state.reconfigure(configuration)
            self._view.forget_pictures()

    # The name under which other people's tests set it.
    anatomy = configuration

    @property
    def clock(self) -> Clock:
        """The clock; setting it stops all axes where they are."""
        return self._state.clock

    @clock.setter
    def clock(self, clock: Clock) -> None:
        with self.lock:
            self._state.set_clock(clock)

    @property
    def faults(self) -> TwinFaultPlan:
        """What will go wrong."""
        return self._state.faults

    @faults.setter
    def faults(self, faults: TwinFaultPlan) -> None:
        self._state.faults = faults

    # -- slides and oil ------------------------------------------------------------------------------------

    @property
    def settings(self) -> SlideSettings:
        """What the slide follows from; setting it puts another slide on the stage."""
        return self._view.settings

    @settings.setter
    def settings(self, settings: SlideSettings) -> None:
        with self.lock:
            if settings != self._view.settings:
                self._view.settings = settings
                self._view.forget_slides()
                self._oil.clear()

    def lay_slide(self, settings: SlideSettings | None, oil: Iterable[OilDrop] = ()) -> None:
        """Put another slide on the stage.

        Parameters
        ----------
        settings
            The slide; None takes away what lies there.
        oil
            Drops that are on it.
        """
        with self.lock:
            self._view.lay(settings)
            self._oil.lay(oil)

    def lay_frame(self, make_bed: Callable[[SlideSettings], Bed] | None) -> None:
        """Put a frame with several slides on the stage.

        Parameters
        ----------
        make_bed
            Fills the frame with slides like the settings; asked again when those change. None takes it away.
        """
        with self.lock:
            self._view.lay_frame(make_bed)
            self._oil.clear()

    @property
    def bed(self) -> Bed | None:
        """Frame with several slides; None where one slide lies on the stage."""
        return self._view.bed

    @property
    def bay(self) -> Bay | None:
        """Where in the frame the first objective looks; None without a frame."""
        return self._view.bay

    def place_um(self, offset_um: tuple[float, float]) -> tuple[Bay | None, tuple[float, float]]:
        """Bay and place on its slide, um, that lie at an offset from where the first objective looks."""
        return self._view.place_um(offset_um)

    @property
    def oil(self) -> tuple[OilDrop, ...]:
        """Drops on the slide under the objective."""
        return self._oil.here

    def drop_oil(self, offset_um: tuple[float, float]) -> tuple[OilDrop, bool]:
        """Let a drop fall at an offset from where the first objective looks; also whether a slide lay there."""
        return self._oil.drop(offset_um)

    def has_oil_at(self, slide_x_um: float, slide_y_um: float) -> bool:
        """Whether there is oil at a place.

        Parameters
        ----------
        slide_x_um, slide_y_um
            Place on the slide under the objective.
        """
        return any(drop.covers(slide_x_um, slide_y_um) for drop in self.oil)

    @property
    def world(self) -> SlideWorld:
        """The slide under the objective."""
        return self._view.camera().world

    def truth(self) -> tuple[CellTruth, ...]:
        """Planted cells, in slide um."""
        with self.lock:
            return self.world.truth()

    # -- record --------------------------------------------------------------------------------------------

    @property
    def events(self) -> tuple[TwinEvent, ...]:
        """Everything that happened, in order."""
        return self._record.events

    @property
    def collisions(self) -> tuple[TwinEvent, ...]:
        """Events in which glass would have broken."""
        return self._record.collisions

    @property
    def exposures(self) -> int:
        """Frames taken."""
        return self._record.exposures

    @property
    def handed_over(self) -> tuple[tuple[FieldOfView, ...], ...]:
        """For every frame that the camera handed over, in order: the exposures that its pixels come from."""
        return self._record.handed_over

    def note(self, kind: str, detail: str) -> None:
        """Write an event down.

        Parameters
        ----------
        kind
            As in `TwinEvent`.
        detail
            One line.
        """
        self._record.note(kind, detail)

    # -- stage and focus -----------------------------------------------------------------------------------

    @property
    def x(self) -> Axis:
        """Axis of the stage."""
        return self._state.x

    @property
    def y(self) -> Axis:
        """Axis of the stage."""
        return self._state.y

    @property
    def z(self) -> Axis:
        """Axis of the focus drive."""
        return self._state.z

    def stage_um(self) -> tuple[float, float]:
        """Where the stage says it is, under way too."""
        now_s = self.clock.now_s()
        return self.x.reported_um(now_s), self.y.reported_um(now_s)

    def focus_um(self) -> float:
        """Where the focus drive says it is."""
        return self.z.reported_um(self.clock.now_s())

    def lens_um(self) -> float:
        """Where the focus drive truly is."""
        return self._state.lens_um()

    def move_stage(self, x_um: float, y_um: float, device: str) -> None:
        """Start a stage move.

        Parameters
        ----------
        x_um, y_um
            Target.
        device
            Label of the stage.

        Raises
        ------
        ValueError
            The target lies beyond the ends of travel.
        OSError
            A fault: the controller refused.
        """
        self._motion.move_stage(x_um, y_um, device)

    def move_focus(self, z_um: float, device: str) -> None:
        """Start a focus move.

        Parameters
        ----------
        z_um
            Target.
        device
            Label of the drive.

        Raises
        ------
        ValueError
            The target lies beyond the ends of travel.
        OSError
            A fault: the controller refused.
        """
        self._motion.move_focus(z_um, device)

    def home(self, device: str, *axes: Axis) -> None:
        """Start axes towards their limit switches; OSError where a fault refuses."""
        self._motion.home(device, *axes)

    def is_stage_busy(self, device: str) -> bool:
        """Whether the stage moves, settles or pretends to."""
        return self._motion.is_busy(device, self.x, self.y)

    def is_focus_busy(self, device: str) -> bool:
        """Whether the focus drive moves, settles or pretends to."""
        return self._motion.is_busy(device, self.z)

    def halt(self, device: str, *axes: Axis) -> None:
        """Stop axes where they are."""
        self._motion.halt(device, *axes)

    # -- objective -----------------------------------------------------------------------------------------

    @property
    def objective(self) -> ObjectiveModel:
        """In the light path."""
        return self._state.objective

    @property
    def objective_position(self) -> int:
        """Turret position; -1 between two of them."""
        return -1 if self._state.is_turret_between else self._state.objective_index

    def turn_turret(self, position: int, device: str = "Objective") -> None:
        """Change the objective.

        Parameters
        ----------
        position
            Turret position, counted from 0.
        device
            Label of the turret.
        """
        self._motion.turn_turret(position, device)

    def is_turret_busy(self) -> bool:
        """Whether the turret turns."""
        return self._state.is_turret_busy

    def sharp_um(self, objective: ObjectiveModel) -> float:
        """Drive position at which an objective sees the specimen in its centre sharply, where the stage is now."""
        return self._view.sharp_um(objective)

    def in_contact(self) -> bool:
        """Whether an immersion objective is in its oil."""
        return self._view.in_contact()

    def view_um(self, objective: ObjectiveModel | None = None) -> tuple[float, float]:
        """Where on the slide an objective truly looks, the one in the light path unless another is named."""
        return self._view.centre_um(objective or self.objective)

    def image_px(self, slide_x_um: float, slide_y_um: float) -> tuple[float, float]:
        """Where in a picture taken now a place of the slide truly is: x and y in px, perhaps outside.

        Parameters
        ----------
        slide_x_um, slide_y_um
            Place on the slide.
        """
        return self._view.image_px(slide_x_um, slide_y_um)

    # -- light and camera ----------------------------------------------------------------------------------

    @property
    def lamp_open(self) -> bool:
        """Whether the shutter of the lamp is open."""
        return self._state.lamp_open

    @lamp_open.setter
    def lamp_open(self, is_open: bool) -> None:
        with self.lock:
            self._state.lamp_open = is_open

    @property
    def passes_emission(self) -> bool | None:
        """Whether the filters let through what the specimen emits; None without a turret for them."""
        return self._state.passes_emission

    @passes_emission.setter
    def passes_emission(self, passes: bool | None) -> None:
        self._state.passes_emission = passes

    def pass_time(self, duration_s: float) -> None:
        """Let time pass where nobody else does."""
        self._state.pass_time(duration_s)

    @property
    def lamp_intensity(self) -> float:
        """Light of the lamp, as a fraction of its most."""
        return self._state.lamp_intensity

    @lamp_intensity.setter
    def lamp_intensity(self, intensity: float) -> None:
        self._state.lamp_intensity = intensity

    def expose(self, exposure_ms: float, camera: str, lamp: str) -> NDArray[np.uint16]:
        """Expose one frame; returns when the exposure has ended, the read-out going on behind.

        Parameters
        ----------
        exposure_ms
            Exposure time.
        camera, lamp
            Labels of the devices.

        Returns
        -------
        NDArray[np.uint16]
            Grey levels, shape (height, width) of the sensor.

        Raises
        ------
        OSError
            A fault: no frame came.
        """
        return self._camera.expose(exposure_ms, camera, lamp)

    @property
    def read_out_end_s(self) -> float:
        """When the last frame has been read out, on the twin's clock; infinite where that hangs."""
        return self._state.read_out_end_s

    def is_camera_busy(self) -> bool:
        """Whether a frame is still read out."""
        return self._camera.is_busy
