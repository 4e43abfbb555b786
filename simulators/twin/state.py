"""The twin's mechanics and optics, and their state at any time."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from simulators.clock import Clock, advances_itself
from simulators.faults import TwinFaultPlan
from simulators.lamp import LampModel
from simulators.motion import Axis, Drive
from simulators.optics import SIXTY_THREE, TEN, ObjectiveModel, SensorModel
from simulators.specimen.slide import SlideSettings

EMPTY_STAGE: Final = SlideSettings(cells=0, nuclei_per_mm2=0.0, specks_per_mm2=0.0, tilt_um=0.0, warp_um=0.0)
"""What the camera sees where no slide lies: light, and nothing in it."""


@dataclass(frozen=True, slots=True)
class TwinConfiguration:
    """The twin's mechanics and optics; none of it is shown to a user of the microscope.

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


class TwinState:
    """What the parts of the twin share: axes, turret, lamp, clock, faults and the lock that guards them.

    Parameters
    ----------
    configuration
        Mechanics and optics.
    clock
        Time.
    faults
        What will go wrong.
    """

    def __init__(self, configuration: TwinConfiguration, clock: Clock, faults: TwinFaultPlan) -> None:
        self.configuration = configuration
        self.clock = clock
        self.faults = faults
        self.lock = threading.RLock()
        self.watchers: list[Callable[[str], None]] = []
        self.x = Axis(configuration.xy_drive, sum(configuration.x_limits_um) / 2.0)
        self.y = Axis(configuration.xy_drive, sum(configuration.y_limits_um) / 2.0)
        self.z = Axis(configuration.z_drive, configuration.z_limits_um[0])
        self.objective_index = 0
        self.is_turret_between = False
        self.turret_end_s = 0.0
        self.read_out_end_s = 0.0
        self.drift_starts_s: list[float] = []
        self.lamp_open = False
        # Whether the filters let through what the specimen emits, or what it absorbs; None without a turret.
        self.passes_emission: bool | None = None
        # Set by a test that lets a call go which would never return.
        self.hang_is_over = threading.Event()
        self.lamp_intensity = 0.5

    @property
    def objective(self) -> ObjectiveModel:
        """In the light path."""
        return self.configuration.objectives[self.objective_index]

    @property
    def is_turret_busy(self) -> bool:
        """Whether the turret turns."""
        return self.clock.now_s() < self.turret_end_s

    def table_um(self) -> tuple[float, float]:
        """Where the stage's table truly is."""
        now_s = self.clock.now_s()
        return self.x.table_um(now_s), self.y.table_um(now_s)

    def lens_um(self) -> float:
        """Where the focus drive truly is."""
        return self.z.table_um(self.clock.now_s())

    def reconfigure(self, configuration: TwinConfiguration) -> None:
        """Take other mechanics and optics; all axes stop where they are."""
        now_s = self.clock.now_s()
        self.x = Axis(configuration.xy_drive, self.x.position_um(now_s))
        self.y = Axis(configuration.xy_drive, self.y.position_um(now_s))
        self.z = Axis(configuration.z_drive, self.z.position_um(now_s))
        self.configuration = configuration

    def set_clock(self, clock: Clock) -> None:
        """Take another clock; all axes stop where they are."""
        now_s = self.clock.now_s()
        self.x, self.y, self.z = (Axis(axis.drive, axis.position_um(now_s)) for axis in (self.x, self.y, self.z))
        self.clock = clock
        self.read_out_end_s = self.turret_end_s = 0.0

    def notify(self, moved: str) -> None:
        """Tell the watchers what begins to move."""
        for watcher in self.watchers:
            watcher(moved)

    def pass_time(self, duration_s: float) -> None:
        """Let time pass where nobody else does."""
        if not advances_itself(self.clock):
            self.clock.sleep_s(duration_s)
