"""Packs a compressed network: levels, scales, maps and kept tensors as bytes, and the recipe to read them by."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from sdqviz.array import Array
from sdqviz.error import InputError
from sdqviz.methods.method import CompressedLayer, MethodChoice, Reduction
from sdqviz.networks.network import Network
from sdqviz.networks.wrapping import state_tensors
from sdqviz.strict_json import write_json
from sdqviz.tensor_file import DTYPES, write_tensors
from sdqviz.version import __version__

if TYPE_CHECKING:
    from torch import nn


FORMAT = 2
"""Version of the format; a reader refuses every other."""

RECIPE = "sdqviz"
"""Name of the recipe among the metadata."""


def to_bytes(
    original: Network,
    compressed: Network,
    layers: tuple[CompressedLayer, ...],
    method: MethodChoice,
    seed: int,
    reduction: Reduction | None = None,
) -> bytes:
    """Return the packed file: bit-packed levels, scales, maps, kept tensors and the recipe; no code.

    Parameters
    ----------
    original, compressed : Network
        The network before and after.
    layers : tuple of CompressedLayer
        What is stored, layer by layer.
    method : MethodChoice
        The choice that was run.
    seed : int
        The seed it was run with.
    reduction : Reduction, optional
        What was cut out, and quantizers of activations.

    Raises
    ------
    InputError
        If a tensor that stays as it is has a type that safetensors does not know.
    """
    kept = kept_tensors(compressed, layers)
    tensors: dict[str, Array] = {}
    for item in layers:
        tensors |= {f"{item.layer.name}:{key}": packed.to_bytes() for key, packed in item.stored.items()}
    for name, value in kept.items():
        if value.dtype.str[1:] not in {dtype[-2:] for dtype in DTYPES.values()} | {"b1"}:
            raise InputError(f"tensor {name} must hold real numbers to be saved, got {value.dtype}")
        tensors[f"kept:{name}"] = value
    recipe: dict[str, Any] = {
        "format": FORMAT,
        "version": __version__,
        "network": {
            "name": original.name,
            "seed": original.seed,
            "note": original.note,
            "choice": dict(original.choice),
        },
        "original": original.fingerprint,
        "numbers": sum(item.weight_count for item in layers)
        + sum(value.size for value in kept_tensors(original, layers).values()),
        "method": method.to_dict(),
        "seed": seed,
        "layers": [_row(item) for item in layers],
        "kept": list(kept),
    }
    if reduction is not None:
        recipe |= {"cut": reduction.cut.to_dict(), "input_quantizers": sorted(reduction.input_quantizers)}
    if names := other_names(compressed):
        recipe["names"] = names
    recipe["checksum"] = checksum(recipe, {name: value.tobytes() for name, value in tensors.items()})
    return write_tensors(tensors, {RECIPE: canonical(recipe)})


def other_names(network: Network) -> dict[str, list[str]]:
    """Return what the tensors of a network's state are called for whoever gave it, where that is not their one name.

    Tied tensors have several; each stands under its first.
    """
    state = state_tensors(network.module)
    groups: dict[int, list[str]] = {}
    for name, tensor in state.items():
        groups.setdefault(id(tensor), []).append(name)
    found = {names[0]: [network.renamed.get(name, name) for name in names] for names in groups.values()}
    return {name: names for name, names in found.items() if names != [name]}


def checksum(recipe: Mapping[str, Any], data: Mapping[str, bytes | memoryview]) -> str:
    """Return the SHA-256 of a recipe, its own ``checksum`` left out, and of the tensors' bytes by name."""
    return streamed_checksum(recipe, {name: (len(values), [values]) for name, values in data.items()})


def streamed_checksum(
    recipe: Mapping[str, Any], data: Mapping[str, tuple[int, Iterable[bytes | memoryview]]]
) -> str:  # fmt: skip
    """Return the same of tensors whose bytes, so many of each, come in pieces."""
    digest = hashlib.sha256(canonical({key: value for key, value in recipe.items() if key != "checksum"}).encode())
    for name in sorted(data):
        count, pieces = data[name]
        digest.update(f"|{name}|{count}|".encode())
        for piece in pieces:
            digest.update(piece)
    return digest.hexdigest()


def canonical(recipe: Mapping[str, Any]) -> str:
    """Return a recipe as the text that is stored."""
    return write_json(recipe, ordered=True)


def _row(item: CompressedLayer) -> dict[str, Any]:
    parts: dict[str, dict[str, Any]] = {}
    for key, packed in item.stored.items():
        parts[key] = {"shape": list(packed.values.shape), "bits": packed.bits} | ({"runs": True} if packed.runs else {})
    return {
        "name": item.layer.name,
        "shape": list(item.layer.weight.shape),
        "groups": item.layer.groups,
        "stored": parts,
        "parameters": dict(item.parameters),
    }


def state_bytes(module: nn.Module) -> int:
    """Return what the tensors of a module's state take, each once, in their own types."""
    state = state_tensors(module)
    return sum(state[name].numel() * state[name].element_size() for name in kept_names(module, set()))


def kept_tensors(network: Network, layers: tuple[CompressedLayer, ...]) -> dict[str, Array]:
    """Return the tensors of a state that stay as they are, each once, in their own type; bfloat16 as float32."""
    replaced = {f"{item.layer.name}.weight" for item in layers}
    replaced |= {f"{item.layer.name}.bias" for item in layers if item.bias is not None}
    return {name: kept_values(network.module, name) for name in kept_names(network.module, replaced)}


def kept_values(module: nn.Module, name: str) -> Array:
    """Return one tensor of a module's state, in its own type; bfloat16 as float32."""
    import torch

    tensor = module.state_dict(keep_vars=True)[name]
    values = (tensor.float() if tensor.dtype is torch.bfloat16 else tensor).detach().cpu()
    return values.contiguous().numpy()  # as it will lie in a file


def kept_names(module: nn.Module, replaced: set[str]) -> list[str]:
    """Name the tensors of a state, each once, apart from those replaced and those tied to one of them.

    Parameters
    ----------
    module : torch.nn.Module
        Whose state it is.
    replaced : set of str
        Names of tensors that are stored otherwise.
    """
    state = state_tensors(module)
    seen = {id(state[name]) for name in replaced if name in state}
    names = []
    for name, tensor in state.items():
        if id(tensor) not in seen:
            seen.add(id(tensor))
            names.append(name)
    return names
