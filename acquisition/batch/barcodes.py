"""Barcodes that a spreadsheet or a reader may have changed on their way to the worklist."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

_ROUNDED: Final = re.compile(r"\d+([.,]\d+)?[eE]\+?\d+")
_FAILED_CELL: Final = re.compile(r"#+|#(N/A|NAME\?|REF!|VALUE!|DIV/0!|NUM!|NULL!)|=.*|\+.*\(.*\)", re.IGNORECASE)
_CONVERTED: Final = re.compile(r"\d+[.,]\d+|'.*|\d{1,4}[./-]\d{1,2}[./-]\d{1,4}|TRUE|FALSE", re.IGNORECASE)
_LIKE_ENOUGH: Final = 0.85
"""Similarity of two barcodes (`difflib.SequenceMatcher.ratio`) from which one may be the other misread: one sign
of seven changed gives 0.86."""
_MOST: Final = 3
_FEWEST: Final = 2
"""Barcodes of one length that it takes for shorter ones to stand out."""


def is_rounded(barcode: str) -> bool:
    """Tell whether a spreadsheet turned a barcode into a rounded number, such as ``1,23457E+11``."""
    return _ROUNDED.fullmatch(barcode) is not None


def is_failed_cell(barcode: str) -> bool:
    """Tell whether a barcode is what a spreadsheet shows for a formula, or where it can't show the value."""
    return _FAILED_CELL.fullmatch(barcode) is not None


def is_converted(barcode: str) -> bool:
    """Tell whether a barcode may be what a spreadsheet made of it: a decimal number, a date, a quoted text."""
    return _CONVERTED.fullmatch(barcode) is not None


def shortened(barcodes: Iterable[str]) -> tuple[str, ...]:
    """Name the barcodes of digits that are shorter than most others of digits: leading zeros may be lost."""
    digits = [barcode for barcode in barcodes if barcode.isdecimal()]
    lengths = Counter(len(barcode) for barcode in digits)
    common_lengths = [length for length, count in lengths.items() if count >= _FEWEST and 2 * count > len(digits)]
    if not common_lengths:
        return ()
    return tuple(barcode for barcode in digits if len(barcode) < common_lengths[0])


def near_misses(label: str, barcodes: Sequence[str]) -> tuple[str, ...]:
    """Name barcodes of a worklist that a label may mean, although it reads otherwise.

    Parameters
    ----------
    label
        What the label of a slide says.
    barcodes
        Those of the worklist.

    Returns
    -------
    tuple of str
        The likeliest first, three at most: equal but for leading zeros or for large and small letters, the same
        number rounded, or with a sign or so changed. They are hints for a person and never taken for the label.
    """
    bare = label.lstrip("0").casefold()
    same = [barcode for barcode in barcodes if barcode.lstrip("0").casefold() == bare]
    same += [barcode for barcode in barcodes if is_rounded(barcode) and _rounds_to(label, barcode)]
    like = difflib.get_close_matches(label, list(barcodes), _MOST, _LIKE_ENOUGH)
    return tuple(dict.fromkeys([*same, *like]))[:_MOST]


def _rounds_to(label: str, rounded: str) -> bool:
    """Whether a label of digits, rounded to as many places, is a number of a spreadsheet."""
    if not label.isdecimal() or len(label) > 30:
        return False
    mantissa = rounded.replace(",", ".").lower().partition("e")[0]
    places = len(mantissa.partition(".")[2])
    return float(f"{int(label):.{places}e}") == float(rounded.replace(",", "."))
