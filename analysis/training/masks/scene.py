"""Simulated pieces of a metaphase in optical density: chromosomes that touch and cross, dirt, edges of nuclei.

The simulation of KaryoXpert (Chen et al., section 3.3, "copy and paste") with two changes: bodies are added in
density, as transmittances multiply, so that shared areas look as they do on a slide; and every mask is amodal.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from analysis.training.masks.singles import SingleBank
from analysis.training.masks.warp import ChromosomePatch, ChromosomePose, cut_to, warped

SCENE_PX: Final = 160
_TRIES: Final = 6


@dataclass(frozen=True, slots=True)
class SceneSettings:
    """How much scenes vary.

    Attributes
    ----------
    width_px
        Width of a chromosome in px.
    log_width, log_stretch
        Half ranges of the logarithms of size and of a chromosome's own length.
    log_condensed
        Range of the logarithm of a cell's length: chromosomes are longer or shorter together.
    most
        Most chromosomes in a cluster.
    bend_share, bend_rad
        Share of chromosomes that are bent, and the standard deviation of how far.
    log_stain
        Standard deviation of the logarithm of a body's stain about its cell's.
    crossing_share
        Share of chromosomes laid across others instead of at them.
    parallel_share
        Share of chromosomes that lie as the one before: side by side, they are the hardest to part.
    neighbours_most
        Most chromosomes that lie near without touching.
    noise_share, nucleus_share, haze_share
        Shares of scenes with dirt, with a nucleus, with an uneven slide.
    gamma, contrast
        Half range of the logarithm of the stain's exponent; range of the bands' contrast.
    blur_px, noise
        Greatest blur, and greatest standard deviation of pixel noise.
    """

    width_px: float = 9.0
    log_width: float = 0.2
    log_stretch: float = 0.15
    log_condensed: tuple[float, float] = (-0.3, 0.4)
    most: int = 8
    bend_share: float = 0.5
    bend_rad: float = 0.7
    log_stain: float = 0.18
    crossing_share: float = 0.35
    parallel_share: float = 0.2
    neighbours_most: int = 4
    noise_share: float = 0.35
    nucleus_share: float = 0.25
    haze_share: float = 0.5
    gamma: float = 0.35
    contrast: tuple[float, float] = (0.35, 1.6)
    blur_px: float = 1.2
    noise: float = 0.08


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


@dataclass(frozen=True, slots=True)
class Scene:
    """A simulated piece of a metaphase.

    Attributes
    ----------
    level
        float32, shape (SCENE_PX, SCENE_PX): density over the typical stain of its chromosomes.
    bodies
        All that lies in it.
    """

    level: NDArray[np.float32]
    bodies: tuple[SceneBody, ...]

    def mask_of(self, body: SceneBody) -> NDArray[np.bool_]:
        """Mask of a body in the frame of the scene."""
        out = np.zeros(self.level.shape, np.bool_)
        _laid(out, body.mask, body.x_px, body.y_px, np.logical_or)
        return out


def draw_scene(bank: SingleBank, rng: np.random.Generator, settings: SceneSettings) -> Scene:
    """Draw a scene.

    Parameters
    ----------
    bank
        Chromosomes.
    rng
        Decides everything.
    settings
        How much scenes vary.
    """
    desk = _Desk(settings, rng)
    rows = bank.by_cell[int(rng.integers(len(bank.by_cell)))]
    width_px = settings.width_px * float(np.exp(rng.uniform(-settings.log_width, settings.log_width)))
    condensed = float(rng.uniform(*settings.log_condensed))
    wanted = min(settings.most, 1 + int(rng.geometric(0.42))) if rng.random() < 0.85 else 1

    def chromosome() -> ChromosomePatch | None:
        # Mostly of one cell, which is stained alike.
        pool = rows if rng.random() < 0.8 else range(len(bank))
        single = bank.singles[pool[int(rng.integers(len(pool)))]]
        pose = _pose(width_px, condensed, rng, settings)
        if rng.random() < settings.parallel_share:
            pose = replace(pose, angle_rad=desk.direction_rad + float(rng.normal(0.0, 0.15)))
        desk.direction_rad = pose.angle_rad
        return warped(single, pose)

    desk.lay_first(chromosome())
    for _ in range(wanted - 1):
        desk.attach(chromosome(), crossing=rng.random() < settings.crossing_share)
    if rng.random() < settings.nucleus_share:
        desk.attach(_nucleus(width_px, rng), crossing=False, is_chromosome=False, loose=0.4)
    if rng.random() < settings.noise_share:
        for _ in range(int(rng.integers(1, 4))):
            desk.attach(_dirt(width_px, rng), crossing=False, is_chromosome=False, loose=0.6)
    for _ in range(int(rng.integers(0, settings.neighbours_most + 1))):
        desk.attach(chromosome(), crossing=False, loose=1.0)
    return Scene(_finished(desk.level, desk.chromosomes(), rng, settings), tuple(desk.bodies))


@dataclass(slots=True)
class _Desk:
    """The scene while it is laid."""

    settings: SceneSettings
    rng: np.random.Generator
    level: NDArray[np.float32] = field(init=False)
    taken: NDArray[np.bool_] = field(init=False)
    bodies: list[SceneBody] = field(default_factory=list)
    direction_rad: float = 0.0

    def __post_init__(self) -> None:
        self.level = np.zeros((SCENE_PX, SCENE_PX), np.float32)
        self.taken = np.zeros((SCENE_PX, SCENE_PX), np.bool_)

    def chromosomes(self) -> NDArray[np.bool_]:
        """Where chromosomes lie."""
        out = np.zeros(self.taken.shape, np.bool_)
        for body in self.bodies:
            if body.is_chromosome:
                _laid(out, body.mask, body.x_px, body.y_px, np.logical_or)
        return out

    def lay_first(self, patch: ChromosomePatch | None) -> None:
        """Lay a body about the middle."""
        if patch is not None:
            middle = SCENE_PX / 2.0 + self.rng.uniform(-12.0, 12.0, 2)
            x, y = (int(v) for v in middle - np.asarray(patch.mask.shape[::-1]) / 2.0)
            self._lay(patch, x, y, is_chromosome=True)

    def attach(
        self, patch: ChromosomePatch | None, *, crossing: bool, is_chromosome: bool = True, loose: float = 0.0
    ) -> None:
        """Lay a body across, at, or (with the chance ``loose``) near another one."""
        if patch is None or not self.bodies:
            return
        apart = self.rng.random() < loose
        for _ in range(_TRIES):
            partner = self.bodies[int(self.rng.integers(len(self.bodies)))]
            place = self._across(patch, partner) if crossing else self._beside(patch, partner, apart=apart)
            if place is not None:
                self._lay(patch, *place, is_chromosome=is_chromosome)
                return

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
        return (x, y) if 0.02 < hidden < 0.4 and self._is_inside(patch, x, y) else None

    def _beside(self, patch: ChromosomePatch, partner: SceneBody, *, apart: bool) -> tuple[int, int] | None:
        """Push a body towards another one until they touch, or nearly do."""
        angle = float(self.rng.uniform(0.0, 2.0 * np.pi))
        way = np.asarray([np.cos(angle), np.sin(angle)])
        size = np.asarray(patch.mask.shape[::-1], np.float64)
        middle = np.asarray([partner.x_px, partner.y_px]) + np.asarray(partner.mask.shape[::-1]) / 2.0
        # Not always towards the very middle: ends touch sides.
        middle = middle + self.rng.uniform(-0.3, 0.3, 2) * np.asarray(partner.mask.shape[::-1])
        near, far = 0.0, float(np.hypot(*size) + np.hypot(*partner.mask.shape)) / 2.0 + 4.0
        for _ in range(7):
            half = 0.5 * (near + far)
            x, y = (int(v) for v in np.rint(middle + half * way - size / 2.0))
            if self._shared(patch.mask, x, y) > 0:
                near = half
            else:
                far = half
        gap = float(self.rng.uniform(3.0, 9.0)) if apart else float(self.rng.uniform(-1.6, 1.2))
        x, y = (int(v) for v in np.rint(middle + (far + gap) * way - size / 2.0))
        if not self._is_inside(patch, x, y):
            return None
        shared = self._shared(patch.mask, x, y)
        return (x, y) if shared <= (0.0 if apart else 0.15 * np.count_nonzero(patch.mask)) else None

    def _is_inside(self, patch: ChromosomePatch, x: int, y: int) -> bool:
        height, width = patch.mask.shape
        middle_x, middle_y = x + width / 2.0, y + height / 2.0
        return bool(4.0 < middle_x < SCENE_PX - 4.0 and 4.0 < middle_y < SCENE_PX - 4.0)

    def _shared(self, mask: NDArray[np.bool_], x: int, y: int) -> int:
        own, there = _windows(mask.shape, x, y)
        return int(np.count_nonzero(mask[own] & self.taken[there]))

    def _lay(self, patch: ChromosomePatch, x: int, y: int, *, is_chromosome: bool) -> None:
        own, there = _windows(patch.mask.shape, x, y)
        factor = float(np.exp(self.rng.normal(0.0, self.settings.log_stain)))
        self.level[there] += np.float32(factor) * patch.level[own]
        self.taken[there] |= patch.mask[own]
        self.bodies.append(SceneBody(x, y, patch.mask, is_chromosome))


def _pose(width_px: float, condensed: float, rng: np.random.Generator, settings: SceneSettings) -> ChromosomePose:
    bend = 0.0
    if rng.random() < settings.bend_share:
        bend = float(np.clip(rng.normal(0.0, settings.bend_rad), -2.4, 2.4))
    return ChromosomePose(
        width_px=width_px * float(np.exp(rng.normal(0.0, 0.06))),
        angle_rad=float(rng.uniform(0.0, 2.0 * np.pi)),
        mirrored=bool(rng.random() < 0.5),
        stretch=float(np.exp(condensed + rng.uniform(-settings.log_stretch, settings.log_stretch))),
        bend_rad=bend,
        bent_share=float(rng.choice([1.0, 0.5, 0.25])),
    )


def _nucleus(width_px: float, rng: np.random.Generator) -> ChromosomePatch | None:
    """Draw an interphase nucleus: round, of uneven chromatin, paler or darker than chromosomes."""
    radii = rng.uniform(2.2, 5.0) * width_px * np.exp(rng.uniform(-0.15, 0.15, 2))
    return _round_body(radii, rng, stain=float(rng.uniform(0.4, 1.2)), grain_px=0.5 * width_px, texture=0.3)


def _dirt(width_px: float, rng: np.random.Generator) -> ChromosomePatch | None:
    """Draw a scrap: specks, threads, shreds of cytoplasm."""
    kind = int(rng.integers(3))
    stain = float(rng.uniform(0.4, 1.8))
    if kind == 0:
        radii = rng.uniform(0.2, 0.6, 2) * width_px
        return _round_body(radii, rng, stain=stain, grain_px=2.0, texture=0.2)
    if kind == 1:
        count = int(rng.integers(3, 6))
        steps = rng.normal(0.0, 1.0, (count, 2)) + rng.normal(0.0, 1.0, (1, 2))
        points = np.cumsum(steps * width_px * 0.6, axis=0)
        points -= points.min(axis=0) - 6.0
        size = np.ceil(points.max(axis=0) + 7.0).astype(int)
        mask = np.zeros((min(int(size[1]), SCENE_PX), min(int(size[0]), SCENE_PX)), np.uint8)
        cv2.polylines(mask, [np.rint(points).astype(np.int32)], False, 1, int(rng.integers(1, 4)))
        soft = cv2.GaussianBlur(mask.astype(np.float32) * np.float32(stain), (0, 0), 0.7)
        return cut_to(np.asarray(soft, dtype=np.float32), mask > 0)
    # Paler than chromosomes: at their stain such a shape could not be told from a smooth one.
    radii = rng.uniform(0.8, 2.5, 2) * width_px
    return _round_body(radii, rng, stain=float(rng.uniform(0.2, 0.55)), grain_px=width_px, texture=0.6)


def _round_body(
    radii_px: NDArray[np.float64], rng: np.random.Generator, *, stain: float, grain_px: float, texture: float
) -> ChromosomePatch | None:
    """Draw a roundish body with an uneven outline and inside."""
    side = int(np.ceil(2.6 * radii_px.max())) + 9
    angles = np.linspace(0.0, 2.0 * np.pi, 24, endpoint=False)
    uneven = 1.0 + cv2.GaussianBlur(rng.normal(0.0, 0.25, (1, 72)), (0, 0), 2.0)[0, 24:48]
    turn = float(rng.uniform(0.0, np.pi))
    x, y = radii_px[0] * np.cos(angles) * uneven, radii_px[1] * np.sin(angles) * uneven
    points = (
        np.stack([x * np.cos(turn) - y * np.sin(turn), x * np.sin(turn) + y * np.cos(turn)], axis=1) + side / 2.0
    )
    mask = np.zeros((side, side), np.uint8)
    cv2.fillPoly(mask, [np.rint(points).astype(np.int32)], 1)
    coarse = max(3, round(side / max(grain_px, 1.0)))
    grain = cv2.resize(rng.normal(0.0, texture, (coarse, coarse)).astype(np.float32), (side, side))
    soft = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), float(rng.uniform(0.6, 2.0)))
    level = np.float32(stain) * soft * np.clip(1.0 + grain, 0.2, 2.0)
    return cut_to(level.astype(np.float32), mask > 0)


def _finished(
    level: NDArray[np.float32],
    chromosomes: NDArray[np.bool_],
    rng: np.random.Generator,
    settings: SceneSettings,
) -> NDArray[np.float32]:
    """Slide, stain, focus, noise; then in units of the typical stain again."""
    out = level
    blur_px = float(rng.uniform(0.35, settings.blur_px))
    low, high = settings.contrast
    contrast = np.float32(rng.uniform(low, high))
    if chromosomes.any():
        # Less contrast of the bands: towards what is about them, where there is a body at all.
        smooth = cv2.GaussianBlur(out, (0, 0), 0.45 * settings.width_px)
        held = cv2.GaussianBlur((out > 0.1).astype(np.float32), (0, 0), 0.45 * settings.width_px)
        mean = smooth / np.maximum(held, np.float32(0.2))
        body = np.clip(out / np.float32(0.35), 0.0, 1.0)
        out = out + (contrast - np.float32(1.0)) * body * (out - mean) * (out > 0.1)
    out = np.asarray(cv2.GaussianBlur(np.maximum(out, 0.0), (0, 0), blur_px), dtype=np.float32)
    if rng.random() < 0.2:
        out = out + np.float32(rng.uniform(0.3, 1.2)) * (out - cv2.GaussianBlur(out, (0, 0), 1.5))
    if rng.random() < settings.haze_share:
        coarse = rng.uniform(0.0, float(rng.uniform(0.05, 0.3)), (4, 4)).astype(np.float32)
        out = out + cv2.resize(coarse, out.shape[::-1], interpolation=cv2.INTER_CUBIC)
    if rng.random() < 0.1:
        out = out + np.float32(rng.uniform(0.05, 0.25)) * _half_plane(rng)
    out = np.maximum(out, 0.0) ** np.float32(np.exp(rng.uniform(-settings.gamma, settings.gamma)))
    sigma = np.float32(rng.uniform(0.0, settings.noise))
    out = np.maximum(out + sigma * rng.standard_normal(out.shape, dtype=np.float32), np.float32(0.0))
    typical = float(np.median(out[chromosomes])) if chromosomes.any() else 1.0
    return np.asarray(out / np.float32(max(typical, 0.05)), dtype=np.float32)


def _half_plane(rng: np.random.Generator) -> NDArray[np.float32]:
    """One side of a straight border: the edge of a white polygon that was pasted in."""
    angle = float(rng.uniform(0.0, 2.0 * np.pi))
    grid = np.arange(SCENE_PX, dtype=np.float32) - np.float32(rng.uniform(0.2, 0.8) * SCENE_PX)
    side = grid[None, :] * np.float32(np.cos(angle)) + grid[:, None] * np.float32(np.sin(angle)) > 0.0
    return side.astype(np.float32)


def _windows(shape: tuple[int, ...], x: int, y: int) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Where a patch laid at (x, y) and the scene meet: in the patch, and in the scene."""
    height, width = shape
    x0, y0 = max(0, x), max(0, y)
    x1, y1 = max(x0, min(SCENE_PX, x + width)), max(y0, min(SCENE_PX, y + height))
    x0, y0 = min(x0, SCENE_PX), min(y0, SCENE_PX)
    x1, y1 = max(x0, min(x1, SCENE_PX)), max(y0, min(y1, SCENE_PX))
    return (slice(y0 - y, y1 - y), slice(x0 - x, x1 - x)), (slice(y0, y1), slice(x0, x1))


def _laid(
    out: NDArray[np.bool_],
    mask: NDArray[np.bool_],
    x: int,
    y: int,
    rule: Callable[[NDArray[np.bool_], NDArray[np.bool_]], NDArray[np.bool_]],
) -> None:
    own, there = _windows(mask.shape, x, y)
    out[there] = rule(out[there], mask[own])
