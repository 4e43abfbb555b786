"""Corrections as a person would make them: the cheapest sequence of the editor's operations.

The simulated reviewer sees what is drawn and the truth, and always takes the fewest operations that lead from one
to the other. Each of these is one operation:

- separate by a line: one object that holds k chromosomes takes k - 1 lines;
- join: k objects that are pieces of one chromosome take k - 1 joins;
- add a chromosome that isn't drawn, by a point or a box; delete an object that is none;
- outline an object anew whose mask misses or exceeds its chromosome;
- drag a chromosome to another class; dragging one onto another exchanges both, so that a cycle of n wrong classes
  takes n - 1 drags;
- choose one of the alternatives that are offered for a pile: objects are replaced by others.

Chromosomes that a separation, an alternative or an added box newly makes are taken for rightly classified, as the
editor classifies them at once. All choices depend on each other (an alternative changes what there is to
separate), so that the sequence is found as an integer linear program over all of them (`scipy.optimize.milp`).

Of the true chromosomes only boxes and classes are given. What counts as right is defined by boxes alone therefore,
see `CorrectionRule`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import combinations
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_matrix

from analysis.errors import AnalysisError
from analysis.structures.boxes import MATCH_IOU, box_areas, box_intersections, box_iou, overlap_ratio

BoxPx = tuple[float, float, float, float]


class CorrectionKind(StrEnum):
    """One operation of the editor."""

    SEPARATE = "separate"
    JOIN = "join"
    ADD = "add"
    DELETE = "delete"
    OUTLINE = "outline"
    MOVE = "move"
    EXCHANGE = "exchange"
    ALTERNATIVE = "alternative"


@dataclass(frozen=True, slots=True)
class CorrectionRule:
    """When an object is right, and which operation can make it so.

    Attributes
    ----------
    least_iou
        Intersection over union of the object's padded box and the true one from which the object is its
        chromosome. Half is the rule of the enumeration figures; a stricter one also catches masks that end early.
    covered
        Fraction of a chromosome's box within an object's (or of a piece's box within a chromosome's) from which it
        can be separated from it (or joined to it).
    same_object
        Fraction of either box within the other from which an object that isn't right is outlined anew instead of
        deleted and added.
    most_parts
        Chromosomes that are separated out of one object, or pieces that are joined, at the most: past five, the
        person adds boxes.
    """

    least_iou: float = MATCH_IOU
    covered: float = 0.7
    same_object: float = 0.5
    most_parts: int = 5


DEFAULT_RULE: Final = CorrectionRule()
STRICT_RULE: Final = CorrectionRule(least_iou=0.7)
"""Masks that miss a tenth of a chromosome's length at either end are to be outlined anew by it."""


@dataclass(frozen=True, slots=True)
class DrawnObject:
    """One drawn object.

    Attributes
    ----------
    class_name
        "1".."22", "X", "Y", "mar", or "?" for none; None where the editor classifies it when it is made.
    box_px
        xmin, ymin, xmax, ymax of its mask, padded as the true boxes are.
    """

    class_name: str | None
    box_px: BoxPx


@dataclass(frozen=True, slots=True)
class DrawnAlternative:
    """Another explanation of a pile.

    Attributes
    ----------
    replaces
        Indices of the objects it takes the place of.
    objects
        What it draws instead.
    probability
        In [0, 1]; the reviewer, who knows the truth, doesn't ask for it.
    """

    replaces: frozenset[int]
    objects: tuple[DrawnObject, ...]
    probability: float = 0.0


@dataclass(frozen=True, slots=True)
class Corrections:
    """Operations of one cell, by their kind."""

    counts: Mapping[CorrectionKind, int] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """All operations."""
        return sum(self.counts.values())


@dataclass(frozen=True, slots=True)
class _Group:
    """A step that turns objects into chromosomes.

    Attributes
    ----------
    pieces, truths
        Indices of both.
    kind, count
        Operations it takes; None where the object is right as it is.
    classes
        Class that the object has and class that it ought to have, where they differ.
    """

    pieces: tuple[int, ...]
    truths: tuple[int, ...]
    kind: CorrectionKind | None = None
    count: int = 0
    classes: tuple[str, str] | None = None

    @property
    def cost(self) -> int:
        return self.count + (self.classes is not None)


def cheapest_corrections(
    objects: Sequence[DrawnObject],
    true_objects: Sequence[DrawnObject],
    alternatives: Sequence[DrawnAlternative] = (),
    rule: CorrectionRule = DEFAULT_RULE,
) -> Corrections:
    """Count the operations of the cheapest sequence that makes a cell right.

    Parameters
    ----------
    objects
        What is drawn.
    true_objects
        What ought to be.
    alternatives
        Of the drawn objects' piles. Two that replace the same object can't both be chosen.
    rule
        When an object is right.

    Raises
    ------
    AnalysisError
        If the solver gives up.
    """
    pieces = [*objects, *(each for alternative in alternatives for each in alternative.objects)]
    program = _Program(len(objects), len(true_objects), alternatives, _groups(pieces, true_objects, rule))
    return program.solve()


def _groups(
    pieces: Sequence[DrawnObject], true_objects: Sequence[DrawnObject], rule: CorrectionRule
) -> list[_Group]:
    """List every step that could be taken, but adding and deleting."""
    if not pieces or not true_objects:
        return []
    boxes_px = np.array([each.box_px for each in pieces], np.float64)
    true_px = np.array([each.box_px for each in true_objects], np.float64)
    common = box_intersections(true_px, boxes_px)
    of_truth = common / np.maximum(box_areas(true_px), 1.0)[:, None]
    of_piece = common / np.maximum(box_areas(boxes_px), 1.0)[None, :]
    iou = overlap_ratio(common, box_areas(true_px), box_areas(boxes_px))
    same = np.maximum(of_truth, of_piece) >= rule.same_object
    names, true_names = [each.class_name for each in pieces], [each.class_name for each in true_objects]
    groups = []
    for i, j in zip(*np.nonzero((iou >= rule.least_iou) | same), strict=True):
        right = iou[i, j] >= rule.least_iou
        classes = _wrong_class(names[j], true_names[i])
        kind = None if right else CorrectionKind.OUTLINE
        groups.append(_Group((int(j),), (int(i),), kind, 0 if right else 1, classes))
    for j in range(len(pieces)):
        sets = _sets(np.flatnonzero(of_truth[:, j] >= rule.covered), of_truth[:, j], rule.most_parts)
        groups.extend(
            _Group((j,), truths, CorrectionKind.SEPARATE, len(truths) - 1)
            for truths in sets
            if _hull_iou(true_px[list(truths)], boxes_px[j]) >= MATCH_IOU
        )
    for i in range(len(true_objects)):
        for parts in _sets(np.flatnonzero(of_piece[i] >= rule.covered), common[i], rule.most_parts):
            if _hull_iou(boxes_px[list(parts)], true_px[i]) >= rule.least_iou:
                rightly = any(_wrong_class(names[j], true_names[i]) is None for j in parts)
                largest = max(parts, key=lambda j: common[i, j])
                classes = None if rightly else _wrong_class(names[largest], true_names[i])
                groups.append(_Group(parts, (i,), CorrectionKind.JOIN, len(parts) - 1, classes))
    return groups


def _wrong_class(name: str | None, true_name: str | None) -> tuple[str, str] | None:
    """Class that an object has and class that it ought to have; None where nothing is to be moved."""
    return None if name is None or true_name is None or name == true_name else (name, true_name)


_MOST_CANDIDATES: Final = 7
"""Boxes of which sets are formed: in dense piles more lie within one box, and their sets would be thousands."""


def _sets(candidates: NDArray[np.int64], gain: NDArray[np.float64], most: int) -> Iterator[tuple[int, ...]]:
    """Yield the sets of two or more of the best candidates."""
    best = candidates[np.argsort(-gain[candidates], kind="stable")][:_MOST_CANDIDATES]
    members = sorted(int(each) for each in best)
    for size in range(2, min(most, len(members)) + 1):
        yield from combinations(members, size)


def _hull_iou(boxes_px: NDArray[np.float64], other_px: NDArray[np.float64]) -> float:
    """Intersection over union of the smallest box round some boxes and another box."""
    hull = np.concatenate([boxes_px[:, :2].min(axis=0), boxes_px[:, 2:].max(axis=0)])
    return float(box_iou(hull[None], other_px[None])[0, 0])


class _Program:
    """The integer linear program.

    Variables, all of them whole numbers: every group, an addition of every chromosome, a deletion of every piece,
    every alternative, and every cycle of classes that are exchanged.

    Parameters
    ----------
    object_count, truth_count
        Objects drawn, and true chromosomes.
    alternatives
        Their objects are the pieces behind the drawn ones, in order.
    groups
        Steps.
    """

    def __init__(
        self,
        object_count: int,
        truth_count: int,
        alternatives: Sequence[DrawnAlternative],
        groups: Sequence[_Group],
    ) -> None:
        self._groups = groups
        self._alternatives = alternatives
        self._truth_count = truth_count
        self._source: list[int | None] = [None] * object_count
        for number, alternative in enumerate(alternatives):
            self._source += [number] * len(alternative.objects)
        self._cycles = list(_cycles({group.classes for group in groups if group.classes is not None}))
        self._adds = len(groups)
        self._deletes = self._adds + truth_count
        self._choices = self._deletes + len(self._source)
        self._exchanges = self._choices + len(alternatives)
        self._size = self._exchanges + len(self._cycles)

    def solve(self) -> Corrections:
        """Solve it and count the operations."""
        if self._size == 0:
            return Corrections()
        costs = np.ones(self._size)
        costs[: self._adds] = [group.cost for group in self._groups]
        costs[self._exchanges :] = -1.0
        solution = milp(
            costs,
            integrality=np.ones(self._size, np.int64),
            bounds=Bounds(0, np.append(np.ones(self._exchanges), [np.inf] * len(self._cycles))),
            constraints=[*self._covers(), *self._exchange_limits()],
        )
        if solution.x is None:
            raise AnalysisError(f"the cheapest corrections weren't found: {solution.message}")
        return self._counted(np.rint(solution.x).astype(np.int64))

    def _covers(self) -> list[LinearConstraint]:
        """Every chromosome and every piece that is drawn is accounted for exactly once."""
        rows = [Counter({self._adds + i: 1}) for i in range(self._truth_count)]
        piece_rows = [Counter({self._deletes + j: 1}) for j in range(len(self._source))]
        for number, group in enumerate(self._groups):
            for i in group.truths:
                rows[i][number] += 1
            for j in group.pieces:
                piece_rows[j][number] += 1
        needed = [1.0] * (self._truth_count + len(self._source))
        for j, source in enumerate(self._source):
            if source is not None:
                piece_rows[j][self._choices + source] = -1
                needed[self._truth_count + j] = 0.0
        for number, alternative in enumerate(self._alternatives):
            for j in alternative.replaces:
                piece_rows[j][self._choices + number] += 1
        table = self._table([*rows, *piece_rows])
        return [LinearConstraint(table, needed, needed)] if needed else []

    def _exchange_limits(self) -> list[LinearConstraint]:
        """Cycles use no more wrong classes of a kind than the chosen groups have."""
        rows: dict[tuple[str, str], Counter[int]] = defaultdict(Counter)
        for number, group in enumerate(self._groups):
            if group.classes is not None:
                rows[group.classes][number] -= 1
        for number, cycle in enumerate(self._cycles):
            for step in cycle:
                rows[step][self._exchanges + number] += 1
        return [LinearConstraint(self._table(list(rows.values())), -np.inf, 0.0)] if rows else []

    def _table(self, rows: Sequence[Mapping[int, int]]) -> csr_matrix:
        values = [value for row in rows for value in row.values()]
        columns = [column for row in rows for column in row]
        starts = np.cumsum([0, *(len(row) for row in rows)])
        return csr_matrix((np.array(values, np.float64), columns, starts), shape=(len(rows), self._size))

    def _counted(self, chosen: NDArray[np.int64]) -> Corrections:
        counts: Counter[CorrectionKind] = Counter()
        wrong = 0
        for group in (group for group, used in zip(self._groups, chosen, strict=False) if used):
            if group.kind is not None:
                counts[group.kind] += group.count
            wrong += group.classes is not None
        counts[CorrectionKind.ADD] += int(chosen[self._adds : self._deletes].sum())
        counts[CorrectionKind.DELETE] += int(chosen[self._deletes : self._choices].sum())
        counts[CorrectionKind.ALTERNATIVE] += int(chosen[self._choices : self._exchanges].sum())
        cycles = list(zip(self._cycles, chosen[self._exchanges :], strict=True))
        within = sum(len(cycle) * int(times) for cycle, times in cycles)
        counts[CorrectionKind.MOVE] += wrong - within
        counts[CorrectionKind.EXCHANGE] += within - sum(int(times) for _, times in cycles)
        return Corrections({kind: counts[kind] for kind in CorrectionKind if counts[kind]})


def _cycles(steps: Iterable[tuple[str, str]]) -> Iterator[tuple[tuple[str, str], ...]]:
    """Yield the cycles of two and of three classes; longer ones occur in no cell that is worth correcting."""
    ordered = set(steps)
    names = sorted({name for step in ordered for name in step})
    for first, second in combinations(names, 2):
        if {(first, second), (second, first)} <= ordered:
            yield (first, second), (second, first)
    for members in combinations(names, 3):
        for a, b, c in (members, (members[0], members[2], members[1])):
            if {(a, b), (b, c), (c, a)} <= ordered:
                yield (a, b), (b, c), (c, a)
