"""How frames are got out of a camera: one after the other, or exposed while the one before is read out."""

from __future__ import annotations

import time
from collections import deque
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from scanner.device_calls import DeviceCalls
from scanner.errors import FrameDefect, FrameError, MoveTimeoutError
from scanner.microscope.settings import FRAMES, MOTION, FrameSettings, MotionSettings
from scanner.rig_equipment import OverlapConfig

MS_PER_S: Final = 1000.0


class FrameSource(Protocol):
    """What exposes frames and hands them over in the order of their exposures."""

    capacity: int
    """Exposures that may wait in the camera to be read."""

    def expose(self, exposure_ms: float) -> float:
        """Expose; returns at the end of the exposure with the time, in s, when it ended."""

    def read(self, exposure_ms: float, exposed_at_s: float) -> NDArray[Any]:
        """Wait for the oldest frame that was not read, and hand it over.

        Parameters
        ----------
        exposure_ms
            Its exposure.
        exposed_at_s
            When that ended.
        """

    def set_exposure(self, exposure_ms: float) -> None:
        """Set the exposure; nothing waits to be read."""

    def discard(self) -> None:
        """Forget what was exposed and not read."""

    def close(self) -> None:
        """Leave the camera as it was found."""


class SingleFrames:
    """One picture at a time: exposed, and read before the next one is exposed.

    Parameters
    ----------
    calls
        Access to the devices.
    label
        Label of the camera.
    read_out_ms
        Time from the end of the exposure to the frame in memory.
    settings, motion
        How the frame is waited for.
    """

    def __init__(
        self,
        calls: DeviceCalls,
        label: str,
        read_out_ms: float,
        *,
        settings: FrameSettings = FRAMES,
        motion: MotionSettings = MOTION,
    ) -> None:
        self.capacity = 1
        self._calls = calls
        self._label = label
        self._read_out_ms = read_out_ms
        self._settings = settings
        self._motion = motion

    def set_exposure(self, exposure_ms: float) -> None:
        """Set the exposure."""
        self._calls.core.setExposure(self._label, exposure_ms)

    def expose(self, exposure_ms: float) -> float:
        """Expose; the time, in s, when the exposure ended."""
        begun_s = self._calls.now()
        self._calls.core.snapImage()
        # Not the time it is now: a twin whose time passes at once has read the frame out already.
        return begun_s + exposure_ms / MS_PER_S

    def read(self, exposure_ms: float, exposed_at_s: float) -> NDArray[Any]:
        """Wait for the frame, and hand it over.

        Parameters
        ----------
        exposure_ms
            Its exposure.
        exposed_at_s
            When that ended.

        Raises
        ------
        FrameError
            The camera was busy beyond its deadline.
        """
        settings, label = self._settings, self._label
        allowance_s = _allowance_s(exposure_ms, self._read_out_ms, self._motion)
        expected_s = exposed_at_s + settings.sure_read_out * self._read_out_ms / MS_PER_S
        self._calls.wait_until(label, expected_s, stoppable=False)
        try:
            self._calls.wait_idle(label, allowance_s, stoppable=False, poll_s=settings.poll_s)
        except MoveTimeoutError as error:
            raise _missing(label, error.wanted) from error
        with self._calls.device_errors(label, "read-out"):
            return np.asarray(self._calls.core.getImage())

    def discard(self) -> None:
        """Leave the frame in the camera: the next exposure replaces it."""

    def close(self) -> None:
        """Nothing was changed."""


class OverlappedFrames:
    """A sequence triggered by software: a picture is exposed while the one before is read out.

    Parameters
    ----------
    calls
        Access to the devices.
    label
        Label of the camera.
    read_out_ms
        Time from the end of an exposure to the frame in memory; exposures can't follow each other faster.
    config
        How it is triggered.
    settings, motion
        How the frames are waited for.
    """

    # A sequence needs a length; no slide has as many fields.
    _LONGEST = 1_000_000

    def __init__(
        self,
        calls: DeviceCalls,
        label: str,
        read_out_ms: float,
        config: OverlapConfig,
        *,
        settings: FrameSettings = FRAMES,
        motion: MotionSettings = MOTION,
    ) -> None:
        self.capacity = 2
        self._calls = calls
        self._label = label
        self._read_out_ms = read_out_ms
        self._config = config
        self._settings = settings
        self._motion = motion
        self._free_at_s = 0.0
        self._is_running = False
        # When the exposures may have ended at the soonest whose frames were not read, s.
        self._soonest_s: deque[float] = deque()

    def set_exposure(self, exposure_ms: float) -> None:
        """Set the exposure; the sequence begins anew with the next one."""
        self._stop()
        self._calls.core.setExposure(self._label, exposure_ms)

    def expose(self, exposure_ms: float) -> float:
        """Trigger an exposure as soon as the camera can take it; the time, in s, when it ended.

        It ends no sooner than the frame before has been read out, so it isn't triggered before that is sure.
        """
        calls, core = self._calls, self._calls.core
        if not self._is_running:
            self._set(self._config.mode_property, self._config.mode_value)
            core.startSequenceAcquisition(self._label, self._LONGEST, 0.0, True)
            self._is_running = True
        exposure_s = exposure_ms / MS_PER_S
        calls.wait_until(self._label, self._free_at_s - exposure_s, stoppable=False)
        begun_s = calls.now()
        self._set(self._config.trigger_property, self._config.trigger_value)
        calls.wait_until(
            self._label, begun_s + exposure_s + self._config.trigger_delay_ms / MS_PER_S, stoppable=False
        )
        # A trigger that was carried out late began its exposure late.
        ended_s = calls.now()
        self._free_at_s = ended_s + self._read_out_ms / MS_PER_S
        self._soonest_s.append(begun_s + exposure_s)
        return ended_s

    def read(self, exposure_ms: float, exposed_at_s: float) -> NDArray[Any]:
        """Wait for the oldest frame, and hand it over where it can't be that of a later exposure.

        Frames carry no name: a camera that ignored a trigger would shift all that follow by one, and each would be
        taken for a picture of another place. So a frame counts only while the next exposure can't have been read
        out yet, or once as many frames are there as were exposed.

        Parameters
        ----------
        exposure_ms
            Its exposure.
        exposed_at_s
            When that ended.

        Raises
        ------
        FrameError
            It did not come in time, or there are more or fewer frames than exposures. All are discarded.
        """
        calls, core = self._calls, self._calls.core
        sure_s = self._settings.sure_read_out * self._read_out_ms / MS_PER_S
        calls.wait_until(self._label, exposed_at_s + sure_s, stoppable=False)
        allowance_s = _allowance_s(exposure_ms, self._read_out_ms, self._motion)
        deadline_s, wall_deadline_s = calls.now() + allowance_s, time.monotonic() + allowance_s
        with calls.device_errors(self._label, "read-out"):
            while not self._is_the_oldest(core.getRemainingImageCount()):
                # Frames come through a thread of the core, which runs by the clock on the wall.
                if calls.now() >= deadline_s and time.monotonic() >= wall_deadline_s:
                    self.discard()
                    raise _missing(self._label, f"as many frames as exposures within {allowance_s:.3f}")
                calls.wait_until(self._label, calls.now() + self._settings.poll_s, stoppable=False)
                time.sleep(self._settings.poll_s)
            self._soonest_s.popleft()
            return np.asarray(core.popNextImage())

    def _is_the_oldest(self, frames: int) -> bool:
        """Whether the first of so many frames is certainly that of the oldest exposure."""
        exposures = len(self._soonest_s)
        if frames > exposures:
            self.discard()
            raise FrameError(
                "more frames than exposures",
                device=self._label,
                defect=FrameDefect.MISSING,
                wanted=str(exposures),
                actual=str(frames),
            )
        if frames == exposures:
            return True
        # Without the oldest exposure, so many frames would include that of a later one.
        soonest_s = self._soonest_s[frames] + self._settings.overlap_fraction * self._read_out_ms / MS_PER_S
        return frames > 0 and self._calls.now() < soonest_s

    def discard(self) -> None:
        """End the sequence with what is in it; the next exposure begins another."""
        with self._calls.device_errors(self._label, "end of the sequence"):
            self._stop()

    def close(self) -> None:
        """End the sequence, and let pictures be taken one by one again."""
        with self._calls.device_errors(self._label, "end of the sequence"):
            self._stop()
            self._set(self._config.mode_property, self._config.single_value)

    def _stop(self) -> None:
        if self._is_running:
            self._is_running = False
            self._free_at_s = 0.0
            self._soonest_s.clear()
            self._calls.core.stopSequenceAcquisition(self._label)

    def _set(self, name: str | None, value: str) -> None:
        if name is not None:
            self._calls.core.setProperty(self._label, name, value)


def _allowance_s(exposure_ms: float, read_out_ms: float, motion: MotionSettings) -> float:
    return motion.deadline_factor * (exposure_ms + read_out_ms) / MS_PER_S + motion.deadline_margin_s


def _missing(label: str, wanted: float | str | None) -> FrameError:
    return FrameError("the frame never came", device=label, defect=FrameDefect.MISSING, wanted=wanted, unit="s")
