"""The dependency graph as it is drawn: its layers and its groups, without torch."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Vertex:
    """One layer of the dependency graph, as it is drawn.

    Attributes
    ----------
    name, kind : str
        Path of the layer (or name of the operation) and what it is, for example ``"Conv2d"`` or ``"add"``.
    groups : tuple of int
        Indices into ``Recording.groups`` of the groups this layer belongs to.
    before, after : int
        Output channels of the layer before and after removal; 0 for operations without weights.
    """

    name: str
    kind: str
    groups: tuple[int, ...]
    before: int
    after: int


@dataclasses.dataclass(frozen=True)
class GroupOutline:
    """One group of channels that are removed together.

    Attributes
    ----------
    name : str
        Named after its first layer.
    units : int
        Its minimally removable structures.
    prunable : bool
        Whether any may go.
    because : str
        Why it is kept, if it is.
    members : tuple of str
        Its dependencies, each as one line of text.
    removed : tuple of int
        Units that are removed at the end; empty before.
    """

    name: str
    units: int
    prunable: bool
    because: str
    members: tuple[str, ...]
    removed: tuple[int, ...] = ()
