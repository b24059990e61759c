"""Keeps what was computed last, within a number and a weight, for several threads at once."""

from __future__ import annotations

import math
import threading
import weakref
from collections import OrderedDict
from collections.abc import Hashable
from typing import Any, Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Recent(Generic[K, V]):
    """The most recently used values by key, within a number and a total weight; several threads may share it.

    Parameters
    ----------
    entries : int
        The most values kept.
    weight : float
        The largest sum of their weights; the newest is kept in any case.
    """

    def __init__(self, entries: int, weight: float = math.inf) -> None:
        self._entries, self._weight = entries, weight
        self._kept: OrderedDict[K, tuple[V, float]] = OrderedDict()
        self._lock = threading.Lock()
        _every.add(self)

    def get(self, key: K) -> V | None:
        """Return the value, which becomes the newest; None if it is not kept."""
        with self._lock:
            if key not in self._kept:
                return None
            self._kept.move_to_end(key)
            return self._kept[key][0]

    def put(self, key: K, value: V, weight: float = 0.0) -> V:
        """Keep a value and drop the oldest beyond the limits; return the value."""
        with self._lock:
            self._kept[key] = (value, weight)
            self._kept.move_to_end(key)
            while len(self._kept) > 1 and (
                len(self._kept) > self._entries or sum(w for _, w in self._kept.values()) > self._weight
            ):
                self._kept.popitem(last=False)
            return value

    def clear(self) -> None:
        """Drop all values."""
        with self._lock:
            self._kept.clear()

    def __len__(self) -> int:
        """Count the values."""
        return len(self._kept)


_every: weakref.WeakSet[Recent[Any, Any]] = weakref.WeakSet()


def forget() -> None:
    """Drop what all of them keep."""
    for one in list(_every):
        one.clear()
