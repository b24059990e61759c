"""Calibrated columns: the walk against a plain program, the bound C1 and what is refused."""

import math

import numpy as np
import pytest
import torch
from torch import nn

import sdqviz as sq
from sdqviz.bounds.calibrated import columns_bound, rows_bound
from sdqviz.bounds.hypotheses import unit_norm_tight
from sdqviz.compression.ladder import a_posteriori
from sdqviz.methods.calibrated.column_walk import ColumnRule, quantize_columns, vector_bound
from sdqviz.methods.frame_vectors import walk_through
from sdqviz.path_following.factor import factorize
from sdqviz.path_following.gram import Gram
from sdqviz.path_following.quantized_rows import quantize_rows
from sdqviz.path_following.row_frame import RowFrame
from sdqviz.sigma_delta.taps import difference
from sdqviz.storage.bits import step_up

COLUMNS = sq.METHODS["frame-columns"]


def carrier_of(dimension, size, seed=0, order=0):
    family = "half-frequency" if dimension % 2 == 0 else "harmonic"
    choice = sq.FRAMES[family](dimension=dimension, size=size)
    return walk_through(choice, "identity", seed, True, taps=difference(order))


def inputs_of(rng, samples, width):
    return rng.standard_normal((samples, width)) @ rng.standard_normal((width, width)) / np.sqrt(width)


@pytest.mark.parametrize(("bits", "order", "size"), [(2, 0, 8), (3, 0, 11), (2, 1, 9), (1, 1, 16)])
def test_walk_is_the_plain_program(bits, order, size):
    rng = np.random.default_rng(size)
    inputs, target = inputs_of(rng, 40, 70), rng.standard_normal((70, 8))  # more inputs than a block
    carrier = carrier_of(8, size, order=order)
    found = quantize_columns(inputs.T @ inputs, target, carrier, ColumnRule(bits, False, 1), 0.05)
    vectors, half = carrier.frame.vectors, 2 ** (bits - 1)
    visit = np.argsort(-(inputs**2).sum(axis=0), kind="stable")
    factor = factorize((inputs.T @ inputs)[np.ix_(visit, visit)], 0.05)
    errors = np.zeros((70, 8))
    for t, column in enumerate(visit):
        v = target[column] + sum((factor.feedback[t, j] * errors[j] for j in range(t)), np.zeros(8))
        y = vectors @ v
        step = step_up(np.abs(y).max() / difference(order).reach(bits), 16)
        q, u = np.empty(size), 0.0
        for n in range(size):
            value = y[n] + order * u
            q[n] = (np.clip(np.floor(value / step), -half, half - 1) + 0.5) * step
            u = value - q[n]
        errors[t] = target[column] - 8 / size * vectors.T @ q
        np.testing.assert_allclose(found.neurons[:, column], target[column] - errors[t], atol=1e-9)
    assert found.overload == 0


def random_case(rng):
    """Return (what the layer's output errs by, the bound) of a small layer with random sizes, rule and inputs."""
    outputs, width = int(rng.integers(2, 12)), int(rng.integers(1, 14))
    order = int(rng.integers(0, 2))
    bits = int(rng.integers(1 + (order == 0), 5))
    size = math.ceil(outputs * rng.uniform(1.0, 3.0))
    inputs, target = inputs_of(rng, int(rng.integers(1, 30)), width), rng.standard_normal((width, outputs))
    target *= rng.exponential(1.0, target.shape)
    carrier = carrier_of(outputs, max(size, outputs), order=order)
    rule = ColumnRule(bits, False, int(rng.choice([1, 4])))
    found = quantize_columns(inputs.T @ inputs, target, carrier, rule, rng.choice([0.001, 0.1, 1.0]))
    stated = columns_bound(
        [found.pivots], [found.vector_bounds], len(inputs), found.overload, unit_norm_tight(carrier.walk)
    )
    assert stated.holds
    return np.linalg.norm(inputs @ (target - found.neurons.T)) / np.sqrt(len(inputs)), stated.value


@pytest.mark.parametrize("cases", [60, pytest.param(10_000, marks=pytest.mark.slow)])
def test_c1_is_never_broken_in_random_cases(cases):
    rng = np.random.default_rng(cases)
    ratios = np.array([error / bound for error, bound in (random_case(rng) for _ in range(cases))])
    print(f"{cases} random layers: largest error/bound {ratios.max():.3f}, median {np.median(ratios):.3f}")
    assert ratios.max() <= 1 and np.median(ratios) > 0.02


@pytest.mark.parametrize("cases", [60, pytest.param(10_000, marks=pytest.mark.slow)])
def test_c2_is_never_broken_where_nothing_is_clipped(cases):
    rng = np.random.default_rng(cases)
    ratios = []
    for _ in range(cases):
        width, neurons = int(rng.integers(1, 14)), int(rng.integers(1, 5))
        inputs, target = inputs_of(rng, int(rng.integers(1, 30)), width), rng.standard_normal((width, neurons))
        gram, frame = Gram.of(inputs, target), RowFrame(width, rng.uniform(1.0, 3.0), int(rng.integers(100)))
        found = quantize_rows(
            gram, target, lambda q, g=gram, w=target: g.error(w, q), lambda step: step_up(step, 16), frame,
            int(rng.integers(3, 9)), damping=0.1,
        )  # fmt: skip
        stated = rows_bound([found.pivots], [found.step], len(inputs), int(found.overload.sum()))
        if stated.holds:
            error = np.linalg.norm(inputs @ (target - found.neurons.T)) / np.sqrt(len(inputs))
            ratios.append(error / stated.value)
    assert len(ratios) > cases / 10 and max(ratios) <= 1


def test_vector_bound_of_each_order():
    assert vector_bound(carrier_of(8, 20, order=0)) == pytest.approx(np.sqrt(8) / 2)
    walk = carrier_of(8, 20).walk
    spectral = 8 / 40 * (np.sqrt(19) * walk.difference_norm + 1)
    assert vector_bound(carrier_of(8, 20, order=1)) == pytest.approx(min(spectral, 8 / 40 * (walk.variation + 1)))


def network():
    torch.manual_seed(1)
    data = torch.randn(150, 12)
    data[:, 3] = 0.0
    return sq.Network(nn.Sequential(nn.Linear(12, 20), nn.ReLU(), nn.Linear(20, 4)), data), data.numpy()


def test_bound_is_in_force_on_calibration_inputs_and_lapses_with_fitted_steps():
    given, data = network()
    result = sq.compress(given, COLUMNS(bits=2), calibration=data)
    for row in result.report.layers:
        assert row.bound_holds and row.error <= row.bound and row.overload == 0
        assert "not about unseen inputs" in row.bound_because
    first = result.layers[0]
    # 11 live columns of 20 two-bit levels, a step of 16 bits each, 2 bytes of flags, 72 bits for the frame
    assert first.bits == 8 * (-(-11 * 20 * 2 // 8) + 22 + 2) + 72
    fitted = sq.compress(given, COLUMNS(bits=1, step_rule="fitted"), calibration=data).report.layers[0]
    assert fitted.overload > 0 and not fitted.bound_holds and "lapses" in fitted.bound_because


@pytest.mark.parametrize("name", ["frame-columns", "frame-coded"])
def test_c_is_a_rung_of_the_ladder_on_the_calibration_inputs(name):
    given, data = network()
    result = sq.compress(given, sq.METHODS[name](alignment="none"), calibration=data)
    rung = sq.ladder(result)["c"]
    assert rung.bound.holds and rung.summed and not rung.unseen and "not about unseen" in rung.bound.because
    (first, second), (w, v) = [item.bounds[0].value for item in result.layers], [one.weight for one in given.layers]
    assert rung.maximum == pytest.approx(np.sqrt(150) * (np.linalg.norm(v, 2) * first + second)) and w.shape == (20, 12)
    error = np.linalg.norm(given.outputs(data, "float64") - result.network.outputs(data, "float64"), axis=1)
    assert 0.01 * rung.maximum < np.sqrt((error**2).sum()) <= rung.maximum
    assert rung.mean == pytest.approx(rung.maximum / np.sqrt(150)) and error.mean() <= rung.mean
    others = a_posteriori(given, result.network, result.layers, data)
    assert "c" not in [one.bound.name for one in others.rungs]


def test_c_needs_weights_that_were_aimed_at_as_they_are_and_steps_that_cover_the_range():
    given, data = network()
    for choice in ({"biases": "corrected"}, {"alignment": "least-squares"}):
        rungs = sq.ladder(sq.compress(given, COLUMNS(**choice), calibration=data)).rungs
        assert "c" not in [one.bound.name for one in rungs], choice
    fitted = sq.ladder(sq.compress(given, COLUMNS(bits=1, step_rule="fitted"), calibration=data))["c"]
    assert not fitted.bound.holds and "lapses" in fitted.bound.because


SHIPPED = [(name, seed) for name in ("mnist-fnn", "mnist-residual", "mnist-lenet", "vit-tiny") for seed in range(3)]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "seed"), [*SHIPPED, ("resnet20", 0), ("vgg7", 0)])
def test_no_shipped_network_breaks_c1_or_c2_on_the_calibration_inputs(name, seed):
    given = sq.NETWORKS[name](seed=seed).load()
    for method in (COLUMNS(), sq.METHODS["frame-coded"](alignment="none")):
        result = sq.compress(given, method, calibration=256 if given.structure.applicable else 32)
        rows = result.report.layers
        assert rows and all(row.bound_holds and row.error <= row.bound for row in rows)
        told = f"{name} {seed} {method.name}: {len(rows)} layers, worst {max(r.error / r.bound for r in rows):.3f}"
        if given.structure.applicable:
            rung, x = sq.ladder(result, 1)["c"], result.inputs
            error = np.linalg.norm(given.outputs(x, "float64") - result.network.outputs(x, "float64"))
            assert rung.bound.holds and error <= rung.maximum
            told += f", rung C {error / rung.maximum:.4f} of it, on the calibration inputs"
        print(told)


def test_what_would_diverge_or_does_not_fit_is_refused():
    with pytest.raises(sq.InputError, match="redundancy must be at least 2 for 1 bit"):
        COLUMNS(bits=1)
    with pytest.raises(sq.InputError, match="redundancy must be at least 2 for 1 bit"):
        COLUMNS(bits=2, bits_by_layer={"0": 1})
    given, data = network()
    item = sq.compress(given, COLUMNS(), calibration=data).layers[0]
    with pytest.raises(sq.InputError, match="levels and steps must have shapes"):
        COLUMNS.decode(item.stored, {**item.parameters, "frame_size": 21}, (20, 12), 1)
