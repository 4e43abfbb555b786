"""Moves of stage, focus and turret: what faults make of them, and what they would break."""

from __future__ import annotations

from simulators.device_faults import FaultyMove, faulty_move_of
from simulators.faults import TwinFaultKind
from simulators.motion import Axis
from simulators.twin.record import COLLISION, TwinRecord
from simulators.twin.state import TwinState
from simulators.twin.view import StageView


class TwinMotion:
    """What sets the twin's axes and turret going.

    Parameters
    ----------
    state
        Axes and turret.
    view
        Where the glass is.
    record
        Where collisions and faults are written down.
    """

    def __init__(self, state: TwinState, view: StageView, record: TwinRecord) -> None:
        self._state = state
        self._view = view
        self._record = record
        self._stuck: set[str] = set()

    def move_stage(self, x_um: float, y_um: float, device: str) -> None:
        """Start a stage move.

        Parameters
        ----------
        x_um, y_um
            Target.
        device
            Label of the stage.

        Raises
        ------
        ValueError
            The target lies beyond the ends of travel.
        OSError
            A fault: the controller refused.
        """
        state = self._state
        _check_travel(device, "x", x_um, state.configuration.x_limits_um)
        _check_travel(device, "y", y_um, state.configuration.y_limits_um)
        with state.lock:
            self._send(self._faulty_move(device), ((state.x, x_um), (state.y, y_um)))
            state.notify("stage")

    def move_focus(self, z_um: float, device: str) -> None:
        """Start a focus move.

        Parameters
        ----------
        z_um
            Target.
        device
            Label of the drive.

        Raises
        ------
        ValueError
            The target lies beyond the ends of travel.
        OSError
            A fault: the controller refused.
        """
        state = self._state
        _check_travel(device, "z", z_um, state.configuration.z_limits_um)
        with state.lock:
            self._send(self._faulty_move(device), ((state.z, z_um),))
            state.notify("focus")

    def home(self, device: str, *axes: Axis) -> None:
        """Start axes towards their limit switches, at the lower ends of travel, where lost steps are corrected.

        Parameters
        ----------
        device
            Label of the device.
        *axes
            Its axes.

        Raises
        ------
        OSError
            A fault: the controller refused.
        """
        state, configuration = self._state, self._state.configuration
        ends_um = {
            state.x: configuration.x_limits_um[0],
            state.y: configuration.y_limits_um[0],
            state.z: configuration.z_limits_um[0],
        }
        with state.lock:
            move = self._faulty_move(device)
            self._send(move, tuple((axis, ends_um[axis]) for axis in axes), finds_zero=move.fraction == 1.0)
            state.notify("focus" if state.z in axes else "stage")

    def is_busy(self, device: str, *axes: Axis) -> bool:
        """Whether a device moves, settles or pretends to."""
        now_s = self._state.clock.now_s()
        return device in self._stuck or any(axis.is_busy(now_s) for axis in axes)

    def halt(self, device: str, *axes: Axis) -> None:
        """Stop axes where they are."""
        with self._state.lock:
            self._stuck.discard(device)
            for axis in axes:
                axis.halt(self._state.clock.now_s())

    def turn_turret(self, position: int, device: str) -> None:
        """Change the objective.

        Parameters
        ----------
        position
            Turret position, counted from 0.
        device
            Label of the turret.
        """
        state, configuration = self._state, self._state.configuration
        with state.lock:
            if position == state.objective_index and not state.is_turret_between:
                return
            z_um, clear_um = state.lens_um(), configuration.turret_clear_um
            if z_um > clear_um:
                self._record.note(COLLISION, f"turret turned at z {z_um:.0f} um, free below {clear_um:.0f}")
            state.is_turret_between = state.faults.strikes(TwinFaultKind.TURRET_BETWEEN, device)
            if state.is_turret_between:
                self._record.note("fault", f"{device}: turret stops between")
            state.objective_index = position
            state.turret_end_s = state.clock.now_s() + configuration.turret_s
            self._record.note("objective", state.objective.label)
            state.pass_time(configuration.turret_s)
            state.notify("turret")

    def _faulty_move(self, device: str) -> FaultyMove:
        """What becomes of the next move."""
        move = faulty_move_of(
            self._state.faults, device, lambda what: self._record.note("fault", f"{device}: {what}")
        )
        if move.sticks:
            self._stuck.add(device)
        if move.drifts:
            self._state.drift_starts_s.append(self._state.clock.now_s())
        return move

    def _send(
        self, move: FaultyMove, targets: tuple[tuple[Axis, float], ...], *, finds_zero: bool = False
    ) -> None:
        """Start axes together, and let the time pass where nobody else does."""
        now_s = self._state.clock.now_s()
        distances_um = [move.fraction * (target_um - axis.position_um(now_s)) for axis, target_um in targets]
        slips_um = [
            0.0 if finds_zero else axis.slip_um(now_s) + move.lost_um(distance_um)
            for (axis, _), distance_um in zip(targets, distances_um, strict=True)
        ]
        self._note_collisions(
            {
                axis: axis.position_um(now_s) + distance_um - slip_um - axis.table_um(now_s)
                for (axis, _), distance_um, slip_um in zip(targets, distances_um, slips_um, strict=True)
            }
        )
        durations_s = [
            axis.send(axis.position_um(now_s) + distance_um, now_s, slip_um=slip_um, announced=move.announced)
            for (axis, _), distance_um, slip_um in zip(targets, distances_um, slips_um, strict=True)
        ]
        if not move.announced:
            self._state.pass_time(max(durations_s))

    def _note_collisions(self, distances_um: dict[Axis, float]) -> None:
        """Write down what the moves that axes are about to make will break."""
        state = self._state
        objective = state.objective
        travel_um = max(abs(distances_um.get(axis, 0.0)) for axis in (state.x, state.y))
        if travel_um > state.configuration.contact_travel_um and self._view.in_contact():
            self._record.note(COLLISION, f"stage moved {travel_um:.0f} um with {objective.label} in contact")
        if state.z in distances_um:
            end_um = state.lens_um() + distances_um[state.z]
            reach_um = self._view.sharp_um(objective) + objective.working_distance_um
            if end_um > reach_um:
                self._record.note(
                    COLLISION, f"{objective.label} driven to z {end_um:.0f} um, glass at {reach_um:.0f} um"
                )


def _check_travel(device: str, axis: str, wanted_um: float, limits_um: tuple[float, float]) -> None:
    if not limits_um[0] <= wanted_um <= limits_um[1]:
        raise ValueError(
            f"{device}: {axis} {wanted_um:.1f} um lies beyond the travel {limits_um[0]:g} .. {limits_um[1]:g} um"
        )
