"""Words on painted pages.

OpenCV's line fonts have ASCII alone and strike their zeros through, which reads as another sign on a karyogram;
its built-in outline font has the letters of most scripts.
"""

from __future__ import annotations

from functools import cache
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

Bgr = tuple[int, int, int]

_FONT: Final = "uni"
_WEIGHT: Final = 400
_NOWHERE: Final = (4096, 4096)
"""Size of a page that words are measured for."""
_HALO: Final = tuple((x, y) for x in (-2, 0, 2) for y in (-2, 0, 2) if (x, y) != (0, 0))


@cache
def _face() -> cv2.FontFace:
    """Unpacking the font takes 50 ms, once a process."""
    return cv2.FontFace(_FONT)


def text_size(text: str, size_px: float) -> tuple[int, int]:
    """Width and height in px that a word takes."""
    if not text:
        return 0, 0
    _, _, width, height = cv2.getTextSize(_NOWHERE, text, (0, 0), _face(), round(size_px), _WEIGHT)
    return int(width), int(height)


def draw_text(page: NDArray[np.uint8], text: str, at: tuple[int, int], size_px: float, colour: Bgr) -> None:
    """Write a word on a page, shape (h, w, 3), BGR.

    Parameters
    ----------
    at
        Left end of its base line, x and y in px.
    """
    if text:
        cv2.putText(page, text, at, colour, _face(), round(size_px), _WEIGHT)


def draw_text_on_picture(
    page: NDArray[np.uint8], text: str, at: tuple[int, int], size_px: float, colour: Bgr
) -> None:
    """The same with a white rim, to be read on anything."""
    for x, y in _HALO:
        draw_text(page, text, (at[0] + x, at[1] + y), size_px, (255, 255, 255))
    draw_text(page, text, at, size_px, colour)
