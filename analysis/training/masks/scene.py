"""Simulated pieces of a metaphase in optical density: chromosomes that touch and cross, dirt, edges of nuclei.

The simulation of KaryoXpert (Chen et al., section 3.3, "copy and paste") with two changes: bodies are added in
density, as transmittances multiply, so that shared areas look as they do on a slide; and every mask is amodal.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from analysis.training.masks.desk import LAYOUT, SceneBody, SceneDesk, paint
from analysis.training.masks.singles import SingleBank
from analysis.training.masks.warp import ChromosomePatch, ChromosomePose, cut_to, warped


@dataclass(frozen=True, slots=True)
class SceneSettings:
    """How much scenes vary.

    Attributes
    ----------
    side_px
        Of the square scene.
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

    side_px: int = 160
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
class Scene:
    """A simulated piece of a metaphase.

    Attributes
    ----------
    level
        float32, shape (side, side): density over the typical stain of its chromosomes.
    bodies
        All that lies in it.
    """

    level: NDArray[np.float32]
    bodies: tuple[SceneBody, ...]

    def mask_of(self, body: SceneBody) -> NDArray[np.bool_]:
        """Mask of a body in the frame of the scene: bool, shape (height, width)."""
        out = np.zeros(self.level.shape, np.bool_)
        paint(out, body.mask, body.x_px, body.y_px, np.logical_or)
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
    desk = SceneDesk.empty(settings.side_px, rng, settings.log_stain)
    rows = bank.by_cell[int(rng.integers(len(bank.by_cell)))]
    width_px = settings.width_px * float(np.exp(rng.uniform(-settings.log_width, settings.log_width)))
    condensed = float(rng.uniform(*settings.log_condensed))
    wanted = (
        min(settings.most, 1 + int(rng.geometric(LAYOUT.cluster_odds)))
        if rng.random() < LAYOUT.cluster_fraction
        else 1
    )

    def chromosome() -> ChromosomePatch | None:
        # Mostly of one cell, which is stained alike.
        pool = rows if rng.random() < LAYOUT.same_cell_fraction else range(len(bank))
        single = bank.singles[pool[int(rng.integers(len(pool)))]]
        pose = random_pose(width_px, condensed, rng, settings)
        if rng.random() < settings.parallel_fraction:
            pose = replace(pose, angle_rad=desk.direction_rad + float(rng.normal(0.0, LAYOUT.parallel_spread_rad)))
        desk.direction_rad = pose.angle_rad
        return warped(single, pose)

    desk.lay_first(chromosome())
    for _ in range(wanted - 1):
        desk.attach(chromosome(), crossing=rng.random() < settings.crossing_fraction)
    if rng.random() < settings.nucleus_fraction:
        desk.attach(_nucleus(width_px, rng), crossing=False, is_chromosome=False, loose=LAYOUT.nucleus_loose)
    if rng.random() < settings.dirt_fraction:
        for _ in range(int(rng.integers(1, LAYOUT.dirt_most + 1))):
            desk.attach(_dirt(width_px, rng), crossing=False, is_chromosome=False, loose=LAYOUT.dirt_loose)
    for _ in range(int(rng.integers(0, settings.neighbours_most + 1))):
        desk.attach(chromosome(), crossing=False, loose=1.0)
    return Scene(photographed(desk.level, desk.chromosomes(), rng, settings), tuple(desk.bodies))


def random_pose(
    width_px: float, condensed: float, rng: np.random.Generator, settings: SceneSettings
) -> ChromosomePose:
    """Draw how a chromosome lies.

    Parameters
    ----------
    width_px
        Typical width of a chromosome of its cell, in px of the scene.
    condensed
        Logarithm of the length of the cell's chromosomes over their usual one.
    rng
        Decides everything.
    settings
        How much poses vary.
    """
    bend = 0.0
    if rng.random() < settings.bent_fraction:
        bend = float(np.clip(rng.normal(0.0, settings.bend_rad), -LAYOUT.most_bend_rad, LAYOUT.most_bend_rad))
    return ChromosomePose(
        width_px=width_px * float(np.exp(rng.normal(0.0, LAYOUT.width_spread))),
        angle_rad=float(rng.uniform(0.0, 2.0 * np.pi)),
        mirrored=bool(rng.random() < 0.5),
        stretch=float(np.exp(condensed + rng.uniform(-settings.log_stretch, settings.log_stretch))),
        bend_rad=bend,
        bent_part=float(rng.choice(LAYOUT.bent_parts)),
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
        mask = np.zeros((int(size[1]), int(size[0])), np.uint8)
        cv2.polylines(
            mask, [np.rint(points).astype(np.int32)], False, 1, int(rng.integers(1, LAYOUT.dirt_most + 1))
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


def photographed(
    level: NDArray[np.float32],
    chromosome_mask: NDArray[np.bool_],
    rng: np.random.Generator,
    settings: SceneSettings,
) -> NDArray[np.float32]:
    """Slide, stain, focus, noise; then in units of the typical stain again.

    Parameters
    ----------
    level
        float32, shape (h, w): stain of the scene.
    chromosome_mask
        bool, shape (h, w): where chromosomes lie.
    rng
        Decides everything.
    settings
        How much pictures vary.

    Returns
    -------
    NDArray[np.float32]
        Shape (h, w), at least 0.
    """
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
        out = out + np.float32(rng.uniform(*_CAMERA.pasted)) * _half_plane(out.shape[0], rng)
    out = np.maximum(out, 0.0) ** np.float32(np.exp(rng.uniform(-settings.gamma, settings.gamma)))
    sigma = np.float32(rng.uniform(0.0, settings.noise))
    out = np.maximum(out + sigma * rng.standard_normal(out.shape, dtype=np.float32), np.float32(0.0))
    typical = float(np.median(out[chromosome_mask])) if chromosome_mask.any() else 1.0
    return np.asarray(out / np.float32(max(typical, _CAMERA.least_typical)), dtype=np.float32)


def _half_plane(side_px: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """One side of a straight border: the edge of a white polygon that was pasted in."""
    angle = float(rng.uniform(0.0, 2.0 * np.pi))
    grid = np.arange(side_px, dtype=np.float32) - np.float32(rng.uniform(*_CAMERA.pasted_place) * side_px)
    side = grid[None, :] * np.float32(np.cos(angle)) + grid[:, None] * np.float32(np.sin(angle)) > 0.0
    return side.astype(np.float32)
