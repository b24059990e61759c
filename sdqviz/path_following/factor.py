"""The factorisation behind every walk that feeds errors back, and the exact error it leaves."""

from __future__ import annotations

import dataclasses
import functools
import itertools

import numpy as np

from sdqviz.array import Array
from sdqviz.error import InputError
from sdqviz.kernels.threads import one_blas_thread, spread, threads

RAISED = 10
"""How often the damping is raised tenfold before the factorisation is given up."""

PANEL = 256
"""Rows that are factored together: enough for products of matrices at their full rate."""


@dataclasses.dataclass(frozen=True, eq=False)
class Factor:
    """G + λI = U D Uᵀ, with U upper triangular and ones on its diagonal.

    Attributes
    ----------
    feedback : ndarray, shape (N, N)
        Uᵀ: what a walk reads below the diagonal, v_t = y_t + Σ_{j<t} U_jt(y_j − q_j).
    pivots : ndarray, shape (N,)
        D.
    damping : float
        λ, in units of G.
    """

    feedback: Array
    pivots: Array
    damping: float


def factorize(matrix: Array, damping: float = 0.01, overwrite: bool = False) -> Factor:
    """Factor a Gram matrix from its last row to its first, the order in which a walk needs it.

    Parameters
    ----------
    matrix : ndarray, shape (N, N)
        G, symmetric and positive semidefinite.
    damping : float
        λ as a share of the mean of G's diagonal; ten times more as often as the factorisation fails.
    overwrite : bool
        Whether ``matrix`` may become the factor: then no other of its size is needed.

    Raises
    ------
    InputError
        If G is not finite, or no damping of ten makes it positive definite.

    Examples
    --------
    >>> found = factorize(np.array([[2.0, 1.0], [1.0, 1.0]]), damping=0.0)
    >>> found.feedback, found.pivots
    (array([[1., 0.],
           [1., 1.]]), array([1., 1.]))
    """
    from scipy.linalg import LinAlgError

    if not (np.isfinite(matrix.sum()) or np.isfinite(matrix).all()):
        raise InputError("the Gram matrix of the inputs must be finite, got entries that are not")
    own = np.ascontiguousarray(matrix, float) if overwrite else np.array(matrix, float, order="C")
    size, diagonal = len(own), np.diagonal(own).copy()
    mean = float(diagonal.mean()) if size else 0.0
    added = damping * mean
    smallest = max(mean, np.finfo(float).tiny) * max(size, 1) * np.finfo(float).eps
    for _ in range(RAISED + 1):
        np.fill_diagonal(own, diagonal + added)
        try:
            with one_blas_thread():
                _factor_in_place(own)
        except LinAlgError:
            added = max(10 * added, smallest)
            _mirror(own)
            continue
        return Factor(own, _normalize(own), added)
    raise InputError(
        f"the Gram matrix of the inputs must be positive definite once damped, got one that is not even with "
        f"{added / max(mean, np.finfo(float).tiny):.3g} times the mean of its diagonal: raise the damping"
    )


def _factor_in_place(matrix: Array) -> None:
    """Replace the lower triangle of G by the F of G = FᵀF, a block of rows after the other, the last ones first.

    Only the lower triangle is read and written. A block's products with the rows below it are all there is to do but
    for its corner; threads share their columns, each with products of its own, since LAPACK's threads wait for each
    other at every panel: on a busy machine that takes several times as long as all of the work.
    """
    from scipy.linalg import cholesky

    for start in range((len(matrix) - 1) // PANEL * PANEL, -1, -PANEL):
        below = min(start + PANEL, len(matrix))
        rows = slice(start, below)
        left = matrix[below:, rows].T
        corner = matrix[rows, rows] - left @ matrix[below:, rows]
        # the corner is FᵀF as well: in reverse that is what LAPACK factors
        lower = cholesky(corner[::-1, ::-1], lower=True, check_finite=False)[::-1, ::-1].T
        matrix[rows, rows] = np.tril(lower) + np.triu(matrix[rows, rows], 1)
        for _ in spread(functools.partial(_finish_rows, matrix, rows, left, lower), _columns(start)):
            pass


def _finish_rows(matrix: Array, rows: slice, left: Array, corner: Array, part: slice) -> None:
    """Replace some columns of a block of rows by those of F."""
    from scipy.linalg import blas

    rest = matrix[rows, part]
    if left.shape[1]:
        rest -= left @ matrix[rows.stop :, part]
    rest[:] = blas.dtrsm(1.0, corner, rest.T, side=1, lower=1).T  # the transpose, since BLAS reads columns first


def _columns(count: int) -> list[slice]:
    """Cut columns for threads, evenly; few are not worth it."""
    if count == 0:
        return []
    pieces = threads() if count >= 2 * PANEL else 1
    ends = [count * piece // pieces for piece in range(pieces + 1)]
    return [slice(begin, end) for begin, end in itertools.pairwise(ends)]


def _mirror(matrix: Array) -> None:
    """Give the lower triangle the upper one's entries again."""
    for start in range(0, len(matrix), PANEL):
        rows = slice(start, start + PANEL)
        corner = np.triu(matrix[rows, rows], 1)
        matrix[rows, rows] = corner + corner.T
        matrix[start + PANEL :, rows] = matrix[rows, start + PANEL :].T


def _normalize(factor: Array) -> Array:
    """Make F to Uᵀ, in place: ones on the diagonal and zeros above; return D."""
    roots = np.diagonal(factor).copy()
    for start in range(0, len(factor), PANEL):
        rows = slice(start, start + PANEL)
        factor[rows, : start + PANEL] /= roots[rows, None]
        factor[rows, rows] = np.tril(factor[rows, rows])
        factor[rows, start + PANEL :] = 0.0
    return roots**2


def error_terms(factor: Factor, error: Array) -> Array:
    """Return D_t(v_t − q_t)² of every step and vector, shape (N, M), from e = y − q alone, whatever quantizer made q.

    Their sum over t is eᵀ(G + λI)e exactly: (Uᵀe)_t = e_t + Σ_{j<t} U_jt e_j = v_t − q_t.

    Parameters
    ----------
    factor : Factor
        Of G.
    error : ndarray, shape (N, M)
        e, a column per vector.

    Examples
    --------
    >>> found = factorize(np.array([[2.0, 1.0], [1.0, 1.0]]), damping=0.0)
    >>> error_terms(found, np.array([[1.0], [-2.0]])).sum(axis=0)  # (1, −2) G (1, −2)ᵀ = 2 − 4 + 4
    array([2.])
    """
    return np.asarray(factor.pivots[:, None] * (factor.feedback @ error) ** 2)


def walk_values(factor: Factor, base: Array, quantized: Array) -> Array:
    """Return v_t = y_t + Σ_{j<t} U_jt(y_j − q_j), the values that a walk rounded, shape (N, M)."""
    return np.asarray(factor.feedback @ (base - quantized) + quantized)
