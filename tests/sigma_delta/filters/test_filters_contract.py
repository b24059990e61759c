"""Every filter: exact differences of its order, stability as promised, refusals that name what is needed."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest

import sdqviz as sq
from sdqviz.error import InputError
from sdqviz.sigma_delta.filters import FILTERS
from sdqviz.sigma_delta.filters.minimal_support import MinimalSupport, minimal_taps
from sdqviz.sigma_delta.taps import Taps, difference, divide

CASES = [(name, order, bits) for name in sorted(FILTERS) for order in range(5) for bits in (1, 2, 5)]


def taps_of(name, order, bits):
    try:
        return FILTERS[name]().taps(order, bits)
    except InputError:
        pytest.skip("not stable with so few levels")


@pytest.mark.parametrize(("name", "order", "bits"), CASES)
def test_the_filter_is_a_difference_of_its_order(name, order, bits):
    taps = taps_of(name, order, bits)
    assert taps.order == order
    product = [Fraction(0)] * len(taps.polynomial)
    for i, a in enumerate(taps.quotient):
        for j, b in enumerate(difference(order).polynomial):
            product[i + j] += a * b
    assert tuple(product) == taps.polynomial
    assert all(sum(p * n**k for n, p in enumerate(taps.polynomial)) == 0 for k in range(order))  # moments vanish


@pytest.mark.parametrize(("name", "order", "bits"), CASES)
def test_the_promise_of_stability_is_kept(name, order, bits):
    taps, step = taps_of(name, order, bits), 0.37
    rng = np.random.default_rng(order + 10 * bits)
    for values in (rng.uniform(-1, 1, (40, 300)), np.sign(rng.standard_normal((40, 300)))):
        x = values * taps.reach(bits) * step
        trace = sq.SigmaDelta(bits, step, order, FILTERS[name]()).run(x)
        assert trace.stable and not trace.overload.any(), trace.reason
        assert np.abs(trace.state).max() <= step / 2 * (1 + 1e-7)


def plain(x, bits, step, taps):
    """The recursion as it is written, one value at a time."""
    half, states, levels = 2 ** (bits - 1), [], []
    for n, value in enumerate(x):
        v = value
        for lag, h in zip(taps.lags, taps.weights, strict=True):
            v += float(h) * (states[n - lag] if n >= lag else 0.0)
        q = (min(max(math.floor(v / step), -half), half - 1) + 0.5) * step
        levels.append(q)
        states.append(v - q)
    return levels, states


@pytest.mark.parametrize(("name", "order", "bits"), CASES)
def test_the_compiled_walk_is_the_plain_loop(name, order, bits):
    taps = taps_of(name, order, bits)
    x = np.random.default_rng(order).standard_normal((19, 150)) * 0.2
    trace = sq.SigmaDelta(bits, 0.5, order, name).run(x)
    for row, levels, states in zip(x, trace.quantized, trace.state, strict=True):
        expected = plain(row, bits, 0.5, taps)
        np.testing.assert_array_equal(levels, expected[0])
        np.testing.assert_array_equal(states, expected[1])
    assert not trace.ties.any()


@pytest.mark.parametrize(
    ("order", "room", "lags", "norm", "quotient"),
    [
        (2, 0.05, (1, 4), Fraction(5, 3), 2),
        (2, 0.1, (1, 4), Fraction(5, 3), 2),
        (2, 0.2, (1, 5), Fraction(3, 2), Fraction(5, 2)),
        (2, 0.25, (1, 5), Fraction(3, 2), Fraction(5, 2)),
        (3, 0.05, (1, 5, 12), None, 10),
        (3, 0.1, (1, 5, 14), Fraction(16, 9), Fraction(70, 6)),
        (3, 0.2, (1, 6, 18), Fraction(8, 5), 18),
        (3, 0.25, (1, 7, 21), Fraction(3, 2), Fraction(147, 6)),
        (4, 0.1, (1, 6, 18, 28), Fraction(9, 5), 126),
        (4, 0.25, (1, 9, 26, 44), None, 429),
    ],
)
def test_minimal_filters_of_one_bit(order, room, lags, norm, quotient):
    taps = MinimalSupport(room=room).taps(order, bits=1)
    assert taps.lags == lags
    assert norm is None or taps.norm == norm
    assert min(taps.quotient) >= 0 and sum(taps.quotient) == quotient == Fraction(
        math.prod(lags), math.factorial(order)
    )
    assert taps.reach(1) >= room


def test_no_shorter_filter_leaves_the_room():
    for room in (0.05, 0.2, 0.3):
        best = math.prod(MinimalSupport(room=room).taps(3, bits=1).lags)
        for lags in itertools.combinations(range(2, 25), 2):
            if math.prod(lags) < best:
                assert minimal_taps((1, *lags)).norm > 2 * (1 - Fraction(repr(room)))


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: minimal_taps((2, 3)), "lags must begin at 1, got 2, 3"),
        (lambda: minimal_taps(()), "lags must begin at 1, got none"),
        (lambda: minimal_taps((1, 4, 4)), "lags must increase, got 1, 4, 4"),
        (lambda: Taps(1, (0,), (Fraction(1),)), "lags must increase from at least 1, got 0"),
        (lambda: Taps(1, (1,), ()), "one weight a lag"),
        (lambda: MinimalSupport(room=0.6).taps(2, 1), "room must be small enough"),
        (lambda: FILTERS["greedy"]().taps(5, 9), "order must be between 0 and 4, got 5"),
        (lambda: sq.SigmaDelta(1, 1.0, 2), "bits must be at least 2 for order 2 .* K must be at least 2"),
        (lambda: sq.SigmaDelta(2, 1.0, order=4), "bits must be at least 4 for order 4 .* K must be at least 8"),
        (lambda: sq.SigmaDelta(2, 1.0, filter="none"), "filter must be one of greedy, minimal-support, got 'none'"),
        (lambda: divide((Fraction(1), Fraction(1)), difference(1).polynomial), "must be a difference"),
    ],
)
def test_refusals_name_what_is_needed(make, sentence):
    with pytest.raises(InputError, match=sentence):
        make()


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_the_condition_of_the_greedy_filter_is_exact(order):
    """Beyond the reach some input leaves the range, so the least K that is named is the least."""
    taps = difference(order)
    assert taps.norm == 2**order - 1 and taps.reach(order) == 0.5
    with pytest.raises(InputError):
        FILTERS["greedy"]().taps(order, order - 1) if order > 1 else taps.require(0, "greedy")
    most, little, states, x = taps.reach(order) * 1.01, 1e-4, [], []
    for weight in taps.weights[::-1]:  # steer each state to the worst end of its range
        feedback = sum(float(w) * u for w, u in zip(taps.weights, states[::-1], strict=False))
        wanted = float(np.sign(weight)) * (0.5 - little)
        x.append((wanted + 0.5 - feedback + most) % 1 - most)
        states.append(wanted)
    trace = sq.SigmaDelta(order, 1.0, order).run([*x, most])
    assert np.abs(x).max() <= most and trace.overload == 1 and not trace.stable
    np.testing.assert_allclose(trace.state[:-1], states, atol=1e-9)
