"""Frame quantization (Czaja & Na): each column becomes frame coefficients, and ΣΔ rounds those to a few bits."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from sdqviz.array import Array
from sdqviz.error import InputError
from sdqviz.frames import FRAMES
from sdqviz.methods import METHODS
from sdqviz.methods.frame_fields import FrameFields
from sdqviz.methods.frame_layer import EACH, FrameLayer
from sdqviz.methods.frame_states import synthesis_of
from sdqviz.methods.frame_vectors import chunks, rows_together
from sdqviz.methods.method import CompressedLayer, Task, check_layer_names, split_bias
from sdqviz.methods.pieces import Cut
from sdqviz.networks.layer import Layer
from sdqviz.progress import report
from sdqviz.sigma_delta.filters import FILTERS
from sdqviz.storage.bits import Packed, unpack_steps

PIECES = 8
"""How many times the vectors that are transformed together make a piece of a layer, for all threads to have work."""


@METHODS.register
@dataclasses.dataclass(frozen=True)
class FrameQuantization(FrameFields):
    """ΣΔ quantization of weight matrices over a finite frame; order 0 rounds each coefficient by itself.

    N is given either as ``size``, the same in every layer as the paper does, or as ``redundancy`` N/d; with neither,
    the redundancy is 4. A ``redundancy`` is rounded up to the next N for which the family has a frame, and to an even
    one where first-order ΣΔ would end on a tie (Σe_n = 0). At order 0 the redundancy of layers with d ≤ 16 is three
    times as large (at 2 bits and more 1.6 times): their vectors are too short to spread, and few. The half-frequency
    family exists for even d; where d is odd the harmonic one, which then exists from N = d on too, takes its place.

    Notes
    -----
    Czaja & Na, *Frame Quantization of Neural Networks*, arXiv 2404.08131, Algorithm 1. The paper's step is
    ``norm-global`` with its condition (9); the ``range`` rules use what stability really needs, max|⟨w, e_n⟩|.
    """

    name = "frame"
    title = "Frame quantization (ΣΔ)"
    short = "Frame ΣΔ"

    def compress_layers(self, task: Task) -> Iterator[CompressedLayer]:
        """Quantize every layer; the global rule looks at all of them first."""
        work = list(self._work(task))
        columns = sum(len(item.vectors) for item in work)
        done = 0
        norm = max((item.largest_norm for item in work), default=0.0) if self.beyond_layer else math.nan
        for item in work:
            yield item.run(
                norm, lambda part, at=done, name=item.layer.name: report(task.progress, at + part, columns, name)
            )
            done += len(item.vectors)

    def _work(self, task: Task) -> Iterator[FrameLayer]:
        bits = check_layer_names("bits_by_layer", self.bits_by_layer, task.layers)
        sizes = check_layer_names("size_by_layer", self.size_by_layer, task.layers)
        for layer in task.layers:
            yield FrameLayer(self, layer, int(bits.get(layer.name, self.bits)), sizes.get(layer.name), task)

    @property
    def beyond_layer(self) -> str:
        """The step rule, where it is one step for all layers."""
        return "step_rule norm-global" if self.step is None and self.step_rule == "norm-global" else ""

    def cut(self, shape: tuple[int, ...]) -> Cut | None:
        """Return how a layer without groups can be cut in pieces: as many vectors as are transformed together."""
        outputs, inputs = shape[0], math.prod(shape[1:])
        if self.biases == "quantized" or self.beyond_layer or (len(shape) > 2 and self.axis == "columns"):
            return None
        dimension = outputs if self.axis == "columns" else inputs
        size = next((size for _, size in self.size_by_layer), None)
        bits = int(next((bits for _, bits in self.bits_by_layer), self.bits))
        count = PIECES * rows_together(self.frame_choice(dimension, size, bits).size)
        return Cut(self.axis, count, one_step=self.step is not None or self.step_rule not in EACH)

    def look(self, piece: Layer, seed: int) -> float:
        """Return what a step for the whole layer depends on: the largest norm or coefficient of a piece."""
        if self.step is not None or self.step_rule in EACH:
            return 0.0
        work = next(self._work(Task((piece,), seed)))
        return work.largest_norm if self.step_rule == "norm-layer" else work.largest_coefficient()

    def settled(self, looks: Sequence[float], seed: int) -> Callable[[Layer], CompressedLayer]:
        """Return what compresses a layer's pieces, with one step for all of them where the rule says so."""
        own, largest = self, max(looks)
        if largest > 0:
            bits = int(next((bits for _, bits in self.bits_by_layer), self.bits))
            reach = FILTERS[self.filter]().taps(self.order, bits).reach(bits)
            own = dataclasses.replace(self, step=largest / reach)
        return lambda piece: next(own.compress_layers(Task((piece,), seed)))

    @classmethod
    def decode(
        cls, stored: Mapping[str, Packed], parameters: Mapping[str, Any], shape: tuple[int, ...], groups: int
    ) -> tuple[Array, Array | None]:
        """Return the weights that the stored levels, steps and frame describe."""
        from sdqviz.networks.layer import from_vectors

        levels, chosen = stored["levels"], FRAMES.from_dict(parameters["frame"])
        outputs, inputs = shape[0] // groups, math.prod(shape[1:])
        biases = bool(parameters["bias"])
        count, dimension = (
            (groups * (inputs + biases), outputs) if parameters["axis"] == "columns" else (shape[0], inputs + biases)
        )
        if (count, chosen.size, chosen.dimension) != (*levels.values.shape, dimension):  # before a frame is built
            raise InputError(
                f"levels must have shape {(count, chosen.size)} and their frame dimension {dimension}, got "
                f"{levels.values.shape} and {chosen.dimension}"
            )
        synthesize = synthesis_of(parameters, levels.bits)
        half = 2 ** (levels.bits - 1)
        step = np.broadcast_to(unpack_steps(stored["step"]).reshape(-1, 1), (len(levels.values), 1))
        vectors = np.empty((len(levels.values), dimension))
        for rows in chunks(*levels.values.shape):
            vectors[rows] = synthesize((levels.values[rows].astype(float) - half + 0.5) * step[rows])
        bias = None
        if parameters["bias"]:
            vectors, bias = split_bias(vectors, groups, parameters["axis"])
        return from_vectors(vectors, shape, groups, parameters["axis"]), bias
