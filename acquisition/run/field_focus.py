"""How the focus of each field is found: by the surface, by pictures, or by a hardware autofocus."""

from __future__ import annotations

from typing import Final

from acquisition.plan.tiling import PlannedField
from acquisition.protocol import FocusFallback, FocusStrategy
from acquisition.records import EventLevel
from acquisition.run.context import RunContext
from acquisition.run.focus_map import COARSE_DEPTHS, RANGE_DEVIATIONS, sweep_for
from scanner.errors import AutofocusError, FocusError
from scanner.focus.search import search_focus
from scanner.focus.surface import FocusSurface

REFOCUS_STEPS: Final = 4.0
"""A search around the surface reaches this many coarse steps to either side."""
LOCK_DEPTHS: Final = 2.0
"""A lock may always differ from the surface by so many depths of field: less isn't seen in a picture."""
AUTOFOCUS_ATTEMPTS: Final = 3
"""A hardware autofocus that failed on so many fields in a row isn't asked again: each costs its deadline."""


class FieldFocus:
    """Focuses fields as the protocol says.

    Parameters
    ----------
    context
        The run; light on, scan objective selected.
    surface
        Focus of the scan objective over the slide.
    exposure_ms
        Exposure of every field.
    """

    def __init__(self, context: RunContext, surface: FocusSurface, exposure_ms: float) -> None:
        self._context = context
        self._surface = surface
        self._exposure_ms = exposure_ms
        self._strategy = context.protocol.scan.focus.strategy
        self._falls_back = context.protocol.scan.focus.fallback is FocusFallback.SOFTWARE
        self._failed_in_a_row = 0
        # Field that waits for a focus by pictures.
        self._unlocked: int | None = None

    def needs_pictures(self, planned: PlannedField) -> bool:
        """Whether a field is to be focused by pictures, for which the camera has to be free."""
        return self._strategy is FocusStrategy.EACH_FIELD or self._unlocked == planned.index

    def follow(self, planned: PlannedField) -> None:
        """Bring the focus to a field at which the stage has arrived; the camera may still be read out.

        Parameters
        ----------
        planned
            The field.

        Raises
        ------
        DeviceError
            The focus isn't where it was sent; or the hardware autofocus doesn't hold it, and nothing else shall.
        """
        if self._strategy is not FocusStrategy.HARDWARE or self._failed_in_a_row >= AUTOFOCUS_ATTEMPTS:
            self._go_to_surface(planned)
            return
        microscope = self._context.microscope
        expected_um = self._surface.z_um(planned.centre)
        if not microscope.autofocus_holds:
            microscope.focus_to(expected_um)
        try:
            microscope.lock_autofocus(expected_um, tolerance_um=self._tolerance_um(planned))
        except AutofocusError as error:
            if not self.take_over(planned, error):
                raise
            self._go_to_surface(planned)
        else:
            self._failed_in_a_row = 0

    def take_over(self, planned: PlannedField, error: Exception) -> bool:
        """Note that the hardware autofocus failed on a field.

        Parameters
        ----------
        planned
            The field.
        error
            What was raised there.

        Returns
        -------
        bool
            Whether `refine` focuses the field by pictures instead.
        """
        if not isinstance(error, AutofocusError) or not self._falls_back:
            return False
        self._unlocked = planned.index
        self._failed_in_a_row += 1
        self._context.note(
            EventLevel.WARNING,
            "autofocus_failed",
            f"field {planned.index} is focused by software: {error}",
            field=planned.index,
            defect=error.defect.value,
        )
        if self._failed_in_a_row == AUTOFOCUS_ATTEMPTS:
            self._context.note(
                EventLevel.WARNING,
                "autofocus_given_up",
                f"the hardware autofocus failed on {AUTOFOCUS_ATTEMPTS} fields in a row: from here on the focus "
                "map alone is used",
            )
        return True

    def refine(self, planned: PlannedField) -> None:
        """Focus a field by pictures where that is asked for; the camera is free.

        Parameters
        ----------
        planned
            The field.

        Raises
        ------
        DeviceError
            The instrument failed. A blank field is none: there the surface knows best.
        """
        if self.needs_pictures(planned):
            self._unlocked = None
            self._search_or_predict(planned)

    def search(self, planned: PlannedField) -> None:
        """Search the focus of a field around the surface.

        Parameters
        ----------
        planned
            The field.

        Raises
        ------
        FocusError
            Nothing to focus on.
        DeviceError
            The instrument failed.
        """
        self._unlocked = None
        depth_um = self._context.microscope.objective.depth_of_field_um
        sweep = sweep_for(depth_um, REFOCUS_STEPS * COARSE_DEPTHS * depth_um, self._exposure_ms)
        search_focus(self._context.microscope, self._surface.z_um(planned.centre), sweep)

    def _tolerance_um(self, planned: PlannedField) -> float:
        """How far from the surface the specimen can be; the surer the surface, the sooner a creep shows."""
        depths_um = LOCK_DEPTHS * self._context.microscope.objective.depth_of_field_um
        return max(depths_um, RANGE_DEVIATIONS * self._surface.deviation_um(planned.centre))

    def _search_or_predict(self, planned: PlannedField) -> None:
        try:
            self.search(planned)
        except FocusError as error:
            # Most fields of a slide are blank: there the surface knows best.
            self._context.note(
                EventLevel.INFO, "focus_predicted", f"field {planned.index}: {error}", field=planned.index
            )
            self._go_to_surface(planned)

    def _go_to_surface(self, planned: PlannedField) -> None:
        self._context.microscope.focus_to(self._surface.z_um(planned.centre))
