"""Walks through points: the nearest neighbour next, and lists of near points."""

from __future__ import annotations

import numba
import numpy as np

from sdqviz.kernels.threads import REORDER


@numba.njit(cache=True, nogil=True, inline="always", fastmath=REORDER)  # type: ignore[untyped-decorator]
def square_distance(points, a, b):  # type: ignore[no-untyped-def]
    """Return ‖e_a − e_b‖²."""
    total = 0.0
    for k in range(points.shape[1]):
        difference = points[a, k] - points[b, k]
        total += difference * difference
    return total


@numba.njit(cache=True, nogil=True, fastmath=REORDER)  # type: ignore[untyped-decorator]
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
            distance = square_distance(points, row, done - 1)
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
