"""ΣΔ quantization of any order, and memoryless rounding (PCM) of the same coefficients beside it."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sdqviz.array import Array, Index
from sdqviz.error import InputError
from sdqviz.kernels.first_order import copy_measured, first_order
from sdqviz.kernels.sigma_delta import noise_shaping
from sdqviz.kernels.threads import run
from sdqviz.quantizers.alphabet import check_bits, nearest_index
from sdqviz.sigma_delta.filters import FILTERS
from sdqviz.sigma_delta.filters.filter import FilterChoice
from sdqviz.sigma_delta.taps import FIRST, ROUNDING, Taps
from sdqviz.sigma_delta.trace import Trace

TIE = 1e-9
"""Share of max(|v|, δ) within which a bare coefficient's walk counts as on a threshold: far above rounding noise."""


@dataclasses.dataclass(frozen=True)
class SigmaDelta:
    """ΣΔ with the midrise alphabet: q_n = Q(v_n), v_n = x_n + Σ_j h_j u_{n−n_j}, u_n = v_n − q_n, started at 0.

    Parameters
    ----------
    bits : int
        Bits per level; the alphabet has 2K levels, K = 2^(bits−1).
    step : float
        δ, in the units of the coefficients.
    order : int
        r, 0 to 4: how often the errors are differences. 0 rounds each coefficient by itself, 1 is the paper's.
    filter : str or FilterChoice
        h: the name of a filter in `sdqviz.sigma_delta.filters.FILTERS`, or one with settings of its own.

    Notes
    -----
    If every |x_n| ≤ (K − ‖h‖₁/2)δ then every |u_n| ≤ δ/2; for order 1 that is (K − ½)δ. Czaja & Na (arXiv
    2404.08131), Definition 3.1. Arguments within 1e-9·max(|v|, δ) of a threshold go up and are counted, so that levels
    do not hang on how the coefficients were rounded.

    Examples
    --------
    >>> trace = SigmaDelta(bits=1, step=1.0).run([0.2, 0.2, -0.4])
    >>> trace.quantized
    array([ 0.5, -0.5,  0.5])
    >>> trace.state.round(12), trace.stable
    (array([-0.3,  0.4, -0.5]), True)
    >>> SigmaDelta(bits=1, step=1.0, order=2, filter="minimal-support").run([0.2, 0.2, 0.2]).quantized
    array([ 0.5, -0.5,  0.5])
    """

    bits: int
    step: float
    order: int = 1
    filter: str | FilterChoice = "greedy"

    def __post_init__(self) -> None:
        """Refuse a bit depth or a step that makes no alphabet, and an order that is not stable with it."""
        _check(self.bits, self.step)
        _ = self.taps

    @functools.cached_property
    def taps(self) -> Taps:
        """The filter h."""
        chosen = FILTERS[self.filter]() if isinstance(self.filter, str) else self.filter
        return chosen.taps(self.order, self.bits)

    def run(self, coefficients: ArrayLike) -> Trace:
        """Quantize sequences of coefficients, shape (..., N), walking along the last axis."""
        x, largest = _measured(coefficients)
        rows = x.reshape(-1, x.shape[-1])
        quantized, ties = np.empty_like(rows), np.zeros(len(rows), np.int64)
        step = np.full(len(rows), float(self.step))
        overload = shape_rows(rows, self.bits, step, self.taps, out=quantized, tie=TIE, ties=ties)

        def states() -> Array:
            state = np.empty_like(rows)
            shape_rows(rows, self.bits, step, self.taps, out=np.empty_like(rows), state=state, tie=TIE)
            return state

        return _trace(x, largest, quantized, states, self.bits, self.step, self.taps.reach(self.bits), overload, ties)


@dataclasses.dataclass(frozen=True)
class Pcm:
    """Memoryless rounding: each coefficient goes to its nearest level, on its own.

    Parameters
    ----------
    bits : int
        Bits per level.
    step : float
        δ, in the units of the coefficients.
    """

    bits: int
    step: float

    def __post_init__(self) -> None:
        """Refuse a bit depth or a step that makes no alphabet."""
        _check(self.bits, self.step)

    def run(self, coefficients: ArrayLike) -> Trace:
        """Quantize coefficients, shape (..., N); the state is the running sum of the errors."""
        x, largest = _measured(coefficients)
        half = 2 ** (self.bits - 1)
        quantized = (nearest_index(x, self.step, half) + 0.5) * self.step
        overload = (np.abs(x) > half * self.step).sum(axis=-1)

        def states() -> Array:
            return np.cumsum(x - quantized, axis=-1)

        return _trace(x, largest, quantized, states, self.bits, self.step, half - 0.5, np.asarray(overload), None)


def walk_rows(
    coefficients: Array,
    bits: int,
    step: Array,
    *,
    order: NDArray[np.int64] | None = None,
    out: Array | None = None,
    state: Array | None = None,
    index: Index | None = None,
    tie: float = 0.0,
    ties: NDArray[np.int64] | None = None,
) -> NDArray[np.int64]:
    """Run first-order ΣΔ along each row, in compiled code on all threads.

    Parameters
    ----------
    coefficients : ndarray, shape (M, N)
        One sequence per row, indexed by frame vector; finite.
    bits : int
        Bits per level.
    step : ndarray, shape (M,)
        δ of each row; 0 only for a row of zeros.
    order : ndarray of int, shape (N,), optional
        The walk p; results stay indexed by frame vector.
    out : ndarray, shape (M, N), optional
        Receives the levels (k + ½)δ; may be ``coefficients`` itself.
    state : ndarray, shape (M, N), optional
        Receives the state after visiting each frame vector.
    index : ndarray of uint8 or uint16, shape (M, N), optional
        Receives k + 2^(bits−1) of each level (k + ½)δ: what is stored.
    tie : float
        Share of max(|v|, δ) within which an argument counts as on a threshold and goes up.
    ties : ndarray of int, shape (M,), optional
        Receives how often that was so.

    Returns
    -------
    ndarray of int, shape (M,)
        Steps at which each row left the quantizer's range.
    """
    rows, length = coefficients.shape
    walk = np.arange(length, dtype=np.uint32) if order is None else order.astype(np.uint32)  # no negative indices
    in_order = order is None or np.array_equal(order, np.arange(length))
    overload = np.zeros(rows, np.int64)
    counted = np.zeros(rows, np.int64) if ties is None else ties
    nowhere, own = np.empty((1, 0)), np.array(step, float)  # a copy: for what cannot be written to it is compiled anew
    run(
        first_order, np.ascontiguousarray(coefficients, float), walk, in_order, own, 2 ** (bits - 1), tie,
        nowhere if out is None else out, out is not None,
        nowhere.astype(np.uint8) if index is None else index, index is not None,
        nowhere if state is None else state, state is not None, overload, counted,
    )  # fmt: skip
    return overload


def shape_rows(
    coefficients: Array,
    bits: int,
    step: Array,
    taps: Taps,
    *,
    order: NDArray[np.int64] | None = None,
    out: Array,
    state: Array | None = None,
    index: Index | None = None,
    tie: float = 0.0,
    ties: NDArray[np.int64] | None = None,
) -> NDArray[np.int64]:
    """Run ΣΔ with any filter along each row, in compiled code on all threads.

    Parameters
    ----------
    coefficients, bits, step, order, out, state, index, tie, ties
        As for `walk_rows`.
    taps : Taps
        The filter h.

    Returns
    -------
    ndarray of int, shape (M,)
        Steps at which each row left the quantizer's range.
    """
    if taps == FIRST:
        return walk_rows(coefficients, bits, step, order=order, out=out, state=state, index=index, tie=tie, ties=ties)
    rows, length = coefficients.shape
    walk = np.arange(length) if order is None else order
    overload = np.zeros(rows, np.int64)
    counted = np.zeros(rows, np.int64) if ties is None else ties
    own = np.array(step, float)
    run(
        noise_shaping, coefficients, walk.astype(np.uint32), own, 2 ** (bits - 1), *taps.arrays(), tie, out,
        out if state is None else state, state is not None, overload, counted,
    )  # fmt: skip
    if index is not None:
        half = 2 ** (bits - 1)
        np.add(nearest_index(out, step[:, None], half), half, out=index, casting="unsafe")
    return overload


def copied_heights(coefficients: Array, copy: Array) -> Array:
    """Return max|x_n| of each row, shape (M, N) → (M,), and set ``copy``, of the same shape, to them in passing.

    Infinity is larger than all numbers, and NaN larger than that.
    """
    found = np.zeros(len(coefficients), np.int64)
    rows = np.ascontiguousarray(coefficients, float)
    run(copy_measured, rows.view(np.int64), copy.view(np.int64), found)
    return found.view(float)


def _check(bits: int, step: float) -> None:
    check_bits(bits)
    if not (np.isfinite(step) and step > 0):
        raise InputError(f"step must be positive and finite, got {step}")


def _measured(coefficients: ArrayLike) -> tuple[Array, float]:
    """Return a copy of coefficients, which a record keeps, and their largest magnitude; refuse what is not finite."""
    x = np.asarray(coefficients, float)
    if x.ndim == 0 or x.shape[-1] == 0:
        raise InputError(f"coefficients must have at least one value along the last axis, got shape {x.shape}")
    copy = np.empty(x.shape)
    flat = (-1, x.shape[-1])
    found = copied_heights(x.reshape(flat), copy.reshape(flat))
    largest = found.max(initial=0.0)  # NaN where there is one
    if not np.isfinite(largest):
        raise InputError(f"coefficients must be finite, got {int((~np.isfinite(x)).sum())} values that are not")
    return copy, float(largest)


def _trace(
    x: Array, largest: float, quantized: Array, states: Callable[[], Array], bits: int, step: float, reach: float,
    overload: NDArray[np.int64], ties: NDArray[np.int64] | None,
) -> Trace:  # fmt: skip
    radius = reach * step
    stable = largest <= radius * (1 + ROUNDING)
    sign = "≤" if stable else ">"
    levels = "K" if reach == 2 ** (bits - 1) else f"(K−{2 ** (bits - 1) - reach:.4g})".replace("K−0.5", "K−½")
    return Trace(
        coefficients=x,
        quantized=quantized.reshape(x.shape),
        states=states,
        bits=bits,
        step=np.full(x.shape[:-1], float(step)),
        stable=stable,
        reason=f"max|x_n| = {largest:.4g} {sign} {levels}δ = {radius:.4g}",
        overload=overload.reshape(x.shape[:-1]),
        ties=(np.zeros(overload.shape, np.int64) if ties is None else ties).reshape(x.shape[:-1]),
    )
