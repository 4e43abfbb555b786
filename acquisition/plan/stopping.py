"""When a scan has seen enough."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from acquisition.plan.quantities import S_PER_MIN
from acquisition.protocol import Stop


class StopReason(StrEnum):
    """Why a scan ended before its area was exhausted."""

    ENOUGH_CELLS = "enough_cells"
    TIME = "time"


def probability_of_at_least(number: int, probabilities: Sequence[float]) -> float:
    """Probability that at least `number` of the cells are analysable.

    The count follows the Poisson binomial distribution (Wang 1993, Statistica Sinica 3, 295), computed by adding
    one cell after the other, exactly.

    Parameters
    ----------
    number
        Cells wanted.
    probabilities
        Probability of each cell that it is analysable, in [0, 1]; cells are taken as independent, which holds as
        long as the scores are calibrated for this slide.

    Returns
    -------
    float
        In [0, 1].
    """
    if number <= 0:
        return 1.0
    if number > len(probabilities):
        return 0.0
    # below[k]: probability of exactly k so far, for k < number; what reaches `number` never comes back.
    below = np.zeros(number)
    below[0] = 1.0
    for probability in probabilities:
        step = probability * below[:-1]
        below *= 1.0 - probability
        below[1:] += step
    return float(np.clip(1.0 - below.sum(), 0.0, 1.0))


def count_distribution(probabilities: Sequence[float]) -> NDArray[np.float64]:
    """Distribution of the number of analysable cells, as `probability_of_at_least` takes it.

    Returns
    -------
    NDArray[np.float64]
        Shape (cells + 1,): probability of exactly 0, 1, ... of them.
    """
    exactly = np.ones(1)
    for probability in probabilities:
        more = np.zeros(exactly.size + 1)
        more[:-1] = exactly * (1.0 - probability)
        more[1:] += exactly * probability
        exactly = more
    return exactly


def stop_reason(stop: Stop, probabilities: Sequence[float], scanning_s: float) -> StopReason | None:
    """Whether a scan has seen enough.

    Parameters
    ----------
    stop
        Rule of the protocol.
    probabilities
        Of each cell that it is analysable, each cell once: sightings of one cell in two fields are merged before.
    scanning_s
        Time since the first field.
    """
    if stop.cells is not None and probability_of_at_least(stop.cells, probabilities) >= stop.probability:
        return StopReason.ENOUGH_CELLS
    if stop.max_minutes is not None and scanning_s >= S_PER_MIN * stop.max_minutes:
        return StopReason.TIME
    return None
