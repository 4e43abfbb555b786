"""Durations and sizes for people."""

from __future__ import annotations

from typing import Final

_SECONDS_A_MINUTE: Final = 60
_MINUTES_AN_HOUR: Final = 60
_WITH_TENTHS_S: Final = 10
"""Below that a second is too coarse a step."""
_MB: Final = 1e6
_GB: Final = 1e9


def clock(seconds: float) -> str:
    """A duration for people: ``4.2 s``, ``42 s``, ``3 min 05 s``, ``2 h 10 min``."""
    whole = round(seconds)
    if whole < _SECONDS_A_MINUTE:
        return f"{whole} s" if whole >= _WITH_TENTHS_S else f"{seconds:.1f} s"
    minutes, rest = divmod(whole, _SECONDS_A_MINUTE)
    if minutes < _MINUTES_AN_HOUR:
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(round(whole / _SECONDS_A_MINUTE), _MINUTES_AN_HOUR)
    return f"{hours} h {minutes:02d} min"


def size(count: int) -> str:
    """Bytes for people: ``1.5 MB``, ``2.31 GB``."""
    return f"{count / _GB:.2f} GB" if count >= _GB else f"{count / _MB:.1f} MB"
