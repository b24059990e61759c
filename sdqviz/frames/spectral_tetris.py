"""Spectral tetris: sparse unit-norm tight frames, at most two entries in every vector."""

from __future__ import annotations

import dataclasses

import numpy as np

from sdqviz.array import Array, Index
from sdqviz.choice import field
from sdqviz.error import InputError
from sdqviz.frames import FRAMES
from sdqviz.frames.frame import Frame, FrameChoice


@FRAMES.register
@dataclasses.dataclass(frozen=True)
class SpectralTetris(FrameChoice):
    """A unit-norm tight frame of unit vectors and pairs in a plane of two neighbouring axes, N ≥ 2d.

    Each axis must collect N/d squared entries. While an axis lacks 1 or more it takes the unit
    vector; if it lacks 0 < r < 1 it takes the pair (√(r/2), ±√(1−r/2)) on itself and the next axis,
    whose cross terms cancel. Counted in whole multiples of 1/d, so nothing accumulates rounding.
    Transforms cost two multiplications a coefficient.

    Notes
    -----
    Casazza, Fickus, Mixon, Wang & Zhou, *Constructing tight fusion frames*, Appl. Comput. Harmon.
    Anal. 30 (2011). Repeated unit vectors make steps of length 0 along the walk as written.

    Examples
    --------
    >>> SpectralTetris(dimension=2, size=5).build().vectors.round(3)
    array([[ 1.   ,  0.   ],
           [ 1.   ,  0.   ],
           [ 0.5  ,  0.866],
           [ 0.5  , -0.866],
           [ 0.   ,  1.   ]])
    """

    name = "spectral-tetris"
    title = "Spectral tetris"

    size: int = field(
        24, label="Frame size N", help="Number of frame vectors, at least 2d.", minimum=2, maximum=1 << 22
    )

    def check(self) -> None:
        """Require N ≥ 2d."""
        least = self.admissible_size(self.dimension, 1)
        if self.size < least:
            raise InputError(
                f"size must be at least {least} for dimension {self.dimension}, got {self.size}: "
                "spectral tetris needs two vectors a dimension"
            )

    @classmethod
    def admissible_size(cls, dimension: int, at_least: int) -> int:
        """Return the smallest N ≥ ``at_least``, at least 2d."""
        return max(at_least, 2 * dimension)

    def build(self, seed: int = 0) -> Frame:
        """Return the frame; it does not depend on the seed."""
        operator = _SparseOperator(*_blocks(self.dimension, self.size), self.dimension)
        return Frame(operator, self.dimension, self.size, tight=True)


def _blocks(dimension: int, size: int) -> tuple[Index, Array, Array]:
    """Return the first axis of every vector and its entries there and on the next axis, each shape (N,)."""
    axis, here, there = np.empty(size, np.int64), np.ones(size), np.zeros(size)
    n, taken = 0, 0  # taken: what the previous axis' pair already put on this one, in units of 1/d
    for k in range(dimension):
        units, rest = divmod(size - taken, dimension)
        axis[n : n + units] = k
        n += units
        taken = 0
        if rest:
            axis[n : n + 2] = k
            here[n : n + 2] = np.sqrt(rest / (2 * dimension))
            there[n : n + 2] = np.sqrt(1 - rest / (2 * dimension)) * np.array([1.0, -1.0])
            n += 2
            taken = 2 * dimension - rest
    return axis, here, there


class _SparseOperator:
    """A frame whose vector n has the entries a_n on axis k_n and b_n on the axis after it."""

    def __init__(self, axis: Index, here: Array, there: Array, dimension: int) -> None:
        self._axis, self._here, self._there = axis, here, there
        self._dimension = dimension

    def analyze(self, x: Array) -> Array:
        following = np.minimum(self._axis + 1, self._dimension - 1)  # b_n is 0 on the last axis
        y = x[:, self._axis]
        y *= self._here
        second = x[:, following]
        second *= self._there
        y += second
        return y

    def adjoint(self, c: Array) -> Array:
        # vectors come in runs of one axis, none of them empty, so sums over runs are reductions
        starts = np.searchsorted(self._axis, np.arange(self._dimension))
        x = np.add.reduceat(c * self._here, starts, axis=1)
        x[:, 1:] += np.add.reduceat(c * self._there, starts, axis=1)[:, :-1]
        return x

    def rows(self, index: Index) -> Array:
        rows = np.zeros((len(index), self._dimension))
        n = np.arange(len(index))
        rows[n, np.minimum(self._axis[index] + 1, self._dimension - 1)] = self._there[index]
        rows[n, self._axis[index]] = self._here[index]
        return rows
