from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
import torch

from analysis.errors import WeightsError
from analysis.nets.embedding import EmbeddingNet
from analysis.parameters.store import parameters_status
from analysis.parameters.weights import (
    Manifest,
    fill_net,
    load_weights,
    read_manifest,
    write_weights,
)


def manifest() -> Manifest:
    return Manifest(
        name="tiny",
        net="EmbeddingNet",
        arguments={"width": 4},
        data={"drawn": 3},
        split="train",
        command="none",
        settings={},
        metrics={},
        seed=1,
        steps=2,
        date="2026-01-01",
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    torch.manual_seed(3)
    write_weights(tmp_path, EmbeddingNet(4).state_dict(), manifest())
    return tmp_path


def test_weights_come_back_as_they_were(folder: Path) -> None:
    net = EmbeddingNet(4)
    fill_net(net, load_weights("tiny", folder), "tiny")
    assert not net.training
    assert read_manifest("tiny", folder).data == {"drawn": 3}
    assert [state.intact for state in parameters_status(folder)] == [True]
    assert sorted(path.name for path in folder.iterdir()) == ["tiny.json", "tiny.safetensors"]


def test_one_changed_byte_is_noticed(folder: Path) -> None:
    path = folder / "tiny.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(WeightsError, match="damaged"):
        load_weights("tiny", folder)
    (state,) = parameters_status(folder)
    assert not state.intact
    assert "damaged" in state.message


@pytest.mark.parametrize("ending", [".json", ".safetensors"])
def test_missing_file_is_one_clear_line(folder: Path, ending: str) -> None:
    (folder / f"tiny{ending}").unlink()
    with pytest.raises(WeightsError, match="can't be read") as caught:
        load_weights("tiny", folder)
    assert "\n" not in str(caught.value)
    assert not parameters_status(folder)[0].intact


@pytest.mark.parametrize("text", ["{", "[]", '{"name": "tiny"}', '{"unknown": 1}'])
def test_damaged_manifest_is_refused(folder: Path, text: str) -> None:
    (folder / "tiny.json").write_text(text)
    with pytest.raises(WeightsError, match="manifest"):
        load_weights("tiny", folder)


def test_weights_of_another_net_are_refused(folder: Path) -> None:
    with pytest.raises(WeightsError, match="another net"):
        fill_net(EmbeddingNet(8), load_weights("tiny", folder), "tiny")


def test_right_sha_of_no_weights_is_refused(folder: Path) -> None:
    (folder / "tiny.safetensors").write_bytes(b"nothing")
    content = json.loads((folder / "tiny.json").read_text())
    content["sha256"] = hashlib.sha256(b"nothing").hexdigest()
    (folder / "tiny.json").write_text(json.dumps(content))
    with pytest.raises(WeightsError, match="safetensors"):
        load_weights("tiny", folder)


def test_empty_folder_has_no_weights(tmp_path: Path) -> None:
    assert not parameters_status(tmp_path)[0].intact


def test_the_product_ships_intact_weights() -> None:
    assert {"classifier", "detector"} <= {state.name for state in parameters_status() if state.intact}
