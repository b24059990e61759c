"""Whether a layer is what it looks like: its unfolded input times its weight, plus its bias."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from sdqviz.networks.forward import Forward
from sdqviz.networks.layer import compressible_kinds
from sdqviz.networks.recorder import Recorder

if TYPE_CHECKING:
    from torch import Tensor, nn

TOLERANCE = 1e-3
"""Relative difference of outputs up to which a layer in single precision counts as plain."""

HALF_TOLERANCE = 3e-2
"""The same in half precision."""


def linear_part(part: nn.Module, inputs: Tensor, weight: Tensor | None = None) -> Tensor:
    """Return a layer's weight applied to an input, without the bias and whatever else the layer does.

    Parameters
    ----------
    part : torch.nn.Linear, Conv1d or Conv2d
        The layer.
    inputs : Tensor
        What enters it.
    weight : Tensor, optional
        Another weight; the layer's own by default.
    """
    import torch
    from torch.nn import functional

    weight = part.get_parameter("weight") if weight is None else weight
    with torch.no_grad():
        if isinstance(part, torch.nn.Linear):
            return functional.linear(inputs, weight)
        found: Tensor = part._conv_forward(inputs, weight, None)  # type: ignore[operator]
        return found


def not_plain(module: nn.Module, example: Any, passes: Forward) -> dict[str, str]:
    """Return the layers of a module that do something else than their weight says, each with the reason.

    Layers of torch's own classes without hooks are plain. All others are compared on the example.

    Parameters
    ----------
    module : torch.nn.Module
        In evaluation mode.
    example : tensor, tuple or dict of tensors
        Its input; None if it has no forward pass.
    passes : Forward
        How the example passes through.
    """
    found: dict[str, str] = {}
    doubtful: list[str] = []
    for name, part in module.named_modules():
        if isinstance(part, compressible_kinds()):
            computed = [which for which in ("weight", "bias") if which not in part._parameters]
            if computed:
                found[name] = f"its {computed[0]} is computed from other parameters, such as by a parametrization"
            elif _doubtful(part):
                doubtful.append(name)
    if not doubtful or example is None:
        return found
    recorder = Recorder(module, doubtful)
    calls = recorder.run(functools.partial(passes.raw, inputs=example)).calls
    for name in doubtful:
        part = module.get_submodule(name)
        why = f"a {type(part).__name__}" if _own_class(part) else "with a hook or a forward of its own"
        if name not in calls:
            found[name] = f"{why}, which the example does not reach, so that it cannot be compared with its weight"
        elif not all(call.left is not None and _agrees(part, call.entered, call.left) for call in calls[name]):
            found[name] = f"{why}, which gives something else than its weight times its input plus its bias"
    return found


def _own_class(part: nn.Module) -> bool:
    return not type(part).__module__.startswith("torch.nn.")


def _doubtful(part: nn.Module) -> bool:
    from sdqviz.networks.learned_quantizer import QUANTIZED
    from sdqviz.networks.mapped import LetGo

    if type(part) in QUANTIZED.values():  # our own, in training: their weights are what they hold
        return False
    hooks = [*part._forward_hooks.values(), *part._forward_pre_hooks.values()]
    hooked = any(not isinstance(hook, LetGo) for hook in hooks)
    return _own_class(part) or hooked or "forward" in vars(part)


def _agrees(part: nn.Module, entered: Tensor, left: Tensor) -> bool:
    import torch

    weight, bias = part._parameters["weight"], part._parameters["bias"]
    if weight is None:
        return False
    try:
        expected = linear_part(part, entered.double(), weight.double())
    except RuntimeError:  # it takes inputs that its weight does not
        return False
    if bias is not None:
        shape = [-1] if isinstance(part, torch.nn.Linear) else [-1, *[1] * (weight.ndim - 2)]
        expected = expected + bias.double().reshape(shape)
    if expected.shape != left.shape:
        return False
    half = weight.dtype in (torch.float16, torch.bfloat16)
    difference = torch.linalg.vector_norm(left.double() - expected)
    return bool(difference <= (HALF_TOLERANCE if half else TOLERANCE) * torch.linalg.vector_norm(expected))
