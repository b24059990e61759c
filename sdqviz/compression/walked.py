"""States what path following promises of a whole network: the walks of all its layers, put together."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from sdqviz.array import Array
from sdqviz.bounds.path import (
    NO_CLIPPING,
    Operator,
    PathLayer,
    WalkedBlock,
    WalkedLayer,
    WalkedNode,
    joint_bounds,
    measured_clipping,
    unbiased,
)
from sdqviz.bounds.statement import Bound, condition
from sdqviz.error import InputError
from sdqviz.methods.method import CompressedLayer, PathRecord
from sdqviz.networks.structure import DenseNode, Structure
from sdqviz.quantizers import QUANTIZERS
from sdqviz.quantizers.quantizer import QuantizerChoice

if TYPE_CHECKING:
    from torch import nn

FAILURE = 0.05
"""Probability with which what is said after path following may fail, over the random numbers."""

THRESHOLDS = 2**31
"""How many float32 numbers a pruning threshold can be, signs left out."""


def recorded(item: CompressedLayer) -> tuple[PathRecord, QuantizerChoice]:
    """Return what path following saw of a layer, and its operator.

    Raises
    ------
    InputError
        If the layer has no such record.
    """
    if item.path is None:
        raise InputError(f"layer {item.layer.name} must have been quantized by path following, got no record of it")
    return item.path, QUANTIZERS.from_dict(item.path.quantizer)


def not_random(quantizer: QuantizerChoice) -> str:
    """Return why no theorem speaks of a walk with this operator; empty if one does."""
    if quantizer.random:
        return ""
    return f"the operator “{quantizer.title}” draws no random numbers, so its errors need not average out"


def thresholds(path: PathRecord) -> int:
    """Return how many walks a statement must cover: one for every threshold that might have been solved for."""
    return THRESHOLDS if "threshold" in path.quantizer else 1


def path_layer(item: CompressedLayer, norms: Array, limit: float, alignment: float = 0.0) -> PathLayer:
    """Return what the bounds use of one group of a layer: norms of its inputs, its largest M, and ‖û‖."""
    path, quantizer = recorded(item)
    mute = 0
    if quantizer.rounds:
        mute = int(((np.broadcast_to(item.step, path.errors.shape) == 0) & (path.aligned_range > 0)).sum())
    text = f"{mute} of {len(path.errors)} neurons have a step of 0 and aligned weights that are not 0" if mute else ""
    count = len(path.errors) * path.input_norms.shape[1]
    return PathLayer.of_norms(
        norms,
        path.samples,
        Operator(quantizer.title.lower(), limit, limit, unbiased(limit, text)),
        scaling=path.scaling,
        neurons=len(path.errors),
        alignment_euclidean=alignment,
        clipping=measured_clipping(item.overload, count) if path.finite else NO_CLIPPING,
    )


def walked_bounds(
    structure: Structure,
    layers: Sequence[CompressedLayer],
    largest_inputs: Mapping[str, float],
    samples: int,
    unit: float = 0.0,
) -> tuple[Bound, ...] | str:
    """Bound max_x‖f(x) − f_Q(x)‖ over the calibration inputs, for all walks of a network together.

    Parameters
    ----------
    structure : Structure
        The network as the theorems see it; it must be applicable.
    layers : sequence of CompressedLayer
        All its layers, each with a ``path`` record.
    largest_inputs : mapping of str to float
        max_t‖X_t‖₂ of the inputs of each layer in the original network.
    samples : int
        How many inputs the error was measured on.
    unit : float
        How far rounding in the module's own precision may move a layer's outputs, as a share of them.

    Returns
    -------
    tuple of Bound, or str
        The `sdqviz.bounds.path.joint_bounds`, or why there are none.

    Notes
    -----
    The walks looked at activations in the module's own precision: the statement is one up to that rounding, no bound
    below it is said to hold, and none is made of layers in half precision, whose rounding is as large as a step.
    """
    by_name = {item.layer.name: item for item in layers}
    names = structure.layer_names
    for name in names:
        path, quantizer = recorded(by_name[name])
        if refusal := not_random(quantizer):
            return refusal
        if names.count(name) > 1:
            return f"layer {name} is used {names.count(name)} times, and its walk saw its inputs at the first use only"
        if not math.isfinite(largest_inputs.get(name, math.nan)):
            return f"the norms of the inputs of layer {name} were not measured"
        if path.input_norms.shape[0] != 1:
            return f"layer {name} has groups; the theorems speak of dense layers"

    def walked(name: str, lipschitz: float) -> WalkedLayer:
        item = by_name[name]
        path, _ = recorded(item)
        layer = path_layer(item, path.input_norms[0], float(path.error_limit.max(initial=0.0)))
        constant = math.sqrt(path.samples) if item.bias is not None and path.input_norms.shape[1] > _inputs(item) else 0
        rows = condition(
            "rows",
            f"the walk saw all {samples} inputs",
            path.samples == samples,
            f"the walk saw {path.samples} rows where the error was measured on {samples} inputs",
        )
        return WalkedLayer(
            name,
            path.samples,
            path.error_limit,
            path.alignment_errors,
            max(largest_inputs[name], constant),
            layer.largest,
            (*layer.hypotheses(), rows),
            path.scaling,
            lipschitz,
            thresholds(path),
            item.layer.norm,
            unit * float(path.target_norms.max(initial=0.0)),
        )

    nodes: list[WalkedNode] = []
    for node in structure.nodes:
        if isinstance(node, DenseNode):
            nodes.append(walked(node.layer, node.lipschitz))
        else:
            nodes.append(WalkedBlock(walked(node.inner, 1.0), walked(node.outer, 1.0)))
    return joint_bounds(nodes, FAILURE)


def epsilon(module: nn.Module) -> float:
    """Return the largest distance of 1 to the next number among the types of a module's parameters."""
    import torch

    return max(torch.finfo(one.dtype).eps for one in module.parameters() if one.is_floating_point())


def told(bound: Bound, layers: Sequence[CompressedLayer], samples: int) -> str:
    """Return the sentence that says what a joint bound promises, and what with."""
    if not bound.holds:
        return ""
    values = sum(item.path.errors.size * item.path.input_norms.shape[1] for item in layers if item.path is not None)
    finite = any(item.path is not None and item.path.finite for item in layers)
    clipped = f" clips nothing (it clipped none of {values} values) and yet" if finite else ""
    solved = ", whatever the thresholds, which were solved for with the same numbers" if _solved(layers) else ""
    return (
        f"With probability at most {FAILURE:.4g} over the random numbers of all {len(layers)} layers together, "
        f"a run{clipped} exceeds this on one of the {samples} calibration inputs{solved}; nothing is said of other "
        "inputs, and rounding in the module's own precision is left out."
    )


def _solved(layers: Sequence[CompressedLayer]) -> bool:
    return any(item.path is not None and thresholds(item.path) > 1 for item in layers)


def _inputs(item: CompressedLayer) -> int:
    return int(item.layer.weight[0].size)
