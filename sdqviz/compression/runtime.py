"""A compressed network that computes in its frames' domain: levels stay packed, no dense weight is formed."""

from __future__ import annotations

import functools
import time
from pathlib import Path
from typing import Any, cast, get_args

import numpy as np
import torch
from torch import Tensor, nn

from sdqviz.compression.compress import Compression
from sdqviz.compression.packed_file import read
from sdqviz.error import InputError
from sdqviz.kernels.shuffle import available
from sdqviz.networks.network import Network
from sdqviz.path_following.row_frame import RowFrame
from sdqviz.path_following.row_product import MOST_PLANES, Arithmetic, FrameRows, RowProduct

ARITHMETICS = ("auto", *get_args(Arithmetic), "dense")
REPEATS = 7


class FrameLinear(nn.Module):
    """A dense layer whose neurons stay in their frame; for inference only, on the CPU.

    Its outputs are those of the dense layer within `RowProduct.rounding_bound`.
    """

    def __init__(self, rows: FrameRows, bias: Tensor | None, arithmetic: Arithmetic) -> None:
        super().__init__()
        self.product = RowProduct(rows, arithmetic)
        self.bias = None if bias is None else nn.Parameter(bias.detach().clone(), requires_grad=False)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return outputs, shape (..., out), of inputs, shape (..., in); refuse what is not finite."""
        flat = inputs.detach().cpu().double().reshape(-1, inputs.shape[-1]).numpy()
        found = torch.from_numpy(self.product(flat)).to(inputs).reshape(*inputs.shape[:-1], -1)
        return found if self.bias is None else found + self.bias


@functools.lru_cache(maxsize=256)
def measured(outputs: int, dimension: int, redundancy: float, bits: int, batch: int) -> dict[str, float]:
    """Measure the seconds that a layer of this shape takes here, by arithmetic, once in a process."""
    rng, frame = np.random.default_rng(0), RowFrame(dimension, redundancy)
    levels = rng.integers(0, 2**bits, (outputs, frame.size)).astype(np.uint8)
    rows = FrameRows(frame, np.ones(dimension, bool), levels, np.ones(outputs), bits)
    inputs = torch.from_numpy(rng.standard_normal((batch, dimension))).float()
    works: dict[str, nn.Module] = {"dense": nn.Linear(dimension, outputs, bias=False)}
    for kind in get_args(Arithmetic):
        if kind == "int8" or (bits <= MOST_PLANES and (kind != "shuffle" or available())):
            works[kind] = FrameLinear(rows, None, kind)
    found = dict.fromkeys(works, float("inf"))
    with torch.no_grad():
        for repeat in range(REPEATS + 1):
            for name, work in works.items():
                begun = time.perf_counter()
                work(inputs)
                if repeat:  # the first call compiles
                    found[name] = min(found[name], time.perf_counter() - begun)
    return found


def runtime(
    result: Compression | str | Path, network: Network | None = None, arithmetic: str = "auto", batch: int = 1
) -> nn.Module:
    """Return a module for inference that keeps what ``frame-calibrated`` stored in its frame.

    Parameters
    ----------
    result : Compression or path
        What `compress` gave, or a packed file; from a file these layers' weights are never decoded.
    network : Network, optional
        For a file of a network that is not one of the catalogue, one of the same architecture.
    arithmetic : {"auto", "shuffle", "popcount", "int8", "dense"}
        Of these layers, see `RowProduct`. ``auto`` takes the fastest here by `measured`.
    batch : int
        Inputs at a time that ``auto`` measures with.

    Returns
    -------
    torch.nn.Module
        `FrameLinear` in place of each plain dense layer of ``frame-calibrated``; convolutions, and layers of all other
        methods, are dense. Outputs of each layer equal the dense one's within `RowProduct.rounding_bound`.

    Raises
    ------
    InputError
        If it is neither, or a choice is not one of these.
    """
    if arithmetic not in ARITHMETICS:
        raise InputError(f"arithmetic must be one of {', '.join(ARITHMETICS)}, got {arithmetic!r}")
    if isinstance(batch, bool) or not isinstance(batch, int) or batch < 1:
        raise InputError(f"batch must be a whole number of at least 1, got {batch!r}")
    stored: dict[str, Any] = {}
    if isinstance(result, Compression):
        base = result.network
        for item in result.layers:
            layer = item.layer
            own = result.method.rows_in_frame(item.stored, item.parameters, layer.weight.shape, layer.groups)
            stored[layer.name] = own
    elif isinstance(result, str | Path):
        file = read(result)
        stored = {row.name: None for row in file.rows} | file.rows_in_frame()
        linear = {row.name for row in file.rows if len(row.shape) == 2}
        apart = {name: own[1] for name, own in stored.items() if own is not None and name in linear}
        base = file.rebuild(network, {} if arithmetic == "dense" else apart)
    else:
        raise InputError(f"result must be a compression or the path of a packed file, got {type(result).__name__}")
    return _in_frames(base, {name: own[0][0] for name, own in stored.items() if own is not None}, arithmetic, batch)


def _in_frames(base: Network, stored: dict[str, FrameRows], arithmetic: str, batch: int) -> nn.Module:
    module = base.shadow()
    shared = {id(module.get_submodule(name).weight): rows for name, rows in stored.items()}
    for name, part in list(module.named_modules()):
        if type(part) is not nn.Linear or id(part.weight) not in shared or arithmetic == "dense":
            continue
        rows, kind = shared[id(part.weight)], arithmetic
        if kind == "auto":
            times = measured(len(rows.levels), rows.frame.dimension, rows.frame.redundancy, rows.bits, batch)
            kind = min(times, key=lambda name: times[name])
        if kind == "dense":
            new: nn.Module = nn.Linear(part.in_features, part.out_features, part.bias is not None)
            new.weight = nn.Parameter(torch.from_numpy(rows.dense()).to(part.weight), requires_grad=False)
            new.bias = part.bias
        else:
            new = FrameLinear(rows, part.bias, cast(Arithmetic, kind))
        parent, _, last = name.rpartition(".")
        setattr(module.get_submodule(parent), last, new)
    return module.eval().requires_grad_(False)
