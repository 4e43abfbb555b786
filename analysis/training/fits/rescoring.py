"""Fit the second look: which traits of a proposal say that it is a chromosome, given all others of its cell.

Every proposal is a row, told right or wrong by the true boxes, its traits measured with the right ones chosen; the
weights maximise the pseudo-likelihood (Besag, The Statistician 24, 1975) with a ridge. It is fitted on the
validation split: on cells they learned from, both nets are surer than they will ever be again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from analysis.datasets.tseng import TsengImage, load_tseng_for_training
from analysis.errors import NoMetaphaseError
from analysis.imaging.image_file import read_image
from analysis.karyotyping.pipeline import Karyotyper
from analysis.parameters.manifest import Manifest, ParameterKind
from analysis.parameters.names import ParameterSetName
from analysis.parameters.store import write_parameters
from analysis.selection.features import FEATURE_NAMES, ProposalFeatures
from analysis.selection.rescoring import RescoringModel
from analysis.structures.boxes import box_iou
from analysis.training.fits.case_folds import case_folds
from analysis.training.fits.labelled_proposals import LabelledProposals, SelectionOutcome
from analysis.training.fits.ridge import WRITTEN_DECIMALS, ridge_logistic

LEAST_SCORE: Final = 0.04
"""Proposals of lower scores aren't looked at for the fit."""
_RIDGE: Final = 10.0
_FOLDS: Final = 6
_SEED: Final = 5

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class ScoredProposals:
    """A cell's n proposals, classified by both nets.

    Attributes
    ----------
    labelled
        The proposals beside the true chromosomes.
    traits
        Their features.
    chosen
        bool, shape (n,): the initial selection.
    classes
        float64, shape (n, 24): class probabilities by both nets, NaN where none was computed.
    """

    labelled: LabelledProposals
    traits: ProposalFeatures
    chosen: Bools
    classes: Floats


def score_proposals(
    data_dir: Path, split: str, karyotyper: Karyotyper, *, part: tuple[int, int] = (0, 1)
) -> Iterator[ScoredProposals]:
    """Look at every proposal of a split of the Tseng set.

    Parameters
    ----------
    data_dir
        Root of the data sets.
    split
        ``"train"``, ``"val"`` or ``"test"``.
    karyotyper
        With a segmenter that leaves choices.
    part
        (k, n): every n-th image from the k-th on.

    Raises
    ------
    DatasetError
        If the set isn't there.
    """
    for entry in load_tseng_for_training(data_dir / "tseng", split)[part[0] :: part[1]]:
        try:
            yield _seen_proposals(entry, karyotyper)
        except NoMetaphaseError:
            continue


def _seen_proposals(tseng_image: TsengImage, karyotyper: Karyotyper) -> ScoredProposals:
    scored = karyotyper.score_all_proposals(read_image(tseng_image.path), least_score=LEAST_SCORE)
    iou = box_iou(tseng_image.boxes_px.astype(np.float64), scored.boxes_px)
    labelled = LabelledProposals(tseng_image.case, scored.features.measurements, iou)
    return ScoredProposals(labelled, scored.features, scored.selected, scored.class_probability)


def fit_rescoring_model(
    scored_proposals: Sequence[ScoredProposals], *, min_prescreen_log_odds: float = -6.0
) -> RescoringModel:
    """Fit the weights on cells.

    Parameters
    ----------
    scored_proposals
        Labelled proposals, classified.
    min_prescreen_log_odds
        Log odds from which a proposal that wasn't selected is classified; kept as it is given.
    """
    truth, prescreen, rescoring = [], [], []
    for cell in scored_proposals:
        # Of the hundreds that nobody would look at each is wrong, and says nothing about those that matter.
        right, seen = cell.labelled.right, np.flatnonzero(~np.isnan(cell.classes).any(axis=1))
        truth.append(right[seen].astype(np.float64))
        prescreen.append(cell.traits.table(right, cell.traits.measurements.classes, seen))
        rescoring.append(cell.traits.table(right, cell.classes, seen))
    right_ones = np.concatenate(truth)
    return RescoringModel(
        ridge_logistic(np.concatenate(prescreen), right_ones, _RIDGE),
        ridge_logistic(np.concatenate(rescoring), right_ones, _RIDGE),
        min_prescreen_log_odds,
    )


def cross_validated(
    scored_proposals: Sequence[ScoredProposals], *, min_prescreen_log_odds: float = -6.0
) -> dict[str, Any]:
    """Errors of the first choice and of the second, each case's by weights fitted on the other cases.

    Parameters
    ----------
    scored_proposals, min_prescreen_log_odds
        As in `fit_rescoring_model`.

    Returns
    -------
    dict
        ``first`` and ``second``: ``right, false, missed``, ``aer`` and ``cells_whole`` (share without an error);
        ``better``, ``worse``: cells; ``looked_at``: mean proposals a cell that were worth a look.
    """
    folds = case_folds([cell.labelled.case for cell in scored_proposals], _FOLDS, seed=_SEED)
    first = [cell.labelled.outcome(cell.chosen) for cell in scored_proposals]
    second = list(first)
    looked = 0
    for number in np.unique(folds):
        others = [cell for cell, own in zip(scored_proposals, folds, strict=True) if own != number]
        weights = fit_rescoring_model(others or scored_proposals, min_prescreen_log_odds=min_prescreen_log_odds)
        for place in np.flatnonzero(folds == number):
            cell = scored_proposals[int(place)]
            worth = weights.prescreen(cell.traits, cell.chosen)
            looked += len(worth)
            seen = cell.chosen.copy()
            seen[worth] = True
            classes = np.where(seen[:, None], cell.classes, np.nan)
            second[int(place)] = cell.labelled.outcome(weights.reselect(cell.traits, cell.chosen, classes))
    wrong = [np.asarray([false + missed for _, false, missed in each]) for each in (first, second)]
    return {
        "cells": len(scored_proposals),
        "first": _summed(first),
        "second": _summed(second),
        "better": int(np.count_nonzero(wrong[1] < wrong[0])),
        "worse": int(np.count_nonzero(wrong[1] > wrong[0])),
        "looked_at": looked / max(len(scored_proposals), 1),
    }


def write_rescoring_model(
    model: RescoringModel, folder: Path, *, figures: Mapping[str, Any], command: str
) -> Path:
    """Write the parameter set ``rescoring``.

    Parameters
    ----------
    model
        The fitted model.
    folder
        Gets content and manifest.
    figures
        As `cross_validated` returns them.
    command
        The command line that makes them again.

    Returns
    -------
    Path
        The content file.
    """
    metrics = {name: float(figures[name]) for name in ("cells", "better", "worse", "looked_at")}
    for choice in ("first", "second"):
        metrics |= {f"{choice}_{name}": float(value) for name, value in figures[choice].items()}
    manifest = Manifest(
        name=ParameterSetName.RESCORING,
        kind=ParameterKind.COEFFICIENTS,
        columns={"prescreen": list(FEATURE_NAMES), "rescoring": list(FEATURE_NAMES)},
        data={"tseng pictures": int(figures["cells"])},
        split="tseng val (by case); figures cross-validated over its cases",
        command=command,
        settings={"ridge": _RIDGE, "folds": _FOLDS, "least_score": LEAST_SCORE},
        metrics=metrics,
        seed=_SEED,
        steps=0,
    )
    arrays = {
        "prescreen": np.round(model.prescreen_weights, WRITTEN_DECIMALS),
        "rescoring": np.round(model.rescoring_weights, WRITTEN_DECIMALS),
        "min_prescreen_log_odds": np.asarray(model.min_prescreen_log_odds, np.float64),
    }
    return write_parameters(folder, arrays, manifest)


def _summed(errors: Sequence[SelectionOutcome]) -> dict[str, float | int]:
    right, false, missed = (int(value) for value in np.sum(np.asarray(errors).reshape(-1, 3), axis=0))
    whole = [false + missed == 0 for _, false, missed in errors]
    return {
        "right": right,
        "false": false,
        "missed": missed,
        "aer": (false + missed) / max(right + missed, 1),
        "cells_whole": float(np.mean(whole)) if whole else float("nan"),
    }
