"""Quantized neurons <-> what is stored for them: codes of the levels, a map of the pruned weights, scales."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from sdqviz.array import FLOAT_BITS, Array
from sdqviz.error import InputError
from sdqviz.quantizers.quantizer import Grid
from sdqviz.storage.bits import Packed

MOST_BITS = 24
"""Bits of a code above which an infinite alphabet is not stored: its step is too small for the weights."""


@dataclasses.dataclass(frozen=True, eq=False)
class Coded:
    """Neurons as they are stored.

    Attributes
    ----------
    stored : dict of str to Packed
        ``levels`` or, without an alphabet, ``values``; ``step``; ``mask`` of weights that are not zero; ``dead``
        inputs, whose weights are all zero. The last two at a bit each or by their runs, whichever is shorter.
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


def encode(neurons: Array, grid: Grid | None, cut: float = 0.0, dead: Array | None = None) -> Coded:
    """Code neurons whose entries are 0, levels, or ±cut.

    Weights at dead inputs are left out, and counted as a map of the inputs. Of the remaining ones the zeros are left
    out too, with a map of the weights, where that is shorter or the alphabet has no zero.

    Parameters
    ----------
    neurons : ndarray, shape (M, N)
        q, a row per neuron.
    grid : Grid or None
        The alphabet, whose steps are float32 numbers; None for entries of any value that float32 holds. Codes have
        the bits that its levels need; of an infinite one, those that the levels in use need.
    cut : float
        The threshold of a pruning operator, a float32 number: ±cut may appear beside the levels.
    dead : ndarray of bool, shape (groups, N), optional
        Inputs of each group whose weights are all 0.

    Returns
    -------
    Coded
    """
    count, width = neurons.shape
    stored: dict[str, Packed] = {}
    kept = np.ones((count, width), bool)
    if dead is not None and dead.any():
        kept = ~np.repeat(dead, count // len(dead), axis=0)
        stored["dead"] = Packed.flags(dead)
    nonzero = neurons != 0
    if grid is None:
        used = nonzero & kept
        stored["mask"] = Packed.flags(nonzero[kept])
        stored["values"] = Packed(neurons[used].astype(np.float32), FLOAT_BITS)
        return Coded(stored, {"coding": "values"}, 8, 0)
    columns = Grid(grid.step[:, None], grid.offset, grid.lowest, grid.highest)
    index = columns.index(neurons)
    beside = (np.abs(neurons) == cut) & nonzero if cut > 0 else np.zeros_like(nonzero)
    if cut > 0:
        beside &= (index + grid.offset) * columns.step != neurons
    lowest, highest = grid.lowest, grid.highest
    infinite = grid.count == 0
    if infinite:
        inside = index[kept & ~beside & (nonzero if grid.offset else True)]
        lowest, highest = (float(inside.min()), float(inside.max())) if inside.size else (0.0, 0.0)
        lowest, highest = min(lowest, -1.0), max(highest, 1.0 - 2 * grid.offset)
    extra = 2 * bool(beside.any())
    has_zero = grid.offset == 0
    dense_levels = int(highest - lowest) + 1 + extra
    masked_levels = dense_levels - has_zero
    dense_bits, masked_bits = (_width(dense_levels), _width(masked_levels)) if infinite else (_width(grid.count),) * 2
    if dense_bits > MOST_BITS:
        raise InputError(f"an infinite alphabet must span at most 2^{MOST_BITS} levels, got {dense_levels}")
    weights, zeros = int(kept.sum()), int((kept & ~nonzero).sum())
    # a step of 0 makes every level of its neuron 0, so those zeros need no map
    holes = bool((kept & ~nonzero & (columns.step > 0)).any())
    can_be_dense = (has_zero or not holes) and dense_levels <= 2**dense_bits
    mask = Packed.flags(nonzero[kept])
    masked = not can_be_dense or mask.bit_count + masked_bits * (weights - zeros) < dense_bits * weights
    if masked and masked_levels > 2**masked_bits:
        raise InputError(f"an alphabet of {grid.count} levels must have room for ±cut beside them, got none")
    used = kept & nonzero if masked else kept
    at = (neurons > 0)[used]
    code = np.where(grid.step[:, None] > 0, index, 0.0 if has_zero else -1.0)[used] - lowest
    if masked and has_zero:
        code -= at  # zero has no code of its own
    code = np.where(beside[used], masked_levels - 2 + at if masked else dense_levels - 2 + at, code)
    if masked:
        stored["mask"] = mask
    stored["levels"] = Packed(code.astype(np.uint32), masked_bits if masked else dense_bits)
    stored["step"] = Packed(_scales(grid.step), FLOAT_BITS)
    parameters: dict[str, Any] = {
        "coding": "masked" if masked else "dense",
        "lowest": lowest,
        "highest": highest,
        "offset": grid.offset,
    }
    parameter_bits = 8 + (64 if infinite else 0)
    if extra:
        parameters["cut"] = cut
        parameter_bits += FLOAT_BITS
    levels = dense_levels + (1 if masked and not has_zero else 0)
    return Coded(stored, parameters, parameter_bits, levels)


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
    step = np.broadcast_to(stored["step"].values.astype(float).reshape(-1, 1), (count, width))[used]
    lowest, highest, offset = parameters["lowest"], parameters["highest"], parameters["offset"]
    masked_zero = parameters["coding"] == "masked" and offset == 0
    code = stored["levels"].values.astype(float)
    index = code + lowest
    if masked_zero:
        index += index >= 0
    values = (index + offset) * step
    if "cut" in parameters:
        first = highest - lowest + 1 - masked_zero
        values = np.where(code >= first, np.where(code == first, -parameters["cut"], parameters["cut"]), values)
    neurons[used] = values
    return neurons


def _width(levels: int) -> int:
    return max(1, math.ceil(math.log2(max(levels, 1))))


def _scales(step: Array) -> Array:
    """Return the steps to store: one, if all are the same."""
    return step[:1].astype(np.float32) if (step == step[0]).all() else step.astype(np.float32)
