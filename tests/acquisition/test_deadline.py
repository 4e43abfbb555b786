"""A call that hangs is left behind; whatever another one answers or raises arrives."""

import threading

import pytest

from acquisition.deadline import call_within
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
