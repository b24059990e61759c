"""Neurons in a frame of several parts: against Schur complements, the identity, and through the whole method."""

import numpy as np
import pytest
import torch
from torch import nn

import sdqviz as sq
from sdqviz.path_following.factor import factorize
from sdqviz.path_following.frame_parts import quantize_parts
from sdqviz.path_following.gram import Gram
from sdqviz.path_following.quantized_rows import multiples
from sdqviz.path_following.row_frame import RowFrame, parts_for
from sdqviz.storage.bits import step_up


def half_precision(step):
    return step_up(step, 16)


def layer(seed, width=11, neurons=4):
    rng = np.random.default_rng(seed)
    inputs = rng.standard_normal((60, width)) @ rng.standard_normal((width, width)) / np.sqrt(width)
    weights = rng.standard_normal((width, neurons))
    return inputs, weights, Gram.of(inputs, weights)


@pytest.mark.parametrize("redundancy", [0.5, 1.0, 1.7])
def test_a_frame_of_parts_is_the_sum_of_its_parts(redundancy):
    frame = RowFrame(11, redundancy, seed=2, parts=3)
    matrix = frame.analyze(np.eye(11)).T
    assert [cut.stop - cut.start for cut in frame.cuts] == [3, 4, 4] and matrix.shape == (frame.size, 11)
    begin = 0
    for piece, cut in zip(frame.pieces, frame.cuts, strict=True):
        own = RowFrame(cut.stop - cut.start, redundancy, seed=2)
        np.testing.assert_array_equal(matrix[begin : begin + piece.size, cut], own.analyze(np.eye(own.dimension)).T)
        begin += piece.size
    assert np.count_nonzero(matrix) <= sum(piece.size * piece.dimension for piece in frame.pieces)
    np.testing.assert_allclose(frame.synthesize(np.eye(frame.size)), matrix, atol=1e-12)
    with pytest.raises(sq.InputError, match="parts must be between 1 and the dimension 11, got 12"):
        RowFrame(11, parts=12)


@pytest.mark.parametrize("bits", [1, 3])
def test_parts_are_walked_towards_what_makes_up_for_those_before(bits):
    inputs, weights, gram = layer(bits)
    frame, half = RowFrame(11, 1.0, 3, parts=2), 2 ** (bits - 1)
    found = quantize_parts(gram, weights, lambda q: gram.error(weights, q), half_precision, frame, bits, damping=0.1)
    damped = gram.inputs + 0.1 * np.diagonal(gram.inputs).mean() * np.eye(11)
    one, two = frame.cuts
    schur = damped[one, one] - damped[one, two] @ np.linalg.solve(damped[two, two], damped[two, one])
    least = np.full(4, np.inf)
    for multiple in multiples(bits):
        step = half_precision(multiple * np.sqrt((frame.analyze(weights.T) ** 2).mean(axis=1)))
        quantized = np.zeros_like(weights)
        for cut, matrix, piece in zip((one, two), (schur, damped[two, two]), frame.pieces, strict=True):
            missed = weights[one] - quantized[one]
            passed = np.linalg.solve(damped[two, two], damped[two, one] @ missed) if cut is two else 0
            vectors = piece.analyze(np.eye(piece.dimension)).T
            factor, y = factorize(vectors @ matrix @ vectors.T, 0.0), vectors @ (weights[cut] + passed)
            q = np.zeros_like(y)
            for n in range(len(y)):
                v = y[n] + factor.feedback[n, :n] @ (y - q)[:n]
                q[n] = (np.clip(np.floor(v / step), -half, half - 1) + 0.5) * step
            quantized[cut] = vectors.T @ q
        least = np.minimum(least, ((inputs @ (weights - quantized)) ** 2).sum(axis=0))
    np.testing.assert_allclose(gram.error(weights, found.neurons.T), least, rtol=1e-9)


def test_c2_holds_over_all_parts_where_nothing_is_clipped():
    checked = 0
    for seed in range(30):
        _, weights, gram = layer(seed)
        frame = RowFrame(11, [1.0, 1.6][seed % 2], seed, parts=1 + seed % 4)
        found = quantize_parts(gram, weights, lambda q, g=gram, w=weights: g.error(w, q), half_precision, frame, 5)
        if not found.overload.any():
            allowed = found.pivots.sum() * found.step**2 / 4
            assert (gram.error(weights, found.neurons.T) <= allowed * (1 + 1e-9)).all()
            checked += 1
    assert checked > 10


def test_a_gram_matrix_above_the_memory_rule_is_split_and_the_report_says_so(monkeypatch, tmp_path):
    torch.manual_seed(0)
    data = torch.randn(90, 40) @ torch.randn(40, 40) / 6
    network = sq.Network(nn.Sequential(nn.Linear(40, 24), nn.ReLU(), nn.Linear(24, 5)), data)
    method = sq.METHODS["frame-calibrated"](bits=2, redundancy=2.0)
    whole = sq.compress(network, method, calibration=data)
    monkeypatch.setattr("sdqviz.memory.LIMIT", 30_000)  # 80 × 80 numbers take 51,200 bytes, 48 × 48 fit
    assert parts_for(40, 2.0) == 2 and parts_for(24, 2.0) == 1
    result = sq.compress(network, method, calibration=data)
    assert (
        "layer 0 in a frame of size 80 would not fit in memory, so its inputs are split over 2 groups"
        in result.report.note
    )
    assert "layer 2" not in result.report.note
    assert result.report.layers[0].relative_error < 1.5 * whole.report.layers[0].relative_error
    result.save(tmp_path / "a.sdq")
    monkeypatch.undo()
    again = sq.load(tmp_path / "a.sdq", network)
    np.testing.assert_array_equal(again.layers[0].weight, result.network.layers[0].weight)
    outputs = sq.runtime(tmp_path / "a.sdq", network, "popcount")(data)
    assert float((outputs - result.network.module(data)).norm() / outputs.norm()) < 0.05
