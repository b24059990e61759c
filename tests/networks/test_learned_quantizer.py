"""The learned quantizer: values and gradients against hand-worked cases and finite differences."""

import copy
import math

import numpy as np
import pytest
import torch
from torch import nn

from sdqviz.error import InputError
from sdqviz.networks.learned_quantizer import (
    LearnedQuantizer,
    bits_of,
    quantize_input,
    quantize_weight,
    step_of,
    without_weight_quantizers,
)
from sdqviz.networks.network import Network


def quantizer(step: float, reach: float, exponent: float = 1.0, dtype: torch.dtype = torch.float64) -> LearnedQuantizer:
    made = LearnedQuantizer(reach, bits=4).to(dtype)
    with torch.no_grad():
        made.step.fill_(step)
        made.reach.fill_(reach)
        made.exponent.fill_(exponent)
    return made


def test_values_by_hand():
    # d = 0.5, q_m = 2, t = 1: 1.3 -> 2.6 steps -> 3; -0.6 -> 1.2 -> -1; 5 is clipped to 2 = 4 steps
    made = quantizer(0.5, 2.0)
    values = torch.tensor([1.3, -0.6, 5.0, 0.0, -2.0], dtype=torch.float64)
    assert made(values).tolist() == [1.5, -0.5, 2.0, 0.0, -2.0]
    assert made.levels(values).tolist() == [3, -1, 4, 0, -4]
    # d = 1, q_m = 3, t = 2: 1.5² = 2.25 -> 2; 4 -> 9; -1 -> -1
    squared = quantizer(1.0, 3.0, 2.0)
    np.testing.assert_allclose(squared(torch.tensor([1.5, 4.0, -1.0], dtype=torch.float64)).detach(), [2.0, 9.0, -1.0])


def test_gradients_by_hand():
    made = quantizer(0.5, 2.0, 1.0)
    values = torch.tensor([1.3, -5.0, 2.0, 0.0], dtype=torch.float64, requires_grad=True)
    made(values).backward(torch.tensor([1.0, 10.0, 100.0, 1000.0], dtype=torch.float64))
    # |x| = q_m is inside; beyond it nothing passes
    assert values.grad.tolist() == [1.0, 0.0, 100.0, 1000.0]
    # d: 1·(3 − 2.6); −10·(4 − 4); 100·(4 − 4)
    assert float(made.step.grad) == pytest.approx(0.4)
    # q_m: only the value outside, sgn = −1, t·q_m^0 = 1
    assert float(made.reach.grad) == pytest.approx(-10.0)
    # t: 1.3 log 1.3 − 10·2 log 2 + 100·2 log 2, and 0 at x = 0
    assert float(made.exponent.grad) == pytest.approx(1.3 * math.log(1.3) + 180 * math.log(2))


@pytest.mark.parametrize("exponent", [1.0, 0.7, 1.6])
def test_gradients_are_those_of_the_smoothed_definition(exponent):
    """With the rounding error held fixed, x^Q = sgn(x)·(c + d·(round − ratio)) is smooth in d, q_m and t."""
    generator = torch.Generator().manual_seed(3)
    values = torch.randn(400, dtype=torch.float64, generator=generator)
    weights = torch.randn(400, dtype=torch.float64, generator=generator)
    made = quantizer(0.13, 1.1, exponent)
    made(values).backward(weights)
    base = [0.13, 1.1, exponent]

    def smoothed(step: float, reach: float, power: float) -> float:
        size = values.abs()
        fixed = size.clamp_max(base[1]) ** base[2] / base[0]
        clipped = size.clamp_max(reach) ** power
        residual = torch.round(fixed) - fixed
        # for d the sawtooth is what is differentiated: d·round(c/d) with the level fixed has slope round(c/d), and
        # straight-through subtracts the slope c/d of the identity
        return float((weights * torch.sign(values) * (clipped + step * residual)).sum())

    for place, parameter in enumerate((made.step, made.reach, made.exponent)):
        up, down = list(base), list(base)
        up[place] += 1e-6
        down[place] -= 1e-6
        difference = (smoothed(*up) - smoothed(*down)) / 2e-6
        assert float(parameter.grad) == pytest.approx(difference, rel=1e-5, abs=1e-6), place


def test_bits_and_steps_invert_each_other():
    reach, exponent = torch.tensor(0.8), torch.tensor(1.3)
    for bits in (2.0, 4.0, 7.5, 16.0):
        assert float(bits_of(step_of(reach, exponent, bits), reach, exponent)) == pytest.approx(bits, abs=1e-3)
    made = LearnedQuantizer(0.8, 4, 1.3)
    made.set_bits(6)
    assert made.whole_bits == 6
    # 2^b − 1 levels, 0 among them
    assert made.levels(torch.linspace(-1, 1, 5001)).unique().tolist() == list(range(-31, 32))


def test_starts_from_the_largest_weight_and_from_calibration():
    weight = torch.tensor([[0.1, -0.9], [0.4, 0.2]])
    made = LearnedQuantizer.for_weight(weight, 8)
    assert made.reach.item() == pytest.approx(0.9) and made.exponent.item() == 1.0 and made.whole_bits == 8
    assert LearnedQuantizer.for_activations(2.0, 8).reach.item() == pytest.approx(2.1)
    assert torch.equal(LearnedQuantizer.for_weight(torch.zeros(3, 3), 8)(torch.zeros(3)), torch.zeros(3))


def test_impossible_quantizers_are_refused():
    with pytest.raises(InputError, match="reach must be positive"):
        LearnedQuantizer(0.0, 4)
    with pytest.raises(InputError, match="exponent must be positive"):
        LearnedQuantizer(1.0, 4, -1.0)
    with pytest.raises(InputError, match="at least 2"):
        LearnedQuantizer(1.0, 1)
    with pytest.raises(InputError, match="plain one"):
        quantize_weight(nn.BatchNorm2d(3), LearnedQuantizer(1.0, 4))
    layer = nn.Linear(2, 2)
    quantize_input(layer, LearnedQuantizer(1.0, 4))
    with pytest.raises(InputError, match="no input_quantizer yet"):
        quantize_input(layer, LearnedQuantizer(1.0, 4))


def small() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), nn.Conv1d(8, 3, 2), nn.Flatten(), nn.Linear(21, 5))


class Folded(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.parts = small()

    def forward(self, inputs):
        first = self.parts[1](self.parts[0](inputs))
        return self.parts[4](self.parts[3](self.parts[2](first.reshape(len(first), 8, -1))))


def quantized() -> Folded:
    module = Folded().eval()
    for part in module.parts:
        if isinstance(part, nn.Conv1d | nn.Conv2d | nn.Linear):
            quantize_weight(part, LearnedQuantizer.for_weight(part.weight, 4))
            quantize_input(part, LearnedQuantizer.for_activations(3.0, 5))
    return module


def test_quantized_layers_survive_copies_states_shadows_and_traces():
    module, inputs = quantized(), torch.randn(2, 2, 4, 4)
    expected = module(inputs)
    assert not torch.equal(expected, Folded()(inputs))
    assert torch.equal(copy.deepcopy(module)(inputs), expected)
    fresh = quantized()
    with torch.no_grad():
        for parameter in fresh.parameters():
            parameter.mul_(1.1)
    fresh.load_state_dict(module.state_dict())
    assert torch.equal(fresh(inputs), expected)
    network = Network(module, inputs)
    assert [layer.kind for layer in network.layers] == ["Conv2d", "Conv1d", "Linear"]
    assert torch.equal(network.shadow()(inputs), expected.detach())
    traced = torch.export.export(module, (inputs,), strict=False).module()
    torch.testing.assert_close(traced(inputs), expected)


def test_plain_layers_come_back_with_the_quantized_weight():
    module, inputs = quantized(), torch.randn(2, 2, 4, 4)
    expected = module(inputs)
    without_weight_quantizers(module)
    assert {type(part) for part in module.parts} == {nn.Conv2d, nn.ReLU, nn.Conv1d, nn.Flatten, nn.Linear}
    assert torch.equal(module(inputs), expected)
    assert not [name for name, _ in module.named_parameters() if "weight_quantizer" in name]


def test_step_that_follows_the_range_passes_its_slope_on():
    draw = torch.Generator().manual_seed(0)
    values, slopes = torch.randn(2, 50, generator=draw, dtype=torch.float64)
    quantizer = LearnedQuantizer(1.2, 4, 1.1).double()
    (slopes * quantizer(values)).sum().backward()
    reach = quantizer.reach.detach().clone().requires_grad_(True)
    step = reach ** quantizer.exponent.detach() / 7  # 2^(4−1) − 1 steps to the end of the range
    torch.testing.assert_close(step.detach(), quantizer.step.detach())
    (quantizer.step.grad * step).backward()
    expected = quantizer.reach.grad + reach.grad
    quantizer.tie_step()
    torch.testing.assert_close(quantizer.reach.grad, expected)
    assert abs(reach.grad) > 1e-3


def test_plain_steps_that_pass_zero_are_taken_back():
    quantizer = LearnedQuantizer(1.0, 4)
    with torch.no_grad():
        quantizer.reach.fill_(-0.5)
        quantizer.exponent.fill_(-0.5)
    quantizer.keep_positive()
    assert quantizer.reach.item() > 0 and quantizer.exponent.item() > 0
