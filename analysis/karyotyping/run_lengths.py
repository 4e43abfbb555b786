"""Masks as COCO run lengths of the full image.

The decoder is our own: files may come from anywhere, and the library's trusts the lengths it is given.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from faster_coco_eval import mask as coco_mask
from numpy.typing import NDArray

_FIRST_CHARACTER: Final = 48
_VALUE_BITS: Final = 5
_VALUE: Final = 0x1F
_CONTINUES: Final = 0x20
_NEGATIVE: Final = 0x10
"""COCO's text: six bits a character from "0" on, the lowest five of a number first; the sixth says that it goes
on, and the highest of the last five that it is negative."""
_MOST_CHARACTERS: Final = 7
"""Characters of one number: 35 bits hold any run of a picture that is taken."""


def encode_run_lengths(
    mask: NDArray[np.bool_], box_px: tuple[int, int, int, int], height_px: int, width_px: int
) -> str:
    """Encode a mask by its run lengths in the full image, column by column.

    Parameters
    ----------
    mask
        bool, shape (ymax - ymin, xmax - xmin).
    box_px
        (xmin, ymin, xmax, ymax) in image px, half open.
    height_px, width_px
        Of the image.
    """
    full = np.zeros((height_px, width_px), dtype=np.uint8, order="F")
    xmin, ymin, xmax, ymax = box_px
    full[ymin:ymax, xmin:xmax] = mask
    counts = coco_mask.encode(full)["counts"]
    return counts.decode("ascii") if isinstance(counts, bytes) else str(counts)


def decode_run_lengths(counts: str, height_px: int, width_px: int) -> NDArray[np.bool_]:
    """Decode run lengths.

    Parameters
    ----------
    counts
        The text of COCO's compressed run lengths.
    height_px, width_px
        Of the image.

    Returns
    -------
    NDArray[np.bool_]
        Shape (height_px, width_px).

    Raises
    ------
    ValueError
        Where they aren't run lengths, or not those of an image of this size.
    """
    lengths = _lengths(counts)
    if min(lengths, default=0) < 0 or sum(lengths) != height_px * width_px:
        raise ValueError(f"its run lengths aren't those of an image of {width_px} x {height_px} px")
    inside = np.arange(len(lengths)) % 2 == 1
    flat = np.repeat(inside, lengths)
    return np.asarray(flat.reshape(width_px, height_px).T)


def _lengths(counts: str) -> list[int]:
    lengths: list[int] = []
    value, shift = 0, 0
    for character in counts:
        bits = ord(character) - _FIRST_CHARACTER
        if not 0 <= bits <= _VALUE | _CONTINUES or shift >= _MOST_CHARACTERS * _VALUE_BITS:
            raise ValueError("its run lengths are damaged")
        value |= (bits & _VALUE) << shift
        shift += _VALUE_BITS
        if bits & _CONTINUES:
            continue
        if bits & _NEGATIVE:
            value -= 1 << shift
        # From the third on, the difference to the length before the last is stored.
        lengths.append(value + lengths[-2] if len(lengths) > 2 else value)
        value, shift = 0, 0
    if shift:
        raise ValueError("its run lengths are damaged")
    return lengths
