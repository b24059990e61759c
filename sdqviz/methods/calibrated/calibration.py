"""Carries calibration data through a network and its compressed copy, layer by layer, and sums up what each layer sees.

Activations wait in front of the layer being compressed and go on from there, so no layer is computed twice; what
does not fit in memory waits in a temporary file.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
import itertools
import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from sdqviz import memory
from sdqviz.array import Array
from sdqviz.error import InputError
from sdqviz.kernels import draws
from sdqviz.methods.calibrated.block_stream import BlockByBlock
from sdqviz.methods.calibrated.device_walk import device_named
from sdqviz.methods.calibrated.same_inputs import Seen, fingerprint, neighbours
from sdqviz.methods.calibrated.streams import Rerun, Stream, Traced, normalisations
from sdqviz.methods.calibrated.sums import Sums, all_finite, in_numpy, in_torch
from sdqviz.networks.batch import common_length, parts
from sdqviz.networks.forward import Forward
from sdqviz.networks.layer import Layer, to_vectors
from sdqviz.networks.network import Network
from sdqviz.networks.recorder import Recorder
from sdqviz.networks.sequential import find_blocks
from sdqviz.networks.tracing import trace
from sdqviz.networks.unfolding import input_rows, position_count
from sdqviz.networks.watched import watched_batches
from sdqviz.path_following.gram import Moments
from sdqviz.progress import ShouldStop, stop_if

if TYPE_CHECKING:
    from torch import Tensor, nn

STORE_BYTES = 4 * 1024**2
"""Activations kept in memory; the rest waits in a file."""

MATRICES = 4
"""Matrices of a layer's inputs that exist at once: H, G, and two on the way through the recursion."""


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
        self.device = device_named(device)
        self._data = _batches(inputs, network)
        original, compressed = _sharing(network.module, self.device), _sharing(network.module, self.device)
        self._original, self._compressed = original, compressed
        self._given: dict[str, dict[str, Tensor]] = {}
        wanted = {*network.layer_names, *normalisations(original)}
        self._agree = True
        recorder = Recorder(original, wanted, outputs=False)
        recording = recorder.run(functools.partial(network.passes.raw, inputs=self._data[0]))
        self.stops: tuple[str, ...] = tuple(recording.calls)
        """Layers and batch normalisations, in the order in which the data meet them."""
        self._selects = network.passes.selects
        self._chosen: set[str] = set()
        self._alike = neighbours(original, self.stops) if self.device.type == "cpu" else set()
        self._last: Seen | None = None
        if self._selects:
            self.stops, self._chosen = _routed(recorder, network, self._data)
        self._stream: Stream = Rerun(original, compressed, self._data, self.stops, network.passes)
        followed = trace(original, wanted)
        if followed is not None:
            traced = Traced(followed, original, compressed, self._data, wanted, store_bytes)
            if traced.holds(self.stops) and traced.reproduces(self._data[0], recording.output):
                self._stream = traced
        if not self.traced and not self._selects:
            self._stream = self._blocks(network.passes, store_bytes, recording.output) or self._stream

    def _blocks(self, passes: Forward, store_bytes: int, expected: Any) -> BlockByBlock | None:
        """Return the way through a row of blocks, where the network is one."""
        few = self._data[0]
        blocks = find_blocks(self._original, self.stops, lambda module: passes.raw(module, few))
        if blocks is None:
            return None
        stream = BlockByBlock(
            blocks, self._original, self._compressed, self._data, self.stops, passes, store_bytes
        )  # fmt: skip
        return stream if stream.reproduces(few, expected) else None

    @property
    def traced(self) -> bool:
        """Whether activations wait in front of each layer; otherwise every layer starts from the network's input."""
        return isinstance(self._stream, Traced)

    def run_again(self, names: Sequence[str]) -> list[int]:
        """Return a number for each layer; those of one number share a part that is run again for each of them."""
        if self.traced:
            return list(range(len(names)))
        if not isinstance(self._stream, BlockByBlock):
            return [0] * len(names)
        found = [self._stream.block(name) for name in names]
        return [-1 - place if block is None else block for place, block in enumerate(found)]

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
        import torch

        module = self._original.get_submodule(layer.name)
        rows = layer.rows
        shape = layer.groups, -1, rows.shape[1]
        weights, own, single = rows.reshape(shape).transpose(0, 2, 1), module.weight, None
        if isinstance(own, torch.Tensor) and own.dtype == torch.float32 and self.device.type == "cpu":
            single = in_numpy(own).reshape(shape).transpose(0, 2, 1)
        sums: Sums | None = None
        looked = positions = 0
        last, self._last = self._last if layer.name in self._alike else None, None
        prints: list[bytes] = []
        looking = self._looked_at(layer, patches, seed)
        numbers = itertools.count()
        for chosen, count, x, x_compressed in looking:
            number = next(numbers)
            if layer.name in self._alike:
                prints.append(fingerprint(x, x if self._agree else x_compressed))
            if last is not None and not (prints and last.begins(prints)):
                if number:  # others after all, and some of them were not summed up
                    for _ in looking:
                        pass
                    return self.moments(layer, patches, seed)
                last = None
            if sums is None:
                expected = len(x) * max(patches * count, 1) if len(layer.shape) > 2 else x.numel() / x.shape[-1]
                given = None if last is None else last.moments
                agree = self._agree if given is None else given.cross is None
                sums = Sums(weights, agree, expected * len(self._data), given, single)
            looked, positions = looked + (count if chosen is None else len(chosen)), positions + count
            for piece, other in self._pieces(module, chosen, x, x_compressed) if sums.waits else ():
                sums.add(piece, None if sums.agree else other)
                del piece, other
            del x, x_compressed  # before the next batch is there, and `enumerate` would hold it longer
        if last is not None and len(prints) < len(last.prints):
            return self.moments(layer, patches, seed)
        sums = sums or Sums(weights, self._agree)
        found = LayerMoments(sums.finish(), looked / max(positions, 1))
        self._last = Seen(tuple(prints), found.groups[0]) if prints else None
        return found

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
                rows = in_numpy(piece)
                error = rows @ before - (rows if other is None else in_numpy(other)) @ after
                largest = np.maximum(largest, np.abs(error).max(axis=1, initial=0.0))
                del piece, other, rows, error
            del x, x_compressed
        return largest.reshape(-1)

    def _looked_at(self, layer: Layer, patches: float, seed: int) -> Iterator[tuple[Array | None, int, Tensor, Tensor]]:
        """Yield, batch after batch, the positions to look at (None: all), their number, and the inputs."""
        module = self._original.get_submodule(layer.name)
        numbers = itertools.count()
        for x, other in self._stream.inputs(layer.name):
            stop_if(self._should_stop)
            number = next(numbers)
            if x.numel() == 0:  # an expert that nobody of this batch chose
                continue
            # rows that the two networks choose for themselves are not the same ones: the original's count for both
            x_compressed = x if x.shape != other.shape or (self._selects and layer.name in self._chosen) else other
            if not all_finite(x):
                raise InputError(
                    f"calibration inputs must give finite activations, got NaN or infinity before layer {layer.name!r}"
                )
            if x_compressed is not x and not all_finite(x_compressed):
                raise InputError(
                    f"compressed layers must give finite activations, got NaN or infinity before layer {layer.name!r}, "
                    "where the original network gives none"
                )
            count = position_count(module, x)
            chosen = None
            if patches < 1 and count > 1:
                few = max(1, round(patches * count))
                rng = np.random.default_rng([draws.layer_key(seed, layer.name), number])
                chosen = np.sort(rng.choice(count, few, replace=False))
            yield chosen, count, x, x_compressed
            del x, other, x_compressed  # before the next batch is there
        self._let_go()

    def _pieces(
        self, module: nn.Module, chosen: Array | None, x: Tensor, x_compressed: Tensor
    ) -> Iterator[tuple[Tensor, Tensor | None]]:
        """Yield rows of both networks, or of one as long as they agree."""
        first = input_rows(module, x, chosen)
        second = itertools.repeat(None) if self._agree else input_rows(module, x_compressed, chosen)
        for piece in first:  # `zip` would hold both until the next two are there
            stop_if(self._should_stop)
            yield piece, next(second)
            del piece

    def bytes_needed(self, layer: Layer) -> int:
        """Return what compressing a layer will take at most, from its shape alone."""
        width = math.prod(layer.shape[1:]) + 1
        return MATRICES * 8 * layer.groups * width * width

    def too_large(self, layer: Layer) -> str | None:
        """Return why a layer is beyond the memory limit, or None if it is not."""
        needed, limit = self.bytes_needed(layer), MATRICES // 2 * memory.LIMIT
        if needed <= limit:
            return None
        return (
            f"its {math.prod(layer.shape[1:])} inputs need {needed / 2**30:.1f} GiB of Gram matrices, "
            f"more than {limit / 2**30:.0f} GiB"
        )

    def replace(self, name: str, weight: Array, bias: Array | None) -> None:
        """Give a layer of the compressed copy its new weights, before the data pass it."""
        module = self._compressed.get_submodule(name)
        kept = self._given.setdefault(name, {})
        for which, values in (("weight", weight), ("bias", bias)):
            parameter = module._parameters[which]
            if values is not None and parameter is not None:
                kept[which] = parameter.data
                # of its own: until now it lay where the original's lies
                parameter.data = in_torch(values, parameter.dtype).to(parameter.device).reshape(parameter.shape)
                if not all_finite(parameter.data):
                    kind = str(parameter.dtype).removeprefix("torch.")
                    raise InputError(
                        f"layer {name}: its compressed {which} must stay in the range of {kind}, got values up to "
                        f"{float(np.abs(values).max()):.4g}"
                    )
        self._part()

    def _let_go(self) -> None:
        """Give layers that no data pass again their first weights back, which take no memory of their own."""
        for name in [name for name in self._given if self._stream.passed(name)]:
            module = self._compressed.get_submodule(name)
            for which, values in self._given.pop(name).items():
                parameter = module._parameters[which]
                if parameter is not None:
                    parameter.data = values

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


def _sharing(module: nn.Module, device: Any) -> nn.Module:
    """Return a copy whose parameters are its own objects, but lie where the module's lie until they are replaced."""
    from torch import nn

    own = {id(one): nn.Parameter(one.data, requires_grad=False) for one in module.parameters()}
    return copy.deepcopy(module, dict(own)).to(device)


def _routed(recorder: Recorder, network: Network, data: Sequence[Any]) -> tuple[tuple[str, ...], set[str]]:
    """Return the layers that get a row of any batch, in order, and those that only some rows of a batch go through."""
    met: dict[str, None] = {}
    chosen: set[str] = set()
    for batch in data:
        length = common_length(parts(batch))
        for name, calls in recorder.run(functools.partial(network.passes.raw, inputs=batch)).calls.items():
            if any(call.entered.numel() for call in calls):
                met.setdefault(name)
            if any(call.entered.shape[0] != length for call in calls):
                chosen.add(name)
    return tuple(met), chosen


def _batches(inputs: Any, network: Network) -> list[Any]:
    import torch

    empty = inputs.ndim == 0 or len(inputs) == 0 if isinstance(inputs, np.ndarray | torch.Tensor) else inputs == []
    if empty:
        raise InputError("calibration must hold at least one sample, got none")
    return list(watched_batches(network, network.layer_names, inputs))
