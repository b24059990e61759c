"""What has to be stored: integers packed at their true width, maps of zeros, scales; and files that are checked first.

Levels take the bits they need and no more, scales 32. A map of flags takes a bit each, or the lengths of its runs where
those are shorter. Files are safetensors; `open_tensors` reads them without trusting anything they say.
"""

from __future__ import annotations

import dataclasses
import functools
import math

import numpy as np

from sdqviz.array import FLOAT_BITS, Array
from sdqviz.error import InputError

RUNS_HEADER = 5
"""Bytes before the runs of a map: how they are split, and how many there are."""

AT_ONCE = 1 << 16
"""Entries that are packed at once: whole bytes, whatever the bits."""


@dataclasses.dataclass(frozen=True, eq=False)
class Packed:
    """An array as it would lie in a file.

    Attributes
    ----------
    values : ndarray
        float32 when ``bits`` is 32, otherwise non-negative integers below 2^bits.
    bits : int
        Bits per entry.
    runs : bool
        Whether these are flags of one bit that are stored by the lengths of their runs; see `pack_runs`.

    Examples
    --------
    >>> packed = Packed(np.array([[0, 1, 1], [1, 0, 1]]), bits=1)
    >>> packed.bit_count, packed.byte_count, packed.to_bytes().tolist()
    (6, 1, [46])
    >>> Packed.from_bytes(packed.to_bytes(), packed.values.shape, 1).values
    array([[0, 1, 1],
           [1, 0, 1]], dtype=uint8)
    """

    values: Array
    bits: int
    runs: bool = False

    @classmethod
    def flags(cls, values: Array) -> Packed:
        """Return flags, stored at a bit each or by the lengths of their runs, whichever is shorter.

        Parameters
        ----------
        values : ndarray of bool
            Any shape.
        """
        own = values.astype(np.uint8)
        plain, runs = cls(own, 1), cls(own, 1, runs=True)
        return runs if runs.byte_count < plain.byte_count else plain

    @property
    def bit_count(self) -> int:
        """Bits of all entries."""
        return 8 * self.byte_count if self.runs else int(self.values.size) * self.bits

    @property
    def byte_count(self) -> int:
        """Bytes of all entries, rounded up to whole bytes once for the array."""
        return len(self._runs) if self.runs else -(-self.bit_count // 8)

    @functools.cached_property
    def _runs(self) -> Array:
        return pack_runs(self.values.astype(bool))

    def to_bytes(self) -> Array:
        """Return the packed bytes, shape (byte_count,) uint8; the lowest bit of the first entry comes first."""
        if self.runs:
            return self._runs
        if self.bits == FLOAT_BITS:
            return np.ascontiguousarray(self.values, np.float32).reshape(-1).view(np.uint8)
        flat = np.ascontiguousarray(self.values).reshape(-1)
        places = np.arange(self.bits, dtype=np.uint32)
        packed = np.empty(self.byte_count, np.uint8)
        for start in range(0, flat.size, AT_ONCE):  # a bit takes a byte, or four, on its way
            some = flat[start : start + AT_ONCE].astype(np.uint32)
            place = start * self.bits // 8
            bits = ((some[:, None] >> places) & 1).astype(np.uint8)
            packed[place : place + -(-some.size * self.bits // 8)] = np.packbits(bits.reshape(-1), bitorder="little")
        return packed

    @classmethod
    def from_bytes(cls, data: Array, shape: tuple[int, ...], bits: int, runs: bool = False) -> Packed:
        """Invert `to_bytes`.

        Raises
        ------
        InputError
            If the bytes do not have the length that the shape and the bits need, or are not runs of that many flags.
        """
        count = math.prod(shape)
        if runs:
            return cls(unpack_runs(data, count).reshape(shape).astype(np.uint8), 1, runs=True)
        needed = -(-count * bits // 8)
        if len(data) != needed:
            raise InputError(
                f"packed data must be {needed} bytes for shape {tuple(shape)} at {bits} bits, got {len(data)}"
            )
        if bits == FLOAT_BITS:
            return cls(np.frombuffer(np.ascontiguousarray(data).tobytes(), np.float32).reshape(shape), bits)
        kind = np.dtype(np.uint8 if bits <= 8 else np.uint16 if bits <= 16 else np.uint32)
        spread = np.unpackbits(data, count=count * bits, bitorder="little").reshape(count, bits)
        values: Array = np.zeros(count, kind)
        for place in range(bits):
            values += spread[:, place] * kind.type(1 << place)
        return cls(values.reshape(shape), bits)


class Packer:
    """Packs an array that comes in pieces, as `Packed.to_bytes` packs it whole.

    Parameters
    ----------
    bits : int
        Bits per entry.

    Examples
    --------
    >>> packer = Packer(1)
    >>> packer.add(np.array([0, 1])), packer.add(np.array([1, 1, 0, 1])), packer.to_bytes().tolist()
    (None, None, [46])
    """

    def __init__(self, bits: int) -> None:
        self.bits, self.size = bits, 0
        self._done: list[Array] = []
        self._rest: Array = np.zeros(0)

    def add(self, values: Array) -> None:
        """Add the entries that follow, in any shape."""
        flat = np.concatenate([self._rest.astype(values.dtype), values.reshape(-1)])
        whole = flat.size - flat.size % 8  # eight entries fill whole bytes
        self._done.append(Packed(flat[:whole], self.bits).to_bytes())
        self._rest = flat[whole:].copy()
        self.size += values.size

    def to_bytes(self) -> Array:
        """Return the packed bytes of all entries so far."""
        return np.concatenate([*self._done, Packed(self._rest, self.bits).to_bytes()])


# -- maps of flags --------------------------------------------------------------------------------------


def pack_runs(flags: Array) -> Array:
    """Pack flags by the lengths of the runs between the rarer ones, in the code of Golomb and Rice.

    A run of g flags is g ÷ 2^k in unary (so many ones, then a zero) and the k lowest bits of g; k is the one that makes
    the whole shortest. First one byte with k, and 128 if the set flags are the frequent ones, and four bytes with the
    number of runs; then all unary parts, then all low bits, each from a new byte.

    Parameters
    ----------
    flags : ndarray of bool
        At most 2³² − 1 of them; any shape.

    Returns
    -------
    ndarray of uint8

    Notes
    -----
    S. W. Golomb, *Run-length encodings* (1966); R. F. Rice, *Some practical universal noiseless coding techniques*
    (1979).

    Examples
    --------
    >>> flags = np.zeros(1000, bool)
    >>> flags[[7, 500]] = True
    >>> packed = pack_runs(flags)
    >>> len(packed), np.flatnonzero(unpack_runs(packed, 1000)).tolist()
    (8, [7, 500])
    """
    flat = np.asarray(flags, bool).reshape(-1)
    frequent = 2 * np.count_nonzero(flat) > flat.size
    gaps = np.diff(np.flatnonzero(flat != frequent), prepend=-1) - 1
    lengths, counts = gaps, np.ones_like(gaps)
    if gaps.max(initial=0) < len(gaps):  # runs of few lengths, as most often, are counted
        counts = np.bincount(gaps)
        lengths = np.arange(len(counts))
    costs = [int(counts @ (lengths >> k)) + len(gaps) * (k + 1) for k in range(max(1, flat.size.bit_length()))]
    low = int(np.argmin(costs))
    ends = np.cumsum((gaps >> low) + 1) - 1
    unary = np.ones(int(ends[-1]) + 1 if len(ends) else 0, np.uint8)
    unary[ends] = 0
    head = np.array([low | 128 * frequent, *len(gaps).to_bytes(4, "little")], np.uint8)
    rest = Packed(gaps & ((1 << low) - 1), low).to_bytes() if low else np.zeros(0, np.uint8)
    return np.concatenate([head, np.packbits(unary, bitorder="little"), rest])


def unpack_runs(data: Array, count: int) -> Array:
    """Invert `pack_runs`.

    Parameters
    ----------
    data : ndarray of uint8
        The packed runs.
    count : int
        How many flags there are; whoever calls has made sure that so many may exist.

    Raises
    ------
    InputError
        If the bytes are not the runs of so many flags.
    """
    wrong = InputError(f"packed runs must be those of {count} flags, got {len(data)} bytes that are not")
    if len(data) < RUNS_HEADER:
        raise wrong
    low, frequent = int(data[0]) & 127, bool(data[0] & 128)
    runs = int.from_bytes(data[1:RUNS_HEADER].tobytes(), "little")
    split = len(data) - -(-runs * low // 8)
    if runs > count or low > count.bit_length() or split < RUNS_HEADER:
        raise wrong
    unary = np.unpackbits(data[RUNS_HEADER:split], bitorder="little")
    ends = np.flatnonzero(unary == 0)[:runs]
    if len(ends) < runs or split - RUNS_HEADER != (0 if runs == 0 else int(ends[-1]) // 8 + 1):
        raise wrong
    high = np.diff(ends, prepend=-1) - 1
    if int(high.sum()) << low > count:  # before the shift, which could overflow
        raise wrong
    rest = Packed.from_bytes(data[split:], (runs,), low).values.astype(np.int64) if low else 0
    places = np.cumsum((high << low) + rest + 1) - 1
    if runs and places[-1] >= count:
        raise wrong
    flags = np.full(count, frequent)
    flags[places] = not frequent
    return flags


# -- files ------------------------------------------------------------------------------------------------


STEP_BITS = (16, 32)
"""Widths of a stored step: single precision, or 16 bits as `pack_steps` splits them."""

WIDE = 0x8000
"""The bit of a 16-bit step, where a sign would be, that marks the exponent of a float32."""


def step_up(step: Array, bits: int = FLOAT_BITS) -> Array:
    """Round steps δ to the floats that are stored, upwards, so that a stability condition met stays met.

    Parameters
    ----------
    step : ndarray
        Non-negative steps; 0 stays 0.
    bits : {16, 32}
        Bits of a stored step. With 16, steps from 2⁻¹⁴ to 2¹⁶ have eleven significant bits, those beyond at least
        eight.

    Returns
    -------
    ndarray of float64
        Values that such a float represents exactly, each larger than what was given.

    Raises
    ------
    InputError
        If a step is beyond the largest number of those bits.
    """
    given = np.asarray(step, float)
    largest = float(np.finfo(np.float32).max) * (1.0 if bits == FLOAT_BITS else 1 - 2.0**-7)
    if not (given < largest).all():
        raise InputError(f"steps stored in {bits} bits must be below {largest:.4g}, got {given.max():.4g}")
    rounded = np.nextafter(given.astype(np.float32), np.float32(np.inf))
    if bits != FLOAT_BITS:
        upper = ((rounded.view(np.uint32) + np.uint32(0xFFFF)) >> 16 << 16).view(np.float32)
        near = np.minimum(given, float(np.finfo(np.float16).max)).astype(np.float16)
        with np.errstate(over="ignore"):
            half = np.where(near.astype(float) > given, near, np.nextafter(near, np.float16(np.inf)))
        rounded = np.minimum(upper, half.astype(np.float32))
    return np.where(given > 0, rounded, 0.0).astype(float)


def pack_steps(step: Array, bits: int = FLOAT_BITS) -> Packed:
    """Return steps that `step_up` gave as they are stored.

    That is float32, or 16 bits: those of a float16, or where it does not hold the step, as below 2⁻¹⁴ and from 2¹⁶ on,
    the bit of the sign set, and the eight bits of the exponent and the first seven of the fraction of a float32.
    """
    single = np.ascontiguousarray(step, np.float32)
    if bits == FLOAT_BITS:
        return Packed(single, FLOAT_BITS)
    with np.errstate(over="ignore"):
        half = single.astype(np.float16)
    wide = (single.view(np.uint32) >> 16 | WIDE).astype(np.uint16)
    return Packed(np.where(half.astype(np.float32) == single, half.view(np.uint16), wide), 16)


def unpack_steps(packed: Packed) -> Array:
    """Invert `pack_steps`; float64."""
    if packed.bits == FLOAT_BITS:
        return packed.values.astype(float)
    words = packed.values.astype(np.uint16)
    wide = ((words & ~np.uint16(WIDE)).astype(np.uint32) << 16).view(np.float32)
    steps: Array = np.where(words & WIDE, wide, words.view(np.float16)).astype(float)
    if packed.bits != 16 or not np.isfinite(steps).all():
        raise InputError("steps must be floats of 16 or 32 bits, and finite, got others")
    return steps
