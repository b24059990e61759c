"""Whether a network's own code follows when channels are removed, and which of its whole numbers must follow with them.

A width that is written down in a network's own code cannot be seen in a trace. So units are removed on trial, and what
the network then gives is held against what it gives with zeros in their place. Where it fails, whole numbers that its
modules keep in attributes (a number of heads, a width of all heads) are rescaled with the cut, and the trial repeated.
"""

from __future__ import annotations

import copy
import dataclasses
import itertools
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sdqviz.networks.random_numbers import own_random_numbers
from sdqviz.pruning import tracing
from sdqviz.pruning.channels.groups import DependencyGraph

CLOSE = 1e-5
"""Largest difference between cut and masked outputs in the trial, relative to the largest output."""

NEAR = 1e-3
"""A difference below this may come from rounding: then the trial is repeated in double precision."""

MOST_TRIES = 24
"""Sets of attributes that are tried for one group."""

Name = tuple[str, str]
"""Class of a module and its attribute: what one module of a kind needs the others need as well."""


@dataclasses.dataclass(frozen=True)
class Number:
    """A whole number that a module keeps beside its weights.

    Attributes
    ----------
    path : str
        Of the attribute.
    name : (str, str)
        Class of the module and the attribute.
    value : int
        What it is.
    width : bool
        Whether it equals a dimension of a tensor that the group runs through; else it divides one, as heads do.
    """

    path: str
    name: Name
    value: int
    width: bool


class Trial:
    """Removes units of a network on trial.

    Parameters
    ----------
    module : torch.nn.Module
        The network.
    example : tensor, tuple or dict of tensors
        What it is run with.
    ways : dict of str to frozenset of int
        By path of a module: the groups whose channels pass through it.
    """

    def __init__(self, module: nn.Module, example: Any, ways: Mapping[str, frozenset[int]]) -> None:
        self._module, self._example = _livened(module), example
        self._half = any(one.dtype in (torch.float16, torch.bfloat16) for one in module.parameters())
        self._ways = ways
        self._parts = dict(module.named_modules())
        self._known: list[frozenset[Name]] = []

    def run(self, graph: DependencyGraph) -> tuple[DependencyGraph, list[int]]:
        """Return the graph with the numbers that follow, and the groups for which the network fails all the same."""
        bad: list[int] = []
        for place in self._failing(graph, list(graph.prunable), _first):
            numbers = self._following(graph, place)
            if numbers is None:
                bad.append(place)
            else:
                graph = dataclasses.replace(graph, numbers={**graph.numbers, **numbers})
        # one unit after the other fits: now many of all groups at once
        good = [place for place in graph.prunable if place not in bad]
        bad += self._failing(graph, good, _half)
        numbers = {path: follows for path, follows in graph.numbers.items() if follows[0] not in bad}
        graph = dataclasses.replace(graph, numbers=numbers)
        return self._truthful(graph, [place for place in good if place not in bad]), sorted(bad)

    def _failing(self, graph: DependencyGraph, places: list[int], choose: Any) -> list[int]:
        """Remove units of all groups, then of fewer, until those are found for which the network fails."""
        bad: list[int] = []
        pending = [places] if places else []
        while pending:
            some = pending.pop()
            if not self._failure(graph, {place: choose(graph.groups[place].units, place) for place in some}):
                continue
            if len(some) == 1:
                bad.extend(some)
            else:
                pending += [some[: len(some) // 2], some[len(some) // 2 :]]
        return sorted(bad)

    def _truthful(self, graph: DependencyGraph, places: list[int]) -> DependencyGraph:
        """Let counts and widths of heads follow where the code would do without: they are to say what is there."""
        for place in places:
            group = graph.groups[place]
            if all(len(one.index) == group.units for one in group.dependencies):  # units of one entry are no heads
                continue
            told = {
                one.path: (place, one.value)
                for one in self._numbers(graph, place)
                if one.path not in graph.numbers and "head" in one.name[1] and (one.width or not _is_size(one.name[1]))
            }
            changed = dataclasses.replace(graph, numbers={**graph.numbers, **told})
            tries = ({place: choose(group.units, place)} for choose in (_first, _half))
            if told and not any(self._failure(changed, removed) for removed in tries):
                graph = changed
        return graph

    # -- numbers that follow ------------------------------------------------------------------------------

    def _following(self, graph: DependencyGraph, place: int) -> dict[str, tuple[int, int]] | None:
        """Return the fewest numbers that let the network follow when a unit of a group goes; None if none do."""
        numbers = [one for one in self._numbers(graph, place) if one.path not in graph.numbers]
        kinds = {one.name for one in numbers}
        seen: dict[frozenset[Name], str] = {}

        def failure(names: frozenset[Name]) -> str:
            if names not in seen:
                chosen = {one.path: (place, one.value) for one in numbers if one.name in names}
                changed = dataclasses.replace(graph, numbers={**graph.numbers, **chosen})
                tries = ({place: choose(graph.groups[place].units, place)} for choose in (_first, _half))
                seen[names] = next((why for why in (self._failure(changed, one) for one in tries) if why), "")
            return seen[names]

        names = next((some for some in _likely(numbers, self._known) if some <= kinds and not failure(some)), None)
        if names is None:  # any few of those that make a difference
            felt = sorted(name for name in kinds if failure(frozenset([name])) != failure(frozenset()))
            few = (frozenset(some) for size in (1, 2, 3) for some in itertools.combinations(felt, size))
            names = next((some for some in itertools.islice(few, MOST_TRIES) if not failure(some)), None)
        if names is None:
            return None
        for name in sorted(names):
            if not failure(names - {name}):
                names = names - {name}
        if names not in self._known:
            self._known.append(names)
        return {one.path: (place, one.value) for one in numbers if one.name in names}

    def _numbers(self, graph: DependencyGraph, place: int) -> list[Number]:
        """Return the numbers on a group's way that are a width of it, or that may count its heads."""
        group = graph.groups[place]
        widths = {graph.shapes[one.parameter][one.dim] for one in group.dependencies}
        widths |= {len(one.index) for one in group.dependencies}
        found = []
        for path, part in self._parts.items():
            if place not in self._ways.get(path, ()) or type(part).__module__.startswith("torch.nn."):
                continue
            for name, value in vars(part).items():
                if type(value) is not int or name.startswith("_") or value < 2 or value % group.units:
                    continue
                width = value in widths
                if width or any(one % value == 0 for one in widths):
                    found.append(Number(f"{path}.{name}" if path else name, (_kind(part), name), value, width))
        return found

    # -- one trial ------------------------------------------------------------------------------------------

    def _failure(self, graph: DependencyGraph, removed: Mapping[int, Iterable[int]]) -> str:
        """Return how the network fails, empty if it does not."""
        units = {place: list(some) for place, some in removed.items()}
        try:
            with torch.no_grad():
                pair = graph.trial(self._module, units)
                apart = _apart(*(self._outputs(one, self._half) for one in pair))
                if CLOSE < apart <= NEAR and not self._half:
                    apart = _apart(*(self._outputs(one, True) for one in pair))
        except Exception as error:  # whatever the network's own code raises: it does not follow
            return f"{type(error).__name__}: {error}"
        return "" if apart <= CLOSE else f"outputs are {apart:.3g} apart"

    def _outputs(self, module: nn.Module, double: bool) -> list[Tensor]:
        example = tracing.copied(self._example)
        if double:
            module, example = copy.deepcopy(module).double(), tracing.mapped(example, _doubled)
        with own_random_numbers():  # the same in all
            return tracing.tensors(tracing.call(module, example))


FAINT, LIVELY = 1e-2, 0.5
"""Vectors below the first are drawn anew for the trial, up to the second: a branch that is scaled by almost zero, as
many are before training, would hide that it fails."""


def _livened(module: nn.Module) -> nn.Module:
    """Return a copy that shares all tensors but the vectors that are almost zero, which are drawn anew."""
    memo: dict[int, Any] = {}
    for number, tensor in enumerate(dict.fromkeys((*module.parameters(), *module.buffers()))):
        memo[id(tensor)] = tensor
        vector = isinstance(tensor, nn.Parameter) and tensor.is_floating_point() and tensor.numel() > 1
        if vector and max(tensor.shape) == tensor.numel() and float(tensor.detach().abs().max()) < FAINT:
            drawn = np.random.default_rng(number).uniform(-LIVELY, LIVELY, tuple(tensor.shape))
            memo[id(tensor)] = nn.Parameter(torch.from_numpy(drawn).to(tensor), tensor.requires_grad)
    return copy.deepcopy(module, memo)


def _kind(part: nn.Module) -> str:
    return f"{type(part).__module__}.{type(part).__qualname__}"


def _first(units: int, place: int) -> list[int]:
    return [0]


def _half(units: int, place: int) -> list[int]:
    """Draw half of the units, at least one."""
    return sorted(np.random.default_rng(place).permutation(units)[: max(1, units // 2)].tolist())


def _likely(numbers: list[Number], known: Iterable[frozenset[Name]]) -> list[frozenset[Name]]:
    """Return sets of attributes to rescale: those that helped before, widths, heads, and both."""
    widths = frozenset(one.name for one in numbers if one.width)
    counts = frozenset(one.name for one in numbers if "head" in one.name[1] and not _is_size(one.name[1]))
    sizes = frozenset(one.name for one in numbers if "head" in one.name[1] and _is_size(one.name[1]))
    order = [*known, widths, counts, widths | counts, sizes, (widths - counts) | sizes, (widths - sizes) | counts]
    return [names for names in dict.fromkeys(order) if names]


def _is_size(name: str) -> bool:
    return any(word in name for word in ("dim", "size", "width", "channels"))


def _apart(wanted: list[Tensor], got: list[Tensor]) -> float:
    """Return the largest difference relative to the largest output; infinite where shapes differ."""
    if len(wanted) != len(got):
        return float("inf")
    return max((_difference(a, b) for a, b in zip(wanted, got, strict=True)), default=0.0)


def _difference(wanted: Tensor, got: Tensor) -> float:
    if got.shape != wanted.shape:
        return float("inf")
    finite = torch.isfinite(wanted)
    if not torch.equal(finite, torch.isfinite(got)):
        return float("inf")
    difference, scale = (got - wanted)[finite].abs(), wanted[finite].abs()
    if not difference.numel() or not difference.max():
        return 0.0
    return float(difference.max() / scale.max())


def _doubled(tensor: Tensor) -> Tensor:
    return tensor.double() if tensor.is_floating_point() else tensor
