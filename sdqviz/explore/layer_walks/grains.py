"""A layer's walk at three grains: weight after weight of one neuron, neuron after neuron, layer after layer."""

from __future__ import annotations

import dataclasses

import numpy as np

from sdqviz.array import Array
from sdqviz.error import InputError
from sdqviz.explore.layer_walks import walk as walks
from sdqviz.explore.layer_walks.choice import WalkChoice
from sdqviz.explore.layer_walks.walk import WalkRun

GRAINS = ("weight", "neuron", "layer")

MOST_LAYERS = 6
"""The last layer of a network the page can show."""


@dataclasses.dataclass(frozen=True, eq=False)
class WeightWalk:
    """The walk of one neuron through its weights, by the unified framework.

    Attributes
    ----------
    neuron : int
        Which, from 1.
    aligned : ndarray, shape (N,)
        w̃_t.
    values : ndarray, shape (N,)
        v_t, what T is given: w̃_t and the correction.
    levels : ndarray, shape (N,)
        q_t.
    residual : ndarray, shape (N, m)
        ũ_t = Σ_{j≤t} (w̃_j − q_j) X̃_j.
    rounded : ndarray, shape (N,)
        Norms of the same sum where each w̃_j goes to its nearest level.
    plane : ndarray, shape (N, 2 or 3)
        The residual, for m > 3 in the plane that shows most of it.
    shown : float
        Share of its squared length that is in that plane; 1 for m ≤ 3.
    """

    neuron: int
    aligned: Array
    values: Array
    levels: Array
    residual: Array
    rounded: Array
    plane: Array
    shown: float

    @property
    def correction(self) -> Array:
        """v_t − w̃_t: what the errors so far add, shape (N,)."""
        return self.values - self.aligned

    @property
    def norms(self) -> Array:
        """‖ũ_t‖, shape (N,)."""
        return np.asarray(np.linalg.norm(self.residual, axis=1))


@dataclasses.dataclass(frozen=True, eq=False)
class Pieces:
    """What each method leaves of every piece, neurons of a layer or layers of a network.

    Attributes
    ----------
    grain : {"neuron", "layer"}
        What a piece is.
    names : tuple of str
        Of the pieces.
    errors : dict of str to ndarray, shape (pieces,)
        ‖Xw − X̃q‖/‖Xw‖ by method.
    """

    grain: str
    names: tuple[str, ...]
    errors: dict[str, Array]


def weight_walk(run: WalkRun, neuron: int) -> WeightWalk:
    """Write one neuron's walk out, step by step.

    Parameters
    ----------
    run : WalkRun
        The layer's run.
    neuron : int
        From 1; beyond the last one it is the last.
    """
    column = min(neuron, run.data.weights.shape[1]) - 1
    aligned, levels = run.aligned[:, column], run.path("unified").quantized[:, column]
    residual = np.cumsum((aligned - levels)[:, None] * run.data.inputs.T, axis=0)
    plain = np.where(run.data.gram.alive, run.grid.nearest(run.aligned)[:, column], 0.0)
    rounded = np.linalg.norm(np.cumsum((aligned - plain)[:, None] * run.data.inputs.T, axis=0), axis=1)
    plane, shown = residual, 1.0
    if residual.shape[1] > 3:
        _, sizes, directions = np.linalg.svd(residual, full_matrices=False)
        plane = residual @ directions[:2].T
        shown = float((sizes[:2] ** 2).sum() / max((sizes**2).sum(), 1e-300))
    return WeightWalk(column + 1, aligned, run.values[:, column], levels, residual, rounded, plane, shown)


def neurons(run: WalkRun) -> Pieces:
    """Return what each method leaves of every neuron."""
    norms = np.maximum(run.data.norms, 1e-300)
    names = tuple(str(k + 1) for k in range(len(norms)))
    return Pieces("neuron", names, {path.name: path.state[-1] / norms for path in run.paths})


def layers(choice: WalkChoice, seed: int) -> Pieces:
    """Return what each method leaves of every layer of the network; of made-up data there is one."""
    names: list[str] = []
    found: list[dict[str, float]] = []
    for place in range(1, MOST_LAYERS + 1):
        try:
            run = walks.run(dataclasses.replace(choice, layer=place, seeds=1), seed)
        except InputError:
            if not found:
                raise
            break
        found.append({name: run.relative_error(name) for name in walks.COMPARED})
        names.append(str(place))
        if choice.source == "gaussian":
            break
    return Pieces("layer", tuple(names), {name: np.array([one[name] for one in found]) for name in walks.COMPARED})
