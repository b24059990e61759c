"""Puts the bounds of a network's layers together to a bound on its output, where a theorem applies."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from sdqviz import ladder as rungs
from sdqviz import network_bound
from sdqviz.array import Array
from sdqviz.bound import Bound, not_applicable, spectral_norm, tightest
from sdqviz.error import InputError
from sdqviz.layer import to_vectors
from sdqviz.measurement import layer_inputs
from sdqviz.method import CompressedLayer, join_bias
from sdqviz.methods.frame_quantization import walk_states
from sdqviz.network import Network
from sdqviz.network_bound import Dense, Residual, Stage
from sdqviz.structure import DenseNode, Structure


def layer_error(item: CompressedLayer) -> float:
    """Return the measured ‖W−Q‖₂ of a layer, or ‖[W b]−[Q c]‖₂ if its biases are compressed."""
    return spectral_norm(_matrix(item, item.layer.weight, item.layer.bias) - _matrix(item, item.weight, item.bias))


def _matrix(item: CompressedLayer, weight: Array, bias: Array | None) -> Array:
    """Return the matrix whose rows are the vectors the method quantized (its transpose has the same norm)."""
    axis = item.parameters.get("axis", "rows")
    vectors = to_vectors(weight, item.layer.groups, axis)
    return vectors if item.bias is None else join_bias(vectors, bias, item.layer.groups, axis)


def stages(structure: Structure, layers: Sequence[CompressedLayer]) -> list[Stage]:
    """Return what the bounds need of each layer, in the order the network applies them.

    Parameters
    ----------
    structure : Structure
        The network as the theorems see it; it must be applicable.
    layers : sequence of CompressedLayer
        All its layers.
    """
    by_name = {item.layer.name: item for item in layers}

    def dense(name: str, lipschitz: float) -> Dense:
        item = by_name[name]
        layer, promise = item.layer, tightest(item.bounds)
        quantized = item.bias is not None
        return Dense(
            norm=layer.norm,
            error=promise.value,
            lipschitz=lipschitz,
            bias="none" if layer.bias is None else "quantized" if quantized else "kept",
            bias_norm=0.0 if layer.bias is None else float(np.linalg.norm(layer.bias)),
            joint_norm=spectral_norm(_matrix(item, layer.weight, layer.bias)) if quantized else None,
            error_holds=promise.holds,
            name=name,
        )

    found: list[Stage] = []
    for node in structure.nodes:
        if isinstance(node, DenseNode):
            found.append(dense(node.layer, node.lipschitz))
        else:
            found.append(Residual(inner=dense(node.inner, 1.0), outer=dense(node.outer, 1.0)))
    return found


def output_bound(network: Network, layers: Sequence[CompressedLayer], input_norms: ArrayLike) -> Bound:
    """Bound max_x ‖f(x) − f_Q(x)‖ before running anything: from norms of weights and the layers' own bounds.

    Parameters
    ----------
    network : Network
        The original network.
    layers : sequence of CompressedLayer
        What was done to its layers.
    input_norms : array_like
        ‖x‖ of the inputs; the largest counts.
    """
    structure = network.structure
    if not structure.applicable:
        return not_applicable("network", "Through all layers", structure.because.rstrip("."))
    done = {item.layer.name for item in layers}
    skipped = [layer.name for layer in network.layers if layer.name not in done]
    if skipped:
        return not_applicable("network", "Through all layers", f"layer {skipped[0]} was not compressed")
    missing = [item.layer.name for item in layers if not item.bounds]
    if missing:
        return not_applicable("network", "Through all layers", f"the method has no bound for layer {missing[0]}")
    if any(math.isnan(tightest(item.bounds).value) for item in layers):
        return not_applicable("network", "Through all layers", "a layer's bound has no value")
    return network_bound.network_bound(stages(structure, layers), input_norms)


def a_posteriori(
    original: Network,
    compressed: Network,
    layers: Sequence[CompressedLayer],
    inputs: Array,
    restricted_samples: int | None = 64,
) -> rungs.Ladder:
    """Evaluate the ladder of a-posteriori bounds P0 to P4 on measured inputs.

    Parameters
    ----------
    original, compressed : Network
        The two networks.
    layers : sequence of CompressedLayer
        What was done to every layer.
    inputs : ndarray, shape (n, ...)
        Inputs of the network.
    restricted_samples : int, optional
        How many samples P4 looks at; it needs a singular value for each layer and sample.

    Raises
    ------
    InputError
        If no theorem speaks of this network.
    """
    structure = original.structure
    if not structure.applicable:
        raise InputError(f"the network must be of the theorems' class, got one that is not: {structure.because}")
    names = [item.layer.name for item in layers]
    before, after = layer_inputs(original, names, inputs), layer_inputs(compressed, names, inputs)
    by_name = {item.layer.name: item for item in layers}

    def rung(name: str, lipschitz: float) -> rungs.LadderLayer:
        item = by_name[name]
        walk, states = walk_states(item) if "frame" in item.parameters else (None, None)
        return rungs.LadderLayer(
            weight=item.layer.weight,
            quantized=item.weight,
            inputs=before[name],
            compressed_inputs=after[name],
            bias=item.layer.bias,
            quantized_bias=item.bias,
            lipschitz=lipschitz,
            walk=walk,
            state_norm=None if states is None else spectral_norm(states),
            last_state_norm=None if states is None else float(np.linalg.norm(states[:, -1])),
            name=name,
        )

    nodes: list[rungs.Node] = []
    for node in structure.nodes:
        if isinstance(node, DenseNode):
            nodes.append(rung(node.layer, node.lipschitz))
        else:
            nodes.append(rungs.LadderBlock(rung(node.inner, 1.0), rung(node.outer, 1.0)))
    return rungs.ladder(nodes, restricted_samples)
