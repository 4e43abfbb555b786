"""A barcode is read right or not at all."""

from __future__ import annotations

import string

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanner import barcode as barcode_module
from scanner.barcode import Barcode, BarcodeFormat, read_barcodes, the_barcode
from scanner.errors import LabelError
from simulators.label import LabelStyle, draw_empty_stage, draw_label, smear_label

NAMES = st.text(string.ascii_letters + string.digits + "-/._:+", min_size=1, max_size=16)
# Hypothesis derives its own examples anew in every run otherwise.
FEW = settings(max_examples=10, deadline=None, derandomize=True)


@FEW
@given(NAMES, st.sampled_from(BarcodeFormat), st.floats(0.0, 360.0), st.floats(0.3, 1.3), st.integers(0, 99))
def test_what_is_printed_is_what_is_read(name, kind, rotation_deg, blur_px, seed):
    style = LabelStyle(kind, rotation_deg=rotation_deg, blur_px=blur_px, contrast=0.8)
    barcode = the_barcode(draw_label(name, style=style, seed=seed))
    assert (barcode.text, barcode.format) == (name, kind)


@FEW
@given(
    NAMES,
    st.sampled_from(BarcodeFormat),
    st.floats(0.5, 8.0),
    st.floats(0.0, 1.0),
    st.floats(0.0, 0.3),
    st.integers(0, 99),
)
def test_a_bad_label_is_read_right_or_not_at_all(name, kind, blur_px, contrast, dirt, seed):
    style = LabelStyle(kind, blur_px=blur_px, contrast=contrast, dirt=dirt)
    barcodes = read_barcodes(draw_label(name, style=style, seed=seed))
    assert {barcode.text for barcode in barcodes} <= {name}


def test_corners_lie_about_the_code():
    (barcode,) = read_barcodes(draw_label("KS-1", style=LabelStyle(rotation_deg=30.0, shift_px=(40.0, -20.0))))
    corners = np.array(barcode.corners_px)
    sides = np.linalg.norm(corners - np.roll(corners, 1, axis=0), axis=1)
    assert sides == pytest.approx(np.full(4, sides.mean()), rel=0.08)
    assert corners.mean(axis=0) == pytest.approx((319.5 + 40.0, 239.5 - 20.0), abs=40.0)


@pytest.mark.parametrize("picture", [draw_empty_stage(), draw_label(), smear_label(draw_label("KS-1"))])
def test_where_nothing_can_be_read_there_is_no_name(picture):
    with pytest.raises(LabelError, match="no barcode") as caught:
        the_barcode(picture, "Eye")
    assert (caught.value.device, caught.value.actual) == ("Eye", "none")


def test_two_names_are_no_name():
    with pytest.raises(LabelError, match="several") as caught:
        the_barcode(draw_label("KS-1", "KS-2"))
    assert "'KS-1'" in str(caught.value.actual)
    assert "'KS-2'" in str(caught.value.actual)


def test_the_same_name_twice_is_one():
    assert the_barcode(draw_label("KS-1", "KS-1")).text == "KS-1"


@pytest.mark.parametrize("text", ["KS\t1", "KS-1\n", " KS-1", "KS-1 ", "\x1dKS1", "K\x00S"])
def test_a_name_with_what_nobody_sees_is_refused(text):
    with pytest.raises(LabelError, match="holds no name") as caught:
        the_barcode(draw_label(text))
    assert "DataMatrix" in str(caught.value.actual)


def test_other_barcodes_are_no_names():
    import cv2
    import zxingcpp

    for kind in (zxingcpp.BarcodeFormat.Aztec, zxingcpp.BarcodeFormat.PDF417, zxingcpp.BarcodeFormat.Code39):
        code = np.array(zxingcpp.create_barcode("KS1", kind).to_image(scale=4))
        picture = cv2.copyMakeBorder(code, 40, 40, 40, 40, cv2.BORDER_CONSTANT, value=(255,))
        assert zxingcpp.read_barcodes(picture)
        assert read_barcodes(picture) == ()


@pytest.mark.parametrize(
    "picture",
    [
        np.zeros((0, 10), np.uint8),
        np.zeros((10, 10, 3), np.uint8),
        np.zeros((10, 10), np.uint16),
        np.zeros((1, 9_000), np.uint8),
    ],
)
def test_what_is_no_picture_is_refused(picture):
    with pytest.raises(ValueError, match="uint8"):
        read_barcodes(picture)
    with pytest.raises(LabelError, match="no picture"):
        the_barcode(picture)


@pytest.mark.parametrize("level", [0, 128, 255])
def test_a_picture_of_one_grey_holds_nothing(level):
    assert read_barcodes(np.full((60, 80), level, np.uint8)) == ()


def test_white_on_black_is_read_as_well():
    assert the_barcode(255 - draw_label("KS-7")).text == "KS-7"


def test_a_barcode_can_be_compared():
    first, second = (read_barcodes(draw_label("KS-7"))[0] for _ in range(2))
    assert first == second
    assert isinstance(first, Barcode)


def test_a_code_128_that_was_seen_once_is_not_believed(monkeypatch):
    picture = draw_label("KS-7", style=LabelStyle(BarcodeFormat.CODE_128))
    assert the_barcode(picture).sightings > 1
    views = list(barcode_module._views(picture))
    monkeypatch.setattr(barcode_module, "_views", lambda _picture: views[:1])
    with pytest.raises(LabelError, match="hardly be read") as caught:
        the_barcode(picture)
    assert "'KS-7'" in str(caught.value.actual)
