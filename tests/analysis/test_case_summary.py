from __future__ import annotations

import json
from dataclasses import replace

import pytest

from analysis.case.clones import CaseOrigin
from analysis.case.summary import CaseCell, CasePolicy, CellRole, refused_cell, summarise


def cell(name: str, iscn: str | None, quality: float, *, unclassified: int = 0, usable: bool = True) -> CaseCell:
    return CaseCell(name, iscn, 46, unclassified, quality, "auto", "", usable=usable)


def test_best_cells_are_laid_out_and_bad_ones_left_out() -> None:
    cells = [
        cell("poor", "46,XX", 0.4),
        cell("best", "46,XX", 0.9),
        cell("tray", "46,XX,inc", 0.95, unclassified=2),
        cell("good", "46,XX", 0.8),
        cell("unclear", "46,XX", 0.99, usable=False),
        refused_cell("empty", "there is no metaphase"),
    ]
    summary = summarise("case", cells, CasePolicy(counted=3, analysed=2, karyotyped=1))
    assert {entry.name: entry.role for entry in summary.cells} == {
        "best": CellRole.KARYOTYPED,
        "good": CellRole.ANALYSED,
        "poor": CellRole.COUNTED,
        "tray": CellRole.SPARE,
        "unclear": CellRole.EXCLUDED,
        "empty": CellRole.EXCLUDED,
    }
    assert summary.clones.text == "46,XX[3]"
    assert summary.cells[-1].remark in ("there is no metaphase", "")


def test_a_mosaic_is_told_with_its_cells() -> None:
    cells = [cell(f"a{n}", "47,XX,+21", 0.9) for n in range(4)] + [cell(f"b{n}", "46,XX", 0.8) for n in range(3)]
    summary = summarise("m", [*cells, cell("lost", "45,XX,-3", 0.7)], CasePolicy())
    content = json.loads(json.dumps(summary.to_json()))
    assert content["iscn"] == "mos 47,XX,+21[4]/46,XX[4]"
    assert content["proposal"] is True
    assert (content["counted"], content["analysed"], content["karyotyped"]) == (8, 5, 2)
    assert content["clones"][0] == {"iscn": "47,XX,+21", "cells": ["a0", "a1", "a2", "a3"], "normal": False}
    assert content["single_cell_findings"] == [{"item": "-3", "cells": ["lost"]}]
    acquired = summarise("m", cells, CasePolicy(origin=CaseOrigin.ACQUIRED))
    assert acquired.clones.text == "47,XX,+21[4]/46,XX[3]"


def test_an_incomplete_cell_tells_no_loss() -> None:
    cells = [cell(f"{n}", "46,XX,inc", 0.9, unclassified=1) for n in range(4)]
    summary = summarise("i", cells, CasePolicy())
    assert summary.clones.text == ""
    assert summary.count(CellRole.COUNTED) == 4


def test_bands_are_told_of_the_cells_that_are_analysed() -> None:
    cells = [replace(cell(f"{n}", "46,XX", 0.9 - 0.1 * n), bands=bands) for n, bands in enumerate([500, 420, 300])]
    summary = summarise("b", cells, CasePolicy(counted=3, analysed=2, karyotyped=1))
    assert summary.bands == 460
    content = summary.to_json()
    assert content["bands"] == 460
    assert [entry["bands"] for entry in content["cells"]] == [500, 420, 300]
    assert summarise("n", [cell("a", "46,XX", 0.9)], CasePolicy()).bands is None


@pytest.mark.parametrize("count", [0, 1])
def test_hardly_any_cells(count: int) -> None:
    summary = summarise("few", [cell("a", "46,XY", 0.9)] * count, CasePolicy())
    assert summary.clones.text == ("46,XY[1]" if count else "")
