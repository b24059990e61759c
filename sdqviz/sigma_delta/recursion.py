"""First-order ΣΔ quantization, and memoryless rounding (PCM) of the same coefficients beside it."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sdqviz.array import Array
from sdqviz.error import InputError
from sdqviz.kernels.sigma_delta import sigma_delta
from sdqviz.kernels.threads import run
from sdqviz.quantizers.alphabet import check_bits, nearest_index
from sdqviz.sigma_delta.trace import Trace


@dataclasses.dataclass(frozen=True)
class SigmaDelta:
    """First-order ΣΔ with the midrise alphabet: q_n = Q(u_{n−1}+x_n), u_n = u_{n−1}+x_n−q_n, u_0 = 0.

    Parameters
    ----------
    bits : int
        Bits per level; the alphabet has 2K levels, K = 2^(bits−1).
    step : float
        δ, in the units of the coefficients.

    Notes
    -----
    If every |x_n| ≤ (K−½)δ then every |u_n| ≤ δ/2. Czaja & Na (arXiv 2404.08131), Definition 3.1.

    Examples
    --------
    >>> trace = SigmaDelta(bits=1, step=1.0).run([0.2, 0.2, -0.4])
    >>> trace.quantized
    array([ 0.5, -0.5,  0.5])
    >>> trace.state.round(12), trace.stable
    (array([-0.3,  0.4, -0.5]), True)
    """

    bits: int
    step: float

    def __post_init__(self) -> None:
        """Refuse a bit depth or a step that makes no alphabet."""
        _check(self.bits, self.step)

    def run(self, coefficients: ArrayLike) -> Trace:
        """Quantize sequences of coefficients, shape (..., N), walking along the last axis."""
        x = _finite(coefficients)
        rows = np.ascontiguousarray(x.reshape(-1, x.shape[-1]))
        quantized, state = np.empty_like(rows), np.empty_like(rows)
        step = np.full(len(rows), float(self.step))
        overload = walk_rows(rows, self.bits, step, out=quantized, state=state)
        return _trace(x, quantized, state, self.bits, self.step, overload)


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
        x = _finite(coefficients)
        half = 2 ** (self.bits - 1)
        quantized = (nearest_index(x, self.step, half) + 0.5) * self.step
        overload = (np.abs(x) > half * self.step).sum(axis=-1)
        return _trace(x, quantized, np.cumsum(x - quantized, axis=-1), self.bits, self.step, np.asarray(overload))


def walk_rows(
    coefficients: Array,
    bits: int,
    step: Array,
    *,
    order: NDArray[np.int64] | None = None,
    out: Array,
    state: Array | None = None,
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
    out : ndarray, shape (M, N)
        Receives the levels; may be ``coefficients`` itself.
    state : ndarray, shape (M, N), optional
        Receives the state after visiting each frame vector.

    Returns
    -------
    ndarray of int, shape (M,)
        Steps at which each row left the quantizer's range.
    """
    rows, length = coefficients.shape
    walk = np.arange(length) if order is None else order
    overload = np.zeros(rows, np.int64)
    run(
        sigma_delta,
        coefficients,
        walk.astype(np.uint32),  # unsigned: the kernel then needs no check for negative indices
        step,
        2 ** (bits - 1),
        0,
        rows,
        out,
        out if state is None else state,
        state is not None,
        overload,
    )
    return overload


def _check(bits: int, step: float) -> None:
    check_bits(bits)
    if not (np.isfinite(step) and step > 0):
        raise InputError(f"step must be positive and finite, got {step}")


def _finite(coefficients: ArrayLike) -> Array:
    x = np.asarray(coefficients, float)
    if x.ndim == 0 or x.shape[-1] == 0:
        raise InputError(f"coefficients must have at least one value along the last axis, got shape {x.shape}")
    if not np.isfinite(x).all():
        raise InputError(f"coefficients must be finite, got {int((~np.isfinite(x)).sum())} values that are not")
    return np.array(x)


def _trace(x: Array, quantized: Array, state: Array, bits: int, step: float, overload: NDArray[np.int64]) -> Trace:
    radius = (2 ** (bits - 1) - 0.5) * step
    largest = float(np.abs(x).max())
    stable = largest <= radius
    sign = "≤" if stable else ">"
    return Trace(
        coefficients=x,
        quantized=quantized.reshape(x.shape),
        state=state.reshape(x.shape),
        bits=bits,
        step=np.full(x.shape[:-1], float(step)),
        stable=stable,
        reason=f"max|x_n| = {largest:.4g} {sign} (K−½)δ = {radius:.4g}",
        overload=overload.reshape(x.shape[:-1]),
    )
