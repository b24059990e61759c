"""First-order ΣΔ along many rows at once: fast where nothing is near a threshold, and the plain loop elsewhere."""

from __future__ import annotations

import numba
import numpy as np

LANES = 32
"""Rows walked together: enough vector registers' worth to hide the latency of one step behind the others."""

STEPS = 32
"""Steps between two turns of the buffers, which stay in the first-level cache."""

GROUP = 16
"""Rows turned together: their cache lines fit into one set even where N is a power of two."""

ROUNDING = 1e-12
"""Share of Kδ by which a state must stay away from ±δ/2 for the product with 1/δ to give the level of the quotient."""

MAGNITUDE = 0x7FFF_FFFF_FFFF_FFFF
"""All bits of a float64 but its sign."""

SMALLEST = 1e-280
"""Steps below this are divided by: their reciprocals and margins may leave the range of floats."""


@numba.njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def _turn_in(source, values):  # type: ignore[no-untyped-def]
    for n in range(source.shape[1]):
        for j in range(GROUP):
            values[n, j] = source[j, n]


@numba.njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def _turn_out(values, size, target):  # type: ignore[no-untyped-def]
    for n in range(target.shape[1]):
        for j in range(GROUP):
            target[j, n] = (values[n, j] + 0.5) * size[j]


@numba.njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def _turn_index_out(values, half_levels, target):  # type: ignore[no-untyped-def]
    for n in range(target.shape[1]):
        for j in range(GROUP):
            target[j, n] = np.int32(values[n, j]) + half_levels


@numba.njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def _one_bit(values, u, size, worst, levels, states, count, keep_state):  # type: ignore[no-untyped-def]
    for n in range(count):
        for j in range(LANES):
            v = u[j] + values[n, j]
            q = 0.5 * size[j]
            below = not v >= 0.0
            e = v - (-q if below else q)
            u[j] = e
            if keep_state:
                states[n, j] = e
            a = abs(e)
            worst[j] = a if a > worst[j] else worst[j]
            levels[n, j] = -1.0 if below else 0.0


@numba.njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def _more_bits(values, u, size, inverse, half_levels, worst, levels, states, count, keep_state):  # type: ignore[no-untyped-def]
    lowest, highest = -1.0 * half_levels, half_levels - 1.0
    for n in range(count):
        for j in range(LANES):
            v = u[j] + values[n, j]
            level = np.floor(v * inverse[j])
            level = level if level > lowest else lowest
            level = level if level < highest else highest
            e = v - (level + 0.5) * size[j]
            u[j] = e
            if keep_state:
                states[n, j] = e
            a = abs(e)
            worst[j] = a if a > worst[j] else worst[j]
            levels[n, j] = level


@numba.njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def _plain(values, u, size, half_levels, tie, levels, states, count, width, over, met):  # type: ignore[no-untyped-def]
    """Walk by the definition, with a division, and count what lies outside or on a threshold."""
    for n in range(count):
        for j in range(width):
            step = size[j]
            divisor = step if step > 0 else 1.0
            v = u[j] + values[n, j]
            near = tie * max(abs(v), step)
            level = min(max(np.floor((v + near) / divisor), -1.0 * half_levels), half_levels - 1.0)
            u[j] = v - (level + 0.5) * step
            over[j] += abs(v) > half_levels * step + near
            threshold = np.rint(v / divisor)
            met[j] += abs(v - threshold * step) <= near and abs(threshold) < half_levels and step > 0
            levels[n, j] = level
            states[n, j] = u[j]


@numba.njit(parallel=True, cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def first_order(  # type: ignore[no-untyped-def]
    coefficients, order, in_order, step, half_levels, tie, quantized, index, keep_index, state, keep_state, overload,
    ties,
):  # fmt: skip
    """First-order ΣΔ along rows; the levels, states and counts of a plain loop, bit for bit.

    Shapes: coefficients, quantized (M, N), may be the same array; index (M, N) of unsigned integers receives
    k + ``half_levels`` of each level (k + ½)δ if ``keep_index``; state (M, N) if ``keep_state``; order (N,) unsigned,
    the positions in the order they are visited, with ``in_order`` if that is 0, 1, …; step, overload, ties (M,). All is
    indexed by position. Arguments within ``tie``·max(|v|, δ) of a threshold go up and are counted in ``ties``. A row
    whose step is 0 must be all zero; its output is 0.

    Tiles of rows are turned into small column-major buffers, so that vector instructions run over many rows. There the
    level is that of the product with 1/δ, and one number a row is kept beside: max|u|. While it stays below δ/2 less a
    margin, no argument was near a threshold or outside the range, so the quotient has the same level and there is
    nothing to count. A tile's block where that fails is walked again from its start by the definition.
    """
    rows, length = coefficients.shape
    for tile in numba.prange((rows + LANES - 1) // LANES):
        first = tile * LANES
        width = min(LANES, rows - first)
        full = width == LANES
        u, before, worst = np.zeros(LANES), np.empty(LANES), np.empty(LANES)
        size, inverse, limit = np.zeros(LANES), np.zeros(LANES), np.zeros(LANES)
        over, met = np.zeros(LANES, np.int64), np.zeros(LANES, np.int64)
        values, levels, states = np.zeros((STEPS, LANES)), np.empty((STEPS, LANES)), np.empty((STEPS, LANES))
        for j in range(width):
            size[j] = step[first + j]
            if size[j] > 0:
                inverse[j] = 1.0 / size[j]
                limit[j] = size[j] * (0.5 - half_levels * (1.01 * tie + ROUNDING)) if size[j] > SMALLEST else -1.0
        for begin in range(0, length, STEPS):
            count = min(STEPS, length - begin)
            stop = begin + count
            visited = order[begin:stop]
            if full and in_order:
                for j in range(0, LANES, GROUP):
                    _turn_in(coefficients[first + j : first + j + GROUP, begin:stop], values[:, j : j + GROUP])
            else:
                for j in range(width):
                    source = coefficients[first + j]
                    for n in range(count):
                        values[n, j] = source[visited[n]]
            doubtful = 4 * width <= LANES  # few rows do not fill the lanes
            if not doubtful:
                for j in range(LANES):
                    before[j], worst[j] = u[j], 0.0
                if half_levels == 1:
                    _one_bit(values, u, size, worst, levels, states, count, keep_state)
                else:
                    _more_bits(values, u, size, inverse, half_levels, worst, levels, states, count, keep_state)
                for j in range(width):
                    doubtful |= not worst[j] <= limit[j]
                if doubtful:
                    u[:] = before
            if doubtful:
                _plain(values, u, size, half_levels, tie, levels, states, count, width, over, met)
            if full and in_order:
                for j in range(0, LANES, GROUP):
                    rows_of = slice(first + j, first + j + GROUP)
                    _turn_out(levels[:, j : j + GROUP], size[j : j + GROUP], quantized[rows_of, begin:stop])
                    if keep_index:
                        _turn_index_out(levels[:, j : j + GROUP], half_levels, index[rows_of, begin:stop])
            else:
                for j in range(width):
                    target = quantized[first + j]
                    for n in range(count):
                        target[visited[n]] = (levels[n, j] + 0.5) * size[j]
                    if keep_index:
                        places = index[first + j]
                        for n in range(count):
                            places[visited[n]] = np.int32(levels[n, j]) + half_levels
            if keep_state:
                for j in range(width):
                    kept = state[first + j]
                    for n in range(count):
                        kept[visited[n]] = states[n, j]
        for j in range(width):
            overload[first + j], ties[first + j] = over[j], met[j]


@numba.njit(parallel=True, cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def copy_measured(source, target, largest):  # type: ignore[no-untyped-def]
    """Copy rows (M, N) of float64, seen as int64, and fill ``largest`` (M,) with the bits of their max|x|.

    Without their sign the bits of floats are in the order of the numbers, with infinity and NaN above all others; and
    the largest of integers, unlike that of floats, takes vector instructions.
    """
    for row in numba.prange(source.shape[0]):
        height = np.int64(0)
        for n in range(source.shape[1]):
            bits = source[row, n]
            target[row, n] = bits
            height = max(height, bits & MAGNITUDE)
        largest[row] = height
