"""Neurons multiplied by inputs without leaving the frame: one transform of the input, then whole numbers."""

from __future__ import annotations

import dataclasses
import functools
from typing import Literal, get_args

import numpy as np

from sdqviz.array import Array
from sdqviz.error import InputError
from sdqviz.kernels.popcount import (
    INPUT_PLANES,
    LARGEST,
    OFFSET,
    WORD,
    input_planes,
    int8_product,
    level_planes,
    popcount_product,
    round_inputs,
    words_of,
)  # fmt: skip
from sdqviz.kernels.shuffle import available, level_bytes, level_words, shuffle_product, sum_tables
from sdqviz.kernels.threads import run
from sdqviz.path_following.quantized_rows import decode_rows
from sdqviz.path_following.row_frame import RowFrame

Arithmetic = Literal["shuffle", "popcount", "int8"]

MOST_PLANES = 4
"""Bits of a level up to which it is taken bit by bit; each costs as much as all of one bit."""

MOST_LENGTH = 1 << 16
"""Levels of a neuron up to which a sum of products of bytes fits into 32 bits."""


@dataclasses.dataclass(frozen=True, eq=False)
class FrameRows:
    """Neurons as they are stored: levels in a frame of the live inputs.

    Attributes
    ----------
    frame : RowFrame
        Of R^d.
    live : ndarray of bool, shape (inputs,)
        Which inputs there are, d of them; the others meet no weight.
    levels : ndarray of uint8, shape (M, N)
        Coordinates are (level − 2^(bits−1) + ½)δ.
    step : ndarray, shape (M,)
        δ.
    bits : int
        Bits of a level.
    """

    frame: RowFrame
    live: Array
    levels: Array
    step: Array
    bits: int

    def dense(self) -> Array:
        """Return the weights, shape (M, inputs), that these stand for."""
        weights = np.zeros((len(self.levels), len(self.live)))
        weights[:, self.live] = decode_rows(self.frame, self.levels, self.step, self.bits)
        return weights


class RowProduct:
    """Multiplies inputs by neurons that stay in their frame.

    Parameters
    ----------
    rows : FrameRows
        The neurons; only their packed levels, steps and frame are kept.
    arithmetic : {"shuffle", "popcount", "int8"}
        For 1 to 4 bits, levels bit by bit: sums of four inputs that byte shuffles look up, 32 neurons at a time, or
        bit planes of levels and inputs whose common ones are counted. Else both as bytes. All sum the same whole
        numbers, so their outputs agree to the rounding of the last product.

    Raises
    ------
    InputError
        If levels are beyond their bits or have too many for that, rows are too long for bytes, or the processor has
        no such shuffle.

    Notes
    -----
    With y the levels' coordinates, ⟨Eᵀy, x⟩ = ⟨y, Ex⟩, so one transform of x serves all neurons. Ex is rounded to v·s,
    v whole from −127 to 127 and s = ‖Ex‖_∞/127, each entry by at most s/2; all else is exact in whole numbers. So the
    output of neuron j is off by at most (s/2)δ_j Σ_n |level_jn − 2^(bits−1) + ½| ≤ N s/2 · (2^bits − 1)/2 · δ_j, which
    at one bit is N s/2 times its unit level δ_j/2; the rounding of floats comes on top.
    """

    def __init__(self, rows: FrameRows, arithmetic: Arithmetic = "popcount") -> None:
        if arithmetic not in get_args(Arithmetic):
            raise InputError(f"arithmetic must be one of {', '.join(get_args(Arithmetic))}, got {arithmetic!r}")
        if arithmetic == "int8" and rows.frame.size > MOST_LENGTH:
            raise InputError(f"rows must have at most {MOST_LENGTH} levels for bytes, got {rows.frame.size}")
        if arithmetic != "int8" and rows.bits > MOST_PLANES:
            raise InputError(f"bits must be at most {MOST_PLANES} to be taken one by one, got {rows.bits}")
        if arithmetic == "shuffle" and not available():
            raise InputError("arithmetic must be 'popcount' or 'int8' on a processor without AVX2, got 'shuffle'")
        most, bound = int(rows.levels.max(initial=0)), 2**rows.bits
        if most >= bound:
            raise InputError(f"levels of {rows.bits} bit{'s' * (rows.bits > 1)} must be below {bound}, got {most}")
        self.frame, self.bits, self.arithmetic = rows.frame, rows.bits, arithmetic
        self.live = None if rows.live.all() else np.flatnonzero(rows.live)
        self.inputs, self.outputs = len(rows.live), len(rows.levels)
        self.step = rows.step.astype(np.float32)  # exact: steps are stored as floats of 16 or 32 bits
        half = 2 ** (rows.bits - 1)
        if arithmetic == "int8":
            self.levels = (rows.levels.astype(np.int16) - half).astype(np.int8)
            self.sums = np.zeros(0, np.int32)
        else:
            planes = level_planes(rows.levels, rows.bits)
            self.levels = level_bytes(planes) if arithmetic == "shuffle" else planes
            self.sums = rows.levels.sum(axis=1, dtype=np.int32)

    @property
    def byte_count(self) -> int:
        """Bytes of levels, sums, steps and live inputs; the transform has tables of about 60 bytes a level beside."""
        live = 0 if self.live is None else self.live.nbytes
        return int(self.levels.nbytes + self.sums.nbytes + self.step.nbytes + live)

    def transformed(self, inputs: Array) -> Array:
        """Return Ex of the live part of every input, shape (n, inputs) → (n, N)."""
        if inputs.ndim != 2 or inputs.shape[1] != self.inputs:
            raise InputError(f"inputs must have shape (n, {self.inputs}), got {inputs.shape}")
        if not np.isfinite(inputs).all():
            raise InputError("inputs must be finite, got NaN or infinite ones")
        return self.frame.analyze(inputs if self.live is None else inputs[:, self.live])

    def rounded(self, coordinates: Array) -> tuple[Array, Array, Array]:
        """Return v + 128 as bytes with zeros behind, s and Σv of coordinates, shape (n, N).

        Raises
        ------
        InputError
            If a coordinate is NaN or infinite.
        """
        count = len(coordinates)
        found = np.empty((count, WORD * words_of(self.frame.size)), np.uint8)
        scale, total = np.empty(count), np.empty(count, np.int64)
        if not round_inputs(coordinates, found, scale, total):
            raise InputError("inputs must be finite, got NaN or infinite ones")
        return found, scale, total

    def prepared(self, found: Array) -> Array:
        """Return the bytes in the form the product takes: tables of sums, bit planes, or whole numbers around 0."""
        if self.arithmetic == "int8":
            return (found[:, : self.frame.size] ^ np.uint8(OFFSET)).view(np.int8)
        if self.arithmetic == "shuffle":
            tables = np.empty((len(found), found.shape[1] // 8, 2, 2, 16), np.uint8)
            sum_tables(found, tables)
            return tables
        planes = np.empty((len(found), INPUT_PLANES, found.shape[1] // WORD), np.uint64)
        input_planes(found.view(np.uint64), planes)
        return planes

    def multiplied(self, prepared: Array, scale: Array, total: Array) -> Array:
        """Return the outputs, shape (n, M), from what `prepared` and `rounded` gave."""
        out = np.empty((len(prepared), self.outputs))
        if self.arithmetic == "int8":
            run(int8_product, self.levels, prepared, total, self.step, scale, out)
        else:
            product = shuffle_product if self.arithmetic == "shuffle" else popcount_product
            half = 2 ** (self.bits - 1)
            run(product, self.levels, prepared, total, self.sums, self.step, scale, half, out)
        return out

    def __call__(self, inputs: Array) -> Array:
        """Return the products of inputs, shape (n, inputs), with all neurons, shape (n, M).

        Raises
        ------
        InputError
            If an input is NaN or infinite, or they are not so many.
        """
        found, scale, total = self.rounded(self.transformed(inputs))
        return self.multiplied(self.prepared(found), scale, total)

    @functools.cached_property
    def _weight(self) -> Array:
        """Σ_n |level_n − 2^(bits−1) + ½| δ of every neuron."""
        half = 2 ** (self.bits - 1)
        if self.arithmetic == "int8":
            sizes = np.abs(self.levels + 0.5).sum(axis=1)
        else:
            planes = level_words(self.levels)[: self.outputs] if self.arithmetic == "shuffle" else self.levels
            flat = np.unpackbits(planes.view(np.uint8), axis=2, count=self.frame.size, bitorder="little")
            values = sum(flat[:, plane].astype(float) * 2**plane for plane in range(self.bits))
            sizes = np.abs(values - half + 0.5).sum(axis=1)
        return np.asarray(sizes * self.step)

    def rounding_bound(self, inputs: Array) -> Array:
        """Return how far each output can be from the dense one, shape (n, M): see the notes of the class."""
        scale = np.abs(self.transformed(inputs)).max(axis=1, initial=0.0) / LARGEST
        return np.asarray(scale[:, None] / 2 * self._weight)
