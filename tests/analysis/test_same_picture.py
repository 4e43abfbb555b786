"""Pictures of one cell are recognised, and two cells are never taken for one."""

from __future__ import annotations

import os
from itertools import combinations
from pathlib import Path

import cv2
import numpy as np
import pytest

from analysis.case.same_picture import correlation, groups_of_same_pictures, picture_signature
from analysis.imaging.image_file import read_image, to_grey

DATA = Path(os.environ.get("KARYOSCAN_DATA", "none")) / "tseng" / "images"


def drawn_cell(seed: int, noise: float = 2.0) -> np.ndarray:
    """46 banded rods about a centre, as chromosomes lie in a metaphase: uint8, shape (600, 800)."""
    rng = np.random.default_rng(seed)
    page = np.full((600, 800), 225, np.float32)
    for _ in range(46):
        centre = (float(rng.normal(400, 120)), float(rng.normal(300, 90)))
        size, angle = (float(rng.uniform(20, 70)), float(rng.uniform(10, 14))), float(rng.uniform(0, 180))
        box = cv2.boxPoints((centre, size, angle))
        cv2.fillConvexPoly(page, box.astype(np.int32), float(rng.uniform(70, 150)), cv2.LINE_AA)
    page += rng.normal(0.0, noise, page.shape)
    return np.clip(page, 0, 255).astype(np.uint8)


def exported(pixels: np.ndarray, quality: int, scale: float, gain: float) -> np.ndarray:
    small = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    done, data = cv2.imencode(".jpg", (small * gain).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, quality])
    assert done
    return cv2.imdecode(data, cv2.IMREAD_GRAYSCALE)


def signature(pixels: np.ndarray):
    return picture_signature(to_grey(pixels, "test"))


@pytest.mark.parametrize(("quality", "scale", "gain"), [(95, 1.0, 1.0), (30, 0.5, 1.0), (60, 0.33, 0.8)])
def test_an_export_is_the_picture_that_it_was_made_of(quality: int, scale: float, gain: float) -> None:
    for seed in range(4):
        cell = drawn_cell(seed)
        assert correlation(signature(cell), signature(exported(cell, quality, scale, gain))) > 0.95


def test_a_retake_that_is_shifted_a_little_shows_the_same_cell() -> None:
    cell = drawn_cell(1)
    retake = np.roll(drawn_cell(1, noise=4.0), (6, -9), axis=(0, 1))
    assert groups_of_same_pictures([signature(cell), signature(retake)]) == ((0, 1),)


def test_two_cells_are_never_one() -> None:
    signatures = [signature(drawn_cell(seed)) for seed in range(24)]
    assert max(correlation(one, other) for one, other in combinations(signatures, 2)) < 0.6
    assert groups_of_same_pictures(signatures) == tuple((row,) for row in range(24))


def test_groups_hold_every_picture_once_in_order() -> None:
    first, second = drawn_cell(1), drawn_cell(2)
    pictures = [first, second, exported(first, 80, 0.5, 1.0), exported(second, 80, 1.0, 0.9), drawn_cell(3)]
    assert groups_of_same_pictures([signature(pixels) for pixels in pictures]) == ((0, 2), (1, 3), (4,))
    assert groups_of_same_pictures([]) == ()


def test_pictures_that_show_nothing_are_not_taken_for_each_other() -> None:
    rng = np.random.default_rng(0)
    shading = np.tile(np.linspace(150, 220, 800), (600, 1))
    blank = [np.clip(shading + rng.normal(0.0, 2.0, shading.shape), 0, 255).astype(np.uint8) for _ in range(3)]
    assert groups_of_same_pictures([signature(pixels) for pixels in blank]) == ((0,), (1,), (2,))
    flat = signature(np.full((600, 800), 128, np.uint8))
    assert correlation(flat, flat) == 0.0


def test_a_picture_turned_to_the_other_side_has_other_proportions() -> None:
    cell = drawn_cell(1)
    assert correlation(signature(cell), signature(np.rot90(cell).copy())) == 0.0


@pytest.mark.skipif(not DATA.is_dir(), reason="no real pictures (KARYOSCAN_DATA)")
def test_real_cells_are_apart_and_their_exports_are_not() -> None:
    retake = [picture_signature(read_image(DATA / name)) for name in ("104062.jpg", "104572.jpg")]
    assert groups_of_same_pictures(retake) == ((0, 1),)
    images = [read_image(path) for path in sorted(DATA.glob("*.jpg"))[:60:3]]
    signatures = [picture_signature(image) for image in images]
    assert max(correlation(one, other) for one, other in combinations(signatures, 2)) < 0.6
    for image, own in zip(images, signatures, strict=True):
        assert correlation(own, signature(exported(image.pixels, 30, 0.5, 1.0))) > 0.95


@pytest.mark.parametrize(("width_px", "level"), [(30, 0), (60, 255)])
def test_a_painted_border_round_an_export_makes_no_other_cell(width_px: int, level: int) -> None:
    cell, other = drawn_cell(1), drawn_cell(2)
    bordered = cv2.copyMakeBorder(cell, *[width_px] * 4, cv2.BORDER_CONSTANT, value=level)
    assert groups_of_same_pictures([signature(cell), signature(other), signature(bordered)]) == ((0, 2), (1,))
