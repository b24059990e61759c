"""Where the layers of a recorded network stand when its groups are drawn, and what is told of groups and units."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence

import numpy as np

from sdqviz.array import Array
from sdqviz.methods.geta.recording import Recording
from sdqviz.pruning.outline import GroupOutline


@dataclasses.dataclass(frozen=True)
class Node:
    """A layer, or an operation that joins branches, with its place.

    Attributes
    ----------
    vertex : int
        Its index in the recording.
    after : tuple of int
        Vertices without channels of their own that follow it in a plain chain: norms, activations, pooling.
    group : int or None
        The group of the channels it hands on.
    depth, lane : int
        Place along the network, and 0 on its longest path, 1, 2, … beside it.
    """

    vertex: int
    after: tuple[int, ...]
    group: int | None
    depth: int
    lane: int


@dataclasses.dataclass(frozen=True)
class Layout:
    """The graph as it is drawn.

    Attributes
    ----------
    nodes : tuple of Node
        In the order of the network.
    edges : tuple of (int, int)
        Pairs of indices into ``nodes``.
    """

    nodes: tuple[Node, ...]
    edges: tuple[tuple[int, int], ...]

    @property
    def depth(self) -> int:
        """Places along the longest path."""
        return 1 + max((node.depth for node in self.nodes), default=0)


def layout(run: Recording) -> Layout:
    """Place the layers: along the network by the longest path to each, beside it by branch.

    Vertices in a plain chain that own no channels (norms, activations, pooling, reshapes) are folded into the layer
    they follow.
    """
    count = len(run.vertices)
    before: list[list[int]] = [[] for _ in range(count)]
    behind: list[list[int]] = [[] for _ in range(count)]
    for a, b in dict.fromkeys(run.edges):
        behind[a].append(b)
        before[b].append(a)
    layers = {name for one in run.moments[:1] for name in (*one.weight_bits, *one.activation_bits)}

    def folds(k: int) -> bool:
        """Whether vertex k only passes on what one layer gives it."""
        vertex = run.vertices[k]
        plain = vertex.name not in layers and (vertex.before == 0 or "orm" in vertex.kind)
        return plain and len(before[k]) == 1 and len(behind[before[k][0]]) == 1

    order = _topological(before, behind)
    host: dict[int, int] = {}
    chain: dict[int, list[int]] = {}
    for k in order:
        if folds(k):
            host[k] = host[before[k][0]]
            chain[host[k]].append(k)
        else:
            host[k], chain[k] = k, []
    kept = [k for k in order if host[k] == k]
    place = {k: number for number, k in enumerate(kept)}
    edges = dict.fromkeys((place[host[a]], place[host[b]]) for a, b in run.edges if host[a] != host[b])
    depth, height = _depths(len(kept), tuple(edges))
    lanes = _lanes(depth, height)
    groups: list[int | None] = []
    for number, k in enumerate(kept):
        given = [groups[a] for a, b in edges if b == number and a < number]
        groups.append(handed_on(run.vertices[k].groups, given))
    nodes = tuple(
        Node(k, tuple(chain[k]), groups[number], depth[number], lanes[number]) for number, k in enumerate(kept)
    )
    return Layout(nodes, tuple(edges))


def _topological(before: Sequence[Sequence[int]], behind: Sequence[Sequence[int]]) -> list[int]:
    """Order vertices so that edges go forward; what lies on a cycle, which no traced network has, comes last."""
    waiting = [len(one) for one in before]
    ready = [k for k, needed in enumerate(waiting) if needed == 0]
    order = []
    for k in ready:
        order.append(k)
        for following in behind[k]:
            waiting[following] -= 1
            if waiting[following] == 0:
                ready.append(following)
    return order + [k for k in range(len(before)) if waiting[k] > 0]


def _depths(count: int, edges: Sequence[tuple[int, int]]) -> tuple[list[int], list[int]]:
    """Return the longest paths to and from each node; nodes are in topological order."""
    depth, height = [0] * count, [0] * count
    for a, b in sorted(edge for edge in edges if edge[0] < edge[1]):
        depth[b] = max(depth[b], depth[a] + 1)
    for a, b in sorted((edge for edge in edges if edge[0] < edge[1]), reverse=True):
        height[a] = max(height[a], height[b] + 1)
    return depth, height


def _lanes(depth: Sequence[int], height: Sequence[int]) -> list[int]:
    """Give nodes of one depth lanes, the one with the most still to come first."""
    lanes = [0] * len(depth)
    for _, members in itertools.groupby(sorted(range(len(depth)), key=lambda k: depth[k]), key=lambda k: depth[k]):
        for lane, k in enumerate(sorted(members, key=lambda k: (-height[k], k))):
            lanes[k] = lane
    return lanes


def handed_on(own: Sequence[int], given: Sequence[int | None]) -> int | None:
    """Return the group of what a node hands on.

    Parameters
    ----------
    own : sequence of int
        The groups it has a part in: none of an operation.
    given : sequence of int or None
        The groups of what comes in.

    Returns
    -------
    int or None
        Its own that did not come in; where there is none, the one that came in; None where several meet, as in a
        concatenation.
    """
    new = [group for group in own if group not in given]
    if new:
        return new[-1]
    return given[0] if given and len(set(given)) == 1 else None


MEMBERS = 7
"""Members of a group that a hover text lists; the table has all."""


def hover(run: Recording, node: Node) -> str:
    """Write what a mark tells when it is pointed at: the layer, what is folded into it, and its groups."""
    vertex = run.vertices[node.vertex]
    lines = [f"<b>{vertex.name}</b>, {vertex.kind}"]
    if vertex.before:
        lines.append(f"{vertex.before} channels, {vertex.after} left")
    if node.after:
        lines.append("then " + ", ".join(run.vertices[k].name for k in node.after))
    for group in vertex.groups:
        lines += _told(run.groups[group])
    return "<br>".join(lines)


def _told(group: GroupOutline) -> list[str]:
    state = f"{len(group.removed)} of {group.units} units removed" if group.prunable else f"kept: {group.because}"
    more = len(group.members) - MEMBERS
    return [
        f"<b>group {group.name}</b>: {state}",
        *(f"   {member}" for member in group.members[:MEMBERS]),
        *([f"   and {more} more"] if more > 0 else []),
    ]


def members_table(run: Recording) -> dict[str, Array]:
    """Return every member of every group."""
    return {
        "group": np.array([one.name for one in run.groups for _ in one.members]),
        "units": np.array([one.units for one in run.groups for _ in one.members]),
        "removed": np.array([len(one.removed) for one in run.groups for _ in one.members]),
        "prunable": np.array([one.prunable for one in run.groups for _ in one.members]),
        "because": np.array([one.because for one in run.groups for _ in one.members]),
        "member": np.array([member for one in run.groups for member in one.members]),
    }


def units_table(run: Recording) -> dict[str, Array]:
    """Return every unit of every group."""
    return {
        "group": np.array([one.name for one in run.groups for _ in range(one.units)]),
        "unit": np.array([unit for one in run.groups for unit in range(one.units)]),
        "removed": np.array([unit in set(one.removed) for one in run.groups for unit in range(one.units)]),
    }


def runs(removed: Sequence[int], units: int) -> list[tuple[int, int, bool]]:
    """Split 0 … units into stretches (start, length, removed) of units that are all removed or all kept.

    Examples
    --------
    >>> runs([1, 2, 5], 6)
    [(0, 1, False), (1, 2, True), (3, 2, False), (5, 1, True)]
    """
    gone = set(removed)
    found, start = [], 0
    for state, stretch in itertools.groupby(unit in gone for unit in range(units)):
        length = sum(1 for _ in stretch)
        found.append((start, length, state))
        start += length
    return found
