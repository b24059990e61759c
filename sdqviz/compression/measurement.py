"""Runs the original and the compressed network side by side, in float64, and compares every layer and the output."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from sdqviz.array import Array
from sdqviz.networks.batch import batches
from sdqviz.networks.layer import Layer
from sdqviz.networks.network import Network
from sdqviz.networks.recorder import Recorder
from sdqviz.progress import ShouldStop, stop_if

if TYPE_CHECKING:
    from torch import Tensor


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
    before, after = Recorder(original.module64, names), Recorder(compressed.module64, names)
    for batch in batches(inputs):
        stop_if(should_stop)
        expected = before.run(functools.partial(original.passes, inputs=batch))
        got = after.run(functools.partial(compressed.passes, inputs=batch))
        for layer in layers:
            q = after.module.get_submodule(layer.name)
            for one, other in zip(expected.of(layer.name), got.of(layer.name), strict=True):
                propagated = one.output - other.output
                if torch.equal(one.entered, other.entered):  # as in the first layer
                    same = propagated
                else:
                    with torch.no_grad():
                        same = one.output - q.forward(one.entered)  # forward: a call would record it again
                sums[layer.name].add(one.output, same, propagated, _alive(layer, one.entered.numpy()))
        outputs = expected.output.numpy()
        output_norms.append(_norms(outputs))
        errors.append(_norms(outputs - got.output.numpy()))
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
    recorder = Recorder(network.module64, names, outputs=False)
    recordings = [recorder.run(functools.partial(network.passes, inputs=batch)) for batch in batches(inputs)]
    return {name: np.concatenate([part.of(name)[0].entered.numpy() for part in recordings]) for name in names}


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
