"""Texts on painted pages.

OpenCV's line fonts have ASCII alone and strike their zeros through, which reads as another sign on a karyogram;
its built-in outline font has the letters of most scripts.
"""

from __future__ import annotations

import unicodedata
from functools import cache
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

Bgr = tuple[int, int, int]

_FONT: Final = "uni"
_WEIGHT: Final = 400
"""Regular, on the scale of 100 to 900 of OpenType."""
_NOWHERE: Final = (4096, 4096)
"""Size of a page that texts are measured for."""
REPLACEMENT: Final = "\N{REPLACEMENT CHARACTER}"
_UNDRAWABLE: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Categories of Unicode without a shape: control and format characters, surrogates, private and unassigned ones,
separators of lines."""
_HALO: Final = tuple((x, y) for x in (-2, 0, 2) for y in (-2, 0, 2) if (x, y) != (0, 0))


@cache
def _face() -> cv2.FontFace:
    """Unpacking the font takes 50 ms, once a process."""
    return cv2.FontFace(_FONT)


def drawable(text: str) -> str:
    """Replace what can't be drawn by U+FFFD, so that any string can be written on any page.

    A file name whose bytes aren't UTF-8 reaches Python with lone surrogates, on which OpenCV's text crashes and
    which no encoder takes; control characters would break lines or turn them round.
    """
    return "".join(REPLACEMENT if unicodedata.category(letter) in _UNDRAWABLE else letter for letter in text)


def text_size(text: str, size_px: float) -> tuple[int, int]:
    """Width and height in px that a text takes.

    Parameters
    ----------
    text
        Any string; see `drawable`.
    size_px
        Of the letters.
    """
    if not text:
        return 0, 0
    _, _, width, height = cv2.getTextSize(_NOWHERE, drawable(text), (0, 0), _face(), round(size_px), _WEIGHT)
    return int(width), int(height)


def draw_text(page: NDArray[np.uint8], text: str, at: tuple[int, int], size_px: float, colour: Bgr) -> None:
    """Write a text on a page.

    Parameters
    ----------
    page
        uint8, shape (h, w, 3), BGR; it is changed.
    text
        Any string; see `drawable`.
    at
        Left end of its base line, x and y in px.
    size_px
        Of the letters.
    colour
        BGR.
    """
    if text:
        cv2.putText(page, drawable(text), at, colour, _face(), round(size_px), _WEIGHT)


def draw_text_on_picture(
    page: NDArray[np.uint8], text: str, at: tuple[int, int], size_px: float, colour: Bgr
) -> None:
    """Write a text with a white rim, to be read on anything.

    Parameters
    ----------
    page
        uint8, shape (h, w, 3), BGR; it is changed.
    text
        Any string; see `drawable`.
    at
        Left end of its base line, x and y in px.
    size_px
        Of the letters.
    colour
        BGR.
    """
    for x, y in _HALO:
        draw_text(page, text, (at[0] + x, at[1] + y), size_px, (255, 255, 255))
    draw_text(page, text, at, size_px, colour)
