"""How the network theorems see a torch module: a chain of dense layers and residual blocks, or nothing."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from sdqviz.networks import activations

if TYPE_CHECKING:
    from torch import Tensor, nn

    from sdqviz.networks.blocks.residual_block import ResidualBlock

__all__ = ["DenseNode", "ResidualBlock", "ResidualNode", "Structure", "read"]


def __getattr__(name: str) -> Any:
    # the block is a torch module; its class is loaded on first use so that this module stays light
    if name == "ResidualBlock":
        from sdqviz.networks.blocks.residual_block import ResidualBlock

        return ResidualBlock
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


@dataclasses.dataclass(frozen=True)
class DenseNode:
    """x ↦ ρ(Wx + b).

    Attributes
    ----------
    layer : str
        Module path of the Linear layer.
    lipschitz : float
        Lipschitz constant of ρ; 1 if nothing follows.
    activations : tuple of str
        Class names of what makes up ρ, in order; empty if nothing follows.
    """

    layer: str
    lipschitz: float
    activations: tuple[str, ...] = ()

    @property
    def layer_names(self) -> tuple[str, ...]:
        """The one layer."""
        return (self.layer,)


@dataclasses.dataclass(frozen=True)
class ResidualNode:
    """x ↦ x + V ρ(Wx + b) + c with ρ = ReLU, and a ReLU of that if ``relu_after``.

    Attributes
    ----------
    inner, outer : str
        Module paths of the Linear layers with weights W and V.
    relu_after : bool
        Whether a ReLU follows the sum.
    """

    inner: str
    outer: str
    relu_after: bool

    @property
    def layer_names(self) -> tuple[str, ...]:
        """Both layers."""
        return (self.inner, self.outer)


@dataclasses.dataclass(frozen=True)
class Structure:
    """The chain of nodes a network is, in order of application.

    Attributes
    ----------
    nodes : tuple of DenseNode or ResidualNode
        Empty if the theorems do not apply.
    applicable : bool
        Whether the whole network is such a chain.
    because : str
        One sentence: what the network is, or what keeps the theorems from applying.
    """

    nodes: tuple[DenseNode | ResidualNode, ...]
    applicable: bool
    because: str

    @property
    def layer_names(self) -> tuple[str, ...]:
        """The layers in order of application; one that is used several times appears as often."""
        return tuple(name for node in self.nodes for name in node.layer_names)


def refused(because: str) -> Structure:
    """Return the structure of a network the theorems do not speak of."""
    return Structure((), False, because)


def not_vectors(name: str, axes: Iterable[int]) -> str:
    """Return why the theorems do not speak of a layer whose inputs have so many axes; empty if they do."""
    for count in axes:
        if count != 2:
            return f"layer {name} acts on inputs of {count} axes; the theorems speak of one vector per input"
    return ""


def read(module: nn.Module) -> Structure:
    """Read a module in evaluation mode as a chain the theorems speak of.

    Understood are Sequential (nested too), Linear, ResidualBlock, Flatten, Identity, the dropouts
    (nothing happens in evaluation mode) and activations with ρ(0) = 0 and a known Lipschitz constant.
    Anything else makes the theorems not applicable, and the answer says which module it was.
    """
    try:
        return _chain(module)
    except _NotAChainError as reason:
        return refused(str(reason))


class _NotAChainError(Exception):
    """Carries the sentence that says why a module is not a chain of known nodes."""


def _chain(module: nn.Module) -> Structure:
    from torch import nn

    from sdqviz.networks.blocks.residual_block import ResidualBlock

    silent = (nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout)
    owners: dict[int, tuple[str, Tensor, Tensor | None]] = {}
    nodes: list[DenseNode | ResidualNode] = []
    for name, part in _leaves(module, ""):
        kind = type(part)
        if kind in silent or _flattens_all(part):
            continue
        if kind is nn.Linear:
            nodes.append(DenseNode(_owner(name, part, owners), 1.0))
        elif kind is ResidualBlock:
            _only_dense(name, part)
            prefix = f"{name}." if name else ""
            inner = _owner(f"{prefix}inner", part.get_submodule("inner"), owners)
            outer = _owner(f"{prefix}outer", part.get_submodule("outer"), owners)
            nodes.append(ResidualNode(inner, outer, bool(part.relu_after)))
        elif (activation := activations.of(part)) is not None:
            if activation.lipschitz is None or activation.obstacle:
                raise _NotAChainError(f"activation {name} ({kind.__name__}) {activation.obstacle}")
            if not nodes:
                raise _NotAChainError(
                    f"activation {name} comes before the first layer; the theorems start with a layer"
                )
            nodes[-1] = _followed(nodes[-1], name, kind.__name__, activation.lipschitz)
        else:
            raise _NotAChainError(_sentence(name, part))
    if not nodes:
        raise _NotAChainError("the network has no dense layer; the theorems speak of dense layers")
    blocks = sum(isinstance(node, ResidualNode) for node in nodes)
    dense = len(nodes) - blocks
    what = f"a chain of {dense} dense layer{'s' * (dense != 1)}"
    what += f" and {blocks} residual block{'s' * (blocks != 1)}" if blocks else ""
    return Structure(tuple(nodes), True, f"the network is {what} with activations that are 0 at 0")


def _leaves(module: nn.Module, name: str) -> Iterator[tuple[str, nn.Module]]:
    """Walk nested Sequentials in order of application, refusing whatever changes what they compute."""
    from torch import nn

    from sdqviz.networks.blocks.uncompiled import Uncompiled

    shown = name or "the network"
    if module._forward_hooks or module._forward_pre_hooks:
        raise _NotAChainError(f"{shown} has forward hooks, which may change what it computes")
    if "forward" in vars(module):
        raise _NotAChainError(f"{shown} has a forward of its own; the theorems speak of chains of known layers")
    if isinstance(module, nn.Sequential):
        if type(module).forward is not nn.Sequential.forward or type(module).__call__ is not nn.Module.__call__:
            raise _NotAChainError(f"{shown} ({type(module).__name__}) has a forward of its own, which cannot be read")
        for key, part in module._modules.items():  # unlike named_children this meets a repeated module again
            if part is not None:
                yield from _leaves(part, f"{name}.{key}" if name else key)
    elif isinstance(module, Uncompiled):
        yield from _leaves(module.get_submodule("_orig_mod"), f"{name}._orig_mod" if name else "_orig_mod")
    else:
        yield name, module


def _flattens_all(part: nn.Module) -> bool:
    from torch import nn

    return type(part) is nn.Flatten and part.start_dim == 1 and part.end_dim == -1


def _only_dense(name: str, block: nn.Module) -> None:
    from torch import nn

    for which in ("inner", "outer"):
        for key, part in _leaves(block.get_submodule(which), f"{name}.{which}"):
            if type(part) is not nn.Linear:
                raise _NotAChainError(_sentence(key, part))


def _owner(name: str, layer: nn.Module, owners: dict[int, tuple[str, Tensor, Tensor | None]]) -> str:
    """Return the name under which a weight is known: its first, for a layer applied more than once."""
    weight, bias = layer._parameters.get("weight"), layer._parameters.get("bias")
    if weight is None:
        raise _NotAChainError(f"layer {name} computes its weight from other parameters")
    first, first_weight, first_bias = owners.setdefault(weight.data_ptr(), (name, weight, bias))
    if first_weight.shape != weight.shape or first_weight.stride() != weight.stride() or first_bias is not bias:
        raise _NotAChainError(f"layer {name} shares its weight with layer {first} but not its shape or bias")
    return first


def _followed(node: DenseNode | ResidualNode, name: str, kind: str, constant: float) -> DenseNode | ResidualNode:
    if isinstance(node, DenseNode):
        return DenseNode(node.layer, node.lipschitz * constant, (*node.activations, kind))
    if kind != "ReLU":
        raise _NotAChainError(f"activation {name} ({kind}) follows a residual block; the theorem speaks of ReLU there")
    return dataclasses.replace(node, relu_after=True)


def _sentence(name: str, part: nn.Module) -> str:
    from torch import nn
    from torch.nn.modules.batchnorm import _BatchNorm
    from torch.nn.modules.conv import _ConvNd

    kind = type(part).__name__
    shown = f"module {name} ({kind})" if name else f"the network ({kind})"
    if isinstance(part, _ConvNd):
        return f"layer {name or kind} is a convolution; the theorems speak of dense layers"
    if isinstance(part, _BatchNorm | nn.LayerNorm | nn.GroupNorm):
        return f"{shown} is a normalisation; the theorems speak of dense layers and activations"
    if list(part.children()):
        return f"{shown} has a forward of its own; the theorems speak of chains of known layers"
    return f"{shown} is not a dense layer or an activation with a known Lipschitz constant"
