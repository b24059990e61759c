"""Vectors through a frame and back: coefficients, their levels by ΣΔ or plain rounding, steps, and the last level."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
from collections.abc import Iterator

import numpy as np

from sdqviz import memory
from sdqviz.array import Array, Index
from sdqviz.error import InputError
from sdqviz.frames.frame import DenseOperator, FrameChoice
from sdqviz.frames.permutations import PERMUTATIONS
from sdqviz.frames.signs import SignedOperator, random_signs, signed
from sdqviz.frames.walk import Walked, walked
from sdqviz.kernels.threads import threads
from sdqviz.path_following.beam import beam_walk
from sdqviz.path_following.factor import Factor, factorize
from sdqviz.progress import Progress, ShouldStop, stop_if
from sdqviz.quantizers.alphabet import nearest_index
from sdqviz.sigma_delta.duals import DUALS
from sdqviz.sigma_delta.duals.dual import Dual
from sdqviz.sigma_delta.recursion import shape_rows
from sdqviz.sigma_delta.taps import FIRST, Taps
from sdqviz.storage.bits import step_up

CHUNK, ROWS = 1 << 18, 32
"""Coefficients on one thread at once: few enough for its cache, unless rows would not fill the vector registers."""

WORTH = 1 << 15
"""Coefficients below which another thread costs more than it does."""

BEAM_DAMPING = 0.05
"""Damping of the beam through redundant coefficients, as a share of the mean of the diagonal."""

ALONG = 8.0
"""How many times more the part of an error along its vector counts where a step is fitted."""

SMALL = 64
"""N up to which steps are fitted with all paths of the beam; beyond it with one."""

FITTED = np.geomspace(0.5, 2.0, 12)
"""Multiples of the step for Gaussian coefficients among which the fitted step is found."""


@dataclasses.dataclass(frozen=True, eq=False)
class Carrier(Walked):
    """A walked frame that carries the vectors of a layer.

    Attributes
    ----------
    taps : Taps
        The filter of the walk.
    dual : Dual or None
        How levels become vectors again, of the frame without signs; None for the canonical dual by fast transforms.
    signs : ndarray, shape (d,), or None
        ε of a frame with random signs.
    """

    taps: Taps = FIRST
    dual: Dual | None = None
    signs: Array | None = None

    def synthesize(self, levels: Array) -> Array:
        """Return the vectors that levels stand for, shape (M, N) → (M, d)."""
        if self.dual is None:
            return self.frame.synthesize(levels)
        vectors = self.dual.synthesize(levels)
        return vectors if self.signs is None else vectors * self.signs

    def pieces(self, rows: int) -> list[slice]:
        """Return slices of ``rows`` vectors to be quantized on a thread each, as even as whole tiles allow.

        Fast transforms give every vector the same coefficients whatever others go with it. Products of matrices do so
        but for the last bits, so there the slices are those of `chunks`, with which levels are read again.
        """
        operator, size = self.frame.operator, rows_together(self.frame.size)
        inner = operator.operator if isinstance(operator, SignedOperator) else operator
        if isinstance(inner, DenseOperator) or self.dual is not None or size <= ROWS or rows * self.frame.size < WORTH:
            return list(chunks(rows, self.frame.size))
        count = threads() * math.ceil(rows / (threads() * size))
        starts = sorted({piece * rows // (count * ROWS) * ROWS for piece in range(count)})
        return [slice(*ends) for ends in itertools.pairwise([*starts, rows])]

    @functools.cached_property
    def error_norm(self) -> float:
        """‖FH‖₂ of the dual and the filter; signs, an orthogonal change of coordinates, leave it as it is."""
        dual = self.dual or DUALS["canonical"]().build(self.frame, self.taps, self.order)
        return dual.error_norm(self.taps)

    @functools.cached_property
    def factor(self) -> Factor:
        """Factor of (d/N)EEᵀ: how roundings of redundant coefficients can make up for each other."""
        size = self.frame.size
        memory.require("the Gram matrix of the frame", size**2, "use one path, or a smaller N")
        vectors = self.frame.vectors
        return factorize(self.frame.dimension / size * (vectors @ vectors.T), BEAM_DAMPING)

    @property
    def tied(self) -> bool:
        """Whether first-order ΣΔ ends on a tie: Σe_n = 0 and N odd, so |u_N| = δ/2 exactly."""
        return self.taps == FIRST and self.walk.zero_sum and self.frame.size % 2 == 1

    @property
    def note(self) -> str:
        """What a layer's report says of it, or nothing."""
        if not self.tied:
            return ""
        return (
            f"Σe_n = 0 and N = {self.frame.size} is odd, so ΣΔ ends on a tie; the last level is the one with the "
            "smaller true error (an even N has no tie)"
        )


def walk_through(
    choice: FrameChoice, permutation: str, seed: int, signs: bool, progress: Progress | None = None,
    should_stop: ShouldStop | None = None, taps: Taps = FIRST, dual: str = "canonical",
) -> Carrier:  # fmt: skip
    """Return a frame in the order of that name with its walk's geometry, which random signs leave as it is.

    Raises
    ------
    InputError
        If another than the canonical dual is to go with an order that is searched for within a time limit: it could
        not be found again when the levels are read.
    """
    if dual != "canonical" and "seconds" in PERMUTATIONS[permutation].specs():
        raise InputError(
            f"permutation must be one without a time limit where the dual is {dual}, got {permutation}: the dual "
            "could not be rebuilt from what is stored"
        )
    found = walked(choice, PERMUTATIONS[permutation](), seed, progress, should_stop)
    other = None if dual == "canonical" else DUALS[dual]().build(found.frame, taps, found.order)
    frame = signed(found.frame, seed) if signs else found.frame
    return Carrier(frame, found.order, found.walk, taps, other, random_signs(frame.dimension, seed) if signs else None)


def rows_together(length: int) -> int:
    """Return how many vectors with ``length`` coefficients are transformed together, whole tiles if they can be."""
    return CHUNK // length // ROWS * ROWS or min(ROWS, max(1, 8 * CHUNK // length))


def chunks(rows: int, length: int) -> Iterator[slice]:
    """Yield slices of ``rows`` vectors, `rows_together` each."""
    size = rows_together(length)
    for start in range(0, rows, size):
        yield slice(start, min(start + size, rows))


def gaussian_step(bits: int) -> float:
    """Return about the best step of 2^bits levels for Gaussian values of variance 1, 4√(ln L)/L."""
    levels = 2.0**bits
    return float(4 * np.sqrt(np.log(levels)) / levels)


def quantize(
    carrier: Carrier, vectors: Array, coefficients: Array, bits: int, steps: Array, paths: int = 1,
    should_stop: ShouldStop | None = None,
) -> tuple[Array, Array, Index]:  # fmt: skip
    """Quantize the frame coefficients of vectors, a row each.

    Parameters
    ----------
    carrier : Carrier
        The frame and the order of the walk.
    vectors : ndarray, shape (M, d)
        The vectors.
    coefficients : ndarray, shape (M, N)
        Their frame coefficients; overwritten with the levels' values q.
    bits : int
        Bits per level.
    steps : ndarray, shape (M,)
        δ of each vector.
    paths : int
        Of order 0 and N > d: paths of a beam through the coefficients. A vector takes the beam's levels where they
        leave a smaller error than rounding, so that the bound of rounding stays; 1 for rounding alone.

    Returns
    -------
    levels : ndarray of uint8 or uint16, shape (M, N)
        What is stored: q = (level − K + ½)δ.
    quantized : ndarray, shape (M, d)
        The vectors that the levels give.
    overload : ndarray of int, shape (M,)
        Values of each vector that the alphabet clipped.
    """
    half = 2 ** (bits - 1)
    levels = np.empty(coefficients.shape, np.uint8 if bits <= 8 else np.uint16)
    if carrier.taps.order:
        overload = shape_rows(
            coefficients, bits, steps, carrier.taps, order=carrier.order, out=coefficients, index=levels
        )
    else:
        overload = (np.abs(coefficients) > half * steps[:, None]).sum(axis=1)
        index = nearest_index(coefficients, steps[:, None], half)
        if paths > 1 and carrier.dual is None and carrier.frame.size > carrier.frame.dimension:
            _improve(carrier, vectors, coefficients, index, bits, steps, paths, should_stop)
        np.multiply(index + 0.5, steps[:, None], out=coefficients)
        np.add(index, half, out=levels, casting="unsafe")
    quantized = carrier.synthesize(coefficients)
    if carrier.tied:
        _settle_ties(carrier, vectors, coefficients, levels, quantized, steps, half)
    return levels, quantized, overload


def _improve(
    carrier: Carrier, vectors: Array, coefficients: Array, index: Array, bits: int, steps: Array, paths: int,
    should_stop: ShouldStop | None,
) -> None:  # fmt: skip
    """Let a beam choose the levels of those vectors for which it leaves a smaller error than rounding; in place."""
    half = 2 ** (bits - 1)
    values = beam_walk(carrier.factor, np.ascontiguousarray(coefficients.T), bits, steps, paths, should_stop).T
    found = nearest_index(values, steps[:, None], half)
    errors = [
        ((vectors - carrier.frame.synthesize((chosen + 0.5) * steps[:, None])) ** 2).sum(axis=1)
        for chosen in (found, index)
    ]
    better = errors[0] < errors[1]
    index[better] = found[better]


def _settle_ties(
    carrier: Carrier, vectors: Array, values: Array, levels: Index, quantized: Array, steps: Array, half: int
) -> None:  # fmt: skip
    """Give the last level of each vector the one of its two values that leaves the smaller true error; in place.

    Where Σe_n = 0 and N is odd, u_N = −Σq_n is an odd multiple of δ/2, so without overload the last argument lies
    exactly between two levels, and rounding noise alone would decide. Both choices have |u_N| = δ/2, so every bound
    stays. A fixed choice would push all vectors the same way along the last frame vector.
    """
    frame = carrier.frame
    last = frame.size - 1 if carrier.order is None else int(carrier.order[-1])
    alone = np.zeros((1, frame.size))
    alone[0, last] = 1.0
    moves = carrier.synthesize(alone)[0]  # what one unit at the last level adds to the vector
    # 2u_N/δ, a whole number
    twice = frame.size * (2 * half - 1) - 2 * levels.sum(axis=1, dtype=np.int64)
    move = np.sign(twice)
    moved = levels[:, last].astype(np.int64) - half + move
    free = (np.abs(twice) == 1) & (moved >= -half) & (moved < half)
    change = free & (2 * move * ((vectors - quantized) @ moves) > steps * (moves @ moves))
    if change.any():
        levels[change, last] = moved[change] + half
        values[change, last] = (moved[change] + 0.5) * steps[change]
        quantized[:] = carrier.synthesize(values)  # all of them: decoding will transform the same rows together


def fitted_steps(
    carrier: Carrier, vectors: Array, coefficients: Array, bits: int, step_bits: int, paths: int = 1,
    should_stop: ShouldStop | None = None, among: Array = FITTED,
) -> Array:  # fmt: skip
    """Return for each vector the step with the smallest error among multiples of its rms coefficient.

    The smallest error alone shrinks every vector (at one bit to 2/π of it), and what shrinks alike adds up over
    vectors and layers: the part of an error along the vector itself therefore counts `ALONG` times more.

    Parameters
    ----------
    carrier, vectors, coefficients, bits, paths
        As for `quantize`; nothing is overwritten.
    step_bits : {16, 32}
        How steps are stored; they are rounded up to that before they are tried.
    among : ndarray
        Multiples of the Gaussian step; the stable step is tried too, so no vector fares worse than with it.

    Returns
    -------
    ndarray, shape (M,)
    """
    largest = np.abs(coefficients).max(axis=1)
    rms = np.sqrt((coefficients**2).mean(axis=1))
    best = step_up(largest / carrier.taps.reach(bits), step_bits)
    few = paths if carrier.frame.size <= SMALL else min(paths, 2)
    least = _errors(carrier, vectors, coefficients, bits, best, few)
    for multiple in among:
        stop_if(should_stop)
        tried = step_up(multiple * gaussian_step(bits) * rms, step_bits)
        missed = _errors(carrier, vectors, coefficients, bits, tried, few)
        best, least = np.where(missed < least, tried, best), np.minimum(missed, least)
    return best


def _errors(
    carrier: Carrier, vectors: Array, coefficients: Array, bits: int, steps: Array, paths: int
) -> Array:  # fmt: skip
    error = vectors - quantize(carrier, vectors, coefficients.copy(), bits, steps, paths)[1]
    squares = (vectors**2).sum(axis=1)
    along = (error * vectors).sum(axis=1) ** 2 / np.where(squares > 0, squares, 1.0)
    return np.asarray((error**2).sum(axis=1) + ALONG * along)
