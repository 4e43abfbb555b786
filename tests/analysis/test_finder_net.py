"""The finder's net: shapes, where it looks, folding, calibration, weights on disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from analysis.errors import WeightsError
from analysis.finder.net_scores import ScoreCalibration, calibrated_scores, load_net, net_inputs
from analysis.nets.finder_net import FinderNet, FinderOutput
from analysis.nets.layers import folded
from analysis.parameters.weights import Manifest, write_weights


@pytest.fixture
def net() -> FinderNet:
    torch.manual_seed(3)
    torch.set_num_threads(1)
    made = FinderNet(4)
    with torch.no_grad():
        for module in made.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.1)
                module.running_var.uniform_(0.5, 2.0)
    return made.eval()


def crops_of(count: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 220, (count, 128, 128), dtype=np.uint8)


def answers(net: FinderNet, count: int = 3) -> FinderOutput:
    with torch.inference_mode():
        return net(*net_inputs(crops_of(count), np.full(count, 25.0), np.full(count, 0.01)))


def test_product_net_is_small() -> None:
    assert sum(value.numel() for value in FinderNet().parameters()) <= 250_000


def test_inputs_are_density_and_scaled_extras() -> None:
    crop = np.full((1, 128, 128), 20, np.uint8)
    crop[0, 5, 6] = 220
    image, extras = net_inputs(crop, np.array([20.0]), np.array([0.02]))
    assert image.shape == (1, 1, 128, 128)
    assert image[0, 0, 0, 0].item() == pytest.approx(0.0, abs=1e-6)
    assert image[0, 0, 5, 6].item() == pytest.approx(2.0, abs=1e-5)
    assert extras.numpy() == pytest.approx(np.array([[0.0, 1.0]]))


def test_folded_net_says_the_same(net: FinderNet) -> None:
    before = answers(net)
    copy = folded(net, half=False)
    after = answers(copy)
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in copy.modules())
    for name in FinderOutput.__slots__:
        assert getattr(after, name).numpy() == pytest.approx(getattr(before, name).numpy(), abs=1e-4)


def test_answers_do_not_depend_on_the_batch(net: FinderNet) -> None:
    together = answers(net, 3)
    image, extras = net_inputs(crops_of(3)[2:], np.array([25.0]), np.array([0.01]))
    with torch.inference_mode():
        alone = net(image, extras)
    assert alone.metaphase[0].item() == pytest.approx(together.metaphase[2].item(), abs=1e-5)


def test_untrained_net_looks_at_the_middle(net: FinderNet) -> None:
    with torch.no_grad():
        net.maps.weight.zero_()
        offset = answers(net).offset
    assert offset.numpy() == pytest.approx(np.zeros((3, 2)), abs=1e-3)


def test_judgement_is_calibrated_and_ranks_the_analysable_first() -> None:
    zero = torch.zeros(2)
    output = FinderOutput(
        metaphase=torch.tensor([4.0, 4.0]),
        analysable=torch.tensor([2.0, -2.0]),
        offset=torch.tensor([[3.0, -4.0], [0.0, 0.0]]),
        log_radius=zero,
        quality=torch.zeros(2, 4),
        chromosomes=torch.tensor([46.0, -3.0]),
        correct_fraction=torch.tensor([1.0, 1.0]),
    )
    found = calibrated_scores(output, ScoreCalibration(metaphase_temperature=2.0, metaphase_shift=-1.0))
    assert found.metaphase == pytest.approx([0.7310586, 0.7310586])
    assert found.rank[0] > found.rank[1]
    assert found.rank[0] == pytest.approx(found.metaphase[0] * found.analysable[0])
    assert (found.dx_px[0], found.dy_px[0]) == (3.0, -4.0)
    assert found.radius_um == pytest.approx([20.0, 20.0])
    assert found.chromosomes.tolist() == [46.0, 0.0]
    weighed = calibrated_scores(output, ScoreCalibration(correct_weight=1.0))
    assert weighed.rank[0] == pytest.approx(weighed.rank[1])


def manifest() -> Manifest:
    return Manifest(
        name="finder",
        net="FinderNet",
        arguments={"width": 4},
        data={},
        split="train",
        command="",
        settings={},
        metrics={},
        seed=1,
        steps=0,
        date="2026-01-01",
        calibration={"metaphase_temperature": 1.5, "ece": 0.01},
        drift={"noise_od": {"mean": 0.01, "std": 0.002}},
    )


def test_weights_come_back_with_their_calibration(net: FinderNet, tmp_path: Path) -> None:
    write_weights(tmp_path, {key: value.half() for key, value in net.state_dict().items()}, manifest())
    loaded, calibration = load_net("finder", tmp_path)
    assert calibration == ScoreCalibration(metaphase_temperature=1.5)
    assert answers(loaded).metaphase.numpy() == pytest.approx(answers(net).metaphase.numpy(), abs=0.02)


def test_damaged_weights_are_refused(net: FinderNet, tmp_path: Path) -> None:
    path = write_weights(tmp_path, net.state_dict(), manifest())
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(WeightsError, match="damaged"):
        load_net("finder", tmp_path)
