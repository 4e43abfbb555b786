"""What a finder got wrong, as pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from analysis.evaluation.drawing import INK, Rgb, blank, put_text
from analysis.evaluation.finder_matching import Field, Planted
from analysis.evaluation.finder_scores import CALL_SCORE, FieldOutcome

EXHIBIT_UM: Final = 82.0
EXHIBIT_PX: Final = 144
_MISS, _FALSE = (20, 110, 220), (220, 60, 30)
_CAPTION_PX: Final = 32
_TITLE_SCALE, _NAME_SCALE, _SLIDE_SCALE = 0.6, 0.36, 0.3
_SHOWN_PERCENT = (0.2, 99.8)
_WHITE = 255.0
_GAP_PX: Final = 8


class Mistake(StrEnum):
    """What went wrong."""

    MISS = "miss"
    FALSE_FIND = "false find"


@dataclass(frozen=True, slots=True)
class Exhibit:
    """A miss or a false find.

    Attributes
    ----------
    mistake
        Which of the two.
    picture
        uint8, shape (144, 144): 82 um round it, contrast stretched, grey beyond the field.
    kind
        Of the metaphase that was missed, or of the hard negative that was called; empty where the find lies on
        nothing that the truth names.
    score
        Of the find; of a miss that of its best proposal, 0 where there was none.
    slide, number
        Field.
    radius_px
        Radius of the circle, px of the picture.
    """

    mistake: Mistake
    picture: NDArray[np.uint8]
    kind: str
    score: float
    slide: str
    number: int
    radius_px: float


def exhibits_of(target: Field, outcome: FieldOutcome, *, call: float = CALL_SCORE) -> list[Exhibit]:
    """Cut the misses and the false proposals out of a field.

    Parameters
    ----------
    target
        The field.
    outcome
        What the finder made of it.
    call
        Score from which on a proposal is called.
    """
    made = []
    best = {find.planted: find.score for find in outcome.finds if find.planted is not None}
    for number, entry in enumerate(outcome.planted):
        if entry.is_metaphase and not entry.is_cut and best.get(number, 0.0) < call:
            made.append(_exhibit(Mistake.MISS, target, entry, entry.kind, best.get(number, 0.0)))
    for find in outcome.finds:
        if find.score >= call and not find.is_right and not find.is_neutral:
            kind = "" if find.negative is None else outcome.planted[find.negative].kind
            place = Planted(find.x_px, find.y_px, find.radius_px, False, kind)
            made.append(_exhibit(Mistake.FALSE_FIND, target, place, kind or _nearest(outcome, place), find.score))
    return made


def _nearest(outcome: FieldOutcome, place: Planted) -> str:
    """Why a find on nothing named is false: a second one of a cell, or something that the truth doesn't name."""
    for entry in outcome.planted:
        if np.hypot(entry.x_px - place.x_px, entry.y_px - place.y_px) <= entry.radius_px + place.radius_px:
            return f"at {entry.kind}"
    return ""


def _exhibit(mistake: Mistake, target: Field, place: Planted, kind: str, score: float) -> Exhibit:
    zoom = EXHIBIT_PX * target.um_per_px / EXHIBIT_UM
    middle = (EXHIBIT_PX - 1) / 2.0
    matrix = np.array([[zoom, 0.0, middle - zoom * place.x_px], [0.0, zoom, middle - zoom * place.y_px]])
    pixels = target.pixels.astype(np.float32)
    outside = float(np.median(pixels[::8, ::8]))
    cut = cv2.warpAffine(pixels, matrix, (EXHIBIT_PX, EXHIBIT_PX), flags=cv2.INTER_LINEAR, borderValue=(outside,))
    low, high = np.percentile(cut, _SHOWN_PERCENT)
    stretched = (cut - low) * (_WHITE / max(float(high - low), 1.0))
    picture = np.clip(stretched, 0, 255).astype(np.uint8)
    return Exhibit(mistake, picture, kind, score, target.slide, target.number, place.radius_px * zoom)


def exhibit_sheet(exhibits: Sequence[Exhibit], title: str, *, columns: int = 8) -> Rgb:
    """Lay exhibits out on one picture.

    Parameters
    ----------
    exhibits
        In the order in which they are to be shown; none give a sheet that says so.
    title
        Over the sheet.
    columns
        Pictures a row.

    Returns
    -------
    ndarray
        uint8, shape (height, width, 3), RGB.
    """
    rows = max(1, -(-len(exhibits) // columns))
    step_x, step_y = EXHIBIT_PX + _GAP_PX, EXHIBIT_PX + _CAPTION_PX + _GAP_PX
    sheet = blank(48 + rows * step_y, _GAP_PX + columns * step_x)
    put_text(sheet, title, (_GAP_PX, 28), _TITLE_SCALE)
    if not exhibits:
        put_text(sheet, "none", (_GAP_PX, 80), _TITLE_SCALE)
    for number, entry in enumerate(exhibits):
        x, y = _GAP_PX + number % columns * step_x, 44 + number // columns * step_y
        tile = cv2.cvtColor(entry.picture, cv2.COLOR_GRAY2RGB)
        colour = _MISS if entry.mistake is Mistake.MISS else _FALSE
        middle = EXHIBIT_PX // 2
        cv2.circle(tile, (middle, middle), max(3, round(entry.radius_px)), colour, 1, cv2.LINE_AA)
        sheet[y : y + EXHIBIT_PX, x : x + EXHIBIT_PX] = tile
        put_text(sheet, f"{entry.score:.2f} {entry.kind}"[:22], (x, y + EXHIBIT_PX + 13), _NAME_SCALE, INK)
        put_text(sheet, f"{entry.slide}"[-26:], (x, y + EXHIBIT_PX + 27), _SLIDE_SCALE, (110, 110, 110))
    return sheet
