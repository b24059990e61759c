"""One bit: a random sign times a scale."""

from __future__ import annotations

import dataclasses

from sdqviz.array import Array
from sdqviz.error import InputError
from sdqviz.kernels.rules import ROUND_RANDOM, SHRINK_NONE
from sdqviz.quantizers import QUANTIZERS
from sdqviz.quantizers.quantizer import Grid, QuantizerChoice, Rule


@QUANTIZERS.register
@dataclasses.dataclass(frozen=True)
class OneBit(QuantizerChoice):
    """T(z) = s with probability (1 + z/s)/2 and −s otherwise; values beyond ±s are clipped. s = δ/2.

    Notes
    -----
    Zhang & Saab, *A Unified Stochastic Framework for Neural Network Quantization and Pruning*
    (arXiv 2412.18184), with a scale s: T_s(z) = s·T(z/s). It is stochastic rounding to an alphabet
    of two levels.

    Examples
    --------
    >>> import numpy as np
    >>> OneBit().apply(np.zeros((2, 1)), Grid.finite("midrise", 1, 2.0), np.array([[0.4], [0.6]])).ravel()
    array([ 1., -1.])
    """

    name = "one-bit"
    title = "One bit"
    random = True
    rule = Rule(SHRINK_NONE, ROUND_RANDOM)

    def apply(self, values: Array, grid: Grid, uniform: Array) -> Array:
        """Draw the signs."""
        if grid.count != 2:
            raise InputError(f"one-bit needs an alphabet of 2 levels, got {grid.count}")
        return grid.stochastic(values, uniform)

    def error_limit(self, grid: Grid) -> Array:
        """Return 2s."""
        return grid.widest
