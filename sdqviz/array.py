"""Arrays: the types used in signatures, the spectral norm, heights of rows, and what a float weighs."""

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sdqviz.error import InputError

Array = NDArray[Any]
"""Real values, float64 unless a docstring says otherwise."""

Index = NDArray[np.int64]
"""Positions: frame vectors, columns, classes."""


TINY, HUGE = 1e-100, 1e100
"""Largest entries between which squares are summed as they are."""


def spectral_norm(matrix: ArrayLike) -> float:
    """Return ‖A‖₂ of a matrix, through its smaller Gram matrix.

    Very large or small entries are scaled first, so nothing over- or underflows. The relative error is at most a few
    units of rounding times the smaller side (below 1e-12 in practice); NaN if an entry is not finite.

    Examples
    --------
    >>> spectral_norm([[3.0, 0.0, 0.0], [0.0, 4.0, 0.0]])
    4.0
    """
    a = np.asarray(matrix, float)
    if a.ndim != 2:
        raise InputError(f"a matrix must have two axes, got shape {a.shape}")
    if a.size == 0:
        return 0.0
    scale = float(np.abs(a).max())
    if not math.isfinite(scale):
        return math.nan
    if scale == 0:
        return 0.0
    from scipy.linalg import blas, eigh

    if TINY < scale < HUGE:
        scale = 1.0
    else:
        a = a / scale
    wide = np.ascontiguousarray(a).T  # as BLAS has matrices
    gram = blas.dsyrk(1.0, wide, trans=a.shape[0] <= a.shape[1])  # one triangle, all that is read
    last = len(gram) - 1
    largest = eigh(
        gram, lower=False, eigvals_only=True, subset_by_index=(last, last), overwrite_a=True, check_finite=False
    )
    return scale * math.sqrt(max(float(largest[0]), 0.0))


def heights(rows: Array) -> Array:
    """Return max|x_n| of each row, shape (M, N) → (M,); NaN where there is one."""
    return np.maximum(rows.max(axis=1), -rows.min(axis=1))


FLOAT_BITS = 32
"""Bits of a scale and of a tensor kept in float."""
