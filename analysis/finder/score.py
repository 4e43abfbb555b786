"""How much a crowd of thin bodies looks like a metaphase."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np

from analysis.finder.bodies import Bodies, Crowd
from analysis.finder.flatten import WORK_UM_PER_PX, FlattenedField

_TYPICAL_THIN_UM2: Final = 150.0
_TYPICAL_RADIUS_UM: Final = 20.0
"""Of a metaphase: logarithms of sizes are taken relative to them."""

_LEAST_OD: Final = 1e-3
"""Keeps ratios of an empty crowd finite."""


@dataclass(frozen=True, slots=True)
class CrowdFeatures:
    """Features of a crowd; every value is of order one.

    Attributes
    ----------
    log_thin_um2
        Logarithm of the area of thin bodies over 150 um2, a typical metaphase's.
    cover
        Fraction of the crowd's own area that is thin bodies.
    log_parts
        Logarithm of one plus the number of separate bodies.
    largest_part
        Fraction of the thin area in the largest body.
    thick_fraction
        Fraction of the crowd's dark area that belongs to large bodies.
    edge_per_um
        Outline of the bodies over their area, um: thin rods have much, lumps and rims little.
    depth_od
        Mean optical density of the bodies.
    evenness
        Standard deviation over mean of the bodies' optical density: debris is a mixture, chromosomes are alike.
    log_radius
        Logarithm of the radius over 20 um.
    ring
        Fraction of the thin area in the inner half of the radius: low for the rims of a cell or bubble.
    """

    log_thin_um2: float
    cover: float
    log_parts: float
    largest_part: float
    thick_fraction: float
    edge_per_um: float
    depth_od: float
    evenness: float
    log_radius: float
    ring: float


def measure(crowd: Crowd, bodies: Bodies, field: FlattenedField) -> CrowdFeatures:
    """Compute the features of one crowd.

    Parameters
    ----------
    crowd, bodies
        The crowd, and all bodies of its field.
    field
        The field as optical density.
    """
    height, width = crowd.region.shape
    window = (slice(crowd.top, crowd.top + height), slice(crowd.left, crowd.left + width))
    thin = (bodies.mask[window] > 0) & crowd.region
    thick = (bodies.thick[window] > 0) & crowd.region
    od = field.od[window]
    px_um2 = WORK_UM_PER_PX**2
    count, _, stats, _ = cv2.connectedComponentsWithStats(thin.astype(np.uint8), connectivity=8)
    areas = stats[1:, cv2.CC_STAT_AREA] * px_um2
    areas = areas[areas >= 1.0] if count > 1 else np.zeros(0)
    thin_px = max(1, int(thin.sum()))
    outline = cv2.morphologyEx(thin.astype(np.uint8), cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8))
    depth = od[thin]
    ys, xs = np.nonzero(thin)
    distance = np.hypot(xs + crowd.left - crowd.x_px, ys + crowd.top - crowd.y_px)
    inner = float(np.mean(distance < 0.5 * max(crowd.radius_px, 1.0))) if distance.size else 0.0
    mean = float(depth.mean()) if depth.size else 0.0
    return CrowdFeatures(
        log_thin_um2=float(np.log(max(thin_px * px_um2, 1.0) / _TYPICAL_THIN_UM2)),
        cover=thin_px / max(1, int(crowd.region.sum())),
        log_parts=float(np.log1p(areas.size)),
        largest_part=float(areas.max() / areas.sum()) if areas.size else 1.0,
        thick_fraction=float(thick.sum() / (thick.sum() + thin_px)),
        edge_per_um=float(outline.sum() * WORK_UM_PER_PX / (thin_px * px_um2)),
        depth_od=mean,
        evenness=float(depth.std() / max(mean, _LEAST_OD)) if depth.size else 0.0,
        log_radius=float(np.log(max(crowd.radius_px * WORK_UM_PER_PX, 1.0) / _TYPICAL_RADIUS_UM)),
        ring=inner,
    )


@dataclass(frozen=True, slots=True)
class _Condition:
    """A feature's range for metaphases, and the width over which the score falls off outside it."""

    feature: str
    low: float
    high: float
    width: float


# Ranges hold the middle 96 % of 289 metaphases of the training cases, reduced to 0.645 um/px and composed into
# fields with drawn nuclei and debris; the score is a soft "all of these", not a calibrated probability.
_CONDITIONS = (
    _Condition("log_thin_um2", 0.35, 2.3, 0.20),
    _Condition("cover", 0.24, 0.80, 0.05),
    _Condition("log_parts", 1.0, 4.6, 0.20),
    _Condition("thick_fraction", -1.0, 0.45, 0.08),
    _Condition("edge_per_um", 1.10, 4.0, 0.08),
    _Condition("depth_od", 0.10, 1.2, 0.02),
    _Condition("log_radius", -0.52, 1.1, 0.12),
    _Condition("ring", 0.06, 0.75, 0.04),
)


@dataclass(frozen=True, slots=True)
class CrowdScoreSettings:
    """How margins and spread become one score.

    Attributes
    ----------
    margin_limits
        Margins, in widths, within which they count.
    parts_weight, largest_weight, thick_weight
        Of the spread: many separate bodies are good, one that dominates and a nucleus on top are not.
    spread_gain, margin_gain
        Of spread and margin within the range: they order sound crowds and decide about none.
    """

    margin_limits: tuple[float, float] = (-8.0, 3.0)
    parts_weight: float = 0.45
    largest_weight: float = 1.2
    thick_weight: float = 2.0
    spread_gain: float = 0.5
    margin_gain: float = 0.3


CROWD_SCORE: Final = CrowdScoreSettings()


def score(features: CrowdFeatures, settings: CrowdScoreSettings = CROWD_SCORE) -> float:
    """Score in [0, 1] that a crowd is a metaphase; above 0.5 where every feature lies in its range.

    Within the range, well-spread cells (many separate bodies, none dominating, no nucleus on top) score higher:
    they are the ones to photograph first.

    Parameters
    ----------
    features
        Of the crowd.
    settings
        How margins and spread become one score.
    """
    margins = []
    for condition in _CONDITIONS:
        value = getattr(features, condition.feature)
        margins.append(min(value - condition.low, condition.high - value) / condition.width)
    worst = float(np.clip(min(margins), *settings.margin_limits))
    spread = (
        settings.parts_weight * features.log_parts
        - settings.largest_weight * features.largest_part
        - settings.thick_weight * features.thick_fraction
    )
    bonus = (spread if worst > 0 else 0.0) * settings.spread_gain
    return float(1.0 / (1.0 + np.exp(-(worst + bonus + max(0.0, worst) * settings.margin_gain))))
