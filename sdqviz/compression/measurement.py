"""Runs the original and the compressed network side by side and compares every layer and the output."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from sdqviz.array import Array
from sdqviz.compression.reference import Use, left_over, norms, seen, square
from sdqviz.networks.layer import Layer, compressible_kinds
from sdqviz.networks.network import Network, Precision
from sdqviz.networks.plainness import linear_part
from sdqviz.networks.recorder import Call, Recorder
from sdqviz.networks.watched import watched_batches
from sdqviz.progress import ShouldStop, stop_if

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclasses.dataclass(frozen=True, eq=False)
class LayerMeasurement:
    """Errors of one layer over the inputs: relative, in the Frobenius norm, without the bias.

    Attributes
    ----------
    same_input : float
        ‖(W−Q)z‖/‖Wz‖ with the original network's inputs z.
    propagated : float
        ‖Wz − Qz̃‖/‖Wz‖ with the compressed network's inputs z̃; NaN where z and z̃ cannot be matched row by row.
    dead_inputs : int
        Input features (channels of a convolution) that are zero on every sample.
    largest_input : float
        max_t ‖z_t‖ over the features of a dense layer's inputs, each a vector over all samples; NaN for other layers.
    """

    same_input: float
    propagated: float
    dead_inputs: int
    largest_input: float = math.nan


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
    unmatched : tuple of str
        Layers whose rows are not the same ones in both networks, as of experts that a router chooses.
    axes : dict of str to tuple of int
        How many axes the inputs of each layer had.
    precision : {"float64", "float32"}
        What both networks computed in: double precision, or the modules' own.
    """

    layers: dict[str, LayerMeasurement]
    output_errors: Array
    input_norms: Array
    output_norms: Array
    unused: tuple[str, ...] = ()
    unmatched: tuple[str, ...] = ()
    axes: dict[str, tuple[int, ...]] = dataclasses.field(default_factory=dict)
    precision: Precision = "float64"

    @property
    def not_finite(self) -> int:
        """How many inputs have an output, of either network, that is NaN or infinite."""
        return int((~np.isfinite(self.output_errors)).sum())


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
    inputs : ndarray, tensor, tuple or dict of these, or list of batches
        Inputs of the network.
    should_stop : callable, optional
        Polled between batches.
    """
    names = [layer.name for layer in layers]
    precision = original.precision
    given = {layer.name: layer for layer in compressed.layers}
    after = Recorder(compressed.of(precision), names)
    sums = {
        layer.name: _Sums(
            layer, given[layer.name], after.module.get_submodule(layer.name), precision, original.passes.selects
        )
        for layer in layers
    }
    errors, norms_in, norms_out = [], [], []
    for before in seen(original, names, inputs):
        stop_if(should_stop)
        got = after.run(functools.partial(compressed.passes, inputs=before.inputs))
        for name in names:
            sums[name].add(before.uses.get(name, ()), got.of(name), before.length)
        norms_out.append(before.output_norms)
        errors.append(_distances(before.output, got.output, before.length))
        norms_in.append(before.input_norms)
        del before, got  # all that was kept of this batch, before the next one passes
    return Measurement(
        layers={name: total.finish() for name, total in sums.items()},
        output_errors=np.concatenate(errors),
        input_norms=np.concatenate(norms_in),
        output_norms=np.concatenate(norms_out),
        unused=tuple(name for name in names if sums[name].alive is None),
        unmatched=tuple(name for name in names if not sums[name].matched),
        axes={name: tuple(sorted(sums[name].axes)) for name in names},
        precision=precision,
    )


def layer_inputs(network: Network, names: Sequence[str], inputs: Any) -> dict[str, list[Array]]:
    """Return what goes into each of some dense layers at each of its uses in a pass, by name.

    Parameters
    ----------
    network : Network
        The network.
    names : sequence of str
        Dense layers.
    inputs : ndarray, shape (n, ...)
        Inputs of the network.

    Returns
    -------
    dict of str to list of ndarray, shape (n, features)
        Float64.
    """
    recorder = Recorder(network.of(network.precision), names, outputs=False)
    found: dict[str, list[list[Array]]] = {name: [] for name in names}
    for batch in watched_batches(network, names, inputs):
        recording = recorder.run(functools.partial(network.passes, inputs=batch))
        for name in names:
            found[name].append([call.entered.double().cpu().numpy() for call in recording.of(name)])
    return {name: [np.concatenate(use) for use in zip(*pieces, strict=True)] for name, pieces in found.items()}


class _Sums:
    """Squares summed over batches, for one layer, in double precision whatever the networks compute in."""

    def __init__(self, layer: Layer, given: Layer, part: nn.Module, precision: Precision, selects: bool) -> None:
        import torch

        self.layer, self.given, self.part, self.selects = layer, given, part, selects
        self.difference = torch.from_numpy(layer.weight - given.weight)
        # in double precision a plain layer's own output is its product, up to the bias; else both are computed anew
        self.exact = precision == "float64" and type(part) in compressible_kinds()
        self.same = self.propagated = self.reference = 0.0
        self.alive: Array | None = None
        self.squares: Array | None = None
        self.matched = True
        self.axes: set[int] = set()

    def add(self, before: Sequence[Use], after: Sequence[Call], length: int | None) -> None:
        """Add the uses of the layer in both networks in one pass."""
        import torch

        self.matched = self.matched and len(before) == len(after)
        for place, one in enumerate(before):
            z = one.entered
            call = after[place] if place < len(after) else None
            other = None if call is None else call.entered.cpu().double()
            self.axes.add(z.ndim)
            if one.product is None or one.alive is None:  # an expert that nobody chose
                self.matched = self.matched and other is not None and other.shape == z.shape
                continue
            if one.squares is not None:
                self.squares = one.squares if self.squares is None else self.squares + one.squares
            same = square(linear_part(self.part, z, self.difference))
            self.reference += one.reference
            self.same += same
            self.alive = one.alive if self.alive is None else self.alive | one.alive
            if call is None or other is None or other.shape != z.shape or (self.selects and z.shape[0] != length):
                self.matched = False
            elif torch.equal(z, other):  # as in the first layer
                self.propagated += same
            else:
                self.propagated += square(self._product(call, other).sub_(one.product))

    def _product(self, call: Call, z: Tensor) -> Tensor:
        """Return Qz̃, to be overwritten."""
        import torch

        if not self.exact or not call.called:
            return linear_part(self.part, z, torch.tensor(self.given.weight))
        return left_over(self.given, call)

    def finish(self) -> LayerMeasurement:
        """Return the relative errors."""
        dead = 0 if self.alive is None else int((~self.alive).sum())
        largest = math.nan if self.squares is None or self.axes != {2} else float(np.sqrt(self.squares.max()))
        if self.reference == 0:  # the layer's output is zero throughout: there is nothing to be relative to
            return LayerMeasurement(float("nan"), float("nan"), dead, largest)
        propagated = (self.propagated / self.reference) ** 0.5 if self.matched else float("nan")
        return LayerMeasurement((self.same / self.reference) ** 0.5, propagated, dead, largest)


def _distances(one: Tensor, other: Tensor, length: int | None) -> Array:
    if one.shape != other.shape:  # there is nothing to compare entry by entry
        return np.full_like(norms(one, length), np.nan)
    with np.errstate(invalid="ignore"):
        return norms(one.cpu().double() - other.cpu().double(), length)
