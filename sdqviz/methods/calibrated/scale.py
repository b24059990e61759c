"""Alphabets with their scales, fitted to the weights of a layer."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from sdqviz.array import FLOAT_BITS, Array, Index
from sdqviz.kernels.rounding import rounding_errors
from sdqviz.kernels.threads import run
from sdqviz.quantizers.quantizer import ALPHABETS, Grid, limits
from sdqviz.storage.bits import step_up

FITS = {
    "max": "The largest weight",
    "percentile": "A percentile of the weights",
    "mse": "The least square error",
    "search": "The least error after feedback",
}
SCALES = {
    "per-neuron": "One per neuron",
    "per-layer": "One per layer",
    "per-128": "One per 128 inputs",
    "per-64": "One per 64 inputs",
    "per-32": "One per 32 inputs",
}
AUTO = "auto"
CHOICES = {AUTO: "The best for each layer", **ALPHABETS}
"""What may be asked for as an alphabet; auto is the one with the least error of each layer."""

SHRINKS = np.linspace(0.02, 1.0, 99)
"""Candidates for the step, as shares of the one with which nothing is clipped, among which the square error picks."""

AT_ONCE = 1 << 19
"""Weights that are rounded with all candidates at once: as many as a cache holds."""

SEARCHED = (0.8, 0.9, 1.0, 1.15, 1.3, 1.5)
"""Multiples of the step with the smallest square error that the search tries by walking."""

SEARCHED_COARSE = (0.6, 0.8, 1.0, 1.2, 1.5, 1.8, 2.2, 2.7, 3.3)
"""The same for alphabets of up to four levels, where the values that feedback makes go far beyond the weights."""


@dataclasses.dataclass(frozen=True)
class ScaleFit:
    """How steps are found.

    Attributes
    ----------
    scale : str
        One of `SCALES`: a step for each neuron, one for the layer, or one for every so many inputs of each neuron.
    fit : {"max", "percentile", "mse", "search"}
        What becomes the largest level: the largest weight, or the percentile of the magnitudes (its mean over the
        neurons for one scale per layer); or the step with the smallest square error of 99, from which a search starts.
    percentile : float
        For the percentile fit.
    stretch : float
        Multiplies the step.
    step_bits : {16, 32}
        Bits of a stored step.
    """

    scale: str
    fit: str
    percentile: float = 100.0
    stretch: float = 1.0
    step_bits: int = FLOAT_BITS

    @property
    def block(self) -> int:
        """Inputs of a neuron that share a step; 0 for all of them."""
        return int(self.scale.removeprefix("per-")) if self.scale[-1].isdigit() else 0


@dataclasses.dataclass(frozen=True, eq=False)
class Neurons:
    """Weights a scale is fitted to; a row per neuron.

    Attributes
    ----------
    values : ndarray, shape (M, N)
        The weights.
    counted : ndarray of bool, shape (M, N)
        Which of them take part: not those at dead inputs, or pruned.
    """

    values: Array
    counted: Array


@dataclasses.dataclass(frozen=True, eq=False)
class Scale:
    """An alphabet with its steps, as they are stored.

    Attributes
    ----------
    alphabet : str
        Its name.
    bits : int
        Bits of a level.
    step : ndarray, shape (M,) or (B, M)
        δ of each neuron, or of each block of its inputs.
    zero : ndarray, shape of ``step``
        Place of the zero of an affine alphabet.
    block : int
        Inputs that share a step; 0 for all.
    step_bits : int
        Bits of a stored step.
    missed : float
        Square error of the layer's weights, or NaN where it was not asked for.
    """

    alphabet: str
    bits: int
    step: Array
    zero: Array
    block: int
    step_bits: int
    missed: float

    @property
    def zero_bits(self) -> int:
        """Bits that the zero points take."""
        return self.bits * self.zero.size if self.alphabet == "affine" else 0

    @classmethod
    def joined(cls, scales: Sequence[Scale]) -> Scale:
        """Return the scale of all neurons from those of some after others, in one alphabet."""
        if len(scales) == 1:
            return scales[0]
        step, zero = (np.concatenate([getattr(one, name) for one in scales], axis=-1) for name in ("step", "zero"))
        return dataclasses.replace(scales[0], step=step, zero=zero, missed=sum(one.missed for one in scales))

    def some(self, neurons: Index | slice) -> Scale:
        """Return the scale of some of the neurons."""
        return dataclasses.replace(self, step=self.step[..., neurons], zero=self.zero[..., neurons])

    def times(self, factors: Array) -> Scale:
        """Return the scale with the steps of each neuron multiplied, and rounded as they are stored."""
        return dataclasses.replace(self, step=step_up(factors * self.step, self.step_bits))

    @property
    def factors(self) -> tuple[float, ...]:
        """Multiples of the steps that a search tries."""
        return SEARCHED if 2**self.bits > 4 else SEARCHED_COARSE

    def grid(self, endless: bool = False) -> Grid:
        """Return the alphabets, or those of the same steps that go on for ever."""
        if endless:
            return Grid.infinite(self.alphabet, self.step, self.block)
        return Grid.finite(self.alphabet, self.bits, self.step, self.zero, self.block)


def candidates(alphabet: str, bits: int) -> tuple[str, ...]:
    """Return the alphabets that a choice stands for at some bits; auto is all that there are.

    Parameters
    ----------
    alphabet : str
        One of `CHOICES`.
    bits : int
        Bits of a level.
    """
    if alphabet != AUTO:
        limits(alphabet, bits)
        return (alphabet,)
    return ("midrise",) if bits == 1 else tuple(ALPHABETS)


def fitted(neurons: Neurons, alphabet: str, bits: int, how: ScaleFit, measured: bool = False) -> Scale:
    """Find the steps of an alphabet, and the zero points of an affine one.

    Parameters
    ----------
    neurons : Neurons
        What to fit them to.
    alphabet : str
        One of `sdqviz.quantizers.quantizer.ALPHABETS`.
    bits : int
        Bits of a level.
    how : ScaleFit
        What the steps are fitted to, and how many there are.
    measured : bool
        Whether anybody asks for `Scale.missed`.

    Raises
    ------
    InputError
        If a step cannot be stored.
    """
    count, width = neurons.values.shape
    block = how.block if 0 < how.block < width else 0
    same = not block and neurons.counted.strides[0] == 0  # one row that stands for all
    counted = (neurons.counted[:1] if same else neurons.counted).astype(float, order="C")
    units = _Units(_rows(neurons.values, block), _rows(counted, block), how.scale == "per-layer")
    low, high = _ends(units, how)
    step, zero = _largest(alphabet, bits, low, high)
    offset, first, last = limits(alphabet, bits)
    lowest, highest = first - zero, last - zero
    if how.fit in ("mse", "search"):
        step = _best(units, SHRINKS * step[:, None], offset, lowest, highest)
    step = step_up(how.stretch * step, how.step_bits)
    missed = float(units.errors(step[:, None], offset, lowest, highest).sum()) if measured else math.nan
    shape = (count, -1) if block else (count,)
    step, zero = step.reshape(shape), zero.reshape(shape)
    return Scale(alphabet, bits, step.T.copy(), zero.T.copy(), block, how.step_bits, missed)


@dataclasses.dataclass(frozen=True, eq=False)
class _Units:
    """Weights by what shares a step: a row of ``values`` each, or all rows ``together``.

    ``counted`` is 1 or 0, a row each or one for all.
    """

    values: Array
    counted: Array
    together: bool

    def errors(self, steps: Array, offset: float, lowest: Array, highest: Array) -> Array:
        """Return the square error with each candidate, of the shape of ``steps``, (U, C)."""
        errors = np.empty(steps.shape)
        size, together = len(steps), max(1, AT_ONCE // max(self.values.shape[1], 1))
        for rows in (slice(start, min(start + together, size)) for start in range(0, size, together)):
            # copies, since a kernel is compiled anew for what cannot be written to
            shares = self.counted if len(self.counted) == 1 else self.counted[rows].copy()
            run(
                rounding_errors, self.values[rows].copy(), shares, steps[rows].copy(), offset, lowest[rows],
                highest[rows], errors[rows],
            )  # fmt: skip
        return errors


def _best(units: _Units, steps: Array, offset: float, lowest: Array, highest: Array) -> Array:
    errors = units.errors(steps, offset, lowest, highest)
    if units.together:
        errors = np.broadcast_to(errors.sum(axis=0), errors.shape)
    best: Array = np.take_along_axis(steps, errors.argmin(axis=1)[:, None], axis=1)[:, 0]
    return best


def _rows(rows: Array, block: int) -> Array:
    """Return rows cut into blocks, a row each, with zeros after the last entry: (M·B, block)."""
    if not block:
        return np.ascontiguousarray(rows)
    count, width = rows.shape
    padded = np.zeros((count, math.ceil(width / block) * block))
    padded[:, :width] = rows
    return padded.reshape(-1, block)


def _ends(units: _Units, how: ScaleFit) -> tuple[Array, Array]:
    """Return how far the weights of each unit go below and above 0, shape (U,) each."""
    used = units.values if units.counted.all() else units.values * units.counted
    low, high = np.maximum(-used.min(axis=1, initial=0.0), 0.0), used.max(axis=1, initial=0.0)
    if units.together:
        low, high = np.full_like(low, low.max(initial=0.0)), np.full_like(high, high.max(initial=0.0))
    if how.fit != "percentile":
        return low, high
    rows = zip(np.abs(units.values), np.broadcast_to(units.counted > 0, units.values.shape), strict=True)
    heights = np.array([np.percentile(row[mask], how.percentile) if mask.any() else 0.0 for row, mask in rows])
    if units.together:
        heights = np.full_like(heights, heights.mean())
    # the longer side ends at the percentile, the shorter one where it did or there too
    return tuple(  # type: ignore[return-value]
        np.where(end == np.maximum(low, high), heights, np.minimum(end, heights)) for end in (low, high)
    )


def _largest(alphabet: str, bits: int, low: Array, high: Array) -> tuple[Array, Array]:
    """Return the least steps with which nothing between the ends is clipped, and the zero points, shape (U,) each."""
    offset, lowest, highest = limits(alphabet, bits)
    if alphabet == "affine":
        step = (low + high) / (highest - lowest)
        return step, np.rint(np.divide(low, step, out=np.zeros_like(low), where=step > 0))
    return np.maximum(high / (highest + offset), low / -(lowest + offset)), np.zeros_like(low)
