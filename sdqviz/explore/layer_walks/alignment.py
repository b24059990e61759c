"""What alignment of growing order leaves behind."""

from __future__ import annotations

import dataclasses
import functools
import itertools

import numpy as np

from sdqviz.array import Array, Index
from sdqviz.explore.layer_walks.choice import WalkChoice
from sdqviz.explore.layer_walks.data import LayerData, layer_data
from sdqviz.explore.layer_walks.walk import LAYER
from sdqviz.kernels import draws
from sdqviz.path_following import walk as recursion
from sdqviz.path_following.alignment import least_squares, sweeps
from sdqviz.path_following.feedback import path_gain

ORDERS = (1, 2, 3, 4, 6, 8, 12, 16, 32)
"""Orders r at which alignment is shown."""


@dataclasses.dataclass(frozen=True, eq=False)
class AlignmentRun:
    """What alignment of growing order leaves behind, relative to ‖Xw‖, over all neurons together.

    Attributes
    ----------
    orders : ndarray of int, shape (k,)
        r.
    residual : ndarray, shape (k,)
        ‖Xw − X̃w̃‖ of each order.
    least : float
        That of least squares: no order gets below it.
    error : ndarray, shape (k,)
        ‖Xw − X̃q‖ of the unified framework after alignment of each order.
    """

    orders: Index
    residual: Array
    least: float
    error: Array


def alignment(choice: WalkChoice, seed: int) -> AlignmentRun | None:
    """Align with growing order and quantize after it; None where the inputs agree and nothing is to be aligned."""
    data = layer_data(choice, seed)
    if data.agree:
        return None
    gram, whole = data.gram, max(float(np.linalg.norm(data.norms)), 1e-300)
    largest = float(np.abs(data.weights[gram.alive]).max(initial=0.0))
    quantizer = choice.quantizer(float(np.float32(choice.threshold * largest)))
    neurons = data.weights.shape[1]
    grid = choice.grid(largest)
    keys = draws.neuron_keys(draws.layer_key(seed, LAYER), neurons)
    gain = path_gain(gram, choice.scaling, choice.placement)
    target = data.original @ data.weights

    def left(weights: Array) -> float:
        return float(np.linalg.norm(target - data.inputs @ weights) / whole)

    orders = np.union1d(ORDERS, [choice.order])
    aligned = _sweeps(data, tuple(orders.tolist()))
    count = len(orders)
    many = dataclasses.replace(grid, step=np.repeat(grid.step, count * neurons))
    base = np.concatenate(aligned, axis=1)  # one walk for all orders: its time hardly grows with the columns
    walk = recursion.walk(base, gram.inputs, gain, quantizer, many, np.tile(keys, count), alive=gram.alive)
    errors = [left(quantized) for quantized in np.split(walk.quantized, count, axis=1)]
    least = left(least_squares(gram, data.weights))
    return AlignmentRun(orders, np.array([left(w) for w in aligned]), least, np.array(errors))


@functools.lru_cache(maxsize=4)
def _sweeps(data: LayerData, orders: tuple[int, ...]) -> tuple[Array, ...]:
    """Return w̃ of growing orders."""
    found = itertools.islice(sweeps(data.gram, data.weights), max(orders))
    return tuple(aligned for order, aligned in enumerate(found, start=1) if order in orders)
