"""Every dual inverts analysis, and its errors keep to the one theorem on shaped noise, for every filter and frame."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sdqviz as sq
from sdqviz.error import InputError
from sdqviz.frames.signs import signed
from sdqviz.sigma_delta.duals.dual import filtered, shaped_dual
from sdqviz.sigma_delta.duals.transformed import Transformed
from sdqviz.sigma_delta.filters import FILTERS
from sdqviz.sigma_delta.taps import FIRST, Taps, difference

NAMES = sorted(sq.DUALS)


def frame_of(name, dimension, size):
    family = sq.FRAMES[name]
    return family(dimension=dimension, size=family.admissible_size(dimension, size)).build(seed=1)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("family", ["harmonic", "half-frequency", "random", "hadamard"])
@pytest.mark.parametrize("order", [0, 1, 2, 3])
@pytest.mark.parametrize("shuffled", [False, True])
def test_a_dual_inverts_analysis(name, family, order, shuffled):
    frame = frame_of(family, 6, 25)
    walk = np.random.default_rng(0).permutation(frame.size) if shuffled else None
    dual = sq.DUALS[name]().build(frame, difference(order), walk)
    x = np.random.default_rng(order).standard_normal((3, 2, 6))
    np.testing.assert_allclose(dual.synthesize(frame.analyze(x)), x, atol=1e-14 * dual.condition + 1e-13)


def test_the_canonical_dual_is_what_frames_synthesize_with():
    levels = np.random.default_rng(0).standard_normal((5, 25))
    for frame in (frame_of("harmonic", 6, 25), sq.FRAMES["given"]().build()):
        q = levels[:, : frame.size] if frame.size <= 25 else np.resize(levels, (5, frame.size))
        dual = sq.DUALS["canonical"]().build(frame, FIRST)
        np.testing.assert_allclose(dual.synthesize(q), frame.synthesize(q), rtol=1e-10, atol=1e-12)


def matrix_of(taps, size):
    """H as a matrix, entry by entry."""
    h = np.eye(size)
    for lag, weight in zip(taps.lags, taps.weights, strict=True):
        h -= float(weight) * np.eye(size, k=-lag)
    return h


@pytest.mark.parametrize("name", ["canonical", "sobolev", "matched"])
@pytest.mark.parametrize(("filter_name", "order"), [("greedy", 1), ("greedy", 3), ("minimal-support", 2)])
def test_the_norm_is_that_of_the_matrices(name, filter_name, order):
    frame, taps = frame_of("half-frequency", 6, 40), FILTERS[filter_name]().taps(order, 4)
    walk = np.random.default_rng(3).permutation(frame.size)
    e, h, d = frame.vectors[walk], matrix_of(taps, frame.size), matrix_of(FIRST, frame.size)
    inverse = {"canonical": np.eye(frame.size), "sobolev": np.linalg.matrix_power(d, order), "matched": h}[name]
    left = np.linalg.pinv(np.linalg.solve(inverse, e)) @ np.linalg.inv(inverse)
    dual = sq.DUALS[name]().build(frame, taps, walk)
    np.testing.assert_allclose(dual.error_norm(taps), np.linalg.norm(left @ h, 2), rtol=1e-6)
    if name == "matched":
        smallest = np.linalg.svd(np.linalg.solve(h, e), compute_uv=False)[-1]
        np.testing.assert_allclose(dual.error_norm(taps), 1 / smallest, rtol=1e-6)
    q = np.random.default_rng(4).standard_normal((2, frame.size))
    np.testing.assert_allclose(dual.synthesize(q), q[:, walk] @ left.T, rtol=1e-6, atol=1e-7)


@settings(max_examples=150)
@given(
    st.sampled_from(NAMES), st.sampled_from(sorted(FILTERS)), st.integers(0, 4), st.integers(1, 5),
    st.sampled_from(["harmonic", "half-frequency", "random"]), st.sampled_from([2, 4, 6]), st.integers(2, 60),
    st.booleans(), st.integers(0, 2**32 - 1),
)  # fmt: skip
def test_no_walk_exceeds_the_theorem(name, filter_name, order, bits, family, dimension, extra, shuffled, seed):
    rng = np.random.default_rng(seed)
    try:
        taps = FILTERS[filter_name]().taps(order, bits)
        frame = frame_of(family, dimension, dimension + extra)
        walk = rng.permutation(frame.size) if shuffled else None
        dual = sq.DUALS[name]().build(frame, taps, walk)
    except InputError:
        return
    x = rng.standard_normal((8, dimension))
    y = frame.analyze(x) if walk is None else frame.analyze(x)[:, walk]
    step = float(np.abs(y).max()) / taps.reach(bits)
    trace = sq.SigmaDelta(bits, step, order, filter_name).run(y)
    assert trace.stable and np.abs(trace.state).max() <= step / 2 * (1 + 1e-7)
    q = np.empty_like(y)
    q[:, np.arange(frame.size) if walk is None else walk] = trace.quantized
    error = np.linalg.norm(x - dual.synthesize(q), axis=1)
    norm, noise = dual.error_norm(taps), 1e-13 * dual.condition * np.linalg.norm(x)
    assert (error <= norm * np.sqrt(frame.size) * step / 2 * (1 + 1e-7) + noise).all()
    assert np.linalg.norm(x - dual.synthesize(q), 2) <= norm * np.linalg.norm(trace.state, 2) * (1 + 1e-7) + noise


def test_the_matched_dual_has_the_smallest_bound():
    frame, taps = frame_of("harmonic", 8, 100), FILTERS["minimal-support"]().taps(2, 1)
    norms = {name: sq.DUALS[name]().build(frame, taps).error_norm(taps) for name in NAMES}
    assert norms["matched"] == min(norms.values()) and norms["matched"] < norms["canonical"]


def test_a_frame_too_badly_conditioned_is_refused_with_the_numbers(monkeypatch):
    monkeypatch.setattr("sdqviz.sigma_delta.duals.dual.WORST_CONDITION", 1e-10)
    frame = frame_of("harmonic", 50, 60)
    sentence = r"condition number of D\^\(−4\)E must be at most 4.5e\+05, got .*e\+0[678] for d = 50, N = 60: take"
    with pytest.raises(InputError, match=sentence):
        sq.DUALS["sobolev"]().build(frame, difference(4))
    assert sq.DUALS["sobolev"]().build(frame, difference(1)).condition < 4.5e5


def test_a_dual_too_large_for_memory_is_refused(monkeypatch):
    monkeypatch.setattr("sdqviz.memory.LIMIT", 1000)
    with pytest.raises(InputError, match="the dual of this frame must fit"):
        sq.DUALS["canonical"]().build(frame_of("harmonic", 6, 40), FIRST)


def test_a_dual_is_built_once_for_a_frame_an_order_and_a_filter():
    frame, dual = frame_of("harmonic", 4, 30), sq.DUALS["sobolev"]()
    walk = np.random.default_rng(0).permutation(frame.size)
    assert dual.build(frame, FIRST) is dual.build(frame, difference(1))
    assert dual.build(frame, FIRST) is not dual.build(frame, difference(2))
    assert dual.build(frame, FIRST) is not dual.build(frame, FIRST, walk)
    with pytest.raises(InputError, match="the last axis must have length"):
        dual.build(frame, FIRST).synthesize(np.zeros(3))


def test_filters_are_inverted_along_the_last_axis():
    x = np.random.default_rng(0).standard_normal((3, 20))
    taps = FILTERS["minimal-support"]().taps(2, 1)
    np.testing.assert_allclose(filtered(x, taps.polynomial) @ matrix_of(taps, 20).T, x, atol=1e-12)
    assert filtered(x, Taps(0).polynomial) is x


@pytest.mark.parametrize(("filter_name", "bits"), [("greedy", 4), ("minimal-support", 1)])
def test_long_walks_of_order_4_are_inverted_to_the_last_digits(filter_name, bits):
    taps = FILTERS[filter_name]().taps(4, bits)
    x = np.random.default_rng(3).standard_normal(4001)
    exact = [Fraction(value) for value in x.tolist()]
    for n in range(len(exact)):  # u_n = y_n + Σ_j h_j u_{n−n_j}, rounded to 60 digits
        back = zip(taps.lags, taps.weights, strict=True)
        exact[n] += sum((weight * exact[n - lag] for lag, weight in back if lag <= n), Fraction(0))
        exact[n] = Fraction(round(exact[n] * 2**200), 2**200)
    wanted = np.array([float(value) for value in exact])
    np.testing.assert_allclose(filtered(x, taps.polynomial), wanted, atol=1e-12 * np.abs(wanted).max())


# -- rates ------------------------------------------------------------------------------------------------


def slopes(dimension, orders, draws):
    """Slopes of log error and log bound on log N, greedy with 2^(r+1) levels, N/d in 2, 3, 4, 6, 8."""
    found = {}
    sizes = [dimension * k for k in (2, 3, 4, 6, 8)]
    x = np.random.default_rng(0).standard_normal((draws, dimension))
    frames = [sq.FRAMES["harmonic"](dimension=dimension, size=size).build() for size in sizes]
    largest = max(float(np.abs(frame.analyze(x)).max()) for frame in frames)
    for order in orders:
        rows = []
        for size, frame in zip(sizes, frames, strict=True):
            taps, y = difference(order), frame.analyze(x)
            dual = sq.DUALS["sobolev"]().build(frame, taps)
            step = largest / taps.reach(order + 1)
            trace = sq.SigmaDelta(order + 1, step, order).run(y)
            error = np.linalg.norm(x - dual.synthesize(trace.quantized), axis=1)
            rows.append((error.mean(), dual.error_norm(taps) * np.sqrt(size) * step / 2))
            assert (error <= rows[-1][1]).all()
        found[order] = tuple(np.polyfit(np.log(sizes), np.log(column), 1)[0] for column in zip(*rows, strict=True))
    return found


def test_each_order_gains_a_power_of_the_size():
    for order, (error, bound) in slopes(8, (1, 2, 3, 4), 60).items():
        assert error < -order - 0.05, (order, error)
        assert bound < -0.9 * order, (order, bound)


@pytest.mark.slow
@pytest.mark.parametrize("dimension", [32, 128])
def test_the_slopes_of_orders_one_to_four(dimension):
    expected = {1: -1.45, 2: -2.35, 3: -3.3, 4: -4.25}
    for order, (error, bound) in slopes(dimension, (1, 2, 3, 4), 100).items():
        assert error == pytest.approx(expected[order], abs=0.25), (order, error)
        assert bound < -0.9 * order, (order, bound)


# -- by transforms ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("family", "dimension", "size"), [("harmonic", 64, 257), ("half-frequency", 256, 300)])
@pytest.mark.parametrize(("order", "precision"), [(1, 1e-12), (2, 1e-9)])
def test_transforms_give_the_dual_that_qr_gives(family, dimension, size, order, precision):
    taps, rng = difference(order), np.random.default_rng(order)
    frame = signed(frame_of(family, dimension, size), 5)
    fast, exact = sq.DUALS["sobolev"]().build(frame, taps), shaped_dual(frame, None, taps.polynomial, "E")
    assert isinstance(fast, Transformed)
    y = frame.analyze(rng.standard_normal((3, 2, dimension)))
    trace = sq.SigmaDelta(6, float(np.abs(y).max()) / taps.reach(6), order).run(y)
    expected = exact.synthesize(trace.quantized)
    assert np.linalg.norm(fast.synthesize(trace.quantized) - expected) <= precision * np.linalg.norm(expected)
    np.testing.assert_allclose(fast.condition, exact.condition, rtol=1e-9)
    for other in (taps, FILTERS["minimal-support"]().taps(order, 4)):
        np.testing.assert_allclose(fast.error_norm(other), exact.error_norm(other), rtol=1e-7)


def test_transforms_serve_where_they_can_and_matrices_elsewhere():
    frame, sobolev, matched = frame_of("half-frequency", 128, 200), sq.DUALS["sobolev"](), sq.DUALS["matched"]()
    assert isinstance(matched.build(frame, FIRST), Transformed) and frame.harmonic is not None
    shuffled = np.random.default_rng(0).permutation(200)
    others = [(frame, difference(3), None), (frame, FIRST, shuffled), (frame_of("random", 128, 200), FIRST, None)]
    others += [(frame_of(*one), FIRST, None) for one in [("half-frequency", 16, 40), ("harmonic", 129, 200)]]
    for other, taps, order in others:  # the last one's first coordinate is constant
        assert not isinstance(sobolev.build(other, taps, order), Transformed)


def test_of_two_duals_the_smaller_bound_is_taken():
    near, far = frame_of("half-frequency", 16, 16), frame_of("half-frequency", 16, 160)
    taps = difference(2)
    for frame, same in ((near, True), (far, False)):
        norms = {name: sq.DUALS[name]().build(frame, taps).error_norm(taps) for name in NAMES}
        assert norms["smaller"] <= 1.02 * min(norms["canonical"], norms["matched"]) * (1 + 1e-12)
        assert (norms["smaller"] == norms["canonical"]) is same
