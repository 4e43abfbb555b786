"""What concerns the whole slide is tried again as the protocol says, and then ends the run."""

from types import SimpleNamespace

import pytest

from acquisition.errors import SlideParkedError
from acquisition.protocol import ErrorPolicy
from acquisition.run.retry import retry_step
from scanner.errors import FrameError, InterlockError


class Context:
    def __init__(self, rig, **rules):
        self.protocol = SimpleNamespace(errors=ErrorPolicy.model_validate(rules))
        self.microscope = SimpleNamespace(rig=rig)
        self.told = []

    def note(self, level, kind, message, **values):
        self.told.append((kind, message))


class Step:
    def __init__(self, *errors):
        self._errors = list(errors)
        self.made = 0

    def __call__(self):
        self.made += 1
        if self._errors:
            raise self._errors.pop(0)
        return "done"


def black():
    return FrameError("black frame", device="Camera")


def test_a_passing_fault_is_survived_and_told(bench):
    context, step = Context(bench.rig, frame={"retries": 2}), Step(black(), black())
    assert retry_step(context, "field 3", step) == "done"
    assert step.made == 3
    assert [kind for kind, _ in context.told] == ["step_retried"] * 2
    assert "field 3 tried again: Camera: black frame" in context.told[0][1]


def test_a_lasting_fault_is_raised_where_fields_would_be_left_out(bench):
    context, step = Context(bench.rig, frame={"retries": 1, "then": "skip_and_mark"}), Step(*[black()] * 5)
    with pytest.raises(FrameError):
        retry_step(context, "objective 63x", step)
    assert step.made == 2


def test_a_protocol_that_parks_the_slide_is_obeyed(bench):
    context = Context(bench.rig, frame={"retries": 0, "then": "park_slide"})
    with pytest.raises(SlideParkedError):
        retry_step(context, "exposure", Step(black()))


def test_what_is_refused_for_safety_is_not_tried_again(bench):
    context, step = Context(bench.rig), Step(InterlockError("oil", device="Objective"))
    with pytest.raises(InterlockError):
        retry_step(context, "objective 10x", step)
    assert step.made == 1
    assert context.told == []
