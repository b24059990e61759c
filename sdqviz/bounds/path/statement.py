"""What a bound on path following says: a value, and the probability it is stated with."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable

from sdqviz.bounds.statement import Bound, Hypothesis, bound, smallest
from sdqviz.error import InputError

SPFQ = "Zhang & Saab, SPFQ, arXiv 2309.10975"
UNIFIED = "Zhang & Saab, unified stochastic framework, arXiv 2412.18184"


@dataclasses.dataclass(frozen=True)
class ProbabilisticBound(Bound):
    """A bound that holds with at least a stated probability over the quantizer's random numbers.

    Attributes
    ----------
    probability : float
        The stated probability, in [0, 1]; 0 where the formula gives nothing positive.
    """

    probability: float

    @property
    def informative(self) -> bool:
        """Whether the stated probability is positive; otherwise the statement is true and empty."""
        return self.probability > 0


def probabilistic_bound(
    name: str,
    title: str,
    value: float,
    hypotheses: Iterable[Hypothesis],
    probability: float,
    *,
    reference: str,
    text: str,
    formula: str,
    substituted: str,
) -> ProbabilisticBound:
    """Assemble a `ProbabilisticBound` as `sdqviz.bounds.statement.bound` does; the probability is cut to [0, 1]."""
    plain = bound(
        name, title, value, hypotheses, reference=reference, text=text, formula=formula, substituted=substituted
    )
    stated = min(probability, 1.0) if probability > 0 else 0.0
    empty = "" if stated > 0 else "The stated probability is not positive, so this says nothing."
    fields = {field.name: getattr(plain, field.name) for field in dataclasses.fields(Bound)}
    return ProbabilisticBound(**fields | {"note": empty}, probability=stated)


def sharpest(bounds: Iterable[ProbabilisticBound], probability: float) -> ProbabilisticBound:
    """Return the smallest bound that holds with at least ``probability``; if none does, the smallest of all.

    Raises
    ------
    InputError
        If there is none at all.
    """
    # 1 − γ computed along two paths may differ in its last digits
    least = probability - 1e-12
    return smallest(bounds, lambda one: one.holds and one.informative and one.probability >= least)


def check_scaling(scaling: float) -> None:
    """Refuse a scaling C below 1."""
    if not (scaling >= 1 and math.isfinite(scaling)):
        raise InputError(f"scaling C must be at least 1, got {scaling}")


def check_power(power: float) -> None:
    """Refuse a power p that is not positive."""
    if not (power > 0 and math.isfinite(power)):
        raise InputError(f"power p must be positive, got {power}")


def check_failure(failure: float) -> None:
    """Refuse a probability γ outside (0, 1)."""
    if not 0 < failure < 1:
        raise InputError(f"failure γ must be strictly between 0 and 1, got {failure}")


def check_weight(largest_weight: float) -> float:
    """Refuse a negative largest weight."""
    if not largest_weight >= 0:
        raise InputError(f"largest_weight must not be negative, got {largest_weight}")
    return float(largest_weight)
