"""What all plans of faults share: one grammar, one way of counting, one seeded stream."""

from __future__ import annotations

import re
import threading
from collections import Counter
from collections.abc import Callable
from enum import StrEnum
from typing import Generic, Protocol, TypeVar

import numpy as np

GRAMMAR = "kind@target:nth xtimes ~probability"
"""All but the kind may be left out: any target, the first operation, once, for sure; ``x*`` is for ever."""

_PART = re.compile(
    r"(?P<kind>\w+)\s*(?:@(?P<target>[^:~]*?))?\s*(?::\s*(?P<nth>\d+))?\s*(?:x\s*(?P<times>\d+|\*))?"
    r"\s*(?:~\s*(?P<probability>[0-9.eE+-]+))?"
)


class PlannedFault(Protocol):
    """What a plan has to know of a fault."""

    @property
    def kind(self) -> StrEnum:
        """What goes wrong."""

    @property
    def nth(self) -> int:
        """First operation that it spoils, counted from 1."""

    @property
    def times(self) -> int | None:
        """How many operations it spoils; None for ever."""

    @property
    def probability(self) -> float | None:
        """Where given, an operation from `nth` on is spoiled with this probability."""

    def concerns(self, target: str) -> bool:
        """Whether it is about this device, command or file."""


AnyFault = TypeVar("AnyFault", bound=PlannedFault)
AnyKind = TypeVar("AnyKind", bound=StrEnum)


def check_counts(fault: PlannedFault) -> None:
    """Refuse what can't happen.

    Raises
    ------
    ValueError
        A fault before the first operation, one that never happens, or a probability beyond 0 .. 1.
    """
    if fault.nth < 1 or (fault.times is not None and fault.times < 1):
        raise ValueError(f"a fault starts at operation 1 or later and happens at least once, got {fault}")
    if fault.probability is not None and not 0.0 <= fault.probability <= 1.0:
        raise ValueError(f"a probability lies in 0 .. 1, got {fault}")


class CountingPlan(Generic[AnyFault]):
    """Faults still to come, each with its own counter; safe to be asked from any thread.

    Parameters
    ----------
    faults
        What will go wrong.
    seed
        Seed of faults with a probability.
    """

    def __init__(self, faults: tuple[AnyFault, ...] = (), seed: int = 0) -> None:
        self._lock = threading.Lock()
        self._faults = list(faults)
        self._rng = np.random.default_rng([seed, 991])
        self._seen: Counter[int] = Counter()
        self._struck: Counter[int] = Counter()

    @property
    def faults(self) -> tuple[AnyFault, ...]:
        """All faults of the plan, past ones too."""
        with self._lock:
            return tuple(self._faults)

    def add(self, *faults: AnyFault) -> None:
        """Add faults; their operations are counted from now on."""
        with self._lock:
            self._faults.extend(faults)

    def clear(self) -> None:
        """Forget all faults."""
        with self._lock:
            self._faults.clear()
            self._seen.clear()
            self._struck.clear()

    def strikes(self, kind: StrEnum, target: str) -> bool:
        """Count one operation and say whether it goes wrong in this way.

        Parameters
        ----------
        kind
            Kind of fault.
        target
            What the operation concerns.
        """
        with self._lock:
            struck = False
            for index, fault in enumerate(self._faults):
                # Every fault counts every operation, whatever the others do.
                if fault.kind is kind and fault.concerns(target):
                    struck |= self._strikes_now(index, fault)
            return struck

    def _strikes_now(self, index: int, fault: AnyFault) -> bool:
        self._seen[index] += 1
        if self._seen[index] < fault.nth or (fault.times is not None and self._struck[index] >= fault.times):
            return False
        if fault.probability is not None and self._rng.random() >= fault.probability:
            return False
        self._struck[index] += 1
        return True


def parse_plan(
    text: str,
    kinds: type[AnyKind],
    make: Callable[[AnyKind, str, int, int | None, float | None], AnyFault],
) -> tuple[AnyFault, ...]:
    """Read faults, parted by ``;``, each ``kind@target:nth xtimes ~probability``.

    Parameters
    ----------
    text
        For instance ``move_fails@XY:3; black_frame@Camera:2x4; move_short@XYx*~0.05``.
    kinds
        The kinds there are.
    make
        Makes a fault of kind, target (empty where left out), nth, times and probability.

    Raises
    ------
    ValueError
        With the part that can't be read.
    """
    return tuple(_parse_part(part.strip(), kinds, make) for part in text.split(";") if part.strip())


def _parse_part(
    part: str, kinds: type[AnyKind], make: Callable[[AnyKind, str, int, int | None, float | None], AnyFault]
) -> AnyFault:
    found = _PART.fullmatch(part)
    try:
        if found is None:
            raise ValueError("another form")
        times = found["times"]
        return make(
            kinds(found["kind"]),
            (found["target"] or "").strip(),
            int(found["nth"] or 1),
            None if times == "*" else int(times or 1),
            float(found["probability"]) if found["probability"] else None,
        )
    except ValueError as error:
        raise ValueError(f"fault {part!r} ({error}): wanted {GRAMMAR}; kinds: {', '.join(kinds)}") from error
