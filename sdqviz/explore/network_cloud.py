"""A ReLU network whose layers follow the path one after the other, over many seeds at once."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from sdqviz.array import Array, Index
from sdqviz.bounds.path import Operator, PathLayer
from sdqviz.error import InputError
from sdqviz.explore.monte_carlo import RUNS_AT_ONCE, checked, seen
from sdqviz.kernels import draws
from sdqviz.path_following.gram import DEAD
from sdqviz.progress import Progress, ShouldStop, report, stop_if
from sdqviz.quantizers.quantizer import Grid, QuantizerChoice


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
    x, matrices = _matrices(inputs, weights, len(grids), seeds)
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
        some = range(start, min(start + together, seeds))
        current = np.broadcast_to(x, (len(some), *x.shape))
        for i, matrix in enumerate(matrices):
            stop_if(should_stop)
            base, rest = _least_change(current, originals[i], matrix)
            layer_keys = [draws.layer_key(first_seed + k, f"layer {i + 1}") for k in some]
            keys = np.stack([draws.neuron_keys(key, matrix.shape[1]) for key in layer_keys])
            state, clipped = _walk(current, base, quantizer, grids[i], keys, scaling, should_stop)
            residual[i] = max(residual[i], np.linalg.norm(rest, axis=1).max())
            overload[some, i] = clipped
            current = np.maximum(originals[i] @ matrix - rest - state, 0.0)
            euclidean[some, i] = np.linalg.norm(originals[i + 1] - current, axis=1).max(axis=1)
        relative[some] = ((originals[-1] - current) ** 2).sum(axis=(1, 2)) / (originals[-1] ** 2).sum()
        report(progress, some.stop, seeds, f"{some.stop} of {seeds} seeds")
    operators = [Operator.of(quantizer, grid) for grid in grids]
    layers = tuple(
        PathLayer.of_norms(
            np.linalg.norm(originals[i], axis=0),
            m,
            operators[i],
            scaling=scaling,
            neurons=matrices[i].shape[1],
            alignment_euclidean=residual[i],
            clipping=seen(operators[i], overload[:, i], matrices[i].size),
        )
        for i in range(depth)
    )
    return NetworkCloud(euclidean, relative, overload, layers)


def _matrices(inputs: ArrayLike, weights: Sequence[ArrayLike], grids: int, seeds: int) -> tuple[Array, list[Array]]:
    """Return the inputs and the layers as matrices, or refuse what does not fit together."""
    if not weights or len(weights) != grids:
        raise InputError(f"weights and grids must be one per layer, got {len(weights)} and {grids}")
    matrices: list[Array] = []
    x, _ = checked(inputs, weights[0], seeds)
    for i, weight in enumerate(weights):
        matrix = np.asarray(weight, float)
        rows = x.shape[1] if i == 0 else matrices[-1].shape[1]
        if matrix.ndim != 2 or matrix.shape[0] != rows or not np.isfinite(matrix).all():
            raise InputError(f"weights of layer {i + 1} must be finite, with {rows} rows, got shape {matrix.shape}")
        matrices.append(matrix)
    return x, matrices


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
