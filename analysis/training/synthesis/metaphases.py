"""Metaphases as they are, and what preparations make of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from analysis.training.synthesis.cutout import (
    CUTOUT_UM_PER_PX,
    CellCutout,
    coverage,
    describe,
)

METAPHASE: Final = "metaphase"
COVERED: Final = "covered"
SPOILT_KINDS: Final = ("blurred", "tight", "incomplete", "faint", COVERED)
"""Metaphases that are metaphases but not to be analysed: out of the plane of focus or fuzzy, chromosomes crowded
upon one another, a part of them lost, hardly stained, a nucleus upon them."""

_NO_SPREAD_UM: Final = 1e-6
"""A normal distribution has some width."""


@dataclass(frozen=True, slots=True)
class SpoilingSettings:
    """How metaphases are spoilt."""

    least_chromosomes: int = 10
    """Boxes from which a cell's chromosomes are taken for labelled one by one."""
    blur_um: tuple[float, float] = (0.9, 2.0)
    """Out of focus so far that bands are gone."""
    faint: tuple[float, float] = (0.16, 0.34)
    """Of the stain: hardly above the glass."""
    tight_um: tuple[float, float] = (11.0, 17.0)
    """Radius of a cell whose chromosomes lie upon one another."""
    tight_pull: float = 0.75
    """Factor of the distances at most."""
    tight_jitter_um: float = 1.5
    """So that a tight cell is no small copy of itself."""
    most_matter: float = 2.2
    """Density beyond which stain doesn't grow where chromosomes pile up."""
    kept: tuple[float, float] = (0.4, 0.82)
    """Fraction of the chromosomes that an incomplete cell has."""
    stained: float = 0.08
    """Density from which there is a chromosome."""
    soft_px: float = 0.8
    """Edge of a chromosome's box that is cut out."""
    bright: float = 0.25
    """Of the densest pixel: what is less is plasm."""


_SETTINGS: Final = SpoilingSettings()


@dataclass(frozen=True, slots=True)
class Specimen:
    """A cell as it lies on a slide.

    Attributes
    ----------
    cell
        What is there of it.
    kind
        ``"metaphase"`` or one of `SPOILT_KINDS`.
    kept
        Fraction of its chromosomes that is there, in [0, 1].
    """

    cell: CellCutout
    kind: str
    kept: float = 1.0


def spoilt(cutout: CellCutout, kind: str, rng: np.random.Generator) -> Specimen:
    """Spoil a cell; ``covered`` is left to the layout, which knows where nuclei lie.

    A cell whose chromosomes are not known one by one is blurred where it should be crowded or incomplete.

    Parameters
    ----------
    cutout
        Unspoilt.
    kind
        One of `SPOILT_KINDS`, or ``"metaphase"``.
    rng
        Source of all variation.
    """
    if kind in ("tight", "incomplete") and len(cutout.boxes_px) < _SETTINGS.least_chromosomes:
        kind = "blurred"
    if kind == "blurred":
        sigma = float(rng.uniform(*_SETTINGS.blur_um)) / CUTOUT_UM_PER_PX
        return Specimen(_with_matter(cutout, _blurred(cutout.body.matter, sigma)), kind)
    if kind == "faint":
        return Specimen(_with_matter(cutout, cutout.body.matter * np.float32(rng.uniform(*_SETTINGS.faint))), kind)
    if kind == "tight":
        pull = float(rng.uniform(*_SETTINGS.tight_um)) / max(cutout.body.radius_um, 1.0)
        crowded = rearranged(
            cutout, rng, fraction=1.0, pull=min(pull, _SETTINGS.tight_pull), jitter_um=_SETTINGS.tight_jitter_um
        )
        return Specimen(_with_matter(crowded, saturated(crowded.body.matter, _SETTINGS.most_matter)), kind)
    if kind == "incomplete":
        fraction = float(rng.uniform(*_SETTINGS.kept))
        remaining = rearranged(
            cutout, rng, fraction=fraction, pull=1.0, jitter_um=0.0, together=bool(rng.random() < 0.5)
        )
        return Specimen(remaining, kind, len(remaining.boxes_px) / len(cutout.boxes_px))
    return Specimen(cutout, kind)


def rearranged(
    cutout: CellCutout,
    rng: np.random.Generator,
    *,
    fraction: float,
    pull: float,
    jitter_um: float,
    together: bool = False,
) -> CellCutout:
    """Keep a fraction of the chromosomes and move them towards the centre, or away from it.

    Parameters
    ----------
    cutout
        With boxes.
    rng
        Source of the choice.
    fraction
        Of chromosomes to keep, in (0, 1].
    pull
        Factor of their distance from the centre.
    jitter_um
        Standard deviation of a further displacement.
    together
        Whether those that are lost lie side by side, instead of anywhere.
    """
    body, boxes = cutout.body, cutout.boxes_px
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2.0
    order = rng.permutation(len(boxes))
    if together:
        away = rng.uniform(0.0, 2.0 * np.pi)
        order = np.argsort(centres @ np.array([np.cos(away), np.sin(away)]))
    kept = np.sort(order[: max(round(fraction * len(boxes)), 3)])
    shift = (pull - 1.0) * (centres - (body.x_px, body.y_px))
    shift += rng.normal(0.0, max(jitter_um, _NO_SPREAD_UM) / CUTOUT_UM_PER_PX, shift.shape)
    steps = np.rint(shift[kept]).astype(int)
    placed = boxes[kept] + np.tile(steps, 2)
    pad = 4
    low = np.floor(placed[:, :2].min(axis=0)).astype(int) - pad
    high = np.ceil(placed[:, 2:].max(axis=0)).astype(int) + pad
    matter = np.zeros((high[1] - low[1], high[0] - low[0]), np.float32)
    # What several boxes hold is shared among them.
    alone = np.asarray(body.matter / np.maximum(coverage(body.matter.shape, boxes), 1), np.float32)
    for box, step in zip(np.rint(boxes[kept]).astype(int), steps, strict=True):
        piece = _piece(alone, box)
        y, x = max(box[1], 0) + step[1] - low[1], max(box[0], 0) + step[0] - low[0]
        height, width = min(piece.shape[0], matter.shape[0] - y), min(piece.shape[1], matter.shape[1] - x)
        matter[y : y + height, x : x + width] += piece[:height, :width]
    placed = np.asarray(placed - np.tile(low, 2), np.float32)
    (x_px, y_px, radius_px), overlap, spread = describe(matter > _SETTINGS.stained, placed)
    moved = replace(body, matter=matter, x_px=x_px, y_px=y_px, radius_um=radius_px * CUTOUT_UM_PER_PX)
    count = None if cutout.chromosomes is None else round(cutout.chromosomes * len(kept) / len(boxes))
    return CellCutout(moved, placed, count, overlap, spread)


def _piece(matter: NDArray[np.float32], box: NDArray[np.int_]) -> NDArray[np.float32]:
    piece = matter[max(box[1], 0) : box[3], max(box[0], 0) : box[2]]
    weight = np.zeros(piece.shape, np.float32)
    weight[1:-1, 1:-1] = 1.0
    return np.asarray(piece * cv2.GaussianBlur(weight, (3, 3), _SETTINGS.soft_px), np.float32)


def saturated(matter: NDArray[np.float32], limit: float) -> NDArray[np.float32]:
    """Chromosomes upon one another, of which the stain does not grow without end.

    Parameters
    ----------
    matter
        float32, shape (h, w): density.
    limit
        That it never exceeds.
    """
    return np.asarray(limit * (1.0 - np.exp(-matter / np.float32(limit))), np.float32)


def _blurred(matter: NDArray[np.float32], sigma_px: float) -> NDArray[np.float32]:
    return np.asarray(cv2.GaussianBlur(matter, (0, 0), sigma_px), np.float32)


def _with_matter(cutout: CellCutout, matter: NDArray[np.float32]) -> CellCutout:
    return replace(cutout, body=replace(cutout.body, matter=np.asarray(matter, np.float32)))


def mean_matter(cutout: CellCutout) -> float:
    """Mean density (light) of the chromosomes."""
    cover = coverage(cutout.body.matter.shape, cutout.boxes_px) > 0
    peak = float(cutout.body.matter.max(initial=0.0))
    on = cover & (cutout.body.matter > _SETTINGS.bright * peak)
    return float(cutout.body.matter[on].mean()) if on.any() else 0.0
