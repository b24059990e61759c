"""What inference takes in the frame's domain, by part, beside the same layers dense, in float32 and in 8 bits."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import time
import warnings
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from sdqviz.array import Array
from sdqviz.compression.compress import Compression
from sdqviz.error import InputError
from sdqviz.kernels import threads
from sdqviz.kernels.shuffle import available
from sdqviz.path_following.row_frame import RowFrame
from sdqviz.path_following.row_product import MOST_PLANES, Arithmetic, FrameRows, RowProduct

if TYPE_CHECKING:
    from torch import Tensor

REPEATS = 9
LARGE = 4096
"""Inputs and outputs of the layer that is drawn at random, to stand beside small ones."""


@dataclasses.dataclass(frozen=True)
class LayerSpeed:
    """Times of one layer in seconds, the smallest of some, on one thread; and the bytes it keeps.

    Attributes
    ----------
    name : str
        Of the layer.
    shape : tuple of int
        Outputs and inputs.
    arithmetic : str
        How its levels are multiplied.
    float32, int8 : float
        The dense layer in torch, in float32 and with weights and inputs in 8 bits.
    transform, tables, product : float
        In the frame's domain: E x; rounding it and preparing its tables or planes; the product with the levels.
    float32_bytes, int8_bytes, frame_bytes : int
        Weights, as each of the three reads them.
    """

    name: str
    shape: tuple[int, int]
    arithmetic: str
    float32: float
    int8: float
    transform: float
    tables: float
    product: float
    float32_bytes: int
    int8_bytes: int
    frame_bytes: int

    @property
    def frame(self) -> float:
        """Seconds of all three parts."""
        return self.transform + self.tables + self.product


def inference_speed(result: Compression, batch: int = 1) -> tuple[LayerSpeed, ...]:
    """Measure the dense layers of a compression that stay in a frame, and one of 4096 × 4096 at as many bits.

    Parameters
    ----------
    result : Compression
        What `compress` gave.
    batch : int
        Inputs at a time.

    Returns
    -------
    tuple of LayerSpeed
        Empty where no dense layer is stored in a frame of its inputs, as ``frame-calibrated`` does.

    Raises
    ------
    InputError
        If the batch is not a whole number of at least 1.
    """
    if isinstance(batch, bool) or not isinstance(batch, int) or batch < 1:
        raise InputError(f"batch must be a whole number of at least 1, got {batch!r}")
    stored = in_frames(result)
    found = [layer_speed(name, rows, batch) for name, rows in stored.items()]
    return (*found, large_layer(next(iter(stored.values())).bits, batch)) if stored else ()


def in_frames(result: Compression) -> dict[str, FrameRows]:
    """Return the dense layers that a compression stores in a frame of their inputs, as they are stored."""
    found = {}
    for item in result.layers:
        layer = item.layer
        own = result.method.rows_in_frame(item.stored, item.parameters, layer.weight.shape, layer.groups)
        if own is not None and len(layer.weight.shape) == 2:
            found[layer.name] = own[0][0]
    return found


@functools.lru_cache(maxsize=32)
def large_layer(bits: int, batch: int) -> LayerSpeed:
    """Measure a layer of 4096 × 4096 whose levels are drawn at random, once in a process."""
    frame = RowFrame(LARGE, 1.0)
    levels = np.random.default_rng(0).integers(0, 2**bits, (LARGE, frame.size), dtype=np.uint8)
    rows = FrameRows(frame, np.ones(LARGE, bool), levels, np.ones(LARGE), bits)
    return layer_speed(f"{LARGE} × {LARGE}, drawn at random", rows, batch)


def layer_speed(name: str, rows: FrameRows, batch: int) -> LayerSpeed:
    """Measure one layer on one thread."""
    import torch

    kind: Arithmetic = "int8" if rows.bits > MOST_PLANES else "shuffle" if available() else "popcount"
    product, inputs = RowProduct(rows, kind), np.random.default_rng(0).standard_normal((batch, len(rows.live)))
    outputs, width = product.outputs, product.inputs
    weight, values = torch.randn(outputs, width), torch.from_numpy(inputs).float()
    with one_thread(), torch.inference_mode():
        coordinates = product.transformed(inputs)
        rounded, scale, total = product.rounded(coordinates)
        prepared = product.prepared(rounded)
        works: tuple[Callable[[], object], ...] = (
            lambda: torch.nn.functional.linear(values, weight),
            eight_bits(weight, values),
            lambda: product.transformed(inputs),
            lambda: product.prepared(product.rounded(coordinates)[0]),
            lambda: product.multiplied(prepared, scale, total),
        )
        dense, eight, transform, tables, levels = map(float, smallest(works))
    return LayerSpeed(
        name, (outputs, width), kind, dense, eight, transform, tables, levels,
        weight.nbytes, weight.numel(), product.byte_count,
    )  # fmt: skip


def eight_bits(weight: Tensor, values: Tensor) -> Callable[[], Tensor]:
    """Return torch's product of inputs with a layer in 8 bits, that rounds its inputs too (to 7, as torch does)."""
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch means to move these types elsewhere
        quantized = torch.quantize_per_tensor(weight, float(weight.abs().max()) / 127, 0, torch.qint8)
        packed = torch.ops.quantized.linear_prepack(quantized, None)
    return lambda: torch.ops.quantized.linear_dynamic(values, packed, reduce_range=True)


def smallest(works: tuple[Callable[[], object], ...]) -> Array:
    """Return the smallest of some times of every work, in seconds, taken in turns; the first round compiles."""
    found = np.full(len(works), np.inf)
    for repeat in range(REPEATS + 1):
        for place, work in enumerate(works):
            begun = time.perf_counter()
            work()
            if repeat:
                found[place] = min(found[place], time.perf_counter() - begun)
    return found


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Let numba and torch use one thread, and as many as before afterwards."""
    import torch

    kernels, torchs = threads.threads(), torch.get_num_threads()
    threads.set_threads(1)
    torch.set_num_threads(1)
    try:
        yield
    finally:
        threads.set_threads(kernels)
        torch.set_num_threads(torchs)
