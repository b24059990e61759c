"""Refuses work that would not fit, from an estimate, before anything is allocated; and lets memory be used again."""

from __future__ import annotations

import functools

import numpy as np

from sdqviz.error import InputError

LIMIT = 2 * 1024**3
"""Bytes one array of a run may take."""


def require(what: str, count: float, advice: str, itemsize: int = 8) -> None:
    """Refuse an array of ``count`` items of ``itemsize`` bytes above `LIMIT`.

    Parameters
    ----------
    what : str
        The thing that would be too large, as the user knows it.
    advice : str
        What to change.
    """
    needed = count * itemsize
    if needed > LIMIT:
        raise InputError(f"{what} must fit in {LIMIT / 2**30:.0f} GiB, got {needed / 2**30:.3g} GiB: {advice}")


SEEN = 31 << 20
"""Bytes of an array that is freed for the C library to see it; glibc learns from none above 32 MiB."""


@functools.cache
def use_again() -> None:
    """Let large arrays take the memory of earlier ones; of use where many are made and let go, piece by piece.

    glibc maps a large array anew, page by page, and returns it when it is freed, up to the size of the largest that
    has been freed so (``mallopt(3)``, M_MMAP_THRESHOLD): from then on arrays below that come from its heap. Pages that
    are handed over each time take as long as the transforms they are for. Nothing is touched or kept by this call, and
    nothing changes where the limits were set by hand.
    """
    np.empty(SEEN, np.uint8)
