from __future__ import annotations

import json
from pathlib import Path

import pytest

from analysis.evaluation.cells import CellRecord, Named
from analysis.metrics.interactions import Interactions
from analysis.structures.classes import CLASS_NAMES
from station.commands.evaluate.cells import aneuploidy
from station.errors import UsageError
from station.evaluation import cells as cells_evaluation
from station.evaluation.cells import evaluate_cells, write_cells_report

NORMAL = (*(name for name in CLASS_NAMES[:22] for _ in range(2)), "X", "X")


def record(place: int, *, whole: bool) -> CellRecord:
    """A cell with as many wrong classes as its place."""
    named = tuple(
        Named("Y" if row < place else name, 0.6 if row < place else 0.995, name) for row, name in enumerate(NORMAL)
    )
    edits = Interactions(0, 0, 0, 0, place)
    return CellRecord(
        f"{place}", f"case {place}", NORMAL, named, named if whole else None, 0, "auto", True, edits, 0.1
    )


@pytest.fixture
def known_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    def records(data: Path, dataset: str, split: str, places: list[int]) -> list[CellRecord]:
        return [record(place, whole=dataset == "tseng") for place in places]

    monkeypatch.setattr(cells_evaluation, "_records", records)
    monkeypatch.setattr(cells_evaluation, "count_cells", lambda *_: 5)


def test_every_cell_is_looked_at_once_and_stays_in_order(known_cells: None) -> None:
    told: list[tuple[int, int]] = []
    evaluation = evaluate_cells(Path(), "val", progress=lambda done, total: told.append((done, total)))
    assert [entry.name for entry in evaluation.records["tseng"]] == ["0", "1", "2", "3", "4"]
    assert told[-1] == (10, 10)
    figures = evaluation.figures["tseng, own segmentation"]
    assert figures["right"] == pytest.approx(1 - 10 / 230)
    assert figures["interactions"]["mean"] == 2.0
    assert figures["interactions"]["by_kind"]["moves"]["mean"] == 2.0
    assert figures["risk"]["levels"]["auto"]["risk"] == 0.0
    assert "interactions" not in evaluation.figures["tseng, given"]
    assert "interactions" in evaluation.figures["gband612, given"]
    assert evaluate_cells(Path(), "val", ["tseng"], limit=2).figures["tseng, given"]["cells"] == 2


def test_report_and_table(
    known_cells: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_cells_report(evaluate_cells(Path(), "val"), tmp_path / "report")
    names = {"figures.json", "risk.json", "risk.png", "tseng.json", "gband612.json"}
    assert {path.name for path in folder.iterdir()} == names
    risk = json.loads((folder / "risk.json").read_text())
    assert risk["tseng, given"]["curve"][-1]["coverage"] == 1.0
    # No cell is aneuploid: what can't be told is null, and no number.
    figures = json.loads((folder / "figures.json").read_text())
    assert figures["tseng, given"]["aneuploidy"]["class_sensitivity"] is None
    monkeypatch.setenv("COLUMNS", "200")
    written = tmp_path / "figures.json"
    aneuploidy(tmp_path, "val", json_file=written)
    text = capsys.readouterr().out
    assert "class_specificity" in text
    assert "aurc" not in text
    assert json.loads(written.read_text()) == figures


def test_splits_and_sets_that_are_none(known_cells: None) -> None:
    with pytest.raises(UsageError, match="--split"):
        evaluate_cells(Path(), "everything")
    with pytest.raises(UsageError, match="no cells in 'mfish'"):
        evaluate_cells(Path(), "val", ["mfish"])
