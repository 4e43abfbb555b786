from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from analysis.errors import DatasetError
from analysis.training.classifier.ablation import Variant, markdown, run_ablation, variants
from analysis.training.classifier.crops import ClassifierCropTable
from analysis.training.classifier.peers import PEERS
from analysis.training.classifier.trainer import TrainSettings

TINY = TrainSettings(width=4, batch=16, source_fractions={"drawn": 1.0})


def table(cells: int, seed: int) -> ClassifierCropTable:
    rng = np.random.default_rng(seed)
    classes = np.tile([*np.repeat(np.arange(22), 2), 22, 23], cells)
    images = rng.integers(0, 200, (len(classes), 2, 96, 24), dtype=np.uint8)
    features = rng.normal(0, 0.1, (len(classes), 3)).astype(np.float32)
    polarity = np.zeros(len(classes), np.int64)
    return ClassifierCropTable(images, features, classes, polarity, np.repeat(np.arange(cells), 46))


@pytest.mark.parametrize("name", PEERS)
def test_peers_answer_as_the_own_net_does(name: str) -> None:
    torch.set_num_threads(1)
    torch.manual_seed(3)
    net = PEERS[name]().eval()
    views, profile, features = torch.rand(2, 2, 96, 24), torch.rand(2, 2, 64), torch.rand(2, 3)
    with torch.no_grad():
        plain = net(views, profile, features)
        turned = net(views.flip(2, 3), profile.flip(2), features)
    assert plain.shape == (2, 49)
    assert torch.allclose(plain[:, :24], turned[:, 24:48], atol=1e-4)


def test_a_row_is_made_once(tmp_path: Path) -> None:
    table(2, 1).save(tmp_path / "crops" / "drawn-train.npz")
    table(1, 2).save(tmp_path / "crops" / "drawn-val.npz")
    rows = (Variant("both", TINY), Variant("cross-entropy only", replace(TINY, loss="cross-entropy")))
    lines: list[str] = []

    def run(only: list[str] | None) -> list[str]:
        made = run_ablation(
            tmp_path / "crops",
            tmp_path / "out",
            minutes=0.004,
            only=only,
            sources=("drawn",),
            rows=rows,
            progress=lines.append,
        )
        assert all(0 <= row.figures["drawn_top1"] <= row.figures["drawn_top5"] <= 1 for row in made)
        return [row.name for row in made]

    assert run(["both"]) == ["both"]
    before = (tmp_path / "out" / "both.json").stat().st_mtime_ns
    assert run(None) == ["both", "cross-entropy only"]
    assert (tmp_path / "out" / "both.json").stat().st_mtime_ns == before
    assert (tmp_path / "out" / "table.md").read_text().count("\n") == 4
    assert lines[-1].startswith("| cross-entropy only |")


def test_nothing_to_train_on(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no prepared crops"):
        run_ablation(tmp_path, tmp_path / "out")


def test_the_table_has_a_row_for_every_question() -> None:
    names = [variant.name for variant in variants()]
    assert {"both losses", "cross-entropy only", "triplet only", "without banding vector"} <= set(names)
    assert set(PEERS) <= set(names)
    assert markdown([]).splitlines()[0].startswith("| variant |")
