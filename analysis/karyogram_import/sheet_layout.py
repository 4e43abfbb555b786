"""Which class stands where on a sheet: rows of places from the top, as laboratories print them."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from analysis.structures.classes import CLASS_NAMES, MARKER


class LabelSide(StrEnum):
    """Where a class is printed beside its chromosomes."""

    BELOW = "below"
    ABOVE = "above"


PlaceName = Annotated[str, Field(pattern=r"^([1-9]|1[0-9]|2[0-2]|X|Y|mar)$")]


class SheetLayout(BaseModel):
    """Rows of a karyogram sheet.

    Attributes
    ----------
    name
        For messages and the record.
    rows
        Classes from left to right, row by row from the top. A place that a sheet doesn't print may
        be missing.
    labels
        Whether a class is printed below its chromosomes or above them.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1, max_length=80, description="for messages and the record")
    rows: tuple[tuple[PlaceName, ...], ...] = Field(
        min_length=1, description='classes from left to right, a list a row: "1" to "22", "X", "Y", "mar"'
    )
    labels: LabelSide = Field(
        default=LabelSide.BELOW, description="where a class is printed beside its chromosomes"
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        names = [name for row in self.rows for name in row]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"{', '.join(twice)} stands on it twice")
        if not all(self.rows):
            raise ValueError("a row is empty")
        return self


def _named(name: str, *rows: str) -> SheetLayout:
    return SheetLayout(name=name, rows=tuple(tuple(row.split()) for row in rows))


BUILT_IN_LAYOUTS: Final = (
    _named("ISCN", "1 2 3 4 5", "6 7 8 9 10 11 12", "13 14 15 16 17 18", f"19 20 21 22 X Y {MARKER}"),
    _named("X in group C", "1 2 3 4 5", "6 7 8 9 10 11 12 X", "13 14 15 16 17 18", f"19 20 21 22 Y {MARKER}"),
    _named("X second in group C", "1 2 3 4 5", "6 X 7 8 9 10 11 12", "13 14 15 16 17 18",
           f"19 20 21 22 Y {MARKER}"),
    _named("four rows of six", "1 2 3 4 5 6", "7 8 9 10 11 12", "13 14 15 16 17 18", f"19 20 21 22 X Y {MARKER}"),
    _named("three rows of eight", "1 2 3 4 5 6 7 8", "9 10 11 12 13 14 15 16", f"17 18 19 20 21 22 X Y {MARKER}"),
    _named("groups apart", "1 2 3", "4 5", "6 7 8 9 10 11 12", "13 14 15", "16 17 18", "19 20",
           f"21 22 X Y {MARKER}"),
    _named("five rows", "1 2 3 4 5", "6 7 8 9 10 11 12", "13 14 15", "16 17 18", f"19 20 21 22 X Y {MARKER}"),
)  # fmt: skip
"""Layouts that are tried where none is given; the one that most of the printed labels agree with is taken."""

PRINTED_NAMES: Final = (*CLASS_NAMES, MARKER)
"""What a label can say."""
