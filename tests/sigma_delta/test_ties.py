"""Ties: levels must not hang on how coefficients were rounded."""

import numpy as np
import pytest

import sdqviz as sq


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
