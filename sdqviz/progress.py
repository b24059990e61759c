"""How long work reports how far it is, and how it is asked to stop."""

from __future__ import annotations

from collections.abc import Callable

from sdqviz.error import Stopped

Progress = Callable[[float, float, str], None]
"""``progress(done, total, message)``, called often enough to draw a bar."""

ShouldStop = Callable[[], bool]
"""Polled at least every 100 ms of work; returning True ends the work with `sdqviz.error.Stopped`."""


def stop_if(should_stop: ShouldStop | None) -> None:
    """Raise `Stopped` if a stop was asked for."""
    if should_stop is not None and should_stop():
        raise Stopped("the run was stopped; nothing was changed")


def report(progress: Progress | None, done: float, total: float, message: str) -> None:
    """Pass progress on, if anybody listens."""
    if progress is not None:
        progress(done, total, message)


def part(progress: Progress | None, begin: float, end: float, of: str = "") -> Progress | None:
    """Return a progress that fills one stretch of another, from share ``begin`` to share ``end``, in whole percent.

    ``of`` is put before its messages.
    """
    if progress is None:
        return None
    return lambda done, total, message: progress(
        round(100 * (begin + (end - begin) * done / max(total, 1e-12))), 100, of + message
    )
