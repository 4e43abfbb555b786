"""Pictures of slide labels: a barcode with its text, on paper that may be turned, dirty, faded or out of focus."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import zxingcpp
from numpy.typing import NDArray

from scanner.barcode import BarcodeFormat
from simulators.specimen.variation import Uniform

PICTURE_PX = (480, 640)
"""Rows and columns of the label camera."""

_PAPER, _INK, _BENCH = 225.0, 30.0, 70.0
_LABEL_SCALE = 0.86
"""Size of the label over the picture's."""
_BENCH_SEED, _LABEL_SEED, _SMEAR_SEED = 4022, 4021, 4023
_SMEAR_BLUR = 60
"""Longer side of the picture over the blur of a smeared label."""
_SMEAR_NOISE = 3.0
_CODE_HEIGHT = 0.7
"""Largest height of a barcode over the picture's."""
_TEXT_PX = 700
"""Height of a picture on which the text has the font's own size."""
_STAIN_GREY = Uniform(40.0, 240.0)
_FAR_CORNER_LOSS = 0.33
"""A lamp to one side: the far corner gets a third less."""
_FULL_SCALE, _FULL_TURN_DEG = 255, 360
_WRITERS = {
    BarcodeFormat.DATA_MATRIX: zxingcpp.BarcodeFormat.DataMatrix,
    BarcodeFormat.QR: zxingcpp.BarcodeFormat.QRCode,
    BarcodeFormat.CODE_128: zxingcpp.BarcodeFormat.Code128,
}


@dataclass(frozen=True, slots=True)
class LabelStyle:
    """How a label looks to the camera.

    Attributes
    ----------
    format
        Barcode.
    rotation_deg
        Turn of the label about the middle of the picture.
    shift_px
        Shift of the label, x and y.
    blur_px
        Standard deviation of the blur.
    contrast
        1 is black on white, 0 is nothing left.
    dirt
        Fraction of the label that stains cover, about.
    noise
        Standard deviation of the camera's noise, grey levels.
    """

    format: BarcodeFormat = BarcodeFormat.DATA_MATRIX
    rotation_deg: float = 0.0
    shift_px: tuple[float, float] = (0.0, 0.0)
    blur_px: float = 0.6
    contrast: float = 1.0
    dirt: float = 0.0
    noise: float = 3.0

    def __post_init__(self) -> None:
        """Refuse what can't be seen."""
        if not 0.0 <= self.contrast <= 1.0 or not 0.0 <= self.dirt <= 1.0 or self.blur_px < 0.0:
            raise ValueError(f"contrast and dirt lie in 0 .. 1 and blur is not negative, got {self}")


def draw_label(
    *texts: str, style: LabelStyle | None = None, seed: int = 0, size_px: tuple[int, int] = PICTURE_PX
) -> NDArray[np.uint8]:
    """Picture of a label.

    Parameters
    ----------
    *texts
        What its barcodes say, side by side; a blank label where there are none.
    style
        How it looks.
    seed
        Seed of dirt and noise.
    size_px
        Rows and columns.

    Returns
    -------
    NDArray[np.uint8]
        Grey levels, shape `size_px`.

    Raises
    ------
    ValueError
        A text does not fit into the barcode, or the barcodes do not fit onto the label.
    """
    style = style or LabelStyle()
    rng = np.random.default_rng([seed, _LABEL_SEED])
    paper = _printed(texts, style, size_px)
    _soil(paper, style.dirt, rng)
    faded = (_PAPER + style.contrast * (paper.astype(np.float32) - _PAPER)).astype(np.float32)
    height, width = size_px
    centre = ((width - 1) / 2.0, (height - 1) / 2.0)
    turn = np.asarray(cv2.getRotationMatrix2D(centre, style.rotation_deg, _LABEL_SCALE), dtype=np.float64)
    turn[:, 2] += style.shift_px
    bench = cv2.warpAffine(
        faded, turn, (width, height), flags=cv2.INTER_AREA, borderMode=cv2.BORDER_CONSTANT, borderValue=(_BENCH,)
    )
    return _photographed(np.asarray(bench, dtype=np.float32), style, rng)


def draw_empty_stage(seed: int = 0, size_px: tuple[int, int] = PICTURE_PX) -> NDArray[np.uint8]:
    """What the camera sees where there is no slide.

    Parameters
    ----------
    seed
        Seed of the noise.
    size_px
        Rows and columns.

    Returns
    -------
    NDArray[np.uint8]
        Grey levels, shape `size_px`.
    """
    empty = np.full(size_px, _BENCH, dtype=np.float32)
    return _photographed(empty, LabelStyle(), np.random.default_rng([seed, _BENCH_SEED]))


def smear_label(picture: NDArray[np.uint8], seed: int = 0) -> NDArray[np.uint8]:
    """The label after solvent has run over it: no barcode survives it.

    Parameters
    ----------
    picture
        Grey levels, shape (height, width).
    seed
        Seed of the noise.

    Returns
    -------
    NDArray[np.uint8]
        Of the same shape.
    """
    rng = np.random.default_rng([seed, _SMEAR_SEED])
    length = int(max(picture.shape) // 6) | 1
    run = np.zeros((length, length), dtype=np.float32)
    run[:, length // 2] = 1.0 / length
    smeared = cv2.filter2D(picture.astype(np.float32), -1, run, borderType=cv2.BORDER_REFLECT)
    smeared = cv2.GaussianBlur(smeared, (0, 0), max(picture.shape) / _SMEAR_BLUR)
    smeared += rng.normal(0.0, _SMEAR_NOISE, picture.shape).astype(np.float32)
    return np.clip(smeared, 0, _FULL_SCALE).astype(np.uint8)


def _printed(texts: tuple[str, ...], style: LabelStyle, size_px: tuple[int, int]) -> NDArray[np.uint8]:
    height, width = size_px
    paper = np.full(size_px, _PAPER, dtype=np.uint8)
    column_px = width // max(len(texts), 1)
    for index, text in enumerate(texts):
        code = _code(text, style.format, column_px - 20, int(height * _CODE_HEIGHT))
        left = index * column_px + (column_px - code.shape[1]) // 2
        top = (height - code.shape[0]) // 2 - height // 16
        paper[top : top + code.shape[0], left : left + code.shape[1]] = code
        shown = "".join(letter if " " <= letter <= "~" else "?" for letter in text)[:24]
        size = height / _TEXT_PX
        (shown_px, _), _ = cv2.getTextSize(shown, cv2.FONT_HERSHEY_SIMPLEX, size, 1)
        start = max(index * column_px + (column_px - shown_px) // 2, 8)
        baseline = (start, min(top + code.shape[0] + height // 12, height - 8))
        cv2.putText(paper, shown, baseline, cv2.FONT_HERSHEY_SIMPLEX, size, (_INK,), 1, cv2.LINE_AA)
    return paper


def _code(text: str, kind: BarcodeFormat, width_px: int, height_px: int) -> NDArray[np.uint8]:
    try:
        bars = np.array(zxingcpp.create_barcode(text, _WRITERS[kind]).to_image(scale=1, add_quiet_zones=True))
    except (ValueError, RuntimeError) as error:
        raise ValueError(f"{kind} can't hold {text!r}: {error}") from error
    scale = min(width_px // bars.shape[1], height_px // min(bars.shape), 10)
    if scale < 1:
        raise ValueError(f"{kind} of {text!r} needs {bars.shape[1]} x {bars.shape[0]} px, there is less room")
    tall = scale if kind is not BarcodeFormat.CODE_128 else max(height_px // 2 // bars.shape[0], 1)
    printed = np.kron(bars, np.ones((min(tall, height_px // bars.shape[0]), scale), dtype=np.uint8))
    return np.where(printed > 127, _PAPER, _INK).astype(np.uint8)


def _soil(paper: NDArray[np.uint8], fraction: float, rng: np.random.Generator) -> None:
    """Stains and scratches, until they cover about this fraction."""
    height, width = paper.shape
    covered = np.zeros(paper.shape, dtype=np.uint8)
    for _ in range(400):
        if covered.mean() >= fraction:
            break
        centre = (int(rng.integers(width)), int(rng.integers(height)))
        axes = (int(rng.integers(2, 9)), int(rng.integers(2, 9)))
        turn_deg = float(rng.uniform(0.0, _FULL_TURN_DEG / 2))
        grey = _STAIN_GREY.draw(rng)
        cv2.ellipse(covered, centre, axes, turn_deg, 0, _FULL_TURN_DEG, (1,), -1)
        cv2.ellipse(paper, centre, axes, turn_deg, 0, _FULL_TURN_DEG, (grey,), -1)


def _photographed(scene: NDArray[np.float32], style: LabelStyle, rng: np.random.Generator) -> NDArray[np.uint8]:
    height, width = scene.shape
    light = 1.0 - _FAR_CORNER_LOSS * (np.linspace(0, 1, width)[None, :] + np.linspace(0, 1, height)[:, None]) / 2.0
    scene = scene * light.astype(np.float32)
    if style.blur_px > 0.0:
        scene = np.asarray(cv2.GaussianBlur(scene, (0, 0), style.blur_px), dtype=np.float32)
    scene = scene + rng.normal(0.0, style.noise, scene.shape).astype(np.float32)
    return np.clip(scene, 0, _FULL_SCALE).astype(np.uint8)
