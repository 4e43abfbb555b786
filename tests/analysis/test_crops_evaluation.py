from __future__ import annotations

import os
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from analysis.classification.classifier import Classifier
from analysis.datasets.bioimlab import bioimlab_cells
from analysis.errors import DatasetError
from analysis.evaluation.crops import evaluate_bioimlab, evaluate_gband612
from analysis.nets.embedding import EmbeddingNet

DATA = Path(os.environ.get("KARYOSCAN_DATA", Path(__file__).parents[2] / "../shared/data"))


@pytest.fixture
def classifier() -> Classifier:
    torch.set_num_threads(1)
    torch.manual_seed(2)
    return Classifier(EmbeddingNet(4))


def make_set(folder: Path, *, bright: bool = False) -> None:
    folder.mkdir()
    rows = ["file,case,cell,class,split"]
    with zipfile.ZipFile(folder / "crops.zip", "w") as archive:
        for cell in range(2):
            for k, name in enumerate(["1", "7", "21", "?"]):
                grey = np.full((90 - 15 * k, 30), 255, np.uint8)
                grey[4:-4, 8:22] = 90
                grey[10:20, 8:22] = 40
                file = f"{cell}{k}.png"
                archive.writestr(file, cv2.imencode(".png", 255 - grey if bright else grey)[1].tobytes())
                rows.append(f"{file},a,c{cell},{name},test")
    (folder / "crops.csv").write_text("\n".join(rows) + "\n")


def test_figures_are_shares_and_unknown_classes_do_not_count(tmp_path: Path, classifier: Classifier) -> None:
    make_set(tmp_path / "gband612")
    done: list[tuple[int, int]] = []
    figures = evaluate_gband612(tmp_path, "test", classifier, progress=lambda *at: done.append(at))
    assert figures["crops"] == 6
    assert figures["cells"] == 2
    assert done == [(1, 2), (2, 2)]
    for key in ("top1", "top5", "top1_assigned", "polarity", "cells_wholly_right"):
        assert 0 <= figures[key] <= 1
    assert evaluate_gband612(tmp_path / "gband612", "test", classifier, limit=1)["crops"] == 3


def test_bright_sets_are_inverted(tmp_path: Path, classifier: Classifier) -> None:
    make_set(tmp_path / "bioimlab_qband", bright=True)
    (cell, _) = bioimlab_cells(tmp_path / "bioimlab_qband", "test")
    assert cell.pictures[0][0, 0] == 255
    assert evaluate_bioimlab(tmp_path, "test", classifier)["crops"] == 6


def test_what_is_wrong_with_a_set_is_said(tmp_path: Path, classifier: Classifier) -> None:
    with pytest.raises(DatasetError, match="isn't there"):
        evaluate_gband612(tmp_path, "test", classifier)
    make_set(tmp_path / "gband612")
    with pytest.raises(DatasetError, match="nothing in split"):
        evaluate_gband612(tmp_path, "val", classifier)
    (tmp_path / "gband612" / "crops.zip").write_bytes(b"PK")
    with pytest.raises(DatasetError, match="can't be read"):
        evaluate_gband612(tmp_path, "test", classifier)


@pytest.mark.data
def test_shipped_weights_reach_their_mark_on_real_cells() -> None:
    if not (DATA / "gband612" / "crops.zip").is_file():
        pytest.skip(f"needs the gband612 set under {DATA} (KARYOSCAN_DATA)")
    torch.set_num_threads(1)
    figures = evaluate_gband612(DATA, "test", Classifier.load(), limit=8)
    assert figures["top1_assigned"] >= 0.93
    assert figures["polarity"] >= 0.95
