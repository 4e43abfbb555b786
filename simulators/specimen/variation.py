"""What varies between specimens, as distributions with names."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Uniform:
    """Equally likely anywhere in a range.

    Attributes
    ----------
    low, high
        The range.
    """

    low: float
    high: float

    def draw(self, rng: np.random.Generator) -> float:
        """Draw a value."""
        return float(rng.uniform(self.low, self.high))


@dataclass(frozen=True, slots=True)
class Normal:
    """A normal distribution whose tails are moved to the ends of a range.

    Attributes
    ----------
    mean, sigma
        Of the distribution.
    low, high
        The range.
    """

    mean: float
    sigma: float
    low: float = -math.inf
    high: float = math.inf

    def draw(self, rng: np.random.Generator) -> float:
        """Draw a value."""
        return float(np.clip(rng.normal(self.mean, self.sigma), self.low, self.high))


@dataclass(frozen=True, slots=True)
class LogNormal:
    """A log-normal distribution whose tails are moved to the ends of a range.

    Attributes
    ----------
    median
        Half of the values are larger.
    sigma
        Standard deviation of the logarithm: nearly a relative one where it is small.
    low, high
        The range.
    """

    median: float
    sigma: float
    low: float = 0.0
    high: float = math.inf

    def draw(self, rng: np.random.Generator) -> float:
        """Draw a value."""
        return float(np.clip(np.exp(rng.normal(math.log(self.median), self.sigma)), self.low, self.high))
