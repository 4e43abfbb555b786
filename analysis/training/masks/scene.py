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
    bent_fraction, bend_rad
        Fraction of chromosomes that are bent, and the standard deviation of how far.
    log_stain
        Standard deviation of the logarithm of a body's stain about its cell's.
    crossing_fraction
        Fraction of chromosomes laid across others instead of at them.
    parallel_fraction
        Fraction of chromosomes that lie as the one before: side by side, they are the hardest to part.
    neighbours_most
        Most chromosomes that lie near without touching.
    dirt_fraction, nucleus_fraction, haze_fraction
        Fractions of scenes with dirt, with a nucleus, with an uneven slide.
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
    bent_fraction: float = 0.5
    bend_rad: float = 0.7
    log_stain: float = 0.18
    crossing_fraction: float = 0.35
    parallel_fraction: float = 0.2
    neighbours_most: int = 4
    dirt_fraction: float = 0.35
    nucleus_fraction: float = 0.25
    haze_fraction: float = 0.5
    gamma: float = 0.35
    contrast: tuple[float, float] = (0.35, 1.6)
    blur_px: float = 1.2
    noise: float = 0.08


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


_LAYOUT: Final = SceneLayoutSettings()


@dataclass(frozen=True, slots=True)
class OtherBodySettings:
    """Nuclei and dirt. Radii in widths of a chromosome, stain in units of the cell's typical one."""

    nucleus_radius: tuple[float, float] = (2.2, 5.0)
    """From a small lymphocyte to a blast."""
    nucleus_log_axes: float = 0.15
    """How far from round."""
    nucleus_stain: tuple[float, float] = (0.4, 1.2)
    """Paler than chromosomes, or as dark."""
    nucleus_grain: float = 0.5
    """Grain of chromatin, in widths."""
    nucleus_texture: float = 0.3
    """Its strength."""
    dirt_stain: tuple[float, float] = (0.4, 1.8)
    """Dust takes more stain than any chromosome, or hardly any."""
    speck_radius: tuple[float, float] = (0.2, 0.6)
    """Smaller than a chromosome is wide."""
    speck_grain_px: float = 2.0
    """Specks have no texture that could be seen."""
    speck_texture: float = 0.2
    thread_points: tuple[int, int] = (3, 6)
    """Corners of a thread."""
    thread_step: float = 0.6
    """Between them, in widths."""
    thread_margin_px: tuple[float, float] = (6.0, 7.0)
    """Room for the blurred thread before and behind."""
    thread_blur_px: float = 0.7
    """As sharp as the slide is."""
    shred_radius: tuple[float, float] = (0.8, 2.5)
    """Shreds of cytoplasm."""
    shred_stain: tuple[float, float] = (0.2, 0.55)
    """Paler than chromosomes: at their stain such a shape could not be told from a smooth one."""
    shred_texture: float = 0.6
    """Uneven as torn plasm is."""
    side_factor: float = 2.6
    """Side of the patch over the largest radius: outlines go beyond it."""
    outline_spread: float = 0.25
    """Standard deviation of the outline's distance before it is smoothed."""
    soft_px: tuple[float, float] = (0.6, 2.0)
    """Edges from as sharp as the slide to out of focus."""
    grain_range: tuple[float, float] = (0.2, 2.0)
    """Chromatin is never absent and never more than double."""


_OTHERS: Final = OtherBodySettings()


@dataclass(frozen=True, slots=True)
class SceneCameraSettings:
    """What stain, focus and picture processing make of a scene."""

    least_blur_px: float = 0.35
    """Of the sharpest optics."""
    band_blur: float = 0.45
    """Over which bands are averaged away, in widths of a chromosome."""
    stained: float = 0.1
    """Level from which there is a body."""
    least_held: float = 0.2
    """Below this part of stained pixels a mean says nothing."""
    body_level: float = 0.35
    """Level from which the bands' contrast is changed fully."""
    sharpened_fraction: float = 0.2
    """Pictures that a laboratory system has sharpened."""
    sharpened: tuple[float, float] = (0.3, 1.2)
    """How strongly."""
    sharpened_px: float = 1.5
    """Over what distance."""
    haze: tuple[float, float] = (0.05, 0.3)
    """Greatest level of an uneven slide."""
    pasted_fraction: float = 0.1
    """Pictures with the straight edge of a white polygon that was pasted in."""
    pasted: tuple[float, float] = (0.05, 0.25)
    """Step at that edge."""
    pasted_place: tuple[float, float] = (0.2, 0.8)
    """Where it runs, over the side."""
    least_typical: float = 0.05
    """A scene fainter than this isn't brought to the typical stain."""


_CAMERA: Final = SceneCameraSettings()


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
        """Mask of a body in the frame of the scene: bool, shape (height, width)."""
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
    wanted = (
        min(settings.most, 1 + int(rng.geometric(_LAYOUT.cluster_odds)))
        if rng.random() < _LAYOUT.cluster_fraction
        else 1
    )

    def chromosome() -> ChromosomePatch | None:
        # Mostly of one cell, which is stained alike.
        pool = rows if rng.random() < _LAYOUT.same_cell_fraction else range(len(bank))
        single = bank.singles[pool[int(rng.integers(len(pool)))]]
        pose = _pose(width_px, condensed, rng, settings)
        if rng.random() < settings.parallel_fraction:
            pose = replace(
                pose, angle_rad=desk.direction_rad + float(rng.normal(0.0, _LAYOUT.parallel_spread_rad))
            )
        desk.direction_rad = pose.angle_rad
        return warped(single, pose)

    desk.lay_first(chromosome())
    for _ in range(wanted - 1):
        desk.attach(chromosome(), crossing=rng.random() < settings.crossing_fraction)
    if rng.random() < settings.nucleus_fraction:
        desk.attach(_nucleus(width_px, rng), crossing=False, is_chromosome=False, loose=_LAYOUT.nucleus_loose)
    if rng.random() < settings.dirt_fraction:
        for _ in range(int(rng.integers(1, _LAYOUT.dirt_most + 1))):
            desk.attach(_dirt(width_px, rng), crossing=False, is_chromosome=False, loose=_LAYOUT.dirt_loose)
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
            middle = SCENE_PX / 2.0 + self.rng.uniform(-_LAYOUT.middle_px, _LAYOUT.middle_px, 2)
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
        return (x, y) if _LAYOUT.hidden[0] < hidden < _LAYOUT.hidden[1] and self._is_inside(patch, x, y) else None

    def _beside(self, patch: ChromosomePatch, partner: SceneBody, *, apart: bool) -> tuple[int, int] | None:
        """Push a body towards another one until they touch, or nearly do."""
        angle = float(self.rng.uniform(0.0, 2.0 * np.pi))
        direction = np.asarray([np.cos(angle), np.sin(angle)])
        size = np.asarray(patch.mask.shape[::-1], np.float64)
        middle = np.asarray([partner.x_px, partner.y_px]) + np.asarray(partner.mask.shape[::-1]) / 2.0
        # Not always towards the very middle: ends touch sides.
        middle = middle + self.rng.uniform(-_LAYOUT.aim, _LAYOUT.aim, 2) * np.asarray(partner.mask.shape[::-1])
        near, far = 0.0, float(np.hypot(*size) + np.hypot(*partner.mask.shape)) / 2.0 + _LAYOUT.search_margin_px
        for _ in range(_LAYOUT.search_steps):
            half = 0.5 * (near + far)
            x, y = (int(v) for v in np.rint(middle + half * direction - size / 2.0))
            if self._shared(patch.mask, x, y) > 0:
                near = half
            else:
                far = half
        gap = float(self.rng.uniform(*(_LAYOUT.apart_px if apart else _LAYOUT.touching_px)))
        x, y = (int(v) for v in np.rint(middle + (far + gap) * direction - size / 2.0))
        if not self._is_inside(patch, x, y):
            return None
        shared = self._shared(patch.mask, x, y)
        return (
            (x, y)
            if shared <= (0.0 if apart else _LAYOUT.touching_overlap * np.count_nonzero(patch.mask))
            else None
        )

    def _is_inside(self, patch: ChromosomePatch, x: int, y: int) -> bool:
        height, width = patch.mask.shape
        middle_x, middle_y = x + width / 2.0, y + height / 2.0
        border = _LAYOUT.border_px
        return bool(border < middle_x < SCENE_PX - border and border < middle_y < SCENE_PX - border)

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
    if rng.random() < settings.bent_fraction:
        bend = float(np.clip(rng.normal(0.0, settings.bend_rad), -_LAYOUT.most_bend_rad, _LAYOUT.most_bend_rad))
    return ChromosomePose(
        width_px=width_px * float(np.exp(rng.normal(0.0, _LAYOUT.width_spread))),
        angle_rad=float(rng.uniform(0.0, 2.0 * np.pi)),
        mirrored=bool(rng.random() < 0.5),
        stretch=float(np.exp(condensed + rng.uniform(-settings.log_stretch, settings.log_stretch))),
        bend_rad=bend,
        bent_part=float(rng.choice(_LAYOUT.bent_parts)),
    )


def _nucleus(width_px: float, rng: np.random.Generator) -> ChromosomePatch | None:
    """Draw an interphase nucleus: round, of uneven chromatin, paler or darker than chromosomes."""
    axes = _OTHERS.nucleus_log_axes
    radii = rng.uniform(*_OTHERS.nucleus_radius) * width_px * np.exp(rng.uniform(-axes, axes, 2))
    return _round_body(
        radii,
        rng,
        stain=float(rng.uniform(*_OTHERS.nucleus_stain)),
        grain_px=_OTHERS.nucleus_grain * width_px,
        texture=_OTHERS.nucleus_texture,
    )


def _dirt(width_px: float, rng: np.random.Generator) -> ChromosomePatch | None:
    """Draw a scrap: specks, threads, shreds of cytoplasm."""
    kind = int(rng.integers(3))
    stain = float(rng.uniform(*_OTHERS.dirt_stain))
    if kind == 0:
        radii = rng.uniform(*_OTHERS.speck_radius, 2) * width_px
        return _round_body(radii, rng, stain=stain, grain_px=_OTHERS.speck_grain_px, texture=_OTHERS.speck_texture)
    if kind == 1:
        count = int(rng.integers(*_OTHERS.thread_points))
        steps = rng.normal(0.0, 1.0, (count, 2)) + rng.normal(0.0, 1.0, (1, 2))
        points = np.cumsum(steps * width_px * _OTHERS.thread_step, axis=0)
        points -= points.min(axis=0) - _OTHERS.thread_margin_px[0]
        size = np.ceil(points.max(axis=0) + _OTHERS.thread_margin_px[1]).astype(int)
        mask = np.zeros((min(int(size[1]), SCENE_PX), min(int(size[0]), SCENE_PX)), np.uint8)
        cv2.polylines(
            mask, [np.rint(points).astype(np.int32)], False, 1, int(rng.integers(1, _LAYOUT.dirt_most + 1))
        )
        soft = cv2.GaussianBlur(mask.astype(np.float32) * np.float32(stain), (0, 0), _OTHERS.thread_blur_px)
        return cut_to(np.asarray(soft, dtype=np.float32), mask > 0)
    radii = rng.uniform(*_OTHERS.shred_radius, 2) * width_px
    stain = float(rng.uniform(*_OTHERS.shred_stain))
    return _round_body(radii, rng, stain=stain, grain_px=width_px, texture=_OTHERS.shred_texture)


def _round_body(
    radii_px: NDArray[np.float64], rng: np.random.Generator, *, stain: float, grain_px: float, texture: float
) -> ChromosomePatch | None:
    """Draw a roundish body with an uneven outline and inside."""
    side = int(np.ceil(_OTHERS.side_factor * radii_px.max())) + 9
    angles = np.linspace(0.0, 2.0 * np.pi, 24, endpoint=False)
    uneven = 1.0 + cv2.GaussianBlur(rng.normal(0.0, _OTHERS.outline_spread, (1, 72)), (0, 0), 2.0)[0, 24:48]
    turn = float(rng.uniform(0.0, np.pi))
    x, y = radii_px[0] * np.cos(angles) * uneven, radii_px[1] * np.sin(angles) * uneven
    points = (
        np.stack([x * np.cos(turn) - y * np.sin(turn), x * np.sin(turn) + y * np.cos(turn)], axis=1) + side / 2.0
    )
    mask = np.zeros((side, side), np.uint8)
    cv2.fillPoly(mask, [np.rint(points).astype(np.int32)], 1)
    coarse = max(3, round(side / max(grain_px, 1.0)))
    grain = cv2.resize(rng.normal(0.0, texture, (coarse, coarse)).astype(np.float32), (side, side))
    soft = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), float(rng.uniform(*_OTHERS.soft_px)))
    level = np.float32(stain) * soft * np.clip(1.0 + grain, *_OTHERS.grain_range)
    return cut_to(level.astype(np.float32), mask > 0)


def _finished(
    level: NDArray[np.float32],
    chromosome_mask: NDArray[np.bool_],
    rng: np.random.Generator,
    settings: SceneSettings,
) -> NDArray[np.float32]:
    """Slide, stain, focus, noise; then in units of the typical stain again."""
    out = level
    blur_px = float(rng.uniform(_CAMERA.least_blur_px, settings.blur_px))
    low, high = settings.contrast
    contrast = np.float32(rng.uniform(low, high))
    if chromosome_mask.any():
        # Less contrast of the bands: towards what is about them, where there is a body at all.
        smooth = cv2.GaussianBlur(out, (0, 0), _CAMERA.band_blur * settings.width_px)
        held = cv2.GaussianBlur(
            (out > _CAMERA.stained).astype(np.float32), (0, 0), _CAMERA.band_blur * settings.width_px
        )
        mean = smooth / np.maximum(held, np.float32(_CAMERA.least_held))
        body = np.clip(out / np.float32(_CAMERA.body_level), 0.0, 1.0)
        out = out + (contrast - np.float32(1.0)) * body * (out - mean) * (out > _CAMERA.stained)
    out = np.asarray(cv2.GaussianBlur(np.maximum(out, 0.0), (0, 0), blur_px), dtype=np.float32)
    if rng.random() < _CAMERA.sharpened_fraction:
        out = out + np.float32(rng.uniform(*_CAMERA.sharpened)) * (
            out - cv2.GaussianBlur(out, (0, 0), _CAMERA.sharpened_px)
        )
    if rng.random() < settings.haze_fraction:
        coarse = rng.uniform(0.0, float(rng.uniform(*_CAMERA.haze)), (4, 4)).astype(np.float32)
        out = out + cv2.resize(coarse, out.shape[::-1], interpolation=cv2.INTER_CUBIC)
    if rng.random() < _CAMERA.pasted_fraction:
        out = out + np.float32(rng.uniform(*_CAMERA.pasted)) * _half_plane(rng)
    out = np.maximum(out, 0.0) ** np.float32(np.exp(rng.uniform(-settings.gamma, settings.gamma)))
    sigma = np.float32(rng.uniform(0.0, settings.noise))
    out = np.maximum(out + sigma * rng.standard_normal(out.shape, dtype=np.float32), np.float32(0.0))
    typical = float(np.median(out[chromosome_mask])) if chromosome_mask.any() else 1.0
    return np.asarray(out / np.float32(max(typical, _CAMERA.least_typical)), dtype=np.float32)


def _half_plane(rng: np.random.Generator) -> NDArray[np.float32]:
    """One side of a straight border: the edge of a white polygon that was pasted in."""
    angle = float(rng.uniform(0.0, 2.0 * np.pi))
    grid = np.arange(SCENE_PX, dtype=np.float32) - np.float32(rng.uniform(*_CAMERA.pasted_place) * SCENE_PX)
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
