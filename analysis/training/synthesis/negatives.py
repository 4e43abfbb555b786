"""Objects that could be taken for metaphases and are none, by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from analysis.training.synthesis.canvas import Canvas, CutoutPose
from analysis.training.synthesis.cutout import CUTOUT_UM_PER_PX, Cutout
from analysis.training.synthesis.library import Library
from analysis.training.synthesis.metaphases import rearranged, saturated
from analysis.training.synthesis.truth import ComposedMetaphase

KINDS: Final = (
    "nuclei_row", "nuclei_heap", "fragments", "debris_pile", "early_prophase", "clump", "precipitate", "ghost",
    "burst", "fibre", "lone_chromosomes",
)  # fmt: skip
"""Nuclei in a row or heap, an apoptotic nucleus' fragments, heaped debris, a nucleus whose chromatin condenses, a
pyknotic lump, precipitated stain, an empty cell's shadow, a burst cell's few far-flung chromosomes, a fibre, and
three to five chromosomes without their cell. Bubbles and the coverslip's edge belong to the glass: see `glass`."""


Range = tuple[float, float]
"""Least and greatest value, drawn evenly between."""


@dataclass(frozen=True, slots=True)
class NegativesSettings:
    """How hard negatives vary. Sizes are factors of a cut-out's own, strengths factors of the slide's stain.

    Chosen by eye beside fields of real slides, wide enough that each kind now and then looks like a metaphase:
    what a finder is never shown it takes for one.

    Attributes
    ----------
    row_size, row_count, row_gap, row_across_um
        Nuclei in a row: smaller than single ones, as only small ones lie so; from touching to a quarter apart.
    heap_size, heap_count, heap_spread
        Nuclei in a heap, spread over a disc that they just fill.
    fragment_reach_um, fragment_count, fragment_radius_um, fragment_strength, fragment_margin_um
        An apoptotic nucleus: dense balls of chromosome size.
    pile_sigma_um, pile_count, pile_size, pile_strength, pile_reach, pile_margin_um
        Heaped debris, from a speck to the width of a metaphase.
    thread_um, thread_depth, prophase_size, prophase_strength
        Condensing chromatin: threads half a chromosome wide, on a nucleus of its own size, or darker.
    clump_chromosomes, clump_of_cell, clump_pull_um, clump_jitter_um, clump_limit, clump_blur_px, clump_size
        A pyknotic lump: mostly a real cell's chromosomes pulled together until they run into one another.
    least_radius_um
        Of a clump or of lone chromosomes: no truth is smaller.
    precipitate_size, precipitate_strength, precipitate_reach
        Clots of stain; their outer third is too faint to count.
    ghost_blur_px, ghost_hollow, ghost_inner_px, ghost_grain, ghost_thread_um, ghost_size, ghost_strength
        An empty cell's shadow: larger and much paler than a nucleus, hollow in the middle.
    burst_count, burst_reach_um, burst_strength
        A burst cell: chromosomes flung farther than any metaphase spreads.
    lone_count, lone_reach_um, lone_strength
        Three to five chromosomes without their cell.
    lone_jitter_um, lone_size
        Of both.
    fibre_reach_um, fibre_bend_rad, fibre_steps, fibre_fill, fibre_width_um, fibre_depth, fibre_blur_px
        A fibre, as wide as a chromosome or twice, winding slowly.
    nucleus_stretch, nucleus_strength
        Spread of nuclei within one object.
    thread_sigma, thread_width
        Correlation length of the random field over the width of a thread, and the level that a thread ends at.
    """

    row_size: Range = (0.35, 0.8)
    row_count: tuple[int, int] = (3, 8)
    row_gap: Range = (0.75, 1.25)
    row_across_um: float = 1.0
    heap_size: Range = (0.3, 0.75)
    heap_count: tuple[int, int] = (4, 14)
    heap_spread: float = 1.3
    fragment_reach_um: Range = (3.5, 9.0)
    fragment_count: tuple[int, int] = (5, 18)
    fragment_radius_um: Range = (0.9, 2.6)
    fragment_strength: Range = (1.0, 1.9)
    fragment_margin_um: float = 1.5
    pile_sigma_um: Range = (2.5, 11.0)
    pile_count: tuple[int, int] = (12, 70)
    pile_size: Range = (0.6, 1.3)
    pile_strength: Range = (0.6, 1.2)
    pile_reach: float = 1.8
    pile_margin_um: float = 2.0
    thread_um: Range = (0.35, 0.6)
    thread_depth: Range = (0.5, 1.0)
    prophase_size: Range = (0.7, 1.15)
    prophase_strength: Range = (0.9, 1.4)
    clump_chromosomes: int = 20
    clump_of_cell: float = 0.75
    clump_pull_um: Range = (2.0, 6.0)
    clump_jitter_um: float = 0.8
    clump_limit: Range = (1.0, 1.9)
    clump_blur_px: Range = (1.0, 2.5)
    clump_size: Range = (0.8, 1.1)
    least_radius_um: float = 3.0
    precipitate_size: Range = (0.8, 1.3)
    precipitate_strength: Range = (0.5, 1.2)
    precipitate_reach: float = 0.7
    ghost_blur_px: Range = (0.8, 2.5)
    ghost_hollow: Range = (0.0, 0.9)
    ghost_inner_px: float = 9.0
    ghost_grain: float = 0.7
    ghost_thread_um: float = 0.5
    ghost_size: Range = (0.9, 1.6)
    ghost_strength: Range = (0.2, 0.5)
    burst_count: tuple[int, int] = (6, 11)
    burst_reach_um: Range = (24.0, 42.0)
    burst_strength: Range = (0.3, 0.8)
    lone_count: tuple[int, int] = (3, 5)
    lone_reach_um: Range = (5.0, 14.0)
    lone_strength: Range = (0.7, 1.1)
    lone_jitter_um: float = 2.0
    lone_size: Range = (0.9, 1.05)
    fibre_reach_um: Range = (12.0, 60.0)
    fibre_bend_rad: float = 0.14
    fibre_steps: int = 60
    fibre_fill: float = 0.9
    fibre_width_um: Range = (0.8, 2.6)
    fibre_depth: Range = (0.15, 0.9)
    fibre_blur_px: float = 0.8
    nucleus_stretch: float = 1.05
    nucleus_strength: Range = (0.85, 1.15)
    thread_sigma: float = 2.2
    thread_width: float = 0.45


_SETTINGS: Final = NegativesSettings()
_WHITE: Final = 255.0
_NO_SPREAD: Final = 1e-6
"""A field of one level has no spread to divide by."""


class Negatives:
    """Lays hard negatives.

    Parameters
    ----------
    library
        What they are made of.
    strength
        Stain of the slide.
    nucleus_scale
        Size of the slide's nuclei over those of the images.
    """

    def __init__(self, library: Library, strength: float, nucleus_scale: float) -> None:
        self._library = library
        self._strength = strength
        self._nucleus_scale = nucleus_scale

    def lay(
        self, kind: str, canvas: Canvas, x_px: float, y_px: float, rng: np.random.Generator
    ) -> ComposedMetaphase | None:
        """Lay one of `KINDS` about a place; None where nothing of it came to lie on the field.

        Parameters
        ----------
        kind
            One of `KINDS`.
        canvas
            The field.
        x_px
            Where.
        y_px
            Where.
        rng
            Source of all variation.
        """
        makers: dict[str, Callable[[Canvas, float, float, np.random.Generator], _Made]] = {
            "nuclei_row": self._row,
            "nuclei_heap": self._heap,
            "fragments": self._fragments,
            "debris_pile": self._pile,
            "early_prophase": self._prophase,
            "clump": self._clump,
            "precipitate": self._precipitate,
            "ghost": self._ghost,
            "burst": self._burst,
            "fibre": self._fibre,
            "lone_chromosomes": self._lone,
        }
        made = makers[kind](canvas, x_px, y_px, rng)
        radius_px = made.radius_um / canvas.um_per_px
        rows, columns = canvas.matter.shape
        if not (-radius_px < x_px < columns + radius_px and -radius_px < y_px < rows + radius_px):
            return None
        return ComposedMetaphase(
            x_px, y_px, radius_px, is_metaphase=False, kind=kind, analysable=False, source=made.source,
            case=made.case,
        )  # fmt: skip

    def _row(self, canvas: Canvas, x_px: float, y_px: float, rng: np.random.Generator) -> _Made:
        along = float(rng.uniform(0.0, np.pi))
        size = float(rng.uniform(*_SETTINGS.row_size))
        chosen = [_pick(self._library.nuclei, rng) for _ in range(int(rng.integers(*_SETTINGS.row_count)))]
        gap = float(rng.uniform(*_SETTINGS.row_gap))
        steps = np.cumsum([2.0 * size * gap * body.radius_um for body in chosen])
        steps -= steps.mean()
        for body, step in zip(chosen, steps, strict=True):
            across = float(rng.normal(0.0, _SETTINGS.row_across_um))
            dx, dy = step * np.cos(along) - across * np.sin(along), step * np.sin(along) + across * np.cos(along)
            self._nucleus(canvas, body, x_px, y_px, (dx, dy), size, rng)
        return _Made(float(np.ptp(steps)) / 2.0 + size * chosen[0].radius_um, chosen[0].source, chosen[0].case)

    def _heap(self, canvas: Canvas, x_px: float, y_px: float, rng: np.random.Generator) -> _Made:
        size = float(rng.uniform(*_SETTINGS.heap_size))
        chosen = [_pick(self._library.nuclei, rng) for _ in range(int(rng.integers(*_SETTINGS.heap_count)))]
        reach = (
            _SETTINGS.heap_spread * size * float(np.mean([body.radius_um for body in chosen])) * len(chosen) ** 0.5
        )
        for body in chosen:
            self._nucleus(canvas, body, x_px, y_px, _in_disc(reach, rng), size, rng)
        return _Made(reach + size * chosen[0].radius_um, chosen[0].source, chosen[0].case)

    def _fragments(self, canvas: Canvas, x_px: float, y_px: float, rng: np.random.Generator) -> _Made:
        body = _pick(self._library.nuclei, rng)
        reach = float(rng.uniform(*_SETTINGS.fragment_reach_um))
        for _ in range(int(rng.integers(*_SETTINGS.fragment_count))):
            size = float(rng.uniform(*_SETTINGS.fragment_radius_um)) / body.radius_um
            strength = float(rng.uniform(*_SETTINGS.fragment_strength))
            self._nucleus(canvas, body, x_px, y_px, _in_disc(reach, rng), size, rng, strength)
        return _Made(reach + _SETTINGS.fragment_margin_um, body.source, body.case)

    def _pile(self, canvas: Canvas, x_px: float, y_px: float, rng: np.random.Generator) -> _Made:
        sigma = float(rng.uniform(*_SETTINGS.pile_sigma_um))
        count = int(rng.integers(*_SETTINGS.pile_count))
        for _ in range(count):
            body = _pick(self._library.debris, rng)
            dx, dy = rng.normal(0.0, sigma, 2)
            pose = _pose(x_px + dx / canvas.um_per_px, y_px + dy / canvas.um_per_px, rng, _SETTINGS.pile_size)
            canvas.lay(body, pose, self._strength * float(rng.uniform(*_SETTINGS.pile_strength)))
        return _Made(_SETTINGS.pile_reach * sigma + _SETTINGS.pile_margin_um, body.source, body.case)

    def _prophase(self, canvas: Canvas, x_px: float, y_px: float, rng: np.random.Generator) -> _Made:
        body = _pick(self._library.nuclei, rng)
        threads = _threads(body.matter.shape, float(rng.uniform(*_SETTINGS.thread_um)), rng)
        depth = float(rng.uniform(*_SETTINGS.thread_depth))
        matter = body.matter * ((1.0 - depth) + 2.0 * depth * threads)
        made = replace(body, matter=np.asarray(matter, np.float32))
        size = self._nucleus_scale * float(rng.uniform(*_SETTINGS.prophase_size))
        self._nucleus(
            canvas, made, x_px, y_px, (0.0, 0.0), size, rng, float(rng.uniform(*_SETTINGS.prophase_strength))
        )
        return _Made(size * body.radius_um, body.source, body.case)

    def _clump(self, canvas: Canvas, x_px: float, y_px: float, rng: np.random.Generator) -> _Made:
        known = [cell for cell in self._library.cells if len(cell.boxes_px) >= _SETTINGS.clump_chromosomes]
        if known and rng.random() < _SETTINGS.clump_of_cell:
            cell = known[int(rng.integers(len(known)))]
            lump = rearranged(
                cell,
                rng,
                fraction=1.0,
                pull=float(rng.uniform(*_SETTINGS.clump_pull_um)) / cell.body.radius_um,
                jitter_um=_SETTINGS.clump_jitter_um,
            ).body
            # Chromosomes that ran together are no thicker than a lump: the stain does not grow without end.
            limit = float(rng.uniform(*_SETTINGS.clump_limit))
            matter = cv2.GaussianBlur(
                saturated(lump.matter, limit), (0, 0), float(rng.uniform(*_SETTINGS.clump_blur_px))
            )
            body = replace(lump, matter=np.asarray(matter, np.float32))
        else:
            body = _pick(self._library.clumps, rng)
        canvas.lay(body, _pose(x_px, y_px, rng, _SETTINGS.clump_size), self._strength)
        return _Made(max(body.radius_um, _SETTINGS.least_radius_um), body.source, body.case)

    def _precipitate(self, canvas: Canvas, x_px: float, y_px: float, rng: np.random.Generator) -> _Made:
        body = _pick(self._library.precipitates, rng)
        canvas.lay(
            body,
            _pose(x_px, y_px, rng, _SETTINGS.precipitate_size),
            float(rng.uniform(*_SETTINGS.precipitate_strength)),
        )
        return _Made(_SETTINGS.precipitate_reach * body.radius_um)

    def _ghost(self, canvas: Canvas, x_px: float, y_px: float, rng: np.random.Generator) -> _Made:
        body = _pick(self._library.nuclei, rng)
        sigma = float(rng.uniform(*_SETTINGS.ghost_blur_px))
        soft = np.asarray(cv2.GaussianBlur(body.matter, (0, 0), sigma), np.float32)
        hollow = float(rng.uniform(*_SETTINGS.ghost_hollow))
        inner = cv2.GaussianBlur(body.matter, (0, 0), _SETTINGS.ghost_inner_px)
        ring = np.maximum(soft - np.float32(hollow) * inner, 0.0)
        grains = 1.0 + _SETTINGS.ghost_grain * _threads(body.matter.shape, _SETTINGS.ghost_thread_um, rng)
        size = self._nucleus_scale * float(rng.uniform(*_SETTINGS.ghost_size))
        made = replace(body, matter=np.asarray(ring * grains, np.float32))
        self._nucleus(
            canvas, made, x_px, y_px, (0.0, 0.0), size, rng, float(rng.uniform(*_SETTINGS.ghost_strength))
        )
        return _Made(size * body.radius_um, body.source, body.case)

    def _burst(self, canvas: Canvas, x_px: float, y_px: float, rng: np.random.Generator) -> _Made:
        return self._some(
            canvas, x_px, y_px, rng, _SETTINGS.burst_count, _SETTINGS.burst_reach_um, _SETTINGS.burst_strength
        )

    def _lone(self, canvas: Canvas, x_px: float, y_px: float, rng: np.random.Generator) -> _Made:
        return self._some(
            canvas, x_px, y_px, rng, _SETTINGS.lone_count, _SETTINGS.lone_reach_um, _SETTINGS.lone_strength
        )

    def _some(
        self,
        canvas: Canvas,
        x_px: float,
        y_px: float,
        rng: np.random.Generator,
        counts: tuple[int, int],
        reach_um: tuple[float, float],
        strength: tuple[float, float],
    ) -> _Made:
        """A few chromosomes of a cell, apart from one another."""
        known = [cell for cell in self._library.cells if len(cell.boxes_px) >= _SETTINGS.clump_chromosomes]
        if not known:
            return self._pile(canvas, x_px, y_px, rng)
        cell = known[int(rng.integers(len(known)))]
        count = int(rng.integers(counts[0], counts[1] + 1))
        pull = float(rng.uniform(*reach_um)) / max(cell.body.radius_um, 1.0)
        few = rearranged(
            cell, rng, fraction=count / len(cell.boxes_px), pull=pull, jitter_um=_SETTINGS.lone_jitter_um
        )
        canvas.lay(
            few.body, _pose(x_px, y_px, rng, _SETTINGS.lone_size), self._strength * float(rng.uniform(*strength))
        )
        return _Made(max(few.body.radius_um, _SETTINGS.least_radius_um), few.body.source, few.body.case)

    def _fibre(self, canvas: Canvas, x_px: float, y_px: float, rng: np.random.Generator) -> _Made:
        reach_um = float(rng.uniform(*_SETTINGS.fibre_reach_um))
        half = int(reach_um / canvas.um_per_px) + 4
        points = [np.array([0.0, 0.0])]
        heading = float(rng.uniform(0.0, 2.0 * np.pi))
        for _ in range(_SETTINGS.fibre_steps):
            heading += float(rng.normal(0.0, _SETTINGS.fibre_bend_rad))
            points.append(points[-1] + np.array([np.cos(heading), np.sin(heading)]))
        line = np.array(points) - np.mean(points, axis=0)
        line *= _SETTINGS.fibre_fill * half / np.abs(line).max()
        stamp = np.zeros((2 * half + 1, 2 * half + 1), np.uint8)
        width = max(round(float(rng.uniform(*_SETTINGS.fibre_width_um)) / canvas.um_per_px), 1)
        path = np.rint((line + half) * 16).astype(np.int32)
        cv2.polylines(stamp, [path.reshape(-1, 1, 2)], False, (255,), width, cv2.LINE_AA, 4)
        depth = float(rng.uniform(*_SETTINGS.fibre_depth)) * self._strength / _WHITE
        soft = cv2.GaussianBlur(stamp.astype(np.float32), (0, 0), _SETTINGS.fibre_blur_px)
        canvas.add(np.asarray(soft, np.float32), (round(x_px) - half, round(y_px) - half), depth)
        return _Made(reach_um)

    def _nucleus(
        self,
        canvas: Canvas,
        body: Cutout,
        x_px: float,
        y_px: float,
        offset_um: tuple[float, float],
        size: float,
        rng: np.random.Generator,
        strength: float = 1.0,
    ) -> None:
        x_px, y_px = x_px + offset_um[0] / canvas.um_per_px, y_px + offset_um[1] / canvas.um_per_px
        pose = _pose(x_px, y_px, rng, (size, size * _SETTINGS.nucleus_stretch))
        canvas.lay(body, pose, self._strength * strength * float(rng.uniform(*_SETTINGS.nucleus_strength)))


@dataclass(frozen=True, slots=True)
class _Made:
    radius_um: float
    source: str = ""
    case: str = ""


def _pick(bodies: tuple[Cutout, ...], rng: np.random.Generator) -> Cutout:
    return bodies[int(rng.integers(len(bodies)))]


def _pose(x_px: float, y_px: float, rng: np.random.Generator, scale: tuple[float, float]) -> CutoutPose:
    turn, flip = float(rng.uniform(0.0, 2.0 * np.pi)), bool(rng.random() < 0.5)
    return CutoutPose(x_px, y_px, turn, flip, float(rng.uniform(*scale)))


def _in_disc(reach: float, rng: np.random.Generator) -> tuple[float, float]:
    away, angle = reach * float(rng.random()) ** 0.5, float(rng.uniform(0.0, 2.0 * np.pi))
    return away * float(np.cos(angle)), away * float(np.sin(angle))


def _threads(shape: tuple[int, ...], width_um: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Winding threads, 0 .. 1: where a random field crosses nought."""
    sigma = width_um / CUTOUT_UM_PER_PX * _SETTINGS.thread_sigma
    noise = cv2.GaussianBlur(rng.standard_normal(shape).astype(np.float32), (0, 0), sigma)
    level = noise / max(float(noise.std()), _NO_SPREAD)
    return np.asarray(np.exp(-((level / _SETTINGS.thread_width) ** 2)), np.float32)
