"""What all calibrated methods share: data up to a layer, scales, the walk, pruning to a ratio, and what is stored."""

from __future__ import annotations

import abc
import dataclasses
import functools
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from sdqviz.array import FLOAT_BITS, Array, Index
from sdqviz.choice import PerLayer, field
from sdqviz.error import InputError
from sdqviz.kernels import draws
from sdqviz.methods.method import (
    CompressedLayer,
    LeftAlone,
    MethodChoice,
    NewTensors,
    PathRecord,
    Task,
    check_layer_names,
    split_bias,
)
from sdqviz.path_following import alignment as alignments
from sdqviz.path_following import walk as recursion
from sdqviz.path_following.gram import Gram, Moments
from sdqviz.path_following.walk import Walk
from sdqviz.progress import ShouldStop, report, stop_if
from sdqviz.quantizers import QUANTIZERS
from sdqviz.quantizers.alphabet import MAXIMUM_BITS
from sdqviz.quantizers.quantizer import ALPHABETS, Grid, QuantizerChoice, half_levels
from sdqviz.storage import codes as coding
from sdqviz.storage.bits import Packed, step_up

if TYPE_CHECKING:
    from sdqviz.networks.layer import Layer

FITS = ("max", "percentile", "mse", "search")
SCALES = ("per-neuron", "per-layer")
BIASES = ("float", "corrected", "quantized")
ALIGNMENTS = ("sweeps", "least-squares", "smallest-range")

SHRINKS = np.linspace(0.02, 1.0, 99)
"""Candidates for the largest level, as shares of the largest weight, among which the square error picks."""

SEARCHED = (0.8, 0.9, 1.0, 1.15, 1.3, 1.5)
"""Multiples of the step with the smallest square error that the search tries by walking."""

SEARCHED_COARSE = (0.6, 0.8, 1.0, 1.2, 1.5, 1.8, 2.2, 2.7, 3.3)
"""The same for alphabets of up to four levels, where the values that feedback makes go far beyond the weights."""

BISECTIONS = 40
"""Halvings of the interval of thresholds; few are needed before the ratio is met to a weight or stops moving."""


@dataclasses.dataclass(frozen=True, eq=False)
class Prepared:
    """What one group of a layer's walk starts from; rows are inputs in the order of the walk, columns neurons.

    Attributes
    ----------
    base, reference, feedback, gain
        As `sdqviz.path_following.walk.walk` takes them.
    aligned : ndarray, shape (N, M)
        w̃, in the order of the weights.
    order : ndarray of int or None, shape (N,)
        The order of the walk, if it is not that of the weights.
    damping : float
        λ, in units of H.
    """

    base: Array
    reference: Array
    feedback: Array
    gain: Array
    aligned: Array
    order: Index | None = None
    damping: float = 0.0


@dataclasses.dataclass(frozen=True)
class PathFollowing(MethodChoice):
    """A method that quantizes one weight after the other and lets the later ones make up for the errors so far."""

    bits: int = field(
        4, label="Bits per weight", help="Levels each weight may take: at most 2^bits.", minimum=1, maximum=MAXIMUM_BITS
    )
    alphabet: str = field(
        "midrise",
        label="Alphabet",
        help="Midrise: 2^bits levels without a zero. Midtread: 2^bits − 1 levels with a zero; needs 2 bits.",
        options=ALPHABETS,
    )
    scale: str = field(
        "per-neuron",
        label="Scale",
        help="One step δ for each neuron (row of the matrix), or one for the layer; 32 bits each, counted.",
        options=SCALES,
    )
    fit: str = field(
        "search",
        label="Scale fitted to",
        help="The largest weight; a percentile of the weights; the smallest square error of the weights; or the "
        "smallest error on the calibration data, found by walking with several scales (slower, and much the best "
        "at 1 and 2 bits).",
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
        options=("kept", "estimated"),
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
        help="Where forward passes and sums are computed: auto uses CUDA where there is one.",
        options=("auto", "cpu", "cuda"),
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
        half_levels(self.alphabet, self.bits)
        for _, bits in self.bits_by_layer:
            half_levels(self.alphabet, int(bits))

    # -- what a method decides ------------------------------------------------------------------------

    @abc.abstractmethod
    def prepared(self, gram: Gram, weights: Array, should_stop: ShouldStop | None) -> Prepared:
        """Return what the walk of one group starts from."""

    def quantizer(self, threshold: float) -> QuantizerChoice:
        """Return the operator T; ``threshold`` is 0 without a pruning ratio."""
        return QUANTIZERS["nearest"]()

    def finite_grid(self, bits: int, step: Array) -> Grid:
        """Return the alphabet that the scale is fitted to, for steps δ, shape (out,)."""
        return Grid.finite(self.alphabet, bits, step)

    def grid(self, bits: int, step: Array) -> Grid:
        """Return the alphabet that weights are quantized to."""
        return self.finite_grid(bits, step)

    @property
    def stochastic(self) -> bool:
        """Whether the operator draws random numbers."""
        return self.quantizer(0.0).random

    @property
    def target_ratio(self) -> float:
        """Share of the weights that are to become zero; 0 for no pruning."""
        return 0.0

    @property
    def refinements(self) -> int:
        """How often the quantized weights are visited again."""
        return 0

    def estimated_seconds(self, shapes: Sequence[tuple[int, ...]]) -> float:
        """Return roughly how long calibrating and walking take; searching for the scale walks several times."""
        walks = 4 if self.fit == "search" else 1
        total = 0.0
        for shape in shapes:
            outputs, inputs = shape[0], math.prod(shape[1:])
            total += (0.6 if len(shape) > 2 else 0.1) + walks * 1e-9 * inputs**2 * outputs
        return total

    # -- the run ----------------------------------------------------------------------------------------

    def compress_layers(self, task: Task) -> Iterator[CompressedLayer | LeftAlone | NewTensors]:
        """Compress the layers in the order in which the data meet them."""
        from sdqviz.methods.calibrated.calibration import Calibration

        bits_by_layer = check_layer_names("bits_by_layer", self.bits_by_layer, task.layers)
        if task.network is None or task.inputs is None:
            raise InputError(f"calibration must hold at least one sample for the method {self.name}, got none")
        layers = {layer.name: layer for layer in task.layers}
        total, done = sum(layer.weight.size for layer in task.layers), 0
        stop_if(task.should_stop)
        with Calibration(task.network, task.inputs, self.device, should_stop=task.should_stop) as calibration:
            for name in calibration.stops:
                if name not in layers:
                    if self.batch_norm == "estimated":
                        buffers = calibration.renew_statistics(name)
                        if buffers:
                            yield NewTensors(name, buffers)
                    continue
                layer = layers.pop(name)
                report(task.progress, done, total, name)
                reason = calibration.too_large(layer)
                if reason is not None:
                    yield LeftAlone(name, reason)
                else:
                    begun = time.perf_counter()
                    found = calibration.moments(layer, self.patches, task.seed)
                    work = _Work(self, layer, found.groups, found.ratio, int(bits_by_layer.get(name, self.bits)), task)
                    item = work.run(begun)
                    if self.largest_errors and item.path is not None:
                        largest = calibration.largest_errors(layer, item.weight, self.patches, task.seed)
                        item = dataclasses.replace(item, path=dataclasses.replace(item.path, largest_errors=largest))
                    calibration.replace(name, item.weight, item.bias)
                    yield item
                done += layer.weight.size
        for name in layers:
            yield LeftAlone(name, "the data do not pass through it as a module of its own")

    @classmethod
    def decode(
        cls, stored: Mapping[str, Packed], parameters: Mapping[str, Any], shape: tuple[int, ...], groups: int
    ) -> tuple[Array, Array | None]:
        """Return the weights that the stored codes and steps describe."""
        return decode_layer(stored, parameters, shape, groups)


@dataclasses.dataclass(frozen=True)
class ErrorFeedback(PathFollowing):
    """A method that feeds each rounding error back to all later weights through the inverse of the Hessian."""

    damping: float = field(
        0.01,
        label="Damping",
        help="Added to the diagonal of H, as a share of its mean.",
        minimum=0.0,
        maximum=100.0,
        advanced=True,
    )
    visit: str = field(
        "largest-first",
        label="Order of the weights",
        help="As they are, or inputs with the largest norm first, while there are many weights left to make up.",
        options=("as-is", "largest-first"),
        advanced=True,
    )
    refinement: int = field(
        0,
        label="Refining sweeps",
        help="How often all weights are visited again, each getting its best level while the others stay.",
        minimum=0,
        maximum=100,
        advanced=True,
    )

    def walk_order(self, gram: Gram) -> Index | None:
        """Return the order of the walk; None for that of the weights."""
        return np.argsort(-gram.squares, kind="stable") if self.visit == "largest-first" else None

    @property
    def refinements(self) -> int:
        """The refining sweeps."""
        return self.refinement


def decode_layer(
    stored: Mapping[str, Packed], parameters: Mapping[str, Any], shape: tuple[int, ...], groups: int
) -> tuple[Array, Array | None]:
    """Return (weight, bias or None) from the parts that `sdqviz.storage.codes` wrote."""
    from sdqviz.networks.layer import from_vectors

    how = parameters["biases"]
    width = int(np.prod(shape[1:])) + (how == "quantized")
    neurons = coding.decode(stored, parameters, shape[0], width)
    bias = None
    if how == "quantized":
        neurons, bias = split_bias(neurons, groups, "rows")
    elif "bias" in stored:
        bias = stored["bias"].values.astype(float)
    return from_vectors(neurons, shape, groups, "rows"), bias


def align(
    gram: Gram, weights: Array, alignment: str, order: int, should_stop: ShouldStop | None
) -> Array:  # fmt: skip
    """Return w̃ by the alignment of that name."""
    if alignment == "sweeps":
        return alignments.align(gram, weights, order, should_stop)
    if alignment == "least-squares":
        return alignments.least_squares(gram, weights)
    return alignments.smallest_range(gram, weights, should_stop)


def fitted_step(
    weights: Array, used: Array, grid_of: Callable[[Array], Grid], scale: str, fit: str, percentile: float = 100.0
) -> Array:
    """Find the step δ of each neuron from its weights alone.

    Parameters
    ----------
    weights : ndarray, shape (M, N)
        A row per neuron.
    used : ndarray of bool, shape (M, N)
        Which weights count; those at dead inputs or pruned do not.
    grid_of : callable
        Returns the finite alphabet for steps of shape (M,).
    scale : {"per-neuron", "per-layer"}
        A step for each neuron, or the same for all.
    fit : {"max", "percentile", "mse"}
        What becomes the largest level: the largest weight, or the percentile of the magnitudes (its mean over the
        neurons for one scale per layer); or the step with the smallest square error of 99.
    percentile : float
        For the percentile fit.

    Returns
    -------
    ndarray, shape (M,)
    """
    sizes = np.where(used, np.abs(weights), 0.0)
    reach = float(grid_of(np.ones(1)).radius[0])
    if fit == "percentile":
        heights = np.array(
            [np.percentile(row[mask], percentile) if mask.any() else 0.0 for row, mask in zip(sizes, used, strict=True)]
        )
        wanted = heights if scale == "per-neuron" else heights.mean(keepdims=True)
        return np.array(np.broadcast_to(wanted / reach, len(weights)))
    together = scale == "per-layer"
    largest = (sizes.reshape(1, -1) if together else sizes).max(axis=1, initial=0.0) / reach
    if fit == "max":
        return np.array(np.broadcast_to(largest, len(weights)))
    values = np.ascontiguousarray((weights.reshape(1, -1) if together else weights).T)
    counted = np.ascontiguousarray((used.reshape(1, -1) if together else used).T)
    best, least = largest, np.full(len(largest), np.inf)
    for shrink in SHRINKS:
        step = shrink * largest
        missed = ((grid_of(step).nearest(values) - values) ** 2).sum(axis=0, where=counted)
        best, least = np.where(missed < least, step, best), np.minimum(missed, least)
    return np.array(np.broadcast_to(best, len(weights)))


class _Work:
    """One layer on its way: its groups, and walks through them with this or that scale and threshold."""

    def __init__(
        self, choice: PathFollowing, layer: Layer, moments: tuple[Moments, ...], ratio: float, bits: int, task: Task
    ) -> None:
        from sdqviz.networks.layer import to_vectors

        self.choice, self.layer, self.bits, self.task, self.ratio = choice, layer, bits, task, ratio
        self.moments = moments
        self.with_bias = choice.biases == "quantized" and layer.bias is not None
        self.corrected = choice.biases == "corrected" and layer.bias is not None
        rows = to_vectors(layer.weight, layer.groups, "rows")
        bias = np.zeros(len(rows)) if layer.bias is None else layer.bias
        keys = draws.neuron_keys(draws.layer_key(task.seed, layer.name), len(rows))
        self.neurons = np.concatenate([rows, bias[:, None]], axis=1) if self.with_bias else rows
        size = len(rows) // layer.groups
        self.parts = [slice(group * size, (group + 1) * size) for group in range(layer.groups)]
        self.keys = [keys[part] for part in self.parts]
        # scales are found with other random numbers than the walk's own, which so stay independent of them
        trial = draws.neuron_keys(draws.layer_key(task.seed, f"{layer.name}|scale"), len(rows))
        self.trial_keys = [trial[part] for part in self.parts]
        self.weights = [np.ascontiguousarray(self.neurons[part].T) for part in self.parts]
        self.grams: list[Gram] = []
        for part, sums in zip(self.parts, moments, strict=True):
            plain = np.ascontiguousarray(rows[part].T)
            if self.with_bias:
                self.grams.append(sums.extended(plain, bias[part]))
            else:
                self.grams.append(sums.centred(plain) if self.corrected else sums.plain())
        try:
            self.prepared = [
                choice.prepared(gram, weights, task.should_stop)
                for gram, weights in zip(self.grams, self.weights, strict=True)
            ]
        except InputError as error:
            raise InputError(f"layer {layer.name}: {error}") from None

    def run(self, begun: float) -> CompressedLayer:
        from sdqviz.networks.layer import from_vectors

        choice, layer = self.choice, self.layer
        step = self._step()
        threshold = self._threshold(step)
        operator = choice.quantizer(threshold)
        grid = choice.grid(self.bits, step)
        walks = self._walks(grid, operator, self.keys)
        neurons = self._joined([walk.quantized for walk in walks])
        rounds = operator.rounds
        if not rounds:
            neurons = neurons.astype(np.float32).astype(float)
        dead = np.stack([~gram.alive for gram in self.grams])
        coded = coding.encode(neurons, grid if rounds else None, threshold, dead)
        weights, bias = split_bias(neurons, layer.groups, "rows") if self.with_bias else (neurons, None)
        stored = dict(coded.stored)
        if self.corrected and layer.bias is not None:
            moved = layer.bias.copy()
            for part, sums, w in zip(self.parts, self.moments, self.weights, strict=True):
                moved[part] += sums.mean_error(w, weights[part].T)
            bias = moved.astype(np.float32).astype(float)
            stored["bias"] = Packed(bias.astype(np.float32), FLOAT_BITS)
        overload = np.concatenate([walk.overload for walk in walks])
        return CompressedLayer(
            layer=layer,
            weight=from_vectors(weights, layer.weight.shape, layer.groups, "rows"),
            bias=bias,
            stored=stored,
            parameters={**coded.parameters, "biases": "quantized" if self.with_bias else "float"},
            parameter_bits=coded.parameter_bits,
            bounds=(),
            step=grid.step if rounds else np.zeros(1),
            levels=coded.levels,
            size=self.neurons.shape[1],
            overload=int(overload.sum()),
            unstable=int((overload > 0).sum()),
            seconds=time.perf_counter() - begun,
            path=self._record(neurons, operator, grid),
            weight_bits=coded.weight_bits,
        )

    def _walks(self, grid: Grid, operator: QuantizerChoice, layer_keys: list[Array]) -> list[Walk]:
        found: list[Walk] = []
        for part, gram, start, keys in zip(self.parts, self.grams, self.prepared, layer_keys, strict=True):
            own = dataclasses.replace(grid, step=grid.step[part])
            order = start.order
            walk = recursion.walk(
                start.base, start.feedback, start.gain, operator, own, keys, reference=start.reference,
                alive=gram.alive if order is None else gram.alive[order], names=order,
                should_stop=self.task.should_stop,
            )  # fmt: skip
            if order is not None:
                back = np.argsort(order)
                walk = Walk(walk.quantized[back], walk.error[back], walk.overload)
            for _ in range(self.choice.refinements):
                weights = self.weights[len(found)]
                again = recursion.refine(gram, weights, walk.quantized, operator, own, keys, self.task.should_stop)
                walk = Walk(again.quantized, start.aligned - again.quantized, again.overload)
            found.append(walk)
        return found

    def _joined(self, parts: list[Array]) -> Array:
        """Return the neurons of all groups, a row each."""
        return np.ascontiguousarray(np.concatenate([part.T for part in parts]))

    def _errors(self, walks: list[Walk]) -> Array:
        """Return ‖Xw − X̃q‖² of every neuron, shape (out,)."""
        groups = zip(self.grams, self.weights, walks, self.aimed, strict=True)
        return np.concatenate([gram.error(weights, walk.quantized, aimed) for gram, weights, walk, aimed in groups])

    @functools.cached_property
    def aimed(self) -> list[Array]:
        """Gw of every group."""
        return [gram.aimed(weights) for gram, weights in zip(self.grams, self.weights, strict=True)]

    def _step(self) -> Array:
        choice = self.choice
        fit = "mse" if choice.fit == "search" else choice.fit
        used = np.concatenate(
            [np.repeat(gram.alive[None], w.shape[1], axis=0) for gram, w in zip(self.grams, self.weights, strict=True)]
        )
        step = choice.stretch * fitted_step(
            self.neurons, used, lambda steps: choice.finite_grid(self.bits, steps), choice.scale, fit,
            choice.percentile,
        )  # fmt: skip
        if choice.fit != "search":
            return step_up(step)
        operator = choice.quantizer(0.0)
        best, least = step_up(step), np.full(len(step), np.inf)
        for factor in SEARCHED if choice.finite_grid(self.bits, step).count > 4 else SEARCHED_COARSE:
            stop_if(self.task.should_stop)
            tried = step_up(factor * step)
            missed = self._errors(self._walks(choice.grid(self.bits, tried), operator, self.trial_keys))
            if choice.scale == "per-layer":
                missed = np.full_like(missed, missed.sum())
            best, least = np.where(missed < least, tried, best), np.minimum(missed, least)
        return best

    def _threshold(self, step: Array) -> float:
        """Return the threshold with which as many weights as asked for become zero, the random draws held fixed."""
        target = self.choice.target_ratio
        if target == 0:
            return 0.0
        grid = self.choice.grid(self.bits, step)
        count = self.neurons.size

        def reached(threshold: float) -> float:
            walks = self._walks(grid, self.choice.quantizer(threshold), self.keys)
            return sum(int((walk.quantized == 0).sum()) for walk in walks) / count

        return solve_threshold(reached, target, float(np.abs(self.neurons).max(initial=0.0)), count)

    def _record(self, neurons: Array, operator: QuantizerChoice, grid: Grid) -> PathRecord:
        quantized = [np.ascontiguousarray(neurons[part].T) for part in self.parts]
        groups = list(zip(self.grams, self.weights, quantized, self.prepared, strict=True))
        return PathRecord(
            input_norms=np.sqrt(np.stack([gram.squares for gram in self.grams])),
            samples=self.grams[0].samples,
            patches=self.ratio,
            target_norms=np.sqrt(np.concatenate([gram.target for gram in self.grams])),
            errors=np.sqrt(np.concatenate([gram.error(w, q) for gram, w, q, _ in groups])),
            alignment_errors=np.sqrt(np.concatenate([gram.error(w, start.aligned) for gram, w, _, start in groups])),
            aligned_range=np.concatenate([np.abs(start.aligned).max(axis=0, initial=0.0) for start in self.prepared]),
            quantizer=operator.to_dict(),
            error_limit=operator.error_limit(grid),
            scaling=getattr(self.choice, "scaling", 1.0),
            damping=max(start.damping for start in self.prepared),
            finite=operator.rounds and grid.count > 0,
        )


def solve_threshold(reached: Callable[[float], float], target: float, largest: float, count: int) -> float:
    """Find a threshold c, a float32 number, at which a share ``target`` of the weights is zero.

    Parameters
    ----------
    reached : callable
        The share of zeros at a threshold; roughly increasing.
    target : float
        0 < target < 1.
    largest : float
        The largest weight: a scale to start from.
    count : int
        Number of weights; the ratio need not be met closer than to half a weight.

    Returns
    -------
    float
        The threshold with the share nearest to the target of all that were tried.
    """
    low, high = 0.0, max(largest, float(np.finfo(np.float32).tiny))
    tried: dict[float, float] = {}

    def at(threshold: float) -> float:
        if threshold not in tried:
            tried[threshold] = reached(threshold)
        return tried[threshold]

    if at(0.0) >= target:
        return 0.0
    for _ in range(20):  # feedback makes the values of a walk larger than the weights
        if at(float(np.float32(high))) >= target:
            break
        low, high = high, 2 * high
    for _ in range(BISECTIONS):
        nearest = min(abs(share - target) for share in tried.values())
        if nearest <= max(0.5 / count, 2e-4):
            break
        middle = float(np.float32((low + high) / 2))
        if middle in tried:
            break
        low, high = (middle, high) if at(middle) < target else (low, middle)
    return min(tried, key=lambda threshold: abs(tried[threshold] - target))
