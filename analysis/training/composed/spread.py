"""How the chromosomes of a composed cell come to lie: apart, touching, crossing, side by side, in piles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from analysis.training.composed.field import LaidChromosome, SlideField
from analysis.training.masks.warp import ChromosomePatch

_DIPLOID: Final = 46


@dataclass(frozen=True, slots=True)
class SpreadSettings:
    """How cells spread. Lengths in widths of a chromosome, pairs are ranges that a cell draws from."""

    radius: tuple[float, float] = (9.0, 25.0)
    """Of the disc that 46 chromosomes lie in: at the least they cover two thirds of it, in piles; at the most a
    tenth."""
    log_aspect: float = 0.4
    """Half range of the logarithm of the disc's aspect: drops spread unevenly."""
    radial_power: tuple[float, float] = (0.45, 0.8)
    """Of a uniform number, for the distance from the middle: 0.5 fills the disc evenly, more is denser inside."""
    room: tuple[float, float] = (-1.5, 12.0)
    """Between the disc and each border of the field: from cut off to a cell alone in a wide field."""
    longest_side: float = 52.0
    """Of the field: farther out there is nothing to be learned that the nearer field doesn't show."""
    free: tuple[float, float] = (0.15, 0.9)
    """Chance that a chromosome is laid where nothing lies, if such a place is met."""
    beside: tuple[float, float] = (0.02, 0.3)
    """Chance that it is pushed against another one instead of laid anywhere."""
    parallel: tuple[float, float] = (0.1, 0.6)
    """Chance that a chromosome that is pushed lies as its neighbour: side by side they are hardest to part."""
    parallel_spread_rad: float = 0.18
    """How far chromosomes side by side are off from parallel."""
    most_hidden: float = 0.42
    """Of a chromosome's area under others when it is laid: nobody could outline one that shows less."""
    touching_px: tuple[float, float] = (-1.6, 1.4)
    """Gap of bodies that touch: some run into one another by the blur of their edges."""
    target: tuple[float, float] = (0.2, 0.8)
    """Of the neighbour's frame, where a chromosome is pushed to: ends touch sides, not always the middle."""
    touching_hidden: float = 0.15
    """Of a pushed body's area at most; more is a crossing."""
    least_inside: float = 0.75
    """Of a chromosome's box that lies within the field: cut ones are left out of a karyotype."""
    tries: int = 9
    """Places that are looked at; the best of them is taken."""
    search_steps: int = 7
    """Halvings of the distance, to a pixel."""


@dataclass(frozen=True, slots=True)
class CellSpread:
    """How one cell spreads, drawn once.

    Attributes
    ----------
    middle_px
        Middle (x, y) of the disc in the field.
    half_px
        Half axes (x, y) of the disc.
    radial_power, free, beside, parallel
        As of `SpreadSettings`, of this cell.
    size_px
        (height, width) of the field.
    """

    middle_px: tuple[float, float]
    half_px: tuple[float, float]
    radial_power: float
    free: float
    beside: float
    parallel: float
    size_px: tuple[int, int]


def draw_spread(count: int, width_px: float, rng: np.random.Generator, settings: SpreadSettings) -> CellSpread:
    """Draw how a cell spreads.

    Parameters
    ----------
    count
        Of its chromosomes.
    width_px
        Of a chromosome.
    rng
        Decides everything.
    settings
        How much cells vary.
    """
    low, high = np.log(settings.radius)
    radius = float(np.exp(rng.uniform(low, high))) * float(np.sqrt(count / _DIPLOID))
    aspect = float(np.exp(rng.uniform(-settings.log_aspect, settings.log_aspect) / 2.0))
    half = np.asarray([radius * aspect, radius / aspect])
    before, behind = rng.uniform(*settings.room, 2), rng.uniform(*settings.room, 2)
    sides = np.minimum(2.0 * half + before + behind, settings.longest_side)
    middle = np.minimum(half + before, sides - 1.0)
    height, width = (round(float(value) * width_px) for value in sides[::-1])
    return CellSpread(
        middle_px=(float(middle[0]) * width_px, float(middle[1]) * width_px),
        half_px=(float(half[0]) * width_px, float(half[1]) * width_px),
        radial_power=float(rng.uniform(*settings.radial_power)),
        free=float(rng.uniform(*settings.free)),
        beside=float(rng.uniform(*settings.beside)),
        parallel=float(rng.uniform(*settings.parallel)),
        size_px=(height, width),
    )


def neighbour_to_push_against(
    slide: SlideField, spread: CellSpread, rng: np.random.Generator
) -> LaidChromosome | None:
    """Choose the chromosome that the next one is pushed against; None where it is laid anywhere.

    Parameters
    ----------
    slide
        What lies there.
    spread
        How the cell spreads.
    rng
        Decides everything.
    """
    if not slide.chromosomes or rng.random() >= spread.beside:
        return None
    return slide.chromosomes[int(rng.integers(len(slide.chromosomes)))]


def place_beside(
    slide: SlideField,
    patch: ChromosomePatch,
    neighbour: LaidChromosome,
    rng: np.random.Generator,
    settings: SpreadSettings,
) -> tuple[int, int] | None:
    """Push a chromosome towards another one until they touch.

    Parameters
    ----------
    slide
        What lies there.
    patch
        The chromosome.
    neighbour
        What it is pushed against.
    rng
        Decides everything.
    settings
        What is a touch.

    Returns
    -------
    tuple
        Place (x, y) of the patch; None where it would be cut by the border or lie across.
    """
    direction_rad = float(rng.uniform(0.0, 2.0 * np.pi))
    direction = np.asarray([np.cos(direction_rad), np.sin(direction_rad)])
    size = np.asarray(patch.mask.shape[::-1], np.float64)
    extent = np.asarray(neighbour.mask.shape[::-1], np.float64)
    target = np.asarray([neighbour.x_px, neighbour.y_px]) + extent * rng.uniform(*settings.target, 2)
    near, far = 0.0, float(np.hypot(*size) + np.hypot(*extent)) / 2.0
    for _ in range(settings.search_steps):
        half = 0.5 * (near + far)
        x, y = _corner(target + half * direction, size)
        if slide.occupied_px(patch.mask, x, y) > 0:
            near = half
        else:
            far = half
    x, y = _corner(target + (far + float(rng.uniform(*settings.touching_px))) * direction, size)
    most = settings.touching_hidden * np.count_nonzero(patch.mask)
    is_touch = slide.occupied_px(patch.mask, x, y) <= most
    return (x, y) if is_touch and _is_inside(slide, patch, x, y, settings) else None


def place_anywhere(
    slide: SlideField,
    patch: ChromosomePatch,
    spread: CellSpread,
    rng: np.random.Generator,
    settings: SpreadSettings,
) -> tuple[int, int] | None:
    """Choose a place in the disc: one where nothing lies, or one across others that still shows the chromosome.

    Parameters
    ----------
    slide
        What lies there.
    patch
        The chromosome.
    spread
        How the cell spreads.
    rng
        Decides everything.
    settings
        How much may be hidden.

    Returns
    -------
    tuple
        Place (x, y) of the patch; None where every place that was tried hides too much.
    """
    most = settings.most_hidden * np.count_nonzero(patch.mask)
    wants_free = rng.random() < spread.free
    size = np.asarray(patch.mask.shape[::-1], np.float64)
    best: tuple[int, int] | None = None
    least_hidden = float(most)
    for _ in range(settings.tries):
        turn = float(rng.uniform(0.0, 2.0 * np.pi))
        out = float(rng.random()) ** spread.radial_power
        centre = np.asarray(spread.middle_px) + out * np.asarray(
            [np.cos(turn) * spread.half_px[0], np.sin(turn) * spread.half_px[1]]
        )
        x, y = _corner(centre, size)
        if not _is_inside(slide, patch, x, y, settings):
            continue
        hidden = slide.occupied_px(patch.mask, x, y)
        if hidden <= (0 if wants_free else most):
            return x, y
        if hidden < least_hidden:
            best, least_hidden = (x, y), float(hidden)
    return best


def _corner(centre: NDArray[np.float64], size: NDArray[np.float64]) -> tuple[int, int]:
    x, y = np.rint(centre - size / 2.0)
    return int(x), int(y)


def _is_inside(slide: SlideField, patch: ChromosomePatch, x: int, y: int, settings: SpreadSettings) -> bool:
    """Whether enough of a patch' frame lies within the field."""
    height, width = patch.mask.shape
    rows, columns = slide.level.shape
    shown = max(0, min(columns, x + width) - max(0, x)) * max(0, min(rows, y + height) - max(0, y))
    return bool(shown >= settings.least_inside * width * height)
