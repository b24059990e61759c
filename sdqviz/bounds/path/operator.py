"""The random operator T as the bounds see it, and why the end of its alphabet is not felt."""

from __future__ import annotations

import dataclasses
import math
from typing import Self

import numpy as np

from sdqviz.bounds.path.statement import ProbabilisticBound
from sdqviz.bounds.statement import Hypothesis, condition
from sdqviz.error import InputError
from sdqviz.quantizers.quantizer import Grid, QuantizerChoice


@dataclasses.dataclass(frozen=True)
class Operator:
    """What the bounds use of the random operator T: E T(z) = z, and how far T(z) can be from z.

    Attributes
    ----------
    title : str
        What people read.
    limit : float
        M ≥ |T(z) − z|, what the papers' forms use.
    width : float
        ω: T(z) − z lies in an interval of this length, given z; what the sharper forms use.
    unbiased : Hypothesis
        Whether E T(z) = z where nothing is clipped.
    radius : float
        Beyond it T clips; infinite for an infinite alphabet and where T only prunes.
    """

    title: str
    limit: float
    width: float
    unbiased: Hypothesis
    radius: float = math.inf

    def __post_init__(self) -> None:
        """Refuse negative sizes and a width that the limit does not allow."""
        if not (self.limit >= 0 and 0 <= self.width <= 2 * self.limit):
            raise InputError(f"limit and width must satisfy 0 ≤ ω ≤ 2M, got M = {self.limit}, ω = {self.width}")

    @classmethod
    def _two_points(cls, title: str, width: float, radius: float = math.inf) -> Self:
        if not (width > 0 and math.isfinite(width)):
            raise InputError(f"step, threshold and scale must be positive, got {width}")
        return cls(title, width, width, unbiased(width), radius)

    @classmethod
    def quantize(cls, step: float) -> Self:
        """Stochastic rounding with step δ and no last level: M = ω = δ."""
        return cls._two_points("quantize", float(step))

    @classmethod
    def prune(cls, threshold: float) -> Self:
        """Stochastic pruning below c: M = ω = c."""
        return cls._two_points("prune", float(threshold))

    @classmethod
    def quantize_prune(cls, step: float, threshold: float) -> Self:
        """Pruning below c, stochastic rounding above: M = ω = max(c, δ)."""
        return cls._two_points("quantize and prune", max(float(step), float(threshold)))

    @classmethod
    def one_bit(cls, scale: float) -> Self:
        """Return the operator of random signs ±s: M = ω = 2s, unbiased for |z| ≤ s."""
        return cls._two_points("one bit", 2 * float(scale), float(scale))

    @classmethod
    def of(cls, quantizer: QuantizerChoice, grid: Grid) -> Self:
        """Return the operator of a quantizer and its alphabets, with the widest and the shortest of the neurons'."""
        limit = float(np.max(quantizer.error_limit(grid)))
        if quantizer.random:
            radius = float(np.min(grid.radius)) if grid.count and quantizer.rounds else math.inf
            return cls._two_points(quantizer.title.lower(), limit, radius)
        reason = f"“{quantizer.title}” is not random, so its errors need not average out"
        return cls(quantizer.title.lower(), limit, 2 * limit, unbiased(limit, reason))


def unbiased(limit: float, otherwise: str = "") -> Hypothesis:
    """Require E T(z) = z and |T(z) − z| ≤ M; ``otherwise`` says why it is not so, if it is not."""
    return condition("unbiased", f"E T(z) = z and |T(z)−z| ≤ {limit:.4g}", not otherwise, otherwise)


def unclipped(met: bool, told: str) -> Hypothesis:
    """Require that no value lies beyond the last level."""
    return Hypothesis("clipping", "no value is clipped", told, met)


@dataclasses.dataclass(frozen=True)
class Clipping:
    """Why no value lies beyond the last level, and with what probability one may after all.

    Attributes
    ----------
    hypothesis : Hypothesis
        That nothing is clipped.
    failure : float
        Probability lost to it.
    """

    hypothesis: Hypothesis
    failure: float = 0.0


NO_CLIPPING = Clipping(unclipped(True, "the alphabet has no end"))
"""Of infinite alphabets, and of an operator that only prunes."""


def within_reach(reach: ProbabilisticBound, radius: float) -> Clipping:
    """Compare a bound on max|v_t| with the largest level: then the finite alphabet acts like the infinite one.

    Parameters
    ----------
    reach : ProbabilisticBound
        Bound on |v_t| of the walk without clipping: `range_paper`, `range_hoeffding` or `range_per_step`.
    radius : float
        Largest level: Kδ of a midtread alphabet, s of one bit.
    """
    if not reach.holds:
        return Clipping(unclipped(False, f"the range is not bounded: {reach.reason}"), 1.0)
    what = f"the largest level {radius:.4g}"
    if reach.value <= radius * (1 + 1e-12):
        return Clipping(unclipped(True, f"{what} is beyond the range {reach.value:.4g}"), 1 - reach.probability)
    text = f"the finite alphabet may clip: {what} is below the range {reach.value:.4g}"
    return Clipping(unclipped(False, text), 1 - reach.probability)


def measured_clipping(overload: int, steps: int) -> Clipping:
    """Use what a run has seen: the probability of clipping nothing *and* breaking the bound is at most the stated one.

    Parameters
    ----------
    overload, steps : int
        Values clipped, out of how many.
    """
    if overload:
        return Clipping(unclipped(False, f"the finite alphabet clipped {overload} of {steps} values"), 0.0)
    return Clipping(unclipped(True, f"the alphabet clipped none of {steps} values"), 0.0)
