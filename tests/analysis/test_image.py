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
from PIL import Image

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


def stack(tmp_path: Path, planes: list[np.ndarray], **options: object) -> Path:
    path = tmp_path / "stack.tif"
    with tifffile.TiffWriter(path) as tiff:
        for plane in planes:
            tiff.write(plane, contiguous=False, **options)
    return path


def test_the_sharpest_plane_of_a_stack_is_taken_and_said(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    empty = (220 + rng.normal(0, 2, (200, 240))).astype(np.uint8)
    blurred = cv2.GaussianBlur(picture(), (0, 0), 6)
    image = read_image(stack(tmp_path, [empty, blurred, picture(), blurred]))
    assert np.array_equal(image.pixels, picture())
    assert image.remarks == ("plane 3 of 4, the sharpest",)


def test_a_plane_that_is_asked_for_is_taken(tmp_path: Path) -> None:
    path = stack(tmp_path, [picture(), np.flipud(picture())])
    image = read_image(path, plane=2)
    assert np.array_equal(image.pixels, np.flipud(picture()))
    assert image.remarks == ("plane 2 of 2, as asked",)
    with pytest.raises(ImageError, match="has 2 planes, so that there is no plane 3"):
        read_image(path, plane=3)
    single = tmp_path / "cell.png"
    cv2.imwrite(str(single), picture())
    with pytest.raises(ImageError, match="has one plane"):
        read_image(single, plane=2)


@pytest.mark.parametrize("thumbnail_first", [True, False])
def test_thumbnails_and_levels_of_a_pyramid_are_passed_over(tmp_path: Path, thumbnail_first: bool) -> None:
    path = tmp_path / "pyramid.tif"
    small = cv2.resize(picture(), (120, 100), interpolation=cv2.INTER_AREA)
    with tifffile.TiffWriter(path) as tiff:
        if thumbnail_first:
            tiff.write(small, subfiletype=1)
        tiff.write(picture())
        tiff.write(small, subfiletype=1)
        tiff.write(small)
    image = read_image(path)
    assert np.array_equal(image.pixels, picture())
    assert image.remarks == ()


@pytest.mark.parametrize("bits", [8, 16])
def test_indexed_colours_are_looked_up(tmp_path: Path, bits: int) -> None:
    # The indices run the other way round than the light: without its colour map the picture is another one.
    table = np.tile(np.arange(255, -1, -1, dtype=np.uint16), (3, 1)) * (257 if bits == 16 else 1)
    path = tmp_path / "palette.tif"
    tifffile.imwrite(path, 255 - picture(), photometric="palette", colormap=table)
    image = read_image(path)
    assert np.array_equal(image.pixels, picture())
    assert not image.inverted


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_bytes_after_the_end_of_a_picture_are_no_harm(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"cell{suffix}"
    cv2.imwrite(str(path), picture())
    whole = read_image(path).pixels
    path.write_bytes(path.read_bytes() + bytes(range(256)) * 64)
    assert np.array_equal(read_image(path).pixels, whole)


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
@given(cut=st.floats(0.1, 0.95))
@settings(max_examples=15, deadline=None)
def test_a_picture_that_is_cut_short_is_refused(
    tmp_path_factory: pytest.TempPathFactory, suffix: str, cut: float
) -> None:
    path = tmp_path_factory.mktemp("cut") / f"cell{suffix}"
    cv2.imwrite(str(path), picture())
    data = path.read_bytes()
    path.write_bytes(data[: int(cut * len(data))])
    with pytest.raises(ImageError):
        read_image(path)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_orientation_of_a_file_is_carried_out(tmp_path: Path, orientation: int) -> None:
    upright = picture()
    upright[:30, :60] = 60
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.T,
        6: np.rot90(upright),
        7: upright[::-1, ::-1].T,
        8: np.rot90(upright, -1),
    }[orientation]
    path = tmp_path / "turned.jpg"
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.ascontiguousarray(stored)).save(path, quality=100, exif=exif)
    image = read_image(path)
    assert np.abs(image.pixels.astype(int) - upright).mean() < 2
    tifffile.imwrite(
        tmp_path / "turned.tif", np.ascontiguousarray(stored), extratags=[(274, 3, 1, orientation, True)]
    )
    assert np.array_equal(read_image(tmp_path / "turned.tif").pixels, upright)


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
@pytest.mark.parametrize("width_px", [3, 30, 90])
@pytest.mark.parametrize("level", [0, 255])
@pytest.mark.parametrize("shape", ["frame", "disc", "bar"])
def test_a_painted_border_is_no_light(tmp_path: Path, shape: str, level: int, width_px: int, suffix: str) -> None:
    cell = picture(400, 480)
    lit = np.zeros(cell.shape, np.uint8)
    if shape == "frame":
        lit[width_px:-width_px, width_px:-width_px] = 1
    elif shape == "bar":
        lit[: -2 * width_px] = 1
    else:
        cv2.circle(lit, (240, 200), 260 - width_px, 1, -1)
    path = tmp_path / f"cell{suffix}"
    cv2.imwrite(str(path), np.where(lit > 0, cell, np.uint8(level)))
    image = read_image(path)
    assert not image.inverted
    assert np.abs(image.pixels[lit == 0].astype(int) - 230).max() < 10
    inner = cv2.erode(lit, np.ones((15, 15), np.uint8), borderType=cv2.BORDER_REPLICATE) > 0
    assert np.abs(image.pixels[inner].astype(int) - cell[inner]).mean() < 3


def test_fluorescence_on_a_black_ground_has_no_border() -> None:
    glowing = np.where(picture() < 150, 200, 0).astype(np.uint8)
    image = to_grey(glowing, "glowing")
    assert image.inverted
    assert image.remarks == ()


def test_a_saturated_white_ground_is_no_border() -> None:
    image = to_grey(np.where(picture() < 150, picture(), 255).astype(np.uint8), "white")
    assert not image.inverted
    assert image.remarks == ()


@pytest.mark.parametrize("level", [0, 128, 255])
def test_a_picture_without_any_contrast_is_refused(tmp_path: Path, level: int) -> None:
    path = tmp_path / "flat.png"
    cv2.imwrite(str(path), np.full((100, 100), level, np.uint8))
    with pytest.raises(ImageError, match="all pixels have the same value"):
        read_image(path)


def test_the_size_is_checked_before_a_picture_is_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "large.tif"
    with tifffile.TiffWriter(path) as tiff:
        tiff.write(np.zeros((64, 64), np.uint8))
    data = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as tiff:
        offsets = [tiff.pages[0].tags[name].valueoffset for name in ("ImageWidth", "ImageLength")]
    for offset in offsets:
        data[offset : offset + 2] = (30_000).to_bytes(2, "little")
    path.write_bytes(data)
    with pytest.raises(ImageError, match="30000 x 30000 px is too large"):
        read_image(path)
    bomb = tmp_path / "bomb.png"
    Image.new("1", (30_000, 30_000)).save(bomb)
    with pytest.raises(ImageError, match="too large"):
        read_image(bomb)


def test_a_folder_is_no_picture(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="not a regular file"):
        read_image(tmp_path)


def test_planes_of_different_bits_are_compared_by_their_structure(tmp_path: Path) -> None:
    path = tmp_path / "mixed.tif"
    noise = np.random.default_rng(1).normal(230, 2, picture().shape).clip(0, 255)
    with tifffile.TiffWriter(path) as tiff:
        tiff.write(picture())
        tiff.write((257 * noise).astype(np.uint16))
    assert read_image(path).plane == 1


def test_inks_of_a_picture_for_printing_are_darkness(tmp_path: Path) -> None:
    path = tmp_path / "inks.tif"
    inks = np.zeros((*picture().shape, 4), np.uint8)
    inks[..., :3] = (255 - picture())[..., None] // 2
    inks[..., 3] = (255 - picture()) // 2
    tifffile.imwrite(path, inks, photometric="separated")
    read, plain = read_image(path), to_grey(picture(), "plain")
    assert not read.inverted
    assert np.corrcoef(read.pixels.ravel(), plain.pixels.ravel())[0, 1] > 0.99


def test_a_compression_that_can_not_be_read_is_named_as_such(tmp_path: Path, monkeypatch) -> None:
    def no_codec(*_arguments: object) -> None:
        raise ValueError("<COMPRESSION.ZSTD: 50000> requires the 'imagecodecs' package")

    path = tmp_path / "zstd.tif"
    tifffile.imwrite(path, picture())
    monkeypatch.setattr(tifffile.TiffPage, "asarray", no_codec)
    monkeypatch.setattr("cv2.imdecode", lambda *_arguments: None)
    with pytest.raises(ImageError, match="a TIFF in a compression that can't be read here"):
        read_image(path)
