"""Hard thresholding, then rounding: sparse GPFQ that leaves large weights where they are."""

from __future__ import annotations

import dataclasses

import numpy as np

from sdqviz.array import Array
from sdqviz.choice import field_of
from sdqviz.kernels.rules import ROUND_NEAREST, SHRINK_HARD
from sdqviz.quantizers import QUANTIZERS
from sdqviz.quantizers.quantizer import Grid, Rule, Thresholded


@QUANTIZERS.register
@dataclasses.dataclass(frozen=True)
class HardThreshold(Thresholded):
    """T(z) is the nearest level if |z| > λ, and 0 otherwise.

    Notes
    -----
    Zhang, Zhou & Saab, *Post-training quantization for neural networks with provable guarantees* (2023).

    Examples
    --------
    >>> grid = Grid.infinite("midtread", 0.5)
    >>> HardThreshold(threshold=0.6).apply(np.array([[1.0], [0.6]]), grid, np.zeros(1)).ravel()
    array([1., 0.])
    """

    name = "hard-threshold"
    title = "Hard threshold"
    rule = Rule(SHRINK_HARD, ROUND_NEAREST)

    threshold: float = field_of(Thresholded, "threshold", label="Threshold λ", help="Values up to λ become zero.")

    def apply(self, values: Array, grid: Grid, uniform: Array) -> Array:
        """Cut and round."""
        return np.where(np.abs(values) <= self.threshold, 0.0, grid.nearest(values))

    def overloaded(self, values: Array, grid: Grid) -> Array:
        """Return which values are clipped; those cut are not."""
        return super().overloaded(values, grid) & (np.abs(values) > self.threshold)

    def error_limit(self, grid: Grid) -> Array:
        """Return max(λ, δ/2)."""
        return np.maximum(grid.widest / 2, self.threshold)
