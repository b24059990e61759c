"""Turns a finished run into what is stored: levels of kept channels, retrained tensors, and what is cut out."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from sdqviz.array import FLOAT_BITS
from sdqviz.methods.geta.flat import INPUT
from sdqviz.methods.method import CompressedLayer, LeftAlone, NewTensors, Reduction
from sdqviz.networks.layer import Layer
from sdqviz.networks.learned_quantizer import LearnedQuantizer
from sdqviz.networks.wrapping import state_tensors
from sdqviz.pruning import removal
from sdqviz.storage.bits import Packed

if TYPE_CHECKING:
    from sdqviz.array import Array
    from sdqviz.methods.geta.training import Trained


def items(
    trained: Trained, layers: tuple[Layer, ...]
) -> Iterator[CompressedLayer | LeftAlone | NewTensors | Reduction]:
    """Hand over every layer, every other tensor that was trained, and what to cut."""
    cut = trained.graph.recipe(trained.removed)
    weights = set()
    seconds = trained.seconds / max(1, len(layers))
    quantizers: dict[str, LearnedQuantizer] = {}
    for layer in layers:
        quantizer = trained.quantizer(layer.name)
        if quantizer is None:
            yield LeftAlone(layer.name, trained.left_alone[layer.name])
            continue
        weights.add(f"{layer.name}.weight")
        yield _compressed(trained, layer, quantizer, cut, seconds)
        inserted = trained.quantizer(layer.name, INPUT)
        if inserted is not None:
            quantizers[layer.name] = copy.deepcopy(inserted)
    before = state_tensors(trained.network.module)
    changed: dict[str, dict[str, Array]] = {}
    for name, tensor in state_tensors(trained.module).items():
        if name in before and name not in weights and not torch.equal(tensor, before[name]):
            path, _, last = name.rpartition(".")
            changed.setdefault(path, {})[last] = tensor.detach().numpy().copy()
    for path, tensors in changed.items():
        yield NewTensors(path, tensors)
    yield Reduction(cut, quantizers)


def _compressed(
    trained: Trained, layer: Layer, quantizer: LearnedQuantizer, cut: removal.Cut, seconds: float
) -> CompressedLayer:
    """Store the levels of the channels that stay, one step, and a map of the channels of each axis that lost some."""
    weight: Any = trained.module.get_submodule(layer.name).weight
    bits = quantizer.whole_bits
    levels = quantizer.levels(weight.detach()).numpy()
    offset = 2 ** (bits - 1) - 1
    step = np.array([quantizer.step.item()], np.float32)
    stored: dict[str, Packed] = {}
    kept = []
    for axis, name in enumerate(("outputs", "inputs")):
        indices = cut.kept.get(f"{layer.name}.weight", {}).get(axis)
        mask = np.ones(levels.shape[axis], bool)
        if indices is not None:
            mask[:] = False
            mask[list(indices)] = True
            stored[name] = Packed.flags(mask)
        kept.append(np.flatnonzero(mask))
    inside = levels[np.ix_(*kept)]
    stored |= {"levels": Packed((inside + offset).astype(np.uint16), bits), "step": Packed(step, FLOAT_BITS)}
    full = np.zeros(levels.shape)
    full[np.ix_(*kept)] = inside * float(step[0])
    return CompressedLayer(
        layer=layer,
        weight=full,
        bias=None,
        stored=stored,
        parameters={},
        parameter_bits=0,
        bounds=(),
        step=step.astype(float),
        levels=2 * offset + 1,
        size=int(np.prod(levels.shape[1:])),
        overload=int((np.abs(layer.weight) > quantizer.reach.item()).sum()),
        unstable=0,
        seconds=seconds,
        weight_bits=bits,
    )
