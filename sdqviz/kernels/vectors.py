"""Vector instructions that numba does not find by itself: rows turned, and steps of ΣΔ on many rows at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

SIDE = 8
"""Numbers of 64 bits in a vector: 512 bits, which a processor with shorter ones takes as two."""

LANES = 32
"""Rows walked together: enough vectors to hide the latency of one step behind the others."""

PER_WORD = 4
"""Steps whose levels, 16 bits each, make up a word of 64 bits, the first lowest."""

BYTE, WORD, PLACE, REAL = ir.IntType(8), ir.IntType(32), ir.IntType(64), ir.DoubleType()
REALS, PLACES = ir.VectorType(REAL, SIDE), ir.VectorType(PLACE, SIDE)

SIGN = 1 << 63
"""The sign of a float64 among its bits."""

MAGIC, MAGIC_BITS = 1.5 * 2.0**52, 0x4338_0000_0000_0000
"""Added to a number that is small beside it, leaves its nearest whole number in the last bits; and it as bits."""


@intrinsic  # type: ignore[untyped-decorator]
def turn_pairs(typing, source, i, n, target, k, j):  # type: ignore[no-untyped-def]
    """Set target[k : k + 2, j : j + 8] to the transpose of source[i : i + 8, n : n + 2]; C-contiguous both, 64 bits."""

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        element = context.get_data_type(signature.args[0].dtype)
        one = context.make_array(signature.args[0])(context, builder, arguments[0])
        two = context.make_array(signature.args[3])(context, builder, arguments[3])

        def place(array: Any, row: Any, column: Any, kind: Any) -> Any:
            stride = cgutils.unpack_tuple(builder, array.strides)[0]
            begin = builder.gep(builder.bitcast(array.data, BYTE.as_pointer()), [builder.mul(row, stride)])
            return builder.bitcast(builder.gep(begin, [builder.mul(column, PLACE(8))]), kind.as_pointer())

        def joined(parts: list[Any]) -> Any:
            """Join vectors of the same length, two and two."""
            while len(parts) > 1:
                order = ir.Constant(ir.VectorType(WORD, 2 * parts[0].type.count), list(range(2 * parts[0].type.count)))
                parts = [builder.shuffle_vector(a, b, order) for a, b in zip(parts[::2], parts[1::2], strict=True)]
            return parts[0]

        first, begin, row, column = arguments[1], arguments[2], arguments[4], arguments[5]
        pair = ir.VectorType(element, 2)
        pairs = [
            builder.load(place(one, builder.add(first, PLACE(side)), begin, pair), align=8) for side in range(SIDE)
        ]
        even, odd = joined(pairs[::2]), joined(pairs[1::2])
        for step in range(2):
            order = [step + part for at in range(0, SIDE, 2) for part in (at, at + SIDE)]
            value = builder.shuffle_vector(even, odd, ir.Constant(ir.VectorType(WORD, SIDE), order))
            vector = ir.VectorType(element, SIDE)
            builder.store(value, place(two, builder.add(row, PLACE(step)), column, vector), align=8)
        return context.get_dummy_value()

    kinds = (source, target)
    if source.dtype != target.dtype or not all(
        kind.ndim == 2 and kind.layout == "C" and kind.dtype.bitwidth == 64 for kind in kinds
    ):
        return None
    return types.void(source, types.intp, types.intp, target, types.intp, types.intp), generate


def _stepping(rule: Callable[..., tuple[Callable[..., tuple[Any, Any]], Any]]) -> Any:
    @intrinsic  # type: ignore[untyped-decorator]
    def walked(typing, values, u, size, inverse, limit, half, count, levels, states, keep):  # type: ignore[no-untyped-def]
        """Walk first-order ΣΔ along `LANES` rows in vector registers; whether all |u| ≤ limit and levels in range.

        Shapes: values, states (if ``keep``) (count, lanes), count a multiple of `PER_WORD`; levels (count / `PER_WORD`,
        lanes) of int64, which hold the last bits of `PER_WORD` levels k + K each, the first lowest; u, before and
        after, size, inverse, limit (lanes,).
        """

        def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
            def data(place: int) -> Any:
                return context.make_array(signature.args[place])(context, builder, arguments[place]).data

            data_of = (data(0), data(1), data(2), data(3), data(4), data(7), data(8))
            doubtful = cgutils.alloca_once_value(builder, _bits(0))
            for wanted in (True, False):
                keep = arguments[9] if wanted else builder.not_(arguments[9])
                with builder.if_then(keep):
                    _steps(builder, data_of, rule(builder, arguments[5]), arguments[6], doubtful, wanted)
            whole = builder.bitcast(builder.load(doubtful), ir.IntType(64 * SIDE))
            return builder.icmp_unsigned("==", whole, whole.type(0))

        given = (values, u, size, inverse, limit, types.int64, types.intp, levels, states, types.boolean)
        return types.boolean(*given), generate

    return walked


def _steps(
    builder: Any, data: tuple[Any, ...], rule: tuple[Callable[..., tuple[Any, Any]], Any], count: Any, doubtful: Any,
    keep: bool,
) -> None:  # fmt: skip
    """Write the loop over steps; all lanes are in its body, so that one waits for nothing but itself."""
    (values, u, size, inverse, limit, levels, states), (find, outside) = data, rule
    groups = range(LANES // SIDE)

    def vector(base: Any, offset: Any, kind: Any) -> Any:
        return builder.bitcast(builder.gep(base, [offset]), kind.as_pointer())

    def loaded(base: Any) -> list[Any]:
        return [builder.load(vector(base, PLACE(SIDE * group), REALS), align=8) for group in groups]

    def called(name: str, kind: Any, *given: Any) -> Any:
        function = ir.FunctionType(kind, [kind] * len(given))
        return builder.call(cgutils.get_or_insert_function(builder.module, function, name), given)

    def gather(place: Any, found: Any) -> None:
        builder.store(builder.or_(builder.load(place), found), place)

    sizes, inverses, limits = (loaded(base) for base in (size, inverse, limit))
    state = [cgutils.alloca_once_value(builder, one) for one in loaded(u)]
    height = [cgutils.alloca_once_value(builder, _all(0.0)) for _ in groups]
    packed = [cgutils.alloca_once_value(builder, _bits(0)) for _ in groups]
    other = cgutils.alloca_once_value(builder, _bits(0))
    with cgutils.for_range(builder, count) as loop:
        begin = builder.mul(loop.index, PLACE(LANES))
        word = builder.mul(builder.udiv(loop.index, PLACE(PER_WORD)), PLACE(LANES))
        for group in groups:
            at = builder.add(begin, PLACE(SIDE * group))
            v = builder.fadd(builder.load(state[group]), builder.load(vector(values, at, REALS), align=8))
            q, level = find(v, sizes[group], inverses[group])
            e = builder.fsub(v, q)
            builder.store(e, state[group])
            if keep:
                builder.store(e, vector(states, at, REALS), align=8)
            far, before = called("llvm.fabs.v8f64", REALS, e), builder.load(height[group])
            builder.store(builder.select(builder.fcmp_ordered(">", far, before), far, before), height[group])
            gather(other, builder.xor(level, _bits(MAGIC_BITS)))
            # the word moves down by one level and takes this one in above; it is written until it is full
            full = called("llvm.fshr.v8i64", PLACES, level, builder.load(packed[group]), _bits(64 // PER_WORD))
            builder.store(full, packed[group])
            builder.store(full, vector(levels, builder.add(word, PLACE(SIDE * group)), PLACES), align=8)
    for group in groups:
        end = builder.load(state[group])
        builder.store(end, vector(u, PLACE(SIDE * group), REALS), align=8)
        # what is not a number is passed over by the largest, and stays in the state to the end
        beyond = builder.fcmp_unordered(">", builder.load(height[group]), limits[group])
        gather(doubtful, builder.sext(builder.or_(beyond, builder.fcmp_unordered("uno", end, end)), PLACES))
    gather(doubtful, builder.and_(builder.load(other), outside))


def _all(value: float) -> Any:
    return ir.Constant(REALS, [value] * SIDE)


def _bits(value: int) -> Any:
    return ir.Constant(PLACES, [value] * SIDE)


def _sign(builder: Any, half: Any) -> tuple[Callable[..., tuple[Any, Any]], Any]:
    """Return how the level of one bit is found: by the sign; none is out of range."""

    def find(v: Any, size: Any, inverse: Any) -> tuple[Any, Any]:
        bits = builder.bitcast(v, PLACES)
        above = builder.bitcast(builder.fmul(size, _all(0.5)), PLACES)
        q = builder.or_(builder.and_(bits, _bits(SIGN)), above)
        return builder.bitcast(q, REALS), builder.lshr(builder.not_(bits), _bits(63))

    return find, _bits(0)


def _nearest(builder: Any, half: Any) -> tuple[Callable[..., tuple[Any, Any]], Any]:
    """Return how a level among several is found, and which bits it never has.

    It is v/δ + K − ½ to the nearest whole number, by the product with 1/δ. Away from thresholds that is ⌊v/δ⌋ + K, and
    outside 0 … 2K − 1 where v is out of range.
    """

    def everywhere(value: Any) -> Any:
        one = builder.insert_element(ir.Constant(ir.VectorType(value.type, SIDE), ir.Undefined), value, WORD(0))
        return builder.shuffle_vector(one, one, ir.Constant(ir.VectorType(WORD, SIDE), [0] * SIDE))

    raised = everywhere(builder.fsub(builder.sitofp(half, REAL), REAL(0.5)))
    kind = ir.FunctionType(REALS, [REALS] * 3)
    sum_of_product = cgutils.get_or_insert_function(builder.module, kind, "llvm.fmuladd.v8f64")

    def find(v: Any, size: Any, inverse: Any) -> tuple[Any, Any]:
        whole = builder.fadd(builder.call(sum_of_product, [v, inverse, raised]), _all(MAGIC))
        q = builder.fmul(builder.fsub(builder.fsub(whole, _all(MAGIC)), raised), size)
        return q, builder.bitcast(whole, PLACES)

    return find, everywhere(builder.sub(PLACE(0), builder.shl(half, PLACE(1))))


one_bit_steps, steps = _stepping(_sign), _stepping(_nearest)
