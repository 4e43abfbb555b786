"""Pictures of single chromosomes that another system cut out: any size, on white, grey or black.

What lies around the chromosome may be the empty slide, or a colour that was put there instead; and a bright
picture may be transmitted light or fluorescence. The edge of a chromosome tells: it is thin, so that it is the
palest part where light is absorbed and the dimmest where light is emitted, whatever was painted around it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_fill_holes

from analysis.errors import ImageError
from analysis.imaging.image_file import grey_levels
from analysis.imaging.samples import read_samples
from analysis.straightening.crops import object_from_picture
from analysis.straightening.settings import ExternalCropSettings
from analysis.structures.crop import ObjectPixels

_SETTINGS: Final = ExternalCropSettings()
WHITE: Final = 255.0
"""Level of a ground that was removed."""


@dataclass(frozen=True, slots=True)
class ExternalCrop:
    """One picture with a chromosome told from its ground.

    Attributes
    ----------
    levels
        uint8, shape (h, w): as the file has them.
    mask
        bool, same shape: the chromosome.
    ground
        Grey level around it.
    rim_lift
        Positive where light is absorbed: rim less core over the range of the chromosome's levels, or 1 and -1
        where a photographed ground leaves no doubt.
    """

    levels: NDArray[np.uint8]
    mask: NDArray[np.bool_]
    ground: float
    rim_lift: float


def read_external_crop(path: Path) -> ExternalCrop:
    """Read the picture of one chromosome.

    Raises
    ------
    ImageError
        If it can't be read, is smaller than 8 px or shows nothing.
    """
    levels, opaque, _ = grey_levels(read_samples(path).array, str(path), min_side_px=_SETTINGS.min_side_px)
    return external_crop_of(levels, str(path), opaque=opaque)


def external_crop_of(
    levels: NDArray[np.uint8], source: str, *, opaque: NDArray[np.bool_] | None = None
) -> ExternalCrop:
    """Tell a chromosome from its ground.

    Parameters
    ----------
    levels
        uint8, shape (h, w).
    source
        Name for messages.
    opaque
        bool, same shape: False where the picture is transparent; None where it is opaque all over.

    Raises
    ------
    ImageError
        If nothing stands out from the ground.
    """
    painted = True
    if opaque is not None and not opaque.all():
        mask, ground = cv2.erode(opaque.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0, WHITE
        levels = np.where(opaque, levels, np.uint8(255)).astype(np.uint8)
    else:
        border = np.concatenate([levels[0], levels[-1], levels[1:-1, 0], levels[1:-1, -1]])
        # Chromosomes may reach the border: the commonest level there is the ground's all the same.
        ground = _commonest(border)
        near = border[np.abs(border.astype(np.float64) - ground) < 3 * _SETTINGS.min_contrast]
        painted = float(np.mean(np.abs(near - ground) < 1.0)) > _SETTINGS.painted_fraction
        away = np.abs(levels.astype(np.float64) - ground)
        threshold = float(_SETTINGS.clean_tolerance)
        if not painted:
            threshold = max(
                threshold,
                _SETTINGS.photographed_fraction * float(np.percentile(away, _SETTINGS.contrast_percentile)),
            )
        mask = away >= threshold
    mask = _body(mask)
    if not mask.any() or float(np.ptp(levels[mask].astype(np.float64))) < _SETTINGS.min_contrast / 2:
        raise ImageError(f"{source}: there is no chromosome on it")
    lift = _rim_lift(levels, mask) if painted else float(np.sign(ground - np.median(levels[mask])))
    return ExternalCrop(levels, np.asarray(mask), ground, lift)


def emits_light(cuts: Sequence[ExternalCrop]) -> bool:
    """Whether pictures of one preparation, most of them, show light that is emitted and not absorbed."""
    return bool(cuts) and float(np.median([cut.rim_lift for cut in cuts])) < 0.0


def palest_level(cuts: Sequence[ExternalCrop], *, emitted: bool) -> float:
    """Grey level of the palest stain of a cell: without an empty slide to compare with, the best that is left.

    Parameters
    ----------
    cuts
        Pictures of one cell.
    emitted
        True for fluorescence.
    """
    inside = np.concatenate([cut.levels[cut.mask] for cut in cuts]) if cuts else np.zeros(1)
    palest = _SETTINGS.palest_percentile
    return float(np.percentile(inside, 100.0 - palest if emitted else palest))


def objects_of(
    cuts: Sequence[ExternalCrop], *, emitted: bool, palest: float | None = None
) -> tuple[ObjectPixels, ...]:
    """Densities of the chromosomes of one cell, to be handed to `crops_of_cell`.

    Parameters
    ----------
    cuts
        Pictures of one cell.
    emitted
        True for fluorescence.
    palest
        See `palest_level`; measured on ``cuts`` where it is None.
    """
    natural = [_natural_ground(cut, emitted=emitted) for cut in cuts]
    ground = palest_level(cuts, emitted=emitted) if palest is None else palest
    return tuple(
        _object(cut, cut.ground if own else ground, emitted=emitted)
        for cut, own in zip(cuts, natural, strict=True)
    )


def _object(cut: ExternalCrop, ground: float, *, emitted: bool) -> ObjectPixels:
    levels = cut.levels.astype(np.float64)
    shown = 255.0 - (levels - ground) if emitted else 256.0 * (levels + 1.0) / (ground + 1.0) - 1.0
    # One level below white, so that the palest band stays part of the chromosome.
    picture = np.where(cut.mask, np.clip(np.rint(shown), 0, 249), 255).astype(np.uint8)
    return object_from_picture(picture, inverted=emitted)


def _natural_ground(cut: ExternalCrop, *, emitted: bool) -> bool:
    """Whether the ground can be the empty slide: nothing of the chromosome lies beyond it."""
    inside = cut.levels[cut.mask].astype(np.float64)
    beyond = inside < cut.ground if emitted else inside > cut.ground
    return bool(np.mean(beyond) < _SETTINGS.artificial_fraction)


def _commonest(values: NDArray[np.uint8]) -> float:
    counts = np.convolve(np.bincount(values.ravel(), minlength=256), np.ones(5), mode="same")
    near = int(np.argmax(counts))
    around = values[np.abs(values.astype(np.int64) - near) <= 2]
    return float(np.median(around)) if len(around) else float(near)


def _body(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Close the outline, fill bands that have the ground's own level, drop specks."""
    padded = np.pad(mask, 2).astype(np.uint8)
    closed = cv2.morphologyEx(padded, cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8))[2:-2, 2:-2]
    filled = np.asarray(binary_fill_holes(closed > 0), dtype=np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(filled, connectivity=8)
    if count <= 1:
        return np.zeros(mask.shape, dtype=np.bool_)
    areas = stats[1:, cv2.CC_STAT_AREA]
    kept = 1 + np.nonzero(areas >= _SETTINGS.least_part * areas.max())[0]
    return np.asarray(np.isin(labels, kept))


def _rim_lift(levels: NDArray[np.uint8], mask: NDArray[np.bool_]) -> float:
    distance = cv2.distanceTransform(np.pad(mask, 1).astype(np.uint8), cv2.DIST_L2, 5)[1:-1, 1:-1]
    depth = np.asarray(distance, dtype=np.float64) / max(float(distance.max()), 1e-6)
    rim, core = levels[mask & (depth <= _SETTINGS.rim)], levels[depth >= _SETTINGS.core]
    if len(rim) == 0 or len(core) == 0:
        return 0.0
    low, high = np.percentile(levels[mask], _SETTINGS.range_percentiles)
    return float((rim.mean() - core.mean()) / max(high - low, 1.0))
