"""The ladder of a-posteriori bounds of a compressed network, on inputs that were measured."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from sdqviz.bounds import ladder as rungs
from sdqviz.bounds.ladder_layer import LadderBlock, LadderLayer, Node
from sdqviz.bounds.statement import Bound, tightest
from sdqviz.compression.compress import Compression
from sdqviz.compression.measurement import layer_inputs
from sdqviz.error import InputError
from sdqviz.methods.frame_states import state_bound
from sdqviz.methods.method import CompressedLayer
from sdqviz.networks.network import Network
from sdqviz.networks.structure import DenseNode, not_vectors


def ladder(result: Compression, restricted_samples: int | None = None) -> rungs.Ladder:
    """Evaluate the ladder of a-posteriori bounds P0 to P4 on the inputs that a compression was measured on.

    Parameters
    ----------
    result : Compression
        What `sdqviz.compress` gave.
    restricted_samples : int, optional
        How many samples P4 looks at, all by default; it needs a singular value for each layer and sample.

    Returns
    -------
    Ladder
        ``.rungs[i].bound`` says whether it holds and why, ``.rungs[i].values`` are the bounds on ‖f(x) − f_Q(x)‖, one
        for each input.

    Raises
    ------
    InputError
        If no theorem speaks of this network or its inputs, or no errors were measured.
    """
    if result.inputs is None:
        raise InputError("the compression must have been measured on inputs, got one without")
    return a_posteriori(
        result.original, result.network, result.layers, result.inputs, restricted_samples, calibrated=True
    )


def a_posteriori(
    original: Network,
    compressed: Network,
    layers: Sequence[CompressedLayer],
    inputs: Any,
    restricted_samples: int | None = 64,
    *,
    calibrated: bool = False,
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
    calibrated : bool
        Whether the inputs are, or are among, those that the layers were calibrated on: then C speaks of them.

    Raises
    ------
    InputError
        If no theorem speaks of this network.
    """
    structure = original.structure
    if not structure.applicable:
        raise InputError(f"the network must be of the theorems' class, got one that is not: {structure.because}")
    if not compressed.structure.applicable or _widths(original) != _widths(compressed):
        raise InputError("the bounds must compare networks of the same widths, got one with channels cut out")
    from sdqviz.networks.learned_quantizer import LearnedQuantizer  # loads torch, which a page may do without

    if any(isinstance(part, LearnedQuantizer) for part in compressed.module.modules()):
        raise InputError("the bounds must compare networks with activations in float, got quantized ones")
    by_name = {item.layer.name: item for item in layers}
    skipped = [name for name in structure.layer_names if name not in by_name]
    if skipped:
        raise InputError(f"the bounds must have every layer compressed, got {skipped[0]} left as it was")
    before, after = (layer_inputs(network, list(by_name), inputs) for network in (original, compressed))
    uses = Counter(structure.layer_names)
    for name, count in uses.items():
        refusal = not_vectors(name, [values.ndim for values in before[name]])
        if refusal or len(before[name]) != count:
            raise InputError(f"the bounds must speak of these inputs, got {refusal or f'another count of {name}'}")
    met: Counter[str] = Counter()
    changed = {layer.name: layer for layer in compressed.layers}

    def rung(name: str, lipschitz: float) -> LadderLayer:
        item, use = by_name[name], met[name]
        met[name] += 1
        # the states say nothing of weights that a half precision rounded once more
        whole = np.array_equal(changed[name].weight, item.weight)
        return LadderLayer(
            weight=item.layer.weight,
            quantized=changed[name].weight,
            inputs=before[name][use],
            compressed_inputs=after[name][use],
            bias=item.layer.bias,
            quantized_bias=None if item.bias is None else changed[name].bias,
            lipschitz=lipschitz,
            from_states=state_bound(item) if whole else None,
            from_calibration=_on_calibration(item) if whole and calibrated else None,
            name=name,
        )

    nodes: list[Node] = []
    for node in structure.nodes:
        if isinstance(node, DenseNode):
            nodes.append(rung(node.layer, node.lipschitz))
        else:
            nodes.append(LadderBlock(rung(node.inner, 1.0), rung(node.outer, 1.0)))
    return rungs.ladder(nodes, restricted_samples)


def _on_calibration(item: CompressedLayer) -> Bound | None:
    """Return the bound on (Σ_x ‖(W − Q)z̃‖²)^½ over the calibration inputs, where the layer was walked on them."""
    if item.output is None or not item.output.plain or not item.bounds:
        return None
    own = tightest(item.bounds)
    return dataclasses.replace(own, value=math.sqrt(item.output.samples) * own.value)


def _widths(network: Network) -> list[tuple[int, ...]]:
    return [layer.weight.shape for layer in network.layers]
