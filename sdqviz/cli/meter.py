"""How far a command is, told on standard error, and Ctrl-C as a request to stop."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

from sdqviz.progress import ShouldStop


class Meter:
    """Writes how far a run is, with an estimate of what is left, to standard error."""

    EVERY_TTY, EVERY_FILE = 0.2, 5.0

    def __init__(self) -> None:
        self._stream = sys.stderr
        self._live = self._stream.isatty()
        self._begun = time.monotonic()
        self._first: float | None = None
        self._shown = -float("inf")
        self._width = 0

    def __enter__(self) -> Meter:
        """Return the meter."""
        return self

    def __exit__(self, *_: object) -> None:
        """Wipe the line."""
        if self._width:
            self._stream.write("\r" + " " * self._width + "\r")
            self._stream.flush()

    def __call__(self, done: float, total: float, message: str) -> None:
        """Write how far the work is, now and then."""
        now = time.monotonic()
        share = done / total if total else 0.0
        if self._first is None or share < self._first:  # a new stage: estimate from its own pace
            self._first, self._begun = share, now
        if now - self._shown < (self.EVERY_TTY if self._live else self.EVERY_FILE):
            return
        self._shown = now
        line = f"{share:4.0%}  {message}{remaining(share - self._first, 1 - share, now - self._begun)}"
        if self._live:
            self._stream.write("\r" + line.ljust(self._width))
            self._width = len(line)
        else:
            self._stream.write(line + "\n")
        self._stream.flush()


def remaining(done: float, left: float, seconds: float) -> str:
    """Return ``", about 40 s left"`` from the pace so far, or nothing while it is too early to say."""
    if done < 0.01 or seconds < 1:
        return ""
    estimate = round(seconds * left / done)
    minutes, rest = divmod(estimate, 60)
    return f", about {minutes} min {rest} s left" if minutes else f", about {rest} s left"


@contextlib.contextmanager
def interruptible() -> Iterator[ShouldStop]:
    """Turn the first Ctrl-C into a request to stop; a second one ends the process at once."""
    asked = threading.Event()

    def ask(number: int, frame: Any) -> None:
        asked.set()
        signal.signal(signal.SIGINT, signal.default_int_handler)

    before = signal.signal(signal.SIGINT, ask)
    try:
        yield asked.is_set
    finally:
        signal.signal(signal.SIGINT, before)
