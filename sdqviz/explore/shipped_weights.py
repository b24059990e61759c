"""The weights of the shipped networks for handwritten digits, read without torch."""

from __future__ import annotations

import functools

import numpy as np

from sdqviz import asset
from sdqviz.array import Array
from sdqviz.error import InputError
from sdqviz.networks.catalogue import NETWORKS


def weight_files() -> dict[str, str]:
    """Return the names of the weight files of the shipped networks for handwritten digits, with what they hold."""
    names = sorted(file.stem for file in (asset.folder() / "networks").glob("mnist-*.safetensors"))
    return {
        name: f"{NETWORKS[network].title}, seed {seed}"
        for name in names
        for network, _, seed in [name.rpartition("-seed")]
    }


@functools.lru_cache(maxsize=12)
def weight_matrices(name: str) -> tuple[tuple[str, Array], ...]:
    """Return the layers of a shipped network by name, each as a matrix of outputs × inputs, in their order."""
    from safetensors.numpy import load_file

    # by the order of the layers: a later layer has a narrower input in every shipped network
    tensors = load_file(asset.path(f"networks/{name}.safetensors"))
    order = ("conv1", "conv2", "input", "block1.inner", "block1.outer", "block2.inner", "block2.outer", "hidden1")
    named = {key.removesuffix(".weight"): np.asarray(v, float) for key, v in tensors.items() if v.ndim >= 2}
    rank = {layer: place for place, layer in enumerate((*order, "hidden2", "hidden", "output"))}
    return tuple((layer, named[layer].reshape(len(named[layer]), -1)) for layer in sorted(named, key=lambda n: rank[n]))


def weight_column(network: str, layer: int, column: int) -> Array:
    """Return one column of a shipped network's weight matrix, shape (outputs,); no torch is needed.

    Parameters
    ----------
    network : str
        File name without its ending, for example ``"mnist-fnn-seed0"``.
    layer : int
        Counted from 1 at the input. A convolution's kernels are flattened to rows.
    column : int
        Counted from 0.
    """
    name, matrix = weight_matrix(network, layer)
    if not 0 <= column < matrix.shape[1]:
        last = matrix.shape[1] - 1
        raise InputError(f"column must be between 0 and {last} in layer {name}, got {column}", column=last)
    return np.array(matrix[:, column])


def weight_matrix(network: str, layer: int) -> tuple[str, Array]:
    """Return the name of a layer of a shipped network and its weights, shape (outputs, inputs); no torch is needed.

    Parameters as in `weight_column`.
    """
    matrices = weight_matrices(network)
    if not 1 <= layer <= len(matrices):
        most = len(matrices)
        raise InputError(f"layer must be between 1 and {most} for {network}, got {layer}", layer=most)
    return matrices[layer - 1]
