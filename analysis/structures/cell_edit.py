"""Edits of a cell that change which chromosomes it has and where they lie.

Every edit is a strict value that is written to JSON as it is. Points and boxes are in image px, x before y;
chromosomes are named by their id in the proposal.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from analysis.structures.class_field import ClassName

MAX_POINTS: Final = 2000
"""Of a line or outline: a brush gives some hundred."""

ChromosomeId = Annotated[int, Field(ge=0)]
Point = tuple[float, float]
Polyline = Annotated[tuple[Point, ...], Field(min_length=2, max_length=MAX_POINTS)]
Polygon = Annotated[tuple[Point, ...], Field(min_length=3, max_length=MAX_POINTS)]


class _Edit(BaseModel):
    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, validate_by_name=True, validate_by_alias=True
    )

    reassign: bool = Field(
        default=False, description="whether the classes of all chromosomes that no person named are assigned anew"
    )


class SeparateByLine(_Edit):
    """Separate one object into several along a line that crosses it."""

    operation: Literal["separate"] = "separate"
    chromosome: ChromosomeId
    line_px: Polyline = Field(description="the line, from outside of the object to outside")


class Join(_Edit):
    """Join pieces into one chromosome."""

    operation: Literal["join"] = "join"
    chromosomes: Annotated[tuple[ChromosomeId, ...], Field(min_length=2)]


class AddAtPoint(_Edit):
    """Add the chromosome that lies at a point."""

    operation: Literal["add_at_point"] = "add_at_point"
    point_px: Point


class AddInBox(_Edit):
    """Add the chromosome that a box encloses closely."""

    operation: Literal["add_in_box"] = "add_in_box"
    box_px: tuple[float, float, float, float] = Field(description="xmin, ymin, xmax, ymax")


class AddAlongScribble(_Edit):
    """Add the chromosome that a scribble runs along."""

    operation: Literal["add_along"] = "add_along"
    points_px: Polyline


class Delete(_Edit):
    """Delete what is no chromosome."""

    operation: Literal["delete"] = "delete"
    chromosome: ChromosomeId


class OutlineByPolygon(_Edit):
    """Give a chromosome the outline that a person drew."""

    operation: Literal["outline_by_polygon"] = "outline_by_polygon"
    chromosome: ChromosomeId
    outline_px: Polygon


class OutlineAlongScribble(_Edit):
    """Outline a chromosome anew by a scribble along it."""

    operation: Literal["outline_along"] = "outline_along"
    chromosome: ChromosomeId
    points_px: Polyline


class ResolveCrossing(_Edit):
    """Part two chromosomes that cross by the axis of each; what both cover belongs to both."""

    operation: Literal["resolve_crossing"] = "resolve_crossing"
    chromosomes: Annotated[tuple[ChromosomeId, ...], Field(min_length=1)] = Field(
        description="the objects whose stain is parted: one that holds both, or the two as they are"
    )
    axes_px: tuple[Polyline, Polyline] = Field(description="the axis of each, from tip to tip")


class ChooseExplanation(_Edit):
    """Take another explanation of a pile."""

    operation: Literal["choose_explanation"] = "choose_explanation"
    pile: Annotated[int, Field(ge=0)] = Field(description="place in the proposal's list of piles")
    explanation: Annotated[int, Field(ge=0)] = Field(
        description="place in the pile's list; 0 is what was proposed"
    )


class DismissUnexplained(_Edit):
    """Say that an unexplained object is no chromosome."""

    operation: Literal["dismiss_unexplained"] = "dismiss_unexplained"
    unexplained: Annotated[int, Field(ge=0)] = Field(description="place in the proposal's list")


class SetClass(_Edit):
    """Name a chromosome, and say which end is up."""

    operation: Literal["set_class"] = "set_class"
    chromosome: ChromosomeId
    class_name: ClassName = Field(alias="class")
    flipped: bool | None = Field(
        default=None, description="whether the short arm is down; null leaves it as it is"
    )


CellEdit = Annotated[
    SeparateByLine
    | Join
    | AddAtPoint
    | AddInBox
    | AddAlongScribble
    | Delete
    | OutlineByPolygon
    | OutlineAlongScribble
    | ResolveCrossing
    | ChooseExplanation
    | DismissUnexplained
    | SetClass,
    Field(discriminator="operation"),
]
"""Any edit of a cell."""


class RecordedEdit(BaseModel):
    """An edit with who made it and when."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    edit: CellEdit
    author: str = Field(default="", description="who made it; empty where nobody said")
    made_at: datetime | None = Field(default=None, description="when, with its time zone; null where nobody said")
