"""Runs the original and the compressed network side by side, in float64, and compares every layer and the output."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from sdqviz.array import Array
from sdqviz.networks.layer import Layer
from sdqviz.networks.network import Network, batches, run
from sdqviz.progress import ShouldStop, stop_if

if TYPE_CHECKING:
    from torch import Tensor, nn

BATCH = 256
"""Inputs that are in memory at once, with all activations of both networks."""

BATCH_VALUES = 1 << 18
"""Input values that are in memory at once: the activations of a large network are many times these."""


@dataclasses.dataclass(frozen=True, eq=False)
class LayerMeasurement:
    """Errors of one layer over the inputs: relative, in the Frobenius norm.

    Attributes
    ----------
    same_input : float
        ‖(W−Q)z‖/‖Wz‖ with the original network's inputs z.
    propagated : float
        ‖Wz − Qz̃‖/‖Wz‖ with the compressed network's inputs z̃.
    dead_inputs : int
        Input features (channels of a convolution) that are zero on every sample.
    """

    same_input: float
    propagated: float
    dead_inputs: int


@dataclasses.dataclass(frozen=True, eq=False)
class Measurement:
    """What `measure` found.

    Attributes
    ----------
    layers : dict of str to LayerMeasurement
        By layer name.
    output_errors, input_norms, output_norms : ndarray, shape (n,)
        ‖f(x) − f_Q(x)‖, ‖x‖ and ‖f(x)‖ of each input.
    unused : tuple of str
        Layers that no input passed through; their errors are NaN.
    """

    layers: dict[str, LayerMeasurement]
    output_errors: Array
    input_norms: Array
    output_norms: Array
    unused: tuple[str, ...] = ()


def measure(
    original: Network, compressed: Network, layers: Sequence[Layer], inputs: Any, should_stop: ShouldStop | None = None
) -> Measurement:
    """Compare two networks of the same architecture on the same inputs.

    Parameters
    ----------
    original, compressed : Network
        The networks.
    layers : sequence of Layer
        Layers to compare.
    inputs : ndarray, tensor, tuple or dict of tensors
        Inputs of the network, shape (n, ...).
    should_stop : callable, optional
        Polled between batches.
    """
    import torch

    names = [layer.name for layer in layers]
    sums = {name: _Sums() for name in names}
    errors, input_norms, output_norms = [], [], []
    before, after = _Recorder(original, names), _Recorder(compressed, names)
    # an example input may hold tensors that have no batch axis, so only plain arrays are cut
    for batch in batches(inputs, _batch_size(inputs)) if isinstance(inputs, np.ndarray) else (inputs,):
        stop_if(should_stop)
        expected, got = before.run(batch), after.run(batch)
        for layer in layers:
            q = after.module.get_submodule(layer.name)
            calls = (expected.inputs, expected.layer_outputs, got.inputs, got.layer_outputs)
            for z, wz, z_compressed, qz in zip(*(call[layer.name] for call in calls), strict=True):
                propagated = wz - qz
                if np.array_equal(z, z_compressed):  # as in the first layer
                    same = propagated
                else:
                    with torch.no_grad():
                        same = wz - q.forward(torch.from_numpy(z))  # forward: a call would record it again
                sums[layer.name].add(wz, same, propagated, _alive(layer, z))
        output_norms.append(_norms(expected.outputs))
        errors.append(_norms(expected.outputs - got.outputs))
        input_norms.append(_input_norms(batch))
    return Measurement(
        layers={name: total.finish() for name, total in sums.items()},
        output_errors=np.concatenate(errors),
        input_norms=np.concatenate(input_norms),
        output_norms=np.concatenate(output_norms),
        unused=tuple(name for name in names if sums[name].alive is None),
    )


def layer_inputs(network: Network, names: Sequence[str], inputs: Any) -> dict[str, Array]:
    """Return what goes into each of some dense layers, float64 of shape (n, features), by name.

    Parameters
    ----------
    network : Network
        The network.
    names : sequence of str
        Dense layers, each called once in a forward pass.
    inputs : ndarray, shape (n, ...)
        Inputs of the network.
    """
    recorder = _Recorder(network, names)
    recordings = [recorder.run(batch) for batch in batches(inputs, _batch_size(inputs))]
    return {name: np.concatenate([part.inputs[name][0] for part in recordings]) for name in names}


@dataclasses.dataclass(frozen=True, eq=False)
class _Recording:
    """The outputs for one batch, and what went into each layer and came out, once per call (a tied one has several)."""

    outputs: Array
    inputs: dict[str, list[Array]]
    layer_outputs: dict[str, list[Tensor]]


class _Recorder:
    """Runs a network in float64 and keeps what enters and leaves some layers.

    The hooks sit on a shadow, so threads may share the network. Attention uses the weights of some of its layers
    without calling them; those are found where their weight enters a linear map.
    """

    def __init__(self, network: Network, names: Sequence[str]) -> None:
        self.module = network.shadow("float64")
        self._seen: dict[str, list[Array]] = {name: [] for name in names}
        self._left: dict[str, list[Tensor]] = {name: [] for name in names}
        for name in names:
            part = self.module.get_submodule(name)
            part.register_forward_pre_hook(functools.partial(self._keep, name))
            part.register_forward_hook(functools.partial(self._keep_output, name))
        self._silent: dict[int, str] | None = None

    def _keep(self, name: str, _module: nn.Module, arguments: tuple[Tensor, ...]) -> None:
        self._seen[name].append(arguments[0].numpy())

    def _keep_output(self, name: str, _module: nn.Module, _arguments: tuple[Tensor, ...], output: Tensor) -> None:
        self._left[name].append(output.clone())  # an activation that works in place would overwrite it

    def run(self, batch: Any) -> _Recording:
        outputs = self._run(batch).numpy()
        if self._silent is None:  # known after the first pass
            self._silent = {
                id(self.module.get_submodule(name).weight): name for name, calls in self._seen.items() if not calls
            }
            if self._silent:
                _without_shortcuts(self.module)
                self._seen = {name: [] for name in self._seen}
                self._left = {name: [] for name in self._left}
                outputs = self._run(batch).numpy()
        seen, self._seen = self._seen, {name: [] for name in self._seen}
        left, self._left = self._left, {name: [] for name in self._left}
        return _Recording(outputs, seen, left)

    def _run(self, batch: Any) -> Tensor:
        import torch
        from torch.overrides import TorchFunctionMode

        if not self._silent:
            return run(self.module, batch, "float64")
        silent, seen, left = self._silent, self._seen, self._left
        attention: Any = torch.nn.functional.multi_head_attention_forward

        class Watched(TorchFunctionMode):
            def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
                result = function(*args, **(kwargs or {}))
                if function is torch.nn.functional.linear and id(args[1]) in silent:
                    keep(args[1], args[0], result)
                elif function is attention and id(args[11]) in silent:
                    # what would come out if the projection (weight 11, bias 12) were the identity goes into it
                    identity = torch.eye(len(args[11]), dtype=args[11].dtype)
                    entered = function(*args[:11], identity, None, **(kwargs or {}))[0]
                    keep(args[11], entered, result[0])
                return result

        def keep(weight: Tensor, entered: Tensor, output: Tensor) -> None:
            seen[silent[id(weight)]].append(entered.numpy().copy())
            left[silent[id(weight)]].append(output.clone())

        with Watched():
            return run(self.module, batch, "float64")


def _without_shortcuts(module: nn.Module) -> None:
    """Make attention compute its steps one by one: in evaluation mode torch fuses them into one operation."""
    from torch import nn

    for part in module.modules():
        if isinstance(part, nn.MultiheadAttention):
            part.dropout = 0.0  # all that training would change
            part.training = True


@dataclasses.dataclass
class _Sums:
    """Squares summed over batches, for one layer."""

    same: float = 0.0
    propagated: float = 0.0
    reference: float = 0.0
    alive: Array | None = None

    def add(self, wz: Tensor, same: Tensor, propagated: Tensor, alive: Array) -> None:
        self.reference += float(wz.square().sum())
        self.same += float(same.square().sum())
        self.propagated += float(propagated.square().sum())
        self.alive = alive if self.alive is None else self.alive | alive

    def finish(self) -> LayerMeasurement:
        dead = 0 if self.alive is None else int((~self.alive).sum())
        if self.reference == 0:  # the layer's output is zero throughout: there is nothing to be relative to
            return LayerMeasurement(float("nan"), float("nan"), dead)
        return LayerMeasurement((self.same / self.reference) ** 0.5, (self.propagated / self.reference) ** 0.5, dead)


def _batch_size(inputs: Array) -> int:
    return max(1, min(BATCH, BATCH_VALUES // max(1, math.prod(inputs.shape[1:]))))


def _alive(layer: Layer, inputs: Array) -> Array:
    """Return which input features (channels for a convolution) are ever non-zero."""
    axis = inputs.ndim - 1 if layer.kind == "Linear" else inputs.ndim - layer.weight.ndim + 1
    return (inputs != 0).any(axis=tuple(i for i in range(inputs.ndim) if i != axis))


def _norms(values: Array) -> Array:
    array = np.atleast_1d(np.asarray(values, float))
    return np.linalg.norm(array.reshape(len(array), -1), axis=1)


def _input_norms(batch: Any) -> Array:
    """Return ‖x‖ of each input; several tensors count as one long vector."""
    parts = batch.values() if isinstance(batch, Mapping) else batch if isinstance(batch, tuple | list) else (batch,)
    return np.sqrt(np.sum(np.broadcast_arrays(*(_norms(np.asarray(part)) ** 2 for part in parts)), axis=0))
