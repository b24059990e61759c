"""Products of levels with rounded inputs by looking sums of four inputs up: one byte shuffle serves 32 neurons."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from llvmlite import binding, ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

LANES = 32
"""Neurons whose levels lie side by side in a vector of 256 bits."""

MOST_GROUPS = 64
"""Sums of four bytes, each at most 1020, that fit into 16 bits."""

INTERLEAVED = tuple(
    [place for byte in range(first, first + 8) for place in (byte, byte + LANES)] for first in (0, 8, 16, 24)
)
"""Places of low and high bytes side by side, for 8 neurons at a time."""


def available() -> bool:
    """Return whether this processor shuffles 32 bytes at once (AVX2)."""
    return bool(binding.get_host_cpu_features().get("avx2", False))


@intrinsic  # type: ignore[untyped-decorator]
def add_looked_up(typing, levels, tables, sums):  # type: ignore[no-untyped-def]
    """Add Σ_g table_g[level bits g] to ``sums`` (32,) int32 for levels (pairs, 32) and tables (pairs, 2, 2, 16) uint8.

    A byte of ``levels`` holds the bits of one neuron at eight inputs; its halves choose from two tables, whose sums
    come as low and as high bytes. At most 32 pairs.
    """

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        kinds = zip(signature.args, arguments, strict=True)
        one, two, three = (context.make_array(kind)(context, builder, value) for kind, value in kinds)
        _add_looked_up(builder, one.data, two.data, three.data, cgutils.unpack_tuple(builder, one.shape)[0])
        return context.get_dummy_value()

    return types.void(levels, tables, sums), generate


def _add_looked_up(builder: Any, levels: Any, tables: Any, sums: Any, pairs: Any) -> None:
    byte, short, word = ir.IntType(8), ir.IntType(16), ir.IntType(32)
    vector, table, shorts = ir.VectorType(byte, LANES), ir.VectorType(byte, 16), ir.VectorType(short, 16)

    def whole(kind: Any, value: int) -> Any:
        return ir.Constant(kind, [value] * kind.count)

    def places(kind: Any) -> Any:
        return ir.Constant(ir.VectorType(word, len(kind)), list(kind))

    def load(base: Any, offset: Any, kind: Any) -> Any:
        where = builder.bitcast(builder.gep(base, [offset]), kind.as_pointer())
        return builder.load(where, align=1)

    shuffle = cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(vector, [vector, vector]), "llvm.x86.avx2.pshuf.b"
    )
    kept = [cgutils.alloca_once_value(builder, whole(shorts, 0)) for _ in range(2)]
    both = places([*range(16), *range(16)])
    # within each half of a vector, as the unpack instructions do: neurons 0-7 and 16-23, then 8-15 and 24-31
    orders = [places(INTERLEAVED[k] + INTERLEAVED[k + 2]) for k in range(2)]
    with cgutils.for_range(builder, pairs) as loop:
        size = loop.index.type
        bits = load(levels, builder.mul(loop.index, size(LANES)), vector)
        upper = builder.bitcast(builder.lshr(builder.bitcast(bits, shorts), whole(shorts, 4)), vector)
        for half, source in enumerate((bits, upper)):
            chosen = builder.and_(source, whole(vector, 15))
            found = []
            for part in range(2):
                place = builder.add(builder.mul(loop.index, size(64)), size(32 * half + 16 * part))
                entries = load(tables, place, table)
                wide = builder.shuffle_vector(entries, entries, both)
                found.append(builder.call(shuffle, [wide, chosen]))
            for order, own in zip(orders, kept, strict=True):
                mixed = builder.bitcast(builder.shuffle_vector(*found, order), shorts)
                builder.store(builder.add(builder.load(own), mixed), own)
    eight = ir.VectorType(word, 8)
    for k, own in enumerate(kept):
        value = builder.load(own)
        for half in range(2):
            part = builder.zext(builder.shuffle_vector(value, value, places(range(8 * half, 8 * half + 8))), eight)
            where = builder.bitcast(builder.gep(sums, [ir.IntType(64)(8 * k + 16 * half)]), eight.as_pointer())
            builder.store(builder.add(builder.load(where, align=4), part), where, align=4)


def level_bytes(planes: NDArray[np.uint64]) -> NDArray[np.uint8]:
    """Return bit planes (M, bits, words) uint64 with 32 neurons side by side, shape (⌈M/32⌉, bits, 8·words, 32)."""
    rows, bits, words = planes.shape
    whole = np.zeros((-(-rows // LANES) * LANES, bits, 8 * words), np.uint8)
    whole[:rows] = planes.view(np.uint8)
    return np.ascontiguousarray(whole.reshape(-1, LANES, bits, 8 * words).transpose(0, 2, 3, 1))


def level_words(levels: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """Undo `level_bytes`, except that neurons of zeros fill the last block."""
    rows = levels.transpose(0, 3, 1, 2).reshape(-1, levels.shape[1], levels.shape[2])
    return np.ascontiguousarray(rows).view(np.uint64)


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def sum_tables(rounded, tables):  # type: ignore[no-untyped-def]
    """Fill tables (n, pairs, 2, 2, 16) with low and high bytes of all sums of four bytes of rounded (n, 8·pairs)."""
    sums = np.zeros(16, np.uint16)
    for i in range(len(rounded)):
        for group in range(rounded.shape[1] // 4):
            for k in range(4):
                one = np.uint16(rounded[i, 4 * group + k])
                for place in range(1 << k):
                    sums[(1 << k) + place] = sums[place] + one
            own = tables[i, group // 2, group % 2]
            for place in range(16):
                own[0, place] = sums[place] & 255
                own[1, place] = sums[place] >> 8


@numba.njit(parallel=True, cache=True)  # type: ignore[untyped-decorator]
def shuffle_product(levels, tables, total, sums, step, scale, half, out):  # type: ignore[no-untyped-def]
    """Multiply levels by rounded inputs from their tables; what comes out is that of `popcount_product`, exactly.

    Shapes: levels (blocks, bits, pairs, 32), tables (n, pairs, 2, 2, 16), the others as there.
    """
    blocks, bits, pairs, _ = levels.shape
    chunk = MOST_GROUPS // 2
    for block in numba.prange(blocks):
        looked_up, found = np.empty(LANES, np.int32), np.empty(LANES, np.int64)
        for i in range(len(tables)):
            found[:] = 0
            for a in range(bits):
                looked_up[:] = 0
                for begin in range(0, pairs, chunk):
                    end = min(begin + chunk, pairs)
                    add_looked_up(levels[block, a, begin:end], tables[i, begin:end], looked_up)
                for row in range(LANES):
                    found[row] += np.int64(looked_up[row]) << a
            for row in range(min(LANES, len(step) - block * LANES)):
                j = block * LANES + row
                whole = 2 * (found[row] - 128 * np.int64(sums[j])) - (2 * half - 1) * total[i]
                out[i, j] = 0.5 * whole * scale[i] * step[j]
