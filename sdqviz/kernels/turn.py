"""Matrices turned: their transpose as rows that lie side by side."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

HIGH, WIDE = 16, 64
"""Rows and columns of a tile: whole cache lines are read and written, and each before it is gone. More rows would lie
in the same few places of the cache where rows are a power of two long."""


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def turn(source, rows, columns, target):  # type: ignore[no-untyped-def]
    """Set target[j, i] to source[rows_i, columns_j]; shapes (n, m), (p,), (q,), (q, p)."""
    for top in range(0, len(rows), HIGH):
        bottom = min(top + HIGH, len(rows))
        for left in range(0, len(columns), WIDE):
            for j in range(left, min(left + WIDE, len(columns))):
                column = columns[j]
                for i in range(top, bottom):
                    target[j, i] = source[rows[i], column]


def turned(
    matrix: NDArray[Any], rows: NDArray[np.int64] | None = None, columns: NDArray[np.int64] | None = None,
    into: NDArray[Any] | None = None,
) -> NDArray[Any]:  # fmt: skip
    """Return the transpose as rows that lie side by side, a tile after the other: several times numpy's speed.

    Where they lie so already, no order is asked for and no memory given, nothing is copied.

    Parameters
    ----------
    matrix : ndarray, shape (n, m)
        Of numbers of up to eight bytes.
    rows, columns : ndarray of int, optional
        Which rows and columns of ``matrix`` to take, in this order; p and q of them, none negative.
    into : ndarray, shape (q, p), optional
        Memory for the result, of the same type: new memory costs as much as what is done here.

    Examples
    --------
    >>> turned(np.arange(6).reshape(2, 3))
    array([[0, 3],
           [1, 4],
           [2, 5]])
    >>> turned(np.arange(6).reshape(2, 3), rows=np.array([1]), columns=np.array([2, 0]))
    array([[5],
           [3]])
    """
    if rows is None and columns is None and matrix.flags.f_contiguous:
        if into is None:
            return matrix.T
        into[...] = matrix.T
        return into
    p, q = (
        np.arange(count) if own is None else np.ascontiguousarray(own, np.int64)
        for count, own in zip(matrix.shape, (rows, columns), strict=True)
    )
    found = np.empty((len(q), len(p)), matrix.dtype) if into is None else into
    bits = np.dtype(f"u{matrix.itemsize}")  # whatever the numbers mean: one kernel for all of a size
    turn(matrix.view(bits), p, q, found.view(bits))
    return found
