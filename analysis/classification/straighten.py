"""Straighten a bent chromosome: medial axis, then samples along its normals.

The axis is the cheapest path between the two geodesically most distant pixels of the mask, where pixels near
the edge are dear; unlike a skeleton it has no spurs and is never empty, so that blobs and crosses need no special
care. Nearly convex masks (straight chromosomes) take their principal axis instead, which the corners of the mask
can't tilt.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import dijkstra

WORK_AREA_PX = 900.0
"""Masks are reduced to about this area before the axis is searched: the magnification then costs no time."""
CONVEX_SOLIDITY = 0.88
"""Area over the area of the convex hull from which on a chromosome counts as straight."""
BLOB_ELONGATION = 2.5
"""Axes shorter than this many widths are too uncertain to bend."""
AXIS_POINTS = 64
EDGE_MARGIN_PX = 2


@dataclass(frozen=True, slots=True)
class MedialAxis:
    """The line a chromosome is straightened along.

    Attributes
    ----------
    points_px
        float32, shape (n, 2): x, y at equal arc distances from one end of the mask to the other. The first is the
        upper end in the image (the left one of two at the same height).
    length_px
        Arc length.
    width_px
        Mean width: mask area over length.
    """

    points_px: NDArray[np.float32]
    length_px: float
    width_px: float


def medial_axis(mask: NDArray[np.bool_]) -> MedialAxis:
    """Find the axis of one chromosome.

    Parameters
    ----------
    mask
        bool, shape (h, w). The largest connected part decides the axis.

    Returns
    -------
    MedialAxis
        In px of ``mask``; which end is the short arm isn't known here.

    Raises
    ------
    ValueError
        Where the mask is empty.
    """
    area = float(np.count_nonzero(mask))
    if area == 0:
        raise ValueError("an empty mask has no axis")
    scale = min(1.0, float(np.sqrt(WORK_AREA_PX / area)))
    small = _largest_part(_resized(mask, scale))
    padded = np.pad(small, 1).astype(np.uint8)
    distance = np.asarray(cv2.distanceTransform(padded, cv2.DIST_L2, 5), dtype=np.float32)[1:-1, 1:-1]
    half_width = max(float(np.percentile(distance[small], 95)), 1.0)
    points = _initial_axis(small, distance, half_width)
    for _ in range(2):
        points = _recentred(points, small, half_width)
    points = _extended(points, small, half_width)
    if tuple(points[0, ::-1]) > tuple(points[-1, ::-1]):
        points = points[::-1]
    # Pixel centres lie at whole numbers, so that a change of scale moves them by half a pixel.
    full = ((points + 0.5) / scale - 0.5).astype(np.float32)
    length = max(_arc_length(full), 1.0)
    return MedialAxis(full, length, area / length)


def sample_straight(
    values: NDArray[np.float32],
    mask: NDArray[np.bool_],
    axis: MedialAxis,
    *,
    rows: int,
    columns: int,
    half_width_px: float,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Sample an image along the axis' normals, with and without the mask.

    Parameters
    ----------
    values
        float32, shape (h, w), such as an optical density.
    mask
        bool, shape (h, w); outside it the first result is 0.
    axis
        From `medial_axis` of the same mask.
    rows, columns
        Shape of the result; the axis' length is stretched to ``rows``.
    half_width_px
        Distance on both sides of the axis that is covered by ``columns``.

    Returns
    -------
    masked, unmasked
        float32, each of shape (rows, columns).
    """
    points = _resampled(axis.points_px.astype(np.float64), 2 * rows + 1)[1::2]
    tangent = _tangents(points)
    normal = np.stack([-tangent[:, 1], tangent[:, 0]], axis=1)
    offset = (np.arange(columns) + 0.5) / columns * 2.0 - 1.0
    grid = points[:, None, :] + normal[:, None, :] * (offset * half_width_px)[None, :, None]
    both = np.empty((*values.shape, 2), dtype=np.float32)
    both[..., 0] = np.where(mask, values, 0.0)
    both[..., 1] = values
    # Sampling a fine image coarsely would alias the bands.
    step = max(axis.length_px / rows, 2.0 * half_width_px / columns)
    if step > 1.5:
        both = np.asarray(cv2.GaussianBlur(both, (0, 0), 0.4 * step), dtype=np.float32)
    straight = np.asarray(
        cv2.remap(
            both,
            grid[..., 0].astype(np.float32),
            grid[..., 1].astype(np.float32),
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=0.0,
        ),
        dtype=np.float32,
    )
    return np.ascontiguousarray(straight[..., 0]), np.ascontiguousarray(straight[..., 1])


def _resized(mask: NDArray[np.bool_], scale: float) -> NDArray[np.bool_]:
    if scale >= 1.0:
        return mask
    size = (max(1, round(mask.shape[1] * scale)), max(1, round(mask.shape[0] * scale)))
    small = cv2.resize(mask.astype(np.uint8) * 255, size, interpolation=cv2.INTER_AREA) >= 128
    return small if small.any() else cv2.resize(mask.astype(np.uint8), size, interpolation=cv2.INTER_AREA) >= 0


def _largest_part(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    if count <= 2:
        return mask
    return np.asarray(labels == 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA])))


def _initial_axis(
    mask: NDArray[np.bool_], distance: NDArray[np.float32], half_width: float
) -> NDArray[np.float64]:
    rows, columns = np.nonzero(mask)
    pixels = np.stack([columns, rows], axis=1).astype(np.float64)
    if len(pixels) < 12 or _solidity(pixels) >= CONVEX_SOLIDITY:
        return _principal_axis(pixels)
    path = _longest_path(mask, distance, pixels)
    if _arc_length(path) < BLOB_ELONGATION * 2.0 * half_width:
        return _principal_axis(pixels)
    return _smoothed(_trimmed(path, half_width), half_width)


def _solidity(pixels: NDArray[np.float64]) -> float:
    hull = cv2.convexHull(pixels.astype(np.float32))
    # The hull runs through pixel centres; half of its perimeter more runs along their outer edges.
    outer = cv2.contourArea(hull) + 0.5 * cv2.arcLength(hull, True) + 1.0
    return float(len(pixels) / outer)


def _principal_axis(pixels: NDArray[np.float64]) -> NDArray[np.float64]:
    centre = pixels.mean(axis=0)
    offset = pixels - centre
    _, vectors = np.linalg.eigh(offset.T @ offset / len(pixels) + np.diag([0.0, 1e-6]))
    direction = vectors[:, 1]
    along = offset @ direction
    low, high = float(along.min()), float(along.max())
    inset = 0.15 * (high - low)
    steps = np.linspace(low + inset, high - inset, AXIS_POINTS)
    return np.asarray(centre + steps[:, None] * direction)


def _longest_path(
    mask: NDArray[np.bool_], distance: NDArray[np.float32], pixels: NDArray[np.float64]
) -> NDArray[np.float64]:
    index = np.full(tuple(np.array(mask.shape) + 2), -1, dtype=np.int32)
    inner = index[1:-1, 1:-1]
    inner[mask] = np.arange(len(pixels), dtype=np.int32)
    starts, ends, steps = [], [], []
    for dy, dx in ((0, 1), (1, 0), (1, 1), (1, -1)):
        other = index[1 + dy : index.shape[0] - 1 + dy, 1 + dx : index.shape[1] - 1 + dx]
        both = mask & (other >= 0)
        starts.append(inner[both])
        ends.append(other[both])
        steps.append(np.full(len(starts[-1]), np.hypot(dy, dx)))
    a, b, step = np.concatenate(starts), np.concatenate(ends), np.concatenate(steps)
    size = (len(pixels), len(pixels))
    geodesic = csr_matrix((step, (a, b)), shape=size)
    first = _farthest(geodesic, 0)
    last = _farthest(geodesic, first)
    depth = distance[mask].astype(np.float64)
    dear = csr_matrix((step / np.minimum(depth[a], depth[b]) ** 2, (a, b)), shape=size)
    _, before = dijkstra(dear, directed=False, indices=np.array(first), return_predecessors=True)
    walk = [last]
    while walk[-1] != first and before[walk[-1]] >= 0:
        walk.append(int(before[walk[-1]]))
    return pixels[walk]


def _farthest(graph: csr_matrix, start: int) -> int:
    away = dijkstra(graph, directed=False, indices=np.array(start))
    return int(np.argmax(np.where(np.isfinite(away), away, -1.0)))


def _trimmed(path: NDArray[np.float64], half_width: float) -> NDArray[np.float64]:
    # The last half width of the path runs from the middle into a corner of the mask.
    along = _arc(path)
    keep = (along >= half_width) & (along <= along[-1] - half_width)
    return path[keep] if np.count_nonzero(keep) >= 4 else path


def _smoothed(points: NDArray[np.float64], half_width: float) -> NDArray[np.float64]:
    points = _resampled(points, AXIS_POINTS)
    spacing = max(_arc_length(points) / (AXIS_POINTS - 1), 1e-6)
    return _smooth(points, min(half_width / spacing, 0.5 * AXIS_POINTS))


def _smooth(points: NDArray[np.float64], sigma: float) -> NDArray[np.float64]:
    # Reflecting through the end points keeps them, and the direction there, in place.
    pad = min(len(points) - 1, int(np.ceil(3 * sigma)))
    head = 2 * points[0] - points[pad:0:-1]
    tail = 2 * points[-1] - points[-2 : -pad - 2 : -1]
    padded = np.concatenate([head, points, tail])
    return np.asarray(gaussian_filter1d(padded, sigma, axis=0, mode="nearest")[pad : pad + len(points)])


def _recentred(points: NDArray[np.float64], mask: NDArray[np.bool_], half_width: float) -> NDArray[np.float64]:
    tangent = _tangents(points)
    normal = np.stack([-tangent[:, 1], tangent[:, 0]], axis=1)
    offset = np.linspace(-1.6 * half_width, 1.6 * half_width, 17)
    grid = (points[:, None, :] + normal[:, None, :] * offset[None, :, None]).astype(np.float32)
    inside = cv2.remap(mask.astype(np.float32), grid[..., 0], grid[..., 1], cv2.INTER_LINEAR)
    weight = inside.sum(axis=1)
    shift = np.where(weight > 0.5, (inside * offset).sum(axis=1) / np.maximum(weight, 1e-6), 0.0)
    shift = np.clip(shift, -0.8 * half_width, 0.8 * half_width)
    return _smoothed(points + normal * shift[:, None], half_width)


def _extended(points: NDArray[np.float64], mask: NDArray[np.bool_], half_width: float) -> NDArray[np.float64]:
    spacing = max(_arc_length(points) / (len(points) - 1), 1e-6)
    lever = int(np.clip(round(1.5 * half_width / spacing), 1, len(points) - 1))
    head = _run_out(points[0], points[0] - points[lever], mask, half_width)
    tail = _run_out(points[-1], points[-1] - points[-1 - lever], mask, half_width)
    return _resampled(np.concatenate([head[::-1], points, tail]), AXIS_POINTS)


def _run_out(
    start: NDArray[np.float64], direction: NDArray[np.float64], mask: NDArray[np.bool_], half_width: float
) -> NDArray[np.float64]:
    size = float(np.hypot(*direction))
    if size < 1e-9:
        return np.empty((0, 2))
    unit = direction / size
    normal = np.array([-unit[1], unit[0]])
    reach = np.arange(0.5, max(mask.shape) + 1.0, 0.5)
    side = np.linspace(-0.8 * half_width, 0.8 * half_width, 9)
    grid = start + reach[:, None, None] * unit + side[None, :, None] * normal
    grid = grid.astype(np.float32)
    inside = cv2.remap(mask.astype(np.float32), grid[..., 0], grid[..., 1], cv2.INTER_LINEAR)
    # The tips of two chromatids may be apart: the end is where nothing is met across the whole width.
    empty = np.nonzero(inside.max(axis=1) < 0.5)[0]
    last = int(empty[0]) if len(empty) else len(reach)
    return np.asarray(start + reach[:last, None] * unit)


def _arc(points: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(points, axis=0).T))])


def _arc_length(points: NDArray[np.floating]) -> float:
    return float(np.hypot(*np.diff(points, axis=0).T).sum()) if len(points) > 1 else 0.0


def _resampled(points: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    if len(points) < 2:
        return np.repeat(points, count, axis=0) if len(points) else np.zeros((count, 2))
    along = _arc(points)
    wanted = np.linspace(0.0, along[-1], count)
    return np.stack([np.interp(wanted, along, points[:, k]) for k in range(2)], axis=1)


def _tangents(points: NDArray[np.float64]) -> NDArray[np.float64]:
    step = np.gradient(points, axis=0)
    size = np.hypot(step[:, 0], step[:, 1])
    step[size < 1e-9] = (0.0, 1.0)
    return np.asarray(step / np.maximum(np.hypot(step[:, 0], step[:, 1]), 1e-9)[:, None])
