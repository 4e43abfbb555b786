"""Structural changes drawn from the band tables, beside the normal homologues of a drawn cell. Simulated."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from analysis.banding.ideogram import ideogram
from analysis.datasets.structural_changes import (
    MEGABASES,
    SIZES_MB,
    ChangedCell,
    ChangedPair,
    StructuralChange,
    change_fits,
    changed_stretch,
)
from analysis.straightening.crops import crops_of_cell
from analysis.structures.classes import CLASS_NAMES
from analysis.structures.crop import ObjectPixels
from simulators.specimen.chromosome import ChromosomeAppearance, draw_appearance, render_chromosome
from simulators.specimen.structure import Chromosome, Segment, centromere_of, end_of, normal

UM_PER_PX: Final = 0.1024
PSF_PX: Final = 0.9
TURN_DEG: Final = 4.0
BEND_DEG: Final = 14.0
NOISE_OD: Final = 0.01
"""Standard deviations of turn, bend and pixel noise: those of upright crops that were cut well."""


def drawn_changed_cells(count: int, *, seed: int = 0) -> Iterator[ChangedCell]:
    """Drawn normal cells, each with one change of every kind and size.

    Parameters
    ----------
    count
        How many.
    seed
        Of all that is drawn.
    """
    names = (*(name for name in CLASS_NAMES[:22] for _ in range(2)), "X", "X")
    for number in range(count):
        rng = np.random.default_rng((seed, number))
        appearance = draw_appearance(rng)
        objects = [_drawn(normal(name), appearance, rng) for name in names]
        plans: list[tuple[int, StructuralChange, int, int, float, float]] = []
        event = 0
        for kind, sizes in SIZES_MB.items():
            for size_mb in sizes:
                for row, start, stop, made in _changed(kind, size_mb, names, rng):
                    plans.append((event, kind, size_mb, row, start, stop))
                    objects.append(_drawn(made, appearance, rng))
                event += 1
        crops = crops_of_cell(objects)
        changes = tuple(
            ChangedPair(event, kind, size_mb, row, crop, start, stop)
            for (event, kind, size_mb, row, start, stop), crop in zip(plans, crops[len(names) :], strict=True)
        )
        yield ChangedCell(f"drawn {number}", f"drawn {number}", crops[: len(names)], names, changes)


def _changed(
    change_kind: StructuralChange, size_mb: int, names: tuple[str, ...], rng: np.random.Generator
) -> list[tuple[int, float, float, Chromosome]]:
    """Rows, changed stretches (shares of the length) and what is drawn in place of them."""
    rows = [int(row) for row in rng.permutation(len(names)) if change_fits(change_kind, size_mb, names[row])]
    if not rows:
        return []
    row = rows[0]
    name = names[row]
    if change_kind is StructuralChange.TRANSLOCATION:
        other = next((each for each in rows if names[each] != name), None)
        if other is None:
            return []
        both = [(row, name), (other, names[other])]
        shares = [1.0 - size_mb / MEGABASES[each] for _, each in both]
        cuts = [_coordinate(each, share) for (_, each), share in zip(both, shares, strict=True)]
        made = []
        for k, (place, own) in enumerate(both):
            foreign = both[1 - k][1]
            segments = (Segment(own, 0.0, cuts[k]), Segment(foreign, cuts[1 - k], end_of(foreign)))
            made.append((place, shares[k], 1.0, Chromosome(own, segments, f"der({own})")))
        return made
    start, stop = changed_stretch(change_kind, size_mb, name, rng)
    low, high, end = _coordinate(name, start), _coordinate(name, stop), end_of(name)
    before, inside, after = Segment(name, 0.0, low), Segment(name, low, high), Segment(name, high, end)
    orders = {
        StructuralChange.NONE: (before, inside, after),
        StructuralChange.TERMINAL: (before, after),
        StructuralChange.INTERSTITIAL: (before, after),
        StructuralChange.DUPLICATION: (before, inside, inside, after),
    }
    order = orders.get(change_kind, (before, Segment(name, high, low), after))
    kept = tuple(segment for segment in order if segment.start != segment.stop)
    return [(row, start, stop, Chromosome(name, kept, change_kind.value))]


def _coordinate(name: str, share: float) -> float:
    """ISCN coordinate of a share of the length as it looks: short arms of acrocentrics are far longer in ISCN."""
    centre, middle, end = ideogram(name).centromere, centromere_of(name), end_of(name)
    if share <= centre:
        return middle * share / centre
    return middle + (end - middle) * (share - centre) / (1.0 - centre)


def _drawn(chromosome: Chromosome, appearance: ChromosomeAppearance, rng: np.random.Generator) -> ObjectPixels:
    body = render_chromosome(
        chromosome,
        rng,
        um_per_px=UM_PER_PX,
        appearance=appearance,
        angle_deg=float(rng.normal(0.0, TURN_DEG)),
        bend_deg=float(rng.normal(0.0, BEND_DEG)),
    )
    xmin, ymin, xmax, ymax = body.box_px
    window = np.s_[max(ymin - 2, 0) : ymax + 2, max(xmin - 2, 0) : xmax + 2]
    density: NDArray[np.float32] = gaussian_filter(body.od, PSF_PX)
    density = density + (rng.normal(0.0, NOISE_OD, density.shape) * body.mask).astype(np.float32)
    return ObjectPixels(
        np.ascontiguousarray(np.maximum(density[window], 0.0)), np.ascontiguousarray(body.mask[window])
    )
