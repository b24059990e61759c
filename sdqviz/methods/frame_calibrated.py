"""Calibrated frame ΣΔ: neurons in a spread frame, with the Cholesky factor of the inputs' Gram matrix as the filter."""

from __future__ import annotations

import dataclasses
import functools
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
from sdqviz.methods.calibrated.in_frame import (
    ALIGNMENT_DAMPING,
    FINE_ALIGNMENT_DAMPING,
    PARAMETER_BITS,
    InFrame,
    finished,
    live_groups,
    live_inputs,
    stored_bias,
)  # fmt: skip
from sdqviz.methods.calibrated.layer_by_layer import layer_by_layer
from sdqviz.methods.method import CompressedLayer, LeftAlone, NewTensors, Task, check_layer_names
from sdqviz.networks.layer import Layer, from_vectors
from sdqviz.path_following.beam import MOST_PATHS, Walker
from sdqviz.path_following.frame_parts import quantize_parts
from sdqviz.path_following.quantized_rows import quantize_rows
from sdqviz.path_following.row_frame import LEAST_REDUNDANCY, MOST_REDUNDANCY, RowFrame, parts_for
from sdqviz.path_following.row_product import FrameRows
from sdqviz.storage.bits import Packed, pack_steps, step_up, unpack_steps

if TYPE_CHECKING:
    from sdqviz.methods.calibrated.calibration import Calibration

MOST_BITS = 8
FEW_BITS = 2
DAMPING, FINE_DAMPING = 0.1, 0.01
"""Damping up to so many bits, and above: coarse levels need a calmer filter."""

UNDERSAMPLED_PATHS = 16

STAYS = (
    "the paths of a beam branch, are sorted and let go of at every step, each neuron's in its own way; only walks of "
    "one path are work for a device"
)
"""Why a beam stays on the processor."""


@METHODS.register
@dataclasses.dataclass(frozen=True)
class FrameCalibrated(InFrame):
    """Calibrated frame ΣΔ of neurons, about ``bits`` × ``redundancy`` bits a weight, below one bit too.

    Each neuron's coordinates in a harmonic frame behind random signs are rounded in turn, each with the errors so far,
    fed back through U of E H Eᵀ + λI = U D Uᵀ, H the Gram matrix of the layer's inputs: so the output changes least.

    Notes
    -----
    With E = I this is GPTQ, which is Babai's algorithm (arXiv 2507.18553). FrameQuant (arXiv 2403.06082) is the
    closest relative. What the walk leaves is known exactly, `sdqviz.path_following.factor.error_terms`.
    """

    name = "frame-calibrated"
    title = "Calibrated frame ΣΔ"
    short = "Calibrated ΣΔ"

    bits: int = field(
        1, label="Bits per level", help="2^bits levels in the midrise alphabet.", minimum=1, maximum=MOST_BITS
    )
    redundancy: float = field(
        1.0,
        label="Redundancy N/d",
        help="Levels stored for each live input; times the bits, about the bits per weight. Below 1 the vectors are "
        "no frame of R^d: neurons are then approximated in a random subspace.",
        minimum=LEAST_REDUNDANCY,
        maximum=MOST_REDUNDANCY,
    )
    signs: bool = field(
        True,
        label="Random signs",
        help="Change the signs of the vectors' coordinates at random (from the seed), so that no neuron lines up with "
        "a frame vector.",
    )
    paths: int | None = field(
        None,
        label="Paths of the beam",
        help="So many walks are followed for each neuron; 1 is the greedy walk. Left open: 1, and 16 where N < d.",
        minimum=1,
        maximum=MOST_PATHS,
    )
    damping: float | None = field(
        None,
        label="Damping",
        help="Added to the diagonal of the Gram matrix, as a share of its mean. Left open: 0.1 up to 2 bits, "
        "else 0.01.",
        minimum=0.0,
        maximum=100.0,
        advanced=True,
    )
    bits_by_layer: PerLayer = field(
        (), label="Bits by layer", help="Other bit depths for layers by name.", minimum=1, maximum=MOST_BITS,
        advanced=True,
    )  # fmt: skip
    redundancy_by_layer: PerLayer = field(
        (), label="N/d by layer", help="Other redundancies for layers by name.", minimum=LEAST_REDUNDANCY,
        maximum=MOST_REDUNDANCY, advanced=True,
    )  # fmt: skip

    device: str = field_of(
        InFrame,
        "device",
        help=f"Where forward passes, sums and walks are computed; a beam stays on the processor: {STAYS}.",
    )

    def check(self) -> None:
        """Refuse a singular Gram matrix without damping."""
        most = max([self.redundancy, *(value for _, value in self.redundancy_by_layer)])
        if self.damping == 0 and most > 1:
            raise InputError(
                f"damping must be above 0 where N > d, whose Gram matrix is singular, got 0 with redundancy {most:g}",
                damping=0.01,
            )

    @property
    def _beams(self) -> bool:
        """Whether any layer has more paths than one."""
        least = min([self.redundancy, *(value for _, value in self.redundancy_by_layer)])
        return least < 1 if self.paths is None else self.paths > 1

    def compress_layers(self, task: Task) -> Iterator[CompressedLayer | LeftAlone | NewTensors]:
        """Compress the layers in the order in which the data meet them."""
        bits = check_layer_names("bits_by_layer", self.bits_by_layer, task.layers)
        redundancies = check_layer_names("redundancy_by_layer", self.redundancy_by_layer, task.layers)

        def compressed(data: Calibration, layer: Layer) -> CompressedLayer | LeftAlone:
            begun = time.perf_counter()
            found = data.moments(layer, self.patches, task.seed)
            fine = int(bits.get(layer.name, self.bits)) > FEW_BITS
            groups = live_groups(self, layer, found.groups, FINE_ALIGNMENT_DAMPING if fine else ALIGNMENT_DAMPING)
            if not all(group.live.any() for group in groups):
                return LeftAlone(layer.name, "none of its inputs is other than 0 on the calibration data")
            own = int(bits.get(layer.name, self.bits)), redundancies.get(layer.name, self.redundancy)
            try:
                return self._compressed(layer, groups, *own, task, begun, walker_on(data.device))
            except InputError as error:
                raise InputError(f"layer {layer.name}: {error}") from None

        return layer_by_layer(self.name, task, self.device, self.batch_norm, compressed, STAYS if self._beams else "")

    def _compressed(
        self, layer: Layer, groups: list[Any], bits: int, redundancy: float, task: Task, begun: float,
        walker: Walker,
    ) -> CompressedLayer:  # fmt: skip
        usual = DAMPING if bits <= FEW_BITS else FINE_DAMPING
        damping = usual if self.damping is None else self.damping
        found, parts = [], parts_for(max(int(group.live.sum()) for group in groups), redundancy)
        for group in groups:
            frame = RowFrame(int(group.live.sum()), redundancy, task.seed, self.signs, parts)
            paths = (UNDERSAMPLED_PATHS if frame.undersampled else 1) if self.paths is None else self.paths
            own = group.gram.cross is None and group.target is group.weights  # then the walk knows its error
            known = None if own and paths == 1 and not frame.undersampled else group.errors
            rest = functools.partial(step_up, bits=16), frame, bits, paths, damping, task.should_stop, walker
            if parts > 1:
                found.append(quantize_parts(group.gram, group.target, group.errors, *rest))
            else:
                found.append(quantize_rows(group.gram, group.target, known, *rest))
        steps = np.concatenate([one.step for one in found])
        overload = np.concatenate([one.overload for one in found])
        frames = [RowFrame(int(group.live.sum()), redundancy, parts=parts) for group in groups]
        size = max(frame.size for frame in frames)
        note = ""
        if any(frame.undersampled for frame in frames):
            worst = frames[0].dimension
            note = f"layer {layer.name} is undersampled, N = {size} of d = {worst}: these vectors are no frame of R^d"
        if parts > 1:
            told = f"one Gram matrix of layer {layer.name} in a frame of size {size} would not fit in memory"
            note += f"{'; ' if note else ''}{told}, so its inputs are split over {parts} groups"
        return finished(
            self, layer, groups, [one.neurons for one in found], begun,
            stored={
                "levels": Packed(np.concatenate([one.levels.reshape(-1) for one in found]), bits),
                "step": pack_steps(steps, 16),
            },
            parameters={"redundancy": redundancy, "seed": task.seed, "signs": self.signs}
            | ({"parts": parts} if parts > 1 else {}),
            parameter_bits=PARAMETER_BITS + (32 if parts > 1 else 0),
            bounds=(
                rows_bound(
                    [one.pivots for one in found], [one.step for one in found], groups[0].gram.samples,
                    int(overload.sum()), not any(frame.undersampled for frame in frames),
                ),
            ),
            damping=[one.damping for one in found],
            step=steps,
            levels=2**bits,
            size=size,
            overload=int(overload.sum()),
            unstable=int((overload > 0).sum()),
            note=note,
            missed=[one.missed for one in found],
        )  # fmt: skip

    def estimated_seconds(self, shapes: Sequence[tuple[int, ...]]) -> float:
        """Return roughly how long calibrating and six walks take; a beam walks all its paths once more."""
        paths = self.paths or (UNDERSAMPLED_PATHS if self.redundancy < 1 else 1)
        walks = 6 + (2 * paths if paths > 1 else 0)
        total = 0.0
        for shape in shapes:
            outputs, inputs = shape[0], math.prod(shape[1:])
            size = self.redundancy * inputs
            total += (0.6 if len(shape) > 2 else 0.1) + walks * 1e-9 * size**2 * outputs + 1e-10 * size**3
        return total

    @classmethod
    def rows_in_frame(
        cls, stored: Mapping[str, Packed], parameters: Mapping[str, Any], shape: tuple[int, ...], groups: int
    ) -> tuple[tuple[FrameRows, ...], Array | None]:
        """Return the neurons of every group as the stored levels, steps, map and seed describe them, and the biases."""
        levels, steps = stored["levels"], unpack_steps(stored["step"]).reshape(-1)
        width, neurons = math.prod(shape[1:]), shape[0] // groups
        live = live_inputs(stored, groups, width)
        frames = [
            RowFrame(
                int(own.sum()),
                float(parameters["redundancy"]),
                parameters["seed"],
                bool(parameters["signs"]),
                int(parameters.get("parts", 1)),
            )
            for own in live
        ]
        counts = [neurons * frame.size for frame in frames]
        if levels.values.size != sum(counts) or len(steps) != shape[0] or levels.bits > MOST_BITS:
            raise InputError(
                f"levels and steps must be {sum(counts)} and {shape[0]}, got {levels.values.size} and {len(steps)}"
            )
        flat, found = levels.values.reshape(-1), []
        for group, (frame, end) in enumerate(zip(frames, np.cumsum(counts), strict=True)):
            own = flat[end - counts[group] : end].reshape(neurons, frame.size)
            part = slice(group * neurons, (group + 1) * neurons)
            found.append(FrameRows(frame, live[group], own, steps[part], levels.bits))
        return tuple(found), stored_bias(stored)

    @classmethod
    def decode(
        cls, stored: Mapping[str, Packed], parameters: Mapping[str, Any], shape: tuple[int, ...], groups: int
    ) -> tuple[Array, Array | None]:
        """Return the weights that the stored levels, steps, map and seed describe."""
        found, bias = cls.rows_in_frame(stored, parameters, shape, groups)
        return from_vectors(np.concatenate([rows.dense() for rows in found]), shape, groups, "rows"), bias
