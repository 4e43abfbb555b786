"""Where the time went."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from acquisition.records import FieldRecord, FieldStatus

STEPS = ("move", "focus", "expose", "find")


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
    times["together"] = np.sum([times[step] for step in STEPS], axis=0)
    return tuple(
        StepTiming(
            step,
            float(np.median(values)),
            float(np.percentile(values, 95)),
            float(values.sum()) / 1000,
        )
        for step, values in times.items()
    )
