"""Taking a piece apart until each part looks like one chromosome."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from analysis.segmentation.crossing import propose_crossings
from analysis.segmentation.cuts import propose_cuts, propose_ring_cuts
from analysis.segmentation.plausibility import single_likeness
from analysis.segmentation.region import Region
from analysis.segmentation.shape import Shape, measure
from analysis.segmentation.split import Route, Split
from analysis.segmentation.watershed import propose_valleys

_MAX_DEPTH: Final = 24


@dataclass(frozen=True, slots=True)
class Cell:
    """What is typical on this image.

    Attributes
    ----------
    width_px
        Width of a chromosome in the working image.
    median_area
        Median area of a chromosome, in squared widths.
    min_area
        Smallest area of a chromosome, in squared widths.
    density
        float32: the working image in optical density.
    """

    width_px: float
    median_area: float
    min_area: float
    density: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Part:
    """One resolved chromosome.

    Attributes
    ----------
    region
        Where it is.
    shape
        Its measures.
    likeness
        Likeness to one chromosome, in [0, 1].
    route
        The last split that made it.
    """

    region: Region
    shape: Shape
    likeness: float
    route: Route


def resolve(region: Region, cell: Cell, *, accept: float) -> list[Part]:
    """Split a piece into chromosomes.

    The best-scored split is taken, then the parts are looked at in the same way; what no split improves stays
    whole.

    Parameters
    ----------
    region
        A connected piece of foreground.
    cell
        What is typical on this image.
    accept
        Score above which a split is taken; higher leaves more clusters whole.
    """
    shape = measure(region.mask, cell.width_px)
    first = Part(region, shape, single_likeness(shape, cell.median_area), "single")
    done: list[Part] = []
    waiting = [(first, 0)]
    while waiting:
        part, depth = waiting.pop()
        best = _best_split(part, cell, accept) if depth < _MAX_DEPTH else None
        if best is None:
            done.append(part)
        else:
            waiting.extend((child, depth + 1) for child in best)
    return done


def proposals(part: Part, cell: Cell) -> Iterator[Split]:
    """Propose every kind of split of a part."""
    mask = part.region.mask
    density = part.region.crop_of(cell.density)
    least = cell.min_area * cell.width_px**2
    yield from propose_valleys(mask, density, least)
    yield from propose_cuts(mask, density, part.shape, cell.width_px, least)
    yield from propose_ring_cuts(mask, density, part.shape, cell.width_px, least)
    yield from propose_crossings(mask, part.shape, cell.width_px, least)


def _best_split(part: Part, cell: Cell, accept: float) -> tuple[Part, Part] | None:
    if part.shape.area < 2.0 * cell.min_area or (
        part.likeness > 0.85 and part.shape.area < 1.8 * cell.median_area
    ):
        return None
    best: tuple[Part, Part] | None = None
    best_score = accept
    for split in proposals(part, cell):
        children = _children(part, split, cell)
        score = _score(part, split, children, cell)
        if score > best_score:
            best, best_score = children, score
    return best


def _children(part: Part, split: Split, cell: Cell) -> tuple[Part, Part]:
    made = []
    for mask in (split.first, split.second):
        region = part.region.part(mask)
        shape = measure(region.mask, cell.width_px)
        likeness = single_likeness(shape, cell.median_area)
        made.append(Part(region, shape, likeness, split.route))
    return made[0], made[1]


def _score(part: Part, split: Split, children: tuple[Part, Part], cell: Cell) -> float:
    """What a split gains: the likeness of the parts over that of the whole, less what the cut costs."""
    better, worse = sorted((children[0].likeness, children[1].likeness), reverse=True)
    gain = 0.6 * better + 0.4 * worse - part.likeness
    density = part.region.crop_of(cell.density)
    inside = float(np.median(density[part.region.mask]))
    seam = float(density[split.seam].mean()) / max(inside, 1e-6) if split.seam.any() else 1.0
    length = np.count_nonzero(split.seam) / 2.0 / cell.width_px
    if split.route == "crossing":
        return gain - 0.1
    # A short seam without notches is a pale band as often as a gap.
    band = 0.35 if split.route == "watershed" and length < 1.5 else 0.0
    return gain - 0.5 * max(0.0, seam - 0.5) - 0.12 * max(0.0, length - 1.0) - band
