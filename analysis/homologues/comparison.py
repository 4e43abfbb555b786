"""Pairs of homologues whose bands differ: candidates for a structural change, with where."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import combinations
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d

from analysis.banding.ideogram import ideogram
from analysis.homologues.features import NAMED, Traces, against_cell, pair_evidence, traces_of
from analysis.homologues.rearrangements import BINS, trials
from analysis.homologues.reference_statistics import INNER, HomologueStatistics, load_homologue_statistics
from analysis.structures.band_reading import HomologueDifference, Rearrangement
from analysis.structures.classes import CLASS_NAMES
from analysis.structures.crop import ChromosomeCrop

EXPLAINED_FROM: Final = 3.0
"""Nats from which on a rearrangement is said to explain a difference."""
BENEFIT_OF_DOUBT: Final = 2.0
"""Nats by which a polymorphism may explain less than a structural change and still be believed."""
WINDOW_BINS: Final = 10
TABLE: Final = 550
"""Bands of the table that places are named by."""


def compare_homologues(
    crops: Sequence[ChromosomeCrop],
    flipped: Sequence[bool],
    classes: Sequence[str],
    norms: HomologueStatistics | None = None,
    wear: NDArray[np.floating] | None = None,
) -> tuple[HomologueDifference, ...]:
    """Compare the homologues of one cell.

    Parameters
    ----------
    crops
        Straightened chromosomes of the cell, G-banded.
    flipped
        True where the short arm is down.
    classes
        Class names; what has none of the 24 is left out.
    norms
        Other ones than the product's.
    wear
        How the chromosomes were cut, see `CutFigures.wear`; None where they count as well cut.

    Returns
    -------
    tuple of HomologueDifference
        One a class with two chromosomes or more, in the order of the karyogram.
    """
    if not crops:
        return ()
    return compare_traces(traces_of(crops, flipped), classes, norms or load_homologue_statistics(), wear)


def compare_traces(
    traces: Traces, classes: Sequence[str], norms: HomologueStatistics, wear: NDArray[np.floating] | None = None
) -> tuple[HomologueDifference, ...]:
    """Compare homologues whose traces are known; see `compare_homologues`."""
    pairs, kinds = pairs_of(classes)
    if len(pairs) == 0:
        return ()
    ordered = _in_order(traces, pairs)
    evidence = pair_evidence(traces, ordered, kinds, norms)
    weighed = against_cell(evidence.features, kinds, norms) @ norms.weight
    score = norms.over_usual(weighed, None if wear is None else wear[pairs].max(axis=1))
    best: dict[int, int] = {}
    for row in np.argsort(-score, kind="stable"):
        best.setdefault(int(kinds[row]), int(row))
    made = []
    for kind, row in sorted(best.items()):
        start, stop, change = _place(evidence.gain[row], evidence.trial[row], evidence.residual[row])
        made.append(
            HomologueDifference(
                CLASS_NAMES[kind],
                (int(pairs[row, 0]), int(pairs[row, 1])),
                int(ordered[row, evidence.changed[row]]),
                float(score[row]),
                norms.rarity(float(score[row])),
                bool(score[row] >= norms.threshold) and change is not Rearrangement.POLYMORPHISM,
                change,
                start,
                stop,
                region(CLASS_NAMES[kind], start, stop),
            )
        )
    return tuple(made)


def pairs_of(classes: Sequence[str]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """All pairs of one class: rows, shape (n, 2), and class indices, shape (n,)."""
    counts = Counter(classes)
    found = [
        (index, pair)
        for index, name in enumerate(CLASS_NAMES)
        if counts[name] > 1
        for pair in combinations([row for row, other in enumerate(classes) if other == name], 2)
    ]
    rows = np.array([pair for _, pair in found], dtype=np.intp).reshape(-1, 2)
    return rows, np.array([index for index, _ in found], dtype=np.intp)


def region(class_name: str, start: float, stop: float) -> str:
    """Name a stretch by the bands at its ends, such as "5q13-q22", "7q35-qter" or "Xp21"."""
    drawn = ideogram(class_name, TABLE)
    half = 0.5 / BINS
    first = "pter" if start <= half else _plain(drawn.band_at(start + 0.25 * half))
    last = "qter" if stop >= 1.0 - half else _plain(drawn.band_at(stop - 0.25 * half))
    return f"{class_name}{first}" if first == last else f"{class_name}{first}-{last}"


def _plain(band: str) -> str:
    return band.split(".")[0]


def _in_order(traces: Traces, pairs: NDArray[np.intp]) -> NDArray[np.intp]:
    """The longer one first, so that the order in which they were found makes no difference."""
    first, second = pairs.T
    key = np.stack([traces.log_length, traces.bands[:, 1:].astype(np.float64) @ np.arange(BINS - 1)])
    swap = (key[0, second] > key[0, first]) | (
        (key[0, second] == key[0, first]) & (key[1, second] > key[1, first])
    )
    return np.where(swap[:, None], pairs[:, ::-1], pairs)


def _place(
    gain: NDArray[np.float64], trial: NDArray[np.intp], residual: NDArray[np.float32]
) -> tuple[float, float, Rearrangement]:
    best = int(np.argmax(gain[:-1]))
    if gain[-1] >= max(EXPLAINED_FROM, gain[best] - BENEFIT_OF_DOUBT):
        best = len(gain) - 1
    if gain[best] >= EXPLAINED_FROM:
        chosen = int(trial[best])
        tried = trials()
        return float(tried.start[chosen]), float(tried.stop[chosen]), NAMED[best]
    # Nothing explains it: where they differ most for what is normal there.
    density = np.zeros(BINS)
    density[INNER] = np.square(residual[INNER].astype(np.float64))
    middle = int(np.argmax(uniform_filter1d(density, WINDOW_BINS, mode="constant")))
    low, high = max(middle - WINDOW_BINS // 2, 0), min(middle + WINDOW_BINS // 2, BINS)
    return low / BINS, high / BINS, Rearrangement.UNNAMED
