"""The net that outlines one chromosome of a metaphase, in the picture's own px."""

from __future__ import annotations

from typing import Final, NamedTuple

import torch
from torch import Tensor, nn

from analysis.nets.layers import ConvNorm, IdentityStartBlock, upsample_twice

PROMPT_CHANNELS: Final = 4
"""Stain, box of the chromosome, boxes of its neighbours, stroke."""

MASK_STRIDE_PX: Final = 16
"""Sides of crops are multiples of this."""


class InstanceMaskOutput(NamedTuple):
    """Outputs of the net.

    Attributes
    ----------
    mask
        Shape (n, h, w): logits of belonging to the chromosome that is asked for.
    quality
        Shape (n,): logits of how well the mask will fit (intersection over union).
    """

    mask: Tensor
    quality: Tensor


def _conv(channels_in: int, channels_out: int, size: int = 3, stride: int = 1) -> ConvNorm:
    return ConvNorm(channels_in, channels_out, size, stride, activation=True)


class InstanceMaskNet(nn.Module):
    """Amodal mask of one chromosome, asked for by a box, a point or a stroke, its neighbours' boxes given.

    A U-net (Ronneberger et al. 2015) of any input size. The finest features stand at one half; the mask comes out
    at the input's own resolution.

    Parameters
    ----------
    width
        Channels of the first stage; 16 is the product's net, tests take less.
    """

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        c2, c4, c8, c16 = width, 5 * width // 2, 9 * width // 2, 7 * width
        # The finest level costs most and knows least: one layer down, a block up.
        self.stem = nn.Sequential(nn.PixelUnshuffle(2), _conv(4 * PROMPT_CHANNELS, c2))
        self.down4 = nn.Sequential(_conv(c2, c4, stride=2), IdentityStartBlock(c4))
        self.down8 = nn.Sequential(_conv(c4, c8, stride=2), IdentityStartBlock(c8), IdentityStartBlock(c8))
        # Chromosomes reach over ten widths: whose pixels these are is decided here, far from the outline.
        self.down16 = nn.Sequential(_conv(c8, c16, stride=2), *(IdentityStartBlock(c16) for _ in range(4)))
        self.up8 = _conv(c16, c8, 1)
        self.mix8 = IdentityStartBlock(c8)
        self.up4 = _conv(c8, c4, 1)
        self.mix4 = IdentityStartBlock(c4)
        self.up2 = _conv(c4, c2, 1)
        self.mix2 = IdentityStartBlock(c2)
        self.out = nn.Sequential(nn.Conv2d(c2, 4, 3, padding=1), nn.PixelShuffle(2))
        self.quality = nn.Sequential(nn.Linear(c16 + c8, c16), nn.ReLU(), nn.Linear(c16, 1))

    def forward(self, prompted: Tensor) -> InstanceMaskOutput:
        """Predict masks of prompts.

        Parameters
        ----------
        prompted
            float32, shape (n, 4, h, w), sides multiples of `MASK_STRIDE_PX`: see
            `analysis.segmentation.instance_masks.prompts`.
        """
        x2 = self.stem(prompted)
        x4 = self.down4(x2)
        x8 = self.down8(x4)
        x16 = self.down16(x8)
        y8 = self.mix8(x8 + upsample_twice(self.up8(x16)))
        y4 = self.mix4(x4 + upsample_twice(self.up4(y8)))
        y2 = self.mix2(x2 + upsample_twice(self.up2(y4)))
        pooled = torch.cat([x16.mean(dim=(2, 3)), y8.mean(dim=(2, 3))], dim=1)
        return InstanceMaskOutput(self.out(y2)[:, 0].float(), self.quality(pooled)[:, 0].float())
