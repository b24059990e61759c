"""Calibrated columns: the paper's theorem for every column, with the errors of the earlier ones fed back."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from sdqviz.array import Array
from sdqviz.bounds.calibrated import columns_bound
from sdqviz.bounds.hypotheses import unit_norm_tight
from sdqviz.choice import PerLayer, field, field_of
from sdqviz.error import InputError
from sdqviz.frames import FRAMES
from sdqviz.frames.frame import FrameChoice
from sdqviz.methods import METHODS
from sdqviz.methods.calibrated.column_walk import ColumnRule, decode_columns, quantize_columns
from sdqviz.methods.calibrated.in_frame import PARAMETER_BITS, InFrame, finished, live_groups, live_inputs, stored_bias
from sdqviz.methods.calibrated.layer_by_layer import layer_by_layer
from sdqviz.methods.frame_calibrated import FrameCalibrated
from sdqviz.methods.frame_fields import SHORT, SHORT_FACTOR
from sdqviz.methods.frame_vectors import walk_through
from sdqviz.methods.gptq import Gptq
from sdqviz.methods.method import CompressedLayer, LeftAlone, NewTensors, Task, check_layer_names
from sdqviz.networks.layer import Layer, from_vectors
from sdqviz.sigma_delta.taps import difference
from sdqviz.storage.bits import Packed, pack_steps, unpack_steps

if TYPE_CHECKING:
    from sdqviz.methods.calibrated.calibration import Calibration

MOST_REDUNDANCY = 64.0
PATHS = 8
"""Of the beam through the coefficients of short columns, whose frames are redundant."""


STAYS = (
    "each column is one short vector, transformed and quantized by itself, and it waits for the errors of the columns "
    "before, so a device has next to nothing to do at once"
)
"""Why these walks stay on the processor."""


@METHODS.register
@dataclasses.dataclass(frozen=True)
class FrameColumns(InFrame):
    """Calibrated frame ΣΔ of columns: provable on the calibration inputs.

    The columns of W are quantized in turn, each as one vector in a spread frame over the outputs, after the errors so
    far have been fed back to it. Its step covers its range, so its theorem holds, and with it a bound on the layer's
    output error on the calibration inputs. Columns of up to 16 outputs have more redundancy, as in ``frame``.

    Notes
    -----
    The vector bound is that of Czaja & Na (arXiv 2404.08131), Theorem 3.1, in its spectral form, or ½√d·δ at order 0;
    the sum over columns is proved in our docs: calibrated-frames.
    """

    name = "frame-columns"
    title = "Calibrated frame ΣΔ of columns"
    short = "Column frame ΣΔ"

    alignment: str = field_of(InFrame, "alignment", "none")
    bits: int = field_of(FrameCalibrated, "bits", 2)
    redundancy: float = field(
        1.0,
        label="Redundancy N/d",
        help="Levels stored for each output, times the live inputs.",
        minimum=1.0,
        maximum=MOST_REDUNDANCY,
    )
    order: int = field(
        0,
        label="Order of ΣΔ",
        help="0 rounds each coefficient by itself (frame rounding); 1 feeds each error to the next.",
        minimum=0,
        maximum=1,
    )
    step_rule: str = field(
        "range",
        label="Step rule",
        help="Each column's step covers its largest coefficient, and the bound is in force; or it is fitted to the "
        "smallest error, and the bound lapses.",
        options={"range": "Covers the column", "fitted": "Fitted to the error"},
    )
    signs: bool = field(
        True,
        label="Random signs",
        help="Change the signs of the vectors' coordinates at random (from the seed).",
        advanced=True,
    )
    damping: float = field_of(Gptq, "damping")
    bits_by_layer: PerLayer = field_of(FrameCalibrated, "bits_by_layer")
    device: str = field_of(
        InFrame, "device", help=f"Where forward passes and sums are computed; the walk stays on the processor: {STAYS}."
    )

    def check(self) -> None:
        """Refuse one bit where a step that covers the range makes the walk diverge."""
        least = min([self.bits, *(int(value) for _, value in self.bits_by_layer)])
        if least == 1 and self.redundancy < 2 and self.step_rule == "range":
            raise InputError(
                f"redundancy must be at least 2 for 1 bit with steps that cover the range, got {self.redundancy:g}: "
                "take it larger, 2 bits or a fitted step",
                redundancy=2.0,
            )

    def frame_choice(self, dimension: int, bits: int) -> FrameChoice:
        """Return the frame of columns of so many outputs."""
        redundancy = self.redundancy * (SHORT_FACTOR[min(bits, 2)] if dimension <= SHORT and self.order == 0 else 1.0)
        family = FRAMES["half-frequency" if dimension % 2 == 0 else "harmonic"]
        return family(
            dimension=dimension, size=family.admissible_size(dimension, math.ceil(redundancy * dimension - 1e-9))
        )

    def compress_layers(self, task: Task) -> Iterator[CompressedLayer | LeftAlone | NewTensors]:
        """Compress the layers in the order in which the data meet them."""
        bits = check_layer_names("bits_by_layer", self.bits_by_layer, task.layers)

        def compressed(data: Calibration, layer: Layer) -> CompressedLayer | LeftAlone:
            begun = time.perf_counter()
            groups = live_groups(self, layer, data.moments(layer, self.patches, task.seed).groups)
            if not all(group.live.any() for group in groups):
                return LeftAlone(layer.name, "none of its inputs is other than 0 on the calibration data")
            try:
                return self._compressed(layer, groups, int(bits.get(layer.name, self.bits)), task, begun)
            except InputError as error:
                raise InputError(f"layer {layer.name}: {error}") from None

        return layer_by_layer(self.name, task, self.device, self.batch_norm, compressed, STAYS)

    def _compressed(
        self, layer: Layer, groups: list[Any], bits: int, task: Task, begun: float
    ) -> CompressedLayer:  # fmt: skip
        chosen = self.frame_choice(layer.weight.shape[0] // layer.groups, bits)
        carrier = walk_through(
            chosen, "identity", task.seed, self.signs, None, task.should_stop, difference(self.order)
        )
        rule = ColumnRule(bits, self.step_rule == "fitted", PATHS if chosen.dimension <= SHORT else 1)
        found = [
            quantize_columns(group.gram.inputs, group.target, carrier, rule, self.damping, task.should_stop)
            for group in groups
        ]
        steps, overload = np.concatenate([one.step for one in found]), sum(one.overload for one in found)
        return finished(
            self, layer, groups, [one.neurons for one in found], begun,
            stored={
                "levels": Packed(np.concatenate([one.levels for one in found]), bits),
                "step": pack_steps(steps, 16),
            },
            parameters={"frame_size": chosen.size, "seed": task.seed, "signs": self.signs},
            parameter_bits=PARAMETER_BITS,
            bounds=(
                columns_bound(
                    [one.pivots for one in found], [one.vector_bounds for one in found], groups[0].gram.samples,
                    overload, unit_norm_tight(carrier.walk),
                ),
            ),
            damping=[one.damping for one in found],
            step=steps,
            levels=2**bits,
            size=chosen.size,
            overload=overload,
            unstable=0,
            note="",
        )  # fmt: skip

    def estimated_seconds(self, shapes: Sequence[tuple[int, ...]]) -> float:
        """Return roughly how long calibrating and walking over the columns take."""
        tries = 12 if self.step_rule == "fitted" else 1
        total = 0.0
        for shape in shapes:
            outputs, inputs = shape[0], math.prod(shape[1:])
            total += (0.6 if len(shape) > 2 else 0.1) + 1e-9 * inputs**2 * outputs
            total += inputs * tries * (2e-4 + 5e-8 * self.redundancy * outputs)
        return total

    @classmethod
    def decode(
        cls, stored: Mapping[str, Packed], parameters: Mapping[str, Any], shape: tuple[int, ...], groups: int
    ) -> tuple[Array, Array | None]:
        """Return the weights that the stored levels, steps, map and seed describe."""
        levels, steps = stored["levels"], unpack_steps(stored["step"]).reshape(-1)
        outputs, width = shape[0] // groups, math.prod(shape[1:])
        live = live_inputs(stored, groups, width)
        size = parameters["frame_size"]
        if levels.values.shape != (int(live.sum()), size) or len(steps) != len(levels.values):
            raise InputError(
                f"levels and steps must have shapes {(int(live.sum()), size)} and {(int(live.sum()),)}, got "
                f"{levels.values.shape} and {steps.shape}"
            )
        family = FRAMES["half-frequency" if outputs % 2 == 0 else "harmonic"]
        chosen = family(dimension=outputs, size=size)
        carrier = walk_through(chosen, "identity", parameters["seed"], bool(parameters["signs"]))
        weights, begin = np.zeros((shape[0], width)), 0
        for group in range(groups):
            count = int(live[group].sum())
            own = slice(begin, begin + count)
            neurons = decode_columns(carrier, levels.values[own], steps[own], levels.bits)
            weights[group * outputs : (group + 1) * outputs, live[group]] = neurons
            begin += count
        return from_vectors(weights, shape, groups, "rows"), stored_bias(stored)
