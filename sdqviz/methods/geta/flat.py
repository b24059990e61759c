"""All trained numbers of a network as one vector, and the tables that say which of them make up a unit."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from sdqviz.error import InputError
from sdqviz.networks.learned_quantizer import LearnedQuantizer

if TYPE_CHECKING:
    from sdqviz.pruning.dependency import DependencyGraph

WEIGHT, INPUT = "weight_quantizer", "input_quantizer"
"""Where the quantizers of a layer hang."""


class FlatParameters:
    """The parameters of a module, and their gradients, as two vectors of which they are views.

    The numbers of all quantizers come last: all steps d, then all ranges q_m, then all exponents t. So an optimizer
    step is a handful of operations on vectors, whatever the number of layers.

    Parameters
    ----------
    module : torch.nn.Module
        Its parameters are moved into the vector; they stay trainable by backward passes as ever.

    Attributes
    ----------
    values, gradients : Tensor, shape (n + 3·Q,)
        n ordinary numbers, and three for each of Q quantizers.
    ordinary : int
        n.
    places : dict of str to (int, torch.Size)
        Where each ordinary parameter begins, and its shape.
    quantizers : tuple of str
        Paths of the quantizers.
    """

    def __init__(self, module: nn.Module) -> None:
        found = {name: part for name, part in module.named_modules() if isinstance(part, LearnedQuantizer)}
        inside = {id(parameter) for part in found.values() for parameter in part.parameters()}
        ordinary = [(name, p) for name, p in module.named_parameters() if id(p) not in inside]
        self.quantizers = tuple(found)
        self.ordinary = sum(parameter.numel() for _, parameter in ordinary)
        learned = [[part.step for part in found.values()], [part.reach for part in found.values()]]
        learned.append([part.exponent for part in found.values()])
        parameters = [parameter for _, parameter in ordinary] + [one for row in learned for one in row]
        self.values = torch.cat([parameter.detach().reshape(-1) for parameter in parameters])
        self.gradients = torch.zeros_like(self.values)
        self.places: dict[str, tuple[int, torch.Size]] = {}
        begin = 0
        names = [name for name, _ in ordinary]
        for position, parameter in enumerate(parameters):
            end = begin + parameter.numel()
            parameter.data = self.values[begin:end].view(parameter.shape)
            parameter.requires_grad_(True)
            parameter.grad = self.gradients[begin:end].view(parameter.shape)
            if position < len(names):
                self.places[names[position]] = (begin, parameter.shape)
            begin = end

    @property
    def steps(self) -> Tensor:
        """All d, shape (Q,), a view."""
        return self.learned(self.values)[0]

    @property
    def reaches(self) -> Tensor:
        """All q_m, shape (Q,), a view."""
        return self.learned(self.values)[1]

    @property
    def exponents(self) -> Tensor:
        """All t, shape (Q,), a view."""
        return self.learned(self.values)[2]

    def learned(self, vector: Tensor) -> Tensor:
        """Return the entries of d, q_m and t of a vector like ``values``, shape (3, Q), a view."""
        return vector[self.ordinary :].view(3, len(self.quantizers))

    def weight_quantizer(self, parameter: str) -> int:
        """Return the index of the quantizer attached to a parameter; -1 if there is none."""
        layer, _, last = parameter.rpartition(".")
        path = f"{layer}.{WEIGHT}" if layer else WEIGHT
        return self.quantizers.index(path) if last == "weight" and path in self.quantizers else -1


@dataclasses.dataclass(frozen=True, eq=False)
class Units:
    """Every unit that may be removed, as indices into the flat vector.

    Attributes
    ----------
    entries : Tensor of int64, shape (n,)
        Places of the numbers that become zero with a unit.
    unit : Tensor of int64, shape (n,)
        The unit each belongs to.
    quantizer : Tensor of int64, shape (n,)
        The quantizer on it; -1 without one.
    group : Tensor of int64, shape (units,)
        The prunable group of each unit, counted from 0.
    graph_groups : tuple of int
        Place of each prunable group among the groups of the graph.
    """

    entries: Tensor
    unit: Tensor
    quantizer: Tensor
    group: Tensor
    graph_groups: tuple[int, ...]

    @property
    def counts(self) -> list[int]:
        """Units of each prunable group."""
        return torch.bincount(self.group, minlength=len(self.graph_groups)).tolist()  # type: ignore[no-any-return]

    def by_group(self, marked: Tensor) -> dict[int, tuple[int, ...]]:
        """Return marked units, a mask of shape (units,), as units by the graph's groups."""
        found: dict[int, tuple[int, ...]] = {}
        first = 0
        for place, count in zip(self.graph_groups, self.counts, strict=True):
            chosen = torch.nonzero(marked[first : first + count]).reshape(-1).tolist()
            if chosen:
                found[place] = tuple(chosen)
            first += count
        return found

    @classmethod
    def of(cls, graph: DependencyGraph, flat: FlatParameters) -> Units:
        """Collect the producing parameters of all prunable groups.

        Raises
        ------
        InputError
            If nothing is prunable, or a number belongs to two units: then neither could be removed alone.
        """
        entries, unit, quantizer, group = [], [], [], []
        places = graph.require_prunable()
        first = 0
        for slot, place in enumerate(places):
            one = graph.groups[place]
            for dependency in one.produced:
                begin, shape = flat.places[dependency.parameter]
                positions = (begin + torch.arange(shape.numel())).view(shape).movedim(dependency.dim, 0)
                taken = positions[torch.from_numpy(dependency.index)].reshape(len(dependency.index), -1)
                owner = first + torch.from_numpy(dependency.unit)
                entries.append(taken.reshape(-1))
                unit.append(owner[:, None].expand_as(taken).reshape(-1))
                quantizer.append(torch.full((taken.numel(),), flat.weight_quantizer(dependency.parameter)))
            group.append(torch.full((one.units,), slot))
            first += one.units
        together = torch.cat(entries)
        if len(torch.unique(together)) != len(together):
            raise InputError("network must not use a parameter in two groups of channels, got one that is shared")
        return cls(together, torch.cat(unit), torch.cat(quantizer), torch.cat(group), places)
