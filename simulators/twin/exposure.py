"""Exposures: what the camera sees while stage and lamp do what they do, and what faults make of the frame."""

from __future__ import annotations

import math
from contextlib import nullcontext
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from simulators.device_faults import spoil_frame
from simulators.faults import TwinFaultKind
from simulators.optics import Shot
from simulators.specimen.banding import Contrast
from simulators.twin.record import FieldOfView, TwinRecord
from simulators.twin.state import TwinState
from simulators.twin.view import StageView

_MS_PER_S: Final = 1000
_SHORTEST_SMEAR_UM: Final = 1e-3
"""A motion below this is rounding: a hundredth of what the best objective resolves is far above."""
_SPOIL_STREAM: Final = 79
"""Number of the random stream that spoils frames, so that it shares none with the specimen."""


class SimulatedCamera:
    """The camera over the stage.

    Parameters
    ----------
    state
        Axes, turret, lamp, faults.
    view
        What is seen.
    record
        Where exposures are written down.
    """

    def __init__(self, state: TwinState, view: StageView, record: TwinRecord) -> None:
        self._state = state
        self._view = view
        self._record = record
        self._last_frame: NDArray[np.uint16] | None = None

    @property
    def is_busy(self) -> bool:
        """Whether a frame is still read out."""
        return self._state.clock.now_s() < self._state.read_out_end_s

    def expose(self, exposure_ms: float, camera: str, lamp: str) -> NDArray[np.uint16]:
        """Expose one frame; returns when the exposure has ended, the read-out going on behind.

        Parameters
        ----------
        exposure_ms
            Exposure time.
        camera, lamp
            Labels of the devices.

        Returns
        -------
        NDArray[np.uint16]
            Grey levels, shape (height, width) of the sensor.

        Raises
        ------
        OSError
            A fault: no frame came.
        """
        state = self._state
        half_s = exposure_ms / (2 * _MS_PER_S)
        with state.lock:
            number = self._record.count_exposure()
            state.notify("camera")
        before_um = state.table_um()
        state.clock.sleep_s(half_s)
        with state.lock:
            shot = self._shot(exposure_ms, camera, lamp)
        state.clock.sleep_s(half_s)
        shot = _smeared(shot, before_um, state.table_um())
        if shot.smear_um != (0.0, 0.0):
            self._record.note(
                "moving_exposure", f"stage went {shot.smear_um[0]:.2f}, {shot.smear_um[1]:.2f} um meanwhile"
            )
        state.read_out_end_s = state.clock.now_s() + state.configuration.read_out_s
        state.pass_time(state.configuration.read_out_s)
        self._hang(camera)
        frame = self._view.camera().expose(shot, number)
        field = FieldOfView(
            number=number,
            slide_x_um=shot.centre_x_um,
            slide_y_um=shot.centre_y_um,
            objective=shot.objective.label,
            defocus_um=shot.defocus_um,
            smear_um=shot.smear_um,
        )
        with state.lock:
            return self._hand_over(frame, field, camera)

    def _hang(self, camera: str) -> None:
        """Never return, where a fault says so; the library's lock is the twin's."""
        state = self._state
        hangs = state.faults.strikes(TwinFaultKind.CAMERA_SNAP_HANGS, camera)
        blocks = state.faults.strikes(TwinFaultKind.LIBRARY_HANGS, camera)
        if not hangs and not blocks:
            return
        self._record.note("fault", f"{camera}: {'library' if blocks else 'snap'} hangs")
        with state.lock if blocks else nullcontext():
            state.hang_is_over.wait()
        raise OSError(f"{camera}: let go after it hung")

    def _hand_over(self, frame: NDArray[np.uint16], field: FieldOfView, camera: str) -> NDArray[np.uint16]:
        state, record = self._state, self._record
        kinds = (
            TwinFaultKind.CAMERA_RAISES,
            TwinFaultKind.CAMERA_HANGS,
            TwinFaultKind.FRAME_DROPPED,
            TwinFaultKind.GARBAGE_FRAME,
        )
        struck = {kind for kind in kinds if state.faults.strikes(kind, camera)}
        for kind in sorted(struck):
            record.note("fault", f"{camera}: {kind.value.replace('_', ' ')}")
        if TwinFaultKind.CAMERA_RAISES in struck:
            raise OSError(f"{camera}: frame lost")
        if TwinFaultKind.CAMERA_HANGS in struck:
            state.read_out_end_s = math.inf
        before = self._last_frame
        sources: tuple[FieldOfView, ...] = (field,)
        if TwinFaultKind.FRAME_DROPPED in struck:
            frame = np.zeros_like(frame) if before is None else before.copy()
            sources = () if before is None else record.handed_over[-1]
        elif TwinFaultKind.GARBAGE_FRAME in struck:
            rng = np.random.default_rng([self._view.settings.seed, _SPOIL_STREAM, field.number])
            spoiled = spoil_frame(frame, before, state.configuration.sensor.full_scale, rng)
            frame = spoiled.frame
            sources = (field, *record.handed_over[-1]) if spoiled.keeps_parts else ()
        self._last_frame = frame.copy()
        record.hand_over(sources)
        return frame

    def _shot(self, exposure_ms: float, camera: str, lamp: str) -> Shot:
        state = self._state
        is_path_free = not state.is_turret_busy and not state.is_turret_between
        light = state.lamp_intensity if state.lamp_open and is_path_free else 0.0
        light *= state.configuration.lamp.fraction_at(state.clock.now_s())
        if state.passes_emission not in (None, self._view.camera().world.contrast is Contrast.EMITS):
            light = 0.0
        if state.faults.strikes(TwinFaultKind.LAMP_DEAD, lamp):
            self._record.note("fault", f"{lamp}: no light")
            light = 0.0
        if state.faults.strikes(TwinFaultKind.BLACK_FRAME, camera):
            self._record.note("fault", f"{camera}: black frame")
            light = 0.0
        objective = state.objective
        x_um, y_um = self._view.centre_um(objective)
        defocus_um = state.lens_um() - self._view.sharp_um(objective)
        return Shot(
            centre_x_um=x_um,
            centre_y_um=y_um,
            objective=objective,
            defocus_um=defocus_um,
            light=light,
            exposure_ms=exposure_ms,
        )


def _smeared(shot: Shot, before_um: tuple[float, float], after_um: tuple[float, float]) -> Shot:
    smear_um = (after_um[0] - before_um[0], after_um[1] - before_um[1])
    is_smeared = max(abs(smear_um[0]), abs(smear_um[1])) > _SHORTEST_SMEAR_UM
    return replace(shot, smear_um=smear_um if is_smeared else (0.0, 0.0))
