"""One layer on its way through a frame: its step, its levels, and what is stored of it."""

from __future__ import annotations

import dataclasses
import functools
import math
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import numpy as np

from sdqviz import memory
from sdqviz.array import Array
from sdqviz.error import InputError
from sdqviz.kernels.threads import spread
from sdqviz.methods.frame_fields import FrameFields
from sdqviz.methods.frame_states import a_priori, walk_states
from sdqviz.methods.frame_vectors import Carrier, chunks, fitted_steps, quantize, walk_through
from sdqviz.methods.method import CompressedLayer, Task, layer_vectors, split_bias
from sdqviz.progress import stop_if
from sdqviz.sigma_delta.filters import FILTERS
from sdqviz.sigma_delta.recursion import heights
from sdqviz.storage.bits import Packed, pack_steps, step_up

PARAMETER_BITS = 8 + 32 + 32
"""What names a layer's frame: a family code, N and the seed."""

Result = TypeVar("Result")

KEPT = 1 << 25
"""Coefficients that are kept between finding the step and quantizing, rather than computed twice."""


class FrameLayer:
    """One layer on its way through the frame."""

    def __init__(self, choice: FrameFields, layer: Any, bits: int, size: float | None, task: Task) -> None:
        self.choice, self.layer, self.bits, self.task = choice, layer, bits, task
        self.with_bias = choice.biases == "quantized" and layer.bias is not None
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
        try:
            walked = walk_through(
                self.frame_choice, choice.permutation, task.seed, choice.signs, task.progress, task.should_stop,
                self.taps, choice.dual,
            )  # fmt: skip
        except InputError as error:
            raise InputError(f"layer {self.layer.name}: {error}") from None
        frame = walked.frame
        pieces = walked.pieces(len(self.vectors))
        step, largest, kept = self._step(walked, pieces, global_norm)
        steps = np.ascontiguousarray(np.broadcast_to(step, len(self.vectors)))
        levels = np.empty((len(self.vectors), frame.size), np.uint8 if self.bits <= 8 else np.uint16)
        vectors = np.empty_like(self.vectors)

        def quantized(rows: slice) -> int:
            stop_if(task.should_stop)
            values = frame.analyze(self.vectors[rows]) if kept is None else kept[rows]
            levels[rows], vectors[rows], over = quantize(
                walked, self.vectors[rows], values, self.bits, steps[rows], choice.paths, task.should_stop
            )
            return int(over.sum())

        overload = 0
        for rows, over in zip(pieces, self._each(quantized, pieces), strict=True):
            overload += over
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
            note=f"layer {self.layer.name}: {walked.note}" if walked.tied else "",
            axis=choice.axis,
        )
        return dataclasses.replace(item, states=functools.partial(walk_states, item))

    def largest_coefficient(self) -> float:
        """Return max|⟨w, e_n⟩| over all vectors, which is all that the range rules look at."""
        task, choice = self.task, self.choice
        walked = walk_through(
            self.frame_choice, choice.permutation, task.seed, choice.signs, task.progress, task.should_stop,
            self.taps, choice.dual,
        )  # fmt: skip
        found = 0.0
        for rows in chunks(len(self.vectors), walked.frame.size):
            stop_if(task.should_stop)
            values = walked.frame.analyze(self.vectors[rows])
            found = max(found, float(values.max()), -float(values.min()))
        return found

    def _each(self, work: Callable[[slice], Result], pieces: list[slice]) -> Iterator[Result]:
        """Do the pieces on a thread each; rounding by a beam, of order 0, shares its products among all threads."""
        return spread(work, pieces) if self.choice.order else map(work, pieces)

    def _step(self, walked: Carrier, pieces: list[slice], global_norm: float) -> tuple[Array, Array, Array | None]:
        """Return δ for the layer (a scalar) or for each vector, each largest |coefficient|, and what was analysed.

        That is kept in one array: the system hands over a large one faster than many small ones.
        """
        choice, bits, width = self.choice, self.bits, int(self.choice.step_bits)
        shape = len(self.vectors), walked.frame.size
        kept = np.empty(shape) if math.prod(shape) <= KEPT else None
        largest, fitted = np.empty(len(self.vectors)), np.empty(len(self.vectors))
        fit = choice.step_rule == "fitted" and choice.step is None

        def analysed(rows: slice) -> None:
            stop_if(self.task.should_stop)
            values = walked.frame.analyze(self.vectors[rows])
            if kept is None:
                largest[rows] = np.maximum(values.max(axis=1), -values.min(axis=1))
            else:
                largest[rows] = heights(values, kept[rows])
            if fit:
                fitted[rows] = fitted_steps(
                    walked, self.vectors[rows], values, bits, width, choice.paths, self.task.should_stop
                )

        for _ in self._each(analysed, pieces):
            pass
        try:
            if choice.step is not None:
                return step_up(np.asarray(choice.step), width), largest, kept
            if fit:
                return fitted, largest, kept
            wanted: dict[str, Callable[[], float | Array]] = {
                "norm-global": lambda: global_norm,
                "norm-layer": lambda: self.largest_norm,
                "range-layer": largest.max,
                "range-column": lambda: largest,
            }
            return step_up(np.asarray(wanted[choice.step_rule]()) / self.taps.reach(bits), width), largest, kept
        except InputError as error:
            raise InputError(f"layer {self.layer.name}: {error}") from None
