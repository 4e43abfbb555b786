from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from analysis.assignment.joint_assignment import load_assignment_costs
from analysis.structures.classes import CLASS_NAMES
from analysis.training.classifier.calibration import (
    ScoredCell,
    assignment_score,
    calibrate,
    class_accuracy,
    fit_temperature,
    scored_cells,
    tune_costs,
    with_aneuploid,
)
from analysis.training.classifier.crops import ClassifierCropTable

NAMES = [*(name for name in CLASS_NAMES[:22] for _ in range(2)), "X", "Y"]


def table_and_logits(cells: int, scale: float, seed: int = 3) -> tuple[ClassifierCropTable, torch.Tensor]:
    """Cells whose logits are ``scale`` times as large as their true log odds."""
    rng = np.random.default_rng(seed)
    classes = np.array([CLASS_NAMES.index(name) for name in NAMES] * cells)
    logits = rng.normal(0, 1, (len(classes), 49))
    logits[:, 48] -= 4
    logits[np.arange(len(classes)), classes] += rng.normal(6, 2.5, len(classes))
    numbers = np.repeat(np.arange(cells), len(NAMES))
    nothing = np.zeros((len(classes), 2, 1, 1), np.uint8)
    features = np.zeros((len(classes), 3), np.float32)
    table = ClassifierCropTable(nothing, features, classes, np.zeros(len(classes), np.int64), numbers)
    return table, torch.from_numpy(scale * logits)


def test_too_proud_logits_are_cooled() -> None:
    table, logits = table_and_logits(8, 1.0)
    fair = fit_temperature(logits, table.classes)
    assert fit_temperature(2.0 * logits, table.classes) == pytest.approx(2.0 * fair, rel=0.05)


def test_cells_are_assigned_and_probabilities_fitted() -> None:
    table, logits = table_and_logits(6, 1.0)
    cells = scored_cells(table, logits, 1.0)
    assert len(cells) == 6
    right, cells_right = assignment_score(cells, load_assignment_costs())
    assert right > 0.95
    assert 0 <= cells_right <= 1
    found = calibrate({"drawn": table}, {"drawn": logits}, load_assignment_costs())
    assert set(found) == {"temperature", "sharpness"}
    assert calibrate({}, {}, load_assignment_costs()) == {}
    assert class_accuracy(cells, load_assignment_costs()) == pytest.approx(right, abs=0.01)


def test_objects_of_unknown_class_count_neither_way() -> None:
    table, logits = table_and_logits(2, 1.0)
    unknown = table.classes.copy()
    unknown[0] = -1
    partly = ClassifierCropTable(table.images, table.features, unknown, table.polarity, table.cells)
    cells = scored_cells(partly, logits, 1.0, refuses=False)
    assert len(cells[0].classes) == 46
    assert np.isneginf(cells[0].log_none).all()
    right, _ = assignment_score(cells, load_assignment_costs())
    assert 0.9 < right <= 1.0
    assert np.isfinite(fit_temperature(logits, unknown))


def test_aneuploid_cells_join_the_normal_ones_and_prices_follow_them() -> None:
    table, logits = table_and_logits(6, 1.0)
    cells = with_aneuploid(scored_cells(table, logits, 1.0), seed=1)
    assert len(cells) == 12
    assert [len(cell.classes) for cell in cells[6:]] == [45, 47, 46, 45, 47, 46]
    start = replace(load_assignment_costs(), extra=30.0, missing=30.0)
    tuned = tune_costs(cells, {"extra": (3.0, 30.0), "missing": (3.0, 30.0)}, start)
    assert sum(assignment_score(cells, tuned)) >= sum(assignment_score(cells, start))
    assert isinstance(cells[0], ScoredCell)
