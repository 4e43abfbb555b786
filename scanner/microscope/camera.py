"""The camera: exposure and read-out as two steps, and only frames that are pictures."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from scanner.coordinates import ObjectiveView
from scanner.device_calls import DeviceCalls
from scanner.errors import FrameDefect, FrameError
from scanner.frame import Exposure, Frame
from scanner.microscope.focus_drive import FocusDrive
from scanner.microscope.frame_source import MS_PER_S, FrameSource, OverlappedFrames, SingleFrames
from scanner.microscope.settings import FRAMES, MOTION, FrameSettings, MotionSettings
from scanner.microscope.stage import Stage
from scanner.microscope.turret import Turret
from scanner.repeated_frames import RepeatedFrameDetector
from scanner.rig import Rig

BYTE_BITS: Final = 8


@dataclass(frozen=True, slots=True)
class _Pending:
    """An exposure that waits in the camera to be read; None where the stage did not rest meanwhile."""

    exposure: Exposure | None
    exposure_ms: float
    ended_at_s: float


class Camera:
    """The camera. It photographs only where the stage has proven to be.

    Parameters
    ----------
    calls
        Access to the devices.
    rig
        Description of the instrument.
    stage, focus_drive, turret
        What the frame is a picture of.
    check_focus
        Called before and after an exposure; raises where what holds the focus has let go.
    settings
        What counts as a frame.
    motion
        Deadlines.
    """

    def __init__(
        self,
        calls: DeviceCalls,
        rig: Rig,
        *,
        stage: Stage,
        focus_drive: FocusDrive,
        turret: Turret,
        check_focus: Callable[[], None] = lambda: None,
        settings: FrameSettings = FRAMES,
        motion: MotionSettings = MOTION,
    ) -> None:
        self.label = rig.devices.camera
        self._calls = calls
        self._rig = rig
        self._stage = stage
        self._focus_drive = focus_drive
        self._turret = turret
        self._check_focus = check_focus
        self._settings = settings
        self._motion = motion
        self._repeats = RepeatedFrameDetector(self.label, rig.camera.full_scale)
        self._exposure_ms: float | None = None
        self._pending: deque[_Pending] = deque()
        self._source: FrameSource = SingleFrames(
            calls, self.label, rig.camera.read_out_ms, settings=settings, motion=motion
        )

    @property
    def overlaps(self) -> bool:
        """Whether another exposure may be made before the last one has been read."""
        return self._source.capacity > 1

    @contextmanager
    def overlapped(self) -> Iterator[None]:
        """Expose pictures while the ones before are read out, where the camera can.

        Raises
        ------
        DeviceError
            The camera does not leave its sequence.
        """
        overlap = self._rig.camera.overlap
        if overlap is None:
            yield
            return
        single, self._source = (
            self._source,
            OverlappedFrames(
                self._calls,
                self.label,
                self._rig.camera.read_out_ms,
                overlap,
                settings=self._settings,
                motion=self._motion,
            ),
        )
        try:
            yield
        finally:
            overlapping, self._source = self._source, single
            self._pending.clear()
            overlapping.close()

    def expose(self, exposure_ms: float) -> Exposure:
        """Expose where the stage was sent, and leave the frame in the camera.

        Parameters
        ----------
        exposure_ms
            Exposure time.

        Raises
        ------
        PositionError
            The stage isn't, or did not stay, where it was sent: there is no picture.
        DeviceNotReadyError
            It isn't certain which objective is in the light path.
        AutofocusError
            The hardware autofocus has lost the specimen, or crept away from it.
        FrameError
            The camera has not been read since the last exposure.
        """
        target = self._stage.proven_target()
        self._turret.check_is_sure()
        self._drop_spoiled()
        if len(self._pending) >= self._source.capacity:
            raise FrameError("the last exposure has not been read", device=self.label)
        self._stage.check_rests_at(target)
        self._check_focus()
        taken_at = datetime.now(UTC)
        longest_s = exposure_ms / MS_PER_S + self._rig.camera.hang_s
        with self._calls.device_errors(self.label, "exposure", longest_s=longest_s):
            if exposure_ms != self._exposure_ms:
                self._set_exposure(exposure_ms)
            exposed_at_s = self._source.expose(exposure_ms)
        # Read again after the exposure: a stage that crept or was pushed spoils the picture.
        try:
            here = self._stage.check_rests_at(target)
            self._check_focus()
        except BaseException:
            if self.overlaps:
                # Its frame comes between others: it has to be taken out there.
                self._pending.append(_Pending(None, exposure_ms, exposed_at_s))
            raise
        objective = self._turret.objective
        view = ObjectiveView(here, self._rig.camera_frame(objective), objective.parcentric)
        exposure = Exposure(view, self._focus_drive.position_um(), objective.name, exposure_ms, taken_at)
        self._pending.append(_Pending(exposure, exposure_ms, exposed_at_s))
        return exposure

    def read(self, exposure: Exposure) -> Frame:
        """Read the frame of an exposure out of the camera.

        Parameters
        ----------
        exposure
            The oldest one that was not read.

        Raises
        ------
        FrameError
            It isn't that exposure; or no frame, of another size, black, saturated, or handed over before. Where
            none came, all that were exposed are discarded.
        """
        self._drop_spoiled()
        if not self._pending or exposure is not self._pending[0].exposure:
            raise FrameError("another exposure is in the camera", device=self.label, defect=FrameDefect.MISSING)
        pixels = self._in_sixteen_bits(self._read_oldest())
        self._check_levels(pixels)
        self._repeats.check(pixels)
        return Frame(
            pixels=pixels,
            view=exposure.view,
            z_um=exposure.z_um,
            objective=exposure.objective,
            exposure_ms=exposure.exposure_ms,
            taken_at=exposure.taken_at,
        )

    def discard_exposure(self) -> None:
        """Leave unread what was exposed; the next exposure may be made."""
        self._pending.clear()
        self._source.discard()

    def _read_oldest(self) -> NDArray[Any]:
        pending = self._pending.popleft()
        try:
            return self._source.read(pending.exposure_ms, pending.ended_at_s)
        except BaseException:
            # Which exposure a later frame is of isn't certain any more.
            self._pending.clear()
            raise

    def _drop_spoiled(self) -> None:
        while self._pending and self._pending[0].exposure is None:
            self._read_oldest()

    def _set_exposure(self, exposure_ms: float) -> None:
        if self._pending:
            raise FrameError("the last exposure has not been read", device=self.label)
        self._source.set_exposure(exposure_ms)
        self._exposure_ms = exposure_ms

    def _in_sixteen_bits(self, pixels: NDArray[Any]) -> NDArray[Any]:
        """Pictures of an 8-bit camera as all others are kept; the rig's bit depth says what full scale is."""
        if pixels.dtype == np.uint8 and self._rig.camera.bit_depth == BYTE_BITS:
            return pixels.astype(np.uint16)
        return pixels

    def _check_levels(self, pixels: NDArray[Any]) -> None:
        camera, settings = self._rig.camera, self._settings
        expected = (camera.height_px, camera.width_px)
        if pixels.shape != expected or pixels.dtype != np.uint16:
            raise FrameError(
                "frame of another kind",
                device=self.label,
                defect=FrameDefect.WRONG_KIND,
                wanted=f"{expected} uint16",
                actual=f"{pixels.shape} {pixels.dtype}",
            )
        sample = pixels[:: settings.sample_step_px, :: settings.sample_step_px]
        # Counted rather than sorted: the stage waits for the answer.
        lit = np.count_nonzero(sample >= settings.black_level_fraction * camera.full_scale) / sample.size
        if lit < settings.lit_fraction:
            raise FrameError(
                "black frame: lamp dead, shutter closed or light path blocked",
                device=self.label,
                defect=FrameDefect.BLACK,
                actual=float(np.quantile(sample, 1.0 - settings.lit_fraction)),
            )
        clipped = np.count_nonzero(sample >= camera.full_scale) / sample.size
        if clipped > settings.saturated_fraction:
            raise FrameError(
                "saturated frame",
                device=self.label,
                defect=FrameDefect.SATURATED,
                actual=clipped,
                allowed=f"up to {settings.saturated_fraction} of the pixels",
            )
