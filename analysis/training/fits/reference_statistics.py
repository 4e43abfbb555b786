"""Learn what differences between normal homologues are, and how to weigh them.

Means and covariances come from normal cells. The weights come from the same pairs with one of both rearranged on
its profile (cut and pasted: real bands, simulated change) against the pairs as they are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from analysis.datasets.gband612 import gband612_cells
from analysis.datasets.tseng import load_tseng_for_training
from analysis.errors import NoMetaphaseError
from analysis.homologues.alignment import align
from analysis.homologues.comparison import pairs_of
from analysis.homologues.cut_quality import measure_cut_quality
from analysis.homologues.features import FEATURES, against_cell, pair_evidence
from analysis.homologues.rearrangements import BINS
from analysis.homologues.reference_statistics import (
    CUT_COVARIATES,
    INNER,
    WELL_CUT,
    HomologueStatistics,
    loosened,
    standardised,
)
from analysis.homologues.traces import Traces, traces_of
from analysis.imaging.image_file import read_image
from analysis.karyotyping.pipeline import Karyotyper
from analysis.parameters.manifest import Manifest, ParameterKind
from analysis.parameters.names import ParameterSetName
from analysis.parameters.store import write_parameters
from analysis.straightening.crops import crops_of_cell, cut_instances, object_from_picture
from analysis.structures.banding import BandingKind
from analysis.structures.classes import CLASS_NAMES, UNCLASSIFIED

NORMAL_COUNT: Final = 46
POOLED: Final = 60.0
"""Pairs that the pooled covariance counts for beside a class's own."""
GRAIN: Final = 0.02
ROUNDS: Final = 2
FOLDS: Final = 2
TAIL_STEPS: Final = 257
RIDGE: Final = 2.0
TAIL_BEND: Final = 0.1
TAIL_END: Final = 5e-4
"""Fractions of the normal pairs: evenly spaced down to the first, by equal factors down to the second."""
LEAST_LENGTH_SPREAD: Final = 0.04
"""Of the logarithm of two lengths' ratio: what the outline alone makes of equal chromosomes."""
MEDIAN_AND_UPPER: Final = (0.5, 0.84)
"""Quantiles: the median, and a standard deviation above it in a normal distribution."""
LEAST_FEATURE_SPREAD: Final = 0.3
"""Of a class, in the spread of all classes: few pairs may lie closer together by chance."""
SHORT_ARM_LOSSES: Final = 0.3
"""Fraction of the simulated terminal deletions that take the short arm's end."""
EXCHANGED_SPREAD: Final = 0.35
"""Of the logarithm of the ratio of two exchanged stretches in a simulated translocation."""


@dataclass(frozen=True, slots=True)
class NormalCell:
    """Traces of a normal cell, the classes of its chromosomes, and their cuts (see `CutQuality.covariates`)."""

    traces: Traces
    classes: tuple[str, ...]
    covariates: NDArray[np.float64] | None = None


class SimulatedChange(StrEnum):
    """Simulated changes."""

    TERMINAL = "terminal deletion"
    INTERSTITIAL = "interstitial deletion"
    DUPLICATION = "duplication"
    INVERSION = "inversion"
    TRANSLOCATION = "translocation"


def fit_homologue_statistics(
    normal_cells: Sequence[NormalCell], *, seed: int = 0, false_flags: float = 0.02
) -> HomologueStatistics:
    """Learn statistics and weights; `statistics_by_cuts` then sets what depends on the cut.

    Parameters
    ----------
    normal_cells
        Normal cells, all of one banding.
    seed
        Of the simulated changes.
    false_flags
        Share of these pairs above the threshold; `statistics_by_cuts` sets it by other cells.
    """
    rng = np.random.default_rng(seed)
    normal, changed = [], []
    for part in range(FOLDS):
        # Of the very cells that the covariances come from every residual looks small.
        known = _figures([cell for number, cell in enumerate(normal_cells) if number % FOLDS != part])
        for cell in normal_cells[part::FOLDS]:
            pairs, kinds = pairs_of(cell.classes)
            if len(pairs):
                normal.append((_features(cell, pairs, kinds, known), kinds))
                changed.append(_features(_spoilt(cell, pairs, rng), pairs, kinds, known))
    statistics = _with_usual(_figures(normal_cells), normal)
    plain = np.concatenate([against_cell(features, kinds, statistics) for features, kinds in normal])
    spoilt = np.concatenate(
        [
            _one_at_a_time(features, new, kinds, statistics)
            for (features, kinds), new in zip(normal, changed, strict=True)
        ]
    )
    statistics = replace(statistics, feature_weight=_weights(plain, spoilt))
    return with_threshold(
        statistics, statistics.standardised_scores(plain @ statistics.feature_weight, None), false_flags
    )


def normal_cells(folder: Path, split: str, step: int = 1) -> Iterator[NormalCell]:
    """Cells of gband612 with 46 chromosomes, every ``step``-th of the split.

    Parameters
    ----------
    folder
        Of the set.
    split
        ``"train"`` or ``"val"``.
    step
        One of so many cells is taken.

    Raises
    ------
    DatasetError
        If the set isn't there or has no such split.
    """
    for cell in islice(gband612_cells(folder, split), 0, None, step):
        if len(cell.classes) == NORMAL_COUNT:
            crops = crops_of_cell([object_from_picture(picture) for picture in cell.pictures])
            yield NormalCell(traces_of(crops, [False] * len(crops)), cell.classes)


def tseng_pictures(folder: Path, split: str, count: int) -> tuple[Path, ...]:
    """Pictures of the Tseng set, of as many cases as there are: the first of each, then the second.

    Parameters
    ----------
    folder
        Of the set.
    split
        ``"train"`` or ``"val"``.
    count
        Most pictures.

    Raises
    ------
    DatasetError
        If the set isn't there or has no such split.
    """
    seen: Counter[str] = Counter()
    ranked = []
    for entry in load_tseng_for_training(folder, split):
        ranked.append((seen[entry.case], entry.case, entry.path))
        seen[entry.case] += 1
    return tuple(path for _, _, path in sorted(ranked)[:count])


def own_cut_cells(images: Iterable[Path], karyotyper: Karyotyper) -> Iterator[NormalCell]:
    """Cells as the software cuts them; what it wouldn't compare has no class.

    Cells with structural changes among them aren't told apart: of a laboratory's cells they are few, and the
    threshold is the higher for them.

    Parameters
    ----------
    images
        Paths of pictures.
    karyotyper
        Cuts and names their chromosomes.
    """
    for path in images:
        image = read_image(path)
        try:
            karyotype = karyotyper.karyotype(image)
        except NoMetaphaseError:
            continue
        seen = karyotype.banding
        if not karyotype.verdict.readable or seen is None or seen.kind is not BandingKind.G:
            continue
        entries = karyotype.chromosomes
        instances = [entry.instance for entry in entries]
        crops = crops_of_cell(cut_instances(image, karyotype.background, instances))
        names, flipped = [entry.class_name for entry in entries], [entry.flipped for entry in entries]
        cuts = measure_cut_quality(crops, names, instances)
        doubtful = {row for each in karyotype.bands.not_compared for row, _ in each.defects}
        fit = tuple(UNCLASSIFIED if row in doubtful else name for row, name in enumerate(names))
        yield NormalCell(traces_of(crops, flipped), fit, cuts.covariates)


def statistics_by_cuts(
    statistics: HomologueStatistics, normal_cells: Sequence[NormalCell], false_flags: float = 0.025
) -> HomologueStatistics:
    """The statistics with what the cut does to normal pairs, the tail and the threshold, all from other cells.

    Parameters
    ----------
    statistics
        What is normal.
    normal_cells
        Cells none of whose figures the statistics hold.
    false_flags
        Share of their pairs above the threshold.
    """
    scores, covariates = [], []
    for cell in normal_cells:
        pairs, kinds = pairs_of(cell.classes)
        if len(pairs):
            scores.append(
                against_cell(_features(cell, pairs, kinds, statistics), kinds, statistics)
                @ statistics.feature_weight
            )
            known = np.tile(WELL_CUT, (len(cell.classes), 1)) if cell.covariates is None else cell.covariates
            covariates.append(known[pairs].max(axis=1))
    weighed, worse = np.concatenate(scores), np.concatenate(covariates)
    design = np.column_stack([worse, np.ones(len(worse))])
    level = np.linalg.lstsq(design, weighed, rcond=None)[0]
    spread = np.linalg.lstsq(design, np.abs(weighed - design @ level), rcond=None)[0]
    known_cuts = replace(statistics, cut_level=level.astype(np.float32), cut_spread=spread.astype(np.float32))
    return with_threshold(known_cuts, known_cuts.standardised_scores(weighed, worse), false_flags)


def with_threshold(
    statistics: HomologueStatistics, scores: NDArray[np.floating], false_flags: float
) -> HomologueStatistics:
    """The statistics with tail and threshold from the scores of normal pairs.

    Parameters
    ----------
    statistics
        The statistics.
    scores
        Shape (pairs,).
    false_flags
        Fraction of these pairs above the threshold.
    """
    share = np.concatenate(
        [np.linspace(1.0, TAIL_BEND, TAIL_STEPS // 2), np.geomspace(TAIL_BEND, TAIL_END, TAIL_STEPS // 2)]
    )
    tail = np.quantile(scores, 1.0 - share)
    threshold = float(np.quantile(scores, 1.0 - false_flags))
    return replace(
        statistics, tail=tail.astype(np.float32), tail_fraction=share.astype(np.float32), threshold=threshold
    )


def write_homologue_statistics(statistics: HomologueStatistics, folder: Path, manifest: Manifest) -> Path:
    """Write the statistics in half precision, which is below their sampling error.

    Parameters
    ----------
    statistics
        The statistics.
    folder
        Gets content and manifest.
    manifest
        Where they come from, see `statistics_manifest`.

    Returns
    -------
    Path
        The content file.
    """
    half = {
        "mean",
        "pair_covariance",
        "class_covariance",
        "population_covariance",
        "feature_median",
        "feature_spread",
    }
    table: dict[str, Any] = {
        name: np.asarray(getattr(statistics, name), dtype=np.float16 if name in half else np.float32)
        for name in HomologueStatistics.__dataclass_fields__
    }
    return write_parameters(folder, table, manifest)


def statistics_manifest(
    statistics: HomologueStatistics, *, cell_count: int, own_cells: int, settings: Mapping[str, int], command: str
) -> Manifest:
    """Describe the parameter set ``homologue-statistics``.

    Parameters
    ----------
    statistics
        The statistics.
    cell_count
        Normal cells of gband612 that they were learned from.
    own_cells
        Cells of the Tseng set, cut by the software, that the effect of the cut was learned from.
    settings
        Options of the command.
    command
        The command line that makes them again.
    """
    return Manifest(
        name=ParameterSetName.HOMOLOGUE_STATISTICS,
        kind=ParameterKind.TABLE,
        data={"gband612 normal cells": cell_count, "tseng cells cut by the software": own_cells},
        split="train of both sets (by case)",
        command=command,
        settings={**settings, "pooled_pairs": POOLED, "grain": GRAIN, "ridge": RIDGE},
        metrics={"threshold": round(statistics.threshold, 4)},
        seed=0,
        steps=0,
    )


def _figures(normal_cells: Sequence[NormalCell]) -> HomologueStatistics:
    bands = np.concatenate([cell.traces.bands for cell in normal_cells])
    classes = np.array([name for cell in normal_cells for name in cell.classes])
    kind = np.array([CLASS_NAMES.index(name) if name in CLASS_NAMES else -1 for name in classes])
    bands, kind = bands[kind >= 0], kind[kind >= 0]
    mean = standardised(np.stack([bands[kind == index].mean(axis=0) for index in range(len(CLASS_NAMES))]))
    for _ in range(ROUNDS):
        # Aligned with their mean, the bands of the mean become as sharp as their own.
        residual, _ = align(bands, mean[kind])
        shifted = mean[kind] + residual
        mean = standardised(np.stack([shifted[kind == k].mean(axis=0) for k in range(len(CLASS_NAMES))]))
    own, _ = align(bands, mean[kind])
    parts, kinds, lengths = [], [], []
    for cell in normal_cells:
        pairs, index = pairs_of(cell.classes)
        if len(pairs) == 0:
            continue
        parts.append(align(cell.traces.bands[pairs[:, 0]], cell.traces.bands[pairs[:, 1]])[0])
        kinds.append(index)
        lengths.append(np.diff(cell.traces.log_length[pairs], axis=1)[:, 0])
    pair_kind = np.concatenate(kinds)
    inner = bands[:, INNER].astype(np.float64)
    whatever = inner.T @ inner / len(inner) + GRAIN * np.eye(inner.shape[1])
    classes_all = len(CLASS_NAMES)
    return HomologueStatistics(
        mean=mean,
        pair_covariance=loosened(_covariances(np.concatenate(parts)[:, INNER], pair_kind)),
        class_covariance=loosened(_covariances(own[:, INNER], kind)),
        population_covariance=whatever.astype(np.float32),
        length_spread=_spreads(np.concatenate(lengths), pair_kind, LEAST_LENGTH_SPREAD),
        feature_median=np.zeros((classes_all, len(FEATURES)), dtype=np.float32),
        feature_spread=np.ones((classes_all, len(FEATURES)), dtype=np.float32),
        feature_weight=np.ones(len(FEATURES), dtype=np.float32),
        cut_level=np.zeros(CUT_COVARIATES + 1, dtype=np.float32),
        cut_spread=np.eye(CUT_COVARIATES + 1, dtype=np.float32)[-1],
        tail=np.array([0.0, 1.0], dtype=np.float32),
        tail_fraction=np.array([1.0, 0.0], dtype=np.float32),
        threshold=0.0,
    )


def _covariances(residual: NDArray[np.floating], class_rows: NDArray[np.intp]) -> NDArray[np.float64]:
    values = residual.astype(np.float64)
    pooled = values.T @ values / len(values)
    made = []
    for index in range(len(CLASS_NAMES)):
        own = values[class_rows == index]
        made.append((own.T @ own + POOLED * pooled) / (len(own) + POOLED) + GRAIN * np.eye(values.shape[1]))
    return np.stack(made)


def _spreads(values: NDArray[np.float64], class_rows: NDArray[np.intp], least: float) -> NDArray[np.float32]:
    pooled = np.sqrt(np.mean(values**2))
    made = [np.sqrt((np.sum(values[class_rows == k] ** 2) + 20 * pooled**2) / (np.sum(class_rows == k) + 20))
            for k in range(len(CLASS_NAMES))]  # fmt: skip
    return np.maximum(made, least).astype(np.float32)


def _features(
    normal_cell: NormalCell, pairs: NDArray[np.intp], kinds: NDArray[np.intp], statistics: HomologueStatistics
) -> NDArray[np.float64]:
    return pair_evidence(normal_cell.traces, pairs, kinds, statistics).features


def _with_usual(
    statistics: HomologueStatistics, normal: Sequence[tuple[NDArray[np.float64], NDArray[np.intp]]]
) -> HomologueStatistics:
    values = np.concatenate([features for features, _ in normal])
    kind = np.concatenate([kinds for _, kinds in normal])
    overall = np.quantile(values, MEDIAN_AND_UPPER, axis=0)
    usual, spread = [], []
    for index in range(len(CLASS_NAMES)):
        own = values[kind == index]
        middle, high = np.quantile(own, MEDIAN_AND_UPPER, axis=0) if len(own) >= 20 else overall
        usual.append(middle)
        spread.append(np.maximum(high - middle, LEAST_FEATURE_SPREAD * (overall[1] - overall[0])))
    return replace(
        statistics,
        feature_median=np.array(usual, dtype=np.float32),
        feature_spread=np.array(spread, dtype=np.float32),
    )


def _spoilt(normal_cell: NormalCell, pairs: NDArray[np.intp], rng: np.random.Generator) -> NormalCell:
    """The cell with one chromosome of every pair changed."""
    bands, lengths = normal_cell.traces.bands.copy(), normal_cell.traces.log_length.copy()
    for row in pairs[np.arange(len(pairs)), rng.integers(2, size=len(pairs))]:
        bands[row], factor = _changed(normal_cell.traces.bands, int(row), rng)
        lengths[row] += np.log(factor)
    return NormalCell(Traces(standardised(bands), lengths), normal_cell.classes)


def _one_at_a_time(
    normal: NDArray[np.float64],
    changed: NDArray[np.float64],
    kinds: NDArray[np.intp],
    statistics: HomologueStatistics,
) -> NDArray[np.float64]:
    """Features of each changed pair among the normal ones of its cell."""
    made = []
    for row in range(len(normal)):
        mixed = normal.copy()
        mixed[row] = changed[row]
        made.append(against_cell(mixed, kinds, statistics)[row])
    return np.array(made)


def _changed(bands: NDArray[np.float32], row: int, rng: np.random.Generator) -> tuple[NDArray[np.float32], float]:
    """One chromosome with a change of random kind, size and place, and its length over the old one."""
    profile = bands[row]
    kind = list(SimulatedChange)[rng.integers(len(SimulatedChange))]
    size = int(rng.integers(5, 22 if kind is not SimulatedChange.INVERSION else 36))
    start = int(rng.integers(2, BINS - size - 2))
    if kind is SimulatedChange.TERMINAL:
        made = profile[size:] if rng.random() < SHORT_ARM_LOSSES else profile[:-size]
    elif kind is SimulatedChange.INTERSTITIAL:
        made = np.concatenate([profile[:start], profile[start + size :]])
    elif kind is SimulatedChange.DUPLICATION:
        made = np.concatenate([profile[: start + size], profile[start:]])
    elif kind is SimulatedChange.INVERSION:
        made = np.concatenate([profile[:start], profile[start : start + size][::-1], profile[start + size :]])
    else:
        other = bands[rng.choice([k for k in range(len(bands)) if k != row])]
        new = int(np.clip(size * np.exp(rng.normal(0.0, EXCHANGED_SPREAD)), 4, 30))
        made = np.concatenate([profile[:-size], other[-new:]])
    at = (np.arange(BINS) + 0.5) / BINS * len(made) - 0.5
    return np.interp(at, np.arange(len(made)), made).astype(np.float32), len(made) / BINS


def _weights(normal: NDArray[np.float64], changed: NDArray[np.float64]) -> NDArray[np.float32]:
    """Logistic regression by Newton's method, both kinds counting the same; negative weights are dropped."""
    values = np.concatenate([normal, changed])
    truth = np.concatenate([np.zeros(len(normal)), np.ones(len(changed))])
    share = np.concatenate([np.full(len(normal), 1 / len(normal)), np.full(len(changed), 1 / len(changed))])
    share *= len(values) / share.sum()
    kept = np.ones(values.shape[1], dtype=np.bool_)
    while True:
        weight = _logistic(values[:, kept], truth, share)
        if (weight >= 0).all():
            break
        kept[np.flatnonzero(kept)[weight < 0]] = False
    made = np.zeros(values.shape[1], dtype=np.float32)
    made[kept] = weight
    return made


def _logistic(
    values: NDArray[np.float64], labels: NDArray[np.float64], share: NDArray[np.float64]
) -> NDArray[np.float64]:
    design = np.column_stack([values, np.ones(len(values))])
    weight = np.zeros(design.shape[1])
    penalty = RIDGE * np.eye(design.shape[1])
    penalty[-1, -1] = 0.0
    for _ in range(20):
        chance = expit(design @ weight)
        slope = design.T @ (share * (chance - labels)) + penalty @ weight
        bend = (design * (share * chance * (1.0 - chance))[:, None]).T @ design + penalty
        weight = weight - np.linalg.solve(bend, slope)
    return np.asarray(weight[:-1])
