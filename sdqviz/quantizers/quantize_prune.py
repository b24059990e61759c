"""Stochastic rounding and pruning in one operator."""

from __future__ import annotations

import dataclasses

import numpy as np

from sdqviz.array import Array
from sdqviz.kernels.rules import ROUND_RANDOM, SHRINK_RANDOM
from sdqviz.quantizers import QUANTIZERS
from sdqviz.quantizers.prune import shrunk
from sdqviz.quantizers.quantizer import Grid, Rule, Thresholded


@QUANTIZERS.register
@dataclasses.dataclass(frozen=True)
class QuantizePrune(Thresholded):
    """T(z) rounds stochastically if |z| ≥ c; otherwise it is sign(z)c with probability |z|/c, or 0.

    c need not be a level: then ±c are two more levels.

    Notes
    -----
    Zhang & Saab, arXiv 2412.18184. Both branches are right on average, so the operator is.

    Examples
    --------
    >>> QuantizePrune(threshold=2.0).apply(np.array([[2.5], [0.5], [0.5]]), Grid.infinite("midtread", 1.0),
    ...                                    np.array([[0.4], [0.2], [0.3]])).ravel()
    array([3., 2., 0.])
    """

    name = "quantize-prune"
    title = "Quantize and prune"
    random = True
    rule = Rule(SHRINK_RANDOM, ROUND_RANDOM)

    def apply(self, values: Array, grid: Grid, uniform: Array) -> Array:
        """Round or prune."""
        return shrunk(values, self.threshold, uniform, grid.stochastic(values, uniform))

    def overloaded(self, values: Array, grid: Grid) -> Array:
        """Return which values are clipped; pruned ones are not."""
        return super().overloaded(values, grid) & (np.abs(values) >= self.threshold)

    def error_limit(self, grid: Grid) -> Array:
        """Return max(c, δ)."""
        return np.maximum(grid.widest, self.threshold)
