"""Fit how likely whole cells are right, on the validation split's cells as the product karyotypes them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from analysis.datasets.labelled_boxes import padded_boxes
from analysis.datasets.tseng import TSENG_PADDING_PX, load_tseng_for_training
from analysis.errors import NoMetaphaseError
from analysis.imaging.image_file import read_image
from analysis.karyotyping.cell_confidence import SIGNS, CellConfidence, cell_signs
from analysis.karyotyping.pipeline import Karyotyper
from analysis.karyotyping.review_settings import ReviewSettings
from analysis.parameters.manifest import Manifest, ParameterKind
from analysis.parameters.names import ParameterSetName
from analysis.parameters.store import write_parameters
from analysis.structures.boxes import box_iou, match
from analysis.structures.classes import UNCLASSIFIED
from analysis.training.fits.case_folds import case_folds
from analysis.training.fits.ridge import WRITTEN_DECIMALS, ridge_logistic

_RIDGE: Final = 1.0
_FOLDS: Final = 8
_SEED: Final = 3

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class KaryotypedCell:
    """A karyotyped cell with the truth.

    Attributes
    ----------
    case
        Patient.
    signs
        See `cell_signs`.
    right
        Whether every true chromosome was found (IoU .5) and has its class, and nothing else has one.
    """

    case: str
    signs: Floats
    right: bool


def karyotyped_cells(
    data_dir: Path, split: str, karyotyper: Karyotyper, *, part: tuple[int, int] = (0, 1)
) -> Iterator[KaryotypedCell]:
    """Karyotype a split of the Tseng set.

    Parameters
    ----------
    data_dir
        Root of the data sets.
    split
        ``"train"`` or ``"val"``.
    karyotyper
        Of the product.
    part
        (k, n): every n-th image from the k-th on.

    Raises
    ------
    DatasetError
        If the set isn't there.
    """
    for entry in load_tseng_for_training(data_dir / "tseng", split)[part[0] :: part[1]]:
        image = read_image(entry.path)
        try:
            found = karyotyper.karyotype(image)
        except NoMetaphaseError:
            continue
        truth = entry.boxes_px.astype(np.float64)
        instances = [one.instance for one in found.chromosomes]
        boxes = padded_boxes(instances, TSENG_PADDING_PX, image.pixels.shape)
        classes = [one.class_name for one in found.chromosomes]
        owner = {piece: entry.classes[chromosome] for chromosome, piece in match(box_iou(truth, boxes))}
        sound = all(owner.get(k) == name for k, name in enumerate(classes) if name != UNCLASSIFIED or k in owner)
        signs = cell_signs(
            classes,
            np.asarray([one.probability for one in found.chromosomes]),
            np.asarray([one.score for one in instances]),
            [one.score for one in found.left_out],
        )
        yield KaryotypedCell(entry.case, signs, sound and len(owner) == len(truth))


def fit_confidence(measured_cells: Sequence[KaryotypedCell]) -> CellConfidence:
    """Fit the weights (logistic regression with a ridge)."""
    rows = np.stack([cell.signs for cell in measured_cells])
    right = np.asarray([cell.right for cell in measured_cells], np.float64)
    return CellConfidence(ridge_logistic(rows, right, _RIDGE))


def cross_validated_confidence(
    measured_cells: Sequence[KaryotypedCell], *, least: float = ReviewSettings().auto_cell_from
) -> dict[str, Any]:
    """What the confidence is worth, each case's by weights fitted on the other cases.

    Parameters
    ----------
    measured_cells
        Karyotyped cells with the truth.
    least
        Confidence from which a cell counts as sure.

    Returns
    -------
    dict
        ``cells``; ``right`` share; ``auc``; ``brier``; ``sure`` share of cells of at least that confidence,
        and how many of those are wrong, ``sure_wrong``.
    """
    folds = case_folds([cell.case for cell in measured_cells], _FOLDS, seed=_SEED)
    said = np.zeros(len(measured_cells))
    for number in np.unique(folds):
        own = folds == number
        weights = fit_confidence([cell for cell, held in zip(measured_cells, own, strict=True) if not held])
        for place in np.flatnonzero(own):
            said[place] = weights.of(measured_cells[int(place)].signs)
    right = np.asarray([cell.right for cell in measured_cells], np.bool_)
    sure = said >= least
    better = said[right][:, None] > said[~right][None]
    return {
        "cells": len(measured_cells),
        "right": float(right.mean()),
        "auc": float(better.mean()) if better.size else float("nan"),
        "brier": float(((said - right) ** 2).mean()),
        "sure": float(sure.mean()),
        "sure_wrong": int(np.count_nonzero(sure & ~right)),
    }


def write_confidence(
    confidence: CellConfidence, folder: Path, *, figures: Mapping[str, Any], command: str
) -> Path:
    """Write the parameter set ``cell-confidence``.

    Parameters
    ----------
    confidence
        The fitted weights.
    folder
        Gets content and manifest.
    figures
        As `cross_validated_confidence` returns them.
    command
        The command line that makes them again.

    Returns
    -------
    Path
        The content file.
    """
    manifest = Manifest(
        name=ParameterSetName.CELL_CONFIDENCE,
        kind=ParameterKind.COEFFICIENTS,
        columns={"weights": list(SIGNS)},
        data={"tseng pictures": int(figures["cells"])},
        split="tseng val (by case); figures cross-validated over its cases",
        command=command,
        settings={"ridge": _RIDGE, "folds": _FOLDS},
        metrics={name: float(value) for name, value in figures.items()},
        seed=_SEED,
        steps=0,
    )
    return write_parameters(folder, {"weights": np.round(confidence.weights, WRITTEN_DECIMALS)}, manifest)
