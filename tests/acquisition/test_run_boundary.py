"""What a run waits for, it waits for in the dark, and it hears what is asked of it meanwhile."""

from types import SimpleNamespace

import pytest

from acquisition.errors import RunAbortedError
from acquisition.run.boundary import PATIENCE_S, Boundary
from acquisition.run.control import RunControl
from acquisition.run.listener import SilentListener
from acquisition.run.states import RunMachine
from scanner.errors import MoveStoppedError


class Waiting:
    """A boundary of a run whose clock goes on by a second at each question."""

    def __init__(self, bench):
        self.clock_s, self.kinds, self.control = 0.0, [], RunControl()
        self.bench = bench
        context = SimpleNamespace(
            microscope=bench.microscope,
            control=self.control,
            listener=SilentListener(),
            note=lambda level, kind, message, **more: self.kinds.append(kind),
        )
        self.boundary = Boundary(context, RunMachine(), pause=self.go_on, now_s=lambda: self.clock_s)

    def go_on(self, seconds=1.0):
        self.clock_s += seconds

    def is_dark(self):
        is_down = self.bench.twin.focus_um() == pytest.approx(self.bench.rig.focus.down_um)
        return not self.bench.twin.lamp_open and is_down

    def ready_at(self, end_s, then=lambda: None):
        """Whether it is ready; notes how it looked just before."""

        def is_ready():
            self.go_on()
            if self.clock_s >= end_s:
                self.was_dark = self.is_dark()
                then()
                return True
            return False

        return is_ready


@pytest.fixture
def waiting(bench):
    bench.microscope.light(on=True)
    bench.microscope.focus_to(bench.microscope.objective.focus.min_um)
    return Waiting(bench)


def test_a_short_wait_leaves_the_instrument_as_it_is(bench, waiting):
    waiting.boundary.wait_for(waiting.ready_at(PATIENCE_S / 2), "the disk")
    assert (waiting.boundary.rests, waiting.kinds) == (0, [])
    assert bench.twin.lamp_open


def test_a_long_wait_is_spent_with_the_light_off_and_the_focus_down(bench, waiting):
    waiting.boundary.wait_for(waiting.ready_at(PATIENCE_S + 10), "the disk")
    assert waiting.was_dark
    assert waiting.boundary.rests == 1
    assert waiting.kinds == ["waiting", "continued"]
    assert bench.twin.lamp_open


@pytest.mark.parametrize(
    ("request_it", "error"),
    [(RunControl.request_stop, MoveStoppedError), (RunControl.request_abort, RunAbortedError)],
)
def test_a_stop_and_an_abort_end_a_wait_for_what_never_comes(waiting, request_it, error):
    def never():
        waiting.go_on()
        if waiting.clock_s > 3 * PATIENCE_S:
            request_it(waiting.control)
        return False

    with pytest.raises(error):
        waiting.boundary.wait_for(never, "the disk")
    assert waiting.is_dark()


def test_a_pause_is_heard_while_something_is_waited_for(bench, waiting):
    waiting.control.request_pause()
    asked = []

    def is_ready():
        waiting.go_on()
        asked.append(waiting.is_dark())
        if len(asked) == 5:
            waiting.control.request_resume()
        return True

    waiting.boundary.wait_for(is_ready, "the disk")
    assert asked == [False, True, True, True, True]
    assert bench.twin.lamp_open
