"""Fit which uncovered stain is a chromosome's, on labelled cells as the product segments them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from analysis.datasets.labelled_boxes import grown_boxes, padded_boxes
from analysis.datasets.tseng import TSENG_PADDING_PX, TsengImage, load_tseng_for_training, spread_evenly
from analysis.errors import NoMetaphaseError
from analysis.imaging.image_file import read_image
from analysis.karyotyping.pipeline import Karyotyper
from analysis.karyotyping.unexplained_objects import UNEXPLAINED_FEATURES, UnexplainedStainModel
from analysis.parameters.manifest import Manifest, ParameterKind
from analysis.parameters.names import ParameterSetName
from analysis.parameters.store import write_parameters
from analysis.segmentation.prompted_cell import covered_by
from analysis.segmentation.unexplained_stain import UncoveredStain
from analysis.structures.boxes import box_iou, match
from analysis.structures.instance import Instance
from analysis.training.fits.case_folds import case_folds
from analysis.training.fits.ridge import WRITTEN_DECIMALS, ridge_logistic

LISTED_FROM: Final = 0.15
"""Probability from which stain is listed. Of 40 missed chromosomes of which hardly anything was drawn it lists 25,
of 3,262 withheld ones 2,523, and .29 objects a cell that are nothing, in a fifth of the cells."""
_SAME_IOU: Final = 0.3
"""Overlap of boxes from which stain is a missed chromosome: of one under others only a part is bare."""
_INSIDE: Final = 0.9
"""Part of stain within a labelled box from which it is stain of that chromosome."""
_BARE: Final = 0.25
"""Part of a missed chromosome's box in some mask, below which hardly anything of it is drawn."""
_MOST_MISSED: Final = 12
"""Cells of which more are missed have labels of another cell of the picture."""
_WITHHELD: Final = 3
"""Chromosomes left out of the selection of every cell on purpose."""
_RIDGE: Final = 1.0
_FOLDS: Final = 6
_SEED: Final = 5

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class LabelledStain:
    """Uncovered stain of one labelled cell, n pieces.

    Attributes
    ----------
    case
        Patient.
    features
        float64, shape (n, features), see `UNEXPLAINED_FEATURES`.
    is_chromosome
        bool, shape (n,): whether it is a chromosome that was missed, or a part of one that isn't drawn.
    shows_missed
        bool, shape (missed, n): which missed chromosome each is.
    bare
        bool, shape (missed,): missed chromosomes of which hardly anything is drawn.
    withheld
        Whether chromosomes were left out of its selection on purpose.
    """

    case: str
    features: Floats
    is_chromosome: Bools
    shows_missed: Bools
    bare: Bools
    withheld: bool = False


def labelled_stain(
    data_dir: Path,
    split: str,
    karyotyper: Karyotyper,
    *,
    limit: int | None = None,
    part: tuple[int, int] = (0, 1),
) -> Iterator[LabelledStain]:
    """Measure the uncovered stain of labelled cells of the Tseng set.

    Parameters
    ----------
    data_dir
        Root of the data sets.
    split
        ``"val"`` or ``"fit"``.
    karyotyper
        Of the product.
    limit
        So many pictures, spread over the split; None for all.
    part
        (k, n): every n-th of them from the k-th on.

    Raises
    ------
    DatasetError
        If the set isn't there.
    """
    for entry in spread_evenly(load_tseng_for_training(data_dir / "tseng", split), limit)[part[0] :: part[1]]:
        image = read_image(entry.path)
        try:
            measurements = karyotyper.measure_unexplained_stain(image, _WITHHELD)
        except NoMetaphaseError:
            continue
        size = (image.height_px, image.width_px)
        for number, (segmentation, measured) in enumerate(measurements):
            labelled = label_stain(entry, segmentation.instances, measured.stain, measured.features, size)
            if labelled is not None:
                yield replace(labelled, withheld=number > 0)


def label_stain(
    tseng_image: TsengImage,
    instances: Sequence[Instance],
    stain: Sequence[UncoveredStain],
    features: Floats,
    size: tuple[int, int],
) -> LabelledStain | None:
    """Hold uncovered stain against the labels of its cell.

    Parameters
    ----------
    tseng_image
        The labelled cell.
    instances
        Its chromosomes by the product.
    stain
        The pieces.
    features
        float64, shape (n, features): theirs.
    size
        (height, width) of the picture.

    Returns
    -------
    LabelledStain or None
        None where the labels are of another cell of the picture.
    """
    truth = tseng_image.boxes_px.astype(np.float64)
    missed = _unmatched(truth, padded_boxes(instances, TSENG_PADDING_PX, size))
    if len(missed) > _MOST_MISSED:
        return None
    drawn = np.asarray([each.box_px for each in instances], np.float64).reshape(-1, 4)
    not_drawn = _unmatched(truth, grown_boxes(drawn, TSENG_PADDING_PX, size))
    pieces = np.asarray([each.placed[0] for each in stain], np.float64).reshape(-1, 4)
    pieces = grown_boxes(pieces, TSENG_PADDING_PX, size)
    covered = covered_by([(each.box_px, each.mask) for each in instances], size, size)
    shows_missed = box_iou(truth[missed], pieces) >= _SAME_IOU
    shows_not_drawn = (box_iou(truth[not_drawn], pieces) >= _SAME_IOU).any(axis=0)
    parts = np.asarray([_is_part(each, covered, truth) for each in stain], np.bool_)
    left, top, right, bottom = TSENG_PADDING_PX
    inner = truth[missed] + np.asarray([left, top, -right, -bottom])
    bare = np.asarray([_covered_part(box, covered) < _BARE for box in inner], np.bool_)
    is_chromosome = shows_missed.any(axis=0) | shows_not_drawn | parts
    return LabelledStain(tseng_image.case, features, is_chromosome, shows_missed, bare)


def _unmatched(truth: Floats, boxes: Floats) -> NDArray[np.intp]:
    owned = [row for row, _ in match(box_iou(truth, boxes))]
    return np.setdiff1d(np.arange(len(truth)), np.asarray(owned, np.intp))


def _is_part(stain: UncoveredStain, covered: Bools, truth: Floats) -> bool:
    """Whether what is bare of a piece lies within one labelled box."""
    (x0, y0, _, _), mask = stain.placed
    rows, columns = np.nonzero(mask)
    rows, columns = rows + y0, columns + x0
    bare = ~covered[rows, columns]
    if not bare.any():
        return False
    x, y = columns[bare][:, None], rows[bare][:, None]
    inside = (x >= truth[:, 0]) & (x < truth[:, 2]) & (y >= truth[:, 1]) & (y < truth[:, 3])
    return bool(inside.mean(axis=0).max(initial=0.0) >= _INSIDE)


def _covered_part(box: Floats, covered: Bools) -> float:
    x0, y0, x1, y1 = (max(0, int(side)) for side in box)
    window = covered[y0:y1, x0:x1]
    return float(window.mean()) if window.size else 1.0


def fit_unexplained_model(cells: Sequence[LabelledStain]) -> UnexplainedStainModel:
    """Fit the weights (logistic regression with a ridge).

    Missed chromosomes are rare, and most are missed because they are hard to see: what one looks like that is
    plainly there is learned from cells with chromosomes withheld. How often there is one at all is then fitted to
    the others alone.
    """
    rows = np.concatenate([cell.features for cell in cells])
    natural = np.concatenate([np.full(len(cell.features), not cell.withheld) for cell in cells])
    stain = np.concatenate([cell.is_chromosome for cell in cells]).astype(np.float64)
    missed = np.concatenate([cell.shows_missed.any(axis=0) for cell in cells]).astype(np.float64)
    weights = []
    for labels in (stain, missed):
        own = ridge_logistic(rows, labels, _RIDGE)
        scores = np.column_stack([np.ones(len(rows)), rows @ own])[natural]
        offset, scale = ridge_logistic(scores, labels[natural], _RIDGE)
        own = own * scale
        own[0] += offset
        weights.append(own)
    return UnexplainedStainModel(weights[0], weights[1], LISTED_FROM)


def cross_validated_stain(cells: Sequence[LabelledStain]) -> dict[str, float]:
    """How well missed chromosomes are listed, each case's by weights fitted on the other cases.

    Parameters
    ----------
    cells
        Labelled cells.

    Returns
    -------
    dict
        ``cells``; ``pieces`` measured and those that are ``chromosomes``; ``auc`` of that, and ``missed_auc`` and
        ``missed_brier`` of being a missed one; ``missed`` chromosomes and those ``missed_listed``; the same of
        those of which hardly anything is drawn, ``bare`` and ``bare_listed``; ``false_offers`` a cell;
        ``cells_with_false_offers`` as a fraction; ``withheld`` chromosomes and those ``withheld_listed``.
    """
    folds = case_folds([cell.case for cell in cells], _FOLDS, seed=_SEED)
    scored: list[tuple[LabelledStain, Floats, Floats]] = []
    for number in np.unique(folds):
        own = folds == number
        model = fit_unexplained_model([cell for cell, held in zip(cells, own, strict=True) if not held])
        for place in np.flatnonzero(own):
            features = cells[int(place)].features
            scored.append(
                (cells[int(place)], model.stain_probability(features), model.missed_probability(features))
            )
    natural = [each for each in scored if not each[0].withheld]
    labels = np.concatenate([cell.is_chromosome for cell, _, _ in natural])
    is_missed = np.concatenate([cell.shows_missed.any(axis=0) for cell, _, _ in natural])
    score, missed_score = (np.concatenate([each[k] for each in natural]) for k in (1, 2))
    false = [int(np.count_nonzero((stain >= LISTED_FROM) & ~cell.is_chromosome)) for cell, stain, _ in natural]
    bare = np.concatenate([cell.bare for cell, _, _ in natural])
    found, withheld = _listed(natural), _listed([each for each in scored if each[0].withheld])
    return {
        "cells": float(len(natural)),
        "pieces": float(len(labels)),
        "chromosomes": float(np.count_nonzero(labels)),
        "auc": _auc(score, labels),
        "missed_auc": _auc(missed_score, is_missed),
        "missed_brier": float(np.mean((missed_score - is_missed) ** 2)),
        "missed": float(len(found)),
        "missed_listed": float(np.count_nonzero(found)),
        "bare": float(np.count_nonzero(bare)),
        "bare_listed": float(np.count_nonzero(found & bare)),
        "false_offers": float(np.mean(false)),
        "cells_with_false_offers": float(np.mean(np.asarray(false) > 0)),
        "withheld": float(len(withheld)),
        "withheld_listed": float(np.count_nonzero(withheld)),
    }


def _listed(scored: Sequence[tuple[LabelledStain, Floats, Floats]]) -> Bools:
    """Which missed chromosomes of cells are listed, by the probabilities of their stain."""
    listed = [(cell.shows_missed & (stain >= LISTED_FROM)).any(axis=1) for cell, stain, _ in scored]
    return np.concatenate([np.zeros(0, np.bool_), *listed])


def _auc(score: Floats, labels: Bools) -> float:
    better = score[labels][:, None] > score[~labels][None]
    return float(better.mean()) if better.size else float("nan")


def write_unexplained_model(
    model: UnexplainedStainModel, folder: Path, *, figures: Mapping[str, Any], command: str
) -> Path:
    """Write the parameter set ``unexplained-stain``.

    Parameters
    ----------
    model
        The fitted model.
    folder
        Gets content and manifest.
    figures
        As `cross_validated_stain` returns them.
    command
        The command line that makes them again.

    Returns
    -------
    Path
        The content file.
    """
    manifest = Manifest(
        name=ParameterSetName.UNEXPLAINED_STAIN,
        kind=ParameterKind.COEFFICIENTS,
        columns={"stain": list(UNEXPLAINED_FEATURES), "missed": list(UNEXPLAINED_FEATURES)},
        data={"tseng pictures": int(figures["cells"])},
        split="tseng val and fit (by case); figures cross-validated over their cases",
        command=command,
        settings={"ridge": _RIDGE, "folds": _FOLDS, "listed_from": LISTED_FROM},
        metrics={name: float(value) for name, value in figures.items()},
        seed=_SEED,
        steps=0,
    )
    arrays = {
        "stain": np.round(model.stain_weights, WRITTEN_DECIMALS),
        "missed": np.round(model.missed_weights, WRITTEN_DECIMALS),
        "listed_from": np.asarray(model.listed_from, np.float64),
    }
    return write_parameters(folder, arrays, manifest)
