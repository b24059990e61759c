"""Path following over many seeds at once: how often a bound fails, and how much of it the errors use."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import bdtrc

from sdqviz import memory
from sdqviz.array import Array, Index
from sdqviz.bounds.path import (
    NO_CLIPPING,
    Clipping,
    Operator,
    PathLayer,
    ProbabilisticBound,
    Sensitivity,
    measured_clipping,
)
from sdqviz.error import InputError
from sdqviz.kernels import draws
from sdqviz.path_following import walk as recursion
from sdqviz.path_following.alignment import align
from sdqviz.path_following.feedback import path_gain
from sdqviz.path_following.gram import Gram
from sdqviz.progress import Progress, ShouldStop, report, stop_if
from sdqviz.quantizers.quantizer import Grid, QuantizerChoice

RUNS_AT_ONCE = 1 << 21
"""Numbers in one array of a piece of work, so that a stop is noticed soon and memory stays small."""

NORMS = ("infinity", "euclidean", "range")


@dataclasses.dataclass(frozen=True, eq=False)
class Cloud:
    """What many runs of one layer gave; axis 0 goes over the seeds, axis 1 over the neurons.

    Attributes
    ----------
    infinity, euclidean : ndarray, shape (seeds, neurons)
        ‖Xw − X̃q‖_∞ and ‖Xw − X̃q‖₂.
    range : ndarray, shape (seeds, neurons)
        max_t|v_t|, the largest value the quantizer was given.
    overload : ndarray of int, shape (seeds, neurons)
        Values clipped.
    zeros : ndarray, shape (seeds,)
        Share of the weights that became 0.
    aligned : ndarray, shape (N, neurons)
        w̃.
    layer : PathLayer
        What the bounds need, the measured ‖û‖ of w̃ included; its ``clipping`` says what was seen in all runs.
    """

    infinity: Array
    euclidean: Array
    range: Array
    overload: Index
    zeros: Array
    aligned: Array
    layer: PathLayer

    @property
    def seeds(self) -> int:
        """Number of runs."""
        return len(self.infinity)

    def worst(self, norm: str) -> Array:
        """Return "infinity", "euclidean" or "range" of the worst neuron of each run, shape (seeds,)."""
        if norm not in NORMS:
            raise InputError(f"norm must be one of {', '.join(NORMS)}, got {norm!r}")
        values: Array = getattr(self, norm)
        return values.max(axis=1)

    def sensitivity(self, inputs: ArrayLike) -> Sensitivity:
        """Compute the `Sensitivity` that fits, from the inputs X̃ of the runs."""
        return Sensitivity.of(inputs, self.layer.scaling, self.layer.placement)


@dataclasses.dataclass(frozen=True)
class Verdict:
    """A bound against the runs.

    Attributes
    ----------
    name : str
        The bound's.
    value, probability : float
        What it says.
    holds : bool
        Whether its hypotheses do.
    seeds, failures : int
        Runs, and how many lie above the bound.
    chance : float
        Probability of at least that many failures if each run fails with exactly the stated probability.
    median, largest : float
        Measured/bound.
    """

    name: str
    value: float
    probability: float
    holds: bool
    seeds: int
    failures: int
    chance: float
    median: float
    largest: float

    @property
    def rate(self) -> float:
        """Share of the runs above the bound."""
        return self.failures / self.seeds

    def consistent(self, level: float = 1e-3) -> bool:
        """Say whether the failures are no more than chance allows, at a level of significance."""
        return self.chance >= level


def compare(measured: ArrayLike, stated: ProbabilisticBound) -> Verdict:
    """Count how often measured errors, one a run, are above a bound.

    Parameters
    ----------
    measured : array_like, shape (seeds,)
        For instance ``cloud.worst("infinity")``.
    stated : ProbabilisticBound
        Stated for as many neurons as were measured.
    """
    values = np.asarray(measured, float)
    if values.ndim != 1 or values.size == 0:
        raise InputError(f"measured must be one value per seed, got shape {values.shape}")
    # sums of squares in another order differ in their last digits
    failures = int((~(values <= stated.value * (1 + 1e-9) + 1e-300)).sum())
    ratios = values / stated.value if stated.value > 0 else np.where(values > 0, np.inf, 0.0)
    return Verdict(
        stated.name,
        stated.value,
        stated.probability,
        stated.holds,
        len(values),
        failures,
        float(bdtrc(failures - 1, len(values), 1 - stated.probability)),
        float(np.median(ratios)),
        float(ratios.max()),
    )


def run_layer(
    inputs: ArrayLike,
    weights: ArrayLike,
    quantizer: QuantizerChoice,
    grid: Grid,
    *,
    seeds: int = 2000,
    scaling: float = 1.0,
    placement: str = "own",
    original: ArrayLike | None = None,
    aligned: ArrayLike | None = None,
    name: str = "layer",
    first_seed: int = 0,
    progress: Progress | None = None,
    should_stop: ShouldStop | None = None,
) -> Cloud:
    """Quantize one layer with many seeds.

    Parameters
    ----------
    inputs : array_like, shape (m, N)
        X̃.
    weights : array_like, shape (N,) or (N, neurons)
        w.
    quantizer : QuantizerChoice
        T.
    grid : Grid
        The alphabets, of one neuron for all or of each.
    seeds : int
        How many runs; run k uses the random numbers of a layer called ``name`` in a compression with seed
        ``first_seed`` + k.
    scaling, placement
        C ≥ 1, and what it multiplies: "own" or "largest".
    original : array_like, shape (m, N), optional
        X, if it is not X̃.
    aligned : array_like, shape of ``weights``, optional
        w̃; by default that of alignment of order 1.
    progress, should_stop : callable, optional
        Reports the runs done; polled between pieces of work.

    Returns
    -------
    Cloud

    Raises
    ------
    InputError
        If shapes do not fit, a value is not finite, or the arrays would be too large.
    Stopped
        If ``should_stop`` asked for it.
    """
    x, w = checked(inputs, weights, seeds)
    first = x if original is None else np.asarray(original, float)
    if first.shape != x.shape:
        raise InputError(f"original must have the shape of inputs, {x.shape}, got {first.shape}")
    gram = Gram.of(x, w, None if original is None else first)
    base = align(gram, w) if aligned is None else np.asarray(aligned, float).reshape(w.shape)
    base = np.where(gram.alive[:, None], base, 0.0)
    memory.require("the results of all runs", 3.0 * seeds * w.shape[1], "use fewer seeds or neurons")
    runs = _Runs(x, gram, base, path_gain(gram, scaling, placement), first @ w - x @ base, quantizer, grid)
    together = max(1, RUNS_AT_ONCE // (max(x.shape) * w.shape[1]))
    parts = []
    for start in range(0, seeds, together):
        stop_if(should_stop)
        some = range(start, min(start + together, seeds))
        parts.append(runs.of([draws.layer_key(first_seed + k, name) for k in some], should_stop))
        report(progress, some.stop, seeds, f"{some.stop} of {seeds} seeds")
    infinity, euclidean, reach, overload, zeros = (np.concatenate(column) for column in zip(*parts, strict=True))
    operator = Operator.of(quantizer, grid)
    layer = PathLayer.of_norms(
        np.sqrt(gram.squares), len(x), operator, scaling=scaling, placement=placement, neurons=w.shape[1],
        alignment_infinity=_settled(np.abs(runs.rest).max(), first @ w),
        alignment_euclidean=_settled(np.linalg.norm(runs.rest, axis=0).max(), first @ w),
        clipping=seen(operator, overload, w.size),
    )  # fmt: skip
    return Cloud(infinity, euclidean, reach, overload, zeros, base, layer)


@dataclasses.dataclass(frozen=True, eq=False)
class _Runs:
    """A layer that is walked with one key of random numbers after the other."""

    inputs: Array
    gram: Gram
    base: Array
    gain: Array
    rest: Array  # what alignment left, Xw − X̃w̃
    quantizer: QuantizerChoice
    grid: Grid

    def of(self, layer_keys: Sequence[int], should_stop: ShouldStop | None) -> tuple[Array, Array, Array, Index, Array]:
        """Walk with each key: errors in both norms, reach, overload, each (keys, neurons), and shares of zeros."""
        length, neurons = self.base.shape
        count = len(layer_keys)
        keys = draws.all_neuron_keys(layer_keys, neurons)
        grid = dataclasses.replace(self.grid, step=np.tile(np.broadcast_to(self.grid.step, neurons), count))
        copies, alive = np.tile(self.base, count), self.gram.alive
        walk = recursion.walk(
            copies, self.gram.inputs, self.gain, self.quantizer, grid, keys, alive=alive, should_stop=should_stop
        )
        errors = np.tile(self.rest, count) + self.inputs @ walk.error
        values = np.tril(self.gram.inputs, -1) @ walk.error
        values *= self.gain[:, None]
        values += copies
        values = values if alive.all() else values[alive]
        return (
            np.abs(errors).max(axis=0).reshape(count, neurons),
            np.linalg.norm(errors, axis=0).reshape(count, neurons),
            np.abs(values).max(axis=0, initial=0.0).reshape(count, neurons),
            walk.overload.reshape(count, neurons),
            (walk.quantized == 0).sum(axis=0).reshape(count, neurons).mean(axis=1) / length,
        )


def seen(operator: Operator, overload: Index, values: int) -> Clipping:
    """Return what was seen of the alphabet's end in all runs, of ``values`` values each."""
    if math.isinf(operator.radius):
        return NO_CLIPPING
    return measured_clipping(int(overload.sum()), len(overload) * values)


def _settled(residual: float, scale: Array) -> float:
    """Return a residual of alignment, or 0 where it is rounding."""
    return float(residual) if residual > 1e-12 * np.abs(scale).max(initial=0.0) else 0.0


def checked(inputs: ArrayLike, weights: ArrayLike, seeds: int) -> tuple[Array, Array]:
    """Return inputs and weights as matrices, or refuse what does not fit together."""
    x, w = np.asarray(inputs, float), np.asarray(weights, float)
    if x.ndim != 2 or x.size == 0:
        raise InputError(f"inputs must be samples × inputs, got shape {x.shape}")
    w = w[:, None] if w.ndim == 1 else w
    if w.ndim != 2 or w.shape[0] != x.shape[1] or w.shape[1] == 0:
        raise InputError(f"weights must have {x.shape[1]} rows, one per input, got shape {np.shape(weights)}")
    if not (np.isfinite(x).all() and np.isfinite(w).all()):
        raise InputError("inputs and weights must be finite, got NaN or infinity")
    if seeds < 1:
        raise InputError(f"seeds must be at least 1, got {seeds}")
    return x, w
