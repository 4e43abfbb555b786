"""One karyogram and its metaphase: every picture gets its own place, or a reason why it has none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from analysis.imaging.foreground import find_foreground
from analysis.imaging.working_image import make_working_image
from analysis.karyogram_import.printed_labels import BoxPx
from analysis.karyogram_import.registration import PlaceCandidate, Registrar, estimate_scale, search_region
from analysis.karyogram_import.settings import REGISTRATION, RegistrationSettings
from analysis.karyogram_import.sheet_reading import PrintedKaryogram, SheetPicture
from analysis.structures.grey_image import GreyImage
from analysis.structures.region import MARGIN_PX, connected_regions


class UnmatchedReason(StrEnum):
    """Why a picture of the sheet has no place in the metaphase."""

    NOTHING_ALIKE = "no place of the metaphase is enough alike"
    AMBIGUOUS = "two places of the metaphase are alike"
    TAKEN = "another picture matches its place better"
    OTHER_METAPHASE = "too few pictures of the sheet match this metaphase"


_OTHER = UnmatchedReason.OTHER_METAPHASE


@dataclass(frozen=True, slots=True)
class MatchedPicture:
    """A picture of the sheet with what is known of its place.

    Attributes
    ----------
    picture
        Of the sheet.
    match
        Its place; None where it has none.
    best_score
        Of the best place, whether taken or not; -1 where there is none.
    margin
        To the next other place.
    reason
        Why it has no place; None where it has one.
    """

    picture: SheetPicture
    match: PlaceCandidate | None
    best_score: float
    margin: float
    reason: UnmatchedReason | None


@dataclass(frozen=True, slots=True)
class UnexplainedStain:
    """Stain of the metaphase that no matched picture covers.

    Attributes
    ----------
    box_px
        In px of the metaphase.
    area_px
        Pixels.
    """

    box_px: BoxPx
    area_px: int


@dataclass(frozen=True, slots=True)
class MatchedCell:
    """A karyogram registered to its metaphase.

    Attributes
    ----------
    pictures
        All of the sheet, in its order.
    unexplained
        Stain that none of them covers.
    scale
        Px of the metaphase a px of the sheet.
    """

    pictures: tuple[MatchedPicture, ...]
    unexplained: tuple[UnexplainedStain, ...]
    scale: float


def match_cell(
    karyogram: PrintedKaryogram, metaphase: GreyImage, settings: RegistrationSettings = REGISTRATION
) -> MatchedCell:
    """Find the place of every picture of a karyogram in its metaphase.

    Parameters
    ----------
    karyogram
        The sheet, as read.
    metaphase
        The picture it was made of.
    settings
        Search and thresholds.

    Raises
    ------
    NoMetaphaseError
        There is no metaphase on the picture.
    """
    stained = _stained(metaphase)
    scale = estimate_scale(metaphase, karyogram.pictures, stained, settings)
    registrar = Registrar(metaphase, karyogram.pictures, scale, search_region(stained), settings)
    candidates = [registrar.candidates(picture) for picture in karyogram.pictures]
    pictures = assign_places(karyogram.pictures, candidates, settings)
    if sum(each.match is not None for each in pictures) < settings.min_matched * len(pictures):
        # Chromosomes of one class resemble each other in all cells: of a whole sheet some will match.
        others = (replace(each, match=None, reason=each.reason or _OTHER) for each in pictures)
        return MatchedCell(tuple(others), (), scale)
    pictures = _trimmed(pictures, stained, settings)
    return MatchedCell(pictures, _unexplained(pictures, stained, settings), scale)


def _stained(metaphase: GreyImage) -> NDArray[np.bool_]:
    working = make_working_image(metaphase)
    stained = find_foreground(working.density, working.nuclei, working.width_px).mask
    size = (metaphase.width_px, metaphase.height_px)
    return cv2.resize(stained.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0


def assign_places(
    pictures: Sequence[SheetPicture],
    candidates: Sequence[Sequence[PlaceCandidate]],
    settings: RegistrationSettings = REGISTRATION,
) -> tuple[MatchedPicture, ...]:
    """Give pictures and places to each other, one to one, with the highest sum of scores.

    Parameters
    ----------
    pictures
        Of the sheet.
    candidates
        Of each picture, the best first.
    settings
        Least score and margin.
    """
    places = _distinct_places(candidates, settings)
    # A picture may stay without a place: that is as good as the least score.
    scores = np.full((len(pictures), len(places) + len(pictures)), -1.0)
    scores[:, len(places) :] = settings.min_score
    chosen: dict[tuple[int, int], PlaceCandidate] = {}
    for row, of_picture in enumerate(candidates):
        for candidate in of_picture:
            for column, place in enumerate(places):
                overlaps = candidate is place or candidate.overlap(place) >= settings.same_place
                if overlaps and candidate.score > scores[row, column]:
                    scores[row, column] = candidate.score
                    chosen[row, column] = candidate
    rows, columns = linear_sum_assignment(scores, maximize=True)
    return tuple(
        _matched(pictures[row], candidates[row], chosen.get((row, column)), settings)
        for row, column in zip(rows.tolist(), columns.tolist(), strict=True)
    )


def _distinct_places(
    candidates: Sequence[Sequence[PlaceCandidate]], settings: RegistrationSettings
) -> list[PlaceCandidate]:
    """One candidate of every place, the best of all pictures."""
    ordered = sorted((each for of_picture in candidates for each in of_picture), key=lambda each: -each.score)
    places: list[PlaceCandidate] = []
    for candidate in ordered:
        if candidate.score < settings.min_score:
            break
        if all(candidate.overlap(place) < settings.same_place for place in places):
            places.append(candidate)
    return places


def _matched(
    picture: SheetPicture,
    candidates: Sequence[PlaceCandidate],
    match: PlaceCandidate | None,
    settings: RegistrationSettings,
) -> MatchedPicture:
    best_score = candidates[0].score if candidates else -1.0
    margin = min((one.score - other.score for one, other in pairwise(candidates[:2])), default=1.0)
    if match is None:
        reason = UnmatchedReason.NOTHING_ALIKE if best_score < settings.min_score else UnmatchedReason.TAKEN
        return MatchedPicture(picture, None, best_score, margin, reason)
    rivals = [each.score for each in candidates if each is not match]
    margin = match.score - max(rivals, default=match.score - 1.0)
    if margin < settings.min_margin:
        reason = UnmatchedReason.AMBIGUOUS if margin > -settings.min_margin else UnmatchedReason.TAKEN
        return MatchedPicture(picture, None, best_score, margin, reason)
    return MatchedPicture(picture, match, best_score, margin, None)


def _trimmed(
    pictures: Sequence[MatchedPicture], stained: NDArray[np.bool_], settings: RegistrationSettings
) -> tuple[MatchedPicture, ...]:
    """Leave haze and debris, which the sheet's pictures were cut out with, out of the masks."""
    near = _grown(stained, _margin_px([each.match for each in pictures], settings))
    trimmed = []
    for each in pictures:
        match = None if each.match is None else each.match.within(near)
        trimmed.append(replace(each, match=match))
    return tuple(trimmed)


def _margin_px(matches: Sequence[PlaceCandidate | None], settings: RegistrationSettings) -> int:
    areas = [match.area_px for match in matches if match is not None]
    return max(1, round(settings.explained_margin * float(np.sqrt(np.median(areas))))) if areas else 1


def _grown(mask: NDArray[np.bool_], radius_px: int) -> NDArray[np.bool_]:
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius_px + 1, 2 * radius_px + 1))
    return np.asarray(cv2.dilate(mask.astype(np.uint8), disc) > 0)


def _unexplained(
    pictures: Sequence[MatchedPicture],
    stained: NDArray[np.bool_],
    settings: RegistrationSettings,
) -> tuple[UnexplainedStain, ...]:
    matches = [each.match for each in pictures if each.match is not None]
    if not matches:
        return ()
    covered = np.zeros(stained.shape, np.bool_)
    for match in matches:
        xmin, ymin, xmax, ymax = match.box_px
        covered[ymin:ymax, xmin:xmax] |= match.mask
    typical = float(np.median([match.area_px for match in matches]))
    near = _grown(covered, _margin_px(matches, settings))
    regions = connected_regions(stained & ~near, min_area_px=settings.min_unexplained * typical)
    return tuple(
        UnexplainedStain(
            (
                region.x0_px + MARGIN_PX,
                region.y0_px + MARGIN_PX,
                region.x0_px + region.mask.shape[1] - MARGIN_PX,
                region.y0_px + region.mask.shape[0] - MARGIN_PX,
            ),
            region.area_px,
        )
        for region in regions
    )
