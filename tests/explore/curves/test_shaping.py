"""The subject of all orders: against the public calls, its crossover, and the slopes of its orders."""

import numpy as np
import pytest

import sdqviz as sq
from sdqviz.error import InputError
from sdqviz.explore.bounds.words import look_sentence
from sdqviz.explore.curves.curve import Sweep
from sdqviz.explore.curves.line import Fit, medians
from sdqviz.explore.curves.shaping import BETA, FITTED, ORDER_0_BOUND, ShapedVector


@pytest.mark.parametrize("order", [0, 1, 3])
@pytest.mark.parametrize("dual", ["canonical", "sobolev"])
def test_a_point_is_what_the_public_calls_give(order, dual):
    subject = ShapedVector(order=order, dual=dual, size=60, dimension=6, draws=4, bits=4, permutation="random")
    point = subject.measure(seed=2)
    vectors = np.random.default_rng([2, 21, 6]).standard_normal((4, 6))
    vectors /= np.linalg.norm(vectors, axis=1)[:, None]
    frame = sq.FRAMES["harmonic"](dimension=6, size=60).build(2)
    walk = sq.PERMUTATIONS["random"]().order(frame, 2)
    for x, measured, bound in zip(vectors, point.measured, point.promises[0].values, strict=True):
        y = frame.analyze(x)[walk]
        taps = sq.SigmaDelta(4, 1.0, order).taps
        step = np.abs(y).max() / taps.reach(4)
        q = np.empty(60)
        q[walk] = sq.SigmaDelta(4, step, order).run(y).quantized
        built = sq.DUALS[dual]().build(frame, taps, walk)
        np.testing.assert_allclose(np.linalg.norm(x - built.synthesize(q)), measured, rtol=1e-6, atol=1e-9)
        np.testing.assert_allclose(built.error_norm(taps) * np.sqrt(60) * step / 2, bound, rtol=1e-9)
    assert point.promises[0].holds.all() and (point.measured <= point.promises[0].values).all()
    assert {f"order {k}" for k in range(5) if k != order} <= set(point.beside)
    assert (point.beside[FITTED] <= point.measured * (1 + 1e-12)).all()
    assert (point.beside[BETA] < point.measured).all()  # exponential in the bits


def test_order_1_proves_more_than_order_0_from_three_times_the_dimension_on():
    below, above = (
        ShapedVector(order=1, dimension=32, size=size, bits=5, frame="half-frequency").measure(0) for size in (80, 112)
    )
    assert np.median(below.promises[0].values / below.beside[ORDER_0_BOUND]) > 1
    assert np.median(above.promises[0].values / above.beside[ORDER_0_BOUND]) < 1
    assert [mark.value for mark in ShapedVector(dimension=32).marks("size")] == [96]
    assert ShapedVector(permutation="random").marks("size") == ShapedVector().marks("bits") == ()


def test_a_step_below_the_stable_one_errs_less_with_few_levels_and_its_bound_lapses():
    few = ShapedVector(order=0, bits=1, dimension=256, size=256, frame="half-frequency", draws=20).measure(0)
    assert np.median(few.beside[FITTED]) < 0.8 * np.median(few.measured)
    vectors = np.random.default_rng([0, 21, 256]).standard_normal((20, 256))
    y = sq.FRAMES["half-frequency"](dimension=256, size=256).build(0).analyze(vectors[0] / np.linalg.norm(vectors[0]))
    steps = np.abs(y).max() * np.concatenate([np.geomspace(0.2, 0.9, 8), [1.0]])  # an orthonormal basis: errors are y's
    least = min(np.linalg.norm(np.where(y >= 0, step, -step) / 2 - y) for step in steps)
    np.testing.assert_allclose(few.beside[FITTED][0], least, rtol=1e-9)


def test_orders_have_their_slopes():
    curve = Sweep(ShapedVector(order=1, dimension=8, draws=20, frame="harmonic"), "size", 32, 256, 6).run()
    assert curve.violations == () and curve.comparisons > 0
    assert curve.fit.slope < -1 and curve.bound_fit.slope < -0.9
    told = look_sentence(curve)
    assert all(f"order {k} −{k}." in told for k in (2, 3)) and "order 0 −0." in told
    assert "β-expansion" not in told  # halves with every bit: no power of N
    for order in (2, 3):
        slope = Fit.through(curve.x, medians(curve.beside[f"order {order}"])).slope
        assert slope < -order + 0.1, (order, slope)
    assert curve.rate.exponent == -1


def test_orders_that_so_few_levels_do_not_bear_are_refused_or_left_out():
    with pytest.raises(InputError, match="bits must be at least 3 for order 3"):
        ShapedVector(order=3, bits=2)
    curve = Sweep(ShapedVector(order=2, dimension=4, size=30, draws=2), "bits", 1, 4, 4)
    assert [value for value, _ in curve.settings] == [2, 3, 4]
    assert "order 4" not in ShapedVector(order=1, bits=2, dimension=4, size=30).measure(0).beside
    assert "order 2" in ShapedVector(order=1, bits=1, filter="minimal-support", size=60, dimension=4).measure(0).beside
