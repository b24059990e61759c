"""Randomized Hadamard frames: d columns of a Hadamard matrix with random signs."""

from __future__ import annotations

import dataclasses

import numpy as np

from sdqviz.array import Array, Index
from sdqviz.choice import field
from sdqviz.error import InputError
from sdqviz.frames import FRAMES
from sdqviz.frames.frame import Frame, FrameChoice

ITEMS_AT_ONCE = 1 << 22
"""Coefficients transformed together in synthesis, which must not overwrite what it was given."""


@FRAMES.register
@dataclasses.dataclass(frozen=True)
class Hadamard(FrameChoice):
    """e_n = d^(−1/2) [s_j (−1)^{n∘c_j}]_{j=1…d}: d distinct random columns c_j of the N × N Hadamard matrix.

    n∘c counts the binary digits that n and c share, s_j = ±1 are random signs, N is a power of two.
    Exactly unit-norm and tight, because the columns are orthogonal with entries ±1. Transforms are
    fast Walsh–Hadamard transforms: additions only. Zero-sum unless the constant column was drawn.

    Notes
    -----
    As written the walk is long, σ ≈ √2·N: neighbouring vectors of random columns are nearly
    orthogonal, so the variation bound does not fall with N. Compare with a harmonic frame.

    Examples
    --------
    >>> frame = Hadamard(dimension=3, size=8).build(seed=0)
    >>> frame.bounds == (8 / 3, 8 / 3), sorted(set(abs(frame.vectors).round(4).ravel().tolist()))
    (True, [0.5774])
    >>> round(Hadamard(dimension=64, size=1024).build(seed=0).variation() / 1024, 1)
    1.4
    """

    name = "hadamard"
    title = "Randomized Hadamard"

    size: int = field(
        32,
        label="Frame size N",
        help="Number of frame vectors: a power of two, at least d.",
        minimum=1,
        maximum=1 << 22,
    )

    def check(self) -> None:
        """Require N to be a power of two, at least d."""
        least = self.admissible_size(self.dimension, 1)
        if self.size < least or self.size & (self.size - 1):
            raise InputError(
                f"size must be a power of two, at least {least} for dimension {self.dimension}, got {self.size}"
            )

    @classmethod
    def admissible_size(cls, dimension: int, at_least: int) -> int:
        """Return the smallest power of two ≥ ``at_least`` and ≥ d."""
        return 1 << (max(at_least, dimension, 1) - 1).bit_length()

    def build(self, seed: int = 0) -> Frame:
        """Return the frame: the seed draws the columns and the signs."""
        random = np.random.default_rng(seed)
        columns = random.choice(self.size, self.dimension, replace=False).astype(np.int64)
        signs = random.choice([-1.0, 1.0], self.dimension) / np.sqrt(self.dimension)
        return Frame(_HadamardOperator(columns, signs, self.size), self.dimension, self.size, tight=True)


class _HadamardOperator:
    """Analysis and synthesis as fast Walsh–Hadamard transforms of rows."""

    def __init__(self, columns: Index, signs: Array, size: int) -> None:
        self._columns = columns
        self._signs = signs
        self._size = size

    def analyze(self, x: Array) -> Array:
        from sdqviz.kernels.threads import run
        from sdqviz.kernels.walsh_hadamard import walsh_hadamard

        values = np.zeros((len(x), self._size))
        values[:, self._columns] = x * self._signs
        run(walsh_hadamard, values, 0, len(values))
        return values

    def adjoint(self, c: Array) -> Array:
        from sdqviz.kernels.threads import run
        from sdqviz.kernels.walsh_hadamard import walsh_hadamard

        x = np.empty((len(c), len(self._columns)))
        together = max(1, ITEMS_AT_ONCE // self._size)
        for start in range(0, len(c), together):
            values = np.array(c[start : start + together], order="C")
            run(walsh_hadamard, values, 0, len(values))
            x[start : start + together] = values[:, self._columns] * self._signs
        return x

    def rows(self, index: Index) -> Array:
        parity = np.bitwise_count(np.asarray(index)[:, None] & self._columns) & 1
        return np.where(parity, -self._signs, self._signs)
