"""Neurons in a spread frame: the transform, the Gram matrix in it, and the walk against a plain program."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sdqviz as sq
from sdqviz.path_following.factor import error_terms, factorize
from sdqviz.path_following.gram import Gram
from sdqviz.path_following.quantized_rows import decode_rows, multiples, quantize_rows
from sdqviz.path_following.row_frame import RowFrame
from sdqviz.storage.bits import step_up


def half_precision(step):
    return step_up(step, 16)


def inputs_of(rng, samples, width):
    return rng.standard_normal((samples, width)) @ rng.standard_normal((width, width)) / np.sqrt(width)


@given(st.integers(1, 40), st.floats(0.25, 4.0), st.booleans(), st.integers(0, 2**40))
@settings(max_examples=80)
def test_transform_is_an_isometry_or_orthonormal_rows(dimension, redundancy, signs, seed):
    frame = RowFrame(dimension, redundancy, seed, signs)
    matrix = frame.analyze(np.eye(dimension)).T
    assert matrix.shape == (frame.size, dimension) and frame.size >= redundancy * dimension - 1e-6
    identity = matrix @ matrix.T if frame.undersampled else matrix.T @ matrix
    np.testing.assert_allclose(identity, np.eye(len(identity)), atol=1e-12)
    np.testing.assert_allclose(frame.synthesize(np.eye(frame.size)), matrix, atol=1e-12)
    gram = np.cov(np.random.default_rng(0).standard_normal((dimension, 50))).reshape(dimension, dimension)
    np.testing.assert_allclose(frame.gram(gram), matrix @ gram @ matrix.T, atol=1e-11)


@pytest.mark.parametrize(("bits", "redundancy"), [(1, 1.0), (2, 1.3), (3, 1.0)])
def test_walk_is_the_plain_program_and_its_error_the_identity(bits, redundancy):
    rng = np.random.default_rng(bits)
    inputs, weights = inputs_of(rng, 50, 9), rng.standard_normal((9, 4))
    gram, frame = Gram.of(inputs, weights), RowFrame(9, redundancy, seed=3)
    found = quantize_rows(gram, weights, lambda q: gram.error(weights, q), half_precision, frame, bits, damping=0.1)
    matrix = frame.analyze(np.eye(9)).T
    factor = factorize(matrix @ gram.inputs @ matrix.T, 0.1)
    half = 2 ** (bits - 1)
    least = np.full(4, np.inf)
    for multiple in multiples(bits):
        for j in range(4):
            y = matrix @ weights[:, j]
            step = float(np.nextafter(np.float16(multiple * np.sqrt((y**2).mean())), np.float16(np.inf)))
            q = np.empty_like(y)
            for n in range(len(y)):
                v = y[n] + sum(factor.feedback[n, k] * (y[k] - q[k]) for k in range(n))
                q[n] = (np.clip(np.floor(v / step), -half, half - 1) + 0.5) * step
            error = ((inputs @ (weights[:, j] - matrix.T @ q)) ** 2).sum()
            least[j] = min(least[j], error)
            damped = error + factor.damping * ((y - q) ** 2).sum()
            assert error_terms(factor, (y - q)[:, None]).sum() == pytest.approx(damped, rel=1e-9)
    np.testing.assert_allclose(gram.error(weights, found.neurons.T), least, rtol=0.02)
    np.testing.assert_array_equal(decode_rows(frame, found.levels, found.step, bits), found.neurons)
    np.testing.assert_array_equal(found.step, found.step.astype(np.float16))
    summed = quantize_rows(gram, weights, None, half_precision, frame, bits, damping=0.1)  # by the walk on its way
    np.testing.assert_array_equal(summed.levels, found.levels)
    np.testing.assert_array_equal(summed.step, found.step)
    np.testing.assert_array_equal(summed.overload, found.overload)


@pytest.mark.parametrize("bits", [1, 4])
def test_errors_that_the_walk_sums_up_choose_the_steps_that_measured_ones_do(bits):
    rng = np.random.default_rng(bits)
    inputs, target = inputs_of(rng, 200, 150), rng.standard_normal((150, 40))
    target[:, 3] = 0
    gram = Gram.of(inputs, target)
    frame = RowFrame(150, 1.0, seed=1)

    def measured(quantized):
        return ((inputs @ (target - quantized)) ** 2).sum(axis=0)

    matrix = gram.inputs.copy()
    told = quantize_rows(gram, target, None, half_precision, frame, bits)
    expected = quantize_rows(gram, target, measured, half_precision, frame, bits)
    np.testing.assert_array_equal(gram.inputs, matrix)
    np.testing.assert_array_equal(told.levels, expected.levels)
    np.testing.assert_array_equal(told.step, expected.step)
    np.testing.assert_array_equal(told.overload, expected.overload)
    np.testing.assert_allclose(told.neurons, expected.neurons, atol=1e-12)
    np.testing.assert_allclose(told.missed, measured(told.neurons.T), rtol=1e-8, atol=1e-9)


def test_neurons_of_zeros_have_step_zero_and_stay_zeros():
    inputs, weights = inputs_of(np.random.default_rng(0), 30, 6), np.zeros((6, 2))
    gram = Gram.of(inputs, weights)
    found = quantize_rows(gram, weights, lambda q: gram.error(weights, q), half_precision, RowFrame(6), 1)
    assert (found.neurons == 0).all() and (found.step == 0).all() and found.overload.sum() == 0


def test_more_bits_more_vectors_and_more_paths_err_less_and_below_one_bit_still_gains():
    rng = np.random.default_rng(4)
    inputs, weights = inputs_of(rng, 200, 40), rng.standard_normal((40, 30))
    gram = Gram.of(inputs, weights)

    def error(bits, redundancy, paths=1):
        found = quantize_rows(
            gram, weights, lambda q: gram.error(weights, q), half_precision, RowFrame(40, redundancy), bits, paths, 0.05
        )
        return float(gram.error(weights, found.neurons.T).sum() / gram.target.sum())

    assert error(3, 1.0) < error(2, 1.0) < error(1, 1.0) < error(1, 0.5) < 1
    assert error(1, 2.0) < error(1, 1.0)
    assert error(1, 0.5, 16) < error(1, 0.5)


def test_bad_frames_are_refused():
    with pytest.raises(sq.InputError, match=r"redundancy must be between 0\.25 and 8"):
        RowFrame(5, 0.1)
    with pytest.raises(sq.InputError, match="dimension must be at least 1"):
        RowFrame(0)
    with pytest.raises(sq.InputError, match="GiB"):
        RowFrame(10_000, 8.0).gram(np.zeros((1, 1)))
