"""The numba kernels, and the one way to run them from several threads at once.

Streamlit calls the engine from many threads. With numba's workqueue threading layer two parallel
kernels running at the same time abort the process, so every parallel kernel goes through `run`,
which takes a process-wide lock unless the layer is one that allows concurrent callers.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any

import numba
import numpy as np

from sdqviz.kernels.draws import FIRST, GOLDEN, SECOND

TILE = 16
"""Sequences one thread walks at once: several vector registers wide."""

BLOCK = 64
"""Steps walked between two turns of the buffer: a tile's buffers stay in the first-level cache."""

_lock = threading.Lock()
_concurrent_layer: bool | None = None


def run(kernel: Callable[..., Any], *arguments: Any) -> Any:
    """Call a parallel kernel safely from any thread."""
    global _concurrent_layer  # noqa: PLW0603 - decided once for the process, under the lock
    if _concurrent_layer:
        return kernel(*arguments)
    with _lock:
        result = kernel(*arguments)
        if _concurrent_layer is None:
            _concurrent_layer = numba.threading_layer() in {"omp", "tbb"}
    return result


def threading_layer() -> str:
    """Return numba's threading layer, starting it if no kernel has run yet."""
    warm_up()
    return str(numba.threading_layer())


def threads() -> int:
    """Return how many threads a parallel kernel uses."""
    return int(numba.get_num_threads())


def set_threads(count: int) -> None:
    """Limit the threads of parallel kernels in this process (sweep workers use one)."""
    numba.set_num_threads(max(1, min(count, os.cpu_count() or 1)))


def warm_up() -> None:
    """Compile, or load from numba's cache, every kernel; costs seconds once per machine."""
    tiny = np.zeros((1, 2))
    order = np.arange(2, dtype=np.uint32)
    counts = np.zeros(1, np.int64)
    run(sigma_delta, tiny, order, np.ones(1), 1, 0, 1, tiny.copy(), tiny.copy(), True, counts)
    run(walsh_hadamard, np.zeros((1, 2)), 0, 1)
    run(rounding_errors, tiny, np.ones((1, 1)), 1, np.empty((1, 1)))
    points, walk, nearest = np.eye(2), np.arange(2), np.zeros((2, 1), np.int32)
    one, two = np.ones(1), np.zeros((2, 1))
    run(
        follow_path, two, two, two, np.zeros((2, 2)), np.ones(2), np.ones(2, np.bool_), np.arange(2), 0,
        np.zeros(1, np.uint64), 0, one, 1, one, 0.5, -1.0, 0.0, two.copy(), two.copy(), np.zeros(1, np.int64)
    )  # fmt: skip
    extend_walk(points, walk, 1, 2)
    run(nearest_lists, np.eye(2), np.ones(2), 0, nearest)
    shorten_walk(points, nearest, walk, np.argsort(walk), np.arange(2), np.ones(2, np.bool_), np.array([0, 2]), 1)


@numba.njit(parallel=True, cache=True, error_model="numpy")  # type: ignore[untyped-decorator]
def sigma_delta(coefficients, order, step, half_levels, start, stop, quantized, state, keep_state, overload):  # type: ignore[no-untyped-def]
    """First-order ΣΔ along rows ``start:stop``; the arithmetic of a plain loop, bit for bit.

    Shapes: coefficients, quantized (M, N), may be the same array; state (M, N) if ``keep_state``;
    order (N,), the positions in the order they are visited; step, overload (M,). Everything is
    indexed by position. A row whose step is 0 must be all zero; its output is 0.

    A tile of rows is turned into a small column-major buffer, so that the sequential recursion runs
    over many rows at once with vector instructions while the arrays keep one sequence per row, as
    the fast transforms want it.
    """
    tiles = (stop - start + TILE - 1) // TILE
    length = coefficients.shape[1]
    in_order = True
    for n in range(length):
        in_order = in_order and order[n] == n
    for tile in numba.prange(tiles):
        first = start + tile * TILE
        width = min(TILE, stop - first)
        u = np.zeros(width)
        size = np.empty(width)
        divisor = np.empty(width)
        limit = np.empty(width)
        over = np.zeros(width, np.int64)
        values = np.empty((BLOCK, width))
        states = np.empty((BLOCK, width))
        for j in range(width):
            size[j] = step[first + j]
            divisor[j] = size[j] if size[j] > 0 else 1.0
            limit[j] = half_levels * size[j]
        for begin in range(0, length, BLOCK):
            count = min(BLOCK, length - begin)
            visited = order[begin : begin + count]
            for j in range(width):
                source = coefficients[first + j]
                if in_order:
                    for n in range(count):
                        values[n, j] = source[begin + n]
                else:
                    for n in range(count):
                        values[n, j] = source[visited[n]]
            for n in range(count):
                for j in range(width):
                    v = u[j] + values[n, j]
                    level = min(max(np.floor(v / divisor[j]), -half_levels), half_levels - 1)
                    q = (level + 0.5) * size[j]
                    u[j] = v - q
                    over[j] += abs(v) > limit[j]
                    values[n, j] = q
                    states[n, j] = u[j]
            for j in range(width):
                target = quantized[first + j]
                if in_order:
                    for n in range(count):
                        target[begin + n] = values[n, j]
                else:
                    for n in range(count):
                        target[visited[n]] = values[n, j]
            if keep_state:
                for j in range(width):
                    kept = state[first + j]
                    for n in range(count):
                        kept[visited[n]] = states[n, j]
        for j in range(width):
            overload[first + j] = over[j]


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


_REORDER = {"reassoc", "contract", "nsz"}
"""Licence to sum squares in any order, which vector instructions need; NaN and infinity stay what they are."""


@numba.njit(parallel=True, cache=True, nogil=True, error_model="numpy", fastmath=_REORDER)  # type: ignore[untyped-decorator]
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


@numba.njit(cache=True, nogil=True, inline="always", fastmath=_REORDER)  # type: ignore[untyped-decorator]
def _square_distance(points, a, b):  # type: ignore[no-untyped-def]
    total = 0.0
    for k in range(points.shape[1]):
        difference = points[a, k] - points[b, k]
        total += difference * difference
    return total


@numba.njit(cache=True, nogil=True, fastmath=_REORDER)  # type: ignore[untyped-decorator]
def extend_walk(points, walk, start, stop):  # type: ignore[no-untyped-def]
    """Choose the stops ``start:stop`` of a nearest-neighbour walk, by full search.

    ``points`` (N, d) and ``walk`` (N,) are permuted together, in place: the stops chosen so far come
    first, ``start ≥ 1``. Equal distances go to the smaller entry of ``walk``. Not parallel: threads
    would have to meet after every stop, which costs more than it saves once the cores are shared.
    """
    count, dimension = points.shape
    for done in range(start, stop):
        least = np.inf
        chosen = done
        for row in range(done, count):
            distance = _square_distance(points, row, done - 1)
            if distance < least or (distance == least and walk[row] < walk[chosen]):
                least = distance
                chosen = row
        for k in range(dimension):
            points[chosen, k], points[done, k] = points[done, k], points[chosen, k]
        walk[chosen], walk[done] = walk[done], walk[chosen]


@numba.njit(parallel=True, cache=True, nogil=True)  # type: ignore[untyped-decorator]
def nearest_lists(products, squares, start, nearest):  # type: ignore[no-untyped-def]
    """Fill rows of ``nearest`` (N, K) with the K nearest vectors of each vector, nearest first.

    ``products`` (B, N) holds the inner products of vectors ``start … start+B−1`` with all N;
    ``squares`` (N,) the squared norms, so that ‖e_n−e_m‖² = squares + squares − 2·products.
    """
    count, width = squares.shape[0], nearest.shape[1]
    for row in numba.prange(products.shape[0]):
        owner = start + row
        kept = np.full(width, np.inf)
        names = nearest[owner]
        for other in range(count):
            distance = squares[other] - 2 * products[row, other]
            if distance < kept[width - 1] and other != owner:
                place = width - 1
                while place > 0 and distance < kept[place - 1]:
                    kept[place] = kept[place - 1]
                    names[place] = names[place - 1]
                    place -= 1
                kept[place] = distance
                names[place] = other


@numba.njit(cache=True, nogil=True, inline="always")  # type: ignore[untyped-decorator]
def _call(queue, queued, ends, city):  # type: ignore[no-untyped-def]
    """Put ``city`` at the end of the circular queue, unless it waits there already."""
    if not queued[city]:
        queue[(ends[0] + ends[1]) % queue.shape[0]] = city
        ends[1] += 1
        queued[city] = True


@numba.njit(cache=True, nogil=True, fastmath=_REORDER)  # type: ignore[untyped-decorator]
def shorten_walk(points, nearest, walk, position, queue, queued, ends, budget):  # type: ignore[no-untyped-def]
    """Shorten an open walk by 2-opt and Or-opt moves until none helps or ``budget`` is spent.

    Shapes: points (N, d); nearest (N, K), neighbours sorted by distance; walk (N,) and its inverse
    ``position``; ``queue`` (N,) a circular queue of the vectors still to be looked at, with the flags
    ``queued`` (N,) and ``ends`` = (first, count). All but the first two are changed in place, so a
    later call goes on where this one stopped. The budget counts moves tried and stops shifted.

    2-opt turns a piece of the walk round; Or-opt moves a piece of up to three stops elsewhere, either
    way round. A new step is only tried to a neighbour nearer than the length it must save: every
    improving 2-opt move has such a step, an Or-opt move need not, so with complete lists Or-opt
    tries all of them.
    """
    count, width = nearest.shape
    little = 1e-12  # a gain below rounding could be taken back and forth for ever
    piece = np.empty(3, np.int64)
    spent = 0
    while ends[1] > 0 and spent < budget:
        a = queue[ends[0]]
        ends[0] = (ends[0] + 1) % count
        ends[1] -= 1
        queued[a] = False
        again = True
        while again:
            again = False
            # 2-opt: replace the steps a-b and c-d by a-c and b-d; past an end of the walk steps cost nothing
            for side in (1, -1):
                i = position[a]
                if again:
                    continue
                at_end = not 0 <= i + side < count
                b = a if at_end else walk[i + side]
                ab = np.sqrt(_square_distance(points, a, b))
                for candidate in range(width):
                    c = np.int64(nearest[a, candidate])
                    ac = np.sqrt(_square_distance(points, a, c))
                    spent += 1
                    if ac >= ab and not at_end:
                        break
                    j = position[c]
                    gain = ab - ac
                    d = c
                    if 0 <= j + side < count:
                        d = walk[j + side]
                        gain += np.sqrt(_square_distance(points, c, d))
                        if not at_end:
                            gain -= np.sqrt(_square_distance(points, b, d))
                    if gain > little:
                        low, high = (min(i, j) + 1, max(i, j)) if side == 1 else (min(i, j), max(i, j) - 1)
                        spent += (high - low) // 8
                        while low < high:
                            first, last = walk[low], walk[high]
                            walk[low], walk[high] = last, first
                            position[last], position[first] = low, high
                            low += 1
                            high -= 1
                        for city in (a, b, c, d):
                            _call(queue, queued, ends, city)
                        again = True
                        break
            if again:
                continue
            # Or-opt: take a piece that has a at one end, put it beside c with a next to c
            for length in (1, 2, 3):
                for side in (1, -1):
                    if again or length >= count or (length == 1 and side == -1):
                        continue
                    i = position[a]
                    low, high = (i, i + length - 1) if side == 1 else (i - length + 1, i)
                    if low < 0 or high >= count:
                        continue
                    z = walk[i + side * (length - 1)]
                    saved = 0.0
                    before, after = walk[max(low - 1, 0)], walk[min(high + 1, count - 1)]
                    if low > 0:
                        saved += np.sqrt(_square_distance(points, before, walk[low]))
                    if high < count - 1:
                        saved += np.sqrt(_square_distance(points, walk[high], after))
                    if low > 0 and high < count - 1:
                        saved -= np.sqrt(_square_distance(points, before, after))
                    for candidate in range(width):
                        c = np.int64(nearest[a, candidate])
                        ac = np.sqrt(_square_distance(points, a, c))
                        spent += 1
                        if ac >= saved and width < count - 1:
                            break
                        j = position[c]
                        if low <= j <= high:
                            continue
                        for way in (1, -1):  # the far end z comes after c (1) or before it (−1)
                            e_place = j + way
                            if low <= e_place <= high:
                                continue
                            gain = saved - ac
                            e = c
                            if 0 <= e_place < count:
                                e = walk[e_place]
                                gain += np.sqrt(_square_distance(points, c, e))
                                gain -= np.sqrt(_square_distance(points, z, e))
                            if gain <= little:
                                continue
                            for k in range(length):
                                piece[k] = walk[i + side * k]  # a first
                            if j > high:
                                last = j if way == 1 else j - 1
                                for place in range(high + 1, last + 1):
                                    walk[place - length] = walk[place]
                                    position[walk[place]] = place - length
                                first = last - length + 1
                                spent += (last - high) // 8
                            else:
                                first = j + 1 if way == 1 else j
                                for place in range(low - 1, first - 1, -1):
                                    walk[place + length] = walk[place]
                                    position[walk[place]] = place + length
                                spent += (low - first) // 8
                            for k in range(length):
                                place = first + k if way == 1 else first + length - 1 - k
                                walk[place] = piece[k]
                                position[piece[k]] = place
                            for city in (a, z, before, after, c, e):
                                _call(queue, queued, ends, city)
                            again = True
                            break
                        if again:
                            break
            if again and spent >= budget:
                _call(queue, queued, ends, a)
                again = False


SHRINK_NONE, SHRINK_RANDOM, SHRINK_SOFT, SHRINK_HARD = range(4)
"""What `follow_path` does with small values: nothing, ±c or 0 at random, move all towards 0, set to 0."""

ROUND_NONE, ROUND_NEAREST, ROUND_RANDOM = range(3)
"""How `follow_path` goes to a level."""


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
    base, reference, earlier, feedback, gain, alive, names, start, keys, shrink, threshold, rounding, step, offset,
    lowest, highest, quantized, error, overload,
):  # fmt: skip
    """One block of the walk v_t = base_t + gain_t·Σ_{j<t} feedback_tj e_j, q_t = T(v_t), e_t = reference_t − q_t.

    Shapes: base, reference, quantized, error (N, M), a column per neuron; earlier (B, M), the part of
    the sum that comes from before ``start``; feedback (N, N), read strictly below its diagonal; gain,
    alive, names (N,), names being the positions that the random numbers are keyed by; keys, threshold,
    step, overload (M,). Levels are (k + offset)·step with lowest ≤ k ≤ highest. Dead inputs get q = 0.

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
                    size = step[column]
                    x = q / size - offset if size > 0 else 0.0
                    if rounding == ROUND_NEAREST:
                        overload[column] += x < lowest - 0.5 or x > highest + 0.5
                        level = np.floor(x + 0.5)
                    else:
                        overload[column] += x < lowest or x > highest
                        level = np.floor(x)
                        level += u < x - level
                    q = (min(max(level, lowest), highest) + offset) * size
                quantized[t, column] = q
                errors[n, j] = reference[t, column] - q
                error[t, column] = errors[n, j]
