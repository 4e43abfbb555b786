"""The nets of the stream: what a piece is, and the whole of one chromosome in a pile."""

from __future__ import annotations

from typing import Final, NamedTuple

import torch
from torch import Tensor, nn

from analysis.nets.layers import ConvNorm, IdentityStartBlock, upsample_twice

PROMPT_CHANNELS: Final = 3
"""Stain, box, point."""

BLOB_EXTRAS: Final = 2

BLOB_WEIGHTS: Final = "stream-blobs"
"""Name of the weights of a `BlobNet`."""


class MaskOutput(NamedTuple):
    """Outputs of the mask net.

    Attributes
    ----------
    mask
        Shape (n, CROP_PX, CROP_PX): logits of belonging to the chromosome that is asked for.
    quality
        Shape (n,): logits of how well the mask will fit (intersection over union).
    """

    mask: Tensor
    quality: Tensor


def _conv(channels_in: int, channels_out: int, size: int = 3, stride: int = 1) -> ConvNorm:
    return ConvNorm(channels_in, channels_out, size, stride, activation=True)


class MaskNet(nn.Module):
    """Amodal mask of one chromosome, asked for by a box round it or by a point on it.

    A U-net whose finest level is at one half: the shared area of a crossing belongs to the chromosome like any
    other of its pixels.

    Parameters
    ----------
    width
        Channels of the first stage; 16 is the product's net, tests take less.
    """

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        c2, c4, c8, c16 = width, 5 * width // 2, 4 * width, 6 * width
        # The finest level costs most and knows least: one layer down, a block up.
        self.stem = nn.Sequential(nn.PixelUnshuffle(2), _conv(4 * PROMPT_CHANNELS, c2))
        self.down4 = nn.Sequential(_conv(c2, c4, stride=2), IdentityStartBlock(c4))
        self.down8 = nn.Sequential(_conv(c4, c8, stride=2), IdentityStartBlock(c8))
        self.down16 = nn.Sequential(_conv(c8, c16, stride=2), IdentityStartBlock(c16), IdentityStartBlock(c16))
        self.up8 = _conv(c16, c8, 1)
        self.mix8 = IdentityStartBlock(c8)
        self.up4 = _conv(c8, c4, 1)
        self.mix4 = IdentityStartBlock(c4)
        self.up2 = _conv(c4, c2, 1)
        self.mix2 = IdentityStartBlock(c2)
        self.out = nn.Sequential(nn.Conv2d(c2, 4, 1), nn.PixelShuffle(2))
        self.quality = nn.Sequential(nn.Linear(c16 + c8, c16), nn.ReLU(), nn.Linear(c16, 1))

    def forward(self, prompted: Tensor) -> MaskOutput:
        """Predict masks of prompts.

        Parameters
        ----------
        prompted
            float32, shape (n, 3, CROP_PX, CROP_PX): stain, the box as ones, the point as a bell; one of the two
            last is empty.
        """
        x2 = self.stem(prompted)
        x4 = self.down4(x2)
        x8 = self.down8(x4)
        x16 = self.down16(x8)
        y8 = self.mix8(x8 + upsample_twice(self.up8(x16)))
        y4 = self.mix4(x4 + upsample_twice(self.up4(y8)))
        y2 = self.mix2(x2 + upsample_twice(self.up2(y4)))
        pooled = torch.cat([x16.mean(dim=(2, 3)), y8.mean(dim=(2, 3))], dim=1)
        return MaskOutput(self.out(y2)[:, 0].float(), self.quality(pooled)[:, 0].float())


class BlobNet(nn.Module):
    """The three questions of the stream about a piece of stain, one answer each.

    Parameters
    ----------
    width
        Channels of the first stage; 16 is the product's net, tests take less.
    """

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.image = nn.Sequential(
            nn.PixelUnshuffle(2),
            _conv(8, width),
            _conv(width, 2 * width, stride=2),
            IdentityStartBlock(2 * width),
            _conv(2 * width, 3 * width, stride=2),
            IdentityStartBlock(3 * width),
            _conv(3 * width, 4 * width, stride=2),
        )
        # No dropout: examples never repeat, and a training taken up again shall end as it would have.
        self.head = nn.Sequential(
            nn.Linear(8 * width + BLOB_EXTRAS, 4 * width), nn.ReLU(), nn.Linear(4 * width, 3)
        )

    def forward(self, blobs: Tensor, extras: Tensor) -> Tensor:
        """Classify pieces.

        Parameters
        ----------
        blobs
            float32, shape (n, 2, BLOB_PX, BLOB_PX).
        extras
            float32, shape (n, 2).

        Returns
        -------
        Tensor
            float32, shape (n, 3), logits: nothing but chromosomes (model 1); of those: more than one (model 2); of
            the others: chromosomes with noise at them, not noise alone (model 3).
        """
        x = self.image(blobs)
        pooled = torch.cat([x.mean(dim=(2, 3)), x.amax(dim=(2, 3)), extras.to(x.dtype)], dim=1)
        answer: Tensor = self.head(pooled)
        return answer.float()
