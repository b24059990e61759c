"""Cuts removed channels out of a network: a smaller module with the outputs of the one where they are zero."""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sdqviz.error import InputError
from sdqviz.networks.blocks.short_norm import ShortGroupNorm, ShortLayerNorm, ShortRMSNorm


@dataclasses.dataclass(frozen=True)
class Cut:
    """What is left of each tensor: a recipe for `remove`, made of plain numbers and names.

    Attributes
    ----------
    kept : dict of str to dict of int to tuple of int
        By path of the parameter or buffer and dimension: the indices that stay, ascending.
    shapes : dict of str to tuple of int
        Original shapes of these tensors.
    norms : dict of str to int
        By path of a norm over channels: how many entries its moments are taken over, removed ones as zeros.
    scaled : dict of str to tuple of int
        Rows, in original numbering, that attention scales by the width of a head, by parameter.
    numbers : dict of str to int
        By path of the attribute: what whole numbers that modules keep beside their weights become, such as a number
        of heads.
    """

    kept: Mapping[str, Mapping[int, tuple[int, ...]]]
    shapes: Mapping[str, tuple[int, ...]]
    norms: Mapping[str, int] = dataclasses.field(default_factory=dict)
    scaled: Mapping[str, tuple[int, ...]] = dataclasses.field(default_factory=dict)
    numbers: Mapping[str, int] = dataclasses.field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types; `from_dict` inverts it."""
        return {
            "kept": {path: {str(dim): list(index) for dim, index in dims.items()} for path, dims in self.kept.items()},
            "shapes": {path: list(shape) for path, shape in self.shapes.items()},
            "norms": dict(self.norms),
            "scaled": {path: list(rows) for path, rows in self.scaled.items()},
            "numbers": dict(self.numbers),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Cut:
        """Rebuild a recipe from `to_dict`.

        Raises
        ------
        InputError
            If something is missing or of another kind.
        """
        try:
            return cls(
                {
                    str(path): {int(dim): tuple(int(i) for i in index) for dim, index in dims.items()}
                    for path, dims in values["kept"].items()
                },
                {str(path): tuple(int(n) for n in shape) for path, shape in values["shapes"].items()},
                {str(path): int(entries) for path, entries in values["norms"].items()},
                {str(path): tuple(int(row) for row in rows) for path, rows in values["scaled"].items()},
                {str(path): int(number) for path, number in values.get("numbers", {}).items()},  # since 0.3
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InputError(f"cut must be a recipe that sdqviz wrote, got a damaged one: {error!r}") from None

    def sliced(self, path: str, tensor: Tensor) -> Tensor:
        """Return what is left of a tensor of the original shape; itself if nothing of it goes."""
        for dim, index in self.kept.get(path, {}).items():
            tensor = tensor.index_select(dim, torch.tensor(index, dtype=torch.long, device=tensor.device))
        return tensor


def remove(module: nn.Module, recipe: Cut) -> nn.Module:
    """Return a smaller copy of a module, of ordinary layers, by the recipe alone.

    In evaluation mode its outputs are those of the module with the removed units at zero.

    Parameters
    ----------
    module : torch.nn.Module
        Of the architecture the recipe was made for, with any weights.
    recipe : Cut
        What stays.

    Raises
    ------
    InputError
        If the module has no such tensors, or of other shapes.
    """
    return cut_in_place(copy.deepcopy(module), recipe)


def cut_in_place(copied: nn.Module, recipe: Cut) -> nn.Module:
    """Cut in place; tensors of which something goes are replaced, never written to."""
    held = dict(copied.named_parameters(remove_duplicate=False)) | dict(copied.named_buffers(remove_duplicate=False))
    for path, shape in recipe.shapes.items():
        if path not in held or tuple(held[path].shape) != tuple(shape):
            got = tuple(held[path].shape) if path in held else "none"
            raise InputError(f"{path} must have shape {tuple(shape)} to be cut, got {got}")
    for path, dims in recipe.kept.items():
        for dim, index in dims.items():
            entries = recipe.shapes[path][dim] if path in recipe.shapes and -1 < dim < len(recipe.shapes[path]) else 0
            if not index or not 0 <= min(index) <= max(index) < entries:
                raise InputError(f"cut must keep some of the entries 0 to {entries - 1} of {path}, got {index[:3]}")
    owners: dict[int, list[tuple[nn.Module, str]]] = {}
    for part in copied.modules():
        for name, tensor in [*part._parameters.items(), *part._buffers.items()]:
            if tensor is not None:
                owners.setdefault(id(tensor), []).append((part, name))
    touched: set[str] = set()
    factors = {path: _factor(recipe, path) for path in recipe.scaled}
    for path in recipe.kept:
        tensor = held[path]
        small = recipe.sliced(path, _scaled(recipe, path, tensor.detach(), factors)).clone()
        new = nn.Parameter(small, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else small
        for part, name in owners[id(tensor)]:
            store: dict[str, Any] = part._parameters if isinstance(tensor, nn.Parameter) else part._buffers
            store[name] = new
        touched.update(layer_of(other) for other, one in held.items() if one is tensor)
    for name in sorted(touched):
        _resize(copied.get_submodule(name))
    for name, entries in recipe.norms.items():
        _replace(copied, name, _short(copied.get_submodule(name), entries))
    for part in copied.modules():
        _follow(part)
    _renumber(copied, recipe.numbers)
    return copied


def _renumber(module: nn.Module, numbers: Mapping[str, int]) -> None:
    parts = dict(module.named_modules())
    for path, number in numbers.items():
        owner, _, name = path.rpartition(".")
        if not isinstance(getattr(parts.get(owner), name, None), int) or number < 1:
            raise InputError(f"cut must change whole numbers that the module has, got {path} = {number}")
        setattr(parts[owner], name, number)


def _factor(recipe: Cut, path: str) -> float:
    kept = np.isin(recipe.scaled[path], recipe.kept[path][0]).sum()
    return math.sqrt(kept / len(recipe.scaled[path]))


def _scaled(recipe: Cut, path: str, tensor: Tensor, factors: Mapping[str, float]) -> Tensor:
    """Undo what attention does when a head gets narrower: it divides queries by the root of its width."""
    if path not in factors:
        return tensor
    scaled = tensor.clone()
    scaled[torch.tensor(recipe.scaled[path], device=tensor.device)] *= factors[path]
    return scaled


# -- modules that keep their sizes in attributes -----------------------------------------------------


def _resize(part: nn.Module) -> None:
    """Set the sizes that a layer holds beside its parameters to those of the parameters."""
    from torch.nn.modules.batchnorm import _NormBase
    from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

    weight = getattr(part, "weight", None)
    if isinstance(part, _ConvTransposeNd) and isinstance(weight, Tensor):
        part.in_channels, part.out_channels = weight.shape[0], weight.shape[1] * part.groups
    elif isinstance(part, _ConvNd) and isinstance(weight, Tensor):
        if part.groups == part.in_channels and part.groups > 1:  # depthwise
            part.groups = part.groups * weight.shape[0] // part.out_channels
        part.out_channels, part.in_channels = weight.shape[0], weight.shape[1] * part.groups
    elif isinstance(part, nn.Linear) and isinstance(weight, Tensor):
        part.out_features, part.in_features = weight.shape
    elif isinstance(part, _NormBase):
        first = next(t for t in (*part._parameters.values(), *part._buffers.values()) if t is not None and t.ndim)
        part.num_features = len(first)
    elif isinstance(part, nn.Embedding | nn.EmbeddingBag):
        part.num_embeddings, part.embedding_dim = part.weight.shape
    elif isinstance(part, nn.PReLU):
        part.num_parameters = part.weight.numel()
    elif isinstance(part, nn.MultiheadAttention):
        _resize_attention(part)


def _resize_attention(part: nn.MultiheadAttention) -> None:
    if part.in_proj_weight is not None:
        part.embed_dim = part.kdim = part.vdim = int(part.in_proj_weight.shape[1])
    else:
        part.embed_dim = int(part.q_proj_weight.shape[1])
        part.kdim, part.vdim = int(part.k_proj_weight.shape[1]), int(part.v_proj_weight.shape[1])
    part.head_dim = part.embed_dim // part.num_heads


def _short(norm: nn.Module, entries: int) -> nn.Module:
    """Return a norm that counts removed entries as zeros in its moments."""
    short: nn.Module
    if isinstance(norm, nn.GroupNorm):
        if norm.weight is not None and entries == norm.num_groups:  # a group for each channel: nothing to count
            norm.num_groups = norm.num_channels = norm.weight.numel()
            return norm
        short = ShortGroupNorm(norm.num_groups, norm.weight, norm.bias, entries, norm.eps)
    elif isinstance(norm, nn.RMSNorm):
        short = ShortRMSNorm(norm.weight, entries, norm.eps)
    elif isinstance(norm, nn.LayerNorm):
        short = ShortLayerNorm(norm.weight, norm.bias, entries, norm.eps, first=type(norm).__name__.endswith("2d"))
    elif isinstance(norm, ShortGroupNorm | ShortLayerNorm | ShortRMSNorm):  # cut before: the zeros of then stay zeros
        return norm
    else:
        raise InputError(f"norm must be a LayerNorm, RMSNorm or GroupNorm to be cut, got {type(norm).__name__}")
    return short.train(norm.training)


def _replace(module: nn.Module, name: str, new: nn.Module) -> None:
    """Put a module in the place of another, wherever that one hangs."""
    old = module.get_submodule(name)
    for part in list(module.modules()):
        for key, child in part._modules.items():
            if child is old:
                part._modules[key] = new


def _follow(part: nn.Module) -> None:
    """Set what a module of a known class wrote down about its parts."""
    if isinstance(part, nn.TransformerEncoderLayer) and isinstance(part.norm1, ShortLayerNorm):
        part.activation_relu_or_gelu = 0  # the fused path would normalise by moments of its own
    if type(part).__name__ == "VisionTransformer" and isinstance(getattr(part, "conv_proj", None), nn.Module):
        part.hidden_dim = part.get_parameter("class_token").shape[-1]  # type: ignore[assignment]


def layer_of(path: str) -> str:
    """Return the module a parameter belongs to, the parametrized one if it is parametrized."""
    owner = path.rpartition(".")[0]
    return owner.partition(".parametrizations.")[0].removesuffix(".parametrizations")
