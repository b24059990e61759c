"""Frame quantization (Czaja & Na): each column becomes frame coefficients, and ΣΔ rounds those to a few bits."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from sdqviz import memory
from sdqviz.array import FLOAT_BITS, Array
from sdqviz.bounds.layer import layer_bounds
from sdqviz.choice import PerLayer, field
from sdqviz.error import InputError
from sdqviz.frames import FRAMES
from sdqviz.frames.frame import FrameChoice
from sdqviz.frames.permutations import PERMUTATIONS
from sdqviz.frames.walk import Walk, Walked
from sdqviz.frames.walk import walked as walk_through
from sdqviz.methods import METHODS
from sdqviz.methods.method import CompressedLayer, MethodChoice, Task, check_layer_names, join_bias, split_bias
from sdqviz.progress import report, stop_if
from sdqviz.quantizers.alphabet import MAXIMUM_BITS, nearest_index
from sdqviz.sigma_delta.recursion import walk_rows
from sdqviz.storage.bits import Packed, step_up

STEP_RULES = ("norm-global", "norm-layer", "range-layer", "range-column")
DEFAULT_REDUNDANCY = 4.0
PARAMETER_BITS = 8 + 32 + 32
"""What names a layer's frame: a family code, N and the seed."""

CHUNK = 1 << 21
"""Coefficients in flight at once: small enough for the last-level cache and for stopping within 100 ms."""

KEPT = 1 << 25
"""Coefficients that are kept between finding the step and quantizing, rather than computed twice."""


@METHODS.register
@dataclasses.dataclass(frozen=True)
class FrameQuantization(MethodChoice):
    """First-order ΣΔ quantization of weight matrices over a finite frame.

    N is given either as ``size``, the same in every layer as the paper does, or as ``redundancy`` N/d; with neither,
    the redundancy is 4. A ``redundancy`` is rounded up to the next N for which the family has a frame.

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
        help="How δ is chosen: from the largest column norm (the paper's condition) over all layers or per layer, or "
        "from the largest frame coefficient per layer or per column (one stored scale each).",
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

    def frame_choice(self, dimension: int, size: float | None) -> Any:
        """Return the frame's choice for vectors of length ``dimension``; ``size`` is the layer's own N, if any."""
        family = FRAMES[self.frame]
        chosen = size if size is not None else self.size
        if chosen is None:
            redundancy = DEFAULT_REDUNDANCY if self.redundancy is None else self.redundancy
            chosen = family.admissible_size(dimension, int(np.ceil(redundancy * dimension - 1e-9)))
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
        frame = chosen.build(seed=parameters["seed"])
        half = 2 ** (levels.bits - 1)
        step = np.broadcast_to(stored["step"].values.astype(float).reshape(-1, 1), (len(levels.values), 1))
        vectors = np.empty((len(levels.values), frame.dimension))
        for rows in _chunks(*levels.values.shape):
            vectors[rows] = frame.synthesize((levels.values[rows].astype(float) - half + 0.5) * step[rows])
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
            self.frame_choice = choice.frame_choice(self.vectors.shape[1], size)
        except InputError as error:
            raise InputError(f"layer {layer.name}: {error}") from None
        memory.require(
            f"the levels of layer {layer.name}", len(self.vectors) * self.frame_choice.size, "use a smaller size N"
        )

    def run(self, global_norm: float, progress: Any) -> CompressedLayer:
        from sdqviz.networks.layer import from_vectors

        begun = time.perf_counter()
        task, choice = self.task, self.choice
        walked = _walk(self.frame_choice, choice.permutation, task)
        frame, order = walked.frame, walked.order
        half = 2 ** (self.bits - 1)
        radius = half - 0.5

        chunks = list(_chunks(len(self.vectors), frame.size))
        keep = len(self.vectors) * frame.size <= KEPT
        kept: list[Array] = []
        largest = np.empty(len(self.vectors))
        for rows in chunks:
            stop_if(task.should_stop)
            coefficients = frame.analyze(self.vectors[rows])
            largest[rows] = np.maximum(coefficients.max(axis=1), -coefficients.min(axis=1))
            if keep:
                kept.append(coefficients)
        step = step_up(self._step(largest, global_norm) / radius if choice.step is None else np.asarray(choice.step))
        steps = np.ascontiguousarray(np.broadcast_to(step, len(self.vectors)))

        levels = np.empty((len(self.vectors), frame.size), np.uint8 if self.bits <= 8 else np.uint16)
        vectors = np.empty_like(self.vectors)
        overload = 0
        kept.reverse()
        for rows in chunks:
            stop_if(task.should_stop)
            values = kept.pop() if keep else frame.analyze(self.vectors[rows])
            overload += int(walk_rows(values, self.bits, steps[rows], order=order, out=values).sum())
            levels[rows] = nearest_index(values, steps[rows, None], half) + half
            vectors[rows] = frame.synthesize(values)
            progress(rows.stop)
        unstable = largest > radius * steps

        weights, bias = split_bias(vectors, self.layer.groups, choice.axis) if self.with_bias else (vectors, None)
        return CompressedLayer(
            layer=self.layer,
            weight=from_vectors(weights, self.layer.weight.shape, self.layer.groups, choice.axis),
            bias=bias,
            stored={"levels": Packed(levels, self.bits), "step": Packed(step.reshape(-1), FLOAT_BITS)},
            parameters={
                "frame": self.frame_choice.to_dict(),
                "seed": task.seed,
                "permutation": choice.permutation,
                "axis": choice.axis,
                "bias": self.with_bias,
            },
            parameter_bits=PARAMETER_BITS,
            bounds=layer_bounds(walked.walk, steps, ~unstable),
            step=step.reshape(-1),
            levels=2 * half,
            size=frame.size,
            overload=overload,
            unstable=int(unstable.sum()),
            seconds=time.perf_counter() - begun,
        )

    def _step(self, largest: Array, global_norm: float) -> Array:
        """Return the range that the alphabet must cover, per layer (a scalar) or per vector."""
        rule = self.choice.step_rule
        if rule == "norm-global":
            return np.asarray(global_norm)
        if rule == "norm-layer":
            return np.asarray(self.largest_norm)
        return np.asarray(largest.max()) if rule == "range-layer" else largest


def _walk(choice: FrameChoice, permutation: str, task: Task) -> Walked:
    return walk_through(choice, PERMUTATIONS[permutation](), task.seed, task.progress, task.should_stop)


def _chunks(rows: int, length: int) -> Iterator[slice]:
    size = max(1, CHUNK // length)
    for start in range(0, rows, size):
        yield slice(start, min(start + size, rows))


def walk_states(result: CompressedLayer, rows: slice = slice(None)) -> tuple[Walk, Array]:
    """Return the walk of a layer this method compressed and its states u_n, rebuilt from what was stored.

    Parameters
    ----------
    result : CompressedLayer
        The layer.
    rows : slice
        Which of its vectors; all by default.

    Returns
    -------
    walk : Walk
        The geometry of the frame in the order that was used.
    states : ndarray, shape (M, N)
        u_n of each vector; column n is the state after the n-th visit.
    """
    from sdqviz.networks.layer import to_vectors

    parameters = result.parameters
    task = Task((result.layer,), parameters["seed"])
    walked = _walk(FRAMES.from_dict(parameters["frame"]), parameters["permutation"], task)
    vectors = to_vectors(result.layer.weight, result.layer.groups, parameters["axis"])
    if parameters["bias"]:
        vectors = join_bias(vectors, result.layer.bias, result.layer.groups, parameters["axis"])
    step = np.broadcast_to(result.step.reshape(-1, 1), (len(vectors), 1))[rows]
    levels = result.stored["levels"].values[rows].astype(float) - result.levels // 2 + 0.5
    residual = walked.frame.analyze(vectors[rows]) - levels * step
    return walked.walk, np.cumsum(residual if walked.order is None else residual[:, walked.order], axis=1)
