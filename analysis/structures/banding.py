"""The banding that a metaphase shows, and how fine it is."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

WARNING_CONFIDENCE: Final = 0.9
"""Confidence from which on a mismatch with the protocol is warned of: one warning in ten may be wrong."""
_LEVEL_REACHED: Final = 0.93
"""Fraction of a table's bands from which on its level is reached: the low end of four drawn cells in five."""

LEVELS: Final = (400, 550, 850)


class BandingKind(StrEnum):
    """Techniques, by the names that protocols use; ``NONE``: solid stain."""

    G = "G"
    Q = "Q"
    R = "R"
    DAPI = "DAPI"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class BandingEstimate:
    """What banding a cell shows.

    Attributes
    ----------
    kind
        The likeliest one; None where there are too few chromosomes, or none is clearly the likeliest.
    confidence
        In [0, 1].
    text
        Why, in one sentence.
    likeness
        Mean correlation of the chromosomes with each technique's bands, by name; empty where none was compared.
    """

    kind: BandingKind | None
    confidence: float
    text: str
    likeness: dict[str, float]

    def mismatch_warning(self, protocol: str) -> str | None:
        """Text of the warning where a protocol names another banding; None where there is none.

        The protocol's banding is the one that counts: this never changes it.
        """
        if self.kind is None or self.kind.value == protocol or self.confidence < WARNING_CONFIDENCE:
            return None
        if self.kind is BandingKind.NONE:
            return f"the protocol says {protocol} bands, but {self.text}"
        return f"the protocol says {protocol} bands, but they resemble {self.kind.value} bands"


@dataclass(frozen=True, slots=True)
class BandLevel:
    """How finely a cell is banded.

    Attributes
    ----------
    bands
        Bands a haploid set.
    low, high
        Four in five of the drawn cells lie within.
    counted
        Extremes that were counted, for a haploid set.
    """

    bands: int
    low: int
    high: int
    counted: float

    @property
    def level(self) -> str:
        """The finest table whose bands can be counted: "below 400", "400", "550" or "850"."""
        reached = [level for level in LEVELS if self.bands >= _LEVEL_REACHED * level]
        return str(reached[-1]) if reached else "below 400"
