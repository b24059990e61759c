"""One vector of a compressed layer, as its method saw it: the one with the worst, the median or the best error."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from sdqviz.array import Array
from sdqviz.explore.what_if import Answer


@dataclasses.dataclass(frozen=True, eq=False)
class Vector:
    """One vector of a layer, as the method saw it.

    Attributes
    ----------
    index : int
        Which one.
    kind : str
        ``"column"`` (the weights that leave one input) or ``"neuron"`` (those that enter one output).
    before, after, rounded : ndarray, shape (d,)
        Its weights; ``rounded`` by the plain rounding beside.
    step : float
        δ.
    states : ndarray, shape (N,), or None
        u_n along the walk, where the method has one.
    stable : bool
        Whether all states stay in ±δ/2.
    """

    index: int
    kind: str
    before: Array
    after: Array
    rounded: Array
    step: float
    states: Array | None
    stable: bool

    @property
    def relative_error(self) -> float:
        """‖w − q‖/‖w‖; NaN for a zero vector."""
        norm = float(np.linalg.norm(self.before))
        return float(np.linalg.norm(self.before - self.after)) / norm if norm > 0 else math.nan


def vector(asked: Answer, name: str, which: str = "worst") -> Vector:
    """Return one vector of a layer: the one with the worst, the median or the best error.

    Parameters
    ----------
    asked : Answer
        The answer.
    name : str
        The layer.
    which : {"worst", "median", "best"}
        By ‖w − q‖.
    """
    from sdqviz.networks.layer import to_vectors

    item = asked.layer(name)
    layer, axis = item.layer, item.axis
    before, after = (to_vectors(weight, layer.groups, axis) for weight in (layer.weight, item.weight))
    rounded = to_vectors(asked.comparison.rounding.weights[name].astype(float), layer.groups, axis)
    order = np.argsort(np.linalg.norm(before - after, axis=1), kind="stable")
    index = int(order[{"worst": -1, "median": len(order) // 2, "best": 0}[which]])
    step = float(item.step[index if len(item.step) > 1 else 0])
    states = None if item.states is None else item.states(slice(index, index + 1))[1][0]
    return Vector(
        index=index,
        kind="column" if axis == "columns" else "neuron",
        before=before[index],
        after=after[index],
        rounded=rounded[index],
        step=step,
        states=states,
        stable=states is None or bool(np.abs(states).max() <= step / 2 * (1 + 1e-9)),
    )
