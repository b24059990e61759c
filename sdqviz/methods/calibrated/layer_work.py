"""One layer on its way: a scale, a threshold, the walk of every group, and what is stored of it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from sdqviz.array import Array, Index, turned
from sdqviz.error import InputError
from sdqviz.methods.calibrated.group_work import GroupWork
from sdqviz.methods.calibrated.plan import Plan
from sdqviz.methods.calibrated.scale import Neurons, Scale, ScaleFit, candidates, fitted
from sdqviz.methods.calibrated.spread import Shared, Tried, Walked, divided, joined
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
    groups : sequence of GroupWork
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
    groups: Sequence[GroupWork]
    patches: float
    should_stop: ShouldStop | None
    spread: Spread | None = None

    def compressed(self, begun: float) -> CompressedLayer:
        """Walk, and return the layer as it is stored; ``begun`` is when its work began."""
        grid = self._scale().grid(self.plan.endless)
        try:
            threshold = self._threshold(grid)
            operator = self.plan.operator(threshold)
        except InputError as error:
            raise InputError(f"layer {self.layer.name}: {error}") from None
        walks = self._walks(grid, operator, last=True)
        parts = [turned(walk.quantized) for walk in walks]
        neurons = parts[0] if len(parts) == 1 else np.concatenate(parts)
        if not operator.rounds:
            neurons = neurons.astype(np.float32).astype(float)
        dead = np.stack([~group.alive for group in self.groups])
        coded = coding.encode(neurons, grid if operator.rounds else None, threshold, dead, self.fit.step_bits)
        return coded_layer(
            self.layer,
            neurons,
            coded,
            with_bias=self._has("quantized"),
            step=grid.widest if operator.rounds else np.zeros(1),
            overload=np.concatenate([walk.overload for walk in walks]),
            begun=begun,
            corrected=self._corrected_bias(neurons) if self._has("corrected") else None,
            path=self._record(neurons, walks, operator, grid),
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

    def _walks(self, grid: Grid, operator: QuantizerChoice, last: bool = False) -> list[Walk]:
        found = []
        for group in self.groups:
            own, neurons = grid.part(group.part), group.weights.shape[1]
            if self.spread is None:
                found.append(group.walk(self.plan, operator, own, group.keys, self.should_stop, last))
                continue
            blocks = divided(neurons, self.spread.blocks)
            done = self._mapped(
                self.spread, group, blocks, [Walked(self.plan, operator, own.part(block)) for block in blocks]
            )
            found.append(joined(done))
        return found

    def _mapped(
        self, spread: Spread, group: GroupWork, blocks: Sequence[slice], work: Sequence[Walked | Tried]
    ) -> list[Any]:  # fmt: skip
        """Do the work of blocks of a group's neurons elsewhere."""
        every = np.arange(group.weights.shape[1])
        parts = [(group.some(every[block]), own) for block, own in zip(blocks, work, strict=True)]
        return spread.map(Shared.of(group), parts)

    def _scale(self) -> Scale:
        """Return the alphabet and the steps, as they will be stored."""
        bits = self.plan.level_bits or self.bits
        names = candidates(self.plan.alphabet, bits)
        try:
            name = names[0] if len(names) == 1 or not self.plan.operator(0.0).rounds else self._best(names, bits)
            return self._searched(fitted(_joined(self.groups), name, bits, self.fit), self.groups)[0]
        except InputError as error:
            raise InputError(f"layer {self.layer.name}: {error}") from None

    def _best(self, names: Sequence[str], bits: int) -> str:
        """Return the alphabet with the least error of some neurons, walked; four times the error are worth a bit."""
        some, first = [], 0
        for group in self.groups:
            chosen = group.some(_some(group.weights.shape[1]))
            count = chosen.weights.shape[1]
            some.append(dataclasses.replace(chosen, part=slice(first, first + count)))
            first += count
        neurons, costs = _joined(some), []
        for name in names:
            scale, missed = self._searched(fitted(neurons, name, bits, self.fit), some, measured=True)
            costs.append(missed * 4.0 ** (scale.zero_bits / neurons.values.size))
        return names[int(np.argmin(costs))]

    def _searched(self, scale: Scale, groups: Sequence[GroupWork], measured: bool = False) -> tuple[Scale, float]:
        """Return the scale with the multiple of each step that errs least, and the error if it is to be measured."""
        if self.fit.fit != "search" and not measured:
            return scale, math.nan
        factors = np.array(scale.factors if self.fit.fit == "search" else (1.0,))
        errors = np.concatenate([self._trial(scale.some(group.part), group, factors) for group in groups], axis=1)
        if self.fit.scale == "per-layer":
            errors = np.broadcast_to(errors.sum(axis=1, keepdims=True) / errors.shape[1], errors.shape)
        return scale.times(factors[errors.argmin(axis=0)]), float(errors.min(axis=0).sum())

    def _trial(self, scale: Scale, group: GroupWork, factors: Array) -> Array:
        """Walk with all multiples of a group's steps, which ride together as further neurons; errors (factors, M)."""
        count, together = group.weights.shape[1], max(1, RIDERS // len(factors))
        size = together if self.spread is None else min(together, divided(count, self.spread.blocks)[0].stop)
        blocks = [slice(start, min(start + size, count)) for start in range(0, count, size)]
        work = [Tried(self.plan, scale.some(block), factors) for block in blocks]
        if self.spread is not None:
            return np.concatenate(self._mapped(self.spread, group, blocks, work), axis=1)
        errors = np.empty((len(factors), count))
        for block, own in zip(blocks, work, strict=True):
            stop_if(self.should_stop)
            errors[:, block] = own.of(group, np.arange(block.start, block.stop), self.should_stop)
        return errors

    def _threshold(self, grid: Grid) -> float:
        """Return the threshold with which as many weights as asked for become zero, the random draws held fixed."""
        if self.plan.ratio == 0:
            return 0.0
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

    def _record(self, neurons: Array, walks: Sequence[Walk], operator: QuantizerChoice, grid: Grid) -> PathRecord:
        groups = self.groups
        errors = [
            group.errors_of(self.plan, walk) if operator.rounds else group.errors(neurons[group.part].T.copy())
            for group, walk in zip(groups, walks, strict=True)
        ]
        norms = np.sqrt(np.stack([group.gram.squares for group in groups]))
        # what stays a real number is stored as a float32: that moves the walk's end no further than this
        aligned = np.sqrt(np.concatenate([group.errors(group.start.aligned) for group in groups]))
        if not operator.rounds:
            aligned += np.concatenate(
                [FLOAT32 * np.abs(neurons[group.part]) @ one for group, one in zip(groups, norms, strict=True)]
            )
        return PathRecord(
            input_norms=norms,
            samples=groups[0].gram.samples,
            patches=self.patches,
            target_norms=np.sqrt(np.concatenate([group.gram.target for group in groups])),
            errors=np.sqrt(np.concatenate(errors)),
            alignment_errors=aligned,
            aligned_range=np.concatenate([_range(group.start.aligned) for group in groups]),
            quantizer=operator.to_dict(),
            error_limit=operator.error_limit(grid),
            scaling=self.plan.scaling,
            damping=max(group.start.damping for group in groups),
            finite=operator.rounds and grid.count > 0,
            grid=grid,
        )


def _range(columns: Array) -> Array:
    """Return the largest magnitude of each column."""
    return np.asarray(np.maximum(columns.max(axis=0, initial=0.0), -columns.min(axis=0, initial=0.0)))


def _joined(groups: Sequence[GroupWork]) -> Neurons:
    """Return the neurons of all groups."""
    parts = [group.to_fit() for group in groups]
    if len(parts) == 1:
        return parts[0]
    return Neurons(np.concatenate([part.values for part in parts]), np.concatenate([part.counted for part in parts]))


def _some(count: int) -> Index:
    """Return which of a group's neurons a trial looks at: one in sixteen, and at least sixteen if there are so many."""
    return np.arange(0, count, max(1, count // max(TRIED, count // TRIED)))
