"""Chromosomes straightened for the karyogram: straight, bands where they were, satellites kept."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from analysis.karyogram.chromosome_pictures import WHITE, upright_pictures
from analysis.karyogram.straight_pictures import straight_pictures
from analysis.straightening.medial_axis import medial_axis
from analysis.structures.crop import ObjectPixels

RADIUS_PX = 60
WIDTH_PX = 16


def arc(bands: tuple[float, ...], *, satellite: bool = False) -> ObjectPixels:
    """A chromosome bent to half a circle, with dark bands at fractions of its length."""
    y, x = np.mgrid[0:150, 0:180].astype(np.float64)
    dx, dy = x - 90.0, y - 90.0
    radius, angle = np.hypot(dx, dy), np.arctan2(-dy, dx)
    inside = (np.abs(radius - RADIUS_PX) <= WIDTH_PX / 2) & (angle >= 0.0)
    along = 1.0 - angle / np.pi
    density = np.where(inside, 0.2, 0.0)
    for band in bands:
        density[inside & (np.abs(along - band) < 0.03)] = 0.8
    mask = inside.copy()
    if satellite:
        beside = np.zeros(mask.shape, np.uint8)
        cv2.circle(beside, (90 - RADIUS_PX, 90 + 10), 3, (1,), -1)
        mask |= beside > 0
        density[beside > 0] = 0.4
    return ObjectPixels(density.astype(np.float32), mask)


def dark_rows(picture: NDArray[np.uint8]) -> list[float]:
    """Middles of dark bands, as fractions of the picture's height."""
    profile = np.asarray([row[row < WHITE - 10].mean() if (row < WHITE - 10).any() else WHITE for row in picture])
    dark = profile < 0.5 * (profile.min() + np.median(profile))
    starts = np.flatnonzero(np.diff(np.concatenate([[0], dark.astype(int), [0]])) == 1)
    ends = np.flatnonzero(np.diff(np.concatenate([[0], dark.astype(int), [0]])) == -1)
    return [float(start + end) / 2.0 / len(profile) for start, end in zip(starts, ends, strict=True)]


@pytest.mark.parametrize("enlargement", [1.0, 2.0])
def test_a_bent_chromosome_stands_straight_with_its_bands_in_place(enlargement: float) -> None:
    bands = (0.2, 0.5, 0.65)
    piece = arc(bands)
    picture = straight_pictures([piece], [False], enlargement=enlargement)[0]
    height, width = picture.picture.shape
    assert height == pytest.approx(np.pi * RADIUS_PX * enlargement, rel=0.1)
    assert width < 1.6 * WIDTH_PX * enlargement
    assert dark_rows(picture.picture) == pytest.approx(bands, abs=0.03)
    bent = upright_pictures([piece], [False], enlargement=enlargement)[0]
    assert bent.picture.shape[1] > 2 * width


def test_the_short_arm_comes_up_and_the_centromere_is_where_it_was() -> None:
    bands = (0.2, 0.5)
    piece = arc(bands)
    turned = straight_pictures([piece], [True], [0.25])[0]
    assert dark_rows(turned.picture) == pytest.approx((0.5, 0.8), abs=0.03)
    assert turned.centromere_px == pytest.approx(0.25 * turned.picture.shape[0], abs=4.0)
    assert turned.length_px == pytest.approx(medial_axis(piece.mask).length_px)


def test_a_satellite_beyond_the_tip_is_kept() -> None:
    plain = straight_pictures([arc((0.5,))], [False])[0].picture
    with_satellite = straight_pictures([arc((0.5,), satellite=True)], [False])[0].picture
    assert with_satellite.shape[0] > plain.shape[0] + 4


def test_nothing_is_a_blank_picture() -> None:
    piece = ObjectPixels(np.zeros((5, 5), np.float32), np.pad(np.ones((1, 1), np.bool_), 2))
    picture = straight_pictures([piece], [False])[0].picture
    assert (picture == WHITE).all()
