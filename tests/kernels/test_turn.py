import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdqviz.kernels.turn import HIGH, WIDE, turned

KINDS = (np.float64, np.float32, np.int64, np.uint16, np.uint8, np.bool_)


def lying(matrix, how):
    """Return the same numbers where they lie otherwise: columns first, with gaps, backwards, or not to be written."""
    count, width = matrix.shape
    if how == "across":
        return np.asfortranarray(matrix)
    if how == "gaps":
        wide = np.zeros((2 * count, 3 * width), matrix.dtype)
        wide[::2, ::3] = matrix
        return wide[::2, ::3]
    if how == "backwards":
        return matrix[::-1, ::-1].copy()[::-1, ::-1]
    found = matrix.copy()
    found.setflags(write=how != "fixed")
    return found


@given(
    st.integers(0, 2 * HIGH + 3), st.integers(0, 2 * WIDE + 3), st.sampled_from(KINDS), st.booleans(), st.booleans(),
    st.sampled_from(["rows", "across", "gaps", "backwards", "fixed"]), st.booleans(),
)  # fmt: skip
def test_turned_is_the_transpose_in_any_order(count, width, kind, by_rows, by_columns, how, given_memory):
    rng = np.random.default_rng(count)
    numbers = rng.integers(0, 256, (count, width * np.dtype(kind).itemsize), np.uint8)
    matrix = lying(numbers > 127 if kind is np.bool_ else numbers.view(kind).reshape(count, width), how)
    rows = rng.integers(0, count, 19 * (count > 0)) if by_rows else None
    columns = rng.integers(0, width, 23 * (width > 0)) if by_columns else None
    expected = matrix[slice(None) if rows is None else rows][:, slice(None) if columns is None else columns].T
    memory = np.empty(expected.shape, kind) if given_memory else None
    found = turned(matrix, rows, columns, memory)
    assert found.dtype == matrix.dtype and found.shape == expected.shape and found.flags.c_contiguous
    assert found.tobytes() == expected.tobytes()  # NaN too keep all of their bits
    assert memory is None or found is memory
    left = memory is None and rows is None and columns is None and matrix.flags.f_contiguous
    assert np.shares_memory(found, matrix) == (left and matrix.size > 0)


def test_numbers_that_no_word_holds_are_refused():
    with pytest.raises(TypeError):
        turned(np.zeros((2, 2), complex), columns=np.arange(2))
