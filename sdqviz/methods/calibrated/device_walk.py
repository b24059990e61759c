"""The walk in torch: all neurons at once, for a device that compiled kernels do not reach."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import numpy as np

from sdqviz.array import Array, Index
from sdqviz.error import InputError
from sdqviz.kernels import draws
from sdqviz.kernels.rules import ROUND_NEAREST, ROUND_NONE, ROUND_RANDOM, SHRINK_HARD, SHRINK_RANDOM, SHRINK_SOFT
from sdqviz.path_following.beam import Walker
from sdqviz.path_following.walk import BLOCK, Tally, Walk, walk
from sdqviz.progress import ShouldStop, stop_if
from sdqviz.quantizers.quantizer import Grid, QuantizerChoice, Rule

if TYPE_CHECKING:
    import torch
    from torch import Tensor

DEVICES = ("auto", "cpu", "cuda")


def device_named(name: str) -> Any:
    """Return a device of torch by its name, ``"auto"`` for CUDA where there is one; refuse what there is not."""
    import torch

    if name not in DEVICES:
        raise InputError(f"device must be one of {', '.join(DEVICES)}, got {name!r}")
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise InputError("device must be one that this machine has, got cuda: torch finds no CUDA here")
    return torch.device("cuda" if name != "cpu" and available else "cpu")


def walker_on(device: torch.device) -> Walker:
    """Return what walks where calibration data are: the compiled kernel on the processor, else `device_walk`."""
    return walk if device.type == "cpu" else functools.partial(device_walk, device)


def device_walk(
    device: Any, base: Array, feedback: Array, gain: Array, quantizer: QuantizerChoice, grid: Grid, keys: Array, *,
    reference: Array | None = None, alive: Array | None = None, names: Index | None = None,
    tally: Tally | None = None, should_stop: ShouldStop | None = None, block: int = BLOCK,
    into: tuple[Array | None, Array] | None = None,
) -> Walk:  # fmt: skip
    """Do what `sdqviz.path_following.walk.walk` does on a device of torch, in float64.

    Between blocks there is one product of matrices, and within a block a step is one product of a few rows with one,
    with the rounding of all neurons at once. Levels are those of the kernel but for the order of sums. A quantizer
    that has no compiled rule walks on the processor.

    Parameters
    ----------
    device : torch.device or str
        Where to compute.
    base, feedback, gain, quantizer, grid, keys, reference, alive, names, tally, should_stop, block, into
        As for `sdqviz.path_following.walk.walk`; the memory of the device is its own.
    """
    import torch

    if quantizer.rule is None:
        return walk(
            base, feedback, gain, quantizer, grid, keys, reference=reference, alive=alive, names=names, tally=tally,
            should_stop=should_stop, block=block, into=into,
        )  # fmt: skip
    length, neurons = base.shape
    names = np.arange(length) if names is None else names
    alive = np.ones(length, bool) if alive is None else alive
    tally = tally or Tally(np.zeros(length), False)

    def sent(values: Any) -> Tensor:
        return torch.tensor(np.asarray(values), dtype=torch.float64, device=device)

    first, factors = sent(base), sent(feedback)
    aim = first if reference is None else sent(reference)
    levels = _Levels(quantizer.rule, quantizer.cut, grid, neurons, sent)
    quantized, error = torch.zeros_like(first), torch.zeros_like(first)
    overload, missed = torch.zeros_like(first[0], dtype=torch.int64), torch.zeros_like(first[0])
    for start in range(0, length, block):
        stop_if(should_stop)
        stop = min(start + block, length)
        earlier = factors[start:stop, :start] @ error[:start]
        uniform = sent(draws.uniforms(keys, names[start:stop, None])) if levels.random else None
        for t in range(start, stop):
            total = earlier[t - start] + factors[t, start:t] @ error[start:t]
            values = first[t] + float(gain[t]) * total
            if alive[t]:
                place = int(names[t]) // grid.block if grid.block else 0
                quantized[t], clipped = levels.of(values, place, None if uniform is None else uniform[t - start])
                overload += clipped
            e = error[t] = aim[t] - quantized[t]
            share = float(tally.share[t])
            missed += e * (share * e + 2 * total) if tally.coupled else share * (values - quantized[t]) ** 2
    return Walk(*(part.cpu().numpy() for part in (quantized, error, overload, missed)))


class _Levels:
    """The operator T of all neurons, as the kernel knows it."""

    def __init__(self, rule: Rule, cut: float, grid: Grid, neurons: int, sent: Any) -> None:
        rows = (grid.step.shape[0] if grid.step.ndim == 2 else 1, neurons)
        self.rule, self.cut, self.offset = rule, cut, float(grid.offset)
        self.step, self.lowest, self.highest = (
            sent(np.broadcast_to(values, rows)) for values in (grid.step, grid.lowest, grid.highest)
        )
        self.divisor = self.step.where(self.step > 0, 1.0)

    @property
    def random(self) -> bool:
        return self.rule.shrink == SHRINK_RANDOM or self.rule.rounding == ROUND_RANDOM

    def of(self, values: Tensor, place: int, uniform: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return T of a value of each neuron, shape (M,), and whether the alphabet clipped it."""
        import torch

        kept, settled = self._shrunk(values, uniform)
        if self.rule.rounding == ROUND_NONE:
            return kept, torch.zeros_like(settled)
        step, lowest, highest = self.step[place], self.lowest[place], self.highest[place]
        x = (kept / self.divisor[place] - self.offset) * (step > 0)
        if self.rule.rounding == ROUND_NEAREST:
            reach, level = 0.5, (x + 0.5).floor()
        else:
            assert uniform is not None
            below = x.floor()
            reach, level = 0.0, below + (uniform < x - below)
        clipped = ((x < lowest - reach) | (x > highest + reach)) & ~settled
        rounded = (level.clamp(lowest, highest) + self.offset) * step
        return rounded.where(~settled, kept), clipped

    def _shrunk(self, values: Tensor, uniform: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return the values with small ones moved, and which of them are levels already."""
        import torch

        size, cut = values.abs(), self.cut
        if self.rule.shrink == SHRINK_RANDOM:
            assert uniform is not None
            small = size < cut
            there = (values > 0).to(values.dtype) * (2 * cut) - cut
            return (there * (uniform < size / cut)).where(small, values), small
        if self.rule.shrink == SHRINK_SOFT:
            moved = (values - cut).clamp(min=0.0) + (values + cut).clamp(max=0.0)
            return moved, moved == 0
        if self.rule.shrink == SHRINK_HARD:
            return values.where(size > cut, 0.0), size <= cut
        return values, torch.zeros_like(size, dtype=torch.bool)
