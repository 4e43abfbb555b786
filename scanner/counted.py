"""Numbers of things, for people."""

from __future__ import annotations


def counted(number: int, noun: str) -> str:
    """A number with its noun: ``1 slide``, ``2 slides``, ``12,000 fields``.

    Parameters
    ----------
    number
        How many.
    noun
        What, in the singular; its plural ends in s.
    """
    return f"{number:,} {noun}{'s' * (number != 1)}"
