"""What path following needs to know of a layer's inputs: Gram matrices, N×N numbers however many samples there are."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Hashable
from typing import Any

import numpy as np

from sdqviz.array import Array, Index

DEAD = 1e-24
"""An input counts as dead where ‖X̃_t‖² is below this share of the largest: rounding has left nothing of it."""

CANCELLED = 1e-3
"""Share of a square length that a mean leaves below which it is computed anew, not as a difference."""

TOGETHER = 64
"""Rows that are rearranged while they are in the cache."""

AT_ONCE = 1024
"""Columns whose lengths are found at once."""


@dataclasses.dataclass(frozen=True, eq=False)
class Gram:
    """What the walk needs to know of a layer's inputs; columns of weights are neurons.

    Attributes
    ----------
    inputs : ndarray, shape (N, N)
        H = X̃ᵀX̃; X̃ (m×N) are the layer's inputs in the network compressed so far.
    cross : ndarray or None, shape (N, N)
        G = X̃ᵀX, with X the inputs in the original network; None where the networks still agree, G = H.
    target : ndarray, shape (M,)
        ‖Xw‖² of each neuron w.
    samples : int
        m.
    kept : dict
        What was found out of H alone, by what it is, for other layers with the same inputs.
    """

    inputs: Array
    cross: Array | None
    target: Array
    samples: int
    kept: dict[Hashable, Any] = dataclasses.field(default_factory=dict)

    @classmethod
    def of(cls, inputs: Array, weights: Array, original: Array | None = None) -> Gram:
        """Form the matrices from inputs X̃, shape (m, N), weights (N, M) and, if they differ, the original inputs X."""
        first = inputs if original is None else original
        return cls(
            inputs.T @ inputs,
            None if original is None else inputs.T @ original,
            ((first @ weights) ** 2).sum(axis=0),
            len(inputs),
        )

    @functools.cached_property
    def squares(self) -> Array:
        """‖X̃_t‖² of each input, shape (N,)."""
        return np.maximum(np.diagonal(self.inputs), 0.0)

    @functools.cached_property
    def alive(self) -> Array:
        """Which inputs are not zero on every sample, bool of shape (N,)."""
        return self.squares > DEAD * max(float(self.squares.max(initial=0.0)), np.finfo(float).tiny)

    def aimed(self, weights: Array) -> Array:
        """Return Gw = X̃ᵀXw, shape (N, M): the right side of the normal equations."""
        return (self.inputs if self.cross is None else self.cross) @ weights

    def error(self, weights: Array, quantized: Array, aimed: Array | None = None) -> Array:
        """Return ‖Xw − X̃q‖² of each neuron, shape (M,); rounding may leave it a little off where it is tiny.

        ``aimed`` is Gw, for those who ask for many errors of the same weights.
        """
        if self.cross is None:
            if quantized is weights:
                return np.zeros(weights.shape[1])
            difference = weights - quantized
            rows = np.asarray(difference.any(axis=1))
            if 2 * rows.sum() < len(rows):  # an alignment moves few weights, or none
                return squared_lengths(self.inputs[np.ix_(rows, rows)], difference[rows])
            return squared_lengths(self.inputs, difference)
        crossed = np.einsum("tm,tm->m", quantized, self.aimed(weights) if aimed is None else aimed)
        return np.maximum(self.target - 2 * crossed + squared_lengths(self.inputs, quantized), 0.0)

    def visited(self, order: Index) -> Gram:
        """Return the same with the inputs in another order."""
        cross = None if self.cross is None else _rearranged(self.cross, order)
        return Gram(_rearranged(self.inputs, order), cross, self.target, self.samples)


def _rearranged(matrix: Array, order: Index) -> Array:
    """Return rows and columns in another order; row by row that is ten times as fast as index by index."""
    found = np.empty((len(order), len(order)))
    for start in range(0, len(order), TOGETHER):
        rows = order[start : start + TOGETHER]
        np.take(matrix[rows], order, axis=1, out=found[start : start + TOGETHER], mode="clip")
    return found


def squared_lengths(matrix: Array, columns: Array) -> Array:
    """Return xᵀHx = ‖Xx‖² of every column x, shape (M,), at least 0; from one triangle of H, at half the price of Hx.

    Parameters
    ----------
    matrix : ndarray, shape (N, N)
        H = XᵀX, symmetric.
    columns : ndarray, shape (N, M)
        x.

    Examples
    --------
    >>> squared_lengths(np.array([[2.0, 1.0], [1.0, 1.0]]), np.array([[1.0, 0.0], [-2.0, 3.0]]))
    array([2., 9.])
    """
    if columns.size == 0:
        return np.zeros(columns.shape[1])
    # what is needed on the way is as large as what is given
    starts = range(0, columns.shape[1], AT_ONCE)
    return np.concatenate([_lengths(matrix, columns[:, start : start + AT_ONCE]) for start in starts])


def _lengths(matrix: Array, columns: Array) -> Array:
    from scipy.linalg import blas

    # columns first is what BLAS reads: of a symmetric matrix that is the transpose
    triangle = matrix.T if matrix.flags.c_contiguous else matrix
    if columns.flags.f_contiguous:
        product = blas.dtrmm(1.0, triangle, columns, lower=1)
    else:  # xᵀ times the triangle with its diagonal
        product = blas.dtrmm(1.0, triangle, columns.T, side=1, lower=1).T
    own = np.einsum("tm,tm,t->m", columns, columns, np.diagonal(matrix))
    whole = 2 * np.einsum("tm,tm->m", columns, product) - own
    return np.asarray(np.maximum(whole, 0.0))


@dataclasses.dataclass(frozen=True, eq=False)
class Moments:
    """Sums over the samples of one group of a layer, from which the walk's `Gram` is made.

    Attributes
    ----------
    inputs, cross, target, samples
        As in `Gram`.
    total, original_total : ndarray, shape (N,)
        Sums over the samples of X̃ and of X.
    kept
        As in `Gram`; for inputs as they are.
    """

    inputs: Array
    cross: Array | None
    target: Array
    samples: int
    total: Array
    original_total: Array
    kept: dict[Hashable, Any] = dataclasses.field(default_factory=dict)

    def plain(self) -> Gram:
        """Return the Gram matrices as they are."""
        return Gram(self.inputs, self.cross, self.target, self.samples, self.kept)

    def centred(self, weights: Array) -> Gram:
        """Return those of the inputs less their means: for biases that will make up for the mean error.

        Inputs that are constant lose all but rounding and then count as dead: the bias takes their part.
        """
        inputs = self.inputs - np.outer(self.total, self.total) / self.samples
        constant = np.diagonal(inputs) <= 1e-12 * np.diagonal(self.inputs)
        inputs[constant] = 0.0
        inputs[:, constant] = 0.0
        target = np.maximum(self.target - (self.original_total @ weights) ** 2 / self.samples, 0.0)
        cross = None
        if self.cross is not None:
            cross = self.cross - np.outer(self.total, self.original_total) / self.samples
            cross[constant] = 0.0
        elif constant.any() or (target < CANCELLED * self.target).any():
            # the original inputs are these inputs; constants are left to the bias, a small rest was lost to the mean
            target = squared_lengths(inputs, weights)
        return Gram(inputs, cross, target, self.samples)

    def extended(self, weights: Array, bias: Array) -> Gram:
        """Return those of the inputs with a constant 1 as the last one: biases are then weights like the others."""
        inputs = _bordered(self.inputs, self.total, self.total, self.samples)
        cross = None if self.cross is None else _bordered(self.cross, self.total, self.original_total, self.samples)
        target = self.target + 2 * bias * (self.original_total @ weights) + self.samples * bias**2
        return Gram(inputs, cross, target, self.samples)

    def mean_error(self, weights: Array, quantized: Array) -> Array:
        """Return the mean over the samples of Xw − X̃q for each neuron, shape (M,)."""
        return (self.original_total @ weights - self.total @ quantized) / self.samples


def _bordered(matrix: Array, column: Array, row: Array, corner: float) -> Array:
    return np.block([[matrix, column[:, None]], [row[None, :], np.full((1, 1), float(corner))]])
