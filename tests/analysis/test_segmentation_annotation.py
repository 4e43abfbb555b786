from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from analysis.imaging.annotations import without_annotations
from analysis.imaging.image_file import read_image, to_grey
from analysis.segmentation.contours.segmenter import segment_by_contours

DATA = Path(os.environ.get("KARYOSCAN_DATA", "../shared/data"))


def cell(*, darkest: int = 70) -> np.ndarray:
    """Eighteen rods as optics draw them, on a slide with noise."""
    rng = np.random.default_rng(11)
    density = np.zeros((420, 560), np.float32)
    for k in range(18):
        x, y = 40 + 85 * (k % 6), 60 + 110 * (k // 6)
        angle = float(rng.uniform(0, 180))
        box = cv2.boxPoints(((x, y), (58.0 - k, 15.0), angle)).astype(np.int32)
        cv2.fillPoly(density, [box], 1.0)
    density = cv2.GaussianBlur(density, (0, 0), 2.0)
    grey = 225.0 - (225.0 - darkest) * density + rng.normal(0, 1.5, density.shape)
    return np.clip(grey, 0, 255).astype(np.uint8)


def annotated(picture: np.ndarray) -> np.ndarray:
    burnt = picture.copy()
    cv2.putText(burnt, "Case 12 46,XX", (10, 400), cv2.FONT_HERSHEY_SIMPLEX, 0.9, 0, 2, cv2.LINE_AA)
    cv2.rectangle(burnt, (400, 390), (520, 397), 0, -1)
    return burnt


def test_words_and_bars_are_painted_over_and_chromosomes_are_left() -> None:
    picture = cell()
    cleaned = without_annotations(annotated(picture))
    assert (cleaned[:360] == picture[:360]).all()
    assert (cleaned[370:] < 150).mean() < 2e-3
    assert np.abs(cleaned[370:].astype(int) - 225).mean() < 6


@pytest.mark.parametrize("darkest", [0, 20, 70])
def test_a_picture_without_words_stays_as_it_is(darkest: int) -> None:
    picture = cell(darkest=darkest)
    assert without_annotations(picture) is picture
    flat = np.full((80, 80), 200, np.uint8)
    assert without_annotations(flat) is flat


def test_words_are_no_chromosomes_and_hide_none() -> None:
    plain, burnt = cell(), annotated(cell())
    expected = segment_by_contours(to_grey(plain, "plain")).instances
    found = segment_by_contours(to_grey(burnt, "burnt")).instances
    assert len(found) == len(expected) == 18
    assert max(entry.box_px[3] for entry in found) < 370


@pytest.mark.data
@pytest.mark.parametrize("name", ["8129A_017_A.png", "100955NVG_017_A.png"])
def test_exports_of_another_system_keep_every_pixel(name: str) -> None:
    path = DATA / "ikaros_pairs" / name
    if not path.is_file():
        pytest.skip(f"no data at {path}")
    pixels = read_image(path).pixels
    assert without_annotations(pixels) is pixels


@pytest.mark.data
def test_half_a_nucleus_at_the_border_is_not_counted() -> None:
    path = DATA / "ikaros_pairs" / "100865NVG_027_A.png"
    if not path.is_file():
        pytest.skip(f"no data at {path}")
    # Half a nucleus lies on the left border, within the white frame of the export.
    assert all(entry.box_px[0] > 30 for entry in segment_by_contours(read_image(path)).instances)
