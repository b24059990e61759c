"""Ways through a network for calibration data: piece by piece along its traced graph, or from the input every time."""

from __future__ import annotations

import copy
import functools
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from sdqviz.error import InputError
from sdqviz.networks.layer import compressible_kinds

if TYPE_CHECKING:
    from torch import Tensor, nn


class Stream(Protocol):
    """Gives a layer's inputs in both networks, batch after batch; layers are asked for in the order of ``stops``."""

    stops: tuple[str, ...]

    def inputs(self, name: str) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the layer's inputs in the original and in the compressed network, a batch at a time."""

    def part(self) -> None:
        """Take note that the two networks differ from here on."""

    def close(self) -> None:
        """Let go of all activations."""


class _ReachedError(Exception):
    """Ends a forward pass at the layer that is being looked at."""


class Rerun:
    """For modules that cannot be traced: every layer starts from the input, and the pass ends where it is reached."""

    def __init__(self, original: nn.Module, compressed: nn.Module, data: Sequence[Any], wanted: set[str]) -> None:
        self._modules, self._data, self._agree = (original, compressed), data, True
        met: dict[str, None] = {}
        hooks = [
            original.get_submodule(name).register_forward_pre_hook(functools.partial(_note, met, name))
            for name in wanted
        ]
        try:
            _forward(original, data[0])
        finally:
            for hook in hooks:
                hook.remove()
        self.stops = tuple(met)

    def inputs(self, name: str) -> Iterator[tuple[Tensor, Tensor]]:
        """Run every batch as far as the layer."""
        for batch in self._data:
            first = self._reach(self._modules[0], name, batch)
            yield first, first if self._agree else self._reach(self._modules[1], name, batch)

    def part(self) -> None:
        """Run the compressed network too from here on."""
        self._agree = False

    def close(self) -> None:
        """Nothing is kept."""

    @staticmethod
    def _reach(module: nn.Module, name: str, batch: Any) -> Tensor:
        seen: list[Tensor] = []

        def stop(_: nn.Module, arguments: tuple[Any, ...]) -> None:
            seen.append(arguments[0].detach().clone())
            raise _ReachedError

        hook = module.get_submodule(name).register_forward_pre_hook(stop)
        try:
            _forward(module, batch)
        except _ReachedError:
            pass
        finally:
            hook.remove()
        if not seen:
            raise InputError(f"layer {name!r} must be reached by every batch, got one that passes it by")
        return seen[0]


def _note(met: dict[str, None], name: str, _: nn.Module, arguments: tuple[Any, ...]) -> None:
    if arguments:
        met.setdefault(name)


class Traced:
    """Runs the traced graph of a module piece by piece; between the pieces each batch's live values are stored."""

    def __init__(
        self, graph: Any, original: nn.Module, compressed: nn.Module, data: Sequence[Any], wanted: set[str],
        store_bytes: int,
    ) -> None:  # fmt: skip
        self._modules, self._data = (original, compressed), data
        self._nodes = list(graph.nodes)
        self._last_use = {used: node for node in self._nodes for used in node.all_input_nodes}
        self._place: dict[str, int] = {}
        for place, node in enumerate(self._nodes):
            if node.op == "call_module" and node.target in wanted and node.args:
                self._place.setdefault(node.target, place)
        self.stops = tuple(self._place)
        self._at = 0
        self._agree = True
        self._store = _Store(store_bytes)

    def reproduces(self, batch: Any) -> bool:
        """Whether the graph gives what the module gives; tracing may freeze what depends on the data."""
        import torch

        expected = _forward(self._modules[0], batch)
        try:
            values = self._run(0, 0, len(self._nodes), self._start(batch), keep_output=True)
        except Exception:  # a graph that does not run is no use, whatever the reason
            return False
        return _same(expected, values) if isinstance(expected, torch.Tensor) else _same_parts(expected, values)

    def inputs(self, name: str) -> Iterator[tuple[Tensor, Tensor]]:
        """Run every batch on from where it waits to the layer."""
        place = self._place[name]
        begin, argument = self._at, self._nodes[place].args[0]
        self._at = place
        for number, batch in enumerate(self._data):
            kept = self._store.take(number) if begin else None
            first, second = (self._start(batch), None) if kept is None else kept
            if second is None and not self._agree:
                second = dict(zip(first, copy.deepcopy(list(first.values())), strict=True))
            first = self._run(0, begin, place, first)
            if second is not None:
                second = self._run(1, begin, place, second)
            # values that change in place later must not change what is handed out, and are not: it is read at once
            yield first[argument], first[argument] if second is None else second[argument]
            self._store.put(number, (first, second))

    def part(self) -> None:
        """Run the compressed network too from here on."""
        self._agree = False

    def close(self) -> None:
        """Let go of the values that wait, in memory and on disk."""
        self._store.close()

    def _start(self, batch: Any) -> dict[Any, Any]:
        """Bind a batch to the placeholders, copied: a network may change its input in place."""
        holders = [node for node in self._nodes if node.op == "placeholder"]
        positional, named = _arguments(self._modules[0], batch)
        values = dict(zip(holders, positional, strict=False))
        for node in holders:
            if node in values:
                values[node] = values[node].clone()
            elif node.target in named:
                values[node] = named[node.target].clone()
            else:
                values[node] = node.args[0] if node.args else None
        return values

    def _run(self, which: int, begin: int, end: int, values: dict[Any, Any], keep_output: bool = False) -> Any:
        import torch
        from torch.fx.node import map_arg

        module = self._modules[which]
        values = dict(values)
        with torch.no_grad():
            for node in self._nodes[begin:end]:
                if node.op == "placeholder":
                    continue
                arguments = map_arg(node.args, values.__getitem__)
                keywords = map_arg(node.kwargs, values.__getitem__)
                if node.op == "output":
                    return arguments[0] if keep_output else values
                if node.op == "get_attr":
                    values[node] = functools.reduce(getattr, node.target.split("."), module)
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


class _Store:
    """Values by batch, in memory up to a limit and in a temporary folder beyond it."""

    def __init__(self, limit: int) -> None:
        self._limit, self._used = limit, 0
        self._kept: dict[int, tuple[Any, int]] = {}
        self._nodes: dict[str, Any] = {}  # a file holds names of nodes
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def put(self, number: int, values: tuple[dict[Any, Any], dict[Any, Any] | None]) -> None:
        import torch

        size = _bytes_of(values)
        if self._used + size <= self._limit:
            self._kept[number] = (values, size)
            self._used += size
            return
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="sdqviz-", ignore_cleanup_errors=True)
        names = [None if part is None else {node.name: value for node, value in part.items()} for part in values]
        torch.save(names, self._path(number))
        self._nodes |= {node.name: node for part in values if part is not None for node in part}

    def take(self, number: int) -> Any:
        import torch

        if number in self._kept:
            values, size = self._kept.pop(number)
            self._used -= size
            return values
        path = self._path(number)
        # the file is our own, written a moment ago
        parts = torch.load(path, weights_only=False)
        path.unlink()
        return tuple(
            None if part is None else {self._nodes[name]: value for name, value in part.items()} for part in parts
        )

    def close(self) -> None:
        self._kept.clear()
        self._used = 0
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

    def _path(self, number: int) -> Path:
        return Path("" if self._folder is None else self._folder.name) / f"{number}.pt"


def _bytes_of(values: tuple[dict[Any, Any], dict[Any, Any] | None]) -> int:
    import torch

    tensors = {}
    for part in values:
        for value in (part or {}).values():
            for item in value if isinstance(value, tuple | list) else (value,):
                if isinstance(item, torch.Tensor):
                    storage = item.untyped_storage()
                    tensors[storage.data_ptr()] = storage.nbytes()
    return sum(tensors.values())


def trace(module: nn.Module) -> Any:
    """Return the module's graph with layers and normalisations as its leaves, or None if it cannot be traced."""
    from torch import fx
    from torch.nn.modules.batchnorm import _BatchNorm

    leaves = (*compressible_kinds(), _BatchNorm)

    class Tracer(fx.Tracer):
        def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
            return isinstance(m, leaves) or super().is_leaf_module(m, module_qualified_name)

    try:
        return Tracer().trace(module)
    except Exception:  # a user's forward may fail on symbols in any way; it is then run as it is
        return None


def normalisations(module: nn.Module) -> list[str]:
    """Name the batch normalisations of a module."""
    from torch.nn.modules.batchnorm import _BatchNorm

    return [name for name, part in module.named_modules() if isinstance(part, _BatchNorm)]


def _arguments(module: nn.Module, batch: Any) -> tuple[tuple[Tensor, ...], dict[str, Tensor]]:
    import torch

    anchor = next(iter([*module.parameters(), *module.buffers()]), torch.zeros(0))
    own = next((p.dtype for p in module.parameters() if p.is_floating_point()), torch.float32)

    def ready(value: Any) -> Tensor:
        tensor = torch.as_tensor(np.array(value)) if isinstance(value, np.ndarray) else torch.as_tensor(value)
        return tensor.to(device=anchor.device, dtype=own if tensor.is_floating_point() else None)

    if isinstance(batch, Mapping):
        return (), {key: ready(value) for key, value in batch.items()}
    if isinstance(batch, tuple | list):
        return tuple(ready(value) for value in batch), {}
    return (ready(batch),), {}


def _forward(module: nn.Module, batch: Any) -> Any:
    import torch

    positional, named = _arguments(module, batch)
    with torch.no_grad():
        return module(*(part.clone() for part in positional), **{key: part.clone() for key, part in named.items()})


def _same(first: Any, second: Any) -> bool:
    import torch

    return (
        isinstance(second, torch.Tensor)
        and first.shape == second.shape
        and torch.allclose(first, second, rtol=1e-4, atol=1e-6, equal_nan=True)
    )


def _same_parts(first: Any, second: Any) -> bool:
    if isinstance(first, Mapping):
        first, second = tuple(first.values()), tuple(second.values()) if isinstance(second, Mapping) else ()
    if isinstance(first, tuple | list) and isinstance(second, tuple | list):
        return len(first) == len(second) and all(_same_parts(a, b) for a, b in zip(first, second, strict=True))
    import torch

    return _same(first, second) if isinstance(first, torch.Tensor) else True
