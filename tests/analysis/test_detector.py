"""The detector's net, its decoding and what overlaps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from analysis.detection.detector import Detector
from analysis.detection.non_maximum_suppression import suppress_overlapping
from analysis.detection.preprocessing import TOP, filled_up, relative_density, resized
from analysis.errors import WeightsError
from analysis.nets.detector_net import DISTANCES_PX, DetectorNet, boxes_at, points
from analysis.nets.layers import folded
from analysis.parameters.weights import Manifest, write_weights
from analysis.structures.box_proposals import BoxProposals


def tiny_net() -> DetectorNet:
    torch.set_num_threads(1)
    torch.manual_seed(3)
    net = DetectorNet(8)
    # Untrained scores say "nothing" everywhere.
    torch.nn.init.normal_(net.what_out.weight, std=0.5)
    torch.nn.init.zeros_(net.what_out.bias)
    torch.nn.init.normal_(net.where_out.weight, std=0.5)
    net.eval()
    return net


def spots(height: int = 192, width: int = 224) -> np.ndarray:
    rng = np.random.default_rng(2)
    picture = np.zeros((height, width), np.float32)
    for y, x in rng.integers(20, 160, (12, 2)):
        picture[y : y + 24, x : x + 9] += 0.8
    return np.minimum(picture, TOP)


def test_output_belongs_to_the_points() -> None:
    net = tiny_net()
    with torch.inference_mode():
        output = net(torch.zeros(2, 1, 64, 96))
    places = points(64, 96)
    assert output.score.shape == (2, len(places)) == (2, 16 * 24)
    assert output.classes.shape == (2, len(places), 24)
    assert output.borders.shape == (2, len(places), 4, len(DISTANCES_PX))
    assert {tuple(p) for p in places.tolist()} == {
        (4 * i + 2.0, 4 * j + 2.0) for i in range(24) for j in range(16)
    }


def test_points_lie_in_the_cell_that_answers_for_them() -> None:
    net = tiny_net()
    dark = torch.zeros(1, 1, 192, 192)
    dark[..., 96:104, 40:48] = 1.0
    with torch.inference_mode():
        change = (net(dark).borders - net(torch.zeros_like(dark)).borders).abs().sum((0, 2, 3))
    moved = (points(192, 192) * change[:, None]).sum(0) / change.sum()
    assert abs(float(moved[0]) - 44) < 20
    assert abs(float(moved[1]) - 100) < 20


def test_expected_distance_of_a_sure_answer() -> None:
    net = tiny_net()
    logits = torch.full((1, 4, len(DISTANCES_PX)), -30.0)
    for side, place in enumerate((3, 5, 8, 12)):
        logits[0, side, place] = 30.0
    distances = net.expected(logits)
    assert distances[0].tolist() == pytest.approx([DISTANCES_PX[k] for k in (3, 5, 8, 12)], abs=1e-3)
    box = boxes_at(torch.tensor([[50.0, 60.0]]), distances)[0]
    assert box.tolist() == pytest.approx([44, 49, 71, 104], abs=1e-2)


def test_folding_changes_nothing() -> None:
    net = tiny_net()
    for value in net.buffers():
        if value.dtype == torch.float32 and len(value) <= 64 and value is not net.distances:
            value.copy_(torch.rand_like(value) + 0.5)
    picture = torch.from_numpy(spots())[None, None]
    with torch.inference_mode():
        before, after = net(picture), folded(net, half=False)(picture)
    torch.testing.assert_close(after.score, before.score, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(after.borders, before.borders, atol=1e-4, rtol=1e-4)


def test_half_precision_finds_the_same() -> None:
    picture = spots()
    whole, half = (Detector(tiny_net(), half=half).candidates(picture, scale=1.0) for half in (False, True))
    assert half.boxes_px.dtype == half.score.dtype == half.class_probability.dtype == np.float32
    assert half.score[:20] == pytest.approx(whole.score[:20], abs=0.02)


def test_boxes_come_back_in_the_pictures_own_px() -> None:
    detector = Detector(tiny_net())
    picture = spots()
    found = detector.candidates(picture, scale=0.5)
    assert found.boxes_px[:, [0, 2]].max() <= picture.shape[1]
    assert found.boxes_px[:, [1, 3]].max() <= picture.shape[0]
    assert found.boxes_px.min() >= 0
    assert (np.diff(found.score) <= 0).all()
    assert found.class_probability.sum(axis=1) == pytest.approx(1.0, abs=1e-5)


def test_density_is_relative_to_the_dark_bands() -> None:
    density = np.zeros((200, 200), np.float32)
    density[50:100, 50:100] = 0.4
    density[60, 60] = 9.0
    relative = relative_density(density)
    assert relative[80, 80] == pytest.approx(1.0)
    assert relative.max() == pytest.approx(TOP)
    assert relative_density(3.0 * density)[80, 80] == pytest.approx(1.0)
    assert relative_density(np.zeros((64, 64), np.float32)).max() == 0.0
    assert resized(relative, 0.667).shape == (133, 133)
    assert filled_up(resized(relative, 0.667)).shape == (160, 160)


def test_suppression_keeps_the_best_of_a_pile() -> None:
    boxes = np.array([[0, 0, 10, 20], [1, 0, 11, 20], [40, 0, 50, 20], [0, 0, 10, 38]], np.float32)
    found = BoxProposals(boxes, np.array([0.9, 0.8, 0.7, 0.6], np.float32), np.full((4, 24), 1 / 24, np.float32))
    kept = suppress_overlapping(found, iou=0.6)
    assert kept.score.tolist() == pytest.approx([0.9, 0.7, 0.6])
    assert len(suppress_overlapping(found.take(np.zeros(0, np.intp)), iou=0.6)) == 0


def test_every_proposal_that_fits_has_a_say_about_the_class() -> None:
    boxes = np.array([[0, 0, 10, 20], [1, 0, 11, 20], [40, 0, 50, 20]], np.float32)
    chance = np.eye(24, dtype=np.float32)[[4, 5, 6]]
    found = BoxProposals(boxes, np.array([0.9, 0.3, 0.7], np.float32), chance)
    told = np.exp(found.classes_at(np.array([[0.0, 0.0, 10.0, 20.0], [41.0, 0.0, 51.0, 20.0]])))
    assert told.sum(axis=1) == pytest.approx(1.0, abs=1e-3)
    assert told[0, 4] > 0.8 > 0.2 > told[0, 5] > 0.05
    assert told[1].argmax() == 6
    none = found.take(np.zeros(0, np.intp)).classes_at(np.array([[0.0, 0.0, 10.0, 20.0]]))
    assert np.exp(none) == pytest.approx(1 / 24, abs=1e-6)


def test_weights_of_another_net_are_refused(tmp_path: Path) -> None:
    net = tiny_net()
    manifest = Manifest(
        name="detector",
        net="DetectorNet",
        arguments={"width": 8},
        data={},
        split="",
        command="",
        settings={},
        metrics={},
        seed=1,
        steps=0,
    )
    write_weights(tmp_path, net.state_dict(), manifest)
    Detector.load(tmp_path)
    write_weights(tmp_path, DetectorNet(16).state_dict(), manifest)
    with pytest.raises(WeightsError, match="another net"):
        Detector.load(tmp_path)
