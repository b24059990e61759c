"""What normalising layers do to channels."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import fx

from sdqviz.pruning.channels.flow import Flow, Given, rule
from sdqviz.pruning.channels.labels import NONE, Numbers, Value
from sdqviz.pruning.removal import layer_of

NORMS = ("LayerNorm", "RMSNorm", "GroupNorm", "LayerNorm2d")
"""Classes of norms over channels whose removed channels can be counted as zeros."""


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
