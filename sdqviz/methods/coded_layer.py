"""A compressed layer whose neurons are stored as codes of an alphabet, or as numbers where there is none."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from sdqviz.array import FLOAT_BITS, Array, Index
from sdqviz.methods.method import CompressedLayer, split_bias
from sdqviz.networks.layer import Layer, from_vectors
from sdqviz.storage.bits import Packed
from sdqviz.storage.codes import Coded


def coded_layer(
    layer: Layer, neurons: Array, coded: Coded, *, with_bias: bool, step: Array, overload: Index, begun: float,
    corrected: Array | None = None, **more: Any,
) -> CompressedLayer:  # fmt: skip
    """Return what a method did to the rows of a layer.

    Parameters
    ----------
    layer : Layer
        As it was.
    neurons : ndarray, shape (M, N)
        What decoding gives, a row a neuron.
    coded : Coded
        How they are stored.
    with_bias : bool
        Whether each ends with its bias.
    step : ndarray
        δ of each neuron, or one for all.
    overload : ndarray of int, shape (M,)
        Values of each neuron outside the range.
    begun : float
        When the work began, by `time.perf_counter`.
    corrected : ndarray, optional
        Biases that are stored beside, in float.
    **more
        Further fields of `CompressedLayer`.
    """
    weights, bias = split_bias(neurons, layer.groups, "rows") if with_bias else (neurons, None)
    stored = dict(coded.stored)
    if corrected is not None:
        bias, stored["bias"] = corrected, Packed(corrected.astype(np.float32), FLOAT_BITS)
    return CompressedLayer(
        layer=layer,
        weight=from_vectors(weights, layer.shape, layer.groups, "rows"),
        bias=bias,
        stored=stored,
        parameters={**coded.parameters, "biases": "quantized" if with_bias else "float"},
        parameter_bits=coded.parameter_bits,
        step=step,
        levels=coded.levels,
        size=neurons.shape[1],
        overload=int(overload.sum()),
        unstable=int((overload > 0).sum()),
        seconds=time.perf_counter() - begun,
        weight_bits=coded.weight_bits,
        **{"bounds": (), **more},
    )
