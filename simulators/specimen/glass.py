"""The glass itself: coverslip edges, air bubbles, label, scratches and registration marks.

Each is a curve or an area whose optical density is known at any place; it is laid on the slide in tiles, one for
each square of the slide that it runs through, so that a bubble of a millimetre costs what is looked at of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from simulators.specimen.banding import Contrast
from simulators.specimen.clutter import ClutterPatch
from simulators.specimen.variation import LogNormal, Uniform

BoxUm = tuple[float, float, float, float]
"""(xmin, ymin, xmax, ymax) in slide um."""

PointUm = tuple[float, float]

GLASS_UM = (76_000.0, 26_000.0)
COVERSLIP_UM = (50_000.0, 22_000.0)
LABEL_UM: BoxUm = (0.0, 0.0, 19_000.0, 26_000.0)
"""Area of the label."""

MARKS_UM: tuple[PointUm, ...] = ((20_500.0, 2_000.0), (74_000.0, 24_000.0))
"""Middles of the registration crosses."""

TILE_UM_PER_PX = 1.0

_LARGEST_TURN_DEG = 1.2
_EDGE_UM = 40.0
_COARSE_UM = 8.0
_SEAM_UM = 4.0
"""Tiles overlap by this much on either side and fade into one another: a sharp seam would show as a line."""

_GLOW = 0.08
"""Light scattered at an edge, over the optical density it has in transmitted light."""

_COVERSLIP_STREAM, _BUBBLE_STREAM, _SCRATCH_STREAM = range(50, 53)
_TRIES = 400

_Field = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class EdgeProfile:
    """Optical density across an edge: bells added up; set by eye against pictures of real edges.

    Attributes
    ----------
    bells
        Density, place inside the edge in um, and standard deviation in um of each; below 0 light is gathered.
    """

    bells: tuple[tuple[float, float, float], ...]

    def od(self, depth_um: _Field) -> _Field:
        """Optical density at depths inside the edge: float64, of the depths' shape."""
        total = np.zeros_like(depth_um)
        for density, at_um, sigma_um in self.bells:
            total = total + density * _bell(depth_um, at_um, sigma_um)
        return total


_COVERSLIP_EDGE = EdgeProfile(((0.85, 0.0, 5.0), (-0.09, 14.0, 4.5), (0.12, -13.0, 6.0)))
"""The cut edge throws light aside: a dark line, a bright one inside it, a faint one outside."""
_BUBBLE_RIM = EdgeProfile(((1.25, 9.0, 8.0), (0.2, 24.0, 7.0), (-0.09, 40.0, 8.0), (-0.06, -12.0, 4.0)))
"""The curved rim reflects all light: a broad dark ring, bright on its inner side; the inside is clear."""


@dataclass(frozen=True, slots=True)
class GlassSettings:
    """Sizes of what belongs to the glass, by eye from routine slides.

    Attributes
    ----------
    reach
        Half a box's diagonal over half its longer side, rounded up: what is so near may show in the box.
    bell_end
        Bells end at so many standard deviations, far below one grey level.
    visible_od
        Fainter than this nothing is drawn: a hundredth of a grey level.
    third_wave
        A bubble's outline has three waves of this height over its two.
    bubble_reach
        What a bubble touches, over its radius; its outline swings out less.
    bubble_um, bubble_swing
        Radius of a bubble, and how much its outline swings.
    bubble_spacing
        Free distance between bubbles over the new one's radius.
    line_edge_um
        Softness of a scratch's sides.
    label_od, label_edge_um
        Paper lets little light through; its edge is torn softly.
    coverslip_end_um, coverslip_x_um, coverslip_y_um
        Distance of the coverslip from the slide's free end, and how far it was laid beside its place.
    cross_arm_um, cross_width_um, cross_od
        An engraved registration cross.
    scratch_x, scratch_y
        Where a scratch lies, over the slide's sides; beside the label.
    scratch_length_um, scratch_width_um, scratch_od, scratch_bow
        Its shape; the bow is a standard deviation over its length.
    """

    reach: float = 1.5
    bell_end: float = 4.5
    visible_od: float = 1e-4
    third_wave: float = 0.4
    bubble_reach: float = 1.15
    bubble_um: LogNormal = LogNormal(350.0, 0.6, 80.0, 1_500.0)
    bubble_swing: Uniform = Uniform(0.0, 0.05)
    bubble_spacing: float = 1.2
    line_edge_um: float = 1.5
    label_od: float = 1.3
    label_edge_um: float = 12.0
    coverslip_end_um: float = 3_500.0
    coverslip_x_um: Uniform = Uniform(-1_500.0, 1_500.0)
    coverslip_y_um: Uniform = Uniform(-700.0, 700.0)
    cross_arm_um: float = 500.0
    cross_width_um: float = 25.0
    cross_od: float = 0.7
    scratch_x: Uniform = Uniform(0.28, 0.95)
    scratch_y: Uniform = Uniform(0.05, 0.95)
    scratch_length_um: Uniform = Uniform(800.0, 6_000.0)
    scratch_width_um: Uniform = Uniform(2.0, 7.0)
    scratch_od: Uniform = Uniform(0.15, 0.45)
    scratch_bow: float = 0.03


_SETTINGS = GlassSettings()


class _Feature(Protocol):
    """Something on the glass."""

    def od(self, x_um: _Field, y_um: _Field) -> _Field:
        """Optical density at places of the slide; below 0 where light is gathered."""
        ...

    def comes_near(self, x_um: float, y_um: float, reach_um: float) -> bool:
        """Whether it may show within this distance of a place."""
        ...


@dataclass(frozen=True, slots=True)
class Coverslip:
    """Where the coverslip lies.

    Attributes
    ----------
    x_um, y_um
        Its middle.
    width_um, height_um
        Its sides.
    angle_deg
        Turn, from the slide's x axis towards its y axis.
    """

    x_um: float
    y_um: float
    width_um: float
    height_um: float
    angle_deg: float

    @property
    def corners_um(self) -> tuple[PointUm, PointUm, PointUm, PointUm]:
        """Upper left, upper right, lower right, lower left in slide um."""
        half_x, half_y = self.width_um / 2.0, self.height_um / 2.0
        cos, sin = math.cos(math.radians(self.angle_deg)), math.sin(math.radians(self.angle_deg))

        def corner(along: float, across: float) -> PointUm:
            return self.x_um + along * cos - across * sin, self.y_um + along * sin + across * cos

        return corner(-half_x, -half_y), corner(half_x, -half_y), corner(half_x, half_y), corner(-half_x, half_y)

    def depth_um(self, x_um: float, y_um: float) -> float:
        """Distance of a place from the nearest edge; below 0 outside.

        Parameters
        ----------
        x_um, y_um
            Place, slide um.
        """
        return float(self.depths_um(np.array(x_um), np.array(y_um)))

    def depths_um(self, x_um: _Field, y_um: _Field) -> _Field:
        """Distances of places from the nearest edge; below 0 outside.

        Parameters
        ----------
        x_um, y_um
            float64 arrays of slide um, shapes that broadcast.
        """
        cos, sin = math.cos(math.radians(self.angle_deg)), math.sin(math.radians(self.angle_deg))
        along = (x_um - self.x_um) * cos + (y_um - self.y_um) * sin
        across = (y_um - self.y_um) * cos - (x_um - self.x_um) * sin
        outside = np.maximum(np.abs(along) - self.width_um / 2.0, np.abs(across) - self.height_um / 2.0)
        return np.asarray(-outside, dtype=np.float64)

    def od(self, x_um: _Field, y_um: _Field) -> _Field:
        """The cut edge throws light aside: a dark line, a bright one inside it, a faint one outside.

        Parameters
        ----------
        x_um, y_um
            float64 arrays of slide um, shapes that broadcast.
        """
        return _COVERSLIP_EDGE.od(self.depths_um(x_um, y_um))

    def comes_near(self, x_um: float, y_um: float, reach_um: float) -> bool:
        """Whether the edge may show within a distance of a place.

        Parameters
        ----------
        x_um, y_um
            Place, slide um.
        reach_um
            The distance.
        """
        return abs(self.depth_um(x_um, y_um)) < _SETTINGS.reach * reach_um + _EDGE_UM


@dataclass(frozen=True, slots=True)
class Bubble:
    """An air bubble under the coverslip: middle and radius in slide um, and its outline's waves."""

    x_um: float
    y_um: float
    radius_um: float
    swing: float
    phase: float

    def depths_um(self, x_um: _Field, y_um: _Field) -> _Field:
        """Distances from the rim, positive inside.

        Parameters
        ----------
        x_um, y_um
            float64 arrays of slide um, shapes that broadcast.
        """
        angle = np.arctan2(y_um - self.y_um, x_um - self.x_um)
        waves = 1.0 + self.swing * (
            np.cos(2.0 * angle + self.phase) + _SETTINGS.third_wave * np.cos(3 * angle - self.phase)
        )
        return np.asarray(self.radius_um * waves - np.hypot(x_um - self.x_um, y_um - self.y_um), dtype=np.float64)

    def holds(self, x_um: float, y_um: float, margin_um: float = 0.0) -> bool:
        """Whether a place, with what lies around it, is touched by the bubble.

        Parameters
        ----------
        x_um, y_um
            Place, slide um.
        margin_um
            How far what lies there reaches.
        """
        return (
            math.hypot(x_um - self.x_um, y_um - self.y_um)
            < _SETTINGS.bubble_reach * self.radius_um + _EDGE_UM + margin_um
        )

    def od(self, x_um: _Field, y_um: _Field) -> _Field:
        """The curved rim reflects all light: a broad dark ring, bright on its inner side; the inside is clear.

        Parameters
        ----------
        x_um, y_um
            float64 arrays of slide um, shapes that broadcast.
        """
        return _BUBBLE_RIM.od(self.depths_um(x_um, y_um))

    def comes_near(self, x_um: float, y_um: float, reach_um: float) -> bool:
        """Whether the rim may show within a distance of a place.

        Parameters
        ----------
        x_um, y_um
            Place, slide um.
        reach_um
            The distance.
        """
        distance = math.hypot(x_um - self.x_um, y_um - self.y_um)
        swing_um = (_SETTINGS.bubble_reach - 1.0) * self.radius_um
        return abs(distance - self.radius_um) < _SETTINGS.reach * reach_um + 2.0 * _EDGE_UM + swing_um


@dataclass(frozen=True, slots=True)
class GlassLine:
    """A scratch or an engraved line between two places of the slide."""

    start_um: PointUm
    end_um: PointUm
    width_um: float
    depth_od: float
    bow_um: float = 0.0

    def od(self, x_um: _Field, y_um: _Field) -> _Field:
        """Dark, with soft ends and sides.

        Parameters
        ----------
        x_um, y_um
            float64 arrays of slide um, shapes that broadcast.
        """
        along, across, length = self._place(x_um, y_um)
        across = across - self.bow_um * np.sin(np.pi * np.clip(along / length, 0.0, 1.0))
        ends = np.clip(np.minimum(along, length - along) / self.width_um + 0.5, 0.0, 1.0)
        side = np.clip((self.width_um / 2.0 - np.abs(across)) / _SETTINGS.line_edge_um + 0.5, 0.0, 1.0)
        return np.asarray(self.depth_od * ends * side, dtype=np.float64)

    def comes_near(self, x_um: float, y_um: float, reach_um: float) -> bool:
        """Whether it may show within a distance of a place.

        Parameters
        ----------
        x_um, y_um
            Place, slide um.
        reach_um
            The distance.
        """
        along, across, length = self._place(np.array(x_um), np.array(y_um))
        beyond = max(-float(along), float(along) - length, 0.0)
        reach = _SETTINGS.reach * reach_um + self.width_um
        return beyond < reach and abs(float(across)) < reach + abs(self.bow_um)

    def _place(self, x_um: _Field, y_um: _Field) -> tuple[_Field, _Field, float]:
        dx, dy = self.end_um[0] - self.start_um[0], self.end_um[1] - self.start_um[1]
        length = math.hypot(dx, dy)
        x, y = x_um - self.start_um[0], y_um - self.start_um[1]
        along, across = (x * dx + y * dy) / length, (y * dx - x * dy) / length
        return np.asarray(along, dtype=np.float64), np.asarray(across, dtype=np.float64), length


@dataclass(frozen=True, slots=True)
class Label:
    """The paper label at the left end of the slide.

    Attributes
    ----------
    text
        What its barcode says. How that looks is drawn by `simulators.label`: under the objectives paper is dark.
    area_um
        Where it sticks.
    """

    text: str
    area_um: BoxUm = LABEL_UM

    def od(self, x_um: _Field, y_um: _Field) -> _Field:
        """Paper lets little light through.

        Parameters
        ----------
        x_um, y_um
            float64 arrays of slide um, shapes that broadcast.
        """
        xmin, ymin, xmax, ymax = self.area_um
        depth = np.minimum(np.minimum(x_um - xmin, xmax - x_um), np.minimum(y_um - ymin, ymax - y_um))
        edge = np.clip(depth / _SETTINGS.label_edge_um + 0.5, 0.0, 1.0)
        return np.asarray(_SETTINGS.label_od * edge, dtype=np.float64)

    def comes_near(self, x_um: float, y_um: float, reach_um: float) -> bool:
        """Whether it may show within a distance of a place.

        Parameters
        ----------
        x_um, y_um
            Place, slide um.
        reach_um
            The distance.
        """
        xmin, ymin, xmax, ymax = self.area_um
        return xmin - reach_um < x_um < xmax + reach_um and ymin - reach_um < y_um < ymax + reach_um


@dataclass(frozen=True, slots=True)
class GlassTile:
    """The part of a feature that lies in one square.

    Attributes
    ----------
    key
        Names the tile on its slide.
    x_um, y_um, half_width_um, half_height_um
        Its middle and half its sides.
    render
        Draws it.
    """

    key: tuple[object, ...]
    x_um: float
    y_um: float
    half_width_um: float
    half_height_um: float
    render: Callable[[], ClutterPatch]


class Glass:
    """Everything that belongs to the glass of a slide.

    Parameters
    ----------
    seed
        Seed of all that is drawn.
    coverslip, marks
        Whether there are any.
    bubbles, scratches
        How many.
    label
        Text of the label's barcode; empty: no label.
    contrast
        Of the specimen: under fluorescence edges glow faintly and cast no shadow.
    """

    def __init__(
        self,
        seed: int,
        *,
        coverslip: bool,
        bubbles: int,
        scratches: int,
        marks: bool,
        label: str,
        contrast: Contrast = Contrast.ABSORBS,
    ) -> None:
        self.coverslip = _lay_coverslip(seed) if coverslip else None
        self.bubbles = _draw_bubbles(seed, self.coverslip, bubbles) if self.coverslip is not None else ()
        self.label = Label(label) if label else None
        self.marks_um = MARKS_UM if marks else ()
        self._contrast = contrast
        lines = [line for middle in self.marks_um for line in _cross(middle)]
        lines += [_draw_scratch(np.random.default_rng([seed, _SCRATCH_STREAM, n])) for n in range(scratches)]
        present = [feature for feature in (self.coverslip, self.label) if feature is not None]
        self._features: tuple[_Feature, ...] = (*present, *self.bubbles, *lines)

    def is_free(self, x_um: float, y_um: float, radius_um: float) -> bool:
        """Whether a disc lies clear of edges, bubbles and the label.

        Parameters
        ----------
        x_um, y_um
            Its middle, slide um.
        radius_um
            Its radius.
        """
        if self.label is not None and self.label.comes_near(x_um, y_um, radius_um + _EDGE_UM):
            return False
        slip = self.coverslip
        if slip is not None and abs(slip.depth_um(x_um, y_um)) < radius_um + _EDGE_UM:
            return False
        return not any(bubble.holds(x_um, y_um, radius_um) for bubble in self.bubbles)

    def in_bubble(self, x_um: float, y_um: float) -> bool:
        """Whether a place lies in a bubble or its rim.

        Parameters
        ----------
        x_um, y_um
            Place, slide um.
        """
        return any(bubble.holds(x_um, y_um) for bubble in self.bubbles)

    def tiles_in(self, box_um: BoxUm) -> Iterator[GlassTile]:
        """Tiles of the features that show in a box; calls with boxes that abut give tiles that abut."""
        x_um, y_um = (box_um[0] + box_um[2]) / 2.0, (box_um[1] + box_um[3]) / 2.0
        reach = max(box_um[2] - box_um[0], box_um[3] - box_um[1]) / 2.0
        for number, feature in enumerate(self._features):
            if feature.comes_near(x_um, y_um, reach):
                tile = self._tile(number, feature, box_um)
                if tile is not None:
                    yield tile

    def _tile(self, number: int, feature: _Feature, box_um: BoxUm) -> GlassTile | None:
        """The part of the box, and of its seam, in which the feature shows."""
        left, top, right, bottom = (
            box_um[0] - _SEAM_UM,
            box_um[1] - _SEAM_UM,
            box_um[2] + _SEAM_UM,
            box_um[3] + _SEAM_UM,
        )
        columns = _steps(left, right, _COARSE_UM)
        rows = _steps(top, bottom, _COARSE_UM)
        # A line thinner than the coarse steps may slip between them, so what is near counts as visible.
        visible = np.abs(feature.od(columns[None, :], rows[:, None])) > _SETTINGS.visible_od
        if isinstance(feature, GlassLine):
            visible[:] = True
        if not visible.any():
            return None
        across, down = np.flatnonzero(visible.any(axis=0)), np.flatnonzero(visible.any(axis=1))
        xmin, xmax = left + across[0] * _COARSE_UM, min(left + (across[-1] + 1) * _COARSE_UM, right)
        ymin, ymax = top + down[0] * _COARSE_UM, min(top + (down[-1] + 1) * _COARSE_UM, bottom)

        def render() -> ClutterPatch:
            x, y = _steps(xmin, xmax, TILE_UM_PER_PX), _steps(ymin, ymax, TILE_UM_PER_PX)
            od = feature.od(x[None, :], y[:, None])
            od *= _seam_weight(x, box_um[0], box_um[2])[None, :] * _seam_weight(y, box_um[1], box_um[3])[:, None]
            if self._contrast is Contrast.EMITS:
                od = _GLOW * np.clip(od, 0.0, 1.0)
            return ClutterPatch(od.astype(np.float32), TILE_UM_PER_PX, self._contrast)

        return GlassTile(
            ("glass", number, round(box_um[0]), round(box_um[1])),
            (xmin + xmax) / 2.0,
            (ymin + ymax) / 2.0,
            (xmax - xmin) / 2.0,
            (ymax - ymin) / 2.0,
            render,
        )


def _steps(start_um: float, stop_um: float, step_um: float) -> _Field:
    """Middles of pixels from one end to the other."""
    middles = np.arange(round((stop_um - start_um) / step_um), dtype=np.float64) + 0.5
    return np.asarray(start_um + middles * step_um, dtype=np.float64)


def _seam_weight(place_um: _Field, start_um: float, stop_um: float) -> _Field:
    """What a tile has of the places about its seams; the weights of tiles that abut make 1."""
    inside = np.minimum(place_um - start_um, stop_um - place_um) + _SEAM_UM
    return np.asarray(np.clip(inside / (2.0 * _SEAM_UM), 0.0, 1.0), dtype=np.float64)


def _bell(depth_um: _Field, at_um: float, sigma_um: float) -> _Field:
    away = (depth_um - at_um) / sigma_um
    return np.asarray(
        np.where(np.abs(away) < _SETTINGS.bell_end, np.exp(-0.5 * away * away), 0.0), dtype=np.float64
    )


def _lay_coverslip(seed: int) -> Coverslip:
    rng = np.random.default_rng([seed, _COVERSLIP_STREAM])
    # The label's end of the slide stays free.
    x_um = GLASS_UM[0] - COVERSLIP_UM[0] / 2.0 - _SETTINGS.coverslip_end_um
    x_um += _SETTINGS.coverslip_x_um.draw(rng)
    y_um = GLASS_UM[1] / 2.0 + _SETTINGS.coverslip_y_um.draw(rng)
    return Coverslip(x_um, y_um, *COVERSLIP_UM, float(rng.uniform(-_LARGEST_TURN_DEG, _LARGEST_TURN_DEG)))


def _draw_bubbles(seed: int, coverslip: Coverslip, count: int) -> tuple[Bubble, ...]:
    bubbles: list[Bubble] = []
    for number in range(count):
        rng = np.random.default_rng([seed, _BUBBLE_STREAM, number])
        radius_um = _SETTINGS.bubble_um.draw(rng)
        shape = _SETTINGS.bubble_swing.draw(rng), float(rng.uniform(0.0, 2.0 * np.pi))
        for _ in range(_TRIES):
            x_um = coverslip.x_um + float(rng.uniform(-0.5, 0.5)) * coverslip.width_um
            y_um = coverslip.y_um + float(rng.uniform(-0.5, 0.5)) * coverslip.height_um
            free = coverslip.depth_um(x_um, y_um) > _SETTINGS.bubble_reach * radius_um + 2.0 * _EDGE_UM
            margin_um = _SETTINGS.bubble_spacing * radius_um + _EDGE_UM
            if free and not any(other.holds(x_um, y_um, margin_um) for other in bubbles):
                bubbles.append(Bubble(x_um, y_um, radius_um, *shape))
                break
        else:
            raise ValueError(f"no room for {count} bubbles under the coverslip")
    return tuple(bubbles)


def _cross(middle_um: PointUm) -> tuple[GlassLine, GlassLine]:
    x, y, arm = *middle_um, _SETTINGS.cross_arm_um
    width_um, od = _SETTINGS.cross_width_um, _SETTINGS.cross_od
    return (
        GlassLine((x - arm, y), (x + arm, y), width_um, od),
        GlassLine((x, y - arm), (x, y + arm), width_um, od),
    )


def _draw_scratch(rng: np.random.Generator) -> GlassLine:
    x_um, y_um = _SETTINGS.scratch_x.draw(rng) * GLASS_UM[0], _SETTINGS.scratch_y.draw(rng) * GLASS_UM[1]
    length_um, angle = _SETTINGS.scratch_length_um.draw(rng), float(rng.uniform(0.0, np.pi))
    dx, dy = math.cos(angle) * length_um / 2.0, math.sin(angle) * length_um / 2.0
    width_um = _SETTINGS.scratch_width_um.draw(rng)
    bow_um = float(rng.normal(0.0, _SETTINGS.scratch_bow)) * length_um
    return GlassLine(
        (x_um - dx, y_um - dy), (x_um + dx, y_um + dy), width_um, _SETTINGS.scratch_od.draw(rng), bow_um
    )
