"""The ISCN string of one metaphase."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class IscnResult:
    """An ISCN string, or why there is none.

    Attributes
    ----------
    text
        Such as ``47,XY,+21``; None where nothing can be said.
    reason
        One line where ``text`` is None, otherwise empty.
    """

    text: str | None
    reason: str = ""
