"""Every Lipschitz constant is one, and nearly the smallest; what has none is known."""

import numpy as np
import pytest
import torch
from torch import nn

import sdqviz as sq
from sdqviz.networks import activations

KNOWN = [
    nn.ReLU(), nn.ReLU6(), nn.Softshrink(0.3), nn.Hardtanh(-0.5, 2), nn.LeakyReLU(0.1), nn.LeakyReLU(-3.0), nn.PReLU(3),
    nn.RReLU(0.1, 4), nn.Tanh(), nn.Tanhshrink(), nn.Softsign(), nn.ELU(2.5), nn.ELU(-2.5), nn.SELU(), nn.CELU(2.0),
    nn.CELU(0.1), nn.GELU(), nn.GELU("tanh"), nn.SiLU(), nn.Mish(), nn.Hardswish(), nn.Hardshrink(-0.1),
]  # fmt: skip
OFFSET = [nn.Sigmoid(), nn.Hardsigmoid(), nn.LogSigmoid(), nn.Hardtanh(0.5, 2)]
NONE = [nn.CELU(-1.0), nn.Hardshrink(0.2), nn.Threshold(0.1, 3.0), nn.Softplus(2.0)]


def slopes(part):
    x = torch.linspace(-15, 15, 600_001, dtype=torch.float64)
    if isinstance(part, nn.PReLU):
        part.weight.data = torch.tensor([0.5, -2.0, 0.1])
        x = x[:, None].expand(-1, 3)
    with torch.no_grad():
        y = part.double().eval()(x)
    return (y.diff(dim=0).abs() / x.diff(dim=0)).max().item()


@pytest.mark.parametrize("part", [*KNOWN, *OFFSET], ids=str)
def test_the_constant_is_the_largest_slope(part):
    steepest = slopes(part)
    found = activations.of(part)
    assert steepest <= found.lipschitz * (1 + 1e-9)
    assert steepest >= found.lipschitz * (1 - 1e-4)


@pytest.mark.parametrize("part", [nn.GELU(), nn.GELU("tanh"), nn.SiLU(), nn.Mish(), nn.SELU()], ids=str)
def test_inexact_constants_are_rounded_up(part):
    x = torch.linspace(1.0, 3.0, 2_000_001, dtype=torch.float64)
    x = torch.cat([x, -x, -(x - 1) * 1e-6]).requires_grad_()
    (slope,) = torch.autograd.grad(part(x).sum(), x)
    top = slope.abs().max().item()
    assert top <= activations.of(part).lipschitz <= top + 2e-8


@pytest.mark.parametrize("part", [*KNOWN, *OFFSET], ids=str)
def test_zero_at_zero(part):
    with torch.no_grad():
        value = part.double().eval()(torch.zeros(3, dtype=torch.float64)[None])
    assert activations.of(part).zero == bool((value == 0).all())


@pytest.mark.parametrize("part", NONE, ids=str)
def test_what_has_no_constant_makes_the_theorems_inapplicable(part):
    assert activations.of(part).lipschitz is None
    network = sq.Network(nn.Sequential(nn.Linear(3, 3), part), torch.zeros(2, 3))
    assert not network.structure.applicable and "has no Lipschitz constant" in network.structure.because


def test_others_are_unknown():
    class Mine(nn.ReLU):
        def forward(self, input):
            return 2 * super().forward(input)

    assert activations.of(Mine()) is None and activations.of(nn.Softmax()) is None
    assert np.isfinite(activations.of(nn.ReLU()).lipschitz)
