"""Layers that are given the same inputs, as query, key and value are: what is summed up of them once serves all."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING

from sdqviz.path_following.gram import Moments

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclasses.dataclass(frozen=True, eq=False)
class Seen:
    """What was summed up for the layer before.

    Attributes
    ----------
    prints : tuple of bytes
        `fingerprint` of every batch that entered it.
    moments : Moments
        Their sums.
    """

    prints: tuple[bytes, ...]
    moments: Moments

    def begins(self, prints: Sequence[bytes]) -> bool:
        """Whether batches so far are those that entered it."""
        return self.prints[: len(prints)] == tuple(prints)


def neighbours(module: nn.Module, stops: Sequence[str]) -> set[str]:
    """Return the dense layers that follow, or are followed by, one with as many inputs: only these may share them."""
    from torch import nn

    widths = [
        (name, one.in_features)
        for name, one in ((name, module.get_submodule(name)) for name in stops)
        if isinstance(one, nn.Linear)
    ]
    pairs = itertools.pairwise(widths)
    return {name for first, second in pairs if first[1] == second[1] for name in (first[0], second[0])}


def fingerprint(original: Tensor, compressed: Tensor) -> bytes:
    """Return a digest of a batch's bytes in both networks, shapes and types included."""
    first = _digest(original)
    return first + (first if compressed is original else _digest(compressed))


def _digest(values: Tensor) -> bytes:
    import torch

    told = hashlib.sha1(f"{values.dtype} {tuple(values.shape)}".encode(), usedforsecurity=False)
    told.update(values.detach().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return told.digest()
