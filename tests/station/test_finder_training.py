"""``karyoscan train finder``: reviewers' decisions reach the trainer, and shipped weights stay as they are."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from acquisition.casebook import open_casebook
from acquisition.records import CandidateRecord, CandidateStatus, FieldRecord, FieldStatus, RunRecord
from acquisition.storage import write_png_atomic
from acquisition.storage.run_folder import CASEBOOK_NAME
from analysis.nets.finder_net import FinderNet
from analysis.parameters.weights import WEIGHTS_DIR, Manifest, read_manifest, write_weights
from analysis.training.engine.arithmetic import stored_weights
from analysis.training.finder.prepare import CropSource, shard_name
from analysis.training.finder.table import FinderCropTable, Shard, blank_table, write_shard
from analysis.training.finder.trainer import FinderTrainSettings
from station.cli import app
from station.errors import UsageError
from station.training.finder import FinderTraining, train_finder

NOON = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
PARTS = (CropSource("train", "gband", 1), CropSource("val", "gband", 1))


@pytest.fixture
def reviewed_run(tmp_path: Path) -> Path:
    """A run of which a reviewer accepted two finds and rejected four."""
    folder = tmp_path / "run"
    (folder / "finds").mkdir(parents=True)
    field = FieldRecord(0, 0, 0, 500.0, 500.0, 500.0, 500.0, 3.0, FieldStatus.DONE, NOON, 35.0, 1.0, 10.0, 60.0, 6)
    with open_casebook(folder / CASEBOOK_NAME) as book:
        book.begin_run(RunRecord("r", "s", "rig", "", "p", "", "0", NOON))
        book.record_field("r", field)
        for number in range(6):
            crop = f"finds/{number}.crop.png"
            write_png_atomic(folder / crop, np.full((128, 128), 20 + number, np.uint8))
            find = CandidateRecord(
                f"cell-{number}", 0, 200.0 * number, 100.0, 20.0, 0.9, number + 1, CandidateStatus.SELECTED,
                crop=crop, noise_od=0.012,
            )  # fmt: skip
            book.record_candidates("r", [find])
            book.decide("r", find.uid, accepted=number < 2, reviewer="kim", at=NOON)
    return folder


def prepared(out: Path) -> None:
    """Crops as a preparation leaves them: dark squares are metaphases."""
    for part in PARTS:
        columns = blank_table(24)
        columns["metaphase"][:] = np.arange(24) % 2
        columns["crops"][1::2, 60:100, 60:100] = 120
        columns["radius_um"][:], columns["noise_od"][:] = 15.0, 0.01
        columns["cell_radius_um"][1::2] = 13.0
        columns["stain"][:], columns["slide"][:] = "gband", part.split
        statistics = {"noise_od": np.full(4, 0.01)}
        shard = Shard(
            FinderCropTable(**columns), np.array(["metaphase"] * 12), np.ones(12, np.bool_), 4, statistics
        )
        write_shard(out / "crops" / shard_name(part, 0), shard)


def shipped(folder: Path) -> Path:
    """Weights to begin from."""
    torch.manual_seed(1)
    manifest = Manifest(
        name="finder",
        net="FinderNet",
        arguments={"width": 4},
        data={},
        split="",
        command="",
        settings={},
        metrics={},
        seed=1,
        steps=0,
    )
    write_weights(folder, stored_weights(FinderNet(4).state_dict()), manifest)
    return folder


def asked(tmp_path: Path, **changes: object) -> FinderTraining:
    settings = FinderTrainSettings(
        width=4, epochs=1.0, batch=12, warm_up_steps=1, validate_steps=50, bfloat16=False, reviewed_fraction=0.25
    )
    values = {
        "data": tmp_path / "none",
        "out": tmp_path / "out",
        "minutes": 5.0,
        "parts": PARTS,
        "settings": settings,
    }
    return FinderTraining(**(values | changes))  # type: ignore[arg-type]


def test_decisions_are_mixed_in_and_the_shipped_weights_stay(tmp_path: Path, reviewed_run: Path) -> None:
    prepared(tmp_path / "out")
    start = shipped(tmp_path / "shipped")
    before = {path.name: path.read_bytes() for path in start.iterdir()}
    told: list[str] = []
    train_finder(asked(tmp_path, casebook=reviewed_run, start=start), told.append)
    assert told[0] == "6 decisions to train on, 0 held back for evaluation"
    manifest = read_manifest("finder", tmp_path / "out" / "reviewed")
    assert manifest.data == {"gband crops": 24, "fields": 4, "reviewed": 6}
    assert manifest.command == "karyoscan train finder --from-casebook"
    assert {path.name: path.read_bytes() for path in start.iterdir()} == before
    assert not (tmp_path / "out" / "finder.safetensors").exists()


def test_a_training_from_nothing_writes_where_it_was_told(tmp_path: Path) -> None:
    prepared(tmp_path / "out")
    told: list[str] = []
    train_finder(asked(tmp_path), told.append)
    assert "proposal recall 1.0000 on train, 1.0000 on val" in told
    assert read_manifest("finder", tmp_path / "out").data == {"gband crops": 24, "fields": 4}


def test_shipped_weights_are_never_written_over(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="never written over"):
        train_finder(asked(tmp_path, out=WEIGHTS_DIR), lambda _line: None)


def test_a_review_without_crops_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    with open_casebook(folder / CASEBOOK_NAME) as book:
        book.begin_run(RunRecord("r", "s", "rig", "", "p", "", "0", NOON))
    with pytest.raises(UsageError, match="no decision"):
        train_finder(asked(tmp_path, casebook=folder), lambda _line: None)


def test_the_command_is_there() -> None:
    result = CliRunner().invoke(app, ["train", "finder", "--help"])
    assert result.exit_code == 0
    assert "--from-casebook" in result.output
