"""What may be wrapped as a network: the module, its weights and its example input are looked at first."""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from sdqviz.error import InputError
from sdqviz.networks.batch import own_tensor
from sdqviz.networks.layer import compressible_kinds

if TYPE_CHECKING:
    from torch import Tensor, nn


def own_copy(module: Any) -> nn.Module:
    """Return a copy of a module in evaluation mode and without gradients; a bare layer in a Sequential, as ``layer``.

    Raises
    ------
    InputError
        If it is no module, cannot be copied, has weights that are not there yet, or are no real numbers.
    """
    import torch
    from torch import nn

    from sdqviz.networks.mapped import kept_mapped

    if not isinstance(module, nn.Module):
        raise InputError(f"module must be a torch.nn.Module, got {type(module).__name__}")
    if isinstance(module, torch.jit.ScriptModule):
        raise InputError("module must be the module as it was before it was compiled, got a ScriptModule")
    for name, part in module.named_modules():
        if isinstance(part, torch.jit.ScriptModule):
            raise InputError(f"module must have no compiled parts, got the ScriptModule {name}")
        _check_parameters(name, part)
    try:
        own = copy.deepcopy(module, _computed(module) | kept_mapped(module))
    except (RuntimeError, TypeError, NotImplementedError) as error:
        first_line = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        raise InputError(f"module must be one that can be copied, got {type(module).__name__}: {first_line}") from None
    if isinstance(own, compressible_kinds()):  # a layer needs a name, which is its path in a larger module
        own = nn.Sequential(OrderedDict(layer=own))
    return own.eval().requires_grad_(False)


def _computed(module: nn.Module) -> dict[int, Any]:
    """Return, as a memory of `copy.deepcopy`, tensors that a module keeps and autograd made, which cannot be copied.

    Such are weights that a hook computes anew before every pass, as of the older ``weight_norm``.
    """
    import torch

    kept = [value for part in module.modules() for value in vars(part).values() if isinstance(value, torch.Tensor)]
    return {id(value): value.detach().clone() for value in kept if not value.is_leaf}


def state_tensors(module: nn.Module) -> dict[str, Tensor]:
    """Return the parameters and buffers of a module's state by name, tied ones under each; no state that is none."""
    import torch

    state = module.state_dict(keep_vars=True)
    return {name: value for name, value in state.items() if isinstance(value, torch.Tensor)}


def renamed_inside(module: nn.Module) -> dict[str, str]:
    """Return how tensors were called by whoever gave a module that `own_copy` put inside another, by name in that."""
    if not isinstance(module, compressible_kinds()):
        return {}
    return {f"layer.{name}": name for name in module.state_dict()}


def _check_parameters(path: str, part: nn.Module) -> None:
    import torch
    from torch import nn

    usual = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
    for key, parameter in part.named_parameters(recurse=False):
        name = f"{path}.{key}" if path else key
        if isinstance(parameter, nn.UninitializedParameter):
            raise InputError(f"module must have its weights, got {name} of a lazy layer: pass data through it first")
        if parameter.is_meta:
            raise InputError(f"module must have its weights, got {name} on the meta device: load them first")
        if parameter.numel() == 0:
            raise InputError(
                f"module must have no weight without entries, got {name} of shape {tuple(parameter.shape)}"
            )
        if isinstance(part, compressible_kinds()) and parameter.dtype not in usual:
            raise InputError(f"layer weights must be real floating-point numbers, got {name} of {parameter.dtype}")


def checked_example(example: Any) -> Any:
    """Return copies of the tensors of an example input, as a tensor, a tuple or a dict."""
    import torch

    def copied(value: Any) -> Tensor:
        if not isinstance(value, torch.Tensor | np.ndarray):
            raise InputError(
                f"example_input must be a tensor, a tuple or a dict of tensors, got {type(value).__name__}"
            )
        return own_tensor(value)

    if isinstance(example, Mapping):
        return {str(key): copied(value) for key, value in example.items()}
    if isinstance(example, tuple | list):
        return tuple(copied(value) for value in example)
    return copied(example)
