"""Splits along pale valleys: a conservative grey-level watershed.

Two chromosomes lying side by side have no notches to cut between, but a slit the halo has greyed. Raising the
threshold opens it; the parts then grow back over the piece by a watershed in optical density (Vincent & Soille
1991).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from analysis.segmentation.split import Split, split_between

_LEVELS: Final = (0.42, 0.5, 0.58, 0.66, 0.75)
"""Thresholds tried, as quantile-like places between the piece's pale and dark density."""

_CORE_SHARE: Final = 0.3
"""A core of a part has at least this share of the least area of a part."""


def propose_valleys(mask: NDArray[np.bool_], density: NDArray[np.float32], min_area_px: float) -> Iterator[Split]:
    """Propose splits along valleys, from the deepest valley to the shallowest.

    Parameters
    ----------
    mask, density
        The piece and the optical density in its frame.
    min_area_px
        Parts smaller than this aren't proposed.
    """
    inside = density[mask]
    dark = float(np.percentile(inside, 90))
    pale = float(np.percentile(inside, 2))
    seen: set[int] = set()
    for place in _LEVELS:
        level = pale + place * (dark - pale)
        cores = mask & (density > level)
        count, labels, stats, _ = cv2.connectedComponentsWithStats(cores.astype(np.uint8), connectivity=4)
        large = [k for k in range(1, count) if stats[k, cv2.CC_STAT_AREA] >= _CORE_SHARE * min_area_px]
        if len(large) < 2:
            continue
        parts = _grow(mask, density, [labels == k for k in large])
        for part in parts:
            area = int(np.count_nonzero(part))
            rest = mask & ~part
            if area < min_area_px or np.count_nonzero(rest) < min_area_px or area in seen:
                continue
            if _pieces(part) == 1 and _pieces(rest) == 1:
                seen.update((area, int(np.count_nonzero(rest))))
                yield split_between(mask, part, "watershed")


def _grow(
    mask: NDArray[np.bool_], density: NDArray[np.float32], cores: list[NDArray[np.bool_]]
) -> list[NDArray[np.bool_]]:
    """Flood the piece from its cores, dark first."""
    top = float(density[mask].max())
    relief = np.where(mask, 255.0 - 254.0 * np.clip(density / max(top, 1e-6), 0.0, 1.0), 255.0).astype(np.uint8)
    markers = np.where(mask, 0, 1).astype(np.int32)
    for k, core in enumerate(cores):
        markers[core] = k + 2
    cv2.watershed(cv2.merge([relief, relief, relief]), markers)
    # The lines between basins (-1), and what the outside flooded, go to the nearest basin.
    basins = markers.copy()
    unknown = (mask & (basins < 2)).astype(np.uint8)
    if unknown.any():
        known = (basins >= 2).astype(np.uint8)
        _, nearest = cv2.distanceTransformWithLabels(1 - known, cv2.DIST_L2, 3, labelType=cv2.DIST_LABEL_PIXEL)
        lookup = np.zeros(int(nearest.max()) + 1, np.int32)
        lookup[nearest[known > 0]] = basins[known > 0]
        basins = np.where(unknown > 0, lookup[nearest], basins)
    return [mask & (basins == k + 2) for k in range(len(cores))]


def _pieces(mask: NDArray[np.bool_]) -> int:
    return int(cv2.connectedComponents(mask.astype(np.uint8), connectivity=4)[0]) - 1
