"""The table of a run's states: legal, complete, as drawn, and what happens between two fields."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acquisition.errors import RunAbortedError, StorageError
from acquisition.run.boundary import Boundary
from acquisition.run.control import RunCommand, RunControl, send_run_command
from acquisition.run.states import TRANSITIONS, IllegalStepError, RunMachine, RunState, RunStep

DRAWING = Path(__file__).parents[2] / "docs" / "explanation" / "run-states.md"
ARROW = re.compile(r"^ +(\w+) --> (\w+): (.+)$", re.MULTILINE)


def test_the_drawing_is_the_table():
    drawn = {
        (RunState(before), RunStep(step.strip())): RunState(after)
        for before, after, steps in ARROW.findall(DRAWING.read_text(encoding="utf-8"))
        for step in steps.split(",")
    }
    assert drawn == dict(TRANSITIONS)


def test_every_state_but_the_last_leads_to_the_end_and_every_one_can_be_reached():
    reached, edge = {RunState.PLANNING}, [RunState.PLANNING]
    while edge:
        here = edge.pop()
        following = {after for (before, _), after in TRANSITIONS.items() if before is here}
        assert following or here is RunState.ENDED
        edge.extend(following - reached)
        reached |= following
    assert reached == set(RunState)


def test_whatever_goes_wrong_at_work_leads_into_the_safe_state():
    for state in set(RunState) - {RunState.MAKING_SAFE, RunState.ENDED}:
        for step in (RunStep.STOP, RunStep.ABORT, RunStep.FAULT):
            assert TRANSITIONS[state, step] is RunState.MAKING_SAFE


@given(st.lists(st.sampled_from(RunStep), max_size=30))
def test_no_series_of_steps_leaves_the_table(steps):
    told = []
    machine = RunMachine(lambda *change: told.append(change))
    for step in steps:
        before = machine.state
        if (before, step) in TRANSITIONS:
            assert machine.take(step) is TRANSITIONS[before, step]
            assert told[-1] == (before, step, machine.state)
        else:
            with pytest.raises(IllegalStepError, match=before):
                machine.take(step)
            assert machine.state is before


def test_an_illegal_step_tells_the_whole_story():
    machine = RunMachine()
    machine.take(RunStep.PLANNED)
    with pytest.raises(IllegalStepError, match=r"planning -> \(planned\) focusing"):
        machine.take(RunStep.CAPTURED)


# -- wishes ------------------------------------------------------------------------------------------------


class Rested:
    """A context that notes how the instrument was treated."""

    def __init__(self, control):
        self.control = control
        self.done = []
        self.microscope = self
        self.listener = self

    def light(self, *, on):
        self.done.append("light on" if on else "light off")

    def lower_focus(self):
        self.done.append("focus down")

    def note(self, level, kind, message):
        self.done.append(kind)

    def message(self, text):
        pass


def scanning():
    machine = RunMachine()
    machine.take(RunStep.PLANNED)
    machine.take(RunStep.FOCUSED)
    return machine


def test_a_paused_run_rests_with_light_off_and_goes_on_with_light_on():
    control = RunControl()
    control.request_pause()
    context, machine, idled = Rested(control), scanning(), []

    def wait(_seconds):
        assert machine.state is RunState.SCAN_PAUSED
        if len(idled) == 3:
            control.request_resume()

    boundary = Boundary(context, machine, pause=wait)
    assert boundary.cross(lambda: idled.append(1))
    assert context.done == ["light off", "focus down", "paused", "light on", "continued"]
    assert (machine.state, boundary.rests, len(idled)) == (RunState.SCANNING, 1, 3)


@pytest.mark.parametrize("wish", [RunCommand.STOP, RunCommand.ABORT])
def test_a_paused_run_can_be_ended_from_another_process(tmp_path, wish):
    control = RunControl()
    control.begin(tmp_path / "control")
    send_run_command(tmp_path / "control", RunCommand.PAUSE)
    context, machine = Rested(control), scanning()
    boundary = Boundary(context, machine, pause=lambda _seconds: send_run_command(tmp_path / "control", wish))
    if wish is RunCommand.ABORT:
        with pytest.raises(RunAbortedError):
            boundary.cross()
    else:
        assert not boundary.cross()
    assert "light on" not in context.done


def test_a_wish_is_heard_once_and_nonsense_is_not(tmp_path):
    control = RunControl()
    control.begin(tmp_path / "control")
    control.poll()
    (tmp_path / "control").write_text("explode\n")
    control.poll()
    assert not (control.pause_requested)
    assert not (control.stop_requested)
    send_run_command(tmp_path / "control", RunCommand.PAUSE)
    control.poll()
    assert control.pause_requested
    control.request_resume()
    control.poll()
    assert not control.pause_requested


def test_a_new_run_does_not_inherit_the_end_of_the_last(tmp_path):
    control = RunControl()
    control.begin_ending()
    control.begin(tmp_path / "control")
    assert not control.ending


def test_a_wish_to_no_run_is_refused(tmp_path):
    with pytest.raises(StorageError, match="no such run folder"):
        send_run_command(tmp_path / "none" / "control", RunCommand.STOP)
