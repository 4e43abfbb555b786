from __future__ import annotations

import cv2
import numpy as np
import pytest

from analysis.straightening.band_profile import profiles
from analysis.straightening.crops import (
    crops_of_cell,
    cut_instances,
    fluorescence_density,
    object_from_picture,
    optical_density,
)
from analysis.structures.crop import CROP_COLUMNS, CROP_ROWS, ObjectPixels
from analysis.structures.grey_image import GreyImage
from analysis.structures.instance import Instance, SegmentationRoute


def bar(length_px: int, width_px: int = 12, density: float = 0.4) -> ObjectPixels:
    mask = np.zeros((length_px + 10, width_px + 10), np.bool_)
    mask[5:-5, 5:-5] = True
    return ObjectPixels(np.where(mask, density, 0.0).astype(np.float32), mask)


def test_sizes_are_relative_to_the_median_of_the_cell() -> None:
    crops = crops_of_cell([bar(30), bar(50), bar(100, density=0.8)])
    assert crops[1].relative_length == pytest.approx(1.0)
    assert crops[2].relative_length == pytest.approx(2.0, rel=0.06)
    assert crops[0].relative_area == pytest.approx(0.6, rel=0.02)
    assert crops[2].relative_density == pytest.approx(2.0, rel=0.01)
    assert crops[2].features() == pytest.approx(np.log([2.0, 2.0, 2.0]), abs=0.06)


def test_crops_do_not_know_the_magnification() -> None:
    objects = [bar(40), bar(60), bar(90)]
    large = [
        ObjectPixels(
            cv2.resize(piece.density, None, fx=2, fy=2, interpolation=cv2.INTER_NEAREST),
            cv2.resize(piece.mask.astype(np.uint8), None, fx=2, fy=2, interpolation=cv2.INTER_NEAREST) > 0,
        )
        for piece in objects
    ]
    for one, other in zip(crops_of_cell(objects), crops_of_cell(large), strict=True):
        assert one.image.shape == (CROP_ROWS, CROP_COLUMNS)
        assert one.image.dtype == np.float32
        assert one.features() == pytest.approx(other.features(), abs=0.06)
        assert np.abs(one.image - other.image).mean() < 0.06


def test_no_objects_no_crops() -> None:
    assert crops_of_cell([]) == ()


def test_density_is_relative_to_the_background_and_never_negative() -> None:
    grey = np.array([[255, 99, 9]], np.uint8)
    assert optical_density(grey, 99.0) == pytest.approx(np.array([[0.0, 0.0, 1.0]]))


def test_instances_are_cut_with_their_own_masks() -> None:
    pixels = np.full((40, 30), 200, np.uint8)
    pixels[5:25, 8:14] = 50
    image = GreyImage(pixels, "test")
    mask = np.ones((20, 6), np.bool_)
    mask[:, 0] = False
    (piece,) = cut_instances(
        image,
        np.full((40, 30), 200.0, np.float32),
        [Instance((8, 5, 14, 25), mask, 1.0, SegmentationRoute.SINGLE)],
    )
    assert piece.mask.sum() == 100
    assert piece.density == pytest.approx(np.log10(201 / 51))


def test_fluorescence_is_linear_in_the_light() -> None:
    grey = np.array([[255, 155, 55]], np.uint8)
    assert fluorescence_density(grey, 255.0) == pytest.approx(np.array([[0.0, 100 / 255, 200 / 255]]))
    full = Instance((0, 0, 3, 1), np.ones((1, 3), np.bool_), 1.0, SegmentationRoute.SINGLE)
    (piece,) = cut_instances(GreyImage(grey, "dapi", inverted=True), np.full((1, 3), 255.0, np.float32), [full])
    assert piece.density[0, 2] == pytest.approx(200 / 255)


def test_ready_cut_picture_loses_its_white_and_its_specks() -> None:
    grey = np.full((60, 40), 255, np.uint8)
    grey[10:50, 12:24] = 90
    grey[2, 2] = 100
    mask = object_from_picture(grey).mask
    assert mask[10:50, 12:24].all()
    assert not mask[2, 2]
    assert object_from_picture(np.full((9, 9), 255, np.uint8)).mask.all()


def test_profile_shows_bands_and_waist() -> None:
    image = np.zeros((1, 96, 24), np.float32)
    image[0, :, 6:18] = 1.0
    image[0, 40:56, 6:18] = 0.0
    image[0, 40:56, 10:14] = 0.5
    banding, width = profiles(image, 48)[0]
    assert banding[5] == pytest.approx(1.0)
    assert banding[24] == pytest.approx(0.5)
    assert width[5] == pytest.approx(0.5)
    assert width[24] == pytest.approx(4 / 24)
