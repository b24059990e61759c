"""Frame quantization against a plain program written from the definition."""

import numpy as np
import pytest
import torch
from torch import nn

import sdqviz as sq


def naive_layer(weight, vectors, order, bits, step):
    """Quantize the columns of ``weight`` with loops only; ``step`` is one number a column."""
    size, dimension = vectors.shape
    half = 2 ** (bits - 1)
    result = np.zeros_like(weight)
    for j in range(weight.shape[1]):
        u = 0.0
        for n in order:
            x = float(np.dot(weight[:, j], vectors[n]))
            level = min(max(np.floor((u + x) / step[j]), -half), half - 1)
            q = (level + 0.5) * step[j]
            u = u + x - q
            result[:, j] += dimension / size * q * vectors[n]
    return result


def one_layer(rows=6, columns=9, seed=0, bias=False):
    torch.manual_seed(seed)
    return sq.Network(nn.Sequential(nn.Linear(columns, rows, bias=bias)), torch.randn(4, columns))


@pytest.mark.parametrize("rule", ["norm-global", "norm-layer", "range-layer", "range-column"])
@pytest.mark.parametrize("bits", [1, 2, 5])
@pytest.mark.parametrize("permutation", ["identity", "random"])
def test_weights_equal_those_of_the_plain_program(rule, bits, permutation):
    network = one_layer()
    weight = network.layers[0].weight
    method = sq.METHODS["frame"](size=32, bits=bits, step_rule=rule, permutation=permutation)
    result = sq.compress(network, method, seed=5)
    frame = sq.FRAMES["harmonic"](dimension=6, size=32).build()
    order = sq.PERMUTATIONS[permutation]().order(frame, seed=5)
    radius = 2 ** (bits - 1) - 0.5
    reach = {
        "norm-global": np.full(9, np.linalg.norm(weight, axis=0).max()),
        "norm-layer": np.full(9, np.linalg.norm(weight, axis=0).max()),
        "range-layer": np.full(9, np.abs(frame.vectors @ weight).max()),
        "range-column": np.abs(frame.vectors @ weight).max(axis=0),
    }[rule]
    step = result.layers[0].step
    np.testing.assert_allclose(np.broadcast_to(step, 9), reach / radius, rtol=3e-7)  # rounded up to float32
    assert (np.broadcast_to(step, 9) * radius >= reach * (1 - 1e-15)).all()
    expected = naive_layer(weight, frame.vectors, order, bits, np.broadcast_to(step, 9))
    np.testing.assert_allclose(result.layers[0].weight, expected, atol=1e-12)
    assert result.report.layers[0].overload == 0


def test_global_rule_takes_the_largest_norm_of_all_layers():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(7, 6, bias=False), nn.ReLU(), nn.Linear(6, 5, bias=False))
    with torch.no_grad():
        module[2].weight.mul_(10)
    network = sq.Network(module, torch.zeros(1, 7))
    norm = max(np.linalg.norm(layer.weight, axis=0).max() for layer in network.layers)
    report = sq.compress(network, sq.METHODS["frame"](size=20, step_rule="norm-global")).report
    np.testing.assert_allclose([row.step for row in report.layers], 2 * norm, rtol=3e-7)


def test_rows_are_the_columns_of_the_transpose():
    network = one_layer()
    flipped = nn.Sequential(nn.Linear(6, 9, bias=False))
    with torch.no_grad():
        flipped[0].weight.copy_(network.module[0].weight.T)
    method = {"size": 25, "bits": 2, "step_rule": "range-column"}
    rows = sq.compress(network, sq.METHODS["frame"](axis="rows", **method))
    columns = sq.compress(sq.Network(flipped, torch.zeros(1, 6)), sq.METHODS["frame"](axis="columns", **method))
    np.testing.assert_array_equal(rows.layers[0].weight, columns.layers[0].weight.T)


def test_bits_are_counted_by_hand():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(20, 8, bias=True), nn.ReLU(), nn.Linear(8, 4, bias=False))
    network = sq.Network(module, torch.zeros(1, 20))
    report = sq.compress(network, sq.METHODS["frame"](size=16, bits=2, step_rule="range-column")).report
    first, second = report.layers
    # levels 20·16·2 and 8·16·2 bits, one 32-bit step a column, 72 bits to name frame, N and seed
    assert first.bits == 20 * 16 * 2 + 20 * 32 + 72
    assert second.bits == 8 * 16 * 2 + 8 * 32 + 72
    assert first.bits_per_weight == first.bits / 160
    kept = 8 * 32  # the biases stay in float
    assert report.bits_per_weight == (first.bits + second.bits + kept) / (160 + 32 + 8)
    assert report.bytes == (first.bits + second.bits + kept) // 8


def test_step_by_hand_that_is_too_small_is_flagged_and_still_runs():
    report = sq.compress(one_layer(), sq.METHODS["frame"](size=32, bits=1, step=1e-3)).report
    row = report.layers[0]
    assert row.overload > 0
    assert row.unstable > 0
    assert not row.bound_holds
    assert "range" in row.bound_because


def test_other_bits_and_sizes_by_layer():
    torch.manual_seed(0)
    network = sq.Network(nn.Sequential(nn.Linear(7, 6), nn.ReLU(), nn.Linear(6, 5)), torch.zeros(1, 7))
    method = sq.METHODS["frame"](size=20, bits=1, bits_by_layer={"2": 3}, size_by_layer={"0": 33})
    rows = sq.compress(network, method).report.layers
    assert [(row.size, row.levels) for row in rows] == [(33, 2), (20, 8)]
    with pytest.raises(sq.InputError, match=r"bits_by_layer must name layers .* got 'x'"):
        sq.compress(network, sq.METHODS["frame"](bits_by_layer={"x": 3}))


def test_bad_choices_are_refused_in_one_sentence():
    with pytest.raises(sq.InputError, match="either size or redundancy"):
        sq.METHODS["frame"](size=10, redundancy=2.0)
    with pytest.raises(sq.InputError, match=r"layer 0: size must be at least 7 for dimension 6, got 6"):
        sq.compress(one_layer(), sq.METHODS["frame"](size=6))
    with pytest.raises(sq.InputError, match="power of two"):
        sq.compress(one_layer(), sq.METHODS["frame"](size=24, frame="hadamard"))
    with pytest.raises(sq.InputError, match="step must be"):
        sq.METHODS["frame"](step=0.0)
    with pytest.raises(sq.InputError, match="bits must be at least 1, got 0"):
        sq.METHODS["frame"](bits=0)


def test_huge_frames_are_refused_before_anything_is_allocated():
    torch.manual_seed(0)
    network = sq.Network(nn.Sequential(nn.Linear(4096, 6, bias=False)), torch.zeros(1, 4096))
    with pytest.raises(sq.InputError, match="GiB"):
        sq.compress(network, sq.METHODS["frame"](size=1 << 20))


def test_fewer_than_three_rows_makes_the_papers_lemma_inapplicable_but_not_the_spectral_bound():
    result = sq.compress(one_layer(rows=2), sq.METHODS["frame"](size=32, bits=2), seed=0)
    bounds = {item.name: item for item in result.layers[0].bounds}
    assert not any(item.holds for name, item in bounds.items() if name == "lemma-5-1")
    assert result.report.layers[0].bound_holds
    assert result.report.layers[0].error <= result.report.layers[0].bound


def test_walk_states_are_those_of_the_run():
    from sdqviz.methods.frame_states import walk_states

    network = one_layer()
    result = sq.compress(network, sq.METHODS["frame"](size=32, bits=1, permutation="random"), seed=5)
    walk, states = walk_states(result.layers[0])
    frame = sq.FRAMES["harmonic"](dimension=6, size=32).build()
    order = sq.PERMUTATIONS["random"]().order(frame, seed=5)
    coefficients = (frame.vectors @ network.layers[0].weight)[order].T
    trace = sq.SigmaDelta(bits=1, step=float(result.layers[0].step[0])).run(coefficients)
    np.testing.assert_allclose(states, trace.state, atol=1e-12)
    assert walk.variation == pytest.approx(frame.variation(order))
