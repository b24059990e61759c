"""Bounds on the error of one layer from the inputs themselves."""

from __future__ import annotations

import dataclasses
import math
from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from sdqviz.array import Array
from sdqviz.bounds.path.layer import DEAD, PLACEMENTS, PathLayer, hoeffding_form, matching_power
from sdqviz.bounds.path.layer_error import (
    hoeffding_euclidean,
    hoeffding_infinity,
    logarithm_tex,
    paper_euclidean,
    paper_infinity,
)
from sdqviz.bounds.path.statement import ProbabilisticBound, check_failure, check_scaling
from sdqviz.bounds.statement import number_tex
from sdqviz.error import InputError


@dataclasses.dataclass(frozen=True, eq=False)
class Sensitivity:
    """How the rounding errors ε_t = v_t − q_t add up: ũ_N = Zε and v − w̃ = (I − L⁻¹)ε, Z = X̃L⁻¹.

    Attributes
    ----------
    scaling, placement
        Of the walk it was computed for.
    per_sample : ndarray or None, shape (m,)
        Σ_t Z_it²: ω²/4 times it is the diagonal of S_N. None if only the Gram matrix was given.
    per_step : ndarray, shape (N,)
        Σ_{j<t} (L⁻¹)_tj², the same for the feedback v_t − w̃_t; 0 at dead inputs.
    trace, frobenius, norm : float
        Tr A, ‖A‖_F and ‖A‖₂ of A = ZᵀZ.

    Notes
    -----
    S_t = P_tS_{t−1}P_t + (ω²/4)X̃_tX̃_tᵀ, the matrix of the sub-Gaussian tail, ends at (ω²/4)ZZᵀ. The walk says
    Le = ε for the weight errors e, with L = I + D·tril(H, −1) and D the gains, so no m×m matrix is needed.
    """

    scaling: float
    placement: str
    per_sample: Array | None
    per_step: Array
    trace: float
    frobenius: float
    norm: float

    @classmethod
    def of(cls, inputs: ArrayLike, scaling: float = 1.0, placement: str = "own") -> Self:
        """Compute from X̃, shape (m, N); O(N³ + mN²)."""
        x = np.asarray(inputs, float)
        if x.ndim != 2 or x.size == 0:
            raise InputError(f"inputs must be samples × inputs, got shape {x.shape}")
        inverse = _inverse(x.T @ x, scaling, placement)
        z = x @ inverse
        return cls._measured(scaling, placement, inverse, z @ z.T if len(z) < z.shape[1] else z.T @ z, (z**2).sum(1))

    @classmethod
    def of_gram(cls, gram: ArrayLike, scaling: float = 1.0, placement: str = "own") -> Self:
        """Compute from H = X̃ᵀX̃, shape (N, N); O(N³). There is no form per sample then."""
        h = np.asarray(gram, float)
        if h.ndim != 2 or h.shape[0] != h.shape[1] or h.size == 0:
            raise InputError(f"gram must be square, got shape {h.shape}")
        inverse = _inverse(h, scaling, placement)
        return cls._measured(scaling, placement, inverse, inverse.T @ h @ inverse, None)

    @classmethod
    def _measured(cls, scaling: float, placement: str, inverse: Array, a: Array, per_sample: Array | None) -> Self:
        values = np.maximum(np.linalg.eigvalsh(a), 0.0)
        return cls(
            float(scaling),
            placement,
            per_sample,
            (np.tril(inverse, -1) ** 2).sum(axis=1),
            float(values.sum()),
            float(np.linalg.norm(values)),
            float(values[-1]),
        )

    def check(self, layer: PathLayer) -> None:
        """Refuse a layer that walks differently."""
        if (self.scaling, self.placement) != (layer.scaling, layer.placement):
            raise InputError(
                f"sensitivity must be computed for C = {layer.scaling} and placement {layer.placement}, "
                f"got C = {self.scaling} and {self.placement}"
            )
        if len(self.per_step) != layer.inputs:
            raise InputError(f"sensitivity must have {layer.inputs} inputs, got {len(self.per_step)}")
        if self.per_sample is not None and len(self.per_sample) != layer.samples:
            raise InputError(f"sensitivity must have {layer.samples} samples, got {len(self.per_sample)}")


def _inverse(gram: Array, scaling: float, placement: str) -> Array:
    """Return L⁻¹ of L = I + D·tril(H, −1), with columns and rows of dead inputs removed from the walk."""
    from scipy.linalg import solve_triangular

    check_scaling(scaling)
    if placement not in PLACEMENTS:
        raise InputError(f"placement must be one of {', '.join(PLACEMENTS)}, got {placement!r}")
    squares = np.maximum(np.diagonal(gram), 0.0)
    alive = squares > DEAD**2 * squares.max()
    divisor = squares if placement == "own" else np.full_like(squares, squares.max())
    gain = np.where(alive, 1 / (scaling * np.where(alive, divisor, 1.0)), 0.0)
    lower = gain[:, None] * np.where(alive, np.tril(gram, -1), 0.0)
    np.fill_diagonal(lower, 1.0)
    inverse: Array = solve_triangular(lower, np.diag(alive.astype(float)), lower=True, check_finite=False)
    return inverse


def sample_limits(layer: PathLayer, sensitivity: Sensitivity, failure: float) -> Array:
    """Return √(2S_ii log(2m/γ)) + ‖û‖_∞ of each sample i, shape (m,): all hold at once with probability 1 − γ."""
    return _limits(layer, sensitivity, failure) + layer.alignment_infinity


def _limits(layer: PathLayer, sensitivity: Sensitivity, failure: float) -> Array:
    """Return the limits of the samples under perfect alignment."""
    check_failure(failure)
    sensitivity.check(layer)
    count = layer.samples * layer.neurons
    return np.sqrt(_variances(layer, sensitivity)) * math.sqrt(2 * math.log(2 * count / failure))


def _variances(layer: PathLayer, sensitivity: Sensitivity) -> Array:
    """Return S_ii, shape (m,)."""
    if sensitivity.per_sample is None:
        raise InputError("sensitivity must be computed from the inputs for a bound per sample, got a Gram matrix")
    return layer.operator.width**2 / 4 * sensitivity.per_sample


def per_sample_infinity(layer: PathLayer, sensitivity: Sensitivity, failure: float) -> ProbabilisticBound:
    """‖Xw − X̃q‖_∞ ≤ max_i √(2S_ii log(2m/γ)) with probability at least 1 − γ; `sample_limits` has each sample.

    Parameters
    ----------
    layer : PathLayer
        The layer.
    sensitivity : Sensitivity
        Of the same inputs, C and placement; S = (ω²/4)ZZᵀ.
    failure : float
        γ, strictly between 0 and 1.
    """
    value = float(_limits(layer, sensitivity, failure).max())
    largest = float(_variances(layer, sensitivity).max())
    count = layer.samples * layer.neurons
    return hoeffding_form(
        layer,
        failure,
        "path-infinity-per-sample",
        "Largest error, from the inputs",
        value,
        r"\max_i\sqrt{2S_{ii}\log(2m/\gamma)}",
        rf"\sqrt{{2\cdot {number_tex(largest)}\log(2\cdot {count}/{number_tex(failure)})}}",
    )


def trace_euclidean(layer: PathLayer, sensitivity: Sensitivity, failure: float) -> ProbabilisticBound:
    """‖Xw − X̃q‖₂² ≤ Tr S + 2‖S‖_F√t + 2‖S‖₂t, t = log(1/γ), with probability at least 1 − γ.

    Parameters as in `per_sample_infinity`; the Gram matrix suffices.
    """
    check_failure(failure)
    sensitivity.check(layer)
    t = math.log(layer.neurons / failure)
    square = layer.operator.width**2 / 4
    trace, frobenius, norm = (square * part for part in (sensitivity.trace, sensitivity.frobenius, sensitivity.norm))
    return hoeffding_form(
        layer,
        failure,
        "path-euclidean-trace",
        "Euclidean error, from the inputs",
        math.sqrt(trace + 2 * frobenius * math.sqrt(t) + 2 * norm * t),
        r"\sqrt{\operatorname{Tr}S+2\|S\|_F\sqrt t+2\|S\|_2t}",
        rf"\sqrt{{{number_tex(trace)}+2\cdot {number_tex(frobenius)}\sqrt{{{number_tex(t)}}}"
        rf"+2\cdot {number_tex(norm)}\cdot {number_tex(t)}}}",
        rf",\quad t={logarithm_tex(layer)}",
    )


def layer_bounds(
    layer: PathLayer, failure: float, sensitivity: Sensitivity | None = None
) -> tuple[ProbabilisticBound, ...]:
    """Return every bound on ‖Xw − X̃q‖ that fails with probability γ at most, first the ∞-norm, then the 2-norm.

    The papers' forms take the p that matches γ; for a single input there is none, and they are left out.
    """
    power = matching_power(layer, failure)
    infinity = [hoeffding_infinity(layer, failure)]
    euclidean = [hoeffding_euclidean(layer, failure)]
    if math.isfinite(power):
        infinity.insert(0, paper_infinity(layer, power))
        euclidean.insert(0, paper_euclidean(layer, power))
    if sensitivity is not None:
        if sensitivity.per_sample is not None:
            infinity.append(per_sample_infinity(layer, sensitivity, failure))
        euclidean.append(trace_euclidean(layer, sensitivity, failure))
    return (*infinity, *euclidean)
