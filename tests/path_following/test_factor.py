"""The exact error of any walk with feedback, and the beam against trying everything."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sdqviz as sq
from sdqviz.path_following.beam import beam_walk, greedy_walk
from sdqviz.path_following.factor import error_terms, factorize, walk_values


def gram_of(rng, size, samples):
    inputs = rng.standard_normal((samples, size)) @ rng.standard_normal((size, size))
    return inputs.T @ inputs


@given(st.integers(1, 12), st.integers(1, 20), st.sampled_from([0.0, 0.01, 1.0]), st.integers(0, 2**32 - 1))
@settings(max_examples=60)
def test_terms_add_up_to_the_damped_error_of_any_quantizer(size, samples, damping, seed):
    rng = np.random.default_rng(seed)
    gram = gram_of(rng, size, samples)
    factor = factorize(gram, damping)
    weights = rng.standard_normal((size, 3))
    quantized = np.zeros_like(weights)
    for t in range(size):  # a quantizer without any sense: the sign times whatever comes
        value = weights[t] + sum(factor.feedback[t, j] * (weights[j] - quantized[j]) for j in range(t))
        quantized[t] = np.sign(value) * rng.exponential(2.0, 3)
        np.testing.assert_allclose(walk_values(factor, weights, quantized)[t], value, rtol=1e-9, atol=1e-9)
    error = weights - quantized
    whole = np.einsum("tm,ts,sm->m", error, gram + factor.damping * np.eye(size), error)
    scale = np.abs(gram).max() * (error**2).sum(axis=0) + 1e-300
    np.testing.assert_allclose(error_terms(factor, error).sum(axis=0) / scale, whole / scale, atol=1e-10)


def test_factor_is_the_factorisation():
    gram = gram_of(np.random.default_rng(0), 9, 20)
    factor = factorize(gram, 0.1)
    upper = factor.feedback.T
    assert np.array_equal(np.triu(upper), upper) and np.array_equal(np.diagonal(upper), np.ones(9))
    np.testing.assert_allclose(upper * factor.pivots @ upper.T, gram + 0.1 * np.diagonal(gram).mean() * np.eye(9))


def test_damping_is_raised_until_a_singular_matrix_can_be_factored_and_a_hopeless_one_refused():
    factor = factorize(np.ones((4, 4)), 0.0)
    assert 0 < factor.damping < 1e-6
    with pytest.raises(sq.InputError, match="positive definite"):
        factorize(-np.eye(3), 0.0)
    with pytest.raises(sq.InputError, match="finite"):
        factorize(np.full((2, 2), np.nan))


def every_path(factor, base, levels):
    """Yield the error of every path that takes one of the two nearest levels at each step."""
    paths = [[]]
    for t in range(len(base)):
        longer = []
        for path in paths:
            value = base[t] + sum(factor.feedback[t, j] * (base[j] - path[j]) for j in range(t))
            longer += [[*path, level] for level in sorted(levels, key=lambda level: abs(value - level))[:2]]
        paths = longer
    return [error_terms(factor, (base - path)[:, None]).sum() for path in paths]


@pytest.mark.parametrize("bits", [1, 2, 3])
def test_wide_beam_finds_the_best_of_all_paths(bits):
    rng = np.random.default_rng(bits)
    step = np.array([0.7, 1.1, 1.3])
    factor = factorize(gram_of(rng, 6, 12), 0.05)
    base = rng.standard_normal((6, 3))
    found = error_terms(factor, base - beam_walk(factor, base, bits, step, 64)).sum(axis=0)
    levels = np.arange(-(2 ** (bits - 1)), 2 ** (bits - 1)) + 0.5
    least = [min(every_path(factor, base[:, j], levels * step[j])) for j in range(3)]
    np.testing.assert_allclose(found, least, rtol=1e-10)
    if bits == 1:
        every = np.array(list(itertools.product(levels, repeat=6)))
        direct = [error_terms(factor, base[:, [j]] - every.T * step[j]).sum(axis=0).min() for j in range(3)]
        np.testing.assert_allclose(found, direct, rtol=1e-10)


def test_a_vector_of_zeros_stays_zero():
    factor = factorize(np.eye(4))
    assert (beam_walk(factor, np.zeros((4, 2)), 1, np.zeros(2), 8) == 0).all()


def test_beam_of_any_width_gives_levels_and_is_never_worse_than_greedy():
    rng = np.random.default_rng(2)
    factor = factorize(gram_of(rng, 150, 300), 0.01)
    base, step = rng.standard_normal((150, 7)), rng.uniform(0.5, 1.5, 7)
    greedy = greedy_walk(factor, base, 2, step)
    cost = error_terms(factor, base - greedy).sum(axis=0)
    for paths in (1, 2, 5, 16):
        quantized = beam_walk(factor, base, 2, step, paths)
        assert set(np.unique(quantized / step)) <= {-1.5, -0.5, 0.5, 1.5}
        assert (error_terms(factor, base - quantized).sum(axis=0) <= cost * (1 + 1e-12)).all()
        assert np.array_equal(quantized, greedy) == (paths == 1)
    narrow = beam_walk(factor, base[:, :2], 2, step[:2], 16)
    np.testing.assert_array_equal(narrow, beam_walk(factor, base, 2, step, 16)[:, :2])
    with pytest.raises(sq.InputError, match="paths must be between"):
        beam_walk(factor, base, 2, step, 0)


@pytest.mark.parametrize("rank", [600, 40])
def test_a_factor_of_many_panels_and_one_in_the_matrix_itself(rank):
    rng = np.random.default_rng(3)
    rows = rng.normal(size=(rank, 530))
    gram = rows.T @ rows
    before = gram.copy()
    factor = factorize(gram, 0.0)  # of rank 40: raised until it is definite
    np.testing.assert_array_equal(gram, before)
    upper = factor.feedback.T
    assert not np.tril(upper, -1).any()
    np.testing.assert_array_equal(np.diagonal(upper), 1.0)
    np.testing.assert_allclose(
        (upper * factor.pivots) @ upper.T, before + factor.damping * np.eye(530), rtol=1e-9, atol=1e-9 * before.max()
    )
    assert (factor.damping > 0) == (rank < 530)
    again = factorize(gram, 0.0, overwrite=True)
    assert np.shares_memory(again.feedback, gram)
    np.testing.assert_array_equal(again.feedback, factor.feedback)
    np.testing.assert_array_equal(again.pivots, factor.pivots)
