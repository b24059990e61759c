"""States the bounds of compressed layers, and puts them together to a bound on the output, where a theorem applies."""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from sdqviz.array import Array
from sdqviz.bounds import network as network_bound
from sdqviz.bounds.network import Dense, Residual, Stage
from sdqviz.bounds.path import hoeffding_euclidean
from sdqviz.bounds.statement import Bound, not_applicable, tightest
from sdqviz.compression.measurement import Measurement
from sdqviz.compression.walked import (
    FAILURE,
    epsilon,
    not_random,
    path_layer,
    recorded,
    thresholds,
    told,
    walked_bounds,
)
from sdqviz.error import InputError
from sdqviz.kernels.spectral_norm import spectral_norm
from sdqviz.kernels.threads import one_blas_thread
from sdqviz.methods.method import CompressedLayer, join_bias
from sdqviz.networks.layer import to_vectors
from sdqviz.networks.network import Network
from sdqviz.networks.structure import DenseNode, Structure, not_vectors

MATRIX_ERROR = "‖W−Q‖₂"
PATH_ERROR = "max ‖Xw−X̃q‖₂"
OUTPUT_ERROR = "‖X̃(W−Q)ᵀ‖_F/√m"
TITLE = "Through all layers"

SINGLE = 2.0**-23
"""Distance of neighbouring float32 numbers, relative."""

SMALL = 1024
"""The shorter side of a matrix up to which its norm is found on one thread."""

ROUNDING = 64
"""By how many times the distance of neighbouring floats a layer's outputs may be off, roughly."""


def layer_error(item: CompressedLayer) -> float:
    """Return the measured quantity that a layer's bound is about; `error_name` says which.

    After path following it is the largest ‖Xw − X̃q‖₂ of the layer's neurons over the calibration inputs (the rows
    that were looked at, with the biases as they are after compression). After a walk in a frame's coordinates it is
    the error of the layer's output on those inputs, per sample. Otherwise it is ‖W−Q‖₂, or ‖[W b]−[Q c]‖₂
    if the biases are compressed.
    """
    if item.output is not None:
        return item.output.error
    if item.path is not None:
        return float(item.path.errors.max(initial=0.0))
    if item.bias is None and item.layer.groups == 1:
        difference = (item.layer.weight - item.weight).reshape(len(item.weight), -1)  # turned or not, it has that norm
    elif item.bias is None:
        difference = to_vectors(item.layer.weight - item.weight, item.layer.groups, item.axis)
    else:
        difference = _matrix(item, item.layer.weight, item.layer.bias) - _matrix(item, item.weight, item.bias)
    with one_blas_thread() if min(difference.shape) <= SMALL else contextlib.nullcontext():
        return spectral_norm(difference)


def handed(layers: Sequence[CompressedLayer], compressed: Network) -> tuple[CompressedLayer, ...]:
    """Return the layers with the weights that the network in the result has, and bounds that speak of these.

    They differ from what a method chose where a network in half precision rounds them once more; the norm of that
    rounding is then part of every bound.
    """
    after = {layer.name: layer for layer in compressed.layers}
    found = []
    for item in layers:
        layer = after[item.layer.name]
        bias = None if item.bias is None else layer.bias
        same = np.array_equal(layer.weight, item.weight) and (
            bias is None or item.bias is None or np.array_equal(bias, item.bias)
        )
        if not same:
            new = dataclasses.replace(item, weight=layer.weight, bias=bias)
            norm = spectral_norm(_matrix(item, item.weight, item.bias) - _matrix(new, new.weight, new.bias))
            told = f"Rounding to the network's own precision adds {norm:.4g}."
            bounds = tuple(
                dataclasses.replace(one, value=one.value + norm, note=f"{one.note} {told}".strip(), substituted="")
                for one in item.bounds
            )
            item = dataclasses.replace(new, bounds=bounds)  # noqa: PLW2901
        found.append(item)
    return tuple(found)


def error_name(item: CompressedLayer) -> str:
    """Name what `layer_error` measures."""
    if item.output is not None:
        return OUTPUT_ERROR
    return MATRIX_ERROR if item.path is None else PATH_ERROR


def layer_bound(item: CompressedLayer) -> Bound | None:
    """Return the bound on `layer_error` to report, `path_layer_bound` or the tightest on ‖W−Q‖₂; None without any."""
    if item.path is not None:
        return path_layer_bound(item)
    return tightest(item.bounds) if item.bounds else None


def path_layer_bound(item: CompressedLayer, failure: float = FAILURE) -> Bound:
    """Bound max ‖Xw − X̃q‖₂ over all neurons of a layer that path following quantized, with probability 1 − γ.

    Parameters
    ----------
    item : CompressedLayer
        A layer with a ``path`` record.
    failure : float
        γ, strictly between 0 and 1, shared by all neurons of all groups.

    Returns
    -------
    Bound
        A `ProbabilisticBound`, the Euclidean Hoeffding form; without a value if the operator is not random.

    Raises
    ------
    InputError
        If the layer has no such record, or γ is out of range.

    Notes
    -----
    Each group has its own inputs; the value is the largest of the groups'. The probability is that over the layer's
    own random numbers, given the layers before it. A pruning threshold is solved for with the very numbers that the
    walk uses, so the statement is made for each threshold that float32 can hold, with γ/2³¹ each: under the logarithm
    that costs little.
    """
    path, quantizer = recorded(item)
    if not 0 < failure < 1:
        raise InputError(f"failure γ must be strictly between 0 and 1, got {failure}")
    if refusal := not_random(quantizer):
        return not_applicable("path-euclidean-hoeffding", "Euclidean error, Hoeffding form", refusal, text="hoeffding")
    groups, neurons, solved = len(path.input_norms), len(path.errors), thresholds(path) > 1
    parts = [
        hoeffding_euclidean(
            path_layer(item, norms, float(limits.max()), float(alignment.max())), failure / thresholds(path)
        )
        for norms, limits, alignment in zip(
            path.input_norms,
            path.error_limit.reshape(groups, -1),
            path.alignment_errors.reshape(groups, -1),
            strict=True,
        )
    ]
    worst = max(parts, key=lambda part: part.value)
    added = [f"over the random numbers and for all {neurons} neurons together"]
    if path.finite:
        added.insert(0, "that of clipping nothing and yet breaking it")
    if solved:
        added.append("whatever the threshold c, which was solved for with the same numbers")
    if path.patches < 1:
        added.append(f"on the {path.samples} rows that were looked at")
    stated = f"The probability of failure is at most {failure:.4g}: {', '.join(added)}." if worst.holds else ""
    return dataclasses.replace(
        worst,
        title=f"Euclidean error of all neurons, Hoeffding form, probability {1 - failure:.4g}",
        note=f"{worst.note} {stated}".strip(),
        probability=1 - failure,
    )


def _matrix(item: CompressedLayer, weight: Array, bias: Array | None) -> Array:
    """Return the matrix whose rows are the vectors the method quantized (its transpose has the same norm)."""
    axis = item.axis
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


def output_bounds(network: Network, layers: Sequence[CompressedLayer], measurement: Measurement) -> tuple[Bound, ...]:
    """Bound max_x ‖f(x) − f_Q(x)‖ in every way that applies; the tightest is the one to report.

    Parameters
    ----------
    network : Network
        The original network.
    layers : sequence of CompressedLayer
        What was done to its layers.
    measurement : Measurement
        Of the norms of the inputs, of which the largest counts, and after path following of what enters the layers; of
        outputs nothing is used.
    """
    refusal = _refusal(network, layers, measurement)
    if refusal:
        return (not_applicable("network", TITLE, refusal),)
    if not any(item.path is not None for item in layers):
        return (network_bound.network_bound(stages(network.structure, layers), measurement.input_norms),)
    norms = {name: found.largest_input for name, found in measurement.layers.items()}
    samples = len(measurement.output_errors)
    found = walked_bounds(network.structure, layers, norms, samples, ROUNDING * epsilon(network.module))
    if isinstance(found, str):
        return (not_applicable("network", TITLE, found, text="full-network"),)
    return tuple(dataclasses.replace(one, note=f"{one.note} {told(one, layers, samples)}".strip()) for one in found)


def _refusal(network: Network, layers: Sequence[CompressedLayer], measurement: Measurement) -> str:
    """Return what keeps every theorem from speaking of the network, as a part of a sentence; empty for nothing."""
    structure = network.structure
    if not structure.applicable:
        return structure.because.rstrip(".")
    # the theorems speak of vectors, and a network may take more axes than its example shows
    known = {name: counts for name, counts in measurement.axes.items() if name in structure.layer_names}
    others = [text for name, counts in known.items() if (text := not_vectors(name, counts))]
    if others:
        return others[0]
    done = {item.layer.name for item in layers}
    skipped = [layer.name for layer in network.layers if layer.name not in done]
    if skipped:
        return f"layer {skipped[0]} was not compressed"
    outputs = [item.layer.name for item in layers if item.output is not None]
    if outputs:
        return (
            f"the bound of layer {outputs[0]} speaks of the inputs it was calibrated on and of that layer alone, not "
            "of ‖W−Q‖₂, which a bound through all layers needs"
        )
    walked = [item for item in layers if item.path is not None]
    if walked and len(walked) < len(layers):
        return "some layers follow their paths and others do not"
    if walked and epsilon(network.module) > SINGLE:
        return "the module computes in half precision, whose rounding the walks' theorems leave out"
    if walked:
        return ""
    missing = [item.layer.name for item in layers if not item.bounds]
    if missing:
        return f"the method has no bound for layer {missing[0]}"
    return "a layer's bound has no value" if any(math.isnan(tightest(item.bounds).value) for item in layers) else ""
