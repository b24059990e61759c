"""Bounds on the error of one layer from the norms of its inputs: the papers' forms, and Hoeffding's."""

from __future__ import annotations

import math

from sdqviz.bounds.path.layer import (
    PathLayer,
    alignment_term,
    hoeffding_form,
    paper_failure,
    scaled_tex,
    source_of,
    spread,
)
from sdqviz.bounds.path.statement import ProbabilisticBound, check_failure, check_power, probabilistic_bound
from sdqviz.bounds.statement import number_tex


def paper_infinity(layer: PathLayer, power: float) -> ProbabilisticBound:
    """‖Xw − X̃q‖_∞ ≤ MC√(2πp log N/(2C−1))·max_j‖X̃_j‖ with probability at least 1 − √2·m·N^(−p).

    Parameters
    ----------
    layer : PathLayer
        The layer; C = 1 gives the bound of SPFQ, where M = δ.
    power : float
        p > 0. Informative only if p > log(√2·m)/log N.

    Notes
    -----
    Both placements of C have the same bound. For several neurons the failure is multiplied by their number.

    Examples
    --------
    >>> from sdqviz.bounds.path import Operator
    >>> layer = PathLayer.of_norms([1.0] * 100, samples=10, operator=Operator.quantize(0.1))
    >>> result = paper_infinity(layer, power=2.0)
    >>> round(result.value, 4), round(result.probability, 6)
    (0.7607, 0.998586)
    """
    check_power(power)
    value = paper_factor(layer, power) * layer.largest
    return _paper(layer, power, value, layer.alignment_infinity, "infinity", "Largest error, the paper's form")


def paper_euclidean(layer: PathLayer, power: float) -> ProbabilisticBound:
    """‖Xw − X̃q‖₂ ≤ √m times `paper_infinity`, on the same event."""
    check_power(power)
    value = math.sqrt(layer.samples) * paper_factor(layer, power) * layer.largest
    return _paper(layer, power, value, layer.alignment_euclidean, "euclidean", "Euclidean error, the paper's form")


def paper_factor(layer: PathLayer, power: float) -> float:
    """Return what multiplies the largest norm in the papers' form of the ∞-norm."""
    return layer.operator.limit * spread(layer.scaling) * math.sqrt(2 * math.pi * power * math.log(layer.inputs))


def _paper(layer: PathLayer, power: float, value: float, added: float, kind: str, title: str) -> ProbabilisticBound:
    euclidean = kind == "euclidean"
    norm = "2" if euclidean else r"{\infty}"
    aligned, term, number = alignment_term(layer, added, norm)
    reference, text = source_of(layer)
    formula, _ = scaled_tex(layer.scaling, r"2\pi p\log N")
    _, numbers = scaled_tex(layer.scaling, rf"2\pi\cdot {number_tex(power)}\log {layer.inputs}")
    root, root_number = (r"\sqrt m\,", rf"\sqrt{{{layer.samples}}}\cdot ") if euclidean else ("", "")
    return probabilistic_bound(
        f"path-{kind}-paper",
        title,
        value + added,
        (*layer.hypotheses(), *aligned),
        1 - paper_failure(layer, power) - layer.clipping.failure,
        reference=reference,
        text=text,
        formula=rf"\|Xw-\tilde Xq\|_{norm}\le {root}M{formula}\,"
        rf"\max_j\|\tilde X_j\|_2{term}",
        substituted=rf"{root_number}{number_tex(layer.operator.limit)}\cdot {numbers}\cdot "
        rf"{number_tex(layer.largest)}{number}",
    )


def hoeffding_infinity(layer: PathLayer, failure: float) -> ProbabilisticBound:
    """‖Xw − X̃q‖_∞ ≤ ωC√(log(2m/γ)/(2(2C−1)))·max_j‖X̃_j‖ with probability at least 1 − γ.

    Parameters
    ----------
    layer : PathLayer
        The layer; for several neurons m becomes m times their number.
    failure : float
        γ, strictly between 0 and 1.

    Examples
    --------
    >>> from sdqviz.bounds.path import Operator
    >>> layer = PathLayer.of_norms([1.0] * 100, samples=10, operator=Operator.quantize(0.1))
    >>> round(hoeffding_infinity(layer, failure=0.001414).value, 4)
    0.2186
    """
    check_failure(failure)
    count = layer.samples * layer.neurons
    value = layer.operator.width * spread(layer.scaling) * math.sqrt(math.log(2 * count / failure) / 2)
    formula, _ = scaled_tex(layer.scaling, r"\tfrac12\log(2m/\gamma)")
    _, numbers = scaled_tex(layer.scaling, rf"\tfrac12\log(2\cdot {count}/{number_tex(failure)})")
    return hoeffding_form(
        layer,
        failure,
        "path-infinity-hoeffding",
        "Largest error, Hoeffding form",
        value * layer.largest,
        rf"\omega {formula}\,\max_j\|\tilde X_j\|_2",
        rf"{number_tex(layer.operator.width)}\cdot {numbers}\cdot {number_tex(layer.largest)}",
    )


def hoeffding_euclidean(layer: PathLayer, failure: float) -> ProbabilisticBound:
    """‖Xw − X̃q‖₂ ≤ (ω/2)(C/√(2C−1))·max_j‖X̃_j‖·√(m + 2√(mt) + 2t), t = log(1/γ), with probability ≥ 1 − γ.

    Parameters as in `hoeffding_infinity`; for several neurons t = log(neurons/γ).

    Examples
    --------
    >>> from sdqviz.bounds.path import Operator
    >>> layer = PathLayer.of_norms([1.0] * 100, samples=10, operator=Operator.quantize(0.1))
    >>> round(hoeffding_euclidean(layer, failure=0.001414).value, 4)
    0.3135
    """
    check_failure(failure)
    value = euclidean_factor(layer, math.log(layer.neurons / failure)) * layer.largest
    t = number_tex(math.log(layer.neurons / failure))
    formula, _ = scaled_tex(layer.scaling, r"m+2\sqrt{mt}+2t")
    _, numbers = scaled_tex(layer.scaling, rf"{layer.samples}+2\sqrt{{{layer.samples}\cdot {t}}}+2\cdot {t}")
    return hoeffding_form(
        layer,
        failure,
        "path-euclidean-hoeffding",
        "Euclidean error, Hoeffding form",
        value,
        rf"\frac\omega2 {formula}\,\max_j\|\tilde X_j\|_2",
        rf"\frac{{{number_tex(layer.operator.width)}}}2\cdot {numbers}\cdot {number_tex(layer.largest)}",
        rf",\quad t={logarithm_tex(layer)}",
    )


def logarithm_tex(layer: PathLayer) -> str:
    """Write t = log(1/γ), or with the number of neurons."""
    return r"\log(1/\gamma)" if layer.neurons == 1 else r"\log(n/\gamma)\text{ for }n\text{ neurons}"


def euclidean_factor(layer: PathLayer, t: float) -> float:
    """Return what multiplies the largest norm in the Euclidean form with failure e^(−t) per neuron."""
    return layer.operator.width / 2 * spread(layer.scaling) * euclidean_size(layer.samples, t)


def euclidean_size(samples: int, t: float) -> float:
    """Return √(m + 2√(mt) + 2t): a Gaussian vector of R^m is longer with probability e^(−t) at most."""
    return math.sqrt(samples + 2 * math.sqrt(samples * t) + 2 * t)
