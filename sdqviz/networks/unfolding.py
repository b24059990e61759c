"""Inputs of a layer unfolded to the rows that its weight matrix multiplies."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from sdqviz.array import Array
from sdqviz.error import InputError

if TYPE_CHECKING:
    from torch import Tensor, nn

PATCH_VALUES = 1 << 20
"""Numbers of unfolded input that exist at once."""

MOST_ROWS = 512
"""Rows that exist at once in any case: products of fewer are slow where rows are long."""


def input_rows(module: nn.Module, inputs: Tensor, positions: Array | None = None) -> Iterator[Tensor]:
    """Unfold what goes into a layer to the rows that its weight matrix multiplies, a bounded piece at a time.

    Parameters
    ----------
    module : torch.nn.Linear, Conv1d or Conv2d
        The layer.
    inputs : Tensor
        Its input, with a batch axis.
    positions : ndarray of int, optional
        Which output positions of a convolution to take, in each sample the same; all by default.

    Yields
    ------
    Tensor, shape (groups, rows, in_per_group·kernel)
        Float64, in the order of `sdqviz.networks.layer.to_vectors` with ``axis="rows"``.
    """
    from torch import nn

    if isinstance(module, nn.Linear):
        flat = inputs.reshape(1, -1, inputs.shape[-1])
        size = max(MOST_ROWS, PATCH_VALUES // flat.shape[2])
        for start in range(0, flat.shape[1], size):
            yield flat[:, start : start + size].double()
        return
    if not isinstance(module, nn.Conv1d | nn.Conv2d):
        raise InputError(f"layer must be Linear, Conv1d or Conv2d, got {type(module).__name__}")
    view = _patches(module, inputs)
    samples, channels, height, width, *kernel = view.shape
    chosen = np.arange(height * width) if positions is None else positions
    values = channels * math.prod(kernel)
    budget = max(PATCH_VALUES, MOST_ROWS * values)
    together = max(1, min(samples, budget // (values * len(chosen))))  # samples in a piece
    size = max(1, budget // values // together)  # positions in a piece
    for first in range(0, samples, together):
        for start in range(0, len(chosen), size):
            rows, columns = np.divmod(chosen[start : start + size], width)
            piece = view[first : first + together, :, rows, columns].double()  # (samples, channels, positions, *kernel)
            piece = piece.reshape(len(piece), module.groups, channels // module.groups, len(rows), -1)
            yield piece.permute(1, 0, 3, 2, 4).reshape(module.groups, len(piece) * len(rows), -1)


def position_count(module: nn.Module, inputs: Tensor) -> int:
    """Return at how many positions a convolution is applied to each sample; 1 for a dense layer."""
    from torch import nn

    if not isinstance(module, nn.Conv1d | nn.Conv2d):
        return 1
    view = _patches(module, inputs[:1])
    return int(view.shape[2] * view.shape[3])


def _patches(module: nn.Conv1d | nn.Conv2d, inputs: Tensor) -> Tensor:
    """Return a view of the padded input, shape (samples, channels, height, width, kernel height, kernel width)."""
    from torch.nn import functional

    planes = inputs if inputs.ndim == module.weight.ndim else inputs[None]  # a sample without a batch axis
    if any(module._reversed_padding_repeated_twice):
        mode = "constant" if module.padding_mode == "zeros" else module.padding_mode
        planes = functional.pad(planes, module._reversed_padding_repeated_twice, mode=mode)
    kernel, stride, dilation = module.kernel_size, module.stride, module.dilation
    if planes.ndim == 3:  # one dimension: a plane of height 1
        planes = planes[:, :, None]
        kernel, stride, dilation = (1, *kernel), (1, *stride), (1, *dilation)
    planes = planes.contiguous()
    sizes = [
        (planes.shape[2 + i] - dilation[i] * (kernel[i] - 1) - 1) // stride[i] + 1
        for i in range(2)
    ]  # fmt: skip
    by_sample, by_channel, *by_place = planes.stride()
    return planes.as_strided(
        (*planes.shape[:2], *sizes, *kernel),
        (
            by_sample,
            by_channel,
            *(step * jump for step, jump in zip(by_place, stride, strict=True)),
            *(step * gap for step, gap in zip(by_place, dilation, strict=True)),
        ),
    )
