"""Whatever the file was, one canonical image or one clear line."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from analysis.errors import ImageError
from analysis.imaging.image_file import read_image, to_grey
from analysis.structures.grey_image import GreyImage


def picture(height: int = 200, width: int = 240) -> np.ndarray:
    """Dark rods on bright, 8 bit."""
    array = np.full((height, width), 230, np.uint8)
    for k in range(6):
        cv2.line(array, (20 + 35 * k, 40), (30 + 35 * k, 120), 90, 12)
    return array


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".tif"])
def test_reads_every_kind_of_file(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"cell{suffix}"
    cv2.imwrite(str(path), picture())
    image = read_image(path)
    assert image.pixels.dtype == np.uint8
    assert image.pixels.flags.c_contiguous
    assert (image.height_px, image.width_px) == (200, 240)
    assert not image.inverted
    assert not image.colour
    assert image.bit_depth == 8
    assert np.abs(image.pixels.astype(int) - picture()).mean() < 2


def test_twelve_bits_in_sixteen_keep_their_contrast(tmp_path: Path) -> None:
    path = tmp_path / "cell.tif"
    tifffile.imwrite(path, picture().astype(np.uint16) * 16)
    image = read_image(path)
    assert image.bit_depth == 16
    assert image.pixels.min() < 10
    assert image.pixels.max() > 245


def test_hot_pixels_dont_eat_the_contrast() -> None:
    array = picture(400, 400).astype(np.uint16) * 16
    array[5, 5] = 65535
    image = to_grey(array, "hot")
    assert np.percentile(image.pixels, 99) - np.percentile(image.pixels, 1) > 200


def test_ome_tiff_gives_its_first_plane(tmp_path: Path) -> None:
    path = tmp_path / "cell.ome.tif"
    stack = np.stack([picture(), 255 - picture(), picture()])
    tifffile.imwrite(path, stack, metadata={"axes": "ZYX"})
    np.testing.assert_array_equal(read_image(path).pixels, picture())


def test_colour_keeps_the_stain() -> None:
    grey = picture()
    # Giemsa: purple on a yellowish field, hardly any contrast in blue.
    bgr = np.stack([np.full_like(grey, 180), grey, (grey // 2 + 110).astype(np.uint8)], axis=2)
    image = to_grey(bgr, "colour")
    assert image.colour
    contrast = float(np.median(image.pixels)) - float(image.pixels.min())
    assert contrast > 0.75 * (230 - 90)


def test_grey_in_three_channels_isnt_colour() -> None:
    image = to_grey(cv2.cvtColor(picture(), cv2.COLOR_GRAY2BGR), "grey")
    assert not image.colour
    np.testing.assert_array_equal(image.pixels, picture())


def test_transparent_pixels_become_background() -> None:
    bgra = cv2.cvtColor(picture(), cv2.COLOR_GRAY2BGRA)
    bgra[:40, :, 3] = 0
    bgra[:40, :, :3] = 0
    assert to_grey(bgra, "alpha").pixels[:40].min() >= 225


def test_fluorescence_is_turned_round() -> None:
    image = to_grey(255 - picture(), "dapi")
    assert image.inverted
    np.testing.assert_array_equal(image.pixels, picture())


def test_a_white_frame_doesnt_make_fluorescence() -> None:
    rng = np.random.default_rng(0)
    array = rng.normal(225, 1.5, (300, 400)).astype(np.uint8)
    array[:3] = array[-3:] = 255
    array[:, :3] = array[:, -3:] = 255
    assert not to_grey(array, "frame").inverted


@settings(max_examples=30, deadline=None)
@given(
    hnp.arrays(
        st.sampled_from([np.uint8, np.uint16, np.float32]),
        st.sampled_from([(64, 70), (80, 64, 1), (64, 64, 3), (66, 64, 4)]),
        elements=st.integers(0, 200),
        fill=st.just(7),
    )
)
def test_any_array_becomes_canonical(array: np.ndarray) -> None:
    image = to_grey(array, "any")
    assert isinstance(image, GreyImage)
    assert image.pixels.shape == array.shape[:2]
    assert image.pixels.dtype == np.uint8


def damaged(tmp_path: Path, kind: str) -> Path:
    path = tmp_path / "bad.png"
    if kind == "missing":
        return path
    if kind == "empty":
        path.write_bytes(b"")
    elif kind == "text":
        path.write_text("this is no picture " * 50)
    elif kind == "folder":
        path.mkdir()
    elif kind.startswith("cut"):
        suffix = kind.split()[1]
        whole = cv2.imencode(suffix, picture())[1].tobytes()
        path = tmp_path / f"bad{suffix}"
        path.write_bytes(whole[: int(len(whole) * 0.7)])
    return path


@pytest.mark.parametrize(
    "kind", ["missing", "empty", "text", "folder", "cut .jpg", "cut .png", "cut .bmp", "cut .tif"]
)
def test_what_cant_be_read_is_one_clear_line(tmp_path: Path, kind: str) -> None:
    path = damaged(tmp_path, kind)
    with pytest.raises(ImageError) as caught:
        read_image(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_jpeg_thumbnail_doesnt_hide_the_cut(tmp_path: Path) -> None:
    whole = cv2.imencode(".jpg", picture())[1].tobytes()
    thumbnail = cv2.imencode(".jpg", picture(64, 64))[1].tobytes()
    segment = b"\xff\xe1" + (len(thumbnail) + 2).to_bytes(2, "big") + thumbnail
    path = tmp_path / "cut.jpg"
    path.write_bytes((whole[:2] + segment + whole[2:])[: -len(whole) // 3])
    with pytest.raises(ImageError, match="truncated"):
        read_image(path)


@pytest.mark.parametrize("shape", [(63, 200), (200, 10), (5,), (64, 64, 7), (2, 64, 64, 3)])
def test_what_is_no_picture_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ImageError):
        to_grey(np.zeros(shape, np.uint8), "odd")


def test_too_large_is_refused_before_it_is_worked_on() -> None:
    huge = np.broadcast_to(np.uint8(0), (20_000, 20_000))
    with pytest.raises(ImageError, match="too large"):
        to_grey(huge, "huge")
