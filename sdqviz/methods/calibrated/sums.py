"""Sums over a layer's inputs, in float64: what the walk needs of them, as the data come in."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

import numpy as np

from sdqviz.array import Array
from sdqviz.kernels.threads import spread
from sdqviz.path_following.gram import Moments, squared_lengths

if TYPE_CHECKING:
    import torch
    from torch import Tensor


TOGETHER = 512
"""Rows that are summed up at once, if they come in small pieces."""

STRIPE = 16
"""Neurons that are compared while they are in the cache."""

NEURONS = 1024
"""Neurons whose products a thread finds at once: enough for the full rate of a product of matrices."""

LARGE = 1 << 28
"""Products of numbers from which on ‖Xw‖² is summed up of values in float32, where inputs and weights are such."""


class Sums:
    """Moments of every group of a layer, as the data come in."""

    def __init__(
        self, weights: Array, agree: bool, rows: float = math.inf, given: Moments | None = None,
        single: Array | None = None,
    ) -> None:  # fmt: skip
        """Start from nothing, for weights (groups, width, neurons); ``agree`` says that there is one input, not two.

        About so many ``rows`` are to come, which only decides what is fastest. ``given`` are sums of the
        same inputs for another layer: then only what depends on the weights is summed up. ``single`` are weights of
        the same shape in float32, which may turn out to be other ones.
        """
        groups, width, neurons = weights.shape
        self.weights, self.agree, self.samples = weights, agree, 0
        # columns first, so that BLAS adds in place; of the symmetric H it fills the lower triangle only
        self.given, fresh = given, range(0 if given else groups)
        self.inputs = [np.zeros((width, width), order="F") for _ in fresh]
        self.cross = None if agree else [np.zeros((width, width), order="F") for _ in fresh]
        # ‖Xw‖² of many rows costs less through XᵀX than through Xw; as long as inputs agree that is H
        self.by_gram = width <= 2 * rows if agree else width * (1 + neurons / rows) <= 2 * neurons
        self.original = [np.zeros((width, width), order="F") for _ in range(0 if agree or not self.by_gram else groups)]
        self.target = np.zeros((groups, neurons))
        self._offered = single
        self._single: Array | None = None  # the weights in float32, once they are known to be such
        self._waiting: tuple[Array, ...] = ()
        self._count = 0  # rows that wait
        self.total, self.original_total = np.zeros((groups, width)), np.zeros((groups, width))

    @property
    def waits(self) -> bool:
        """Whether there is anything to sum up."""
        return self.given is None or bool(self.original) or not self.by_gram

    def add(self, original: Tensor, compressed: Tensor | None) -> None:
        """Add rows, shape (groups, rows, width); without ``compressed`` they are the same in both networks."""
        self.samples += original.shape[1]
        if original.device.type == "cpu":
            self._add_on_cpu(in_numpy(original), None if compressed is None else in_numpy(compressed))
            return
        x, y = original, original if compressed is None else compressed
        for group, product in enumerate(in_numpy(y.transpose(1, 2) @ y)):
            self.inputs[group] += product
        if self.cross is not None:
            for group, product in enumerate(in_numpy(y.transpose(1, 2) @ x)):
                self.cross[group] += product
        for group, product in enumerate(in_numpy(x.transpose(1, 2) @ x) if self.original else ()):
            self.original[group] += product
        if not self.by_gram:
            self.target += in_numpy((x @ x.new_tensor(self.weights)).square().sum(dim=1))
        self.total += in_numpy(y.sum(dim=1))
        self.original_total += in_numpy(x.sum(dim=1))

    def _add_on_cpu(self, x: Array, compressed: Array | None) -> None:
        """Add rows, or copy few of them to wait for more: a product with few rows is bound by memory."""
        rows, given = x.shape[1], (x,) if compressed is None else (x, compressed)
        if rows >= TOGETHER:
            self._sum_up(x, compressed)
            return
        if self._count + rows > TOGETHER or len(given) != len(self._waiting):
            self._sum_up_waiting()
        if not self._waiting:
            self._waiting = tuple(np.empty((len(one), TOGETHER, one.shape[2])) for one in given)
        for buffer, one in zip(self._waiting, given, strict=True):
            buffer[:, self._count : self._count + rows] = one
        self._count += rows

    def _sum_up_waiting(self) -> None:
        if self._count:
            self._sum_up(*(buffer[:, : self._count] for buffer in self._waiting))
        self._waiting, self._count = (), 0

    def _sum_up(self, x: Array, compressed: Array | None = None) -> None:
        from scipy.linalg import blas

        y = x if compressed is None else compressed
        for group, total in enumerate(self.inputs):
            blas.dsyrk(1.0, y[group].T, beta=1.0, c=total, lower=1, overwrite_c=1)
            if self.cross is not None:
                blas.dgemm(1.0, y[group].T, x[group].T, beta=1.0, c=self.cross[group], trans_b=1, overwrite_c=1)
        for group, total in enumerate(self.original):
            blas.dsyrk(1.0, x[group].T, beta=1.0, c=total, lower=1, overwrite_c=1)
        if not self.by_gram:
            self.target += self._squares(x)
        self.total += y.sum(axis=1)
        self.original_total += x.sum(axis=1)

    def _squares(self, x: Array) -> Array:
        """Return ‖Xw‖² of every neuron, shape (groups, M).

        Where inputs agree nothing is ever subtracted from it: it is what errors are told as shares of. Of numbers that
        are float32 as they come, many of them, Xw in float32 then says enough, to six places, at half the time.
        """
        if self.agree and x.shape[1] * self.weights.size >= LARGE:
            if self._single is None:
                single = self.weights.astype(np.float32) if self._offered is None else self._offered
                self._single = single if _same(single, self.weights) else np.empty(0, np.float32)
            narrow = x.astype(np.float32)
            if self._single.size and np.array_equal(narrow, x):
                return _single_squares(narrow, self._single)
        product = x @ self.weights
        return np.asarray(np.square(product, out=product).sum(axis=1))

    def finish(self) -> tuple[Moments, ...]:
        """Return the moments of each group."""
        self._sum_up_waiting()
        self._single = self._offered = None
        inputs = [_symmetric(one) for one in self.inputs] if self.given is None else [self.given.inputs]
        for group in range(len(inputs) if self.by_gram else 0):
            own = self.original[group] if self.original else inputs[group].T  # its lower triangle is all that is read
            self.target[group] = squared_lengths(own, self.weights[group])
        self.original.clear()
        if self.given is not None:
            return (dataclasses.replace(self.given, target=self.target[0]),)
        return tuple(
            Moments(
                inputs[group],
                None if self.cross is None else self.cross[group],
                self.target[group],
                self.samples,
                self.total[group],
                self.original_total[group],
            )
            for group in range(len(self.inputs))
        )


def _same(one: Array, other: Array) -> bool:
    """Whether all numbers of (groups, width, neurons) are the same, a few neurons at a time."""
    starts = range(0, one.shape[2], STRIPE)
    return all(
        np.array_equal(one[:, :, start : start + STRIPE], other[:, :, start : start + STRIPE]) for start in starts
    )  # fmt: skip


def _single_squares(x: Array, weights: Array) -> Array:
    """Return ‖Xw‖² of (groups, rows, width) and (groups, width, neurons) in float32, each part on a thread."""
    found = np.empty((len(x), weights.shape[2]))

    def squared(part: slice) -> None:
        for group, rows in enumerate(x):
            product = rows @ weights[group, :, part]
            found[group, part] = np.einsum("rm,rm->m", product, product, dtype=float)

    parts = [slice(start, start + NEURONS) for start in range(0, weights.shape[2], NEURONS)]
    for _ in spread(squared, parts):
        pass
    return found


def _symmetric(lower: Array) -> Array:
    """Mirror the lower triangle to the upper one, in place, a block of columns at a time; return it rows first."""
    for start in range(0, len(lower), 256):
        block = slice(start, start + 256)
        corner = np.tril(lower[block, block])
        lower[block, block] = corner + np.tril(corner, -1).T
        lower[block, start + 256 :] = lower[start + 256 :, block].T
    return lower.T


def in_numpy(tensor: Tensor) -> Array:
    """Return a tensor's values as an array."""
    return tensor.detach().cpu().numpy()


def in_torch(values: Array, kind: torch.dtype) -> Tensor:
    """Return values as a new tensor; of float32 in numpy's memory, whose large pages are there sooner than torch's."""
    import torch

    if kind == torch.float32:
        with np.errstate(over="ignore"):
            return torch.from_numpy(values.astype(np.float32))
    return torch.from_numpy(np.require(values, requirements="W")).to(kind, copy=True)


def all_finite(tensor: Tensor) -> bool:
    """Whether no entry is NaN or infinite; from the extremes, which NaN spoils: a sixth of the time of ``isfinite``."""
    return tensor.numel() == 0 or all(bool(extreme.isfinite()) for extreme in tensor.aminmax())
