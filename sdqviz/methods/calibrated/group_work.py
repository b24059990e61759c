"""One group of a layer on its way: its inputs, its weights, and walks through it with this or that scale."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from sdqviz.array import Array, Index
from sdqviz.kernels import draws
from sdqviz.kernels.threads import threads
from sdqviz.kernels.turn import turned
from sdqviz.methods.calibrated.plan import Plan, Start
from sdqviz.methods.calibrated.scale import Neurons
from sdqviz.methods.method import Task
from sdqviz.networks.layer import Layer
from sdqviz.path_following.gram import Gram, Moments
from sdqviz.path_following.walk import TOGETHER, Walk, refine, walk
from sdqviz.progress import ShouldStop
from sdqviz.quantizers.quantizer import Grid, QuantizerChoice

PART = 1 << 21
"""Weights that are made ready for their walk at once, where that many keep every thread busy."""


@dataclasses.dataclass(frozen=True, eq=False)
class GroupWork:
    """Weights of one group of a layer and all that their walk needs; columns are neurons.

    Attributes
    ----------
    part : slice
        Which of the layer's neurons these are.
    weights : ndarray, shape (N, M)
        w, with the biases as a last row where they are quantized like weights.
    moments : Moments
        Sums over the layer's inputs.
    gram : Gram
        What the walk knows of them.
    start : Start
        What the walk starts from.
    keys, trial_keys : ndarray of uint64, shape (M,)
        Keys of the random numbers: of the walk, and of walks that only look for a scale, so that the former stay
        independent of what was found with the latter.
    alive : ndarray of bool, shape (N,)
        Inputs that are not zero on every sample. Those that are constant are alive too where the biases are corrected:
        the bias makes up for what rounding their weights does, and to leave them out would be right for no other input.
    aimed : ndarray or None, shape (N, M)
        X̃ᵀXw, where it is known already.
    walker : callable
        `sdqviz.path_following.walk.walk`, or the same on another device; refining stays on the processor.
    """

    part: slice
    weights: Array
    moments: Moments
    gram: Gram
    start: Start
    keys: Array
    trial_keys: Array
    alive: Array
    aimed: Array | None = None
    walker: Callable[..., Walk] = walk

    def walk(
        self, plan: Plan, operator: QuantizerChoice, grid: Grid, keys: Array, should_stop: ShouldStop | None,
        into: tuple[Array, Array] | None = None,
    ) -> Walk:  # fmt: skip
        """Follow the path with the group's alphabets, then refine; q and the refined e are in the order of the weights.

        The e of a walk that is not refined stays in the order of the walk, which all that is asked of it is free of.
        ``into`` is given for the last walk, which may leave its e where its base was: memory for q, shape (N, M), and
        for its transpose, which is not always made use of.
        """
        start, order = self.start, self.start.order
        memory = None if into is None else (into[0], start.base if start.own else np.empty(start.base.shape))
        found = self._followed(operator, grid, keys, start.base, start.reference, should_stop, memory)
        if order is not None:
            rows = None if into is None or plan.refinements else into[1]
            found = dataclasses.replace(found, quantized=turned(found.quantized, rows=np.argsort(order), into=rows).T)
        for _ in range(plan.refinements):
            again = refine(
                self.gram, self.weights, found.quantized, operator, grid, keys, should_stop, alive=self.alive
            )
            found = Walk(again.quantized, start.aligned - again.quantized, again.overload, again.missed)
        return found

    def trial(
        self, plan: Plan, grid: Grid, neurons: Index, should_stop: ShouldStop | None, into: Array | None = None
    ) -> Array:  # fmt: skip
        """Return ‖Xw − X̃q‖² of walks of some neurons, which may be named many times, each with alphabets of its own.

        ``into`` is memory for what the walks see and leave, shape (2, N·m or more): new memory may cost a tenth of it.
        """
        operator = plan.operator(0.0)
        if self.start.tally is None or plan.refinements:
            some = self.some(neurons)
            return some.errors_of(plan, some.walk(plan, operator, grid, some.trial_keys, should_stop))
        shape = len(self.start.base), len(neurons)
        memory = np.empty((2, math.prod(shape))) if into is None else into[:, : math.prod(shape)]
        base, levels = (part.reshape(shape) for part in memory)
        np.take(self.start.base, neurons, axis=1, out=base, mode="clip")
        same = self.start.reference is self.start.base
        reference = base if same else np.take(self.start.reference, neurons, axis=1)
        keys, left = self.trial_keys[neurons], (levels, base)  # errors where values were, for which nobody asks then
        return self._told(self._followed(operator, grid, keys, base, reference, should_stop, left))

    def _followed(
        self, operator: QuantizerChoice, grid: Grid, keys: Array, base: Array, reference: Array,
        should_stop: ShouldStop | None, into: tuple[Array | None, Array] | None = None,
    ) -> Walk:  # fmt: skip
        start, order = self.start, self.start.order
        return self.walker(
            base, start.feedback, start.gain, operator, grid, keys, reference=reference,
            alive=self.alive if order is None else self.alive[order], names=order, tally=start.tally,
            should_stop=should_stop, into=into,
        )  # fmt: skip

    def errors(self, quantized: Array) -> Array:
        """Return ‖Xw − X̃q‖² of every neuron, shape (M,), for q of shape (N, M)."""
        return self.gram.error(self.weights, quantized, None if self.gram.cross is None else self._aimed)

    def errors_of(self, plan: Plan, found: Walk) -> Array:
        """Return the same of a walk, from what it summed up if it did."""
        if self.start.tally is None or plan.refinements:
            return self.errors(found.quantized)
        return self._told(found)

    def _told(self, found: Walk) -> Array:
        """Return the errors of a walk that summed them up."""
        if self.start.damping == 0:
            return np.maximum(found.missed, 0.0)
        alive, order = self.gram.alive, self.start.order
        live = found.error if alive.all() else found.error[alive if order is None else alive[order]]
        return np.maximum(found.missed - self.start.damping * np.einsum("tm,tm->m", live, live), 0.0)

    def some(self, neurons: Index) -> GroupWork:
        """Return the work of some of the neurons, for trials."""
        base = np.take(self.start.base, neurons, axis=1)
        same = self.start.reference is self.start.base
        start = dataclasses.replace(
            self.start,
            base=base,
            reference=base if same else np.take(self.start.reference, neurons, axis=1),
            aligned=_columns(self.start.aligned, neurons),
        )
        gram = dataclasses.replace(self.gram, target=self.gram.target[neurons])
        return dataclasses.replace(
            self,
            weights=_columns(self.weights, neurons),
            gram=gram,
            start=start,
            keys=self.keys[neurons],
            trial_keys=self.trial_keys[neurons],
            aimed=None if self.gram.cross is None else self._aimed[:, neurons],
        )

    def to_fit(self) -> Neurons:
        """Return the weights a scale is fitted to, those that the walk rounds; the layer's own are not copied."""
        rows = turned(self.weights)
        return Neurons(rows, np.broadcast_to(self.alive, rows.shape))

    @functools.cached_property
    def _aimed(self) -> Array:
        return self.gram.aimed(self.weights) if self.aimed is None else self.aimed


def _columns(matrix: Array, which: Index) -> Array:
    """Return some columns, wherever they lie side by side."""
    return matrix.T[which].T if matrix.flags.f_contiguous else np.take(matrix, which, axis=1)


@dataclasses.dataclass(frozen=True, eq=False)
class Group:
    """One group of a layer, whose neurons are made ready for their walk some at a time.

    Attributes
    ----------
    plan : Plan
        How they are walked.
    layer : Layer
        The layer.
    part : slice
        Which of its neurons the group has.
    parts : sequence of slice
        The same, a few at a time.
    with_bias : bool
        Whether each ends with its bias, as a weight like the others.
    moments : Moments
        Sums over the layer's inputs.
    gram : Gram
        What the walks know of them.
    keys, trial_keys, walker
        As of a `GroupWork`; of all the layer's neurons.
    should_stop : callable or None
        Polled while weights are aligned.
    """

    plan: Plan
    layer: Layer
    part: slice
    parts: Sequence[slice]
    with_bias: bool
    moments: Moments
    gram: Gram
    keys: Array
    trial_keys: Array
    walker: Callable[..., Walk]
    should_stop: ShouldStop | None

    @functools.cached_property
    def constant(self) -> Array:
        """Inputs that only look dead, since their means were subtracted."""
        alive = self.gram.alive
        return self.moments.plain().alive & ~alive if len(alive) == len(self.moments.inputs) else np.zeros_like(alive)

    @functools.cached_property
    def target(self) -> Array:
        """‖Xw‖² of the group's neurons, at their places in the layer."""
        found = np.zeros(self.layer.shape[0])
        found[self.part] = self.gram.target
        return found

    @property
    def alive(self) -> Array:
        """As of a `GroupWork`."""
        return self.gram.alive | self.constant

    @property
    def count(self) -> int:
        """Neurons."""
        return int(self.part.stop - self.part.start)

    @functools.cached_property
    def _whole(self) -> GroupWork:
        return self._work(self.part, self.part)

    def works(self) -> Iterator[GroupWork]:
        """Yield all neurons, a part after the other; whoever lets go of each before the next holds one alone."""
        if len(self.parts) == 1:
            yield self._whole
            return
        for part in self.parts:
            yield self._work(part, part)

    def some(self, neurons: Index, part: slice) -> GroupWork:
        """Return some of the group's neurons, as if they were those of a part of a layer."""
        if len(self.parts) == 1:
            return dataclasses.replace(self._whole.some(neurons), part=part)
        return self._work(self.part.start + neurons, part)

    def _work(self, neurons: Index | slice, part: slice) -> GroupWork:
        """Align some neurons, named as the layer counts them."""
        weights = self.layer.neurons(neurons).T
        if self.with_bias:
            weights = np.vstack([weights, _biases(self.layer)[neurons]])
        gram = dataclasses.replace(self.gram, target=self.target[neurons])
        start = self.plan.start(gram, weights, self.should_stop)
        if self.constant.any():
            start = _with_constants(start, weights, self.constant)
        return GroupWork(
            part, weights, self.moments, gram, start, self.keys[neurons], self.trial_keys[neurons], self.alive,
            walker=self.walker,
        )  # fmt: skip


def groups_of(
    plan: Plan, biases: str, layer: Layer, moments: tuple[Moments, ...], task: Task,
    walker: Callable[..., Walk] = walk,
) -> list[Group]:  # fmt: skip
    """Make every group of a layer ready for its walk.

    Parameters
    ----------
    plan : Plan
        How.
    biases : {"float", "corrected", "quantized"}
        Whether inputs are seen less their means, or with a constant 1 as one more.
    layer : Layer
        The layer.
    moments : tuple of Moments
        Of each of its groups.
    task : Task
        Its seed decides the random numbers. Where it spreads walks over processes a group is one part.
    walker : callable
        What walks, see `GroupWork`.
    """
    count = layer.shape[0]
    keys = draws.neuron_keys(draws.layer_key(task.seed, layer.name), count)
    trial = draws.neuron_keys(draws.layer_key(task.seed, f"{layer.name}|scale"), count)
    size = count // layer.groups
    found = []
    for group, sums in enumerate(moments):
        part = slice(group * size, (group + 1) * size)
        if layer.bias is None or biases == "float":
            gram = sums.plain()
        elif biases == "quantized":
            gram = sums.extended(layer.rows[part].T, _biases(layer)[part])
        else:
            gram = sums.centred(layer.rows[part].T)
        with_bias = biases == "quantized" and layer.bias is not None
        parts = [part] if task.spread is not None else parts_of(part, len(gram.inputs))
        found.append(
            Group(plan, layer, part, parts, with_bias, sums, gram, keys, trial, walker, task.should_stop)
        )  # fmt: skip
    return found


def neurons_together(width: int) -> int:
    """Return how many neurons of so many inputs are made ready at once: they keep every thread busy."""
    return max(threads(), PART // max(width, 1) // TOGETHER) * TOGETHER


def parts_of(part: slice, width: int) -> list[slice]:
    """Cut neurons of so many inputs into parts that are made ready one after the other."""
    size = neurons_together(width)
    return [slice(start, min(start + size, part.stop)) for start in range(part.start, part.stop, size)]


def _biases(layer: Layer) -> Array:
    return np.zeros(layer.shape[0]) if layer.bias is None else layer.bias


def _with_constants(start: Start, weights: Array, constant: Array) -> Start:
    """Let the walk round the weights of constant inputs, which nothing is fed back to or from."""
    order = np.arange(len(weights)) if start.order is None else start.order
    values = np.where(constant[:, None], weights, start.aligned)
    walked = constant[order][:, None]
    return dataclasses.replace(
        start,
        base=np.where(walked, values[order], start.base),
        reference=np.where(walked, values[order], start.reference),
        aligned=values,
    )
