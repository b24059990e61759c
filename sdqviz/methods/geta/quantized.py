"""Puts learned quantizers on the layers of a network, their ranges taken from what enters each layer."""

from __future__ import annotations

import functools
from typing import Any

from torch import Tensor, nn

from sdqviz.error import InputError
from sdqviz.methods.geta.settings import Settings
from sdqviz.networks.learned_quantizer import QUANTIZED, LearnedQuantizer, quantize_input, quantize_weight
from sdqviz.networks.network import Network
from sdqviz.networks.network import batches as cut_up
from sdqviz.networks.network import run as forward

CALIBRATION_BATCH = 256
"""Inputs that pass through the network together."""


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
    module = network.shadow()
    calls = {layer.name: 0 for layer in network.layers}
    largest = {layer.name: 0.0 for layer in network.layers}

    def hook(name: str, _: nn.Module, arguments: tuple[Tensor, ...]) -> None:
        calls[name] += 1
        largest[name] = max(largest[name], float(arguments[0].abs().max()))

    for name in calls:
        module.get_submodule(name).register_forward_pre_hook(functools.partial(hook, name))
    batches = 0
    for batch in cut_up(calibration, CALIBRATION_BATCH):
        batches += 1
        forward(module, batch, "float32")
    return {name: (round(calls[name] / batches), largest[name]) for name in calls}
