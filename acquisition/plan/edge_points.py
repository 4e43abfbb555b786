"""Places of a coarse picture through which a straight edge, nearly along the slide's axes, may run.

The cut edge of a coverslip throws light aside: in transmitted light it is a dark line some ten micrometres wide,
in fluorescence a faintly glowing one. A picture is cut into strips across the line that is looked for; the median
along a strip's short side keeps what runs through the whole strip, and drops cells, nuclei and debris.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import median_filter

from scanner.coordinates import ImagePoint, SlideFrame, SlidePoint
from scanner.frame import Frame

COARSE_UM = 4.0
"""Size of the pixels that are searched: a third of the line's width."""

STRIP_UM = 80.0
"""Short side of a strip; a line turned by five degrees leaves its pixel column by two pixels within it."""

# A line stands out from its strip by this many robust deviations, and by at least this much optical density.
_MIN_NOISES = 6.0
_MIN_OD = 0.03
# Standard deviation of a normal distribution, from its median absolute deviation.
_SIGMA_OF_MAD = 1.4826
# What is wider than this is light that falls off, a nucleus on every row, or the label: no line.
_LINE_UM = 60.0
# Lines nearer than this to each other are the dark and bright sides of one.
_APART_UM = 100.0
_MAX_LINES = 3


class Direction(StrEnum):
    """Which way an edge runs on the slide."""

    ALONG = "along"
    ACROSS = "across"


@dataclass(frozen=True, slots=True)
class CoarseTile:
    """One picture of the coarse pass and where it lies.

    Attributes
    ----------
    pixels
        uint8 or uint16, shape (rows, columns).
    corner
        Slide point of the centre of pixel (0, 0).
    column_um, row_um
        Step on the slide, (x, y), from a pixel to its right and to its lower neighbour.
    """

    pixels: NDArray[np.uint16] | NDArray[np.uint8]
    corner: SlidePoint
    column_um: tuple[float, float]
    row_um: tuple[float, float]

    @classmethod
    def of_frame(cls, frame: Frame, slide: SlideFrame) -> CoarseTile:
        """A picture as the microscope took it.

        Parameters
        ----------
        frame
            The picture and where it was taken.
        slide
            How the slide lies on the stage.
        """

        def seen_at(x_px: float, y_px: float) -> SlidePoint:
            return slide.to_slide(frame.view.to_stage(ImagePoint(x_px, y_px)))

        corner, right, below = seen_at(0, 0), seen_at(1, 0), seen_at(0, 1)
        return cls(
            frame.pixels,
            corner,
            (right.x_um - corner.x_um, right.y_um - corner.y_um),
            (below.x_um - corner.x_um, below.y_um - corner.y_um),
        )

    @property
    def um_per_px(self) -> float:
        """Size of a pixel on the slide."""
        return float(np.hypot(*self.column_um))

    def on_slide(self, column: float, row: float) -> tuple[float, float]:
        """Slide point, (x, y), of a pixel; fractions are allowed.

        Parameters
        ----------
        column, row
            Place in the picture, px.
        """
        return (
            self.corner.x_um + column * self.column_um[0] + row * self.row_um[0],
            self.corner.y_um + column * self.column_um[1] + row * self.row_um[1],
        )


@dataclass(frozen=True, slots=True)
class EdgePoint:
    """A place through which an edge may run.

    Attributes
    ----------
    direction
        Which way the edge would run.
    x_um, y_um
        The place on the slide.
    strength
        Optical density by which the line stands out, without sign.
    strip
        Number of the strip it was found in; every strip of a coarse pass has its own.
    """

    direction: Direction
    x_um: float
    y_um: float
    strength: float
    strip: int


@dataclass(frozen=True, slots=True)
class Strip:
    """A strip that was searched: an edge that runs through it should have left a point.

    Attributes
    ----------
    number
        As in `EdgePoint`.
    direction
        Which way an edge would run.
    start_um, end_um
        Middles of the short sides, (x, y) on the slide: the way that was searched.
    """

    number: int
    direction: Direction
    start_um: tuple[float, float]
    end_um: tuple[float, float]


def search_tiles(tiles: Iterable[CoarseTile]) -> tuple[list[Strip], list[EdgePoint]]:
    """Search pictures for places of edges, of either direction."""
    strips: list[Strip] = []
    points: list[EdgePoint] = []
    for tile in tiles:
        small, step_px = _shrunk(tile)
        # Whichever image axis runs along the slide's x: an edge across the slide is crossed by going along x.
        by_columns = Direction.ACROSS if abs(tile.column_um[0]) >= abs(tile.column_um[1]) else Direction.ALONG
        by_rows = Direction.ALONG if by_columns is Direction.ACROSS else Direction.ACROSS
        for picture, direction, turned in ((small, by_columns, False), (small.T, by_rows, True)):
            _search(tile, picture, step_px, direction, strips, points, turned=turned)
    return strips, points


def _shrunk(tile: CoarseTile) -> tuple[NDArray[np.float32], float]:
    """Optical density against the tile's own median, in coarse pixels, and their size in pixels."""
    factor = max(1.0, COARSE_UM / tile.um_per_px)
    rows, columns = tile.pixels.shape
    size = (max(1, round(columns / factor)), max(1, round(rows / factor)))
    small = cv2.resize(tile.pixels.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    od = -np.log10((small + 1.0) / (float(np.median(small)) + 1.0))
    return np.asarray(od, dtype=np.float32), columns / size[0]


def _search(
    tile: CoarseTile,
    picture: NDArray[np.float32],
    step_px: float,
    direction: Direction,
    strips: list[Strip],
    points: list[EdgePoint],
    *,
    turned: bool,
) -> None:
    coarse_um = tile.um_per_px * step_px
    rows = max(1, round(STRIP_UM / coarse_um))
    count, width = picture.shape[0] // rows, picture.shape[1]
    if count == 0:
        return
    profiles = np.median(picture[: count * rows].reshape(count, rows, width), axis=1)
    rests, limits = _deviations(profiles, coarse_um)
    for index in range(count):
        middle = rows * index + (rows - 1) / 2

        def place(sample: float, middle: float = middle) -> tuple[float, float]:
            # Centre of coarse pixel k lies at (k + 1/2) steps from the edge of the picture.
            along, across = (sample + 0.5) * step_px - 0.5, (middle + 0.5) * step_px - 0.5
            return tile.on_slide(across, along) if turned else tile.on_slide(along, across)

        number = len(strips)
        strips.append(Strip(number, direction, place(0), place(width - 1)))
        for sample, strength in _lines(rests[index], float(limits[index]), coarse_um):
            x_um, y_um = place(sample)
            points.append(EdgePoint(direction, x_um, y_um, strength, number))


def _deviations(
    profiles: NDArray[np.float32], coarse_um: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Narrow deviations of profiles, without sign, and from what on they count."""
    width = 2 * round(_LINE_UM / coarse_um) + 1
    rests = np.abs(profiles - median_filter(profiles, size=(1, width), mode="reflect"))
    limits = np.maximum(_MIN_OD, _MIN_NOISES * _SIGMA_OF_MAD * np.median(rests, axis=1))
    return rests, limits.astype(np.float32)


def _lines(rest: NDArray[np.float32], limit: float, coarse_um: float) -> list[tuple[float, float]]:
    """Strongest deviations of a profile: place in samples, and strength."""
    rest = rest.copy()
    reach = round(_APART_UM / coarse_um)
    found: list[tuple[float, float]] = []
    while len(found) < _MAX_LINES:
        peak = int(np.argmax(rest))
        if rest[peak] < limit:
            break
        found.append((_vertex(rest, peak), float(rest[peak])))
        rest[max(0, peak - reach) : peak + reach + 1] = 0.0
    return found


def _vertex(values: NDArray[np.float32], peak: int) -> float:
    if not 0 < peak < values.size - 1:
        return float(peak)
    before, at, after = (float(v) for v in values[peak - 1 : peak + 2])
    bend = before - 2 * at + after
    return peak + (0.5 * (before - after) / bend if bend < 0 else 0.0)
