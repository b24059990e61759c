"""Packed files: a compressed network as bit-packed levels, scales, kept tensors and a recipe, and back again."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sdqviz.array import Array
from sdqviz.error import InputError
from sdqviz.method import CompressedLayer, MethodChoice
from sdqviz.methods import METHODS
from sdqviz.network import Network
from sdqviz.networks import NETWORKS
from sdqviz.storage import Packed
from sdqviz.version import __version__

FORMAT = 1


def save(
    path: str | Path,
    original: Network,
    compressed: Network,
    layers: tuple[CompressedLayer, ...],
    method: MethodChoice,
    seed: int,
) -> None:
    """Write a packed network: bit-packed levels, scales, kept tensors and the recipe; no code.

    Parameters
    ----------
    path : str or Path
        File to write, by convention ``*.sdq``; it is a safetensors file.
    original, compressed : Network
        The network before and after.
    layers : tuple of CompressedLayer
        What is stored, layer by layer.
    method : MethodChoice
        The choice that was run.
    seed : int
        The seed it was run with.
    """
    from safetensors.numpy import save_file

    tensors: dict[str, Array] = {}
    rows = []
    for item in layers:
        parts = {}
        for key, packed in item.stored.items():
            tensors[f"{item.layer.name}:{key}"] = packed.to_bytes()
            parts[key] = {"shape": list(packed.values.shape), "bits": packed.bits}
        rows.append({"name": item.layer.name, "stored": parts, "parameters": dict(item.parameters)})
    tensors |= {f"kept:{name}": value for name, value in kept_tensors(compressed, layers).items()}
    recipe = {
        "format": FORMAT,
        "version": __version__,
        "network": {"name": original.name, "seed": original.seed, "note": original.note},
        "original": original.fingerprint,
        "method": method.to_dict(),
        "seed": seed,
        "layers": rows,
    }
    save_file(tensors, path, metadata={"sdqviz": json.dumps(recipe)})


def load(path: str | Path, network: Network | None = None) -> Network:
    """Rebuild the network that `Compression.save` wrote; it gives the same outputs.

    Parameters
    ----------
    path : str or Path
        The file.
    network : Network, optional
        Any network of the same architecture; needed only where the file's network is not one of the catalogue.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as file:
            recipe = json.loads((file.metadata() or {})["sdqviz"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    except (SafetensorError, KeyError, json.JSONDecodeError) as error:
        raise InputError(f"{Path(path).name} must be a file that sdqviz saved, got something else: {error}") from None
    if recipe.get("format") != FORMAT:
        raise InputError(f"{Path(path).name} must have format {FORMAT}, got {recipe.get('format')!r}")
    base = network or _catalogue_network(recipe)
    layers = {layer.name: layer for layer in base.layers}
    method = METHODS[recipe["method"]["name"]]
    weights, biases = {}, {}
    for row in recipe["layers"]:
        name = row["name"]
        if name not in layers:
            raise InputError(f"the network must have a layer {name}, got {', '.join(layers)}")
        stored = {
            key: Packed.from_bytes(tensors[f"{name}:{key}"], tuple(part["shape"]), part["bits"])
            for key, part in row["stored"].items()
        }
        layer = layers[name]
        weights[name], bias = method.decode(stored, row["parameters"], layer.weight.shape, layer.groups)
        if bias is not None:
            biases[name] = bias
    kept = {name.removeprefix("kept:"): value for name, value in tensors.items() if name.startswith("kept:")}
    return _with_tensors(base, kept).replaced(weights, biases)


def _catalogue_network(recipe: Mapping[str, Any]) -> Network:
    """Build the architecture the file names; its weights are about to be replaced."""
    name, seed = recipe["network"]["name"], recipe["network"]["seed"]
    if name not in NETWORKS:
        raise InputError(f"network must be given to load a file of a network of one's own ({name}), got none")
    choice = NETWORKS[name](seed=seed or 0)
    network = choice.wrap(choice.build())
    network.note = str(recipe["network"].get("note", ""))  # the weights that are about to come, not the present ones
    return network


def _with_tensors(network: Network, tensors: Mapping[str, Array]) -> Network:
    """Return the network with some tensors of its state replaced."""
    import torch

    module = copy.deepcopy(network.module)
    state = module.state_dict()
    for name, value in tensors.items():
        if name not in state or tuple(state[name].shape) != value.shape:
            shape = tuple(state[name].shape) if name in state else "none of that name"
            raise InputError(f"tensor {name} of the network must have shape {value.shape}, got {shape}")
        state[name].copy_(torch.from_numpy(np.array(value)))
    return Network(
        module, network.example_input, network.dataset, name=network.name, seed=network.seed, note=network.note
    )


def kept_tensors(network: Network, layers: tuple[CompressedLayer, ...]) -> dict[str, Array]:
    """Return the tensors of a state that stay as they are, each once: floats as float32, others in their own type."""
    replaced = {f"{item.layer.name}.weight" for item in layers}
    replaced |= {f"{item.layer.name}.bias" for item in layers if item.bias is not None}
    kept: dict[str, Array] = {}
    seen: set[int] = set()
    tensors = network.module.state_dict(keep_vars=True)
    replaced_tensors = {id(tensors[name]) for name in replaced}
    for name, tensor in tensors.items():
        if id(tensor) in seen or id(tensor) in replaced_tensors:  # tied to one that is stored already
            continue
        seen.add(id(tensor))
        kept[name] = (tensor.float() if tensor.is_floating_point() else tensor).detach().cpu().numpy()
    return kept
