"""The regular simplex: d+1 vectors of R^d, as far from each other as possible."""

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
class Simplex(FrameChoice):
    """The N = d+1 vertices of the regular simplex, all inner products −1/d.

    In cosine coordinates: e_n = √(2/d) [cos πk(2n+1)/(2N)]_{k=1…d}, the rows of the orthogonal
    discrete cosine transform without its constant column, so analysis and synthesis cost
    O(N log N). Unit-norm, tight, zero-sum; every walk has the same length
    σ = √(2d(d+1)).

    Notes
    -----
    The frame of smallest coherence for N = d+1 (Welch bound with equality): Strohmer & Heath, Appl.
    Comput. Harmon. Anal. 14 (2003).

    Examples
    --------
    >>> frame = Simplex(dimension=4, size=5).build()
    >>> round(float(frame.vectors[0] @ frame.vectors[3]), 12)
    -0.25
    >>> frame.bounds
    (1.25, 1.25)
    """

    name = "simplex"
    title = "Simplex"

    size: int = field(
        9, label="Frame size N", help="Number of frame vectors: always d+1 for a simplex.", minimum=2, maximum=65537
    )

    def check(self) -> None:
        """Require N = d+1."""
        if self.size != self.dimension + 1:
            raise InputError(
                f"size must be {self.dimension + 1} for dimension {self.dimension}, got {self.size}: "
                "a simplex has one vertex more than dimensions"
            )

    @classmethod
    def admissible_size(cls, dimension: int, at_least: int) -> int:
        """Return d+1; refuse a larger ``at_least``."""
        if at_least > dimension + 1:
            raise InputError(
                f"size must be at most {dimension + 1} for a simplex of dimension {dimension}, got {at_least}"
            )
        return dimension + 1

    def build(self, seed: int = 0) -> Frame:
        """Return the frame; it does not depend on the seed."""
        return Frame(_SimplexOperator(self.dimension), self.dimension, self.size, tight=True)


class _SimplexOperator:
    """Analysis and synthesis as a discrete cosine transform without the constant."""

    def __init__(self, dimension: int) -> None:
        self._size = dimension + 1
        self._scale = np.sqrt((dimension + 1) / dimension)

    def analyze(self, x: Array) -> Array:
        from scipy import fft

        from sdqviz.kernels.threads import threads

        spectrum = np.empty((len(x), self._size))
        spectrum[:, 0] = 0.0
        np.multiply(x, self._scale, out=spectrum[:, 1:])
        return fft.idct(spectrum, axis=1, norm="ortho", workers=threads(), overwrite_x=True)

    def adjoint(self, c: Array) -> Array:
        from scipy import fft

        from sdqviz.kernels.threads import threads

        return fft.dct(c, axis=1, norm="ortho", workers=threads())[:, 1:] * self._scale

    def rows(self, index: Index) -> Array:
        # cos(πk(2n+1)/(2N)) depends on k(2n+1) mod 4N only
        quarter = 2 * self._size
        table = np.cos(np.pi * np.arange(2 * quarter) / quarter)
        turn = np.outer(2 * np.asarray(index) + 1, np.arange(1, self._size)) % (2 * quarter)
        return table[turn] * np.sqrt(2 / (self._size - 1))
