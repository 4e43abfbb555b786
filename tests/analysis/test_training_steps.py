from __future__ import annotations

import torch

from analysis.training.engine.steps import is_faster_in_half, means, take_into_average, weight_groups


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


def test_the_average_follows_the_net_faster_at_first_and_counts_are_taken_over() -> None:
    torch.manual_seed(1)
    net = torch.nn.BatchNorm1d(3)
    average = {key: value.detach().clone() for key, value in net.state_dict().items()}
    net.weight.data += 1.0
    net(torch.rand(4, 3))
    take_into_average(average, net, step=1, decay=0.999)
    assert torch.allclose(average["weight"], torch.full((3,), 1.0 + 14 / 16))
    assert int(average["num_batches_tracked"]) == 1
    before = average["weight"].clone()
    take_into_average(average, net, step=10**6, decay=0.9)
    assert torch.allclose(average["weight"], before + 0.1 * (2.0 - before))


def test_means_of_steps() -> None:
    assert means([{"loss": 1.0, "triplet": 0.5}, {"loss": 2.0}]) == {"loss": 1.5, "triplet": 0.25}
