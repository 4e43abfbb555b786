"""Where the time went."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from acquisition.records import FieldRecord, FieldStatus

STEPS = ("move", "settle", "focus", "expose", "read", "write", "find")


@dataclass(frozen=True, slots=True)
class StepTiming:
    """One step of the field loop over all fields that succeeded."""

    step: str
    median_ms: float
    p95_ms: float
    total_s: float


def field_timing(fields: tuple[FieldRecord, ...]) -> tuple[StepTiming, ...]:
    """Median, 95th percentile and sum of each step; empty where no field succeeded."""
    done = [field for field in fields if field.status is FieldStatus.DONE]
    if not done:
        return ()
    times = {step: np.array([getattr(field, f"{step}_ms") for field in done]) for step in STEPS}
    # The stage travels while the camera reads out, and the finder works beside both: the steps don't add up.
    taken = sorted(field.taken_at for field in done)
    periods = [1000.0 * (after - before).total_seconds() for before, after in pairwise(taken)]
    if periods:
        times["from field to field"] = np.array(periods)
    return tuple(
        StepTiming(
            step,
            float(np.median(values)),
            float(np.percentile(values, 95)),
            float(values.sum()) / 1000,
        )
        for step, values in times.items()
    )
