"""The two-stage peer: its two operations, and its finds as a segmentation; no torchvision is needed here."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from analysis.detection.preprocessing import SCALE
from analysis.errors import NoMetaphaseError
from analysis.evaluation.peer import PADDING_PX, PeerSegmenter
from analysis.imaging.image_file import to_grey
from analysis.nets.faster_rcnn import _nms, aligned
from analysis.structures.grey_image import GreyImage


def test_features_of_a_ramp_are_the_places_they_were_taken_at() -> None:
    across = torch.arange(32.0).expand(24, 32)
    down = torch.arange(24.0)[:, None].expand(24, 32)
    features = torch.stack([across, down])[None]
    boxes = torch.tensor([[0.0, 8.0, 16.0, 48.0, 64.0]])
    got = aligned(features, boxes, (4, 5), spatial_scale=0.25)
    assert got.shape == (1, 2, 4, 5)
    assert got[0, 0, 0].tolist() == pytest.approx([3.0, 5.0, 7.0, 9.0, 11.0], abs=1e-4)
    assert got[0, 1, :, 0].tolist() == pytest.approx([5.5, 8.5, 11.5, 14.5], abs=1e-4)


def test_boxes_take_the_features_of_their_own_picture() -> None:
    features = torch.stack([torch.full((1, 8, 8), 1.0), torch.full((1, 8, 8), 2.0)]).requires_grad_()
    boxes = torch.tensor([[1.0, 0, 0, 4, 4], [0.0, 1, 1, 5, 5], [1.0, 2, 2, 6, 6]])
    got = aligned(features, boxes, (2, 2))
    assert got.mean(dim=(1, 2, 3)).tolist() == pytest.approx([2.0, 1.0, 2.0])
    got.sum().backward()  # type: ignore[no-untyped-call]
    assert features.grad is not None
    assert features.grad.sum().item() == pytest.approx(12.0)


def test_of_boxes_that_overlap_the_better_one_is_kept() -> None:
    boxes = torch.tensor([[0.0, 0, 10, 10], [1.0, 0, 11, 10], [20.0, 0, 30, 10]])
    assert _nms(boxes, torch.tensor([0.5, 0.9, 0.7]), 0.5).tolist() == [1, 2]
    assert _nms(boxes, torch.tensor([0.5, 0.9, 0.7]), 0.9).tolist() == [1, 2, 0]
    assert _nms(boxes[:0], torch.zeros(0), 0.5).tolist() == []


class Finding(nn.Module):
    """Finds what it was told to find."""

    def __init__(self, boxes: list[list[float]], scores: list[float]) -> None:
        super().__init__()
        self.found = {"boxes": torch.tensor(boxes).reshape(-1, 4) * SCALE, "scores": torch.tensor(scores)}

    def forward(self, pictures: list[Tensor]) -> list[dict[str, Tensor]]:
        assert pictures[0].ndim == 3
        return [self.found]


def rods() -> GreyImage:
    grey = np.full((240, 300), 235, np.uint8)
    cv2.rectangle(grey, (60, 60), (75, 120), 90, -1)
    cv2.rectangle(grey, (160, 60), (175, 120), 90, -1)
    return to_grey(grey, "rods")


def test_strong_finds_are_instances_and_weak_ones_are_left_out() -> None:
    boxes = [[54.0, 54.0, 82.0, 127.0], [154.0, 54.0, 182.0, 127.0]]
    found = PeerSegmenter(Finding(boxes, [0.9, 0.3]))(rods())
    (instance,) = found.instances
    (weak,) = found.left_out
    assert instance.extent_px == pytest.approx([boxes[0][0] + PADDING_PX, 60.0, 76.0, 121.0], abs=1e-3)
    assert instance.box_px == (60, 60, 76, 121)
    assert np.count_nonzero(instance.mask) == pytest.approx(16 * 61, rel=0.1)
    assert weak.score == pytest.approx(0.3)


def test_a_picture_without_finds_is_no_metaphase() -> None:
    with pytest.raises(NoMetaphaseError, match="no metaphase"):
        PeerSegmenter(Finding([], []))(rods())
