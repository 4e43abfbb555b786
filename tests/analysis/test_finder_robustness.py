"""Pictures that hold no metaphase, or hold one in an unusual way: no false find, no crash."""

from functools import cache

import numpy as np
import pytest

from analysis.finder import load_finder
from simulators.optics import TEN, SensorModel, Shot, SlideCamera
from simulators.specimen.slide import SlideSettings, SlideWorld

UM_PER_PX = 0.645
CALL = 0.5
# A tenth of a metaphase: the blocks of the background and the order of ties fall otherwise on a turned field.
TURNED_PX = 8.0
SENSOR = SensorModel(width_px=800, height_px=600)
AREA_UM = (30_000.0, 10_000.0, 30_500.0, 10_370.0)
MIDDLE_UM = (30_250.0, 10_185.0)


@cache
def camera(seed=3, cells=0, nuclei=0.0, specks=0.0, clots=0.0, coverslip=False):
    settings = SlideSettings(
        seed=seed,
        cells=cells,
        area_um=AREA_UM,
        nuclei_per_mm2=nuclei,
        specks_per_mm2=specks,
        precipitates_per_mm2=clots,
        coverslip=coverslip,
    )
    return SlideCamera(SlideWorld(settings), SENSOR)


def shoot(taken, *, defocus_um=0.0, at_um=MIDDLE_UM, light=0.5, number=1):
    return taken.expose(Shot(*at_um, TEN, defocus_um, light, 8.0), number)


@pytest.fixture(scope="module", params=["rules", "default"])
def finder(request):
    return load_finder(request.param)


def called(finder, pixels):
    return [c for c in finder(pixels, UM_PER_PX, min_score=0.05) if c.score >= CALL]


def true_places(taken):
    """Centres of the planted cells, px of a field in the middle, and their radii."""
    return [
        (
            (cell.slide_x_um - MIDDLE_UM[0]) / UM_PER_PX + (SENSOR.width_px - 1) / 2,
            (cell.slide_y_um - MIDDLE_UM[1]) / UM_PER_PX + (SENSOR.height_px - 1) / 2,
            cell.radius_um / UM_PER_PX,
        )
        for cell in taken.world.truth()
    ]


def is_true(candidate, places):
    return any(np.hypot(candidate.x_px - x, candidate.y_px - y) <= radius for x, y, radius in places)


def test_an_empty_slide_has_no_metaphase(finder):
    for number in range(3):
        assert called(finder, shoot(camera(), number=number)) == []


@pytest.mark.parametrize("seed", range(2))
def test_a_slide_of_debris_has_no_metaphase(finder, seed):
    dirty = camera(seed=seed, nuclei=60.0, specks=1500.0, clots=60.0)
    assert called(finder, shoot(dirty)) == []


def test_a_slide_of_nuclei_has_no_metaphase(finder):
    assert called(finder, shoot(camera(nuclei=300.0, specks=180.0))) == []


def test_the_edge_of_a_coverslip_is_no_metaphase(finder):
    edged = camera(nuclei=40.0, specks=180.0, coverslip=True)
    slip = edged.world.coverslip
    for number, share in enumerate((-0.4, 0.0, 0.4)):
        at_um = (slip.x_um + share * slip.width_um, slip.y_um + slip.height_um / 2)
        assert called(finder, shoot(edged, at_um=at_um, number=number)) == []


@pytest.mark.parametrize(
    "picture",
    [
        np.zeros((600, 800), np.uint16),
        np.full((600, 800), 65535, np.uint16),
        np.full((600, 800), 255, np.uint8),
        np.full((40, 30), 200, np.uint8),
        np.full((1, 1), 7, np.uint8),
        np.random.default_rng(0).integers(0, 4095, (600, 800)).astype(np.uint16),
        np.tile(np.arange(800, dtype=np.uint16) * 5, (600, 1)),
    ],
    ids=["black", "white 16 bit", "white 8 bit", "tiny", "one pixel", "noise", "ramp"],
)
def test_what_is_no_field_has_no_metaphase(finder, picture):
    assert called(finder, picture) == []


def test_a_test_pattern_is_survived(finder):
    chequers = np.kron(np.indices((38, 50)).sum(axis=0) % 2, np.ones((16, 16), int)).astype(np.uint8) * 200
    assert all(0.0 <= candidate.score <= 1.0 for candidate in finder(chequers, UM_PER_PX, min_score=0.0))


def test_half_the_field_dark_is_no_metaphase(finder):
    field = shoot(camera(nuclei=40.0, specks=180.0)).copy()
    field[:, :350] //= 20
    assert called(finder, field) == []


def test_a_saturated_field_has_no_false_find(finder):
    spread = camera(cells=2, nuclei=40.0, specks=180.0)
    field = shoot(spread)
    burnt = np.clip(field.astype(np.uint32) * 4, 0, 4095).astype(np.uint16)
    assert all(is_true(candidate, true_places(spread)) for candidate in called(finder, burnt))


@pytest.mark.parametrize("defocus_um", [8.0, 15.0, 40.0, 120.0])
def test_out_of_focus_there_is_no_false_find(finder, defocus_um):
    spread = camera(cells=2, nuclei=40.0, specks=180.0)
    found = called(finder, shoot(spread, defocus_um=defocus_um))
    assert all(is_true(candidate, true_places(spread)) for candidate in found)


@pytest.mark.parametrize("turn", ["half", "mirror", "upside down", "quarter"])
def test_turned_and_mirrored_fields_have_the_same_metaphases(finder, turn):
    spread = camera(cells=2, nuclei=40.0, specks=180.0)
    field = shoot(spread)
    height, width = field.shape
    turned, back = {
        "half": (field[::-1, ::-1], lambda x, y: (width - 1 - x, height - 1 - y)),
        "mirror": (field[:, ::-1], lambda x, y: (width - 1 - x, y)),
        "upside down": (field[::-1], lambda x, y: (x, height - 1 - y)),
        "quarter": (np.rot90(field), lambda x, y: (width - 1 - y, x)),
    }[turn]
    plain = sorted((c.x_px, c.y_px) for c in called(finder, field))
    again = sorted(back(c.x_px, c.y_px) for c in called(finder, np.ascontiguousarray(turned)))
    assert len(plain) == 2
    assert np.array(again) == pytest.approx(np.array(plain), abs=TURNED_PX)
