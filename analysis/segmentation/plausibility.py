"""How much a piece looks like exactly one chromosome."""

from __future__ import annotations

from typing import Final

import numpy as np

from analysis.segmentation.shape import Shape

_TIP_FACTOR: Final = {0: 0.5, 1: 0.85, 2: 1.0, 3: 0.55, 4: 0.3}


def single_likeness(shape: Shape, median_area: float) -> float:
    """Return the likeness in [0, 1] to one chromosome.

    Parameters
    ----------
    shape
        The piece's measures.
    median_area
        Median area of the cell's chromosomes, in squared widths.
    """
    relative = shape.area / max(median_area, 1e-6)
    tips = _TIP_FACTOR.get(shape.tips, 0.1)
    size = _within(relative, 0.28, 0.45, 2.4, 3.6)
    thick = _within(shape.thickness, 0.5, 0.72, 1.2, 1.6) * _within(shape.thickest, 0.5, 0.7, 1.45, 2.0)
    straight = float(np.exp(-max(0.0, shape.notch_deg - 20.0) / 90.0))
    wavy = float(np.exp(-max(0.0, shape.waviness - 1.12) * 4.0))
    holes = 0.6 ** max(0, shape.holes)
    return tips * size * thick * straight * wavy * holes


def _within(value: float, zero_low: float, low: float, high: float, zero_high: float) -> float:
    """1 between low and high, falling to 0.02 at the outer bounds."""
    if value < low:
        return max(0.02, (value - zero_low) / (low - zero_low))
    if value > high:
        return max(0.02, (zero_high - value) / (zero_high - high))
    return 1.0
