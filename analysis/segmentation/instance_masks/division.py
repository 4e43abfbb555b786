"""The pixels of every selected chromosome, from the masks that the net predicts for their boxes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from analysis.segmentation.box_geometry import largest_component
from analysis.segmentation.instance_masks.predictor import PredictedMask
from analysis.segmentation.instance_masks.prompts import MaskPrompt, frame_of
from analysis.structures.region import Region, cropped


@dataclass(frozen=True, slots=True)
class DivisionSettings:
    """How masks are made of probabilities; lengths in chromosome widths, areas in their squares.

    Attributes
    ----------
    likely
        Probability from which a pixel belongs to a chromosome: to each of several, where they cross.
    slack_widths
        Boxes are right to about this; beyond it nothing belongs to their chromosome.
    gap_widths
        Greatest gap to a part of the same mask, such as an arm beyond a pale band.
    least_part
        Smaller parts are dust.
    nucleus_part
        Of a part's px, those within nuclei, from which it isn't the chromosome's.
    most_half_thickness
        Radius of the largest disc within a chromosome: of one wide or folded it is about .8.
    bridge_probability
        Of the pixels between two parts, from which they are filled in.
    rest_widths
        Stain that no mask holds goes to the nearest one within this distance.
    rest_probability
        Where several are as near, to the one whose probability there is highest; from this on farther ones too.
    rim_level, rim_widths
        Stain over the typical one from which the rim of a mask belongs to it, and how far: an outline at half of
        the edge's height leaves out a px of stain on either side.
    least_hole
        Larger holes are slide between the arms of a bent chromosome.
    smooth_px
        Of the blur that takes single px off the outline.
    """

    likely: float = 0.5
    slack_widths: float = 0.4
    gap_widths: float = 0.8
    least_part: float = 0.04
    nucleus_part: float = 0.5
    most_half_thickness: float = 0.95
    bridge_probability: float = 0.12
    rest_widths: float = 0.45
    rest_probability: float = 0.15
    rim_level: float = 0.35
    rim_widths: float = 0.12
    least_hole: float = 0.12
    smooth_px: float = 1.0


DIVISION: Final = DivisionSettings()


class PredictsMasks(Protocol):
    """Anything that predicts masks for prompts, such as an `InstanceMaskPredictor`."""

    def __call__(self, level: NDArray[np.float32], prompts: Sequence[MaskPrompt]) -> list[PredictedMask]:
        """Predict masks.

        Parameters
        ----------
        level
            float32, shape (h, w): see `stain_level`.
        prompts
            Which chromosomes, in working px.
        """
        ...


@dataclass(frozen=True, slots=True)
class BoxMasks:
    """Predicted masks for boxes of one metaphase.

    Attributes
    ----------
    predictor
        Predicts masks.
    level
        float32, shape (h, w): see `stain_level`.
    width_px
        Typical width of a chromosome.
    cache
        Masks predicted for boxes with their neighbours: selections of one cell have most in common.
    """

    predictor: PredictsMasks
    level: NDArray[np.float32]
    width_px: float
    cache: dict[bytes, PredictedMask] = field(default_factory=dict, compare=False, repr=False)

    def predict(
        self,
        boxes_px: NDArray[np.float32],
        neighbours_px: Sequence[NDArray[np.float32]],
        strokes_px: Sequence[NDArray[np.float32] | None] | None = None,
    ) -> list[PredictedMask]:
        """Predict masks for boxes, those not in the cache together.

        Parameters
        ----------
        boxes_px
            float32, shape (n, 4): close-fitting boxes.
        neighbours_px
            For each of them float32, shape (m, 4): boxes of other chromosomes.
        strokes_px
            For each of them float32, shape (k, 2): a line along the chromosome, or None. It says which one is
            meant where several have nearly the same box.
        """
        strokes = [None] * len(boxes_px) if strokes_px is None else strokes_px
        prompts = [
            _prompt(box, others, stroke)
            for box, others, stroke in zip(boxes_px, neighbours_px, strokes, strict=True)
        ]
        keys = [_key(prompt) for prompt in prompts]
        new = {key: prompt for key, prompt in zip(keys, prompts, strict=True) if key not in self.cache}
        if new:
            self.cache.update(zip(new, self.predictor(self.level, list(new.values())), strict=True))
        return [self.cache[key] for key in keys]


def _prompt(
    box: NDArray[np.float32], others: NDArray[np.float32], stroke: NDArray[np.float32] | None
) -> MaskPrompt:
    """Ask by a box, and a stroke where there is one; of its neighbours those that reach into its crop."""
    frame = frame_of(MaskPrompt(box_px=box))
    low = np.asarray([frame.left_px, frame.top_px], np.float32)
    near = (others[:, 2:] > low).all(axis=1) & (others[:, :2] < low + frame.side_px).all(axis=1)
    return MaskPrompt(box_px=box, stroke_px=stroke, neighbours_px=others[near])


def _key(prompt: MaskPrompt) -> bytes:
    box = np.asarray(prompt.box_px, np.float32)
    order = np.lexsort(prompt.neighbours_px.T)
    stroke = b"" if prompt.stroke_px is None else prompt.stroke_px.tobytes() + b"stroke"
    return box.tobytes() + prompt.neighbours_px[order].tobytes() + stroke


def divide_stain(
    predicted: Sequence[PredictedMask],
    boxes_px: NDArray[np.float32],
    stained: NDArray[np.bool_],
    level: NDArray[np.float32],
    width_px: float,
    settings: DivisionSettings = DIVISION,
    *,
    with_rest: bool = True,
) -> list[Region | None]:
    """Give every chromosome its pixels, and the stain that is left to the nearest.

    Parameters
    ----------
    predicted
        A mask for each box.
    boxes_px
        float32, shape (n, 4): close-fitting boxes.
    stained
        bool, shape (h, w): stain outside of nuclei.
    level
        float32, shape (h, w): see `stain_level`.
    width_px
        Typical width of a chromosome.
    settings
        How masks are made.
    with_rest
        Whether stain that no mask holds goes to the nearest: not where the boxes aren't all of the chromosomes.

    Returns
    -------
    list
        For each box its pixels, in one piece, without small holes; None where nothing is likely its own.
    """
    areas = [
        _likelihood(mask, box, stained.shape, width_px, settings)
        for mask, box in zip(predicted, boxes_px, strict=True)
    ]
    nuclei = (level > settings.likely) & ~stained
    bodies = [
        None if area is None else _body(area.probability, nuclei[area.window], width_px, settings)
        for area in areas
    ]
    found = [
        (number, area, body)
        for number, (area, body) in enumerate(zip(areas, bodies, strict=True))
        if area is not None and body is not None
    ]
    near_px = settings.rest_widths * width_px
    whole = _extended(found, stained, near_px, settings.rest_probability) if with_rest else found
    rimmed = _extended(whole, level > settings.rim_level, settings.rim_widths * width_px, None)
    out: list[Region | None] = [None] * len(areas)
    for number, area, body in rimmed:
        filled = _smoothed(_filled(body, settings.least_hole * width_px**2), settings.smooth_px)
        out[number] = cropped(filled, area.window[1].start, area.window[0].start)
    return out


@dataclass(frozen=True, slots=True)
class _Likelihood:
    """Probabilities within the slack of a box, and that window of the picture."""

    window: tuple[slice, slice]
    probability: NDArray[np.float32]


_Found = tuple[int, _Likelihood, NDArray[np.bool_]]
"""Number of a box, its window, its body in that window."""


def _likelihood(
    mask: PredictedMask,
    box: NDArray[np.float32],
    shape: tuple[int, ...],
    width_px: float,
    settings: DivisionSettings,
) -> _Likelihood | None:
    """Cut the probabilities to what the box allows."""
    slack = settings.slack_widths * width_px
    frame = mask.frame
    x0 = max(0, frame.left_px, int(np.floor(box[0] - slack)))
    y0 = max(0, frame.top_px, int(np.floor(box[1] - slack)))
    x1 = min(shape[1], frame.left_px + frame.side_px, int(np.ceil(box[2] + slack)))
    y1 = min(shape[0], frame.top_px + frame.side_px, int(np.ceil(box[3] + slack)))
    if x1 <= x0 or y1 <= y0:
        return None
    rows, columns = slice(y0 - frame.top_px, y1 - frame.top_px), slice(x0 - frame.left_px, x1 - frame.left_px)
    return _Likelihood((slice(y0, y1), slice(x0, x1)), mask.probability[rows, columns])


def _body(
    probability: NDArray[np.float32], nuclei: NDArray[np.bool_], width_px: float, settings: DivisionSettings
) -> NDArray[np.bool_] | None:
    """The largest likely part and what belongs to it, joined and without small holes.

    A nucleus that reaches into the box is no arm beyond a pale band, and what is thicker than any chromosome is
    one with a nucleus.
    """
    likely = probability > settings.likely
    if _is_thick(likely, width_px, settings):
        bare = likely & ~nuclei
        likely = bare if bare.any() else likely
    count, labels, stats, _ = cv2.connectedComponentsWithStats(likely.astype(np.uint8), connectivity=8)
    if count < 2:
        return None
    sizes = stats[:, cv2.CC_STAT_AREA]
    order = 1 + np.argsort(-sizes[1:])
    body: NDArray[np.bool_] = labels == order[0]
    for label in order[1:]:
        if sizes[label] < settings.least_part * width_px**2:
            break
        part = labels == label
        if np.count_nonzero(part & nuclei) < settings.nucleus_part * sizes[label]:
            body = _joined(body, part, probability, width_px, settings)
    return _filled(body, settings.least_hole * width_px**2)


def _is_thick(mask: NDArray[np.bool_], width_px: float, settings: DivisionSettings) -> bool:
    inside = cv2.distanceTransform(np.pad(mask, 1).astype(np.uint8), cv2.DIST_L2, 3)
    return float(inside.max()) > settings.most_half_thickness * width_px


def _joined(
    body: NDArray[np.bool_],
    part: NDArray[np.bool_],
    probability: NDArray[np.float32],
    width_px: float,
    settings: DivisionSettings,
) -> NDArray[np.bool_]:
    """Add a part across its gap, where that is narrow and not quite unlikely."""
    to_body = cv2.distanceTransform((~body).astype(np.uint8), cv2.DIST_L2, 3)
    gap_px = float(to_body[part].min())
    if gap_px > settings.gap_widths * width_px:
        return body
    to_part = cv2.distanceTransform((~part).astype(np.uint8), cv2.DIST_L2, 3)
    # What lies between facing ends is about as far from both together as they are from each other.
    between = to_body + to_part <= 1.3 * gap_px + 1.0
    narrow = to_body + to_part <= gap_px + 1.5
    bridged: NDArray[np.bool_] = body | part | narrow | (between & (probability > settings.bridge_probability))
    return bridged


def _extended(
    found: Sequence[_Found], stained: NDArray[np.bool_], reach_px: float, far_probability: float | None
) -> list[_Found]:
    """Give the stain that no body holds to the nearest, or to that of the higher probability.

    Where it is likelier than ``far_probability``, a body gets stain farther off than ``reach_px`` as well.
    """
    rest = stained.copy()
    for _, area, body in found:
        rest[area.window] &= ~body
    claim = np.zeros(rest.shape, np.float32)
    owner = np.full(rest.shape, -1, np.int32)
    for number, area, body in found:
        free = rest[area.window]
        if not free.any():
            continue
        away = cv2.distanceTransform((~body).astype(np.uint8), cv2.DIST_L2, 3)
        near = np.clip(1.0 - away / np.float32(reach_px + 1.0), 0.0, 1.0)
        within = away <= reach_px
        allowed = free & (within if far_probability is None else within | (area.probability > far_probability))
        strength = np.where(allowed, area.probability + near, 0.0)
        better = strength > claim[area.window]
        claim[area.window][better] = strength[better]
        owner[area.window][better] = number
    return [
        (number, area, _connected_to(body | (owner[area.window] == number), body)) for number, area, body in found
    ]


def with_rim(
    mask: NDArray[np.bool_],
    level: NDArray[np.float32],
    width_px: float,
    settings: DivisionSettings = DIVISION,
) -> NDArray[np.bool_]:
    """Add to a mask, that stands alone, the stain at its outline.

    Parameters
    ----------
    mask
        bool, shape (h, w).
    level
        float32, the same shape: see `stain_level`.
    width_px
        Typical width of a chromosome.
    settings
        How far, and what counts as stain.
    """
    away = cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, 3)
    rim = (away <= settings.rim_widths * width_px) & (level > settings.rim_level)
    return _smoothed(_connected_to(np.asarray(mask | rim), mask), settings.smooth_px)


def _connected_to(own: NDArray[np.bool_], body: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Keep what hangs together with the body."""
    _, labels = cv2.connectedComponents(own.astype(np.uint8), connectivity=8)
    return np.asarray(np.isin(labels, np.unique(labels[body])) & own, dtype=np.bool_)


def _smoothed(mask: NDArray[np.bool_], sigma_px: float) -> NDArray[np.bool_]:
    """Smooth an outline, in one piece still; as it was where hardly anything would be left."""
    soft = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), sigma_px) > 0.5
    smooth = largest_component(np.asarray(soft, dtype=np.bool_))
    return smooth if 2 * np.count_nonzero(smooth) > np.count_nonzero(mask) else mask


def _filled(mask: NDArray[np.bool_], least_hole_px: float) -> NDArray[np.bool_]:
    """Fill holes smaller than an area."""
    outside = np.pad(~mask, 1, constant_values=True).astype(np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(outside, connectivity=4)
    small = [k for k in range(1, count) if stats[k, cv2.CC_STAT_AREA] < least_hole_px and k != labels[0, 0]]
    if not small:
        return mask
    holes = np.isin(labels, small)[1:-1, 1:-1]
    return np.asarray(mask | holes, dtype=np.bool_)
