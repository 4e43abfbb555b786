"""Cuts from notch to notch along the palest path.

Touching chromosomes leave a pair of notches in the common outline; the cut between them follows the cheapest
path in optical density, which keeps to the pale slit where there is one.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from analysis.segmentation.contours.outline import Outline
from analysis.segmentation.contours.settings import CUTS, CutSettings
from analysis.segmentation.contours.shape import Shape
from analysis.segmentation.contours.split import Split, split_along

_TINY: Final = 1e-6
"""Keeps ratios and directions finite."""


def propose_cuts(
    mask: NDArray[np.bool_],
    density: NDArray[np.float32],
    shape: Shape,
    width_px: float,
    min_area_px: float,
    settings: CutSettings = CUTS,
) -> Iterator[Split]:
    """Propose cuts of a piece, the likeliest first.

    Parameters
    ----------
    mask, density
        bool and float32, shape (h, w): the piece and the optical density in its frame.
    shape
        Its measures.
    width_px
        Typical chromosome width.
    min_area_px
        Parts smaller than this aren't proposed.
    settings
        Bounds of what is proposed.
    """
    proposed: set[tuple[int, int]] = set()
    for _, start, end in _ranked_pairs(shape.outlines, width_px, settings)[: settings.max_cuts]:
        line = _cheapest_path(mask.shape, density, start, end, width_px, settings=settings)
        split = split_along(mask, line, min_area_px)
        if split is None:
            continue
        step_px = settings.same_cut_px
        key = (int(np.count_nonzero(split.first)) // step_px, int(np.count_nonzero(split.second)) // step_px)
        if key not in proposed:
            proposed.add(key)
            yield split


def propose_ring_cuts(
    mask: NDArray[np.bool_],
    density: NDArray[np.float32],
    shape: Shape,
    width_px: float,
    min_area_px: float,
    settings: CutSettings = CUTS,
) -> Iterator[Split]:
    """Propose cuts of a piece that encloses slide, through two of the bridges round a hole at once.

    One cut would only open the ring.

    Parameters
    ----------
    mask, density
        bool and float32, shape (h, w): the piece and the optical density in its frame.
    shape, width_px, min_area_px, settings
        As of `propose_cuts`.
    """
    for hole in shape.outlines[1:]:
        bridges = _bridges(shape.outlines[0], hole, density, width_px, settings)
        lines = [
            _cheapest_path(mask.shape, density, start, end, width_px, settings=settings) for start, end in bridges
        ]
        for first, second in combinations(lines, 2):
            split = split_along(mask, first | second, min_area_px)
            if split is not None:
                yield split


def _bridges(
    outer: Outline, hole: Outline, density: NDArray[np.float32], width_px: float, settings: CutSettings
) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Find the narrow or pale passes between a hole and the outer border, apart from one another."""
    between = np.hypot(
        hole.points[:, None, 0] - outer.points[None, :, 0], hole.points[:, None, 1] - outer.points[None, :, 1]
    )
    nearest = between.argmin(axis=1)
    length = between[np.arange(len(nearest)), nearest]
    inner, across = hole.points, outer.points[nearest]
    steps = np.linspace(*settings.bridge_samples, dtype=np.float32)[:, None, None]
    at = inner[None] + steps * (across - inner)[None]
    stain = cv2.remap(density, at[..., 0].astype(np.float32), at[..., 1].astype(np.float32), cv2.INTER_LINEAR)
    cost = length / width_px + stain.mean(axis=0) / max(float(np.median(density[density > 0])), _TINY)
    chosen: list[int] = []
    for index in np.argsort(cost):
        if length[index] > settings.max_length_widths * width_px or len(chosen) == settings.max_bridges:
            break
        if all(
            np.hypot(*(inner[index] - inner[other])) > settings.bridge_distance_widths * width_px
            for other in chosen
        ):
            chosen.append(int(index))
    return [(inner[k], across[k]) for k in chosen]


def _ranked_pairs(
    borders: tuple[Outline, ...], width_px: float, settings: CutSettings
) -> list[tuple[float, NDArray[np.float32], NDArray[np.float32]]]:
    """Pairs of points to cut between, by length less a credit for the depth of the notches."""
    outer = borders[0]
    pairs = []
    limit, deep = settings.max_length_widths * width_px, settings.deep_notch_deg
    for k, i in enumerate(outer.notches):
        for m in range(k + 1, len(outer.notches)):
            j = outer.notches[m]
            length = float(np.hypot(*(outer.points[i] - outer.points[j])))
            if length <= limit:
                depth = min(outer.notch_depths[k], deep) + min(outer.notch_depths[m], deep)
                pairs.append((length / width_px - depth / deep, outer.points[i], outer.points[j]))
        opposite = _opposite(outer, i, width_px, settings)
        if opposite is not None:
            length = float(np.hypot(*(outer.points[i] - outer.points[opposite])))
            cost = length / width_px - min(outer.notch_depths[k], deep) / deep + settings.one_sided_cost
            pairs.append((cost, outer.points[i], outer.points[opposite]))
    pairs.sort(key=lambda pair: pair[0])
    return pairs


def _opposite(outer: Outline, index: int, width_px: float, settings: CutSettings) -> int | None:
    """Find the border point across from a notch: near through the piece, far along the border."""
    count = len(outer.points)
    apart = np.hypot(*(outer.points - outer.points[index]).T)
    steps = np.abs(np.arange(count) - index)
    round_about = np.minimum(steps, count - steps) * outer.perimeter_px / count
    least_px = settings.min_opposite_widths * width_px
    allowed = round_about >= settings.opposite_span * np.maximum(apart, least_px)
    if not allowed.any():
        return None
    apart = np.where(allowed, apart, np.inf)
    nearest = int(np.argmin(apart))
    return nearest if apart[nearest] <= settings.max_opposite_widths * width_px else None


def _cheapest_path(
    size: tuple[int, ...],
    density: NDArray[np.float32],
    start: NDArray[np.float32],
    end: NDArray[np.float32],
    width_px: float,
    *,
    settings: CutSettings,
) -> NDArray[np.bool_]:
    """Draw the palest path from start to end within a band round the straight line (dynamic programming)."""
    length = float(np.hypot(*(end - start)))
    count = max(2, round(length) + 1)
    half = max(1, round(min(settings.band_widths * width_px, 0.5 * length)))
    direction = (end - start) / max(length, _TINY)
    normal = np.array([-direction[1], direction[0]], np.float32)
    along = np.linspace(0.0, length, count, dtype=np.float32)
    across = np.arange(-half, half + 1, dtype=np.float32)
    xs = start[0] + along[:, None] * direction[0] + across * normal[0]
    ys = start[1] + along[:, None] * direction[1] + across * normal[1]
    cost = cv2.remap(density, xs.astype(np.float32), ys.astype(np.float32), cv2.INTER_LINEAR)
    # Leaving the line costs a little, so that in an even density the cut is straight.
    cost = cost + settings.straightness * float(cost.max()) * np.abs(across) / half + settings.step_cost
    width = 2 * half + 1
    best = np.full((count, width + 2), np.inf, np.float32)
    best[0, half + 1] = cost[0, half]
    for row in range(1, count):
        before, now = best[row - 1], best[row, 1:-1]
        np.minimum(before[:-2], before[1:-1], out=now)
        np.minimum(now, before[2:], out=now)
        now += cost[row]
    track = [half]
    for row in range(count - 1, 0, -1):
        at = track[-1]
        track.append(min(max(at - 1 + int(best[row - 1, at : at + 3].argmin()), 0), 2 * half))
    columns = np.asarray(track[::-1])
    rows = np.arange(count)
    path = np.stack([xs[rows, columns], ys[rows, columns]], axis=1)
    # Carried on beyond both ends, as the outline was smoothed and its points lie a little inside the true border.
    reach = settings.beyond_widths * width_px + settings.beyond_px
    path = np.vstack([start - direction * reach, path, end + direction * reach])
    canvas = np.zeros(size, np.uint8)
    cv2.polylines(canvas, [np.rint(path).astype(np.int32)[:, None, :]], isClosed=False, color=1, thickness=1)
    return canvas > 0
