"""Memory of arrays that come and go: the next takes that of the last."""

from __future__ import annotations

import functools

import numpy as np

SEEN = 31 << 20
"""Bytes of an array that is freed for the C library to see it; glibc learns from none above 32 MiB."""


@functools.cache
def use_memory_again() -> None:
    """Let large arrays take the memory of earlier ones; of use where many are made and let go, piece by piece.

    glibc maps a large array anew, page by page, and returns it when it is freed, up to the size of the largest that
    has been freed so (``mallopt(3)``, M_MMAP_THRESHOLD): from then on arrays below that come from its heap. Pages that
    are handed over each time take as long as the transforms they are for, or as rounding. Nothing is touched or kept by
    this call, and nothing changes where the limits were set by hand.
    """
    np.empty(SEEN, np.uint8)
