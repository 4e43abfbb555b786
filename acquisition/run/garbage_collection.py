"""Keeps the interpreter's memory collector out of the instrument's way."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def frozen_garbage_collector() -> Iterator[None]:
    """Leave what exists now out of every garbage collection within.

    Libraries hold some million objects that live as long as the process. A full collection looks at all of them,
    takes a tenth of a second and more, and may come at any moment: the stage would stand still for it. What is
    made within is collected as ever, so memory doesn't grow.

    What is garbage already is collected before: a night of slides would carry that of each slide along, as full
    collections become rarer the more objects there are.
    """
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
