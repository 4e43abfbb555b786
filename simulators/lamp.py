"""The lamp's brightness over time: it warms up, and then wanders."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

_STREAM = 81
# Slow waves whose periods share no common measure: the sum does not repeat within a run.
_PERIODS = (1.0, 0.37, 0.163)
_WEIGHTS = (0.55, 0.3, 0.15)


@dataclass(frozen=True, slots=True)
class LampModel:
    """How steady the lamp is.

    Attributes
    ----------
    drift_fraction
        Largest deviation of the brightness from its mean, as a share of it.
    period_s
        Time of the slowest wave.
    warm_up_fraction, warm_up_s
        Light that a cold lamp lacks, as a share, and the time in which the lack falls to its e-th part. Simulated
        time starts with a cold lamp.
    seed
        Seed of the waves.
    """

    drift_fraction: float = 0.0
    period_s: float = 2_400.0
    warm_up_fraction: float = 0.0
    warm_up_s: float = 600.0
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what can't be a lamp."""
        if not (0.0 <= self.drift_fraction < 1.0 and 0.0 <= self.warm_up_fraction < 1.0):
            raise ValueError(f"a lamp's shares must lie in 0 .. 1, got {self}")
        if not (self.period_s > 0.0 and self.warm_up_s > 0.0):
            raise ValueError(f"a lamp's times must be positive, got {self}")

    def fraction_at(self, time_s: float) -> float:
        """Brightness at a time, over its mean when warm."""
        if self.drift_fraction == 0.0 and self.warm_up_fraction == 0.0:
            return 1.0
        phases = np.random.default_rng([self.seed, _STREAM]).uniform(0.0, 2.0 * math.pi, len(_PERIODS))
        wander = sum(
            weight * math.sin(2.0 * math.pi * time_s / (self.period_s * period) + phase)
            for weight, period, phase in zip(_WEIGHTS, _PERIODS, phases, strict=True)
        )
        cold = self.warm_up_fraction * math.exp(-time_s / self.warm_up_s)
        return (1.0 + self.drift_fraction * wander) * (1.0 - cold)
