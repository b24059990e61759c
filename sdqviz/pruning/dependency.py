"""Which channels of a network must be removed together: the dependency graph, read from any torch module.

The network is run once with its operations recorded, see `sdqviz.pruning.tracing`; channels are then followed from
operation to operation.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor, fx, nn

from sdqviz.error import InputError
from sdqviz.networks.batch import anchored
from sdqviz.pruning import tracing
from sdqviz.pruning.channels import entries, layers, moves, norms  # they register their rules
from sdqviz.pruning.channels.attention import keep_queries
from sdqviz.pruning.channels.flow import Flow
from sdqviz.pruning.channels.gather import gather, vertices
from sdqviz.pruning.channels.groups import Dependency, DependencyGraph, Group
from sdqviz.pruning.channels.labels import Numbers
from sdqviz.pruning.trial import Trial

if TYPE_CHECKING:
    from sdqviz.networks.network import Network

__all__ = ["Dependency", "DependencyGraph", "Group", "entries", "groups", "layers", "moves", "norms"]

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


TIED = -1
"""Slices of all heads that go together with the channels that come into the module."""


def groups(network: Network | nn.Module, example: Any = None, keep: Iterable[str] = ()) -> DependencyGraph:
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
    A width that is written down in a network's own code cannot be seen in its trace; therefore units are removed on
    trial, see `sdqviz.pruning.trial`, and groups for which the network then fails, or gives something else than with
    zeros, are kept. The units of attention are whole heads where the network's code follows that, else slices of all
    heads.

    Examples
    --------
    >>> import torch
    >>> chain = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU(), torch.nn.Linear(3, 2))
    >>> print(groups(chain, torch.ones(1, 4)))
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
        _, kind = anchored(module)
        given = tracing.mapped(given, lambda tensor: tensor.to(kind) if tensor.is_floating_point() else tensor)
    shadow = tracing.shadow(module)
    known = _Known(
        module, given, shadow, tracing.trace(shadow, given), tuple([keep] if isinstance(keep, str) else keep)
    )
    _check_names(known)
    found, heads = known.evaluated({path: 1 for path in _attentions(known.traced.graph, known.tied)})
    for behind in (2, 0, TIED):  # units that lie otherwise, where whole heads cannot go
        stuck = {path: behind for path in heads if path in found.stuck and (behind != 2 or found.deep[path] > 2)}
        if stuck:
            other, chosen = known.evaluated({**heads, **stuck})
            better = {path for path in stuck if path not in other.stuck or behind == 0}  # 0: the reasons of slices
            if better == set(stuck):
                found, heads = other, chosen
            elif better:
                found, heads = known.evaluated(
                    {path: chosen[path] if path in better else at for path, at in heads.items()}
                )
    return found.graph


@dataclasses.dataclass(frozen=True, eq=False)
class _Evaluated:
    """A graph after its trial.

    Attributes
    ----------
    graph : DependencyGraph
        The graph.
    stuck : frozenset of str
        Attention modules in which some channels must stay.
    deep : dict of str to int
        Into how many dimensions attention modules split their channels.
    """

    graph: DependencyGraph
    stuck: frozenset[str]
    deep: Mapping[str, int]


@dataclasses.dataclass(frozen=True, eq=False)
class _Known:
    """What is known of a network before its channels are followed."""

    module: nn.Module
    example: Any
    shadow: nn.Module
    traced: tracing.Trace
    keep: tuple[str, ...]

    @property
    def tied(self) -> frozenset[str]:
        """Modules that compute the width of their heads from that of their input."""
        return frozenset(path for path, part in self.shadow.named_modules() if type(part).__name__ in WIDTH_TIED)

    def evaluated(self, heads: Mapping[str, int]) -> tuple[_Evaluated, Mapping[str, int]]:
        """Follow the channels, with units at some places of split dimensions, and try whether the network follows."""
        shadow = self.shadow
        first = _first_paths(shadow)
        trained = {id(parameter) for parameter in shadow.parameters()}
        held: dict[str, Tensor] = {**dict(shadow.named_parameters(remove_duplicate=False))}
        held |= dict(shadow.named_buffers(remove_duplicate=False))
        tensors = {name: (first[id(one)], one, id(one) in trained) for name, one in self.traced.held.items()}
        flow = Flow(tensors, dict(shadow.named_modules()), self.traced.constants, heads)
        flow.run(self.traced.graph)
        _tie_widths(flow, shadow)
        for path, behind in heads.items():
            if behind == TIED:
                _tie_rows(flow, path)
        keep_queries(flow)
        _keep_named(flow, self.keep)
        shapes = {path: tuple(tensor.shape) for path, tensor in held.items()}
        found, of_label = _graph(flow, shapes)
        ways = {path: _groups_of(of_label, labels) for path, labels in flow.ways.items()}
        found, failing = Trial(self.module, self.example, ways).run(found)
        if failing:
            for place in failing:
                own = {(one.parameter, one.dim) for one in found.groups[place].dependencies if one.role != "consumes"}
                labels = [b.labels for b in flow.labels.blocks.values() if (b.path, b.dim) in own]
                flow.labels.keep(np.concatenate(labels), UNFIT)
            again, of_label = _graph(flow, shapes)
            found = dataclasses.replace(again, numbers=found.numbers)
        stuck = frozenset(
            path
            for path, splits in flow.splits.items()
            if any(
                place < 0 or not found.groups[place].prunable for place in _groups_of(of_label, [s for s, _ in splits])
            )
        )
        deep = {path: max(dims for _, dims in splits) for path, splits in flow.splits.items()}
        return _Evaluated(found, stuck, deep), heads


def _groups_of(of_label: Numbers, labels: Sequence[Numbers]) -> frozenset[int]:
    """Return the groups that some labels belong to."""
    return frozenset(int(one) for array in labels for one in np.unique(of_label[array[array >= 0]]))


def _attentions(graph: fx.Graph, tied: frozenset[str]) -> list[str]:
    """Return the modules that attend: they multiply with what a softmax gives, or all in one operation."""
    products: dict[str, int] = {}
    weighing: set[str] = set()
    for node in graph.nodes:
        name = node.target._schema.name.removeprefix("aten::") if hasattr(node.target, "_schema") else ""
        path = node.meta.get(tracing.PATH, "")
        if name in ("matmul", "bmm", "einsum"):
            products[path] = products.get(path, 0) + 1
        elif name in ("softmax", "_softmax"):
            weighing |= {path, path.rpartition(".")[0]}  # perhaps by a module of its own
        elif name == "scaled_dot_product_attention":
            products[path] = 2
            weighing.add(path)
    return [path for path, count in products.items() if count >= 2 and path in weighing and path not in tied]


def _graph(flow: Flow, shapes: Mapping[str, tuple[int, ...]]) -> tuple[DependencyGraph, Numbers]:
    """Return the graph, and the group of each label."""
    groups, of_label = gather(flow)
    used = {one.parameter for group in groups for one in group.dependencies}
    scaled = {path: tuple(int(row) for row in rows) for path, rows in flow.rescaled.items()}
    scaled |= {flow.biases[path]: rows for path, rows in scaled.items() if path in flow.biases}
    found = DependencyGraph(
        groups, vertices(flow, groups), tuple(sorted(flow.edges)),
        {layer: tuple(sorted(numbers)) for layer, numbers in flow.owned.items() if numbers},
        {path: shapes[path] for path in sorted(used)},
        {name: entries for name, (_, entries) in flow.norms.items()},
        scaled,
    )  # fmt: skip
    return found, of_label


# -- whether the network's own code follows -----------------------------------------------------------

UNFIT = "the network's own code does not follow when its channels are removed"
"""Why a group is kept that the trial has failed."""


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


def _tie_rows(flow: Flow, path: str) -> None:
    """Tie rows to columns in every layer of a module that makes as many channels as come in, or a multiple."""
    split = {int(one) for labels, _ in flow.splits.get(path, ()) for one in labels if one >= 0}
    for block in list(flow.labels.blocks.values()):
        columns = flow.labels.blocks.get((block.path, 1))
        inside = block.path.startswith(f"{path}.") and block.dim == 0 and not split.isdisjoint(block.labels.tolist())
        if inside and columns is not None and block.size % columns.size == 0:
            flow.labels.tie(block.labels.reshape(-1, columns.size), columns.labels[None])


def _check_names(known: _Known) -> None:
    names = {path for path, _ in known.shadow.named_modules()} | set(_first_paths(known.shadow).values())
    for name in known.keep:
        if name not in names or not name:
            raise InputError(f"keep must name modules or parameters of the network, got {name!r}")


def _keep_named(flow: Flow, names: Iterable[str]) -> None:
    for name in names:
        for block in flow.labels.blocks.values():
            exact = block.path == name
            if exact or (block.path.startswith(f"{name}.") and block.role != "consumes"):
                flow.labels.keep(block.labels, f"{name} was named to be kept")
