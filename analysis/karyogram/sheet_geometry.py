"""A karyogram sheet as plain geometry: what stands where, in px of the sheet, without any drawing."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from analysis.banding.ideogram import Ideogram


class ReviewMark(StrEnum):
    """What a chromosome asks of a person; `NONE` where its class is certain."""

    NONE = ""
    CHECK = "check"
    REVIEW = "must review"


class Ink(StrEnum):
    """What a thing is drawn for; painters choose the colours."""

    BLACK = "black"
    PALE = "pale"
    WARNING = "warning"
    ALARM = "alarm"


@dataclass(frozen=True, slots=True)
class KaryogramItem:
    """One chromosome of a karyogram.

    Attributes
    ----------
    picture
        uint8, shape (h, w): upright, white outside.
    class_name
        "1".."22", "X", "Y", "mar" or "?".
    mark
        What it asks of a person.
    centromere_px
        Row of the centromere in the picture; None where it isn't measured.
    derivative
        True where it is the odd one of a pair: it stands right of its normal homologue.
    length_px
        Length along the bent chromosome in px of the picture; 0 where only its height is known.
    enlargement
        Px of the picture a px of the metaphase.
    """

    picture: NDArray[np.uint8]
    class_name: str
    mark: ReviewMark = ReviewMark.NONE
    centromere_px: float | None = None
    derivative: bool = False
    length_px: float = 0.0
    enlargement: float = 1.0


@dataclass(frozen=True, slots=True)
class Box:
    """Rectangle in px of the sheet, from its upper left corner."""

    x: float
    y: float
    width: float
    height: float

    @property
    def right(self) -> float:
        """Right border."""
        return self.x + self.width

    @property
    def bottom(self) -> float:
        """Lower border."""
        return self.y + self.height

    def moved(self, x: float, y: float) -> Box:
        """The same rectangle elsewhere.

        Parameters
        ----------
        x, y
            How far it is moved, in px.
        """
        return replace(self, x=self.x + x, y=self.y + y)


@dataclass(frozen=True, slots=True)
class ChromosomeTile:
    """A chromosome at its place; ``number`` is its index among the items, ``centromere_y`` px of the sheet."""

    number: int
    item: KaryogramItem
    box: Box
    centromere_y: float | None


@dataclass(frozen=True, slots=True)
class DrawnIdeogram:
    """An ideogram at its place."""

    class_name: str
    bands: Ideogram
    box: Box

    @property
    def centromere_y(self) -> float:
        """Px of the sheet."""
        return self.box.y + self.bands.centromere * self.box.height


@dataclass(frozen=True, slots=True)
class SheetText:
    """A line of text; ``y`` is its base line, ``anchor`` the part of its width left of ``x`` (0, 0.5 or 1)."""

    text: str
    x: float
    y: float
    size_px: float
    ink: Ink = Ink.BLACK
    anchor: float = 0.0


@dataclass(frozen=True, slots=True)
class SheetLine:
    """A straight line."""

    x0: float
    y0: float
    x1: float
    y1: float
    ink: Ink = Ink.BLACK


@dataclass(frozen=True, slots=True)
class MarkSign:
    """A mark under a chromosome, by its middle."""

    mark: ReviewMark
    x: float
    y: float


@dataclass(frozen=True, slots=True)
class KaryogramSheet:
    """A karyogram's geometry, in px; painters draw each kind in the order it stands here."""

    width: float
    height: float
    tiles: tuple[ChromosomeTile, ...] = ()
    ideograms: tuple[DrawnIdeogram, ...] = ()
    rules: tuple[SheetLine, ...] = ()
    marks: tuple[MarkSign, ...] = ()
    texts: tuple[SheetText, ...] = ()


@dataclass(slots=True)
class SheetDraft:
    """Things placed so far, in px from a corner of their own."""

    tiles: list[ChromosomeTile] = field(default_factory=list)
    ideograms: list[DrawnIdeogram] = field(default_factory=list)
    rules: list[SheetLine] = field(default_factory=list)
    marks: list[MarkSign] = field(default_factory=list)
    texts: list[SheetText] = field(default_factory=list)

    def take(self, other: SheetDraft, x: float, y: float) -> None:
        """Take over another draft's things.

        Parameters
        ----------
        other
            The draft.
        x, y
            Where its corner comes to stand.
        """
        for tile in other.tiles:
            line = None if tile.centromere_y is None else tile.centromere_y + y
            self.tiles.append(ChromosomeTile(tile.number, tile.item, tile.box.moved(x, y), line))
        self.ideograms += [replace(drawn, box=drawn.box.moved(x, y)) for drawn in other.ideograms]
        self.rules += [replace(r, x0=r.x0 + x, x1=r.x1 + x, y0=r.y0 + y, y1=r.y1 + y) for r in other.rules]
        self.marks += [replace(sign, x=sign.x + x, y=sign.y + y) for sign in other.marks]
        self.texts += [replace(text, x=text.x + x, y=text.y + y) for text in other.texts]
