"""In what order the chosen cells are photographed: by rank, but not zigzag across the slide."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

from scanner.coordinates import SlidePoint

Cost = Callable[[SlidePoint, SlidePoint], float]

_ROUNDS = 4
# Rounding alone makes a way shorter by about this: turning a stretch over for it would never end.
_LEAST_GAIN = 1e-9


def capture_order(
    cells: Sequence[SlidePoint],
    max_delay: int,
    cost: Cost = SlidePoint.distance_um,
    start: SlidePoint | None = None,
) -> tuple[int, ...]:
    """Order cells for little travel, where none loses more than `max_delay` places against its rank.

    A run that is stopped early has then still photographed the best: of the first n cells of the ranking, all but
    the last `max_delay` are among the first n pictures.

    Parameters
    ----------
    cells
        Places, best ranked first.
    max_delay
        Places that a cell may lose; 0 gives the ranking itself.
    cost
        Cost of the way between two places, such as its time; the same in both directions.
    start
        Where the stage stands.

    Returns
    -------
    tuple of int
        Indices into `cells`, each once. Never a dearer way than the ranking itself.
    """
    if max_delay < 0:
        raise ValueError(f"max_delay must not be negative, got {max_delay}")
    ranked = list(range(len(cells)))
    if max_delay == 0 or len(cells) < 3:
        return tuple(ranked)
    # Two ways to begin: one reaches ahead as far as it may and is later bound by those it passed over; the other
    # finishes a group before it begins the next.
    begun = (_nearest_first(cells, max_delay, cost, start), _in_groups(cells, max_delay, cost, start))
    orders: list[list[int]] = [ranked, *(_improved(order, cells, max_delay, cost, start) for order in begun)]
    totals = [_total(order, cells, cost, start) for order in orders]
    return tuple(orders[totals.index(min(totals))])


def _nearest_first(cells: Sequence[SlidePoint], max_delay: int, cost: Cost, start: SlidePoint | None) -> list[int]:
    """Always the nearest cell that lets all others keep their deadlines."""
    left = list(range(len(cells)))
    order: list[int] = []
    here = start
    for place in range(len(cells)):
        # Taking left[j] moves every better ranked one that is left to a later place: the first k that wait must
        # still come at place + 1, place + 2, ..., so the earliest of them bounds how far down one may reach.
        reach = len(left)
        for position, rank in enumerate(left):
            if rank + max_delay < place + 1 + position:
                reach = position + 1
                break
        allowed = left[:reach]
        chosen = allowed[0] if here is None else _nearest(allowed, cells, cost, here)
        left.remove(chosen)
        order.append(chosen)
        here = cells[chosen]
    return order


def _in_groups(cells: Sequence[SlidePoint], max_delay: int, cost: Cost, start: SlidePoint | None) -> list[int]:
    order: list[int] = []
    here = start
    for first in range(0, len(cells), max_delay + 1):
        left = list(range(first, min(len(cells), first + max_delay + 1)))
        while left:
            chosen = left[0] if here is None else _nearest(left, cells, cost, here)
            left.remove(chosen)
            order.append(chosen)
            here = cells[chosen]
    return order


def _nearest(ranks: Sequence[int], cells: Sequence[SlidePoint], cost: Cost, here: SlidePoint) -> int:
    return min(ranks, key=lambda rank: (cost(here, cells[rank]), rank))


def _improved(
    order: list[int], cells: Sequence[SlidePoint], max_delay: int, cost: Cost, start: SlidePoint | None
) -> list[int]:
    """Reverse stretches of the way as long as that shortens it and keeps the deadlines (2-opt; Croes 1958)."""
    count = len(order)

    def leg(before: int | None, after: int | None) -> float:
        if after is None:
            return 0.0
        if before is None:
            return 0.0 if start is None else cost(start, cells[after])
        return cost(cells[before], cells[after])

    for _ in range(_ROUNDS):
        better = False
        for first in range(count - 1):
            # A reversal over more than twice the delay can't keep the deadlines of both its ends.
            for last in range(first + 1, min(count, first + 2 * max_delay + 2)):
                stretch = order[first : last + 1]
                if any(last - k > rank + max_delay for k, rank in enumerate(stretch)):
                    continue
                before = order[first - 1] if first else None
                after = order[last + 1] if last + 1 < count else None
                gain = leg(before, stretch[0]) + leg(stretch[-1], after)
                gain -= leg(before, stretch[-1]) + leg(stretch[0], after)
                if gain > _LEAST_GAIN:
                    order[first : last + 1] = stretch[::-1]
                    better = True
        if not better:
            break
    return order


def _total(order: Sequence[int], cells: Sequence[SlidePoint], cost: Cost, start: SlidePoint | None) -> float:
    way = [cells[index] for index in order]
    if start is not None:
        way.insert(0, start)
    return sum(cost(a, b) for a, b in pairwise(way))
