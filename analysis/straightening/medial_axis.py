"""Straighten a bent chromosome: medial axis, then samples along its normals.

The axis is the cheapest path between the two geodesically most distant pixels of the mask, where pixels near
the edge are dear; unlike a skeleton it has no spurs and is never empty, so that blobs and crosses need no special
care. Nearly convex masks (straight chromosomes) take their principal axis instead, which the corners of the mask
can't tilt.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import cv2
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import breadth_first_order, dijkstra

from analysis.straightening.settings import MedialAxisSettings
from analysis.structures.medial_axis import MedialAxis

_SETTINGS: Final = MedialAxisSettings()
AXIS_POINTS: Final = 64
"""Points of an axis; crops interpolate between them."""
AT_ONCE: Final = 64
"""Chromosomes whose axes are found together: a cell's."""
MAX_SIDE_PX: Final = 32_000
"""OpenCV samples pictures of fewer than 32,767 rows and columns."""
_LEAST_SIGMA: Final = 1e-3
"""Standard deviation, in points, of a bell that smooths nothing."""
_TINY: Final = 1e-6
_TINIEST: Final = 1e-9
"""Lengths that keep a ratio finite; no two points of an axis lie that near."""
_STEP: Final = np.hypot([1, 1, 1, 0, 0, 1, 1, 1], [1, 0, 1, 1, 1, 1, 0, 1])
"""Lengths of the steps to the eight neighbours of a pixel, row by row."""


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
    return medial_axes([mask])[0]


def medial_axes(masks: Sequence[NDArray[np.bool_]]) -> list[MedialAxis]:
    """Find the axes of several chromosomes at once, which takes a fraction of the time.

    Parameters
    ----------
    masks
        As `medial_axis` takes them, each of any shape.

    Raises
    ------
    ValueError
        Where a mask is empty.
    """
    return [axis for group in _groups(masks) for axis in _axes_together(group)]


def _groups(masks: Sequence[NDArray[np.bool_]]) -> Iterator[Sequence[NDArray[np.bool_]]]:
    """Split masks, in their order, into groups that lie side by side in one picture."""
    start, width = 0, 0
    for number, mask in enumerate(masks):
        wide = mask.shape[1] + 2
        if number > start and (number - start == AT_ONCE or width + wide > MAX_SIDE_PX):
            yield masks[start:number]
            start, width = number, 0
        width += wide
    if len(masks) > start:
        yield masks[start:]


def _axes_together(masks: Sequence[NDArray[np.bool_]]) -> list[MedialAxis]:
    areas = [float(np.count_nonzero(mask)) for mask in masks]
    if min(areas, default=1.0) == 0:
        raise ValueError("an empty mask has no axis")
    scales = [min(1.0, float(np.sqrt(_SETTINGS.work_area_px / area))) for area in areas]
    smalls = [_largest_part(_resized(mask, scale)) for mask, scale in zip(masks, scales, strict=True)]
    tiles = _Tiles(smalls)
    begun = [_initial_axis(small) for small in smalls]
    half_widths = np.array([half_width for _, half_width, _ in begun])
    points = np.stack([axis for axis, _, _ in begun])
    rough = np.array([bent for _, _, bent in begun])
    if rough.any():
        points[rough] = _smoothed(points[rough], half_widths[rough])
    for _ in range(_SETTINGS.recentring_rounds):
        points = _recentred(points, tiles, half_widths)
    points = _extended(points, tiles, half_widths)
    made = []
    for one, scale, area in zip(points, scales, areas, strict=True):
        ordered = one[::-1] if tuple(one[0, ::-1]) > tuple(one[-1, ::-1]) else one
        # Pixel centres lie at whole numbers, so that a change of scale moves them by half a pixel.
        full = ((ordered + 0.5) / scale - 0.5).astype(np.float32)
        length = max(_arc_length(full), 1.0)
        made.append(MedialAxis(full, length, area / length))
    return made


def sample_straight(
    values: NDArray[np.float32],
    mask: NDArray[np.bool_],
    axis: MedialAxis,
    *,
    row_count: int,
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
    row_count, columns
        Shape of the result; the axis' length is stretched to ``row_count``.
    half_width_px
        Distance on both sides of the axis that is covered by ``columns``.

    Returns
    -------
    masked, unmasked
        float32, each of shape (rows, columns).
    """
    points = _resampled(axis.points_px[None].astype(np.float64), (np.arange(row_count) + 0.5) / row_count)[0]
    tangent = _tangents(points)
    normal = np.stack([-tangent[:, 1], tangent[:, 0]], axis=1)
    offset = (np.arange(columns) + 0.5) / columns * 2.0 - 1.0
    grid = points[:, None, :] + normal[:, None, :] * (offset * half_width_px)[None, :, None]
    both = np.empty((*values.shape, 2), dtype=np.float32)
    both[..., 0] = np.where(mask, values, 0.0)
    both[..., 1] = values
    # Sampling a fine image coarsely would alias the bands.
    step = max(axis.length_px / row_count, 2.0 * half_width_px / columns)
    if step > _SETTINGS.blur_from:
        both = np.asarray(cv2.GaussianBlur(both, (0, 0), _SETTINGS.blur * step), dtype=np.float32)
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


class _Tiles:
    """Masks side by side in one picture, each with a rim of nothing, so that all are sampled in one go."""

    def __init__(self, masks: Sequence[NDArray[np.bool_]]) -> None:
        self.sizes = np.array([mask.shape for mask in masks], dtype=np.float64)
        widths = [mask.shape[1] + 2 for mask in masks]
        self.left = np.cumsum([0, *widths])[:-1] + 1.0
        self._picture = np.zeros((int(self.sizes[:, 0].max()) + 2, sum(widths)), np.float32)
        for mask, left in zip(masks, self.left.astype(int), strict=True):
            self._picture[1 : 1 + mask.shape[0], left : left + mask.shape[1]] = mask

    def sample(self, grid: NDArray[np.float64]) -> NDArray[np.float32]:
        """Sample mask i at ``grid[i]``, shape (n, rows, columns, 2) of x and y: shape (n, rows, columns)."""
        count, rows, columns = grid.shape[:3]
        # What lies outside comes to lie on the rim.
        x = np.clip(grid[..., 0], -1.0, self.sizes[:, 1, None, None]) + self.left[:, None, None]
        y = np.clip(grid[..., 1], -1.0, self.sizes[:, 0, None, None]) + 1.0
        at_once = max(1, MAX_SIDE_PX // rows)
        parts = [
            cv2.remap(
                self._picture,
                x[start : start + at_once].astype(np.float32).reshape(-1, columns),
                y[start : start + at_once].astype(np.float32).reshape(-1, columns),
                cv2.INTER_LINEAR,
            )
            for start in range(0, count, at_once)
        ]
        return np.concatenate(parts).astype(np.float32, copy=False).reshape(count, rows, columns)


def _initial_axis(mask: NDArray[np.bool_]) -> tuple[NDArray[np.float64], float, bool]:
    """First axis, half the width, and whether the axis is a bent one that has to be smoothed."""
    padded = cv2.copyMakeBorder(mask.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    distance = np.asarray(cv2.distanceTransform(padded, cv2.DIST_L2, 5), dtype=np.float32)[1:-1, 1:-1]
    depth = distance[mask]
    at = int(_SETTINGS.depth_percentile * (len(depth) - 1))
    half_width = max(float(np.partition(depth, at)[at]), 1.0)
    rows, columns = np.nonzero(mask)
    pixels = np.stack([columns, rows], axis=1).astype(np.float64)
    if len(pixels) < _SETTINGS.least_pixels or _solidity(mask) >= _SETTINGS.convex_solidity:
        return _principal_axis(pixels), half_width, False
    path = _longest_path(mask, depth, pixels)
    if _arc_length(path) < _SETTINGS.blob_elongation * 2.0 * half_width:
        return _principal_axis(pixels), half_width, False
    trimmed = _trimmed(path, half_width)
    return _resampled(trimmed[None], np.linspace(0.0, 1.0, AXIS_POINTS))[0], half_width, True


def _solidity(mask: NDArray[np.bool_]) -> float:
    outlines, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    hull = cv2.convexHull(np.concatenate(outlines).astype(np.float32))
    # The hull runs through pixel centres; half of its perimeter more runs along their outer edges.
    outer = cv2.contourArea(hull) + 0.5 * cv2.arcLength(hull, True) + 1.0
    return float(np.count_nonzero(mask) / outer)


def _principal_axis(pixels: NDArray[np.float64]) -> NDArray[np.float64]:
    centre = pixels.mean(axis=0)
    offset = pixels - centre
    (xx, xy), (_, yy) = offset.T @ offset / len(pixels)
    # A disc has no direction of its own: it is taken to stand upright.
    angle = 0.5 * np.arctan2(2.0 * xy, xx - yy - _TINY)
    direction = np.array([np.cos(angle), np.sin(angle)])
    along = offset @ direction
    low, high = float(along.min()), float(along.max())
    inset = _SETTINGS.tip_inset * (high - low)
    steps = np.linspace(low + inset, high - inset, AXIS_POINTS)
    return np.asarray(centre + steps[:, None] * direction)


def _longest_path(
    mask: NDArray[np.bool_], depth: NDArray[np.float32], pixels: NDArray[np.float64]
) -> NDArray[np.float64]:
    graph = _pixel_graph(mask, depth)
    # The last pixel that a search in breadth meets is the farthest one in steps.
    first = int(breadth_first_order(graph, 0, return_predecessors=False)[-1])
    last = int(breadth_first_order(graph, first, return_predecessors=False)[-1])
    _, before = dijkstra(graph, indices=np.array(first), return_predecessors=True)
    rows = [last]
    while rows[-1] != first and before[rows[-1]] >= 0:
        rows.append(int(before[rows[-1]]))
    return pixels[rows]


def _pixel_graph(mask: NDArray[np.bool_], depth: NDArray[np.float32]) -> csr_matrix:
    """Steps between neighbouring pixels of a mask, numbered row by row, with their costs."""
    row = mask.shape[1] + 2
    padded = np.zeros((mask.shape[0] + 2, row), dtype=np.bool_)
    padded[1:-1, 1:-1] = mask
    at = np.flatnonzero(padded)
    number = np.full(padded.size, -1, dtype=np.int32)
    number[at] = np.arange(len(at), dtype=np.int32)
    # In rising order, so that the table needs no sorting.
    around = np.array([-row - 1, -row, -row + 1, -1, 1, row - 1, row, row + 1], dtype=at.dtype)
    other = number[(at[:, None] + around).ravel()]
    real = np.flatnonzero(other >= 0)
    ends = other[real]
    square = depth.astype(np.float64) ** 2
    cost = _STEP[real & 7] / np.minimum(square[real >> 3], square[ends])
    first = np.searchsorted(real, 8 * np.arange(len(at) + 1)).astype(np.int32)
    return csr_matrix((cost, ends, first), shape=(len(at), len(at)))


def _trimmed(path: NDArray[np.float64], half_width: float) -> NDArray[np.float64]:
    # The last half width of the path runs from the middle into a corner of the mask.
    along = _arc(path)
    keep = (along >= half_width) & (along <= along[-1] - half_width)
    return path[keep] if np.count_nonzero(keep) >= _SETTINGS.least_path_points else path


def _smoothed(points: NDArray[np.float64], half_widths: NDArray[np.float64]) -> NDArray[np.float64]:
    """Resample lines, shape (n, AXIS_POINTS, 2), evenly and smooth each over half a width."""
    points = _resampled(points, np.linspace(0.0, 1.0, AXIS_POINTS))
    spacing = np.maximum(_arc(points)[:, -1] / (AXIS_POINTS - 1), _TINY)
    sigma = np.maximum(np.minimum(half_widths / spacing, 0.5 * AXIS_POINTS), _LEAST_SIGMA)
    # Reflecting through the end points keeps them, and the direction there, in place.
    head = 2 * points[:, :1] - points[:, :0:-1]
    tail = 2 * points[:, -1:] - points[:, -2::-1]
    beyond = np.concatenate([head, points, tail], axis=1)
    # The ones add the weights up.
    beyond = np.concatenate([beyond, np.ones((*beyond.shape[:2], 1))], axis=2)
    reach = 2 * (AXIS_POINTS - 1)
    away = np.arange(-reach, reach + 1, dtype=np.float32)
    bell = np.exp(-0.5 * (away / sigma[:, None].astype(np.float32)) ** 2)
    # Every point has the same bell, moved: row i begins where the bell's middle lies AXIS_POINTS - 1 + i further.
    weight = sliding_window_view(bell, beyond.shape[1], axis=1)[:, ::-1].astype(np.float64)
    moved = weight @ beyond
    return np.asarray(moved[..., :2] / moved[..., 2:])


def _recentred(
    points: NDArray[np.float64], tiles: _Tiles, half_widths: NDArray[np.float64]
) -> NDArray[np.float64]:
    tangent = _tangents(points)
    normal = np.stack([-tangent[..., 1], tangent[..., 0]], axis=-1)
    offset = (
        np.linspace(-_SETTINGS.recentring_reach, _SETTINGS.recentring_reach, _SETTINGS.recentring_samples)
        * half_widths[:, None]
    )
    grid = points[:, :, None, :] + normal[:, :, None, :] * offset[:, None, :, None]
    inside = tiles.sample(grid)
    weight = inside.sum(axis=2)
    moment = np.einsum("npk,nk->np", inside, offset)
    shift = np.where(weight > 0.5, moment / np.maximum(weight, _TINY), 0.0)
    reach = _SETTINGS.most_shift * half_widths[:, None]
    shift = np.clip(shift, -reach, reach)
    return _smoothed(points + normal * shift[..., None], half_widths)


def _extended(points: NDArray[np.float64], tiles: _Tiles, half_widths: NDArray[np.float64]) -> NDArray[np.float64]:
    """Lines continued straight on at both ends as far as their mask reaches."""
    count = len(points)
    spacing = np.maximum(_arc(points)[:, -1] / (AXIS_POINTS - 1), _TINY)
    lever = np.clip(np.round(_SETTINGS.extension_lever * half_widths / spacing), 1, AXIS_POINTS - 1).astype(
        np.intp
    )
    which = np.arange(count)
    ends = points[:, 0], points[:, -1]
    inner = points[which, lever], points[which, AXIS_POINTS - 1 - lever]
    head, tail = (_run_out(end, end - back, tiles, half_widths) for end, back in zip(ends, inner, strict=True))
    longer = np.concatenate([head[:, None], points, tail[:, None]], axis=1)
    return _resampled(longer, np.linspace(0.0, 1.0, AXIS_POINTS))


def _run_out(
    start: NDArray[np.float64],
    direction: NDArray[np.float64],
    tiles: _Tiles,
    half_widths: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Last points, shape (n, 2), on the way from ``start`` at which something of the mask is still met."""
    size = np.hypot(direction[:, 0], direction[:, 1])
    unit = direction / np.maximum(size, _TINIEST)[:, None]
    normal = np.stack([-unit[:, 1], unit[:, 0]], axis=1)
    step_px = _SETTINGS.extension_step_px
    reach = np.arange(step_px, float(tiles.sizes.max()) + 1.0, step_px)
    side = (
        np.linspace(-_SETTINGS.extension_width, _SETTINGS.extension_width, _SETTINGS.extension_samples)
        * half_widths[:, None]
    )
    ahead = start[:, None] + reach[None, :, None] * unit[:, None]
    grid = ahead[:, :, None] + side[:, None, :, None] * normal[:, None, None]
    # The tips of two chromatids may be apart: the end is where nothing is met across the whole width.
    met = tiles.sample(grid).max(axis=2) >= 0.5
    steps = np.cumprod(met, axis=1).sum(axis=1) * (size >= _TINIEST)
    return np.asarray(start + (step_px * steps)[:, None] * unit)


def _arc(points: NDArray[np.floating]) -> NDArray[np.float64]:
    """Arc length from the first point on: shape (..., n) of points of shape (..., n, 2)."""
    step = points[..., 1:, :] - points[..., :-1, :]
    away = np.zeros(points.shape[:-1])
    np.cumsum(np.hypot(step[..., 0], step[..., 1]), axis=-1, out=away[..., 1:])
    return away


def _arc_length(points: NDArray[np.floating]) -> float:
    return float(_arc(points)[-1]) if len(points) > 1 else 0.0


def _resampled(points: NDArray[np.float64], fractions: NDArray[np.float64]) -> NDArray[np.float64]:
    """Points at these fractions of the arc length of lines, shape (n, m, 2): shape (n, len(fractions), 2)."""
    count, length = points.shape[:2]
    if length < 2:
        return np.repeat(points, len(fractions), axis=1)
    along = _arc(points)
    # One long table for all lines: every line is brought to length 1 and has its own place in it.
    place = 2.0 * np.arange(count)[:, None]
    lengths = (along / np.maximum(along[:, -1:], _TINIEST) + place).ravel()
    wanted = (fractions[None] + place).ravel()
    sides = [np.interp(wanted, lengths, points[..., k].ravel()) for k in range(2)]
    return np.stack(sides, axis=1).reshape(count, len(fractions), 2)


def _tangents(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Unit vectors along lines of shape (..., n, 2)."""
    step = np.empty_like(points)
    step[..., 1:-1, :] = points[..., 2:, :] - points[..., :-2, :]
    step[..., 0, :] = points[..., 1, :] - points[..., 0, :]
    step[..., -1, :] = points[..., -1, :] - points[..., -2, :]
    size = np.hypot(step[..., 0], step[..., 1])
    still = size < _TINIEST
    step[still] = (0.0, 1.0)
    size[still] = 1.0
    return step / size[..., None]
