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

from analysis.segmentation.contours.split import Split, split_between
from analysis.structures.instance import SegmentationRoute

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
        basins = _grow(mask, density, [labels == k for k in large])
        whole = int(np.count_nonzero(mask))
        areas = np.bincount(basins.ravel(), minlength=len(large) + 1)
        apart = _Apart(mask, basins, len(large))
        for number in range(1, len(large) + 1):
            area = int(areas[number])
            if area < min_area_px or whole - area < min_area_px or area in seen:
                continue
            if apart.leaves_two_pieces(number):
                seen.update((area, whole - area))
                yield split_between(mask, basins == number, SegmentationRoute.WATERSHED)


class _Apart:
    """Whether a basin can be taken out of a piece so that two connected pieces are left.

    Basins touch few others: what is left without one is told by who touches whom, and not by its pixels again.
    """

    def __init__(self, mask: NDArray[np.bool_], basins: NDArray[np.int32], count: int) -> None:
        self._mask, self._basins, self._count = mask, basins, count
        self._whole = [False] * (count + 1)
        for number in range(1, count + 1):
            self._whole[number] = _pieces(basins == number) == 1
        self._everything = bool((basins[mask] > 0).all())
        self._touching: dict[int, set[int]] = {number: set() for number in range(1, count + 1)}
        for first, second in ((basins[:, :-1], basins[:, 1:]), (basins[:-1], basins[1:])):
            meets = (first != second) & (first > 0) & (second > 0)
            for a, b in set(zip(first[meets].tolist(), second[meets].tolist(), strict=True)):
                self._touching[a].add(b)
                self._touching[b].add(a)

    def leaves_two_pieces(self, number: int) -> bool:
        if not self._whole[number]:
            return False
        others = [k for k in range(1, self._count + 1) if k != number]
        if not self._everything or not all(self._whole[k] for k in others):
            return _pieces(self._mask & (self._basins != number)) == 1
        reached, waiting = {others[0]}, [others[0]]
        while waiting:
            for k in self._touching[waiting.pop()] - reached - {number}:
                reached.add(k)
                waiting.append(k)
        return len(reached) == len(others)


def _grow(
    mask: NDArray[np.bool_], density: NDArray[np.float32], cores: list[NDArray[np.bool_]]
) -> NDArray[np.int32]:
    """Flood the piece from its cores, dark first: 1, 2, ... for their basins, 0 outside."""
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
    return np.asarray(np.where(mask & (basins >= 2), basins - 1, 0), dtype=np.int32)


def _pieces(mask: NDArray[np.bool_]) -> int:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if rows.size == 0:
        return 0
    inner = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return int(cv2.connectedComponents(inner.astype(np.uint8), connectivity=4)[0]) - 1
