"""Rounding many values with many steps at once."""

from __future__ import annotations

import numba
import numpy as np

from sdqviz.kernels.threads import REORDER


@numba.njit(parallel=True, cache=True, nogil=True, error_model="numpy", fastmath=REORDER)  # type: ignore[untyped-decorator]
def rounding_errors(values, steps, half_levels, errors):  # type: ignore[no-untyped-def]
    """Fill ``errors`` (M, C) with the square error of rounding each row of ``values`` (M, L) with each of its steps.

    ``steps`` has shape (M, C); the levels are midrise, 2·``half_levels`` of them. A row whose steps are 0 must be all
    zero.
    """
    for row in numba.prange(values.shape[0]):
        for choice in range(steps.shape[1]):
            size = steps[row, choice]
            divisor = size if size > 0 else 1.0
            total = 0.0
            for i in range(values.shape[1]):
                v = values[row, i]
                missed = v - (min(max(np.floor(v / divisor), -half_levels), half_levels - 1) + 0.5) * size
                total += missed * missed
            errors[row, choice] = total
