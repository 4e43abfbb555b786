"""The net of the detector: where chromosomes are, of which class, and how far their borders lie."""

from __future__ import annotations

from typing import Final, NamedTuple, cast

import torch
from torch import Tensor, nn

from analysis.nets.layers import ConvNorm, IdentityStartBlock, upsample_twice

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


_OUTPUT_STD: Final = 0.01
"""Of the output layers' first weights (Lin et al. 2017, focal loss): the biases below decide at first."""

_FIRST_SCORE_LOGIT: Final = -4.6
"""Score 0.01 at first: one point in a hundred stands for a chromosome."""

_FIRST_DISTANCE_PX: Final = 22.0
_FIRST_SPREAD_PX2: Final = 200.0
"""Borders lie at half a typical chromosome's length at first, as a Gaussian of 10 px standard deviation."""


class DetectorOutput(NamedTuple):
    """Outputs of the net at all points of the images.

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


def _conv(channels_in: int, channels_out: int, size: int = 3, stride: int = 1) -> ConvNorm:
    return ConvNorm(channels_in, channels_out, size, stride, activation=True)


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
        self.stem = nn.Sequential(nn.PixelUnshuffle(2), _conv(4, c4, stride=2), _conv(c4, c4))
        self.down8 = nn.Sequential(_conv(c4, c8, stride=2), IdentityStartBlock(c8), IdentityStartBlock(c8))
        self.down16 = nn.Sequential(_conv(c8, c16, stride=2), IdentityStartBlock(c16), IdentityStartBlock(c16))
        self.down32 = nn.Sequential(_conv(c16, c32, stride=2), _conv(c32, c32))
        self.up32 = _conv(c32, c16, 1)
        self.mix16 = _conv(c16, c16)
        self.up16 = _conv(c16, c8, 1)
        self.fine = nn.Sequential(nn.PixelUnshuffle(2), _conv(4 * c4, c8, 1))
        self.mix8 = IdentityStartBlock(c8)
        self.neck = _conv(c8, head)
        self.what = _conv(head, head)
        self.where = _conv(head, head)
        self.what_out = nn.Conv2d(head, POINTS_A_CELL * (1 + CLASS_COUNT), 1)
        self.where_out = nn.Conv2d(head, POINTS_A_CELL * 4 * len(DISTANCES_PX), 1)
        self.distances: Tensor
        self.register_buffer("distances", torch.tensor(DISTANCES_PX, dtype=torch.float32), persistent=False)
        self._initialise_outputs()

    def _initialise_outputs(self) -> None:
        """Start with rare chromosomes and boxes of a typical size: the first steps then don't undo each other."""
        for layer in (self.what_out, self.where_out):
            nn.init.normal_(layer.weight, std=_OUTPUT_STD)
            nn.init.zeros_(cast("Tensor", layer.bias))
        with torch.no_grad():
            cast("Tensor", self.what_out.bias)[:: 1 + CLASS_COUNT] = _FIRST_SCORE_LOGIT
            offset_px = torch.tensor(DISTANCES_PX, dtype=torch.float32) - _FIRST_DISTANCE_PX
            cast("Tensor", self.where_out.bias).copy_(
                (-(offset_px**2) / _FIRST_SPREAD_PX2).repeat(POINTS_A_CELL * 4)
            )

    def forward(self, image: Tensor) -> DetectorOutput:
        """Propose at every point of images.

        Parameters
        ----------
        image
            float32, shape (n, 1, h, w): relative density, 0 on the empty slide; h and w multiples of 32.
        """
        x4 = self.stem(image)
        x8 = self.down8(x4)
        x16 = self.down16(x8)
        x16 = self.mix16(x16 + upsample_twice(self.up32(self.down32(x16))))
        x8 = self.neck(self.mix8(x8 + self.fine(x4) + upsample_twice(self.up16(x16))))
        count = image.shape[0]
        # Channels last: a point's answers are neighbours in memory.
        what = self.what_out(self.what(x8)).permute(0, 2, 3, 1).reshape(count, -1, 1 + CLASS_COUNT)
        where = self.where_out(self.where(x8)).permute(0, 2, 3, 1).reshape(count, -1, 4, len(DISTANCES_PX))
        return DetectorOutput(what[..., 0].float(), what[..., 1:].float(), where)

    def expected(self, borders: Tensor) -> Tensor:
        """Expected distances in input px, shape (..., 4), of logits of shape (..., 4, 17)."""
        return torch.softmax(borders.float(), dim=-1) @ self.distances.float()


def points(height_px: int, width_px: int) -> Tensor:
    """Place the points of an image in the order of the output.

    Parameters
    ----------
    height_px, width_px
        Sides of the input, multiples of `SIDE_STRIDE_PX`.

    Returns
    -------
    Tensor
        float32, shape (points, 2): x and y in input px.
    """
    rows = torch.arange(height_px // CELL_PX, dtype=torch.float32) * CELL_PX
    columns = torch.arange(width_px // CELL_PX, dtype=torch.float32) * CELL_PX
    inner = torch.tensor([[0, 0], [1, 0], [0, 1], [1, 1]], dtype=torch.float32) * POINT_PX + POINT_PX / 2
    y, x = torch.meshgrid(rows, columns, indexing="ij")
    corners = torch.stack([x, y], dim=-1).reshape(-1, 1, 2)
    return (corners + inner).reshape(-1, 2)


def boxes_at(places: Tensor, distances: Tensor) -> Tensor:
    """Make boxes of points and the distances of their borders.

    Parameters
    ----------
    places
        float32, shape (..., 2): x and y, px.
    distances
        float32, shape (..., 4): of the left, top, right and bottom border, px.

    Returns
    -------
    Tensor
        float32, shape (..., 4): xmin, ymin, xmax, ymax.
    """
    return torch.cat([places - distances[..., :2], places + distances[..., 2:]], dim=-1)
