"""A metaphase of a given quality."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from simulators.specimen.banding import Banding
from simulators.specimen.cell import RenderedCell, Spread, render_cell
from simulators.specimen.chromosome import ChromosomeAppearance, banded, draw_appearance
from simulators.specimen.clutter import render_clump, render_nucleus
from simulators.specimen.karyotype import SpecimenKaryotype
from simulators.specimen.quality import Quality
from simulators.specimen.variation import Uniform

_GROWTH = 1.35
"""A spread's disc grows by no more than this where chromosomes find no room."""

_MARGIN_UM = 4.0
_CLUMP_UM = 16.0


@dataclass(frozen=True, slots=True)
class SpoiledCellSettings:
    """What spoils a cell beyond its chromosomes; set by eye against fields of routine slides.

    Attributes
    ----------
    clump_radius_um, clump_reach
        Radius of a pyknotic clump, and what lies about it, over the radius.
    second_nucleus
        Probability that a covered cell lies under two nuclei.
    nucleus_radius_um
        Radius of a covering nucleus.
    nucleus_place, nucleus_inset_um
        Distance of its middle from the cell's over the cell's radius; at least so far inside the rim that it
        covers chromosomes.
    """

    clump_radius_um: Uniform = Uniform(4.0, 8.0)
    clump_reach: float = 1.3
    second_nucleus: float = 0.35
    nucleus_radius_um: Uniform = Uniform(9.0, 12.0)
    nucleus_place: Uniform = Uniform(0.3, 0.7)
    nucleus_inset_um: float = 10.0


_SPOILED = SpoiledCellSettings()


@dataclass(frozen=True, slots=True)
class _Recipe:
    """How a quality differs from a good spread.

    Attributes
    ----------
    spread
        How chromosomes lie, from how the slide's good ones do.
    appearance
        Stain and condensation, from those of a good one.
    lost_fraction
        Smallest and largest fraction of chromosomes lost.
    blur_um
        Smallest and largest softening of outlines.
    """

    spread: Callable[[Spread], Spread] = lambda spread: spread
    appearance: Callable[[ChromosomeAppearance], ChromosomeAppearance] = lambda appearance: appearance
    lost_fraction: tuple[float, float] = (0.0, 0.0)
    blur_um: tuple[float, float] = (0.0, 0.0)


_RECIPES: dict[Quality, _Recipe] = {
    Quality.SPREAD: _Recipe(),
    Quality.TIGHT: _Recipe(
        spread=lambda s: replace(
            s, radius_um=0.55 * s.radius_um, contacts=26.0, overlap_fraction=0.5, bend_deg=1.2 * s.bend_deg
        )
    ),
    Quality.INCOMPLETE: _Recipe(
        spread=lambda s: replace(s, radius_um=1.1 * s.radius_um), lost_fraction=(0.06, 0.4)
    ),
    Quality.BLURRED: _Recipe(
        appearance=lambda k: replace(
            k,
            band_blur_um=3.5 * k.band_blur_um,
            light_od=0.9 * k.light_od + 0.05,
            dark_od=0.45 * k.dark_od + 0.55 * k.light_od + 0.05,
            chromatid_gap=0.0,
            width=1.12 * k.width,
        ),
        blur_um=(0.22, 0.42),
    ),
    Quality.COVERED: _Recipe(),
    Quality.PROPHASE: _Recipe(
        spread=lambda s: replace(
            s, radius_um=0.75 * s.radius_um, contacts=40.0, overlap_fraction=0.85, bend_deg=2.6 * s.bend_deg
        ),
        appearance=lambda k: replace(
            k,
            condensation=0.56 * k.condensation,
            width=0.8 * k.width,
            chromatid_gap=0.0,
            constriction=0.4 * k.constriction,
            light_od=0.9 * k.light_od,
            dark_od=0.85 * k.dark_od,
        ),
        blur_um=(0.06, 0.14),
    ),
    Quality.BURST: _Recipe(
        spread=lambda s: replace(s, radius_um=1.75 * s.radius_um, contacts=0.6, bend_deg=1.5 * s.bend_deg),
        appearance=lambda k: replace(k, light_od=0.6 * k.light_od, dark_od=0.42 * k.dark_od, width=1.15 * k.width),
        lost_fraction=(0.25, 0.7),
        blur_um=(0.15, 0.3),
    ),
}


def reach_um(quality: Quality, spread: Spread) -> float:
    """Half the side of a square that holds any cell of this quality.

    Parameters
    ----------
    quality
        What became of the cell.
    spread
        How the slide's good cells lie.
    """
    if quality is Quality.CLUMP:
        return _CLUMP_UM
    widest = _RECIPES[quality].spread(spread).radius_um
    if quality in (Quality.TIGHT, Quality.PROPHASE):
        # They are crowded: chromosomes that find no room lie as far out as in a good spread.
        widest = max(widest, spread.radius_um)
    return widest * _GROWTH + _MARGIN_UM


def render_metaphase(
    karyotype: SpecimenKaryotype,
    rng: np.random.Generator,
    *,
    quality: Quality = Quality.SPREAD,
    spread: Spread | None = None,
    banding: Banding = Banding.G,
) -> RenderedCell:
    """Draw a cell of a quality.

    Parameters
    ----------
    karyotype
        Its chromosomes, before the preparation loses any.
    rng
        Source of all variation.
    quality
        What became of it.
    spread
        How good cells of the slide lie.
    banding
        Technique.

    Returns
    -------
    RenderedCell
        With the chromosomes that are there; none of a clump's can be told from the others.
    """
    if quality is Quality.CLUMP:
        return _clump(karyotype, rng)
    recipe = _RECIPES[quality]
    appearance = banded(recipe.appearance(draw_appearance(rng)), banding)
    lost = _losses(len(karyotype.chromosomes), recipe.lost_fraction, rng)
    cell = render_cell(karyotype, rng, spread=recipe.spread(spread or Spread()), appearance=appearance, lost=lost)
    if recipe.blur_um[1] > 0.0:
        sigma_px = float(rng.uniform(*recipe.blur_um)) / cell.um_per_px
        cell = replace(cell, od=np.asarray(cv2.GaussianBlur(cell.od, (0, 0), sigma_px), dtype=np.float32))
    return _covered(cell, rng) if quality is Quality.COVERED else cell


def _losses(count: int, fraction: tuple[float, float], rng: np.random.Generator) -> frozenset[int]:
    if fraction[1] == 0.0:
        return frozenset()
    number = max(round(count * float(rng.uniform(*fraction))), 1)
    return frozenset(int(index) for index in rng.choice(count, number, replace=False))


def _clump(karyotype: SpecimenKaryotype, rng: np.random.Generator) -> RenderedCell:
    radius_um = _SPOILED.clump_radius_um.draw(rng)
    patch = render_clump(rng, radius_um)
    return RenderedCell(patch.od, patch.um_per_px, (), karyotype.iscn, radius_um * _SPOILED.clump_reach)


def _covered(cell: RenderedCell, rng: np.random.Generator) -> RenderedCell:
    """Lay one or two nuclei over the outer part of the cell."""
    od = cell.od.copy()
    for _ in range(1 + int(rng.random() < _SPOILED.second_nucleus)):
        patch = render_nucleus(rng, _SPOILED.nucleus_radius_um.draw(rng))
        size = round(patch.od.shape[0] * patch.um_per_px / cell.um_per_px)
        nucleus = cv2.resize(patch.od, (size, size), interpolation=cv2.INTER_LINEAR)
        away_um = min(
            _SPOILED.nucleus_place.draw(rng) * cell.radius_um, cell.radius_um - _SPOILED.nucleus_inset_um
        )
        angle = float(rng.uniform(0.0, 2.0 * np.pi))
        centre = len(od) / 2.0 + np.array([np.cos(angle), np.sin(angle)]) * away_um / cell.um_per_px
        _add(od, np.asarray(nucleus, dtype=np.float32), (int(centre[0] - size / 2), int(centre[1] - size / 2)))
    return replace(cell, od=od)


def _add(canvas: NDArray[np.float32], patch: NDArray[np.float32], corner: tuple[int, int]) -> None:
    """Add a patch where it lies on the canvas."""
    x0, y0 = max(corner[0], 0), max(corner[1], 0)
    x1, y1 = (min(corner[n] + patch.shape[1 - n], canvas.shape[1 - n]) for n in (0, 1))
    canvas[y0:y1, x0:x1] += patch[y0 - corner[1] : y1 - corner[1], x0 - corner[0] : x1 - corner[0]]
