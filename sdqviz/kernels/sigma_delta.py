"""The recursion of ΣΔ with any causal filter, along many rows at once."""

from __future__ import annotations

import numba
import numpy as np

from sdqviz.kernels.threads import TILE

BLOCK = 64
"""Steps walked between two turns of the buffer: a tile's buffers stay in the first-level cache."""


@numba.njit(parallel=True, cache=True, error_model="numpy")  # type: ignore[untyped-decorator]
def noise_shaping(  # type: ignore[no-untyped-def]
    coefficients, order, step, half_levels, lags, weights, tie, quantized, state, keep_state, overload, ties
):
    """ΣΔ with any causal filter, v_n = y_n + Σ_j weights_j u_{n−lags_j}, along rows.

    Shapes: coefficients, quantized (M, N), may be the same array; state (M, N) if ``keep_state``; order (N,) unsigned,
    the positions in the order they are visited; step, overload, ties (M,). Everything is indexed by position. A row
    whose step is 0 must be all zero; its output is 0. Values within ``tie``·max(|v|, δ) of a decision threshold go to
    the level above it and are counted in ``ties``. With ``tie`` 0 only what lies exactly on a threshold does.
    """
    rows, length = coefficients.shape
    longest = lags[-1] if len(lags) else 0
    for tile in numba.prange((rows + TILE - 1) // TILE):
        first = tile * TILE
        width = min(TILE, rows - first)
        size = np.empty(width)
        divisor = np.empty(width)
        over, met = np.zeros(width, np.int64), np.zeros(width, np.int64)
        values = np.empty((BLOCK, width))
        states = np.zeros((longest + BLOCK, width))
        for j in range(width):
            size[j] = step[first + j]
            divisor[j] = size[j] if size[j] > 0 else 1.0
        for begin in range(0, length, BLOCK):
            count = min(BLOCK, length - begin)
            for j in range(width):
                for n in range(count):
                    values[n, j] = coefficients[first + j, order[begin + n]]
            for n in range(count):
                for k in range(len(lags)):
                    for j in range(width):
                        values[n, j] += weights[k] * states[longest + n - lags[k], j]
                for j in range(width):
                    v = values[n, j]
                    near = tie * max(abs(v), size[j])
                    level = min(max(np.floor((v + near) / divisor[j]), -half_levels), half_levels - 1)
                    q = (level + 0.5) * size[j]
                    states[longest + n, j] = v - q
                    over[j] += abs(v) > half_levels * size[j] + near
                    threshold = np.rint(v / divisor[j])
                    met[j] += abs(v - threshold * size[j]) <= near and abs(threshold) < half_levels and size[j] > 0
                    values[n, j] = q
            for j in range(width):
                for n in range(count):
                    quantized[first + j, order[begin + n]] = values[n, j]
                    if keep_state:
                        state[first + j, order[begin + n]] = states[longest + n, j]
            for n in range(longest):
                for j in range(width):
                    states[n, j] = states[count + n, j]
        for j in range(width):
            overload[first + j], ties[first + j] = over[j], met[j]
