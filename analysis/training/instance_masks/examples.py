"""Prompts and answers for the instance mask net, drawn from scenes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from analysis.segmentation.instance_masks.prompts import CropFrame, MaskPrompt, cropped_to, prompted_crop
from analysis.structures.boxes import box_iou
from analysis.training.instance_masks.scenes import MaskScene, MaskTarget


@dataclass(frozen=True, slots=True)
class MaskPromptSettings:
    """How chromosomes are asked for.

    Attributes
    ----------
    box_noise_px, box_noise
        Standard deviation of a side of a box: px, and over the size. As well as a detector's boxes, and worse.
    part_fraction, part_kept
        Of the boxes, those of a part only; how much of the longer side is left. The whole is the answer.
    stroke_fraction
        Of the prompts, those by a point or a stroke.
    point_fraction
        Of those, points.
    boxed_stroke_fraction
        Of the prompts by a box, those with a stroke as well.
    same_box_overlap
        Intersection over union of two chromosomes' boxes from which a box alone doesn't say which of them is
        meant: a stroke is always given as well, and where the mask isn't known the net isn't asked.
    lonely_fraction
        Of the prompts, those that don't say where the neighbours are.
    dropped_fraction, doubled_fraction
        Of the neighbours, those a detector missed; chance of a box too many.
    offset_px
        How far a crop's middle may be off.
    margin_px
        Between a box and the border of its crop at least.
    noise_fraction
        Of the prompts in scenes with nuclei or dirt, those on them: the answer is empty.
    reach_inset_px
        Rows and columns of a box so near its end needn't hold a pixel of the mask.
    """

    box_noise_px: float = 0.8
    box_noise: tuple[float, ...] = (0.0, 0.02, 0.05)
    part_fraction: float = 0.06
    part_kept: tuple[float, float] = (0.5, 0.8)
    stroke_fraction: float = 0.2
    point_fraction: float = 0.5
    boxed_stroke_fraction: float = 0.12
    same_box_overlap: float = 0.6
    lonely_fraction: float = 0.1
    dropped_fraction: float = 0.08
    doubled_fraction: float = 0.1
    offset_px: float = 6.0
    margin_px: float = 6.0
    noise_fraction: float = 0.12
    reach_inset_px: int = 3


_PROMPTS: Final = MaskPromptSettings()


@dataclass(frozen=True, slots=True)
class InstanceMaskExample:
    """A prompt and its answer.

    Attributes
    ----------
    prompted
        float32, shape (4, side, side): see `prompted_crop`.
    target, labelled
        float32, shape (side, side): see `MaskTarget`.
    reach
        float32, shape (2, side): 1 for rows, and for columns, in which the mask has a pixel.
    whole
        Whether the mask is known everywhere.
    """

    prompted: NDArray[np.float32]
    target: NDArray[np.float32]
    labelled: NDArray[np.float32]
    reach: NDArray[np.float32]
    whole: bool


def draw_examples(
    scene: MaskScene, rng: np.random.Generator, count: int, side_px: int
) -> list[InstanceMaskExample]:
    """Ask for some of a scene's bodies, those in company first.

    Parameters
    ----------
    scene
        The scene.
    rng
        Decides everything.
    count
        Prompts at most.
    side_px
        Of the crops; bodies that don't fit are left out.
    """
    room = side_px - 2.0 * _PROMPTS.margin_px
    fitting = [
        k
        for k, target in enumerate(scene.targets)
        if (target.box_px[2:] - target.box_px[:2]).max() <= room
        and (target.whole or _largest_overlap(target.box_px, scene.boxes_px) < _PROMPTS.same_box_overlap)
        and (target.is_chromosome or rng.random() < _PROMPTS.noise_fraction * len(scene.targets))
    ]
    crowd = np.asarray([_company(scene.targets[k], scene.boxes_px) for k in fitting])
    order = np.argsort(-(np.minimum(crowd, 3.0) + rng.uniform(0.0, 2.5, len(fitting))))
    return [_example(scene, fitting[int(k)], rng, side_px) for k in order[:count]]


def _company(target: MaskTarget, boxes_px: NDArray[np.float32]) -> float:
    """Boxes that meet a target's, its own left out."""
    box = target.box_px
    met = (np.minimum(boxes_px[:, 2:], box[2:]) > np.maximum(boxes_px[:, :2], box[:2])).all(axis=1)
    return float(np.count_nonzero(met)) - 1.0


def _largest_overlap(box: NDArray[np.float32], boxes_px: NDArray[np.float32]) -> float:
    """Largest intersection over union of a box with others, itself left out."""
    others = boxes_px[(boxes_px != box).any(axis=1)]
    return float(box_iou(box[None], others).max(initial=0.0)) if len(others) else 0.0


def _example(scene: MaskScene, number: int, rng: np.random.Generator, side_px: int) -> InstanceMaskExample:
    target = scene.targets[number]
    box = target.box_px
    middle = (box[:2] + box[2:]) / 2.0
    slack = max(0.0, (side_px - float((box[2:] - box[:2]).max())) / 2.0 - _PROMPTS.margin_px)
    reach = min(_PROMPTS.offset_px, slack)
    centre = middle + rng.uniform(-reach, reach, 2)
    frame = CropFrame(round(float(centre[0])) - side_px // 2, round(float(centre[1])) - side_px // 2, side_px)
    crop = prompted_crop(scene.level, _prompt(scene, number, rng), frame)
    mask = cropped_to(target.mask, frame)
    labelled = cropped_to(target.labelled, frame)
    corner = np.asarray([frame.left_px, frame.top_px] * 2, np.float32)
    profile = _reach(box - corner, side_px) if target.is_chromosome else np.zeros((2, side_px), np.float32)
    turn, mirror = int(rng.integers(4)), bool(rng.random() < 0.5)
    stacked = np.concatenate([crop, mask[None], labelled[None]])
    stacked = np.rot90(stacked, turn, axes=(1, 2))
    # Turned by a quarter to the left, columns become rows from the last on.
    for _ in range(turn):
        profile = np.stack([profile[1][::-1], profile[0]])
    if mirror:
        stacked, profile = stacked[:, :, ::-1], np.stack([profile[0], profile[1][::-1]])
    stacked = np.ascontiguousarray(stacked)
    return InstanceMaskExample(stacked[:4], stacked[4], stacked[5], np.ascontiguousarray(profile), target.whole)


def _prompt(scene: MaskScene, number: int, rng: np.random.Generator) -> MaskPrompt:
    target = scene.targets[number]
    neighbours = _neighbours(scene, number, rng)
    if target.is_chromosome and rng.random() < _PROMPTS.stroke_fraction:
        stroke = _stroke(target.mask * target.labelled, rng)
        if stroke is not None:
            return MaskPrompt(stroke_px=stroke, neighbours_px=neighbours)
    box = target.box_px.copy()
    stroke = None
    ambiguous = _largest_overlap(box, scene.boxes_px) >= _PROMPTS.same_box_overlap
    if target.is_chromosome and (ambiguous or rng.random() < _PROMPTS.boxed_stroke_fraction):
        stroke = _stroke(target.mask * target.labelled, rng, point_fraction=0.0)
    elif rng.random() < _PROMPTS.part_fraction:
        box = _part_of(box, rng)
    return MaskPrompt(box_px=_noisy(box, rng), stroke_px=stroke, neighbours_px=neighbours)


def _neighbours(scene: MaskScene, number: int, rng: np.random.Generator) -> NDArray[np.float32]:
    if rng.random() < _PROMPTS.lonely_fraction:
        return np.zeros((0, 4), np.float32)
    own = scene.targets[number].box_px
    boxes = [
        _noisy(box, rng)
        for box in scene.boxes_px
        if not np.array_equal(box, own) and rng.random() >= _PROMPTS.dropped_fraction
    ]
    if boxes and rng.random() < _PROMPTS.doubled_fraction:
        wrong = boxes[int(rng.integers(len(boxes)))]
        boxes.append(_part_of(wrong, rng))
    return np.asarray(boxes, np.float32).reshape(-1, 4)


def _part_of(box: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    out = box.copy()
    side = int((box[2:] - box[:2]).argmax())
    kept = np.float32(rng.uniform(*_PROMPTS.part_kept)) * (box[2 + side] - box[side])
    if rng.random() < 0.5:
        out[side] = box[2 + side] - kept
    else:
        out[2 + side] = box[side] + kept
    return out


def _noisy(box: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    size = box[2:] - box[:2]
    spread = _PROMPTS.box_noise_px + float(rng.choice(_PROMPTS.box_noise)) * np.tile(size, 2)
    noisy = box + rng.normal(0.0, 1.0, 4) * spread
    # Never inside out, however far it is off.
    low, high = np.minimum(noisy[:2], noisy[2:] - 3.0), np.maximum(noisy[2:], noisy[:2] + 3.0)
    return np.concatenate([low, high]).astype(np.float32)


def _stroke(
    mask: NDArray[np.float32], rng: np.random.Generator, point_fraction: float = _PROMPTS.point_fraction
) -> NDArray[np.float32] | None:
    """Draw a point on a chromosome, or a rough line along it; None where too little of it is known."""
    inner = cv2.erode((mask > 0.5).astype(np.uint8), np.ones((5, 5), np.uint8))
    rows, columns = np.nonzero(inner)
    if rows.size < 12:
        return None
    points = np.stack([columns, rows], axis=1).astype(np.float32)
    if rng.random() < point_fraction:
        at = int(rng.integers(len(points)))
        return points[at : at + 1]
    centred = points - points.mean(axis=0)
    _, vectors = np.linalg.eigh(centred.T @ centred)
    along = centred @ vectors[:, 1]
    # A line over a part of the length, its points in the middle of the chromosome at three to five places.
    low, high = np.quantile(along, [rng.uniform(0.0, 0.3), rng.uniform(0.6, 1.0)])
    line = []
    for at in np.linspace(low, high, int(rng.integers(3, 6))):
        near = points[np.abs(along - at) < 3.0]
        if len(near):
            line.append(near.mean(axis=0) + rng.normal(0.0, 1.0, 2))
    return np.asarray(line, np.float32) if len(line) >= 2 else None


def _reach(box: NDArray[np.float32], side_px: int) -> NDArray[np.float32]:
    """Mark the rows and columns that a box's chromosome must reach."""
    at = np.arange(side_px, dtype=np.float32) + 0.5
    inset = np.float32(_PROMPTS.reach_inset_px)
    rows = (at > box[1] + inset) & (at < box[3] - inset)
    columns = (at > box[0] + inset) & (at < box[2] - inset)
    return np.stack([rows, columns]).astype(np.float32)
