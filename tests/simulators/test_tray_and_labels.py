from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from scanner.barcode import BarcodeFormat
from simulators.label import LabelStyle, draw_empty_stage, draw_label, smear_label
from simulators.specimen.slide import SlideSettings
from simulators.tray import FEEDER_SLOTS, Tray, TraySlide, fill_tray

LIKE = SlideSettings(seed=7, cells=3)


def test_slides_of_a_tray_are_alike_in_kind_and_differ_in_seed_and_label():
    tray = fill_tray(FEEDER_SLOTS, LIKE, empty=(8, 40), prefix="LAB", barcode_format=BarcodeFormat.QR)
    assert set(tray.slides) == set(range(1, 81)) - {8, 40}
    assert len({slide.label for slide in tray.slides.values()}) == 78
    assert len({slide.settings.seed for slide in tray.slides.values()}) == 78
    assert all(replace(slide.settings, seed=LIKE.seed) == LIKE for slide in tray.slides.values())
    assert tray.slides[17] == TraySlide("LAB-0007-017", replace(LIKE, seed=7017), BarcodeFormat.QR)
    assert tray == fill_tray(80, LIKE, empty=(8, 40), prefix="LAB", barcode_format=BarcodeFormat.QR)


def test_slides_with_labels_on_the_glass_have_the_same_name_there():
    tray = fill_tray(3, replace(LIKE, label="template"))
    assert [slide.settings.label for slide in tray.slides.values()] == [
        slide.label for slide in tray.slides.values()
    ]
    assert fill_tray(3, LIKE).slides[1].settings.label == ""


@pytest.mark.parametrize(("slots", "slot"), [(8, 0), (8, 9), (0, 1)])
def test_a_slide_beside_the_slots_is_refused(slots, slot):
    with pytest.raises(ValueError, match="slots 1"):
        Tray(slots, {slot: TraySlide("A", LIKE)})


def test_a_label_follows_from_its_seed_and_style():
    style = LabelStyle(dirt=0.02)
    assert np.array_equal(draw_label("KS-1", style=style, seed=3), draw_label("KS-1", style=style, seed=3))
    assert not np.array_equal(draw_label("KS-1", style=style, seed=3), draw_label("KS-1", style=style, seed=4))
    assert draw_label("KS-1", size_px=(240, 320)).shape == (240, 320)


def test_contrast_blur_and_dirt_do_what_they_say():
    clear = draw_label("KS-1", style=LabelStyle(noise=0.0))
    faded = draw_label("KS-1", style=LabelStyle(noise=0.0, contrast=0.1))
    blurred = draw_label("KS-1", style=LabelStyle(noise=0.0, blur_px=5.0))
    dirty = draw_label("KS-1", style=LabelStyle(noise=0.0, dirt=0.1))
    middle = (slice(100, 330), slice(200, 440))
    assert faded[middle].std() < 0.3 * clear[middle].std()
    assert (
        np.abs(np.diff(blurred[middle].astype(int))).max() < 0.5 * np.abs(np.diff(clear[middle].astype(int))).max()
    )
    assert 0.04 < (np.abs(dirty.astype(int) - clear) > 10).mean() < 0.2


def test_a_smear_leaves_the_light_and_takes_the_print():
    clear = draw_label("KS-1")
    smeared = smear_label(clear)
    assert smeared.shape == clear.shape
    assert abs(float(smeared.mean()) - float(clear.mean())) < 12.0
    assert np.array_equal(smeared, smear_label(clear))


def test_the_bench_is_dark_and_empty():
    bench = draw_empty_stage()
    assert bench.max() < 110
    assert bench.std() < 15.0


@pytest.mark.parametrize("style", [{"contrast": 1.1}, {"contrast": -0.1}, {"dirt": 2.0}, {"blur_px": -1.0}])
def test_what_can_not_be_seen_is_refused(style):
    with pytest.raises(ValueError, match="contrast and dirt"):
        LabelStyle(**style)


def test_a_text_that_fits_no_barcode_is_refused():
    with pytest.raises(ValueError, match=r"can't hold|less room"):
        draw_label("x" * 200, style=LabelStyle(BarcodeFormat.CODE_128))
