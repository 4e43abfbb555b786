"""In which state a run is, and what may follow: ``docs/explanation/run-states.md`` draws this table."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from enum import StrEnum

_log = logging.getLogger(__name__)


class RunState(StrEnum):
    """What a run is doing."""

    PLANNING = "planning"
    FOCUSING = "focusing"
    RECOGNISING = "recognising"
    SCANNING = "scanning"
    SCAN_PAUSED = "scan_paused"
    RANKING = "ranking"
    CAPTURING = "capturing"
    CAPTURE_PAUSED = "capture_paused"
    KARYOTYPING = "karyotyping"
    MAKING_SAFE = "making_safe"
    ENDED = "ended"


class RunStep(StrEnum):
    """What brings a run from one state to another."""

    PLANNED = "planned"
    FOCUSED = "focused"
    FOCUSED_AGAIN = "focused_again"
    NOTHING_LEFT = "nothing_left"
    IN_OIL = "in_oil"
    RECOGNISED = "recognised"
    SCANNED = "scanned"
    RANKED = "ranked"
    CAPTURED = "captured"
    KARYOTYPED = "karyotyped"
    PAUSE = "pause"
    CONTINUE = "continue"
    STOP = "stop"
    ABORT = "abort"
    FAULT = "fault"
    SAFE = "safe"


_AT_WORK = (
    RunState.PLANNING,
    RunState.FOCUSING,
    RunState.RECOGNISING,
    RunState.SCANNING,
    RunState.SCAN_PAUSED,
    RunState.RANKING,
    RunState.CAPTURING,
    RunState.CAPTURE_PAUSED,
    RunState.KARYOTYPING,
)

TRANSITIONS: Mapping[tuple[RunState, RunStep], RunState] = {
    (RunState.PLANNING, RunStep.PLANNED): RunState.FOCUSING,
    (RunState.PLANNING, RunStep.NOTHING_LEFT): RunState.KARYOTYPING,
    (RunState.PLANNING, RunStep.IN_OIL): RunState.RECOGNISING,
    (RunState.RECOGNISING, RunStep.RANKED): RunState.CAPTURING,
    (RunState.FOCUSING, RunStep.FOCUSED): RunState.SCANNING,
    (RunState.FOCUSING, RunStep.FOCUSED_AGAIN): RunState.RECOGNISING,
    (RunState.RECOGNISING, RunStep.RECOGNISED): RunState.SCANNING,
    (RunState.SCANNING, RunStep.PAUSE): RunState.SCAN_PAUSED,
    (RunState.SCAN_PAUSED, RunStep.CONTINUE): RunState.SCANNING,
    (RunState.SCANNING, RunStep.SCANNED): RunState.RANKING,
    (RunState.RANKING, RunStep.RANKED): RunState.CAPTURING,
    (RunState.CAPTURING, RunStep.PAUSE): RunState.CAPTURE_PAUSED,
    (RunState.CAPTURE_PAUSED, RunStep.CONTINUE): RunState.CAPTURING,
    (RunState.CAPTURING, RunStep.CAPTURED): RunState.KARYOTYPING,
    (RunState.KARYOTYPING, RunStep.KARYOTYPED): RunState.MAKING_SAFE,
    **{
        (state, step): RunState.MAKING_SAFE
        for state in _AT_WORK
        for step in (RunStep.STOP, RunStep.ABORT, RunStep.FAULT)
    },
    (RunState.MAKING_SAFE, RunStep.SAFE): RunState.ENDED,
}


class IllegalStepError(RuntimeError):
    """The software tried a step that the table does not allow: a bug, never the instrument's fault."""


class RunMachine:
    """Holds the state of one run; used from the thread that drives the instrument.

    Parameters
    ----------
    on_change
        Called with the former state, the step and the new state after each change.
    """

    def __init__(self, on_change: Callable[[RunState, RunStep, RunState], None] = lambda *_: None) -> None:
        self._state = RunState.PLANNING
        self._story: list[str] = [self._state.value]
        self._on_change = on_change

    @property
    def state(self) -> RunState:
        """Where the run is."""
        return self._state

    def take(self, step: RunStep) -> RunState:
        """Go on by a step.

        Raises
        ------
        IllegalStepError
            The table knows no such step here; with the whole story of the run.
        """
        following = TRANSITIONS.get((self._state, step))
        if following is None:
            raise IllegalStepError(f"no step {step} from {self._state}; the run was {' -> '.join(self._story)}")
        before, self._state = self._state, following
        self._story.append(f"({step}) {following}")
        _log.info("run %s: %s -> %s", step, before, following)
        self._on_change(before, step, following)
        return following
