"""Which chromosomes a cell has, and how ISCN writes it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from simulators.specimen.bands import CHROMOSOME_NAMES

_AUTOSOMES = CHROMOSOME_NAMES[:22]

ABNORMAL: tuple[tuple[tuple[str, ...], str, float], ...] = (
    (("21",), "", 0.45),
    (("18",), "", 0.15),
    (("13",), "", 0.1),
    ((), "X", 0.1),
    ((), "XXY", 0.1),
    ((), "XYY", 0.05),
    ((), "XXX", 0.05),
)
"""Whole-chromosome aneuploidies: extra autosomes, sex chromosomes (empty: a normal pair), share among them."""


def chromosomes_of(*, sex: str = "XX", extra: Sequence[str] = (), missing: Sequence[str] = ()) -> tuple[str, ...]:
    """Chromosomes of a cell, in the order of a karyogram.

    Parameters
    ----------
    sex
        Its sex chromosomes, for instance ``"XX"``, ``"XY"``, ``"X"`` or ``"XXY"``.
    extra, missing
        Autosomes gained and lost.

    Raises
    ------
    ValueError
        A name isn't an autosome's, or more is missing than there is.
    """
    counts = Counter(dict.fromkeys(_AUTOSOMES, 2))
    for names, step in ((extra, 1), (missing, -1)):
        for name in names:
            if name not in _AUTOSOMES:
                raise ValueError(f"{name!r} is not an autosome")
            counts[name] += step
    counts.update(sex)
    if min(counts.values()) < 0:
        raise ValueError(f"more is missing than there is: {', '.join(missing)}")
    return tuple(name for name in CHROMOSOME_NAMES for _ in range(counts[name]))


def iscn_of(chromosomes: Sequence[str]) -> str:
    """ISCN string of a cell with whole-chromosome gains and losses only, such as ``47,XY,+21``."""
    counts = Counter(chromosomes)
    sex = "X" * counts["X"] + "Y" * counts["Y"]
    parts = [str(sum(counts.values())), sex or "?"]
    for name in _AUTOSOMES:
        difference = counts[name] - 2
        parts.extend([f"{'+' if difference > 0 else '-'}{name}"] * abs(difference))
    return ",".join(parts)


def draw_chromosomes(rng: np.random.Generator, abnormal_fraction: float = 0.0) -> tuple[str, ...]:
    """Draw a cell: normal female or male, or with this probability one of `ABNORMAL`."""
    sex = "XX" if rng.random() < 0.5 else "XY"
    if rng.random() >= abnormal_fraction:
        return chromosomes_of(sex=sex)
    shares = np.array([share for _, _, share in ABNORMAL])
    extra, abnormal_sex, _ = ABNORMAL[int(rng.choice(len(ABNORMAL), p=shares / shares.sum()))]
    return chromosomes_of(sex=abnormal_sex or sex, extra=extra)
