"""Pairs of homologues whose bands differ: candidates for a structural change, with where."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d

from analysis.banding.ideogram import ideogram
from analysis.homologues.features import against_cell, pair_evidence
from analysis.homologues.rearrangement_fit import NAMED
from analysis.homologues.rearrangements import BINS, trials
from analysis.homologues.reference_statistics import INNER, HomologueStatistics, load_homologue_statistics
from analysis.homologues.traces import Traces, traces_of
from analysis.structures.band_reading import HomologueDifference, Rearrangement
from analysis.structures.classes import CLASS_NAMES
from analysis.structures.crop import ChromosomeCrop


@dataclass(frozen=True, slots=True)
class ComparisonSettings:
    """Hand-set numbers of the comparison of homologues.

    Attributes
    ----------
    explained_nats
        Nats from which on a rearrangement explains a difference; 3 are odds of twenty to one.
    polymorphism_nats
        Nats by which a polymorphism may explain less than a structural change and still be believed: it is by far
        the more frequent.
    window_bins
        Width of the stretch that is named where nothing explains the difference: a sixth of a chromosome.
    band_table
        Bands of the ideogram that stretches are named by: what good metaphases show.
    edge_bins
        Bins inward of its ends at which the bands of a stretch are read, lest an end name the band beside.
    """

    explained_nats: float = 3.0
    polymorphism_nats: float = 2.0
    window_bins: int = 10
    band_table: int = 550
    edge_bins: float = 0.125


_SETTINGS: Final = ComparisonSettings()


def compare_homologues(
    crops: Sequence[ChromosomeCrop],
    flipped: Sequence[bool],
    classes: Sequence[str],
    reference: HomologueStatistics | None = None,
    covariates: NDArray[np.floating] | None = None,
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
    reference
        Other statistics than the product's.
    covariates
        Shape (n, `CUT_COVARIATES`): how the chromosomes were cut, see `CutQuality.covariates`; None where they
        count as well cut.

    Returns
    -------
    tuple of HomologueDifference
        One a class with two chromosomes or more, in the order of the karyogram.
    """
    if not crops:
        return ()
    return compare_traces(traces_of(crops, flipped), classes, reference or load_homologue_statistics(), covariates)


def compare_traces(
    traces: Traces,
    classes: Sequence[str],
    reference: HomologueStatistics,
    covariates: NDArray[np.floating] | None = None,
) -> tuple[HomologueDifference, ...]:
    """Compare homologues whose traces are measured; see `compare_homologues`.

    Parameters
    ----------
    traces
        Of the chromosomes of one cell.
    classes
        Their class names; what has none of the 24 is left out.
    reference
        How normal pairs differ.
    covariates
        Shape (n, `CUT_COVARIATES`): how the chromosomes were cut; None where they count as well cut.

    Returns
    -------
    tuple of HomologueDifference
        One a class with two chromosomes or more, in the order of the karyogram.
    """
    pairs, kinds = pairs_of(classes)
    if len(pairs) == 0:
        return ()
    ordered = _in_order(traces, pairs)
    evidence = pair_evidence(traces, ordered, kinds, reference)
    weighted = against_cell(evidence.features, kinds, reference) @ reference.feature_weight
    score = reference.standardised_scores(weighted, None if covariates is None else covariates[pairs].max(axis=1))
    best: dict[int, int] = {}
    for row in np.argsort(-score, kind="stable"):
        best.setdefault(int(kinds[row]), int(row))
    made = []
    for kind, row in sorted(best.items()):
        start, stop, change = _located(evidence.gain[row], evidence.trial[row], evidence.residual[row])
        made.append(
            HomologueDifference(
                class_name=CLASS_NAMES[kind],
                rows=(int(pairs[row, 0]), int(pairs[row, 1])),
                changed_row=int(ordered[row, evidence.changed[row]]),
                score=float(score[row]),
                p_value=reference.p_value(float(score[row])),
                flagged=bool(score[row] >= reference.threshold) and change is not Rearrangement.POLYMORPHISM,
                kind=change,
                start=start,
                stop=stop,
                where=band_range(CLASS_NAMES[kind], start, stop),
            )
        )
    return tuple(made)


def pairs_of(classes: Sequence[str]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """All pairs of one class: rows, shape (n, 2), and class indices, shape (n,)."""
    counts = Counter(classes)
    index_pairs = [
        (index, pair)
        for index, name in enumerate(CLASS_NAMES)
        if counts[name] > 1
        for pair in combinations([row for row, other in enumerate(classes) if other == name], 2)
    ]
    rows = np.array([pair for _, pair in index_pairs], dtype=np.intp).reshape(-1, 2)
    return rows, np.array([index for index, _ in index_pairs], dtype=np.intp)


def band_range(class_name: str, start: float, stop: float) -> str:
    """Name a stretch by the bands at its ends, such as "5q13-q22", "7q35-qter" or "Xp21".

    Parameters
    ----------
    class_name
        "1".."22", "X" or "Y".
    start, stop
        Fractions of the length from the tip of the short arm.
    """
    drawn = ideogram(class_name, _SETTINGS.band_table)
    half, edge = 0.5 / BINS, _SETTINGS.edge_bins / BINS
    first = "pter" if start <= half else _plain(drawn.band_at(start + edge))
    last = "qter" if stop >= 1.0 - half else _plain(drawn.band_at(stop - edge))
    return f"{class_name}{first}" if first == last else f"{class_name}{first}-{last}"


def _plain(band: str) -> str:
    return band.split(".")[0]


def _in_order(traces: Traces, pairs: NDArray[np.intp]) -> NDArray[np.intp]:
    """The longer one first, so that the order in which they are listed makes no difference."""
    first, second = pairs.T
    key = np.stack([traces.log_length, traces.bands[:, 1:].astype(np.float64) @ np.arange(BINS - 1)])
    swap = (key[0, second] > key[0, first]) | (
        (key[0, second] == key[0, first]) & (key[1, second] > key[1, first])
    )
    return np.where(swap[:, None], pairs[:, ::-1], pairs)


def _located(
    gain: NDArray[np.float64], trial: NDArray[np.intp], residual: NDArray[np.float32]
) -> tuple[float, float, Rearrangement]:
    best = int(np.argmax(gain[:-1]))
    if gain[-1] >= max(_SETTINGS.explained_nats, gain[best] - _SETTINGS.polymorphism_nats):
        best = len(gain) - 1
    if gain[best] >= _SETTINGS.explained_nats:
        chosen = int(trial[best])
        tried = trials()
        return float(tried.start[chosen]), float(tried.stop[chosen]), NAMED[best]
    # Nothing explains it: where they differ most for what is normal there.
    density = np.zeros(BINS)
    density[INNER] = np.square(residual[INNER].astype(np.float64))
    middle = int(np.argmax(uniform_filter1d(density, _SETTINGS.window_bins, mode="constant")))
    low, high = max(middle - _SETTINGS.window_bins // 2, 0), min(middle + _SETTINGS.window_bins // 2, BINS)
    return low / BINS, high / BINS, Rearrangement.UNNAMED
