"""What layers with weights do to channels: dense, convolutional, normalising, embedding, and products of tensors."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import fx

from sdqviz.pruning.channels.flow import Flow, Given, rule
from sdqviz.pruning.channels.labels import NONE, Numbers, Value
from sdqviz.pruning.removal import layer_of

# -- products ------------------------------------------------------------------------------------------


@rule("linear")
def linear(flow: Flow, node: fx.Node, given: Given) -> Any:
    """Compute x Wᵀ + b along the last dimension."""
    x, weight, bias = given["input"], given["weight"], given.get("bias")
    free = letters(len(x.shape) - 1, 2)
    own = "ba" if len(weight.shape) == 2 else "a"
    out = free + own[:-1]
    value = contract(flow, node, (x, weight), (free + "a", own), out)
    return biased(flow, node, value, weight, bias, len(out) - 1) if len(weight.shape) == 2 else value


@rule("matmul", "mm", "bmm", "mv", "dot")
def matmul(flow: Flow, node: fx.Node, given: Given) -> Any:
    """Multiply two tensors along the last dimension of the first, with the leading ones broadcast."""
    values = flow.operands(node)
    subscripts, out = _matmul_letters(*(len(value.shape) for value in values))
    return contract(flow, node, values, subscripts, out)


def _matmul_letters(first: int, second: int) -> tuple[tuple[str, str], str]:
    batch = letters(max(first, second, 2) - 2, 3)
    ahead, behind = batch[len(batch) - max(first - 2, 0) :], batch[len(batch) - max(second - 2, 0) :]
    one = "b" if first == 1 else ahead + "ab"
    two = "b" if second == 1 else behind + "bc"
    return (one, two), batch + ("a" if first > 1 else "") + ("c" if second > 1 else "")


@rule("addmm", "baddbmm", "addmv")
def addmm(flow: Flow, node: fx.Node, given: Given) -> Any:
    """Add a product of two tensors to a third."""
    added, *factors = flow.operands(node)
    subscripts, out = _matmul_letters(*(len(value.shape) for value in factors))
    value = contract(flow, node, factors, subscripts, out)
    weight = next((factor for factor in factors if factor.parts), None)
    if weight is not None and added.parts and value.labelled:
        return biased(flow, node, value, weight, added, len(out) - 1)
    return _plus(flow, node, value, added)


def _plus(flow: Flow, node: fx.Node, value: Value, added: Value) -> Any:
    """Add another operand than a bias to a product."""
    if added.size == 1 or not (value.labelled or added.labelled):
        return value.replaced(zero=np.zeros_like(value.zero), unzero=flow.place(node)) if added.size == 1 else value
    flow.keep(value, f"{flow.place(node)} adds to a product in one step")
    return flow.refuse(node, f"{flow.place(node)} adds to a product in one step")


@rule("einsum")
def einsum(flow: Flow, node: fx.Node, given: Given) -> Any:
    """Sum products of two tensors over common dimensions, as the equation says."""
    equation, values = given["equation"].replace(" ", ""), given["tensors"]
    inputs, _, out = equation.partition("->")
    subscripts = inputs.split(",")
    twice = any(len(set(one)) < len(one) for one in subscripts)
    if "." in equation or "->" not in equation or len(values) != 2 or twice:
        return flow.unknown(node)
    return contract(flow, node, values, subscripts, out)


def contract(flow: Flow, node: fx.Node, values: Sequence[Value], subscripts: Sequence[str], out: str) -> Value:
    """Multiply two tensors and sum over the letters that are not in the output.

    Channels that are summed over meet those of the other tensor and end; those of free dimensions go on. A weight
    takes in channels along the summed letters and produces new ones along its free ones.
    """
    shape = flow.shape(node)
    weights = [value for value in values if value.parts and value.size > 1]
    others = [value for value in values if not (value.parts and value.size > 1)]
    if not others:  # a product of parameters is a weight that no single parameter holds
        for value in values:
            flow.keep(value, f"{flow.place(node)} multiplies parameters with each other")
        return Value(shape, rigid=f"{flow.place(node)} multiplies parameters with each other")
    because = f"{flow.place(node)} meets a tensor of fixed size"
    results: list[tuple[str, Numbers, Any, str]] = []  # letter, labels, zero, unzero
    done: set[tuple[int, str]] = set()
    for here, value in enumerate(values):
        if not value.labelled:
            continue
        letter = subscripts[here][value.axis]  # type: ignore[index]
        other, own = values[1 - here], subscripts[1 - here]
        labels = value.labels
        partner: Numbers | None = None
        zero = value.zero
        if letter in own and (1 - here, letter) not in done:
            place = own.index(letter)
            if other.shape[place] != len(labels) and 1 in (other.shape[place], len(labels)):
                partner = None  # broadcast
            elif other in weights:
                partner = flow.labels_of(other, place, "consumes" if letter not in out else "carries")
                partner = np.full(len(labels), NONE) if partner is None else partner
            elif other.labelled and other.axis == place:
                partner = other.labels
                zero = zero | other.zero
                done.add((here, letter))
            else:
                partner = np.full(len(labels), NONE)
            if partner is not None:
                labels = flow.labels.match(labels, partner, because)
        elif letter in own:
            continue  # seen from the other side
        if letter not in out:
            flow.live(node, value.replaced(zero=zero))
        else:
            results.append((letter, labels, zero, value.unzero))
    for weight in weights:
        where = values.index(weight)
        free = [letter for letter in subscripts[where] if letter not in subscripts[1 - where] and letter in out]
        for letter in free:
            made = flow.labels_of(weight, subscripts[where].index(letter), "produces")
            if made is not None:
                results.append((letter, made, np.full(len(made), bool(weight.zero.all())), flow.place(node)))
        for place, letter in enumerate(subscripts[where]):  # a fixed input is not cut
            if letter not in free and not any(v.labelled for v in others):
                flow.labels_of(weight, place, "consumes")
    origins = flow.layer(weights[0], *others) if weights else flow.join(node, "matmul", values)
    return _one_axis(flow, node, Value(shape, origins=origins), results, out)


def _one_axis(
    flow: Flow, node: fx.Node, value: Value, results: Sequence[tuple[str, Numbers, Any, str]], out: str
) -> Value:
    """Return the value with the channels of its one letter; where there are several the last come first and stay."""
    if not results:
        return value
    *rest, (letter, labels, zero, unzero) = results
    if rest:  # channels on two dimensions: the ones that came in go on, the ones made here are fixed
        letter, labels, zero, unzero = results[0]
        because = f"{flow.place(node)} acts across other dimensions than the channels"
        same = [one for one in results[1:] if one[0] == letter]
        for _, more, _, _ in results[1:]:
            flow.labels.keep(more, because) if not same else flow.labels.tie(labels, more)
    axis = out.index(letter)
    made = value.replaced(axis=axis, labels=labels, zero=zero, unzero=unzero)
    return made if rest else made.replaced(source=made.spread())


def biased(flow: Flow, node: fx.Node, value: Value, weight: Value, bias: Value | None, axis: int) -> Value:
    """Add a bias that runs along an axis of a layer's output."""
    if bias is None:
        return value
    if not value.labelled or not bias.parts:
        return flow.refuse(node, f"{flow.place(node)} has a bias that is no parameter") if value.labelled else value
    own = flow.labels_of(bias, len(bias.shape) - 1, "produces")
    flow.owned.setdefault(layer_of(bias.parts[0].path), set()).update(bias.attached if bias.size > 1 else ())
    if value.axis != axis:  # the channels pass through a layer along another dimension, where the bias revives them
        rows = flow.labels_of(weight, 0, "produces") if weight.parts else None
        for one in (own, rows):
            if one is not None:
                flow.labels.keep(one, f"{flow.place(node)} acts across other dimensions than the channels")
        if own is not None and rows is not None and len(own) == len(rows):
            flow.labels.tie(own, rows)
        return value.replaced(zero=np.zeros_like(value.zero), unzero=flow.place(node), source=None)
    if own is not None:
        flow.labels.tie(value.labels, own)
        if weight.parts:
            flow.biases[weight.parts[0].path] = bias.parts[0].path
    return value


# -- convolutions ------------------------------------------------------------------------------------


@rule("conv1d", "conv2d", "conv3d", "convolution")
def convolution(flow: Flow, node: fx.Node, given: Given) -> Any:
    """Take in channels along dimension 1 of the weight, produce new ones along dimension 0."""
    if given.get("transposed"):
        return transposed(flow, node, given)
    x, weight, bias, groups = given["input"], given["weight"], given.get("bias"), given["groups"]
    axis = len(x.shape) - len(weight.shape) + 1
    if not weight.parts:
        return flow.refuse(node, f"{flow.place(node)} has a weight that is no parameter")
    depthwise = groups > 1 and weight.shape[1] == 1 and groups == x.shape[axis]
    along = x.labelled and x.axis == axis
    role: Any = "carries" if depthwise and along else "produces"
    made = flow.labels_of(weight, 0, role)
    if made is None:
        return flow.refuse(node, f"{flow.place(node)} has one weight for all channels")
    if x.labelled and not along:
        flow.keep(x, f"{flow.place(node)} acts across other dimensions than the channels")
    if depthwise:
        many = len(made) // groups
        labels = x.labels if along else np.full(groups, NONE)
        flow.labels.match(made, np.repeat(labels, many), f"{flow.place(node)} has as many channels as its input")
    else:
        taken = flow.labels_of(weight, 1, "consumes")
        taken = np.full(weight.shape[1], NONE) if taken is None else taken
        if along:
            flow.labels.match(x.labels, np.tile(taken, groups), f"{flow.place(node)} has a fixed input")
        if groups > 1:
            rows = made.reshape(groups, -1)
            flow.labels.tie(rows[:1], rows)
    if along:
        flow.live(node, x)
    value = Value(
        flow.shape(node), axis, made, np.full(len(made), bool(weight.zero.all())), flow.place(node),
        origins=flow.layer(weight, x),
    )  # fmt: skip
    value = value.replaced(source=value.spread())
    return biased(flow, node, value, weight, bias, axis)


@rule("conv_transpose1d", "conv_transpose2d", "conv_transpose3d")
def transposed(flow: Flow, node: fx.Node, given: Given) -> Any:
    """Take in channels along dimension 0 of the weight, produce new ones along dimension 1."""
    x, weight, bias, groups = given["input"], given["weight"], given.get("bias"), given["groups"]
    axis = len(x.shape) - len(weight.shape) + 1
    if not weight.parts or groups > 1:
        what = "in groups" if groups > 1 else "with a weight that is no parameter"
        for place in (0, 1) if weight.parts else ():
            labels = flow.labels_of(weight, place, "produces")
            flow.labels.keep(np.zeros(0, np.int64) if labels is None else labels, f"{flow.place(node)} works {what}")
        return flow.refuse(node, f"{flow.place(node)} works {what}")
    taken, made = flow.labels_of(weight, 0, "consumes"), flow.labels_of(weight, 1, "produces")
    if taken is None or made is None:
        return flow.refuse(node, f"{flow.place(node)} has one weight for all channels")
    if x.labelled and x.axis == axis:
        flow.labels.match(x.labels, taken, f"{flow.place(node)} has a fixed input")
        flow.live(node, x)
    else:
        flow.keep(x, f"{flow.place(node)} acts across other dimensions than the channels")
    value = Value(
        flow.shape(node), axis, made, np.full(len(made), bool(weight.zero.all())), flow.place(node),
        origins=flow.layer(weight, x),
    )  # fmt: skip
    return biased(flow, node, value, weight, bias, axis)


@rule("embedding")
def embedding(flow: Flow, node: fx.Node, given: Given) -> Any:
    """Look up rows of a table: channels run along its dimension 1."""
    weight, indices = given["weight"], given["indices"]
    flow.keep(indices, f"{flow.place(node)} takes it for positions")
    made = flow.labels_of(weight, 1, "produces") if weight.parts else None
    if made is None:
        return flow.refuse(node, f"{flow.place(node)} has a table that is no parameter")
    shape = flow.shape(node)
    return Value(
        shape, len(shape) - 1, made, np.full(len(made), bool(weight.zero.all())), flow.place(node),
        origins=flow.layer(weight, indices),
    )  # fmt: skip


def letters(count: int, skip: int = 0) -> str:
    """Return different letters to name dimensions with."""
    return "".join(itertools.islice("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", skip, skip + count))
