"""Frame quantization (Czaja & Na): each column becomes frame coefficients, and ΣΔ rounds those to a few bits."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from sdqviz import memory
from sdqviz.array import Array
from sdqviz.choice import PerLayer, field
from sdqviz.error import InputError
from sdqviz.frames import FRAMES
from sdqviz.frames.frame import FrameChoice
from sdqviz.frames.permutations import PERMUTATIONS
from sdqviz.methods import METHODS
from sdqviz.methods.frame_states import a_priori, synthesis_of, walk_states
from sdqviz.methods.frame_vectors import (
    Carrier,
    chunks,
    fitted_steps,
    quantize,
    walk_through,
)  # fmt: skip
from sdqviz.methods.method import CompressedLayer, MethodChoice, Task, check_layer_names, join_bias, split_bias
from sdqviz.path_following.beam import MOST_PATHS
from sdqviz.progress import report, stop_if
from sdqviz.quantizers.alphabet import MAXIMUM_BITS
from sdqviz.sigma_delta.duals import DUALS
from sdqviz.sigma_delta.filters import FILTERS
from sdqviz.sigma_delta.filters.filter import HIGHEST_ORDER
from sdqviz.storage.bits import Packed, pack_steps, step_up, unpack_steps

SHORT, SHORT_FACTOR = 16, {1: 3.0, 2: 1.6}
"""Length up to which vectors are too short to spread, and what multiplies their redundancy at order 0, by bits."""

STEP_RULES = ("norm-global", "norm-layer", "range-layer", "range-column", "fitted")
DEFAULT_REDUNDANCY = 4.0
PARAMETER_BITS = 8 + 32 + 32
"""What names a layer's frame: a family code, N and the seed."""

KEPT = 1 << 25
"""Coefficients that are kept between finding the step and quantizing, rather than computed twice."""


@METHODS.register
@dataclasses.dataclass(frozen=True)
class FrameQuantization(MethodChoice):
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

    frame: str = field(
        "harmonic",
        label="Frame",
        help="The family of vectors whose inner products with each weight column are quantized.",
        options=lambda: sorted(FRAMES),
    )
    size: int | None = field(
        None,
        label="Frame size N",
        help="The same N in every layer, as in the paper. N levels are stored for each column.",
        minimum=1,
        maximum=1 << 20,
    )
    redundancy: float | None = field(
        None,
        label="Redundancy N/d",
        help="N as a multiple of each layer's own dimension d; at 1 bit this is the bits per weight, scales apart.",
        minimum=1.0,
        maximum=1024.0,
    )
    bits: int = field(
        1, label="Bits per level", help="2^bits levels in the midrise alphabet.", minimum=1, maximum=MAXIMUM_BITS
    )
    step_rule: str = field(
        "range-layer",
        label="Step rule",
        help="How δ is chosen: from the largest column norm (the paper's condition) over all layers or per layer; "
        "from the largest frame coefficient per layer or per column (one stored scale each); or fitted, per column "
        "the one with the smallest error: values then leave the range, and the a-priori bound lapses.",
        options=STEP_RULES,
    )
    step: float | None = field(
        None,
        label="Step δ by hand",
        help="Overrides the rule. Too small a δ overloads the quantizer; that is counted and shown.",
        minimum=1e-12,
        maximum=1e12,
        advanced=True,
    )
    signs: bool = field(
        False,
        label="Random signs",
        help="Change the signs of the vectors' coordinates at random (from the seed): the coefficients then come out "
        "alike whatever the weights, and every bound stays.",
    )
    order: int = field(
        1,
        label="Order of ΣΔ",
        help="0 rounds each coefficient by itself (frame rounding); 1 feeds each error to the next; r feeds back r-th "
        "differences, which needs r bits with the greedy filter.",
        minimum=0,
        maximum=HIGHEST_ORDER,
    )
    filter: str = field(
        "greedy",
        label="Filter",
        help="How errors are fed back: the plain r-th difference, or few taps far apart, which one bit bears.",
        options=lambda: sorted(FILTERS),
        advanced=True,
    )
    dual: str = field(
        "canonical",
        label="Dual",
        help="How levels become weights again: by the frame itself, or by a left inverse that damps shaped noise more.",
        options=lambda: sorted(DUALS),
        advanced=True,
    )
    paths: int = field(
        8,
        label="Paths of the beam",
        help="Of order 0 with N above d: so many ways through the coefficients are followed, and the one with the "
        "smallest error is taken where it beats plain rounding. 1 for rounding alone.",
        minimum=1,
        maximum=MOST_PATHS,
        advanced=True,
    )
    step_bits: str = field(
        "32",
        label="Bits of a step",
        help="Steps are stored as floats of so many bits, rounded up so that no bound is lost.",
        options=("16", "32"),
        advanced=True,
    )
    permutation: str = field(
        "identity",
        label="Permutation",
        help="The order in which ΣΔ walks through the frame vectors.",
        options=lambda: sorted(PERMUTATIONS),
        advanced=True,
    )
    axis: str = field(
        "columns",
        label="Quantize",
        help="Columns (as the paper does; d is the number of outputs) or rows (d is the number of inputs).",
        options=("columns", "rows"),
        advanced=True,
    )
    biases: str = field(
        "float",
        label="Biases",
        help="Kept in float (32 bits each, counted), or quantized together with the weights.",
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
    size_by_layer: PerLayer = field(
        (), label="N by layer", help="Other frame sizes for layers by name.", minimum=1, maximum=1 << 20, advanced=True
    )

    def check(self) -> None:
        """Refuse N given twice."""
        if self.size is not None and self.redundancy is not None:
            raise InputError(
                f"give either size or redundancy, got both: size {self.size}, redundancy {self.redundancy:g}"
            )

    def compress_layers(self, task: Task) -> Iterator[CompressedLayer]:
        """Quantize every layer; the global rule looks at all of them first."""
        bits = check_layer_names("bits_by_layer", self.bits_by_layer, task.layers)
        sizes = check_layer_names("size_by_layer", self.size_by_layer, task.layers)
        work = [
            _Work(self, layer, int(bits.get(layer.name, self.bits)), sizes.get(layer.name), task)
            for layer in task.layers
        ]
        columns = sum(len(item.vectors) for item in work)
        done = 0
        norm = max((item.largest_norm for item in work), default=0.0)
        for item in work:
            yield item.run(
                norm, lambda part, at=done, name=item.layer.name: report(task.progress, at + part, columns, name)
            )
            done += len(item.vectors)

    def estimated_seconds(self, shapes: Sequence[tuple[int, ...]]) -> float:
        """Return roughly how long the transforms and walks take, and finding an order unless it is the written one."""
        sizes = dict(self.size_by_layer)
        total = 0.0
        for shape in shapes:
            outputs, inputs = shape[0], math.prod(shape[1:])
            dimension, vectors = (outputs, inputs) if self.axis == "columns" else (inputs, outputs)
            redundancy = DEFAULT_REDUNDANCY if self.redundancy is None else self.redundancy
            size = self.size if self.size is not None else redundancy * dimension
            size = max([size, *sizes.values()])  # which layer is meant does not matter for a rough figure
            total += 2.5e-8 * size * vectors
            if self.permutation != "identity":
                total += 1e-9 * size**2 * dimension
        return total

    def frame_choice(self, dimension: int, size: float | None, bits: int) -> FrameChoice:
        """Return the frame's choice for vectors of length ``dimension``; ``size`` is the layer's own N, if any."""
        odd_half_frequency = self.frame == "half-frequency" and dimension % 2 == 1
        family = FRAMES["harmonic" if odd_half_frequency else self.frame]
        chosen = size if size is not None else self.size
        if chosen is None:
            redundancy = DEFAULT_REDUNDANCY if self.redundancy is None else self.redundancy
            if self.order == 0 and dimension <= SHORT:
                with contextlib.suppress(InputError):  # a family without frames that large keeps to those it has
                    larger = int(np.ceil(SHORT_FACTOR[min(bits, 2)] * redundancy * dimension - 1e-9))
                    return family(dimension=dimension, size=family.admissible_size(dimension, larger))
            chosen = family.admissible_size(dimension, int(np.ceil(redundancy * dimension - 1e-9)))
            if self.order == 1 and family.sums_to_zero(dimension):
                chosen = family.admissible_size(dimension, chosen + chosen % 2)
        return family(dimension=dimension, size=int(chosen))

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


class _Work:
    """One layer on its way through the frame."""

    def __init__(self, choice: FrameQuantization, layer: Any, bits: int, size: float | None, task: Task) -> None:
        from sdqviz.networks.layer import to_vectors

        self.choice, self.layer, self.bits, self.task = choice, layer, bits, task
        self.with_bias = choice.biases == "quantized" and layer.bias is not None
        self.vectors = to_vectors(layer.weight, layer.groups, choice.axis)
        if self.with_bias:
            self.vectors = join_bias(self.vectors, layer.bias, layer.groups, choice.axis)
        self.largest_norm = float(np.linalg.norm(self.vectors, axis=1).max())
        try:
            self.frame_choice = choice.frame_choice(self.vectors.shape[1], size, bits)
            self.taps = FILTERS[choice.filter]().taps(choice.order, bits)
        except InputError as error:
            raise InputError(f"layer {layer.name}: {error}") from None
        memory.require(
            f"the levels of layer {layer.name}", len(self.vectors) * self.frame_choice.size, "use a smaller size N"
        )

    def run(self, global_norm: float, progress: Any) -> CompressedLayer:
        from sdqviz.networks.layer import from_vectors

        begun = time.perf_counter()
        task, choice = self.task, self.choice
        try:
            walked = walk_through(
                self.frame_choice, choice.permutation, task.seed, choice.signs, task.progress, task.should_stop,
                self.taps, choice.dual,
            )  # fmt: skip
        except InputError as error:
            raise InputError(f"layer {self.layer.name}: {error}") from None
        frame = walked.frame
        pieces = list(chunks(len(self.vectors), frame.size))
        step, largest, kept = self._step(walked, pieces, global_norm)
        steps = np.ascontiguousarray(np.broadcast_to(step, len(self.vectors)))
        levels = np.empty((len(self.vectors), frame.size), np.uint8 if self.bits <= 8 else np.uint16)
        vectors = np.empty_like(self.vectors)
        overload = 0
        kept.reverse()
        for rows in pieces:
            stop_if(task.should_stop)
            values = kept.pop() if kept else frame.analyze(self.vectors[rows])
            levels[rows], vectors[rows], over = quantize(
                walked, self.vectors[rows], values, self.bits, steps[rows], choice.paths, task.should_stop
            )
            overload += int(over.sum())
            progress(rows.stop)
        unstable = largest > self.taps.reach(self.bits) * steps
        weights, bias = split_bias(vectors, self.layer.groups, choice.axis) if self.with_bias else (vectors, None)
        item = CompressedLayer(
            layer=self.layer,
            weight=from_vectors(weights, self.layer.weight.shape, self.layer.groups, choice.axis),
            bias=bias,
            stored={
                "levels": Packed(levels, self.bits),
                "step": pack_steps(step.reshape(-1), int(choice.step_bits)),
            },
            parameters={
                "frame": self.frame_choice.to_dict(),
                "seed": task.seed,
                "signs": choice.signs,
                "order": choice.order,
                "filter": choice.filter,
                "dual": choice.dual,
                "permutation": choice.permutation,
                "axis": choice.axis,
                "bias": self.with_bias,
            },
            parameter_bits=PARAMETER_BITS,
            bounds=a_priori(
                walked, choice.dual, steps, unstable, fitted=choice.step_rule == "fitted" and choice.step is None
            ),
            step=step.reshape(-1),
            levels=2**self.bits,
            size=frame.size,
            overload=overload,
            unstable=int(unstable.sum()),
            seconds=time.perf_counter() - begun,
            note=self._note(walked),
            axis=choice.axis,
        )
        return dataclasses.replace(item, states=functools.partial(walk_states, item))

    def _step(self, walked: Carrier, pieces: list[slice], global_norm: float) -> tuple[Array, Array, list[Array]]:
        """Return δ for the layer (a scalar) or for each vector, each largest |coefficient|, and what was analysed."""
        choice, bits, width = self.choice, self.bits, int(self.choice.step_bits)
        keep = len(self.vectors) * walked.frame.size <= KEPT
        kept: list[Array] = []
        largest, fitted = np.empty(len(self.vectors)), np.empty(len(self.vectors))
        fit = choice.step_rule == "fitted" and choice.step is None
        for rows in pieces:
            stop_if(self.task.should_stop)
            values = walked.frame.analyze(self.vectors[rows])
            largest[rows] = np.maximum(values.max(axis=1), -values.min(axis=1))
            if fit:
                fitted[rows] = fitted_steps(
                    walked, self.vectors[rows], values, bits, width, choice.paths, self.task.should_stop
                )
            if keep:
                kept.append(values)
        try:
            if choice.step is not None:
                return step_up(np.asarray(choice.step), width), largest, kept
            if fit:
                return fitted, largest, kept
            wanted = {
                "norm-global": np.asarray(global_norm),
                "norm-layer": np.asarray(self.largest_norm),
                "range-layer": np.asarray(largest.max()),
                "range-column": largest,
            }[choice.step_rule]
            return step_up(wanted / self.taps.reach(bits), width), largest, kept
        except InputError as error:
            raise InputError(f"layer {self.layer.name}: {error}") from None

    def _note(self, walked: Carrier) -> str:
        if not walked.tied:
            return ""
        return (
            f"layer {self.layer.name}: Σe_n = 0 and N = {walked.frame.size} is odd, so ΣΔ ends on a tie; the last "
            "level is the one with the smaller true error (an even N has no tie)"
        )
