"""Where the slides of a batch come from: a feeder, or a frame that holds several on the stage."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Protocol

from scanner.coordinates import SlideFrame
from scanner.errors import LoaderError
from scanner.microscope import Microscope

_log = logging.getLogger(__name__)


class SlideTray(Protocol):
    """Brings one slide at a time under the objective. Failures are `ScannerError`."""

    def slots(self) -> Sequence[str]:
        """Names of the slots in which a slide is sensed, or may lie."""

    def bring(self, slot: str) -> None:
        """Bring the slide of a slot under the objective."""

    def read_label(self, slot: str) -> str:
        """Barcode of the slide that was brought."""

    def put_back(self, slot: str) -> None:
        """Take it away again."""

    def make_ready(self) -> None:
        """Leave the safe state that a run ended in, and clear what is left of a failure.

        Raises
        ------
        ScannerError
            It can't: a person has to look. No further slide can be had.
        """

    def frame(self, slot: str) -> SlideFrame:
        """How the slide of a slot lies on the stage."""


class FeederTray:
    """The magazine of a slide loader.

    Parameters
    ----------
    microscope
        Its rig has a loader.
    """

    def __init__(self, microscope: Microscope) -> None:
        self._microscope = microscope

    def slots(self) -> Sequence[str]:
        """Slots with a slide; a slide that lies on the stage is first brought back."""
        slides = self._microscope.slides
        if slides.state().on_stage:
            slides.unload()
        return [str(slot) for slot in sorted(slides.state().occupied)]

    def bring(self, slot: str) -> None:
        """Load the slide."""
        self._microscope.slides.load(int(slot))

    def read_label(self, slot: str) -> str:
        """Barcode of the slide on the stage."""
        return self._microscope.slides.read_label().text

    def put_back(self, slot: str) -> None:
        """Unload the slide, if it came as far as the stage."""
        slides = self._microscope.slides
        if slides.state().on_stage:
            slides.unload()

    def make_ready(self) -> None:
        """Go on after a safe state; a loader that failed is withdrawn, where the rig allows it."""
        self._microscope.resume()
        slides = self._microscope.slides
        if slides.loader_failed:
            slides.recover_loader()
        if slides.state().on_stage:
            _log.warning("a slide was left on the stage: it is brought back")
            slides.unload()

    def frame(self, slot: str) -> SlideFrame:
        """The one place of the stage."""
        return next(iter(self._microscope.rig.slides.values()))


class FrameTray:
    """Slides that lie side by side on the stage.

    Parameters
    ----------
    microscope
        Its rig names slots; or holds a single slide.
    """

    def __init__(self, microscope: Microscope) -> None:
        self._microscope = microscope

    def slots(self) -> Sequence[str]:
        """All slots: nothing senses whether a slide lies there."""
        return list(self._microscope.rig.slides)

    def bring(self, slot: str) -> None:
        """Nothing to carry: the focus is lowered for the way."""
        if slot not in self._microscope.rig.slides:
            raise LoaderError("no such slot", device=self._microscope.rig.name, wanted=slot)
        self._microscope.lower_focus()

    def read_label(self, slot: str) -> str:
        """Barcode of the slide in a slot."""
        return self._microscope.slides.read_label(slot).text

    def put_back(self, slot: str) -> None:
        """The slide stays; the objective leaves it."""
        self._microscope.lower_focus()

    def make_ready(self) -> None:
        """Go on after a safe state."""
        self._microscope.resume()
        self._microscope.lower_focus()

    def frame(self, slot: str) -> SlideFrame:
        """The slot's place on the stage."""
        return self._microscope.rig.slides[slot]


def tray_of(microscope: Microscope) -> SlideTray:
    """The tray that an instrument has."""
    return FeederTray(microscope) if microscope.slides.has_loader else FrameTray(microscope)
