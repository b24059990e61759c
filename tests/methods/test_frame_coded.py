"""Entropy-coded neurons: the walk against a plain program, its bound at every rate, and what is stored."""

import numpy as np
import pytest
import torch
from torch import nn

import sdqviz as sq
from sdqviz.path_following.coded_rows import code_rows, decode_coded, steps_of
from sdqviz.path_following.factor import factorize
from sdqviz.path_following.gram import Gram
from sdqviz.path_following.row_frame import RowFrame
from sdqviz.storage.bits import Packed

CODED = sq.METHODS["frame-coded"]


def network():
    torch.manual_seed(1)
    data = torch.randn(150, 12)
    data[:, 3] = 0.0
    return sq.Network(nn.Sequential(nn.Linear(12, 30), nn.ReLU(), nn.Linear(30, 4)), data), data.numpy()


@pytest.mark.parametrize("basis", ["frame", "pixels"])
def test_walk_is_the_plain_program(basis):
    rng = np.random.default_rng(0)
    inputs = rng.standard_normal((60, 9)) @ rng.standard_normal((9, 9))
    target = rng.standard_normal((9, 5))
    gram, frame = Gram.of(inputs, target), RowFrame(9, 1.0, 2) if basis == "frame" else None
    found = code_rows(gram, target, frame, 0.4, 0.02)
    matrix = np.eye(9) if frame is None else frame.analyze(np.eye(9)).T
    visit = np.argsort(-gram.squares, kind="stable") if frame is None else np.arange(9)
    factor = factorize((matrix @ gram.inputs @ matrix.T)[np.ix_(visit, visit)], 0.02)
    wanted = 0.4 * np.sqrt(gram.target.sum() / 45 / factor.pivots)
    step = steps_of(found.base, found.exponent)[visit]
    assert (step >= wanted * (1 - 1e-9)).all() and (step <= wanted * 2 ** (1 / 8) * (1 + 1e-6)).all()
    for j in range(5):
        y = (matrix @ target[:, j])[visit]
        q = np.empty(9)
        for n in range(9):
            q[n] = step[n] * np.floor((y[n] + factor.feedback[n, :n] @ (y[:n] - q[:n])) / step[n] + 0.5)
        np.testing.assert_array_equal(found.symbols[visit, j], np.rint(q / step))
    np.testing.assert_array_equal(decode_coded(frame, found.symbols, found.base, found.exponent), found.neurons)


@pytest.mark.parametrize("basis", ["frame", "pixels"])
def test_bound_holds_at_every_rate_and_finer_steps_take_more_bits(basis):
    given, data = network()
    reports = [
        sq.compress(given, CODED(rate=rate, basis=basis), calibration=data).report for rate in (0.001, 0.1, 0.5, 4.0)
    ]
    for report in reports:
        for row in report.layers:
            assert row.bound_holds and row.error <= row.bound and row.overload == 0
    bits = [report.bits_per_weight for report in reports]
    assert bits == sorted(bits, reverse=True) and bits[0] > 8
    assert [row.error for row in reports[0].layers] < [row.error for row in reports[1].layers]
    assert ("GPTQ + coder" in reports[0].note) == (basis == "pixels")


def test_everything_stored_is_counted():
    given, data = network()
    item = sq.compress(given, CODED(), calibration=data).layers[0]
    stream = item.stored["stream"].byte_count
    # 11 live coordinates with 8 bits for the step and 6 for the width, flags, frame, largest symbol, smallest step
    assert item.bits == 8 * (stream + 11 + 9 + 2) + 72 + 32 + 32


def test_a_stream_that_was_cut_or_changed_in_length_is_refused():
    given, data = network()
    item = sq.compress(given, CODED(), calibration=data).layers[0]
    shape = item.layer.weight.shape
    for wrong in (item.stored["stream"].values[:-4], item.stored["stream"].values[1:]):
        stored = {**item.stored, "stream": Packed(wrong, 8)}
        with pytest.raises(sq.InputError, match="must hold"):
            CODED.decode(stored, item.parameters, shape, 1)
    with pytest.raises(sq.InputError, match="steps and widths must be"):
        CODED.decode({**item.stored, "width": Packed(np.zeros(3, np.uint8), 6)}, item.parameters, shape, 1)
