"""What a label of a turret's position says of the objective that sits there."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

_MAGNIFICATION: Final = re.compile(r"(?<![\d.,/])(?P<number>\d{1,3}(?:[.,]\d{1,2})?)\s?[xX×](?![a-zA-Z])")
"""``10x``, ``63 X``, ``2.5x``; the ``x`` of a word such as ``axio`` is none."""
_APERTURE: Final = re.compile(
    r"(?:/|\bN\.?A\.?\s*[=:]?\s*|\s|_)(?P<number>[01][.,]\d{1,3})(?![\d.,]|\s?(?:mm|um|µm|[xX×]))"
)
"""``/0.45``, ``NA 1.4``, or a number of its own; a cover glass of 0.17 follows the aperture."""
_OIL: Final = re.compile(r"(?<![a-z])(oil|oel|öl|immersion oil)(?![a-z])", re.IGNORECASE)
_DRY: Final = re.compile(r"(?<![a-z])(dry|air)(?![a-z])", re.IGNORECASE)
_OTHER_MEDIUM: Final = re.compile(
    r"(?<![a-z])(w|water|wasser|glyc\w*|sil|silicone?|imm\w*|multi)(?![a-z])", re.IGNORECASE
)
_DRY_BELOW: Final = 1.0
"""No dry objective reaches it: its aperture is the sine of an angle."""


class LabelledImmersion(StrEnum):
    """What stands between objective and slide, as a label says."""

    AIR = "air"
    OIL = "oil"


@dataclass(frozen=True, slots=True)
class ObjectiveLabel:
    """An objective as its label describes it.

    Attributes
    ----------
    label
        The label.
    magnification
        Such as 10 for 10x.
    numerical_aperture
        None where the label gives none.
    immersion
        None where the label leaves it open, or names a medium that can't be used.
    """

    label: str
    magnification: float
    numerical_aperture: float | None
    immersion: LabelledImmersion | None

    @property
    def name(self) -> str:
        """Short name for protocols, such as ``10x``."""
        return f"{self.magnification:g}x"


def read_objective_label(label: str) -> ObjectiveLabel | None:
    """Read a label such as ``63x/1.4 Oil``.

    Parameters
    ----------
    label
        Label of a position.

    Returns
    -------
    ObjectiveLabel or None
        None where the label names no magnification: an empty position, or a filter.
    """
    match = _MAGNIFICATION.search(label)
    if match is None:
        return None
    magnification = _number(match)
    if magnification == 0:
        return None
    aperture_match = _APERTURE.search(label, match.end())
    aperture = None if aperture_match is None else _number(aperture_match)
    return ObjectiveLabel(label, magnification, aperture, _immersion(label, aperture))


def _immersion(label: str, aperture: float | None) -> LabelledImmersion | None:
    if _OIL.search(label):
        return LabelledImmersion.OIL
    if _OTHER_MEDIUM.search(label):
        return None
    if _DRY.search(label):
        return LabelledImmersion.AIR
    # A label that names an aperture and no medium is a dry objective's, by the trade's custom.
    return LabelledImmersion.AIR if aperture is not None and aperture < _DRY_BELOW else None


def _number(match: re.Match[str]) -> float:
    return float(match["number"].replace(",", "."))
