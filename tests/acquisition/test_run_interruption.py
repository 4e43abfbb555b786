"""Signals end a run in the safe state, however many there are and whatever else fails at that moment."""

import signal

import pytest

from acquisition.records import RunStatus
from acquisition.run.control import RunControl
from acquisition.run.interruption import (
    HANDLED_SIGNALS,
    InterruptionHandler,
    interruptions_handled,
    interruptions_raised,
)
from acquisition.run.listener import GuardedListener

PRESENT = [name for name in HANDLED_SIGNALS if hasattr(signal, name)]


@pytest.mark.parametrize("name", PRESENT)
def test_each_signal_that_would_end_the_process_is_a_stop_and_the_next_an_abort(name):
    control, lines = RunControl(), []
    before = signal.getsignal(signal.SIGINT)
    with interruptions_handled(control, lines.append):
        signal.raise_signal(getattr(signal, name))
        assert (control.stop_requested, control.abort_requested) == (True, False)
        for _ in range(3):
            signal.raise_signal(getattr(signal, name))
        assert control.abort_requested
    assert len(lines) == 4
    assert all(name in line for line in lines)
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize("name", PRESENT)
def test_outside_of_runs_each_such_signal_raises_once_so_that_making_safe_is_not_interrupted(name):
    before, made_safe = signal.getsignal(signal.SIGINT), []

    def work():
        with interruptions_raised():
            try:
                signal.raise_signal(getattr(signal, name))
            finally:
                signal.raise_signal(getattr(signal, name))
                signal.raise_signal(signal.SIGINT)
                made_safe.append(True)

    with pytest.raises(KeyboardInterrupt, match=name):
        work()
    assert made_safe
    assert signal.getsignal(signal.SIGINT) is before


def test_a_report_to_a_closed_terminal_breaks_nothing():
    def closed(text):
        raise SystemExit(1)

    control = RunControl()
    with interruptions_handled(control, closed):
        signal.raise_signal(signal.SIGTERM)
    assert control.stop_requested


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="no terminals that hang up")
def test_what_was_ignored_stays_ignored():
    former = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        control = RunControl()
        with interruptions_handled(control):
            signal.raise_signal(signal.SIGHUP)
        assert not control.stop_requested
    finally:
        signal.signal(signal.SIGHUP, former)


def test_within_another_block_for_the_same_run_the_outer_one_keeps_hearing():
    control = RunControl()
    with interruptions_handled(control):
        outer = signal.getsignal(signal.SIGINT)
        with interruptions_handled(control):
            assert signal.getsignal(signal.SIGINT) is outer
        with interruptions_handled(RunControl()):
            assert signal.getsignal(signal.SIGINT) is not outer
        assert isinstance(outer, InterruptionHandler)


class Interrupting:
    """A listener during whose step signals come."""

    def __init__(self, phase, *numbers):
        self._phase, self._numbers = phase, numbers

    def phase(self, name, total):
        pass

    def step(self, name, note=""):
        if name == self._phase:
            numbers, self._numbers = self._numbers, ()
            for number in numbers:
                signal.raise_signal(number)

    def message(self, text):
        pass


@pytest.mark.parametrize(
    ("phase", "names", "status"),
    [
        ("scan", ["SIGHUP"], RunStatus.STOPPED),
        ("scan", ["SIGQUIT"], RunStatus.STOPPED),
        ("scan", ["SIGINT", "SIGINT"], RunStatus.ABORTED),
        ("capture", ["SIGUSR1"], RunStatus.STOPPED),
        ("capture", ["SIGTERM", "SIGINT", "SIGHUP"], RunStatus.ABORTED),
    ],
)
def test_a_run_that_signals_interrupt_ends_safe_and_says_how(bench, run_in, phase, names, status):
    listener = Interrupting(phase, *(getattr(signal, name) for name in names))
    session = run_in("run", listener=listener)
    assert session.outcome.status is status
    assert session.status is status
    assert not bench.twin.lamp_open
    assert bench.twin.focus_um() == pytest.approx(bench.rig.focus.down_um)
    assert session.records[-1].kind == "ended"
    assert run_in("run").outcome.status in {RunStatus.COMPLETED, RunStatus.COMPLETED_WITH_ERRORS}


class Leaving:
    """A listener that ends the interpreter when it is told of something."""

    def __init__(self, error):
        self._error = error
        self.heard = 0

    def phase(self, name, total):
        self.heard += 1
        raise self._error

    def step(self, name, note=""):
        self.heard += 1
        raise self._error

    def message(self, text):
        self.heard += 1
        raise self._error


@pytest.mark.parametrize(
    "error", [SystemExit(0), BrokenPipeError(32, "Broken pipe"), GeneratorExit(), ValueError()]
)
def test_a_display_that_raises_anything_goes_quiet_and_the_run_goes_on(bench, run_in, error):
    listener = Leaving(error)
    assert run_in("run", listener=listener).outcome.status is RunStatus.COMPLETED
    assert listener.heard == 1


def test_a_guarded_listener_passes_a_persons_ctrl_c_on():
    with pytest.raises(KeyboardInterrupt):
        GuardedListener(Leaving(KeyboardInterrupt())).message("drawing")


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit, MemoryError])
def test_whatever_is_raised_within_a_run_leaves_the_instrument_safe_and_an_end_in_the_record(bench, run_in, error):
    def raising(pixels, um_per_px):
        raise error

    with pytest.raises(error):
        run_in("run", locator=raising)
    assert not bench.twin.lamp_open
    assert bench.twin.focus_um() == pytest.approx(bench.rig.focus.down_um)
    session = run_in.left("run")
    assert session.status is RunStatus.FAILED
    assert session.records[-1].kind == "ended"
