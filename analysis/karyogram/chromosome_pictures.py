"""Pictures of single chromosomes for the karyogram: cut out, upright, background white."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from analysis.straightening.medial_axis import medial_axis
from analysis.structures.crop import ObjectPixels
from analysis.structures.instance import Instance
from analysis.structures.medial_axis import MedialAxis

WHITE: Final = 255


@dataclass(frozen=True, slots=True)
class ToneSettings:
    """How densities become grey levels.

    Attributes
    ----------
    darkest
        Grey level of a dark band: black print would hide the bands beside it.
    pale_level
        Grey level a cell's pale bands are brought to: on paper just told from white.
    dark_percentile, pale_percentile
        Of a chromosome's densities, which are its dark and its pale level; beyond lie dirt and the rim.
    least_exponent, most_exponent
        Pale bands are never darkened, and never lost.
    overdrive
        Densities up to this much of a dark band's stay apart from black.
    least_density
        Floor of the dark level: a blank cell stays blank.
    pale_limits
        Pale level over the dark one within which the exponent is worked out.
    """

    darkest: float = 25.0
    pale_level: float = 205.0
    dark_percentile: float = 96.0
    pale_percentile: float = 10.0
    least_exponent: float = 1.0
    most_exponent: float = 2.0
    overdrive: float = 1.15
    least_density: float = 1e-3
    pale_limits: tuple[float, float] = (0.02, 0.98)


@dataclass(frozen=True, slots=True)
class DrawnOutlineSettings:
    """How a mask becomes what a technician would cut out.

    Attributes
    ----------
    growth_widths
        A mask ends where the stain is half of a band's; the chromosome fades over this part of its width.
    gap_widths
        Pale bands can part a mask; gaps up to this part of the width are closed.
    hole_squared_widths
        Holes up to this many squared widths are pale bands; a ring chromosome has larger ones.
    fragment
        Loose pieces smaller than this fraction of the chromosome are dirt or of a neighbour.
    burr_widths
        A burr is what a disc of this radius doesn't fit into, or what hangs on the chromosome by that, and stands
        off its side by more than this: dirt, or the tip of a neighbour. At the ends of the axis it is a satellite.
    least_perimeter_px
        Floor of a perimeter that is divided by: a pixel's.
    edge_px
        Standard deviation of the rim's blur.
    cover_from, cover_range
        Blurred cover at which the rim begins to show, and until it shows wholly: ragged masks get a smooth rim.
    """

    growth_widths: float = 0.14
    gap_widths: float = 0.22
    hole_squared_widths: float = 0.35
    fragment: float = 0.08
    burr_widths: float = 0.2
    least_perimeter_px: float = 4.0
    edge_px: float = 0.8
    cover_from: float = 0.25
    cover_range: float = 0.4


_TONE: Final = ToneSettings()
_OUTLINE: Final = DrawnOutlineSettings()
_END_PARTS: Final = 12
"""Part of an axis, from either end, that belongs to the tip."""
_FAR_PX: Final = np.float32(1e6)
"""Distance to a neighbour that isn't there: larger than any picture."""


@dataclass(frozen=True, slots=True)
class UprightPicture:
    """One chromosome for the karyogram.

    Attributes
    ----------
    picture
        uint8, shape (h, w): white outside the chromosome, as small as the chromosome.
    centromere_px
        Row of the centromere; None where it isn't measured.
    length_px
        Length along the bent chromosome, in px of the picture.
    """

    picture: NDArray[np.uint8]
    centromere_px: float | None = None
    length_px: float = 0.0


@dataclass(frozen=True, slots=True)
class Tone:
    """How densities of a cell become grey levels.

    One rising curve for all its chromosomes: bands keep their order, and none is made.

    Attributes
    ----------
    dark
        Density shown as the darkest grey level.
    exponent
        Above 1 pale bands are paled further.
    """

    dark: float
    exponent: float = 1.0

    def grey(self, density: NDArray[np.floating]) -> NDArray[np.uint8]:
        """Grey levels of densities: uint8, same shape."""
        part = np.clip(density / self.dark, 0.0, _TONE.overdrive)
        if self.exponent != 1.0:
            part **= self.exponent
        grey = np.clip(np.rint(WHITE - (WHITE - _TONE.darkest) * part), 0, WHITE)
        return np.asarray(grey, dtype=np.uint8)


def tone_of(objects: Sequence[ObjectPixels]) -> Tone:
    """Contrast for one cell.

    Dark and pale levels are medians over the chromosomes: what lies across another one, with the densities of
    both, must not make all others pale.
    """
    inside = [piece.density[piece.mask] for piece in objects if piece.mask.any()]
    if not inside:
        return Tone(1.0)
    dark = max(
        float(np.median([np.percentile(values, _TONE.dark_percentile) for values in inside])), _TONE.least_density
    )
    pale = float(np.median([np.percentile(values, _TONE.pale_percentile) for values in inside])) / dark
    wanted = (WHITE - _TONE.pale_level) / (WHITE - _TONE.darkest)
    exponent = np.log(wanted) / np.log(float(np.clip(pale, *_TONE.pale_limits)))
    return Tone(dark, float(np.clip(exponent, _TONE.least_exponent, _TONE.most_exponent)))


def grown_for_display(
    instances: Sequence[Instance], size: tuple[int, int], axes: Sequence[MedialAxis] | None = None
) -> list[Instance]:
    """Widen the masks of a cell to what a technician would cut out.

    Pale bands and the fading rim are taken in, loose fragments and burrs left out; no pixel is taken from another
    chromosome that isn't this one's too.

    Parameters
    ----------
    instances
        All chromosomes of the cell.
    size
        Height and width of the image.
    axes
        Their medial axes in px of their boxes, which tell burrs from satellites; burrs stay where they are None.
    """
    if not instances:
        return []
    widths = [2.0 * np.count_nonzero(entry.mask) / _perimeter(entry.mask) for entry in instances]
    width = float(np.median(widths))
    owners = np.zeros(size, np.uint8)
    for entry in instances:
        xmin, ymin, xmax, ymax = entry.box_px
        window = owners[ymin:ymax, xmin:xmax]
        window += (entry.mask & (window < 255)).astype(np.uint8)
    lines = [None] * len(instances) if axes is None else list(axes)
    return [_grown(entry, owners, width, axis) for entry, axis in zip(instances, lines, strict=True)]


def _without_burrs(mask: NDArray[np.bool_], points: NDArray[np.float64], width: float) -> NDArray[np.bool_]:
    """A mask without what stands off its sides: too thin for a disc, and not at a tip of the axis."""
    margin = max(1, round(_OUTLINE.burr_widths * width)) + 1
    padded = _padded(mask, margin)
    body = cv2.morphologyEx(padded, cv2.MORPH_OPEN, _disc(_OUTLINE.burr_widths * width))
    count, labels, stats, _ = cv2.connectedComponentsWithStats(body, connectivity=8)
    if count < 2:
        return mask
    at = points + margin
    areas = stats[:, cv2.CC_STAT_AREA].astype(np.float64)
    areas[0] = 0.0
    kept = np.zeros(body.shape, np.bool_)
    for label in range(1, count):
        part = np.asarray(labels == label, np.bool_)
        if areas[label] >= _OUTLINE.fragment * areas.max() or _at_tip(part, at):
            kept |= part
    neighbours = np.asarray(cv2.connectedComponents(kept.astype(np.uint8), connectivity=8)[1], np.int32)
    away = cv2.distanceTransform((~kept).astype(np.uint8), cv2.DIST_L2, 3)
    thin = (padded > 0) & ~kept
    thin_count, thin_labels = cv2.connectedComponents(thin.astype(np.uint8), connectivity=8)
    shown = kept.copy()
    for label in range(1, thin_count):
        part = np.asarray(thin_labels == label, np.bool_)
        around = cv2.dilate(part.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
        # What joins two parts is a pale band or a stalk; what hardly stands off is the outline itself.
        joins = len(set(np.unique(neighbours[around]).tolist()) - {0}) > 1
        if joins or float(away[part].max()) < _OUTLINE.burr_widths * width or _at_tip(part, at):
            shown |= part
    return np.ascontiguousarray(shown[margin:-margin, margin:-margin])


def _at_tip(part: NDArray[np.bool_], points: NDArray[np.float64]) -> bool:
    """Whether the middle of a part is nearer to a tip of an axis than to the rest of it."""
    rows, columns = np.nonzero(part)
    away = np.hypot(points[:, 0] - columns.mean(), points[:, 1] - rows.mean())
    near_end = max(1, len(points) // _END_PARTS)
    nearest = int(np.argmin(away))
    return nearest < near_end or nearest >= len(points) - near_end


def _perimeter(mask: NDArray[np.bool_]) -> float:
    padded = _padded(mask, 1)
    outlines, _ = cv2.findContours(padded, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return max(sum(cv2.arcLength(line, True) for line in outlines), _OUTLINE.least_perimeter_px)


def _grown(instance: Instance, owners: NDArray[np.uint8], width: float, axis: MedialAxis | None) -> Instance:
    margin = max(2, round((_OUTLINE.growth_widths + _OUTLINE.gap_widths) * width) + 1)
    height_px, width_px = owners.shape
    xmin, ymin, xmax, ymax = instance.box_px
    x0, y0 = max(0, xmin - margin), max(0, ymin - margin)
    x1, y1 = min(width_px, xmax + margin), min(height_px, ymax + margin)
    own = np.zeros((y1 - y0, x1 - x0), np.uint8)
    own[ymin - y0 : ymax - y0, xmin - x0 : xmax - x0] = instance.mask
    others = (owners[y0:y1, x0:x1] > own) & (own == 0)
    closed = cv2.morphologyEx(_padded(own, margin), cv2.MORPH_CLOSE, _disc(_OUTLINE.gap_widths * width))
    body = _without_fragments(np.asarray(closed[margin:-margin, margin:-margin] > 0, dtype=np.bool_))
    body = _filled(body, _OUTLINE.hole_squared_widths * width**2)
    if axis is not None:
        points = axis.points_px.astype(np.float64) + np.array([xmin - x0, ymin - y0], np.float64)
        body = _without_burrs(body, points, width)
    body = body & ~others
    to_own = cv2.distanceTransform((~body).astype(np.uint8), cv2.DIST_L2, 3)
    to_others = cv2.distanceTransform((~others).astype(np.uint8), cv2.DIST_L2, 3) if others.any() else _FAR_PX
    shown = (to_own <= max(1.0, _OUTLINE.growth_widths * width)) & (to_own < to_others)
    return Instance(
        (x0, y0, x1, y1), np.asarray(shown, np.bool_), instance.score, instance.route, instance.overlaps
    )


def _without_fragments(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    if count <= 2:
        return mask
    areas = stats[:, cv2.CC_STAT_AREA].astype(np.float64)
    areas[0] = 0.0
    return np.asarray((areas >= _OUTLINE.fragment * areas.max())[labels] & mask, dtype=np.bool_)


def _filled(mask: NDArray[np.bool_], largest_px: float) -> NDArray[np.bool_]:
    """Holes up to a size taken in; what touches the border is no hole."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats((~mask).astype(np.uint8), connectivity=4)
    if count <= 2:
        return mask
    left, top = stats[:, cv2.CC_STAT_LEFT], stats[:, cv2.CC_STAT_TOP]
    right, bottom = left + stats[:, cv2.CC_STAT_WIDTH], top + stats[:, cv2.CC_STAT_HEIGHT]
    hole = (left > 0) & (top > 0) & (right < mask.shape[1]) & (bottom < mask.shape[0])
    hole &= stats[:, cv2.CC_STAT_AREA] <= largest_px
    hole[0] = False
    return np.asarray(mask | hole[labels], dtype=np.bool_)


def _padded(mask: NDArray[np.generic], rim_px: int) -> NDArray[np.uint8]:
    sides = (rim_px, rim_px, rim_px, rim_px)
    return np.asarray(cv2.copyMakeBorder(mask.astype(np.uint8), *sides, cv2.BORDER_CONSTANT, value=0), np.uint8)


def _disc(radius_px: float) -> NDArray[np.uint8]:
    side = 2 * max(1, round(radius_px)) + 1
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)), dtype=np.uint8)


def upright_pictures(
    objects: Sequence[ObjectPixels],
    flipped: Sequence[bool],
    centromeres: Sequence[float] | None = None,
    *,
    axes: Sequence[MedialAxis] | None = None,
    enlargement: float = 1.0,
) -> list[UprightPicture]:
    """Turn the objects of one cell upright, unstraightened, with one contrast for all.

    Parameters
    ----------
    objects
        Densities and masks.
    flipped
        True where the short arm is at the lower end of the medial axis.
    centromeres
        Fraction of the length from the tip of the short arm; None where they aren't measured.
    axes
        Medial axes in px of the objects, where they are made already.
    enlargement
        Px of the pictures a px of the objects.
    """
    tone = tone_of(objects)
    lines = [medial_axis(piece.mask) for piece in objects] if axes is None else axes
    fractions = [None] * len(objects) if centromeres is None else list(centromeres)
    return [
        _upright(piece, axis, turned, tone, fraction, enlargement)
        for piece, axis, turned, fraction in zip(objects, lines, flipped, fractions, strict=True)
    ]


def _upright(
    piece: ObjectPixels, axis: MedialAxis, turned: bool, tone: Tone, centromere: float | None, enlargement: float
) -> UprightPicture:
    points = axis.points_px[::-1] if turned else axis.points_px
    matrix, size = _turning(points, piece.mask, enlargement)
    if min(size) == 0:
        return blank_picture()
    density = cv2.warpAffine(piece.density, matrix, size, flags=cv2.INTER_CUBIC)
    cover = cv2.warpAffine(soft_cover(piece.mask), matrix, size, flags=cv2.INTER_LINEAR)
    drawn = drawn_picture(np.asarray(density, np.float32), np.asarray(cover, np.float32), tone)
    if drawn is None:
        return blank_picture()
    shown, top = drawn
    length = axis.length_px * enlargement
    if centromere is None:
        return UprightPicture(shown, None, length)
    # The axis has its points at equal distances.
    at = points[round(centromere * (len(points) - 1))]
    row = float(matrix[1] @ np.array([at[0], at[1], 1.0])) - top
    return UprightPicture(shown, min(max(row, 0.0), float(shown.shape[0])), length)


def blank_picture() -> UprightPicture:
    """The picture of an object of which nothing is to be seen."""
    return UprightPicture(np.full((4, 4), WHITE, dtype=np.uint8))


def soft_cover(mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """How far pixels belong to a mask, its rim blurred: float32, the mask's shape, in [0, 1]."""
    blurred = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), _OUTLINE.edge_px, borderType=cv2.BORDER_CONSTANT)
    return np.asarray(blurred, np.float32)


def drawn_picture(
    density: NDArray[np.float32], cover: NDArray[np.float32], tone: Tone
) -> tuple[NDArray[np.uint8], int] | None:
    """Grey levels of one chromosome on white.

    Parameters
    ----------
    density
        float32, shape (h, w): stain of the chromosome as it is to stand.
    cover
        float32, shape (h, w), in [0, 1]: how far pixels belong to it, see `soft_cover`.
    tone
        The cell's.

    Returns
    -------
    tuple or None
        uint8, as small as the chromosome; the row of the input that its first row is. None where nothing is seen.
    """
    # The rim is rounded where the mask is ragged.
    shown = np.clip((cover - _OUTLINE.cover_from) / _OUTLINE.cover_range, 0.0, 1.0)
    x, y, width, height = cv2.boundingRect((shown > 0.5).astype(np.uint8))
    if width == 0:
        return None
    picture = tone.grey(np.maximum(density, 0.0) * shown)
    top, left = max(y - 1, 0), max(x - 1, 0)
    return np.ascontiguousarray(picture[top : y + height + 1, left : x + width + 1]), top


def _turning(
    points: NDArray[np.float32], mask: NDArray[np.bool_], enlargement: float
) -> tuple[NDArray[np.float64], tuple[int, int]]:
    """Matrix that stands an axis upright, its first point above; width and height of what the mask becomes."""
    centred = points.astype(np.float64) - points.mean(axis=0)
    # The line through all of the axis: its ends alone lean to the corners of the tips.
    (xx, xy), (_, yy) = centred.T @ centred
    angle = 0.5 * np.arctan2(2.0 * xy, xx - yy)
    along = np.array([np.cos(angle), np.sin(angle)])
    if along @ (points[-1] - points[0]) < 0.0:
        along = -along
    turn = enlargement * np.array([[along[1], -along[0]], [along[0], along[1]]])
    outlines, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    if not outlines:
        return np.column_stack([turn, np.zeros(2)]), (0, 0)
    reach = np.concatenate(outlines)[:, 0, :] @ turn.T
    # Half a pixel beyond the outermost centres, and the blur of the rim.
    margin = 2.0 * enlargement + 1.0
    low, high = np.floor(reach.min(axis=0) - margin), np.ceil(reach.max(axis=0) + margin)
    width, height = (int(side) + 1 for side in high - low)
    return np.column_stack([turn, -low]), (width, height)
