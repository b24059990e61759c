"""Neurons as whole numbers without limit: each coordinate has a step of its own, and nothing is ever clipped."""

from __future__ import annotations

import dataclasses

import numpy as np

from sdqviz.array import Array
from sdqviz.error import InputError
from sdqviz.path_following.beam import Walker
from sdqviz.path_following.factor import factorize
from sdqviz.path_following.gram import Gram
from sdqviz.path_following.row_frame import RowFrame
from sdqviz.path_following.walk import walk
from sdqviz.progress import ShouldStop
from sdqviz.quantizers import QUANTIZERS
from sdqviz.quantizers.quantizer import Grid

STEPS_PER_OCTAVE = 8.0
"""Steps are base · 2^(k/8), 0 ≤ k < 256."""


@dataclasses.dataclass(frozen=True, eq=False)
class CodedRows:
    """Neurons as whole numbers.

    Attributes
    ----------
    symbols : ndarray of int, shape (N, M)
        k; coordinates are kδ_n.
    base : float
        The smallest step, a float32 number.
    exponent : ndarray of uint8, shape (N,)
        δ_n = base · 2^(exponent/8).
    neurons : ndarray, shape (M, d)
        What these decode to.
    pivots : ndarray, shape (N,)
        D.
    damping : float
        λ.
    """

    symbols: Array
    base: float
    exponent: Array
    neurons: Array
    pivots: Array
    damping: float


def steps_of(base: float, exponent: Array) -> Array:
    """Return δ_n."""
    return np.asarray(base * 2.0 ** (exponent.astype(float) / STEPS_PER_OCTAVE))


def decode_coded(frame: RowFrame | None, symbols: Array, base: float, exponent: Array) -> Array:
    """Return the neurons, shape (M, d); without a frame the coordinates are the weights themselves."""
    coordinates = np.ascontiguousarray((symbols * steps_of(base, exponent)[:, None]).T)
    return coordinates if frame is None else frame.synthesize(coordinates)


def code_rows(
    gram: Gram, target: Array, frame: RowFrame | None, rate: float, damping: float = 0.02,
    should_stop: ShouldStop | None = None,
    walker: Walker = walk,
) -> CodedRows:  # fmt: skip
    """Round neurons to whole numbers of steps δ_n ∝ 1/√D_n, so that every coordinate adds the same error.

    Parameters
    ----------
    gram : Gram
        The layer's live inputs.
    target : ndarray, shape (d, M)
        What the walk aims at.
    frame : RowFrame or None
        Of R^d with N ≥ d; None walks the weights themselves, inputs of the largest norm first.
    rate : float
        c: δ_n = c √(‖XW‖²/(MN)) / √D_n, rounded up to its scale.
    damping : float
        λ as a share of the mean of the diagonal.
    should_stop : callable, optional
        Polled between blocks.
    walker : callable
        `sdqviz.path_following.walk.walk`, or the same on another device.

    Raises
    ------
    InputError
        If steps lie too far apart for their scale.
    """
    if frame is None:
        order = np.argsort(-gram.squares, kind="stable")
        factor, base = factorize(gram.inputs[np.ix_(order, order)], damping), target[order]
    else:
        order = np.arange(frame.size)
        factor = factorize(frame.gram(gram.inputs), damping)
        base = frame.analyze(np.ascontiguousarray(target.T)).T
    wanted = rate * np.sqrt(max(float(gram.target.sum()), 0.0) / base.size) / np.sqrt(factor.pivots)
    if not wanted.max() > 0:
        wanted = np.ones(len(base))  # a layer that gives nothing
    smallest = float(np.nextafter(np.float32(wanted.min()), np.float32(np.inf)))
    exponent = np.ceil(np.log2(np.maximum(wanted / smallest, 1.0)) * STEPS_PER_OCTAVE - 1e-9)
    if exponent.max() > 255:
        raise InputError(
            f"steps of the coordinates must lie within 2^{255 / STEPS_PER_OCTAVE:.0f} of each other, got "
            f"2^{exponent.max() / STEPS_PER_OCTAVE:.0f}: raise the damping"
        )
    step = steps_of(smallest, exponent)
    scaled = np.ascontiguousarray(base / step[:, None])
    feedback = np.ascontiguousarray(factor.feedback * step[None, :] / step[:, None])
    grid = Grid.infinite("midtread", np.ones(base.shape[1]))
    keys, ones = np.zeros(base.shape[1], np.uint64), np.ones(len(base))
    found = walker(scaled, feedback, ones, QUANTIZERS["nearest"](), grid, keys, should_stop=should_stop)
    back = np.argsort(order)
    symbols, exponent = np.rint(found.quantized).astype(np.int64)[back], exponent.astype(np.uint8)[back]
    neurons = decode_coded(frame, symbols, smallest, exponent)
    return CodedRows(symbols, smallest, exponent, neurons, factor.pivots[back], factor.damping)
