"""Changes that are cut and pasted, and the figures of what is flagged of them."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from analysis.banding.ideogram import ideogram
from analysis.datasets import structural_changes as structural_data
from analysis.datasets.structural_changes import StructuralChange, change_fits, changed_cell, changed_stretch
from analysis.errors import DatasetError
from analysis.evaluation.banding import drawn_from_table
from analysis.evaluation.structural import evaluate_structural, own_changed_cells
from analysis.homologues.reference_statistics import CUT_COVARIATES
from analysis.karyotyping.pipeline import load_karyotyper
from analysis.structures.classes import CLASS_NAMES
from analysis.training.synthesis import structural_changes

NAMES = (*(name for name in CLASS_NAMES[:22] for _ in range(2)), "X", "X")
SIZES = {
    StructuralChange.NONE: (20,),
    StructuralChange.INTERSTITIAL: (60,),
    StructuralChange.PARACENTRIC: (40,),
    StructuralChange.TRANSLOCATION: (30,),
}


@pytest.fixture(autouse=True)
def few_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(structural_data, "SIZES_MB", SIZES)
    monkeypatch.setattr(structural_changes, "SIZES_MB", SIZES)


def test_a_changed_chromosome_is_as_long_as_it_should_be() -> None:
    rng = np.random.default_rng(0)
    objects = [drawn_from_table(name, 400, 50, 1.0, rng) for name in NAMES]
    cell = changed_cell("a", "case", objects, NAMES, rng)
    assert len(cell.crops) == 46
    assert [change.event for change in cell.changes] == [0, 1, 2, 3, 3]
    for change in cell.changes:
        ratio = change.crop.relative_length / cell.crops[change.row].relative_length
        if change.kind in (StructuralChange.NONE, StructuralChange.PARACENTRIC):
            assert ratio == pytest.approx(1.0, abs=0.05)
        if change.kind is StructuralChange.INTERSTITIAL:
            assert ratio == pytest.approx(1.0 - (change.stop - change.start), abs=0.06)
    figures = evaluate_structural(iter([cell]))
    assert figures["simulated"] is True
    assert figures["pairs"] == 23
    by_kind = {row["kind"]: row for row in figures["changes"]}
    assert set(by_kind) == {kind.value for kind in SIZES}
    assert all(row["n"] == 1 for row in figures["changes"])
    assert by_kind["interstitial deletion"]["auc"] > 0.8
    assert by_kind["none, put back"]["auc"] <= by_kind["interstitial deletion"]["auc"]


def test_stretches_lie_where_their_kind_has_them() -> None:
    rng = np.random.default_rng(1)
    for kind, sizes in structural_data.SIZES_MB.items():
        for name in CLASS_NAMES:
            for size in sizes:
                if kind is StructuralChange.TRANSLOCATION or not change_fits(kind, size, name):
                    continue
                start, stop = changed_stretch(kind, size, name, rng)
                assert 0.0 <= start < stop <= 1.0
                assert start > ideogram(name).centromere
    start, stop = changed_stretch(StructuralChange.PERICENTRIC, 40, "2", rng)
    assert start < ideogram("2").centromere < stop


def test_drawn_cells_have_the_same_changes() -> None:
    (cell,) = structural_changes.drawn_changed_cells(1)
    assert [change.kind for change in cell.changes] == [*list(SIZES), StructuralChange.TRANSLOCATION]
    assert len(cell.crops) == 46


def test_without_cells_there_are_no_figures() -> None:
    with pytest.raises(DatasetError):
        evaluate_structural(iter([]))


def test_what_is_not_compared_counts_as_missed() -> None:
    rng = np.random.default_rng(0)
    objects = [drawn_from_table(name, 400, 50, 1.0, rng) for name in NAMES]
    cell = changed_cell("a", "case", objects, NAMES, rng)
    unfit = tuple(replace(change, fit=False) for change in cell.changes)
    hidden = next(row for row in range(0, 46, 2) if row not in {change.row - change.row % 2 for change in unfit})
    figures = evaluate_structural(iter([replace(cell, changes=unfit, doubtful=frozenset({hidden}))]))
    assert figures["pairs"] == 22
    assert figures["compared"] == pytest.approx(22 / 23)
    assert [row["compared"] for row in figures["changes"]] == [0.0] * len(SIZES)
    assert [row["sensitivity"] for row in figures["changes"]] == [0.0] * len(SIZES)
    assert all(np.isnan(row["auc"]) for row in figures["changes"])


@pytest.mark.data
def test_changes_in_real_cells_that_the_software_cut() -> None:
    folder = Path(os.environ.get("KARYOSCAN_DATA", "../shared/data")) / "tseng"
    if not folder.is_dir():
        pytest.skip(f"no data set in {folder} (see KARYOSCAN_DATA)")
    (cell,) = own_changed_cells(folder, "val", load_karyotyper(), limit=1)
    assert cell.covariates is not None
    assert cell.covariates.shape == (len(cell.crops), CUT_COVARIATES)
    assert 0 < len(cell.doubtful) < len(cell.crops)
    assert {change.kind for change in cell.changes} <= set(SIZES)
    assert 0.4 < evaluate_structural(iter([cell]))["compared"] < 1.0
