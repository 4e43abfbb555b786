"""Looks on while an instrument works: what pymmcore-plus' events say of it, one line each.

    with open_instrument(Path("rigs/room-3")) as instrument:  # station.compose
        with LookOn(instrument.core, print):
            instrument.microscope.light(on=True)

Listeners are called in whatever thread the event comes from, some while a device is locked: asking the core anything
there may wait for ever. These only put what they are told into a queue; another thread takes it out.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from pymmcore_plus import CMMCorePlus

EVENTS = (
    "XYStagePositionChanged",
    "stagePositionChanged",
    "propertyChanged",
    "shutterOpenChanged",
    "exposureChanged",
    "pixelSizeChanged",
    "imageSnapped",
    "systemConfigurationLoaded",
)
"""Those that a microscope's user cares about; ``core.events`` has more."""


class LookOn:
    """Hands on what a core's events say, in order, from a thread of its own."""

    def __init__(self, core: CMMCorePlus, show: Callable[[str], None]) -> None:
        self._core = core
        self._show = show
        self._events: queue.SimpleQueue[tuple[float, str, tuple[object, ...]] | None] = queue.SimpleQueue()
        self._listeners: dict[str, Callable[..., None]] = {}
        self._thread = threading.Thread(target=self._hand_on, name="look on", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        for name in EVENTS:
            # The signals hold listeners weakly: somebody has to keep them.
            listener = self._listeners[name] = self._listener(name)
            getattr(self._core.events, name).connect(listener)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for name, listener in self._listeners.items():
            getattr(self._core.events, name).disconnect(listener)
        self._events.put(None)
        self._thread.join()

    def _listener(self, name: str) -> Callable[..., None]:
        def listen(*values: object) -> None:
            self._events.put((time.monotonic(), name, values))

        return listen

    def _hand_on(self) -> None:
        begun_s = time.monotonic()
        while (event := self._events.get()) is not None:
            at_s, name, values = event
            self._show(f"{at_s - begun_s:8.3f} s  {name}  {'  '.join(str(value) for value in values)}")
