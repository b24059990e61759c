"""What operations that act on each entry alone do to channels, and where zero stays zero under them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx

from sdqviz.pruning.channels.flow import Flow, Given, rule
from sdqviz.pruning.channels.labels import NONE, Part, Value

SAMPLES = (1.0, -1.0, 0.37)
"""Values that stand for an unknown number when it is tried out whether zero stays zero."""

SYMBOLS = {"aten::add": "add", "aten::sub": "add", "aten::mul": "mul", "aten::div": "mul"}


@rule(
    "pointwise", "hardswish", "hardsigmoid", "relu6", "selu", "celu", "silu", "mish", "log_sigmoid", "clip", "softplus",
    "softshrink", "hardshrink", "threshold", "square", "where", "masked_fill", "gelu", "elu", "leaky_relu", "hardtanh",
    "true_divide", "multiply", "divide", "subtract", "negative", "absolute", "float_power", "rrelu", "fix",
)  # fmt: skip
def elementwise(flow: Flow, node: fx.Node, given: Given) -> Value:
    """Unite the channels of all operands; those that meet a fixed size are kept."""
    shape = flow.shape(node)
    operands = flow.operands(node)
    labelled = [value for value in operands if value.labelled]
    if not labelled:
        return _of_parameters(flow, node, shape, operands)
    places = [_place(value, shape) for value in labelled]
    narrow = [v for v, place in zip(labelled, places, strict=True) if len(v.labels) == 1 != shape[place]]
    axes = {place for value, place in zip(labelled, places, strict=True) if value not in narrow}
    if not axes:  # single channels, spread over others
        return flow.refuse(node, f"{flow.place(node)} spreads a single channel over others")  # type: ignore[no-any-return]
    if len(axes) != 1:
        return flow.refuse(node, f"{flow.place(node)} joins channels along different dimensions")  # type: ignore[no-any-return]
    axis = axes.pop()
    size = shape[axis]
    because = f"{flow.place(node)} joins the channels with a tensor of fixed size"
    labels = next(value.labels for value in labelled if value not in narrow)
    reason, fixed = "", False
    for value in operands:
        own = axis - len(shape) + len(value.shape)
        if value in narrow:
            flow.labels.keep(value.labels, f"{flow.place(node)} spreads a single channel over others")
            continue
        if value.parts and value.size > 1 and own >= 0:
            value = flow.carried(value, own)  # noqa: PLW2901 - the same operand, now with its channels
        if value.labelled:
            labels = flow.labels.match(labels, value.labels, because)
            reason = reason or (value.unzero if not value.zero.all() else "")
        elif own >= 0 and value.shape[own] > 1:
            labels, fixed = flow.labels.match(labels, np.full(size, NONE), because), True
    if fixed:  # all of them stay: what comes out is as fixed as what came in
        attached = frozenset[str]().union(*(v.attached for v in operands))
        return Value(shape, origins=flow.join(node, "join", operands), attached=attached)
    zero = _zero(node, operands, axis - len(shape), size)
    kind = SYMBOLS.get(node.target._schema.name.removesuffix("_"), "join")  # type: ignore[union-attr]
    return Value(
        shape, axis, labels, zero, reason or flow.place(node), origins=flow.join(node, kind, operands),
        attached=frozenset[str]().union(*(v.attached for v in operands)),
    )  # fmt: skip


def _of_parameters(flow: Flow, node: fx.Node, shape: tuple[int, ...], operands: Sequence[Value]) -> Value:
    """Return what becomes of parameters alone: the same parameter, as long as each entry depends on its own alone."""
    attached = frozenset[str]().union(*(v.attached for v in operands)) if operands else frozenset[str]()
    origins = flow.join(node, "join", operands)
    wide = [value for value in operands if value.size > 1]
    if not wide:
        return Value(shape, origins=origins, attached=attached)
    strange = [value for value in wide if not value.parts and (value.rigid or value.number is None)]
    fixed = [value for value in wide if not value.parts and value not in strange]
    if any(value.parts for value in wide) and (fixed or any(value.rigid for value in strange)):
        because = f"{flow.place(node)} joins a parameter with numbers that are not cut along"
        return Value(shape, origins=origins, attached=attached, parts=_stretched(wide, shape), rigid=because)
    if strange or not any(value.parts for value in wide):
        rigid = next((value.rigid for value in wide if value.rigid), "")
        return Value(shape, origins=origins, attached=attached, rigid=rigid)
    rigid = next((value.rigid for value in wide if value.rigid), "")
    # the weight comes first, before what scales or masks it
    ordered = sorted(wide, key=lambda v: (-max(_entries(part) for part in v.parts), not v.parts[0].trained))
    zero = _zero(node, operands, None, 1)
    return Value(
        shape, origins=origins, attached=attached, parts=_stretched(ordered, shape), zero=zero, rigid=rigid
    )  # fmt: skip


def _entries(part: Part) -> int:
    return math.prod(part.shape)


def _stretched(values: Sequence[Value], shape: tuple[int, ...]) -> tuple[Part, ...]:
    parts: dict[str, Part] = {}
    for value in values:
        for part in value.parts:
            whole = part.index is None and part.shape == shape
            index = None if whole else part.moved().expand(shape)
            parts.setdefault(part.path, Part(part.path, part.shape, index, part.trained))
    return tuple(parts.values())


def _zero(node: fx.Node, operands: Sequence[Value], back: int | None, size: int) -> Any:
    """Return where the result is zero if the channel's entries of the operands are, found by trying it out.

    ``back`` is the axis counted from the end; None for parameters, whose flag is the same for all entries.
    """
    flags = []
    for value in operands:
        lies = value.labelled and back is not None and value.axis == len(value.shape) + back
        if lies and len(value.zero) == size:
            flags.append(value.zero & (value.labels >= 0))
        elif back is None or value.parts:
            # what is smaller than the weight it scales is not set to zero with it
            whole = value.size > 1 if back is not None else value.size == math.prod(node.meta["val"].shape)
            trained = whole and bool(value.zero.all()) and bool(value.parts)
            along = back is None or (len(value.shape) >= -back and value.shape[back] > 1)
            flags.append(np.full(size, trained and along))
        else:
            flags.append(np.zeros(size, bool))
    table = np.stack(flags) if flags else np.zeros((0, size), bool)
    patterns, inverse = np.unique(table, axis=1, return_inverse=True)
    outcome = np.array([_stays_zero(node, operands, pattern) for pattern in patterns.T])
    return outcome[inverse.reshape(-1)]


def _stays_zero(node: fx.Node, operands: Sequence[Value], zeros: Any) -> bool:
    if not zeros.any():
        return False
    for sample in SAMPLES:
        stand_ins = iter(zip(operands, zeros, strict=True))
        flat = [_trial(argument, stand_ins, sample) for argument in node.args]
        named = {key: _trial(argument, stand_ins, sample) for key, argument in node.kwargs.items()}
        try:
            with torch.no_grad():
                result = node.target(*flat, **named)  # type: ignore[operator]
        except (RuntimeError, TypeError, NotImplementedError):  # no answer is no promise
            return False
        if not isinstance(result, Tensor) or bool((result.float() != 0).any()):
            return False
    return True


def _trial(argument: Any, stand_ins: Any, sample: float) -> Any:
    if isinstance(argument, fx.Node):
        if not isinstance(argument.meta.get("val"), Tensor):
            return argument.meta.get("val")
        value, zero = next(stand_ins)
        dtype = argument.meta["val"].dtype
        if zero:
            return torch.zeros(1, dtype=dtype)
        if value.number is not None and value.size == 1:
            return value.number.reshape(1).clone()
        return torch.tensor([sample]).to(dtype) if dtype is not torch.bool else torch.tensor([sample > 0])
    if isinstance(argument, tuple | list):
        return [_trial(one, stand_ins, sample) for one in argument]
    return argument


def _place(value: Value, shape: tuple[int, ...]) -> int:
    """Return along which dimension of a result the channels of an operand lie."""
    return (value.axis or 0) + len(shape) - len(value.shape)
