"""Refitting how proposals are weighed, on cells made up."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from analysis.errors import DatasetError
from analysis.parameters.store import load_parameters
from analysis.selection.initial_selection import SelectionSettings, load_selection_settings
from analysis.selection.measurements import ProposalMeasurements
from analysis.training.fits.labelled_proposals import (
    LabelledProposals,
    cached_proposals,
    read_cell,
    write_cell,
)
from analysis.training.fits.selection import SelectionTargets, compare, figures, outcomes, refit
from station.cli import app


def cell(case: str, right: list[float], wrong: list[float], *, sure: float = 0.95) -> LabelledProposals:
    """Proposals by their scores; those that are right fit a true chromosome each, all of classes of their own."""
    count = len(right) + len(wrong)
    classes = np.full((count, 24), (1.0 - sure) / 23)
    classes[np.arange(count), np.arange(count) % 24] = sure
    iou = np.zeros((len(right), count))
    iou[np.arange(len(right)), np.arange(len(right))] = 0.8
    known = ProposalMeasurements(
        np.asarray([*right, *wrong]), np.zeros((count, count)), classes, np.full(count, -1), np.zeros(0)
    )
    return LabelledProposals(case, known, iou)


def test_outcomes_count_what_was_chosen() -> None:
    table = outcomes([cell("a", [0.9, 0.8, 0.1], [0.6]), cell("b", [0.9], [])], load_selection_settings())
    assert table.tolist() == [[2.0, 1.0, 1.0], [1.0, 0.0, 0.0]]
    assert figures(table) == pytest.approx({"aer": 0.5, "acc": 0.6, "wcr": 0.5, "missed": 1.0, "false": 1.0})


@pytest.mark.parametrize(("right", "wrong"), [(0.72, 0.5), (0.35, 0.12)])
def test_a_refit_finds_the_line_between_right_and_wrong(right: float, wrong: float) -> None:
    start = replace(load_selection_settings(), threshold=0.4)
    rng = np.random.default_rng(4)
    cells = [
        cell(f"case {k // 2}", list(rng.normal(right, 0.02, 14)), list(rng.normal(wrong, 0.02, 4)))
        for k in range(8)
    ]
    best = refit(cells, start, most_trials=40)
    result = compare(cells, start, best)
    assert figures(result.before)["aer"] > 0.2
    assert figures(result.after)["aer"] == 0.0
    assert result.no_worse
    assert result.interval[1] < 0.0


def test_a_missed_chromosome_can_be_worth_more_than_a_false_one() -> None:
    table = np.asarray([[40.0, 2.0, 6.0]])
    level, dear = SelectionTargets(1.0, 0.0), SelectionTargets(2.0, 0.0)
    assert level.cost(table) == pytest.approx(8.0 / 46.0)
    assert dear.cost(table) == pytest.approx(14.0 / 46.0)


def test_cells_of_other_numbers_that_come_out_as_46_cost() -> None:
    aims = SelectionTargets(1.0, 1.0)
    leaning, fair = np.asarray([[45.0, 1.0, 0.0]]), np.asarray([[44.0, 1.0, 1.0]])
    assert aims.cost(leaning) == pytest.approx(1.0 / 45.0 + 1.0 / 46.0)
    assert aims.cost(fair) == pytest.approx(2.0 / 45.0)


def test_classes_count_from_what_most_cells_reach() -> None:
    cells = [cell(str(k), [0.9] * 12, [], sure=0.9) for k in range(5)]
    best = refit(cells, load_selection_settings(), most_trials=1)
    assert (best.sure_at, best.unsure_at) == (0.9, 0.7)


def test_cells_are_kept_as_they_are(tmp_path: Path) -> None:
    made = cell("a", [0.9, 0.4], [0.6])
    write_cell(tmp_path / "one.npz", made)
    back = read_cell(tmp_path / "one.npz")
    assert back.case == "a"
    np.testing.assert_array_equal(back.iou, made.iou)
    np.testing.assert_array_equal(back.measurements.classes, made.measurements.classes)
    assert [path.name for path in tmp_path.iterdir()] == ["one.npz"]


def test_the_command_tells_what_a_refit_is_worth(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    cells = [cell(str(k), [0.6] * 10, [0.45, 0.4]) for k in range(4)]
    monkeypatch.setattr("analysis.training.fits.labelled_proposals.cached_proposals", lambda *_, **__: cells)
    told = CliRunner().invoke(
        app, ["train", "selection", "--out", str(tmp_path), "--trials", "30", "--data", str(tmp_path)]
    )
    assert told.exit_code == 0, told.output
    assert "missed 0  false 0" in told.output
    written = load_parameters("selection", tmp_path).coefficients(SelectionSettings)
    assert 0.45 < written.threshold < 0.6
    assert "4 cells" in told.output


def test_nothing_is_chosen_on_the_test_split(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="nothing is trained, fitted or chosen on the split"):
        cached_proposals(tmp_path, "test", tmp_path / "kept")
