"""Neurons in the coordinates of a spread frame: harmonic with random signs, N near d, scaled so that EᵀE = I."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math

import numpy as np

from sdqviz import memory
from sdqviz.array import Array
from sdqviz.error import InputError
from sdqviz.frames.frame import Frame
from sdqviz.frames.half_frequency import HalfFrequency
from sdqviz.frames.harmonic import Harmonic
from sdqviz.frames.signs import signed
from sdqviz.kernels.turn import turned

LEAST_REDUNDANCY, MOST_REDUNDANCY = 0.25, 8.0

TOGETHER = 64
"""Rows of a square matrix that are made symmetric while they are in the cache."""


@dataclasses.dataclass(frozen=True)
class RowFrame:
    """The frame that carries neurons of d inputs.

    Attributes
    ----------
    dimension : int
        d.
    redundancy : float
        N/d; N is rounded up. Below 1 there are only N < d orthonormal vectors: no frame of R^d, but a basis of a
        random subspace.
    seed : int
        Of the signs.
    signs : bool
        Whether the coordinates get random signs.
    parts : int
        Into how many parts the inputs are cut, one after the other, each with a frame of its own.

    Notes
    -----
    Half-frequency harmonic for d even and harmonic for d odd: tight from N = d on. Names, N and seed decide all of it.
    """

    dimension: int
    redundancy: float = 1.0
    seed: int = 0
    signs: bool = True
    parts: int = 1

    def __post_init__(self) -> None:
        """Refuse what is no frame."""
        if self.dimension < 1:
            raise InputError(f"dimension must be at least 1, got {self.dimension}")
        if not LEAST_REDUNDANCY <= self.redundancy <= MOST_REDUNDANCY:
            raise InputError(
                f"redundancy must be between {LEAST_REDUNDANCY} and {MOST_REDUNDANCY:g}, got {self.redundancy}"
            )
        if not 1 <= self.parts <= self.dimension:
            raise InputError(f"parts must be between 1 and the dimension {self.dimension}, got {self.parts}")

    @functools.cached_property
    def cuts(self) -> tuple[slice, ...]:
        """Which inputs each part has."""
        ends = np.linspace(0, self.dimension, self.parts + 1).astype(int).tolist()
        return tuple(slice(begin, end) for begin, end in itertools.pairwise(ends))

    @functools.cached_property
    def pieces(self) -> tuple[RowFrame, ...]:
        """The frame of each part."""
        return tuple(RowFrame(cut.stop - cut.start, self.redundancy, self.seed, self.signs) for cut in self.cuts)

    @property
    def size(self) -> int:
        """N, of all parts together."""
        if self.parts > 1:
            return sum(piece.size for piece in self.pieces)
        return max(1, math.ceil(self.redundancy * self.dimension - 1e-9))

    @property
    def undersampled(self) -> bool:
        """Whether N < d: the vectors do not span R^d."""
        return self.size < self.dimension

    @functools.cached_property
    def frame(self) -> Frame:
        """The whole frame, of which an undersampled one takes the first N vectors."""
        family = HalfFrequency if self.dimension % 2 == 0 else Harmonic
        frame = family(dimension=self.dimension, size=max(self.size, self.dimension)).build()
        return signed(frame, self.seed) if self.signs else frame

    @property
    def _scale(self) -> float:
        return math.sqrt(self.dimension / self.frame.size)

    def analyze(self, vectors: Array) -> Array:
        """Map vectors, shape (M, d), to coordinates E w, shape (M, N)."""
        if self.parts > 1:
            own = zip(self.pieces, self.cuts, strict=True)
            return np.concatenate([piece.analyze(np.ascontiguousarray(vectors[:, cut])) for piece, cut in own], axis=1)
        coordinates = self.frame.analyze(vectors)
        coordinates *= self._scale
        return np.ascontiguousarray(coordinates[:, : self.size]) if self.undersampled else coordinates

    def synthesize(self, coordinates: Array) -> Array:
        """Map coordinates, shape (M, N), to vectors Eᵀq, shape (M, d); undoes `analyze` unless undersampled."""
        if self.parts > 1:
            ends = np.cumsum([piece.size for piece in self.pieces])[:-1]
            own = zip(self.pieces, np.split(coordinates, ends, axis=1), strict=True)
            return np.concatenate([piece.synthesize(np.ascontiguousarray(part)) for piece, part in own], axis=1)
        whole = coordinates
        if self.undersampled:
            whole = np.zeros((len(coordinates), self.frame.size))
            whole[:, : self.size] = coordinates
        vectors = self.frame.adjoint(whole)
        vectors *= self._scale
        return vectors

    def gram(self, inputs: Array) -> Array:
        """Return E H Eᵀ, shape (N, N), of a symmetric H, shape (d, d), by two passes of the transform."""
        memory.require(
            "the Gram matrix in the frame", self.size**2, "use a smaller redundancy or groups of fewer inputs"
        )
        whole = self.analyze(turned(self.analyze(inputs)))
        for start in range(0, len(whole), TOGETHER):
            rows, rest = slice(start, start + TOGETHER), slice(start, None)
            mean = (whole[rows, rest] + whole[rest, rows].T) / 2
            whole[rows, rest], whole[rest, rows] = mean, mean.T
        return whole


def parts_for(dimension: int, redundancy: float) -> int:
    """Return into how many parts inputs are cut so that the Gram matrices of all parts in their frames fit."""
    needed = 8 * RowFrame(dimension, redundancy).size ** 2
    return min(dimension, -(-needed // memory.LIMIT))
