"""How large C must be for random signs to stay in range."""

from __future__ import annotations

import math

from sdqviz.bounds.path.statement import (
    UNIFIED,
    ProbabilisticBound,
    check_failure,
    check_power,
    check_scaling,
    check_weight,
    probabilistic_bound,
)
from sdqviz.bounds.statement import Hypothesis, number_tex
from sdqviz.error import InputError


def one_bit_scaling_paper(
    largest_weight: float, scale: float, inputs: int, power: float, *, ratio: float = 1.0, scaling: float | None = None,
    neurons: int = 1,
) -> ProbabilisticBound:  # fmt: skip
    """Signs ±s stay in range if C ≥ ½ + 4πpκ²s² log N/(s − ‖w̃‖_∞)², with probability ≥ 1 − √2·N^(1−p).

    The value is the smallest such C. If ``scaling`` is given, it is checked against it.

    Parameters
    ----------
    largest_weight : float
        ‖w̃‖_∞, below s.
    scale : float
        s.
    inputs : int
        N.
    power : float
        p; informative only if p > 1.
    ratio : float
        κ; 1 if C multiplies the largest norm.
    scaling : float, optional
        The C in use.
    neurons : int
        How many neurons it is to hold for.

    Examples
    --------
    >>> [round(one_bit_scaling_paper(0.5, 1.0, n, 2.0).value) for n in (200, 2000, 20000)]
    [533, 765, 996]
    """
    check_power(power)
    hypotheses, room = _one_bit(largest_weight, scale, inputs, ratio, neurons)
    value = 0.5 + 4 * math.pi * power * math.log(inputs) * (ratio * scale / room) ** 2 if room else math.inf
    return probabilistic_bound(
        "one-bit-scaling-paper",
        "Smallest C for one bit, the paper's form",
        max(value, 1.0),
        (*hypotheses, *_large_enough(scaling, value)),
        1 - math.sqrt(2) * neurons * inputs ** (1 - power),
        reference=f"{UNIFIED}; proved in our docs: one-bit-c",
        text="one-bit-c",
        formula=r"C\ge\max\Bigl(1,\;\tfrac12+\frac{4\pi p\,\kappa^2s^2\log N}{(s-\|\tilde w\|_\infty)^2}\Bigr)",
        substituted=rf"\max\Bigl(1,\;\tfrac12+\frac{{4\pi\cdot {number_tex(power)}\cdot {number_tex(ratio)}^2\cdot "
        rf"{number_tex(scale)}^2\log {inputs}}}{{({number_tex(scale)}-{number_tex(largest_weight)})^2}}\Bigr)",
    )


def one_bit_scaling_hoeffding(
    largest_weight: float, scale: float, inputs: int, failure: float, *, ratio: float = 1.0,
    scaling: float | None = None, neurons: int = 1,
) -> ProbabilisticBound:  # fmt: skip
    """Signs ±s stay in range if C ≥ ½ + κ²s² log(2N/γ)/(s − ‖w̃‖_∞)², with probability ≥ 1 − γ.

    Parameters as in `one_bit_scaling_paper`, with γ for p.

    Examples
    --------
    >>> [round(one_bit_scaling_hoeffding(0.5, 1.0, n, 2**0.5 / n).value) for n in (200, 2000, 20000)]
    [44, 63, 81]
    """
    check_failure(failure)
    hypotheses, room = _one_bit(largest_weight, scale, inputs, ratio, neurons)
    count = inputs * neurons
    value = 0.5 + math.log(2 * count / failure) * (ratio * scale / room) ** 2 if room else math.inf
    return probabilistic_bound(
        "one-bit-scaling-hoeffding",
        "Smallest C for one bit, Hoeffding form",
        max(value, 1.0),
        (*hypotheses, *_large_enough(scaling, value)),
        1 - failure,
        reference="proved in our docs: one-bit-c",
        text="one-bit-c",
        formula=r"C\ge\max\Bigl(1,\;\tfrac12+\frac{\kappa^2s^2\log(2N/\gamma)}{(s-\|\tilde w\|_\infty)^2}\Bigr)",
        substituted=rf"\max\Bigl(1,\;\tfrac12+\frac{{{number_tex(ratio)}^2\cdot {number_tex(scale)}^2"
        rf"\log(2\cdot {count}/{number_tex(failure)})}}{{({number_tex(scale)}-{number_tex(largest_weight)})^2}}\Bigr)",
    )


def _one_bit(
    largest_weight: float, scale: float, inputs: int, ratio: float, neurons: int
) -> tuple[tuple[Hypothesis, ...], float]:
    """Return the hypothesis ‖w̃‖_∞ < s and the room s − ‖w̃‖_∞, 0 where there is none."""
    weight = check_weight(largest_weight)
    if not scale > 0:
        raise InputError(f"scale must be positive, got {scale}")
    if inputs < 1 or neurons < 1:
        raise InputError(f"inputs and neurons must be at least 1, got {inputs} and {neurons}")
    if not ratio >= 1:
        raise InputError(f"ratio κ must be at least 1, got {ratio}")
    inside = weight < scale
    text = f"the largest weight {weight:.4g} is {'below' if inside else 'not below'} the scale s = {scale:.4g}"
    return (Hypothesis("scale", "‖w̃‖_∞ < s", text, inside),), (scale - weight if inside else 0.0)


def _large_enough(scaling: float | None, least: float) -> tuple[Hypothesis, ...]:
    if scaling is None:
        return ()
    check_scaling(scaling)
    holds = scaling >= least * (1 - 1e-12)
    told = f"C = {scaling:.4g} is {'at least' if holds else 'below'} {least:.4g}"
    return (Hypothesis("scaling", "C is large enough", told, holds),)
