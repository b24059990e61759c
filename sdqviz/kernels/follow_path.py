"""One block of the walk that all path-following methods share."""

from __future__ import annotations

import numba
import numpy as np

from sdqviz.kernels.draws import FIRST, GOLDEN, SECOND
from sdqviz.kernels.rules import ROUND_NEAREST, ROUND_NONE, ROUND_RANDOM, SHRINK_HARD, SHRINK_RANDOM, SHRINK_SOFT
from sdqviz.kernels.threads import TILE


@numba.njit(cache=True, nogil=True, inline="always")  # type: ignore[untyped-decorator]
def _uniform(key, weight):  # type: ignore[no-untyped-def]
    """Return the number of `sdqviz.kernels.draws.uniforms`."""
    z = key + (np.uint64(weight) + np.uint64(1)) * np.uint64(GOLDEN)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(FIRST)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(SECOND)
    z = z ^ (z >> np.uint64(31))
    return np.float64(z >> np.uint64(11)) * 2.0**-53


@numba.njit(parallel=True, cache=True, error_model="numpy")  # type: ignore[untyped-decorator]
def follow_path(  # type: ignore[no-untyped-def]
    base, reference, earlier, feedback, gain, alive, names, start, keys, shrink, threshold, rounding, block, step,
    offset, lowest, highest, quantized, error, overload,
):  # fmt: skip
    """One block of the walk v_t = base_t + gain_t·Σ_{j<t} feedback_tj e_j, q_t = T(v_t), e_t = reference_t − q_t.

    Shapes: base, reference, quantized, error (N, M), a column per neuron; earlier (B, M), the part of
    the sum that comes from before ``start``; feedback (N, N), read strictly below its diagonal; gain,
    alive, names (N,), names being the positions that the random numbers are keyed by; keys, threshold, overload
    (M,); step, lowest, highest (B, M), a row for every ``block`` positions. Levels are (k + offset)·step with
    lowest ≤ k ≤ highest. Dead inputs get q = 0.

    Threads share the neurons, so nothing depends on their number.
    """
    count, neurons = earlier.shape
    random = shrink == SHRINK_RANDOM or rounding == ROUND_RANDOM
    for tile in numba.prange((neurons + TILE - 1) // TILE):
        first = tile * TILE
        width = min(TILE, neurons - first)
        errors = np.empty((count, width))
        total = np.empty(width)
        for n in range(count):
            t = start + n
            row = names[t] // block
            for j in range(width):
                total[j] = earlier[n, first + j]
            for s in range(n):
                factor = feedback[t, start + s]
                for j in range(width):
                    total[j] += factor * errors[s, j]
            for j in range(width):
                column = first + j
                v = base[t, column] + gain[t] * total[j]
                if not alive[t]:
                    quantized[t, column] = 0.0
                    errors[n, j] = reference[t, column]
                    error[t, column] = reference[t, column]
                    continue
                u = _uniform(keys[column], names[t]) if random else 0.0
                c = threshold[column]
                settled = False
                q = v
                if shrink == SHRINK_RANDOM:
                    if abs(v) < c:
                        q = (c if v > 0 else -c) if u < abs(v) / c else 0.0
                        settled = True
                elif shrink == SHRINK_SOFT:
                    q = max(v - c, 0.0) + min(v + c, 0.0)
                    settled = q == 0.0
                elif shrink == SHRINK_HARD and abs(v) <= c:
                    q = 0.0
                    settled = True
                if rounding != ROUND_NONE and not settled:
                    size = step[row, column]
                    x = q / size - offset if size > 0 else 0.0
                    if rounding == ROUND_NEAREST:
                        overload[column] += x < lowest[row, column] - 0.5 or x > highest[row, column] + 0.5
                        level = np.floor(x + 0.5)
                    else:
                        overload[column] += x < lowest[row, column] or x > highest[row, column]
                        level = np.floor(x)
                        level += u < x - level
                    q = (min(max(level, lowest[row, column]), highest[row, column]) + offset) * size
                quantized[t, column] = q
                errors[n, j] = reference[t, column] - q
                error[t, column] = errors[n, j]
