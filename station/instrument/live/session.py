"""The one thread that asks the instrument for pictures and positions, while somebody watches."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from scanner.errors import ScannerError
from scanner.live_view import InstrumentPositions, LivePicture, LiveView
from scanner.microscope import Microscope


@dataclass(frozen=True, slots=True)
class LiveSessionSettings:
    """How often an instrument is asked, and what counts as watching.

    Attributes
    ----------
    picture_period_s
        Time from picture to picture: five a second are fluent enough to focus by.
    idle_period_s
        Time between two readings of the positions while nobody watches.
    viewer_timeout_s
        The light goes off when no picture was asked for so long: longer than a page needs to load again.
    retry_s
        Time after a fault until the instrument is asked again.
    patience_s
        A device that hasn't answered so long beyond the exposure is reported as hanging.
    hang_end_s
        After so long without an answer the program ends by itself: nobody may sit there to switch the light off.
    """

    picture_period_s: float = 0.2
    idle_period_s: float = 1.0
    viewer_timeout_s: float = 15.0
    retry_s: float = 1.0
    patience_s: float = 5.0
    hang_end_s: float = 30.0


LIVE_SESSION: Final = LiveSessionSettings()


@dataclass(frozen=True, slots=True)
class NumberedPicture:
    """A live picture with its number, counted from 1."""

    number: int
    picture: LivePicture


@dataclass(frozen=True, slots=True)
class HangingStep:
    """A question that a device hasn't answered.

    Attributes
    ----------
    what
        Such as ``picture``.
    for_s
        Since it was asked.
    """

    what: str
    for_s: float


@dataclass(frozen=True, slots=True)
class LiveState:
    """What a page shows.

    Attributes
    ----------
    positions
        The last that were read; None before the first reading.
    positions_age_s
        Since they were read.
    picture
        The last picture; None before the first.
    picture_age_s
        Since it was taken.
    watched
        Whether somebody asked for a picture lately.
    hanging
        What a device hasn't answered; None where all do.
    faults
        What went wrong with light and pictures, last time.
    """

    positions: InstrumentPositions | None
    positions_age_s: float
    picture: NumberedPicture | None
    picture_age_s: float
    watched: bool
    hanging: HangingStep | None
    faults: tuple[str, ...]


class LiveSession:
    """Asks the instrument in one thread, and hands what it answers to any other.

    Parameters
    ----------
    view
        Gives positions and pictures.
    microscope
        Its light is switched.
    first_exposure_ms
        Exposure of the first picture.
    automatic
        Whether the exposure follows the light.
    settings
        How often it asks.
    now
        Time in s, for periods and ages.
    """

    def __init__(
        self,
        view: LiveView,
        microscope: Microscope,
        *,
        first_exposure_ms: float,
        automatic: bool,
        settings: LiveSessionSettings = LIVE_SESSION,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._view = view
        self._microscope = microscope
        self._exposure_ms = first_exposure_ms
        self._automatic = automatic
        self._settings = settings
        self._now = now
        self._changed = threading.Condition()
        self._ended = threading.Event()
        self._wanted = threading.Event()
        self._asked_at_s = float("-inf")
        self._waiting = 0
        self._step: tuple[str, float, float] | None = None
        self._positions: InstrumentPositions | None = None
        self._positions_at_s = self._picture_at_s = now()
        self._picture: NumberedPicture | None = None
        self._light: bool | None = None
        self._faults: dict[str, str] = {}

    # -- any thread ----------------------------------------------------------------------------------------

    @property
    def watched(self) -> bool:
        """Whether somebody waits for a picture, or asked for one lately."""
        return self._waiting > 0 or self._now() - self._asked_at_s < self._settings.viewer_timeout_s

    @property
    def is_stuck(self) -> bool:
        """Whether a device hasn't answered for so long that nothing is to be expected of it any more."""
        step = self._step
        return step is not None and self._now() - step[1] > step[2] + self._settings.hang_end_s

    def wait_for_picture(self, after: int, timeout_s: float) -> NumberedPicture | None:
        """Wait for a picture; whoever asks is watching, so that the light goes on.

        Parameters
        ----------
        after
            Number of the last picture that the caller has; 0 for none.
        timeout_s
            Longest time.

        Returns
        -------
        NumberedPicture or None
            None where there was no newer one in time.
        """
        with self._changed:
            self._waiting += 1
            self._wanted.set()
            try:
                self._changed.wait_for(lambda: self._is_newer(after) or self._ended.is_set(), timeout_s)
            finally:
                self._waiting -= 1
                self._asked_at_s = self._now()
            return self._picture if self._is_newer(after) else None

    def state(self) -> LiveState:
        """What is known now; it waits for no device."""
        now_s, step = self._now(), self._step
        hanging = None
        if step is not None and now_s - step[1] > step[2]:
            hanging = HangingStep(step[0], now_s - step[1])
        with self._changed:
            return LiveState(
                positions=self._positions,
                positions_age_s=now_s - self._positions_at_s,
                picture=self._picture,
                picture_age_s=now_s - self._picture_at_s,
                watched=self.watched,
                hanging=hanging,
                faults=tuple(self._faults.values()),
            )

    def end(self) -> None:
        """Ask the thread to end after the step that it is in."""
        self._ended.set()
        self._wanted.set()
        with self._changed:
            self._changed.notify_all()

    # -- the thread of the instrument ----------------------------------------------------------------------

    def run(self) -> None:
        """Ask the instrument until `end` is called."""
        settings = self._settings
        while not self._ended.is_set():
            begun_s = self._now()
            watched = self.watched
            self._wanted.clear()
            self._switch_light(on=watched)
            self._read_positions()
            if not watched:
                self._wanted.wait(settings.idle_period_s)
                continue
            period_s = settings.picture_period_s if self._take_picture() else settings.retry_s
            self._ended.wait(max(0.0, begun_s + period_s - self._now()))

    def _switch_light(self, *, on: bool) -> None:
        if self._light == on:
            return
        self._attempt("light", lambda: self._microscope.light(on=on))
        self._light = None if "light" in self._faults else on

    def _read_positions(self) -> None:
        self._begin("positions")
        positions = self._view.positions()
        self._step = None
        with self._changed:
            self._positions, self._positions_at_s = positions, self._now()
        # Somebody else's hand on the shutter: switched anew where the page is watched.
        if positions.light_on is not None and self._light is not None and positions.light_on != self._light:
            self._light = None

    def _take_picture(self) -> bool:
        """Take and publish a picture; False where there is none."""
        taken: list[LivePicture] = []
        exposure_ms = self._exposure_ms
        self._attempt("picture", lambda: taken.append(self._view.picture(exposure_ms)), exposure_ms / 1000)
        if not taken:
            return False
        with self._changed:
            number = 1 if self._picture is None else self._picture.number + 1
            self._picture, self._picture_at_s = NumberedPicture(number, taken[0]), self._now()
            self._changed.notify_all()
        if self._automatic:
            self._exposure_ms = self._view.next_exposure_ms(taken[0])
        return True

    def _attempt(self, what: str, step: Callable[[], None], allowance_s: float = 0.0) -> None:
        """Make a step; what it raises is kept for the page until the step succeeds."""
        self._begin(what, allowance_s)
        fault = None
        try:
            step()
        except ScannerError as error:
            fault = str(error)
        finally:
            self._step = None
        with self._changed:
            if fault is None:
                self._faults.pop(what, None)
            else:
                self._faults[what] = fault

    def _begin(self, what: str, allowance_s: float = 0.0) -> None:
        self._step = (what, self._now(), allowance_s + self._settings.patience_s)

    def _is_newer(self, after: int) -> bool:
        return self._picture is not None and self._picture.number > after
