"""The net that looks at a proposal: is it a metaphase, and how well will it karyotype.

A small strided convolutional net. It looks where its own attention points, which begins at the middle of the crop:
a neighbour at the rim of a crop is somebody else's metaphase.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from analysis.parameters.weights import WEIGHTS_DIR, fill_net, load_weights, read_manifest

FINDER_WEIGHTS: Final = "finder"
CROP_SIDE_PX: Final = 128
EXTRA_COUNT: Final = 2
QUALITY_NAMES: Final = ("spread", "overlap", "completeness", "contrast")
USUAL_RADIUS_UM: Final = 20.0
USUAL_CHROMOSOMES: Final = 46.0
_CELLS: Final = 8
_CELL_PX: Final = CROP_SIDE_PX // _CELLS
# The attention's first guess: a metaphase's usual radius round the middle, in cells of the last feature map.
_FIRST_REACH_CELLS: Final = 2.0


@dataclass(frozen=True, slots=True)
class FinderOutput:
    """What the net says of n crops.

    Attributes
    ----------
    metaphase, analysable
        Logits, shape (n,): is there a metaphase in the middle; can it be analysed, given that it is one.
    offset
        Shape (n, 2): centre of the metaphase less the middle of the crop, (x, y) in px of the work image.
    log_radius
        Shape (n,): logarithm of the cell's radius over 20 um.
    quality
        Logits, shape (n, 4): spread, overlap, completeness, contrast.
    chromosomes
        Shape (n,): how many are there.
    share_right
        Logits, shape (n,): share of its chromosomes that the karyotype proposal will place rightly.
    """

    metaphase: Tensor
    analysable: Tensor
    offset: Tensor
    log_radius: Tensor
    quality: Tensor
    chromosomes: Tensor
    share_right: Tensor


class _Conv(nn.Module):
    """Convolution and norm; one convolution once folded."""

    def __init__(self, channels_in: int, channels_out: int, *, size: int = 3, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels_out, size, stride=stride, padding=size // 2, bias=False)
        self.norm: nn.Module = nn.BatchNorm2d(channels_out)

    def forward(self, x: Tensor) -> Tensor:
        return cast("Tensor", self.norm(self.conv(x)))

    def fold(self) -> None:
        """Put the norm into the kernel; for a net that no longer learns."""
        if isinstance(self.norm, nn.BatchNorm2d):
            self.conv = fuse_conv_bn_eval(self.conv, self.norm)
            self.norm = nn.Identity()


class _Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = _Conv(channels, channels)
        self.second = _Conv(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        y = functional.relu(self.first(x))
        return functional.relu(x + self.second(y))


class FinderNet(nn.Module):
    """Judge crops round proposals.

    Parameters
    ----------
    width
        Channels of the stem; 12 is the product's net, tests take less.
    """

    def __init__(self, width: int = 12) -> None:
        super().__init__()
        last = 7 * width
        self.body = nn.Sequential(
            _Conv(1, width, size=5, stride=2),
            nn.ReLU(),
            _Conv(width, 2 * width, stride=2),
            nn.ReLU(),
            _Residual(2 * width),
            _Conv(2 * width, 4 * width, stride=2),
            nn.ReLU(),
            _Residual(4 * width),
            _Conv(4 * width, last, stride=2),
            nn.ReLU(),
            _Residual(last),
        )
        # Two maps: where to look, and where the centre lies.
        self.maps = nn.Conv2d(last, 2, 1)
        steps = torch.arange(_CELLS) - 0.5 * (_CELLS - 1)
        ys, xs = torch.meshgrid(steps, steps, indexing="ij")
        near = -(xs**2 + ys**2) / (2 * _FIRST_REACH_CELLS**2)
        self.place = nn.Parameter(torch.stack([near, near]).flatten(1))
        self.register_buffer("places_px", torch.stack([xs, ys], -1).flatten(0, 1) * _CELL_PX, persistent=False)
        self.head = nn.Sequential(
            nn.Linear(3 * last + EXTRA_COUNT, 64),
            nn.ReLU(),
            nn.Dropout(0.1),
            nn.Linear(64, 4 + len(QUALITY_NAMES) + 1),
        )

    def forward(self, crops: Tensor, extras: Tensor) -> FinderOutput:
        """Judge crops.

        Parameters
        ----------
        crops
            float32, shape (n, 1, 128, 128): optical density.
        extras
            float32, shape (n, 2): logarithm of the proposal's radius over 20 um; noise of the field's density
            times 50.
        """
        features = self.body(crops)
        flat = features.flatten(2)
        logits = self.maps(features).flatten(2) + self.place
        attention = torch.softmax(logits, dim=2)
        looked = flat @ attention[:, 0].unsqueeze(2)
        offset = attention[:, 1] @ cast("Tensor", self.places_px)
        parts = [looked.squeeze(2), flat.amax(dim=2), flat.mean(dim=2), extras]
        out = self.head(torch.cat(parts, dim=1))
        return FinderOutput(
            metaphase=out[:, 0],
            analysable=out[:, 1],
            offset=offset,
            log_radius=out[:, 2],
            quality=out[:, 4:8],
            chromosomes=USUAL_CHROMOSOMES * (1.0 + out[:, 3]),
            share_right=out[:, 8],
        )

    def fold(self) -> FinderNet:
        """Put every norm into its convolution: the same answers, sooner. The net can't learn any more."""
        self.eval()
        for module in self.modules():
            if isinstance(module, _Conv):
                module.fold()
        return self


def net_inputs(
    crops: NDArray[np.uint8], radii_um: NDArray[np.floating], noises_od: NDArray[np.floating]
) -> tuple[Tensor, Tensor]:
    """Crops as they are cut, as the net takes them.

    Parameters
    ----------
    crops
        uint8, shape (n, 128, 128): optical density as ``round((od + 0.2) * 100)``.
    radii_um, noises_od
        Shape (n,): radius of each proposal, um; noise of its field, optical density.

    Returns
    -------
    tuple
        Tensors of `FinderNet.forward`.
    """
    image = torch.from_numpy(np.ascontiguousarray(crops)).unsqueeze(1).float().mul_(0.01).sub_(0.2)
    radius = np.log(np.maximum(radii_um, 0.5) / USUAL_RADIUS_UM)
    noise = np.minimum(np.asarray(noises_od) * 50.0, 10.0)
    extras = np.stack([radius, noise], axis=1).astype(np.float32)
    return image, torch.from_numpy(extras)


@dataclass(frozen=True, slots=True)
class ScoreCalibration:
    """Temperatures and shifts that make logits probabilities, found on the validation split.

    Attributes
    ----------
    metaphase_temperature, metaphase_shift, analysable_temperature, analysable_shift
        A probability is ``sigmoid(logit / temperature + shift)``.
    share_weight
        How much the expected share right counts in the rank beside "analysable", in [0, 1]; see `judgement`.
    """

    metaphase_temperature: float = 1.0
    metaphase_shift: float = 0.0
    analysable_temperature: float = 1.0
    analysable_shift: float = 0.0
    share_weight: float = 0.0


def load_net(name: str = FINDER_WEIGHTS, folder: Path = WEIGHTS_DIR) -> tuple[FinderNet, ScoreCalibration]:
    """The net of a set of weights, folded and in channels-last order, and what makes its logits probabilities.

    Raises
    ------
    WeightsError
        Where a file is missing, damaged or another net's.
    """
    manifest = read_manifest(name, folder)
    net = FinderNet(**manifest.arguments)
    fill_net(net, {key: value.float() for key, value in load_weights(name, folder).items()}, name)
    net.fold()
    # Half as slow again in the other order.
    net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    known = {key: value for key, value in manifest.calibration.items() if key in ScoreCalibration.__slots__}
    return net, ScoreCalibration(**known)


@dataclass(frozen=True, slots=True)
class FinderScore:
    """Calibrated answers to n crops, each float32 of shape (n,) but where said.

    Attributes
    ----------
    metaphase, analysable
        Probabilities; the second given that it is a metaphase.
    dx_px, dy_px
        Centre less the middle of the crop, px of the work image.
    radius_um
        Radius of the cell.
    quality
        Shape (n, 4) in [0, 1]: spread, overlap, completeness, contrast.
    chromosomes
        How many, at least 0.
    rank
        In [0, 1]: expectation of how well the cell karyotypes, by which cells are ordered.
    """

    metaphase: NDArray[np.float32]
    analysable: NDArray[np.float32]
    dx_px: NDArray[np.float32]
    dy_px: NDArray[np.float32]
    radius_um: NDArray[np.float32]
    quality: NDArray[np.float32]
    chromosomes: NDArray[np.float32]
    rank: NDArray[np.float32]


def judgement(output: FinderOutput, calibration: ScoreCalibration) -> FinderScore:
    """Calibrate what the net says.

    The rank is the probability of a metaphase times the expectation that it can be analysed, into which the
    expected share of rightly placed chromosomes enters as a weighted geometric mean: its odds, over the odds that
    a chromosome lies on another, which many cells teach where few teach the share itself.
    """
    found = calibration
    metaphase = torch.sigmoid(output.metaphase / found.metaphase_temperature + found.metaphase_shift)
    analysable = torch.sigmoid(output.analysable / found.analysable_temperature + found.analysable_shift)
    weight = found.share_weight
    overlap = output.quality[:, QUALITY_NAMES.index("overlap")]
    rank = metaphase * analysable ** (1.0 - weight) * torch.sigmoid(output.share_right - overlap) ** weight
    offset = _plain(output.offset)
    return FinderScore(
        metaphase=_plain(metaphase),
        analysable=_plain(analysable),
        dx_px=offset[:, 0],
        dy_px=offset[:, 1],
        radius_um=_plain(USUAL_RADIUS_UM * torch.exp(output.log_radius.clamp(-2.0, 2.0))),
        quality=_plain(torch.sigmoid(output.quality)),
        chromosomes=_plain(output.chromosomes.clamp(min=0.0)),
        rank=_plain(rank),
    )


def _plain(tensor: Tensor) -> NDArray[np.float32]:
    return np.asarray(tensor.detach().float().numpy(), dtype=np.float32)
