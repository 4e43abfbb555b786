"""A text as a part of a file name: barcodes, accessions and names of pictures, on every file system."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from typing import Final

MAX_NAME_BYTES: Final = 255
"""Of one name: bytes on Linux and macOS; NTFS counts 255 UTF-16 units, which are never more."""
MAX_PART_BYTES: Final = 120
"""Leaves room for a prefix and an ending, and for a folder that is set aside under a longer name."""
MAX_STEM_BYTES: Final = 200
"""Leaves room for ``.metaphase.png`` and for the longer name under which a file is first written (39 bytes)."""

_DIGEST_LETTERS: Final = 8
"""32 bits: two of a thousand altered names are the same with a chance of 1 in 10,000."""
_RESERVED: Final = re.compile(r"(?:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[0-9¹²³])", re.IGNORECASE)
"""Names of devices on Windows, with whatever ending."""
_REFUSED: Final = frozenset('<>:"/\\|?*')
"""Signs that Windows allows in no name; the slash is allowed nowhere."""


def file_name_part(text: str, *, max_bytes: int = MAX_PART_BYTES) -> str:
    """Turn a text into letters, digits, ``-`` and ``_``, to stand within a file name.

    Parameters
    ----------
    text
        Any string, such as a barcode.
    max_bytes
        Length in UTF-8; at least 16.

    Returns
    -------
    str
        `text` itself where it is fit, else one that resembles it and ends in a digest, so that two texts keep two
        names.
    """
    return _fitted(text, "".join(sign if sign in "-_" or sign.isalnum() else "_" for sign in text), max_bytes)


def file_stem(text: str, *, max_bytes: int = MAX_STEM_BYTES) -> str:
    """Turn a text into the beginning of a file name, altering as little as possible.

    Parameters
    ----------
    text
        Any string, such as the name of a picture without its ending; bytes that aren't UTF-8 as lone surrogates.
    max_bytes
        Length in UTF-8; at least 16.

    Returns
    -------
    str
        As `file_name_part`; spaces, dots and other signs stay where every file system takes them.
    """
    stem = "".join("_" if sign in _REFUSED or not _is_plain(sign) else sign for sign in text)
    stem = re.sub(r"[. ]+$", lambda end: "_" * len(end.group()), stem)
    return _fitted(text, stem, max_bytes)


def _fitted(text: str, name: str, max_bytes: int) -> str:
    # What a name begins with, up to its first dot, decides on Windows whether it means a device.
    if not name or _RESERVED.fullmatch(name.partition(".")[0].rstrip(" ")):
        name = f"_{name}"
    if name == text and len(name.encode()) <= max_bytes:
        return name
    digest = hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:_DIGEST_LETTERS]
    beginning = name.encode()[: max_bytes - _DIGEST_LETTERS - 1].decode(errors="ignore")
    return f"{beginning}-{digest}"


def _is_plain(sign: str) -> bool:
    """Whether a sign can be written in UTF-8 and neither breaks a line nor turns its direction round."""
    return sign.isprintable() or unicodedata.category(sign) == "Zs"
