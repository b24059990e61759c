"""Compressed networks for other tools: dequantized weights as safetensors, and ONNX where torch can write it."""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from sdqviz.array import Array
from sdqviz.compression.packed_file import PackedFile
from sdqviz.error import InputError
from sdqviz.networks.network import Network
from sdqviz.networks.wrapping import state_tensors
from sdqviz.strict_json import shortened
from sdqviz.tensor_file import write_tensors
from sdqviz.version import __version__

if TYPE_CHECKING:
    from torch import Tensor

LARGEST_ONNX = 2**31 - 1
"""Bytes of an ONNX file: what its format can hold in one piece."""


def safetensors(network: Network) -> bytes:
    """Return all tensors of a network as a safetensors file, under the names of the state dict of what was given.

    A weight that one of torch's tools computed from others, such as weight normalisation, has the name that it gets
    once that tool is removed.

    Parameters
    ----------
    network : Network
        Floats become float32, as they are stored in a packed file; other tensors keep their type.

    Returns
    -------
    bytes
        What ``safetensors.torch.load`` reads and ``load_state_dict`` takes.
    """
    state = state_tensors(network.module)
    return _written({network.renamed.get(name, name): _array(tensor) for name, tensor in state.items()}, network.name)


def packed_safetensors(file: PackedFile) -> bytes:
    """Return the dequantized weights of a packed file, without the network it is of.

    Layers give ``layer.weight`` and, where biases were compressed, ``layer.bias``; all tensors have the names that they
    had for whoever gave the network, tied ones each of theirs.

    Raises
    ------
    InputError
        If the file does not hold what its method needs, or channels were cut out: their weights are not as in the
        network, which has to be rebuilt.
    """
    if "cut" in file.recipe:
        raise InputError(f"{file.name} must be exported with its network, from which channels were cut, got it alone")
    weights, biases = file.decode()
    tensors = {f"{name}.weight": values.astype(np.float32) for name, values in weights.items()}
    tensors |= {f"{name}.bias": values.astype(np.float32) for name, values in biases.items()}
    tensors |= {name: stored.array() for name, stored in file.kept.items()}
    tensors = {other: tensors[name] for name in tensors for other in _names(file, name)}
    return _written(tensors, str(file.recipe["network"].get("name", "")))


def _names(file: PackedFile, name: str) -> list[str]:
    """Return all names of a tensor of a packed file."""
    names = file.recipe.get("names", {}).get(name, [name])
    if not isinstance(names, list) or not names or not all(isinstance(one, str) for one in names):
        raise InputError(f"{file.name} must name tensor {name} by texts, got {shortened(names)}")
    return names


def missing_for_onnx() -> str:
    """Return what keeps this installation from writing ONNX, as a sentence; empty if nothing does."""
    missing = [name for name in ("onnx", "onnxscript") if importlib.util.find_spec(name) is None]
    if not missing:
        return ""
    return f"ONNX needs {' and '.join(missing)}, which are not installed: pip install 'sdqviz[onnx]'"


def onnx(network: Network) -> bytes:
    """Return a network as an ONNX file: float32 weights, the first axis of its input free where torch can free it.

    Parameters and buffers that take part keep their names, tied ones one of theirs.

    Parameters
    ----------
    network : Network
        Its example input says what goes in.

    Raises
    ------
    InputError
        If the extra ``onnx`` is not installed, or torch cannot write this network.
    """
    missing = missing_for_onnx()
    if missing:
        raise InputError(f"extra onnx must be installed to write ONNX, got none: {missing}")
    if network.example_input is None:
        raise InputError(f"network must have a forward pass to be written as ONNX, got {network.name}: weights alone")
    inputs = network.example_input if isinstance(network.example_input, tuple) else (network.example_input,)
    try:
        try:
            proto = _proto(network, inputs, free=True)
        except Exception:  # some networks fix the number of inputs; torch says so in many ways
            proto = _proto(network, inputs, free=False)
    except Exception as error:  # whatever the exporter meets is about the network it was given
        why = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(f"network must be one that torch can write as ONNX, got {network.name}: {why}") from error
    size = proto.ByteSize()
    if size > LARGEST_ONNX:
        raise InputError(f"an ONNX file must have at most 2 GiB, got {size / 2**30:.3g} GiB for {network.name}")
    return bytes(proto.SerializeToString())


def _proto(network: Network, inputs: tuple[Any, ...], *, free: bool) -> Any:
    import torch

    # torch would take a first axis of length 1 for a constant
    given = tuple(torch.cat([value, value]) if free and len(value) == 1 else value for value in inputs)
    shapes = tuple({0: torch.export.Dim.AUTO} for _ in given) if free else None
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # of torch about its own parts
        # optimizing folds weights into others under new names; whatever runs the file optimizes it for itself
        program = torch.onnx.export(
            network.shadow(), given, dynamo=True, dynamic_shapes=shapes, verbose=False, optimize=False
        )
    if program is None:
        raise RuntimeError("the exporter returned nothing")
    graph = program.model.graph
    for name, value in list(graph.initializers.items()):
        if name in network.renamed:
            value.name = network.renamed[name]
    return program.model_proto


def _array(tensor: Tensor) -> Array:
    return (tensor.float() if tensor.is_floating_point() else tensor).detach().cpu().numpy()


def _written(tensors: Mapping[str, Array], name: str) -> bytes:
    contiguous = {key: np.ascontiguousarray(value).reshape(value.shape) for key, value in tensors.items()}
    return write_tensors(contiguous, {"format": "pt", "network": name, "written_by": f"sdqviz {__version__}"})
