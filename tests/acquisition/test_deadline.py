"""A call that hangs is left behind; whatever another one answers or raises arrives."""

import threading
import time

import pytest

from acquisition.deadline import BoundedCalls, call_within
from acquisition.errors import DeadlineError


@pytest.fixture
def hanging():
    """A call that comes back only when the test is over."""
    release = threading.Event()
    yield release.wait
    release.set()


def test_an_answer_and_an_error_arrive_as_they_are():
    assert call_within(60, lambda: 17, "sum") == 17
    error = KeyboardInterrupt("pressed")
    with pytest.raises(KeyboardInterrupt) as caught:
        call_within(60, lambda: (_ for _ in ()).throw(error), "sum")
    assert caught.value is error


def test_a_call_that_hangs_is_named_after_its_deadline(hanging):
    with pytest.raises(DeadlineError, match=r"disk: no answer for 0\.2 s"):
        call_within(0.2, hanging, "disk")


def test_an_abort_ends_the_wait_long_before_the_deadline(hanging):
    with pytest.raises(DeadlineError, match="disk: aborted"):
        call_within(600, hanging, "disk", is_aborted=lambda: True)


def served(calls, call):
    """The answer once calls are made again; the thread comes back a moment after it is released."""
    end_s = time.monotonic() + 60
    while True:
        try:
            return calls.call(call, "later")
        except DeadlineError:
            assert time.monotonic() < end_s


@pytest.fixture
def calls():
    bounded = BoundedCalls("test", 0.2)
    yield bounded
    bounded.close()


def test_answers_and_errors_of_bounded_calls_arrive_in_order_from_one_thread(calls):
    names = [calls.call(lambda: threading.current_thread().name, "name") for _ in range(3)]
    assert names == ["test"] * 3
    with pytest.raises(ZeroDivisionError):
        calls.call(lambda: 1 / 0, "sum")
    assert calls.call(lambda: calls.call(lambda: 17, "inner"), "outer") == 17


def test_while_one_call_hangs_others_are_refused_at_once_and_served_once_it_is_back(calls):
    release, made = threading.Event(), []
    with pytest.raises(DeadlineError, match=r"record: no answer for 0\.2 s"):
        calls.call(release.wait, "record")
    with pytest.raises(DeadlineError, match="end: not tried, since record still has no answer"):
        calls.call(lambda: made.append("end"), "end")
    assert sum(thread.name == "test" for thread in threading.enumerate()) == 1
    release.set()
    assert served(calls, lambda: made.append("later")) is None
    assert made == ["later"], "what was refused is never made"


def test_a_call_that_waited_behind_a_hanging_one_is_not_made_afterwards(calls):
    release, made, asked = threading.Event(), [], threading.Event()

    def ask():
        asked.set()
        with pytest.raises(DeadlineError):
            calls.call(lambda: made.append("second"), "second")

    other = threading.Thread(target=ask)

    def hang():
        other.start()
        release.wait()

    with pytest.raises(DeadlineError):
        calls.call(hang, "first")
    other.join()
    release.set()
    assert asked.is_set()
    assert served(calls, lambda: "third") == "third"
    assert made == []


def test_an_abort_ends_the_wait_for_a_bounded_call():
    release = threading.Event()
    with pytest.raises(DeadlineError, match="disk: aborted"):
        BoundedCalls("test", 600.0).call(release.wait, "disk", is_aborted=lambda: True)
    release.set()


def test_the_thread_ends_with_its_owner(calls):
    assert calls.call(lambda: 1, "one") == 1
    (thread,) = [thread for thread in threading.enumerate() if thread.name == "test"]
    calls.close()
    thread.join(60)
    assert not thread.is_alive()
