"""The test images whose prediction changed when a network was compressed."""

from __future__ import annotations

import dataclasses

import numpy as np

from sdqviz.array import Array, Index
from sdqviz.explore.what_if import Answer

DRAWN_IMAGES = 24
"""Test images drawn; the page says how many there are."""


@dataclasses.dataclass(frozen=True, eq=False)
class Flips:
    """Test images whose predicted class changed.

    Attributes
    ----------
    index, label, before, after : ndarray of int, shape (n,)
        Position in the test set, true class, and both predictions; all that changed.
    images : ndarray, shape (k, height, width) or (k, height, width, 3)
        The first k, values in [0, 1]; k is 0 where inputs are not images.
    total : int
        Size of the test set.
    """

    index: Index
    label: Index
    before: Index
    after: Index
    images: Array
    total: int

    @property
    def lost(self) -> int:
        """How many were right and became wrong."""
        return int((self.before == self.label).sum())

    @property
    def won(self) -> int:
        """How many were wrong and became right."""
        return int((self.after == self.label).sum())


def flips_info(asked: Answer) -> Flips | None:
    """Collect the changed predictions and the first images; None for a network without test data."""
    dataset = asked.compression.original.dataset
    if dataset is None:
        return None
    index = asked.changed
    before, after = asked.compression.original.predictions(), asked.compression.network.predictions()
    right = dataset.test_labels[index]
    index = index[both_kinds(before[index] == right, after[index] == right)]
    inputs = dataset.test_inputs[index[:DRAWN_IMAGES]]
    images = np.zeros((0, 1, 1))
    if inputs.ndim == 4 and inputs.shape[1] in (1, 3):
        images = inputs[:, 0] if inputs.shape[1] == 1 else inputs.transpose(0, 2, 3, 1)
        low, high = (float(images.min()), float(images.max())) if images.size else (0.0, 1.0)
        images = (images - low) / max(high - low, 1e-12)
    return Flips(index, dataset.test_labels[index], before[index], after[index], images, dataset.test_size)


def both_kinds(lost: Array, won: Array, count: int = DRAWN_IMAGES) -> Index:
    """Return an order whose first ``count`` hold both what was lost and what was won, as evenly as there are any.

    Examples
    --------
    >>> both_kinds(np.array([True, True, True, False]), np.array([False, False, False, True]), 2).tolist()
    [0, 3, 1, 2]
    """
    losses, wins = np.flatnonzero(lost), np.flatnonzero(won)
    first = min(len(losses), max(count // 2, count - len(wins)))
    second = min(len(wins), count - first)
    rest = np.flatnonzero(~(lost | won))
    return np.concatenate([losses[:first], wins[:second], losses[first:], wins[second:], rest])
