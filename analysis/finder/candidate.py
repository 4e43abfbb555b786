"""A place on a field that may be a metaphase."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CellQuality:
    """How well a cell is likely to karyotype, part by part.

    Attributes
    ----------
    spread
        In [0, 1]: 0 for a tight clump, 1 where every chromosome lies by itself.
    overlap
        In [0, 1]: fraction of the chromosomes that touch or cross others.
    completeness
        In [0, 1]: fraction of a whole set of chromosomes that lies together.
    contrast
        In [0, 1]: how far the chromosomes stand out.
    chromosomes
        Estimate of their number; at 10x no better than that.
    """

    spread: float
    overlap: float
    completeness: float
    contrast: float
    chromosomes: float


@dataclass(frozen=True, slots=True)
class Candidate:
    """A metaphase candidate in image coordinates.

    Attributes
    ----------
    x_px, y_px
        Centre, in px of the image that was given.
    radius_px
        Radius of the circle that holds its chromosomes.
    score
        In [0, 1]; at 0.5 it is as likely a metaphase as not.
    analysable
        Probability in [0, 1] that a karyotype can be made of it; None where the finder doesn't estimate it.
    quality
        Parts of the score; None where the finder doesn't estimate them.
    rank
        What candidates are ordered by, the highest first; the score where nothing else is given.
    """

    x_px: float
    y_px: float
    radius_px: float
    score: float
    analysable: float | None = None
    quality: CellQuality | None = None
    rank: float = -1.0

    def __post_init__(self) -> None:
        """Rank by the score where nothing else was given."""
        if self.rank < 0.0:
            object.__setattr__(self, "rank", self.score)
