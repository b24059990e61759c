"""Stochastic rounding: SPFQ's rule, right on average."""

from __future__ import annotations

import dataclasses

from sdqviz.array import Array
from sdqviz.kernels.rules import ROUND_RANDOM, SHRINK_NONE
from sdqviz.quantizers import QUANTIZERS
from sdqviz.quantizers.quantizer import Grid, QuantizerChoice, Rule


@QUANTIZERS.register
@dataclasses.dataclass(frozen=True)
class Stochastic(QuantizerChoice):
    """T(z) is the level below z or the one above, the nearer one more often, so that E T(z) = z.

    A finite alphabet clips what lies beyond its last levels, and there the mean is lost.

    Notes
    -----
    StocQ of Zhang & Saab, *SPFQ* (arXiv 2309.10975).

    Examples
    --------
    >>> import numpy as np
    >>> Stochastic().apply(np.full((2, 1), 0.25), Grid.infinite("midtread", 1.0), np.array([[0.2], [0.3]])).ravel()
    array([1., 0.])
    """

    name = "stochastic"
    title = "Stochastic rounding"
    random = True
    rule = Rule(SHRINK_NONE, ROUND_RANDOM)

    def apply(self, values: Array, grid: Grid, uniform: Array) -> Array:
        """Round up where ``uniform`` is below the fractional part."""
        return grid.stochastic(values, uniform)

    def error_limit(self, grid: Grid) -> Array:
        """Return δ."""
        return grid.widest
