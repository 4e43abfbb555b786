"""A picture seen several ways, and what is made of the proposals in each."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from analysis.detection.detector import Detector
from analysis.detection.test_time_augmentation import FOUR_VIEWS, PLAIN, ImageOrientation, merged
from analysis.nets.detector_net import DetectorNet
from analysis.structures.box_proposals import BoxProposals

EVERY_VIEW = [ImageOrientation(*flags) for flags in itertools.product((False, True), repeat=3)]


def proposals(boxes: list[list[float]], scores: list[float], classes: list[int]) -> BoxProposals:
    return BoxProposals(
        np.asarray(boxes, np.float32).reshape(-1, 4),
        np.asarray(scores, np.float32),
        np.eye(24, dtype=np.float32)[np.asarray(classes, np.intp)],
    )


@pytest.mark.parametrize("view", EVERY_VIEW)
def test_a_box_comes_back_to_where_its_pixels_were(view: ImageOrientation) -> None:
    picture = np.zeros((40, 60), np.float32)
    picture[5:12, 30:50] = 1.0
    rows, columns = np.nonzero(view.of(picture))
    box = np.asarray([[columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]], np.float32)
    assert view.back(box, picture.shape)[0].tolist() == [30.0, 5.0, 50.0, 12.0]


def test_views_differ() -> None:
    picture = np.arange(12, dtype=np.float32).reshape(3, 4)
    seen = {view.of(picture).tobytes() + bytes(view.of(picture).shape) for view in EVERY_VIEW}
    assert len(seen) == len(EVERY_VIEW)
    assert np.array_equal(PLAIN[0].of(picture), picture)


def test_what_both_views_see_counts_more_than_what_one_sees() -> None:
    first = proposals([[0, 0, 20, 40], [100, 100, 120, 140]], [0.8, 0.7], [2, 5])
    second = proposals([[2, 0, 22, 40], [60, 0, 80, 40]], [0.6, 0.3], [2, 7])
    found = merged([first, second])
    assert found.score.tolist() == pytest.approx([0.7, 0.35, 0.15])
    assert found.class_probability.argmax(axis=1).tolist() == [2, 5, 7]
    x = float(found.boxes_px[0, 0])
    assert 0.0 < x < 1.0
    assert found.boxes_px[0].tolist() == pytest.approx([x, 0.0, x + 20.0, 40.0], abs=1e-4)
    assert found.boxes_px[1].tolist() == [100.0, 100.0, 120.0, 140.0]


def test_one_view_does_not_vote_twice() -> None:
    first = proposals([[0, 0, 20, 40], [1, 0, 21, 40], [0, 1, 20, 41]], [0.8, 0.7, 0.6], [1, 1, 1])
    second = proposals([], [], [])
    found = merged([first, second])
    assert found.score.tolist() == pytest.approx([0.4])
    assert found.boxes_px[0].tolist() == [0.0, 0.0, 20.0, 40.0]
    assert len(merged([second, second])) == 0


def test_a_turned_picture_gets_the_turned_answer() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(4)
    net = DetectorNet(8)
    torch.nn.init.normal_(net.what_out.weight, std=0.5)
    torch.nn.init.zeros_(net.what_out.bias)
    net.eval()
    picture = np.zeros((96, 128), np.float32)
    picture[20:50, 30:44] = 0.9
    picture[60:70, 70:110] = 0.7
    detector = Detector(net, FOUR_VIEWS)
    upright, turned = (
        detector.candidates(picture, scale=1.0),
        detector.candidates(np.ascontiguousarray(picture[::-1, ::-1]), scale=1.0),
    )
    assert len(upright) == len(turned) > 10
    np.testing.assert_allclose(upright.score, turned.score, atol=1e-5)
    back = ImageOrientation(mirrored=True, upside_down=True).back(turned.boxes_px, picture.shape)
    np.testing.assert_allclose(np.sort(back, axis=0), np.sort(upright.boxes_px, axis=0), atol=1e-3)
