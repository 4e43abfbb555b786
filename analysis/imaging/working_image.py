"""The image that the stages work on: annotations painted over, brought to working scale, nuclei masked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from analysis.errors import NoMetaphaseError
from analysis.imaging.annotations import without_annotations
from analysis.imaging.background import estimate_background, optical_density
from analysis.imaging.chromosome_width import estimate_width
from analysis.imaging.foreground import find_foreground, otsu
from analysis.imaging.nuclei import find_nuclei
from analysis.structures.grey_image import GreyImage


@dataclass(frozen=True, slots=True)
class WorkingImageSettings:
    """Scale and noise of the working image.

    Attributes
    ----------
    estimate_side_px
        Long side of the image that the width is first estimated on: large enough for chromosomes of any
        magnification in use, small enough to cost little.
    keep_width_px
        Images whose chromosomes are this wide are worked on as they are: resampling blurs.
    width_px
        Width to which the others are resampled, in the middle of `keep_width_px`.
    scale_limits
        Of the resampling: an estimate farther off comes of dirt or noise.
    max_side_px
        Long side of the working image at the most: a bound on time and memory.
    denoise_sigma_px
        Gaussian blur of the density: noise of single pixels goes, slits two px wide stay.
    min_width_px
        In px of the file: a narrower chromosome (0.3 um a pixel) shows neither bands nor slits; noise looks like
        that.
    min_stain
        Optical density of the border below which nothing is stained: 3.5 % of the light is within the noise of a
        camera.
    body_level
        Of Otsu's threshold, above which a body's width is measured: pale ends are still the chromosome's.
    min_width_change
        Once the nuclei are off, a pile of chromosomes is the thickest body: an estimate below this fraction of
        the one before measures dirt alone and isn't taken.
    """

    estimate_side_px: int = 1400
    keep_width_px: tuple[float, float] = (11.0, 21.0)
    width_px: float = 15.0
    scale_limits: tuple[float, float] = (0.25, 4.0)
    max_side_px: float = 2400.0
    denoise_sigma_px: float = 0.7
    min_width_px: float = 3.5
    min_stain: float = 0.015
    body_level: float = 0.8
    min_width_change: float = 0.5


DEFAULT_WORKING_IMAGE: Final = WorkingImageSettings()


@dataclass(frozen=True, slots=True)
class WorkingImage:
    """The image at working scale.

    Attributes
    ----------
    factor
        Working px a px of the image.
    background
        float32, shape (h, w): grey level of the empty slide, see `estimate_background`.
    density
        float32, shape (h, w): see `optical_density`.
    nuclei
        bool, shape (h, w): see `find_nuclei`.
    width_px
        Typical width of a chromosome, in working px.
    """

    factor: float
    background: NDArray[np.float32]
    density: NDArray[np.float32]
    nuclei: NDArray[np.bool_]
    width_px: float


def make_working_image(image: GreyImage, settings: WorkingImageSettings = DEFAULT_WORKING_IMAGE) -> WorkingImage:
    """Estimate the width of a chromosome, bring the image to working scale, mask the nuclei.

    Parameters
    ----------
    image
        Dark chromosomes on bright, of any magnification.
    settings
        Scale and noise.

    Raises
    ------
    NoMetaphaseError
        If nothing is stained, or nothing is as thick as a chromosome.
    """
    pixels = without_annotations(image.pixels)
    factor = min(1.0, settings.estimate_side_px / max(pixels.shape))
    working = _measured(_resampled(pixels, factor), factor, settings)
    if working.width_px <= 0.0:
        raise NoMetaphaseError(f"{image.source}: nothing stained on the image")
    if working.width_px / factor < settings.min_width_px:
        raise NoMetaphaseError(f"{image.source}: no metaphase found, nothing is as thick as a chromosome")
    low, high = settings.keep_width_px
    if not low <= working.width_px <= high:
        factor *= float(np.clip(settings.width_px / working.width_px, *settings.scale_limits))
        factor = min(factor, settings.max_side_px / max(pixels.shape))
        working = _measured(_resampled(pixels, factor), factor, settings)
        if working.width_px <= 0.0:
            raise NoMetaphaseError(f"{image.source}: nothing stained on the image")
    return working


def find_stained(image: GreyImage) -> NDArray[np.bool_]:
    """Mark the stained pixels outside nuclei: bool, the image's shape; all False where nothing is stained."""
    try:
        working = make_working_image(image)
    except NoMetaphaseError:
        return np.zeros(image.pixels.shape, np.bool_)
    mask = find_foreground(working.density, working.nuclei, working.width_px).mask
    target = (image.width_px, image.height_px)
    return cv2.resize(mask.astype(np.uint8), target, interpolation=cv2.INTER_NEAREST) > 0


def at_image_size(working: WorkingImage, size: tuple[int, ...]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Bring background and nuclei to the image's own pixels.

    Parameters
    ----------
    working
        The working image.
    size
        (height, width) of the image.

    Returns
    -------
    tuple
        float32 and bool, both of shape ``size``: background and nuclei.
    """
    if working.density.shape == size:
        return working.background, working.nuclei
    target = (size[1], size[0])
    background = cv2.resize(working.background, target, interpolation=cv2.INTER_LINEAR)
    nuclei = cv2.resize(working.nuclei.astype(np.uint8), target, interpolation=cv2.INTER_NEAREST) > 0
    return np.asarray(background, dtype=np.float32), nuclei


def _measured(pixels: NDArray[np.uint8], factor: float, settings: WorkingImageSettings) -> WorkingImage:
    background = estimate_background(pixels)
    density = np.asarray(
        cv2.GaussianBlur(optical_density(pixels, background), (0, 0), settings.denoise_sigma_px), dtype=np.float32
    )
    nuclei = np.zeros(pixels.shape, np.bool_)
    level = otsu(density)
    if level < settings.min_stain:
        return WorkingImage(factor, background, density, nuclei, 0.0)
    width = estimate_width(density > settings.body_level * level)
    for _ in range(2):
        if width > 0.0:
            nuclei = find_nuclei(density, level, width)
            level = otsu(density, ~nuclei)
            estimate = estimate_width((density > settings.body_level * level) & ~nuclei)
            width = estimate if estimate > settings.min_width_change * width else width
    return WorkingImage(factor, background, density, nuclei, width)


def _resampled(pixels: NDArray[np.uint8], factor: float) -> NDArray[np.uint8]:
    if factor == 1.0:
        return pixels
    height, width = pixels.shape
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    method = cv2.INTER_AREA if factor < 1.0 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(pixels, size, interpolation=method), dtype=np.uint8)
