"""Densest first: a thin sample of fields, then blocks of fields where the sample saw most."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from acquisition.plan.tiling import PlannedField
from scanner.coordinates import SlidePoint

SAMPLE_STEP = 3
"""Every third field of every third row: a ninth of the area, one in the middle of each block of nine."""

# A block within this fraction of the best expectation may be taken before it, where it lies nearer.
DETOUR_FRACTION = 0.8
# Cells per field that an unseen block is thought to hold, in units of one field's evidence; keeps zeros apart.
_PRIOR_WEIGHT = 0.25
# How far the density of a slide stays alike, in blocks.
_REACH_BLOCKS = 1.5

_Block = tuple[int, int]


def sample(fields: Sequence[PlannedField]) -> tuple[PlannedField, ...]:
    """The fields to photograph first: the middle one of each block, in serpentine order.

    A block that the area cuts so that its middle is missing gives the field nearest to it.
    """
    chosen = [
        min(members, key=lambda f: (_off_middle(f), f.index)) for members in _blocks(fields).values() if members
    ]
    return _serpentine(chosen)


def densest_first(
    fields: Sequence[PlannedField],
    cells_by_field: Mapping[int, float],
    start: SlidePoint | None = None,
    *,
    at_most: int | None = None,
) -> tuple[PlannedField, ...]:
    """Order the fields that are not yet photographed by what is expected of them.

    The expectation of a block is the mean of what the fields around it gave, weighted by nearness. The blocks that
    promise at least `DETOUR_FRACTION` of the best one come first, the nearest of them next. Within a block the way
    is a serpentine.

    Parameters
    ----------
    fields
        The whole plan.
    cells_by_field
        Field index to the (expected) number of usable cells found there; these fields are left out.
    start
        Where the stage stands, slide um.
    at_most
        Only so many, where the order will be asked for anew; default: all.

    Returns
    -------
    tuple of PlannedField
        Every field not in `cells_by_field`, once. The same arguments give the same order.
    """
    evidence = [(field, cells_by_field[field.index]) for field in fields if field.index in cells_by_field]
    left = {
        block: rest
        for block, members in sorted(_blocks(fields).items())
        if (rest := [field for field in members if field.index not in cells_by_field])
    }
    blocks = list(left)
    promise = _expectations(blocks, evidence)
    middles = np.array(
        [np.mean([(f.centre.x_um, f.centre.y_um) for f in rest], axis=0) for rest in left.values()]
    ).reshape(-1, 2)
    here = start or (evidence[-1][0].centre if evidence else None)
    waiting = np.ones(len(blocks), dtype=bool)
    ordered: list[PlannedField] = []
    while waiting.any() and (at_most is None or len(ordered) < at_most):
        worthy = np.flatnonzero(waiting & (promise >= DETOUR_FRACTION * promise[waiting].max()))
        chosen = worthy[0]
        if here is not None:
            chosen = worthy[np.argmin(np.hypot(*(middles[worthy] - (here.x_um, here.y_um)).T))]
        waiting[chosen] = False
        way = _serpentine(left[blocks[chosen]])
        if here is not None and here.distance_um(way[-1].centre) < here.distance_um(way[0].centre):
            way = way[::-1]
        ordered.extend(way)
        here = way[-1].centre
    return tuple(ordered[:at_most])


def _block_of(field: PlannedField) -> _Block:
    return field.row // SAMPLE_STEP, field.column // SAMPLE_STEP


def _off_middle(field: PlannedField) -> int:
    middle = SAMPLE_STEP // 2
    return abs(field.row % SAMPLE_STEP - middle) + abs(field.column % SAMPLE_STEP - middle)


def _blocks(fields: Sequence[PlannedField]) -> dict[_Block, list[PlannedField]]:
    blocks: dict[_Block, list[PlannedField]] = {}
    for field in fields:
        blocks.setdefault(_block_of(field), []).append(field)
    return blocks


def _expectations(blocks: Sequence[_Block], evidence: Sequence[tuple[PlannedField, float]]) -> NDArray[np.float64]:
    if not evidence or not blocks:
        return np.zeros(len(blocks))
    middle = (SAMPLE_STEP - 1) / 2
    places = (np.array([(field.row, field.column) for field, _ in evidence]) - middle) / SAMPLE_STEP
    counts = np.array([count for _, count in evidence])
    away = ((np.array(blocks)[:, None, :] - places[None, :, :]) ** 2).sum(axis=2)
    near = np.exp(-away / (0.5 * _REACH_BLOCKS**2))
    total = near @ counts + _PRIOR_WEIGHT * counts.mean()
    return np.asarray(total / (near.sum(axis=1) + _PRIOR_WEIGHT), dtype=np.float64)


def _serpentine(fields: Sequence[PlannedField]) -> tuple[PlannedField, ...]:
    rows: dict[int, list[PlannedField]] = {}
    for field in fields:
        rows.setdefault(field.row, []).append(field)
    ordered: list[PlannedField] = []
    for number, row in enumerate(sorted(rows)):
        ordered.extend(sorted(rows[row], key=lambda f: f.column, reverse=number % 2 == 1))
    return tuple(ordered)
