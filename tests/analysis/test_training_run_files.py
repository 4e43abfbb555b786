from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from analysis.training.engine.run_files import LOG_NAME, log_line, read_checkpoint, whole_file, write_checkpoint


def test_a_checkpoint_comes_back_with_its_optimiser(tmp_path: Path) -> None:
    torch.manual_seed(1)
    net = torch.nn.Linear(3, 2)
    optimiser = torch.optim.AdamW(net.parameters())
    net(torch.ones(1, 3)).sum().backward()
    optimiser.step()
    path = tmp_path / "run" / "checkpoint.ckpt"
    write_checkpoint(path, {"net": net.state_dict(), "optimiser": optimiser.state_dict(), "step": 7})
    content = read_checkpoint(path)
    assert content["step"] == 7
    assert torch.equal(content["net"]["weight"], net.weight)
    torch.optim.AdamW(torch.nn.Linear(3, 2).parameters()).load_state_dict(content["optimiser"])
    assert [entry.name for entry in path.parent.iterdir()] == ["checkpoint.ckpt"]


def test_a_torn_write_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "table.npz"
    with whole_file(path) as file:
        file.write(b"first")

    def torn() -> None:
        with whole_file(path) as file:
            file.write(b"sec")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        torn()
    assert path.read_bytes() == b"first"
    assert list(tmp_path.iterdir()) == [path]


def test_a_log_grows_by_a_line_an_entry(tmp_path: Path) -> None:
    lines = [log_line(tmp_path, {"step": step, "loss": 0.5}) for step in (1, 2)]
    assert (tmp_path / LOG_NAME).read_text() == "".join(line + "\n" for line in lines)
    assert json.loads(lines[1]) == {"step": 2, "loss": 0.5}
