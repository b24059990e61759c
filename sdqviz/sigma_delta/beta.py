"""β-expansions of the entries themselves: the yardstick whose errors fall exponentially in the bits."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import ArrayLike

from sdqviz.array import Array
from sdqviz.error import InputError


@dataclasses.dataclass(frozen=True)
class BetaExpansion:
    """x̂_i = Σ_t β^(1−t) q_t with one-bit digits q_t = sign(u_t)μ/β, u_1 = x_i, u_{t+1} = β(u_t − q_t), μ = ‖x‖_∞.

    Parameters
    ----------
    digits : int
        λ, one-bit digits an entry.
    beta : float
        β; 1 < β ≤ 2, so that |u_t| ≤ μ for ever.

    Notes
    -----
    ‖x − x̂‖ ≤ √d·β^(−λ)·‖x‖_∞. Chou & Güntürk, Constr. Approx. 44 (2016).

    Examples
    --------
    >>> BetaExpansion(digits=2, beta=2.0).run([1.0, -0.4])
    array([ 0.75, -0.25])
    """

    digits: int
    beta: float = 1.99

    def __post_init__(self) -> None:
        """Refuse what does not converge."""
        if self.digits < 1:
            raise InputError(f"digits must be at least 1, got {self.digits}")
        if not 1 < self.beta <= 2:
            raise InputError(f"beta must be above 1 and at most 2 with two levels, got {self.beta}")

    def run(self, vectors: ArrayLike) -> Array:
        """Return what the digits stand for, shape (..., d); each vector has its own μ."""
        x = np.asarray(vectors, float)
        if not np.isfinite(x).all():
            raise InputError(f"vectors must be finite, got {int((~np.isfinite(x)).sum())} values that are not")
        level = np.abs(x).max(axis=-1, keepdims=True) / self.beta
        u, total = x.copy(), np.zeros_like(x)
        for digit in range(self.digits):
            q = np.where(u >= 0, level, -level)
            total += self.beta**-digit * q
            u = self.beta * (u - q)
        return total

    def bound(self, vectors: ArrayLike) -> Array:
        """Return √d·β^(−λ)·‖x‖_∞ of each vector, shape (...)."""
        x = np.abs(np.asarray(vectors, float))
        return np.asarray(np.sqrt(x.shape[-1]) * self.beta**-self.digits * x.max(axis=-1))
