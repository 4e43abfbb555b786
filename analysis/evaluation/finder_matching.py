"""Finds of a field held against what lies on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class TrueObject(Protocol):
    """What a field's truth says of one object: a metaphase, or something that could be taken for one.

    `x_px`, `y_px` are its centre and `radius_px` the circle that holds it, in px of the field; `kind` names it;
    `analysable` is None where nobody has said; `source` names the image that it was cut from.
    """

    @property
    def x_px(self) -> float: ...  # noqa: D102

    @property
    def y_px(self) -> float: ...  # noqa: D102

    @property
    def radius_px(self) -> float: ...  # noqa: D102

    @property
    def is_metaphase(self) -> bool: ...  # noqa: D102

    @property
    def kind(self) -> str: ...  # noqa: D102

    @property
    def analysable(self) -> bool | None: ...  # noqa: D102

    @property
    def source(self) -> str: ...  # noqa: D102


class Field(Protocol):
    """A field with its truth; `pixels` is uint8 or uint16 of shape (height_px, width_px)."""

    @property
    def pixels(self) -> NDArray[np.uint8] | NDArray[np.uint16]:
        """Grey levels, shape (height_px, width_px)."""
        ...

    @property
    def um_per_px(self) -> float: ...  # noqa: D102

    @property
    def truth(self) -> Sequence[TrueObject]: ...  # noqa: D102

    @property
    def stain(self) -> str: ...  # noqa: D102

    @property
    def slide(self) -> str: ...  # noqa: D102

    @property
    def number(self) -> int: ...  # noqa: D102


class JudgedPlace(Protocol):
    """A find, in px of the field."""

    @property
    def x_px(self) -> float: ...  # noqa: D102

    @property
    def y_px(self) -> float: ...  # noqa: D102

    @property
    def radius_px(self) -> float: ...  # noqa: D102

    @property
    def score(self) -> float: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Planted:
    """An object of the truth.

    Attributes
    ----------
    x_px, y_px, radius_px
        Where, in px of the field.
    is_metaphase
        False for a hard negative.
    kind
        What it is.
    analysable
        None where nobody has said.
    source
        Image that it was cut from.
    is_cut
        The edge of the field is nearer to its centre than its radius.
    """

    x_px: float
    y_px: float
    radius_px: float
    is_metaphase: bool
    kind: str
    analysable: bool | None = None
    source: str = ""
    is_cut: bool = False


@dataclass(frozen=True, slots=True)
class JudgedFind:
    """A find held against the truth.

    Attributes
    ----------
    x_px, y_px, radius_px
        Where, in px of the field.
    score
        Probability of a metaphase, in [0, 1].
    rank
        What finds are ordered by, larger first.
    analysable
        Probability of an analysable cell; None where the finder doesn't say.
    planted
        Number of its metaphase in the truth; None where it has none.
    negative
        Number of the hard negative that it lies on; None where it lies on none, or on a metaphase.
    is_neutral
        It shows a metaphase that the field's edge cuts: neither right nor wrong.
    """

    x_px: float
    y_px: float
    radius_px: float
    score: float
    rank: float
    analysable: float | None = None
    planted: int | None = None
    negative: int | None = None
    is_neutral: bool = False

    @property
    def is_right(self) -> bool:
        """Whether it shows a whole metaphase that no better find shows."""
        return self.planted is not None and not self.is_neutral


def planted_of(field: Field) -> tuple[Planted, ...]:
    """The truth of a field, each object told whether the field's edge cuts it."""
    height, width = field.pixels.shape
    made = []
    for entry in field.truth:
        edge = min(entry.x_px, entry.y_px, width - 1 - entry.x_px, height - 1 - entry.y_px)
        made.append(
            Planted(
                float(entry.x_px),
                float(entry.y_px),
                float(entry.radius_px),
                bool(entry.is_metaphase),
                entry.kind,
                entry.analysable,
                entry.source,
                is_cut=edge < entry.radius_px,
            )
        )
    return tuple(made)


def judge(planted: Sequence[Planted], finds: Sequence[JudgedPlace]) -> tuple[JudgedFind, ...]:
    """Pair finds with metaphases one to one, best score first.

    A find takes the nearest metaphase whose centre is not farther away than the metaphase's radius and that no
    find of a better score has taken. What is left without one, a second find of the same metaphase included, is
    false, or neutral where it lies within the radius of a metaphase that the field's edge cuts: in a scan its
    neighbour shows that cell whole. Pairing by score makes one judgement hold for every threshold: what a lower
    threshold adds changes no pair above it.

    Parameters
    ----------
    planted
        Truth of one field.
    finds
        Finds of one field, in any order.

    Returns
    -------
    tuple of JudgedFind
        Best score first.
    """
    order = sorted(finds, key=lambda find: -find.score)
    metaphases = [number for number, entry in enumerate(planted) if entry.is_metaphase]
    negatives = [number for number, entry in enumerate(planted) if not entry.is_metaphase]
    taken: set[int] = set()
    judged = []
    for find in order:
        plain = _plain(find)
        near = _within(find, planted, metaphases)
        free = [number for number in near if number not in taken]
        if free:
            taken.add(free[0])
            judged.append(replace(plain, planted=free[0], is_neutral=planted[free[0]].is_cut))
        elif any(planted[number].is_cut for number in near):
            judged.append(replace(plain, is_neutral=True))
        else:
            under = [] if near else _within(find, planted, negatives)
            judged.append(replace(plain, negative=under[0] if under else None))
    return tuple(judged)


def _plain(find: JudgedPlace) -> JudgedFind:
    analysable: float | None = getattr(find, "analysable", None)
    rank = float(getattr(find, "rank", find.score))
    return JudgedFind(
        float(find.x_px), float(find.y_px), float(find.radius_px), float(find.score), rank, analysable
    )


def _within(find: JudgedPlace, planted: Sequence[Planted], numbers: Sequence[int]) -> list[int]:
    """Of these objects those whose radius reaches to the find, nearest first."""
    reached = []
    for number in numbers:
        entry = planted[number]
        distance = float(np.hypot(find.x_px - entry.x_px, find.y_px - entry.y_px))
        if distance <= entry.radius_px:
            reached.append((distance, number))
    return [number for _, number in sorted(reached)]
