"""Compose a metaphase: the chromosomes of one cell, spread over a field, among what else lies there.

"Copy and paste" simulation of KaryoXpert (Chen et al., section 3.3), of whole cells instead of pieces, and in
optical density: where bodies lie on one another their stain adds.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from analysis.training.composed.camera import CameraSettings, photograph
from analysis.training.composed.field import LaidChromosome, SlideField
from analysis.training.composed.spread import (
    CellSpread,
    SpreadSettings,
    draw_spread,
    neighbour_to_push_against,
    place_anywhere,
    place_beside,
)
from analysis.training.composed.surroundings import SurroundingsSettings, add_surroundings
from analysis.training.masks.singles import FreeSingle, SingleBank
from analysis.training.masks.warp import ChromosomePatch, ChromosomePose, warped

_Range = tuple[float, float]


@dataclass(frozen=True, slots=True)
class ChromosomeSettings:
    """How the chromosomes of a cell look. Pairs are ranges that a cell draws from."""

    width_px: _Range = (9.0, 20.0)
    """In the picture: 0.13 to 0.06 um a px for chromosomes 1.2 um wide."""
    log_length: _Range = (-0.35, 0.6)
    """Logarithm of a cell's length over that of the crops: condensed marrow to early prophase."""
    log_stretch: float = 0.12
    """Half range of a chromosome's own."""
    width_spread: float = 0.05
    """Standard deviation of the logarithm of widths within a cell."""
    log_stain: _Range = (0.03, 0.16)
    """Standard deviation of the logarithm of stain within a cell."""
    bent_fraction: _Range = (0.2, 0.8)
    bend_rad: float = 0.8
    most_bend_rad: float = 2.6
    """How many are bent, how far; more would be rings."""
    bent_parts: tuple[float, ...] = (1.0, 0.6, 0.3)
    """Parts of the length that a bend is spread over: an arc, a bend, a kink."""
    pale_fraction: float = 0.25
    pale_bands: _Range = (0.0, 0.4)
    bands: _Range = (0.35, 1.0)
    """Contrast of the bands over that of the crops, which were sharpened: cells with hardly any, and others."""
    edge: float = 0.055
    least_edge_px: float = 0.4
    """Softness of a body's edge in widths, and the least in px."""


@dataclass(frozen=True, slots=True)
class CountSettings:
    """How many chromosomes a picture shows: fractions of cells; the others have all of their own."""

    partial_fraction: float = 0.12
    least_part: float = 0.15
    """Pictures of parts of a cell, and the least part."""
    gained_fraction: float = 0.15
    gained_most: int = 4
    """Cells with further chromosomes: homologues of another cell."""
    double_fraction: float = 0.04
    """Tetraploid cells, and two cells that lie on one another."""


@dataclass(frozen=True, slots=True)
class ComposedCellSettings:
    """How composed cells vary."""

    count: CountSettings = field(default_factory=CountSettings)
    chromosome: ChromosomeSettings = field(default_factory=ChromosomeSettings)
    spread: SpreadSettings = field(default_factory=SpreadSettings)
    surroundings: SurroundingsSettings = field(default_factory=SurroundingsSettings)
    camera: CameraSettings = field(default_factory=CameraSettings)


@dataclass(frozen=True, slots=True)
class ComposedCell:
    """A composed metaphase.

    Attributes
    ----------
    pixels
        uint8, shape (height, width): dark chromosomes on bright.
    inverted
        Whether it is an inverted picture of fluorescence.
    level
        float32, shape (height, width): stain before the picture was taken, over the typical one.
    chromosomes
        Where they lie, with amodal masks.
    width_px
        Of a chromosome.
    """

    pixels: NDArray[np.uint8]
    inverted: bool
    level: NDArray[np.float32]
    chromosomes: tuple[LaidChromosome, ...]
    width_px: float

    @property
    def boxes_px(self) -> NDArray[np.float32]:
        """Tight amodal boxes: float32, shape (n, 4), beyond the field where a chromosome is cut by its border."""
        return np.asarray([each.box_px for each in self.chromosomes], np.float32).reshape(-1, 4)

    @property
    def classes(self) -> NDArray[np.int64]:
        """Class indices: int64, shape (n,)."""
        return np.asarray([each.class_index for each in self.chromosomes], np.int64)


@dataclass(frozen=True, slots=True)
class _CellLook:
    """What the chromosomes of one cell have in common."""

    width_px: float
    log_length: float
    bands: float
    log_stain: float
    bent_fraction: float


def compose_cell(bank: SingleBank, rng: np.random.Generator, settings: ComposedCellSettings) -> ComposedCell:
    """Compose a metaphase.

    Parameters
    ----------
    bank
        Chromosomes, with their classes.
    rng
        Decides everything.
    settings
        How much cells vary.
    """
    singles = _chromosomes_of_a_cell(bank, rng, settings.count)
    look = _draw_look(rng, settings.chromosome)
    spread = draw_spread(len(singles), look.width_px, rng, settings.spread)
    slide = SlideField.empty(*spread.size_px)
    for single in singles:
        _lay(slide, single, look, spread, rng, settings)
    disc_px = (spread.middle_px, spread.half_px)
    add_surroundings(slide, disc_px, look.width_px, rng, settings.surroundings)
    boxes = np.asarray([each.box_px for each in slide.chromosomes], np.float32).reshape(-1, 4)
    picture = photograph(slide.level, boxes, look.width_px, rng, settings.camera)
    return ComposedCell(picture.pixels, picture.inverted, slide.level, tuple(slide.chromosomes), look.width_px)


def _chromosomes_of_a_cell(
    bank: SingleBank, rng: np.random.Generator, settings: CountSettings
) -> list[FreeSingle]:
    """Take the chromosomes of one cell, in random order: mostly all of them."""
    rows = list(bank.by_cell[int(rng.integers(len(bank.by_cell)))])
    draw = rng.random()
    if draw < settings.double_fraction:
        rows = 2 * rows
    elif draw < settings.double_fraction + settings.gained_fraction:
        strangers = bank.by_cell[int(rng.integers(len(bank.by_cell)))]
        gained = int(rng.integers(1, settings.gained_most + 1))
        rows += [strangers[int(k)] for k in rng.integers(0, len(strangers), gained)]
    order = rng.permutation(len(rows))
    if rng.random() < settings.partial_fraction:
        order = order[: max(1, round(len(rows) * float(rng.uniform(settings.least_part, 1.0))))]
    return [bank.singles[rows[int(k)]] for k in order]


def _draw_look(rng: np.random.Generator, settings: ChromosomeSettings) -> _CellLook:
    low, high = np.log(settings.width_px)
    is_pale = rng.random() < settings.pale_fraction
    return _CellLook(
        width_px=float(np.exp(rng.uniform(low, high))),
        log_length=float(rng.uniform(*settings.log_length)),
        bands=float(rng.uniform(*(settings.pale_bands if is_pale else settings.bands))),
        log_stain=float(rng.uniform(*settings.log_stain)),
        bent_fraction=float(rng.uniform(*settings.bent_fraction)),
    )


def _lay(
    slide: SlideField,
    single: FreeSingle,
    look: _CellLook,
    spread: CellSpread,
    rng: np.random.Generator,
    settings: ComposedCellSettings,
) -> None:
    """Lay a chromosome; it is left out where no place shows enough of it."""
    pose = _pose(look, rng, settings.chromosome)
    neighbour = neighbour_to_push_against(slide, spread, rng)
    if neighbour is not None and rng.random() < spread.parallel:
        off_rad = float(rng.normal(0.0, settings.spread.parallel_spread_rad))
        pose = replace(pose, angle_rad=neighbour.angle_rad + off_rad)
    patch = warped(single, pose)
    if patch is None:
        return
    place = None
    if neighbour is not None:
        place = place_beside(slide, patch, neighbour, rng, settings.spread)
    if place is None:
        place = place_anywhere(slide, patch, spread, rng, settings.spread)
    if place is None:
        return
    stain = float(np.exp(rng.normal(0.0, look.log_stain)))
    level = _restained(patch, look, stain, settings.chromosome)
    slide.lay(LaidChromosome(*place, patch.mask, single.class_index, pose.angle_rad), level)


def _pose(look: _CellLook, rng: np.random.Generator, settings: ChromosomeSettings) -> ChromosomePose:
    bend = 0.0
    if rng.random() < look.bent_fraction:
        bend = float(np.clip(rng.normal(0.0, settings.bend_rad), -settings.most_bend_rad, settings.most_bend_rad))
    return ChromosomePose(
        width_px=look.width_px * float(np.exp(rng.normal(0.0, settings.width_spread))),
        angle_rad=float(rng.uniform(0.0, 2.0 * np.pi)),
        mirrored=bool(rng.random() < 0.5),
        stretch=float(np.exp(look.log_length + rng.uniform(-settings.log_stretch, settings.log_stretch))),
        bend_rad=bend,
        bent_part=float(rng.choice(settings.bent_parts)),
    )


def _restained(
    patch: ChromosomePatch, look: _CellLook, stain: float, settings: ChromosomeSettings
) -> NDArray[np.float32]:
    """Stain of a chromosome with its cell's contrast of bands: pale bands of real cells aren't empty."""
    edge_px = max(settings.least_edge_px, settings.edge * look.width_px)
    body = cv2.GaussianBlur(patch.mask.astype(np.float32), (0, 0), edge_px)
    mean = np.float32(patch.level[patch.mask].mean())
    bands = np.float32(look.bands)
    return np.asarray(np.float32(stain) * (bands * patch.level + (1 - bands) * mean * body), dtype=np.float32)
