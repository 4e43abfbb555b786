"""Where the coverslip lies: a rectangle through the edges that a coarse pass saw, or a refusal."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from acquisition.errors import CoverslipError
from acquisition.plan.edge_points import CoarseTile, Direction, EdgePoint, Strip, search_tiles
from acquisition.plan.quantities import ROUNDING
from acquisition.plan.tiling import PlannedField
from acquisition.protocol import CoverslipSize, DetectedArea, PolygonArea
from scanner.coordinates import SlidePoint

MAX_TURN_DEG = 4.0
SIZE_TOLERANCE_UM = 500.0
"""Coverslips are cut to +- 0.2 mm; the rest is the turn's share and the width of the edge."""

# A point belongs to an edge that passes it at this distance.
_NEAR_UM = 30.0
# The turns that are tried: at the end of a 60 mm edge one step is 25 um.
_TURN_STEP_DEG = 0.025
_MAX_OFFSETS = 8
# Turns whose lines are nearly as sharp as the sharpest: their middle is the turn.
_SHARP_FRACTION = 0.98
# Points this near to a line are taken for its own: half a bin more than `_NEAR_UM`, since the line lies
# somewhere in its bin.
_TAKEN_UM = 1.5 * _NEAR_UM
# Distance from which on a point pulls the fit less: edge points of a sharp edge scatter by a few um.
_SOFT_UM = 5.0
# Steps of the fit that change the residuals alike: 1 mrad moves the end of a 20 mm edge by 10 um from its middle.
_TURN_SCALE_RAD, _OFFSET_SCALE_UM = 1e-3, 10.0
# An edge seen by fewer strips than this could be a scratch.
_MIN_STRIPS = 6
# Edges this near to each other are one edge in two versions, and no rivals.
_SAME_EDGE_UM = 300.0

_Points = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class LocatedCoverslip:
    """A coverslip as found.

    Attributes
    ----------
    x_um, y_um
        Its middle, on the slide.
    width_um, height_um
        Its sides.
    angle_deg
        Turn, from the slide's x axis towards its y axis.
    confidence
        Share of the places where the least seen edge should show and does, in [0, 1]; less where another rectangle
        would explain the pictures nearly as well.
    residual_um
        Root mean square distance of the edge points from the rectangle.
    """

    x_um: float
    y_um: float
    width_um: float
    height_um: float
    angle_deg: float
    confidence: float
    residual_um: float

    def outline_um(self, margin_um: float = 0.0) -> tuple[tuple[float, float], ...]:
        """Corners, in order, of the rectangle that lies `margin_um` within the edges."""
        c, s = math.cos(math.radians(self.angle_deg)), math.sin(math.radians(self.angle_deg))
        half_x, half_y = self.width_um / 2 - margin_um, self.height_um / 2 - margin_um
        if half_x <= 0 or half_y <= 0:
            raise ValueError(f"a margin of {margin_um} um leaves nothing of {self.width_um} x {self.height_um} um")
        corners = ((-half_x, -half_y), (half_x, -half_y), (half_x, half_y), (-half_x, half_y))
        return tuple((self.x_um + u * c - v * s, self.y_um + u * s + v * c) for u, v in corners)

    def area(self, margin_um: float) -> PolygonArea:
        """What lies below it, without a strip along its edges."""
        return PolygonArea(type="polygon", points_um=self.outline_um(margin_um))


def coarse_fields(area: DetectedArea, field_width_um: float, field_height_um: float) -> tuple[PlannedField, ...]:
    """Fields of the coarse pass: rows and columns of touching fields, as thin as the coverslip's size allows.

    Every edge is crossed by at least three of the lines, wherever in the searched rectangle the coverslip lies.

    Parameters
    ----------
    area
        Where to look, and for what size.
    field_width_um, field_height_um
        Size of a field along the slide's axes.
    """
    search = area.search
    size = area.size_mm or CoverslipSize.S18X18
    row_step_um = area.step_um or size.height_um / 4
    column_step_um = area.step_um or size.width_um / 4
    xs = _touching(search.x_min_um, search.x_max_um, field_width_um)
    ys = _touching(search.y_min_um, search.y_max_um, field_height_um)
    fields: list[PlannedField] = []
    for row, y in enumerate(_lines_between(search.y_min_um, search.y_max_um, row_step_um)):
        for column in range(len(xs)) if row % 2 == 0 else range(len(xs) - 1, -1, -1):
            fields.append(PlannedField(len(fields), row, column, SlidePoint(xs[column], y)))
    rows = 1 + max(field.row for field in fields)
    for column, x in enumerate(_lines_between(search.x_min_um, search.x_max_um, column_step_um)):
        for row in range(len(ys)) if column % 2 == 0 else range(len(ys) - 1, -1, -1):
            fields.append(PlannedField(len(fields), rows + row, column, SlidePoint(x, ys[row])))
    return tuple(fields)


def find_coverslip(tiles: Iterable[CoarseTile], area: DetectedArea) -> LocatedCoverslip:
    """Find the rectangle whose four edges the pictures show.

    Lines of both directions are looked for at common turns (a Hough transform restricted to nearly upright lines);
    of all rectangles of a size that is sold, the one whose least seen edge is seen best is fitted to its points.

    Parameters
    ----------
    tiles
        The coarse pass; may be read one after the other and are not kept.
    area
        The size it should have, where that is known, and how sure the answer must be.

    Raises
    ------
    CoverslipError
        Nothing of a possible size and turn is seen on four sides, or not surely enough; with what was seen.
    """
    strips, points = search_tiles(tiles)
    if not strips:
        raise CoverslipError("the coarse pass has no pictures")
    sizes = (area.size_mm,) if area.size_mm is not None else tuple(CoverslipSize)
    found = _Search(strips, points, sizes).best()
    if found is None:
        wanted = f" of {area.size_mm} mm" if area.size_mm is not None else " of a size that is sold"
        raise CoverslipError(
            f"no coverslip{wanted} was detected on four sides; {len(points)} edge points in {len(strips)} strips"
        )
    if found.confidence < area.min_confidence:
        raise CoverslipError(
            f"a coverslip of {found.width_um / 1000:.1f} x {found.height_um / 1000:.1f} mm was detected with "
            f"confidence {found.confidence:.2f}; at least {area.min_confidence:g} is asked for"
        )
    return found


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A rectangle turned by `turn` rad: offsets of its left, right, upper and lower edge, and how well seen."""

    turn: float
    offsets: tuple[float, float, float, float]
    support: float


class _Search:
    """All strips and points, turned to and fro."""

    def __init__(
        self, strips: Sequence[Strip], points: Sequence[EdgePoint], sizes: Sequence[CoverslipSize]
    ) -> None:
        self._sizes = sizes
        self._origin = np.mean([strip.start_um for strip in strips], axis=0)
        self._points = {d: self._gathered(points, d) for d in Direction}
        self._numbers = {d: np.array([p.strip for p in points if p.direction is d], dtype=int) for d in Direction}
        self._strips = {
            d: np.array(
                [(*s.start_um, *s.end_um, s.number) for s in strips if s.direction is d], dtype=np.float64
            ).reshape(-1, 5)
            - (*self._origin, *self._origin, 0)
            for d in Direction
        }

    def _gathered(self, points: Sequence[EdgePoint], direction: Direction) -> _Points:
        places = [(p.x_um, p.y_um) for p in points if p.direction is direction]
        return np.asarray(np.array(places, dtype=np.float64).reshape(-1, 2) - self._origin)

    def best(self) -> LocatedCoverslip | None:
        """The rectangle that is seen best, fitted; None where there is none."""
        turn = self._best_turn()
        offsets = {d: self._peaks(d, turn) for d in Direction}
        ranked = sorted(self._rectangles(turn, offsets), key=lambda c: -c.support)
        if not ranked or ranked[0].support == 0.0:
            return None
        best = ranked[0]
        rival = max((c.support for c in ranked[1:] if _differs(c, best)), default=0.0)
        # Another rectangle half as well seen as this one is nothing; one as well seen leaves no answer.
        doubt = max(0.0, 2.0 * rival / best.support - 1.0)
        return self._fitted(best, best.support * (1.0 - doubt))

    def _best_turn(self) -> float:
        """The turn at which the points fall most sharply into lines."""
        turns = np.radians(np.arange(-MAX_TURN_DEG, MAX_TURN_DEG + _TURN_STEP_DEG / 2, _TURN_STEP_DEG))
        scores = [
            sum(float(np.sum(np.sort(self._histogram(d, turn)[1])[-2:] ** 2)) for d in Direction) for turn in turns
        ]
        # Lines are as sharp a little beside the true turn: the middle of the best ones is taken.
        best = np.flatnonzero(np.asarray(scores) >= _SHARP_FRACTION * max(scores))
        return float(turns[best].mean())

    def _histogram(self, direction: Direction, turn: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Offsets of lines, and the number of strips that show them, in steps of `_NEAR_UM`."""
        offsets = _offset(self._points[direction], direction, turn)
        if offsets.size == 0:
            return np.zeros(1), np.zeros(1)
        bins = np.arange(offsets.min() - 2 * _NEAR_UM, offsets.max() + 3 * _NEAR_UM, _NEAR_UM)
        counts, _ = np.histogram(offsets, bins)
        # Two bins together: a line may lie on the border between them.
        return bins[1:-1], (counts[:-1] + counts[1:]).astype(np.float64)

    def _peaks(self, direction: Direction, turn: float) -> list[float]:
        places, counts = self._histogram(direction, turn)
        counts = counts.copy()
        peaks: list[float] = []
        while len(peaks) < _MAX_OFFSETS and counts.max() >= _MIN_STRIPS / 2:
            index = int(np.argmax(counts))
            offsets = _offset(self._points[direction], direction, turn)
            near = offsets[np.abs(offsets - places[index]) <= _TAKEN_UM]
            peaks.append(float(np.median(near)))
            counts[np.abs(places - places[index]) < _SAME_EDGE_UM / 2] = 0.0
        return sorted(peaks)

    def _rectangles(self, turn: float, offsets: dict[Direction, list[float]]) -> list[_Candidate]:
        sides = (
            (left, right, top, bottom)
            for (left, right), (top, bottom) in product(
                _pairs(offsets[Direction.ACROSS]), _pairs(offsets[Direction.ALONG])
            )
        )
        return [
            _Candidate(turn, edges, self._support(edges, turn))
            for edges in sides
            if self._is_sold(edges[1] - edges[0], edges[3] - edges[2])
        ]

    def _is_sold(self, width_um: float, height_um: float) -> bool:
        return any(
            abs(width_um - size.width_um) <= SIZE_TOLERANCE_UM
            and abs(height_um - size.height_um) <= SIZE_TOLERANCE_UM
            for size in self._sizes
        )

    def _support(self, edges: tuple[float, float, float, float], turn: float) -> float:
        """Share of the strips through the least seen edge that show it; 0 where too few run through it."""
        left, right, top, bottom = edges
        shares = [
            self._edge_evidence(direction, offset, between, turn)
            for direction, offset, between in (
                (Direction.ACROSS, left, (top, bottom)),
                (Direction.ACROSS, right, (top, bottom)),
                (Direction.ALONG, top, (left, right)),
                (Direction.ALONG, bottom, (left, right)),
            )
        ]
        return min(shares)

    def _edge_evidence(
        self, direction: Direction, offset: float, between: tuple[float, float], turn: float
    ) -> float:
        strips = self._strips[direction]
        start, end = _offset(strips[:, :2], direction, turn), _offset(strips[:, 2:4], direction, turn)
        other = Direction.ALONG if direction is Direction.ACROSS else Direction.ACROSS
        place = _offset((strips[:, :2] + strips[:, 2:4]) / 2, other, turn)
        # A strip that the edge barely enters need not show it.
        crossed = (np.minimum(start, end) + _NEAR_UM < offset) & (offset < np.maximum(start, end) - _NEAR_UM)
        crossed &= (place > between[0] + _SAME_EDGE_UM) & (place < between[1] - _SAME_EDGE_UM)
        if np.count_nonzero(crossed) < _MIN_STRIPS:
            return 0.0
        near = np.abs(_offset(self._points[direction], direction, turn) - offset) <= _TAKEN_UM
        showing = np.isin(strips[crossed, 4].astype(int), self._numbers[direction][near])
        return float(np.mean(showing))

    def _fitted(self, best: _Candidate, confidence: float) -> LocatedCoverslip:
        """Turn and offsets through the points near the edges, by least squares with a soft limit for outliers."""
        kept: list[tuple[Direction, int, _Points]] = []
        for number, offset in enumerate(best.offsets):
            direction = Direction.ACROSS if number < 2 else Direction.ALONG
            points = self._points[direction]
            near = np.abs(_offset(points, direction, best.turn) - offset) <= _TAKEN_UM
            kept.append((direction, number, points[near]))

        def residuals(values: NDArray[np.float64]) -> NDArray[np.float64]:
            return np.concatenate([_offset(p, d, float(values[0])) - values[1 + n] for d, n, p in kept])

        fit = least_squares(
            residuals,
            [best.turn, *best.offsets],
            loss="soft_l1",
            f_scale=_SOFT_UM,
            x_scale=[_TURN_SCALE_RAD, *4 * [_OFFSET_SCALE_UM]],
        )
        turn, left, right, top, bottom = (float(value) for value in fit.x)
        u, v = (left + right) / 2, (top + bottom) / 2
        c, s = math.cos(turn), math.sin(turn)
        return LocatedCoverslip(
            x_um=float(self._origin[0]) + u * c - v * s,
            y_um=float(self._origin[1]) + u * s + v * c,
            width_um=right - left,
            height_um=bottom - top,
            angle_deg=math.degrees(turn),
            confidence=confidence,
            residual_um=float(np.sqrt(np.mean(residuals(fit.x) ** 2))),
        )


def _offset(points: _Points, direction: Direction, turn: float) -> NDArray[np.float64]:
    """Offsets of places across an edge of this direction that is turned by `turn` rad."""
    c, s = math.cos(turn), math.sin(turn)
    if direction is Direction.ACROSS:
        return np.asarray(points[:, 0] * c + points[:, 1] * s, dtype=np.float64)
    return np.asarray(points[:, 1] * c - points[:, 0] * s, dtype=np.float64)


def _differs(one: _Candidate, other: _Candidate) -> bool:
    return any(abs(a - b) > _SAME_EDGE_UM for a, b in zip(one.offsets, other.offsets, strict=True))


def _pairs(offsets: Sequence[float]) -> list[tuple[float, float]]:
    return [(low, high) for index, low in enumerate(offsets) for high in offsets[index + 1 :]]


def _touching(low_um: float, high_um: float, field_um: float) -> list[float]:
    count = max(1, math.ceil((high_um - low_um) / field_um - ROUNDING))
    if count == 1:
        return [(low_um + high_um) / 2]
    step_um = (high_um - low_um - field_um) / (count - 1)
    return [low_um + field_um / 2 + k * step_um for k in range(count)]


def _lines_between(low_um: float, high_um: float, step_um: float) -> list[float]:
    count = max(1, math.floor((high_um - low_um) / step_um))
    middle = (low_um + high_um) / 2
    return [middle + (k - (count - 1) / 2) * step_um for k in range(count)]
