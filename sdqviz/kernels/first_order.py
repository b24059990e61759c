"""First-order ΣΔ along many rows at once: fast where nothing is near a threshold, and the plain loop elsewhere."""

from __future__ import annotations

import numba
import numpy as np

from sdqviz.kernels.vectors import LANES, PER_WORD, SIDE, one_bit_steps, steps, turn_pairs

STEPS = 64
"""Steps between two turns of the buffers, which stay in the first-level cache."""

ROUNDING = 1e-12
"""Share of Kδ by which a state must stay away from ±δ/2 for the product with 1/δ to give the level of the quotient."""

MAGNITUDE = 0x7FFF_FFFF_FFFF_FFFF
"""All bits of a float64 but its sign."""

SMALLEST = 1e-280
"""Steps below this are divided by: their reciprocals and margins may leave the range of floats."""


@numba.njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def _turn_in(coefficients, first, width, begin, count, values):  # type: ignore[no-untyped-def]
    """Set values (STEPS, LANES) to the next stretch of a tile's rows, a row a column."""
    squares, whole = width - width % SIDE, count - count % 2
    for j in range(0, squares, SIDE):
        for n in range(0, whole, 2):
            turn_pairs(coefficients, first + j, begin + n, values, n, j)
    for j in range(width):
        for n in range(whole if j < squares else 0, count):
            values[n, j] = coefficients[first + j, begin + n]


@numba.njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def _plain(values, u, size, half_levels, tie, levels, states, keep_state, start, count, width, over, met):  # type: ignore[no-untyped-def]
    """Walk by the definition, with a division, and count what lies outside or on a threshold."""
    for n in range(start, count):
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
            levels[j, n] = level + half_levels
            if keep_state:
                states[n, j] = u[j]


@numba.njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def _unpack(words, levels, count):  # type: ignore[no-untyped-def]
    """Set levels (LANES, STEPS) to those of the first ``count`` words (STEPS / PER_WORD, LANES) of each row."""
    rows = levels.view(np.int64)
    for j in range(0, LANES, 2):
        for n in range(0, count, SIDE):
            turn_pairs(words, n, j, rows, j, n)


@numba.njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def _write(levels, size, half_levels, first, width, begin, stop, quantized, keep_quantized, index, keep_index):  # type: ignore[no-untyped-def]
    """Write the levels of a stretch of a tile's rows: as numbers, as what is stored, or both."""
    lowest = half_levels - 0.5
    for j in range(width):
        level, step = levels[j], size[j]
        if keep_quantized:
            target = quantized[first + j, begin:stop]
            for n in range(stop - begin):
                target[n] = (level[n] - lowest) * step
        if keep_index:
            places = index[first + j, begin:stop]
            for n in range(stop - begin):
                places[n] = level[n]


@numba.njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def _scatter(levels, size, half_levels, first, width, visited, quantized, keep_quantized, index, keep_index):  # type: ignore[no-untyped-def]
    """Do the same where the walk goes elsewhere than along the rows."""
    lowest = half_levels - 0.5
    for j in range(width):
        if keep_quantized:
            target = quantized[first + j]
            for n in range(len(visited)):
                target[visited[n]] = (levels[j, n] - lowest) * size[j]
        if keep_index:
            places = index[first + j]
            for n in range(len(visited)):
                places[visited[n]] = levels[j, n]


@numba.njit(parallel=True, cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def first_order(  # type: ignore[no-untyped-def]
    coefficients, order, in_order, step, half_levels, tie, quantized, keep_quantized, index, keep_index, state,
    keep_state, overload, ties,
):  # fmt: skip
    """First-order ΣΔ along rows; the levels, states and counts of a plain loop, bit for bit.

    Shapes: coefficients (M, N); quantized (M, N), which may be the same array, if ``keep_quantized``; index (M, N) of
    unsigned integers receives k + ``half_levels`` of each level (k + ½)δ if ``keep_index``; state (M, N) if
    ``keep_state``; all with contiguous rows; order (N,) unsigned, the positions in the order they are visited, with
    ``in_order`` if that is 0, 1, …; step, overload, ties (M,). All is indexed by position. Arguments within
    ``tie``·max(|v|, δ) of a threshold go up and are counted in ``ties``. A row whose step is 0 must be all zero; its
    output is 0.

    Tiles of rows are turned into small column-major buffers, so that vector instructions run over many rows. There the
    level is that of the product with 1/δ, and |u| is watched. While it stays below δ/2 less a margin, no argument was
    near a threshold or outside the range, so the quotient has the same level and there is nothing to count. A tile's
    block where that fails is walked again from its start by the definition, and so is what does not fill a word.
    """
    rows, length = coefficients.shape
    for tile in numba.prange((rows + LANES - 1) // LANES):
        first = tile * LANES
        width = min(LANES, rows - first)
        u, before = np.zeros(LANES), np.empty(LANES)
        size, inverse, limit = np.zeros(LANES), np.zeros(LANES), np.zeros(LANES)
        over, met = np.zeros(LANES, np.int64), np.zeros(LANES, np.int64)
        values, states = np.empty((STEPS, LANES)), np.empty((1 + (STEPS - 1) * keep_state, LANES))
        words, levels = np.empty((STEPS // PER_WORD, LANES), np.int64), np.empty((LANES, STEPS), np.uint16)
        if width < LANES:
            values[:] = 0.0
        for j in range(width):
            size[j] = step[first + j]
            if size[j] > 0:
                inverse[j] = 1.0 / size[j]
                limit[j] = size[j] * (0.5 - half_levels * (1.01 * tie + ROUNDING)) if size[j] > SMALLEST else -1.0
        for begin in range(0, length, STEPS):
            count = min(STEPS, length - begin)
            stop = begin + count
            visited = order[begin:stop]
            if in_order:
                _turn_in(coefficients, first, width, begin, count, values)
            else:
                for j in range(width):
                    source = coefficients[first + j]
                    for n in range(count):
                        values[n, j] = source[visited[n]]
            done = 0
            if 4 * width > LANES:  # fewer rows do not fill the lanes
                before[:] = u
                whole = count - count % PER_WORD
                walk = (values, u, size, inverse, limit, half_levels, whole, words, states, keep_state)
                if one_bit_steps(*walk) if half_levels == 1 else steps(*walk):
                    done = whole
                    _unpack(words, levels, whole // PER_WORD)
                else:
                    u[:] = before
            _plain(values, u, size, half_levels, tie, levels, states, keep_state, done, count, width, over, met)
            if in_order:
                _write(
                    levels, size, half_levels, first, width, begin, stop, quantized, keep_quantized, index, keep_index
                )
            else:
                _scatter(levels, size, half_levels, first, width, visited, quantized, keep_quantized, index, keep_index)
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
