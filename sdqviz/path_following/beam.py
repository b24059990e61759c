"""Walks through a Gram matrix with feedback: one path a vector, or a beam of them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from sdqviz.array import Array
from sdqviz.error import InputError
from sdqviz.kernels import beam
from sdqviz.kernels.threads import run
from sdqviz.path_following.factor import Factor, error_terms
from sdqviz.path_following.walk import BLOCK, Tally, Walk, walk
from sdqviz.progress import ShouldStop, stop_if
from sdqviz.quantizers import QUANTIZERS
from sdqviz.quantizers.quantizer import Grid

Walker = Callable[..., Walk]
"""What walks: `sdqviz.path_following.walk.walk`, or the same on another device."""

MOST_PATHS = 256
"""Paths a vector may have."""

HISTORY = 1 << 23
"""Errors of all paths that are kept at once; vectors are taken in such portions."""


def greedy_walk(
    factor: Factor, base: Array, bits: int, step: Array, should_stop: ShouldStop | None = None, walker: Walker = walk
) -> Array:  # fmt: skip
    """Round value after value to its nearest midrise level, with the feedback of all errors so far.

    Parameters
    ----------
    factor : Factor
        Of the Gram matrix, size N.
    base : ndarray, shape (N, M)
        y, a column per vector.
    bits : int
        Bits per level.
    step : ndarray, shape (M,)
        δ of each vector; 0 makes all its levels 0.
    walker : callable
        `sdqviz.path_following.walk.walk`, or the same on another device.

    Returns
    -------
    ndarray, shape (N, M)
        q.
    """
    return tallied_walk(factor, base, bits, step, should_stop, walker).quantized


def tallied_walk(
    factor: Factor, base: Array, bits: int, step: Array, should_stop: ShouldStop | None = None, walker: Walker = walk,
    into: tuple[Array | None, Array] | None = None,
) -> Walk:  # fmt: skip
    """Do the same and sum up eᵀ(G + λI)e, e = y − q, on the way; ``into`` as for `sdqviz.path_following.walk.walk`."""
    grid, keys = Grid.finite("midrise", bits, step), np.zeros(base.shape[1], np.uint64)
    return walker(
        base, factor.feedback, np.ones(len(base)), QUANTIZERS["nearest"](), grid, keys,
        tally=Tally(factor.pivots, coupled=False), should_stop=should_stop, into=into,
    )  # fmt: skip


def beam_walk(
    factor: Factor, base: Array, bits: int, step: Array, paths: int, should_stop: ShouldStop | None = None,
    greedy: Array | None = None,
) -> Array:  # fmt: skip
    """Keep the ``paths`` paths of least Σ D_t(v_t − q_t)², and return of them and the greedy one the best.

    Parameters
    ----------
    factor, base, bits, step
        As for `greedy_walk`.
    paths : int
        How many paths each vector keeps, 1 to `MOST_PATHS`; 1 is the greedy walk.
    greedy : ndarray, shape (N, M), optional
        The greedy walk, where it is known already.

    Returns
    -------
    ndarray, shape (N, M)
        q.

    Raises
    ------
    InputError
        If ``paths`` is out of range.
    """
    if not 1 <= paths <= MOST_PATHS:
        raise InputError(f"paths must be between 1 and {MOST_PATHS}, got {paths}")
    best = greedy_walk(factor, base, bits, step, should_stop) if greedy is None else greedy.copy()
    if paths == 1:
        return best
    length, vectors = base.shape
    together = max(1, HISTORY // (length * paths))
    for first in range(0, vectors, together):
        part = slice(first, first + together)
        own = np.ascontiguousarray(base[:, part])
        found = own - _beam(factor, own, 2 ** (bits - 1), np.ascontiguousarray(step[part]), paths, should_stop)
        # a level's value, free of the rounding of the differences it was formed from
        size = np.where(step[part] > 0, step[part], 1.0)
        found = (np.rint(found / size - 0.5) + 0.5) * step[part]
        costs = [error_terms(factor, own - levels).sum(axis=0) for levels in (found, best[:, part])]
        best[:, part] = np.where(costs[0] < costs[1], found, best[:, part])
    return best


def _beam(
    factor: Factor, base: Array, half: int, step: Array, paths: int, should_stop: ShouldStop | None
) -> Array:  # fmt: skip
    """Return the errors y − q of the best path of each vector, shape (N, M)."""
    length, vectors = base.shape
    history = np.zeros((length, vectors, paths))
    cost, alive = np.zeros((vectors, paths)), np.ones(vectors, np.int64)
    ancestor = np.zeros((vectors, paths), np.int64)
    for start in range(0, length, BLOCK):
        stop_if(should_stop)
        stop = min(start + BLOCK, length)
        past = history[:start].reshape(start, vectors * paths)
        earlier = (factor.feedback[start:stop, :start] @ past).reshape(stop - start, vectors, paths)
        run(
            beam.beam_block, base, earlier, factor.feedback, factor.pivots, start, half, step, alive, cost,
            history[start:stop], ancestor,
        )  # fmt: skip
        run(beam.follow, history[:start], ancestor)
    best = np.argmin(np.where(np.arange(paths) < alive[:, None], cost, np.inf), axis=1)
    return np.take_along_axis(history, best[None, :, None], axis=2)[:, :, 0]
