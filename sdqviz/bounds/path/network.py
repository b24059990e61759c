"""Bounds on a whole network whose layers follow their paths."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from sdqviz.array import Array
from sdqviz.bounds.path.layer import PathLayer, paper_failure
from sdqviz.bounds.path.layer_error import euclidean_factor, paper_factor
from sdqviz.bounds.path.statement import SPFQ, ProbabilisticBound, check_failure, check_power, probabilistic_bound
from sdqviz.bounds.statement import Hypothesis, condition, number_tex
from sdqviz.error import InputError

PERFECT = 1e-9
"""‖û‖ relative to the largest input norm below which an alignment counts as perfect: rounding only."""


def propagate(layers: Sequence[PathLayer], factors: Sequence[float]) -> Array:
    """Bound max_j‖X_j − X̃_j‖₂ after each layer: E_i = a_i(R_i + E_{i−1}) + ‖û_i‖, E_0 = 0, shape (L,).

    Parameters
    ----------
    layers : sequence of PathLayer
        From input to output; ``largest`` is R_i = max_j‖X_j‖₂ over the layer's inputs in the *original* network.
    factors : sequence of float
        a_i: each layer's own error is at most a_i·max_j‖X̃_j‖₂.
    """
    errors, error = np.empty(len(layers)), 0.0
    for i, (layer, factor) in enumerate(zip(layers, factors, strict=True)):
        error = factor * (layer.largest + error) + layer.alignment_euclidean
        errors[i] = error
    return errors


def network_paper(layers: Sequence[PathLayer], power: float) -> ProbabilisticBound:
    """max_j‖Φ(X)_j − Φ̃(X)_j‖₂ ≤ Σ_i (Π_{k≥i} a_k) max_j‖X_j^(i)‖₂, a_k = δ_k√(2πpm log N_k), ReLU, perfect alignment.

    Parameters
    ----------
    layers : sequence of PathLayer
        From input to output, each with its own step, its number of neurons, and as ``largest`` the largest column norm
        of its inputs in the original network.
    power : float
        p; the probability is at least 1 − √2·Σ_i m·N_i·N_{i−1}^(−p).

    Notes
    -----
    With C > 1 the factor a_k gains C/√(2C−1). Biases kept in float change nothing.
    """
    check_power(power)
    _check_network(layers)
    factors = [math.sqrt(layer.samples) * paper_factor(layer, power) for layer in layers]
    failure = sum(paper_failure(layer, power) + layer.clipping.failure for layer in layers)
    return probabilistic_bound(
        "path-network-paper",
        "Network, the paper's form",
        float(propagate(layers, factors)[-1]),
        (*_all_layers(layers), _perfect(layers)),
        1 - failure,
        reference=f"{SPFQ}; proved in our docs: full-network",
        text="full-network",
        formula=r"\max_j\|\Phi(X)_j-\tilde\Phi(X)_j\|_2\le\sum_{i=0}^{L-1}\Bigl(\prod_{k=i}^{L-1}"
        r"\delta_k\sqrt{2\pi pm\log N_k}\Bigr)\max_j\|X_j^{(i)}\|_2",
        substituted=_network_numbers(layers, factors),
    )


def network_hoeffding(layers: Sequence[PathLayer], failure: float) -> ProbabilisticBound:
    """Sum as `network_paper` does, with a_k = (ω_k/2)√(m + 2√(mt) + 2t), t = log(L·neurons/γ), probability ≥ 1 − γ.

    What alignment leaves, ``alignment_euclidean`` of each layer, is added on the way, so it need not be perfect.
    Parameters as in `network_paper`, with γ for p.
    """
    check_failure(failure)
    _check_network(layers)
    factors = [euclidean_factor(layer, math.log(len(layers) * layer.neurons / failure)) for layer in layers]
    added = max(layer.alignment_euclidean for layer in layers)
    text = "the alignment is perfect" if added == 0 else f"approximate alignment adds ‖û‖ ≤ {added:.4g} per layer"
    return probabilistic_bound(
        "path-network-hoeffding",
        "Network, Hoeffding form",
        float(propagate(layers, factors)[-1]),
        (*_all_layers(layers), condition("alignment", text, True)),
        1 - failure - sum(layer.clipping.failure for layer in layers),
        reference="proved in our docs: full-network",
        text="full-network",
        formula=r"\max_j\|\Phi(X)_j-\tilde\Phi(X)_j\|_2\le\sum_{i=0}^{L-1}\Bigl(\prod_{k=i}^{L-1}a_k\Bigr)"
        r"\max_j\|X_j^{(i)}\|_2,\quad a_k=\frac{\omega_k}2\sqrt{m+2\sqrt{mt_k}+2t_k},\quad t_k=\log(LN_{k+1}/\gamma)",
        substituted=_network_numbers(layers, factors),
    )


def _check_network(layers: Sequence[PathLayer]) -> None:
    if not layers:
        raise InputError("layers must contain at least one layer, got none")
    if len({layer.samples for layer in layers}) > 1:
        raise InputError(
            f"layers must have the same number of samples, got {', '.join(str(layer.samples) for layer in layers)}"
        )


def _all_layers(layers: Sequence[PathLayer]) -> tuple[Hypothesis, ...]:
    """Join the layers' hypotheses: those that fail by layer, those that hold once."""
    every = f"in all {len(layers)} layers T is unbiased, C ≥ 1, nothing is clipped"
    failed = [
        Hypothesis(hypothesis.name, hypothesis.needs, f"in layer {i + 1} {hypothesis.got}", False)
        for i, layer in enumerate(layers)
        for hypothesis in layer.hypotheses()
        if not hypothesis.met
    ]
    return tuple(failed) or (condition("layers", every, True),)


def _perfect(layers: Sequence[PathLayer]) -> Hypothesis:
    for i, layer in enumerate(layers):
        if layer.alignment_euclidean > PERFECT * layer.largest:
            told = f"the alignment of layer {i + 1} is not perfect (‖û‖ = {layer.alignment_euclidean:.4g})"
            return condition("alignment", "the alignment is perfect", False, told)
    return condition("alignment", "the alignment is perfect", True)


def _network_numbers(layers: Sequence[PathLayer], factors: Sequence[float]) -> str:
    numbers = [number_tex(factor) for factor in factors]
    terms = [
        r"\cdot ".join([*numbers[i:], number_tex(layer.largest)])
        + (
            "+" + r"\cdot ".join([*numbers[i + 1 :], number_tex(layer.alignment_euclidean)])
            if layer.alignment_euclidean
            else ""
        )
        for i, layer in enumerate(layers)
    ]
    return "+".join(terms)
