import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdqviz.array import spectral_norm, turned
from sdqviz.error import InputError


@settings(deadline=None)
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


@given(st.integers(0, 40), st.integers(0, 40), st.booleans(), st.booleans(), st.booleans())
def test_turned_is_the_transpose_in_any_order(count, width, across, by_rows, by_columns):
    rng = np.random.default_rng(count)
    matrix = np.asarray(rng.standard_normal((count, width)), order="F" if across else "C")
    rows = rng.integers(0, count, 19 * (count > 0)) if by_rows else None
    columns = rng.integers(0, width, 23 * (width > 0)) if by_columns else None
    found = turned(matrix, rows, columns)
    expected = [
        [matrix[i, j] for i in (range(count) if rows is None else rows)]
        for j in (range(width) if columns is None else columns)
    ]
    assert found.flags.c_contiguous
    np.testing.assert_array_equal(found, np.reshape(expected, found.shape))
    assert found.size == sum(map(len, expected))
    plain = rows is None and columns is None
    assert np.shares_memory(found, matrix) == (plain and matrix.flags.f_contiguous and matrix.size > 0)
