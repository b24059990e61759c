"""Ways through a network for calibration data: piece by piece along its traced graph, or from the input every time."""

from __future__ import annotations

import copy
import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from sdqviz.methods.calibrated.waiting import Waiting
from sdqviz.networks.batch import arguments
from sdqviz.networks.forward import Forward
from sdqviz.networks.recorder import Recorder, accepting
from sdqviz.networks.tracing import Trace

if TYPE_CHECKING:
    from torch import Tensor, nn


class Stream(Protocol):
    """Gives a layer's inputs in both networks, batch after batch; layers are asked for in the order of the data."""

    def inputs(self, name: str) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the layer's inputs in the original and in the compressed network, a batch at a time."""

    def part(self) -> None:
        """Take note that the two networks differ from here on."""

    def passed(self, name: str) -> bool:
        """Whether the data will never pass a layer again."""

    def close(self) -> None:
        """Let go of all activations."""


class Rerun:
    """For modules that cannot be traced: every layer starts from the input, and the pass ends where it is reached."""

    def __init__(
        self, original: nn.Module, compressed: nn.Module, data: Sequence[Any], wanted: Sequence[str], passes: Forward
    ) -> None:
        self._recorders = tuple(Recorder(module, wanted, outputs=False) for module in (original, compressed))
        self._data, self._passes, self._agree = data, passes, True

    def inputs(self, name: str) -> Iterator[tuple[Tensor, Tensor]]:
        """Run every batch as far as the layer."""
        for batch in self._data:
            first = self._reach(0, name, batch)
            if first is None:  # an expert that nobody of this batch chose
                continue
            second = None if self._agree else self._reach(1, name, batch)
            yield first, first if second is None else second

    def part(self) -> None:
        """Run the compressed network too from here on."""
        self._agree = False

    def passed(self, name: str) -> bool:
        """Never: every pass begins at the input."""
        return False

    def close(self) -> None:
        """Nothing is kept."""

    def _reach(self, which: int, name: str, batch: Any) -> Tensor | None:
        return self._recorders[which].reach_if_any(lambda module: self._passes.raw(module, batch), name)


class Traced:
    """Runs the traced graph of a module piece by piece; between the pieces each batch's live values are stored."""

    def __init__(
        self, trace: Trace, original: nn.Module, compressed: nn.Module, data: Sequence[Any], wanted: set[str],
        store_bytes: int,
    ) -> None:  # fmt: skip
        self._modules, self._data = (original, compressed), data
        self._constants = trace.constants
        self._nodes = list(trace.graph.nodes)
        self._last_use = {used: node for node in self._nodes for used in node.all_input_nodes}
        self._place: dict[str, tuple[int, str]] = {}
        for place, node in enumerate(self._nodes):
            if node.op == "call_module":
                for name in wanted:
                    if name == node.target or name.startswith(f"{node.target}."):
                        self._place.setdefault(name, (place, name[len(node.target) + 1 :]))
        self._opened: dict[tuple[int, str], Recorder] = {}
        self._at = 0
        self._agree = True
        self._store = Waiting(store_bytes)

    def holds(self, names: Sequence[str]) -> bool:
        """Whether all layers that the data meet are in the graph."""
        return all(name in self._place for name in names)

    def reproduces(self, batch: Any, expected: Any) -> bool:
        """Whether the graph gives what the module gives; tracing may freeze what depends on the data."""
        import torch

        try:
            values = self._run(0, 0, len(self._nodes), self._start(batch), keep_output=True)
        except Exception:  # a graph that does not run is no use, whatever the reason
            return False
        return _same(expected, values) if isinstance(expected, torch.Tensor) else same_parts(expected, values)

    def inputs(self, name: str) -> Iterator[tuple[Tensor, Tensor]]:
        """Run every batch on from where it waits to the layer."""
        place, inner = self._place[name]
        begin, self._at = self._at, place
        for number, batch in enumerate(self._data):
            kept = self._store.take(number) if begin else None
            first, second = (self._start(batch), None) if kept is None else kept
            if second is None and not self._agree:
                second = dict(zip(first, copy.deepcopy(list(first.values())), strict=True))
            first = self._run(0, begin, place, first)
            if second is not None:
                second = self._run(1, begin, place, second)
            # values that change in place later must not change what is handed out, and are not: it is read at once
            entering = self._entering(0, place, inner, first)
            yield entering, entering if second is None else self._entering(1, place, inner, second)
            del entering
            self._store.put(number, (first, second))
            del first, second, kept  # before the next batch is there

    def _entering(self, which: int, place: int, inner: str, values: dict[Any, Any]) -> Tensor:
        """Return what enters a layer: an operation of the graph, or a part of one, such as attention's projection."""
        from torch.fx.node import map_arg

        node = self._nodes[place]
        positional, named = map_arg(node.args, values.__getitem__), map_arg(node.kwargs, values.__getitem__)
        if not inner:
            found: Tensor = (*positional, *named.values())[0]
            return found
        if (which, node.target) not in self._opened:
            parts = [name[len(node.target) + 1 :] for name, (at, _) in self._place.items() if at == place]
            module = self._modules[which].get_submodule(node.target)
            self._opened[which, node.target] = Recorder(module, parts, outputs=False)
        return self._opened[which, node.target].reach(lambda module: module(*positional, **named), inner)

    def part(self) -> None:
        """Run the compressed network too from here on."""
        self._agree = False

    def passed(self, name: str) -> bool:
        """Whether the data are beyond the operation that a layer is in."""
        return self._place[name][0] < self._at

    def close(self) -> None:
        """Let go of the values that wait, in memory and on disk."""
        self._store.close()

    def _start(self, batch: Any) -> dict[Any, Any]:
        """Bind a batch to the placeholders, copied: a network may change its input in place."""
        holders = [node for node in self._nodes if node.op == "placeholder"]
        positional, named = arguments(self._modules[0], batch)
        values = dict(zip(holders, positional, strict=False))
        for node in holders:
            if node not in values:
                values[node] = named.get(node.target, node.args[0] if node.args else None)
        return values

    def _run(self, which: int, begin: int, end: int, values: dict[Any, Any], keep_output: bool = False) -> Any:
        import torch
        from torch.fx.node import map_arg

        module = self._modules[which]
        values = dict(values)
        with torch.no_grad(), accepting():
            for node in self._nodes[begin:end]:
                if node.op == "placeholder":
                    continue
                arguments = map_arg(node.args, values.__getitem__)
                keywords = map_arg(node.kwargs, values.__getitem__)
                if node.op == "output":
                    return arguments[0] if keep_output else values
                if node.op == "get_attr":
                    constant = self._constants.get(node.target)
                    path = node.target.split(".")
                    values[node] = functools.reduce(getattr, path, module) if constant is None else constant
                elif node.op == "call_function":
                    values[node] = node.target(*arguments, **keywords)
                elif node.op == "call_method":
                    values[node] = getattr(arguments[0], node.target)(*arguments[1:], **keywords)
                else:
                    values[node] = module.get_submodule(node.target)(*arguments, **keywords)
                if node not in self._last_use:
                    del values[node]
                for used in node.all_input_nodes:
                    if self._last_use[used] is node:
                        del values[used]
        return values


def normalisations(module: nn.Module) -> list[str]:
    """Name the batch normalisations of a module."""
    from torch.nn.modules.batchnorm import _BatchNorm

    return [name for name, part in module.named_modules() if isinstance(part, _BatchNorm)]


ROUNDING = 1e-4, 1e-5
"""Differences of two outputs that are put down to rounding: of each number, and of the largest for those near zero."""


def _same(first: Any, second: Any) -> bool:
    import torch

    # the types differ where a forward chooses the precision itself
    if not isinstance(second, torch.Tensor) or first.shape != second.shape or first.dtype != second.dtype:
        return False
    if not (first.is_floating_point() or first.is_complex()):
        return torch.equal(first, second)
    own, of_largest = ROUNDING
    sizes = first.abs()[first.isfinite()]
    largest = float(sizes.max()) if sizes.numel() else 0.0
    return torch.allclose(first, second, rtol=own, atol=of_largest * largest, equal_nan=True)


def same_parts(first: Any, second: Any) -> bool:
    """Whether two outputs are the same but for rounding, whatever they are nested in."""
    if isinstance(first, Mapping):
        first, second = tuple(first.values()), tuple(second.values()) if isinstance(second, Mapping) else ()
    if isinstance(first, tuple | list) and isinstance(second, tuple | list):
        return len(first) == len(second) and all(same_parts(a, b) for a, b in zip(first, second, strict=True))
    import torch

    return _same(first, second) if isinstance(first, torch.Tensor) else True
