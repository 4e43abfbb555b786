from __future__ import annotations

import torch

from analysis.training.stint import is_faster_in_half, means, weight_groups


def test_kernels_decay_and_norms_do_not() -> None:
    net = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2))
    kernels, others = weight_groups(net, 0.05)
    assert [value.shape for value in kernels["params"]] == [(2, 1, 3, 3)]
    assert [value.ndim for value in others["params"]] == [1, 1, 1]
    assert (kernels["weight_decay"], others["weight_decay"]) == (0.05, 0.0)


def test_the_measurement_runs_the_work_both_ways_without_gradients() -> None:
    seen = []
    is_faster_in_half(lambda: seen.append((torch.is_autocast_enabled("cpu"), torch.is_grad_enabled())))
    assert seen == [(False, False)] * 3 + [(True, False)] * 3


def test_means_of_steps() -> None:
    assert means([{"loss": 1.0, "triplet": 0.5}, {"loss": 2.0}]) == {"loss": 1.5, "triplet": 0.25}
