"""The net of the detector: where chromosomes are, of which class, and how far their borders lie."""

from __future__ import annotations

from copy import deepcopy
from typing import Final, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

CLASS_COUNT: Final = 24
CELL_PX: Final = 8
"""Input px a cell of the output."""

POINTS_A_CELL: Final = 4
POINT_PX: Final = 4
"""Every cell answers for four points, 4 px apart: half a chromosome's width."""

SIDE_STRIDE_PX: Final = 32
"""Sides of the input are multiples of this."""

DISTANCES_PX: Final = (0, 2, 4, 6, 8, 11, 14, 17, 21, 25, 30, 36, 44, 54, 68, 88, 120)
"""Distances of a border that are told apart, closer where they are short: an error counts relative to the size."""


class DetectorOutput(NamedTuple):
    """Answers of the net at all points of the images.

    Attributes
    ----------
    score
        Shape (n, points): logits of "this point stands for a chromosome", fitted to the overlap of its box.
    classes
        Shape (n, points, 24): logits of the classes.
    borders
        Shape (n, points, 4, 17): logits of the distances of the left, top, right and bottom border.
    """

    score: Tensor
    classes: Tensor
    borders: Tensor


class _Conv(nn.Sequential):
    def __init__(self, channels_in: int, channels_out: int, size: int = 3, stride: int = 1) -> None:
        super().__init__(
            nn.Conv2d(channels_in, channels_out, size, stride, size // 2, bias=False),
            nn.BatchNorm2d(channels_out),
            nn.ReLU(inplace=True),
        )

    def fold(self) -> None:
        self[0] = fuse_conv_bn_eval(cast("nn.Conv2d", self[0]), cast("nn.BatchNorm2d", self[1]))
        self[1] = nn.Identity()


class _Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = _Conv(channels, channels)
        self.second = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm: nn.Module = nn.BatchNorm2d(channels)
        # Starts as the identity, which is trained faster.
        nn.init.zeros_(cast("Tensor", self.norm.weight))

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(x + self.norm(self.second(self.first(x))))

    def fold(self) -> None:
        self.second = fuse_conv_bn_eval(self.second, cast("nn.BatchNorm2d", self.norm))
        self.norm = nn.Identity()


class DetectorNet(nn.Module):
    """One-level detector without anchors, small enough for a CPU.

    Features at 1/4 to 1/32 meet at 1/8, where 3x3 convolutions are cheap; each cell there answers for its four
    points. Borders are given as distributions over distances (generalised focal loss, Li et al. 2020), classes
    and score by a branch of their own (decoupled head, Ge et al. 2021).

    Parameters
    ----------
    width
        Channels of the first stage; 32 is the product's net, tests take less.
    """

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        c4, c8, c16, c32 = width, 2 * width, 4 * width, 4 * width
        head = 2 * width
        self.stem = nn.Sequential(nn.PixelUnshuffle(2), _Conv(4, c4, stride=2), _Conv(c4, c4))
        self.down8 = nn.Sequential(_Conv(c4, c8, stride=2), _Residual(c8), _Residual(c8))
        self.down16 = nn.Sequential(_Conv(c8, c16, stride=2), _Residual(c16), _Residual(c16))
        self.down32 = nn.Sequential(_Conv(c16, c32, stride=2), _Conv(c32, c32))
        self.up32 = _Conv(c32, c16, 1)
        self.mix16 = _Conv(c16, c16)
        self.up16 = _Conv(c16, c8, 1)
        self.fine = nn.Sequential(nn.PixelUnshuffle(2), _Conv(4 * c4, c8, 1))
        self.mix8 = _Residual(c8)
        self.neck = _Conv(c8, head)
        self.what = _Conv(head, head)
        self.where = _Conv(head, head)
        self.what_out = nn.Conv2d(head, POINTS_A_CELL * (1 + CLASS_COUNT), 1)
        self.where_out = nn.Conv2d(head, POINTS_A_CELL * 4 * len(DISTANCES_PX), 1)
        self.distances: Tensor
        self.register_buffer("distances", torch.tensor(DISTANCES_PX, dtype=torch.float32), persistent=False)
        self._begin()

    def _begin(self) -> None:
        """Begin with rare chromosomes and boxes of a usual size: the first steps then don't undo each other."""
        for layer in (self.what_out, self.where_out):
            nn.init.normal_(layer.weight, std=0.01)
            nn.init.zeros_(cast("Tensor", layer.bias))
        with torch.no_grad():
            cast("Tensor", self.what_out.bias)[:: 1 + CLASS_COUNT] = -4.6
            usual = -((torch.tensor(DISTANCES_PX, dtype=torch.float32) - 22.0) ** 2) / 200.0
            cast("Tensor", self.where_out.bias).copy_(usual.repeat(POINTS_A_CELL * 4))

    def forward(self, image: Tensor) -> DetectorOutput:
        """Look at images.

        Parameters
        ----------
        image
            float32, shape (n, 1, h, w): relative density, 0 on the empty slide; h and w multiples of 32.
        """
        x4 = self.stem(image)
        x8 = self.down8(x4)
        x16 = self.down16(x8)
        x16 = self.mix16(x16 + _twice(self.up32(self.down32(x16))))
        x8 = self.neck(self.mix8(x8 + self.fine(x4) + _twice(self.up16(x16))))
        count = image.shape[0]
        # Channels last: a point's answers are neighbours in memory.
        what = self.what_out(self.what(x8)).permute(0, 2, 3, 1).reshape(count, -1, 1 + CLASS_COUNT)
        where = self.where_out(self.where(x8)).permute(0, 2, 3, 1).reshape(count, -1, 4, len(DISTANCES_PX))
        return DetectorOutput(what[..., 0].float(), what[..., 1:].float(), where)

    def folded(self) -> DetectorNet:
        """Copy for use alone: normalisation folded into the kernels, so that it can be kept in half precision."""
        copy = deepcopy(self).eval()
        for module in list(copy.modules()):
            if isinstance(module, _Conv | _Residual):
                module.fold()
        return copy

    def expected(self, borders: Tensor) -> Tensor:
        """Expected distances in input px, shape (..., 4), of logits of shape (..., 4, 17)."""
        return torch.softmax(borders.float(), dim=-1) @ self.distances.float()


def points(height_px: int, width_px: int) -> Tensor:
    """Place the points of an image in the order of the output: x and y in input px, shape (points, 2)."""
    rows = torch.arange(height_px // CELL_PX, dtype=torch.float32) * CELL_PX
    columns = torch.arange(width_px // CELL_PX, dtype=torch.float32) * CELL_PX
    inner = torch.tensor([[0, 0], [1, 0], [0, 1], [1, 1]], dtype=torch.float32) * POINT_PX + POINT_PX / 2
    y, x = torch.meshgrid(rows, columns, indexing="ij")
    corners = torch.stack([x, y], dim=-1).reshape(-1, 1, 2)
    return (corners + inner).reshape(-1, 2)


def boxes_at(places: Tensor, distances: Tensor) -> Tensor:
    """Boxes (xmin, ymin, xmax, ymax) from points (..., 2) and the distances of their borders (..., 4)."""
    return torch.cat([places - distances[..., :2], places + distances[..., 2:]], dim=-1)


def _twice(x: Tensor) -> Tensor:
    return functional.interpolate(x, scale_factor=2.0, mode="nearest")
