"""What all calibrated methods share: their fields, and the way of the data from layer to layer."""

from __future__ import annotations

import abc
import dataclasses
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from sdqviz.array import Array
from sdqviz.choice import PerLayer, field
from sdqviz.methods.calibrated.device_walk import walker_on
from sdqviz.methods.calibrated.group_work import groups_of
from sdqviz.methods.calibrated.layer_by_layer import layer_by_layer
from sdqviz.methods.calibrated.layer_work import LayerWork
from sdqviz.methods.calibrated.plan import Plan
from sdqviz.methods.calibrated.scale import AUTO, CHOICES, FITS, SCALES, ScaleFit, candidates
from sdqviz.methods.method import (
    CompressedLayer,
    LeftAlone,
    MethodChoice,
    NewTensors,
    Task,
    check_layer_names,
    split_bias,
)
from sdqviz.networks.layer import Layer, from_vectors
from sdqviz.quantizers.alphabet import MAXIMUM_BITS
from sdqviz.storage import codes as coding
from sdqviz.storage.bits import Packed

if TYPE_CHECKING:
    from sdqviz.methods.calibrated.calibration import Calibration

BIASES = {
    "float": "Kept in float",
    "corrected": "Kept, mean error taken out",
    "quantized": "Quantized like weights",
}


@dataclasses.dataclass(frozen=True)
class PathFollowing(MethodChoice):
    """A method that quantizes one weight after the other and lets the later ones make up for the errors so far."""

    bits: int = field(
        4, label="Bits per weight", help="Levels each weight may take: at most 2^bits.", minimum=1, maximum=MAXIMUM_BITS
    )
    alphabet: str = field(
        AUTO,
        label="Alphabet",
        help="Midrise: 2^bits levels without a zero. Midtread: 2^bits − 1 levels with a zero. Two's complement: one "
        "level more below. Affine: 2^bits levels with the zero anywhere, its place stored with each step. Auto: in "
        "each layer the one with the least error on the calibration data.",
        options=CHOICES,
    )
    scale: str = field(
        "per-neuron",
        label="Scale",
        help="One step δ for each neuron (row of the matrix), one for the layer, or one for every 128, 64 or 32 inputs "
        "of each neuron; all are stored and counted.",
        options=SCALES,
    )
    step_bits: str = field(
        "32",
        label="Bits of a scale",
        help="Each step is stored as a float of 16 or 32 bits, rounded up; 16 bits reach as far as 32, less finely.",
        options=("16", "32"),
        advanced=True,
    )
    fit: str = field(
        "search",
        label="Scale fitted to",
        help="The largest weight; a percentile of the weights; the smallest square error of the weights; or the "
        "smallest error once feedback has moved them, as the calibration data make it.",
        options=FITS,
    )
    percentile: float = field(
        100.0,
        label="Percentile",
        help="For the percentile fit: this percentile of |w| becomes the largest level; for one scale per layer the "
        "mean over its neurons, as SPFQ does.",
        minimum=1.0,
        maximum=100.0,
        advanced=True,
    )
    stretch: float = field(
        1.0,
        label="Stretch of the scale",
        help="Multiplies the fitted scale.",
        minimum=0.01,
        maximum=100.0,
        advanced=True,
    )
    biases: str = field(
        "float",
        label="Biases",
        help="Kept in float; kept in float and moved by the mean error on the calibration data; or quantized as one "
        "more weight of an input that is always 1.",
        options=BIASES,
        advanced=True,
    )
    batch_norm: str = field(
        "kept",
        label="Batch normalisation",
        help="Statistics kept as they are, or estimated anew from the compressed network's activations.",
        options={"kept": "Kept", "estimated": "Estimated anew"},
        advanced=True,
    )
    patches: float = field(
        1.0,
        label="Share of patches",
        help="Share of the positions of a convolution that calibration looks at, drawn at random for each batch.",
        minimum=1e-4,
        maximum=1.0,
        advanced=True,
    )
    device: str = field(
        "auto",
        label="Device",
        help="Where forward passes, sums and walks are computed: auto uses CUDA where there is one.",
        options={"auto": "Automatic", "cpu": "Processor", "cuda": "CUDA"},
        advanced=True,
    )
    largest_errors: bool = field(
        False,
        label="Largest errors",
        help="Pass the data through each layer a second time, to find the largest error of every neuron.",
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

    def check(self) -> None:
        """Refuse an alphabet that has no levels at the bits."""
        plan = self.plan()
        for bits in (self.bits, *(int(bits) for _, bits in self.bits_by_layer)):
            candidates(plan.alphabet, plan.level_bits or bits)

    @abc.abstractmethod
    def plan(self) -> Plan:
        """Return how this method quantizes a layer."""

    @property
    def stochastic(self) -> bool:
        """Whether the operator draws random numbers."""
        return self.plan().operator(0.0).random

    @property
    def spreads(self) -> bool:
        """Always: a walk depends on no other neuron."""
        return True

    def estimated_seconds(self, shapes: Sequence[tuple[int, ...]]) -> float:
        """Return roughly how long calibrating and walking take; fitting the scale costs about another walk."""
        walks = 2 if self.fit == "search" else 1
        total = 0.0
        for shape in shapes:
            outputs, inputs = shape[0], math.prod(shape[1:])
            total += (0.6 if len(shape) > 2 else 0.1) + walks * 1e-9 * inputs**2 * outputs
        return total

    def compress_layers(self, task: Task) -> Iterator[CompressedLayer | LeftAlone | NewTensors]:
        """Compress the layers in the order in which the data meet them."""
        bits_by_layer = check_layer_names("bits_by_layer", self.bits_by_layer, task.layers)
        return layer_by_layer(
            self.name,
            task,
            self.device,
            self.batch_norm,
            lambda data, layer: self._compressed(data, layer, int(bits_by_layer.get(layer.name, self.bits)), task),
        )

    def _compressed(self, calibration: Calibration, layer: Layer, bits: int, task: Task) -> CompressedLayer:
        """Collect what the data say of a layer, then walk."""
        begun = time.perf_counter()
        plan = self.plan()
        found = calibration.moments(layer, self.patches, task.seed)
        groups = groups_of(plan, self.biases, layer, found.groups, task, walker_on(calibration.device))
        fit = ScaleFit(self.scale, self.fit, self.percentile, self.stretch, int(self.step_bits))
        work = LayerWork(plan, fit, bits, self.biases, layer, groups, found.ratio, task.should_stop, task.spread)
        item = work.compressed(begun)
        if not self.largest_errors or item.path is None:
            return item
        largest = calibration.largest_errors(layer, item.weight, self.patches, task.seed)
        return dataclasses.replace(item, path=dataclasses.replace(item.path, largest_errors=largest))

    @classmethod
    def decode(
        cls, stored: Mapping[str, Packed], parameters: Mapping[str, Any], shape: tuple[int, ...], groups: int
    ) -> tuple[Array, Array | None]:
        """Return the weights that the stored codes and steps describe."""
        return decode_layer(stored, parameters, shape, groups)


def decode_layer(
    stored: Mapping[str, Packed], parameters: Mapping[str, Any], shape: tuple[int, ...], groups: int
) -> tuple[Array, Array | None]:
    """Return (weight, bias or None) from the parts that `sdqviz.storage.codes` wrote."""
    how = parameters["biases"]
    width = int(np.prod(shape[1:])) + (how == "quantized")
    neurons = coding.decode(stored, parameters, shape[0], width)
    bias = None
    if how == "quantized":
        neurons, bias = split_bias(neurons, groups, "rows")
    elif "bias" in stored:
        bias = stored["bias"].values.astype(float)
    return from_vectors(neurons, shape, groups, "rows"), bias
