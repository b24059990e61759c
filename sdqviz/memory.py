"""Refuses work that would not fit, from an estimate, before anything is allocated."""

from __future__ import annotations

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
