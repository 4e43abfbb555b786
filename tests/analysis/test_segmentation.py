"""Drawn scenes: what touches, crosses, lies beside a nucleus or is dirt."""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.errors import NoMetaphaseError
from analysis.imaging.background import estimate_background, optical_density
from analysis.imaging.image_file import to_grey
from analysis.imaging.working_image import find_stained
from analysis.segmentation.contours.plausibility import load_plausibility
from analysis.segmentation.contours.segmenter import segment_by_contours
from analysis.segmentation.contours.shape import measure
from analysis.segmentation.contours.split import split_along
from analysis.segmentation.contours.split_tree import ContourContext, describe, proposals, resolve
from analysis.segmentation.segmenter import DetectorSegmenter, load_detector_segmenter
from analysis.segmentation.settings import SegmentationSettings
from analysis.structures.grey_image import GreyImage
from analysis.structures.instance import SegmentationRoute
from analysis.structures.region import cropped
from analysis.structures.segmentation import Segmentation

WIDTH_PX = 16


@dataclass
class Scene:
    """A drawn metaphase in optical density."""

    height: int = 620
    width: int = 720
    density: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self.density = np.zeros((self.height, self.width), np.float32)

    def rod(self, x: float, y: float, length: float, angle_deg: float, stain: float = 0.35) -> None:
        """Add a banded rod; densities add where rods overlap."""
        rad = np.deg2rad(angle_deg)
        step = np.array([np.cos(rad), np.sin(rad)])
        start, end = np.array([x, y]) - step * length / 2, np.array([x, y]) + step * length / 2
        mask = np.zeros(self.density.shape, np.uint8)
        cv2.line(mask, tuple(np.rint(start).astype(int)), tuple(np.rint(end).astype(int)), 1, WIDTH_PX - 2)
        rows, columns = np.nonzero(mask)
        along = (columns - start[0]) * step[0] + (rows - start[1]) * step[1]
        bands = 1.0 + 0.22 * np.sin(along / 5.0 + x)
        self.density[rows, columns] += stain * bands.astype(np.float32)

    def disc(self, x: int, y: int, radius: int, stain: float = 0.3) -> None:
        """Add a nucleus, or a grain of dirt."""
        mask = np.zeros(self.density.shape, np.uint8)
        cv2.circle(mask, (x, y), radius, 1, -1)
        self.density = np.maximum(self.density, stain * mask.astype(np.float32))

    def singles(self) -> int:
        """Add twenty chromosomes apart from one another; return how many."""
        rng = np.random.default_rng(5)
        for k in range(20):
            self.rod(
                80 + 130 * (k % 5), 70 + 110 * (k // 5), float(rng.uniform(30, 85)), float(rng.uniform(0, 180))
            )
        return 20

    def image(
        self, *, light: float = 235.0, tilt: float = 0.0, noise: float = 2.0, factor: float = 1.0
    ) -> GreyImage:
        """Photograph the scene."""
        smooth = cv2.GaussianBlur(self.density, (0, 0), 1.3)
        columns = np.linspace(-tilt, tilt, self.width, dtype=np.float32)
        grey = (light + columns[None, :]) * 10.0 ** (-smooth)
        if factor != 1.0:
            grey = cv2.resize(grey, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
        grey = grey + np.random.default_rng(1).normal(0.0, noise, grey.shape)
        return to_grey(np.clip(grey, 0, 255).astype(np.uint8), "scene")


def holds_together(found: Segmentation, image: GreyImage) -> None:
    """Check what every segmentation must be."""
    assert found.background.shape == found.nuclei.shape == image.pixels.shape
    assert found.background.dtype == np.float32
    for number, entry in enumerate(found.instances):
        x0, y0, x1, y1 = entry.box_px
        assert 0 <= x0 < x1 <= image.width_px
        assert 0 <= y0 < y1 <= image.height_px
        assert entry.mask.shape == (y1 - y0, x1 - x0)
        assert entry.mask.dtype == np.bool_
        assert entry.mask[0].any()
        assert entry.mask[-1].any()
        assert entry.mask[:, 0].any()
        assert entry.mask[:, -1].any()
        assert 0.0 <= entry.score <= 1.0
        assert number not in entry.overlaps
        assert all(number in found.instances[other].overlaps for other in entry.overlaps)


def at(found: Segmentation, x: int, y: int) -> list[int]:
    """Indices of the instances that own a pixel."""
    owners = []
    for number, entry in enumerate(found.instances):
        x0, y0, x1, y1 = entry.box_px
        if x0 <= x < x1 and y0 <= y < y1 and entry.mask[y - y0, x - x0]:
            owners.append(number)
    return owners


@pytest.mark.parametrize(
    ("light", "tilt", "factor"),
    [(235.0, 0.0, 1.0), (300.0, 0.0, 1.0), (170.0, 45.0, 1.0), (235.0, 10.0, 0.5), (235.0, 10.0, 2.2)],
    ids=["plain", "saturated", "uneven light", "half the scale", "twice the scale"],
)
def test_single_chromosomes_are_all_found(light: float, tilt: float, factor: float) -> None:
    scene = Scene()
    planted = scene.singles()
    image = scene.image(light=light, tilt=tilt, factor=factor)
    found = segment_by_contours(image)
    holds_together(found, image)
    assert len(found.instances) == planted


def test_fluorescence_is_segmented_alike() -> None:
    scene = Scene()
    planted = scene.singles()
    image = to_grey(255 - scene.image().pixels, "dapi")
    assert image.inverted
    assert len(segment_by_contours(image).instances) == planted


def test_nuclei_are_set_aside_and_dirt_is_dropped() -> None:
    scene = Scene()
    planted = scene.singles()
    scene.disc(640, 540, 62)
    scene.disc(60, 580, 55, stain=0.22)
    rng = np.random.default_rng(3)
    for _ in range(25):
        scene.disc(int(rng.uniform(150, 560)), int(rng.uniform(490, 610)), 2, stain=0.6)
    image = scene.image()
    found = segment_by_contours(image)
    assert len(found.instances) == planted
    assert found.nuclei[540, 640]
    assert found.nuclei[580, 60]
    assert found.nuclei[:440].mean() < 0.02


def test_a_chromosome_touching_a_nucleus_stays_a_chromosome() -> None:
    scene = Scene()
    planted = scene.singles()
    scene.disc(560, 545, 60)
    scene.rod(470, 545, 64, 0)
    found = segment_by_contours(scene.image())
    assert len(found.instances) == planted + 1
    assert at(found, 470, 545)


def test_touching_chromosomes_are_parted() -> None:
    scene = Scene()
    planted = scene.singles()
    scene.rod(200, 540, 80, 0)
    scene.rod(200, 576, 44, 90)
    found = segment_by_contours(scene.image())
    holds_together(found, scene.image())
    assert len(found.instances) == planted + 2
    first, second = at(found, 230, 540), at(found, 200, 585)
    assert len(first) == len(second) == 1
    assert first != second
    assert second[0] in found.instances[first[0]].overlaps


def test_chromosomes_side_by_side_are_parted_along_the_slit() -> None:
    scene = Scene()
    planted = scene.singles()
    scene.rod(300, 530, 80, 0)
    scene.rod(300, 549, 78, 0)
    found = segment_by_contours(scene.image(noise=1.0))
    assert len(found.instances) == planted + 2
    assert at(found, 300, 530) != at(found, 300, 549)


def test_crossing_chromosomes_both_own_the_shared_area() -> None:
    scene = Scene()
    planted = scene.singles()
    scene.rod(360, 540, 100, 20)
    scene.rod(360, 540, 100, 110)
    found = segment_by_contours(scene.image())
    holds_together(found, scene.image())
    assert len(found.instances) == planted + 2
    owners = at(found, 360, 540)
    assert len(owners) == 2
    assert all(found.instances[k].route == SegmentationRoute.CROSSING for k in owners)


def blank() -> np.ndarray:
    return np.full((400, 500), 240, np.uint8)


def noise() -> np.ndarray:
    return np.random.default_rng(2).normal(200, 12, (400, 500)).clip(0, 255).astype(np.uint8)


def smooth_noise() -> np.ndarray:
    rough = np.random.default_rng(2).normal(0, 1, (400, 500)).astype(np.float32)
    wavy = cv2.GaussianBlur(rough, (0, 0), 40)
    return (200 + 20 * wavy / np.abs(wavy).max()).astype(np.uint8)


def only_nuclei() -> np.ndarray:
    scene = Scene()
    for x, y in ((120, 120), (400, 200), (600, 480), (200, 470)):
        scene.disc(x, y, 58)
    return scene.image().pixels


def one_blob() -> np.ndarray:
    scene = Scene()
    scene.disc(360, 300, 200, stain=0.5)
    return scene.image().pixels


def dust() -> np.ndarray:
    scene = Scene()
    rng = np.random.default_rng(3)
    for _ in range(60):
        scene.disc(int(rng.uniform(20, 700)), int(rng.uniform(20, 600)), int(rng.integers(1, 4)), stain=0.4)
    return scene.image().pixels


@pytest.mark.parametrize("scene", [blank, noise, smooth_noise, only_nuclei, one_blob, dust])
@pytest.mark.parametrize("inverted", [False, True])
def test_where_there_is_no_metaphase_it_says_so(scene, inverted: bool) -> None:  # type: ignore[no-untyped-def]
    pixels = scene()
    image = to_grey(255 - pixels if inverted else pixels, "empty field")
    with pytest.raises(NoMetaphaseError, match="empty field"):
        segment_by_contours(image)


def tiny() -> np.ndarray:
    return np.tile(np.asarray([[230, 90], [90, 230]], np.uint8), (32, 33))


@pytest.fixture(scope="module")
def product() -> DetectorSegmenter:
    torch.set_num_threads(1)
    return load_detector_segmenter()


@pytest.mark.parametrize("scene", [blank, noise, smooth_noise, only_nuclei, one_blob, dust, tiny])
@pytest.mark.parametrize("inverted", [False, True])
def test_the_detector_sees_no_metaphase_either(  # type: ignore[no-untyped-def]
    product: DetectorSegmenter, scene, inverted: bool
) -> None:
    pixels = scene()
    with pytest.raises(NoMetaphaseError, match="empty field"):
        product(to_grey(255 - pixels if inverted else pixels, "empty field"))


def test_the_least_number_of_chromosomes_is_a_setting() -> None:
    scene = Scene()
    scene.singles()
    with pytest.raises(NoMetaphaseError):
        segment_by_contours(scene.image(), SegmentationSettings(min_chromosomes=30))


def test_stained_pixels_leave_nuclei_out() -> None:
    scene = Scene()
    scene.singles()
    scene.disc(640, 540, 62)
    stained = find_stained(scene.image())
    assert stained[:440].mean() > 0.03
    assert not stained[540, 640]
    assert not find_stained(GreyImage(blank(), "blank")).any()


def test_background_follows_the_light_and_not_the_nuclei() -> None:
    scene = Scene()
    scene.singles()
    scene.disc(560, 500, 100, stain=0.5)
    image = scene.image(light=180.0, tilt=30.0)
    background = estimate_background(image.pixels)
    truth = 180.0 + np.linspace(-30.0, 30.0, scene.width)[None, :]
    assert np.abs(background - truth).max() < 12.0
    assert optical_density(image.pixels, background).min() >= 0.0


def test_a_saturated_background_is_white() -> None:
    scene = Scene()
    scene.singles()
    assert (estimate_background(scene.image(light=290.0).pixels) == 255.0).all()


@st.composite
def clusters(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Two to four rods thrown together: the largest connected piece and the density."""
    scene = Scene(260, 260)
    for _ in range(draw(st.integers(2, 4))):
        scene.rod(
            draw(st.integers(90, 170)),
            draw(st.integers(90, 170)),
            draw(st.integers(30, 100)),
            draw(st.integers(0, 179)),
        )
    density = cv2.GaussianBlur(scene.density, (0, 0), 1.3)
    count, labels, stats, _ = cv2.connectedComponentsWithStats((density > 0.15).astype(np.uint8), connectivity=4)
    assert count > 1
    return labels == 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA])), density


@settings(max_examples=25, deadline=None)
@given(clusters())
def test_no_split_loses_or_makes_foreground(drawn: tuple[np.ndarray, np.ndarray]) -> None:
    mask, density = drawn
    region = cropped(mask)
    cell = ContourContext(float(WIDTH_PX), 3.5, 0.8, density, load_plausibility())
    part = describe(region, SegmentationRoute.SINGLE, cell)
    for split in proposals(part, cell):
        np.testing.assert_array_equal(split.first | split.second, region.mask)
        assert split.first.any()
        assert split.second.any()
        if split.route != SegmentationRoute.CROSSING:
            assert not (split.first & split.second).any()
    whole = np.zeros(mask.shape, np.bool_)
    for piece in resolve(region, cell, accept=0.2):
        inner = piece.region.mask
        rows, columns = np.nonzero(inner)
        whole[rows + piece.region.y0_px, columns + piece.region.x0_px] = True
    np.testing.assert_array_equal(whole, mask)


def test_a_line_that_parts_nothing_is_no_split() -> None:
    mask = np.zeros((40, 60), np.bool_)
    mask[10:30, 10:50] = True
    line = np.zeros_like(mask)
    line[10:20, 30] = True
    assert split_along(mask, line, 20.0) is None
    line[:, 30] = True
    assert split_along(mask, line, 20.0) is not None


def test_a_rod_measures_as_a_rod() -> None:
    canvas = np.zeros((80, 160), np.uint8)
    cv2.line(canvas, (30, 40), (130, 40), 1, WIDTH_PX)
    shape = measure(canvas > 0, float(WIDTH_PX))
    assert shape.tips == 2
    assert shape.thickness == pytest.approx(1.0, abs=0.2)
    assert shape.length == pytest.approx(shape.area / shape.thickness)
    assert shape.solidity > 0.9
    assert shape.holes == 0
