"""The outline of a piece of foreground, and where it turns in and out."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from analysis.segmentation.contours.settings import OUTLINES, OutlineSettings


@dataclass(frozen=True, slots=True)
class Outline:
    """Outer border of a piece, resampled evenly and smoothed.

    Attributes
    ----------
    points
        float32, shape (n, 2): x, y in px of the piece's frame, in order round the piece, the piece on the right
        hand.
    tips
        Indices of points where the border turns round an end.
    notches
        Indices of points where the border turns inwards.
    notch_depths
        For each notch the turn there, in degrees (positive).
    perimeter_px
        Length of the border.
    """

    points: NDArray[np.float32]
    tips: tuple[int, ...]
    notches: tuple[int, ...]
    notch_depths: tuple[float, ...]
    perimeter_px: float


def outlines(
    mask: NDArray[np.bool_], width_px: float, settings: OutlineSettings = OUTLINES
) -> tuple[Outline, ...]:
    """Trace the outer border of a connected mask, then those of its larger holes.

    Parameters
    ----------
    mask
        bool, shape (h, w): one connected piece.
    width_px
        Typical width of a chromosome.
    settings
        How it is traced.
    """
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    # OpenCV runs round the outside and the holes in opposite senses: the piece always lies on the same hand.
    contours = sorted(contours, key=cv2.contourArea, reverse=True)
    kept = [c for i, c in enumerate(contours) if i == 0 or cv2.contourArea(c) > settings.min_hole * width_px**2]
    return tuple(_analyse(c[:, 0, :].astype(np.float32), width_px, settings) for c in kept)


def _analyse(raw: NDArray[np.float32], width_px: float, settings: OutlineSettings) -> Outline:
    closed = np.vstack([raw, raw[:1]])
    steps = np.hypot(*np.diff(closed, axis=0).T)
    along = np.concatenate([[0.0], np.cumsum(steps)])
    total = float(along[-1])
    count = max(settings.min_points, round(total / (settings.step_widths * width_px)))
    at = np.linspace(0.0, total, count, endpoint=False)
    points = np.stack([np.interp(at, along, closed[:, 0]), np.interp(at, along, closed[:, 1])], axis=1)
    points = _smooth_ring(points, settings.smooth_widths / settings.step_widths, settings.min_sigma_points)
    perimeter = float(np.hypot(*np.diff(np.vstack([points, points[:1]]), axis=0).T).sum())
    step = settings.step_widths
    outward = _turning(points, settings.tip_chord_widths / step)
    tips = _peaks(outward, settings.tip_turn_deg, round(settings.tip_distance_widths / step))
    turn = _turning(points, settings.notch_chord_widths / step)
    notches = _peaks(-turn, settings.notch_turn_deg, round(settings.notch_distance_widths / step))
    depths = tuple(float(-turn[i]) for i in notches)
    return Outline(points.astype(np.float32), tips, notches, depths, perimeter)


def _smooth_ring(points: NDArray[np.float64], sigma: float, min_sigma: float) -> NDArray[np.float64]:
    radius = min(max(1, int(3 * sigma)), len(points) // 2)
    kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1) / max(sigma, min_sigma)) ** 2)
    kernel /= kernel.sum()
    padded = np.concatenate([points[-radius:], points, points[:radius]])
    return np.stack([np.convolve(padded[:, k], kernel, mode="valid") for k in (0, 1)], axis=1)


def _turning(points: NDArray[np.float64], chord: float) -> NDArray[np.float64]:
    """Angle in degrees between the chords before and after each point; positive where the piece bulges."""
    reach = max(1, min(round(chord), len(points) // 3))
    index = np.arange(len(points))
    before = points - points[index - reach]
    after = points[(index + reach) % len(points)] - points
    cross = before[:, 0] * after[:, 1] - before[:, 1] * after[:, 0]
    dot = (before * after).sum(axis=1)
    # OpenCV's outer contours run anticlockwise with y pointing down: a convex corner has a negative cross product.
    return np.asarray(np.degrees(np.arctan2(-cross, dot)), dtype=np.float64)


def _peaks(values: NDArray[np.float64], least: float, apart: int) -> tuple[int, ...]:
    """Indices of the maxima of a ring above a level, the higher ones first to claim their surroundings."""
    count = len(values)
    ring = np.concatenate([values[-1:], values, values[:1]])
    candidates = np.flatnonzero((values >= least) & (values >= ring[:-2]) & (values >= ring[2:]))
    chosen: list[int] = []
    for index in candidates[np.argsort(-values[candidates])]:
        if all(min(abs(index - other), count - abs(index - other)) >= apart for other in chosen):
            chosen.append(int(index))
    return tuple(sorted(chosen))
