from __future__ import annotations

import numpy as np
import pytest

from analysis.karyogram.chromosome_pictures import Tone, grown_for_display, tone_of, upright_pictures
from analysis.structures.crop import ObjectPixels
from analysis.structures.instance import Instance, SegmentationRoute
from analysis.structures.medial_axis import MedialAxis


def instance(mask: np.ndarray) -> Instance:
    rows, columns = np.nonzero(mask)
    box = int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1
    return Instance(box, mask[box[1] : box[3], box[0] : box[2]], 1.0, SegmentationRoute.SINGLE)


def full(entry: Instance, size: tuple[int, int]) -> np.ndarray:
    page = np.zeros(size, np.bool_)
    page[entry.box_px[1] : entry.box_px[3], entry.box_px[0] : entry.box_px[2]] = entry.mask
    return page


@pytest.mark.parametrize("enlargement", [1.0, 3.0])
@pytest.mark.parametrize("flipped", [False, True])
def test_pictures_stand_upright_short_arm_up(flipped: bool, enlargement: float) -> None:
    mask = np.zeros((60, 60), np.bool_)
    rows, columns = np.mgrid[:60, :60]
    along, across = (rows + columns - 59) / np.sqrt(2), (rows - columns) / np.sqrt(2)
    mask[(np.abs(along) < 26) & (np.abs(across) < 6)] = True
    # The dark tip is the short arm: at the upper left end of the body, or at the lower right one.
    tip = along > 14 if flipped else along < -14
    density = np.where(mask, np.where(tip, 0.9, 0.2), 0.0).astype(np.float32)
    (shown,) = upright_pictures([ObjectPixels(density, mask)], [flipped], [0.25], enlargement=enlargement)
    upright = shown.picture
    height, width = upright.shape
    assert height > 2.5 * width
    assert height == pytest.approx(54 * enlargement, rel=0.08)
    assert upright[: height // 4].mean() < upright[-height // 4 :].mean() - 20
    assert shown.centromere_px == pytest.approx(0.25 * height, abs=0.04 * height)
    assert shown.length_px == pytest.approx(height, rel=0.1)


def test_handedness_is_kept() -> None:
    mask = np.zeros((60, 30), np.bool_)
    mask[5:55, 10:18] = True
    mask[5:15, 18:26] = True
    density = np.where(mask, 0.5, 0.0).astype(np.float32)
    (shown,) = upright_pictures([ObjectPixels(density, mask)], [False])
    top = shown.picture[: shown.picture.shape[0] // 5]
    middle = shown.picture.shape[1] // 2
    assert top[:, middle:].mean() < 250


def test_contrast_keeps_the_order_of_bands_and_is_that_of_the_cell() -> None:
    rng = np.random.default_rng(1)
    pieces = [
        ObjectPixels(np.full((40, 10), level, np.float32) * rng.uniform(0.5, 1, (40, 1)), np.ones((40, 10), bool))
        for level in (0.3, 0.35, 0.4)
    ]
    tone = tone_of(pieces)
    grey = tone.grey(np.linspace(0, 1, 200)).astype(int)
    assert (np.diff(grey) <= 0).all()
    assert grey[0] == 255
    # One body with the density of two must not pale the others.
    doubled = [*pieces, ObjectPixels(pieces[0].density * 3, pieces[0].mask)]
    assert tone_of(doubled).dark == pytest.approx(tone.dark, rel=0.2)
    assert tone_of([]) == Tone(1.0)


def test_a_mask_grows_over_its_rim_and_pale_bands_but_not_over_its_neighbour() -> None:
    size = (80, 60)
    own = np.zeros(size, np.bool_)
    own[10:40, 20:30] = True
    own[42:70, 20:30] = True
    own[2:4, 50:52] = True
    beside = np.zeros(size, np.bool_)
    beside[10:70, 30:40] = True
    shown, other = (full(entry, size) for entry in grown_for_display([instance(own), instance(beside)], size))
    assert shown[41, 22:28].all()
    assert shown[20, 19]
    assert not (shown & beside).any()
    assert not (other & own).any()
    assert not shown[2:4, 50:52].any()


def test_what_two_share_stays_with_both() -> None:
    size = (70, 70)
    upright, lying = np.zeros(size, np.bool_), np.zeros(size, np.bool_)
    upright[5:65, 30:40] = True
    lying[30:40, 5:65] = True
    both = upright & lying
    for entry in grown_for_display([instance(upright), instance(lying)], size):
        assert full(entry, size)[both].all()


def test_a_ring_keeps_its_hole() -> None:
    rows, columns = np.mgrid[:60, :60]
    away = np.hypot(rows - 30, columns - 30)
    ring = (away < 24) & (away > 14)
    (shown,) = grown_for_display([instance(ring)], (60, 60))
    assert not full(shown, (60, 60))[28:32, 28:32].any()


def test_small_holes_are_filled_and_a_bay_at_the_border_of_the_picture_is_none() -> None:
    size = (40, 60)
    pierced, cut = np.zeros(size, np.bool_), np.zeros(size, np.bool_)
    pierced[5:35, 5:20] = True
    pierced[18:21, 11:14] = False
    cut[0:30, 34:54] = True
    cut[0:20, 40:48] = False
    shown, other = (full(entry, size) for entry in grown_for_display([instance(pierced), instance(cut)], size))
    assert shown[18:21, 11:14].all()
    assert not other[:15, 44].any()


def test_a_picture_is_as_small_as_its_chromosome_however_large_its_window() -> None:
    mask = np.zeros((300, 300), np.bool_)
    mask[200:260, 20:32] = True
    (shown,) = upright_pictures([ObjectPixels(np.where(mask, 0.5, 0.0).astype(np.float32), mask)], [False])
    assert shown.picture.shape == pytest.approx((60, 12), abs=4)
    assert shown.picture.min() < 60
    (nothing,) = upright_pictures(
        [ObjectPixels(np.zeros((9, 9), np.float32), np.zeros((9, 9), np.bool_))],
        [False],
        axes=[MedialAxis(np.zeros((4, 2), np.float32), 1.0, 1.0)],
    )
    assert (nothing.picture == 255).all()


def test_a_cell_without_chromosomes_has_no_pictures() -> None:
    assert grown_for_display([], (10, 10)) == []
    assert upright_pictures([], []) == []


def upright_axis(top: float, bottom: float) -> MedialAxis:
    """The axis of an upright mask 16 px wide, in px of its box."""
    points = np.stack([np.full(64, 7.5), np.linspace(top, bottom, 64)], axis=1)
    return MedialAxis(points.astype(np.float32), bottom - top, 16.0)


def test_burrs_go_and_satellites_and_small_unevenness_stay() -> None:
    mask = np.zeros((120, 80), np.bool_)
    mask[20:100, 32:48] = True
    satellite, stalk, bump = np.s_[8:14, 37:43], np.s_[14:20, 39:41], np.s_[40:50, 48:50]
    for part in (satellite, stalk, bump):
        mask[part] = True
    axis = upright_axis(1.0, 91.0)
    plain = full(grown_for_display([instance(mask)], mask.shape, [axis])[0], mask.shape)
    spiked, dotted = mask.copy(), mask.copy()
    spiked[60:63, 48:66] = True
    dotted[70:72, 48:54], dotted[67:75, 54:60] = True, True
    for marred in (spiked, dotted):
        shown = full(grown_for_display([instance(marred)], mask.shape, [axis])[0], mask.shape)
        # A little of the foot of a burr is rounded off.
        assert np.count_nonzero(shown != plain) < 40
        assert not shown[:, 53:].any()
        kept = full(grown_for_display([instance(marred)], mask.shape)[0], mask.shape)
        assert np.count_nonzero(kept) > np.count_nonzero(plain)
    assert plain[satellite].all()
    assert plain[stalk].all()
    assert plain[bump].all()


def test_a_hole_is_not_made_a_notch() -> None:
    mask = np.zeros((120, 80), np.bool_)
    mask[20:100, 32:48] = True
    mask[55:60, 34:46] = False
    axis = MedialAxis(
        np.stack([np.full(64, 40.0), np.linspace(20, 99, 64)], axis=1).astype(np.float32), 80.0, 16.0
    )
    shown = full(grown_for_display([instance(mask)], mask.shape, [axis])[0], mask.shape)
    assert shown[20:100, 32:48].all()
