"""Rounding to nearest: each weight goes to the closest level, on its own. The baseline beside everything else."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from sdqviz.array import FLOAT_BITS, Array
from sdqviz.bounds import layer as bound
from sdqviz.choice import PerLayer, field
from sdqviz.error import InputError
from sdqviz.methods import METHODS
from sdqviz.methods.method import CompressedLayer, MethodChoice, Task, check_layer_names, join_bias, split_bias
from sdqviz.progress import report, stop_if
from sdqviz.quantizers.alphabet import MAXIMUM_BITS, nearest_index
from sdqviz.storage.bits import Packed, step_up

SHRINKS = np.linspace(0.02, 1.0, 99)
"""Candidates for the largest level, as shares of the largest weight, among which the square error picks."""


@METHODS.register
@dataclasses.dataclass(frozen=True)
class RoundToNearest(MethodChoice):
    """Memoryless rounding with the midrise alphabet and one scale per neuron or per layer.

    Notes
    -----
    With ``fit="max"`` the alphabet's range Kδ is the largest weight, so every error is at most δ/2. With ``fit="mse"``
    the scale is the one of 99 candidates with the smallest square error; weights beyond Kδ are clipped and counted.
    """

    name = "round-to-nearest"
    title = "Rounding to nearest"

    bits: int = field(
        4, label="Bits per weight", help="2^bits levels in the midrise alphabet.", minimum=1, maximum=MAXIMUM_BITS
    )
    scale: str = field(
        "per-neuron",
        label="Scale",
        help="One step δ for each neuron (row of the matrix), or one for the layer; 32 bits each, counted.",
        options=("per-neuron", "per-layer"),
    )
    fit: str = field(
        "max",
        label="Scale fitted to",
        help="The largest weight (nothing is clipped), or the smallest mean square error (outliers are clipped).",
        options=("max", "mse"),
    )
    biases: str = field(
        "float",
        label="Biases",
        help="Kept in float (32 bits each, counted), or rounded together with the weights.",
        options=("float", "quantized"),
        advanced=True,
    )
    bits_by_layer: PerLayer = field(
        (),
        label="Bits by layer",
        help="Other bit depths for layers by name.",
        minimum=1,
        maximum=MAXIMUM_BITS,
        advanced=True,
    )

    def compress_layers(self, task: Task) -> Iterator[CompressedLayer]:
        """Round every layer."""
        from sdqviz.networks.layer import from_vectors, to_vectors

        bits_by_layer = check_layer_names("bits_by_layer", self.bits_by_layer, task.layers)
        for number, layer in enumerate(task.layers):
            stop_if(task.should_stop)
            report(task.progress, number, len(task.layers), layer.name)
            begun = time.perf_counter()
            bits = int(bits_by_layer.get(layer.name, self.bits))
            half = 2 ** (bits - 1)
            with_bias = self.biases == "quantized" and layer.bias is not None
            neurons = to_vectors(layer.weight, layer.groups, "rows")
            if with_bias:
                neurons = join_bias(neurons, layer.bias, layer.groups, "rows")
            step = step_up(self._step(neurons, half))
            index = nearest_index(neurons, step, half)
            rounded = (index + 0.5) * step
            overload = int((np.abs(neurons) > half * step).sum())
            weights, bias = split_bias(rounded, layer.groups, "rows") if with_bias else (rounded, None)
            steps = np.broadcast_to(step.reshape(-1), len(neurons))
            yield CompressedLayer(
                layer=layer,
                weight=from_vectors(weights, layer.weight.shape, layer.groups, "rows"),
                bias=bias,
                stored={
                    "levels": Packed((index + half).astype(np.uint16), bits),
                    "step": Packed(step.reshape(-1), FLOAT_BITS),
                },
                parameters={"bias": with_bias},
                parameter_bits=0,
                bounds=(bound.memoryless_layer_bound(steps, neurons.shape[1], overload == 0),),
                step=step.reshape(-1),
                levels=2 * half,
                size=neurons.shape[1],
                overload=overload,
                unstable=int((np.abs(neurons) > half * step).any(axis=1).sum()),
                seconds=time.perf_counter() - begun,
                weight_bits=bits,
            )

    def estimated_seconds(self, shapes: Sequence[tuple[int, ...]]) -> float:
        """Return roughly how long the rounding takes; fitting to the square error tries every candidate scale."""
        passes = len(SHRINKS) if self.fit == "mse" else 1
        return 4e-9 * passes * sum(math.prod(shape) for shape in shapes)

    def _step(self, neurons: Array, half: int) -> Array:
        """Return δ, shape (out, 1) or (1, 1)."""
        groups = neurons if self.scale == "per-neuron" else neurons.reshape(1, -1)
        largest = np.abs(groups).max(axis=1, keepdims=True)
        if self.fit == "max":
            return largest / half
        from sdqviz.kernels.rounding import rounding_errors
        from sdqviz.kernels.threads import run

        steps = SHRINKS * largest / (half - 0.5)
        errors = np.empty_like(steps)
        run(rounding_errors, np.ascontiguousarray(groups), steps, half, errors)
        return np.take_along_axis(steps, errors.argmin(axis=1)[:, None], axis=1)

    @classmethod
    def decode(
        cls, stored: Mapping[str, Packed], parameters: Mapping[str, Any], shape: tuple[int, ...], groups: int
    ) -> tuple[Array, Array | None]:
        """Return the weights that the stored levels and steps describe."""
        from sdqviz.networks.layer import from_vectors

        levels = stored["levels"]
        step = stored["step"].values.astype(float).reshape(-1, 1)
        if levels.values.ndim != 2 or len(levels.values) != shape[0] or len(step) not in (1, shape[0]):
            raise InputError(f"levels must have a row, and a step, for each of {shape[0]} neurons, got others")
        vectors = (levels.values.astype(float) - 2 ** (levels.bits - 1) + 0.5) * step
        bias = None
        if parameters["bias"]:
            vectors, bias = split_bias(vectors, groups, "rows")
        return from_vectors(vectors, shape, groups, "rows"), bias
