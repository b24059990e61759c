"""Soft thresholding, then rounding: sparse GPFQ."""

from __future__ import annotations

import dataclasses

import numpy as np

from sdqviz.array import Array
from sdqviz.choice import field_of
from sdqviz.kernels.rules import ROUND_NEAREST, SHRINK_SOFT
from sdqviz.quantizers import QUANTIZERS
from sdqviz.quantizers.quantizer import Grid, Rule, Thresholded


@QUANTIZERS.register
@dataclasses.dataclass(frozen=True)
class SoftThreshold(Thresholded):
    """T(z) rounds sign(z)·max(|z| − λ, 0) to the nearest level; what the threshold makes 0 stays 0.

    Notes
    -----
    Zhang, Zhou & Saab, *Post-training quantization for neural networks with provable guarantees* (2023).

    Examples
    --------
    >>> grid = Grid.infinite("midtread", 0.5)
    >>> SoftThreshold(threshold=0.4).apply(np.array([[1.0], [0.3]]), grid, np.zeros(1)).ravel()
    array([0.5, 0. ])
    """

    name = "soft-threshold"
    title = "Soft threshold"
    rule = Rule(SHRINK_SOFT, ROUND_NEAREST)

    threshold: float = field_of(
        Thresholded, "threshold", label="Threshold λ", help="All values move towards zero by λ before rounding."
    )

    def apply(self, values: Array, grid: Grid, uniform: Array) -> Array:
        """Shrink and round."""
        moved = self._moved(values)
        return np.where(moved == 0, 0.0, grid.nearest(moved))

    def overloaded(self, values: Array, grid: Grid) -> Array:
        """Return which values are clipped after shrinking."""
        moved = self._moved(values)
        return super().overloaded(moved, grid) & (moved != 0)

    def error_limit(self, grid: Grid) -> Array:
        """Return λ + δ/2, or more where a midrise alphabet has no zero."""
        return self.threshold + grid.widest / 2

    def _moved(self, values: Array) -> Array:
        return np.maximum(values - self.threshold, 0.0) + np.minimum(values + self.threshold, 0.0)
