"""Blocks of the nets: folding changes no answer, keys of weights are those of the shipped files."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from analysis.nets.layers import (
    NAMED,
    ConvNorm,
    IdentityStartBlock,
    ResidualBlock,
    fold_batch_norms,
    folded,
    upsample_twice,
)


def trained(net: nn.Module) -> nn.Module:
    """Give a net other statistics than fresh ones, as training would."""
    torch.manual_seed(5)
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_(0.0, 0.1)
                module.running_var.uniform_(0.5, 2.0)
                module.weight.uniform_(0.5, 1.5)
    return net.eval()


BLOCKS = {
    "convolution": lambda: ConvNorm(6, 6),
    "with activation": lambda: ConvNorm(6, 6, activation=True),
    "depthwise": lambda: ConvNorm(6, 6, groups=6),
    "named": lambda: ConvNorm(6, 6, keys=NAMED),
    "residual": lambda: ResidualBlock(6),
    "starts as identity": lambda: IdentityStartBlock(6),
}


@pytest.mark.parametrize("name", BLOCKS)
def test_folding_keeps_the_answers_and_the_original(name: str) -> None:
    net = trained(nn.Sequential(BLOCKS[name]()))
    x = torch.randn(2, 6, 9, 8, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        before = net(x)
        copy = folded(net, half=False)
        assert torch.allclose(copy(x), before, atol=1e-5)
        assert torch.equal(net(x), before)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in copy.modules())


def test_folding_twice_is_folding_once() -> None:
    net = trained(nn.Sequential(ConvNorm(3, 4), IdentityStartBlock(4)))
    fold_batch_norms(net)
    once = {key: value.clone() for key, value in net.state_dict().items()}
    fold_batch_norms(net)
    assert once.keys() == net.state_dict().keys()
    assert all(torch.equal(once[key], value) for key, value in net.state_dict().items())


def test_a_folded_net_is_in_half_precision_on_request() -> None:
    copy = folded(nn.Sequential(ConvNorm(3, 4)), half=True)
    assert {value.dtype for value in copy.parameters()} == {torch.bfloat16}


def test_a_fresh_block_that_starts_as_the_identity_passes_positive_features_on() -> None:
    x = torch.rand(1, 5, 7, 7, generator=torch.Generator().manual_seed(2))
    assert torch.equal(IdentityStartBlock(5).eval()(x), x)


def test_keys_of_weights_are_numbered_or_named() -> None:
    assert {"0.weight", "1.weight"} <= ConvNorm(2, 3, activation=True).state_dict().keys()
    assert {"first.conv.weight", "second.norm.weight"} <= ResidualBlock(3, keys=NAMED).state_dict().keys()


def test_upsampling_repeats_pixels() -> None:
    doubled = upsample_twice(torch.tensor([[[[1.0, 2.0]]]]))
    assert doubled.tolist() == [[[[1.0, 1.0, 2.0, 2.0], [1.0, 1.0, 2.0, 2.0]]]]
