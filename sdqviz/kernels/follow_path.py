"""One block of the walk that all path-following methods share."""

from __future__ import annotations

import numba
import numpy as np

from sdqviz.kernels.draws import FIRST, GOLDEN, SECOND
from sdqviz.kernels.rules import (
    ROUND_NEAREST,
    ROUND_NONE,
    ROUND_RANDOM,
    SHRINK_HARD,
    SHRINK_NONE,
    SHRINK_RANDOM,
    SHRINK_SOFT,
)

LANES = 128
"""Neurons walked together: rows long enough to be read at the speed of memory, a block of them short enough to stay in
the cache."""


@numba.njit(cache=True, nogil=True, inline="always")  # type: ignore[untyped-decorator]
def _uniform(key, weight):  # type: ignore[no-untyped-def]
    """Return the number of `sdqviz.kernels.draws.uniforms`."""
    z = key + (np.uint64(weight) + np.uint64(1)) * np.uint64(GOLDEN)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(FIRST)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(SECOND)
    z = z ^ (z >> np.uint64(31))
    return np.float64(z >> np.uint64(11)) * 2.0**-53


@numba.njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def _fed_back(total, factors, errors):  # type: ignore[no-untyped-def]
    """Add Σ_s factors_s·errors_s to ``total``, term after term; four of them for each time it is loaded."""
    count = len(factors)
    whole = count - count % 4
    for s in range(0, whole, 4):
        a, b, c, d = factors[s], factors[s + 1], factors[s + 2], factors[s + 3]
        first, second, third, fourth = errors[s], errors[s + 1], errors[s + 2], errors[s + 3]
        for j in range(len(total)):
            total[j] = (((total[j] + a * first[j]) + b * second[j]) + c * third[j]) + d * fourth[j]
    for s in range(whole, count):
        factor, own = factors[s], errors[s]
        for j in range(len(total)):
            total[j] += factor * own[j]


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _copy(source, target):  # type: ignore[no-untyped-def]
    """Copy rows, all of them before any is needed: their way from memory is then one, not one after the other."""
    for n in range(target.shape[0]):
        for j in range(target.shape[1]):
            target[n, j] = source[n, j]


@numba.njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def _nearest(values, step, offset, lowest, highest, quantized, over):  # type: ignore[no-untyped-def]
    """Round a row of values to the nearest level, all at once."""
    for j in range(len(values)):
        size = step[j]
        x = values[j] / (size if size > 0 else 1.0) - offset
        x = x if size > 0 else 0.0
        level = np.floor(x + 0.5)
        over[j] += np.int64(x < lowest[j] - 0.5) | np.int64(x > highest[j] + 0.5)
        level = level if level > lowest[j] else lowest[j]
        level = level if level < highest[j] else highest[j]
        quantized[j] = (level + offset) * size


@numba.njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def _missed(aim, found, values, total, share, coupled, errors, squares):  # type: ignore[no-untyped-def]
    """Keep a row's errors, and add up what they cost."""
    for j in range(len(found)):
        e = aim[j] - found[j]
        errors[j] = e
        miss = values[j] - found[j]
        squares[j] += e * (share * e + 2.0 * total[j]) if coupled else share * miss * miss


@numba.njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def _draw(keys, name, drawn):  # type: ignore[no-untyped-def]
    """Draw the random numbers of a row."""
    for j in range(len(keys)):
        drawn[j] = _uniform(keys[j], name)


@numba.njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def _at_random(values, step, offset, lowest, highest, keys, name, quantized, over):  # type: ignore[no-untyped-def]
    """Round a row of values down or up at random, all at once."""
    for j in range(len(values)):
        size = step[j]
        x = values[j] / (size if size > 0 else 1.0) - offset
        x = x if size > 0 else 0.0
        level = np.floor(x)
        over[j] += np.int64(x < lowest[j]) | np.int64(x > highest[j])
        level += 1.0 if _uniform(keys[j], name) < x - level else 0.0
        level = level if level > lowest[j] else lowest[j]
        level = level if level < highest[j] else highest[j]
        quantized[j] = (level + offset) * size


@numba.njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def _shrunk(values, threshold, shrink, drawn, quantized, settled):  # type: ignore[no-untyped-def]
    """Shrink a row of values, all at once; ``settled`` is 1 where that is the end of it, and 0 elsewhere."""
    if shrink == SHRINK_RANDOM:
        for j in range(len(values)):
            v, c = values[j], threshold[j]
            height = abs(v)
            jump = (c if v > 0 else -c) if drawn[j] < height / c else 0.0
            quantized[j] = jump if height < c else v
            settled[j] = 1.0 if height < c else 0.0
    elif shrink == SHRINK_SOFT:
        for j in range(len(values)):
            above, below = values[j] - threshold[j], values[j] + threshold[j]
            q = (above if above > 0 else 0.0) + (below if below < 0 else 0.0)
            quantized[j] = q
            settled[j] = 1.0 if q == 0 else 0.0
    else:
        for j in range(len(values)):
            small = shrink == SHRINK_HARD and abs(values[j]) <= threshold[j]
            quantized[j] = 0.0 if small else values[j]
            settled[j] = 1.0 if small else 0.0


@numba.njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def _rounded(settled, step, offset, lowest, highest, drawn, rounding, quantized, over):  # type: ignore[no-untyped-def]
    """Round what is not settled in a row of shrunk values, all at once."""
    nearest = rounding == ROUND_NEAREST
    room = 0.5 if nearest else 0.0
    for j in range(len(quantized)):
        size, q = step[j], quantized[j]
        x = q / (size if size > 0 else 1.0) - offset
        x = x if size > 0 else 0.0
        level = np.floor(x + room)
        over[j] += (np.int64(x < lowest[j] - room) | np.int64(x > highest[j] + room)) & np.int64(settled[j] == 0)
        level += 1.0 if (not nearest) & (drawn[j] < x - level) else 0.0
        level = level if level > lowest[j] else lowest[j]
        level = level if level < highest[j] else highest[j]
        quantized[j] = q if settled[j] > 0 else (level + offset) * size


@numba.njit(parallel=True, cache=True, error_model="numpy")  # type: ignore[untyped-decorator]
def follow_path(  # type: ignore[no-untyped-def]
    base, reference, earlier, feedback, gain, alive, names, start, keys, shrink, threshold, rounding, block, step,
    offset, lowest, highest, share, coupled, begin, quantized, error, overload, missed,
):  # fmt: skip
    """One block of the walk v_t = base_t + gain_t·Σ_{j<t} feedback_tj e_j, q_t = T(v_t), e_t = reference_t − q_t.

    Shapes: base, reference, quantized, error (N, M), a column per neuron, of which those from ``begin`` on are walked,
    as many as ``earlier`` (B, m) has, the part of the sum that comes from before ``start``; feedback (N, N), read
    strictly below its diagonal; gain, alive, names, share (N,), names being the positions that the random numbers are
    keyed by; keys, threshold, overload, missed (M,); step, lowest, highest (B, M), a row for every ``block`` positions.
    Levels are (k + offset)·step with lowest ≤ k ≤ highest. Dead inputs get q = 0. To ``missed`` is added
    Σ_t share_t(v_t − q_t)², or if ``coupled`` Σ_t e_t(share_t e_t + 2Σ_{j<t} feedback_tj e_j), which is eᵀFe of a
    symmetric F with F_tt = share.

    Threads share the neurons, so nothing depends on their number.
    """
    count, neurons = earlier.shape
    nearest = shrink == SHRINK_NONE and rounding == ROUND_NEAREST
    anywhere = shrink == SHRINK_NONE and rounding == ROUND_RANDOM
    for tile in numba.prange((neurons + LANES - 1) // LANES):
        first = begin + tile * LANES
        width = min(LANES, begin + neurons - first)
        part, rows = slice(first, first + width), slice(start, start + count)
        sums, own = np.empty((count, width)), np.empty((count, width))
        found, errors, values = np.empty((count, width)), np.empty((count, width)), np.empty(width)
        drawn, settled = np.zeros(width), np.empty(width)
        _copy(earlier[:, first - begin : first - begin + width], sums)
        _copy(base[rows, part], own)
        squares, over = missed[part], overload[part]
        for n in range(count):
            t = start + n
            row, name = names[t] // block, names[t]
            total, kept = sums[n], found[n]
            _fed_back(total, feedback[t, start:t], errors)
            for j in range(width):
                values[j] = own[n, j] + gain[t] * total[j]
            size, low, high = step[row, part], lowest[row, part], highest[row, part]
            if not alive[t]:
                kept[:] = 0.0
            elif nearest:
                _nearest(values, size, offset, low, high, kept, over)
            elif anywhere:
                _at_random(values, size, offset, low, high, keys[part], name, kept, over)
            else:
                if shrink == SHRINK_RANDOM or rounding == ROUND_RANDOM:
                    _draw(keys[part], name, drawn)
                _shrunk(values, threshold[part], shrink, drawn, kept, settled)
                if rounding != ROUND_NONE:
                    _rounded(settled, size, offset, low, high, drawn, rounding, kept, over)
            _missed(reference[t, part], kept, values, total, share[t], coupled, errors[n], squares)
        _copy(found, quantized[rows, part])
        _copy(errors, error[rows, part])
