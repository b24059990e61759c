import dataclasses

import numpy as np
import pytest

from sdqviz.bounds.ladder import ladder
from sdqviz.bounds.ladder_layer import LadderBlock, LadderLayer
from sdqviz.bounds.layer import layer_bound_states
from sdqviz.bounds.network import Dense, network_bound
from sdqviz.error import InputError
from sdqviz.frames.harmonic import Harmonic
from sdqviz.frames.walk import Walk
from sdqviz.sigma_delta.recursion import walk_rows


def relu(x):
    return np.maximum(x, 0)


def quantized_layer(rng, rows, columns, bias=None):
    """A layer quantized with a harmonic frame: everything but the inputs."""
    frame = Harmonic(dimension=rows, size=6 * rows + 1).build()
    weight = rng.standard_normal((rows, columns)) / np.sqrt(columns)
    b = None if bias is None else rng.standard_normal(rows)
    vectors = weight.T if bias != "quantized" else np.vstack([weight.T, b])
    coefficients = frame.analyze(vectors)
    levels, state = np.empty_like(coefficients), np.empty_like(coefficients)
    walk_rows(coefficients, 2, np.full(len(vectors), np.abs(coefficients).max() / 1.5), out=levels, state=state)
    approximate = frame.synthesize(levels)
    return {
        "weight": weight,
        "quantized": approximate[:columns].T,
        "bias": b,
        "quantized_bias": approximate[columns] if bias == "quantized" else None,
        "from_states": layer_bound_states(
            Walk.of(frame), float(np.linalg.norm(state, 2)), float(np.linalg.norm(state[:, -1]))
        ),
    }


def run(layer, z, compressed=False):
    weight, bias = layer["weight"], layer["bias"]
    if compressed:
        weight, bias = layer["quantized"], bias if layer["quantized_bias"] is None else layer["quantized_bias"]
    return z @ weight.T + (0 if bias is None else bias)


def chain(rng, widths, bias=None, samples=30):
    z = other = relu(rng.standard_normal((samples, widths[0])))
    nodes = []
    for i in range(len(widths) - 1):
        layer = quantized_layer(rng, widths[i + 1], widths[i], bias)
        nodes.append(LadderLayer(**layer, inputs=z, compressed_inputs=other, name=f"fc{i}"))
        z, other = run(layer, z), run(layer, other, compressed=True)
        if i < len(widths) - 2:
            z, other = relu(z), relu(other)
    return nodes, np.linalg.norm(z - other, axis=1)


@pytest.mark.parametrize("bias", [None, "kept", "quantized"])
def test_chain_against_sums_written_out(bias):
    nodes, errors = chain(np.random.default_rng(5), [12, 9, 7, 5], bias)
    result = ladder(nodes)
    count = len(errors)
    w = [np.linalg.norm(node.weight, 2) for node in nodes]
    after = [np.prod(w[i + 1 :]) for i in range(3)]
    delta, z, local_norm = [], [], []
    for node in nodes:
        difference = node.weight - node.quantized
        inputs = node.compressed_inputs
        if bias == "quantized":
            difference = np.column_stack([difference, node.bias - node.quantized_bias])
            inputs = np.column_stack([inputs, np.ones(count)])
        delta.append(np.linalg.norm(difference, 2))
        z.append(np.linalg.norm(inputs, axis=1))
        local_norm.append(np.linalg.norm(inputs @ difference.T, axis=1))
    np.testing.assert_allclose(result["p2"].values, sum(after[i] * delta[i] * z[i] for i in range(3)), rtol=1e-10)
    np.testing.assert_allclose(result["p3"].values, sum(after[i] * local_norm[i] for i in range(3)), rtol=1e-10)
    if bias is None:
        q = [np.linalg.norm(node.quantized, 2) for node in nodes]
        x = np.linalg.norm(nodes[0].inputs, axis=1)
        written = x * sum(after[i] * delta[i] * np.prod(q[:i]) for i in range(3))
        np.testing.assert_allclose(result["p1"].values, written, rtol=1e-10)
        states = [node.from_states.value for node in nodes]
        stages = [Dense(norm, error) for norm, error in zip(w, states, strict=True)]
        np.testing.assert_allclose(result["p0"].maximum, network_bound(stages, x).value, rtol=1e-10)
    restricted = np.zeros(count)
    for node, local in zip(nodes, local_norm, strict=True):
        for j in range(count):
            live = (node.inputs[j] != 0) | (node.compressed_inputs[j] != 0)
            restricted[j] = np.linalg.norm(node.weight[:, live], 2) * restricted[j] + local[j]
    np.testing.assert_allclose(result["p4"].values, restricted, rtol=1e-10)
    for rung in result.rungs:
        assert rung.bound.holds and (errors <= rung.values * (1 + 1e-9)).all()


@pytest.mark.parametrize("bias", [None, "kept", "quantized"])
def test_each_rung_is_tighter_than_the_one_before(bias):
    rng = np.random.default_rng(1)
    for _ in range(10):
        result = ladder(chain(rng, [8, 10, 6, 4], bias)[0])
        assert [rung.bound.name for rung in result.rungs] == ["p0", "p1", "p2", "p3", "p4"]
        for looser, tighter in zip(result.rungs[1:], result.rungs[2:], strict=False):
            assert (tighter.values <= looser.values * (1 + 1e-9)).all()


def residual(rng, after, bias=None, width=6, samples=20):
    z = other = rng.standard_normal((samples, width))
    nodes, parts = [], []
    for _ in range(2):
        w, v = quantized_layer(rng, width, width, bias), quantized_layer(rng, width, width, bias)
        h, k = relu(run(w, z)), relu(run(w, other, compressed=True))
        inner = LadderLayer(**w, inputs=z, compressed_inputs=other)
        outer = LadderLayer(**v, inputs=h, compressed_inputs=k)
        nodes.append(LadderBlock(inner, outer))
        parts.append((inner, outer))
        z, other = z + run(v, h), other + run(v, k, compressed=True)
        if after:
            z, other = relu(z), relu(other)
    return nodes, parts, np.linalg.norm(z - other, axis=1)


@pytest.mark.parametrize("after", [False, True])
def test_residual_blocks_against_the_formula(after):
    nodes, parts, errors = residual(np.random.default_rng(2), after)
    expected = np.zeros(len(errors))
    for inner, outer in parts:
        w, v = np.linalg.norm(inner.weight, 2), np.linalg.norm(outer.weight, 2)
        first = np.linalg.norm(inner.compressed_inputs @ (inner.weight - inner.quantized).T, axis=1)
        hidden = relu(inner.compressed_inputs @ inner.quantized.T)  # ρ(W̃ z̃)
        second = np.linalg.norm(hidden @ (outer.weight - outer.quantized).T, axis=1)
        expected = (1 + v * w) * expected + v * first + second
    result = ladder(nodes)
    np.testing.assert_allclose(result["p3"].values, expected, rtol=1e-10)
    for rung in result.rungs:
        assert (errors <= rung.values * (1 + 1e-9)).all()


@pytest.mark.parametrize("bias", ["kept", "quantized"])
def test_residual_blocks_with_biases(bias):
    nodes, _, errors = residual(np.random.default_rng(3), False, bias)
    for rung in ladder(nodes).rungs:
        assert rung.bound.holds and (errors <= rung.values * (1 + 1e-9)).all()


def test_what_holds_for_unseen_inputs_is_told_apart():
    result = ladder(chain(np.random.default_rng(0), [5, 6, 4])[0])
    assert [rung.unseen for rung in result.rungs] == [True, True, False, False, False]
    for name in ("p2", "p3", "p4"):
        assert "a statement about the 30 given inputs, not about unseen ones" in result[name].bound.because
    for name in ("p0", "p1"):
        assert "unseen" not in result[name].bound.because


def test_p1_covers_unseen_inputs():
    rng = np.random.default_rng(4)
    layers = [quantized_layer(rng, 6, 5), quantized_layer(rng, 4, 6)]
    x = rng.standard_normal((1, 5))
    nodes = [
        LadderLayer(**layers[0], inputs=x, compressed_inputs=x),
        LadderLayer(
            **layers[1], inputs=relu(run(layers[0], x)), compressed_inputs=relu(run(layers[0], x, compressed=True))
        ),
    ]
    other = rng.standard_normal((500, 5))
    other *= np.linalg.norm(x) / np.linalg.norm(other, axis=1, keepdims=True)
    outputs = [run(layers[1], relu(run(layers[0], other, c)), c) for c in (False, True)]
    errors = np.linalg.norm(outputs[0] - outputs[1], axis=1)
    assert errors.max() <= ladder(nodes)["p1"].maximum * (1 + 1e-9)


def test_summary_rows():
    nodes, _ = chain(np.random.default_rng(0), [5, 6, 4])
    rows = ladder(nodes, restricted_samples=8).summary()
    assert [row["name"] for row in rows] == ["p0", "p1", "p2", "p3", "p4"]
    assert [row["samples"] for row in rows] == [30, 30, 30, 30, 8]
    for row, rung in zip(rows, ladder(nodes, restricted_samples=8).rungs, strict=True):
        assert row["maximum"] == rung.values.max() == rung.bound.value
        assert row["mean"] == rung.values.mean()
        assert row["holds"] and row["uses"] and row["because"]
    np.testing.assert_array_equal(ladder(nodes, 8)["p4"].values, ladder(nodes)["p4"].values[:8])


def test_without_states_there_is_no_p0():
    nodes, _ = chain(np.random.default_rng(0), [5, 6, 4])
    nodes[1] = dataclasses.replace(nodes[1], from_states=None)
    result = ladder(nodes)
    assert [rung.bound.name for rung in result.rungs] == ["p1", "p2", "p3", "p4"]
    with pytest.raises(InputError, match="rung must be one of p1, p2, p3, p4, got 'p0'"):
        result["p0"]


def test_what_fails_is_named():
    nodes, _ = chain(np.random.default_rng(0), [5, 6, 4])
    walk = dataclasses.replace(Walk.harmonic(6, 37), tight=False, defect=0.1)
    loose = [dataclasses.replace(nodes[0], from_states=layer_bound_states(walk, 1.0, 0.1)), nodes[1]]
    result = ladder(loose)
    assert not result["p0"].bound.holds and "deviates by 0.1" in result["p0"].bound.because
    assert result["p1"].bound.holds
    shifted = [dataclasses.replace(nodes[0], compressed_inputs=nodes[0].inputs + 1), nodes[1]]
    for rung in ladder(shifted).rungs:
        assert not rung.bound.holds and "different inputs" in rung.bound.because
    broken = [nodes[0], dataclasses.replace(nodes[1], compressed_inputs=np.full_like(nodes[1].inputs, np.nan))]
    assert not ladder(broken)["p3"].bound.holds and "not finite" in ladder(broken)["p3"].bound.because


def test_arrays_that_do_not_fit_are_refused():
    w, x = np.ones((3, 2)), np.ones((4, 2))
    with pytest.raises(InputError, match=r"quantized must have the shape of weight \(3, 2\), got \(2, 3\)"):
        LadderLayer(w, w.T, x, x)
    with pytest.raises(InputError, match=r"inputs must have shape \(n, 2\), got \(4, 3\)"):
        LadderLayer(w, w, np.ones((4, 3)), np.ones((4, 3)))
    with pytest.raises(InputError, match="compressed_inputs must have the shape of inputs"):
        LadderLayer(w, w, x, x[:2])
    with pytest.raises(InputError, match=r"bias must have shape \(3,\), got \(2,\)"):
        LadderLayer(w, w, x, x, bias=np.ones(2))
    with pytest.raises(InputError, match="bias must be given where quantized_bias is"):
        LadderLayer(w, w, x, x, quantized_bias=np.ones(3))
    with pytest.raises(InputError, match="nodes must contain at least one layer"):
        ladder([])
    good = LadderLayer(w, w, x, x)
    fewer = LadderLayer(np.ones((2, 3)), np.ones((2, 3)), np.ones((3, 3)), np.ones((3, 3)))
    with pytest.raises(InputError, match=r"the same samples, got \[3, 4\]"):
        ladder([good, fewer])
    with pytest.raises(InputError, match="restricted_samples must be at least 1, got 0"):
        ladder([good], 0)
