"""Arrays: the types used in signatures, heights of rows, and what a float weighs."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
"""Real values, float64 unless a docstring says otherwise."""

Index = NDArray[np.int64]
"""Positions: frame vectors, columns, classes."""


def heights(rows: Array) -> Array:
    """Return max|x_n| of each row, shape (M, N) → (M,); NaN where there is one."""
    return np.maximum(rows.max(axis=1), -rows.min(axis=1))


FLOAT_BITS = 32
"""Bits of a scale and of a tensor kept in float."""
