"""What layers with weights do to channels: dense, convolutional, normalising, embedding, and products of tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import fx

from sdqviz.pruning.channels.flow import Flow, Given, letters, rule
from sdqviz.pruning.channels.labels import NONE, Numbers, Value
from sdqviz.pruning.removal import layer_of

NORMS = ("LayerNorm", "RMSNorm", "GroupNorm", "LayerNorm2d")
"""Classes of norms over channels whose removed channels can be counted as zeros."""


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


@rule("scaled_dot_product_attention")
def attention(flow: Flow, node: fx.Node, given: Given) -> Any:
    """softmax(q kᵀ/√width) v: widths of q and k go together; what comes out has the channels of v."""
    query, key, value = given["query"], given["key"], given["value"]
    mask = given.get("attn_mask")
    beside = [one for one in (query, key, value) if one.labelled and one.axis != len(one.shape) - 1]
    if beside and mask is not None and mask.parts and mask.size > 1 and len(mask.shape) > 2:
        mask = flow.carried(mask, len(mask.shape) - 3)
    if beside and all(
        one.axis == len(one.shape) - 3 for one in (*beside, *([mask] if mask is not None else ())) if one.labelled
    ):
        return _by_head(flow, node, [query, key, value], mask)
    if beside or (mask is not None and mask.labelled):
        return flow.refuse(node, f"{flow.place(node)} has channels along other dimensions than the last")
    because = f"{flow.place(node)} meets a tensor of fixed size"
    if query.labelled or key.labelled:
        none = np.full(query.shape[-1], NONE)
        first, second = (one.labels if one.labelled else none for one in (query, key))
        flow.labels.match(first, second, because)
        if query.labelled and key.labelled:
            flow.live(node, query.replaced(zero=query.zero | key.zero))
        if given.get("scale") is None:
            _scaled_by_width(flow, node, query)
    origins = flow.join(node, "attention", (query, key, value))
    if not value.labelled:
        return Value(flow.shape(node), origins=origins)
    return value.replaced(shape=flow.shape(node), axis=len(flow.shape(node)) - 1, origins=origins, source=None)


def _by_head(flow: Flow, node: fx.Node, given: Sequence[Value], mask: Value | None) -> Any:
    """Whole heads: each attends by itself, and gives zero where its values are zero."""
    because = f"{flow.place(node)} meets a tensor of fixed size"
    heads = given[0].shape[-3]
    labels: Numbers = np.full(heads, NONE)
    for place, one in enumerate([*given, *([mask] if mask is not None and mask.labelled else [])]):
        own = one.labels if one.labelled and one.axis == len(one.shape) - 3 else np.full(one.shape[-3], NONE)
        own = np.repeat(own, heads // len(own))  # several heads of queries share keys and values
        labels = own if place == 0 else flow.labels.match(labels, own, because)
    value = given[2]
    zero = np.repeat(value.zero, heads // len(value.zero)) if value.labelled else np.zeros(heads, bool)
    shape = flow.shape(node)
    origins = flow.join(node, "attention", given)
    return Value(shape, len(shape) - 3, labels, zero, value.unzero, origins=origins)


def _scaled_by_width(flow: Flow, node: fx.Node, query: Value) -> None:
    """Note which rows of which weight made q: fewer of them would be scaled by another width."""
    rows = np.unique(query.source.numpy()) // 2 if query.source is not None else np.zeros(0, np.int64)
    for block in flow.labels.blocks.values():
        if block.role == "produces" and rows.size and block.start <= rows[0] and rows[-1] < block.start + block.size:
            flow.rescaled[block.path] = rows - block.start
            flow.queries.append((node, block.path))
            return
    flow.keep(query, f"{flow.place(node)} scales by the width of a head")


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


# -- norms ---------------------------------------------------------------------------------------------


@rule("batch_norm", "instance_norm", "_native_batch_norm_legit_no_training")
def batch_norm(flow: Flow, node: fx.Node, given: Given) -> Any:
    """Shift and scale each channel by itself."""
    x, tensors = given["input"], [given.get(name) for name in ("weight", "bias", "running_mean", "running_var")]
    present = [tensor for tensor in tensors if tensor is not None]
    labels = x.labels if x.labelled and x.axis == 1 else np.full(x.shape[1], NONE)
    if x.labelled and x.axis != 1:
        flow.keep(x, f"{flow.place(node)} acts across other dimensions than the channels")
    for tensor in present:
        own = flow.labels_of(tensor, 0, "carries") if tensor.parts else None
        own = np.full(x.shape[1], NONE) if own is None else own
        labels = flow.labels.match(labels, own, f"{flow.place(node)} meets a tensor of fixed size")
    if given.get("running_mean") is None:  # statistics of the input itself, which are zero for zeros
        zero = x.zero if given.get("weight") is None else np.ones(len(labels), bool)
    else:
        zero = np.full(len(labels), given.get("weight") is not None)
    return _normed(flow, node, x, given.get("weight"), 1, labels, zero)


def _normed(flow: Flow, node: fx.Node, x: Value, weight: Value | None, axis: int, labels: Numbers, zero: Any) -> Value:
    """Return what a norm gives: a vertex of its own if it has a weight."""
    origins = flow.layer(weight, x) if weight is not None and weight.parts else x.origins
    if not x.labelled:
        return Value(x.shape, origins=origins)
    return Value(x.shape, axis, labels, zero, flow.place(node), origins=origins)


@rule("layer_norm", "rms_norm")
def layer_norm(flow: Flow, node: fx.Node, given: Given) -> Any:
    """Shift and scale by the moments over the last dimensions; removed channels count as zeros in them."""
    x, over = given["input"], given["normalized_shape"]
    weight, bias = given.get("weight"), given.get("bias")
    first = len(x.shape) - len(over)
    if not x.labelled or x.axis < first:
        for tensor in (weight, bias):
            if tensor is not None:
                _fixed(flow, node, tensor)
        zero = x.zero if bias is None else np.zeros_like(x.zero)
        return _normed(flow, node, x, weight, x.axis or 0, x.labels, zero)
    return _over_channels(flow, node, x, weight, bias, x.axis - first, int(np.prod(over)))


@rule("group_norm")
def group_norm(flow: Flow, node: fx.Node, given: Given) -> Any:
    """Shift and scale by the moments over groups of channels, of which each keeps the same number."""
    x, groups = given["input"], given["num_groups"]
    if not x.labelled or x.axis != 1:
        for tensor in (given.get("weight"), given.get("bias")):
            if tensor is not None:
                _fixed(flow, node, tensor)
        return flow.refuse(node, f"{flow.place(node)} acts across other dimensions than the channels")
    if len(x.labels) > groups:
        rows = x.labels.reshape(groups, -1)
        flow.labels.tie(rows[:1], rows)
        flow.labels.keep(np.where((rows < 0).any(axis=0), rows.max(axis=0), NONE), f"{flow.place(node)} is uneven")
    return _over_channels(flow, node, x, given.get("weight"), given.get("bias"), 0, len(x.labels))


def _fixed(flow: Flow, node: fx.Node, tensor: Value) -> None:
    for place in range(len(tensor.shape)):
        own = flow.labels_of(tensor, place, "carries")
        if own is not None:
            flow.labels.keep(own, f"{flow.place(node)} acts across other dimensions than the channels")


def _over_channels(
    flow: Flow, node: fx.Node, x: Value, weight: Value | None, bias: Value | None, dim: int, entries: int
) -> Value:
    """Norm over channels: they must be zero when removed, and the module one that can count them as zeros."""
    flow.live(node, x)
    labels = x.labels
    for tensor in (weight, bias):
        own = flow.labels_of(tensor, dim, "carries") if tensor is not None and tensor.parts else None
        if own is not None:
            labels = flow.labels.match(labels, own, f"{flow.place(node)} meets a tensor of fixed size")
    name = layer_of(weight.parts[0].path) if weight is not None and weight.parts else ""
    if flow.classes.get(name) not in NORMS:
        flow.keep(x, f"{flow.place(node)} takes its moments over the channels")
    else:
        flow.norms[name] = (weight.parts[0].path, entries)  # type: ignore[union-attr]
    return _normed(flow, node, x, weight, x.axis or 0, labels, np.full(len(labels), weight is not None))


@rule("prelu")
def prelu(flow: Flow, node: fx.Node, given: Given) -> Any:
    """Scale negative entries channel by channel; zero stays zero."""
    x, weight = given["self"] if "self" in given else given["input"], given["weight"]
    if weight.size == 1:
        return x.replaced(source=None)
    labels = x.labels if x.labelled and x.axis == 1 else np.full(weight.size, NONE)
    own = flow.labels_of(weight, 0, "carries")
    because = f"{flow.place(node)} meets a tensor of fixed size"
    labels = flow.labels.match(labels, np.full(weight.size, NONE) if own is None else own, because)
    return x.replaced(labels=labels, source=None) if x.labelled and x.axis == 1 else flow.refuse(node, because)
