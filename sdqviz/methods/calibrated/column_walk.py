"""The walk over a layer's inputs in which every adjusted column is a frame ΣΔ vector with a step of its own."""

from __future__ import annotations

import dataclasses

import numpy as np

from sdqviz.array import Array
from sdqviz.bounds.vector import spectral_bound, variation_bound
from sdqviz.methods.frame_vectors import Carrier, fitted_steps, quantize
from sdqviz.path_following.factor import factorize
from sdqviz.path_following.walk import BLOCK
from sdqviz.progress import ShouldStop, stop_if
from sdqviz.storage.bits import step_up

STEP_BITS = 16


@dataclasses.dataclass(frozen=True, eq=False)
class ColumnRule:
    """How one column is quantized.

    Attributes
    ----------
    bits : int
        Bits per level.
    fitted : bool
        Whether steps are fitted to the column; otherwise they cover its range, so that nothing overloads.
    paths : int
        Of the beam through redundant coefficients, order 0.
    """

    bits: int
    fitted: bool
    paths: int


@dataclasses.dataclass(frozen=True, eq=False)
class QuantizedColumns:
    """The columns of one group of a layer as levels in a frame.

    Attributes
    ----------
    levels : ndarray of uint8, shape (d, N)
        A row per input.
    step : ndarray, shape (d,)
        δ_t, a number of 16 bits.
    neurons : ndarray, shape (M, d)
        What these decode to.
    overload : int
        Values that left the quantizer's range.
    pivots, vector_bounds : ndarray, shape (d,)
        D_t, and B(δ_t), the bound on each column's own error where nothing left the range.
    damping : float
        λ.
    """

    levels: Array
    step: Array
    neurons: Array
    overload: int
    pivots: Array
    vector_bounds: Array
    damping: float


def vector_bound(carrier: Carrier) -> float:
    """Return B(1): ½√d for rounding, the smaller of the spectral and the variation form for first-order ΣΔ."""
    walk = carrier.walk
    if carrier.taps.order == 0:
        return 0.5 * walk.dimension**0.5
    return min(form(walk, 1.0, True).value for form in (spectral_bound, variation_bound))


def decode_columns(carrier: Carrier, levels: Array, step: Array, bits: int) -> Array:
    """Return the neurons, shape (M, d), that levels (d, N) and steps (d,) stand for."""
    columns = carrier.frame.synthesize((levels.astype(float) - 2 ** (bits - 1) + 0.5) * step[:, None])
    return np.ascontiguousarray(columns.T)


def quantize_columns(
    inputs: Array, target: Array, carrier: Carrier, rule: ColumnRule, damping: float = 0.01,
    should_stop: ShouldStop | None = None,
) -> QuantizedColumns:  # fmt: skip
    """Walk over the inputs, those of the largest norm first; each column takes over the errors of the earlier ones.

    Parameters
    ----------
    inputs : ndarray, shape (d, d)
        H of the live inputs.
    target : ndarray, shape (d, M)
        The columns, a row each.
    carrier : Carrier
        A frame of R^M.
    rule : ColumnRule
        How a column is quantized.
    damping : float
        λ as a share of the mean of H's diagonal.
    should_stop : callable, optional
        Polled between blocks.

    Notes
    -----
    With H + λI = U D Uᵀ in the order of the walk, v_t = w_t + Σ_{j<t} U_jt(w_j − w̃_j) and Σ_t D_t‖v_t − w̃_t‖² is the
    damped error. The step is chosen when v_t is known, so ΣΔ stays in its range whatever the feedback does.
    """
    order = np.argsort(-np.diagonal(inputs), kind="stable")
    factor = factorize(inputs[np.ix_(order, order)], damping)
    base = target[order]
    count, size = len(base), carrier.frame.size
    error = np.zeros_like(base)
    levels, steps = np.empty((count, size), np.uint8), np.empty(count)
    overload = 0
    for start in range(0, count, BLOCK):
        stop_if(should_stop)
        stop = min(start + BLOCK, count)
        earlier = base[start:stop] + factor.feedback[start:stop, :start] @ error[:start]
        for t in range(start, stop):
            vector = (earlier[t - start] + factor.feedback[t, start:t] @ error[start:t])[None]
            own, step, quantized, over = _column(carrier, vector, rule)
            levels[t], steps[t] = own, step
            error[t] = base[t] - quantized
            overload += over
    back = np.argsort(order)
    levels, steps = levels[back], steps[back]
    neurons = decode_columns(carrier, levels, steps, rule.bits)
    return QuantizedColumns(
        levels, steps, neurons, overload, factor.pivots[back], vector_bound(carrier) * steps, factor.damping
    )


def _column(carrier: Carrier, vector: Array, rule: ColumnRule) -> tuple[Array, float, Array, int]:
    """Quantize one vector, shape (1, M): its levels, step, value, and how often it left the range."""
    coefficients = carrier.frame.analyze(vector)
    if rule.fitted:
        step = fitted_steps(carrier, vector, coefficients, rule.bits, STEP_BITS, rule.paths)
    else:
        step = step_up(np.abs(coefficients).max(axis=1) / carrier.taps.reach(rule.bits), STEP_BITS)
    levels, quantized, overload = quantize(carrier, vector, coefficients, rule.bits, step, rule.paths)
    return levels[0], float(step[0]), quantized[0], int(overload[0])
