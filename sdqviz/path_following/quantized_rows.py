"""Calibrated ΣΔ of neurons: the Cholesky factor of the inputs' Gram matrix in a frame takes the difference's place."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable

import numpy as np

from sdqviz.array import Array
from sdqviz.kernels.turn import turned
from sdqviz.path_following.beam import Walker, beam_walk, greedy_walk, tallied_walk
from sdqviz.path_following.factor import Factor, factorize, walk_values
from sdqviz.path_following.gram import Gram
from sdqviz.path_following.row_frame import RowFrame
from sdqviz.path_following.walk import walk
from sdqviz.progress import ShouldStop, stop_if

MULTIPLES = {1: np.geomspace(1.12, 4.0, 6), 2: np.geomspace(0.5, 1.5, 6)}
"""Multiples of the rms coordinate that are tried as steps, by bits; `multiples` continues them."""

TOGETHER = 64
"""Rows that are squared or turned to levels while they are in the cache."""


@dataclasses.dataclass(frozen=True, eq=False)
class QuantizedRows:
    """Neurons as levels in a frame.

    Attributes
    ----------
    levels : ndarray of uint8, shape (M, N)
        Coordinates are (level − 2^(bits−1) + ½)δ.
    step : ndarray, shape (M,)
        δ of each neuron, as it is stored.
    neurons : ndarray, shape (M, d)
        What these decode to.
    overload : ndarray of int, shape (M,)
        Values that the alphabet clipped.
    pivots : ndarray, shape (N,)
        D.
    damping : float
        λ that was added to the diagonal of the Gram matrix in the frame.
    missed : ndarray or None, shape (M,)
        eᵀHe of each neuron, e the target less the neuron, where the walk summed it up.
    """

    levels: Array
    step: Array
    neurons: Array
    overload: Array
    pivots: Array
    damping: float
    missed: Array | None = None


def decode_rows(frame: RowFrame, levels: Array, step: Array, bits: int) -> Array:
    """Return the neurons, shape (M, d), that levels (M, N) and steps (M,) stand for."""
    coordinates = levels.astype(float)
    coordinates -= 2 ** (bits - 1) - 0.5
    coordinates *= step[:, None]
    return frame.synthesize(coordinates)


def multiples(bits: int) -> Array:
    """Return the steps to try, in units of the rms coordinate."""
    if bits in MULTIPLES:
        return MULTIPLES[bits]
    levels = 2.0**bits
    return np.geomspace(0.55, 1.7, 6) * 4 * np.sqrt(np.log(levels)) / levels


def quantize_rows(
    gram: Gram, target: Array, errors: Callable[[Array], Array] | None, stored: Callable[[Array], Array],
    frame: RowFrame, bits: int, paths: int = 1, damping: float = 0.1, should_stop: ShouldStop | None = None,
    walker: Walker = walk,
) -> QuantizedRows:  # fmt: skip
    """Quantize neurons so that the layer's output on the calibration inputs changes least.

    Parameters
    ----------
    gram : Gram
        The layer's inputs, d of them; all are used.
    target : ndarray, shape (d, M)
        What the walk aims at: the neurons themselves, or aligned ones.
    errors : callable
        Returns the square error of each neuron, shape (M,), for quantized ones, shape (d, M). None where it is
        eᵀHe, e the target less the quantized neuron, in a whole frame and with one path: the walk then knows it.
    stored : callable
        Rounds steps to those that are stored.
    frame : RowFrame
        Of R^d.
    bits : int
        Bits of a level, 1 to 8.
    paths : int
        Paths of the beam; 1 for the greedy walk.
    damping : float
        λ as a share of the mean of the diagonal.
    should_stop : callable, optional
        Polled between blocks.
    walker : callable
        `sdqviz.path_following.walk.walk`, or the same on another device; a beam stays on the processor.

    Returns
    -------
    QuantizedRows

    Notes
    -----
    With G = E H Eᵀ and G + λI = U D Uᵀ the walk rounds v_n = y_n + Σ_{k<n} U_kn(y_k − q_k). Whatever it rounds to,
    Σ_n D_n(v_n − q_n)² is the damped error exactly (`sdqviz.path_following.factor.error_terms`). Each neuron keeps,
    of six steps, the one with the smallest error.
    """
    matrix = frame.gram(gram.inputs)
    factor = factorize(matrix, damping, overwrite=not frame.undersampled)
    base = coordinates(frame, gram, matrix, factor, target)
    rms = np.sqrt(_mean_squares(base))
    if errors is None:
        steps = (stored(multiple * rms) for multiple in multiples(bits))
        return _least_tallied(factor, base, steps, frame, bits, should_stop, walker)

    def walked(step: Array, width: int) -> tuple[Array, Array, Array]:
        found = greedy_walk(factor, base, bits, step, should_stop, walker)
        if width > 1:
            found = beam_walk(factor, base, bits, step, width, should_stop, found)
        divisor = np.where(step > 0, step, 1.0)
        levels = np.where(step > 0, np.rint(found / divisor - 0.5), 0.0).T + 2 ** (bits - 1)
        neurons = decode_rows(frame, levels, step, bits)
        return levels, neurons, errors(neurons.T)

    best: tuple[Array, Array, Array, Array] | None = None
    for multiple in multiples(bits):
        stop_if(should_stop)
        step = stored(multiple * rms)
        best = _better(best, (*walked(step, 1), step))
    assert best is not None
    if paths > 1:
        best = _better(best, (*walked(best[3], paths), best[3]))
    levels, neurons, _, step = best
    quantized = ((levels - 2 ** (bits - 1) + 0.5) * step[:, None]).T
    clipped = np.abs(walk_values(factor, base, quantized)) > 2 ** (bits - 1) * step * (1 + 1e-9)
    return QuantizedRows(levels.astype(np.uint8), step, neurons, clipped.sum(axis=0), factor.pivots, factor.damping)


def _least_tallied(
    factor: Factor, base: Array, steps: Iterable[Array], frame: RowFrame, bits: int, should_stop: ShouldStop | None,
    walker: Walker,
) -> QuantizedRows:  # fmt: skip
    """Walk with one step after the other, and give each neuron the one with the least error."""
    best: tuple[Array, ...] | None = None
    memory: tuple[Array | None, Array] | None = None  # of the walk before, once what it found is kept elsewhere
    for own in steps:
        found = tallied_walk(factor, base, bits, own, should_stop, walker, memory)
        cost = found.missed - factor.damping * np.einsum("nm,nm->m", found.error, found.error)
        new = found.quantized, cost, own, found.overload
        if best is None:
            best, memory = new, (None, found.error)
            continue
        better = cost < best[1]
        for mine, theirs in zip(new, best, strict=True):
            np.copyto(theirs, mine, where=better)
        memory = found.quantized, found.error
    assert best is not None
    del found, memory, new
    quantized, missed, step, overload = best
    levels = turned(_levels(quantized, step, bits))
    del quantized, best
    neurons = decode_rows(frame, levels, step, bits)
    return QuantizedRows(levels, step, neurons, overload, factor.pivots, factor.damping, np.maximum(missed, 0.0))


def _levels(quantized: Array, step: Array, bits: int) -> Array:
    """Return the numbers of the levels that values of shape (N, M) are, a few rows at a time."""
    levels = np.empty(quantized.shape, np.uint8)
    divisor = np.where(step > 0, step, 1.0)
    for start in range(0, len(quantized), TOGETHER):
        rows = slice(start, start + TOGETHER)
        index = np.where(step > 0, np.rint(quantized[rows] / divisor - 0.5), 0.0)
        levels[rows] = index + 2 ** (bits - 1)
    return levels


def _mean_squares(columns: Array) -> Array:
    """Return the mean square of each column, row after row as numpy adds them, without a second matrix."""
    total = np.zeros((1, columns.shape[1]))
    for start in range(0, len(columns), TOGETHER):
        total = np.concatenate([total, columns[start : start + TOGETHER] ** 2]).sum(axis=0, keepdims=True)
    return np.asarray(total[0] / len(columns))


def coordinates(frame: RowFrame, gram: Gram, matrix: Array, factor: Factor, target: Array) -> Array:
    """Return y, shape (N, M): E w, or of N < d vectors the y whose Eᵀy comes nearest to w on the inputs."""
    if not frame.undersampled:
        return turned(frame.analyze(turned(target)))
    from scipy.linalg import solve

    damped = matrix + factor.damping * np.eye(len(matrix))
    right = frame.analyze(np.ascontiguousarray((gram.inputs @ target).T)).T
    return np.ascontiguousarray(solve(damped, right, assume_a="pos", check_finite=False))


def _better(
    old: tuple[Array, Array, Array, Array] | None, new: tuple[Array, Array, Array, Array]
) -> tuple[Array, Array, Array, Array]:
    """Keep of two (levels, neurons, error, step) for each neuron what has the smaller error."""
    if old is None:
        return new
    better = new[2] < old[2]
    row = better[:, None]
    return (
        np.where(row, new[0], old[0]),
        np.where(row, new[1], old[1]),
        np.where(better, new[2], old[2]),
        np.where(better, new[3], old[3]),
    )
