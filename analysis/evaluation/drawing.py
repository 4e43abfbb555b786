"""Plain diagrams as pictures: axes, lines, points, and words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

Rgb = NDArray[np.uint8]
Colour = tuple[int, int, int]

PAPER: Final[Colour] = (255, 255, 255)
INK: Final[Colour] = (30, 30, 30)
GRID: Final[Colour] = (225, 225, 225)
SHADE: Final[Colour] = (226, 240, 226)
# Okabe and Ito's colours: told apart by colour-blind eyes as well.
COLOURS: Final[tuple[Colour, ...]] = (
    (0, 114, 178),
    (213, 94, 0),
    (0, 158, 115),
    (204, 121, 167),
    (86, 180, 233),
    (120, 120, 120),
)

_AXIS_SCALE, _LEGEND_SCALE, _NAME_SCALE, _TITLE_SCALE = 0.4, 0.42, 0.45, 0.52
"""Sizes of OpenCV's font."""

_FAR_PX = 1e6
"""Beyond any picture, and within what OpenCV can draw."""

_FONT: Final = cv2.FONT_HERSHEY_SIMPLEX
_SHIFT: Final = 4


def blank(height_px: int, width_px: int) -> Rgb:
    """A white picture, uint8 of shape (height_px, width_px, 3).

    Parameters
    ----------
    height_px, width_px
        Its size.
    """
    return np.full((height_px, width_px, 3), PAPER, np.uint8)


def put_text(
    picture: Rgb, text: str, at_px: tuple[int, int], size: float, colour: Colour = INK, *, centred: bool = False
) -> None:
    """Write on a picture.

    Parameters
    ----------
    picture
        Drawn on, uint8 of shape (height, width, 3).
    text
        What is written; letters beyond ASCII become question marks.
    at_px
        x and y of the left end of the base line, or of its middle.
    size
        Size of OpenCV's font.
    colour
        Of the letters.
    centred
        Whether `at_px` is the middle.
    """
    # Hershey fonts know ASCII alone.
    shown = text.encode("ascii", "replace").decode("ascii")
    x, y = at_px
    if centred:
        (width, _), _ = cv2.getTextSize(shown, _FONT, size, 1)
        x -= width // 2
    cv2.putText(picture, shown, (x, y), _FONT, size, colour, 1, cv2.LINE_AA)


@dataclass(frozen=True, slots=True)
class Axes:
    """A rectangle of a picture with a scale.

    Attributes
    ----------
    picture
        Drawn on, uint8 of shape (height, width, 3).
    box_px
        left, top, right, bottom.
    x_range, y_range
        Values at the ends.
    """

    picture: Rgb
    box_px: tuple[int, int, int, int]
    x_range: tuple[float, float]
    y_range: tuple[float, float]

    def frame(self, title: str, x_name: str, y_name: str, *, ticks: int = 5) -> None:
        """Draw frame, grid, ticks and names.

        Parameters
        ----------
        title
            Above the frame.
        x_name, y_name
            Names of the axes.
        ticks
            Steps of the grid.
        """
        left, top, right, bottom = self.box_px
        for part in np.linspace(0.0, 1.0, ticks + 1):
            x, y = round(left + part * (right - left)), round(bottom - part * (bottom - top))
            cv2.line(self.picture, (x, top), (x, bottom), GRID, 1)
            cv2.line(self.picture, (left, y), (right, y), GRID, 1)
            x_value = self.x_range[0] + part * (self.x_range[1] - self.x_range[0])
            y_value = self.y_range[0] + part * (self.y_range[1] - self.y_range[0])
            put_text(self.picture, f"{x_value:.2f}", (x, bottom + 18), _AXIS_SCALE, centred=True)
            put_text(self.picture, f"{y_value:.2f}", (left - 36, y + 4), _AXIS_SCALE)
        cv2.rectangle(self.picture, (left, top), (right, bottom), INK, 1)
        put_text(self.picture, title, (left, top - 12), _TITLE_SCALE)
        put_text(self.picture, x_name, ((left + right) // 2, bottom + 38), _NAME_SCALE, centred=True)
        self._upright(y_name)

    def shade(self, x_from: float, y_from: float) -> None:
        """Shade the corner from these values on.

        Parameters
        ----------
        x_from, y_from
            Values from which on it is shaded, up to the right upper corner.
        """
        (x, y), right, top = self._px(x_from, y_from), self.box_px[2], self.box_px[1]
        cv2.rectangle(self.picture, (round(x), round(y)), (right, top), SHADE, -1)

    def line(self, xs: Sequence[float], ys: Sequence[float], colour: Colour, *, width_px: int = 2) -> None:
        """Join points; parts outside the frame are left out.

        Parameters
        ----------
        xs, ys
            Values of the points.
        colour
            Of the line.
        width_px
            Its width.
        """
        points = [self._px(float(x), float(y)) for x, y in zip(xs, ys, strict=True)]
        own = self.picture[self.box_px[1] : self.box_px[3] + 1, self.box_px[0] : self.box_px[2] + 1]
        inner = np.ascontiguousarray(own)
        moved = [[(x - self.box_px[0]) * 2**_SHIFT, (y - self.box_px[1]) * 2**_SHIFT] for x, y in points]
        if moved:
            drawn = np.clip(np.array(moved), -_FAR_PX, _FAR_PX).astype(np.int32)
            cv2.polylines(inner, [drawn], False, colour, width_px, cv2.LINE_AA, _SHIFT)
            own[...] = inner

    def dot(self, x: float, y: float, colour: Colour, *, radius_px: int = 5) -> None:
        """Draw one point, if it lies within the frame.

        Parameters
        ----------
        x, y
            Its values.
        colour
            Of the point.
        radius_px
            Its radius.
        """
        if self.x_range[0] <= x <= self.x_range[1] and self.y_range[0] <= y <= self.y_range[1]:
            at_x, at_y = self._px(x, y)
            centre = (round(at_x * 2**_SHIFT), round(at_y * 2**_SHIFT))
            cv2.circle(self.picture, centre, radius_px * 2**_SHIFT, colour, -1, cv2.LINE_AA, _SHIFT)

    def legend(self, entries: Sequence[tuple[str, Colour]], at_px: tuple[int, int]) -> None:
        """Name the colours, from a corner downwards.

        Parameters
        ----------
        entries
            Names and their colours.
        at_px
            x and y of the upper left corner.
        """
        for number, (name, colour) in enumerate(entries):
            x, y = at_px[0], at_px[1] + 20 * number
            cv2.line(self.picture, (x, y - 4), (x + 22, y - 4), colour, 3, cv2.LINE_AA)
            put_text(self.picture, name, (x + 30, y), _LEGEND_SCALE)

    def _px(self, x: float, y: float) -> tuple[float, float]:
        left, top, right, bottom = self.box_px
        across = (x - self.x_range[0]) / (self.x_range[1] - self.x_range[0])
        up = (y - self.y_range[0]) / (self.y_range[1] - self.y_range[0])
        return left + across * (right - left), bottom - up * (bottom - top)

    def _upright(self, text: str) -> None:
        """Write the name of the vertical axis from below upwards."""
        (width, height), _ = cv2.getTextSize(text, _FONT, _NAME_SCALE, 1)
        strip = blank(height + 8, width + 4)
        put_text(strip, text, (2, height + 2), _NAME_SCALE)
        turned = np.rot90(strip)
        left, top, _, bottom = self.box_px
        y = max(0, (top + bottom) // 2 - turned.shape[0] // 2)
        x = max(0, left - 40 - turned.shape[1])
        place = self.picture[y : y + turned.shape[0], x : x + turned.shape[1]]
        place[...] = np.minimum(place, turned[: place.shape[0], : place.shape[1]])
