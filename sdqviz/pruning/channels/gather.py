"""Gathers groups of channels from the labels that were followed through a network."""

from __future__ import annotations

from typing import Any

import numpy as np

from sdqviz.pruning.channels.flow import Flow
from sdqviz.pruning.channels.groups import Dependency, Group
from sdqviz.pruning.channels.labels import Block, Numbers
from sdqviz.pruning.outline import Vertex
from sdqviz.pruning.removal import layer_of


def gather(flow: Flow) -> tuple[tuple[Group, ...], Numbers]:
    """Return the groups, and for each label the index of its group, -1 for none.

    Classes of labels are units, units of the same layers are groups.
    """
    classes = flow.labels.classes()
    if not len(classes):
        return (), classes
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
    return tuple(groups), where[classes]


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
