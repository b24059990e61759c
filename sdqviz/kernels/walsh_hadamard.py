"""The fast Walsh–Hadamard transform."""

from __future__ import annotations

import numba


@numba.njit(parallel=True, cache=True)  # type: ignore[untyped-decorator]
def walsh_hadamard(values, start, stop):  # type: ignore[no-untyped-def]
    """Unnormalised fast Walsh–Hadamard transform of rows ``start:stop``, in place.

    ``values`` has shape (M, N) with N a power of two; the natural (Hadamard) order.
    """
    length = values.shape[1]
    for row in numba.prange(start, stop):
        half = 1
        while half < length:
            for block in range(0, length, 2 * half):
                for i in range(block, block + half):
                    a = values[row, i]
                    b = values[row, i + half]
                    values[row, i] = a + b
                    values[row, i + half] = a - b
            half *= 2
