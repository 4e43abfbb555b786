"""Qualities of metaphases, from the spread that a person would choose to the clump that is none."""

from __future__ import annotations

from enum import StrEnum


class Quality(StrEnum):
    """What became of a dividing cell on the slide.

    ``SPREAD``: all chromosomes, few contacts. ``TIGHT``: many touch or overlap. ``INCOMPLETE``: some were lost.
    ``BLURRED``: poorly banded, fuzzy outlines. ``COVERED``: a nucleus lies upon it. ``PROPHASE``: long, thin,
    tangled. ``BURST``: flung apart and pale, many lost. ``CLUMP``: pyknotic, a dark lump; no metaphase at all.
    """

    SPREAD = "spread"
    TIGHT = "tight"
    INCOMPLETE = "incomplete"
    BLURRED = "blurred"
    COVERED = "covered"
    PROPHASE = "prophase"
    BURST = "burst"
    CLUMP = "clump"

    @property
    def is_analysable(self) -> bool:
        """Whether a person would karyotype such a cell: a spread one only."""
        return self is Quality.SPREAD

    @property
    def is_metaphase(self) -> bool:
        """Whether it is a metaphase at all, whatever can be done with it."""
        return self is not Quality.CLUMP


QualityMixture = tuple[tuple[Quality, float], ...]
"""Qualities with their weights; weights need not sum to 1."""

SPREAD_ONLY: QualityMixture = ((Quality.SPREAD, 1.0),)

CLINICAL: QualityMixture = (
    (Quality.SPREAD, 0.42),
    (Quality.TIGHT, 0.16),
    (Quality.INCOMPLETE, 0.1),
    (Quality.BLURRED, 0.08),
    (Quality.COVERED, 0.06),
    (Quality.PROPHASE, 0.07),
    (Quality.BURST, 0.04),
    (Quality.CLUMP, 0.07),
)
"""A mixture as on a slide of a routine preparation; weights are an estimate, not counted."""


def parse_qualities(text: str) -> QualityMixture:
    """Read a mixture: ``"clinical"``, or qualities with weights such as ``"spread=0.6; tight=0.4"``.

    Raises
    ------
    ValueError
        A quality is unknown or a weight is no number.
    """
    if text.strip() == "clinical":
        return CLINICAL
    mixture = []
    for part in text.split(";"):
        name, _, weight = part.partition("=")
        try:
            mixture.append((Quality(name.strip()), float(weight or 1.0)))
        except ValueError as error:
            known = ", ".join(quality.value for quality in Quality)
            raise ValueError(f"quality {part.strip()!r}: write QUALITY=WEIGHT, qualities are {known}") from error
    return tuple(mixture)


def format_qualities(mixture: QualityMixture) -> str:
    """Write a mixture as `parse_qualities` reads it."""
    return "; ".join(f"{quality.value}={weight:g}" for quality, weight in mixture)
