"""What attention does to channels: whole heads by themselves, or slices of all heads and the scale of queries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import fx

from sdqviz.pruning.channels.flow import Flow, Given, rule
from sdqviz.pruning.channels.labels import NONE, Numbers, Value, leaves


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


def keep_queries(flow: Flow) -> None:
    """Keep queries that cannot be scaled when their heads get narrower.

    They go elsewhere too, or their weights are quantized and stay on their levels.
    """
    for node, path in flow.queries:
        if len(flow.uses[path]) > 1 or not _only_asked(flow, node, path):
            because = f"{flow.place(node)} scales by the width of a head what is used elsewhere too"
            flow.labels.keep(flow.labels.blocks[path, 0].labels, because)
    for path in flow.rescaled:
        if any(flow.uses.get(path, ())):
            because = "attention scales by the width of a head, which a quantized weight cannot follow"
            flow.labels.keep(flow.labels.blocks[path, 0].labels, because)


def _only_asked(flow: Flow, attention: fx.Node, path: str) -> bool:
    """Whether the rows that make queries go nowhere else, on the way from their layer to the attention."""
    start = flow.labels.blocks[path, 0].start
    rows = start + flow.rescaled[path]
    below, here = attention, attention.all_input_nodes[0]
    beside = [value.source for value in flow.operands(attention)[1:] if value.source is not None]
    if any(np.isin(source.numpy() // 2, rows).any() for source in beside):  # keys or values are the queries
        return False
    while True:
        for user in here.users:
            for value in leaves(flow.values.get(user)) if user is not below else ():
                if value.source is None or np.isin(value.source.numpy() // 2, rows).any():
                    return False
        if any(value.parts for value in flow.operands(here)):
            return True
        below, here = here, here.all_input_nodes[0]
