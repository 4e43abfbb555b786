"""The finder's trainer, on drawn crops."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from analysis.errors import DatasetError
from analysis.finder.net_scores import load_net
from analysis.nets.finder_net import FinderNet, FinderOutput
from analysis.parameters.weights import read_manifest
from analysis.training.finder.figures import figures_of, fit_calibration, outputs_of
from analysis.training.finder.loss import FinderLossWeights, Labels, finder_loss
from analysis.training.finder.table import FinderCropTable, blank_table
from analysis.training.finder.trainer import FinderData, FinderTrainSettings, train_finder

TINY = FinderTrainSettings(
    width=4,
    epochs=2.0,
    batch=12,
    warm_up_steps=3,
    ema_decay=0.7,
    checkpoint_steps=4,
    validate_steps=30,
    bfloat16=False,
)


def table(count: int, seed: int) -> FinderCropTable:
    """Rods on a third of the crops (metaphases, the larger half of them analysable), a filled disk elsewhere."""
    rng = np.random.default_rng(seed)
    columns = blank_table(count)
    ys, xs = np.mgrid[:160, :160] - 79.5
    for row in range(count):
        od = rng.normal(0, 0.01, (160, 160))
        if row % 3 == 0:
            x, y = rng.uniform(-4, 4, 2)
            radius = 36.0 if row % 2 else 20.0
            od += 0.6 * (np.hypot(xs - x, ys - y) < radius) * ((xs // 3 + ys // 5) % 2)
            columns["metaphase"][row], columns["analysable"][row] = 1, int(radius > 30)
            columns["offset_px"][row] = x, y
            columns["cell_radius_um"][row] = radius * 0.645
            columns["chromosomes"][row], columns["correct_fraction"][row] = 46, 0.9 if radius > 30 else 0.6
            columns["quality"][row] = 0.5
        else:
            od += 0.6 * (np.hypot(xs, ys) < 20)
            columns["metaphase"][row] = 0
        columns["crops"][row] = np.clip(np.rint((od + 0.2) * 100), 0, 220)
        columns["radius_um"][row], columns["noise_od"][row] = 18.0, 0.01
    return FinderCropTable(**columns)


@pytest.fixture(scope="module")
def data() -> FinderData:
    return FinderData(table(48, 1), table(66, 2), about={"drawn": 48})


def test_training_learns_and_vouches_for_its_weights(data: FinderData, tmp_path: Path) -> None:
    threads = torch.get_num_threads()
    seen: list[str] = []
    result = train_finder(
        data,
        tmp_path,
        minutes=5,
        settings=replace(TINY, epochs=8.0),
        drift=lambda _net, _calibration: {"noise_od": {"mean": 0.01, "std": 0.002}},
        progress=seen.append,
    )
    assert torch.get_num_threads() == threads
    assert result.finished
    assert result.metrics["average_precision"] > 0.95
    assert result.metrics["auc_analysable"] > 0.9
    manifest = read_manifest("finder", tmp_path)
    assert manifest.metrics == result.metrics
    assert manifest.data == {"drawn": 48}
    assert manifest.drift["noise_od"]["mean"] == 0.01
    net, calibration = load_net("finder", tmp_path)
    output = outputs_of(net, data.val)
    assert calibration == fit_calibration(output, data.val)
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert {"loss", "val"} <= {key for line in lines for key in line}
    assert len(seen) >= len(lines)


def test_a_stopped_training_goes_on_as_if_it_had_not_been_stopped(data: FinderData, tmp_path: Path) -> None:
    whole = train_finder(data, tmp_path / "whole", minutes=5, settings=TINY)
    first = train_finder(data, tmp_path / "parts", minutes=1e-6, settings=TINY)
    assert not first.finished
    assert first.steps == 1
    second = train_finder(data, tmp_path / "parts", minutes=5, settings=TINY)
    assert second.finished
    assert second.steps == whole.steps
    ends = [
        torch.load(tmp_path / name / "checkpoint.ckpt", weights_only=True)["average"]
        for name in ("whole", "parts")
    ]
    for key, value in ends[0].items():
        assert torch.equal(value, ends[1][key]), key


def test_decisions_of_a_reviewer_are_learnt_and_the_beginning_stays_as_it_was(
    data: FinderData, tmp_path: Path
) -> None:
    train_finder(data, tmp_path / "first", minutes=5, settings=TINY)
    before = (tmp_path / "first" / "finder.safetensors").read_bytes()
    # Rings, which the first training never saw, are wanted by the reviewer.
    columns = blank_table(12)
    ys, xs = np.mgrid[:160, :160] - 79.5
    ring = (np.abs(np.hypot(xs, ys) - 40) < 4) * 0.8
    columns["crops"][:] = np.rint((ring + 0.2) * 100)
    columns["wanted"][:], columns["radius_um"][:], columns["noise_od"][:] = 1, 18.0, 0.01
    reviewed = FinderCropTable(**columns)
    own = replace(data, reviewed=reviewed, reviewed_val=reviewed)
    settings = replace(TINY, epochs=5.0, reviewed_fraction=0.5)
    result = train_finder(own, tmp_path / "own", minutes=5, start_folder=tmp_path / "first", settings=settings)
    assert (tmp_path / "first" / "finder.safetensors").read_bytes() == before
    assert result.metrics["reviewed_agreement"] == 1.0

    def wanted(folder: Path) -> float:
        net, _ = load_net("finder", folder)
        output = outputs_of(net, reviewed)
        return float((torch.sigmoid(output.metaphase) * torch.sigmoid(output.analysable)).mean())

    before_p, after_p = wanted(tmp_path / "first"), wanted(tmp_path / "own")
    assert after_p > before_p + 0.1, (before_p, after_p)


def test_nothing_to_learn_from_is_refused(data: FinderData, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="train"):
        train_finder(replace(data, train=table(0, 1)), tmp_path, minutes=1, settings=TINY)


def outputs(logits: list[float]) -> FinderOutput:
    values, zero = torch.tensor(logits), torch.zeros(len(logits))
    return FinderOutput(values, values, torch.zeros(len(logits), 2), zero, torch.zeros(len(logits), 4), zero, zero)


def test_calibration_makes_proud_scores_true() -> None:
    rng = np.random.default_rng(4)
    odds = rng.normal(0, 1.5, 4000)
    truth = (rng.random(4000) < 1 / (1 + np.exp(-odds + 0.5))).astype(np.int8)
    columns = blank_table(4000)
    columns["crops"] = np.zeros((4000, 1, 1), np.uint8)
    columns["metaphase"], columns["analysable"] = truth, np.where(truth == 1, truth, -1)
    known = FinderCropTable(**columns)
    calibration = fit_calibration(outputs(list(2.5 * odds)), known)
    assert calibration.metaphase_temperature == pytest.approx(2.5, rel=0.1)
    assert calibration.metaphase_shift == pytest.approx(-0.5, abs=0.1)
    assert (calibration.analysable_temperature, calibration.analysable_shift) == (1.0, 0.0)


def test_figures_of_a_known_table() -> None:
    from analysis.finder.net_scores import ScoreCalibration, calibrated_scores

    columns = blank_table(4)
    columns["metaphase"][:] = [1, 1, 0, -1]
    columns["analysable"][:] = [1, 0, -1, -1]
    output = outputs([3.0, -1.0, -3.0, 9.0])
    figures = figures_of(calibrated_scores(output, ScoreCalibration()), FinderCropTable(**columns))
    assert figures["recall"] == 0.5
    assert figures["precision"] == 1.0
    assert figures["true_negative_rate"] == 1.0
    assert figures["average_precision"] == 1.0
    assert figures["auc_analysable"] == 1.0
    assert "chromosomes_off" not in figures


def labels(count: int) -> Labels:
    unknown = torch.full((count,), -1.0)
    nan = torch.full((count,), float("nan"))
    return Labels(
        unknown, unknown, unknown, torch.zeros(count, 2), nan, nan, nan, torch.full((count, 4), float("nan"))
    )


def test_what_is_not_known_teaches_nothing() -> None:
    torch.manual_seed(1)
    net = FinderNet(4).train()
    output = net(torch.randn(4, 1, 128, 128), torch.zeros(4, 2))
    parts = finder_loss(output, labels(4), FinderLossWeights())
    assert {float(value.detach()) for value in parts.values()} == {0.0}
    torch.stack(list(parts.values())).sum().backward()  # type: ignore[no-untyped-call]
    assert all(
        value.grad is None or (torch.isfinite(value.grad).all() and not value.grad.any())
        for value in net.parameters()
    )


@pytest.mark.parametrize(("word", "sign"), [(1.0, -1.0), (0.0, 1.0)])
def test_a_reviewers_word_moves_both_answers(word: float, sign: float) -> None:
    logit = torch.zeros(1, requires_grad=True)
    other = torch.zeros(1, requires_grad=True)
    zero = torch.zeros(1)
    output = FinderOutput(logit, other, torch.zeros(1, 2), zero, torch.zeros(1, 4), zero, zero)
    part = finder_loss(output, replace(labels(1), wanted=torch.tensor([word])), FinderLossWeights())["wanted"]
    part.backward()  # type: ignore[no-untyped-call]
    assert logit.grad is not None
    assert other.grad is not None
    assert logit.grad.item() * sign > 0.1
    assert other.grad.item() == pytest.approx(logit.grad.item())
