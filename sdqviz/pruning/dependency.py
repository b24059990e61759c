"""Which channels of a network must be removed together: the dependency graph, read from any torch module.

The network is run once with its operations recorded, see `sdqviz.pruning.tracing`; channels are then followed from
operation to operation.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from sdqviz.error import InputError
from sdqviz.pruning import removal, tracing  # the first three register their rules
from sdqviz.pruning.channels import entries as channel_entries  # the first three register their rules
from sdqviz.pruning.channels import layers as channel_layers
from sdqviz.pruning.channels import moves as channel_moves
from sdqviz.pruning.channels.flow import Flow
from sdqviz.pruning.channels.groups import Dependency, DependencyGraph, Group, gather, vertices

if TYPE_CHECKING:
    from sdqviz.networks.network import Network

__all__ = ["Dependency", "DependencyGraph", "Group", "channel_entries", "channel_layers", "channel_moves", "graph"]

WIDTH_TIED = {
    "MultiheadAttention": (
        ("in_proj_weight", "in_proj_weight"), ("q_proj_weight", "q_proj_weight"), ("k_proj_weight", "q_proj_weight"),
        ("v_proj_weight", "q_proj_weight"),
    ),
    "ShiftedWindowAttention": (("qkv.weight", "qkv.weight"),),
    "ShiftedWindowAttentionV2": (("qkv.weight", "qkv.weight"),),
}  # fmt: skip
"""Modules that compute the width of their heads from that of their input: whose rows follow whose columns."""

SCALED = {"MultiheadAttention": ("in_proj_weight", "q_proj_weight"), "ShiftedWindowAttention": ("qkv.weight",)}
"""Those that also scale queries by the width of a head; the first rows, as many as columns, make the queries."""


def graph(network: Network | nn.Module, example: Any = None, keep: Iterable[str] = ()) -> DependencyGraph:
    """Find the groups of a network.

    Parameters
    ----------
    network : Network or torch.nn.Module
        It is traced in evaluation mode and not changed.
    example : tensor, tuple or dict of tensors, optional
        Input as ``module(x)``, ``module(*x)`` or ``module(**x)``; a Network brings its own. Any batch size will do:
        channels are known from the weights, never from the input.
    keep : iterable of str
        Paths of modules or parameters whose channels must stay.

    Returns
    -------
    DependencyGraph
        Channels with something in their way are in groups that are not prunable and say why.

    Raises
    ------
    InputError
        If the network cannot be traced (the place is named), an operation is none on tensors, or a name in ``keep``
        is not in the network.

    Notes
    -----
    Fang et al., "DepGraph", arXiv 2301.12900; with quantizers merged into layers as in Qu et al., arXiv 2502.16638.
    A width that is written down in a network's own code cannot be seen in its trace; therefore one unit of every
    prunable group is removed on trial, and groups for which the network then fails, or gives something else than with
    zeros, are kept.

    Examples
    --------
    >>> chain = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    >>> print(graph(chain, torch.ones(1, 4)))
    Group 0: 3 units, prunable
      0.weight produces along dimension 0 (3 entries)
      0.bias produces along dimension 0 (3 entries)
      2.weight consumes along dimension 1 (3 entries)
    Group 2: 2 units, kept: the channels reach the output of the network
      2.weight produces along dimension 0 (2 entries)
      2.bias produces along dimension 0 (2 entries)
    """
    if isinstance(network, nn.Module):
        module, given = network, example
        if given is None:
            raise InputError("example must be given with a module to trace it, got none")
    else:
        module, given = network.module, network.example_input if example is None else example
    shadow = tracing.shadow(module)
    traced = tracing.trace(shadow, given)
    first = _first_paths(shadow)
    trained = {id(parameter) for parameter in shadow.parameters()}
    held = dict(shadow.named_parameters(remove_duplicate=False)) | dict(shadow.named_buffers(remove_duplicate=False))
    tensors = {name: (first[id(one)], one, id(one) in trained) for name, one in traced.held.items()}
    flow = Flow(tensors, dict(shadow.named_modules()), traced.constants)
    flow.run(traced.graph)
    _tie_widths(flow, shadow)
    flow.requantized()
    _keep_named(flow, shadow, keep)
    found = _graph(flow, {path: tuple(tensor.shape) for path, tensor in held.items()})
    failing = _failing(found, module, given)
    if failing:
        for place in failing:
            own = {(one.parameter, one.dim) for one in found.groups[place].dependencies if one.role != "consumes"}
            labels = [b.labels for b in flow.labels.blocks.values() if (b.path, b.dim) in own]
            flow.labels.keep(np.concatenate(labels), UNFIT)
        found = _graph(flow, found.shapes)
    return found


def _graph(flow: Flow, shapes: Mapping[str, tuple[int, ...]]) -> DependencyGraph:
    groups = gather(flow)
    used = {one.parameter for group in groups for one in group.dependencies}
    scaled = {path: tuple(int(row) for row in rows) for path, rows in flow.rescaled.items()}
    scaled |= {flow.biases[path]: rows for path, rows in scaled.items() if path in flow.biases}
    return DependencyGraph(
        groups, vertices(flow, groups), tuple(sorted(flow.edges)),
        {layer: tuple(sorted(numbers)) for layer, numbers in flow.owned.items() if numbers},
        {path: shapes[path] for path in sorted(used)},
        {name: entries for name, (_, entries) in flow.norms.items()},
        scaled,
    )  # fmt: skip


# -- whether the network's own code follows -----------------------------------------------------------

UNFIT = "the network's own code does not follow when its channels are removed"
"""Why a group is kept that the trial has failed."""

CLOSE = 1e-3
"""Largest difference between cut and masked outputs in the trial, relative to the largest output."""


def _failing(graph: DependencyGraph, module: nn.Module, example: Any) -> list[int]:
    """Remove the first unit of each prunable group on trial; return the groups for which the network then fails.

    A width that is written down in a network's own code cannot be seen in the trace.
    """
    candidates = [place for place in graph.prunable]
    bad: list[int] = []
    pending = [candidates] if candidates else []
    while pending:
        some = pending.pop()
        if _fits(graph, module, example, some):
            continue
        if len(some) == 1:
            bad.extend(some)
        else:
            pending += [some[: len(some) // 2], some[len(some) // 2 :]]
    return sorted(bad)


def _fits(graph: DependencyGraph, module: nn.Module, example: Any, places: Iterable[int]) -> bool:
    removed = {place: (0,) for place in places}
    try:
        with torch.no_grad():
            full, small = removal.trial(module, graph, removed)
            wanted, got = (tracing.tensors(tracing.call(one, tracing.copied(example))) for one in (full, small))
    except Exception:  # whatever the network's own code raises: it does not follow
        return False
    return len(got) == len(wanted) and all(_close(a, b) for a, b in zip(got, wanted, strict=True))


def _close(got: Tensor, wanted: Tensor) -> bool:
    if got.shape != wanted.shape:
        return False
    finite = torch.isfinite(wanted)
    if not torch.equal(finite, torch.isfinite(got)):
        return False
    difference, scale = (got - wanted)[finite].abs(), wanted[finite].abs()
    return not difference.numel() or bool(difference.max() <= CLOSE * scale.max())


def _first_paths(module: nn.Module) -> dict[int, str]:
    """Return the first path of each tensor; shared ones have several."""
    found: dict[int, str] = {}
    for path, tensor in [
        *module.named_parameters(remove_duplicate=False), *module.named_buffers(remove_duplicate=False)
    ]:  # fmt: skip
        found.setdefault(id(tensor), path)
    return found


# -- what the modules themselves ask for -------------------------------------------------------------


def _tie_widths(flow: Flow, module: nn.Module) -> None:
    """Tie rows of attention weights to their columns where the module computes one width from the other."""
    for path, part in module.named_modules():
        kind, prefix = type(part).__name__, f"{path}." if path else ""
        for made, taken in WIDTH_TIED.get(kind, ()):
            rows = flow.labels.blocks.get((f"{prefix}{made}", 0))
            columns = flow.labels.blocks.get((f"{prefix}{taken}", 1))
            if rows is None or columns is None:
                continue
            flow.labels.tie(rows.labels.reshape(-1, columns.size), columns.labels[None])
            if made in SCALED.get(kind, ()):
                flow.rescaled[rows.path] = np.arange(columns.size)


def _keep_named(flow: Flow, module: nn.Module, keep: Iterable[str]) -> None:
    names = [keep] if isinstance(keep, str) else list(keep)
    known = {path for path, _ in module.named_modules()} | set(_first_paths(module).values())
    for name in names:
        if name not in known or not name:
            raise InputError(f"keep must name modules or parameters of the network, got {name!r}")
        for block in flow.labels.blocks.values():
            exact = block.path == name
            if exact or (block.path.startswith(f"{name}.") and block.role != "consumes"):
                flow.labels.keep(block.labels, f"{name} was named to be kept")
