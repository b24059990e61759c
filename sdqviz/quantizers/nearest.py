"""Rounding to the nearest level: GPFQ's rule, without randomness."""

from __future__ import annotations

import dataclasses

from sdqviz.array import Array
from sdqviz.kernels.rules import ROUND_NEAREST, SHRINK_NONE
from sdqviz.quantizers import QUANTIZERS
from sdqviz.quantizers.quantizer import Grid, QuantizerChoice, Rule


@QUANTIZERS.register
@dataclasses.dataclass(frozen=True)
class Nearest(QuantizerChoice):
    """T(z) is the level nearest to z; a tie goes to the upper one, and values beyond the last level to that one.

    Examples
    --------
    >>> import numpy as np
    >>> Nearest().apply(np.array([[0.4], [0.5], [9.0]]), Grid.finite("midtread", 2, 1.0), np.zeros(1)).ravel()
    array([0., 1., 1.])
    """

    name = "nearest"
    title = "Nearest level"
    rule = Rule(SHRINK_NONE, ROUND_NEAREST)

    def apply(self, values: Array, grid: Grid, uniform: Array) -> Array:
        """Round; the random numbers are not used."""
        return grid.nearest(values)

    def error_limit(self, grid: Grid) -> Array:
        """Return δ/2."""
        return grid.widest / 2
