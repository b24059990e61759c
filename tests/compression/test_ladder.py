"""No bound that is said to hold is ever broken: random networks with shared layers, odd activations and extra axes."""

import numpy as np
import pytest
import torch
from torch import nn

import sdqviz as sq
from sdqviz.networks.structure import ResidualBlock

ACTIVATIONS = [
    nn.ReLU, nn.Tanh, nn.SiLU, nn.GELU, nn.Mish, nn.Hardswish, nn.SELU, nn.ELU, nn.Softsign, nn.Tanhshrink, nn.Sigmoid,
    nn.Softplus, lambda: nn.GELU("tanh"), lambda: nn.ELU(3.0), lambda: nn.ELU(-2.0), lambda: nn.CELU(0.5),
    lambda: nn.CELU(-1.0), lambda: nn.LeakyReLU(-2.0), lambda: nn.Hardtanh(-0.3, 2.0), lambda: nn.Hardtanh(0.5, 1.0),
    lambda: nn.Hardshrink(0.3), lambda: nn.Threshold(0.2, 5.0), lambda: nn.PReLU(2), nn.Identity,
]  # fmt: skip


def drawn(rng):
    """Return a network and inputs for it: a chain of few layers, some of them used again."""
    width = int(rng.integers(2, 6))
    bias = bool(rng.integers(2))
    scale = float(rng.choice([0.3, 1.0, 3.0]))
    pool, parts = [], []
    for _ in range(int(rng.integers(1, 5))):
        again = pool and rng.random() < 0.4
        if again:
            part = pool[int(rng.integers(len(pool)))]
        else:
            block = rng.random() < 0.2
            part = (
                ResidualBlock(width, bias=bias, relu_after=bool(rng.integers(2)))
                if block
                else nn.Linear(width, width, bias=bias)
            )
            for parameter in part.parameters():
                parameter.data = torch.tensor(scale * rng.standard_normal(parameter.shape), dtype=torch.float32)
            if rng.random() < 0.2:
                next(part.parameters()).data.abs_()
            pool.append(part)
        parts.append(part)
        if rng.random() < 0.8:
            activation = ACTIVATIONS[int(rng.integers(len(ACTIVATIONS)))]()
            if isinstance(activation, nn.PReLU):
                activation = nn.PReLU(init=float(3 * rng.normal()))
            parts.append(activation)
    if rng.random() < 0.1:
        tied = nn.Linear(width, width, bias=False)
        if isinstance(pool[0], nn.Linear) and pool[0].bias is None:
            tied.weight = pool[0].weight
            parts.append(tied)
    size = float(rng.choice([1e-4, 1.0, 100.0]))
    axes = (int(rng.integers(2, 9)),) if rng.random() < 0.8 else (3, int(rng.integers(2, 400)))
    x = (size * rng.standard_normal((*axes, width))).astype(np.float32)
    return sq.Network(nn.Sequential(*parts), torch.randn(2, width)), x


WALKS = [
    sq.METHODS["spfq"](bits=3, finite=False, order=2),
    sq.METHODS["spfq"](bits=4, finite=False, alignment="least-squares", biases="corrected", scale="per-layer"),
    sq.METHODS["spfq"](bits=7, stretch=8.0, fit="max", biases="quantized"),
    sq.METHODS["unified"](bits=3, finite=False, operator="quantize", scaling=2.0, placement="largest"),
    sq.METHODS["unified"](operator="prune", pruning_ratio=0.5, biases="quantized"),
    sq.METHODS["unified"](operator="one-bit", scaling=30.0),
]


def method(rng):
    if rng.random() < 0.2:
        return WALKS[int(rng.integers(len(WALKS)))]
    return sq.METHODS["frame"](
        bits=int(rng.integers(1, 4)), redundancy=float(rng.choice([1.5, 4.0])),
        step_rule=str(rng.choice(["range-column", "range-layer", "norm-layer"])),
        biases=str(rng.choice(["float", "quantized"])),
    )  # fmt: skip


def check(seed):
    """Return which bounds hold, having compared them with what happened."""
    rng = np.random.default_rng([7, seed])
    network, x = drawn(rng)
    try:
        result = sq.compress(network, method(rng), calibration=x, seed=seed)
    except sq.InputError as error:  # CELU with α < 0 grows beyond any float, and some walks beyond any code
        assert any(why in str(error) for why in ("must give finite activations", "infinite alphabet must span")), error
        return set()
    report, held = result.report, set()
    for row in report.layers:
        if row.bound_holds:
            held.add("layer")
            assert row.error <= row.bound * (1 + 1e-9), (seed, row.name)
    if report.output_bound_holds:
        held.add("output" if result.layers[0].path is None else "walks")
        for one in result.output_bounds:  # after walks both at once, with a probability that these runs do not try
            assert report.output_error <= one.value * (1 + 1e-6), (seed, one.name)
    try:
        found = sq.ladder(result)
    except sq.InputError:
        return held
    before, after = network.outputs(x, "float64"), result.network.outputs(x, "float64")
    error = np.linalg.norm(before - after, axis=1)
    assert len(x.shape) == 2, "a statement about vectors was made of something else"
    for rung in found.rungs:
        if rung.bound.holds:
            held.add(rung.bound.name)
            count = len(rung.values)
            slack = 1e-9 * np.linalg.norm(before, axis=1)[:count] + 1e-30
            assert (error[:count] <= rung.values * (1 + 1e-9) + slack).all(), (seed, rung.bound.name)
    return held


@pytest.mark.parametrize(
    "networks", [range(200), pytest.param(range(200, 10_200), marks=pytest.mark.slow)], ids=["few", "many"]
)
def test_no_bound_is_broken(networks):
    held = set()
    for seed in networks:
        held |= check(seed)
    assert held == {"layer", "output", "walks", "p0", "p1", "p2", "p3", "p4"}, (
        "some bound never held, so nothing was tested"
    )


def shared(count=5):
    torch.manual_seed(3)
    layer = nn.Linear(6, 6, bias=False)
    layer.weight.data = torch.rand(6, 6) * 3
    return nn.Sequential(*[part for _ in range(count) for part in (layer, nn.ReLU())])


def test_a_layer_that_is_used_several_times_has_the_inputs_of_each_use():
    x = torch.rand(20, 6)
    network = sq.Network(shared(), x)
    result = sq.compress(network, sq.METHODS["frame"](bits=1, redundancy=4, step_rule="range-column"), calibration=x)
    error = np.linalg.norm(network.outputs(x, "float64") - result.network.outputs(x, "float64"), axis=1)
    ladder = sq.ladder(result)
    assert all(rung.bound.holds and (error <= rung.values[: len(error)]).all() for rung in ladder.rungs)
    # P3 by hand: e ← ‖W‖e + ‖(W − Q)z̃‖ with the inputs of the compressed network at each use
    w, q = network.layers[0].weight, result.network.layers[0].weight
    z, expected = x.double().numpy(), np.zeros(20)
    for _ in range(5):
        expected = np.linalg.norm(w, 2) * expected + np.linalg.norm(z @ (w - q).T, axis=1)
        z = np.maximum(z @ q.T, 0)
    np.testing.assert_allclose(ladder["p3"].values, expected, rtol=1e-9)


def test_the_ladder_says_what_it_cannot_speak_of():
    x = torch.rand(20, 6)
    network = sq.Network(shared(2), x)
    frame = sq.METHODS["frame"](redundancy=4)
    with pytest.raises(sq.InputError, match="measured on inputs"):
        sq.ladder(sq.compress(network, frame, calibration=0))
    with pytest.raises(sq.InputError, match="inputs of 3 axes"):
        sq.ladder(sq.compress(network, frame, calibration=torch.rand(4, 3, 6)))
    report = sq.compress(network, frame, calibration=torch.rand(4, 3, 6)).report
    assert not report.output_bound_holds and "inputs of 3 axes" in report.output_bound_because
    convolution = sq.Network(nn.Sequential(nn.Conv2d(1, 2, 3)), torch.rand(1, 1, 6, 6))
    with pytest.raises(sq.InputError, match="theorems' class"):
        sq.ladder(sq.compress(convolution, frame))
