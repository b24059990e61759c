"""The filter of a calibrated walk, computed anew from the layer's inputs, to be drawn beside the difference D."""

from __future__ import annotations

import dataclasses
import weakref

import numpy as np

from sdqviz.array import Array
from sdqviz.compression.measurement import layer_inputs
from sdqviz.explore.what_if import Answer
from sdqviz.path_following.factor import factorize

CELLS = 96
"""Rows and columns of the drawn filter; each cell of a longer one shows the largest |U_kn| of a block."""


@dataclasses.dataclass(frozen=True, eq=False)
class Feedback:
    """What a walk of N steps in a layer's frame feeds back.

    Attributes
    ----------
    cells : ndarray, shape (m, m)
        |U_kn|, n down and k < n across, reduced by maxima over square blocks.
    block : int
        Their side.
    size : int
        N.
    norm, largest : float
        Mean over the steps of (Σ_k U_kn²)^½, and the largest |U_kn|; of the first-order difference both are 1.
    """

    cells: Array
    block: int
    size: int
    norm: float
    largest: float


_KEPT: weakref.WeakKeyDictionary[Answer, dict[str, Feedback | None]] = weakref.WeakKeyDictionary()
"""By answer and layer: gone with the answer, which may be of a network that its session alone has."""


def feedback(asked: Answer, name: str) -> Feedback | None:
    """Return the filter of a dense layer that is stored in a frame of its inputs; None of any other layer."""
    kept = _KEPT.setdefault(asked, {})
    if name not in kept:
        kept[name] = _filter_of(asked, name)
    return kept[name]


def _filter_of(asked: Answer, name: str) -> Feedback | None:
    item, run = asked.layer(name), asked.compression
    own = run.method.rows_in_frame(item.stored, item.parameters, item.layer.weight.shape, item.layer.groups)
    if (
        own is None
        or own[0][0].frame.parts > 1
        or len(item.layer.weight.shape) > 2
        or item.output is None
        or run.inputs is None
    ):
        return None
    rows = own[0][0]
    seen = np.concatenate([x.reshape(-1, x.shape[-1]) for x in layer_inputs(run.network, [name], run.inputs)[name]])
    live = seen[:, rows.live]
    matrix = rows.frame.gram(live.T @ live)
    factor = factorize(matrix, item.output.damping / max(float(np.trace(matrix)) / len(matrix), 1e-300))
    below = np.abs(np.tril(factor.feedback, -1))
    block = -(-len(matrix) // CELLS)
    starts = np.arange(0, len(matrix), block)
    cells = np.maximum.reduceat(np.maximum.reduceat(below, starts, axis=0), starts, axis=1)
    return Feedback(cells, block, len(matrix), float(np.linalg.norm(below, axis=1).mean()), float(below.max()))
