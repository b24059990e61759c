"""Magnitude pruning: the smallest weights become zero, the others stay or are rounded. It looks at no data."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from sdqviz.array import Array
from sdqviz.choice import field, field_of
from sdqviz.methods import METHODS
from sdqviz.methods.calibrated.path_following import PathFollowing, decode_layer
from sdqviz.methods.calibrated.scale import Neurons, ScaleFit, candidates, fitted
from sdqviz.methods.coded_layer import coded_layer
from sdqviz.methods.method import CompressedLayer, MethodChoice, Task, layer_vectors
from sdqviz.methods.round_to_nearest import RoundToNearest
from sdqviz.progress import report, stop_if
from sdqviz.quantizers import QUANTIZERS
from sdqviz.quantizers.alphabet import MAXIMUM_BITS
from sdqviz.quantizers.quantizer import Grid
from sdqviz.storage import codes as coding
from sdqviz.storage.bits import Packed


@METHODS.register
@dataclasses.dataclass(frozen=True)
class MagnitudePruning(MethodChoice):
    """Zeroes the smallest weights of each layer, of each neuron, or of the whole network.

    The surviving weights are kept in float, or rounded to the nearest of at most 2^bits levels. Of weights
    of equal size the earlier ones go first.
    """

    name = "magnitude-pruning"
    title = "Magnitude pruning"

    pruning_ratio: float = field(
        0.5, label="Pruning ratio", help="Share of the weights that become zero.", minimum=0.001, maximum=0.999
    )
    scope: str = field(
        "layer",
        label="Smallest of",
        help="Each layer, each neuron, or the whole network lose the same share of their weights.",
        options={"layer": "Each layer", "neuron": "Each neuron", "network": "The whole network"},
    )
    bits: int | None = field(
        None,
        label="Bits per surviving weight",
        help="At most 2^bits levels; none keeps the survivors in float (32 bits).",
        minimum=1,
        maximum=MAXIMUM_BITS,
    )
    alphabet: str = field_of(PathFollowing, "alphabet")
    scale: str = field_of(PathFollowing, "scale")
    step_bits: str = field_of(PathFollowing, "step_bits")
    biases: str = field_of(
        RoundToNearest,
        "biases",
        help="Kept in float (32 bits each, counted), or pruned and rounded together with the weights.",
    )

    def check(self) -> None:
        """Refuse an alphabet that has no levels at the bits."""
        if self.bits is not None:
            candidates(self.alphabet, self.bits)

    @property
    def beyond_layer(self) -> str:
        """The scope, where it is the whole network."""
        return "scope network" if self.scope == "network" else ""

    def estimated_seconds(self, shapes: Sequence[tuple[int, ...]]) -> float:
        """Return roughly how long sorting and packing take."""
        return sum(5e-7 * math.prod(shape) for shape in shapes)

    def compress_layers(self, task: Task) -> Iterator[CompressedLayer]:
        """Prune every layer."""
        rows = [layer_vectors(layer, "rows", biases=self.biases == "quantized") for layer in task.layers]
        kept = self._kept(rows)
        for number, (layer, neurons, mask) in enumerate(zip(task.layers, rows, kept, strict=True)):
            stop_if(task.should_stop)
            report(task.progress, number, len(task.layers), layer.name)
            begun = time.perf_counter()
            pruned, grid, overload = self._rounded(np.where(mask, neurons, 0.0))
            coded = coding.encode(pruned, grid, step_bits=int(self.step_bits))
            yield coded_layer(
                layer,
                pruned,
                coded,
                with_bias=neurons.shape[1] > layer.weight[0].size,
                step=np.zeros(1) if grid is None else grid.widest,
                overload=overload.sum(axis=1),
                begun=begun,
            )

    def _kept(self, rows: list[Array]) -> list[Array]:
        """Return which weights survive, a mask for each layer."""
        if self.scope == "neuron":
            return [np.stack([_largest(np.abs(neuron), self.pruning_ratio) for neuron in layer]) for layer in rows]
        if self.scope == "layer":
            return [_largest(np.abs(layer).ravel(), self.pruning_ratio).reshape(layer.shape) for layer in rows]
        together = _largest(np.concatenate([np.abs(layer).ravel() for layer in rows]), self.pruning_ratio)
        ends = np.cumsum([layer.size for layer in rows])[:-1]
        return [part.reshape(layer.shape) for part, layer in zip(np.split(together, ends), rows, strict=True)]

    def _rounded(self, neurons: Array) -> tuple[Array, Grid | None, Array]:
        """Return the neurons with their survivors as they are stored, the alphabet, and what it clipped."""
        if self.bits is None:
            return neurons.astype(np.float32).astype(float), None, np.zeros_like(neurons, bool)
        survivors = Neurons(neurons, neurons != 0)
        how = ScaleFit(self.scale, "mse", step_bits=int(self.step_bits))
        names = candidates(self.alphabet, self.bits)
        tried = [fitted(survivors, name, self.bits, how, measured=True) for name in names]
        best = min(tried, key=lambda scale: scale.missed * 4.0 ** (scale.zero_bits / neurons.size))
        grid = best.grid()
        each = grid.spread(neurons.shape[1])
        rounded = np.where(neurons == 0, 0.0, each.nearest(neurons.T).T)
        return rounded, grid, QUANTIZERS["nearest"]().overloaded(neurons.T, each).T & (neurons != 0)

    @classmethod
    def decode(
        cls, stored: Mapping[str, Packed], parameters: Mapping[str, Any], shape: tuple[int, ...], groups: int
    ) -> tuple[Array, Array | None]:
        """Return the weights that the stored map and codes or values describe."""
        return decode_layer(stored, parameters, shape, groups)


def _largest(sizes: Array, ratio: float) -> Array:
    """Return which of some sizes, shape (n,), stay when a share of them goes."""
    kept = np.ones(len(sizes), bool)
    kept[np.argsort(sizes, kind="stable")[: round(ratio * len(sizes))]] = False
    return kept
