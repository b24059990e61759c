"""Ties: levels must not hang on how coefficients were rounded."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sdqviz as sq
from sdqviz.kernels.first_order import STEPS
from sdqviz.kernels.vectors import LANES
from sdqviz.sigma_delta.recursion import TIE, walk_rows


@pytest.mark.parametrize(("dimension", "size"), [(4, 5), (2, 3), (8, 9), (8, 33)])
@pytest.mark.parametrize("shuffled", [False, True])
def test_fast_and_dense_coefficients_give_the_same_levels(dimension, size, shuffled):
    x = np.random.default_rng(0).standard_normal((400, dimension))
    frame = sq.FRAMES["harmonic"](dimension=dimension, size=size).build()
    walk = np.random.default_rng(1).permutation(size) if shuffled else np.arange(size)
    fast, dense = frame.analyze(x)[:, walk], (x @ np.array(frame.vectors).T)[:, walk]
    step = float(np.abs(fast).max()) / 1.5
    ours, theirs = (sq.SigmaDelta(bits=2, step=step).run(values) for values in (fast, dense))
    np.testing.assert_array_equal(ours.quantized, theirs.quantized)
    # Σe_n = 0 and N odd: the last argument lies on a threshold in every walk
    assert (ours.ties >= 1).all() and (np.abs(ours.state[:, -1]) == pytest.approx(step / 2, rel=1e-9))


def test_no_tie_where_the_size_is_even():
    x = np.random.default_rng(0).standard_normal((400, 4))
    frame = sq.FRAMES["harmonic"](dimension=4, size=6).build()
    trace = sq.SigmaDelta(bits=2, step=3.0).run(frame.analyze(x))
    assert not trace.ties.any() and np.abs(trace.state[:, -1]).max() < 1e-9


def test_near_ties_go_up_and_are_counted():
    trace = sq.SigmaDelta(bits=2, step=1.0, order=0).run([[1 - 1e-10, 1 - 1e-8, -1e-12, 1e-12, 0.4, 2.0]])
    np.testing.assert_array_equal(trace.quantized, [[1.5, 0.5, 0.5, 0.5, 0.5, 1.5]])
    np.testing.assert_array_equal(trace.ties, [3])  # 2.0 is the end of the range, not a threshold between levels


def plain_walk(row, bits, step):
    """First-order ΣΔ in plain floats: what lies near a threshold goes up and is counted."""
    half, u = 2 ** (bits - 1), 0.0
    steps = []
    for x in row:
        v = u + float(x)
        near = TIE * max(abs(v), step)
        k = min(max(math.floor((v + near) / step), -half), half - 1)
        u = v - (k + 0.5) * step
        threshold = round(v / step)
        tied = abs(v - threshold * step) <= near and abs(threshold) < half
        steps.append((k + half, (k + 0.5) * step, u, abs(v) > half * step + near, tied))
    return [np.array(part) for part in zip(*steps, strict=True)]


@settings(max_examples=60)
@given(
    rows=st.integers(1, LANES + 9),
    length=st.integers(1, 70) | st.integers(STEPS - 3, STEPS + 9),
    bits=st.sampled_from([1, 2, 3, 5, 9, 16]),
    step=st.sampled_from([0.1, 1.0, 3.7e-5, 1e-290, 5e-324, 1e300]),
    off=st.sampled_from([0.0, 1e-16, 1e-12, 0.99e-9, 1.01e-9, 1e-7]),
    spread=st.floats(0, 1),
    seed=st.integers(0, 2**32 - 1),
)
def test_every_level_state_and_count_is_the_plain_loops(rows, length, bits, step, off, spread, seed):
    rng = np.random.default_rng(seed)
    half = 2 ** (bits - 1)
    # some values on the lattice of thresholds and levels, a little off it, the others anywhere and out of range
    lattice = rng.integers(-2 * half, 2 * half + 1, (rows, length)) / 2 * (1 + off * rng.choice([-1, 0, 1], length))
    values = np.where(rng.random((rows, length)) < spread, rng.uniform(-half, half, (rows, length)), lattice)
    values *= step if step < 1e200 else step / half
    trace = sq.SigmaDelta(bits, step).run(values)
    index, ties = np.empty(values.shape, np.uint16), np.empty(rows, np.int64)
    walk_rows(values, bits, np.full(rows, step), out=np.empty_like(values), index=index, tie=TIE, ties=ties)
    for row in range(rows):
        level, quantized, state, over, tied = plain_walk(values[row], bits, step)
        np.testing.assert_array_equal(index[row], level)
        np.testing.assert_array_equal(trace.quantized[row], quantized)
        np.testing.assert_array_equal(trace.state[row], state)
        assert (trace.overload[row], trace.ties[row], ties[row]) == (over.sum(), tied.sum(), tied.sum())
