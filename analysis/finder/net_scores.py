"""The finder's second stage: inputs of its net, and the net's outputs as calibrated scores."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from analysis.finder.flatten import MIN_OD
from analysis.finder.proposals import LEVELS_PER_OD
from analysis.nets.finder_net import QUALITY_NAMES, TYPICAL_RADIUS_UM, FinderNet, FinderOutput
from analysis.nets.layers import folded
from analysis.parameters.weights import WEIGHTS_DIR, fill_net, load_weights, read_manifest

FINDER_WEIGHTS: Final = "finder"

_LEAST_RADIUS_UM: Final = 0.5
"""Keeps the logarithm finite; no cell is as small."""

_NOISE_FACTOR: Final = 50.0
_MOST_NOISE: Final = 10.0
"""Noise of a field, 0.02 of optical density in ordinary ones, is brought to about one and capped."""

_MOST_LOG_RADIUS: Final = 2.0
"""Radii are kept within a factor of e squared of the typical one: training has no such cells."""

_MANIFEST_NAMES: Final = {"share_weight": "correct_weight"}
"""Calibration values that manifests keep under another name."""


def net_inputs(
    crops: NDArray[np.uint8], radii_um: NDArray[np.floating], noises_od: NDArray[np.floating]
) -> tuple[Tensor, Tensor]:
    """Turn crops and what is measured of their proposals into inputs of the net.

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
    image = (
        torch.from_numpy(np.ascontiguousarray(crops)).unsqueeze(1).float().mul_(1.0 / LEVELS_PER_OD).add_(MIN_OD)
    )
    radius = np.log(np.maximum(radii_um, _LEAST_RADIUS_UM) / TYPICAL_RADIUS_UM)
    noise = np.minimum(np.asarray(noises_od) * _NOISE_FACTOR, _MOST_NOISE)
    extras = np.stack([radius, noise], axis=1).astype(np.float32)
    return image, torch.from_numpy(extras)


@dataclass(frozen=True, slots=True)
class ScoreCalibration:
    """Temperatures and shifts that make logits probabilities, fitted on the validation split (Platt scaling).

    Attributes
    ----------
    metaphase_temperature, metaphase_shift, analysable_temperature, analysable_shift
        A probability is ``sigmoid(logit / temperature + shift)``.
    correct_weight
        Weight of the expected correct fraction in the rank beside "analysable", in [0, 1]; see
        `calibrated_scores`.
    """

    metaphase_temperature: float = 1.0
    metaphase_shift: float = 0.0
    analysable_temperature: float = 1.0
    analysable_shift: float = 0.0
    correct_weight: float = 0.0


def load_net(name: str = FINDER_WEIGHTS, folder: Path = WEIGHTS_DIR) -> tuple[FinderNet, ScoreCalibration]:
    """Load the net of a set of weights, folded for inference, and its calibration.

    Parameters
    ----------
    name
        Name of the weights' files without their endings.
    folder
        Where they lie.

    Raises
    ------
    WeightsError
        Where a file is missing, damaged or another net's.
    """
    manifest = read_manifest(name, folder)
    net = FinderNet(**manifest.arguments)
    fill_net(net, {key: value.float() for key, value in load_weights(name, folder).items()}, name)
    values = {_MANIFEST_NAMES.get(key, key): value for key, value in manifest.calibration.items()}
    calibration = {key: value for key, value in values.items() if key in ScoreCalibration.__slots__}
    return folded(net, half=False), ScoreCalibration(**calibration)


@dataclass(frozen=True, slots=True)
class FinderScore:
    """Calibrated scores of n crops, each float32 of shape (n,) but where said.

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


def calibrated_scores(output: FinderOutput, calibration: ScoreCalibration) -> FinderScore:
    """Calibrate outputs of the net.

    The rank is the probability of a metaphase times the expectation that it can be analysed, into which the
    expected fraction of correctly placed chromosomes enters as a weighted geometric mean: its odds, over the odds
    that a chromosome lies on another, which many cells teach where few teach the fraction itself.

    Parameters
    ----------
    output
        Of n crops.
    calibration
        Of the same weights.
    """
    metaphase = torch.sigmoid(output.metaphase / calibration.metaphase_temperature + calibration.metaphase_shift)
    analysable = torch.sigmoid(
        output.analysable / calibration.analysable_temperature + calibration.analysable_shift
    )
    weight = calibration.correct_weight
    overlap = output.quality[:, QUALITY_NAMES.index("overlap")]
    correct = torch.sigmoid(output.correct_fraction - overlap)
    rank = metaphase * analysable ** (1.0 - weight) * correct**weight
    offset = _as_array(output.offset)
    log_radius = output.log_radius.clamp(-_MOST_LOG_RADIUS, _MOST_LOG_RADIUS)
    return FinderScore(
        metaphase=_as_array(metaphase),
        analysable=_as_array(analysable),
        dx_px=offset[:, 0],
        dy_px=offset[:, 1],
        radius_um=_as_array(TYPICAL_RADIUS_UM * torch.exp(log_radius)),
        quality=_as_array(torch.sigmoid(output.quality)),
        chromosomes=_as_array(output.chromosomes.clamp(min=0.0)),
        rank=_as_array(rank),
    )


def _as_array(tensor: Tensor) -> NDArray[np.float32]:
    return np.asarray(tensor.detach().float().numpy(), dtype=np.float32)
