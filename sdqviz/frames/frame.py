"""A finite frame {e_n} of R^d as a value: analysis, synthesis, bounds and the geometry of its walk."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import ArrayLike

from sdqviz import memory
from sdqviz.array import Array, Index
from sdqviz.choice import Choice, field
from sdqviz.error import InputError

ROWS_AT_ONCE = 2048
"""Frame vectors formed together, at most, when the geometry of a fast frame is computed piecewise."""

ITEMS_AT_ONCE = 1 << 23
"""Numbers formed together, at most, in such a piece."""


ZERO_SUM_TOLERANCE = 1e-13
"""‖Σe_n‖/N below which a frame counts as zero-sum: rounding only, so that dropping a term stays rigorous."""


class FrameOperator(Protocol):
    """How one family computes with its vectors; fast families never form them all."""

    def analyze(self, x: Array) -> Array:
        """Map vectors, shape (M, d), to their inner products with all frame vectors, shape (M, N)."""

    def adjoint(self, c: Array) -> Array:
        """Map coefficients, shape (M, N), to Σ c_n e_n, shape (M, d)."""

    def rows(self, index: Index) -> Array:
        """Return the chosen frame vectors, shape (len(index), d)."""


class DenseOperator:
    """The operator of a frame given by all its vectors."""

    def __init__(self, vectors: Array) -> None:
        self._vectors = np.ascontiguousarray(vectors, float)

    def analyze(self, x: Array) -> Array:
        """Multiply by the vectors, shape (M, d) → (M, N)."""
        return x @ self._vectors.T

    def adjoint(self, c: Array) -> Array:
        """Multiply by the transpose, shape (M, N) → (M, d)."""
        return c @ self._vectors

    def rows(self, index: Index) -> Array:
        """Return the chosen vectors."""
        return self._vectors[index]


@dataclasses.dataclass(frozen=True, eq=False)
class Harmonics:
    """A frame of waves, e_n = diag(ε) √(2/d) [cos 2πkn/N, sin 2πkn/N]_k with k > 0; for d odd 1/√2 comes first.

    Attributes
    ----------
    frequencies : ndarray, shape (⌊d/2⌋,)
        k, all whole, or for d even all half.
    signs : ndarray, shape (d,)
        ε.
    """

    frequencies: Array
    signs: Array


class Frame:
    """A finite frame e_0, …, e_{N−1} of R^d.

    Parameters
    ----------
    operator : FrameOperator
        Computes with the vectors.
    dimension, size : int
        d and N.
    tight : bool
        Whether the family is unit-norm and tight by construction (then A = B = N/d exactly and the
        canonical dual is d/N times the frame); otherwise bounds are computed from the vectors.
    harmonic : Harmonics, optional
        Of what waves its coordinates are, where they are waves.
    """

    def __init__(
        self, operator: FrameOperator, dimension: int, size: int, *, tight: bool, harmonic: Harmonics | None = None
    ) -> None:
        self.operator = operator
        self.dimension = dimension
        self.size = size
        self.tight = tight
        self.harmonic = harmonic

    def __repr__(self) -> str:
        """Show d, N and whether the frame is unit-norm tight."""
        kind = "unit-norm tight frame" if self.tight else "frame"
        return f"<{kind} of {self.size} vectors in R^{self.dimension}>"

    # -- transforms ---------------------------------------------------------------------------

    def analyze(self, x: ArrayLike) -> Array:
        """Return the frame coefficients ⟨x, e_n⟩, shape (..., d) → (..., N)."""
        return self._apply(self.operator.analyze, x, self.dimension, self.size)

    def adjoint(self, c: ArrayLike) -> Array:
        """Return Σ c_n e_n, shape (..., N) → (..., d)."""
        return self._apply(self.operator.adjoint, c, self.size, self.dimension)

    def synthesize(self, c: ArrayLike) -> Array:
        """Apply the canonical dual, shape (..., N) → (..., d); ``synthesize(analyze(x))`` is x."""
        vector = self.adjoint(c)
        if self.tight:
            vector *= self.dimension / self.size
            return vector
        return np.linalg.solve(self._frame_operator, vector[..., None])[..., 0]

    @staticmethod
    def _apply(operation: Callable[[Array], Array], values: ArrayLike, before: int, after: int) -> Array:
        array = np.asarray(values, float)
        if array.ndim == 0 or array.shape[-1] != before:
            raise InputError(f"the last axis must have length {before}, got shape {array.shape}")
        flat = operation(np.ascontiguousarray(array.reshape(-1, before)))
        return flat.reshape(*array.shape[:-1], after)

    # -- the vectors and what they are like -----------------------------------------------------

    @functools.cached_property
    def vectors(self) -> Array:
        """All frame vectors, shape (N, d), read-only; refused if they would not fit in memory."""
        memory.require("the matrix of frame vectors", self.size * self.dimension, "use a smaller size N")
        vectors = self.operator.rows(np.arange(self.size))
        vectors.setflags(write=False)
        return vectors

    def _row_blocks(self, order: Index) -> Iterator[Array]:
        together = _rows_at_once(self.dimension)
        for start in range(0, len(order), together):
            yield self.operator.rows(order[start : start + together])

    def _square(self) -> Array:
        memory.require("a d × d matrix", self.dimension**2, "use a smaller dimension d")
        return np.zeros((self.dimension, self.dimension))

    @functools.cached_property
    def _frame_operator(self) -> Array:
        total = self._square()
        for rows in self._row_blocks(np.arange(self.size)):
            total += rows.T @ rows
        return total

    @functools.cached_property
    def bounds(self) -> tuple[float, float]:
        """(A, B): the largest A and smallest B with A‖x‖² ≤ Σ⟨x,e_n⟩² ≤ B‖x‖²."""
        if self.tight:
            return self.size / self.dimension, self.size / self.dimension
        values = np.linalg.eigvalsh(self._frame_operator)
        return float(values[0]), float(values[-1])

    @functools.cached_property
    def tightness(self) -> float:
        """‖S − (N/d)I‖₂/(N/d), measured from the vectors: 0 for a unit-norm tight frame."""
        redundancy = self.size / self.dimension
        residual = self._frame_operator / redundancy - np.eye(self.dimension)
        return float(np.abs(np.linalg.eigvalsh(residual)).max())

    @functools.cached_property
    def norm_deviation(self) -> float:
        """max_n |‖e_n‖ − 1|, measured from the vectors."""
        return max(
            float(np.abs(np.linalg.norm(rows, axis=1) - 1).max()) for rows in self._row_blocks(np.arange(self.size))
        )

    @functools.cached_property
    def zero_sum(self) -> bool:
        """Whether Σ e_n = 0 (up to rounding): then the last state of ΣΔ vanishes for N even."""
        total = self.adjoint(np.ones(self.size))
        return bool(np.linalg.norm(total) <= ZERO_SUM_TOLERANCE * self.size)

    @functools.cached_property
    def coherence(self) -> float:
        """max_{m≠n} |⟨e_m,e_n⟩|/(‖e_m‖‖e_n‖), measured from the vectors."""
        unit = self.vectors / np.linalg.norm(self.vectors, axis=1, keepdims=True)
        largest, together = 0.0, _rows_at_once(self.size)
        for start in range(0, self.size, together):
            products = np.abs(unit[start : start + together] @ unit.T)
            index = np.arange(len(products))
            products[index, start + index] = 0.0
            largest = max(largest, float(products.max()))
        return largest

    # -- the walk through the vectors -------------------------------------------------------------

    def check_order(self, order: ArrayLike | None) -> Index:
        """Return ``order`` as an index array of shape (N,), the identity for None; refuse others."""
        if order is None:
            return np.arange(self.size)
        index = np.asarray(order)
        if index.shape != (self.size,) or not np.array_equal(np.sort(index), np.arange(self.size)):
            raise InputError(f"order must be a permutation of 0 … {self.size - 1}, got shape {index.shape}")
        return index.astype(np.int64)

    def steps_along(self, order: ArrayLike | None = None) -> Array:
        """Return ‖e_{p(n)} − e_{p(n+1)}‖ along the walk, shape (N−1,)."""
        lengths = [np.linalg.norm(difference, axis=1) for difference in self.differences(self.check_order(order))]
        return np.concatenate(lengths) if lengths else np.zeros(0)

    def variation(self, order: ArrayLike | None = None) -> float:
        """Return the frame variation σ(F, p) = Σ_{n<N} ‖e_{p(n)} − e_{p(n+1)}‖."""
        return float(self.steps_along(order).sum())

    def differences(self, order: Index) -> Iterator[Array]:
        """Yield the differences e_{p(n)} − e_{p(n+1)} along an order, a block of them at a time, shape (…, d) each."""
        together = _rows_at_once(self.dimension)
        for start in range(0, self.size - 1, together):
            rows = self.operator.rows(order[start : start + together + 1])
            yield rows[:-1] - rows[1:]


def _rows_at_once(width: int) -> int:
    return min(max(ITEMS_AT_ONCE // width, 1), ROWS_AT_ONCE)


@dataclasses.dataclass(frozen=True)
class FrameChoice(Choice):
    """What every frame family can be asked for: N vectors in R^d."""

    any_dimension: ClassVar[bool] = True
    """Whether the family exists in every (or every even) dimension, so that it can carry a layer."""

    waves: ClassVar[bool] = False
    """Whether ⟨x, e_n⟩ = p(2πn/N) with a p of no frequency above d/2 that is the same for every N."""

    dimension: int = field(
        8, label="Dimension d", help="Length of the vectors that are quantized.", minimum=1, maximum=65536
    )
    size: int = field(
        24,
        label="Frame size N",
        help="Number of frame vectors: one level is stored for each.",
        minimum=1,
        maximum=1 << 22,
    )

    def build(self, seed: int = 0) -> Frame:
        """Return the frame; the same seed gives the same vectors."""
        raise NotImplementedError

    @classmethod
    def sums_to_zero(cls, dimension: int) -> bool:
        """Return whether Σe_n = 0 in this dimension whatever N: first-order ΣΔ then ends on a tie where N is odd."""
        return False

    @classmethod
    def admissible_size(cls, dimension: int, at_least: int) -> int:
        """Return the smallest N ≥ ``at_least`` for which the family has a frame of R^d.

        Raises
        ------
        InputError
            If the family has no frame in this dimension, or none that large.
        """
        return max(at_least, dimension)
