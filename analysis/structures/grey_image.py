"""One metaphase picture in canonical form."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class GreyImage:
    """A metaphase picture in canonical form: dark chromosomes on a bright background.

    Attributes
    ----------
    pixels
        uint8, shape (height_px, width_px), C-contiguous.
    source
        Path or name for messages.
    inverted
        True where the file showed bright chromosomes on dark (fluorescence) and was inverted.
    bit_depth
        Bits a sample of the file (8 or 16).
    colour
        True where the file had colour channels.
    remarks
        What was chosen or changed when it was read, for people: the plane of a stack, a border left out.
    plane
        Which of several planes of the file it is, counted from 1; None where there is one.
    field_px
        (xmin, ymin, xmax, ymax), half open: what lies within a painted border; None where there is no border.
    """

    pixels: NDArray[np.uint8]
    source: str
    inverted: bool = False
    bit_depth: int = 8
    colour: bool = False
    remarks: tuple[str, ...] = ()
    plane: int | None = None
    field_px: tuple[int, int, int, int] | None = None

    @property
    def height_px(self) -> int:
        """Rows of the image."""
        return int(self.pixels.shape[0])

    @property
    def width_px(self) -> int:
        """Columns of the image."""
        return int(self.pixels.shape[1])
