"""Products of whole numbers: bit planes counted with the processor's popcount, and plain loops over bytes."""

from __future__ import annotations

import numba
import numpy as np
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from sdqviz.kernels.threads import REORDER

WORD = 64
"""Bits of a word."""

INPUT_PLANES = 8
"""Bits of an input in offset binary: u = v + 128, v from −127 to 127."""

OFFSET, LARGEST = 128, 127


@intrinsic  # type: ignore[untyped-decorator]
def count_ones(typing, word):  # type: ignore[no-untyped-def]
    """Count the ones of a 64-bit word by LLVM's ctpop."""

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        return builder.ctpop(arguments[0])

    return types.uint64(types.uint64), generate


def words_of(length: int) -> int:
    """Return how many words hold so many bits; what is left of the last one is zero."""
    return -(-length // WORD)


def level_planes(levels: NDArray[np.uint8], bits: int) -> NDArray[np.uint64]:
    """Return the bit planes of levels, shape (M, N) uint8, as words, shape (M, bits, words) uint64."""
    rows, length = levels.shape
    planes = np.zeros((rows, bits, 8 * words_of(length)), np.uint8)
    for plane in range(bits):
        packed = np.packbits((levels >> plane) & 1, axis=1, bitorder="little")
        planes[:, plane, : packed.shape[1]] = packed
    return planes.view(np.uint64)


@numba.njit(cache=True, error_model="numpy")  # type: ignore[untyped-decorator]
def round_inputs(values, rounded, scale, total):  # type: ignore[no-untyped-def]
    """Round every row of ``values`` (n, N) to v·s, v whole from −127 to 127, s its largest modulus over 127.

    ``rounded`` (n, at least N) gets v + 128 as uint8 and zeros behind, ``scale`` (n,) s, ``total`` (n,) Σv. A row of
    zeros has s = 0 and v = 0. Returns whether all values are finite; where not, nothing else is promised.
    """
    rows, length = values.shape
    finite = True
    for row in range(rows):
        largest = 0.0
        for n in range(length):
            size = abs(values[row, n])
            finite = finite and size < np.inf
            largest = max(largest, size)
        scale[row] = largest / LARGEST
        over = 1.0 / scale[row] if scale[row] > 0 else 0.0
        if not over < np.inf:  # so small that its reciprocal overflows
            scale[row] = over = 0.0
        added = 0
        for n in range(length):
            v = int(min(max(np.rint(values[row, n] * over), -LARGEST), LARGEST)) if finite else 0
            added += v
            rounded[row, n] = v + OFFSET
        for n in range(length, rounded.shape[1]):
            rounded[row, n] = 0
        total[row] = added
    return finite


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def input_planes(rounded, planes):  # type: ignore[no-untyped-def]
    """Cut bytes, shape (n, 8·words) uint64, eight to a word, into bit planes, shape (n, 8, words)."""
    rows, length = rounded.shape
    lowest, gather = np.uint64(0x0101010101010101), np.uint64(0x0102040810204080)
    for row in range(rows):
        for plane in range(8):
            for word in range(length // 8):
                found = np.uint64(0)
                for byte in range(8):
                    # the product brings the lowest bits of the eight bytes side by side to the top
                    picked = (rounded[row, 8 * word + byte] >> np.uint64(plane)) & lowest
                    found |= ((picked * gather) >> np.uint64(56)) << np.uint64(8 * byte)
                planes[row, plane, word] = found


@numba.njit(parallel=True, cache=True)  # type: ignore[untyped-decorator]
def popcount_product(levels, inputs, total, sums, step, scale, half, out):  # type: ignore[no-untyped-def]
    """Multiply levels by rounded inputs in bit planes: out = δ s Σ (level − half + ½)v, whole numbers until the end.

    Shapes: levels (M, bits, words), inputs (n, 8, words) of v + 128, total (n,) Σv, sums (M,) Σ level, step (M,) δ,
    scale (n,) s, out (n, M). Σ level·v = Σ_ab 2^(a+b) popcount(level plane a & input plane b) − 128 Σ level.
    """
    rows, bits, words = levels.shape
    for j in numba.prange(rows):
        for i in range(len(inputs)):
            found = np.int64(0)
            for a in range(bits):
                own = levels[j, a]
                for b in range(8):
                    other = inputs[i, b]
                    ones = np.uint64(0)
                    for word in range(words):
                        ones += count_ones(own[word] & other[word])
                    found += np.int64(ones) << (a + b)
            whole = 2 * (found - 128 * np.int64(sums[j])) - (2 * half - 1) * total[i]
            out[i, j] = 0.5 * whole * scale[i] * step[j]


@numba.njit(parallel=True, cache=True, fastmath=REORDER)  # type: ignore[untyped-decorator]
def int8_product(levels, inputs, total, step, scale, out):  # type: ignore[no-untyped-def]
    """Multiply levels − 2^(bits−1), shape (M, N) int8, by rounded inputs v, shape (n, N) int8; out as there."""
    rows, length = levels.shape
    for j in numba.prange(rows):
        own = levels[j]
        for i in range(len(inputs)):
            other = inputs[i]
            found = np.int32(0)
            for n in range(length):
                found += np.int32(own[n]) * np.int32(other[n])
            out[i, j] = 0.5 * (2 * np.int64(found) + total[i]) * scale[i] * step[j]
