"""What has to be stored: integers packed at their true width, scales in float32, and honest counts of both."""

from __future__ import annotations

import dataclasses

import numpy as np

from sdqviz.array import Array
from sdqviz.error import InputError

FLOAT_BITS = 32
"""Bits of a scale and of a tensor kept in float."""


@dataclasses.dataclass(frozen=True, eq=False)
class Packed:
    """An array as it would lie in a file.

    Attributes
    ----------
    values : ndarray
        float32 when ``bits`` is 32, otherwise non-negative integers below 2^bits.
    bits : int
        Bits per entry.

    Examples
    --------
    >>> packed = Packed(np.array([[0, 1, 1], [1, 0, 1]]), bits=1)
    >>> packed.bit_count, packed.byte_count, packed.to_bytes().tolist()
    (6, 1, [46])
    >>> Packed.from_bytes(packed.to_bytes(), packed.values.shape, 1).values
    array([[0, 1, 1],
           [1, 0, 1]])
    """

    values: Array
    bits: int

    @property
    def bit_count(self) -> int:
        """Bits of all entries."""
        return int(self.values.size) * self.bits

    @property
    def byte_count(self) -> int:
        """Bytes of all entries, rounded up to whole bytes once for the array."""
        return -(-self.bit_count // 8)

    def to_bytes(self) -> Array:
        """Return the packed bytes, shape (byte_count,) uint8; the lowest bit of the first entry comes first."""
        if self.bits == FLOAT_BITS:
            return np.ascontiguousarray(self.values, np.float32).reshape(-1).view(np.uint8)
        flat = np.ascontiguousarray(self.values, np.uint32).reshape(-1)
        places = np.arange(self.bits, dtype=np.uint32)
        return np.packbits(((flat[:, None] >> places) & 1).astype(np.uint8).reshape(-1), bitorder="little")

    @classmethod
    def from_bytes(cls, data: Array, shape: tuple[int, ...], bits: int) -> Packed:
        """Invert `to_bytes`.

        Raises
        ------
        InputError
            If the bytes do not have the length that the shape and the bits need.
        """
        count = int(np.prod(shape, dtype=np.int64))
        needed = -(-count * bits // 8)
        if len(data) != needed:
            raise InputError(
                f"packed data must be {needed} bytes for shape {tuple(shape)} at {bits} bits, got {len(data)}"
            )
        if bits == FLOAT_BITS:
            return cls(np.ascontiguousarray(data).view(np.float32).reshape(shape), bits)
        spread = np.unpackbits(data, count=count * bits, bitorder="little").reshape(count, bits)
        values = np.zeros(count, np.int64)
        for place in range(bits):
            values |= spread[:, place].astype(np.int64) << place
        return cls(values.reshape(shape), bits)


def step_up(step: Array) -> Array:
    """Round steps δ to the float32 that is stored, upwards, so that a stability condition met stays met.

    Parameters
    ----------
    step : ndarray
        Non-negative steps; 0 stays 0.

    Returns
    -------
    ndarray of float64
        Values that float32 represents exactly, each at least as large as what was given.
    """
    rounded = np.nextafter(np.asarray(step, np.float32), np.float32(np.inf))
    return np.where(np.asarray(step) > 0, rounded, 0.0).astype(float)
