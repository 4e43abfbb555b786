"""The ISCN band tables (GRCh38) that chromosomes are drawn from.

The tables come from the ideogram package (CC0); the notice stands beside them.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib import resources

CHROMOSOME_NAMES: tuple[str, ...] = (*(str(number) for number in range(1, 23)), "X", "Y")
"""The 24 classes, in the order of a karyogram."""

ACROCENTRIC: frozenset[str] = frozenset({"13", "14", "15", "21", "22"})
"""Chromosomes whose short arm is a stalk with a satellite."""

RESOLUTIONS: tuple[int, ...] = (400, 550, 850)
"""Bands a haploid set for which there is a table."""


class Stain(StrEnum):
    """How a band takes the Giemsa stain."""

    NEGATIVE = "gneg"
    POSITIVE = "gpos"
    CENTROMERE = "acen"
    VARIABLE = "gvar"
    STALK = "stalk"


@dataclass(frozen=True, slots=True)
class Band:
    """One band.

    Attributes
    ----------
    arm
        ``"p"`` or ``"q"``.
    name
        ISCN band without chromosome and arm, for instance ``"36.33"``.
    start, stop
        ISCN coordinates, arbitrary units of length from the tip of the short arm.
    stain
        Kind of band.
    density
        Darkness in [0, 1]; 0 for a kind that has none of its own.
    """

    arm: str
    name: str
    start: float
    stop: float
    stain: Stain
    density: float


@cache
def bands_of(chromosome: str, resolution: int = 850) -> tuple[Band, ...]:
    """Bands of a chromosome, from the tip of the short arm to the tip of the long one.

    Parameters
    ----------
    chromosome
        ``"1"`` .. ``"22"``, ``"X"`` or ``"Y"``.
    resolution
        400, 550 or 850 bands a haploid set.

    Raises
    ------
    ValueError
        There is no such chromosome or no such table.
    """
    if chromosome not in CHROMOSOME_NAMES:
        raise ValueError(f"no chromosome {chromosome!r}; there are {', '.join(CHROMOSOME_NAMES)}")
    if resolution not in RESOLUTIONS:
        raise ValueError(f"no band table of {resolution} bands; there are {RESOLUTIONS}")
    return _tables(resolution)[chromosome]


@cache
def _tables(resolution: int) -> dict[str, tuple[Band, ...]]:
    table = resources.files("simulators.specimen").joinpath("bands", f"bands_{resolution}.tsv")
    rows: dict[str, list[Band]] = {name: [] for name in CHROMOSOME_NAMES}
    for row in csv.DictReader(table.read_text(encoding="utf-8").splitlines(), delimiter="\t"):
        rows[row["chromosome"]].append(
            Band(
                arm=row["arm"],
                name=row["band"],
                start=float(row["iscn_start"]),
                stop=float(row["iscn_stop"]),
                stain=Stain(row["stain"]),
                density=float(row["density"] or 0.0) / 100.0,
            )
        )
    return {name: tuple(bands) for name, bands in rows.items()}
