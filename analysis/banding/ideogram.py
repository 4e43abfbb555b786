"""Ideograms: the bands of each chromosome as ISCN draws them, for reference and for comparison.

The tables (GRCh38, 400, 550 and 850 bands) come from the ideogram package (CC0); the notice stands beside them.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Final

import numpy as np
from numpy.typing import NDArray

from analysis.structures.classes import CLASS_NAMES

RESOLUTIONS: Final = (400, 550, 850)
SHORT_ARM_FRACTION: Final = {"13": 0.16, "14": 0.16, "15": 0.16, "21": 0.24, "22": 0.28}
"""Short arms of the acrocentric chromosomes as they look: in ISCN coordinates they are far too long."""
_PERCENT: Final = 100.0
_DARKNESS: Final = {"gneg": 0.0, "gvar": 0.5, "acen": 0.5, "stalk": 0.1}


@dataclass(frozen=True, slots=True)
class IdeogramBand:
    """One band.

    Attributes
    ----------
    name
        Arm and band, such as "q21.3".
    start, stop
        Fraction of the chromosome's length from the tip of the short arm.
    darkness
        0 white to 1 black under G-banding.
    stain
        "gneg", "gpos", "gvar", "acen" or "stalk".
    """

    name: str
    start: float
    stop: float
    darkness: float
    stain: str


@dataclass(frozen=True, slots=True)
class Ideogram:
    """Bands of one chromosome from the tip of the short arm, and its centromere (fraction of the length)."""

    bands: tuple[IdeogramBand, ...]
    centromere: float

    def darkness(self, count: int) -> NDArray[np.float64]:
        """Darkness at so many places from tip to tip: float64, shape (count,)."""
        at = (np.arange(count) + 0.5) / count
        edges = np.array([band.stop for band in self.bands])
        index = np.minimum(np.searchsorted(edges, at), len(self.bands) - 1)
        return np.array([band.darkness for band in self.bands])[index]

    def band_at(self, fraction: float) -> str:
        """Name of the band at a fraction of the length."""
        return next((band.name for band in self.bands if fraction <= band.stop), self.bands[-1].name)


@cache
def ideogram(class_name: str, resolution: int = 550) -> Ideogram:
    """Ideogram of a chromosome.

    Parameters
    ----------
    class_name
        "1".."22", "X" or "Y".
    resolution
        Bands a haploid set: 400, 550 or 850.

    Raises
    ------
    ValueError
        There is no such chromosome or no such table.
    """
    if class_name not in CLASS_NAMES or resolution not in RESOLUTIONS:
        raise ValueError(f"no ideogram of chromosome {class_name!r} at {resolution} bands")
    return _tables(resolution)[class_name]


@cache
def _tables(resolution: int) -> dict[str, Ideogram]:
    table = resources.files("analysis.banding").joinpath("bands", f"bands_{resolution}.tsv")
    rows: dict[str, list[dict[str, str]]] = {}
    for row in csv.DictReader(table.read_text(encoding="utf-8").splitlines(), delimiter="\t"):
        rows.setdefault(row["chromosome"], []).append(row)
    return {name: _ideogram(name, own) for name, own in rows.items()}


def _ideogram(name: str, rows: list[dict[str, str]]) -> Ideogram:
    end = float(rows[-1]["iscn_stop"])
    middle = next(float(row["iscn_start"]) for row in rows if row["arm"] == "q")
    centromere = SHORT_ARM_FRACTION.get(name, middle / end)

    def fraction(at: float) -> float:
        if at <= middle:
            return at / middle * centromere
        return centromere + (at - middle) / (end - middle) * (1.0 - centromere)

    bands = tuple(
        IdeogramBand(
            row["arm"] + row["band"],
            fraction(float(row["iscn_start"])),
            fraction(float(row["iscn_stop"])),
            float(row["density"]) / _PERCENT if row["stain"] == "gpos" else _DARKNESS[row["stain"]],
            row["stain"],
        )
        for row in rows
    )
    return Ideogram(bands, centromere)
