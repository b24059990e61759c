"""Bounds on layers that path following quantized: measured errors stay below them, and each reason for not holding."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from torch import nn

import sdqviz as sq
from sdqviz.bounds.path import ProbabilisticBound
from sdqviz.compression.compress import Compression
from sdqviz.compression.guarantee import layer_error, path_layer_bound
from sdqviz.compression.walked import FAILURE
from sdqviz.methods.method import CompressedLayer

WIDE = {"bits": 6, "stretch": 6.0, "fit": "max"}
"""A finite alphabet with room for what the feedback makes of the weights."""

RUNS = [
    ("spfq", {"bits": 3, "alphabet": "midtread", "finite": False, "order": 2}),
    ("spfq", {**WIDE, "order": 3}),
    ("spfq", {**WIDE, "alphabet": "midtread", "biases": "quantized", "scale": "per-layer"}),
    ("unified", {**WIDE, "operator": "quantize", "scaling": 2.0}),
    ("unified", {"bits": 3, "operator": "quantize", "scaling": 1.5, "placement": "largest", "finite": False}),
    ("unified", {"operator": "prune", "pruning_ratio": 0.5, "scaling": 1.3, "biases": "corrected"}),
    ("unified", {"bits": 3, "pruning_ratio": 0.4, "finite": False, "patches": 0.6}),
    ("unified", {**WIDE, "bits": 9, "stretch": 60.0, "pruning_ratio": 0.4, "scaling": 1.2}),
]


def grouped() -> sq.Network:
    torch.manual_seed(3)
    module = nn.Sequential(
        nn.Conv2d(2, 6, 3), nn.ReLU(), nn.Conv2d(6, 8, 3, groups=2), nn.ReLU(), nn.Flatten(), nn.Linear(32, 5)
    )
    return sq.Network(module, torch.zeros(1, 2, 6, 6))


def samples(count: int = 40) -> np.ndarray:
    return np.random.default_rng(4).standard_normal((count, 2, 6, 6)).astype(np.float32)


def compressed(name: str, seed: int = 0, **choice) -> Compression:
    return sq.compress(grouped(), sq.METHODS[name](**choice), samples(), seed=seed)


def dense_layer(name: str, bits: int = 3, weights: np.ndarray | None = None, **choice) -> CompressedLayer:
    """Return the only layer of a network of one, so that alignment is perfect."""
    torch.manual_seed(5)
    part = nn.Linear(20, 6)
    if weights is not None:
        with torch.no_grad():
            part.weight.copy_(torch.from_numpy(weights))
    x = np.random.default_rng(6).standard_normal((50, 20)).astype(np.float32)
    network = sq.Network(nn.Sequential(part), torch.zeros(1, 20))
    return sq.compress(network, sq.METHODS[name](bits=bits, **choice), x).layers[0]


@pytest.mark.parametrize(("name", "choice"), RUNS)
def test_measured_errors_stay_below_the_bound(name, choice):
    held = 0
    for seed in range(6):
        result = compressed(name, seed, **choice)
        for row, item in zip(result.report.layers, result.layers, strict=True):
            assert row.error == item.path.errors.max() and row.error_name == "max ‖Xw−X̃q‖₂"
            assert math.isfinite(row.bound)
            if row.bound_holds:
                held += 1
                assert 0 < row.error <= row.bound
                assert "at most 0.05" in row.bound_because and "probability 0.95" in row.bound_name
    assert held == 18


def test_the_error_is_that_of_the_outputs():
    result = compressed("spfq", bits=3)
    item = result.layers[0]
    layer = item.layer
    with torch.no_grad():
        x = torch.from_numpy(samples()).double()
        outputs = [nn.functional.conv2d(x, torch.from_numpy(w.copy())) for w in (layer.weight, item.weight)]
    expected = (outputs[0] - outputs[1]).pow(2).sum(dim=(0, 2, 3)).sqrt().max()
    assert layer_error(item) == pytest.approx(float(expected), rel=1e-9)


def test_the_value_is_the_formula_of_the_group_with_the_largest():
    item = compressed("spfq", bits=3, finite=False).layers[1]
    path = item.path
    t = math.log(8 / FAILURE)
    size = math.sqrt(path.samples + 2 * math.sqrt(path.samples * t) + 2 * t)
    parts = [
        limits.max() / 2 * size * norms.max() + added.max()
        for norms, limits, added in zip(
            path.input_norms, path.error_limit.reshape(2, 4), path.alignment_errors.reshape(2, 4), strict=True
        )
    ]
    found = path_layer_bound(item)
    assert isinstance(found, ProbabilisticBound)
    assert found.value == pytest.approx(max(parts), rel=1e-12)
    assert found.holds and found.probability == 0.95


def test_pruning_pays_for_a_threshold_solved_with_the_same_numbers():
    item = dense_layer("unified", operator="prune", pruning_ratio=0.5)
    path = item.path
    t = math.log(6 * 2**31 / 0.1)
    expected = path.error_limit.max() / 2 * path.input_norms.max() * math.sqrt(50 + 2 * math.sqrt(50 * t) + 2 * t)
    stored = np.abs(item.weight) @ path.input_norms[0] * 2.0**-23  # as float32, which takes part in the error
    np.testing.assert_allclose(path.alignment_errors, stored, rtol=1e-12)
    expected += stored.max()
    found = path_layer_bound(item, 0.1)
    assert found.value == pytest.approx(expected, rel=1e-12)
    assert found.holds and found.probability == 0.9 and "whatever the threshold c" in found.because


def test_scaling_widens_the_bound_by_its_factor():
    item = dense_layer("unified", operator="quantize", finite=False)
    assert item.path.alignment_errors.max() == 0
    plain = path_layer_bound(item).value
    scaled = dataclasses.replace(item, path=dataclasses.replace(item.path, scaling=3.0))
    assert path_layer_bound(scaled).value == pytest.approx(3 / math.sqrt(5) * plain, rel=1e-12)


def test_approximate_alignment_adds_its_error_and_says_so():
    first, second, _ = compressed("spfq", bits=3, finite=False).layers
    assert "the alignment is perfect" in path_layer_bound(first).because
    size = second.path.alignment_errors.max()
    assert size > 0
    assert f"adds ‖û‖ = {size:.4g}" in path_layer_bound(second).because
    exact = dataclasses.replace(second.path, alignment_errors=np.zeros(8))
    without = path_layer_bound(dataclasses.replace(second, path=exact))
    assert without.value < path_layer_bound(second).value <= without.value + size


def test_rows_looked_at_are_named():
    assert (
        "rows that were looked at"
        in path_layer_bound(compressed("spfq", bits=3, finite=False, patches=0.5).layers[0]).because
    )


# -- reasons for not holding --------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["gpfq", "gptq", "qronos"])
def test_operators_without_randomness_have_no_bound(name):
    item = dense_layer(name)
    found = path_layer_bound(item)
    assert math.isnan(found.value) and not found.holds
    assert found.because == (
        "Not applicable: the operator “Nearest level” draws no random numbers, so its errors need not average out."
    )
    row = compressed(name, bits=3).report.layers[0]
    assert math.isnan(row.bound) and not row.bound_holds and row.bound_because == found.because and row.error > 0


def test_clipping_breaks_the_bound():
    item = dense_layer("spfq", bits=2, fit="max", stretch=0.3)
    assert item.overload > 0
    found = path_layer_bound(item)
    assert math.isfinite(found.value) and not found.holds
    assert f"clipped {item.overload} of 120 values" in found.because and "at most" not in found.because


def test_neurons_without_a_scale_break_the_bound():
    item = dense_layer("spfq", finite=False)
    assert path_layer_bound(item).holds
    mute = dataclasses.replace(item, step=np.r_[0.0, item.step[1:]])
    found = path_layer_bound(mute)
    assert not found.holds and "1 of 6 neurons have a step of 0" in found.because


def test_zero_weights_are_bounded_by_zero():
    for operator in ("quantize", "prune", "quantize-prune"):
        found = path_layer_bound(dense_layer("unified", weights=np.zeros((6, 20)), operator=operator))
        assert found.holds and found.value == 0


def test_a_layer_without_a_record_and_a_bad_probability_are_refused():
    with pytest.raises(sq.InputError, match="path following"):
        path_layer_bound(dense_layer("round-to-nearest"))
    for failure in (0.0, 1.0, math.nan):
        with pytest.raises(sq.InputError, match="failure γ"):
            path_layer_bound(dense_layer("gpfq"), failure)
