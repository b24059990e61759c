"""Bounds on the values a walk gives to its quantizer, and the levels that hold them all."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from sdqviz.bounds.path.layer import PathLayer
from sdqviz.bounds.path.sensitivity import Sensitivity
from sdqviz.bounds.path.statement import (
    SPFQ,
    UNIFIED,
    ProbabilisticBound,
    check_failure,
    check_power,
    check_weight,
    probabilistic_bound,
)
from sdqviz.bounds.statement import number_tex
from sdqviz.error import InputError


def range_paper(layer: PathLayer, largest_weight: float, power: float) -> ProbabilisticBound:
    """max_t|v_t| ≤ ‖w̃‖_∞ + Mκ√(2πp log N/(2C−1)) with probability at least 1 − √2·N^(1−p), for each neuron.

    Parameters
    ----------
    layer : PathLayer
        The layer, without regard to its ``clipping``: the walk is the one without clipping.
    largest_weight : float
        ‖w̃‖_∞, the largest over the neurons.
    power : float
        p; informative only if p > 1.

    Notes
    -----
    κ = max‖X̃_j‖/min‖X̃_t‖ where C multiplies ‖X̃_t‖², and κ = 1 where it multiplies max_j‖X̃_j‖². An alphabet whose
    largest level is at least this value clips nothing (`within_reach`).
    """
    check_power(power)
    weight = check_weight(largest_weight)
    n, c = layer.inputs, layer.scaling
    feedback = layer.operator.limit * layer.ratio * math.sqrt(2 * math.pi * power * math.log(n) / (2 * c - 1))
    return probabilistic_bound(
        "path-range-paper",
        "Range of the walk, the paper's form",
        weight + feedback,
        (layer.operator.unbiased,),
        1 - math.sqrt(2) * layer.neurons * n ** (1 - power),
        reference=f"{SPFQ if c == 1 else UNIFIED}; proved in our docs: finite-alphabet",
        text="finite-alphabet",
        formula=r"\max_t|v_t|\le\|\tilde w\|_\infty+M\kappa\sqrt{\frac{2\pi p\log N}{2C-1}}",
        substituted=rf"{number_tex(weight)}+{number_tex(layer.operator.limit)}\cdot {number_tex(layer.ratio)}"
        rf"\sqrt{{\frac{{2\pi\cdot {number_tex(power)}\log {n}}}{{2\cdot {number_tex(c)}-1}}}}",
    )


def range_hoeffding(layer: PathLayer, largest_weight: float, failure: float) -> ProbabilisticBound:
    """max_t|v_t| ≤ ‖w̃‖_∞ + (ω/2)κ√(2 log(2N/γ)/(2C−1)) with probability at least 1 − γ; see `range_paper`."""
    check_failure(failure)
    weight = check_weight(largest_weight)
    c, count = layer.scaling, layer.inputs * layer.neurons
    feedback = layer.operator.width / 2 * layer.ratio * math.sqrt(2 * math.log(2 * count / failure) / (2 * c - 1))
    return probabilistic_bound(
        "path-range-hoeffding",
        "Range of the walk, Hoeffding form",
        weight + feedback,
        (layer.operator.unbiased,),
        1 - failure,
        reference="proved in our docs: finite-alphabet",
        text="finite-alphabet",
        formula=r"\max_t|v_t|\le\|\tilde w\|_\infty+\frac\omega2\kappa\sqrt{\frac{2\log(2N/\gamma)}{2C-1}}",
        substituted=rf"{number_tex(weight)}+\frac{{{number_tex(layer.operator.width)}}}2\cdot {number_tex(layer.ratio)}"
        rf"\sqrt{{\frac{{2\log(2\cdot {count}/{number_tex(failure)})}}{{2\cdot {number_tex(c)}-1}}}}",
    )


def range_per_step(
    layer: PathLayer, sensitivity: Sensitivity, aligned: ArrayLike, failure: float
) -> ProbabilisticBound:
    """max_t|v_t| ≤ max_t(|w̃_t| + (ω/2)√(2ℓ_t log(2N/γ))), ℓ_t = Σ_{j<t}(L⁻¹)_tj², with probability ≥ 1 − γ.

    Parameters
    ----------
    layer : PathLayer
        The layer.
    sensitivity : Sensitivity
        Of the same inputs, C and placement.
    aligned : array_like, shape (N,) or (N, neurons)
        w̃.
    failure : float
        γ.
    """
    check_failure(failure)
    sensitivity.check(layer)
    weights = np.abs(np.asarray(aligned, float)).reshape(len(np.asarray(aligned)), -1)
    if weights.shape != (layer.inputs, layer.neurons):
        raise InputError(f"aligned must have shape ({layer.inputs}, {layer.neurons}), got {np.shape(aligned)}")
    count = layer.inputs * layer.neurons
    feedback = layer.operator.width / 2 * np.sqrt(2 * math.log(2 * count / failure) * sensitivity.per_step)
    total = weights.max(axis=1) + feedback
    worst = int(total.argmax())
    return probabilistic_bound(
        "path-range-per-step",
        "Range of the walk, from the inputs",
        float(total[worst]),
        (layer.operator.unbiased,),
        1 - failure,
        reference="proved in our docs: finite-alphabet",
        text="finite-alphabet",
        formula=r"\max_t|v_t|\le\max_t\Bigl(|\tilde w_t|+\frac\omega2\sqrt{2\ell_t\log(2N/\gamma)}\Bigr)",
        substituted=rf"{number_tex(float(weights[worst].max()))}+\frac{{{number_tex(layer.operator.width)}}}2"
        rf"\sqrt{{2\cdot {number_tex(float(sensitivity.per_step[worst]))}"
        rf"\log(2\cdot {count}/{number_tex(failure)})}}",
    )


def levels_needed(reach: ProbabilisticBound, step: float) -> int:
    """Return the smallest K for which the levels kδ, |k| ≤ K, contain the range; log2(2K+1) are the bits.

    Examples
    --------
    >>> from sdqviz.bounds.path import Operator
    >>> layer = PathLayer.of_norms([1.0] * 1000, samples=10, operator=Operator.quantize(0.5))
    >>> levels_needed(range_hoeffding(layer, 3.0, failure=0.01), 0.5)
    9
    """
    if not step > 0:
        raise InputError(f"step must be positive, got {step}")
    if not math.isfinite(reach.value):
        raise InputError(f"reach must be finite, got {reach.value}")
    return max(1, math.ceil(reach.value / step * (1 - 1e-12)))
