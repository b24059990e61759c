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
from typing import TYPE_CHECKING, Any

from sdqviz import version
from sdqviz.error import InputError, Stopped
from sdqviz.experiments.run_store import Run, fingerprint
from sdqviz.methods import METHODS
from sdqviz.networks.catalogue import NETWORKS
from sdqviz.networks.catalogue.network_choice import NetworkChoice
from sdqviz.report import Report

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
    """One run on its way to a worker, in plain types.

    Attributes
    ----------
    key : str
        Of the run, see `sdqviz.experiments.run_store.run_key`.
    network, method : dict
        The choices.
    calibration, seed : int
        Calibration inputs and seed.
    label : str
        What people call the run.
    weights : str
        Fingerprint of the network's weights; empty if it has none.
    limits : Limits
        What the run may take.
    version : str
        The engine that asks.
    """

    key: str
    network: dict[str, Any]
    method: dict[str, Any]
    calibration: int
    seed: int
    label: str
    weights: str
    limits: Limits
    version: str = version.__version__

    def __str__(self) -> str:
        """Show the network and the label."""
        return f"{self.network['name']} {self.network.get('seed', 0)}, {self.label}"

    def row(self, report: Report | None, problem: str = "", seconds: float = 0.0) -> Run:
        """Return the finished run."""
        asked = (self.key, self.network, self.method, self.calibration, self.seed)
        return Run(*asked, report, problem, seconds, self.version, self.label)


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

    from sdqviz.compression.compress import compress
    from sdqviz.kernels.threads import set_threads

    if job.version != engine():
        raise InputError(f"workers must have sdqviz {job.version} as the sweep has, got {engine()}")
    torch.set_num_threads(1)
    set_threads(1)
    guard = _Guard(job.limits, cancelled)
    report, problem, begun = None, "", time.perf_counter()
    try:
        network = _network(NETWORKS.from_dict(job.network), job.weights)
        calibration = None if network.dataset is None else job.calibration
        method = METHODS.from_dict(job.method)
        guard.begin()
        begun = time.perf_counter()
        with _memory_limited(job.limits if alone else Limits()):
            report = compress(network, method, calibration, job.seed, None, guard).report
    except Stopped:
        if not guard.reason:
            raise
        problem = guard.reason
    except InputError as error:
        problem = str(error)
    except Exception as error:  # a defect that one run meets must not end the others: its row names it
        problem = _out_of_memory(error, job.limits) or f"the run must not fail, got {type(error).__name__}: {error}"
    return job.row(report, problem, time.perf_counter() - begun)


class _Guard:
    """Says whether a run has to end, and why."""

    def __init__(self, limits: Limits, cancelled: Callable[[], bool]) -> None:
        self._limits, self._cancelled = limits, cancelled
        self.reason = ""
        self.begin()

    def begin(self) -> None:
        """Let the run begin now: what was taken before does not count."""
        self._begun, self._next = time.monotonic(), 0.0
        self._held = 0.0 if self._limits.memory is None else _resident()

    def __call__(self) -> bool:
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
def _memory_limited(limits: Limits) -> Iterator[None]:
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


def _out_of_memory(error: Exception, limits: Limits) -> str:
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
