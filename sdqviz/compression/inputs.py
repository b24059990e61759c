"""What may be given as calibration inputs, brought to one form: inputs of the network, or a list of batches of them."""

from __future__ import annotations

import numbers
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from sdqviz import memory
from sdqviz.error import InputError
from sdqviz.networks.batch import parts, require_numbers, together, with_first
from sdqviz.networks.batch_axis import batch_axis_asked
from sdqviz.networks.forward import first_line
from sdqviz.networks.network import Network

CALIBRATION_SIZE = 512
"""Inputs on which errors are measured when nothing else is asked for."""

LABELS = ("label", "labels", "target", "targets")
"""What mappings call the answers; a network that takes one has it in its example."""

LARGEST_SEED = 2**63 - 1


def checked_seed(seed: Any) -> int:
    """Return a seed as an int.

    Raises
    ------
    InputError
        If it is not a whole number from 0 to 2⁶³ − 1.
    """
    whole = isinstance(seed, numbers.Integral) and not isinstance(seed, bool)
    if not whole or not 0 <= int(seed) <= LARGEST_SEED:
        raise InputError(f"seed must be a whole number from 0 to 2**63 - 1, got {seed!r}")
    return int(seed)


def calibration_inputs(network: Network, calibration: Any, seed: int) -> Any:
    """Return the inputs to calibrate with and measure on; None for none.

    Parameters
    ----------
    network : Network
        What takes them.
    calibration : object
        As for `sdqviz.compress`.
    seed : int
        Draws from the network's own data.

    Raises
    ------
    InputError
        If it is none of these, the network does not take it, or a number is NaN or infinite.
    """
    if isinstance(calibration, numbers.Integral) and not isinstance(calibration, bool):
        return _drawn(network, int(calibration), seed)
    if network.example_input is None:
        if calibration is None:
            return None
        raise InputError(f"calibration must be left out for {network.name}, which has no forward pass, got some")
    if calibration is None:
        if network.dataset is None:
            return network.example_input
        return network.dataset.calibration(min(CALIBRATION_SIZE, network.dataset.calibration_size), seed)
    if _is_array(calibration) or isinstance(calibration, tuple | Mapping):
        inputs = _of_network(network, calibration)
        _check(network, inputs)
        return inputs
    given = _batches(network, calibration)
    inputs = together(given)
    try:
        for batch in inputs if isinstance(inputs, list) else [inputs]:
            _check(network, batch)
    except InputError:
        if isinstance(inputs, list):
            raise
        inputs = given  # perhaps it takes them as they came
        for batch in inputs:
            _check(network, batch)
    return inputs


def _drawn(network: Network, count: int, seed: int) -> Any:
    if count < 0:
        raise InputError(f"calibration must be at least 0, got {count}")
    if count == 0:
        return None
    if network.example_input is None:
        raise InputError(f"calibration must be left out for {network.name}, which has no forward pass, got some")
    if network.dataset is None:
        raise InputError(f"calibration must be the inputs themselves for a network without data, got {count}")
    return network.dataset.calibration(count, seed)


def _batches(network: Network, calibration: Any) -> list[Any]:
    """Return batches one after the other."""
    if isinstance(calibration, str | bytes) or not isinstance(calibration, Iterable):
        raise InputError(f"calibration must be inputs or batches of them, got {type(calibration).__name__}")
    found: list[Any] = []
    taken = 0
    for batch in calibration:
        one = _of_network(network, _without_labels(network, batch))
        sizes = [(part.shape, part.itemsize) for part in parts(one)]
        taken += sum(int(np.prod(shape)) * size for shape, size in sizes)
        memory.require("the calibration inputs", taken, "give fewer batches", itemsize=1)
        found.append(one)
    if not found:
        raise InputError("calibration must hold at least one batch, got none")
    return found


def _without_labels(network: Network, batch: Any) -> Any:
    """Return what a network takes of a batch as loaders give it: of (inputs, labels) the inputs."""
    if not isinstance(batch, tuple | list):
        return batch
    example = network.example_input
    wanted = len(example) if isinstance(example, tuple) else 1
    if not batch:
        raise InputError("calibration batches must hold inputs, got an empty one")
    return tuple(batch[:wanted]) if isinstance(example, tuple) else batch[0]


def _of_network(network: Network, inputs: Any) -> Any:
    """Return inputs as an array, a tensor, a tuple or a dict; what is none of these is refused."""
    if isinstance(inputs, Mapping):
        known = network.example_input if isinstance(network.example_input, Mapping) else {}
        inputs = {str(key): value for key, value in inputs.items() if str(key) in known or str(key) not in LABELS}
    for part in parts(inputs):
        if not _is_array(part):
            raise InputError(f"calibration must hold arrays or tensors, got {type(part).__name__}")
        require_numbers(part, "calibration")
    return inputs


def _is_array(value: Any) -> bool:
    import torch

    return isinstance(value, np.ndarray | torch.Tensor)


def _check(network: Network, inputs: Any) -> None:
    """Refuse inputs that are not finite, or that the network does not take."""
    import torch

    for part in parts(inputs):
        if 0 in part.shape:
            raise InputError(f"calibration must hold at least one sample, got shape {tuple(part.shape)}")
        if isinstance(part, torch.Tensor):
            given = part.detach()
            short = given.is_floating_point() and given.element_size() == 1
            finite = bool(torch.isfinite(given.float() if short else given).all())
        else:
            if part.dtype.kind not in "biuf":
                raise InputError(f"calibration must be real numbers, got type {part.dtype}")
            finite = bool(np.isfinite(part).all())
        if not finite:
            raise InputError("calibration must be finite, got NaN or infinite values")
    try:
        with_first(inputs, 2, lambda few: _passed(network, few))
    except InputError:
        raise
    except Exception as error:  # whatever a forward raises here is about the inputs we were given
        raise InputError(f"calibration inputs must be accepted by the network, got {first_line(error)}") from error


def _passed(network: Network, inputs: Any) -> None:
    with batch_axis_asked("calibration", inputs):
        network.forward(inputs)
