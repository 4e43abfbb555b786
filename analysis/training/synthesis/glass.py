"""Ground that fields are composed on: grain and haze of empty glass, bubbles and the coverslip's edge."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from analysis.training.synthesis.canvas import Canvas
from analysis.training.synthesis.cutout import CUTOUT_UM_PER_PX
from analysis.training.synthesis.truth import ComposedMetaphase
from simulators.specimen.glass import Bubble, Coverslip

BUBBLE = "bubble"
COVERSLIP_EDGE = "coverslip_edge"


@dataclass(frozen=True, slots=True)
class ComposedGlassSettings:
    """Bubbles and the coverslip's edge. Lengths in um."""

    fold_um: float = 1.3
    """Pixel that smooth features are drawn at."""
    spacing_um: float = 30.0
    """Radius of one place of the truth along an edge."""
    edge_offset: float = 0.35
    """Of the coverslip's edge from the middle, over the field's shorter side, at most."""
    slip_half_um: float = 11000.0
    """Half a coverslip's width."""
    slip_height_um: float = 50000.0
    """Its length."""
    edge_reach: float = 0.7
    """Truth goes as far along the edge, over the field's half circumference."""
    bubble_radius_um: tuple[float, float] = (18.0, 400.0)
    """From smaller than a metaphase to larger than the field."""
    bubble_depth: tuple[float, float] = (0.0, 0.08)
    """Density within."""
    single_place: float = 1.4
    """Bubbles smaller than this many spacings are one place."""
    least_radius_um: float = 12.0
    """No truth is smaller."""
    tiles: int = 64
    """Tiles of ground that a slide uses at most."""


_SETTINGS: Final = ComposedGlassSettings()
_HALF_TURN_DEG: Final = 180.0
_NATURAL: Final = 2.3
"""Glass features have decadic densities."""


def ground(
    tiles: Sequence[NDArray[np.float32]],
    shape: tuple[int, int],
    um_per_px: float,
    rng: np.random.Generator,
) -> NDArray[np.float32]:
    """Empty ground of any size from small tiles of real one, and its slow unevenness.

    Tiles fade into one another by cosine windows, over-laid half and half and divided by the root of the windows'
    squares, so that the grain keeps its strength (overlap-add of random tiles).

    Parameters
    ----------
    tiles
        float32, square, alike in size.
    shape
        Rows and columns.
    um_per_px
        Pixel size of the ground.
    rng
        Source of the choice.

    Returns
    -------
    ndarray
        float32 of this shape, mean near 0.
    """
    if not tiles:
        return np.zeros(shape, np.float32)
    side = round(tiles[0].shape[0] * CUTOUT_UM_PER_PX / um_per_px)
    half = max(side // 2, 1)
    side = 2 * half
    window = np.sin(np.pi * (np.arange(side) + 0.5) / side).astype(np.float32)
    weight = window[:, None] * window[None, :]
    rows, columns = math.ceil(shape[0] / half) + 1, math.ceil(shape[1] / half) + 1
    total = np.zeros(((rows + 1) * half, (columns + 1) * half), np.float32)
    few = [tiles[int(k)] for k in rng.integers(len(tiles), size=min(len(tiles), _SETTINGS.tiles))]
    ready = [
        np.asarray(cv2.resize(tile, (side, side), interpolation=cv2.INTER_AREA), np.float32) * weight
        for tile in few
    ]
    for row in range(rows):
        for column in range(columns):
            piece = ready[int(rng.integers(len(ready)))]
            turned = np.rot90(piece, int(rng.integers(4)))
            total[row * half : row * half + side, column * half : column * half + side] += turned
    return np.ascontiguousarray(total[half : half + shape[0], half : half + shape[1]])


def lay_coverslip_edge(canvas: Canvas, rng: np.random.Generator, strength: float) -> list[ComposedMetaphase]:
    """Lay the coverslip's edge across a field; places along it are its truth.

    Parameters
    ----------
    canvas
        The field.
    rng
        Source of the place.
    strength
        Factor of its density.
    """
    height, width = (side * canvas.um_per_px for side in canvas.matter.shape)
    angle = float(rng.uniform(-_HALF_TURN_DEG, _HALF_TURN_DEG))
    offset = float(rng.uniform(-_SETTINGS.edge_offset, _SETTINGS.edge_offset)) * min(height, width)
    turn = math.radians(angle)
    # The slip's left edge runs through the field; the slip itself lies far to one side.
    half = _SETTINGS.slip_half_um
    x_um = width / 2.0 + (half + offset) * math.cos(turn)
    y_um = height / 2.0 + (half + offset) * math.sin(turn)
    slip = Coverslip(x_um, y_um, 2.0 * half, _SETTINGS.slip_height_um, angle)
    _lay(canvas, slip, strength)
    foot = np.array([width / 2.0 + offset * math.cos(turn), height / 2.0 + offset * math.sin(turn)])
    along = np.array([-math.sin(turn), math.cos(turn)])
    reach = np.arange(
        -_SETTINGS.edge_reach * (height + width),
        _SETTINGS.edge_reach * (height + width),
        2.0 * _SETTINGS.spacing_um,
    )
    return _truth(canvas, COVERSLIP_EDGE, foot + reach[:, None] * along)


def lay_bubble(canvas: Canvas, rng: np.random.Generator, strength: float) -> list[ComposedMetaphase]:
    """Lay an air bubble, now and then larger than the field; places along its rim are its truth.

    Parameters
    ----------
    canvas
        The field.
    rng
        Source of place and size.
    strength
        Factor of its density.
    """
    height, width = (side * canvas.um_per_px for side in canvas.matter.shape)
    radius = float(np.exp(rng.uniform(*np.log(_SETTINGS.bubble_radius_um))))
    bubble = Bubble(
        float(rng.uniform(0.0, width)),
        float(rng.uniform(0.0, height)),
        radius,
        float(rng.uniform(*_SETTINGS.bubble_depth)),
        float(rng.uniform(0.0, 2.0 * math.pi)),
    )
    _lay(canvas, bubble, strength)
    count = max(round(2.0 * math.pi * radius / (2.0 * _SETTINGS.spacing_um)), 1)
    centre = np.array([bubble.x_um, bubble.y_um])
    if radius < _SETTINGS.single_place * _SETTINGS.spacing_um:
        return _truth(canvas, BUBBLE, centre[None], max(radius, _SETTINGS.least_radius_um))
    angles = np.linspace(0.0, 2.0 * math.pi, count, endpoint=False)
    return _truth(canvas, BUBBLE, centre + radius * np.stack([np.cos(angles), np.sin(angles)], axis=1))


def _lay(canvas: Canvas, feature: Coverslip | Bubble, strength: float) -> None:
    rows, columns = canvas.matter.shape
    step = max(_SETTINGS.fold_um, canvas.um_per_px)
    share = step / canvas.um_per_px
    small = (math.ceil(rows / share) + 1, math.ceil(columns / share) + 1)
    x_um, y_um = np.meshgrid((np.arange(small[1]) + 0.5) * step, (np.arange(small[0]) + 0.5) * step)
    od = feature.od(x_um, y_um).astype(np.float32) * np.float32(_NATURAL * strength)
    matrix = np.array([[1.0 / share, 0.0, 0.5 / share - 0.5], [0.0, 1.0 / share, 0.5 / share - 0.5]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    canvas.matter += cv2.warpAffine(od, matrix, (columns, rows), flags=flags, borderMode=cv2.BORDER_REPLICATE)


def _truth(
    canvas: Canvas, kind: str, places_um: NDArray[np.float64], radius_um: float = _SETTINGS.spacing_um
) -> list[ComposedMetaphase]:
    rows, columns = canvas.matter.shape
    found = []
    for x_um, y_um in places_um:
        x_px, y_px = float(x_um) / canvas.um_per_px, float(y_um) / canvas.um_per_px
        if 0.0 <= x_px < columns and 0.0 <= y_px < rows:
            found.append(
                ComposedMetaphase(
                    x_px, y_px, radius_um / canvas.um_per_px, is_metaphase=False, kind=kind, analysable=False
                )
            )
    return found
