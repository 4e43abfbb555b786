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

from analysis.segmentation.contours.settings import VALLEYS, ValleySettings
from analysis.segmentation.contours.split import Split, split_between
from analysis.structures.instance import SegmentationRoute

_TINY: Final = 1e-6
"""Keeps the relief of an unstained piece finite."""

_RELIEF_TOP: Final = 255.0
_RELIEF_RANGE: Final = 254.0
"""Levels of the relief that is flooded, dark first; the outside is highest."""


def propose_valleys(
    mask: NDArray[np.bool_],
    density: NDArray[np.float32],
    min_area_px: float,
    settings: ValleySettings = VALLEYS,
) -> Iterator[Split]:
    """Propose splits along valleys, from the deepest valley to the shallowest.

    Parameters
    ----------
    mask, density
        bool and float32, shape (h, w): the piece and the optical density in its frame.
    min_area_px
        Parts smaller than this aren't proposed.
    settings
        Thresholds tried.
    """
    inside = density[mask]
    dark = float(np.percentile(inside, settings.dark_percentile))
    pale = float(np.percentile(inside, settings.pale_percentile))
    areas_proposed: set[int] = set()
    min_core_px = settings.core_fraction * min_area_px
    for place in settings.levels:
        level = pale + place * (dark - pale)
        cores = mask & (density > level)
        count, labels, stats, _ = cv2.connectedComponentsWithStats(cores.astype(np.uint8), connectivity=4)
        large = [k for k in range(1, count) if stats[k, cv2.CC_STAT_AREA] >= min_core_px]
        if len(large) < 2:
            continue
        basins = _grow(mask, density, [labels == k for k in large])
        whole = int(np.count_nonzero(mask))
        areas = np.bincount(basins.ravel(), minlength=len(large) + 1)
        adjacency = _BasinAdjacency(mask, basins, len(large))
        for number in range(1, len(large) + 1):
            area = int(areas[number])
            if area < min_area_px or whole - area < min_area_px or area in areas_proposed:
                continue
            if adjacency.leaves_two_pieces(number):
                areas_proposed.update((area, whole - area))
                yield split_between(mask, basins == number, SegmentationRoute.WATERSHED)


class _BasinAdjacency:
    """Whether a basin can be taken out of a piece so that two connected pieces are left.

    Basins touch few others: whether the rest is connected follows from which basins touch, without counting its
    pixels again.
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
    relief = np.where(
        mask, _RELIEF_TOP - _RELIEF_RANGE * np.clip(density / max(top, _TINY), 0.0, 1.0), _RELIEF_TOP
    ).astype(np.uint8)
    markers = np.where(mask, 0, 1).astype(np.int32)
    for k, core in enumerate(cores):
        markers[core] = k + 2
    cv2.watershed(cv2.merge([relief, relief, relief]), markers)
    # The lines between basins (-1), and what the outside flooded, go to the nearest basin.
    basins = markers.copy()
    unassigned = (mask & (basins < 2)).astype(np.uint8)
    if unassigned.any():
        assigned = (basins >= 2).astype(np.uint8)
        _, nearest = cv2.distanceTransformWithLabels(1 - assigned, cv2.DIST_L2, 3, labelType=cv2.DIST_LABEL_PIXEL)
        lookup = np.zeros(int(nearest.max()) + 1, np.int32)
        lookup[nearest[assigned > 0]] = basins[assigned > 0]
        basins = np.where(unassigned > 0, lookup[nearest], basins)
    return np.asarray(np.where(mask & (basins >= 2), basins - 1, 0), dtype=np.int32)


def _pieces(mask: NDArray[np.bool_]) -> int:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if rows.size == 0:
        return 0
    inner = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return int(cv2.connectedComponents(inner.astype(np.uint8), connectivity=4)[0]) - 1
