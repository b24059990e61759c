"""The factorisation behind every walk that feeds errors back, and the exact error it leaves."""

from __future__ import annotations

import dataclasses

import numpy as np

from sdqviz.array import Array
from sdqviz.error import InputError

RAISED = 10
"""How often the damping is raised tenfold before the factorisation is given up."""


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


def factorize(matrix: Array, damping: float = 0.01) -> Factor:
    """Factor a Gram matrix from its last row to its first, the order in which a walk needs it.

    Parameters
    ----------
    matrix : ndarray, shape (N, N)
        G, symmetric and positive semidefinite.
    damping : float
        λ as a share of the mean of G's diagonal; ten times more as often as the factorisation fails.

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
    from scipy.linalg import LinAlgError, cholesky

    if not np.isfinite(matrix).all():
        raise InputError("the Gram matrix of the inputs must be finite, got entries that are not")
    size = len(matrix)
    diagonal = np.diagonal(matrix).copy()
    mean = float(diagonal.mean()) if size else 0.0
    added = damping * mean
    smallest = max(mean, np.finfo(float).tiny) * max(size, 1) * np.finfo(float).eps
    for _ in range(RAISED + 1):
        reverse = np.array(matrix[::-1, ::-1], order="C")
        np.fill_diagonal(reverse, diagonal[::-1] + added)
        try:  # columns first is what LAPACK reads: of a symmetric matrix that is the transpose, in place
            lower = cholesky(reverse.T, lower=True, overwrite_a=True, check_finite=False)
        except LinAlgError:
            added = max(10 * added, smallest)
            continue
        upper = lower[::-1, ::-1]
        roots = np.diagonal(upper).copy()
        feedback = np.empty(matrix.shape)
        return Factor(np.divide(upper.T, roots[:, None], out=feedback), roots**2, added)
    raise InputError(
        f"the Gram matrix of the inputs must be positive definite once damped, got one that is not even with "
        f"{added / max(mean, np.finfo(float).tiny):.3g} times the mean of its diagonal: raise the damping"
    )


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
