"""Carries calibration data through a network and its compressed copy, layer by layer, and sums up what each layer sees.

Activations wait in front of the layer being compressed and go on from there, so no layer is computed twice; what
does not fit in memory waits in a temporary file.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
import itertools
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self

import numpy as np

from sdqviz import memory
from sdqviz.array import Array
from sdqviz.error import InputError
from sdqviz.kernels import draws
from sdqviz.networks.layer import Layer, compressible_kinds, input_rows, position_count, to_vectors
from sdqviz.networks.network import Network, batches
from sdqviz.path_following.gram import Moments
from sdqviz.progress import ShouldStop, stop_if

if TYPE_CHECKING:
    from torch import Tensor, nn

BATCH = 256
"""Samples that go through the network together at most."""

BATCH_VALUES = 1 << 18
"""Input values that go through together at most: the activations of a large network are many times these."""

STORE_BYTES = 512 * 1024**2
"""Activations kept in memory; the rest waits in a file."""

MATRICES = 4
"""Matrices of a layer's inputs that exist at once: H, G, and two on the way through the recursion."""

DEVICES = ("auto", "cpu", "cuda")


@dataclasses.dataclass(frozen=True, eq=False)
class LayerMoments:
    """What the calibration data look like where they enter a layer.

    Attributes
    ----------
    groups : tuple of Moments
        One for each group of the layer.
    ratio : float
        Share of a convolution's positions that were looked at; 1 for all.
    """

    groups: tuple[Moments, ...]
    ratio: float


class Calibration:
    """Calibration data on their way through a network and its copy that is being compressed.

    Parameters
    ----------
    network : Network
        The network; it is never changed.
    inputs : ndarray, tensor, tuple, dict, or list of batches
        Inputs of the network. Arrays and tensors are cut along the first axis; a list holds batches.
    device : {"auto", "cpu", "cuda"}
        Where forward passes and sums are computed; ``"auto"`` takes CUDA where there is one.
    store_bytes : int
        Activations kept in memory.
    should_stop : callable, optional
        Polled between batches.

    Raises
    ------
    InputError
        If there are no inputs, the network does not take them, or they hold NaN.
    """

    def __init__(
        self, network: Network, inputs: Any, device: str = "auto", store_bytes: int = STORE_BYTES,
        should_stop: ShouldStop | None = None,
    ) -> None:  # fmt: skip
        self._should_stop = should_stop
        self.device = _device(device)
        self._data = _batches(inputs, network)
        self._layers = {layer.name: layer for layer in network.layers}
        original = copy.deepcopy(network.module).to(self.device)
        compressed = copy.deepcopy(network.module).to(self.device)
        self._original, self._compressed = original, compressed
        wanted = {*self._layers, *_normalisations(original)}
        self._agree = True
        self._stream: _Stream = _Rerun(original, compressed, self._data, wanted)
        graph = _trace(original)
        if graph is not None:
            traced = _Traced(graph, original, compressed, self._data, wanted, store_bytes)
            if traced.reproduces(self._data[0]):
                self._stream = traced
        self.stops: tuple[str, ...] = self._stream.stops
        """Layers and batch normalisations, in the order in which the data meet them."""

    @property
    def traced(self) -> bool:
        """Whether activations wait in front of each layer; otherwise every layer starts from the network's input."""
        return isinstance(self._stream, _Traced)

    def close(self) -> None:
        """Let go of the activations, in memory and on disk."""
        self._stream.close()

    def __enter__(self) -> Self:
        """Return itself; the activations are let go of at the end of the block."""
        return self

    def __exit__(self, *_: object) -> None:
        """Let go of the activations."""
        self.close()

    def moments(self, layer: Layer, patches: float = 1.0, seed: int = 0) -> LayerMoments:
        """Sum up a layer's inputs in float64.

        Parameters
        ----------
        layer : Layer
            A layer not met before.
        patches : float
            Share of a convolution's positions to look at, 0 < patches ≤ 1; drawn anew for each batch.
        seed : int
            Seed of the positions drawn.

        Raises
        ------
        InputError
            If an activation is NaN or infinite; the layer is named.
        """
        module = self._original.get_submodule(layer.name)
        rows = to_vectors(layer.weight, layer.groups, "rows")
        width = rows.shape[1]
        weights = np.ascontiguousarray(rows.reshape(layer.groups, -1, width).transpose(0, 2, 1))
        sums = _Sums(weights, self._agree)
        looked = positions = 0
        for chosen, count, x, x_compressed in self._looked_at(layer, patches, seed):
            looked, positions = looked + (count if chosen is None else len(chosen)), positions + count
            for piece, other in self._pieces(module, chosen, x, x_compressed):
                sums.add(piece, other)
        return LayerMoments(sums.finish(), looked / max(positions, 1))

    def largest_errors(self, layer: Layer, weight: Array, patches: float = 1.0, seed: int = 0) -> Array:
        """Pass the data through a layer once more, and return ‖Xw − X̃q‖_∞ of each neuron, shape (out,).

        Parameters
        ----------
        layer : Layer
            The layer whose `moments` were asked for last; it must not have been replaced yet.
        weight : ndarray
            q, in the shape of the layer's weight.
        patches, seed
            As given to `moments`, so that the same positions are looked at.
        """
        module = self._original.get_submodule(layer.name)
        before, after = (
            to_vectors(values, layer.groups, "rows").reshape(layer.groups, -1, layer.weight[0].size).transpose(0, 2, 1)
            for values in (layer.weight, weight)
        )
        largest = np.zeros((layer.groups, before.shape[2]))
        for chosen, _, x, x_compressed in self._looked_at(layer, patches, seed):
            for piece, other in self._pieces(module, chosen, x, x_compressed):
                rows = _in_numpy(piece)
                error = rows @ before - (rows if other is None else _in_numpy(other)) @ after
                largest = np.maximum(largest, np.abs(error).max(axis=1, initial=0.0))
        return largest.reshape(-1)

    def _looked_at(self, layer: Layer, patches: float, seed: int) -> Iterator[tuple[Array | None, int, Tensor, Tensor]]:
        """Yield, batch after batch, the positions to look at (None: all), their number, and the inputs."""
        module = self._original.get_submodule(layer.name)
        for number, (x, x_compressed) in enumerate(self._stream.inputs(layer.name)):
            stop_if(self._should_stop)
            for values in (x, x_compressed):
                if not bool(values.isfinite().all()):
                    raise InputError(
                        f"calibration inputs must give finite activations, got NaN or infinity "
                        f"before layer {layer.name!r}"
                    )
            count = position_count(module, x)
            chosen = None
            if patches < 1 and count > 1:
                few = max(1, round(patches * count))
                rng = np.random.default_rng([draws.layer_key(seed, layer.name), number])
                chosen = np.sort(rng.choice(count, few, replace=False))
            yield chosen, count, x, x_compressed

    def _pieces(
        self, module: nn.Module, chosen: Array | None, x: Tensor, x_compressed: Tensor
    ) -> Iterator[tuple[Tensor, Tensor | None]]:
        """Yield rows of both networks, or of one as long as they agree."""
        first = input_rows(module, x, chosen)
        second = itertools.repeat(None) if self._agree else input_rows(module, x_compressed, chosen)
        for piece, other in zip(first, second, strict=False):
            stop_if(self._should_stop)
            yield piece, other

    def bytes_needed(self, layer: Layer) -> int:
        """Return what compressing a layer will take at most, from its shape alone."""
        width = layer.weight[0].size + 1
        return MATRICES * 8 * layer.groups * width * width

    def too_large(self, layer: Layer) -> str | None:
        """Return why a layer is beyond the memory limit, or None if it is not."""
        needed, limit = self.bytes_needed(layer), MATRICES // 2 * memory.LIMIT
        if needed <= limit:
            return None
        return (
            f"its {layer.weight[0].size} inputs need {needed / 2**30:.1f} GiB of Gram matrices, "
            f"more than {limit / 2**30:.0f} GiB"
        )

    def replace(self, name: str, weight: Array, bias: Array | None) -> None:
        """Give a layer of the compressed copy its new weights, before the data pass it."""
        import torch

        module = self._compressed.get_submodule(name)
        for which, values in (("weight", weight), ("bias", bias)):
            parameter = module._parameters[which]
            if values is not None and parameter is not None:
                with torch.no_grad():
                    parameter.copy_(torch.tensor(values))
        self._part()

    def renew_statistics(self, name: str) -> dict[str, Array]:
        """Estimate a batch normalisation's mean and variance from the compressed copy's activations, and use them.

        Returns
        -------
        dict of str to ndarray
            ``running_mean`` and ``running_var``, float32; empty if the module keeps no statistics, or nothing has been
            compressed in front of it.
        """
        import torch

        module = self._compressed.get_submodule(name)
        if self._agree or module._buffers.get("running_mean") is None:
            return {}
        count, total, square = 0, None, None
        shift: Tensor | None = None
        for _, values in self._stream.inputs(name):
            stop_if(self._should_stop)
            flat = values.movedim(1, -1).reshape(-1, values.shape[1]).double()
            if shift is None:
                shift = flat.mean(dim=0)  # sums of squares about zero would cancel where the mean is large
            flat = flat - shift
            count += len(flat)
            total = flat.sum(dim=0) if total is None else total + flat.sum(dim=0)
            square = flat.square().sum(dim=0) if square is None else square + flat.square().sum(dim=0)
        if shift is None or total is None or square is None or count < 2:
            return {}
        mean = shift + total / count
        variance = (square - total.square() / count).clamp(min=0) / (count - 1)
        found = {}
        for key, values in (("running_mean", mean), ("running_var", variance)):
            module._buffers[key].copy_(values)  # type: ignore[union-attr]
            found[key] = values.float().cpu().numpy()
        if not all(torch.isfinite(value).all() for value in (mean, variance)):
            raise InputError(f"calibration inputs must give finite activations, got NaN or infinity before {name!r}")
        return found

    def _part(self) -> None:
        if self._agree:
            self._agree = False
            self._stream.part()


# -- sums -------------------------------------------------------------------------------------------------


class _Sums:
    """Moments of every group of a layer, as the data come in."""

    def __init__(self, weights: Array, agree: bool) -> None:
        groups, width, neurons = weights.shape
        self.weights, self.agree, self.samples = weights, agree, 0
        # columns first, so that BLAS adds in place; of the symmetric H it fills the lower triangle only
        self.inputs = [np.zeros((width, width), order="F") for _ in range(groups)]
        self.cross = None if agree else [np.zeros((width, width), order="F") for _ in range(groups)]
        self.target = np.zeros((groups, neurons))
        self.total, self.original_total = np.zeros((groups, width)), np.zeros((groups, width))

    def add(self, original: Tensor, compressed: Tensor | None) -> None:
        """Add rows, shape (groups, rows, width); without ``compressed`` they are the same in both networks."""
        self.samples += original.shape[1]
        if original.device.type == "cpu":
            self._add_on_cpu(_in_numpy(original), None if compressed is None else _in_numpy(compressed))
            return
        x, y = original, original if compressed is None else compressed
        for group, product in enumerate(_in_numpy(y.transpose(1, 2) @ y)):
            self.inputs[group] += product
        if self.cross is not None:
            for group, product in enumerate(_in_numpy(y.transpose(1, 2) @ x)):
                self.cross[group] += product
        self.target += _in_numpy((x @ x.new_tensor(self.weights)).square().sum(dim=1))
        self.total += _in_numpy(y.sum(dim=1))
        self.original_total += _in_numpy(x.sum(dim=1))

    def _add_on_cpu(self, x: Array, compressed: Array | None) -> None:
        from scipy.linalg import blas

        y = x if compressed is None else compressed
        for group, total in enumerate(self.inputs):
            blas.dsyrk(1.0, y[group].T, beta=1.0, c=total, lower=1, overwrite_c=1)
            if self.cross is not None:
                blas.dgemm(1.0, y[group].T, x[group].T, beta=1.0, c=self.cross[group], trans_b=1, overwrite_c=1)
        self.target += ((x @ self.weights) ** 2).sum(axis=1)
        self.total += y.sum(axis=1)
        self.original_total += x.sum(axis=1)

    def finish(self) -> tuple[Moments, ...]:
        return tuple(
            Moments(
                _symmetric(self.inputs[group]),
                None if self.cross is None else self.cross[group],
                self.target[group],
                self.samples,
                self.total[group],
                self.original_total[group],
            )
            for group in range(len(self.inputs))
        )


def _symmetric(lower: Array) -> Array:
    """Mirror the lower triangle to the upper one, in place, a block of columns at a time; return it rows first."""
    for start in range(0, len(lower), 256):
        block = slice(start, start + 256)
        corner = np.tril(lower[block, block])
        lower[block, block] = corner + np.tril(corner, -1).T
        lower[block, start + 256 :] = lower[start + 256 :, block].T
    return lower.T


def _in_numpy(tensor: Tensor) -> Array:
    return tensor.detach().cpu().numpy()


# -- streams ----------------------------------------------------------------------------------------------


class _Stream(Protocol):
    """Gives a layer's inputs in both networks, batch after batch; layers are asked for in the order of ``stops``."""

    stops: tuple[str, ...]

    def inputs(self, name: str) -> Iterator[tuple[Tensor, Tensor]]: ...

    def part(self) -> None: ...

    def close(self) -> None: ...


class _ReachedError(Exception):
    """Ends a forward pass at the layer that is being looked at."""


class _Rerun:
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
        for batch in self._data:
            first = self._reach(self._modules[0], name, batch)
            yield first, first if self._agree else self._reach(self._modules[1], name, batch)

    def part(self) -> None:
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


class _Traced:
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
        self._agree = False

    def close(self) -> None:
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


def _trace(module: nn.Module) -> Any:
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


def _normalisations(module: nn.Module) -> list[str]:
    from torch.nn.modules.batchnorm import _BatchNorm

    return [name for name, part in module.named_modules() if isinstance(part, _BatchNorm)]


# -- running ----------------------------------------------------------------------------------------------


def _device(name: str) -> Any:
    import torch

    if name not in DEVICES:
        raise InputError(f"device must be one of {', '.join(DEVICES)}, got {name!r}")
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise InputError("device must be one that this machine has, got cuda: torch finds no CUDA here")
    return torch.device("cuda" if name != "cpu" and available else "cpu")


def _batches(inputs: Any, network: Network) -> list[Any]:
    import torch

    if isinstance(inputs, np.ndarray | torch.Tensor):
        if inputs.ndim == 0 or len(inputs) == 0:
            raise InputError("calibration must hold at least one sample, got none")
        size = max(1, min(BATCH, BATCH_VALUES // max(1, int(np.prod(inputs.shape[1:])))))
        data = list(batches(inputs, size))
    elif isinstance(inputs, list):
        data = inputs
    else:
        data = [inputs]
    if not data:
        raise InputError("calibration must hold at least one sample, got none")
    try:
        network.forward(data[0])
    except InputError:
        raise
    except Exception as error:  # whatever a forward raises here is about the inputs we were given
        first_line = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(f"calibration inputs must be accepted by the network, got {first_line}") from error
    return data


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
