"""Drops of oil on the slides that lie on the stage."""

from __future__ import annotations

from collections.abc import Iterable

from simulators.oil import OilDrop
from simulators.specimen.glass import GLASS_UM
from simulators.twin.state import EMPTY_STAGE, TwinState
from simulators.twin.view import StageView, bay_name


class OilOnSlides:
    """Which drops lie on which slide.

    Parameters
    ----------
    state
        The lock.
    view
        What lies where.
    """

    def __init__(self, state: TwinState, view: StageView) -> None:
        self._state = state
        self._view = view
        # By bay of the bed; "" is the stage without one.
        self._drops: dict[str, tuple[OilDrop, ...]] = {}

    @property
    def here(self) -> tuple[OilDrop, ...]:
        """Drops on the slide under the objective."""
        return self._drops.get(bay_name(self._view.bay), ())

    def clear(self) -> None:
        """Other slides lie there, without oil."""
        self._drops = {}

    def lay(self, drops: Iterable[OilDrop]) -> None:
        """Another slide was put on the stage, with this oil on it."""
        self._drops = {"": tuple(drops)}

    def drop(self, offset_um: tuple[float, float]) -> tuple[OilDrop, bool]:
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
        with self._state.lock:
            bay, place_um = self._view.place_um(offset_um)
            drop = OilDrop(*place_um)
            is_on_glass = 0.0 <= drop.slide_x_um <= GLASS_UM[0] and 0.0 <= drop.slide_y_um <= GLASS_UM[1]
            if self._view.settings_in(bay) is EMPTY_STAGE or not is_on_glass:
                return drop, False
            name = bay_name(bay)
            self._drops[name] = (*self._drops.get(name, ()), drop)
            return drop, True
