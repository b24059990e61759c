"""Open walks shortened by 2-opt and Or-opt moves."""

from __future__ import annotations

import numba
import numpy as np

from sdqviz.kernels.threads import REORDER
from sdqviz.kernels.tour import square_distance

LITTLE = 1e-12
"""A gain below rounding could be taken back and forth for ever."""


@numba.njit(cache=True, nogil=True, inline="always")  # type: ignore[untyped-decorator]
def _call(queue, queued, ends, city):  # type: ignore[no-untyped-def]
    """Put ``city`` at the end of the circular queue, unless it waits there already."""
    if not queued[city]:
        queue[(ends[0] + ends[1]) % queue.shape[0]] = city
        ends[1] += 1
        queued[city] = True


@numba.njit(cache=True, nogil=True, inline="always", fastmath=REORDER)  # type: ignore[untyped-decorator]
def _distance(points, a, b):  # type: ignore[no-untyped-def]
    return np.sqrt(square_distance(points, a, b))


@numba.njit(cache=True, nogil=True, inline="always")  # type: ignore[untyped-decorator]
def _turn(walk, position, low, high):  # type: ignore[no-untyped-def]
    """Turn the piece low … high of the walk round."""
    while low < high:
        first, last = walk[low], walk[high]
        walk[low], walk[high] = last, first
        position[last], position[first] = low, high
        low += 1
        high -= 1


@numba.njit(cache=True, nogil=True, fastmath=REORDER)  # type: ignore[untyped-decorator]
def _two_opt(points, nearest, walk, position, queue, queued, ends, a):  # type: ignore[no-untyped-def]
    """Replace the steps a-b and c-d by a-c and b-d if that helps; past an end of the walk steps cost nothing.

    Returns whether a move was made, and the work done.
    """
    count, width = nearest.shape
    spent, i = 0, position[a]
    for side in (1, -1):
        at_end = not 0 <= i + side < count
        b = a if at_end else walk[i + side]
        ab = _distance(points, a, b)
        for candidate in range(width):
            c = np.int64(nearest[a, candidate])
            ac = _distance(points, a, c)
            spent += 1
            if ac >= ab and not at_end:
                break
            j = position[c]
            gain = ab - ac
            d = c
            if 0 <= j + side < count:
                d = walk[j + side]
                gain += _distance(points, c, d)
                if not at_end:
                    gain -= _distance(points, b, d)
            if gain > LITTLE:
                low, high = (min(i, j) + 1, max(i, j)) if side == 1 else (min(i, j), max(i, j) - 1)
                _turn(walk, position, low, high)
                for city in (a, b, c, d):
                    _call(queue, queued, ends, city)
                return True, spent + max(high - low, 0) // 8
    return False, spent


@numba.njit(cache=True, nogil=True, inline="always")  # type: ignore[untyped-decorator]
def _put(walk, position, i, side, length, low, high, j, way):  # type: ignore[no-untyped-def]
    """Move the piece low … high, which begins with its end at i, beside place j; return the stops shifted."""
    piece = np.empty(3, np.int64)
    for k in range(length):
        piece[k] = walk[i + side * k]  # the stop at i first
    if j > high:
        last = j if way == 1 else j - 1
        for place in range(high + 1, last + 1):
            walk[place - length] = walk[place]
            position[walk[place]] = place - length
        first = last - length + 1
        shifted = last - high
    else:
        first = j + 1 if way == 1 else j
        for place in range(low - 1, first - 1, -1):
            walk[place + length] = walk[place]
            position[walk[place]] = place + length
        shifted = low - first
    for k in range(length):
        place = first + k if way == 1 else first + length - 1 - k
        walk[place] = piece[k]
        position[piece[k]] = place
    return shifted


@numba.njit(cache=True, nogil=True, fastmath=REORDER)  # type: ignore[untyped-decorator]
def _or_opt(points, nearest, walk, position, queue, queued, ends, a, length, side):  # type: ignore[no-untyped-def]
    """Take a piece of ``length`` stops that has a at one end and put it beside c, a next to c, if that helps.

    Returns whether a move was made, and the work done.
    """
    count, width = nearest.shape
    spent, i = 0, position[a]
    low, high = (i, i + length - 1) if side == 1 else (i - length + 1, i)
    if low < 0 or high >= count:
        return False, spent
    z = walk[i + side * (length - 1)]
    saved = 0.0
    before, after = walk[max(low - 1, 0)], walk[min(high + 1, count - 1)]
    if low > 0:
        saved += _distance(points, before, walk[low])
    if high < count - 1:
        saved += _distance(points, walk[high], after)
    if low > 0 and high < count - 1:
        saved -= _distance(points, before, after)
    for candidate in range(width):
        c = np.int64(nearest[a, candidate])
        ac = _distance(points, a, c)
        spent += 1
        if ac >= saved and width < count - 1:
            break
        j = position[c]
        if low <= j <= high:
            continue
        for way in (1, -1):  # the far end z comes after c (1) or before it (−1)
            beside = j + way
            if low <= beside <= high:
                continue
            gain = saved - ac
            e = c
            if 0 <= beside < count:
                e = walk[beside]
                gain += _distance(points, c, e)
                gain -= _distance(points, z, e)
            if gain > LITTLE:
                spent += _put(walk, position, i, side, length, low, high, j, way) // 8
                for city in (a, z, before, after, c, e):
                    _call(queue, queued, ends, city)
                return True, spent
    return False, spent


@numba.njit(cache=True, nogil=True, fastmath=REORDER)  # type: ignore[untyped-decorator]
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
    count = len(walk)
    spent = 0
    while ends[1] > 0 and spent < budget:
        a = queue[ends[0]]
        ends[0] = (ends[0] + 1) % count
        ends[1] -= 1
        queued[a] = False
        moved = True
        while moved:
            moved, work = _two_opt(points, nearest, walk, position, queue, queued, ends, a)
            spent += work
            if moved:
                continue
            for length in (1, 2, 3):
                for side in (1, -1):
                    if not moved and length < count and not (length == 1 and side == -1):
                        moved, work = _or_opt(points, nearest, walk, position, queue, queued, ends, a, length, side)
                        spent += work
            if moved and spent >= budget:
                _call(queue, queued, ends, a)
                moved = False
