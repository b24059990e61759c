"""The optimizer's parts: the rule by hand, and one joint step against a slow one from the text."""

import functools
import math

import numpy as np
import pytest
import torch
from torch import nn

import sdqviz as sq
from sdqviz.error import InputError
from sdqviz.methods.geta.flat import FlatParameters, Units
from sdqviz.methods.geta.qasso import ETA, XI, GroupSums, Qasso, published_rule, safe_gamma
from sdqviz.methods.geta.stages import redundant_counts
from sdqviz.networks.learned_quantizer import LearnedQuantizer, quantize_input, quantize_weight
from sdqviz.pruning import dependency

GETA = sq.METHODS["geta"]


# -- the rule -------------------------------------------------------------------------------------------------


def test_published_rule_by_hand():
    def rule(clip_slope: float, residual_slope: float, mean: float = 1.0, finest: float = 1e-9) -> tuple[float, float]:
        sums = GroupSums(clip_slope, residual_slope, 2.0, 3.0, 4.0, mean)
        return published_rule(sums, rate=0.01, left=5, finest=finest, coarsest=0.5)

    assert rule(1.0, 1.0, mean=1e-9) == (0.0, 0.5)  # nothing left to forget
    assert rule(1.0, 1.0) == (0.2, 0.5)
    gamma = (1 - ETA) * 0.01 * 4.0**2 / 0.8  # −(1−η)α‖g‖/(cos·‖clip‖) with cos = −0.8/(2·4)
    assert rule(-0.8, 1.0) == (pytest.approx(gamma), 0.5)
    step = XI * ETA * 0.01 * 4.0**2 / (0.2 * 6.0)  # −ξηα‖g‖/(γ·cos·‖R‖) with cos = −6/(3·4)
    assert rule(1.0, -6.0) == (0.2, pytest.approx(step))
    assert rule(1.0, -1e-3) == (0.2, 0.5)  # capped at the fewest bits
    shrunk, grown = rule(1.0, -6.0, finest=0.14)  # one turn of the loop takes 0.12 to 0.15
    assert step < 0.14 <= grown and shrunk == pytest.approx(0.2 * step / grown)
    assert grown == pytest.approx(step / 0.8)
    assert published_rule(GroupSums(0, 0, 2.0, 0.0, 0.0, 1.0), 0.01, 4, 0.1, 0.5) == (0.25, 0.5)  # cosines of 0


def test_counterexample_ascends_without_the_safeguard_and_not_with_it():
    # x = (1, .3), g = (−.2, 1), d_old = .1, d_new = 1, γ = 1, α = 1e-3: rounding anew by d_new turns .3 to 0
    x, g = np.array([1.0, 0.3]), np.array([-0.2, 1.0])
    slope = float(g @ np.round(x))
    assert -1.0 * slope - 1e-3 * float(g @ g) > 0
    gamma = safe_gamma(1.0, slope, float(np.linalg.norm(g)), 1e-3, 0.1)
    assert -gamma * slope - 1e-3 * float(g @ g) <= -0.1 * 1e-3 * float(g @ g)
    assert safe_gamma(1.0, 0.5, 1.0, 1e-3, 0.1) == 1.0


# -- the step ---------------------------------------------------------------------------------------------------


class Twins(nn.Module):
    """Two layers whose outputs are added, so that two quantizers act on one group; then an output."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Linear(5, 6), nn.Linear(5, 6)
        self.output = nn.Linear(6, 3)

    def forward(self, inputs):
        return self.output(torch.relu(self.left(inputs) + self.right(inputs)))


@functools.cache
def groups_of_twins() -> dependency.DependencyGraph:
    return dependency.groups(Twins(), torch.zeros(2, 5))


def prepared(choice: GETA, seed: int = 0) -> tuple[nn.Module, FlatParameters, Units, Qasso]:
    torch.manual_seed(seed)
    module = Twins().double()
    for part in (module.left, module.right, module.output):
        quantize_weight(part, LearnedQuantizer.for_weight(part.weight, 8).double())
        quantize_input(part, LearnedQuantizer.for_activations(3.0, 8).double())
    flat = FlatParameters(module)
    units = Units.of(groups_of_twins(), flat)
    counts = redundant_counts(choice.sparsity, units.counts)
    return module, flat, units, Qasso(flat, units, choice.plan, choice, *counts)


def backward(module: nn.Module, flat: FlatParameters, step: int) -> None:
    generator = torch.Generator().manual_seed(step)
    inputs = torch.randn(16, 5, dtype=torch.float64, generator=generator)
    labels = torch.randint(0, 3, (16,), generator=generator)
    flat.gradients.zero_()
    torch.autograd.backward(nn.functional.cross_entropy(module(inputs), labels))


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
def test_plain_steps_are_those_of_torch(optimizer):
    choice = GETA(
        optimizer=optimizer,
        rate=0.01,
        quantizer_rate=0.01,
        warm_up_steps=50,
        projection_steps=5,
        projection_periods=5,
        joint_steps=4,
    )
    module, flat, _, ours = prepared(choice)
    other = Twins().double()
    for part in (other.left, other.right, other.output):
        quantize_weight(part, LearnedQuantizer.for_weight(part.weight, 8).double())
        quantize_input(part, LearnedQuantizer.for_activations(3.0, 8).double())
    other.load_state_dict(module.state_dict())
    ordinary = [p for name, p in other.named_parameters() if "quantizer" not in name]
    learned = [p for name, p in other.named_parameters() if "quantizer" in name]
    peer = {
        "sgd": torch.optim.SGD(other.parameters(), 0.01, momentum=0.9),
        "adam": torch.optim.Adam(other.parameters(), 0.01),
        "adamw": torch.optim.AdamW([{"params": ordinary}, {"params": learned, "weight_decay": 0.0}], 0.01),
    }[optimizer]
    for part in (module, other):
        for name, parameter in part.named_parameters():
            if "quantizer" in name:  # far from where they would be held back
                parameter.data.fill_(1.0 if "exponent" in name else 2.0 if "reach" in name else 0.5)
    for step in range(8):
        backward(module, flat, step)
        ours.step()
        generator = torch.Generator().manual_seed(step)
        inputs = torch.randn(16, 5, dtype=torch.float64, generator=generator)
        labels = torch.randint(0, 3, (16,), generator=generator)
        peer.zero_grad()
        nn.functional.cross_entropy(other(inputs), labels).backward()
        peer.step()
    for (name, one), two in zip(module.named_parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(one, two, rtol=1e-9, atol=1e-11, msg=name)


def naive_joint(module: Twins, g: dict[str, torch.Tensor], marked: list[int], choice: GETA, left: int, most: int):
    """Return the new rows of the group's redundant units and the new steps, from the text, one number at a time."""
    names = ("left", "right")
    rate = choice.rate
    clip, residual, slope = [], [], []
    layers = {name: getattr(module, name) for name in names}
    limits = {}
    for name, layer in layers.items():
        d, q, t = (float(getattr(layer.weight_quantizer, which).detach()) for which in ("step", "reach", "exponent"))
        limits[name] = (q**t / (2 ** (most - 1) - 1), q**t / (2 ** (choice.bits_low - 1) - 1))
        for unit in marked:
            for place, value in enumerate(layer.weight[unit].tolist()):
                c = min(abs(value), q) ** t
                clip.append(math.copysign(c, value))
                residual.append(math.copysign(1, value) * (round(c / d) - c / d))
                slope.append(float(g[f"{name}.weight"][unit, place]))
            clip.append(float(layer.bias[unit].detach()))
            residual.append(0.0)
            slope.append(float(g[f"{name}.bias"][unit]))
    c, r, s = np.array(clip), np.array(residual), np.array(slope)
    cos_g = c @ s / (np.linalg.norm(c) * np.linalg.norm(s))
    cos_d = r @ s / (np.linalg.norm(r) * np.linalg.norm(s))
    if np.abs(c).mean() < 1e-8:
        gamma = 0.0
    elif cos_g >= 0:
        gamma = 1 / left
    else:
        gamma = -(1 - 0.999) * rate * np.linalg.norm(s) / (cos_g * np.linalg.norm(c))
    finest, coarsest = max(low for low, _ in limits.values()), max(high for _, high in limits.values())
    if cos_d >= 0 or gamma == 0:
        step = coarsest
    else:
        step = -0.9 * 0.999 * rate * np.linalg.norm(s) / (gamma * cos_d * np.linalg.norm(r))
        while step < finest:
            gamma, step = 0.8 * gamma, step / 0.8
        step = min(step, coarsest)
    steps = {name: min(max(step, low), high) for name, (low, high) in limits.items()}
    rounded, before = [], []
    for name, layer in layers.items():
        q, t = float(layer.weight_quantizer.reach.detach()), float(layer.weight_quantizer.exponent.detach())
        for unit in marked:
            for value in layer.weight[unit].tolist():
                rounded.append(math.copysign(1, value) * steps[name] * round(min(abs(value), q) ** t / steps[name]))
                before.append(value)
            rounded.append(float(layer.bias[unit].detach()))
            before.append(rounded[-1])
    x = np.array(rounded)
    inner = float(s @ x)
    if choice.safeguard and inner < 0:
        gamma = min(gamma, (1 - choice.tau) * rate * (s @ s) / abs(inner))
    return np.array(before) - gamma * x - rate * s, steps


@pytest.mark.parametrize("safeguard", [True, False])
def test_joint_step_is_the_one_of_the_text(safeguard):
    choice = GETA(
        optimizer="sgd", momentum=0.0, rate=0.05, quantizer_rate=0.0, bits_low=3, bits_high=8, bit_reduction=1,
        warm_up_steps=2, projection_steps=5, projection_periods=5, joint_steps=6, cool_down_steps=2,
        pruning_periods=1, safeguard=safeguard,
    )  # fmt: skip
    for seed in range(6):
        module, flat, units, optimizer = prepared(choice, seed)
        flat.exponents[2] = 1 + 0.1 * seed  # of the second layer's weight
        for step in range(8):  # into the joint stage, whose first step has marked
            backward(module, flat, step)
            optimizer.step()
        marked = next(iter(units.by_group(optimizer.redundant).values()))
        for step in range(8, 12):
            backward(module, flat, step)
            slopes = {name: p.grad.clone() for name, p in module.named_parameters()}
            expected, steps = naive_joint(module, slopes, list(marked), choice, left=13 - step, most=3)
            optimizer.step()
            got = [
                torch.cat([layer.weight[unit], layer.bias[unit][None]])
                for layer in (module.left, module.right)
                for unit in marked
            ]
            np.testing.assert_allclose(torch.cat(got).detach().numpy(), expected, rtol=1e-5, atol=1e-8)
            for name, value in steps.items():
                assert getattr(module, name).weight_quantizer.step.item() == pytest.approx(value, rel=1e-6)


def test_with_bits_fixed_the_step_passes_its_slope_on_to_range_and_exponent():
    choice = GETA(
        optimizer="sgd", momentum=0.0, rate=0.05, quantizer_rate=0.01, bits_low=3, bits_high=8, warm_up_steps=0,
        projection_steps=1, projection_periods=1, joint_steps=1, pruning_periods=1, cool_down_steps=4,
    )  # fmt: skip
    module, flat, _, optimizer = prepared(choice)
    for step in range(2):
        backward(module, flat, step)
        optimizer.step()
    for step in range(2, 5):
        backward(module, flat, step)
        rate = 0.01 * choice.plan.rate_share(step)
        expected = []
        for path, bits in zip(flat.quantizers, optimizer.frozen.tolist(), strict=True):
            one = module.get_submodule(path)
            reach, exponent = (x.detach().clone().requires_grad_(True) for x in (one.reach, one.exponent))
            (one.step.grad * reach**exponent / (2 ** (bits - 1) - 1)).backward()
            expected.append(
                (
                    one.reach.item() - rate * (one.reach.grad + reach.grad).item(),
                    one.exponent.item() - rate * (one.exponent.grad + exponent.grad).item(),
                )
            )
        optimizer.step()
        torch.testing.assert_close(torch.stack([flat.reaches, flat.exponents], 1).tolist(), [list(e) for e in expected])


def test_projection_clamps_only_the_step():
    choice = GETA(
        optimizer="sgd", momentum=0.0, rate=1e-7, quantizer_rate=0.0, bits_low=4, bits_high=10, bit_reduction=3,
        activation_bits_low=5, warm_up_steps=1, projection_steps=4, projection_periods=2, joint_steps=4,
    )  # fmt: skip
    module, flat, _, optimizer = prepared(choice)
    with torch.no_grad():
        flat.steps.mul_(1e-3)
    seen = []
    for step in range(5):
        backward(module, flat, step)
        before = flat.reaches.clone(), flat.exponents.clone()
        optimizer.step()
        assert torch.equal(before[0], flat.reaches) and torch.equal(before[1], flat.exponents)
        seen.append(module.left.weight_quantizer.bits)
    # nothing in the warm-up; 10 bits in the first period, 7 in the second
    assert seen[0] > 15 and seen[1:] == pytest.approx([10, 10, 7, 7], abs=1e-6)
    assert optimizer.most_bits.tolist() == [4, 5] * 3  # of weights and of activations


@pytest.mark.parametrize("cool_down", [0, 3])
def test_units_are_zero_and_bits_whole_at_the_end(cool_down):
    choice = GETA(
        rate=0.02, quantizer_rate=0.05, bits_low=3, bits_high=9, bit_reduction=3, projection_periods=3,
        activation_bits_low=5,
        warm_up_steps=4, projection_steps=6, joint_steps=9, cool_down_steps=cool_down, pruning_periods=3,
    )  # fmt: skip
    module, flat, units, optimizer = prepared(choice)
    for step in range(choice.plan.steps):
        backward(module, flat, step)
        optimizer.step()
    rows = torch.cat([torch.cat([p.weight, p.bias[:, None]], 1) for p in (module.left, module.right)], 1)
    assert (rows == 0).all(1).sum() == 3 == optimizer.zero.sum()
    assert units.by_group(optimizer.zero) == {0: tuple(torch.nonzero((rows == 0).all(1)).reshape(-1).tolist())}
    for part in module.modules():
        if isinstance(part, LearnedQuantizer):
            assert part.bits == pytest.approx(round(part.bits), abs=1e-6) and 3 <= round(part.bits) <= 9
    for layer in (module.left, module.right, module.output):
        assert layer.input_quantizer.whole_bits == 5 and layer.weight_quantizer.whole_bits == 3


def test_state_goes_on_to_the_same_bits():
    choice = GETA(
        rate=0.02,
        warm_up_steps=3,
        projection_steps=5,
        projection_periods=5,
        joint_steps=8,
        cool_down_steps=4,
        pruning_periods=2,
    )
    module, flat, _, optimizer = prepared(choice)
    states = []
    for step in range(20):
        states.append(optimizer.state())
        backward(module, flat, step)
        optimizer.step()
    for begin in range(20):
        again, other, _, second = prepared(choice)
        second.restore(states[begin])
        for step in range(begin, 20):
            backward(again, other, step)
            second.step()
        assert torch.equal(other.values, flat.values), begin


def test_parameter_in_two_groups_is_refused():
    class One:
        def require_prunable(self):
            return (0, 1)

        groups = ()

    module = Twins()
    found = groups_of_twins()
    flat = FlatParameters(module)
    twice = One()
    twice.groups = (found.groups[0], found.groups[0])
    with pytest.raises(InputError, match="in two groups"):
        Units.of(twice, flat)
