"""Bring a picture of a sheet to its place in the metaphase: normalised cross-correlation within its mask.

The picture is turned through all angles, mirrored and not, over a reduced metaphase; the best places are refined
in full resolution, with a small change of scale, by the simplex method (Nelder and Mead 1965).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from analysis.karyogram_import.printed_labels import BoxPx
from analysis.karyogram_import.settings import REGISTRATION, AngleSearch, RegistrationSettings
from analysis.karyogram_import.sheet_reading import SheetPicture
from analysis.structures.grey_image import GreyImage

_WHITE = 255.0
_LEAST_VARIANCE = 1e-3
"""Per pixel, in squared grey levels: an even ground correlates with nothing."""
_BLUR_PER_REDUCTION = 0.35
"""Standard deviation of the blur before a picture is reduced, in px of the reduced one: against aliasing."""
_TURN_DEG = 360.0
_HALF = 0.5
"""Of a pixel that a resampled mask covers, from which on it belongs to the mask."""
_CONVERGED_PX = 0.02
_CONVERGED_SCORE = 2e-4
"""Steps and changes of the correlation at which the refinement ends: a hundredth of what separates two places."""


@dataclass(frozen=True, slots=True)
class Pose:
    """Where a picture of the sheet lies in the metaphase.

    Attributes
    ----------
    x_px, y_px
        Middle of the picture, in px of the metaphase.
    angle_deg
        Counter-clockwise turn of the picture to the metaphase, in [0, 360).
    scale
        Px of the metaphase a px of the sheet.
    mirrored
        Whether it is mirrored left to right before it is turned.
    """

    x_px: float
    y_px: float
    angle_deg: float
    scale: float
    mirrored: bool

    def matrix(self, height_px: int, width_px: int) -> NDArray[np.float64]:
        """Affine map of px of the picture to px of the metaphase.

        Parameters
        ----------
        height_px, width_px
            Of the picture.

        Returns
        -------
        NDArray[np.float64]
            Shape (2, 3).
        """
        angle = np.deg2rad(self.angle_deg)
        turn = self.scale * np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        if self.mirrored:
            turn = turn @ np.diag([-1.0, 1.0])
        middle = np.array([(width_px - 1) / 2.0, (height_px - 1) / 2.0])
        return np.column_stack([turn, np.array([self.x_px, self.y_px]) - turn @ middle])


@dataclass(frozen=True, slots=True)
class PlaceCandidate:
    """A place of the metaphase that a picture may come from.

    Attributes
    ----------
    pose
        Where.
    score
        Normalised cross-correlation within the mask, in [-1, 1].
    box_px
        Of the mask in the metaphase.
    mask
        bool, shape of the box.
    """

    pose: Pose
    score: float
    box_px: BoxPx
    mask: NDArray[np.bool_]

    @property
    def area_px(self) -> int:
        """Pixels of the mask."""
        return int(np.count_nonzero(self.mask))

    def overlap(self, other: PlaceCandidate) -> float:
        """Intersection over union of two masks."""
        left, top = max(self.box_px[0], other.box_px[0]), max(self.box_px[1], other.box_px[1])
        right, bottom = min(self.box_px[2], other.box_px[2]), min(self.box_px[3], other.box_px[3])
        if left >= right or top >= bottom:
            return 0.0
        both = self._window(left, top, right, bottom) & other._window(left, top, right, bottom)
        common = int(np.count_nonzero(both))
        return common / (self.area_px + other.area_px - common)

    def within(self, allowed: NDArray[np.bool_]) -> PlaceCandidate:
        """Leave out of the mask what isn't allowed; unchanged where nothing would be left.

        Parameters
        ----------
        allowed
            bool, shape of the metaphase.
        """
        xmin, ymin, xmax, ymax = self.box_px
        kept = self.mask & allowed[ymin:ymax, xmin:xmax]
        count, labels, stats, _ = cv2.connectedComponentsWithStats(kept.astype(np.uint8), connectivity=8)
        if count <= 1:
            return self
        x, y, width, height, _ = stats[1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))].tolist()
        largest = labels[y : y + height, x : x + width] == 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))
        box_px = (xmin + x, ymin + y, xmin + x + width, ymin + y + height)
        return replace(self, box_px=box_px, mask=np.asarray(largest))

    def _window(self, left: int, top: int, right: int, bottom: int) -> NDArray[np.bool_]:
        x0, y0 = self.box_px[:2]
        return self.mask[top - y0 : bottom - y0, left - x0 : right - x0]


@dataclass(frozen=True, slots=True)
class _Template:
    """A turned picture: darkness less its mean within the mask, 0 outside, and the mask as weights."""

    darkness: NDArray[np.float32]
    weight: NDArray[np.float32]

    def correlate(self, target: NDArray[np.float32], squared: NDArray[np.float32]) -> NDArray[np.float32]:
        """Normalised cross-correlation within the mask at every place (Padfield 2012)."""
        count = float(self.weight.sum())
        mean = float((self.darkness * self.weight).sum()) / count
        centred = self.weight * (self.darkness - mean)
        covariance = cv2.matchTemplate(target, centred, cv2.TM_CCORR)
        total = cv2.matchTemplate(target, self.weight, cv2.TM_CCORR)
        total_squared = cv2.matchTemplate(squared, self.weight, cv2.TM_CCORR)
        variance = np.maximum(total_squared - total * total / count, _LEAST_VARIANCE * count)
        return np.asarray(covariance / np.sqrt(variance * float((centred**2).sum()) + _LEAST_VARIANCE))


class Registrar:
    """A metaphase to which pictures of its karyogram are registered.

    Parameters
    ----------
    metaphase
        The picture.
    pictures
        Of the sheet: their sizes set how far the metaphase is reduced, and how far round it is searched.
    scale
        Px of the metaphase a px of the sheet; see `estimate_scale`.
    region_px
        Where to search in the metaphase.
    settings
        Search and refinement.
    """

    def __init__(
        self,
        metaphase: GreyImage,
        pictures: Sequence[SheetPicture],
        scale: float,
        region_px: BoxPx,
        settings: RegistrationSettings = REGISTRATION,
    ) -> None:
        self.scale = scale
        self._settings = settings
        self._darkness = (_WHITE - metaphase.pixels.astype(np.float32)).astype(np.float32)
        self._ground = float(np.median(self._darkness))
        size_px = scale * float(np.sqrt(np.median([picture.area_px for picture in pictures])))
        self._reduction = min(1.0, settings.coarse_size_px / size_px)
        self._left, top, right, bottom = region_px
        self._top = top
        coarse = _reduced(self._darkness[top:bottom, self._left : right], self._reduction)
        # A chromosome at the border of the metaphase lies in a picture that reaches beyond it.
        reach = max(float(np.hypot(*picture.mask.shape)) for picture in pictures) * scale * self._reduction
        self._border = int(np.ceil(reach / 2.0))
        self._coarse = np.pad(coarse, self._border, constant_values=self._ground)
        self._squared = self._coarse**2

    def candidates(self, picture: SheetPicture) -> list[PlaceCandidate]:
        """Places that a picture may come from, the best first; each place once."""
        refined: list[PlaceCandidate] = []
        for search in (self._settings.quick, self._settings.thorough):
            for mirrored in (False, True):
                if max((each.score for each in refined), default=-1.0) < self._settings.certain_score:
                    poses = self._peaks(picture, search, mirrored=mirrored)
                    refined += [self._refined(picture, pose) for pose in poses]
        refined.sort(key=lambda each: -each.score)
        kept: list[PlaceCandidate] = []
        for candidate in refined:
            if all(candidate.overlap(other) < self._settings.same_place for other in kept):
                kept.append(candidate)
        return kept

    def coarse_score(self, picture: SheetPicture, scale: float) -> float:
        """The best correlation of a picture, not mirrored, in the reduced metaphase.

        Parameters
        ----------
        picture
            Of the sheet.
        scale
            Px of the metaphase a px of the sheet.
        """
        best = -1.0
        for angle in np.arange(0.0, _TURN_DEG, self._settings.scale_angle_step_deg):
            template = _turned(picture, float(angle), scale * self._reduction, mirrored=False)
            if _fits(template, self._coarse):
                best = max(best, float(template.correlate(self._coarse, self._squared).max()))
        return best

    def _peaks(self, picture: SheetPicture, search: AngleSearch, *, mirrored: bool) -> list[Pose]:
        peaks: list[tuple[float, Pose]] = []
        for angle in np.arange(0.0, _TURN_DEG, search.step_deg):
            template = _turned(picture, float(angle), self.scale * self._reduction, mirrored=mirrored)
            if not _fits(template, self._coarse):
                continue
            scores = template.correlate(self._coarse, self._squared)
            offset = (template.weight.shape[0] - 1) / 2.0 - self._border
            for value, x, y in _maxima(scores, search.peaks_per_angle, self._settings.peak_radius_px):
                x_px, y_px = self._left + self._full_px(x + offset), self._top + self._full_px(y + offset)
                peaks.append((value, Pose(x_px, y_px, float(angle), self.scale, mirrored)))
        kept: list[Pose] = []
        for _, pose in sorted(peaks, key=lambda peak: -peak[0]):
            if len(kept) == search.kept_peaks:
                break
            if not any(self._is_same(pose, other) for other in kept):
                kept.append(pose)
        return kept

    def _full_px(self, reduced_px: float) -> float:
        """Middle of a reduced pixel in px of the metaphase."""
        return (reduced_px + 0.5) / self._reduction - 0.5

    def _is_same(self, one: Pose, other: Pose) -> bool:
        distance_px = float(np.hypot(one.x_px - other.x_px, one.y_px - other.y_px)) * self._reduction
        turn = np.angle(np.exp(1j * np.deg2rad(one.angle_deg - other.angle_deg)))
        near = distance_px < self._settings.peak_radius_px and abs(turn) < self._settings.peak_angle_rad
        return near and one.mirrored == other.mirrored

    def _refined(self, picture: SheetPicture, start: Pose) -> PlaceCandidate:
        settings = self._settings
        steps = np.array(
            [
                settings.fine_step_px,
                settings.fine_step_px,
                np.rad2deg(settings.fine_step_rad),
                settings.fine_step_scale,
            ]
        )
        inside = picture.mask
        wanted = _WHITE - picture.levels[inside].astype(np.float32)
        wanted = wanted - wanted.mean()
        size = (inside.shape[1], inside.shape[0])

        def pose_at(offset: NDArray[np.float64]) -> Pose:
            x, y, angle, log_scale = offset * steps
            change = np.clip(log_scale, -settings.max_scale_change, settings.max_scale_change)
            return Pose(
                x_px=float(start.x_px + x),
                y_px=float(start.y_px + y),
                angle_deg=float(start.angle_deg + angle) % _TURN_DEG,
                scale=float(start.scale * np.exp(change)),
                mirrored=start.mirrored,
            )

        def loss(offset: NDArray[np.float64]) -> float:
            matrix = pose_at(offset).matrix(*inside.shape)
            sampled = cv2.warpAffine(
                self._darkness,
                matrix,
                size,
                flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
                borderMode=cv2.BORDER_CONSTANT,
                borderValue=self._ground,
            )
            return -_correlation(np.asarray(sampled[inside], dtype=np.float32), wanted)

        simplex = np.vstack([np.zeros(4), np.eye(4)])
        result = minimize(
            loss,
            np.zeros(4),
            method="Nelder-Mead",
            options={
                "initial_simplex": simplex,
                "maxfev": settings.evaluations,
                "xatol": _CONVERGED_PX,
                "fatol": _CONVERGED_SCORE,
            },
        )
        pose = pose_at(np.asarray(result.x, dtype=np.float64))
        box_px, mask = self._mask_at(picture, pose)
        return PlaceCandidate(pose, -float(result.fun), box_px, mask)

    def _mask_at(self, picture: SheetPicture, pose: Pose) -> tuple[BoxPx, NDArray[np.bool_]]:
        matrix = pose.matrix(*picture.mask.shape)
        height, width = picture.mask.shape
        corners = (
            np.array([[-1, -1, 1], [width, -1, 1], [-1, height, 1], [width, height, 1]], np.float64) @ matrix.T
        )
        left, top = np.floor(corners.min(axis=0)).astype(int)
        right, bottom = np.ceil(corners.max(axis=0)).astype(int) + 1
        left, top = max(0, int(left)), max(0, int(top))
        right = min(self._darkness.shape[1], int(right))
        bottom = min(self._darkness.shape[0], int(bottom))
        if left >= right or top >= bottom:
            return (0, 0, 0, 0), np.zeros((0, 0), dtype=np.bool_)
        matrix[:, 2] -= (left, top)
        weight = cv2.warpAffine(picture.mask.astype(np.float32), matrix, (right - left, bottom - top))
        inside = weight > _HALF
        if not inside.any():
            return (left, top, left, top), np.zeros((0, 0), dtype=np.bool_)
        rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
        y0, y1, x0, x1 = int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1
        return (left + x0, top + y0, left + x1, top + y1), inside[y0:y1, x0:x1]


def estimate_scale(
    metaphase: GreyImage,
    pictures: Sequence[SheetPicture],
    stained: NDArray[np.bool_],
    settings: RegistrationSettings = REGISTRATION,
) -> float:
    """Estimate how many px of the metaphase one px of the sheet is.

    The largest pictures are searched in the metaphase at several scales round the one at which both have the same
    area of stain; the scale at which the better half of them correlates best is refined with the best of them.

    Parameters
    ----------
    metaphase
        The picture.
    pictures
        Of the sheet.
    stained
        bool, shape of the metaphase: its stain outside nuclei.
    settings
        Range and steps.
    """
    start = float(np.sqrt(np.count_nonzero(stained) / sum(picture.area_px for picture in pictures)))
    region_px = search_region(stained)
    registrar = Registrar(metaphase, pictures, start, region_px, settings)
    largest = sorted(pictures, key=lambda each: -each.area_px)[: settings.scale_pictures]
    low, high = np.log(settings.scale_limits)
    scales = start * np.exp(np.linspace(low, high, settings.scale_steps))
    scores = np.array([[registrar.coarse_score(picture, float(scale)) for picture in largest] for scale in scales])
    # Two pictures that touch on the sheet, and straightened ones, correlate nowhere: the better half decides.
    better = np.sort(scores, axis=1)[:, scores.shape[1] // 2 :].mean(axis=1)
    scale = float(scales[int(np.argmax(better))])
    best = np.argsort(-scores[int(np.argmax(better))])[: settings.fine_scale_pictures]
    fine = Registrar(metaphase, pictures, scale, region_px, settings)
    refined = [candidate for index in best for candidate in fine.candidates(largest[int(index)])[:1]]
    certain = [candidate.pose.scale for candidate in refined if candidate.score >= settings.min_score]
    return float(np.median(certain)) if certain else scale


def search_region(stained: NDArray[np.bool_]) -> BoxPx:
    """Box of all stain: nothing of a chromosome's middle lies outside of it."""
    rows, columns = np.flatnonzero(stained.any(axis=1)), np.flatnonzero(stained.any(axis=0))
    if len(rows) == 0:
        return 0, 0, stained.shape[1], stained.shape[0]
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def _correlation(values: NDArray[np.float32], wanted: NDArray[np.float32]) -> float:
    centred = values - values.mean()
    norm = float(np.sqrt(np.dot(centred, centred) * np.dot(wanted, wanted)))
    return float(np.dot(centred, wanted)) / max(norm, _LEAST_VARIANCE)


def _turned(picture: SheetPicture, angle_deg: float, scale: float, *, mirrored: bool) -> _Template:
    darkness = np.where(picture.mask, _WHITE - picture.levels.astype(np.float32), 0.0).astype(np.float32)
    # Against aliasing where it is reduced.
    smooth = darkness if scale >= 1.0 else cv2.GaussianBlur(darkness, (0, 0), _BLUR_PER_REDUCTION / scale)
    height, width = picture.mask.shape
    side = int(np.ceil(np.hypot(height, width) * scale)) + 2
    middle = (side - 1) / 2.0
    matrix = Pose(middle, middle, angle_deg, scale, mirrored).matrix(height, width)
    turned = np.asarray(cv2.warpAffine(smooth, matrix, (side, side)), dtype=np.float32)
    weight = cv2.warpAffine(picture.mask.astype(np.float32), matrix, (side, side))
    return _Template(turned, (weight > _HALF).astype(np.float32))


def _fits(template: _Template, target: NDArray[np.float32]) -> bool:
    return (
        template.weight.shape[0] <= target.shape[0]
        and template.weight.shape[1] <= target.shape[1]
        and float(template.weight.sum()) > 0.0
    )


def _reduced(darkness: NDArray[np.float32], factor: float) -> NDArray[np.float32]:
    if factor >= 1.0:
        return darkness
    height, width = darkness.shape
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    return np.asarray(cv2.resize(darkness, size, interpolation=cv2.INTER_AREA), dtype=np.float32)


def _maxima(scores: NDArray[np.float32], count: int, radius_px: float) -> Iterator[tuple[float, int, int]]:
    rest = scores.copy()
    for _ in range(count):
        _, value, _, (x, y) = cv2.minMaxLoc(rest)
        yield float(value), int(x), int(y)
        cv2.circle(rest, (x, y), max(1, round(2 * radius_px)), -1.0, -1)
