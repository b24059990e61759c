"""Puts learned quantizers on the layers of a network, their ranges taken from what enters each layer."""

from __future__ import annotations

import functools
from typing import Any

from torch import nn

from sdqviz.error import InputError
from sdqviz.methods.geta.settings import Settings
from sdqviz.networks.learned_quantizer import QUANTIZED, LearnedQuantizer, quantize_input, quantize_weight
from sdqviz.networks.network import Network
from sdqviz.networks.recorder import Recorder
from sdqviz.networks.watched import watched_batches


def quantize(module: nn.Module, network: Network, choice: Settings, calibration: Any) -> dict[str, str]:
    """Put quantizers on all layers that can have them; return why the others cannot."""
    seen = observe(network, calibration)
    left_alone: dict[str, str] = {}
    for layer in network.layers:
        part = module.get_submodule(layer.name)
        calls, largest = seen[layer.name]
        if type(part) not in QUANTIZED:
            left_alone[layer.name] = f"a {type(part).__name__} may use its weight in a way of its own"
        elif calls == 0:
            left_alone[layer.name] = "the forward pass does not call it"
        elif calls > 1:
            raise InputError(
                f"network must not use a layer in two places, got {layer.name}, which is called {calls} times"
            )
        else:
            quantize_weight(part, LearnedQuantizer.for_weight(part.weight, choice.bits_high))  # type: ignore[arg-type]
            if choice.quantize_activations:
                quantize_input(part, LearnedQuantizer.for_activations(largest, choice.bits_high))
    if len(left_alone) == len(network.layers):
        raise InputError(
            f"network must have a layer that can be quantized, got none: {next(iter(left_alone.values()))}"
        )
    return left_alone


def observe(network: Network, calibration: Any) -> dict[str, tuple[int, float]]:
    """Return, for each layer, how often a forward pass calls it and the largest absolute value that enters it.

    Parameters
    ----------
    network : Network
        What is run.
    calibration : ndarray, tensor, tuple or dict
        Its inputs.

    Raises
    ------
    InputError
        If there is no input, or the network does not take them.
    """
    names = [layer.name for layer in network.layers]
    recorder = Recorder(network.module, names, outputs=False)
    calls = {layer.name: 0 for layer in network.layers}
    largest = {layer.name: 0.0 for layer in network.layers}
    count = 0
    for batch in watched_batches(network, names, calibration):
        count += 1
        recording = recorder.run(functools.partial(network.passes, inputs=batch))
        for name, seen in recording.calls.items():
            calls[name] += sum(call.called for call in seen)
            largest[name] = max(largest[name], *(float(call.entered.abs().max()) for call in seen))
    return {name: (round(calls[name] / count), largest[name]) for name in calls}
