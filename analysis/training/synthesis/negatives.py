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
        """Lay one of `KINDS` about a place; None where nothing of it came to lie on the field."""
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
        size = float(rng.uniform(0.35, 0.8))
        chosen = [_pick(self._library.nuclei, rng) for _ in range(int(rng.integers(3, 8)))]
        gap = float(rng.uniform(0.75, 1.25))
        steps = np.cumsum([2.0 * size * gap * body.radius_um for body in chosen])
        steps -= steps.mean()
        for body, step in zip(chosen, steps, strict=True):
            across = float(rng.normal(0.0, 1.0))
            dx, dy = step * np.cos(along) - across * np.sin(along), step * np.sin(along) + across * np.cos(along)
            self._nucleus(canvas, body, x_px, y_px, (dx, dy), size, rng)
        return _Made(float(np.ptp(steps)) / 2.0 + size * chosen[0].radius_um, chosen[0].source, chosen[0].case)

    def _heap(self, canvas: Canvas, x_px: float, y_px: float, rng: np.random.Generator) -> _Made:
        size = float(rng.uniform(0.3, 0.75))
        chosen = [_pick(self._library.nuclei, rng) for _ in range(int(rng.integers(4, 14)))]
        reach = 1.3 * size * float(np.mean([body.radius_um for body in chosen])) * len(chosen) ** 0.5
        for body in chosen:
            self._nucleus(canvas, body, x_px, y_px, _in_disc(reach, rng), size, rng)
        return _Made(reach + size * chosen[0].radius_um, chosen[0].source, chosen[0].case)

    def _fragments(self, canvas: Canvas, x_px: float, y_px: float, rng: np.random.Generator) -> _Made:
        body = _pick(self._library.nuclei, rng)
        reach = float(rng.uniform(3.5, 9.0))
        for _ in range(int(rng.integers(5, 18))):
            size = float(rng.uniform(0.9, 2.6)) / body.radius_um
            strength = float(rng.uniform(1.0, 1.9))
            self._nucleus(canvas, body, x_px, y_px, _in_disc(reach, rng), size, rng, strength)
        return _Made(reach + 1.5, body.source, body.case)

    def _pile(self, canvas: Canvas, x_px: float, y_px: float, rng: np.random.Generator) -> _Made:
        sigma = float(rng.uniform(2.5, 11.0))
        count = int(rng.integers(12, 70))
        for _ in range(count):
            body = _pick(self._library.debris, rng)
            dx, dy = rng.normal(0.0, sigma, 2)
            pose = _pose(x_px + dx / canvas.um_per_px, y_px + dy / canvas.um_per_px, rng, (0.6, 1.3))
            canvas.lay(body, pose, self._strength * float(rng.uniform(0.6, 1.2)))
        return _Made(1.8 * sigma + 2.0, body.source, body.case)

    def _prophase(self, canvas: Canvas, x_px: float, y_px: float, rng: np.random.Generator) -> _Made:
        body = _pick(self._library.nuclei, rng)
        threads = _threads(body.matter.shape, float(rng.uniform(0.35, 0.6)), rng)
        depth = float(rng.uniform(0.5, 1.0))
        matter = body.matter * ((1.0 - depth) + 2.0 * depth * threads)
        made = replace(body, matter=np.asarray(matter, np.float32))
        size = self._nucleus_scale * float(rng.uniform(0.7, 1.15))
        self._nucleus(canvas, made, x_px, y_px, (0.0, 0.0), size, rng, float(rng.uniform(0.9, 1.4)))
        return _Made(size * body.radius_um, body.source, body.case)

    def _clump(self, canvas: Canvas, x_px: float, y_px: float, rng: np.random.Generator) -> _Made:
        known = [cell for cell in self._library.cells if len(cell.boxes_px) >= 20]
        if known and rng.random() < 0.75:
            cell = known[int(rng.integers(len(known)))]
            lump = rearranged(
                cell, rng, share=1.0, pull=float(rng.uniform(2.0, 6.0)) / cell.body.radius_um, jitter_um=0.8
            ).body
            # Chromosomes that ran together are no thicker than a lump: the stain does not grow without end.
            limit = float(rng.uniform(1.0, 1.9))
            matter = cv2.GaussianBlur(saturated(lump.matter, limit), (0, 0), float(rng.uniform(1.0, 2.5)))
            body = replace(lump, matter=np.asarray(matter, np.float32))
        else:
            body = _pick(self._library.clumps, rng)
        canvas.lay(body, _pose(x_px, y_px, rng, (0.8, 1.1)), self._strength)
        return _Made(max(body.radius_um, 3.0), body.source, body.case)

    def _precipitate(self, canvas: Canvas, x_px: float, y_px: float, rng: np.random.Generator) -> _Made:
        body = _pick(self._library.precipitates, rng)
        canvas.lay(body, _pose(x_px, y_px, rng, (0.8, 1.3)), float(rng.uniform(0.5, 1.2)))
        return _Made(0.7 * body.radius_um)

    def _ghost(self, canvas: Canvas, x_px: float, y_px: float, rng: np.random.Generator) -> _Made:
        body = _pick(self._library.nuclei, rng)
        sigma = float(rng.uniform(0.8, 2.5))
        soft = np.asarray(cv2.GaussianBlur(body.matter, (0, 0), sigma), np.float32)
        hollow = float(rng.uniform(0.0, 0.9))
        inner = cv2.GaussianBlur(body.matter, (0, 0), 9.0)
        ring = np.maximum(soft - np.float32(hollow) * inner, 0.0)
        grains = 1.0 + 0.7 * _threads(body.matter.shape, 0.5, rng)
        size = self._nucleus_scale * float(rng.uniform(0.9, 1.6))
        made = replace(body, matter=np.asarray(ring * grains, np.float32))
        self._nucleus(canvas, made, x_px, y_px, (0.0, 0.0), size, rng, float(rng.uniform(0.2, 0.5)))
        return _Made(size * body.radius_um, body.source, body.case)

    def _burst(self, canvas: Canvas, x_px: float, y_px: float, rng: np.random.Generator) -> _Made:
        return self._some(canvas, x_px, y_px, rng, (6, 11), (24.0, 42.0), (0.3, 0.8))

    def _lone(self, canvas: Canvas, x_px: float, y_px: float, rng: np.random.Generator) -> _Made:
        return self._some(canvas, x_px, y_px, rng, (3, 5), (5.0, 14.0), (0.7, 1.1))

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
        known = [cell for cell in self._library.cells if len(cell.boxes_px) >= 20]
        if not known:
            return self._pile(canvas, x_px, y_px, rng)
        cell = known[int(rng.integers(len(known)))]
        count = int(rng.integers(counts[0], counts[1] + 1))
        pull = float(rng.uniform(*reach_um)) / max(cell.body.radius_um, 1.0)
        few = rearranged(cell, rng, share=count / len(cell.boxes_px), pull=pull, jitter_um=2.0)
        canvas.lay(few.body, _pose(x_px, y_px, rng, (0.9, 1.05)), self._strength * float(rng.uniform(*strength)))
        return _Made(max(few.body.radius_um, 3.0), few.body.source, few.body.case)

    def _fibre(self, canvas: Canvas, x_px: float, y_px: float, rng: np.random.Generator) -> _Made:
        reach_um = float(rng.uniform(12.0, 60.0))
        half = int(reach_um / canvas.um_per_px) + 4
        points = [np.array([0.0, 0.0])]
        heading = float(rng.uniform(0.0, 2.0 * np.pi))
        for _ in range(60):
            heading += float(rng.normal(0.0, 0.14))
            points.append(points[-1] + np.array([np.cos(heading), np.sin(heading)]))
        line = np.array(points) - np.mean(points, axis=0)
        line *= 0.9 * half / np.abs(line).max()
        stamp = np.zeros((2 * half + 1, 2 * half + 1), np.uint8)
        width = max(round(float(rng.uniform(0.8, 2.6)) / canvas.um_per_px), 1)
        path = np.rint((line + half) * 16).astype(np.int32)
        cv2.polylines(stamp, [path.reshape(-1, 1, 2)], False, (255,), width, cv2.LINE_AA, 4)
        depth = float(rng.uniform(0.15, 0.9)) * self._strength / 255.0
        soft = cv2.GaussianBlur(stamp.astype(np.float32), (0, 0), 0.8)
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
        pose = _pose(x_px, y_px, rng, (size, size * 1.05))
        canvas.lay(body, pose, self._strength * strength * float(rng.uniform(0.85, 1.15)))


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
    sigma = width_um / CUTOUT_UM_PER_PX * 2.2
    noise = cv2.GaussianBlur(rng.standard_normal(shape).astype(np.float32), (0, 0), sigma)
    level = noise / max(float(noise.std()), 1e-6)
    return np.asarray(np.exp(-((level / 0.45) ** 2)), np.float32)
