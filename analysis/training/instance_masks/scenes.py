"""Scenes the instance mask net learns from: windows of real cells with chromosomes added, and composed ones.

In a real window the labelled boxes are weak labels: stain in one box alone belongs to that chromosome, what lies
outside of a box doesn't, and the mask must reach the four sides (Hsu et al. 2019; Tian et al. 2021, BoxInst).
Chromosomes that are added in density bring their whole masks, hidden parts included, among real neighbours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from analysis.training.instance_masks.cells import MaskTrainingCell
from analysis.training.masks.desk import SceneBody, SceneDesk, paint
from analysis.training.masks.scene import Scene, SceneSettings, draw_scene, photographed, random_pose
from analysis.training.masks.singles import FreeSingle, SingleBank
from analysis.training.masks.warp import warped

SCENE: Final = SceneSettings(side_px=272, width_px=15.5, log_width=0.28, log_condensed=(-0.25, 0.25))
"""Widths of 11 to 21 px, as the working image keeps them."""

_LEAST_CROSSING_WIDTHS: Final = 2.5
"""Shorter bodies that lie across each other are hardly told apart by anybody."""

_LEAST_STRETCH: Final = 0.55
"""Stretched or pressed more than this, bands no longer look like bands."""


@dataclass(frozen=True, slots=True)
class WindowSettings:
    """How real windows are drawn and what their boxes teach.

    Attributes
    ----------
    log_zoom
        Range of the logarithm of the zoom, from the usual 17 px of width.
    added
        Chances of adding 0, 1, 2, ... chromosomes.
    own_fraction
        Of the added chromosomes, those of the cell itself, stained alike.
    crossing_fraction
        Of the added chromosomes, those laid across others.
    parallel_fraction, parallel_spread_rad
        Of the added chromosomes, those that lie as another one does, and how far from parallel: side by side they
        are the hardest to part.
    same_box_fraction
        Of the windows, those in which a chromosome is laid across another one so that their boxes nearly coincide.
    same_box_turn_rad, same_box_offset, same_box_log_length
        Least angle between the two; standard deviations of how far their middles are apart, over the length, and
        of the logarithm of the ratio of their lengths.
    log_stain
        Standard deviation of the logarithm of an added chromosome's stain.
    photographed_fraction
        Of windows whose stain, focus and noise are changed.
    stained
        Level from which a pixel is stained: within one box alone it is that chromosome's.
    slide
        Level below which a pixel is slide.
    open_slack_px
        Beyond the close-fitting box, up to which a pixel's owner is left open.
    nucleus_halo_px
        About a nucleus, within which nothing is taught.
    """

    log_zoom: tuple[float, float] = (-0.4, 0.22)
    added: tuple[float, ...] = (0.2, 0.25, 0.25, 0.18, 0.12)
    own_fraction: float = 0.65
    crossing_fraction: float = 0.4
    parallel_fraction: float = 0.3
    parallel_spread_rad: float = 0.15
    same_box_fraction: float = 0.3
    same_box_turn_rad: float = 0.5
    same_box_offset: float = 0.05
    same_box_log_length: float = 0.12
    log_stain: float = 0.12
    photographed_fraction: float = 0.5
    stained: float = 0.5
    slide: float = 0.15
    open_slack_px: float = 5.0
    nucleus_halo_px: int = 5


_WINDOW: Final = WindowSettings()


@dataclass(frozen=True, slots=True)
class MaskTarget:
    """One body of a scene and what is known of its mask.

    Attributes
    ----------
    box_px
        float32, shape (4,): close-fitting.
    mask
        float32, the scene's shape: 1 where the body is, 0 elsewhere and where unknown.
    labelled
        float32, the scene's shape: 1 where the mask is known.
    whole
        Whether the mask is known everywhere.
    is_chromosome
        False for nuclei and dirt: no mask is to be found there.
    """

    box_px: NDArray[np.float32]
    mask: NDArray[np.float32]
    labelled: NDArray[np.float32]
    whole: bool
    is_chromosome: bool = True


@dataclass(frozen=True, slots=True)
class MaskScene:
    """A picture with bodies.

    Attributes
    ----------
    level
        float32, shape (h, w): see `stain_level`.
    targets
        Bodies that lie wholly within; what is added comes first.
    boxes_px
        float32, shape (n, 4): close-fitting boxes of all chromosomes, those of the targets first, in their order,
        where these are chromosomes.
    """

    level: NDArray[np.float32]
    targets: tuple[MaskTarget, ...]
    boxes_px: NDArray[np.float32]


def composed_scene(bank: SingleBank, rng: np.random.Generator) -> MaskScene:
    """Compose a scene of single chromosomes, nuclei and dirt on an empty slide.

    Parameters
    ----------
    bank
        The chromosomes.
    rng
        Decides everything.
    """
    scene: Scene = draw_scene(bank, rng, SCENE)
    targets = []
    for body in sorted(scene.bodies, key=lambda each: not each.is_chromosome):
        mask = scene.mask_of(body)
        if np.count_nonzero(mask) > 0.97 * np.count_nonzero(body.mask):
            targets.append(_whole_target(mask, is_chromosome=body.is_chromosome))
    inside = {tuple(target.box_px) for target in targets}
    others = [_box_of(scene.mask_of(body)) for body in scene.bodies if body.is_chromosome]
    rest = [box for box in others if tuple(box) not in inside and box[2] > box[0]]
    return _scene(scene.level, targets, rest)


def real_scene(
    cell: MaskTrainingCell, others: list[FreeSingle], rng: np.random.Generator, settings: WindowSettings = _WINDOW
) -> MaskScene:
    """Cut a window of a real cell and add chromosomes to it.

    Parameters
    ----------
    cell
        The cell.
    others
        Chromosomes of another cell.
    rng
        Decides everything.
    settings
        How windows vary.
    """
    window = _window(cell, rng, settings)
    real = _real_targets(window, settings)
    desk = _desk(window, rng, settings)
    before = len(desk.bodies)
    count = int(rng.choice(len(settings.added), p=settings.added))
    own = cell.singles()
    for _ in range(count):
        pool = own if own and (not others or rng.random() < settings.own_fraction) else others
        if pool:
            _add(desk, pool[int(rng.integers(len(pool)))], window.width_px, rng, settings)
    if rng.random() < settings.same_box_fraction:
        _add_same_box(desk, window, [*own, *others], before, rng, settings)
    added = []
    for body in desk.bodies[before:]:
        mask = np.zeros(desk.level.shape, np.bool_)
        paint(mask, body.mask, body.x_px, body.y_px, np.logical_or)
        if np.count_nonzero(mask) > 0.97 * np.count_nonzero(body.mask):
            added.append(_whole_target(mask))
        else:
            window.outside.append(_box_of(mask))
    level = desk.level
    if rng.random() < settings.photographed_fraction:
        level = photographed(level, desk.taken & ~window.nuclei, rng, SCENE)
    return _scene(level, [*added, *real], window.outside)


@dataclass(slots=True)
class _Window:
    """A part of a cell at the scene's size."""

    level: NDArray[np.float32]
    nuclei: NDArray[np.bool_]
    boxes_px: NDArray[np.float32]
    isolated: list[NDArray[np.bool_] | None]
    padding_px: float
    width_px: float
    outside: list[NDArray[np.float32]]


def _window(cell: MaskTrainingCell, rng: np.random.Generator, settings: WindowSettings) -> _Window:
    """Cut a square about a chromosome, enlarged or reduced to the scene's size."""
    side = SCENE.side_px
    zoom = float(np.exp(rng.uniform(*settings.log_zoom)))
    box = cell.tight_px[int(rng.integers(len(cell.tight_px)))]
    centre = (box[:2] + box[2:]) / 2.0 + rng.uniform(-0.2, 0.2, 2) * side / zoom
    corner = centre - 0.5 * side / zoom
    matrix = np.asarray([[zoom, 0.0, -zoom * corner[0]], [0.0, zoom, -zoom * corner[1]]], np.float64)
    matrix[:, 2] += 0.5 * (zoom - 1.0)
    size = (side, side)
    level = cv2.warpAffine(cell.level, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    nuclei = cv2.warpAffine(cell.nuclei.astype(np.uint8), matrix, size, flags=cv2.INTER_NEAREST) > 0
    boxes = ((cell.tight_px - np.tile(corner, 2)) * zoom).astype(np.float32)
    isolated: list[NDArray[np.bool_] | None] = []
    for entry, where in zip(cell.isolated, boxes, strict=True):
        if entry is None or not _is_inside(where, side):
            isolated.append(None)
            continue
        mask, x, y = entry
        own = matrix.copy()
        own[:, 2] += zoom * np.asarray([x, y])
        soft = cv2.warpAffine(mask.astype(np.float32), own, size, flags=cv2.INTER_LINEAR)
        isolated.append(np.asarray(soft > 0.5, dtype=np.bool_))
    return _Window(
        np.asarray(level, np.float32), nuclei, boxes, isolated, cell.padding_px * zoom, cell.width_px * zoom, []
    )


def _real_targets(window: _Window, settings: WindowSettings) -> list[MaskTarget]:
    """What the boxes teach before anything is added: stain beneath what is added stays the chromosome's."""
    side = SCENE.side_px
    near = [k for k, box in enumerate(window.boxes_px) if _is_near(box, side)]
    slack = np.asarray([-1.0, -1.0, 1.0, 1.0], np.float32) * np.float32(settings.open_slack_px)
    count = np.zeros((side, side), np.float32)
    areas = {}
    for k in near:
        areas[k] = _filled(window.boxes_px[k] + slack, side)
        count += areas[k]
    halo = 2 * settings.nucleus_halo_px + 1
    nuclei = cv2.dilate(window.nuclei.astype(np.uint8), np.ones((halo, halo), np.uint8)) > 0
    targets = []
    for k in near:
        if not _is_inside(window.boxes_px[k], side):
            window.outside.append(window.boxes_px[k])
            continue
        mask = window.isolated[k]
        if mask is not None:
            own = _whole_target(mask)
            targets.append(MaskTarget(window.boxes_px[k], own.mask, own.labelled, whole=True))
            continue
        tight = _filled(window.boxes_px[k], side) > 0.0
        inside = areas[k] > 0.0
        sure = tight & (count < 1.5) & (window.level > settings.stained) & ~nuclei
        slide = window.level < settings.slide
        labelled = ~inside | sure | (slide & ~nuclei)
        targets.append(
            MaskTarget(window.boxes_px[k], sure.astype(np.float32), labelled.astype(np.float32), whole=False)
        )
    return targets


def _desk(window: _Window, rng: np.random.Generator, settings: WindowSettings) -> SceneDesk:
    """Lay the window out: its chromosomes are what others are added to."""
    side = SCENE.side_px
    taken = np.asarray(window.level > settings.stained, dtype=np.bool_)
    bodies = []
    for box in window.boxes_px:
        x0, y0 = (max(0, round(float(value))) for value in box[:2])
        x1, y1 = (min(side, round(float(value))) for value in box[2:])
        if x1 - x0 > 4 and y1 - y0 > 4:
            own = taken[y0:y1, x0:x1]
            if np.count_nonzero(own) > 20:
                bodies.append(SceneBody(x0, y0, own.copy(), is_chromosome=True))
    return SceneDesk(window.level.copy(), rng, settings.log_stain, taken, bodies)


def _add(
    desk: SceneDesk, single: FreeSingle, width_px: float, rng: np.random.Generator, settings: WindowSettings
) -> None:
    pose = random_pose(width_px, 0.0, rng, SCENE)
    if desk.bodies and rng.random() < settings.parallel_fraction:
        partner = desk.bodies[int(rng.integers(len(desk.bodies)))]
        spread = float(rng.normal(0.0, settings.parallel_spread_rad))
        pose = replace(pose, angle_rad=_direction(partner.mask) + spread)
    patch = warped(single, pose)
    desk.attach(patch, crossing=rng.random() < settings.crossing_fraction)


def _add_same_box(
    desk: SceneDesk,
    window: _Window,
    pool: Sequence[FreeSingle],
    first_added: int,
    rng: np.random.Generator,
    settings: WindowSettings,
) -> None:
    """Lay a chromosome across one whose mask is known, so that a box alone doesn't say which of them is meant."""
    masked = [*desk.bodies[first_added:], *(_body_of(mask) for mask in window.isolated if mask is not None)]
    if not masked or not pool:
        return
    partner = masked[int(rng.integers(len(masked)))]
    length_px = _length(partner.mask)
    if length_px < _LEAST_CROSSING_WIDTHS * window.width_px:
        return
    single = pool[int(rng.integers(len(pool)))]
    # Mirrored at the box' middle line a body has the same box.
    direction = _direction(partner.mask)
    turn = float(np.angle(np.exp(-4j * direction))) / 2.0
    if abs(turn) < settings.same_box_turn_rad:
        turn = float(rng.uniform(settings.same_box_turn_rad, np.pi - settings.same_box_turn_rad))
    pose = random_pose(window.width_px, 0.0, rng, SCENE)
    ratio = length_px / max(1.0, _length(single.mask) * pose.width_px / single.width_px)
    stretch = ratio * float(np.exp(rng.normal(0.0, settings.same_box_log_length)))
    if not _LEAST_STRETCH < stretch < 1.0 / _LEAST_STRETCH:
        return
    pose = replace(pose, angle_rad=direction + turn, stretch=stretch, bend_rad=0.4 * pose.bend_rad)
    desk.lay_over(warped(single, pose), partner, settings.same_box_offset * length_px)


def _body_of(mask: NDArray[np.bool_]) -> SceneBody:
    x0, y0, x1, y1 = (int(value) for value in _box_of(mask))
    return SceneBody(x0, y0, mask[y0:y1, x0:x1], is_chromosome=True)


def _length(mask: NDArray[np.bool_]) -> float:
    """Largest extent of a mask in px."""
    rows, columns = np.nonzero(mask)
    angle = _direction(mask)
    along = columns * np.cos(angle) + rows * np.sin(angle)
    return float(np.ptp(along)) + 1.0 if along.size else 0.0


def _direction(mask: NDArray[np.bool_]) -> float:
    """Direction of the largest extent of a mask."""
    moments = cv2.moments(mask.astype(np.uint8), binaryImage=True)
    return 0.5 * float(np.arctan2(2.0 * moments["mu11"], moments["mu20"] - moments["mu02"]))


def _scene(level: NDArray[np.float32], targets: list[MaskTarget], rest: list[NDArray[np.float32]]) -> MaskScene:
    own = [target.box_px for target in targets if target.is_chromosome]
    boxes = np.asarray([*own, *rest], np.float32).reshape(-1, 4)
    return MaskScene(np.minimum(level, np.float32(3.0)), tuple(targets), boxes)


def _whole_target(mask: NDArray[np.bool_], *, is_chromosome: bool = True) -> MaskTarget:
    labelled = np.ones(mask.shape, np.float32)
    shown = mask.astype(np.float32) if is_chromosome else np.zeros(mask.shape, np.float32)
    return MaskTarget(_box_of(mask), shown, labelled, whole=True, is_chromosome=is_chromosome)


def _box_of(mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if rows.size == 0:
        return np.zeros(4, np.float32)
    return np.asarray([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], np.float32)


def _filled(box: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    out = np.zeros((side, side), np.float32)
    x0, y0, x1, y1 = (min(side, max(0, round(float(value)))) for value in box)
    out[y0:y1, x0:x1] = 1.0
    return out


def _is_inside(box: NDArray[np.float32], side: int) -> bool:
    return bool(box[0] > 2 and box[1] > 2 and box[2] < side - 2 and box[3] < side - 2)


def _is_near(box: NDArray[np.float32], side: int) -> bool:
    return bool(box[2] > 0 and box[3] > 0 and box[0] < side and box[1] < side)
