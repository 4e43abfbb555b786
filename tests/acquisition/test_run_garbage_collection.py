"""What exists when a scan begins costs no time during it; what the scan makes is collected."""

import gc
import weakref

import pytest

from acquisition.run.garbage_collection import frozen_garbage_collector


class Ring:
    """Refers to itself: only the collector can remove it."""

    def __init__(self):
        self.me = self


def test_what_exists_is_left_out_and_what_is_made_is_collected():
    before = gc.get_freeze_count()
    with frozen_garbage_collector():
        assert gc.get_freeze_count() > before
        made = weakref.ref(Ring())
        gc.collect()
        assert made() is None
    assert gc.get_freeze_count() == 0


def test_a_failing_scan_gives_everything_back():
    with pytest.raises(RuntimeError), frozen_garbage_collector():
        raise RuntimeError("scan ended")
    assert gc.get_freeze_count() == 0


def test_garbage_of_the_slide_before_is_not_carried_along():
    gc.disable()
    try:
        left = weakref.ref(Ring())
        with frozen_garbage_collector():
            assert left() is None
    finally:
        gc.enable()
