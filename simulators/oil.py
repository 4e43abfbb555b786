"""Immersion oil on the digital twin: where it lies, and what drives into it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from simulators.clock import advances_itself
from simulators.faults import TwinFaultKind

if TYPE_CHECKING:
    from simulators.twin import Twin

DROP_RADIUS_UM = 2_500.0
_AIR = 1.1
"""Objectives whose immersion has a higher index than this want oil."""


@dataclass(frozen=True, slots=True)
class OilDrop:
    """One drop.

    Attributes
    ----------
    slide_x_um, slide_y_um
        Where it fell, slide um.
    radius_um
        How far it spreads.
    """

    slide_x_um: float
    slide_y_um: float
    radius_um: float = DROP_RADIUS_UM

    def covers(self, slide_x_um: float, slide_y_um: float) -> bool:
        """Whether there is oil at a place.

        Parameters
        ----------
        slide_x_um, slide_y_um
            Place on the slide.
        """
        return math.hypot(slide_x_um - self.slide_x_um, slide_y_um - self.slide_y_um) <= self.radius_um


class Dispenser:
    """A nozzle beside the objective, a pump, a drop sensor and a reservoir.

    Parameters
    ----------
    twin
        On whose slide the drops fall.
    device
        Label by which faults know it.
    offset_um
        Where a drop falls against the point at which the first objective looks, along the stage axes.
    drop_s
        Time of one drop.
    reservoir_drops
        Drops in the full reservoir.

    Notes
    -----
    It writes into the twin's record: ``"oil"`` for a drop, ``"oil_spill"`` for one beside the slide,
    ``"dry_lens_in_oil"`` when a dry objective comes to its focus over oil, ``"no_oil"`` when a picture is taken
    through an oil objective at a place without. All methods may be called from any thread.
    """

    def __init__(
        self,
        twin: Twin,
        device: str = "Oiler",
        *,
        offset_um: tuple[float, float] = (0.0, 0.0),
        drop_s: float = 3.0,
        reservoir_drops: int = 500,
    ) -> None:
        self.twin = twin
        self.device = device
        self.offset_um = offset_um
        self.drop_s = drop_s
        self.reservoir_drops = reservoir_drops
        self._end_s: float | None = None
        self._will_fall = False
        self._ran_dry = False
        self._given = 0
        self._dry_lens_wet = False
        twin.watchers.append(self._watch)

    @property
    def drops_given(self) -> int:
        """Drops that the drop sensor has seen."""
        with self.twin.lock:
            self._follow()
            return self._given

    @property
    def is_empty(self) -> bool:
        """Whether the reservoir's sensor says so."""
        with self.twin.lock:
            self._follow()
            return self._ran_dry or self._given >= self.reservoir_drops

    @property
    def is_busy(self) -> bool:
        """Whether a drop is under way."""
        with self.twin.lock:
            self._follow()
            return self._end_s is not None

    def start_drop(self) -> bool:
        """Begin to give a drop; False where one is under way already or the reservoir is empty."""
        with self.twin.lock:
            if self.is_busy or self.is_empty:
                return False
            clock = self.twin.clock
            self._will_fall = not self.twin.faults.strikes(TwinFaultKind.OIL_EMPTY, self.device)
            if not self._will_fall:
                self.twin.note("fault", f"{self.device}: pumps, and nothing falls")
            self._end_s = clock.now_s() + self.drop_s
            if not advances_itself(clock):
                clock.sleep_s(self.drop_s)
                self._follow()
            return True

    def stop(self) -> None:
        """Stop the pump: a drop that has not fallen does not fall."""
        with self.twin.lock:
            self._follow()
            self._end_s = None

    def refill(self) -> None:
        """Somebody fills the reservoir."""
        with self.twin.lock:
            self._ran_dry = False
            self.reservoir_drops = self._given + 500

    def _follow(self) -> None:
        if self._end_s is None or self.twin.clock.now_s() < self._end_s:
            return
        self._end_s = None
        if not self._will_fall:
            self._ran_dry = True
            return
        self._given += 1
        drop, is_on_slide = self.twin.drop_oil(self.offset_um)
        where = f"slide {drop.slide_x_um:.0f}, {drop.slide_y_um:.0f} um"
        if is_on_slide:
            self.twin.note("oil", where)
        else:
            self.twin.note("oil_spill", f"no slide under the nozzle at {where}")

    def _watch(self, moved: str) -> None:
        """The twin tells that something has begun to move, or that the camera is about to look."""
        with self.twin.lock:
            # A drop whose time has come falls before anything moves on.
            self._follow()
            twin = self.twin
            is_oil_lens = twin.objective.index > _AIR
            if is_oil_lens:
                self._dry_lens_wet = False
                if moved == "camera" and not twin.has_oil_at(*twin.view_um()):
                    twin.note("no_oil", f"picture through {twin.objective.label} without oil")
                return
            if not twin.oil:
                self._dry_lens_wet = False
                return
            z_um = max(twin.focus_um(), twin.z.target_um)
            is_near = z_um > twin.sharp_um(twin.objective) - twin.configuration.contact_um
            is_wet = is_near and twin.has_oil_at(*twin.view_um())
            if is_wet and not self._dry_lens_wet:
                twin.note("dry_lens_in_oil", f"{twin.objective.label} at z {z_um:.0f} um over oil")
            self._dry_lens_wet = is_wet
