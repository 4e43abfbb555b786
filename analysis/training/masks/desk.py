"""Laying bodies into a scene: across, at and near one another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from analysis.training.masks.warp import ChromosomePatch

_TRIES: Final = 6


@dataclass(frozen=True, slots=True)
class SceneLayoutSettings:
    """How bodies come to lie."""

    cluster_fraction: float = 0.85
    """Scenes with more than one chromosome in the middle; the others teach what one alone is."""
    cluster_odds: float = 0.42
    """Of the geometric distribution of a cluster's size: pairs and threes are the rule, as on slides."""
    same_cell_fraction: float = 0.8
    """Chromosomes of the scene's own cell, which is stained alike; a few of others keep the net from relying on
    it."""
    parallel_spread_rad: float = 0.15
    """How far chromosomes side by side are off from parallel."""
    nucleus_loose: float = 0.4
    """Chance that a nucleus lies near instead of at a chromosome."""
    dirt_loose: float = 0.6
    """The same of dirt, which lies anywhere."""
    dirt_most: int = 3
    """Scraps in a dirty scene at most."""
    middle_px: float = 12.0
    """How far the first body lies from the middle at most."""
    hidden: tuple[float, float] = (0.02, 0.4)
    """Of a crossing body's area: less is a touch, more hides what nobody could outline."""
    aim: float = 0.3
    """Half range of where a body is pushed to, over the partner's size: ends touch sides."""
    search_margin_px: float = 4.0
    """Beyond which two bodies can't touch."""
    search_steps: int = 7
    """Halvings, to a pixel."""
    apart_px: tuple[float, float] = (3.0, 9.0)
    """Gap of bodies that lie near."""
    touching_px: tuple[float, float] = (-1.6, 1.2)
    """Gap of bodies that touch: some run into one another by the blur of their edges."""
    touching_overlap: float = 0.15
    """Of a body's area at most; more is a crossing."""
    border_px: float = 4.0
    """A body whose middle is nearer to the border would hardly show."""
    most_bend_rad: float = 2.4
    """Chromosomes that bend more are rings, which banded preparations hardly have."""
    width_spread: float = 0.06
    """Standard deviation of the logarithm of widths within a cell."""
    bent_parts: tuple[float, ...] = (1.0, 0.5, 0.25)
    """Parts of the length that a bend is spread over: an arc, a bend, a kink."""


LAYOUT: Final = SceneLayoutSettings()


@dataclass(frozen=True, slots=True)
class SceneBody:
    """Something that lies in a scene.

    Attributes
    ----------
    x_px, y_px
        Place of its mask's upper left corner; may lie outside of the scene.
    mask
        bool, amodal.
    is_chromosome
        False for dirt and nuclei.
    """

    x_px: int
    y_px: int
    mask: NDArray[np.bool_]
    is_chromosome: bool


@dataclass(slots=True)
class SceneDesk:
    """A scene while bodies are laid into it.

    Attributes
    ----------
    level
        float32, shape (height, width): stain over the typical one; changed in place.
    rng
        Decides everything.
    log_stain
        Standard deviation of the logarithm of a body's stain about its cell's.
    taken
        bool, shape (height, width): where bodies lie.
    bodies
        What lies there.
    direction_rad
        Direction of the body laid last.
    """

    level: NDArray[np.float32]
    rng: np.random.Generator
    log_stain: float
    taken: NDArray[np.bool_]
    bodies: list[SceneBody] = field(default_factory=list)
    direction_rad: float = 0.0

    @staticmethod
    def empty(side_px: int, rng: np.random.Generator, log_stain: float) -> SceneDesk:
        """Begin with an empty slide.

        Parameters
        ----------
        side_px
            Of the square scene.
        rng
            Decides everything.
        log_stain
            See `SceneDesk`.
        """
        shape = (side_px, side_px)
        return SceneDesk(np.zeros(shape, np.float32), rng, log_stain, np.zeros(shape, np.bool_))

    def chromosomes(self) -> NDArray[np.bool_]:
        """Where chromosomes lie."""
        out = np.zeros(self.taken.shape, np.bool_)
        for body in self.bodies:
            if body.is_chromosome:
                paint(out, body.mask, body.x_px, body.y_px, np.logical_or)
        return out

    def lay_first(self, patch: ChromosomePatch | None) -> None:
        """Lay a body about the middle."""
        if patch is not None:
            middle = np.asarray(self.level.shape[::-1]) / 2.0 + self.rng.uniform(
                -LAYOUT.middle_px, LAYOUT.middle_px, 2
            )
            x, y = (int(v) for v in middle - np.asarray(patch.mask.shape[::-1]) / 2.0)
            self._lay(patch, x, y, is_chromosome=True)

    def attach(
        self, patch: ChromosomePatch | None, *, crossing: bool, is_chromosome: bool = True, loose: float = 0.0
    ) -> None:
        """Lay a body across, at, or near another one; nothing where no place is found.

        Parameters
        ----------
        patch
            The body.
        crossing
            Across another body instead of at it.
        is_chromosome
            False for dirt and nuclei.
        loose
            Chance that it lies near without touching.
        """
        if patch is None or not self.bodies:
            return
        apart = self.rng.random() < loose
        for _ in range(_TRIES):
            partner = self.bodies[int(self.rng.integers(len(self.bodies)))]
            place = self._across(patch, partner) if crossing else self._beside(patch, partner, apart=apart)
            if place is not None:
                self._lay(patch, *place, is_chromosome=is_chromosome)
                return

    def lay_over(self, patch: ChromosomePatch | None, partner: SceneBody, offset_px: float) -> None:
        """Lay a chromosome over another one, middle on middle.

        Parameters
        ----------
        patch
            The chromosome; nothing is laid where it is None.
        partner
            What it is laid over.
        offset_px
            Standard deviation of the distance between the middles, in either direction.
        """
        if patch is None:
            return
        middle = np.asarray([partner.x_px, partner.y_px]) + np.asarray(partner.mask.shape[::-1]) / 2.0
        corner = middle + self.rng.normal(0.0, offset_px, 2) - np.asarray(patch.mask.shape[::-1]) / 2.0
        x, y = (round(float(value)) for value in corner)
        if self._is_inside(patch, x, y):
            self._lay(patch, x, y, is_chromosome=True)

    def _across(self, patch: ChromosomePatch, partner: SceneBody) -> tuple[int, int] | None:
        """Find a place where the two share some of their area."""
        rows, columns = np.nonzero(partner.mask)
        at = int(self.rng.integers(rows.size))
        own_rows, own_columns = np.nonzero(patch.mask)
        own = int(self.rng.integers(own_rows.size))
        x = int(partner.x_px + columns[at] - own_columns[own])
        y = int(partner.y_px + rows[at] - own_rows[own])
        area = np.count_nonzero(patch.mask)
        shared = self._shared(patch.mask, x, y)
        hidden = shared / min(area, np.count_nonzero(partner.mask))
        return (x, y) if LAYOUT.hidden[0] < hidden < LAYOUT.hidden[1] and self._is_inside(patch, x, y) else None

    def _beside(self, patch: ChromosomePatch, partner: SceneBody, *, apart: bool) -> tuple[int, int] | None:
        """Push a body towards another one until they touch, or nearly do."""
        angle = float(self.rng.uniform(0.0, 2.0 * np.pi))
        direction = np.asarray([np.cos(angle), np.sin(angle)])
        size = np.asarray(patch.mask.shape[::-1], np.float64)
        middle = np.asarray([partner.x_px, partner.y_px]) + np.asarray(partner.mask.shape[::-1]) / 2.0
        # Not always towards the very middle: ends touch sides.
        middle = middle + self.rng.uniform(-LAYOUT.aim, LAYOUT.aim, 2) * np.asarray(partner.mask.shape[::-1])
        near, far = 0.0, float(np.hypot(*size) + np.hypot(*partner.mask.shape)) / 2.0 + LAYOUT.search_margin_px
        for _ in range(LAYOUT.search_steps):
            half = 0.5 * (near + far)
            x, y = (int(v) for v in np.rint(middle + half * direction - size / 2.0))
            if self._shared(patch.mask, x, y) > 0:
                near = half
            else:
                far = half
        gap = float(self.rng.uniform(*(LAYOUT.apart_px if apart else LAYOUT.touching_px)))
        x, y = (int(v) for v in np.rint(middle + (far + gap) * direction - size / 2.0))
        if not self._is_inside(patch, x, y):
            return None
        shared = self._shared(patch.mask, x, y)
        return (
            (x, y)
            if shared <= (0.0 if apart else LAYOUT.touching_overlap * np.count_nonzero(patch.mask))
            else None
        )

    def _is_inside(self, patch: ChromosomePatch, x: int, y: int) -> bool:
        height, width = patch.mask.shape
        middle_x, middle_y = x + width / 2.0, y + height / 2.0
        border = LAYOUT.border_px
        rows, columns = self.level.shape
        return bool(border < middle_x < columns - border and border < middle_y < rows - border)

    def _shared(self, mask: NDArray[np.bool_], x: int, y: int) -> int:
        own, there = _windows(mask.shape, self.level.shape, x, y)
        return int(np.count_nonzero(mask[own] & self.taken[there]))

    def _lay(self, patch: ChromosomePatch, x: int, y: int, *, is_chromosome: bool) -> None:
        own, there = _windows(patch.mask.shape, self.level.shape, x, y)
        factor = float(np.exp(self.rng.normal(0.0, self.log_stain)))
        self.level[there] += np.float32(factor) * patch.level[own]
        self.taken[there] |= patch.mask[own]
        self.bodies.append(SceneBody(x, y, patch.mask, is_chromosome))


def _windows(
    shape: tuple[int, ...], scene: tuple[int, ...], x: int, y: int
) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Where a patch laid at (x, y) and the scene meet: in the patch, and in the scene."""
    height, width = shape
    x0, y0 = max(0, x), max(0, y)
    x1, y1 = max(x0, min(scene[1], x + width)), max(y0, min(scene[0], y + height))
    x0, y0 = min(x0, scene[1]), min(y0, scene[0])
    x1, y1 = max(x0, min(x1, scene[1])), max(y0, min(y1, scene[0]))
    return (slice(y0 - y, y1 - y), slice(x0 - x, x1 - x)), (slice(y0, y1), slice(x0, x1))


def paint(
    out: NDArray[np.bool_],
    mask: NDArray[np.bool_],
    x: int,
    y: int,
    rule: Callable[[NDArray[np.bool_], NDArray[np.bool_]], NDArray[np.bool_]],
) -> None:
    """Combine a mask with a picture of the scene, where they meet.

    Parameters
    ----------
    out
        bool, shape (height, width): changed in place.
    mask
        bool, any shape.
    x, y
        Place of its upper left corner; may lie outside.
    rule
        What becomes of a pixel, from the picture and the mask.
    """
    own, there = _windows(mask.shape, out.shape, x, y)
    out[there] = rule(out[there], mask[own])
