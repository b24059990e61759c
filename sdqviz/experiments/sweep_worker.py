"""What happens in a worker process of a sweep: one run, watched, with everything that goes wrong as its reason."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import math
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from sdqviz import version
from sdqviz.compression.question import Attempt, Question, attempt
from sdqviz.error import InputError, Stopped
from sdqviz.experiments.run import Run, fingerprint
from sdqviz.networks.catalogue.network_choice import NetworkChoice

if TYPE_CHECKING:
    from sdqviz.networks.network import Network

STATM = Path("/proc/self/statm")
"""Where Linux tells a process its memory, in pages: all, resident, shared, text, library, data."""

LOOK = 0.02
"""Seconds between two looks at the memory."""

MIB = 1 << 20


@dataclasses.dataclass(frozen=True)
class Limits:
    """What one run may take.

    Attributes
    ----------
    seconds : float or None
        Time, loading the network not included.
    memory : float or None
        What it may add to the resident memory of its worker process, in MiB. Linux only.
    """

    seconds: float | None = None
    memory: float | None = None

    def __post_init__(self) -> None:
        """Refuse limits that are not positive, or that cannot be watched here."""
        for name, value in (("seconds", self.seconds), ("memory", self.memory)):
            if value is not None and not (math.isfinite(value) and value > 0):
                raise InputError(f"{name} must be positive, got {value}")
        if self.memory is not None and not STATM.is_file():
            raise InputError(f"memory can be limited only on Linux, which tells it in {STATM}, got another system")


@dataclasses.dataclass(frozen=True)
class Job:
    """A question on its way to a worker.

    Attributes
    ----------
    key : str
        Of the run, see `sdqviz.experiments.run.question_key`.
    question : Question
        What to run.
    weights : str
        Fingerprint of the network's weights; empty if it has none.
    limits : Limits
        What the run may take.
    version : str
        The engine that asks.
    """

    key: str
    question: Question
    weights: str
    limits: Limits
    version: str = version.__version__

    def refused(self, problem: str, seconds: float = 0.0) -> Run:
        """Return the row of a run that came to nothing, with the reason."""
        return Run.of(Attempt(self.question, None, problem, seconds), self.weights)


def engine() -> str:
    """Return the version of the engine in this process."""
    return version.__version__


def work(job: Job, cancelled: Callable[[], bool], alone: bool) -> Run:
    """Do one run.

    Parameters
    ----------
    job : Job
        What to run.
    cancelled : callable
        Whether nobody waits for the answer any more.
    alone : bool
        Whether the process does one run at a time, so that the memory it may allocate can be limited.

    Returns
    -------
    Run
        With a report, or with the reason why there is none.

    Raises
    ------
    InputError
        If this process has another version of the engine.
    Stopped
        If cancelled.
    """
    import torch

    from sdqviz.kernels.threads import set_threads

    if job.version != engine():
        raise InputError(f"workers must have sdqviz {job.version} as the sweep has, got {engine()}")
    torch.set_num_threads(1)
    set_threads(1)
    guard = Guard(job.limits, cancelled)
    with contextlib.ExitStack() as limited:

        def network() -> Network:
            found = _network(job.question.network, job.weights)
            guard.begin()
            limited.enter_context(memory_limited(job.limits if alone else Limits()))
            return found

        try:
            return Run.of(attempt(job.question, network, None, guard), job.weights)
        except Stopped:
            if not guard.reason:
                raise
            problem = guard.reason
        except Exception as error:  # a defect that one run meets must not end the others: its row names it
            problem = out_of_memory(error, job.limits) or f"the run must not fail, got {type(error).__name__}: {error}"
    return job.refused(problem, guard.seconds)


class Guard:
    """Says whether a run has to end, and why."""

    def __init__(self, limits: Limits, cancelled: Callable[[], bool]) -> None:
        self._limits, self._cancelled = limits, cancelled
        self.reason = ""
        self.begin()

    def begin(self) -> None:
        """Let the run begin now: what was taken before does not count."""
        self._begun, self._next = time.monotonic(), 0.0
        self._held = 0.0 if self._limits.memory is None else _resident()

    @property
    def seconds(self) -> float:
        """Time since the run began."""
        return time.monotonic() - self._begun

    def __call__(self) -> bool:
        """Return whether the run has to end; looks only now and then."""
        now = time.monotonic()
        if now < self._next:
            return False
        self._next = now + LOOK
        taken, limits = now - self._begun, self._limits
        if limits.seconds is not None and taken > limits.seconds:
            self.reason = f"the run must end within {limits.seconds:g} s, got {taken:.1f} s: it was stopped"
        elif limits.memory is not None and _resident() - self._held > limits.memory:
            added = _resident() - self._held
            self.reason = (
                f"the run must add at most {limits.memory:g} MiB to its process, got {added:.0f} MiB: it was stopped"
            )
        return bool(self.reason) or self._cancelled()


def _pages(place: int) -> float:
    """Return an entry of `STATM` in MiB."""
    return int(STATM.read_text().split()[place]) * os.sysconf("SC_PAGE_SIZE") / MIB


def _resident() -> float:
    return _pages(1)


@contextlib.contextmanager
def memory_limited(limits: Limits) -> Iterator[None]:
    """Make an allocation fail that goes beyond the limit, before a look at the memory would see it."""
    if limits.memory is None:
        yield
        return
    import resource

    before = resource.getrlimit(resource.RLIMIT_DATA)
    most = int((_pages(5) + limits.memory) * MIB)
    if before[1] != resource.RLIM_INFINITY:
        most = min(most, before[1])
    resource.setrlimit(resource.RLIMIT_DATA, (most, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)


def out_of_memory(error: Exception, limits: Limits) -> str:
    """Return the reason if the error is a failed allocation; torch has no class of its own for that."""
    if not isinstance(error, MemoryError) and "allocate memory" not in str(error):
        return ""
    what = " ".join(str(error).split()) or "an allocation that failed"
    most = "what the computer has" if limits.memory is None else f"at most {limits.memory:g} MiB"
    return f"the run must add {most} to its process, got {what[-200:]}"


@functools.lru_cache(maxsize=4)
def _network(choice: NetworkChoice, weights: str) -> Network:
    """Load a network, or find it among the last few; refuse one whose weights are not those that were asked for."""
    network = choice.load()
    if fingerprint(choice) != weights:
        raise InputError(f"network {choice.name} of the worker must have the weights of the sweep, got others")
    return network
