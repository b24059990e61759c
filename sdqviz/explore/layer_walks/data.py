"""A layer and its inputs, made up or of a shipped network."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np

from sdqviz.array import Array
from sdqviz.error import InputError
from sdqviz.explore.layer_walks.choice import WalkChoice
from sdqviz.networks.catalogue import NETWORKS
from sdqviz.path_following.gram import Gram
from sdqviz.quantizers.quantizer import Grid

EARLIER_BITS = 4
"""Bits the layers before the chosen one are rounded to, so that its inputs differ from the original ones."""


@dataclasses.dataclass(frozen=True, eq=False)
class LayerData:
    """A layer's weights and inputs.

    Attributes
    ----------
    title : str
        What it is.
    original, inputs : ndarray, shape (m, N)
        X and X̃.
    weights : ndarray, shape (N, M)
        w, a column per neuron.
    agree : bool
        Whether X̃ is X.
    """

    title: str
    original: Array
    inputs: Array
    weights: Array
    agree: bool

    @functools.cached_property
    def gram(self) -> Gram:
        """H, G and ‖Xw‖²."""
        return Gram.of(self.inputs, self.weights, None if self.agree else self.original)

    @functools.cached_property
    def norms(self) -> Array:
        """‖Xw‖ of each neuron, shape (M,)."""
        return np.sqrt(self.gram.target)


def layer_data(choice: WalkChoice, seed: int) -> LayerData:
    """Return the layer a choice describes; the last ones are kept.

    Raises
    ------
    InputError
        If the network has no such layer, or all its inputs are zero.
    """
    if choice.source == "gaussian":
        return _gaussian(choice.samples, choice.inputs, choice.neurons, choice.drift, seed)
    return _of_network(choice.network, choice.layer, choice.samples, choice.neurons, seed)


@functools.lru_cache(maxsize=8)
def _gaussian(samples: int, inputs: int, neurons: int, drift: float, seed: int) -> LayerData:
    rng = np.random.default_rng([seed, 2])
    original = rng.standard_normal((samples, inputs))
    weights = np.random.default_rng([seed, 3]).standard_normal((neurons, inputs)).T.copy()
    changed = original + drift * rng.standard_normal((samples, inputs)) if drift > 0 else original
    return LayerData(f"Gaussian layer, {neurons} neurons", original, changed, weights, drift == 0)


@functools.lru_cache(maxsize=8)
def _of_network(name: str, place: int, samples: int, neurons: int, seed: int) -> LayerData:
    from sdqviz.networks.layer import to_vectors

    network = NETWORKS[name]().load()
    layers = network.layers
    if not 1 <= place <= len(layers):
        raise InputError(f"layer must be between 1 and {len(layers)} for {name}, got {place}", layer=len(layers))
    layer = layers[place - 1]
    rounded = {}
    for earlier in layers[: place - 1]:
        rows = earlier.weight.reshape(len(earlier.weight), -1).T
        grid = Grid.finite("midrise", EARLIER_BITS, np.abs(rows).max(axis=0) / (2 ** (EARLIER_BITS - 1) - 0.5))
        rounded[earlier.name] = grid.nearest(rows).T.reshape(earlier.weight.shape)
    if network.dataset is None:
        raise InputError(f"network {name} must come with calibration images, got none")
    images = network.dataset.calibration(samples, seed)
    # of a convolution only some patches are kept, the same ones in both networks
    original = _rows_before(network, layer.name, images, samples, seed)
    inputs = _rows_before(network.replaced(rounded), layer.name, images, samples, seed) if rounded else original
    rows = to_vectors(layer.weight, layer.groups, "rows")[: len(layer.weight) // layer.groups]
    chosen = np.unique(np.linspace(0, len(rows) - 1, min(neurons, len(rows))).round().astype(int))
    title = f"{name}, layer {layer.name}, {len(chosen)} of {len(layer.weight)} neurons"
    data = LayerData(title, original, inputs, np.ascontiguousarray(rows[chosen].T), not rounded)
    if not data.gram.alive.any():
        raise InputError(f"inputs of layer {layer.name} must not all be zero, got zeros on {samples} samples")
    return data


def _rows_before(network: object, name: str, images: Array, count: int, seed: int) -> Array:
    """Return ``count`` rows that a layer's weight matrix multiplies (the first group's), float64."""
    from sdqviz.networks.batch import batches
    from sdqviz.networks.network import Network
    from sdqviz.networks.recorder import Recorder
    from sdqviz.networks.unfolding import input_rows

    if not isinstance(network, Network):
        raise InputError(f"network must be a Network, got {type(network).__name__}")
    recorder = Recorder(network.module, [name], outputs=False)
    part = recorder.module.get_submodule(name)
    pieces: list[Array] = []
    for batch in batches(images):
        entered = recorder.reach(functools.partial(network.passes.raw, inputs=batch), name)
        pieces.extend(piece[0].cpu().numpy() for piece in input_rows(part, entered))
    rows = np.concatenate(pieces)
    if len(rows) > count:
        rows = rows[np.sort(np.random.default_rng([seed, 4]).choice(len(rows), count, replace=False))]
    return rows
