"""One layer on its way through a frame: its step, its levels, and what is stored of it."""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import numpy as np

from sdqviz import memory
from sdqviz.array import Array, Index, heights
from sdqviz.error import InputError
from sdqviz.frames.ceiling import Ceiling
from sdqviz.kernels.threads import TILE, spread
from sdqviz.methods.frame_fields import FrameFields
from sdqviz.methods.frame_states import a_priori, walk_states
from sdqviz.methods.frame_vectors import Carrier, chunks, fitted_steps, quantize, walk_through
from sdqviz.methods.method import CompressedLayer, Task, layer_vectors, split_bias
from sdqviz.progress import stop_if
from sdqviz.sigma_delta.filters import FILTERS
from sdqviz.sigma_delta.recursion import copied_heights
from sdqviz.storage.bits import Packed, pack_steps, step_up

PARAMETER_BITS = 8 + 32 + 32
"""What names a layer's frame: a family code, N and the seed."""

EACH = ("range-column", "fitted")
"""Rules that give each vector a step of its own."""

Result = TypeVar("Result")

KEPT = 1 << 25
"""Coefficients that are kept between finding the step and quantizing, rather than computed twice."""


class FrameLayer:
    """One layer on its way through the frame."""

    def __init__(self, choice: FrameFields, layer: Any, bits: int, size: float | None, task: Task) -> None:
        self.choice, self.layer, self.bits, self.task = choice, layer, bits, task
        self.with_bias = choice.biases == "quantized" and layer.bias is not None
        if choice.axis == "columns" and layer.groups == 1 and not self.with_bias:
            self.vectors = layer.weight.reshape(layer.shape[0], -1).T  # pieces are turned where they are transformed
        else:
            self.vectors = layer_vectors(layer, choice.axis, biases=self.with_bias)
        try:
            self.frame_choice = choice.frame_choice(self.vectors.shape[1], size, bits)
            self.taps = FILTERS[choice.filter]().taps(choice.order, bits)
        except InputError as error:
            raise InputError(f"layer {layer.name}: {error}") from None
        memory.require(
            f"the levels of layer {layer.name}", len(self.vectors) * self.frame_choice.size, "use a smaller size N"
        )

    @functools.cached_property
    def largest_norm(self) -> float:
        """The largest norm of a vector, which the rules by norms look at."""
        return float(np.linalg.norm(self.vectors, axis=1).max())

    def run(self, global_norm: float, progress: Any) -> CompressedLayer:
        """Find the step and quantize, a few vectors after the other; ``global_norm`` is the largest of all layers."""
        from sdqviz.networks.layer import from_vectors

        begun = time.perf_counter()
        task, choice = self.task, self.choice
        walked = self._walked()
        frame = walked.frame
        pieces = walked.pieces(len(self.vectors))
        known, limit, kept = self._before(walked, pieces, global_norm)
        steps, largest = np.empty(len(self.vectors)), np.empty(len(self.vectors))
        levels = np.empty((len(self.vectors), frame.size), np.uint8 if self.bits <= 8 else np.uint16)
        vectors = np.empty_like(self.vectors)

        def quantized(rows: slice) -> int:
            stop_if(task.should_stop)
            values = frame.analyze(self.vectors[rows]) if kept is None else kept[rows]
            largest[rows] = heights(values) if limit is None else limit
            steps[rows] = self._own_steps(walked, rows, values, largest[rows]) if known is None else known
            levels[rows], vectors[rows], over = quantize(
                walked, self.vectors[rows], values, self.bits, steps[rows], choice.paths, task.should_stop
            )
            return int(over.sum())

        overload = 0
        for rows, over in zip(pieces, self._each(quantized, pieces), strict=True):
            overload += over
            progress(rows.stop)
        step = steps if known is None else known.reshape(-1)
        unstable = largest > self.taps.reach(self.bits) * steps
        weights, bias = split_bias(vectors, self.layer.groups, choice.axis) if self.with_bias else (vectors, None)
        item = CompressedLayer(
            layer=self.layer,
            weight=from_vectors(weights, self.layer.weight.shape, self.layer.groups, choice.axis),
            bias=bias,
            stored={
                "levels": Packed(levels, self.bits),
                "step": pack_steps(step, int(choice.step_bits)),
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
            step=step,
            levels=2**self.bits,
            size=frame.size,
            overload=overload,
            unstable=int(unstable.sum()),
            seconds=time.perf_counter() - begun,
            note=f"layer {self.layer.name}: {walked.note}" if walked.tied else "",
            axis=choice.axis,
        )
        return dataclasses.replace(item, states=functools.partial(walk_states, item))

    def largest_coefficient(self) -> float:
        """Return max|⟨w, e_n⟩| over all vectors, which is all that the rule range-layer looks at."""
        walked = self._walked()
        return self._largest(walked, walked.pieces(len(self.vectors)))

    def _walked(self) -> Carrier:
        task, choice = self.task, self.choice
        try:
            return walk_through(
                self.frame_choice, choice.permutation, task.seed, choice.signs, task.progress, task.should_stop,
                self.taps, choice.dual,
            )  # fmt: skip
        except InputError as error:
            raise InputError(f"layer {self.layer.name}: {error}") from None

    def _each(self, work: Callable[[slice], Result], pieces: list[slice]) -> Iterator[Result]:
        """Do the pieces on a thread each; rounding by a beam, of order 0, shares its products among all threads."""
        return spread(work, pieces) if self.choice.order else map(work, pieces)

    def _before(
        self, walked: Carrier, pieces: list[slice], global_norm: float
    ) -> tuple[Array | None, float | None, Array | None]:
        """Return what is known before the first vector is quantized.

        That is one δ for all vectors, or None where each has its own; the largest coefficient of all, and the
        coefficients themselves where they are few enough to be kept, if δ depends on them.
        """
        choice, reach = self.choice, self.taps.reach(self.bits)
        if choice.step is not None:
            return self._stored(np.asarray(choice.step)), None, None
        if choice.step_rule in EACH:
            return None, None, None
        if choice.step_rule != "range-layer":
            norm = global_norm if choice.step_rule == "norm-global" else self.largest_norm
            return self._stored(np.asarray(norm) / reach), None, None
        kept = None
        if self._ceiling is None and len(self.vectors) * walked.frame.size <= KEPT:
            kept = np.empty((len(self.vectors), walked.frame.size))  # one array: many small ones take longer to get
        largest = self._largest(walked, pieces, kept)
        return self._stored(np.asarray(largest) / reach), largest, kept

    @functools.cached_property
    def _ceiling(self) -> Ceiling | None:
        return Ceiling.of(self.frame_choice, self.choice.signs, self.task.seed)

    def _largest(self, walked: Carrier, pieces: list[slice], kept: Array | None = None) -> float:
        """Return max|⟨w, e_n⟩| over all vectors; those that a ceiling shows to stay below it are not transformed."""
        ceiling, analyze = self._ceiling, walked.frame.analyze

        def height(rows: slice | Index) -> float:
            stop_if(self.task.should_stop)
            values = analyze(self.vectors[rows])
            return float((heights(values) if kept is None else copied_heights(values, kept[rows])).max())

        if ceiling is None:
            return max(self._each(height, pieces))

        def over(rows: slice) -> Array:
            stop_if(self.task.should_stop)
            return ceiling.over(self.vectors[rows])

        together = list(chunks(len(self.vectors), ceiling.frame.size))
        ceilings = np.concatenate(list(self._each(over, together)))
        highest, largest = np.argsort(-ceilings), 0.0
        for start in range(0, len(highest), TILE):
            rows = highest[start : start + TILE]
            if ceilings[rows[0]] <= largest:
                break
            largest = max(largest, height(rows))
        return largest

    def _own_steps(self, walked: Carrier, rows: slice, values: Array, largest: Array) -> Array:
        """Return δ for each of some vectors."""
        choice = self.choice
        if choice.step_rule == "fitted":
            bits, stored = self.bits, int(choice.step_bits)
            return fitted_steps(walked, self.vectors[rows], values, bits, stored, choice.paths, self.task.should_stop)
        return self._stored(largest / self.taps.reach(self.bits))

    def _stored(self, steps: Array) -> Array:
        """Round steps up to what is stored of them."""
        try:
            return step_up(steps, int(self.choice.step_bits))
        except InputError as error:
            raise InputError(f"layer {self.layer.name}: {error}") from None
