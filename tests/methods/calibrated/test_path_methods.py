"""Calibrated methods on whole networks, against the recursions over samples and the least squares that define them."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from torch import nn
from torch.nn import functional

import sdqviz as sq
from sdqviz.kernels import draws
from sdqviz.quantizers import QUANTIZERS


def dense() -> sq.Network:
    torch.manual_seed(1)
    return sq.Network(
        nn.Sequential(nn.Linear(40, 30), nn.ReLU(), nn.Linear(30, 30), nn.ReLU(), nn.Linear(30, 6)), torch.zeros(1, 40)
    )


def convolutional() -> sq.Network:
    torch.manual_seed(2)
    module = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 12, 3, groups=2, stride=2, dilation=2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(12 * 3 * 3, 5),
    )
    return sq.Network(module, torch.zeros(1, 3, 9, 9))


def inputs_for(network: sq.Network, count: int = 150) -> np.ndarray:
    rng = np.random.default_rng(5)
    x = rng.standard_normal((count, *network.example_input.shape[1:])).astype(np.float32)
    x[:, 1] = 0  # a dead input, or a dead channel
    return x


def seen(network: sq.Network, name: str, x: np.ndarray) -> np.ndarray:
    """Return what goes into a layer, as torch unfolds it: (groups, rows, width), float64."""
    module, found = network.shadow(), []
    part = module.get_submodule(name)
    part.register_forward_pre_hook(lambda _, arguments: found.append(arguments[0].clone()))
    with torch.no_grad():
        module(torch.from_numpy(x))
    values = found[0]
    if isinstance(part, nn.Linear):
        return values.double().numpy()[None]
    columns = functional.unfold(values, part.kernel_size, part.dilation, part.padding, part.stride)
    samples, width, places = columns.shape
    rows = columns.reshape(samples, part.groups, width // part.groups, places).permute(1, 0, 3, 2)
    return rows.reshape(part.groups, samples * places, -1).double().numpy()


def layer_by_layer(network, result, x):
    """Yield every compressed layer with its inputs in the given network and in the one compressed up to there."""
    done = {}
    for item in result.layers:
        partly = network.replaced(done)
        yield item, seen(network, item.layer.name, x), seen(partly, item.layer.name, x)
        done[item.layer.name] = item.weight


@pytest.mark.parametrize("make", [dense, convolutional])
@pytest.mark.parametrize(
    ("name", "choice"),
    [
        ("gpfq", {"bits": 3}),
        ("gpfq", {"bits": 4, "order": 4, "threshold": "hard", "pruning_ratio": 0.4, "scale": "per-layer"}),
        ("gpfq", {"bits": 4, "alphabet": "midtread", "threshold": "soft", "pruning_ratio": 0.3}),
        ("spfq", {"bits": 4, "alphabet": "midtread", "finite": False}),
        ("spfq", {"bits": 2, "order": 3}),
        ("unified", {"bits": 4, "scaling": 2.0}),
        ("unified", {"operator": "prune", "pruning_ratio": 0.6}),
        ("unified", {"operator": "one-bit"}),
    ],
)
def test_every_layer_is_what_the_recursion_over_samples_gives(make, name, choice, naive):
    network = make()
    x = inputs_for(network)
    method = sq.METHODS[name](largest_errors=True, **choice)
    result = sq.compress(network, method, x, seed=7)
    assert len(result.layers) == 3
    for item, original, inputs in layer_by_layer(network, result, x):
        groups = len(original)
        rows = item.layer.weight.reshape(len(item.layer.weight), -1)
        got = item.weight.reshape(rows.shape)
        keys = draws.neuron_keys(draws.layer_key(7, item.layer.name), len(rows))
        size = len(rows) // groups
        quantizer = QUANTIZERS.from_dict(item.path.quantizer)
        for group in range(groups):
            part = slice(group * size, (group + 1) * size)
            grid = item.path.grid.part(part)
            aligned = naive.align(original[group], inputs[group], rows[part].T, getattr(method, "order", 1))
            expected, _ = naive.quantize(
                inputs[group], aligned, quantizer, grid, keys[part], getattr(method, "scaling", 1.0)
            )
            # the values that pruning keeps are stored as float32
            assert_allclose(got[part].T, expected, rtol=0 if quantizer.rounds else 1e-6, atol=1e-12)
            assert_allclose(
                item.path.errors[part],
                np.linalg.norm(original[group] @ rows[part].T - inputs[group] @ got[part].T, axis=0),
                rtol=1e-5,
                atol=1e-6,
            )
            assert_allclose(
                item.path.largest_errors[part],
                np.abs(original[group] @ rows[part].T - inputs[group] @ got[part].T).max(axis=0),
                rtol=1e-5,
                atol=1e-6,
            )
            assert_allclose(
                item.path.alignment_errors[part],
                np.linalg.norm(original[group] @ rows[part].T - inputs[group] @ aligned, axis=0),
                atol=1e-5 * item.path.target_norms.max(),
            )
            dead = (inputs[group] == 0).all(axis=0)
            assert_array_equal(got[part][:, dead], 0)


@pytest.mark.parametrize("visit", ["as-is", "largest-first"])
def test_qronos_solves_its_two_problems_at_every_step(visit):
    """Round one weight with the others as they are, then move those still to come to their least-squares optimum."""
    network = dense()
    x = inputs_for(network, 400)
    result = sq.compress(network, sq.METHODS["qronos"](bits=3, visit=visit), x)
    for item, (original,), (inputs,) in layer_by_layer(network, result, x):
        squares = (inputs**2).sum(axis=0)
        alive = squares > 0
        order = np.argsort(-squares, kind="stable") if visit == "largest-first" else np.arange(len(squares))
        order = order[alive[order]]
        weights = item.layer.weight.T[order]
        ridge = np.sqrt(0.01 * squares[alive].mean()) * np.eye(len(order))
        # damping is a further sample for each weight that wants it to stay
        left = np.vstack([inputs[:, order], ridge])
        target = np.vstack([original[:, order] @ weights, ridge @ weights])
        grid = item.path.grid
        rest, quantized = weights.copy(), np.zeros_like(weights)
        for t in range(len(order)):
            aim = target - left[:, :t] @ quantized[:t] - left[:, t + 1 :] @ rest[t + 1 :]
            quantized[t] = grid.nearest(left[:, t] @ aim / (left[:, t] ** 2).sum())
            aim = target - left[:, : t + 1] @ quantized[: t + 1]
            if t + 1 < len(order):
                rest[t + 1 :] = np.linalg.lstsq(left[:, t + 1 :], aim)[0]
        assert_allclose(item.weight.T[order], quantized, atol=1e-9)
        assert_array_equal(item.weight.T[~alive], 0)


@pytest.mark.parametrize(
    ("name", "choice"),
    [
        ("unified", {"operator": "prune"}),
        ("unified", {"operator": "quantize-prune", "bits": 4}),
        ("gpfq", {"threshold": "hard"}),
        ("gpfq", {"threshold": "soft", "alphabet": "midtread"}),
        ("magnitude-pruning", {}),
    ],
)
@pytest.mark.parametrize("ratio", [0.35, 0.5, 0.8])
def test_pruning_ratio_is_met_and_reported(name, choice, ratio):
    network = dense()
    result = sq.compress(network, sq.METHODS[name](pruning_ratio=ratio, **choice), inputs_for(network))
    for item, row in zip(result.layers, result.report.layers, strict=True):
        assert row.sparsity == pytest.approx((item.weight == 0).mean())
        assert row.sparsity == pytest.approx(ratio, abs=0.02)
    assert result.report.sparsity == pytest.approx(ratio, abs=0.015)


def test_search_finds_better_scales_and_biases_take_up_the_mean_error():
    network = dense()
    x = inputs_for(network) + np.float32(1.0)  # inputs with a mean, as biases like them
    for name in ("gpfq", "gptq", "qronos"):

        def error(name=name, **choice):
            item = sq.compress(network, sq.METHODS[name](bits=1, **choice), x).layers[0]
            moved = 0.0 if item.bias is None else item.layer.bias - item.bias
            return np.linalg.norm(x.astype(float) @ (item.layer.weight - item.weight).T + moved)

        assert error(fit="search") < error(fit="mse")
        assert error(biases="corrected") < 0.9 * error()
        assert error(refinement=3) < error()


def test_damping_nothing_and_far_fewer_samples_than_inputs():
    network = dense()
    for name in ("gptq", "qronos", "gpfq"):
        choice = {} if name == "gpfq" else {"damping": 0.0}
        report = sq.compress(network, sq.METHODS[name](bits=3, **choice), inputs_for(network, 3)).report
        assert np.isfinite(report.relative_output_error)
        assert report.layers[0].relative_error < 0.2  # three samples are easily met


@pytest.mark.parametrize(
    ("name", "choice", "message"),
    [
        ("gpfq", {"bits": 0}, "bits must be at least 1, got 0"),
        ("gpfq", {"bits": 1, "alphabet": "midtread"}, "use midrise"),
        ("gpfq", {"bits_by_layer": {"0": 1}, "alphabet": "midtread"}, "use midrise"),
        ("gpfq", {"order": 0}, "order must be at least 1, got 0"),
        ("gpfq", {"threshold": "hard"}, "pruning_ratio must be given together with a threshold"),
        ("unified", {"pruning_ratio": 0.0}, "pruning_ratio must be at least 0.001, got 0"),
        ("unified", {"pruning_ratio": 1.0}, "pruning_ratio must be at most 0.999, got 1"),
        ("unified", {"pruning_ratio": None}, "pruning_ratio must be given for the operator quantize-prune"),
        ("unified", {"alphabet": "midrise"}, "alphabet must be midtread"),
        ("unified", {"scaling": 0.5}, "scaling must be at least 1, got 0.5"),
    ],
)
def test_bad_choices_are_refused(name, choice, message):
    with pytest.raises(sq.InputError, match=message):
        sq.METHODS[name](**choice)


def test_layers_are_named_in_messages():
    network = sq.Network(nn.Sequential(nn.Linear(1200, 2)), torch.zeros(1, 1200))
    with pytest.raises(sq.InputError, match="layer 0: the linear program"):
        sq.compress(network, sq.METHODS["spfq"](alignment="smallest-range"), inputs_for(network, 2))
    with pytest.raises(sq.InputError, match="bits_by_layer must name layers"):
        sq.compress(network, sq.METHODS["gptq"](bits_by_layer={"conv9": 2}), inputs_for(network, 2))


def test_bits_by_layer_and_what_is_stored():
    network = dense()
    result = sq.compress(
        network, sq.METHODS["gpfq"](bits=4, bits_by_layer={"2": 2}, alphabet="midrise"), inputs_for(network)
    )
    assert [row.levels for row in result.report.layers] == [16, 4, 16]
    first = result.layers[0]
    # one dead input: its column is left out, at one bit for each input
    assert first.bits == 30 * 39 * 4 // 8 * 8 + 40 + 30 * 32 + first.parameter_bits
