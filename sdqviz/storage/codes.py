"""Quantized neurons <-> what is stored for them: codes of the levels, a map of the pruned weights, scales."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from sdqviz.array import FLOAT_BITS, Array
from sdqviz.error import InputError
from sdqviz.quantizers.quantizer import Grid
from sdqviz.storage.bits import Packed, pack_steps, unpack_steps

MOST_BITS = 24
"""Bits of a code above which an infinite alphabet is not stored: its step is too small for the weights."""

AT_ONCE = 1 << 15
"""Entries whose codes are found at once: as many as a cache holds."""


@dataclasses.dataclass(frozen=True, eq=False)
class Coded:
    """Neurons as they are stored.

    Attributes
    ----------
    stored : dict of str to Packed
        ``levels`` or, without an alphabet, ``values``; ``step``; ``zero``, the place of the zero of affine alphabets;
        ``mask`` of weights that are not zero; ``dead`` inputs, whose weights are all zero. The last two at a bit each
        or by their runs, whichever is shorter.
    parameters : dict
        What `decode` needs besides.
    parameter_bits : int
        What these count as.
    levels : int
        Different values a stored weight can have, zero among them; 0 without an alphabet.
    """

    stored: dict[str, Packed]
    parameters: dict[str, Any]
    parameter_bits: int
    levels: int

    @property
    def weight_bits(self) -> int:
        """Bits of the whole numbers the weights are but for their scale; 32 where some are any real number."""
        return FLOAT_BITS if self.levels == 0 or "cut" in self.parameters else _width(self.levels)


def encode(
    neurons: Array, grid: Grid | None, cut: float = 0.0, dead: Array | None = None, step_bits: int = FLOAT_BITS,
    mapped: bool | None = None,
) -> Coded:  # fmt: skip
    """Code neurons whose entries are 0, levels, or ±cut.

    Weights at dead inputs are left out, and counted as a map of the inputs. Of the remaining ones the zeros are left
    out too, with a map of the weights, where that is shorter or the alphabet has no zero.

    Parameters
    ----------
    neurons : ndarray, shape (M, N)
        q, a row per neuron.
    grid : Grid or None
        The alphabets, whose steps are numbers of ``step_bits`` bits; None for entries of any value that float32 holds.
        Codes have the bits that the levels need; of an infinite alphabet, those that the levels in use need.
    cut : float
        The threshold of a pruning operator, a float32 number: ±cut may appear beside the levels.
    dead : ndarray of bool, shape (groups, N), optional
        Inputs of each group whose weights are all 0.
    step_bits : {16, 32}
        Bits of a stored step.
    mapped : bool, optional
        Whether zeros are left out, with a map at a bit a weight; by default where that is shorter.

    Returns
    -------
    Coded
    """
    stored: dict[str, Packed] = {}
    kept = np.ones(neurons.shape, bool)
    if dead is not None and dead.any():
        kept = ~np.repeat(dead, len(neurons) // len(dead), axis=0)
        stored["dead"] = Packed.flags(dead)
    nonzero = neurons != 0
    if grid is None:
        stored["mask"] = Packed.flags(nonzero[kept])
        stored["values"] = Packed(neurons[nonzero & kept].astype(np.float32), FLOAT_BITS)
        return Coded(stored, {"coding": "values"}, 8, 0)
    own = grid.spread(neurons.shape[1])
    step = own.step.T if own.step.ndim == 2 else own.step[:, None]
    step = np.broadcast_to(step, (len(neurons), step.shape[1]))
    codes = _codes(neurons, grid, step, cut, kept)
    if mapped is None:
        mask = Packed.flags(_chosen(nonzero, kept))
        masked = _is_masked(codes, mask, kept, nonzero, step)
    else:
        mask, masked = Packed(_chosen(nonzero, kept).astype(np.uint8), 1), mapped
    used = kept & nonzero if masked else kept
    if masked:
        stored["mask"] = mask
    stored["levels"] = Packed(_chosen(codes.numbers(masked), used), codes.bits(masked))
    stored["step"] = pack_steps(_shared(grid.step), step_bits)
    parameters: dict[str, Any] = {
        "coding": "masked" if masked else "dense",
        "lowest": codes.lowest,
        "highest": codes.highest,
        "offset": grid.offset,
    }
    parameter_bits = 8 + (64 if codes.infinite else 0)
    if isinstance(grid.lowest, np.ndarray):
        stored["zero"] = Packed(_shared(-grid.lowest).astype(np.uint32), codes.bits(masked=False))
    if grid.block:
        parameters["block"] = grid.block
        parameter_bits += 8
    if codes.beside:
        parameters["cut"] = cut
        parameter_bits += FLOAT_BITS
    return Coded(stored, parameters, parameter_bits, codes.count + (masked and not codes.has_zero))


@dataclasses.dataclass(frozen=True, eq=False)
class _Codes:
    """Which level each entry is, k of (k + offset)·δ, and the room that codes of these need."""

    neurons: Array
    grid: Grid
    step: Array  # δ of every entry, broadcast against the neurons
    cut: float
    first: Array | float  # the lowest k of each entry
    lowest: float
    highest: float
    level_bits: int  # of a finite alphabet
    beside: bool  # whether entries are ±cut and no level

    @property
    def has_zero(self) -> bool:
        """Whether 0 is a level."""
        return self.grid.offset == 0

    @property
    def infinite(self) -> bool:
        """Whether there is no end to the alphabet."""
        return self.grid.count == 0

    @property
    def count(self) -> int:
        """Levels, ±cut among them."""
        return int(self.highest - self.lowest) + 1 + 2 * self.beside

    def bits(self, masked: bool) -> int:
        """Bits of a code: zero needs none where a map has it."""
        return _width(self.count - (masked and self.has_zero)) if self.infinite else self.level_bits

    def numbers(self, masked: bool) -> Array:
        """Return the code of every entry; those of zeros mean nothing where a map has them."""
        bits = self.bits(masked)
        numbers = np.empty(self.neurons.shape, np.uint8 if bits <= 8 else np.uint16 if bits <= 16 else np.uint32)
        last = self.count - (masked and self.has_zero) - 2
        for rows, index, beside in _indices(self.neurons, self.grid, self.step, self.cut):
            above = self.neurons[rows] > 0
            found = index - (self.first[rows] if isinstance(self.first, np.ndarray) else self.first)
            if masked and self.has_zero:
                found -= above
            if self.beside:
                found[beside] = (last + above)[beside]
            numbers[rows] = found.astype(np.int64)  # that of a zero which a map has may be negative
        return numbers


def _indices(neurons: Array, grid: Grid, step: Array, cut: float) -> Iterator[tuple[slice, Array, Array]]:
    """Yield k of the entries of a few rows at a time, and which of them are ±cut and no level."""
    together = max(1, AT_ONCE // max(neurons.shape[1], 1))
    for start in range(0, len(neurons), together):
        rows = slice(start, start + together)
        values, own = neurons[rows], step[rows]
        positive = own > 0
        index = values / np.where(positive, own, 1.0)
        index -= grid.offset
        np.rint(index, out=index)
        if not positive.all():
            index = np.where(positive, index, 0.0 if grid.offset == 0 else -1.0)
        beside = np.zeros((), bool)
        if cut > 0:
            beside = (np.abs(values) == cut) & (values != 0) & ((index + grid.offset) * own != values)
        yield rows, index, beside


def _codes(neurons: Array, grid: Grid, step: Array, cut: float, kept: Array) -> _Codes:
    has_zero, infinite, beside = grid.offset == 0, grid.count == 0, False
    if infinite or cut > 0:
        lowest, highest = -1.0, 1.0 - 2 * grid.offset  # levels that an infinite alphabet has at least
        for rows, index, apart in _indices(neurons, grid, step, cut):
            beside |= bool(apart.any())
            inside = index[kept[rows] & ~apart & ((neurons[rows] != 0) | has_zero)]
            lowest, highest = float(inside.min(initial=lowest)), float(inside.max(initial=highest))
    if infinite:
        found = _Codes(neurons, grid, step, cut, lowest, lowest, highest, 0, beside)
        if found.bits(masked=False) > MOST_BITS:
            raise InputError(f"an infinite alphabet must span at most 2^{MOST_BITS} levels, got {found.count}")
        return found
    bits = _width(grid.count)
    if isinstance(grid.lowest, np.ndarray):  # each step has its own zero
        first = np.asarray(grid.spread(neurons.shape[1]).lowest)
        first = first.T if first.ndim == 2 else np.broadcast_to(first[:, None], (len(neurons), 1))
        return _Codes(neurons, grid, step, cut, first, 0.0, float(grid.count - 1), bits, beside)
    lowest, highest = float(grid.lowest), float(grid.highest)
    return _Codes(neurons, grid, step, cut, lowest, lowest, highest, bits, beside)


def _chosen(values: Array, which: Array) -> Array:
    """Return the entries where ``which`` is true, in one row; all of them, as often, without looking for them."""
    return values.reshape(-1) if which.all() else values[which]


def _is_masked(codes: _Codes, mask: Packed, kept: Array, nonzero: Array, step: Array) -> bool:
    """Say whether zeros go to a map: where that is shorter, or there is no code for them."""
    empty = kept & ~nonzero
    weights, zeros = int(np.count_nonzero(kept)), int(np.count_nonzero(empty))
    # a step of 0 makes every level of its neuron 0, so those zeros need no map
    holes = not codes.has_zero and bool((empty & (step > 0)).any())
    can_be_dense = not holes and codes.count <= 2 ** codes.bits(masked=False)
    shorter = mask.bit_count + codes.bits(masked=True) * (weights - zeros) < codes.bits(masked=False) * weights
    masked = not can_be_dense or shorter
    if masked and codes.count - codes.has_zero > 2 ** codes.bits(masked=True):
        raise InputError(f"an alphabet of {codes.count - 2} levels must have room for ±cut beside them, got none")
    return masked


def decode(stored: Mapping[str, Packed], parameters: Mapping[str, Any], count: int, width: int) -> Array:
    """Return the neurons that `encode` was given, shape (count, width), bit for bit."""
    kept = np.ones((count, width), bool)
    if "dead" in stored:
        dead = stored["dead"].values.astype(bool)
        if dead.ndim != 2 or dead.shape[1] != width or not 0 < len(dead) <= count or count % len(dead):
            raise InputError(f"dead inputs must be marked for groups of {count} neurons, got shape {dead.shape}")
        kept = ~np.repeat(dead, count // len(dead), axis=0)
    used = kept
    if "mask" in stored:
        used = np.zeros((count, width), bool)
        used[kept] = stored["mask"].values.astype(bool)
    neurons = np.zeros((count, width))
    if parameters["coding"] == "values":
        neurons[used] = stored["values"].values.astype(float)
        return neurons
    block = parameters.get("block", 0)
    step = _spread(unpack_steps(stored["step"]), block, count, width)[used]
    lowest, highest, offset = parameters["lowest"], parameters["highest"], parameters["offset"]
    masked_zero = parameters["coding"] == "masked" and offset == 0
    code = stored["levels"].values.astype(float)
    index = code + lowest
    if "zero" in stored:
        index -= _spread(stored["zero"].values.astype(float), block, count, width)[used]
    if masked_zero:
        index += index >= 0
    values = (index + offset) * step
    if "cut" in parameters:
        first = highest - lowest + 1 - masked_zero
        values = np.where(code >= first, np.where(code == first, -parameters["cut"], parameters["cut"]), values)
    neurons[used] = values
    return neurons


def _spread(values: Array, block: int, count: int, width: int) -> Array:
    """Return the number of every weight, (count, width), from one for all, one a neuron or one a block of each."""
    if values.ndim == 1:
        return np.broadcast_to(values[:, None], (count, width))
    if not (isinstance(block, int) and block > 0 and values.shape == (-(-width // block), count)):
        raise InputError(f"steps of blocks must be (blocks, {count}) for {width} inputs, got shape {values.shape}")
    return values[np.arange(width) // block].T


def _width(levels: int) -> int:
    return max(1, math.ceil(math.log2(max(levels, 1))))


def _shared(values: Array) -> Array:
    """Return the numbers to store: one, if all neurons have the same."""
    return values[:1] if values.ndim == 1 and (values == values[0]).all() else values
