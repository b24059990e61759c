"""Groups of channels that must be removed together, and the graph of layers they belong to."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from sdqviz.error import InputError
from sdqviz.pruning.channels.flow import Flow, layer_of
from sdqviz.pruning.channels.labels import Block, Numbers, Role
from sdqviz.pruning.outline import GroupOutline, Vertex


@dataclasses.dataclass(frozen=True, eq=False)
class Dependency:
    """One dimension of one parameter or buffer that a group runs through.

    Attributes
    ----------
    layer : str
        Path of the module it belongs to.
    parameter : str
        Path of the parameter or buffer.
    dim : int
        The dimension.
    role : {"produces", "carries", "consumes"}
        Whether it makes the channels, passes them on (norms, bare parameters), or takes them in.
    zeroed : bool
        Whether pruning a unit sets its entries to zero.
    index, unit : ndarray of int, shape (entries,)
        Positions along the dimension and the unit each belongs to, ordered by unit.
    """

    layer: str
    parameter: str
    dim: int
    role: Role
    zeroed: bool
    index: Numbers
    unit: Numbers

    def of(self, unit: int) -> Numbers:
        """Return the positions along the dimension that belong to a unit, shape (k,)."""
        first, last = np.searchsorted(self.unit, [unit, unit + 1])
        return self.index[first:last]

    def __str__(self) -> str:
        """Show the parameter, what it does and how many entries of the dimension belong."""
        entries = f"{len(self.index)} entr{'y' if len(self.index) == 1 else 'ies'}"
        return f"{self.parameter} {self.role} along dimension {self.dim} ({entries})"


@dataclasses.dataclass(frozen=True, eq=False)
class Group:
    """Layers whose channels depend on each other.

    Attributes
    ----------
    name : str
        Path of the layer that makes its channels first.
    units : int
        Its minimally removable structures: each a channel, or several that must go together.
    dependencies : tuple of Dependency
        Everything its channels run through, in order of execution.
    prunable : bool
        Whether units may be removed.
    because : str
        Why not; empty if they may.
    """

    name: str
    units: int
    dependencies: tuple[Dependency, ...]
    prunable: bool
    because: str

    def slices(self, unit: int) -> list[tuple[str, int, Numbers]]:
        """Return what a unit consists of: path of the parameter, dimension, positions along it."""
        found = ((one.parameter, one.dim, one.of(unit)) for one in self.dependencies)
        return [(path, dim, index) for path, dim, index in found if len(index)]

    @property
    def produced(self) -> tuple[Dependency, ...]:
        """The parameters that pruning sets to zero."""
        return tuple(one for one in self.dependencies if one.zeroed)

    @property
    def layers(self) -> frozenset[str]:
        """The modules it runs through."""
        return frozenset(one.layer for one in self.dependencies)

    def __str__(self) -> str:
        """Show its name, size and members, one a line."""
        status = "prunable" if self.prunable else f"kept: {self.because}"
        lines = [f"Group {self.name}: {self.units} unit{'s' * (self.units != 1)}, {status}"]
        return "\n".join([*lines, *(f"  {one}" for one in self.dependencies)])


@dataclasses.dataclass(frozen=True, eq=False)
class DependencyGraph:
    """All groups of a network and its layers as they are drawn.

    Attributes
    ----------
    groups : tuple of Group
        In order of execution.
    vertices : tuple of Vertex
        One for each layer, quantizers merged into the layer they feed, and for each operation that joins others.
    edges : tuple of (int, int)
        Flow of data between vertices.
    owned : dict of str to tuple of str
        The single numbers of the quantizers of each layer, for its weight and its input; they are never pruned.
    shapes : dict of str to tuple of int
        Shapes of all parameters and buffers that groups run through.
    norms : dict of str to int
        Norms over channels: how many entries they take their moments over.
    scaled : dict of str to tuple of int
        Rows that attention scales by the root of the width of a head, by parameter.
    """

    groups: tuple[Group, ...]
    vertices: tuple[Vertex, ...]
    edges: tuple[tuple[int, int], ...]
    owned: Mapping[str, tuple[str, ...]]
    shapes: Mapping[str, tuple[int, ...]]
    norms: Mapping[str, int]
    scaled: Mapping[str, tuple[int, ...]]

    @property
    def prunable(self) -> tuple[int, ...]:
        """Indices of the groups that may lose units."""
        return tuple(place for place, group in enumerate(self.groups) if group.prunable)

    def require_prunable(self) -> tuple[int, ...]:
        """Return the indices of the prunable groups.

        Raises
        ------
        InputError
            If there is none, with the reasons.
        """
        if not self.prunable:
            reasons = "; ".join(f"{group.name}: {group.because}" for group in self.groups[:3]) or "it has no channels"
            raise InputError(f"network must have channels that can be removed, got none ({reasons})")
        return self.prunable

    def __str__(self) -> str:
        """Show all groups."""
        return "\n".join(str(group) for group in self.groups)

    def outlines(self, removed: Mapping[int, Iterable[int]] | None = None) -> tuple[GroupOutline, ...]:
        """Return the groups as they are recorded, with the units removed from each."""
        gone = {place: tuple(sorted(int(u) for u in units)) for place, units in (removed or {}).items()}
        return tuple(
            GroupOutline(
                group.name, group.units, group.prunable, group.because,
                tuple(str(one) for one in group.dependencies), gone.get(place, ()),
            )
            for place, group in enumerate(self.groups)
        )  # fmt: skip

    def drawn(self, removed: Mapping[int, Iterable[int]] | None = None) -> tuple[Vertex, ...]:
        """Return the vertices with their widths after some units are removed."""
        lost: dict[str, int] = {}
        widths = self._widths()
        for place, units in (removed or {}).items():
            gone = np.fromiter((int(unit) for unit in units), np.int64)
            for one in self.groups[place].dependencies:
                if one.role != "consumes" and one.parameter in widths:
                    name = one.layer or one.parameter
                    lost[name] = lost.get(name, 0) + int(np.isin(one.unit, gone).sum())
        return tuple(dataclasses.replace(v, after=v.before - lost.get(v.name, 0)) for v in self.vertices)

    def _widths(self) -> frozenset[str]:
        """Return the one tensor of each layer that its width is read from."""
        found: dict[str, str] = {}
        for group in self.groups:
            for one in group.dependencies:
                if one.role != "consumes":
                    found.setdefault(one.layer or one.parameter, one.parameter)
        return frozenset(found.values())

    def positions(self) -> tuple[tuple[float, float], ...]:
        """Return where to draw each vertex: x grows with the flow of data, in columns; y within a column.

        Returns
        -------
        tuple of (float, float)
            The same for the same graph. Columns are one apart; a column is centred at 0.
        """
        import networkx

        forward = networkx.DiGraph()
        forward.add_nodes_from(range(len(self.vertices)))
        forward.add_edges_from((a, b) for a, b in self.edges if a < b)  # a layer used twice may close a circle
        found: dict[int, tuple[float, float]] = {}
        for column, generation in enumerate(networkx.topological_generations(forward)):
            # near what they come from, so that edges cross little
            heights = {v: float(np.mean([found[a][1] for a in forward.predecessors(v)] or [0.0])) for v in generation}
            members = sorted(sorted(generation), key=heights.__getitem__)
            for place, vertex in enumerate(members):
                found[vertex] = (float(column), place - (len(members) - 1) / 2)
        return tuple(found[vertex] for vertex in range(len(self.vertices)))


# -- groups -------------------------------------------------------------------------------------------


def gather(flow: Flow) -> tuple[Group, ...]:
    """Return the groups: classes of labels are units, units of the same layers are groups."""
    classes = flow.labels.classes()
    if not len(classes):
        return ()
    made = _made(flow, classes)
    because: dict[int, str] = {}
    for labels, reason in flow.labels.kept:
        for one in np.unique(classes[labels]):
            because.setdefault(int(one), reason)
    group_of, names = _connected(flow, classes, made)
    order: dict[int, list[int]] = {}
    seen: set[int] = set()
    for block in flow.labels.blocks.values():  # units in the order of their first appearance as something made
        if block.role != "consumes":
            for one in classes[block.labels]:
                if int(one) in group_of and int(one) not in seen:
                    seen.add(int(one))
                    order.setdefault(group_of[int(one)], []).append(int(one))
    unit_of = np.full(int(classes.max()) + 1, -1, np.int64)
    where = np.full(int(classes.max()) + 1, -1, np.int64)
    ranked = sorted(order)
    for place, number in enumerate(ranked):
        unit_of[order[number]] = np.arange(len(order[number]))
        where[order[number]] = place
    members = _members(flow, classes, where, unit_of, len(ranked))
    groups = []
    for place, number in enumerate(ranked):
        reason = next((because[one] for one in order[number] if one in because), "")
        if not reason and len(order[number]) == 1:
            reason = "it has a single unit"
        groups.append(Group(names[number], len(order[number]), tuple(members[place]), not reason, reason))
    return tuple(groups)


def _made(flow: Flow, classes: Numbers) -> Any:
    """Return by class whether a layer makes its channels."""
    made = np.zeros(int(classes.max()) + 1, bool)
    for block in flow.labels.blocks.values():
        if block.role == "produces":
            made[classes[block.labels]] = True
    return made


def _connected(flow: Flow, classes: Numbers, made: Any) -> tuple[dict[int, int], dict[int, str]]:
    """Join classes made by the same layer; return the group of each class, and the name of each group."""
    parent: dict[int, int] = {}

    def root(one: int) -> int:
        while parent[one] != one:
            parent[one] = parent[parent[one]]
            one = parent[one]
        return one

    names: dict[int, str] = {}
    for block in flow.labels.blocks.values():
        if block.role == "consumes":
            continue
        own = [int(one) for one in np.unique(classes[block.labels])]
        linking = [one for one in own if block.role == "produces" or not made[one]]
        for one in linking:
            parent.setdefault(one, one)
            parent[root(one)] = root(linking[0])
    numbers: dict[int, int] = {}
    group_of = {}
    for block in flow.labels.blocks.values():
        for one in classes[block.labels].tolist():
            if one in parent and one not in group_of:
                number = numbers.setdefault(root(one), len(numbers))
                group_of[one] = number
    for role in ("produces", "carries"):
        for block in flow.labels.blocks.values():
            if block.role == role:
                for one in np.unique(classes[block.labels]).tolist():
                    if one in group_of:
                        names.setdefault(group_of[one], layer_of(block.path) or block.path)
    return group_of, names


def _members(flow: Flow, classes: Numbers, where: Numbers, unit_of: Numbers, count: int) -> list[list[Dependency]]:
    members: list[list[Dependency]] = [[] for _ in range(count)]
    for block in flow.labels.blocks.values():
        own = classes[block.labels]
        for place in np.unique(where[own]):
            if place >= 0:
                index = np.flatnonzero(where[own] == place)
                unit = unit_of[own[index]]
                sort = np.argsort(unit, kind="stable")
                members[place].append(_dependency(block, index[sort], unit[sort]))
    return members


def _dependency(block: Block, index: Numbers, unit: Numbers) -> Dependency:
    return Dependency(layer_of(block.path), block.path, block.dim, block.role, block.zeroed, index, unit)


def vertices(flow: Flow, groups: tuple[Group, ...]) -> tuple[Vertex, ...]:
    """Return the layers and joining operations as they are drawn."""
    belongs: dict[str, list[int]] = {}
    for place, group in enumerate(groups):
        for name in {one.layer or one.parameter for one in group.dependencies}:
            belongs.setdefault(name, []).append(place)
    widths: dict[str, int] = {}
    for block in flow.labels.blocks.values():
        if block.role != "consumes":
            widths.setdefault(layer_of(block.path) or block.path, block.size)
    return tuple(
        Vertex(name, kind, tuple(belongs.get(name, ())), widths.get(name, 0), widths.get(name, 0))
        for name, kind in flow.vertices
    )
