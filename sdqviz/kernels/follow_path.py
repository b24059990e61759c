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
def _shrunk(values, step, offset, lowest, highest, keys, name, threshold, shrink, rounding, quantized, over):  # type: ignore[no-untyped-def]
    """Shrink a row of values, then round what is not settled by that, one after the other."""
    random = shrink == SHRINK_RANDOM or rounding == ROUND_RANDOM
    for j in range(len(values)):
        v, c, size = values[j], threshold[j], step[j]
        u = _uniform(keys[j], name) if random else 0.0
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
            x = q / size - offset if size > 0 else 0.0
            if rounding == ROUND_NEAREST:
                over[j] += x < lowest[j] - 0.5 or x > highest[j] + 0.5
                level = np.floor(x + 0.5)
            else:
                over[j] += x < lowest[j] or x > highest[j]
                level = np.floor(x)
                level += u < x - level
            q = (min(max(level, lowest[j]), highest[j]) + offset) * size
        quantized[j] = q


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
                _shrunk(
                    values, size, offset, low, high, keys[part], name, threshold[part], shrink, rounding, kept, over
                )  # fmt: skip
            _missed(reference[t, part], kept, values, total, share[t], coupled, errors[n], squares)
        _copy(found, quantized[rows, part])
        _copy(errors, error[rows, part])
