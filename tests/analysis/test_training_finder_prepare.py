"""From the data sets to crops on disk, and what is usual on their slides."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from analysis.errors import DatasetError
from analysis.finder.net_scores import ScoreCalibration
from analysis.nets.finder_net import FinderNet
from analysis.nets.layers import folded
from analysis.training.finder.prepare import CropSource, drift_of, prepare_crops, read_prepared
from analysis.training.finder.reviewed import ReviewedCrop, reviewed_tables
from analysis.training.finder.table import FinderCropTable, Shard, blank_table, plain_crops

DATA = Path(os.environ.get("KARYOSCAN_DATA", "../shared/data"))


@pytest.mark.data
@pytest.mark.skipif(not (DATA / "tseng").is_dir(), reason="the Tseng set isn't there (KARYOSCAN_DATA)")
def test_real_cells_become_labelled_crops_once(tmp_path: Path) -> None:
    parts = (CropSource("val", "gband", 1),)
    lines: list[str] = []
    prepare_crops(DATA, tmp_path, parts, fields_a_slide=2, images=4, progress=lines.append)
    assert len(lines) == 1
    prepare_crops(DATA, tmp_path, parts, fields_a_slide=2, images=4, progress=lines.append)
    assert len(lines) == 1
    found = read_prepared(tmp_path, "val", {})
    assert len(found.table) > 3
    assert found.shards[0].field_count == 2
    assert set(np.unique(found.table.metaphase)) <= {-1, 0, 1}
    assert np.any(found.table.metaphase == 0)
    assert plain_crops(found.table).max() > 60
    assert found.about["fields"] == 2
    assert len(read_prepared(tmp_path, "train", {}).table) == 0


def slide_of(number: int) -> Shard:
    none = FinderCropTable(**blank_table(0))
    statistics = {"noise_od": np.full(5, 0.01 * number), "focus": np.array([1.0, np.nan, 1.0, 1.0, np.nan])}
    return Shard(none, np.zeros(0, dtype="<U1"), np.zeros(0, np.bool_), 5, statistics)


def test_what_is_usual_comes_from_fields_and_held_out_scores() -> None:
    torch.manual_seed(2)
    columns = blank_table(120)
    columns["slide"][:] = np.repeat(["a", "b", "c"], 40)
    usual = drift_of(
        folded(FinderNet(4), half=False),
        ScoreCalibration(),
        FinderCropTable(**columns),
        tuple(slide_of(n) for n in (1, 2, 3)),
    )
    assert usual["noise_od"] == pytest.approx({"mean": 0.02, "std": 0.01})
    assert usual["focus"] == pytest.approx({"mean": 1.0, "std": 0.0})
    assert "uncertain_fraction" in usual


def reviewed(count: int) -> list[ReviewedCrop]:
    return [
        ReviewedCrop(np.full((128, 128), 50 + k, np.uint8), 20.0, 0.01, accepted=k % 2 == 0, slide="r")
        for k in range(count)
    ]


def test_every_fifth_yes_and_no_is_held_back() -> None:
    learn, judge = reviewed_tables(reviewed(20))
    assert (len(learn), len(judge)) == (16, 4)
    assert sorted(judge.wanted.tolist()) == [0, 0, 1, 1]
    assert np.all(learn.metaphase == -1)
    assert np.all(plain_crops(learn)[0] == 50)
    assert learn.crops[0, 0, 0] == 20


def test_crops_of_another_size_are_refused() -> None:
    with pytest.raises(DatasetError, match="none of the finder's"):
        reviewed_tables([ReviewedCrop(np.zeros((64, 64), np.uint8), 20.0, 0.01, True)])
