"""The batches of a run, decided by its seed and the number of the step alone."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from sdqviz.array import Index
from sdqviz.networks.dataset import Dataset


class Batches:
    """The batches of a run by their number, whatever came before: each pass over the pool has an order of its own.

    Parameters
    ----------
    data : Dataset
        Its calibration pool is trained on.
    batch : int
        Inputs per step; what is left of a pass is dropped.
    seed : int
        Decides the orders.
    """

    def __init__(self, data: Dataset, batch: int, seed: int) -> None:
        self._data, self._batch, self._seed = data, batch, seed
        self._order: tuple[int, Index] | None = None

    def of(self, step: int) -> tuple[Tensor, Tensor]:
        """Return the inputs and labels of a step, counted from 0."""
        size = self._data.calibration_size
        number, place = divmod(step, size // self._batch)
        if self._order is None or self._order[0] != number:
            self._order = (number, np.random.default_rng([self._seed, number]).permutation(size))
        inputs, labels = self._data.pool(self._order[1][place * self._batch : (place + 1) * self._batch])
        return torch.from_numpy(inputs), torch.from_numpy(labels)
