"""A reviewer's decisions on finds, as crops to learn from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from analysis.errors import DatasetError
from analysis.nets.finder_net import CROP_SIDE_PX
from analysis.training.finder.table import MARGIN_PX, FinderCropTable, blank_table

_HELD_BACK: Final = 5
"""One decision in so many is not learnt from: it has a say in the choice of weights."""


@dataclass(frozen=True, slots=True)
class ReviewedCrop:
    """A reviewer's word on a find.

    Attributes
    ----------
    crop
        uint8, shape (128, 128), as the finder cut it.
    radius_um, noise_od
        Of the find; of its field.
    accepted
        Worth a picture, or not.
    slide
        Run that it is from.
    """

    crop: NDArray[np.uint8]
    radius_um: float
    noise_od: float
    accepted: bool
    slide: str = ""


def reviewed_tables(crops: Sequence[ReviewedCrop]) -> tuple[FinderCropTable, FinderCropTable]:
    """Decisions to learn from, and every fifth yes and every fifth no to judge by.

    Raises
    ------
    DatasetError
        A crop isn't of the finder's size.
    """
    columns = blank_table(len(crops))
    seen = {True: 0, False: 0}
    held = np.zeros(len(crops), np.bool_)
    inner = slice(MARGIN_PX, MARGIN_PX + CROP_SIDE_PX)
    for row, each in enumerate(crops):
        if each.crop.shape != (CROP_SIDE_PX, CROP_SIDE_PX):
            raise DatasetError(f"a reviewed crop of {each.crop.shape} px is none of the finder's")
        # What lies round it wasn't kept; background there is better than a guess.
        columns["crops"][row, inner, inner] = each.crop
        columns["radius_um"][row], columns["noise_od"][row] = each.radius_um, each.noise_od
        columns["wanted"][row] = int(each.accepted)
        columns["kind"][row], columns["slide"][row] = "reviewed", each.slide
        seen[each.accepted] += 1
        held[row] = seen[each.accepted] % _HELD_BACK == 0
    table = FinderCropTable(**columns)
    return table.at(~held), table.at(held)
