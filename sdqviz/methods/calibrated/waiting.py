"""Activations between two layers: in memory as long as there is room, on disk beyond that."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any


class Waiting:
    """Values by batch, in memory up to a limit and in a temporary folder beyond it.

    Parameters
    ----------
    limit : int
        Bytes kept in memory.
    """

    def __init__(self, limit: int) -> None:
        self._limit, self._used = limit, 0
        self._kept: dict[int, tuple[Any, int]] = {}
        self._nodes: dict[str, Any] = {}  # a file holds names of nodes
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def put(self, number: int, values: tuple[dict[Any, Any] | None, dict[Any, Any] | None]) -> None:
        """Let the values of a batch wait, of one network or of both; their keys have names."""
        import torch

        size = _bytes_of(values)
        if self._used + size <= self._limit:
            self._kept[number] = (values, size)
            self._used += size
            return
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="sdqviz-", ignore_cleanup_errors=True)
        names = [None if part is None else {node.name: value for node, value in part.items()} for part in values]
        torch.save(names, self._path(number))
        self._nodes |= {node.name: node for part in values if part is not None for node in part}

    def take(self, number: int) -> Any:
        """Return the values of a batch, which no longer wait."""
        import torch

        if number in self._kept:
            values, size = self._kept.pop(number)
            self._used -= size
            return values
        path = self._path(number)
        # the file is our own, written a moment ago
        parts = torch.load(path, weights_only=False)
        path.unlink()
        return tuple(
            None if part is None else {self._nodes[name]: value for name, value in part.items()} for part in parts
        )

    def close(self) -> None:
        """Let go of all of them, in memory and on disk."""
        self._kept.clear()
        self._used = 0
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

    def _path(self, number: int) -> Path:
        return Path("" if self._folder is None else self._folder.name) / f"{number}.pt"


def _bytes_of(values: tuple[dict[Any, Any] | None, dict[Any, Any] | None]) -> int:
    import torch
    from torch.utils import _pytree

    tensors = {}
    for item in _pytree.tree_leaves([list((part or {}).values()) for part in values]):
        if isinstance(item, torch.Tensor):
            storage = item.untyped_storage()
            tensors[storage.data_ptr()] = storage.nbytes()
    return sum(tensors.values())
