"""Sequences through ΣΔ and through memoryless rounding: the definition, the stability law, bad input."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sdqviz.error import InputError
from sdqviz.frames import FRAMES
from sdqviz.sigma_delta.recursion import Pcm, SigmaDelta, copied_heights, walk_rows


def levels_of(bits, step):
    half = 2 ** (bits - 1)
    return [(k + 0.5) * step for k in range(-half, half)]


def nearest_level(value, bits, step):
    """Search all levels for the nearest; of two equally near the upper one."""
    return min(levels_of(bits, step), key=lambda level: (abs(level - value), -level))


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_sigma_delta_follows_its_definition(bits):
    x = np.random.default_rng(bits).uniform(-1, 1, 300)
    step = 2.0 / 2**bits
    trace = SigmaDelta(bits, step).run(x)
    u = 0.0
    for n, value in enumerate(x):
        q = nearest_level(u + value, bits, step)
        u = u + value - q
        assert trace.quantized[n] == pytest.approx(q, rel=1e-15)
        assert trace.state[n] == pytest.approx(u, abs=1e-12)


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_pcm_rounds_each_value_on_its_own(bits):
    x = np.random.default_rng(bits).uniform(-1.5, 1.5, 300)
    step = 2.0 / 2**bits
    trace = Pcm(bits, step).run(x)
    expected = [nearest_level(value, bits, step) for value in x]
    np.testing.assert_allclose(trace.quantized, expected, rtol=1e-15)
    np.testing.assert_allclose(trace.state, [math.fsum(x[: n + 1] - expected[: n + 1]) for n in range(300)], atol=1e-12)
    assert trace.overload == sum(abs(value) > 1 for value in x)


numbers = st.floats(-1, 1, allow_nan=False, width=64)


@settings(max_examples=200)
@given(
    shape=st.lists(numbers, min_size=1, max_size=120),
    bits=st.integers(1, 6),
    step=st.floats(1e-3, 1e3),
    reach=st.floats(0, 1),
)
def test_inside_the_radius_the_state_stays_within_half_a_step(shape, bits, step, reach):
    radius = (2 ** (bits - 1) - 0.5) * step
    x = np.array(shape) * radius * reach
    trace = SigmaDelta(bits, step).run(x)
    assert trace.stable
    assert np.abs(trace.state).max() <= step / 2 * (1 + 1e-9 * len(x))
    assert trace.overload == 0
    # u_n = Σ_{m≤n} (x_m − q_m): the walk loses nothing
    total = np.cumsum(x - trace.quantized)
    np.testing.assert_allclose(trace.state, total, atol=1e-12 * len(x) * max(radius, step))


@settings(max_examples=50)
@given(values=arrays(float, (7, 33), elements=numbers), bits=st.integers(1, 3))
def test_the_state_only_knows_the_past(values, bits):
    step = 0.7
    whole = SigmaDelta(bits, step).run(values)
    part = SigmaDelta(bits, step).run(values[:, :20])
    np.testing.assert_array_equal(whole.quantized[:, :20], part.quantized)
    np.testing.assert_array_equal(whole.state[:, :20], part.state)


def test_instability_is_flagged_with_the_numbers_and_still_runs():
    trace = SigmaDelta(1, 1.0).run([0.1, 0.9, 0.9, 0.9])
    assert not trace.stable
    assert trace.reason == "max|x_n| = 0.9 > (K−½)δ = 0.5"
    assert trace.overload == 1
    assert np.abs(trace.state).max() > 0.5


def test_the_edge_of_the_radius_is_stable():
    trace = SigmaDelta(2, 1.0).run([1.5, -1.5, 1.5])
    assert trace.stable and trace.reason == "max|x_n| = 1.5 ≤ (K−½)δ = 1.5"


@pytest.mark.parametrize("quantizer", [SigmaDelta(1, 0.5), Pcm(1, 0.5)])
def test_shapes_are_kept_and_sequences_are_independent(quantizer):
    x = np.random.default_rng(0).uniform(-0.25, 0.25, (2, 3, 40))
    trace = quantizer.run(x)
    assert trace.quantized.shape == trace.state.shape == trace.coefficients.shape == x.shape
    assert trace.step.shape == trace.overload.shape == (2, 3)
    np.testing.assert_array_equal(trace.quantized[1, 2], quantizer.run(x[1, 2]).quantized)


def test_a_trace_is_a_record_apart_from_what_was_given():
    x = np.array([0.1, -0.2, 0.3])
    trace = SigmaDelta(1, 1.0).run(x)
    x[:] = 9
    np.testing.assert_array_equal(trace.coefficients, [0.1, -0.2, 0.3])
    for array in (trace.coefficients, trace.quantized, trace.state):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1


def test_public_and_private_paths_agree_along_any_order():
    frame = FRAMES["harmonic"](dimension=12, size=50).build()
    weights = np.random.default_rng(1).standard_normal((9, 12)) * 0.1
    order = np.random.default_rng(2).permutation(50)
    coefficients = frame.analyze(weights)
    inside = np.empty_like(coefficients)
    overload = walk_rows(coefficients, 1, np.full(9, 0.9), order=order, out=inside)
    trace = SigmaDelta(1, 0.9).run(coefficients[:, order])
    np.testing.assert_array_equal(inside[:, order], trace.quantized)
    np.testing.assert_array_equal(overload, trace.overload)


@pytest.mark.parametrize("kind", [SigmaDelta, Pcm])
@pytest.mark.parametrize(
    ("bits", "step", "sentence"),
    [
        (1, 0.0, "step must be positive and finite, got 0.0"),
        (1, -2.0, "step must be positive and finite, got -2.0"),
        (1, math.nan, "step must be positive and finite, got nan"),
        (1, math.inf, "step must be positive and finite, got inf"),
        (0, 1.0, "bits must be between 1 and 16, got 0"),
        (17, 1.0, "bits must be between 1 and 16, got 17"),
    ],
)
def test_what_makes_no_alphabet_is_refused(kind, bits, step, sentence):
    with pytest.raises(InputError) as caught:
        kind(bits, step)
    assert str(caught.value) == sentence


@pytest.mark.parametrize("kind", [SigmaDelta, Pcm])
@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ([0.1, math.nan, math.inf], "coefficients must be finite, got 2 values that are not"),
        ([], "coefficients must have at least one value along the last axis, got shape (0,)"),
        (0.5, "coefficients must have at least one value along the last axis, got shape ()"),
    ],
)
def test_coefficients_that_cannot_be_walked_are_refused(kind, values, sentence):
    with pytest.raises(InputError) as caught:
        kind(1, 1.0).run(values)
    assert str(caught.value) == sentence


def test_heights_are_the_largest_magnitudes_and_the_rows_are_copied():
    x = np.random.default_rng(0).standard_normal((7, 33)).T  # not contiguous
    x[3], x[4, 2], x[5, 1], x[6, :2] = -0.0, -np.inf, np.nan, (np.nan, np.inf)
    copy = np.empty((33, 7))
    found = copied_heights(x, copy)
    np.testing.assert_array_equal(found, np.abs(x).max(axis=1))
    np.testing.assert_array_equal(copy, x)
    assert not np.signbit(found[3]) and np.signbit(copy[3]).all()
