"""One layer on its way: a scale, a threshold, the walk of every group, and what is stored of it."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence

import numpy as np

from sdqviz.array import FLOAT_BITS, Array
from sdqviz.methods.calibrated.group_work import GroupWork
from sdqviz.methods.calibrated.plan import Plan
from sdqviz.methods.calibrated.scale import SEARCHED, SEARCHED_COARSE, ScaleFit, fitted_step
from sdqviz.methods.calibrated.threshold import solve_threshold
from sdqviz.methods.method import CompressedLayer, PathRecord, split_bias
from sdqviz.networks.layer import Layer, from_vectors
from sdqviz.path_following.walk import Walk
from sdqviz.progress import ShouldStop, stop_if
from sdqviz.quantizers.quantizer import Grid, QuantizerChoice
from sdqviz.storage import codes as coding
from sdqviz.storage.bits import Packed, step_up


@dataclasses.dataclass(frozen=True, eq=False)
class LayerWork:
    """A layer whose groups are ready to be walked.

    Attributes
    ----------
    plan : Plan
        How the method quantizes.
    fit : ScaleFit
        How steps are found.
    bits : int
        Of this layer.
    biases : {"float", "corrected", "quantized"}
        What becomes of them.
    layer : Layer
        As it was.
    groups : sequence of GroupWork
        In the order of the neurons.
    patches : float
        Share of a convolution's positions that were looked at.
    should_stop : callable or None
        Polled between pieces of work.
    """

    plan: Plan
    fit: ScaleFit
    bits: int
    biases: str
    layer: Layer
    groups: Sequence[GroupWork]
    patches: float
    should_stop: ShouldStop | None

    def compressed(self, begun: float) -> CompressedLayer:
        """Walk, and return the layer as it is stored; ``begun`` is when its work began."""
        step = self._step()
        threshold = self._threshold(step)
        operator = self.plan.operator(threshold)
        grid = self.plan.alphabet(self.bits, step)
        walks = self._walks(grid, operator)
        neurons = np.ascontiguousarray(np.concatenate([walk.quantized.T for walk in walks]))
        if not operator.rounds:
            neurons = neurons.astype(np.float32).astype(float)
        dead = np.stack([~group.gram.alive for group in self.groups])
        coded = coding.encode(neurons, grid if operator.rounds else None, threshold, dead)
        weights, bias = split_bias(neurons, self.layer.groups, "rows") if self._has("quantized") else (neurons, None)
        stored = dict(coded.stored)
        if self._has("corrected"):
            bias = self._corrected_bias(weights)
            stored["bias"] = Packed(bias.astype(np.float32), FLOAT_BITS)
        overload = np.concatenate([walk.overload for walk in walks])
        return CompressedLayer(
            layer=self.layer,
            weight=from_vectors(weights, self.layer.weight.shape, self.layer.groups, "rows"),
            bias=bias,
            stored=stored,
            parameters={**coded.parameters, "biases": "quantized" if self._has("quantized") else "float"},
            parameter_bits=coded.parameter_bits,
            bounds=(),
            step=grid.step if operator.rounds else np.zeros(1),
            levels=coded.levels,
            size=neurons.shape[1],
            overload=int(overload.sum()),
            unstable=int((overload > 0).sum()),
            seconds=time.perf_counter() - begun,
            path=self._record(neurons, operator, grid),
            weight_bits=coded.weight_bits,
        )

    def _has(self, biases: str) -> bool:
        """Whether the layer has biases and this is what becomes of them."""
        return self.biases == biases and self.layer.bias is not None

    def _walks(self, grid: Grid, operator: QuantizerChoice, trial: bool = False) -> list[Walk]:
        return [
            group.walk(self.plan, operator, grid, group.trial_keys if trial else group.keys, self.should_stop)
            for group in self.groups
        ]

    def _step(self) -> Array:
        """Return δ of every neuron, as it will be stored."""
        neurons = np.concatenate([group.weights.T for group in self.groups])
        used = np.concatenate(
            [np.repeat(group.gram.alive[None], group.weights.shape[1], axis=0) for group in self.groups]
        )
        step = fitted_step(neurons, used, lambda steps: self.plan.fitted(self.bits, steps), self.fit)
        if self.fit.fit != "search":
            return step_up(step)
        operator = self.plan.operator(0.0)
        best, least = step_up(step), np.full(len(step), np.inf)
        for factor in SEARCHED if self.plan.fitted(self.bits, step).count > 4 else SEARCHED_COARSE:
            stop_if(self.should_stop)
            tried = step_up(factor * step)
            walks = self._walks(self.plan.alphabet(self.bits, tried), operator, trial=True)
            missed = np.concatenate(
                [group.errors(walk.quantized) for group, walk in zip(self.groups, walks, strict=True)]
            )
            if self.fit.scale == "per-layer":
                missed = np.full_like(missed, missed.sum())
            best, least = np.where(missed < least, tried, best), np.minimum(missed, least)
        return best

    def _threshold(self, step: Array) -> float:
        """Return the threshold with which as many weights as asked for become zero, the random draws held fixed."""
        if self.plan.ratio == 0:
            return 0.0
        grid = self.plan.alphabet(self.bits, step)
        count = sum(group.weights.size for group in self.groups)

        def reached(threshold: float) -> float:
            walks = self._walks(grid, self.plan.operator(threshold))
            return sum(int((walk.quantized == 0).sum()) for walk in walks) / count

        largest = max(float(np.abs(group.weights).max(initial=0.0)) for group in self.groups)
        return solve_threshold(reached, self.plan.ratio, largest, count)

    def _corrected_bias(self, weights: Array) -> Array:
        """Return the biases moved by the mean error of quantized weights, shape (out, N), as float32 numbers."""
        moved = np.array(self.layer.bias)
        for group in self.groups:
            moved[group.part] += group.moments.mean_error(group.weights, weights[group.part].T)
        return moved.astype(np.float32).astype(float)

    def _record(self, neurons: Array, operator: QuantizerChoice, grid: Grid) -> PathRecord:
        groups = self.groups
        return PathRecord(
            input_norms=np.sqrt(np.stack([group.gram.squares for group in groups])),
            samples=groups[0].gram.samples,
            patches=self.patches,
            target_norms=np.sqrt(np.concatenate([group.gram.target for group in groups])),
            errors=np.sqrt(np.concatenate([group.errors(neurons[group.part].T.copy()) for group in groups])),
            alignment_errors=np.sqrt(np.concatenate([group.errors(group.start.aligned) for group in groups])),
            aligned_range=np.concatenate([np.abs(group.start.aligned).max(axis=0, initial=0.0) for group in groups]),
            quantizer=operator.to_dict(),
            error_limit=operator.error_limit(grid),
            scaling=self.plan.scaling,
            damping=max(group.start.damping for group in groups),
            finite=operator.rounds and grid.count > 0,
        )
