"""What the stream's nets learn from a simulated scene: prompts with their masks, and pieces with their kinds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from analysis.segmentation.mask_net.input import (
    MASK_NET_WIDTH_PX,
    blob_crop,
    box_channel,
    crop_at,
    seed_channel,
)
from analysis.training.masks.scene import Scene

UNKNOWN: Final = -1.0
"""A question that doesn't arise for a piece."""

_TOP: Final = 3.0
_STAINED: Final = 0.45
_MIN_PIECE: Final = 0.3
_HELD: Final = 0.5
"""Fraction of a chromosome's area from which a piece holds it."""

_ATTACHED: Final = 0.5
"""Noise of this area, in squared widths, makes a piece one with attached noise."""

_SEED_DEPTH: Final = 0.55
_PART_FRACTION: Final = 0.12
_PAIR_FRACTION: Final = 0.12


@dataclass(frozen=True, slots=True)
class PromptSettings:
    """How prompts are drawn."""

    least_shown: float = 0.7
    """Of a body within the scene: what lies mostly outside can't be asked for."""
    noise_fraction: float = 0.1
    """Points on dirt, whose mask is empty."""
    alone_fraction: float = 0.9
    """Points of a chromosome where no other one lies; the others can't be told apart by the point alone."""
    part_kept: tuple[float, float] = (0.4, 0.75)
    """Of the longer side of a box that was cut off."""
    near_px: float = 4.0
    """Chromosomes so near may share a box."""
    box_noise_px: float = 0.4
    """Standard deviation of a side of a box, whatever its size; and over the size:"""
    box_noise: tuple[float, ...] = (0.02, 0.05, 0.1)
    """As well as a detector's boxes, and worse."""
    least_side_px: float = 3.0
    """Of a box."""
    debris_part: float = 0.1
    """Of a piece's area that chromosomes hold at most, where it counts as noise."""


_PROMPTS: Final = PromptSettings()


@dataclass(frozen=True, slots=True)
class MaskExample:
    """A prompt and its answer.

    Attributes
    ----------
    prompted
        float32, shape (3, CROP_PX, CROP_PX).
    target
        float32, shape (CROP_PX, CROP_PX): 1 on the chromosome; empty for a point on noise.
    """

    prompted: NDArray[np.float32]
    target: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class BlobExample:
    """A piece of stain and what it is.

    Attributes
    ----------
    shown, extras
        See `blob_crop`.
    answers
        float32, shape (3,): 1 or 0 for the stream's three questions, `UNKNOWN` where one doesn't arise.
    """

    shown: NDArray[np.float32]
    extras: NDArray[np.float32]
    answers: NDArray[np.float32]


def mask_examples(scene: Scene, rng: np.random.Generator, count: int) -> Iterator[MaskExample]:
    """Draw prompts for a scene: boxes, as they are detected, and points.

    Parameters
    ----------
    scene
        The scene.
    rng
        Decides everything.
    count
        Prompts at most.
    """
    level = np.clip(scene.level, 0.0, _TOP)
    masks = [scene.mask_of(body) for body in scene.bodies]
    kinds = [body.is_chromosome for body in scene.bodies]
    # What lies mostly outside of the scene can't be asked for.
    in_scene = [
        k for k, body in enumerate(scene.bodies) if masks[k].sum() > _PROMPTS.least_shown * body.mask.sum()
    ]
    chromosomes = [k for k in in_scene if kinds[k]]
    noise = [k for k in in_scene if not kinds[k]]
    others = np.sum([masks[k] for k in range(len(masks)) if kinds[k]], axis=0)
    for _ in range(count):
        if noise and rng.random() < _PROMPTS.noise_fraction:
            x, y = _seed(masks[noise[int(rng.integers(len(noise)))]] & (others == 0), rng)
            if x >= 0:
                yield _pointed(level, np.zeros_like(masks[0]), x, y)
            continue
        if not chromosomes:
            return
        mask = masks[chromosomes[int(rng.integers(len(chromosomes)))]]
        if rng.random() < 0.5:
            yield _boxed(level, mask, _asked_by(mask, masks, chromosomes, rng), rng)
        else:
            alone = mask & (others == 1)
            x, y = _seed(alone if alone.any() and rng.random() < _PROMPTS.alone_fraction else mask, rng)
            yield _pointed(level, mask, x, y)


def blob_examples(scene: Scene) -> Iterator[BlobExample]:
    """Yield the pieces a threshold finds in a scene, with what they are."""
    level = np.clip(scene.level, 0.0, _TOP)
    stained = (level > _STAINED).astype(np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(stained, connectivity=4)
    areas = np.asarray([max(1, np.count_nonzero(body.mask)) for body in scene.bodies])
    masks = [scene.mask_of(body) for body in scene.bodies]
    kinds = np.asarray([body.is_chromosome for body in scene.bodies])
    held = (
        np.stack([np.bincount(labels[mask], minlength=count) for mask in masks]) if masks else np.zeros((0, count))
    )
    side = scene.level.shape[0]
    for label in range(1, count):
        x, y, width, height, area = (int(value) for value in stats[label])
        at_border = x == 0 or y == 0 or x + width == side or y + height == side
        if area < _MIN_PIECE * MASK_NET_WIDTH_PX**2 or at_border:
            continue
        whole = int(np.count_nonzero(kinds & (held[:, label] > _HELD * areas)))
        noise_px = float(held[~kinds, label].sum())
        part_px = float(held[kinds, label].sum())
        answers = _answers(whole, noise_px, part_px, area)
        if answers is not None:
            mask = labels[y : y + height, x : x + width] == label
            shown, extras = blob_crop(level, mask, x, y)
            yield BlobExample(shown, extras, answers)


def _answers(whole: int, noise_px: float, part_px: float, area: int) -> NDArray[np.float32] | None:
    """Answer the three questions; None for what nobody could tell, such as half a chromosome."""
    dirty = noise_px > _ATTACHED * MASK_NET_WIDTH_PX**2
    if whole and not dirty:
        return np.asarray([1.0, float(whole > 1), UNKNOWN], np.float32)
    if whole:
        return np.asarray([0.0, UNKNOWN, 1.0], np.float32)
    if part_px < _PROMPTS.debris_part * area:
        return np.asarray([0.0, UNKNOWN, 0.0], np.float32)
    return None


def _asked_by(
    mask: NDArray[np.bool_], masks: list[NDArray[np.bool_]], numbers: list[int], rng: np.random.Generator
) -> NDArray[np.float64]:
    """Draw the box a chromosome is asked by: mostly its own, else a part of that, or one round another one too.

    Such boxes come of masks that were cut off or ran over. A part asks for the whole; of two, nobody can tell
    which is meant, and the net learns to expect little.
    """
    box = _box_of(mask)
    kind = rng.random()
    if kind < _PART_FRACTION:
        side = int((box[2:] - box[:2]).argmax())
        kept = float(rng.uniform(*_PROMPTS.part_kept)) * (box[2 + side] - box[side])
        if rng.random() < 0.5:
            box[side] = box[2 + side] - kept
        else:
            box[2 + side] = box[side] + kept
        # A part of a slanting chromosome has a part of its height too.
        held = _box_of(mask & _within(box, mask.shape))
        return held if held[2] > held[0] else box
    if kind < _PART_FRACTION + _PAIR_FRACTION:
        reach = _PROMPTS.near_px * np.asarray([-1.0, -1.0, 1.0, 1.0])
        near = [k for k in numbers if masks[k] is not mask and (masks[k] & _within(box + reach, mask.shape)).any()]
        if near:
            other = _box_of(masks[near[int(rng.integers(len(near)))]])
            return np.concatenate([np.minimum(box[:2], other[:2]), np.maximum(box[2:], other[2:])])
    return box


def _box_of(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Close-fitting box; all zeros of an empty mask."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if rows.size == 0:
        return np.zeros(4)
    return np.asarray([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], np.float64)


def _within(box: NDArray[np.float64], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    out = np.zeros(shape, np.bool_)
    x0, y0, x1, y1 = (max(0, round(float(value))) for value in box)
    out[y0:y1, x0:x1] = True
    return out


def _boxed(
    level: NDArray[np.float32], mask: NDArray[np.bool_], box: NDArray[np.float64], rng: np.random.Generator
) -> MaskExample:
    """Ask by a box that is off by as much as a detector's boxes are."""
    size = box[2:] - box[:2]
    spread = _PROMPTS.box_noise_px + float(rng.choice(_PROMPTS.box_noise)) * np.tile(size, 2)
    box = box + rng.normal(0.0, 1.0, 4) * spread
    # Never inside out, however far it is off.
    least = _PROMPTS.least_side_px
    low, high = np.minimum(box[:2], box[2:] - least), np.maximum(box[2:], box[:2] + least)
    crop, left, top = crop_at(level, *((low + high) / 2.0))
    drawn = box_channel(np.concatenate([low, high]).astype(np.float32) - np.asarray([left, top] * 2, np.float32))
    target, _, _ = crop_at(mask.astype(np.float32), *((low + high) / 2.0))
    return MaskExample(np.stack([crop, drawn, np.zeros_like(crop)]), target)


def _pointed(level: NDArray[np.float32], mask: NDArray[np.bool_], x: int, y: int) -> MaskExample:
    crop, _, _ = crop_at(level, x, y)
    target, _, _ = crop_at(mask.astype(np.float32), x, y)
    return MaskExample(np.stack([crop, np.zeros_like(crop), seed_channel()]), target)


def _seed(mask: NDArray[np.bool_], rng: np.random.Generator) -> tuple[int, int]:
    """Draw a point well inside of a mask; (-1, -1) in an empty one."""
    if not mask.any():
        return -1, -1
    depth = cv2.distanceTransform(np.pad(mask.astype(np.uint8), 1), cv2.DIST_L2, 3)[1:-1, 1:-1]
    rows, columns = np.nonzero(depth >= _SEED_DEPTH * depth.max())
    at = int(rng.integers(rows.size))
    return int(columns[at]), int(rows[at])
