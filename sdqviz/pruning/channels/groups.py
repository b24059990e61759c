"""Groups of channels that must be removed together, the graph of layers they belong to, and their removal."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from sdqviz.error import InputError
from sdqviz.pruning import removal
from sdqviz.pruning.channels.labels import Numbers, Role
from sdqviz.pruning.outline import GroupOutline, Vertex
from sdqviz.pruning.removal import Cut, layer_of

Removed = Mapping[int, Iterable[int]]
"""Units to remove by index of their group."""


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
    numbers : dict of str to (int, int)
        Whole numbers that modules keep beside their weights and that follow a cut, by path of the attribute: the index
        of the group that they follow, and what they are in the whole network.

    Examples
    --------
    >>> import torch
    >>> from sdqviz.pruning.dependency import groups
    >>> chain = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU(), torch.nn.Linear(3, 2))
    >>> found = groups(chain, torch.ones(1, 4))
    >>> found.cut(chain, {0: [1]})
    Sequential(
      (0): Linear(in_features=4, out_features=2, bias=True)
      (1): ReLU()
      (2): Linear(in_features=2, out_features=2, bias=True)
    )
    """

    groups: tuple[Group, ...]
    vertices: tuple[Vertex, ...]
    edges: tuple[tuple[int, int], ...]
    owned: Mapping[str, tuple[str, ...]]
    shapes: Mapping[str, tuple[int, ...]]
    norms: Mapping[str, int]
    scaled: Mapping[str, tuple[int, ...]]
    numbers: Mapping[str, tuple[int, int]] = dataclasses.field(default_factory=dict)

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

    # -- removal ------------------------------------------------------------------------------------------

    def recipe(self, removed: Removed) -> Cut:
        """Return what cuts some units out of any module of the architecture.

        Parameters
        ----------
        removed : dict of int to iterable of int
            Units by index of their group.

        Raises
        ------
        InputError
            If a group or unit does not exist, a group is kept, or nothing of a group would be left.
        """
        checked = self._checked(removed)
        gone: dict[tuple[str, int], Any] = {}
        for place, units in checked.items():
            for one in self.groups[place].dependencies:
                stays = gone.setdefault((one.parameter, one.dim), np.ones(self.shapes[one.parameter][one.dim], bool))
                stays[one.index[np.isin(one.unit, units)]] = False
        kept: dict[str, dict[int, tuple[int, ...]]] = {}
        for (path, dim), stays in gone.items():
            if not stays.any():
                raise InputError(f"removed must leave something of each layer, got nothing of {path}")
            if not stays.all():
                kept.setdefault(path, {})[dim] = tuple(int(i) for i in np.flatnonzero(stays))
        norms = {name: n for name, n in self.norms.items() if any(layer_of(path) == name for path in kept)}
        scaled = {path: rows for path, rows in self.scaled.items() if 0 in kept.get(path, {})}
        numbers = {
            path: whole * (self.groups[place].units - len(checked[place])) // self.groups[place].units
            for path, (place, whole) in self.numbers.items()
            if place in checked
        }
        return Cut(kept, {path: self.shapes[path] for path in kept}, norms, scaled, numbers)

    def cut(self, module: nn.Module, removed: Removed) -> nn.Module:
        """Return a smaller copy of a module, without the removed units.

        Parameters
        ----------
        module : torch.nn.Module
            The one the graph was made of, or one of the same architecture.
        removed
            As for `recipe`.

        Raises
        ------
        InputError
            As `recipe` does, or if the module has other tensors than the graph's.
        """
        return removal.remove(module, self.recipe(removed))

    def masked(self, module: nn.Module, removed: Removed) -> nn.Module:
        """Return a copy of a module in which the parameters that make the removed units are zero.

        Its outputs are those of the smaller one, see `cut`.

        Parameters
        ----------
        module, removed
            As for `cut`.

        Raises
        ------
        InputError
            As `recipe` does.
        """
        copied = copy.deepcopy(module)
        self._mask(copied, removed)
        return copied

    def trial(self, module: nn.Module, removed: Removed) -> tuple[nn.Module, nn.Module]:
        """Return what `masked` and `cut` do, both sharing with the module the tensors that they leave alone."""
        recipe = self.recipe(removed)
        masks = {one.parameter for place in removed for one in self.groups[place].produced}
        held: dict[str, torch.Tensor] = {**dict(module.named_parameters(remove_duplicate=False))}
        held |= dict(module.named_buffers(remove_duplicate=False))
        touched = {id(held[path]) for path in masks}
        full = copy.deepcopy(module, {id(one): one for one in held.values() if id(one) not in touched})
        self._mask(full, removed)
        small = removal.cut_in_place(copy.deepcopy(module, {id(one): one for one in held.values()}), recipe)
        return full.eval(), small.eval()

    def _mask(self, module: nn.Module, removed: Removed) -> None:
        parameters = dict(module.named_parameters())
        with torch.no_grad():
            for place, units in self._checked(removed).items():
                for one in self.groups[place].produced:
                    index = torch.from_numpy(one.index[np.isin(one.unit, units)])
                    parameters[one.parameter].index_fill_(one.dim, index.to(parameters[one.parameter].device), 0.0)

    def _checked(self, removed: Removed) -> dict[int, Any]:
        checked = {}
        for place, units in removed.items():
            if not 0 <= place < len(self.groups):
                raise InputError(f"removed must name groups 0 to {len(self.groups) - 1}, got {place}")
            group = self.groups[place]
            numbers = np.unique(np.fromiter((int(unit) for unit in units), np.int64))
            if not len(numbers):
                continue
            if not group.prunable:
                raise InputError(f"removed must name prunable groups, got {group.name}: {group.because}")
            if numbers[0] < 0 or numbers[-1] >= group.units:
                raise InputError(f"removed must name units 0 to {group.units - 1} of group {group.name}, got {numbers}")
            if len(numbers) == group.units:
                raise InputError(f"removed must leave at least one unit of group {group.name}, got all {group.units}")
            checked[place] = numbers
        return checked
