from __future__ import annotations

import numpy as np
import pytest

from analysis.classification.classes import CLASS_NAMES
from analysis.classification.crop import ObjectPixels
from analysis.karyogram.layout import CANVAS_WIDTH_PX, ROWS, KaryogramItem, draw_karyogram
from analysis.karyogram.picture import upright_pictures


def picture(height_px: int, width_px: int = 14, level: int = 80) -> np.ndarray:
    grey = np.full((height_px, width_px), 255, np.uint8)
    grey[1:-1, 2:-2] = level
    return grey


def normal_cell() -> list[KaryogramItem]:
    names = [*(name for name in CLASS_NAMES[:22] for _ in range(2)), "X", "Y"]
    return [KaryogramItem(picture(110 - 2 * k), name) for k, name in enumerate(names)]


def test_every_class_has_its_place_once() -> None:
    names = [name for row in ROWS for group in row for name in group]
    assert sorted(names) == sorted(CLASS_NAMES)


def test_karyogram_is_white_paper_with_all_chromosomes() -> None:
    drawn = draw_karyogram(normal_cell(), title="46,XY", note="46 chromosomes")
    assert drawn.dtype == np.uint8
    assert drawn.shape[1] == CANVAS_WIDTH_PX
    assert (drawn == 255).mean() > 0.5
    empty = draw_karyogram([])
    assert (drawn < 128).sum() > 5 * (empty < 128).sum()


def test_extra_chromosomes_widen_their_place_and_nothing_is_cut_off() -> None:
    items = [KaryogramItem(picture(100, 30, level=3), "1") for _ in range(9)] + normal_cell()
    drawn = draw_karyogram(items)
    grey = drawn[:, :, 0]
    assert (grey[:, :4] == 255).all()
    assert (grey[:, -4:] == 255).all()
    # Nine bodies of the darkest level stand side by side, enlarged.
    assert (grey == 3).sum() >= 9 * 100 * 26


def test_what_has_no_class_lies_in_the_tray() -> None:
    plain = draw_karyogram(normal_cell())
    tray = draw_karyogram([*normal_cell(), *(KaryogramItem(picture(60, 60), "?") for _ in range(30))])
    assert tray.shape[0] > plain.shape[0] + 200


def test_doubtful_chromosomes_are_marked() -> None:
    items = normal_cell()
    marked = [KaryogramItem(items[0].picture, "1", doubtful=True), *items[1:]]
    colour = draw_karyogram(marked).astype(int)
    assert (np.ptp(colour, axis=2) > 60).any()
    assert not (np.ptp(draw_karyogram(items).astype(int), axis=2) > 0).any()


@pytest.mark.parametrize("flipped", [False, True])
def test_pictures_stand_upright_short_arm_up(flipped: bool) -> None:
    mask = np.zeros((60, 60), np.bool_)
    rows, columns = np.mgrid[:60, :60]
    along, across = (rows + columns - 59) / np.sqrt(2), (rows - columns) / np.sqrt(2)
    mask[(np.abs(along) < 26) & (np.abs(across) < 6)] = True
    # The dark tip is the short arm: at the upper left end of the body, or at the lower right one.
    tip = along > 14 if flipped else along < -14
    density = np.where(mask, np.where(tip, 0.9, 0.2), 0.0).astype(np.float32)
    (shown,) = upright_pictures([ObjectPixels(density, mask)], [flipped])
    upright = shown.picture
    height, width = upright.shape
    assert height > 2.5 * width
    assert upright[: height // 4].mean() < upright[-height // 4 :].mean() - 20
