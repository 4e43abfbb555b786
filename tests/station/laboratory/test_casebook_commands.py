"""The commands, as somebody types them."""

from __future__ import annotations

from pathlib import Path

import pytest

from station.cli import main
from tests.station.laboratory.run_folders import finished_run


def test_a_laboratory_by_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "laboratory"

    def run(*arguments: str, code: int = 0) -> str:
        with pytest.raises(SystemExit) as end:
            main(["casebook", *arguments])
        printed = capsys.readouterr()
        assert (end.value.code or 0) == code, printed.out + printed.err
        return printed.out + printed.err

    assert "casebook create makes one" in run("list", str(tmp_path), code=1)
    assert "token for the first administrator" in run("create", str(folder), "--name", "Ward 7")
    assert "weber: added" in run(
        "user", "add", str(folder), "weber", "--role", "technician", "--role", "supervisor"
    )
    assert "such a record already" not in run("user", "add", str(folder), "Weber", "--role", "technician", code=1)
    assert "supervisor, technician" in run("user", "list", str(folder))
    assert "there is no user meier" in run("user", "disable", str(folder), "meier", code=1)
    finished_run(folder / "runs" / "one")
    assert "1 indexed; 1 read" in run("index", str(folder))
    assert "1 indexed; 0 read" in run("index", str(folder))
    (folder / "runs/one/captures/c0001.ome.tiff").unlink()
    assert "incomplete: 1 files of its record" in run("index", str(folder))
    assert "c0001.ome.tiff" in run("runs", str(folder), "--problems")
    assert "24-0117" in run("runs", str(folder))
    assert "1 of 1" in run("list", str(folder), "--text", "0117")
    backup = tmp_path / "backup.zip"
    assert "verified" in run("backup", str(folder), "--out", str(backup))
    assert "whole" in run("verify", str(backup))
    assert "restored" in run("restore", str(backup), str(tmp_path / "restored"))
    assert "24-0117" in run("list", str(tmp_path / "restored"))
    assert "is of the present schema" in run("migrate", str(folder))
    assert "each follows the one before it" in run("audit", str(folder))
    (folder / "audit.anchor").write_text("1 " + "0" * 64 + "\n", encoding="ascii")
    assert "anchor_differs" in run("audit", str(folder), code=1)
