"""Exponential moving average (EMA) of a net's weights (Polyak and Juditsky 1992)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class AverageSettings:
    """How fast averaged weights follow the net's.

    Attributes
    ----------
    decay
        Of the average once it has settled.
    first_update
        Number of the first update: with 0 it forgets the random beginning at once.
    early
        Early averages forget faster, by (1 + update) / (early + update): the beginning of a training says nothing
        of its end. 10 is TensorFlow's number, 15 holds the first steps a little longer.
    """

    decay: float
    first_update: int = 1
    early: int = 15

    def decay_at(self, step: int) -> float:
        """Decay of the update after a step, steps counted from 1."""
        update = step - 1 + self.first_update
        return min(self.decay, (1 + update) / (self.early + update))


class WeightAverage:
    """Averaged weights.

    Parameters
    ----------
    net
        What they begin as.
    settings
        How fast they follow.

    Attributes
    ----------
    weights
        As `torch.nn.Module.state_dict` has them; updated in place. What isn't floating point is the net's own.
    """

    def __init__(self, net: nn.Module, settings: AverageSettings) -> None:
        self.weights: dict[str, Tensor] = copied(net.state_dict())
        self._settings = settings

    def update(self, net: nn.Module, step: int) -> None:
        """Move the average towards a net's weights.

        Parameters
        ----------
        net
            Of the same shapes.
        step
            Steps done, this one counted.
        """
        decay = self._settings.decay_at(step)
        with torch.no_grad():
            state = net.state_dict()
            floating = [key for key, value in state.items() if value.is_floating_point()]
            torch._foreach_lerp_(
                [self.weights[key] for key in floating], [state[key] for key in floating], 1.0 - decay
            )
            for key in state.keys() - set(floating):
                self.weights[key].copy_(state[key])


def copied(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copies of weights of any shape, apart from every net."""
    return {key: value.detach().clone() for key, value in tensors.items()}
