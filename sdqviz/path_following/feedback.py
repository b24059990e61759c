"""How an error is made up for by the weights still to come: along the path, or through the inverse of the Hessian."""

from __future__ import annotations

import numpy as np

from sdqviz.array import Array
from sdqviz.error import InputError
from sdqviz.path_following.factor import Factor, factorize
from sdqviz.path_following.gram import Gram


def path_gain(gram: Gram, scaling: float = 1.0, placement: str = "own") -> Array:
    """Return the gain of path following, 1/(C‖X̃_t‖²) or 1/(C max_j‖X̃_j‖²), shape (N,); 0 at dead inputs.

    Parameters
    ----------
    gram : Gram
        The layer's inputs.
    scaling : float
        C ≥ 1; 1 is GPFQ and SPFQ.
    placement : {"own", "largest"}
        Whose norm C multiplies. With the largest one the range and 1-bit conditions no longer contain the ratio of
        the input norms.

    Notes
    -----
    Zhang & Saab, arXiv 2412.18184.
    """
    if scaling < 1:
        raise InputError(f"scaling C must be at least 1, got {scaling}")
    if placement not in ("own", "largest"):
        raise InputError(f"placement must be own or largest, got {placement!r}")
    squares = gram.squares if placement == "own" else np.full_like(gram.squares, gram.squares.max(initial=0.0))
    return np.where(gram.alive, 1.0 / (scaling * np.where(gram.alive, squares, 1.0)), 0.0)


def conditional_feedback(gram: Gram, damping: float = 0.01, overwrite: bool = False) -> Factor:
    """Return GPTQ's feedback matrix: how the weights still to come can best make up for an error.

    Parameters
    ----------
    gram : Gram
        The layer's inputs.
    damping : float
        Added to the diagonal of H, as a share of its mean over the inputs that are not dead; ten times more as often
        as the factorisation fails.
    overwrite : bool
        Whether the memory of H may be taken for the factor.

    Returns
    -------
    Factor
        Of H + λI; dead inputs have no part in it.

    Notes
    -----
    GPTQ (Frantar et al., arXiv 2210.17323) updates the weights to come after each rounding. The update that its
    Cholesky factor of the inverse gives is the same as this feedback of the errors: minimising over the later weights
    leaves Σ_t D_t(w_t − q_t + Σ_{j<t} U_jt(w_j − q_j))², so each term in turn is rounded to nearest.
    """
    alive = gram.alive
    if alive.all():
        return factorize(gram.inputs, damping, overwrite)
    matrix = gram.inputs if overwrite else gram.inputs.copy()
    matrix[~alive] = 0.0
    matrix[:, ~alive] = 0.0
    np.fill_diagonal(matrix, np.where(alive, gram.squares, gram.squares[alive].mean() if alive.any() else 1.0))
    return factorize(matrix, damping, overwrite=True)
