from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from analysis.errors import DatasetError
from analysis.karyogram_import.imported_folder import CELL_ENDING, CROP_FOLDER, read_imported_cell
from station.cli import app, main
from tests.analysis.drawn_karyograms import draw_cell, draw_sheet

SHOWN = ["1", "9", "14"]


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("archive")
    cell = draw_cell(SHOWN, seed=8)
    cv2.imwrite(str(folder / "7_A.png"), cell.metaphase)
    cv2.imwrite(str(folder / "7_K.png"), draw_sheet(cell.chromosomes))
    cv2.imwrite(str(folder / "8_A.png"), cell.metaphase)
    cv2.imwrite(str(folder / "9_A.png"), cell.metaphase)
    (folder / "9_K.png").write_bytes(b"no picture")
    return folder


@pytest.fixture(scope="module")
def imported(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    out = tmp_path_factory.mktemp("imported") / "cells"
    result = CliRunner().invoke(app, ["import-karyograms", str(archive), "--out", str(out)])
    assert result.exit_code == 0, result.output
    return out, result.output


def content(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_what_is_said_and_written(imported: tuple[Path, str]) -> None:
    out, output = imported
    assert "7: 3 chromosomes on the sheet, 3 matched, 3 of them with a class" in output
    assert "8_A.png: its other picture is missing" in output
    assert "9: not imported" in output
    summary = json.loads((out / "import.json").read_text())
    assert [each["matched"] for each in summary["cells"]] == [3]
    assert summary["orphans"] == ["8_A.png"]
    assert [each["cell"] for each in summary["refused"]] == ["9"]
    cell = read_imported_cell(out / f"7{CELL_ENDING}")
    assert [each.class_name for each in cell.usable] == SHOWN
    for each in cell.chromosomes:
        crop = cv2.imread(str(out / CROP_FOLDER / each.crop), cv2.IMREAD_GRAYSCALE)
        assert crop is not None
        assert crop.min() < 200
        assert crop[0].min() == 255
    overview = cv2.imread(str(out / "7.overview.png"))
    assert overview is not None
    # Outlines are coloured: the pictures are grey.
    assert np.ptp(overview.astype(int), axis=2).max() > 100


def test_a_second_import_changes_nothing(archive: Path, imported: tuple[Path, str]) -> None:
    out, _ = imported
    before = content(out)
    result = CliRunner().invoke(app, ["import-karyograms", str(archive), "--out", str(out)])
    assert "as before" in result.output
    assert content(out) == before


def test_a_crop_that_is_missing_is_made_again(archive: Path, imported: tuple[Path, str]) -> None:
    out, _ = imported
    before = content(out)
    crop = next(out.glob("crops/7.*.png"))
    crop.unlink()
    result = CliRunner().invoke(app, ["import-karyograms", str(archive), "--out", str(out)])
    assert "as before" not in result.output
    assert content(out) == before


def test_damaged_records_are_refused_by_the_reader(tmp_path: Path, imported: tuple[Path, str]) -> None:
    record = json.loads((imported[0] / f"7{CELL_ENDING}").read_text())
    record["chromosomes"][0]["class"] = "23"
    (tmp_path / f"7{CELL_ENDING}").write_text(json.dumps(record))
    with pytest.raises(DatasetError, match=r"chromosomes\.0\.class.*import the cell again"):
        read_imported_cell(tmp_path / f"7{CELL_ENDING}")
    with pytest.raises(DatasetError, match="can't be read"):
        read_imported_cell(tmp_path / f"8{CELL_ENDING}")


@pytest.mark.parametrize(
    ("layout", "message"),
    [
        ("name: ours\nrows:\n  - ['1', '99']\n", "line 3"),
        ("name: ours\nrows: [['1', '1']]\n", "stands on it twice"),
        ("name: ours\nrows: [['1']]\nsides: 2\n", "sides"),
    ],
)
def test_layouts_that_are_refused(
    archive: Path, tmp_path: Path, layout: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "layout.yaml"
    path.write_text(layout)
    with pytest.raises(SystemExit) as end:
        main(["import-karyograms", str(archive), "--out", str(tmp_path / "out"), "--layout", str(path)])
    assert end.value.code == 1
    error = capsys.readouterr().err
    assert message in error
    assert "layout.yaml" in error
    assert not (tmp_path / "out").exists()


def test_a_layout_of_ones_own(archive: Path, tmp_path: Path) -> None:
    layout = tmp_path / "layout.yaml"
    layout.write_text(
        "name: ours\nrows:\n  - ['1', '2', '3', '4', '5']\n  - ['6', '7', '8', '9', '10', '11', '12']\n"
        "  - ['13', '14', '15', '16', '17', '18']\n  - ['19', '20', '21', '22', 'X', 'Y']\nlabels: below\n"
    )
    out = tmp_path / "out"
    result = CliRunner().invoke(
        app, ["import-karyograms", str(archive), "--out", str(out), "--layout", str(layout)]
    )
    assert result.exit_code == 0, result.output
    assert [read_imported_cell(path).layout for path in out.glob(f"*{CELL_ENDING}")] == ["ours"]
