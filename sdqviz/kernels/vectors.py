"""Vector instructions that numba does not find by itself: squares turned, and steps of ΣΔ on many rows at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

SIDE = 4
"""Float64 numbers in a vector of 256 bits, and the side of a square that is turned."""

BYTE, WORD, PLACE, REAL = ir.IntType(8), ir.IntType(32), ir.IntType(64), ir.DoubleType()
REALS, WORDS, MASK = (ir.VectorType(kind, SIDE) for kind in (REAL, WORD, PLACE))


@intrinsic  # type: ignore[untyped-decorator]
def turn_square(typing, source, i, n, target, k, j):  # type: ignore[no-untyped-def]
    """Set target[k : k + 4, j : j + 4] to the transpose of source[i : i + 4, n : n + 4]; C-contiguous both."""

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        kind = signature.args[0]
        element, size = context.get_data_type(kind.dtype), kind.dtype.bitwidth // 8
        vector = ir.VectorType(element, SIDE)

        def place(array: Any, row: Any, column: Any) -> Any:
            stride = cgutils.unpack_tuple(builder, array.strides)[0]
            begin = builder.gep(builder.bitcast(array.data, BYTE.as_pointer()), [builder.mul(row, stride)])
            return builder.bitcast(builder.gep(begin, [builder.mul(column, PLACE(size))]), vector.as_pointer())

        def mixed(one: Any, two: Any, *order: int) -> Any:
            return builder.shuffle_vector(one, two, ir.Constant(WORDS, list(order)))

        one = context.make_array(kind)(context, builder, arguments[0])
        two = context.make_array(signature.args[3])(context, builder, arguments[3])
        first, begin, row, column = arguments[1], arguments[2], arguments[4], arguments[5]
        a, b, c, d = (
            builder.load(place(one, builder.add(first, PLACE(side)), begin), align=size) for side in range(SIDE)
        )
        even, odd = (
            (mixed(a, b, 0, 4, 2, 6), mixed(c, d, 0, 4, 2, 6)),
            (mixed(a, b, 1, 5, 3, 7), mixed(c, d, 1, 5, 3, 7)),
        )
        turned = (mixed(*even, 0, 1, 4, 5), mixed(*odd, 0, 1, 4, 5), mixed(*even, 2, 3, 6, 7), mixed(*odd, 2, 3, 6, 7))
        for side, value in enumerate(turned):
            builder.store(value, place(two, builder.add(row, PLACE(side)), column), align=size)
        return context.get_dummy_value()

    if source.dtype != target.dtype or not all(kind.ndim == 2 and kind.layout == "C" for kind in (source, target)):
        return None
    return types.void(source, types.intp, types.intp, target, types.intp, types.intp), generate


def _stepping(lanes: int, level: Callable[..., Callable[..., tuple[Any, Any]]]) -> Any:
    @intrinsic  # type: ignore[untyped-decorator]
    def walked(typing, values, u, size, inverse, limit, half, count, levels, states, keep):  # type: ignore[no-untyped-def]
        """Walk ``count`` steps of first-order ΣΔ along ``lanes`` rows in vector registers; whether all |u| ≤ limit.

        Shapes: values, levels (int32), states (if ``keep``) (count, lanes); u, before and after, size, inverse, limit
        (lanes,).
        """

        def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
            def data(place: int) -> Any:
                return context.make_array(signature.args[place])(context, builder, arguments[place]).data

            data_of = (data(0), data(1), data(2), data(3), data(4), data(7), data(8))
            doubtful = cgutils.alloca_once_value(builder, ir.Constant(MASK, [0] * SIDE))
            for wanted in (True, False):
                keep = arguments[9] if wanted else builder.not_(arguments[9])
                with builder.if_then(keep):
                    _steps(builder, lanes, data_of, level(builder, arguments[5]), arguments[6], doubtful, wanted)
            found = builder.load(doubtful)
            whole = builder.bitcast(found, ir.IntType(64 * SIDE))
            return builder.icmp_unsigned("==", whole, whole.type(0))

        given = (values, u, size, inverse, limit, types.float64, types.intp, levels, states, types.boolean)
        return types.boolean(*given), generate

    return walked


def _steps(
    builder: Any, lanes: int, data: tuple[Any, ...], find: Callable[..., tuple[Any, Any]], count: Any, doubtful: Any,
    keep: bool,
) -> None:  # fmt: skip
    """Write the loop over steps; all lanes are in its body, so that one waits for nothing but itself."""
    values, u, size, inverse, limit, levels, states = data

    def vector(base: Any, offset: Any, kind: Any) -> Any:
        return builder.bitcast(builder.gep(base, [offset]), kind.as_pointer())

    def loaded(base: Any) -> list[Any]:
        return [builder.load(vector(base, PLACE(at), REALS), align=8) for at in range(0, lanes, SIDE)]

    state, sizes, inverses, limits = (loaded(base) for base in (u, size, inverse, limit))
    state = [cgutils.alloca_once_value(builder, one) for one in state]
    magnitude = cgutils.get_or_insert_function(builder.module, ir.FunctionType(REALS, [REALS]), "llvm.fabs.v4f64")
    with cgutils.for_range(builder, count) as loop:
        begin = builder.mul(loop.index, PLACE(lanes))
        for group in range(lanes // SIDE):
            at = builder.add(begin, PLACE(SIDE * group))
            v = builder.fadd(builder.load(state[group]), builder.load(vector(values, at, REALS), align=8))
            q, k = find(v, sizes[group], inverses[group])
            e = builder.fsub(v, q)
            builder.store(e, state[group])
            builder.store(k, vector(levels, at, WORDS), align=4)
            if keep:
                builder.store(e, vector(states, at, REALS), align=8)
            beyond = builder.fcmp_unordered(">", builder.call(magnitude, [e]), limits[group])
            builder.store(builder.or_(builder.load(doubtful), builder.sext(beyond, MASK)), doubtful)
    for group, one in enumerate(state):
        builder.store(builder.load(one), vector(u, PLACE(SIDE * group), REALS), align=8)


def _all(value: float) -> Any:
    return ir.Constant(REALS, [value] * SIDE)


def _sign(builder: Any, half: Any) -> Callable[..., tuple[Any, Any]]:
    """Return how the level of one bit is found: by the sign."""

    def find(v: Any, size: Any, inverse: Any) -> tuple[Any, Any]:
        above = builder.fmul(size, _all(0.5))
        below = builder.fcmp_ordered("<", v, _all(0.0))
        return builder.select(below, builder.fneg(above), above), builder.sext(below, WORDS)

    return find


def _floor(builder: Any, half: Any) -> Callable[..., tuple[Any, Any]]:
    """Return how a level among several is found: the product with 1/δ rounded down, and held to the range."""

    def everywhere(value: Any) -> Any:
        one = builder.insert_element(ir.Constant(REALS, ir.Undefined), value, WORD(0))
        return builder.shuffle_vector(one, one, ir.Constant(WORDS, [0] * SIDE))

    lowest, highest = everywhere(builder.fneg(half)), everywhere(builder.fsub(half, REAL(1.0)))
    down = cgutils.get_or_insert_function(builder.module, ir.FunctionType(REALS, [REALS]), "llvm.floor.v4f64")

    def find(v: Any, size: Any, inverse: Any) -> tuple[Any, Any]:
        level = builder.call(down, [builder.fmul(v, inverse)])
        level = builder.select(builder.fcmp_ordered(">", level, lowest), level, lowest)
        level = builder.select(builder.fcmp_ordered("<", level, highest), level, highest)
        return builder.fmul(builder.fadd(level, _all(0.5)), size), builder.fptosi(level, WORDS)

    return find


LANES = 32
"""Rows walked together: enough vector registers' worth to hide the latency of one step behind the others."""

one_bit_steps, steps = _stepping(LANES, _sign), _stepping(LANES, _floor)
