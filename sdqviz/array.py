"""The array types used in signatures."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
"""Real values, float64 unless a docstring says otherwise."""

Index = NDArray[np.int64]
"""Positions: frame vectors, columns, classes."""
