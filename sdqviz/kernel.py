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
