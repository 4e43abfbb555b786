"""Inputs of the instance mask net: a crop of the stain, and what is known of the chromosome and its neighbours."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from analysis.nets.instance_mask_net import MASK_STRIDE_PX

LEVEL_TOP: Final = 3.0
"""Of the stain over the typical one: more is dirt or many chromosomes on one another."""

_LEAST_DENSITY: Final = 1e-3
"""Keeps the level of an empty picture finite."""


@dataclass(frozen=True, slots=True)
class CropSettings:
    """How much of a picture the net sees.

    Attributes
    ----------
    margin_px
        Surroundings of a box on every side: two widths of a chromosome.
    side_step_px
        Sides of crops are multiples of it, so that few sizes occur and crops of one size go through as a batch.
    least_side_px, most_side_px
        Of a crop. Chromosomes are at most 21 px wide at working scale and eleven widths long.
    stroke_side_px
        Of a crop round a point or stroke, whose chromosome may reach anywhere.
    stroke_width_px
        How thick a stroke is drawn: thinner than a chromosome.
    neighbours_top
        Boxes of neighbours that lie on one another, more than which makes no difference.
    """

    margin_px: float = 28.0
    side_step_px: int = 2 * MASK_STRIDE_PX
    least_side_px: int = 96
    most_side_px: int = 320
    stroke_side_px: int = 256
    stroke_width_px: int = 5
    neighbours_top: float = 3.0


CROPS: Final = CropSettings()


@dataclass(frozen=True, slots=True)
class MaskPrompt:
    """Which chromosome is asked for, in working px.

    Attributes
    ----------
    box_px
        float32, shape (4,): its close-fitting box; None where only a stroke is known.
    stroke_px
        float32, shape (n, 2): x, y of a point on it (n = 1) or of a line along it; None where a box is known.
    neighbours_px
        float32, shape (m, 4): close-fitting boxes of the other chromosomes, all of the cell or the near ones.
    """

    box_px: NDArray[np.float32] | None = None
    stroke_px: NDArray[np.float32] | None = None
    neighbours_px: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 4), np.float32))

    def __post_init__(self) -> None:
        if self.box_px is None and (self.stroke_px is None or len(self.stroke_px) == 0):
            raise ValueError("a mask prompt needs a box or a stroke")


@dataclass(frozen=True, slots=True)
class CropFrame:
    """Place of a square crop in the picture: its upper left corner and side, in working px."""

    left_px: int
    top_px: int
    side_px: int


def stain_level(density: NDArray[np.float32], typical: float) -> NDArray[np.float32]:
    """Stain in units of the typical one.

    Parameters
    ----------
    density
        float32, shape (h, w): optical density of the working image.
    typical
        Median density of what is stained.

    Returns
    -------
    NDArray[np.float32]
        Shape (h, w), in [0, `LEVEL_TOP`].
    """
    level = np.clip(density / np.float32(max(typical, _LEAST_DENSITY)), 0.0, LEVEL_TOP)
    return np.asarray(level, dtype=np.float32)


def frame_of(prompt: MaskPrompt, settings: CropSettings = CROPS) -> CropFrame:
    """Choose the crop for a prompt: as small as its box allows.

    Parameters
    ----------
    prompt
        Which chromosome.
    settings
        How much surroundings it gets.
    """
    if prompt.box_px is not None:
        x0, y0, x1, y1 = (float(value) for value in prompt.box_px)
        wanted = max(x1 - x0, y1 - y0) + 2.0 * settings.margin_px
        side = int(np.ceil(wanted / settings.side_step_px)) * settings.side_step_px
        side = min(max(side, settings.least_side_px), settings.most_side_px)
        centre = ((x0 + x1) / 2.0, (y0 + y1) / 2.0)
    else:
        stroke = np.asarray(prompt.stroke_px, np.float32)
        low, high = stroke.min(axis=0), stroke.max(axis=0)
        side = settings.stroke_side_px
        centre = (float(low[0] + high[0]) / 2.0, float(low[1] + high[1]) / 2.0)
    return CropFrame(round(centre[0]) - side // 2, round(centre[1]) - side // 2, side)


def prompted_crop(
    level: NDArray[np.float32], prompt: MaskPrompt, frame: CropFrame, settings: CropSettings = CROPS
) -> NDArray[np.float32]:
    """Draw the net's input for a prompt.

    Parameters
    ----------
    level
        float32, shape (h, w): see `stain_level`.
    prompt
        Which chromosome.
    frame
        The crop; what lies outside of the picture is empty slide.
    settings
        How prompts are drawn.

    Returns
    -------
    NDArray[np.float32]
        Shape (4, side, side): stain, the box as ones, how many neighbours' boxes lie on one another (a fraction of
        the most), the stroke.
    """
    side = frame.side_px
    out = np.zeros((4, side, side), np.float32)
    out[0] = cropped_to(level, frame)
    corner = np.asarray([frame.left_px, frame.top_px] * 2, np.float32)
    if prompt.box_px is not None:
        out[1] = _soft_box(prompt.box_px - corner, side)
    for box in prompt.neighbours_px - corner:
        if box[2] > 0.0 and box[3] > 0.0 and box[0] < side and box[1] < side:
            out[2] += _soft_box(box, side)
    out[2] = np.minimum(out[2], settings.neighbours_top) / np.float32(settings.neighbours_top)
    if prompt.stroke_px is not None and len(prompt.stroke_px):
        out[3] = _drawn_stroke(prompt.stroke_px - corner[:2], side, settings.stroke_width_px)
    return out


def cropped_to(values: NDArray[np.float32], frame: CropFrame) -> NDArray[np.float32]:
    """Cut a crop out of a picture, 0 where it reaches beyond.

    Parameters
    ----------
    values
        float32, shape (h, w).
    frame
        The crop.

    Returns
    -------
    NDArray[np.float32]
        Shape (side, side).
    """
    side = frame.side_px
    out = np.zeros((side, side), np.float32)
    height, width = values.shape
    x0, y0 = max(0, frame.left_px), max(0, frame.top_px)
    x1, y1 = min(width, frame.left_px + side), min(height, frame.top_px + side)
    if x1 > x0 and y1 > y0:
        rows, columns = slice(y0 - frame.top_px, y1 - frame.top_px), slice(x0 - frame.left_px, x1 - frame.left_px)
        out[rows, columns] = values[y0:y1, x0:x1]
    return out


def _soft_box(box_px: NDArray[np.float32], side_px: int) -> NDArray[np.float32]:
    """Draw a box, shape (4,), in px of the crop; its borders cover px by parts."""
    at = np.arange(side_px, dtype=np.float32)
    x0, y0, x1, y1 = (np.float32(value) for value in box_px)
    across = np.clip(at + 1.0 - x0, 0.0, 1.0) * np.clip(x1 - at, 0.0, 1.0)
    down = np.clip(at + 1.0 - y0, 0.0, 1.0) * np.clip(y1 - at, 0.0, 1.0)
    return np.asarray(down[:, None] * across[None, :], dtype=np.float32)


def _drawn_stroke(stroke_px: NDArray[np.float32], side_px: int, width_px: int) -> NDArray[np.float32]:
    out = np.zeros((side_px, side_px), np.float32)
    points = np.rint(stroke_px).astype(np.int32)
    # A line of one point is a dot.
    cv2.polylines(out, [np.concatenate([points, points[-1:]])[:, None]], False, 1.0, width_px)
    return np.asarray(cv2.GaussianBlur(out, (0, 0), 1.0), dtype=np.float32)
