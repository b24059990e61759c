"""β-expansions: exact at β = 2, within their bound at every β, refusals."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdqviz.error import InputError
from sdqviz.sigma_delta.beta import BetaExpansion


@given(st.integers(1, 30), st.floats(1.01, 2.0), st.integers(1, 20), st.integers(0, 2**32 - 1))
def test_no_expansion_exceeds_its_bound(digits, beta, dimension, seed):
    x = np.random.default_rng(seed).standard_normal((4, dimension))
    expansion = BetaExpansion(digits, beta)
    error = np.linalg.norm(x - expansion.run(x), axis=1)
    assert (error <= expansion.bound(x) * (1 + 1e-9) + 1e-13).all()


def test_binary_digits_by_hand():
    np.testing.assert_allclose(BetaExpansion(3, 2.0).run([1.0, 0.3, -0.8]), [0.875, 0.375, -0.875])


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: BetaExpansion(0), "digits must be at least 1, got 0"),
        (lambda: BetaExpansion(3, 1.0), "beta must be above 1 and at most 2 with two levels, got 1.0"),
        (lambda: BetaExpansion(3, 2.1), "beta must be above 1"),
        (lambda: BetaExpansion(3).run([np.nan]), "vectors must be finite, got 1"),
    ],
)
def test_what_does_not_converge_is_refused(make, sentence):
    with pytest.raises(InputError, match=sentence):
        make()
