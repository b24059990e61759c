"""Rounding many values with many steps at once."""

import numba
import numpy as np

from sdqviz.kernels.threads import REORDER


@numba.njit(parallel=True, cache=True, nogil=True, error_model="numpy", fastmath=REORDER)  # type: ignore[untyped-decorator]
def rounding_errors(values, shares, steps, offset, lowest, highest, errors):  # type: ignore[no-untyped-def]
    """Fill ``errors`` (U, C) with Σ share·(v − Q(v))² of each row of ``values`` (U, L) for each of its steps.

    ``steps`` has shape (U, C); ``shares`` (U, L), or (1, L) for all rows, weigh the entries. Levels are
    (k + offset)·step with lowest ≤ k ≤ highest, a row's own (U,). With a step of 0 all levels are 0.
    """
    for row in numba.prange(values.shape[0]):
        low, high = lowest[row], highest[row]
        own = shares[np.int64(row) if len(shares) > 1 else 0]
        for choice in range(steps.shape[1]):
            size = steps[row, choice]
            inverse = 1.0 / size if size > 0 else 0.0
            total = 0.0
            for i in range(values.shape[1]):
                v = values[row, i]
                level = min(max(np.floor(v * inverse - offset + 0.5), low), high)
                missed = v - (level + offset) * size
                total += own[i] * missed * missed
            errors[row, choice] = total
