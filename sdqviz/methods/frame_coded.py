"""Entropy-coded neurons: an unlimited alphabet behind the feedback walk, any rate by one number, a bound that holds."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from sdqviz.array import Array
from sdqviz.bounds.calibrated import rows_bound
from sdqviz.choice import PerLayer, field, field_of
from sdqviz.error import InputError
from sdqviz.methods import METHODS
from sdqviz.methods.calibrated.device_walk import walker_on
from sdqviz.methods.calibrated.in_frame import PARAMETER_BITS, InFrame, finished, live_groups, live_inputs, stored_bias
from sdqviz.methods.calibrated.layer_by_layer import layer_by_layer
from sdqviz.methods.gptq import Gptq
from sdqviz.methods.method import CompressedLayer, LeftAlone, NewTensors, Task, check_layer_names
from sdqviz.networks.layer import Layer, from_vectors
from sdqviz.path_following.beam import Walker
from sdqviz.path_following.coded_rows import code_rows, decode_coded, steps_of
from sdqviz.path_following.row_frame import RowFrame
from sdqviz.storage.bits import Packed
from sdqviz.storage.entropy import WIDTH_BITS, decode_symbols, encode_symbols, width_index

if TYPE_CHECKING:
    from sdqviz.methods.calibrated.calibration import Calibration

FINEST, COARSEST = 1e-4, 4.0


@METHODS.register
@dataclasses.dataclass(frozen=True)
class FrameCoded(InFrame):
    """Calibrated rounding to whole numbers without limit, entropy-coded: the rate follows from one number.

    No value is ever clipped, so the bound C2 on the layer's output error holds at every rate. In the pixel basis, the
    weights themselves, this is GPTQ with a coder behind it; with a coder the frame brings nothing.

    Notes
    -----
    WaterSIC (arXiv 2603.04956) has entropy-coded columns with rates of their own.
    """

    name = "frame-coded"
    title = "Calibrated rounding, entropy-coded"
    short = "Coded rounding"

    rate: float = field(
        0.4,
        label="Step c",
        help="The step of each coordinate as a multiple of the output's size: smaller is finer and takes more bits. "
        "0.3 gives about 1.1 bits a weight, 0.5 about 0.85.",
        minimum=FINEST,
        maximum=COARSEST,
    )
    basis: str = field(
        "frame",
        label="Basis",
        help="A spread frame with N = d, or pixels: the weights themselves, which is GPTQ + coder and as good.",
        options={"frame": "A spread frame", "pixels": "The weights themselves"},
    )
    damping: float = field_of(Gptq, "damping", 0.02)
    rate_by_layer: PerLayer = field(
        (), label="c by layer", help="Other steps for layers by name.", minimum=FINEST, maximum=COARSEST, advanced=True
    )

    def compress_layers(self, task: Task) -> Iterator[CompressedLayer | LeftAlone | NewTensors]:
        """Compress the layers in the order in which the data meet them."""
        rates = check_layer_names("rate_by_layer", self.rate_by_layer, task.layers)

        def compressed(data: Calibration, layer: Layer) -> CompressedLayer | LeftAlone:
            begun = time.perf_counter()
            groups = live_groups(self, layer, data.moments(layer, self.patches, task.seed).groups)
            if not all(group.live.any() for group in groups):
                return LeftAlone(layer.name, "none of its inputs is other than 0 on the calibration data")
            try:
                return self._compressed(
                    layer, groups, rates.get(layer.name, self.rate), task, begun, walker_on(data.device)
                )
            except InputError as error:
                raise InputError(f"layer {layer.name}: {error}") from None

        return layer_by_layer(self.name, task, self.device, self.batch_norm, compressed)

    def _compressed(
        self, layer: Layer, groups: list[Any], rate: float, task: Task, begun: float, walker: Walker
    ) -> CompressedLayer:  # fmt: skip
        found = []
        for group in groups:
            frame = RowFrame(int(group.live.sum()), 1.0, task.seed) if self.basis == "frame" else None
            found.append(code_rows(group.gram, group.target, frame, rate, self.damping, task.should_stop, walker))
        symbols = np.concatenate([one.symbols for one in found])
        width, largest = width_index(symbols), max(1, int(np.abs(symbols).max(initial=0)))
        steps = [steps_of(one.base, one.exponent) for one in found]
        neurons = layer.weight.shape[0] // layer.groups
        return finished(
            self, layer, groups, [one.neurons for one in found], begun,
            stored={
                "stream": Packed(encode_symbols(symbols, width, largest), 8),
                "step": Packed(np.concatenate([one.exponent for one in found]), 8),
                "width": Packed(width, WIDTH_BITS),
            },
            parameters={
                "basis": self.basis, "seed": task.seed, "largest": largest, "base": [one.base for one in found]
            },
            parameter_bits=PARAMETER_BITS + 32 + 32 * len(found),
            bounds=(
                rows_bound(
                    [one.pivots for one in found],
                    [np.broadcast_to(own[:, None], (len(own), neurons)) for own in steps],
                    groups[0].gram.samples,
                    0,
                ),
            ),
            damping=[one.damping for one in found],
            step=np.concatenate(steps),
            levels=2 * largest + 1,
            size=len(steps[0]),
            overload=0,
            unstable=0,
            note="" if self.basis == "frame" else f"layer {layer.name}: in the pixel basis this is GPTQ + coder",
        )  # fmt: skip

    def estimated_seconds(self, shapes: Sequence[tuple[int, ...]]) -> float:
        """Return roughly how long calibrating, one walk and the coder take."""
        total = 0.0
        for shape in shapes:
            outputs, inputs = shape[0], math.prod(shape[1:])
            total += (0.6 if len(shape) > 2 else 0.1) + 1e-9 * inputs**2 * outputs + 3e-7 * inputs * outputs
        return total

    @classmethod
    def decode(
        cls, stored: Mapping[str, Packed], parameters: Mapping[str, Any], shape: tuple[int, ...], groups: int
    ) -> tuple[Array, Array | None]:
        """Return the weights that the stored stream, steps, widths, map and seed describe."""
        outputs, width = shape[0] // groups, math.prod(shape[1:])
        live = live_inputs(stored, groups, width)
        exponent, base = stored["step"].values, parameters["base"]
        total = int(live.sum())
        if exponent.shape != (total,) or stored["width"].values.shape != (total,) or len(base) != groups:
            raise InputError(f"steps and widths must be {total} each, got {exponent.shape}")
        symbols = decode_symbols(
            stored["stream"].values, stored["width"].values, int(parameters["largest"]), outputs
        ).astype(np.int64)
        weights, begin = np.zeros((shape[0], width)), 0
        for group in range(groups):
            count = int(live[group].sum())
            own = slice(begin, begin + count)
            frame = RowFrame(count, 1.0, parameters["seed"]) if parameters["basis"] == "frame" else None
            neurons = decode_coded(frame, symbols[own], float(base[group]), exponent[own])
            weights[group * outputs : (group + 1) * outputs, live[group]] = neurons
            begin += count
        return from_vectors(weights, shape, groups, "rows"), stored_bias(stored)
