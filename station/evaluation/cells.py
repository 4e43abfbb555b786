"""Cells of labelled sets, karyotyped once, by several processes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from acquisition.storage import write_json_atomic, write_png_atomic
from acquisition.workers import prepare_process, spawned
from analysis.datasets.tseng import SPLITS
from analysis.evaluation.aneuploidy import aneuploidy_figures
from analysis.evaluation.cells import CellRecord, count_cells, gband612_records, tseng_records
from analysis.evaluation.risk import RiskStudy, risk_picture, study
from analysis.metrics.interactions import interaction_figures
from analysis.parameters.weights import read_manifest
from station.errors import UsageError

Progress = Callable[[int, int], None]

DATASETS: Final = ("tseng", "gband612")
GBAND612_SPLITS: Final = frozenset({"train", "val", "test"})
_PORTIONS: Final = 8
"""Parts a process's share is cut into, so that progress can be told."""


@dataclass(frozen=True, slots=True)
class CellsEvaluation:
    """Cells of a split, and what follows of them.

    Attributes
    ----------
    split
        ``"train"``, ``"val"`` or ``"test"``.
    records
        By data set.
    figures
        By way of naming (data set, and what was given): plain data.
    studies
        Of the confidence, by the same ways.
    """

    split: str
    records: dict[str, list[CellRecord]]
    figures: dict[str, dict[str, Any]]
    studies: dict[str, RiskStudy]


def evaluate_cells(
    data: Path,
    split: str,
    datasets: Sequence[str] = DATASETS,
    *,
    limit: int | None = None,
    jobs: int = 1,
    progress: Progress | None = None,
) -> CellsEvaluation:
    """Karyotype the cells of a split once and reckon all figures about cells.

    Parameters
    ----------
    data
        Root of the data sets.
    split
        ``train``, ``val`` or ``test``; of the Tseng set also ``fit`` and ``test2``.
    datasets
        Which of `DATASETS`; gband612 is left out of splits that it hasn't.
    limit
        At most as many cells of each, spread evenly.
    jobs
        Processes.
    progress
        Called with (cells done, cells in all).

    Raises
    ------
    UsageError
        There is no such split or set.
    DatasetError
        A set isn't there or isn't what it should be.
    """
    if split not in SPLITS:
        raise UsageError(f"--split: found {split!r}; allowed: {', '.join(SPLITS)}")
    if split not in GBAND612_SPLITS:
        datasets = [dataset for dataset in datasets if dataset != "gband612"]
    unknown = sorted(set(datasets) - set(DATASETS))
    if unknown:
        raise UsageError(f"there are no cells in {unknown[0]!r}; allowed: {', '.join(DATASETS)}")
    portions = [
        (dataset, places)
        for dataset in datasets
        for places in _portions(count_cells(data, dataset, split), limit, jobs * _PORTIONS)
    ]
    total, done = sum(len(places) for _, places in portions), 0
    records: dict[str, dict[int, CellRecord]] = {dataset: {} for dataset in datasets}
    for dataset, places, made in _run(data, split, portions, jobs):
        records[dataset] |= dict(zip(places, made, strict=True))
        done += len(places)
        if progress is not None:
            progress(done, total)
    ordered = {dataset: [own[place] for place in sorted(own)] for dataset, own in records.items()}
    figures, studies = _figures(ordered)
    return CellsEvaluation(split, ordered, {name: _plain(own) for name, own in figures.items()}, studies)


def write_cells_report(evaluation: CellsEvaluation, folder: Path) -> Path:
    """Write figures, curves, the picture and the records of every cell; returns the folder.

    Parameters
    ----------
    evaluation
        What is written.
    folder
        Where to; it is made where it isn't there.

    Raises
    ------
    UsageError
        The folder can't be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{folder}: can't be made: {error.strerror}") from error
    write_json_atomic(folder / "figures.json", evaluation.figures)
    write_json_atomic(
        folder / "risk.json", {name: _plain(own.to_json()) for name, own in evaluation.studies.items()}
    )
    for dataset, records in evaluation.records.items():
        write_json_atomic(folder / f"{dataset}.json", [record.to_json() for record in records])
    note = f"Split {evaluation.split}. Dots: end of auto, and of auto and check together. Small dots: under ten."
    picture = risk_picture(evaluation.studies, note)
    write_png_atomic(folder / "risk.png", picture)
    return folder


def _plain(value: object) -> Any:  # noqa: ANN401 - data of any shape
    """The same without NaN, which JSON doesn't know: None."""
    if isinstance(value, dict):
        return {key: _plain(own) for key, own in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(own) for own in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def _portions(count: int, limit: int | None, part_count: int) -> Iterator[list[int]]:
    """Cut the places of a set into parts of neighbouring cells."""
    places = np.arange(count)
    if limit is not None and limit < count:
        places = np.linspace(0, count - 1, limit).round().astype(int)
    for part in np.array_split(places, min(part_count, len(places))):
        yield [int(place) for place in part]


def _run(
    data: Path, split: str, portions: Sequence[tuple[str, list[int]]], jobs: int
) -> Iterator[tuple[str, list[int], list[CellRecord]]]:
    if jobs == 1:
        for dataset, places in portions:
            yield dataset, places, _records(data, dataset, split, places)
        return
    with spawned(jobs, _prepare) as pool:
        running = {
            pool.submit(_records, data, dataset, split, places): (dataset, places) for dataset, places in portions
        }
        for future in as_completed(running):
            yield *running[future], future.result()


def _prepare() -> None:
    import cv2
    import torch

    prepare_process()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)


def _records(data: Path, dataset: str, split: str, places: list[int]) -> list[CellRecord]:
    if dataset == "tseng":
        from analysis.karyotyping.pipeline import load_karyotyper

        return list(tseng_records(data, split, load_karyotyper(), places))
    from analysis.assignment.joint_assignment import AssignmentCosts
    from analysis.classification.classifier import CLASSIFIER_WEIGHTS, Classifier

    prices = AssignmentCosts.calibrated(read_manifest(CLASSIFIER_WEIGHTS).calibration)
    return list(gband612_records(data, split, Classifier.load(), prices, places))


def _figures(
    records: dict[str, list[CellRecord]],
) -> tuple[dict[str, dict[str, Any]], dict[str, RiskStudy]]:
    figures: dict[str, dict[str, Any]] = {}
    studies: dict[str, RiskStudy] = {}
    for dataset, own in records.items():
        ways = {f"{dataset}, given": False}
        if any(record.detected is not None for record in own):
            ways[f"{dataset}, own segmentation"] = True
        for name, found in ways.items():
            studies[name] = study(own, detected=found)
            figures[name] = _way(own, studies[name], detected=found)
    return figures, studies


def _way(records: list[CellRecord], own: RiskStudy, *, detected: bool) -> dict[str, Any]:
    named = [entry for record in records for entry in ((record.detected or ()) if detected else record.given)]
    true = sum(len(record.truth) for record in records)
    figures: dict[str, Any] = {
        "cells": len(records),
        "chromosomes": true,
        "right": sum(entry.right for entry in named) / max(true, 1),
        "cells_wholly_right": 1.0 - own.figures["cells_wrong"],
        "seconds_median": float(np.median([record.seconds for record in records])) if records else float("nan"),
        "aneuploidy": aneuploidy_figures(records, detected=detected),
        "risk": own.figures,
    }
    # Given true crops there is nothing to part, but classes to move and ways up to turn.
    if detected or all(record.detected is None for record in records):
        cases = [record.case for record in records]
        figures["interactions"] = interaction_figures([record.interactions for record in records], cases)
    return figures
