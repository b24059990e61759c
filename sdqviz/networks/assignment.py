"""Puts new values into the parameters and buffers of a module."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from sdqviz.array import Array
from sdqviz.error import InputError

if TYPE_CHECKING:
    import torch
    from torch import nn

Exact = Mapping[tuple[str, str], Array]
"""Values in double precision by layer name and ``"weight"`` or ``"bias"``."""


def copied(module: nn.Module, exact: Exact, dtype: torch.dtype | None = None) -> nn.Module:
    """Return a copy of a module with values put in, each written once: what is replaced is not copied before.

    Parameters
    ----------
    module : torch.nn.Module
        Stays as it is.
    exact : mapping
        Weights and biases, rounded to what the copy holds.
    dtype : torch.dtype, optional
        What floating parameters and buffers are in the copy; each as it is by default.
    """
    import torch

    made: dict[int, object] = {}
    for (name, which), values in exact.items():
        parameter = module.get_submodule(name)._parameters[which]
        if type(parameter) is torch.nn.Parameter and parameter.is_contiguous():
            # in the memory order of the original, whatever that of the values: products are then rounded alike
            rows = np.ascontiguousarray(values)
            new = torch.tensor(rows, dtype=dtype or parameter.dtype, device=parameter.device)
            made[id(parameter)] = torch.nn.Parameter(new, parameter.requires_grad)
    found = copy.deepcopy(module, made)
    if dtype is not None:
        found = found.to(dtype)
    assign(found, {key: values for key, values in exact.items() if id(_parameter(module, key)) not in made})
    return found


def _parameter(module: nn.Module, key: tuple[str, str]) -> nn.Parameter | None:
    name, which = key
    return module.get_submodule(name)._parameters[which]


def assign(module: nn.Module, exact: Exact) -> None:
    """Put weights and biases into layers, rounded to what the layers hold."""
    import torch

    with torch.no_grad():
        for (name, which), values in exact.items():
            parameter = module.get_submodule(name)._parameters[which]
            if parameter is not None:
                parameter.copy_(torch.tensor(values))


def assign_tensors(module: nn.Module, tensors: Mapping[str, Array]) -> None:
    """Put values into parameters and buffers by path.

    Raises
    ------
    InputError
        If there is none of that name, or it has another shape.
    """
    import torch

    known = {**dict(module.named_parameters(remove_duplicate=False)), **dict(module.named_buffers())}
    with torch.no_grad():
        for name, values in tensors.items():
            if name not in known or tuple(known[name].shape) != values.shape:
                shape = tuple(known[name].shape) if name in known else "none of that name"
                raise InputError(f"tensor {name} must have the network's shape, {shape}, got {values.shape}")
            known[name].copy_(torch.tensor(values))


def fitting(name: str, which: str, values: Array, before: Array | None) -> Array:
    """Return new values of a layer's weight or bias in float64, read-only.

    Raises
    ------
    InputError
        If the layer has no such thing, it has another shape, or a value is not finite.
    """
    if before is None:
        raise InputError(f"layer {name!r} must have a {which} for it to be replaced, got none")
    array = np.array(values, dtype=np.float64)
    if array.shape != before.shape:
        raise InputError(f"{which} of layer {name!r} must have shape {before.shape}, got {array.shape}")
    if not np.isfinite(array).all():
        raise InputError(
            f"{which} of layer {name!r} must be finite, got {int((~np.isfinite(array)).sum())} bad entries"
        )
    array.setflags(write=False)
    return array


def kept_exactly(module: nn.Module, exact: Exact) -> dict[tuple[str, str], Array]:
    """Return what a module stands for once values are in it: in half precision what it holds, else the values."""
    import torch

    found = dict(exact)
    for name, which in exact:
        parameter = module.get_submodule(name)._parameters[which]
        if parameter is not None and parameter.dtype in (torch.float16, torch.bfloat16):
            found[name, which] = parameter.detach().cpu().double().numpy()
            found[name, which].setflags(write=False)
    return found
