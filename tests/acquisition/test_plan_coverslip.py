"""The coverslip is found where it lies, and nothing is called a coverslip that isn't one."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest

from acquisition.errors import CoverslipError
from acquisition.plan.coverslip import coarse_fields, find_coverslip
from acquisition.plan.edge_points import CoarseTile
from acquisition.protocol import Area, DetectedArea
from scanner.coordinates import SlidePoint
from simulators.specimen.glass import Coverslip as TrueCoverslip
from simulators.specimen.glass import Glass

# A 5x objective, drawn in pixels of 8 um: the search needs no more, and tests stay quick.
FIELD_UM = (1754.0, 1320.0)
COARSE_UM = 8.0
SIZED = DetectedArea(type="detected", size_mm="22x50")
# Less glass than a slide has: the coarse pass for the smallest size is the densest.
ANY_SIZE = DetectedArea(
    type="detected", search=Area(x_min_um=33_000, y_min_um=300, x_max_um=63_000, y_max_um=25_700)
)


def near(feature, centre):
    """Whether a feature of the twin's glass shows near a field; what says nothing about it may be anywhere."""
    comes_near = getattr(feature, "comes_near", None)
    return comes_near is None or comes_near(centre.x_um, centre.y_um, max(FIELD_UM))


def draw(area, *features, seed=0, noise=0.01, nuclei=60, light=2000.0, turn=False):
    """The coarse pass over a slide on which the features lie, drawn at once in coarse pixels."""
    rng = np.random.default_rng(seed)
    columns, rows = round(FIELD_UM[0] / COARSE_UM), round(FIELD_UM[1] / COARSE_UM)
    grain = rng.standard_normal((2 * rows, 2 * columns)).astype(np.float32)
    across, down = np.linspace(-1, 1, columns), np.linspace(-1, 1, rows)
    shading = 1 - 0.15 * (across[None, :] ** 2 + down[:, None] ** 2)
    disc = 0.35 * (np.hypot(*np.mgrid[-1:2, -1:2]) < 1.4)
    tiles = []
    for field in coarse_fields(area, *FIELD_UM):
        left, top = field.centre.x_um - FIELD_UM[0] / 2, field.centre.y_um - FIELD_UM[1] / 2
        x, y = left + np.arange(columns)[None, :] * COARSE_UM, top + np.arange(rows)[:, None] * COARSE_UM
        od = np.zeros((rows, columns))
        for feature in features:
            if near(feature, field.centre):
                od += feature.od(x, y)
        for row, column in rng.integers((0, 0), (rows - 3, columns - 3), (nuclei, 2)):
            od[row : row + 3, column : column + 3] += disc
        row, column = rng.integers((0, 0), (rows, columns))
        pixels = light * shading * 10**-od * (1 + noise * grain[row : row + rows, column : column + columns])
        picture = np.clip(pixels, 0, 4095).astype(np.uint16)
        steps = ((COARSE_UM, 0.0), (0.0, COARSE_UM))
        tiles.append(
            CoarseTile(picture.T.copy(), SlidePoint(left, top), steps[1], steps[0])
            if turn
            else CoarseTile(picture, SlidePoint(left, top), *steps)
        )
    return tiles


@dataclass(frozen=True)
class Changed:
    """A coverslip whose edge looks different."""

    true: TrueCoverslip
    change: Callable

    def od(self, x_um, y_um):
        return self.change(self.true.od(x_um, y_um), x_um, y_um)

    def comes_near(self, x_um, y_um, reach_um):
        return self.true.comes_near(x_um, y_um, reach_um)


def of_glass(**settings):
    glass = Glass(
        settings.pop("seed", 3),
        **{"coverslip": True, "bubbles": 0, "scratches": 0, "marks": False, "label": ""} | settings,
    )
    return glass, glass._features


def assert_found(found, true, tolerance_um=30.0):
    for corner, wanted in zip(found.outline_um(), true.corners_um, strict=True):
        assert math.dist(corner, wanted) < tolerance_um
    assert found.confidence > 0.9
    assert found.residual_um < 10.0


@pytest.mark.parametrize("seed", range(3))
def test_the_twins_coverslip_is_found_among_bubbles_scratches_and_marks(seed):
    glass, features = of_glass(seed=seed, bubbles=6, scratches=8, marks=True)
    assert_found(find_coverslip(draw(SIZED, *features, seed=seed), SIZED), glass.coverslip)


def test_any_size_that_is_sold_is_found_without_being_told():
    true = TrueCoverslip(48_000, 12_900, 24_000, 24_000, -1.0)
    assert_found(find_coverslip(draw(ANY_SIZE, true), ANY_SIZE), true)


def test_a_camera_turned_by_a_right_angle_finds_the_same():
    glass, features = of_glass(seed=5)
    assert_found(find_coverslip(draw(SIZED, *features, turn=True), SIZED), glass.coverslip)


def test_the_edge_may_glow_instead_of_being_dark():
    true = TrueCoverslip(47_000, 13_100, 50_000, 22_000, 0.8)
    glowing = Changed(true, lambda od, x, y: -0.08 * np.clip(od, 0, 1))
    assert_found(find_coverslip(draw(SIZED, glowing, noise=0.02, nuclei=5, light=150.0), SIZED), true)


def test_the_area_lies_within_the_edges_by_the_margin():
    true = TrueCoverslip(47_500, 13_000, 50_000, 22_000, 1.1)
    area = find_coverslip(draw(SIZED, true), SIZED).area(1000.0)
    depths = [true.depth_um(*corner) for corner in area.points_um]
    assert depths == pytest.approx([1000.0] * 4, abs=30.0)


def test_a_slide_without_a_coverslip_is_refused():
    with pytest.raises(CoverslipError, match="no coverslip of 22x50 mm was detected on four sides"):
        find_coverslip(draw(SIZED), SIZED)


def test_bubbles_and_scratches_alone_are_no_coverslip():
    glass, _ = of_glass(seed=4, bubbles=12, scratches=20, marks=True)
    others = glass._features[1:]
    for area in (SIZED, ANY_SIZE):
        with pytest.raises(CoverslipError):
            find_coverslip(draw(area, *others), area)


def test_a_coverslip_of_another_size_is_refused():
    true = TrueCoverslip(48_000, 13_000, 40_000, 22_000, 0.3)
    with pytest.raises(CoverslipError, match="no coverslip of 22x50 mm"):
        find_coverslip(draw(SIZED, true), SIZED)


def test_a_coverslip_that_leaves_the_searched_rectangle_is_refused():
    true = TrueCoverslip(53_000, 13_000, 50_000, 22_000, 0.3)
    with pytest.raises(CoverslipError):
        find_coverslip(draw(SIZED, true), SIZED)


def test_an_edge_that_shows_only_in_part_is_refused_with_the_confidence():
    true = TrueCoverslip(47_500, 13_000, 50_000, 22_000, 0.3)

    # Mounting medium over half of the left edge.
    broken = Changed(true, lambda od, x, y: np.where((x < 30_000) & (y > 12_500), 0.0, od))
    with pytest.raises(CoverslipError, match=r"22.0 mm was detected with confidence 0\.[3-7]"):
        find_coverslip(draw(SIZED, broken), SIZED)


def test_two_coverslips_that_explain_the_pictures_alike_are_refused():
    lower, upper = (
        TrueCoverslip(38_000, 13_000, 24_000, 24_000, 0.0),
        TrueCoverslip(63_000, 13_000, 24_000, 24_000, 0.0),
    )
    area = DetectedArea(type="detected", size_mm="24x24")
    with pytest.raises(CoverslipError, match="confidence"):
        find_coverslip(draw(area, lower, upper), area)


def test_no_pictures_no_coverslip():
    with pytest.raises(CoverslipError, match="no pictures"):
        find_coverslip([], SIZED)


def test_the_coarse_pass_is_thin_and_crosses_every_edge_wherever_the_coverslip_lies():
    small = Area(x_min_um=20_000, y_min_um=300, x_max_um=75_700, y_max_um=25_700)
    area = DetectedArea(type="detected", size_mm="22x50", search=small)
    fields = coarse_fields(area, *FIELD_UM)
    whole = math.ceil(small.width_um / FIELD_UM[0]) * math.ceil(small.height_um / FIELD_UM[1])
    assert len(fields) < 0.35 * whole
    for field in fields:
        assert small.x_min_um <= field.centre.x_um <= small.x_max_um
        assert small.y_min_um <= field.centre.y_um <= small.y_max_um
