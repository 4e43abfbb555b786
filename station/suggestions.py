"""The nearest allowed name to one that isn't allowed."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Final

MIN_SIMILARITY: Final = 0.6
"""Ratio of equal characters; `difflib`'s own, at which a swapped or a forgotten letter still matches."""


def nearest_name(name: str, allowed: Iterable[str]) -> str | None:
    """The allowed name that a person most likely meant; None where none is near.

    Parameters
    ----------
    name
        As it was written.
    allowed
        Names to choose from.
    """
    names = {each.lower(): each for each in allowed}
    matches = get_close_matches(name.lower(), names, n=1, cutoff=MIN_SIMILARITY)
    return names[matches[0]] if matches else None


def not_allowed(subject: str, name: str, allowed: Iterable[str], *, more: str = "") -> str:
    """The refusal of a name: what was given, what is allowed, and what was likely meant.

    Parameters
    ----------
    subject
        Option or argument, or what kind of thing the name stands for.
    name
        As it was written.
    allowed
        Names that would do.
    more
        Something else that would do, such as ``"or a folder"``.
    """
    names = tuple(allowed)
    nearest = nearest_name(name, names)
    suggestion = f"; did you mean {nearest!r}?" if nearest is not None else ""
    choices = ", ".join(names) + (f", {more}" if more else "")
    return f"{subject}: found {name!r}; allowed: {choices}{suggestion}"
