"""What operations without weights do to channels: movements of entries, windows over space, sums, and joins."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx

from sdqviz.pruning.channels.flow import Flow, Given, rule
from sdqviz.pruning.channels.labels import NONE, Part, Value

# -- the same tensor ---------------------------------------------------------------------------------


@rule(
    "contiguous", "clone", "detach", "alias", "to", "_to_copy", "type_as", "lift_fresh_copy", "lift_fresh", "dropout",
    "feature_dropout", "alpha_dropout", "native_dropout", "identity", "positive",
)  # fmt: skip
def same(flow: Flow, node: fx.Node, given: Given) -> Any:
    """Give the first operand as it is."""
    return flow.operands(node)[0]


@rule("copy")
def copy(flow: Flow, node: fx.Node, given: Given) -> Any:
    """Write over a tensor: the channels of both stay."""
    for value in flow.operands(node):
        flow.keep(value, f"{flow.place(node)} writes over a tensor")
    return given["self"]


@rule("zero", "fill")
def filled(flow: Flow, node: fx.Node, given: Given) -> Any:
    """Write one number everywhere: into a part of a parameter's copy, which stays laid out as it is."""
    value = given["self"]
    if not value.labelled and value.parts:
        return value
    return flow.unknown(node)


@rule("zeros_like", "ones_like", "full_like", "empty_like", "rand_like", "randn_like")
def like(flow: Flow, node: fx.Node, given: Given) -> Any:
    """Give a tensor with the size, and so the channels, of another."""
    value = given["self"]
    zeros = node.target._schema.name == "aten::zeros_like"  # type: ignore[union-attr]
    if not value.labelled:
        return value.plain(value.shape)
    return Value(value.shape, value.axis, value.labels, np.full(len(value.labels), zeros), flow.place(node))


@rule(
    "zeros", "ones", "full", "empty", "arange", "linspace", "rand", "randn", "eye", "new_zeros", "new_ones", "new_full",
    "new_empty", "scalar_tensor", "_assert_tensor_metadata", "_assert_async",
)  # fmt: skip
def created(flow: Flow, node: fx.Node, given: Given) -> Any:
    """Give a tensor of a size written down."""
    return Value(flow.shape(node)) if isinstance(node.meta.get("val"), Tensor) else None


# -- movements ---------------------------------------------------------------------------------------


@rule(
    "view", "reshape", "_unsafe_view", "flatten", "unflatten", "permute", "transpose", "t", "numpy_T", "movedim",
    "moveaxis", "swapaxes", "swapdims", "squeeze", "unsqueeze", "expand", "broadcast_to", "repeat",
    "tile", "flip", "repeat_interleave", "view_as", "reshape_as", "ravel", "mT", "adjoint", "pixel_unshuffle",
    "unfold_copy", "diagonal", "atleast_2d", "atleast_3d",
)  # fmt: skip
def move(flow: Flow, node: fx.Node, given: Given) -> Any:
    """Move entries to other places; their labels move with them."""
    return moved(flow, node, flow.operands(node)[0])


@rule("expand_as")
def expand_as(flow: Flow, node: fx.Node, given: Given) -> Any:
    """Spread a tensor to the size of another, and so along the channels of that."""
    value, other = given["self"], given["other"]
    back = (other.axis or 0) - len(other.shape)
    if not other.labelled or value.labelled or value.parts or (len(value.shape) >= -back and value.shape[back] > 1):
        return moved(flow, node, value)
    zero = np.zeros(len(other.labels), bool)
    return Value(other.shape, other.axis, other.labels, zero, flow.place(node), origins=value.origins)


@rule("glu")
def glu(flow: Flow, node: fx.Node, given: Given) -> Any:
    """Multiply the first half with the sigmoid of the second: channels at the same place of both go together."""
    value = given["self"]
    if not value.labelled or given["dim"] % len(value.shape) != value.axis:
        return flow.refuse(node, f"{flow.place(node)} joins halves that are no channels")
    first, second = np.split(value.labels, 2)
    labels = flow.labels.match(first, second, f"{flow.place(node)} joins the channels with a tensor of fixed size")
    return value.replaced(shape=flow.shape(node), labels=labels, zero=np.split(value.zero, 2)[0], source=None)


def moved(flow: Flow, node: fx.Node, value: Value) -> Any:
    """Apply the operation of a node to the labels of its first operand."""
    if value.parts and value.size > 1:
        parts = tuple(Part(p.path, p.shape, _applied(node, p.moved()), p.trained) for p in value.parts)
        shape = tuple(parts[0].index.shape) if parts[0].index is not None else value.shape
        return value.replaced(shape=shape, parts=parts, number=None)
    if not value.labelled:
        shapes = [value.plain(shape) for shape in flow.shapes(node)]
        return shapes if isinstance(node.meta["val"], tuple | list) else shapes[0].replaced(rigid=value.rigid)
    result = flow.settled(node, _applied(node, value.spread()), value)
    return result.replaced(source=None if value.source is None else _applied(node, value.source))


def _applied(node: fx.Node, tensor: Tensor) -> Any:
    """Run a movement on another tensor than its first operand; positions among its other operands stay."""

    def argument(given: Any) -> Any:
        if isinstance(given, fx.Node):
            example = given.meta.get("val")
            return torch.empty(1).expand(example.shape) if isinstance(example, Tensor) else example
        return [argument(one) for one in given] if isinstance(given, tuple | list) else given

    rest = [argument(one) for one in node.args[1:]]
    named = {key: argument(one) for key, one in node.kwargs.items()}
    try:
        return node.target(tensor, *rest, **named)  # type: ignore[operator]
    except RuntimeError:  # a view that the strides of labels, which repeat, do not allow
        return node.target(tensor.contiguous(), *rest, **named)  # type: ignore[operator]


@rule("select", "slice", "narrow")
def cut_out(flow: Flow, node: fx.Node, given: Given) -> Any:
    """Take some entries along a dimension: positions written down, which channels along it cannot follow."""
    value = given["self"]
    whole = flow.shape(node) == value.shape
    if value.labelled and not whole and given["dim"] % len(value.shape) == value.axis:
        flow.keep(value, f"{flow.place(node)} takes channels by their number")
    return moved(flow, node, value)


@rule("roll")
def roll(flow: Flow, node: fx.Node, given: Given) -> Any:
    """Move entries around a dimension."""
    value = given["self"]
    dims = [dim % len(value.shape) for dim in given["dims"] or range(len(value.shape))]
    if value.labelled and value.axis in dims:
        flow.keep(value, f"{flow.place(node)} moves channels to others' places")
    return moved(flow, node, value)


@rule("index_select", "index", "gather", "take_along_dim")
def index(flow: Flow, node: fx.Node, given: Given) -> Any:
    """Take entries by computed positions: allowed along other dimensions than the channels."""
    value = given["self"]
    looked = [place for place, one in enumerate(given.get("indices") or ()) if one is not None]
    if not value.labelled and value.parts and len(looked) == 1 and given["indices"][looked[0]].number is not None:
        indices = [None if one is None else one.number for one in given["indices"]]
        parts = tuple(
            Part(p.path, p.shape, torch.ops.aten.index.Tensor(p.moved(), indices), p.trained) for p in value.parts
        )
        return value.replaced(shape=flow.shape(node), parts=parts, number=None)
    if not value.labelled:
        flow.keep(value, f"{flow.place(node)} looks entries of the parameter up")
        rigid = value.rigid or (f"{flow.place(node)} looks entries of a parameter up" if value.parts else "")
        return value.plain(flow.shape(node)).replaced(rigid=rigid)
    name = node.target._schema.name  # type: ignore[union-attr]
    if name == "aten::index_select" and given["dim"] % len(value.shape) != value.axis:
        return value.replaced(shape=flow.shape(node), source=None)
    together = looked == list(range(looked[0], looked[0] + len(looked))) if looked else False
    if name == "aten::index" and together and value.axis not in looked:  # apart, their entries would come first
        gained = len(flow.shape(node)) - len(value.shape)
        axis = value.axis + (gained if looked[0] < value.axis else 0)  # type: ignore[operator]
        return value.replaced(shape=flow.shape(node), axis=axis, source=None)
    return flow.refuse(node, f"{flow.place(node)} takes entries by computed positions")


@rule("chunk", "split", "split_with_sizes", "unbind", "tensor_split", "unsafe_chunk", "unsafe_split")
def split(flow: Flow, node: fx.Node, given: Given) -> Any:
    """Cut a tensor into pieces; channels are cut at their places, the same in each of equal pieces."""
    value = given["self"]
    shapes = flow.shapes(node)
    dim = given["dim"] % len(value.shape)
    if value.parts and value.size > 1:
        pieces = [_applied(node, part.moved()) for part in value.parts]
        return [
            value.replaced(
                shape=shapes[k], number=None,
                parts=tuple(Part(p.path, p.shape, pieces[j][k], p.trained) for j, p in enumerate(value.parts)),
            )
            for k in range(len(shapes))
        ]  # fmt: skip
    if not value.labelled:
        return [value.plain(shape) for shape in shapes]
    labels = value.labels
    if dim == value.axis:
        if len({shape for shape in shapes}) == 1 and node.target._schema.name != "aten::unbind":  # type: ignore[union-attr]
            rows = labels.reshape(len(shapes), -1)
            flow.labels.tie(rows[:1], rows)
            flow.labels.keep(np.where((rows < 0).any(axis=0), rows.max(axis=0), NONE), f"{flow.place(node)} is uneven")
        else:
            flow.keep(value, f"{flow.place(node)} cuts the channels into unequal pieces")
    sources = _applied(node, value.source) if value.source is not None else [None] * len(shapes)
    pieces = _applied(node, value.spread())
    return [
        flow.settled(node, piece, value).replaced(source=source) for piece, source in zip(pieces, sources, strict=True)
    ]


@rule("cat", "concat", "concatenate")
def cat(flow: Flow, node: fx.Node, given: Given) -> Any:
    """Put tensors behind each other; along another dimension than the channels these go together."""
    shape = flow.shape(node)
    dim = given.get("dim", 0) % len(shape)
    values = [value for value in given["tensors"] if value.size]
    labelled = [value for value in values if value.labelled]
    origins = flow.join(node, "cat", values)
    attached = frozenset[str]().union(*(value.attached for value in values))
    if not labelled and len(shape) == 1 and any(value.parts for value in values):
        return _behind_each_other(values, Value(shape, origins=origins, attached=attached))
    if not labelled:
        return Value(shape, origins=origins, attached=attached)
    axes = {value.axis for value in labelled}
    if len(axes) != 1:
        return flow.refuse(node, f"{flow.place(node)} joins channels along different dimensions")
    axis = labelled[0].axis or 0
    ready = [flow.carried(value, axis) if value.parts else value for value in values]
    reason = next((value.unzero for value in labelled if not value.zero.all()), flow.place(node))
    if axis == dim:
        labels = np.concatenate([v.labels if v.labelled else np.full(v.shape[dim], NONE) for v in ready])
        zero = np.concatenate([v.zero if v.labelled else np.zeros(v.shape[dim], bool) for v in ready])
        return Value(shape, axis, labels, zero, reason, origins=origins, attached=attached)
    common = ready[0].labels if ready[0].labelled else np.full(shape[axis], NONE)
    zero = np.ones(shape[axis], bool)
    for value in ready:
        own = value.labels if value.labelled else np.full(shape[axis], NONE)
        common = flow.labels.match(common, own, f"{flow.place(node)} joins the channels with a tensor of fixed size")
        zero &= value.zero if value.labelled else False
    return Value(shape, axis, common, zero, reason, origins=origins, attached=attached)


def _behind_each_other(values: Sequence[Value], joined: Value) -> Value:
    """Return parameters put behind each other, each with its stretch."""
    parts, begin = [], 0
    for value in values:
        for part in value.parts:
            index = torch.full(joined.shape, -1)
            index[begin : begin + value.size] = part.moved()
            parts.append(Part(part.path, part.shape, index, part.trained))
        begin += value.size
    zero = np.array([all(value.zero.all() for value in values if value.parts)])
    rigid = next((value.rigid for value in values if value.rigid), "")
    return joined.replaced(parts=tuple(parts), zero=zero, rigid=rigid)


@rule("stack")
def stack(flow: Flow, node: fx.Node, given: Given) -> Any:
    """Put tensors behind each other along a new dimension: their channels go together."""
    shape = flow.shape(node)
    dim = given.get("dim", 0) % len(shape)
    values = given["tensors"]
    labelled = [value for value in values if value.labelled]
    if len({value.axis for value in values}) != 1 or not labelled:
        return flow.refuse(node, f"{flow.place(node)} joins channels along different dimensions")
    labels, zero = labelled[0].labels, labelled[0].zero
    for value in labelled[1:]:
        labels = flow.labels.match(labels, value.labels, f"{flow.place(node)} meets a tensor of fixed size")
        zero = zero & value.zero
    axis = labelled[0].axis + (dim <= labelled[0].axis)  # type: ignore[operator]
    return Value(shape, axis, labels, zero, flow.place(node), origins=flow.join(node, "cat", values))


@rule("pad", "constant_pad_nd", "reflection_pad1d", "reflection_pad2d", "replication_pad1d", "replication_pad2d")
def pad(flow: Flow, node: fx.Node, given: Given) -> Any:
    """Add entries at the borders: channels beyond them belong to none."""
    value, widths = given["self"], given.get("pad", given.get("padding"))
    shape = flow.shape(node)
    if not value.labelled:
        return value.plain(shape).replaced(rigid="it is padded" if value.parts else "")
    back = len(value.shape) - 1 - value.axis  # type: ignore[operator]
    before, after = widths[2 * back : 2 * back + 2] if 2 * back < len(widths) else (0, 0)
    fill = given.get("value") or 0
    keeps_zero = not fill or not any(widths)
    if before < 0 or after < 0 or (given.get("mode", "constant") != "constant" and (before or after)):
        return flow.refuse(node, f"{flow.place(node)} changes the number of channels")
    labels = np.concatenate([np.full(before, NONE), value.labels, np.full(after, NONE)])
    zero = np.concatenate([np.zeros(before, bool), value.zero & keeps_zero, np.zeros(after, bool)])
    return value.replaced(
        shape=shape, labels=labels, zero=zero, source=None, unzero=value.unzero if keeps_zero else flow.place(node)
    )


@rule("pixel_shuffle", "channel_shuffle")
def shuffle(flow: Flow, node: fx.Node, given: Given) -> Any:
    """Move blocks of channels to places, or mix the channels of several groups: blocks stay whole."""
    value = given["self"]
    if value.labelled and value.axis != len(value.shape) - 3:
        return flow.refuse(node, f"{flow.place(node)} has channels along other dimensions")
    if not value.labelled:
        return value.plain(flow.shape(node))
    if "upscale_factor" in given:
        rows = value.labels.reshape(-1, given["upscale_factor"] ** 2).T
        flow.labels.tie(rows[:1], rows)
        zero = value.zero.reshape(rows.shape[::-1]).all(axis=1)
        return value.replaced(shape=flow.shape(node), labels=rows[0], zero=zero, source=None)
    rows = value.labels.reshape(given["groups"], -1)
    flow.labels.tie(rows[:1], rows)
    zero = np.broadcast_to(value.zero.reshape(rows.shape).all(axis=0), rows.shape)
    return value.replaced(labels=rows.T.reshape(-1), zero=zero.T.reshape(-1), source=None)


# -- windows over space ------------------------------------------------------------------------------


@rule(
    "max_pool1d", "max_pool2d", "max_pool3d", "avg_pool1d", "avg_pool2d", "avg_pool3d", "adaptive_avg_pool1d",
    "adaptive_avg_pool2d", "adaptive_avg_pool3d", "adaptive_max_pool1d", "adaptive_max_pool2d", "adaptive_max_pool3d",
    "max_pool2d_with_indices", "_adaptive_avg_pool2d", "upsample_nearest1d", "upsample_nearest2d",
    "upsample_nearest3d", "_upsample_nearest_exact2d", "upsample_linear1d", "upsample_bilinear2d",
    "upsample_bicubic2d", "upsample_trilinear3d", "_upsample_bilinear2d_aa", "_upsample_bicubic2d_aa",
)  # fmt: skip
def window(flow: Flow, node: fx.Node, given: Given) -> Any:
    """Combine neighbours in space, each channel by itself; what zero windows give is zero."""
    value = flow.operands(node)[0]
    name = node.target._schema.name  # type: ignore[union-attr]
    space = next(int(digit) for digit in name if digit.isdigit())
    shapes = flow.shapes(node)
    if value.labelled and value.axis >= len(value.shape) - space:  # type: ignore[operator]
        return flow.refuse(node, f"{flow.place(node)} acts across the channels")
    results = [value.replaced(shape=shape, source=None) for shape in shapes]
    return results if isinstance(node.meta["val"], tuple | list) else results[0]


# -- sums and other summaries ------------------------------------------------------------------------

SUMS = ("sum", "linalg_vector_norm", "norm", "frobenius_norm")
"""Summaries to which zeros add nothing."""


@rule(
    *SUMS, "mean", "amax", "amin", "var", "std", "logsumexp", "max", "min", "prod", "median", "argmax", "argmin", "any",
    "all", "var_mean", "std_mean",
)  # fmt: skip
def summary(flow: Flow, node: fx.Node, given: Given) -> Any:
    """Summarise over some dimensions; over the channels only by sums, to which removed ones add nothing."""
    operands = flow.operands(node)
    value = operands[0]
    name = node.target._schema.name.removeprefix("aten::")  # type: ignore[union-attr]
    if len(operands) > 1 or (given.get("dim") is None and name in ("max", "min") and "other" in given):
        return flow.unknown(node)
    if not value.labelled:
        flow.keep(value, f"{flow.place(node)} summarises the parameter")
        rigid = value.rigid or (f"{flow.place(node)} summarises a parameter" if value.parts else "")
        results = [value.plain(shape).replaced(rigid=rigid) for shape in flow.shapes(node)]
        return results if isinstance(node.meta["val"], tuple | list) else results[0]
    dims = given.get("dim")
    over = range(len(value.shape)) if dims is None or dims == [] else [dims] if isinstance(dims, int) else dims
    gone = sorted({dim % len(value.shape) for dim in over})
    if value.axis in gone:
        if name not in SUMS:
            return flow.refuse(node, f"{flow.place(node)} summarises over the channels")
        flow.live(node, value)
        return value.plain(flow.shape(node))
    axis = value.axis
    if not given.get("keepdim", False):
        axis -= sum(dim < axis for dim in gone)  # type: ignore[operator, misc]
    keeps_zero = name not in ("logsumexp", "argmax", "argmin", "prod")
    results = [
        value.replaced(
            shape=shape, axis=axis, zero=value.zero & keeps_zero, source=None,
            unzero=value.unzero if keeps_zero else flow.place(node),
        )
        for shape in flow.shapes(node)
    ]  # fmt: skip
    return results if isinstance(node.meta["val"], tuple | list) else results[0]


@rule("softmax", "log_softmax", "_softmax", "_log_softmax", "cumsum", "cumprod", "softmin")
def along(flow: Flow, node: fx.Node, given: Given) -> Any:
    """Act along one dimension, which must not be that of the channels."""
    value = given["self"]
    if not value.labelled:
        return value.plain(value.shape)
    if given["dim"] % len(value.shape) == value.axis:
        return flow.refuse(node, f"{flow.place(node)} acts across the channels")
    keeps_zero = node.target._schema.name in ("aten::cumsum", "aten::cumprod")  # type: ignore[union-attr]
    return value.replaced(zero=value.zero & keeps_zero, unzero=flow.place(node), source=None)
