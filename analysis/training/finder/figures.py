"""Figures of a finder's net on labelled crops, and what makes its probabilities true."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from torch import Tensor

from analysis.finder.flatten import WORK_UM_PER_PX
from analysis.finder.net_scores import FinderScore, ScoreCalibration, calibrated_scores, net_inputs
from analysis.metrics.statistics import auc, calibration, precision_recall
from analysis.nets.finder_net import FinderNet, FinderOutput
from analysis.training.finder.table import FinderCropTable, plain_crops

CALL_SCORE: Final = 0.5
RECORDED_SCORE: Final = 0.05
_BATCH: Final = 64
_LEAST: Final = 20
"""Fewer examples of either kind calibrate nothing."""


def outputs_of(finder_net: FinderNet, table: FinderCropTable) -> FinderOutput:
    """What a net, ready for use, says of every crop of a table.

    Parameters
    ----------
    finder_net
        Ready for use.
    table
        Crops.
    """
    parts = []
    with torch.inference_mode():
        for start in range(0, len(table), _BATCH):
            rows = np.arange(start, min(start + _BATCH, len(table)))
            some = table.at(rows)
            image, extras = net_inputs(plain_crops(some), some.radius_um, some.noise_od)
            parts.append(finder_net(image.contiguous(memory_format=torch.channels_last), extras))
    return FinderOutput(
        **{entry.name: torch.cat([getattr(part, entry.name) for part in parts]) for entry in fields(FinderOutput)}
    )


def fit_calibration(output: FinderOutput, table: FinderCropTable) -> ScoreCalibration:
    """Temperature and shift of both heads by least negative log likelihood (Platt 1999; Guo et al., 2017).

    Parameters
    ----------
    output
        Of the net.
    table
        Crops it is of.
    """
    metaphase = _fit(output.metaphase, table.metaphase)
    analysable = _fit(output.analysable, table.analysable)
    plain = ScoreCalibration(metaphase[0], metaphase[1], analysable[0], analysable[1])
    best, weight = -1.0, 0.0
    for trial in (0.0, 0.25, 0.5, 0.75, 1.0):
        value = _rank_order(calibrated_scores(output, _with_share(plain, trial)), table)
        if value > best + 1e-4:
            best, weight = value, trial
    return _with_share(plain, weight)


def _with_share(plain: ScoreCalibration, weight: float) -> ScoreCalibration:
    return ScoreCalibration(
        plain.metaphase_temperature,
        plain.metaphase_shift,
        plain.analysable_temperature,
        plain.analysable_shift,
        weight,
    )


def _rank_order(finder_scores: FinderScore, table: FinderCropTable) -> float:
    """How well the rank orders proposals: analysable against others, the correct fraction among metaphases."""
    known = (table.analysable >= 0) | (table.metaphase == 0)
    ordered = auc(finder_scores.rank[known].astype(np.float64), table.analysable[known] == 1)
    correct = table.correct_fraction
    held = np.isfinite(correct)
    if held.sum() < _LEAST:
        return ordered if np.isfinite(ordered) else 0.0
    good = correct[held] >= np.median(correct[held])
    among = auc(finder_scores.rank[held].astype(np.float64), good)
    return float(np.nan_to_num(ordered) + 0.25 * np.nan_to_num(among))


def _fit(logits: Tensor, labels: NDArray[np.int8]) -> tuple[float, float]:
    known = labels >= 0
    truth = labels[known].astype(np.float64)
    if min(truth.sum(), len(truth) - truth.sum()) < _LEAST:
        return 1.0, 0.0
    values = logits.double().numpy()[known]

    def loss(parameters: NDArray[np.float64]) -> float:
        odds = values * np.exp(-parameters[0]) + parameters[1]
        return float(np.mean(np.logaddexp(0.0, odds) - truth * odds))

    found = minimize(loss, np.zeros(2), method="Nelder-Mead", options={"xatol": 1e-3, "fatol": 1e-7}).x
    return round(float(np.exp(np.clip(found[0], -1.5, 1.5))), 4), round(float(np.clip(found[1], -3, 3)), 4)


def figures_of(finder_scores: FinderScore, table: FinderCropTable) -> dict[str, float]:
    """Figures of calibrated answers to the proposals of a table.

    Parameters
    ----------
    finder_scores
        Calibrated scores.
    table
        Crops they are of.

    Returns
    -------
    dict
        ``average_precision``, ``recall``, ``precision``, ``true_negative_rate``, ``ece`` of proposals (called from
        0.5 on, calibration from 0.05 on); ``auc_analysable``, ``ece_analysable`` of metaphases; ``auc_rank`` of
        analysable metaphases against everything else; ``offset_um``, ``chromosomes_off``: median errors. Those
        that nothing is known about are left out.
    """
    known = table.metaphase >= 0
    truth = table.metaphase[known] == 1
    score = finder_scores.metaphase[known].astype(np.float64)
    called = score >= CALL_SCORE
    recorded = score >= RECORDED_SCORE
    told = table.analysable >= 0
    fit = table.analysable[told] == 1
    said = finder_scores.analysable[told].astype(np.float64)
    ranked = told | (table.metaphase == 0)
    positive = table.metaphase == 1
    off_px = np.hypot(finder_scores.dx_px - table.offset_px[:, 0], finder_scores.dy_px - table.offset_px[:, 1])[
        positive
    ]
    counted = np.isfinite(table.chromosomes)
    values = {
        "average_precision": precision_recall(score, truth, int(truth.sum())).average_precision,
        "recall": _share(called & truth, truth),
        "precision": _share(called & truth, called),
        "true_negative_rate": _share(~called & ~truth, ~truth),
        "ece": calibration(score[recorded], truth[recorded]).error,
        "auc_analysable": auc(said, fit),
        "ece_analysable": calibration(said, fit).error,
        "auc_rank": auc(finder_scores.rank[ranked].astype(np.float64), table.analysable[ranked] == 1),
        "offset_um": float(np.median(off_px)) * WORK_UM_PER_PX if off_px.size else float("nan"),
        "chromosomes_off": _median(np.abs(finder_scores.chromosomes - table.chromosomes)[counted]),
    }
    return {name: round(value, 4) for name, value in values.items() if np.isfinite(value)}


def choice_score(figures: Mapping[str, float]) -> float:
    """What weights are chosen by: average precision, the AUC of "analysable", and a reviewer's word."""
    known = figures.get("average_precision", 0.0) + figures.get("auc_analysable", 0.5)
    return known + figures.get("reviewed_agreement", 0.0)


def agreement(finder_scores: FinderScore, reviewed: FinderCropTable) -> float:
    """Share of a reviewer's decisions that the finder shares: worth a picture from a probability of 0.5 on.

    Parameters
    ----------
    finder_scores
        Calibrated scores.
    reviewed
        Crops with decisions.
    """
    wanted = finder_scores.metaphase * finder_scores.analysable >= CALL_SCORE
    return round(float(np.mean(wanted == (reviewed.wanted == 1))), 4)


def _share(part: NDArray[np.bool_], whole: NDArray[np.bool_]) -> float:
    return float(part.sum() / whole.sum()) if whole.any() else float("nan")


def _median(values: NDArray[np.float32]) -> float:
    return float(np.median(values)) if values.size else float("nan")
