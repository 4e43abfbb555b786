"""A two-stage detector of the usual kind, to be compared with: Faster R-CNN (Ren et al. 2015) of torchvision.

A small backbone with a feature pyramid takes the place of the usual large one: the same pictures, boxes and
processor time as our detector's. torchvision is no dependency of the product (``pip install karyoscan[peer]``).
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn
from torch.library import Library
from torch.nn import functional

from analysis.errors import WeightsError

PEER_WEIGHTS: Final = "peer-faster-rcnn"

_LEVELS: Final = 3
_ANCHORS_PX: Final = ((18.0,), (36.0,), (72.0,))
"""A chromosome's width, a short one's and a long one's length, at two thirds of the set's size."""

_RATIOS: Final = (0.5, 1.0, 2.0)
_SAMPLES: Final = 2
_MEAN_LEVEL: Final = 0.3
_LEVEL_SPREAD: Final = 0.4
"""Mean and standard deviation of the relative density, over pictures of the train split."""


def peer_net(width: int = 24, *, least_score: float = 0.05) -> nn.Module:
    """Build the net.

    Parameters
    ----------
    width
        Channels of the first stage.
    least_score
        Below which nothing is found.
    """
    detection = _torchvision()
    backbone = _Backbone(width)
    pool = detection.MultiScaleRoIAlign([str(k) for k in range(_LEVELS)], 7, _SAMPLES)
    net: nn.Module = detection.FasterRCNN(
        backbone,
        rpn_anchor_generator=detection.AnchorGenerator(_ANCHORS_PX, (_RATIOS,) * _LEVELS),
        rpn_pre_nms_top_n_train=500,
        rpn_post_nms_top_n_train=300,
        rpn_pre_nms_top_n_test=400,
        rpn_post_nms_top_n_test=300,
        box_roi_pool=pool,
        box_head=detection.TwoMLPHead(backbone.out_channels * 49, 256),
        box_predictor=detection.FastRCNNPredictor(256, 2),
        box_score_thresh=least_score,
        box_batch_size_per_image=128,
        image_mean=[_MEAN_LEVEL],
        image_std=[_LEVEL_SPREAD],
        # Pictures come at the size they shall be worked on.
        _skip_resize=True,
        size_divisible=16,
    )
    # Also when it is used, where torchvision would resize.
    net.transform.resize = _as_it_is  # type: ignore[method-assign]
    return net


class _Block(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(*_conv(channels, channels), *_conv(channels, channels)[:2])

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(x + self.body(x))


class _Backbone(nn.Module):
    """A small residual net with a feature pyramid at 1/4, 1/8 and 1/16."""

    def __init__(self, width: int) -> None:
        super().__init__()
        sizes = (2 * width, 3 * width, 4 * width)
        self.out_channels = 64
        self.stem = nn.Sequential(*_conv(1, width, stride=2))
        self.stages = nn.ModuleList(
            nn.Sequential(*_conv(before, own, stride=2), _Block(own), _Block(own))
            for before, own in zip((width, *sizes[:-1]), sizes, strict=True)
        )
        self.pyramid = _torchvision().FeaturePyramidNetwork(list(sizes), self.out_channels)
        self.in_half = False

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        with torch.autocast("cpu", torch.bfloat16, enabled=self.in_half):
            x = self.stem(x.contiguous(memory_format=torch.channels_last))
            levels: OrderedDict[str, Tensor] = OrderedDict()
            for number, stage in enumerate(self.stages):
                x = stage(x)
                levels[str(number)] = x
            pyramid = self.pyramid(levels)
        return {key: value.float() for key, value in pyramid.items()}


def _conv(channels_in: int, channels_out: int, stride: int = 1) -> list[nn.Module]:
    return [
        nn.Conv2d(channels_in, channels_out, 3, stride, 1, bias=False),
        nn.BatchNorm2d(channels_out),
        nn.ReLU(inplace=True),
    ]


def _as_it_is(image: Tensor, target: dict[str, Tensor] | None = None) -> tuple[Tensor, dict[str, Tensor] | None]:
    return image, target


@dataclass(frozen=True, slots=True)
class _Detection:
    """What is used of torchvision."""

    FasterRCNN: Any
    AnchorGenerator: Any
    FastRCNNPredictor: Any
    TwoMLPHead: Any
    MultiScaleRoIAlign: Any
    FeaturePyramidNetwork: Any
    declared: Library | None = field(compare=False)
    """Kept, as its operations go with it."""


@cache
def _torchvision() -> _Detection:
    """Import torchvision; where its compiled part doesn't fit this torch, give it two operations of our own.

    The package index has the CUDA build alone, whose library doesn't load beside a torch without CUDA.
    """
    found = find_spec("torchvision")
    if found is None or found.origin is None:
        raise WeightsError("the peer needs torchvision: pip install karyoscan[peer]")
    try:
        load: Any = torch.ops.load_library
        load(str(Path(found.origin).parent / "_C.so"))
        declared: Any = None
    except OSError:
        library: Any = Library
        declared = library("torchvision", "FRAGMENT")
        declared.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        declared.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        declared.impl("nms", _nms, "CPU")
    ops: Any = import_module("torchvision.ops")
    if declared is not None:
        vars(import_module("torchvision.ops.boxes"))["_assert_has_ops"] = _satisfied
        vars(import_module("torchvision.ops.poolers"))["roi_align"] = aligned
    rcnn = import_module("torchvision.models.detection.faster_rcnn")
    return _Detection(
        rcnn.FasterRCNN,
        rcnn.AnchorGenerator,
        rcnn.FastRCNNPredictor,
        rcnn.TwoMLPHead,
        ops.MultiScaleRoIAlign,
        ops.FeaturePyramidNetwork,
        declared,
    )


def _satisfied() -> None:
    return None


def _nms(boxes: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
    """Greedy non-maximum suppression: indices of what is kept, the best first."""
    order = np.argsort(-scores.detach().numpy(), kind="stable")
    sides = boxes.detach().numpy()[order]
    low, high = sides[:, :2], sides[:, 2:]
    size = np.clip(np.minimum(high[:, None], high) - np.maximum(low[:, None], low), 0.0, None)
    shared, areas = size.prod(axis=2), (high - low).prod(axis=1)
    same = shared > iou_threshold * (areas[:, None] + areas - shared)
    alive = np.ones(len(sides), np.bool_)
    kept = []
    for row in range(len(sides)):
        if alive[row]:
            kept.append(row)
            alive &= ~same[row]
    return torch.from_numpy(order[np.asarray(kept, np.intp)])


def aligned(
    features: Tensor,
    boxes: Tensor,
    output_size: tuple[int, int],
    spatial_scale: float = 1.0,
    sampling_ratio: int = _SAMPLES,
    aligned: bool = False,
) -> Tensor:
    """Features within boxes, sampled bilinearly and averaged (He et al. 2017).

    Parameters
    ----------
    features
        Shape (n, channels, h, w).
    boxes
        Shape (k, 5): number of the picture and the box in its px.
    output_size
        Cells down and across.
    spatial_scale
        Px of the features a px of the picture.
    sampling_ratio
        Samples a cell in each direction.
    aligned
        Whether centres of pixels lie at halves.
    """
    rows, columns = (size * sampling_ratio for size in output_size)
    down = (torch.arange(rows, dtype=torch.float32) + 0.5) / rows
    across = (torch.arange(columns, dtype=torch.float32) + 0.5) / columns
    sides = boxes[:, 1:] * spatial_scale
    # Sampled in the units of grid_sample: borders of the outer pixels at -1 and 1, their centres within.
    off = 0.0 if aligned else 0.5
    size = torch.tensor([features.shape[3], features.shape[2]], dtype=torch.float32)
    start, reach = sides[:, :2] + off, sides[:, 2:] - sides[:, :2]
    out = features.new_zeros((len(boxes), features.shape[1], *output_size))
    for number in range(len(features)):
        own = torch.nonzero(boxes[:, 0] == number)[:, 0]
        if not len(own):
            continue
        x = (start[own, 0:1] + reach[own, 0:1] * across) / size[0] * 2.0 - 1.0
        y = (start[own, 1:2] + reach[own, 1:2] * down) / size[1] * 2.0 - 1.0
        grid = torch.stack(
            [x[:, None, :].expand(-1, rows, -1), y[:, :, None].expand(-1, -1, columns)], dim=3
        ).reshape(1, len(own) * rows, columns, 2)
        sampled = functional.grid_sample(
            features[number : number + 1], grid, padding_mode="border", align_corners=False
        )
        cells = functional.avg_pool2d(sampled, sampling_ratio)[0]
        shaped = cells.reshape(features.shape[1], len(own), *output_size).transpose(0, 1)
        out = out.index_put((own,), shaped)
    return out
