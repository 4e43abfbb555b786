"""A camera of the twin with binning, a region, and exposures that overlap the read-out."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import numpy as np
from numpy.typing import DTypeLike, NDArray
from pymmcore_plus import Keyword

from simulators.devices import TwinCamera
from simulators.faults import TwinFaultKind

BINNINGS: Final = (1, 2, 4)
_POLL_S: Final = 0.0005
"""How soon a frame that has been read out is handed over; by the clock on the wall."""
_MS_PER_S: Final = 1000.0
_SLACK_S: Final = 0.001
"""Whoever triggers reckons the end of the read-out by a clock of its own."""
_TRIGGER: Final = "Trigger"
_TRIGGER_MODE: Final = "TriggerMode"


class TriggerMode(StrEnum):
    """What begins an exposure of a sequence."""

    INTERNAL = "Internal"
    SOFTWARE = "Software"


@dataclass(frozen=True, slots=True)
class _Exposed:
    """A frame on its way out of the sensor."""

    frame: NDArray[np.uint16]
    ready_at_s: float
    number: int


class TwinOverlappingCamera(TwinCamera):
    """Camera with binning and a region that exposes one picture while it reads out the one before.

    With ``TriggerMode`` ``Software``, setting ``Trigger`` exposes one picture of a sequence, and returns at the
    end of the exposure. That is no sooner than the frame before has been read out: a trigger that comes too early
    is ignored.
    """

    def __init__(self) -> None:
        super().__init__()
        self._binning = 1
        self._mode = TriggerMode.INTERNAL
        self._exposed: queue.SimpleQueue[_Exposed | None] = queue.SimpleQueue()
        self._ended = threading.Event()
        self._free_at_s = 0.0
        self.ignored_triggers = 0
        self.set_property_allowed_values(Keyword.Binning, list(BINNINGS))
        self.register_property(
            _TRIGGER_MODE,
            property_type=str,
            getter=lambda _camera: self._mode.value,
            setter=TwinOverlappingCamera._set_mode,
            allowed_values=[mode.value for mode in TriggerMode],
        )
        self.register_property(
            _TRIGGER, property_type=int, getter=lambda _camera: 0, setter=TwinOverlappingCamera._trigger
        )

    def get_binning(self) -> int:
        """Pixels of the sensor, along each side, that make one of the picture."""
        return self._binning

    def set_binning(self, value: int) -> None:
        """Combine pixels; the region is that of the whole sensor afterwards."""
        self._binning = int(value)
        self.clear_roi()

    def sensor_shape(self) -> tuple[int, int]:
        """Rows and columns, binned."""
        height, width = super().sensor_shape()
        return height // self._binning, width // self._binning

    def snap(self, buffer: np.ndarray[Any, Any]) -> Mapping[str, Any]:
        """Expose, and combine the pixels."""
        np.copyto(buffer, self._expose())
        return {"exposure_number": self.twin.exposures}

    def start_sequence(
        self, n: int | None, get_buffer: Callable[[Sequence[int], DTypeLike], np.ndarray[Any, Any]]
    ) -> Iterator[Mapping[str, Any]]:
        """Hand over what is exposed, one by one as it is read out.

        Parameters
        ----------
        n
            How many; 1 is a single picture, which waits for no trigger.
        get_buffer
            Gives the place for a picture of a shape and type.
        """
        if n == 1 or self._mode is TriggerMode.INTERNAL:
            return super().start_sequence(n, get_buffer)
        # Frames of an earlier sequence went with it. Made here, not in the thread that delivers: triggers may come
        # before that has begun.
        self._exposed, self._ended = queue.SimpleQueue(), threading.Event()
        self._free_at_s = 0.0
        return self._delivered(n, get_buffer)

    def end_sequence(self) -> None:
        """Let go whoever waits for a trigger, or for a frame that hangs in its read-out."""
        self._ended.set()
        self._exposed.put(None)

    def _delivered(
        self, n: int | None, get_buffer: Callable[[Sequence[int], DTypeLike], np.ndarray[Any, Any]]
    ) -> Iterator[Mapping[str, Any]]:
        exposed, ended, delivered = self._exposed, self._ended, 0
        while (n is None or delivered < n) and (one := exposed.get()) is not None:
            while self.twin.clock.now_s() < one.ready_at_s:
                if ended.wait(_POLL_S):
                    return
            out = get_buffer(self.shape(), self.dtype())
            np.copyto(out, one.frame)
            yield {"exposure_number": one.number}
            delivered += 1

    def _trigger(self, _value: int) -> None:
        clock, twin = self.twin.clock, self.twin
        is_ignored = twin.faults.strikes(TwinFaultKind.TRIGGER_IGNORED, self.get_label())
        if is_ignored:
            twin.note("fault", f"{self.get_label()}: trigger ignored")
        if is_ignored or clock.now_s() + self.get_exposure() / _MS_PER_S < self._free_at_s - _SLACK_S:
            self.ignored_triggers += 1
            return
        frame = self._expose()
        number = twin.exposures
        # What hangs in its read-out never comes.
        self._free_at_s = twin.read_out_end_s
        left, top, width, height = self.get_roi()
        self._exposed.put(_Exposed(frame[top : top + height, left : left + width], self._free_at_s, number))

    def _expose(self) -> NDArray[np.uint16]:
        frame = self.twin.expose(self.get_exposure(), self.get_label(), self._lamp_label)
        if self._binning == 1:
            return frame
        rows, columns = self.sensor_shape()
        folded = frame[: rows * self._binning, : columns * self._binning]
        means = folded.reshape(rows, self._binning, columns, self._binning).mean(axis=(1, 3))
        return np.asarray(means, dtype=np.uint16)

    def _set_mode(self, mode: str) -> None:
        self._mode = TriggerMode(mode)
