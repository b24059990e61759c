import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdqviz.array import spectral_norm
from sdqviz.error import InputError


@given(st.integers(1, 12), st.integers(1, 12), st.integers(-300, 150), st.integers(0, 2**32 - 1))
def test_spectral_norm(rows, columns, exponent, seed):
    rng = np.random.default_rng(seed)
    matrix = rng.standard_normal((rows, columns)) @ np.diag(10.0 ** -rng.integers(0, 9, columns)) * 10.0**exponent
    expected = np.linalg.svd(matrix, compute_uv=False)[0]
    np.testing.assert_allclose(spectral_norm(matrix), expected, rtol=1e-12)


def test_spectral_norm_of_odd_matrices():
    assert spectral_norm(np.zeros((3, 2))) == 0
    assert spectral_norm(np.zeros((3, 0))) == 0
    assert math.isnan(spectral_norm([[1.0, math.nan]]))
    with pytest.raises(InputError, match="two axes"):
        spectral_norm([1.0])
