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
from sdqviz.path_following.gram import DEAD, Gram
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
    x, w = _checked(inputs, weights, seeds)
    first = x if original is None else np.asarray(original, float)
    if first.shape != x.shape:
        raise InputError(f"original must have the shape of inputs, {x.shape}, got {first.shape}")
    gram = Gram.of(x, w, None if original is None else first)
    base = align(gram, w) if aligned is None else np.asarray(aligned, float).reshape(w.shape)
    base = np.where(gram.alive[:, None], base, 0.0)
    gain = path_gain(gram, scaling, placement)
    rest = first @ w - x @ base
    length, neurons = w.shape
    step = np.broadcast_to(grid.step, neurons)
    memory.require("the results of all runs", 3.0 * seeds * neurons, "use fewer seeds or neurons")
    shape = (seeds, neurons)
    infinity, euclidean, reach = np.empty(shape), np.empty(shape), np.empty(shape)
    overload, zeros = np.zeros(shape, np.int64), np.empty(seeds)
    together = max(1, RUNS_AT_ONCE // (max(length, len(x)) * neurons))
    lower = np.tril(gram.inputs, -1)
    for start in range(0, seeds, together):
        stop_if(should_stop)
        count = min(together, seeds - start)
        keys = np.concatenate(
            [draws.neuron_keys(draws.layer_key(first_seed + start + k, name), neurons) for k in range(count)]
        )
        grids = dataclasses.replace(grid, step=np.tile(step, count))
        copies = np.tile(base, count)
        walk = recursion.walk(
            copies, gram.inputs, gain, quantizer, grids, keys, alive=gram.alive, should_stop=should_stop
        )
        rows = slice(start, start + count)
        errors = np.tile(rest, count) + x @ walk.error
        infinity[rows] = np.abs(errors).max(axis=0).reshape(count, neurons)
        euclidean[rows] = np.linalg.norm(errors, axis=0).reshape(count, neurons)
        values = copies + gain[:, None] * (lower @ walk.error)
        reach[rows] = np.abs(values[gram.alive]).max(axis=0, initial=0.0).reshape(count, neurons)
        overload[rows] = walk.overload.reshape(count, neurons)
        zeros[rows] = (walk.quantized == 0).reshape(length, count, neurons).mean(axis=(0, 2))
        report(progress, start + count, seeds, f"{start + count} of {seeds} seeds")
    operator = Operator.of(quantizer, grid)
    layer = PathLayer.of_norms(
        np.sqrt(gram.squares),
        len(x),
        operator,
        scaling=scaling,
        placement=placement,
        neurons=neurons,
        alignment_infinity=_settled(np.abs(rest).max(), first @ w),
        alignment_euclidean=_settled(np.linalg.norm(rest, axis=0).max(), first @ w),
        clipping=_seen(operator, overload, w.size),
    )
    return Cloud(infinity, euclidean, reach, overload, zeros, base, layer)


def _seen(operator: Operator, overload: Index, values: int) -> Clipping:
    """Return what was seen of the alphabet's end in all runs, of ``values`` values each."""
    if math.isinf(operator.radius):
        return NO_CLIPPING
    return measured_clipping(int(overload.sum()), len(overload) * values)


def _settled(residual: float, scale: Array) -> float:
    """Return a residual of alignment, or 0 where it is rounding."""
    return float(residual) if residual > 1e-12 * np.abs(scale).max(initial=0.0) else 0.0


def _checked(inputs: ArrayLike, weights: ArrayLike, seeds: int) -> tuple[Array, Array]:
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


# -- a whole network ----------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, eq=False)
class NetworkCloud:
    """What many runs of a ReLU network without biases gave.

    Attributes
    ----------
    euclidean : ndarray, shape (seeds, L)
        max_j‖X_j − X̃_j‖₂ after each layer and its ReLU.
    relative : ndarray, shape (seeds,)
        ‖Φ(X) − Φ̃(X)‖_F²/‖Φ(X)‖_F².
    overload : ndarray of int, shape (seeds, L)
        Values clipped.
    layers : tuple of PathLayer
        What `path_bound.network_paper` and `network_hoeffding` need; ``largest`` is of the original activations,
        ``alignment_euclidean`` the largest ‖û‖₂ over all runs.
    """

    euclidean: Array
    relative: Array
    overload: Index
    layers: tuple[PathLayer, ...]


def run_network(
    inputs: ArrayLike,
    weights: Sequence[ArrayLike],
    quantizer: QuantizerChoice,
    grids: Sequence[Grid],
    *,
    seeds: int = 2000,
    scaling: float = 1.0,
    first_seed: int = 0,
    progress: Progress | None = None,
    should_stop: ShouldStop | None = None,
) -> NetworkCloud:
    """Quantize a ReLU network layer by layer with many seeds, aligning by the smallest change of the weights.

    Each layer follows the path on the inputs X̃ of the network quantized so far, which differ from seed to seed, so the
    state u in R^m is kept as it is written; meant for small networks with fewer samples than inputs, where
    w̃ = w + X̃ᵀ(X̃X̃ᵀ)⁺(X − X̃)w aligns perfectly as long as X̃ has full rank.

    Parameters
    ----------
    inputs : array_like, shape (m, N_0)
        X.
    weights : sequence of array_like, shapes (N_{i−1}, N_i)
        The layers.
    quantizer : QuantizerChoice
        T.
    grids : sequence of Grid
        The alphabet of each layer.
    seeds, scaling, first_seed, progress, should_stop
        As in `run_layer`; layer i is called "layer i".

    Returns
    -------
    NetworkCloud
    """
    if not weights or len(weights) != len(grids):
        raise InputError(f"weights and grids must be one per layer, got {len(weights)} and {len(grids)}")
    matrices: list[Array] = []
    x, _ = _checked(inputs, weights[0], seeds)
    for i, weight in enumerate(weights):
        matrix = np.asarray(weight, float)
        rows = x.shape[1] if i == 0 else matrices[-1].shape[1]
        if matrix.ndim != 2 or matrix.shape[0] != rows or not np.isfinite(matrix).all():
            raise InputError(f"weights of layer {i + 1} must be finite, with {rows} rows, got shape {matrix.shape}")
        matrices.append(matrix)
    if not (np.isfinite(scaling) and scaling >= 1):
        raise InputError(f"scaling C must be at least 1, got {scaling}")
    depth, m = len(matrices), len(x)
    originals = [x]
    for matrix in matrices:
        originals.append(np.maximum(originals[-1] @ matrix, 0.0))
    widest = max(max(matrix.shape) for matrix in matrices)
    euclidean, overload = np.empty((seeds, depth)), np.zeros((seeds, depth), np.int64)
    residual, relative = np.zeros(depth), np.empty(seeds)
    together = max(1, RUNS_AT_ONCE // (widest * max(m, widest)))
    for start in range(0, seeds, together):
        count = min(together, seeds - start)
        rows = slice(start, start + count)
        current = np.broadcast_to(x, (count, *x.shape))
        for i, matrix in enumerate(matrices):
            stop_if(should_stop)
            base, rest = _least_change(current, originals[i], matrix)
            keys = np.stack(
                [
                    draws.neuron_keys(draws.layer_key(first_seed + start + k, f"layer {i + 1}"), matrix.shape[1])
                    for k in range(count)
                ]
            )
            state, clipped = _walk(current, base, quantizer, grids[i], keys, scaling, should_stop)
            output = originals[i] @ matrix - rest - state
            residual[i] = max(residual[i], np.linalg.norm(rest, axis=1).max())
            overload[rows, i] = clipped
            current = np.maximum(output, 0.0)
            euclidean[rows, i] = np.linalg.norm(originals[i + 1] - current, axis=1).max(axis=1)
        relative[rows] = ((originals[-1] - current) ** 2).sum(axis=(1, 2)) / (originals[-1] ** 2).sum()
        report(progress, start + count, seeds, f"{start + count} of {seeds} seeds")
    operators = [Operator.of(quantizer, grid) for grid in grids]
    layers = tuple(
        PathLayer.of_norms(
            np.linalg.norm(originals[i], axis=0),
            m,
            operators[i],
            scaling=scaling,
            neurons=matrices[i].shape[1],
            alignment_euclidean=residual[i],
            clipping=_seen(operators[i], overload[:, i], matrices[i].size),
        )
        for i in range(depth)
    )
    return NetworkCloud(euclidean, relative, overload, layers)


def _least_change(current: Array, original: Array, weights: Array) -> tuple[Array, Array]:
    """Return w̃, shape (seeds, N, M), and û = Xw − X̃w̃, shape (seeds, m, M)."""
    gap = original @ weights - current @ weights
    transposed = current.transpose(0, 2, 1)
    aligned = weights + transposed @ (np.linalg.pinv(current @ transposed, hermitian=True) @ gap)
    return aligned, original @ weights - current @ aligned


def _walk(
    inputs: Array,
    base: Array,
    quantizer: QuantizerChoice,
    grid: Grid,
    keys: Array,
    scaling: float,
    should_stop: ShouldStop | None,
) -> tuple[Array, Index]:
    """Follow the paths of X̃ (seeds, m, N): ũ_N of shape (seeds, m, M), and the values clipped in each run."""
    columns = np.ascontiguousarray(inputs.transpose(2, 0, 1))
    squares = (columns**2).sum(axis=2)
    alive = squares > DEAD * squares.max(axis=0, initial=0.0)
    state = np.zeros((len(inputs), inputs.shape[1], base.shape[2]))
    clipped = np.zeros(len(inputs), np.int64)
    for t, column in enumerate(columns):
        stop_if(should_stop)
        live = alive[t][:, None]
        gain = 1 / (scaling * np.where(live, squares[t][:, None], 1.0))
        values = base[:, t] + gain * np.einsum("sm,smn->sn", column, state)
        levels = np.where(live, quantizer.apply(values, grid, draws.uniforms(keys, t)), 0.0)
        clipped += (quantizer.overloaded(values, grid) & live).sum(axis=1)
        state += column[:, :, None] * (base[:, t] - levels)[:, None, :]
    return state, clipped
