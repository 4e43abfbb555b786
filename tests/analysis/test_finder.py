import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.errors import ImageError
from analysis.finder import find_metaphases

UM_PER_PX = 0.645


def add_metaphase(od, x_px, y_px, rng, *, um_per_px=UM_PER_PX, count=44, radius_um=22.0):
    for _ in range(count):
        angle, way = rng.uniform(0, 2 * np.pi), radius_um * np.sqrt(rng.uniform(0, 1))
        centre = (x_px + way * np.cos(angle) / um_per_px, y_px + way * np.sin(angle) / um_per_px)
        length, width = rng.uniform(2, 7) / um_per_px, 1.1 / um_per_px
        box = cv2.boxPoints((centre, (length, width), float(rng.uniform(0, 180))))
        part = np.zeros_like(od)
        cv2.fillPoly(part, [np.round(box * 8).astype(np.int32)], 0.45, cv2.LINE_AA, shift=3)
        od += part


def field(rng, cells, *, shape=(600, 800), nuclei=15, debris=40, um_per_px=UM_PER_PX):
    od = np.zeros(shape, np.float32)
    for x, y in cells:
        add_metaphase(od, x, y, rng, um_per_px=um_per_px)
    for _ in range(nuclei):
        centre = (int(rng.integers(0, shape[1])), int(rng.integers(0, shape[0])))
        if all(np.hypot(centre[0] - x, centre[1] - y) > 70 for x, y in cells):
            cv2.circle(od, centre, int(rng.uniform(5, 8) / um_per_px), 0.6, -1, cv2.LINE_AA)
    for _ in range(debris):
        centre = (int(rng.integers(0, shape[1])), int(rng.integers(0, shape[0])))
        cv2.ellipse(od, centre, (2, 1), float(rng.uniform(0, 180)), 0, 360, 0.7, -1, cv2.LINE_AA)
    return cv2.GaussianBlur(od, (0, 0), 0.7)


def brightfield(od, rng, level=3200.0):
    rows, columns = np.mgrid[: od.shape[0], : od.shape[1]]
    fall_off = 1 - 0.2 * ((columns / od.shape[1] - 0.5) ** 2 + (rows / od.shape[0] - 0.5) ** 2)
    light = level * fall_off * np.exp(-od)
    return np.clip(light + rng.normal(0, 1, od.shape) * np.sqrt(light / 4 + 30), 0, 4095).astype(np.uint16)


CELLS = [(150, 150), (600, 180), (400, 450)]


def assert_found(candidates, cells, tolerance_px=15):
    good = [c for c in candidates if c.score >= 0.5]
    for x, y in cells:
        assert any(np.hypot(c.x_px - x, c.y_px - y) < tolerance_px for c in good), (x, y, candidates)
    assert len(good) == len(cells)


@pytest.mark.parametrize("seed", range(4))
def test_metaphases_are_found_among_nuclei_and_debris_and_nothing_else(seed):
    rng = np.random.default_rng(seed)
    assert_found(find_metaphases(brightfield(field(rng, CELLS), rng), UM_PER_PX), CELLS)


def test_eight_bits_and_fluorescence_are_found_too():
    rng = np.random.default_rng(7)
    od = field(rng, CELLS)
    assert_found(find_metaphases((brightfield(od, rng) / 16).astype(np.uint8), UM_PER_PX), CELLS)
    glow = np.clip(120 + 2500 * od + rng.normal(0, 12, od.shape), 0, 4095).astype(np.uint16)
    assert_found(find_metaphases(glow, UM_PER_PX), CELLS)


@pytest.mark.parametrize("um_per_px", [0.4, 1.0])
def test_pixel_size_is_taken_into_account(um_per_px):
    rng = np.random.default_rng(2)
    cells = [(200, 200), (600, 400)]
    picture = brightfield(field(rng, cells, um_per_px=um_per_px, debris=10), rng)
    assert_found(find_metaphases(picture, um_per_px), cells, tolerance_px=20)


def test_candidates_come_best_first_with_a_radius_of_the_cell():
    rng = np.random.default_rng(1)
    candidates = find_metaphases(brightfield(field(rng, CELLS), rng), UM_PER_PX)
    assert [c.score for c in candidates] == sorted((c.score for c in candidates), reverse=True)
    assert all(12 < c.radius_px * UM_PER_PX < 40 for c in candidates if c.score >= 0.5)


@pytest.mark.parametrize(
    "picture",
    [
        np.zeros((300, 400), np.uint16),
        np.full((300, 400), 4095, np.uint16),
        np.full((1, 1), 7, np.uint8),
        np.random.default_rng(0).integers(0, 4095, (300, 400)).astype(np.uint16),
        np.random.default_rng(0).normal(3000, 25, (300, 400)).astype(np.uint16),
    ],
    ids=["black", "white", "one pixel", "noise", "blank"],
)
def test_nothing_is_found_where_there_is_nothing(picture):
    assert [c for c in find_metaphases(picture, UM_PER_PX) if c.score >= 0.5] == []


def test_nuclei_alone_are_no_metaphase():
    rng = np.random.default_rng(5)
    picture = brightfield(field(rng, [], nuclei=60, debris=100), rng)
    assert [c for c in find_metaphases(picture, UM_PER_PX) if c.score >= 0.5] == []


@pytest.mark.parametrize("um_per_px", [0.0, -1.0, 50.0, float("nan")])
def test_impossible_pixel_sizes_are_refused(um_per_px):
    with pytest.raises(ImageError, match="pixel size"):
        find_metaphases(np.zeros((10, 10), np.uint8), um_per_px)


def test_colour_is_refused():
    with pytest.raises(ImageError, match="grey image"):
        find_metaphases(np.zeros((10, 10, 3), np.uint8), 0.5)  # type: ignore[arg-type]


@settings(max_examples=15, deadline=None)
@given(st.integers(-40, 40), st.integers(-40, 40))
def test_a_shifted_cell_is_found_shifted(dx, dy):
    rng = np.random.default_rng(11)
    cells = [(300 + dx, 200 + dy)]
    od = np.zeros((400, 600), np.float32)
    add_metaphase(od, *cells[0], rng)
    found = find_metaphases(brightfield(cv2.GaussianBlur(od, (0, 0), 0.7), rng), UM_PER_PX)
    assert_found(found, cells)
