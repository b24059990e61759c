"""A few rows of what enters each layer of a network as it is: enough to tell alphabets apart."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from sdqviz.array import Array
from sdqviz.networks.batch import with_first
from sdqviz.networks.layer import Layer
from sdqviz.networks.network import Network
from sdqviz.networks.recorder import Recorder
from sdqviz.networks.unfolding import input_rows

INPUTS = 32
"""Inputs of the network that are looked at, at most."""

ROWS = 256
"""Rows of each layer's input that are kept, at most."""


def layer_rows(network: Network, inputs: Any, layers: Sequence[Layer]) -> dict[str, Array]:
    """Pass a few inputs through a network and return rows of what its layers multiply.

    Parameters
    ----------
    network : Network
        The network.
    inputs : ndarray, tensor, tuple, mapping or list of batches
        Its inputs; of a list only the first batch.
    layers : sequence of Layer
        The layers asked for.

    Returns
    -------
    dict of str to ndarray, shape (groups, rows, width)
        By layer; layers that the data do not reach, or with inputs that are not finite, are left out.
    """
    recorder = Recorder(network.module, [layer.name for layer in layers], outputs=False)
    _, recording = with_first(
        inputs, INPUTS, lambda few: recorder.run(functools.partial(network.passes.raw, inputs=few))
    )
    found = {}
    for layer in layers:
        calls = [call for call in recording.of(layer.name) if call.entered.numel()]  # an expert may get no row
        if calls:
            piece = next(iter(input_rows(network.module.get_submodule(layer.name), calls[0].entered)))
            rows = piece.detach().cpu().numpy()
            rows = rows[:, np.unique(np.linspace(0, rows.shape[1] - 1, ROWS).round().astype(int))]
            if np.isfinite(rows).all():
                found[layer.name] = rows
    return found
