"""Wang's order: cubes cut into cubes, one visited to the end before the next."""

from __future__ import annotations

import dataclasses

import numpy as np

from sdqviz.array import Array, Index
from sdqviz.frames.frame import Frame
from sdqviz.frames.permutations import PERMUTATIONS
from sdqviz.frames.permutations.permutation import PermutationChoice
from sdqviz.progress import Progress, ShouldStop, report, stop_if

DEPTH = 50
"""Cuts after which vectors count as equal: then they are at most √d·2^−49 apart."""


@PERMUTATIONS.register
@dataclasses.dataclass(frozen=True)
class Wang(PermutationChoice):
    """Cut [−1,1]^d into 2^d cubes of half the side, order the vectors inside each cube in the same way, join.

    Cubes follow each other in reflected Gray order, so consecutive ones share a face if none between
    them is empty. O(Nd log N) at most, usually O(Nd).

    Notes
    -----
    Wang, *Sigma–Delta quantization errors and the traveling salesman problem*, Adv. Comput. Math. 28
    (2008): for unit-norm frames, d ≥ 3, some order has σ ≤ C(N^(1−1/d) − 1) with C = 4√(d+3).
    This one does, whatever the order of the cubes, by induction on the cuts: a cube of half the side
    with N_i vectors contributes at most (C/2)(N_i^(1−1/d) − 1), and joining k non-empty cubes adds at
    most (k−1)·2√d. As Σ N_i^(1−1/d) ≤ k^(1/d) N^(1−1/d), k ≤ 2^d and N ≥ k, it suffices that
    2√d(k−1) ≤ C(k^(1−1/d) − 1); its right side is concave in k, so k = 2^d is the worst case, where
    it reads √d/(2√(d+3)) ≤ (2^(d−1)−1)/(2^d−1): true for every d ≥ 2.

    Examples
    --------
    >>> from sdqviz.frames import FRAMES
    >>> Wang().order(FRAMES["platonic"](size=8).build())  # the Gray code of the corners of a cube
    array([7, 6, 4, 5, 1, 0, 2, 3])
    >>> frame = FRAMES["random"](dimension=3, size=1000).build()
    >>> bound = 4 * np.sqrt(6) * (1000 ** (2 / 3) - 1)
    >>> bool(frame.variation(Wang().order(frame)) < 0.2 * bound)
    True
    """

    name = "wang"
    title = "Wang's cubes"

    def order(
        self, frame: Frame, seed: int = 0, progress: Progress | None = None, should_stop: ShouldStop | None = None
    ) -> Index:
        """Return the order; it does not depend on the seed.

        Vectors outside [−1,1]^d (of a frame that is not unit-norm) are scaled into it first.

        Raises
        ------
        InputError
            If the frame vectors would not fit in memory.
        Stopped
            If ``should_stop`` asks for it.
        """
        stop_if(should_stop)
        vectors = frame.vectors
        scaled = vectors / max(1.0, float(np.abs(vectors).max()))
        # binary digits of the place in [−1,1): the first says which half, the second which quarter, …
        binary = np.minimum((scaled + 1) * 2.0 ** (DEPTH - 1), 2.0**DEPTH - 1).astype(np.int64)
        walk = np.arange(frame.size)
        group = np.zeros(frame.size, np.int64)  # vectors of one cube carry one number, in walking order
        odd = np.zeros(frame.size, np.bool_)  # whether the vector's cube is walked through backwards
        for depth in range(DEPTH):
            stop_if(should_stop)
            crowded = np.flatnonzero(np.bincount(group)[group] > 1)
            if len(crowded) == 0:
                break
            report(progress, frame.size - len(crowded), frame.size, f"cubes of side 2^{-depth}")
            places, own = walk[crowded], group[crowded]
            digits = (binary[places] >> (DEPTH - 1 - depth)) & 1 == 1
            keys, odd[crowded] = _gray_rank(digits, odd[crowded])
            by_cube = np.lexsort((*keys.T[::-1], own))
            walk[crowded] = places[by_cube]
            odd[crowded] = odd[crowded][by_cube]
            # number the new cubes: a new one begins where the old cube or the key changes
            begins = np.ones(frame.size, np.bool_)
            begins[1:] = group[1:] != group[:-1]
            ordered = keys[by_cube]
            same = (own[1:] == own[:-1]) & (ordered[1:] == ordered[:-1]).all(axis=1)
            begins[crowded[1:]] |= ~same
            group = np.cumsum(begins) - 1
        return walk


def _gray_rank(digits: Array, odd: Array) -> tuple[Array, Array]:
    """Return the rank of digits, shape (M, d), in reflected Gray order as packed bytes, and its parity."""
    rank = np.bitwise_xor.accumulate(digits, axis=1) ^ odd[:, None]
    return np.packbits(rank, axis=1), rank[:, -1]
