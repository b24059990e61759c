"""One layer on its way: a scale, a threshold, the walk of every group, and what is stored of it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from sdqviz.array import Array, Index
from sdqviz.error import InputError
from sdqviz.kernels.turn import turned
from sdqviz.methods.calibrated.group_work import Group, GroupWork
from sdqviz.methods.calibrated.plan import Plan
from sdqviz.methods.calibrated.scale import Neurons, Scale, ScaleFit, candidates, fitted
from sdqviz.methods.calibrated.spread import TILE, Shared, Tried, Walked, divided, joined
from sdqviz.methods.calibrated.threshold import solve_threshold
from sdqviz.methods.coded_layer import coded_layer
from sdqviz.methods.method import CompressedLayer, PathRecord, Spread
from sdqviz.networks.layer import Layer
from sdqviz.path_following.walk import Walk
from sdqviz.progress import ShouldStop, stop_if
from sdqviz.quantizers.quantizer import Grid, QuantizerChoice
from sdqviz.storage import codes as coding

TRIED = 16
"""Alphabets are tried on one in so many neurons, and on so many at least."""

FLOAT32 = float(np.finfo(np.float32).eps)
"""How far a number's float32 may be from it, as a share: twice that, since it is applied to the rounded number."""

RIDERS = 2048
"""Neurons, with one copy for each multiple of their steps, that are walked together when a scale is searched."""


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
    groups : sequence of Group
        In the order of the neurons.
    patches : float
        Share of a convolution's positions that were looked at.
    should_stop : callable or None
        Polled between pieces of work.
    spread : Spread or None
        What walks blocks of neurons elsewhere.
    """

    plan: Plan
    fit: ScaleFit
    bits: int
    biases: str
    layer: Layer
    groups: Sequence[Group]
    patches: float
    should_stop: ShouldStop | None
    spread: Spread | None = None

    def compressed(self, begun: float) -> CompressedLayer:
        """Walk, and return the layer as it is stored; ``begun`` is when its work began."""
        try:
            name = self._alphabet()
            settled = self._scale(name) if self.plan.ratio or self.fit.scale == "per-layer" else None
            threshold = 0.0 if settled is None else self._threshold(settled.grid(self.plan.endless))
            operator = self.plan.operator(threshold)
            neurons, told, scale = self._walked(name, settled, operator)
        except InputError as error:
            raise InputError(f"layer {self.layer.name}: {error}") from None
        grid = scale.grid(self.plan.endless)
        dead = np.stack([~group.alive for group in self.groups])
        coded = coding.encode(neurons, grid if operator.rounds else None, threshold, dead, self.fit.step_bits)
        return coded_layer(
            self.layer,
            neurons,
            coded,
            with_bias=self._has("quantized"),
            step=grid.widest if operator.rounds else np.zeros(1),
            overload=np.concatenate([one.overload for one in told]),
            begun=begun,
            corrected=self._corrected_bias(told) if self._has("corrected") else None,
            path=self._record(told, operator, grid),
            note=self._dead_note(dead),
        )

    def _dead_note(self, dead: Array) -> str:
        """Tell of inputs that most of the data never used: their weights are zero, right for these data alone."""
        if 2 * dead.sum() <= dead.size:
            return ""
        return (
            f"layer {self.layer.name}: {int(dead.sum())} of {dead.size} inputs are 0 on all "
            f"{self.groups[0].gram.samples} rows of calibration, so their weights became 0: more data would tell what "
            "they should be"
        )

    def _has(self, biases: str) -> bool:
        """Whether the layer has biases and this is what becomes of them."""
        return self.biases == biases and self.layer.bias is not None

    def _walked(
        self, name: str, settled: Scale | None, operator: QuantizerChoice
    ) -> tuple[Array, list[_Told], Scale]:  # fmt: skip
        """Walk the neurons part by part, with a scale that is known or found for each part on the way."""
        neurons: Array | None = None
        memory = np.empty((0, 0))  # for q in the order of the walk, from part to part
        told, scales = [], []
        for group in self.groups:
            for work in group.works():
                scale = self._fitted([work], name) if settled is None else settled.some(work.part)
                neurons = np.empty((self.layer.shape[0], len(work.weights))) if neurons is None else neurons
                memory = np.empty(work.weights.shape) if memory.shape != work.weights.shape else memory
                own = neurons[work.part]
                walk = self._walk(work, scale.grid(self.plan.endless), operator, (memory, own))
                if not np.may_share_memory(walk.quantized, own):
                    turned(walk.quantized, into=own)
                if not operator.rounds:
                    own[...] = own.astype(np.float32)
                told.append(self._tell(work, walk, own, operator.rounds))
                scales.append(scale)
                del work, walk, own  # before the next part is there
        assert neurons is not None
        return neurons, told, Scale.joined(scales) if settled is None else settled

    def _walk(
        self, work: GroupWork, grid: Grid, operator: QuantizerChoice, into: tuple[Array, Array] | None = None
    ) -> Walk:  # fmt: skip
        """Walk some neurons with their alphabets."""
        if self.spread is None:
            return work.walk(self.plan, operator, grid, work.keys, self.should_stop, into)
        blocks = divided(work.weights.shape[1], self.spread.blocks)
        own = [Walked(self.plan, operator, grid.part(block)) for block in blocks]
        return joined(self._mapped(self.spread, work, blocks, own))

    def _mapped(
        self, spread: Spread, group: GroupWork, blocks: Sequence[slice], work: Sequence[Walked | Tried]
    ) -> list[Any]:  # fmt: skip
        """Do the work of blocks of a group's neurons elsewhere."""
        every = np.arange(group.weights.shape[1])
        parts = [(group.some(every[block]), own) for block, own in zip(blocks, work, strict=True)]
        return spread.map(Shared.of(group), parts)

    def _alphabet(self) -> str:
        """Return the name of the alphabet."""
        names = candidates(self.plan.alphabet, self.plan.level_bits or self.bits)
        return names[0] if len(names) == 1 or not self.plan.operator(0.0).rounds else self._best(names)

    def _scale(self, name: str) -> Scale:
        """Return the steps of all neurons, as they will be stored."""
        if self.fit.scale == "per-layer":
            return self._fitted([work for group in self.groups for work in group.works()], name)
        return Scale.joined([self._fitted([work], name) for group in self.groups for work in group.works()])

    def _fitted(self, works: Sequence[GroupWork], name: str) -> Scale:
        """Return the steps of some neurons, fitted to their weights and perhaps to what walks make of them."""
        bits = self.plan.level_bits or self.bits
        return self._searched(fitted(_joined(works), name, bits, self.fit), works)[0]

    def _best(self, names: Sequence[str]) -> str:
        """Return the alphabet with the least error of some neurons, walked; four times the error are worth a bit."""
        some, first = [], 0
        for group in self.groups:
            chosen = _some(group.count)
            some.append(group.some(chosen, slice(first, first + len(chosen))))
            first += len(chosen)
        neurons, costs = _joined(some), []
        for name in names:
            scale = fitted(neurons, name, self.plan.level_bits or self.bits, self.fit)
            scale, missed = self._searched(scale, some, measured=True)
            costs.append(missed * 4.0 ** (scale.zero_bits / neurons.values.size))
        return names[int(np.argmin(costs))]

    def _searched(self, scale: Scale, works: Sequence[GroupWork], measured: bool = False) -> tuple[Scale, float]:
        """Return the scale with the multiple of each step that errs least, and the error if it is to be measured."""
        if self.fit.fit != "search" and not measured:
            return scale, math.nan
        factors = np.array(scale.factors if self.fit.fit == "search" else (1.0,))
        first = works[0].part.start  # the scale is that of these neurons alone
        own = [slice(work.part.start - first, work.part.stop - first) for work in works]
        errors = np.concatenate(
            [self._trial(scale.some(part), work, factors) for part, work in zip(own, works, strict=True)], axis=1
        )
        if self.fit.scale == "per-layer":
            errors = np.broadcast_to(errors.sum(axis=1, keepdims=True) / errors.shape[1], errors.shape)
        return scale.times(factors[errors.argmin(axis=0)]), float(errors.min(axis=0).sum())

    def _trial(self, scale: Scale, group: GroupWork, factors: Array) -> Array:
        """Walk with all multiples of some steps, which ride together as further neurons; errors (factors, M)."""
        count, together = group.weights.shape[1], max(1, RIDERS // len(factors))
        size = together if self.spread is None else min(together, divided(count, self.spread.blocks)[0].stop)
        size = TILE * -(-count // (-(-count // size) * TILE))  # as even as whole tiles are: no block of one or two
        blocks = [slice(start, min(start + size, count)) for start in range(0, count, size)]
        work = [Tried(self.plan, scale.some(block), factors) for block in blocks]
        if self.spread is not None:
            return np.concatenate(self._mapped(self.spread, group, blocks, work), axis=1)
        errors, memory = np.empty((len(factors), count)), np.empty((2, len(group.start.base) * len(factors) * size))
        for block, own in zip(blocks, work, strict=True):
            stop_if(self.should_stop)
            errors[:, block] = own.of(group, np.arange(block.start, block.stop), self.should_stop, memory)
        return errors

    def _threshold(self, grid: Grid) -> float:
        """Return the threshold with which as many weights as asked for become zero, the random draws held fixed."""
        if self.plan.ratio == 0:
            return 0.0
        sizes, largest = zip(*(_size(work) for group in self.groups for work in group.works()), strict=True)

        def reached(threshold: float) -> float:
            operator = self.plan.operator(threshold)
            zeros = 0
            for group in self.groups:
                for work in group.works():
                    zeros += int((self._walk(work, grid.part(work.part), operator).quantized == 0).sum())
            return zeros / sum(sizes)

        return solve_threshold(reached, self.plan.ratio, max(largest), sum(sizes))

    def _tell(self, work: GroupWork, walk: Walk, neurons: Array, rounds: bool) -> _Told:
        """Say what walks of some neurons left behind; ``neurons`` are their weights now, a row each."""
        errors = work.errors_of(self.plan, walk) if rounds else work.errors(neurons.T.copy())
        aligned = np.sqrt(work.errors(work.start.aligned))
        if not rounds:  # what is stored as a float32 moves the walk's end no further than this
            aligned = aligned + FLOAT32 * np.abs(neurons) @ np.sqrt(work.gram.squares)
        return _Told(
            overload=walk.overload,
            errors=np.sqrt(errors),
            alignment_errors=aligned,
            aligned_range=_range(work.start.aligned),
            damping=work.start.damping,
            mean_errors=work.moments.mean_error(work.weights, neurons.T) if self._has("corrected") else None,
        )

    def _corrected_bias(self, told: Sequence[_Told]) -> Array:
        """Return the biases moved by the mean error of quantized weights, as float32 numbers."""
        moved = np.concatenate([one.mean_errors for one in told if one.mean_errors is not None])
        return (self.layer.bias + moved).astype(np.float32).astype(float)

    def _record(self, told: Sequence[_Told], operator: QuantizerChoice, grid: Grid) -> PathRecord:
        groups = self.groups
        return PathRecord(
            input_norms=np.sqrt(np.stack([group.gram.squares for group in groups])),
            samples=groups[0].gram.samples,
            patches=self.patches,
            target_norms=np.sqrt(np.concatenate([group.gram.target for group in groups])),
            errors=np.concatenate([one.errors for one in told]),
            alignment_errors=np.concatenate([one.alignment_errors for one in told]),
            aligned_range=np.concatenate([one.aligned_range for one in told]),
            quantizer=operator.to_dict(),
            error_limit=operator.error_limit(grid),
            scaling=self.plan.scaling,
            damping=max(one.damping for one in told),
            finite=operator.rounds and grid.count > 0,
            grid=grid,
        )


@dataclasses.dataclass(frozen=True, eq=False)
class _Told:
    """What is known of some neurons once they were walked; as in `PathRecord`, and the mean of their errors."""

    overload: Index
    errors: Array
    alignment_errors: Array
    aligned_range: Array
    damping: float
    mean_errors: Array | None


def _range(columns: Array) -> Array:
    """Return the largest magnitude of each column."""
    return np.asarray(np.maximum(columns.max(axis=0, initial=0.0), -columns.min(axis=0, initial=0.0)))


def _size(work: GroupWork) -> tuple[int, float]:
    """Return how many weights there are, and the largest."""
    return work.weights.size, float(np.abs(work.weights).max(initial=0.0))


def _joined(works: Sequence[GroupWork]) -> Neurons:
    """Return the neurons of all of them."""
    parts = [work.to_fit() for work in works]
    if len(parts) == 1:
        return parts[0]
    return Neurons(np.concatenate([part.values for part in parts]), np.concatenate([part.counted for part in parts]))


def _some(count: int) -> Index:
    """Return which of a group's neurons a trial looks at: one in sixteen, and at least sixteen if there are so many."""
    return np.arange(0, count, max(1, count // max(TRIED, count // TRIED)))
