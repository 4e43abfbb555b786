"""A metaphase: the chromosomes of one cell, spread in a disc."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from simulators.specimen.chromosome import (
    ChromosomeAppearance,
    RenderedChromosome,
    draw_appearance,
    length_um,
    render_chromosome,
)
from simulators.specimen.karyotype import SpecimenKaryotype, karyotype_of
from simulators.specimen.structure import Chromosome
from simulators.specimen.variation import Uniform

NATIVE_UM_PER_PX = 0.10238
"""Pixel size at which cells are drawn: that of a 6.45 um pixel behind a 63x objective."""

_TRIES_PER_RING = 60
_TRIES_TO_TOUCH = 400
_FULL_TURN_DEG = 360


@dataclass(frozen=True, slots=True)
class LayoutSettings:
    """How chromosomes are laid out; set by eye against trypsin-Wright pictures.

    Attributes
    ----------
    clearance_um
        Chromosomes that don't touch lie at least so far apart: less, and they run together in the optics.
    growth
        The disc grows by this factor where a chromosome found no room.
    smallest_radius_um
        The canvas is made for discs of at least this radius: crowded chromosomes are pushed out of smaller ones.
    canvas
        Side of the canvas over the disc's radius: room for a disc that has grown.
    bend_length_um, largest_bend_factor
        A chromosome of this length bends by `Spread.bend_deg`, longer ones up to so many times more.
    largest_bend_deg
        No chromosome closes to a ring.
    overlap
        Part of its area that a chromosome shares with others where they overlap.
    contact_reach
        Chromosomes that touch lie within this part of the disc.
    depth_od
        Remains of cytoplasm under the cell.
    """

    clearance_um: float = 0.75
    growth: float = 1.04
    smallest_radius_um: float = 20.0
    canvas: float = 6.0
    bend_length_um: float = 8.0
    largest_bend_factor: float = 1.4
    largest_bend_deg: float = 120.0
    overlap: tuple[float, float] = (0.05, 0.3)
    contact_reach: float = 0.8
    depth_od: Uniform = Uniform(0.0, 0.012)


_LAYOUT = LayoutSettings()


@dataclass(frozen=True, slots=True)
class Spread:
    """How a cell's chromosomes lie.

    Attributes
    ----------
    radius_um
        Radius of the disc that most chromosomes lie in; it grows where they find no room.
    contacts
        Mean number of chromosomes that are laid on or against another one.
    overlap_fraction
        Fraction of the contacts in which bodies overlap instead of touching.
    bend_deg
        Standard deviation of the bend of a chromosome 8 um long; longer ones bend more.
    """

    radius_um: float = 29.0
    contacts: float = 1.2
    overlap_fraction: float = 0.4
    bend_deg: float = 28.0


@dataclass(frozen=True, slots=True)
class PlacedChromosome:
    """One chromosome of a drawn cell.

    Attributes
    ----------
    class_name
        ``"1"`` .. ``"22"``, ``"X"`` or ``"Y"``: that of its centromere.
    box_px
        (xmin, ymin, xmax, ymax) on the cell's patch, half open.
    mask
        bool, the box's shape; amodal.
    flipped
        True where the short arm lies lower in the image than the long one.
    designation
        ISCN's name of a chromosome that is no normal one, for instance ``"der(9)"``; None for a normal one.
    """

    class_name: str
    box_px: tuple[int, int, int, int]
    mask: NDArray[np.bool_]
    flipped: bool
    designation: str | None = None


@dataclass(frozen=True, slots=True)
class RenderedCell:
    """A cell on its own patch, whose centre is the cell's centre.

    Attributes
    ----------
    od
        float32, shape (size_px, size_px): optical density, or emitted light; bodies that overlap add.
    um_per_px
        Size of a patch pixel.
    chromosomes
        Truth, in the order of a karyogram.
    iscn
        Karyotype, also of what the preparation has lost.
    radius_um
        Radius of the circle about the centre that holds every chromosome.
    lost
        Names of chromosomes that the preparation has lost.
    """

    od: NDArray[np.float32]
    um_per_px: float
    chromosomes: tuple[PlacedChromosome, ...]
    iscn: str
    radius_um: float
    lost: tuple[str, ...] = ()


def render_cell(
    chromosomes: Sequence[str] | SpecimenKaryotype,
    rng: np.random.Generator,
    *,
    spread: Spread | None = None,
    appearance: ChromosomeAppearance | None = None,
    um_per_px: float = NATIVE_UM_PER_PX,
    lost: Collection[int] = (),
) -> RenderedCell:
    """Draw a metaphase.

    Parameters
    ----------
    chromosomes
        A karyotype, or classes of normal chromosomes, one entry each (see `karyotype.chromosomes_of`).
    rng
        Source of all variation.
    spread
        How they lie; a good spread where left out.
    appearance
        Condensation and stain; drawn from `rng` where left out.
    um_per_px
        Pixel size of the patch.
    lost
        Numbers of the chromosomes, in the karyotype's order, that the preparation has lost.
    """
    karyotype = chromosomes if isinstance(chromosomes, SpecimenKaryotype) else karyotype_of(chromosomes)
    there = [entry for number, entry in enumerate(karyotype.chromosomes) if number not in lost]
    lie = spread or Spread()
    shared = appearance or draw_appearance(rng)
    drawn = [_draw(entry, rng, lie, shared, um_per_px) for entry in there]
    corners, radius_px = _lay_out(drawn, rng, lie, um_per_px)
    half = int(np.ceil(radius_px + 2.0 / um_per_px))
    od = _halo(half, radius_px, rng)
    placed = []
    for body, (x, y) in zip(drawn, corners, strict=True):
        left, top = x + half, y + half
        height, width = body.od.shape
        od[top : top + height, left : left + width] += body.od
        xmin, ymin, xmax, ymax = body.box_px
        placed.append(
            PlacedChromosome(
                class_name=body.class_name,
                box_px=(left + xmin, top + ymin, left + xmax, top + ymax),
                mask=body.mask[ymin:ymax, xmin:xmax],
                flipped=body.flipped,
                designation=body.designation,
            )
        )
    return RenderedCell(
        od,
        um_per_px,
        tuple(placed),
        karyotype.iscn,
        radius_px * um_per_px,
        tuple(entry.designation or entry.class_name for n, entry in enumerate(karyotype.chromosomes) if n in lost),
    )


def _draw(
    chromosome: Chromosome,
    rng: np.random.Generator,
    spread: Spread,
    appearance: ChromosomeAppearance,
    um_per_px: float,
) -> RenderedChromosome:
    factor = min(length_um(chromosome) / _LAYOUT.bend_length_um, _LAYOUT.largest_bend_factor)
    bend_deg = rng.normal(0.0, spread.bend_deg * factor)
    return render_chromosome(
        chromosome,
        rng,
        um_per_px=um_per_px,
        appearance=appearance,
        angle_deg=float(rng.uniform(0.0, _FULL_TURN_DEG)),
        bend_deg=float(np.clip(bend_deg, -_LAYOUT.largest_bend_deg, _LAYOUT.largest_bend_deg)),
    )


def _lay_out(
    bodies: Sequence[RenderedChromosome], rng: np.random.Generator, spread: Spread, um_per_px: float
) -> tuple[list[tuple[int, int]], float]:
    """Upper left corners of the patches relative to the cell's centre, and the radius that holds all, in px."""
    size = int(_LAYOUT.canvas * max(spread.radius_um, _LAYOUT.smallest_radius_um) / um_per_px)
    taken = np.zeros((size, size), np.bool_)
    near = np.zeros((size, size), np.bool_)
    reach = round(_LAYOUT.clearance_um / um_per_px)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    order = np.argsort([-int(body.mask.sum()) for body in bodies], kind="stable")
    contacts = set(rng.choice(order[1:], min(int(rng.poisson(spread.contacts)), len(bodies) - 1), replace=False))
    corners: list[tuple[int, int]] = [(0, 0)] * len(bodies)
    for index in order:
        body = bodies[index]
        overlap = index in contacts and rng.random() < spread.overlap_fraction
        wanted = _LAYOUT.overlap if overlap else (0.0, 0.0)
        corner = None
        if index in contacts:
            corner = _find_contact(body, taken, near, rng, spread.radius_um / um_per_px, wanted)
        if corner is None:
            corner = _find_room(body, near, rng, spread.radius_um / um_per_px)
        x, y = corner
        height, width = body.mask.shape
        window = np.s_[y : y + height, x : x + width]
        taken[window] |= body.mask
        padded = np.pad(body.mask, reach).astype(np.uint8)
        near[y - reach : y + height + reach, x - reach : x + width + reach] |= cv2.dilate(padded, kernel) > 0
        corners[index] = (x - size // 2, y - size // 2)
    rows, columns = np.nonzero(taken)
    radius_px = float(np.hypot(rows - size // 2, columns - size // 2).max())
    return corners, radius_px


def _random_corner(
    body: RenderedChromosome, rng: np.random.Generator, radius_px: float, size: int
) -> tuple[int, int]:
    distance, angle = radius_px * np.sqrt(rng.random()), rng.uniform(0.0, 2.0 * np.pi)
    height, width = body.mask.shape
    x = size // 2 + distance * np.cos(angle) - width / 2
    y = size // 2 + distance * np.sin(angle) - height / 2
    return int(x), int(y)


def _find_room(
    body: RenderedChromosome, near: NDArray[np.bool_], rng: np.random.Generator, radius_px: float
) -> tuple[int, int]:
    height, width = body.mask.shape
    # Long chromosomes stay inside the disc by their whole length.
    ring = max(radius_px - max(height, width) / 3, radius_px / 3)
    while True:
        for _ in range(_TRIES_PER_RING):
            x, y = _random_corner(body, rng, ring, len(near))
            if not (near[y : y + height, x : x + width] & body.mask).any():
                return x, y
        ring *= _LAYOUT.growth


def _find_contact(
    body: RenderedChromosome,
    taken: NDArray[np.bool_],
    near: NDArray[np.bool_],
    rng: np.random.Generator,
    radius_px: float,
    wanted: tuple[float, float],
) -> tuple[int, int] | None:
    """A place where the body shares between `wanted` of its area with others and lies near one."""
    height, width = body.mask.shape
    area = float(body.mask.sum())
    for _ in range(_TRIES_TO_TOUCH):
        x, y = _random_corner(body, rng, radius_px * _LAYOUT.contact_reach, len(near))
        window = np.s_[y : y + height, x : x + width]
        shared = float((taken[window] & body.mask).sum()) / area
        if wanted[0] <= shared <= wanted[1] and (near[window] & body.mask).any():
            return x, y
    return None


def _halo(half_px: int, radius_px: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Remains of cytoplasm: a faint, smooth rise of density under the cell."""
    offset = np.arange(-half_px, half_px, dtype=np.float32)
    distance = np.hypot(offset[:, None], offset[None, :]) / max(radius_px, 1.0)
    depth = np.float32(_LAYOUT.depth_od.draw(rng))
    fall = np.clip(1.0 - distance, 0.0, 1.0)
    return np.asarray(depth * fall * fall * (3 - 2 * fall), dtype=np.float32)
