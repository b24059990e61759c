"""What may be wrapped as a network: the module, its weights and its example input are looked at first."""

from __future__ import annotations

import copy
from collections import Counter, OrderedDict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from sdqviz.error import InputError
from sdqviz.networks.batch import own_tensor, require_numbers
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

    from sdqviz.networks.blocks.uncompiled import uncompiled
    from sdqviz.networks.mapped import kept_mapped

    if not isinstance(module, nn.Module):
        raise InputError(f"module must be a torch.nn.Module, got {type(module).__name__}")
    if isinstance(module, torch.jit.ScriptModule):
        raise InputError("module must be the module as it was before it was compiled, got a ScriptModule")
    for name, part in module.named_modules():
        if isinstance(part, torch.jit.ScriptModule):
            raise InputError(f"module must have no compiled parts, got the ScriptModule {name}")
        _check_parameters(name, part)
    shared = kept_mapped(module)
    try:
        own = copy.deepcopy(module, _computed(module) | shared)
    except (RuntimeError, TypeError, NotImplementedError) as error:
        first_line = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        raise InputError(f"module must be one that can be copied, got {type(module).__name__}: {first_line}") from None
    given = {id(one) for one in (module, *module.parameters())} - set(shared)
    if any(id(one) in given for one in (own, *own.parameters())):
        raise InputError(f"module must be one that can be copied, got {type(module).__name__}, whose copy is itself")
    own = uncompiled(own)
    if isinstance(own, compressible_kinds()):  # a layer needs a name, which is its path in a larger module
        own = nn.Sequential(OrderedDict(layer=own))
    _spread_out(own)
    own.eval()  # of a module's own: it may return anything
    own.requires_grad_(False)
    return own


def _spread_out(module: nn.Module) -> None:
    """Give every entry of a tensor a place of its own: of an expanded one, several share one and none can be set."""
    import torch

    held = [*module.parameters(), *module.buffers()]
    for tensor in held:
        if tensor.layout == torch.strided and any(
            s == 0 and n > 1 for s, n in zip(tensor.stride(), tensor.shape, strict=True)
        ):
            tensor.data = tensor.detach().contiguous()


def settle(module: nn.Module) -> str:
    """Put in place of weights that torch's own tools compute from other tensors what they compute, in place.

    Such are weights under weight or spectral normalisation, orthogonal ones and pruned ones, of the present tools and
    of the older ones. Weights that anything else computes, or from tensors that others use too, stay as they are.

    Parameters
    ----------
    module : torch.nn.Module
        In evaluation mode, in which these tools compute the same weight each time.

    Returns
    -------
    str
        What whoever reads results must know; empty where nothing was done.
    """
    from torch.nn.utils import prune
    from torch.nn.utils.spectral_norm import SpectralNorm, remove_spectral_norm
    from torch.nn.utils.weight_norm import WeightNorm, remove_weight_norm

    done = []
    holders = Counter(id(one) for part in module.modules() for one in part._parameters.values() if one is not None)
    layers = [(name, part) for name, part in module.named_modules() if isinstance(part, compressible_kinds())]
    for name, part in layers:
        if any(holders[id(one)] > 1 for one in part.parameters()):
            continue
        found = _undo_parametrizations(part)
        for hook in list(part._forward_pre_hooks.values()):
            if isinstance(hook, WeightNorm):
                found.append(str(remove_weight_norm(part, hook.name) and "weight_norm"))
            elif isinstance(hook, SpectralNorm):
                found.append(str(remove_spectral_norm(part, hook.name) and "spectral_norm"))
            elif isinstance(hook, prune.BasePruningMethod):
                prune.remove(part, hook._tensor_name)  # type: ignore[no-untyped-call]
                found.append("pruning")
        done += [f"{name} ({one})" for one in found]
    if not done:
        return ""
    return f"weights that are computed from others were replaced by what they are: {', '.join(done)}"


def _undo_parametrizations(part: nn.Module) -> list[str]:
    """Leave what torch's own parametrizations compute; return their names."""
    from torch import nn
    from torch.nn.utils import parametrize

    if not parametrize.is_parametrized(part):
        return []
    chains = dict(part.parametrizations.items())  # type: ignore[union-attr, operator]
    kinds = [type(one) for chain in chains.values() for one in chain]
    if any(kind.__module__ != nn.utils.parametrizations.__name__ for kind in kinds):
        return []
    values = {key: getattr(part, key).detach().clone() for key in chains}
    # torch's own way back changes the class, which the copy shares with what was given
    part.__class__ = type(part).__bases__[0]
    del part._modules["parametrizations"]
    for key, value in values.items():
        part.register_parameter(key, nn.Parameter(value, requires_grad=False))
    return [kind.__name__.strip("_") for kind in kinds]


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
        if parameter.layout != torch.strided:
            raise InputError(
                f"module must have dense weights, got {name} of layout {parameter.layout}: call to_dense()"
            )
        if parameter.numel() == 0:
            raise InputError(
                f"module must have no weight without entries, got {name} of shape {tuple(parameter.shape)}"
            )
        if isinstance(part, compressible_kinds()) and parameter.dtype not in usual:
            raise InputError(f"layer weights must be real floating-point numbers, got {name} of {parameter.dtype}")
    for key, buffer in part.named_buffers(recurse=False):
        if buffer.is_meta:
            name = f"{path}.{key}" if path else key
            raise InputError(f"module must have its buffers, got {name} on the meta device: load them first")


def checked_example(example: Any) -> Any:
    """Return copies of the tensors of an example input, as a tensor, a tuple or a dict."""
    import torch

    def copied(value: Any) -> Tensor:
        if not isinstance(value, torch.Tensor | np.ndarray):
            raise InputError(
                f"example_input must be a tensor, a tuple or a dict of tensors, got {type(value).__name__}"
            )
        require_numbers(value, "example_input")
        return own_tensor(value)

    if isinstance(example, Mapping):
        return {str(key): copied(value) for key, value in example.items()}
    if isinstance(example, tuple | list):
        return tuple(copied(value) for value in example)
    return copied(example)
