"""Hardware autofocus of the twin: it holds an offset from what the glass reflects, and drives the focus itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from simulators.faults import TwinFaultKind
from simulators.twin.record import COLLISION, TwinRecord
from simulators.twin.state import TwinState
from simulators.twin.view import StageView

REFLECTION_BELOW_UM: Final = 20.0
"""The coverslip's lower side reflects; the offset that brings the specimen into focus is this much."""
COVERSLIP_UM: Final = 112.0
"""A coverslip of 170 um (index 1.515) as a dry lens sees it: so far below its lower side lies its upper one."""
SEARCH_RANGE_UM: Final = 150.0
"""A reflection further away than this is out of range."""
OFFSET_DRIFT_UM: Final = 8.0
"""How far the offset of a drifting autofocus creeps from one lock to the next."""
_ARRIVED_UM: Final = 0.05


@dataclass(slots=True)
class _Lock:
    """What it locks on, until the stage moves or it is switched off."""

    kinds: set[TwinFaultKind] = field(default_factory=set)
    was_reported: bool = False


class SimulatedAutofocus:
    """The autofocus beside the objective.

    Parameters
    ----------
    state
        Axes, faults, clock.
    view
        Where the specimen lies.
    record
        Where faults and collisions are written down.

    Notes
    -----
    It follows the reflection whenever it is asked for its lock, which whoever uses it does before each exposure.
    """

    def __init__(self, state: TwinState, view: StageView, record: TwinRecord) -> None:
        self._state = state
        self._view = view
        self._record = record
        self._offset_um = 0.0
        self._drift_um = 0.0
        self._is_on = False
        self._lock: _Lock | None = None
        state.watchers.append(self._on_motion)

    @property
    def is_on(self) -> bool:
        """Whether it drives the focus."""
        return self._is_on

    @property
    def offset_um(self) -> float:
        """Distance from the reflection, as it was set."""
        return self._offset_um

    @offset_um.setter
    def offset_um(self, offset_um: float) -> None:
        self._offset_um = offset_um
        self._lock = None

    def switch(self, device: str, *, on: bool) -> None:
        """Switch it on or off.

        Parameters
        ----------
        device
            Its label.
        on
            Whether it shall hold the focus.

        Raises
        ------
        OSError
            The reflection is out of range.
        """
        state = self._state
        with state.lock:
            if not on:
                self._note_contact()
                self._is_on, self._lock = False, None
                state.z.halt(state.clock.now_s())
                return
            if self._strikes(TwinFaultKind.AUTOFOCUS_OUT_OF_RANGE, device) or not self._is_in_range():
                raise OSError(f"{device}: out of focus search range")
            self._is_on, self._lock = True, None

    def is_locked(self, device: str) -> bool:
        """Search and follow the reflection; whether it stands at its offset from it."""
        state = self._state
        with state.lock:
            if not self._is_on or self._is_stage_moving():
                return False
            if self._lock is None:
                self._lock = self._begin_lock(device)
            self._note_contact()
            return self._follow(self._lock)

    def focus_once(self, device: str) -> None:
        """Lock, and let go; returns at once where a fault keeps it from its lock.

        Raises
        ------
        OSError
            The reflection is out of range, or it found no lock.
        """
        self.switch(device, on=True)
        try:
            self.is_locked(device)
            self._state.clock.sleep_s(self._state.z.drive.travel_s(SEARCH_RANGE_UM))
            if not self.is_locked(device):
                raise OSError(f"{device}: no focus lock")
        finally:
            self.switch(device, on=False)

    # -- inside --------------------------------------------------------------------------------------------

    def _begin_lock(self, device: str) -> _Lock:
        kinds = (
            TwinFaultKind.AUTOFOCUS_NEVER_LOCKS,
            TwinFaultKind.AUTOFOCUS_LOSES_LOCK,
            TwinFaultKind.AUTOFOCUS_WRONG_SURFACE,
            TwinFaultKind.AUTOFOCUS_RUNS_AWAY,
            TwinFaultKind.AUTOFOCUS_OFFSET_DRIFTS,
        )
        struck = {kind for kind in kinds if self._strikes(kind, device)}
        if TwinFaultKind.AUTOFOCUS_OFFSET_DRIFTS in struck:
            self._drift_um += OFFSET_DRIFT_UM
        lock = _Lock(struck)
        self._send(self._target_um(lock))
        return lock

    def _follow(self, lock: _Lock) -> bool:
        state = self._state
        now_s = state.clock.now_s()
        if TwinFaultKind.AUTOFOCUS_RUNS_AWAY in lock.kinds or state.z.is_moving(now_s):
            return False
        if lock.was_reported and TwinFaultKind.AUTOFOCUS_LOSES_LOCK in lock.kinds:
            return False
        target_um = self._target_um(lock)
        if abs(state.z.position_um(now_s) - target_um) > _ARRIVED_UM:
            self._send(target_um)
            return False
        if TwinFaultKind.AUTOFOCUS_NEVER_LOCKS in lock.kinds:
            return False
        lock.was_reported = True
        return True

    def _target_um(self, lock: _Lock) -> float:
        if TwinFaultKind.AUTOFOCUS_RUNS_AWAY in lock.kinds:
            return self._state.configuration.z_limits_um[1]
        target_um = self._reflection_um() + self._offset_um + self._drift_um
        return target_um - COVERSLIP_UM if TwinFaultKind.AUTOFOCUS_WRONG_SURFACE in lock.kinds else target_um

    def _reflection_um(self) -> float:
        return self._view.sharp_um(self._state.objective) - REFLECTION_BELOW_UM

    def _is_in_range(self) -> bool:
        return abs(self._state.lens_um() - self._reflection_um()) <= SEARCH_RANGE_UM

    def _send(self, target_um: float) -> None:
        low_um, high_um = self._state.configuration.z_limits_um
        self._state.z.send(min(max(target_um, low_um), high_um), self._state.clock.now_s())

    def _is_stage_moving(self) -> bool:
        now_s = self._state.clock.now_s()
        return self._state.x.is_moving(now_s) or self._state.y.is_moving(now_s)

    def _on_motion(self, moved: str) -> None:
        if moved == "stage":
            self._lock = None
        elif self._is_on and moved in {"focus", "turret"}:
            # Whoever moves them has forgotten that somebody else drives the focus.
            self._record.note("autofocus", f"on while the {moved} was moved")
            if moved == "turret":
                self._record.note(COLLISION, "turret turned while the autofocus drove the focus")
            self._is_on, self._lock = False, None

    def _note_contact(self) -> None:
        objective = self._state.objective
        lens_um = self._state.lens_um()
        reach_um = self._view.sharp_um(objective) + objective.working_distance_um
        if self._is_on and lens_um > reach_um:
            self._record.note(
                COLLISION, f"autofocus drove {objective.label} to z {lens_um:.0f} um, glass at {reach_um:.0f} um"
            )

    def _strikes(self, kind: TwinFaultKind, device: str) -> bool:
        struck = self._state.faults.strikes(kind, device)
        if struck:
            self._record.note("fault", f"{device}: {kind.value.replace('_', ' ')}")
        return struck
