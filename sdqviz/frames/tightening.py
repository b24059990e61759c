"""Turns any spanning set of vectors into a unit-norm tight frame near it."""

from __future__ import annotations

import numpy as np

from sdqviz.array import Array

STEPS = 8
"""Descent steps before the exact finish: each costs 3Nd² multiplications, the finish only 3Nd."""

TOLERANCE = 1e-11
"""Frobenius norm of (d/N)S − I at which the descent ends."""

WELL_CONDITIONED = 1e-4
"""A/B above which one application of S^(−1/2) is exact to rounding."""


def tight(vectors: Array) -> Array:
    """Return the tight frame nearest to ``vectors``: √(N/d)·E·S^(−1/2), shape (N, d).

    When S is badly conditioned the factor is applied again: the second removes what the first left.
    """
    size, dimension = vectors.shape
    for _ in range(2):
        values, basis = np.linalg.eigh(vectors.T @ vectors)
        values = np.maximum(values, values[-1] * 1e-15)
        vectors = vectors @ ((basis * np.sqrt(size / dimension / values)) @ basis.T)
        if values[0] > WELL_CONDITIONED * values[-1]:
            break
    return vectors


def unit_norm_tight(vectors: Array) -> Array:
    """Return a unit-norm tight frame near ``vectors``.

    Parameters
    ----------
    vectors : ndarray, shape (N, d)
        Finite and spanning R^d.

    Returns
    -------
    ndarray, shape (N, d)
        Rows of norm 1 with ‖(d/N)S − I‖₂ ≤ 1e-10.

    Notes
    -----
    Descent of the frame potential ‖S‖² (Benedetto & Fickus, Adv. Comput. Math. 18, 2003): rows are
    scaled to the sphere, then E ← E(3I − (d/N)S)/2, a gradient step which is also one Newton–Schulz
    step to the nearest tight frame. It converges linearly, slowly with little redundancy, and it
    cannot leave frames that split into orthogonal parts. So a few steps bring the norms near 1, and
    plane rotations of pairs of vectors, which do not change S, then bring one vector after the other
    to norm 1 exactly (Bendel & Mickey, Commun. Statist. B7, 1978). The result is always reached.

    Examples
    --------
    >>> frame = unit_norm_tight(np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]))
    >>> (frame.T @ frame).round(12) + 0.0
    array([[1.5, 0. ],
           [0. , 1.5]])
    """
    size, dimension = vectors.shape
    identity = np.eye(dimension)
    vectors = tight(vectors)
    for _ in range(STEPS):
        vectors = _on_sphere(vectors)
        operator = vectors.T @ vectors * (dimension / size)
        if np.linalg.norm(operator - identity) <= TOLERANCE:
            return vectors
        vectors = vectors @ (1.5 * identity - 0.5 * operator)
    return _on_sphere(_equalise(tight(vectors)))


def _on_sphere(vectors: Array) -> Array:
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(norms > 0, norms, 1.0)


def _equalise(vectors: Array) -> Array:
    """Rotate pairs of rows of a tight frame whose squared norms sum to N until all norms are 1."""
    rows = vectors.copy()
    excess = np.einsum("nd,nd->n", rows, rows) - 1.0
    short = [int(n) for n in np.flatnonzero(excess < 0)]
    long = [int(n) for n in np.flatnonzero(excess > 0)]
    while short and long:
        i, j = short.pop(), long[-1]
        # ‖e_i − t e_j‖² = 1 + t² for the rotation by arctan t; the root nearer to 0 moves them less
        product = float(rows[i] @ rows[j])
        root = np.sqrt(product * product - excess[i] * excess[j])
        t = excess[i] / (product + root if product > 0 else product - root)
        cosine = 1.0 / np.sqrt(1.0 + t * t)
        rows[i], rows[j] = cosine * (rows[i] - t * rows[j]), cosine * (rows[j] + t * rows[i])
        excess[j] += excess[i]
        if excess[j] <= 0:
            long.pop()
            if excess[j] < 0:
                short.append(j)
    return rows
