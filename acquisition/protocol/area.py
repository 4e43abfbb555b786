"""What has to be scanned: a rectangle, a polygon, a coverslip of known size, or one that has to be found first."""

from __future__ import annotations

import math
from collections.abc import Sequence
from enum import StrEnum
from itertools import pairwise
from typing import Annotated, Any, Final, Literal, Self

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from acquisition.protocol.fields import LengthUm, MarginUm, PositionUm, Strict
from scanner.strict_yaml import cross_check

GLASS_WIDTH_UM = 76_000.0
GLASS_HEIGHT_UM = 26_000.0
UM_PER_MM: Final = 1000.0

PointUm = tuple[PositionUm, PositionUm]


class CoverslipSize(StrEnum):
    """Sizes that are sold; the long side lies along the slide."""

    S18X18 = "18x18"
    S22X22 = "22x22"
    S24X24 = "24x24"
    S22X32 = "22x32"
    S22X40 = "22x40"
    S24X40 = "24x40"
    S22X50 = "22x50"
    S24X50 = "24x50"
    S24X60 = "24x60"

    @property
    def width_um(self) -> float:
        """Side along the slide's length."""
        return UM_PER_MM * max(self._sides_mm)

    @property
    def height_um(self) -> float:
        """Side across the slide."""
        return UM_PER_MM * min(self._sides_mm)

    @property
    def _sides_mm(self) -> tuple[int, int]:
        first, second = self.value.split("x")
        return int(first), int(second)


class Area(Strict):
    """Rectangle along the slide's axes, in slide um."""

    type: Literal["rectangle"] = Field(default="rectangle", description="kind of area")
    x_min_um: PositionUm = Field(description="left edge")
    y_min_um: PositionUm = Field(description="upper edge")
    x_max_um: PositionUm = Field(description="right edge")
    y_max_um: PositionUm = Field(description="lower edge")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not (self.x_min_um < self.x_max_um and self.y_min_um < self.y_max_um):
            raise ValueError("x_min_um must be below x_max_um, and y_min_um below y_max_um")
        return self

    @property
    def width_um(self) -> float:
        """Extent along x."""
        return self.x_max_um - self.x_min_um

    @property
    def height_um(self) -> float:
        """Extent along y."""
        return self.y_max_um - self.y_min_um

    @property
    def bounds(self) -> Area:
        """Smallest rectangle around the area: itself."""
        return self

    @property
    def middle_half(self) -> Area:
        """Rectangle of half the sides about the same middle."""
        margin_x, margin_y = self.width_um / 4, self.height_um / 4
        return Area(
            x_min_um=self.x_min_um + margin_x,
            y_min_um=self.y_min_um + margin_y,
            x_max_um=self.x_max_um - margin_x,
            y_max_um=self.y_max_um - margin_y,
        )

    @property
    def outline_um(self) -> tuple[tuple[float, float], ...]:
        """Corners, in order."""
        return (
            (self.x_min_um, self.y_min_um),
            (self.x_max_um, self.y_min_um),
            (self.x_max_um, self.y_max_um),
            (self.x_min_um, self.y_max_um),
        )


class _Bounded(Strict):
    """An area of another shape; `bounds` is the smallest rectangle around it."""

    @property
    def bounds(self) -> Area:
        """Smallest rectangle around the area."""
        raise NotImplementedError

    @property
    def x_min_um(self) -> float:
        """Left edge of the bounds."""
        return self.bounds.x_min_um

    @property
    def y_min_um(self) -> float:
        """Upper edge of the bounds."""
        return self.bounds.y_min_um

    @property
    def x_max_um(self) -> float:
        """Right edge of the bounds."""
        return self.bounds.x_max_um

    @property
    def y_max_um(self) -> float:
        """Lower edge of the bounds."""
        return self.bounds.y_max_um

    @property
    def width_um(self) -> float:
        """Extent of the bounds along x."""
        return self.bounds.width_um

    @property
    def height_um(self) -> float:
        """Extent of the bounds along y."""
        return self.bounds.height_um


class PolygonArea(_Bounded):
    """Any outline that doesn't cross itself, in slide um."""

    type: Literal["polygon"] = Field(description="kind of area")
    points_um: Annotated[tuple[PointUm, ...], Field(min_length=3, max_length=200)] = Field(
        description="corners [x, y] in order; the last one is joined to the first"
    )

    @field_validator("points_um")
    @classmethod
    def _simple(cls, points: tuple[PointUm, ...]) -> tuple[PointUm, ...]:
        edges = list(pairwise([*points, points[0]]))
        if any(math.dist(a, b) == 0.0 for a, b in edges):
            raise ValueError("the same corner stands twice in a row")
        for first, one in enumerate(edges):
            for second in range(first + 1, len(edges)):
                joined = second == first + 1 or (first == 0 and second == len(edges) - 1)
                if not joined and _cross(one, edges[second]):
                    raise ValueError(f"the outline crosses itself between corners {first} and {second}")
        if abs(_area_um2(points)) < 1.0:
            raise ValueError("the corners enclose no area")
        return points

    @property
    def bounds(self) -> Area:
        """Smallest rectangle around the area."""
        xs, ys = zip(*self.points_um, strict=True)
        return Area(x_min_um=min(xs), y_min_um=min(ys), x_max_um=max(xs), y_max_um=max(ys))

    @property
    def outline_um(self) -> tuple[tuple[float, float], ...]:
        """Corners, in order."""
        return self.points_um


class CoverslipArea(_Bounded):
    """The specimen below a coverslip that lies where the laboratory always puts it."""

    type: Literal["coverslip"] = Field(description="kind of area")
    size_mm: CoverslipSize = Field(description="size of the coverslip; its long side lies along the slide")
    centre_x_um: PositionUm = Field(default=GLASS_WIDTH_UM / 2, description="middle of the coverslip")
    centre_y_um: PositionUm = Field(default=GLASS_HEIGHT_UM / 2, description="middle of the coverslip")
    margin_um: MarginUm = Field(default=1000.0, description="strip along the edge that is left out")

    @property
    def bounds(self) -> Area:
        """The coverslip without its margin."""
        half_width = self.size_mm.width_um / 2 - self.margin_um
        half_height = self.size_mm.height_um / 2 - self.margin_um
        return Area(
            x_min_um=self.centre_x_um - half_width,
            y_min_um=self.centre_y_um - half_height,
            x_max_um=self.centre_x_um + half_width,
            y_max_um=self.centre_y_um + half_height,
        )

    @model_validator(mode="after")
    def _something_left(self) -> Self:
        if 2 * self.margin_um >= self.size_mm.height_um:
            raise cross_check(f"found {self.margin_um:g}; leaves nothing of {self.size_mm} mm", "margin_um")
        return self

    @property
    def outline_um(self) -> tuple[tuple[float, float], ...]:
        """Corners, in order."""
        return self.bounds.outline_um


class DetectedArea(_Bounded):
    """The specimen below a coverslip whose edges are looked for in a coarse pass."""

    type: Literal["detected"] = Field(description="kind of area")
    size_mm: CoverslipSize | None = Field(
        default=None, description="size the coverslip should have; another size is then a fault"
    )
    search: Area = Field(
        default=Area(x_min_um=20_000, y_min_um=300, x_max_um=75_700, y_max_um=25_700),
        description="where to search; the label left out",
    )
    step_um: LengthUm | None = Field(
        default=None, description="distance of the coarse pass's lines of fields; default from the size"
    )
    margin_um: MarginUm = Field(default=1000.0, description="strip along the edge that is left out")
    min_confidence: Annotated[float, Field(ge=0.5, le=1)] = Field(
        default=0.8, description="below it the slide is refused instead of scanned in the wrong place"
    )

    @property
    def bounds(self) -> Area:
        """Where the coverslip is looked for: the area itself is known only after the coarse pass."""
        return self.search

    @property
    def outline_um(self) -> tuple[tuple[float, float], ...]:
        """Corners of the searched rectangle, in order."""
        return self.search.outline_um


def _kind_of(value: Any) -> str:  # noqa: ANN401 - whatever stands in the file
    kind = value.get("type", "rectangle") if isinstance(value, dict) else getattr(value, "type", "rectangle")
    return str(kind)


AnyArea = Annotated[
    Annotated[Area, Tag("rectangle")]
    | Annotated[PolygonArea, Tag("polygon")]
    | Annotated[CoverslipArea, Tag("coverslip")]
    | Annotated[DetectedArea, Tag("detected")],
    Discriminator(
        _kind_of,
        custom_error_type="area_type",
        custom_error_message="type must be rectangle, polygon, coverslip or detected",
    ),
]


def _area_um2(points: Sequence[tuple[float, float]]) -> float:
    closed = [*points, points[0]]
    return sum(ax * by - bx * ay for (ax, ay), (bx, by) in pairwise(closed)) / 2


def _side(a: PointUm, b: PointUm, c: PointUm) -> float:
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])


def _cross(one: tuple[PointUm, PointUm], other: tuple[PointUm, PointUm]) -> bool:
    (a, b), (c, d) = one, other
    apart_x = max(a[0], b[0]) < min(c[0], d[0]) or max(c[0], d[0]) < min(a[0], b[0])
    apart_y = max(a[1], b[1]) < min(c[1], d[1]) or max(c[1], d[1]) < min(a[1], b[1])
    if apart_x or apart_y:
        return False
    return _side(a, b, c) * _side(a, b, d) <= 0 and _side(c, d, a) * _side(c, d, b) <= 0
