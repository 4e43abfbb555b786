"""Lengths of the chromosome classes relative to the haploid set."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

RELATIVE_LENGTH: Mapping[str, float] = MappingProxyType(
    {
        "1": 8.44,
        "2": 8.02,
        "3": 6.83,
        "4": 6.30,
        "5": 6.08,
        "6": 5.90,
        "7": 5.36,
        "8": 4.93,
        "9": 4.80,
        "10": 4.59,
        "11": 4.61,
        "12": 4.66,
        "13": 3.74,
        "14": 3.56,
        "15": 3.46,
        "16": 3.36,
        "17": 3.25,
        "18": 2.93,
        "19": 2.67,
        "20": 2.56,
        "21": 1.90,
        "22": 2.04,
        "X": 5.12,
        "Y": 2.15,
    }
)
"""Length in percent of the haploid set of autosomes (ISCN 1985, Harnden and Klinger); area follows length."""
