"""Moves a layer's weights to suit the activations of the network compressed so far: X̃w̃ ≈ Xw."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np

from sdqviz.array import Array
from sdqviz.error import InputError
from sdqviz.path_following.gram import Gram
from sdqviz.progress import ShouldStop, stop_if

LARGEST_PROGRAM = 2_000_000
"""Entries of the linear program of the smallest range above which it is refused."""


def align(gram: Gram, weights: Array, order: int = 1, should_stop: ShouldStop | None = None) -> Array:
    """Find w̃ with X̃w̃ ≈ Xw by sweeping ``order`` times through the inputs.

    Parameters
    ----------
    gram : Gram
        The layer's inputs.
    weights : ndarray, shape (N, M)
        w, a column per neuron.
    order : int
        Sweeps, at least 1. The first follows the path as GPFQ does; the others are Gauss–Seidel on ‖Xw − X̃w̃‖,
        so they converge to a least-squares solution.

    Returns
    -------
    ndarray, shape (N, M)
        w̃; 0 at dead inputs.

    Notes
    -----
    The sequential definition (Zhang & Saab, arXiv 2309.10975) w̃_t = ⟨X̃_t, û_{t−1} + w_tX_t⟩/‖X̃_t‖² is the triangular
    system tril(H)w̃ = tril(G)w, and sweep k+1 is tril(H)w̃ = Gw − triu(H, 1)w̃ with the w̃ of sweep k on the right.
    Where the networks agree, w̃ = w.
    """
    if order < 1:
        raise InputError(f"order must be at least 1, got {order}")
    return next(itertools.islice(sweeps(gram, weights, should_stop), order - 1, None))


def sweeps(gram: Gram, weights: Array, should_stop: ShouldStop | None = None) -> Iterator[Array]:
    """Yield the w̃ of `align` after each sweep, of order 1, 2, … without end."""
    from scipy.linalg import solve_triangular

    alive = gram.alive[:, None]
    while gram.cross is None:
        yield np.where(alive, weights, 0.0)
    lower = np.tril(gram.inputs)
    lower[~gram.alive] = 0.0
    np.fill_diagonal(lower, np.where(gram.alive, gram.squares, 1.0))
    aligned = np.where(alive, np.tril(gram.cross) @ weights, 0.0)
    aligned = solve_triangular(lower, aligned, lower=True, check_finite=False, overwrite_b=True)
    yield aligned
    aimed, upper = gram.aimed(weights), np.triu(gram.inputs, 1)
    while True:
        stop_if(should_stop)
        right = np.where(alive, aimed - upper @ aligned, 0.0)
        aligned = solve_triangular(lower, right, lower=True, check_finite=False, overwrite_b=True)
        yield aligned


def least_squares(gram: Gram, weights: Array, damping: float = 0.0) -> Array:
    """Find the w̃ nearest to w among those with the smallest ‖Xw − X̃w̃‖² + damping·‖w̃ − w‖².

    Parameters
    ----------
    gram : Gram
        The layer's inputs; H may be singular.
    weights : ndarray, shape (N, M)
        w, a column per neuron.
    damping : float
        λ ≥ 0, in units of H.

    Returns
    -------
    ndarray, shape (N, M)
        w̃; 0 at dead inputs.
    """
    from scipy.linalg import eigh

    alive = gram.alive
    if gram.cross is None:
        return np.where(alive[:, None], weights, 0.0)
    rest = (gram.aimed(weights) - gram.inputs @ weights)[alive]  # X̃ᵀ(X − X̃)w
    found = gram.kept.get("eigen")
    if found is None:
        found = gram.kept["eigen"] = eigh(gram.inputs[np.ix_(alive, alive)], check_finite=False, overwrite_a=True)
    values, vectors = found
    least = values.max(initial=0.0) * len(values) * np.finfo(float).eps * 10
    inverse = np.where(values > least, 1.0 / (np.maximum(values, least) + damping), 0.0)
    aligned = np.zeros_like(weights)
    aligned[alive] = weights[alive] + vectors @ (inverse[:, None] * (vectors.T @ rest))
    return aligned


def smallest_range(gram: Gram, weights: Array, should_stop: ShouldStop | None = None) -> Array:
    """Find the least-squares w̃ with the smallest largest entry, by a linear program for each neuron.

    Parameters
    ----------
    gram : Gram
        The layer's inputs.
    weights : ndarray, shape (N, M)
        w, a column per neuron.

    Returns
    -------
    ndarray, shape (N, M)
        w̃ with H w̃ = G w, which is X̃w̃ = Xw where that can be; 0 at dead inputs.

    Raises
    ------
    InputError
        If the program would be too large; the size is named.

    Notes
    -----
    Perfect alignment of SPFQ (arXiv 2309.10975): argmin ‖w̃‖_∞ subject to X̃w̃ = Xw.
    """
    from scipy.linalg import eigh
    from scipy.optimize import linprog

    alive = gram.alive
    values, vectors = eigh(gram.inputs[np.ix_(alive, alive)], check_finite=False)
    kept = values > values.max(initial=0.0) * len(values) * np.finfo(float).eps * 10
    rank, size = int(kept.sum()), len(values)
    program = (rank + 2 * size) * (size + 1)
    if program > LARGEST_PROGRAM:
        raise InputError(
            f"the linear program of the smallest range must have at most {LARGEST_PROGRAM} entries, got {program} "
            f"({rank} equations and {2 * size} inequalities in {size + 1} unknowns): use least squares for this layer"
        )
    equations = np.hstack([vectors[:, kept].T, np.zeros((rank, 1))])
    right = (vectors[:, kept].T @ gram.aimed(weights)[alive]) / values[kept, None]
    box = np.block([[np.eye(size), -np.ones((size, 1))], [-np.eye(size), -np.ones((size, 1))]])
    cost = np.append(np.zeros(size), 1.0)
    bounds = [(None, None)] * size + [(0, None)]
    aligned = np.zeros_like(weights)
    for column in range(weights.shape[1]):
        stop_if(should_stop)
        if size == 0:
            break
        solved = linprog(cost, A_ub=box, b_ub=np.zeros(2 * size), A_eq=equations, b_eq=right[:, column], bounds=bounds)
        if solved.x is None:
            raise InputError(f"the linear program of the smallest range must have a solution, got: {solved.message}")
        aligned[alive, column] = solved.x[:size]
    return aligned
