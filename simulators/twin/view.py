"""What lies on the stage, and what an objective sees of it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

import numpy as np

from simulators.bed import Bay, Bed
from simulators.device_faults import drift_um
from simulators.optics import ObjectiveModel, SlideCamera
from simulators.specimen.slide import SlideSettings, SlideWorld
from simulators.twin.state import EMPTY_STAGE, TwinState

_CACHED_SLIDES: Final = 2
"""Slides of a frame that stay drawn: each keeps pictures of what lies on it."""
_LOWEST_IMMERSION_INDEX: Final = 1.1
"""Refractive index that tells oil (1.515) and water (1.33) from air (1.0)."""


class StageView:
    """The slides on the stage, and the geometry of looking at them.

    Parameters
    ----------
    state
        Axes and optics.
    settings
        The slide.
    """

    def __init__(self, state: TwinState, settings: SlideSettings) -> None:
        self._state = state
        self.settings = settings
        self._is_empty = False
        self._bed: Bed | None = None
        self._make_bed: Callable[[SlideSettings], Bed] | None = None
        self._cameras: OrderedDict[str, SlideCamera] = OrderedDict()

    # -- slides --------------------------------------------------------------------------------------------

    def lay(self, settings: SlideSettings | None) -> None:
        """Put another slide on the stage; None takes the slide away."""
        self._is_empty = settings is None
        self.settings = settings or self.settings
        self._cameras.clear()

    def lay_frame(self, make_bed: Callable[[SlideSettings], Bed] | None) -> None:
        """Put a frame with several slides on the stage; None takes it away."""
        self._make_bed = make_bed
        self.forget_slides()

    def forget_slides(self) -> None:
        """Other slides lie there."""
        self._bed = None
        self._cameras.clear()

    def forget_pictures(self) -> None:
        """The optics have changed: nothing that was drawn is of use."""
        self._cameras.clear()

    @property
    def bed(self) -> Bed | None:
        """Frame with several slides; None where one slide lies on the stage."""
        with self._state.lock:
            if self._bed is None and self._make_bed is not None:
                self._bed = self._make_bed(self.settings)
            return self._bed

    @property
    def bay(self) -> Bay | None:
        """Where in the frame the first objective looks; None without a frame."""
        return self._bay_at(*self._state.table_um())

    def settings_in(self, bay: Bay | None) -> SlideSettings:
        """What lies in a bay, or on the stage where there is none."""
        if bay is not None:
            return EMPTY_STAGE if bay.slide is None else bay.slide.settings
        return EMPTY_STAGE if self._is_empty else self.settings

    def camera(self) -> SlideCamera:
        """Optics over the slide under the objective; slides are drawn when they are first looked at."""
        with self._state.lock:
            bay = self.bay
            name = bay_name(bay)
            if name not in self._cameras:
                settings = self.settings_in(bay)
                sensor = self._state.configuration.sensor
                self._cameras[name] = SlideCamera(SlideWorld(settings), sensor, settings.seed)
                while len(self._cameras) > _CACHED_SLIDES:
                    self._cameras.popitem(last=False)
            return self._cameras[name]

    # -- geometry ------------------------------------------------------------------------------------------

    def place_um(self, offset_um: tuple[float, float]) -> tuple[Bay | None, tuple[float, float]]:
        """Bay and place on its slide, um, that lie at an offset from where the first objective looks."""
        table_um = self._state.table_um()
        place_um = (table_um[0] + offset_um[0], table_um[1] + offset_um[1])
        bay = self._bay_at(*place_um)
        corner_um = self._corner_um(bay)
        return bay, (place_um[0] - corner_um[0], place_um[1] - corner_um[1])

    def centre_um(self, objective: ObjectiveModel) -> tuple[float, float]:
        """Where on the slide an objective truly looks."""
        x_um, y_um = self._state.table_um()
        corner_um = self._corner_um(self._bay_at(x_um, y_um))
        return x_um + objective.parcentric_um[0] - corner_um[0], y_um + objective.parcentric_um[1] - corner_um[1]

    def sharp_um(self, objective: ObjectiveModel) -> float:
        """Drive position at which an objective sees the specimen in its centre sharply, where the stage is now."""
        x_um, y_um = self.centre_um(objective)
        crept_um = drift_um(self._state.drift_starts_s, self._state.clock.now_s())
        surface_um = self.camera().world.surface_um(x_um, y_um)
        return self._state.configuration.focus_um + surface_um + objective.parfocal_um + crept_um

    def in_contact(self) -> bool:
        """Whether an immersion objective is in its oil."""
        objective = self._state.objective
        if objective.index <= _LOWEST_IMMERSION_INDEX:
            return False
        return self._state.lens_um() > self.sharp_um(objective) - self._state.configuration.contact_um

    def image_px(self, slide_x_um: float, slide_y_um: float) -> tuple[float, float]:
        """Where in a picture taken now a place of the slide truly is.

        Parameters
        ----------
        slide_x_um, slide_y_um
            Place on the slide.

        Returns
        -------
        x_px, y_px
            Perhaps outside the picture.
        """
        sensor = self._state.configuration.sensor
        objective = self._state.objective
        um_per_px = sensor.pixel_um / objective.magnification
        x_um, y_um = self.centre_um(objective)
        offset = sensor.image_to_stage().T @ np.array([slide_x_um - x_um, slide_y_um - y_um]) / um_per_px
        return float(offset[0]) + (sensor.width_px - 1) / 2.0, float(offset[1]) + (sensor.height_px - 1) / 2.0

    def _bay_at(self, x_um: float, y_um: float) -> Bay | None:
        origin_um = self._state.configuration.slide_origin_um
        bed = self.bed
        return None if bed is None else bed.at(x_um - origin_um[0], y_um - origin_um[1])

    def _corner_um(self, bay: Bay | None) -> tuple[float, float]:
        """Stage position at which the first objective looks at the corner of a slide."""
        origin_um = self._state.configuration.slide_origin_um
        return origin_um if bay is None else (origin_um[0] + bay.origin_um[0], origin_um[1] + bay.origin_um[1])


def bay_name(bay: Bay | None) -> str:
    """Name of a bay; empty for the stage without a frame."""
    return "" if bay is None else bay.name
