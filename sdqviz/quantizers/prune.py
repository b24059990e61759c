"""Stochastic pruning: small weights become zero or the threshold, large ones stay."""

from __future__ import annotations

import dataclasses

import numpy as np

from sdqviz.array import Array
from sdqviz.kernels.rules import ROUND_NONE, SHRINK_RANDOM
from sdqviz.quantizers import QUANTIZERS
from sdqviz.quantizers.quantizer import Grid, Rule, Thresholded


@QUANTIZERS.register
@dataclasses.dataclass(frozen=True)
class Prune(Thresholded):
    """T(z) = z if |z| ≥ c; otherwise sign(z)c with probability |z|/c, and 0 with the rest. So E T(z) = z.

    Notes
    -----
    Zhang & Saab, arXiv 2412.18184.

    Examples
    --------
    >>> Prune(threshold=1.0).apply(np.array([[2.5], [-0.25], [-0.25]]), Grid.infinite("midtread", 1.0),
    ...                            np.array([[0.0], [0.2], [0.3]])).ravel()
    array([ 2.5, -1. ,  0. ])
    """

    name = "prune"
    title = "Prune"
    random = True
    rounds = False
    rule = Rule(SHRINK_RANDOM, ROUND_NONE)

    def apply(self, values: Array, grid: Grid, uniform: Array) -> Array:
        """Prune; the alphabet is not used."""
        return shrunk(values, self.threshold, uniform, values)

    def error_limit(self, grid: Grid) -> Array:
        """Return c."""
        return np.full_like(grid.widest, self.threshold)


def shrunk(values: Array, threshold: float, uniform: Array, otherwise: Array) -> Array:
    """Return 0 or ±c at random where |z| < c, and ``otherwise`` elsewhere."""
    if threshold == 0:
        return otherwise
    size = np.abs(values)
    return np.where(
        size < threshold, np.where(uniform < size / threshold, np.copysign(threshold, values), 0.0), otherwise
    )
