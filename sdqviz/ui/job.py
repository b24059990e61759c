"""Long work beside a page: one process-wide pool, progress, an estimate of the time left, and Cancel."""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import functools
import os
import sys
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import streamlit as st

from sdqviz.error import InputError, Stopped
from sdqviz.progress import Progress, ShouldStop

_jobs: weakref.WeakSet[Job[Any]] = weakref.WeakSet()

R = TypeVar("R")
Work = Callable[[Progress, ShouldStop], R]
"""``work(progress, should_stop)``: runs in a thread of the pool and must not touch Streamlit."""


CANCELLED = "Cancelled; the previous result is still shown."
CANCELLED_FIRST = "Cancelled; there is no result yet."
"""What is told of work that was cancelled: where there was a result before, and where there was none."""


LIBRARIES = 4.0
"""Seconds a worker takes to read torch, the first time."""


def seconds_to_start() -> float:
    """Return how long a worker takes before it can begin: until torch has been read, that is part of every run."""
    return 0.0 if "torch" in sys.modules else LIBRARIES


@functools.cache
def _pool(lasting: bool) -> concurrent.futures.ThreadPoolExecutor:
    """Return the pool of short work, or that of work over minutes, which must not keep the short work waiting."""
    workers = 1 if lasting else max(1, (os.cpu_count() or 2) // 2)
    return concurrent.futures.ThreadPoolExecutor(workers, thread_name_prefix="sdqviz job", initializer=step_back)


BEHIND = 10
"""By how much long work stands behind pages that are being answered, as ``nice`` counts."""


def step_back() -> None:
    """Let this thread, and those it starts, have the processors only as far as pages leave them; where there is a way.

    On Linux each thread has a priority of its own; elsewhere it is the whole process's, which stays as it is.
    """
    if sys.platform == "linux":
        thread = threading.get_native_id()
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, thread, os.getpriority(os.PRIO_PROCESS, thread) + BEHIND)


@dataclasses.dataclass(eq=False)
class Job(Generic[R]):
    """At most one piece of work at a time, and the last result that finished.

    Attributes
    ----------
    result
        What the last finished work returned; a cancelled or failed run leaves it as it was.
    made_for : object
        What ``result`` belongs to: the ``tag`` given to `start`.
    problem : str
        One sentence if the last run failed or was cancelled.
    lasting : bool
        Whether the work takes minutes: such work of all sessions is done one after the other.
    """

    result: R | None = None
    made_for: object = None
    problem: str = ""
    lasting: bool = False
    _future: concurrent.futures.Future[R] | None = None
    _stop: threading.Event = dataclasses.field(default_factory=threading.Event)
    _told: tuple[float, float, str] = (0.0, 0.0, "waiting for a free worker")
    _begun: float = 0.0
    _tag: object = None
    _last: weakref.finalize[Any, Any] | None = None

    def __post_init__(self) -> None:
        """Be known to `stop_all`."""
        _jobs.add(self)

    @property
    def cancelled(self) -> bool:
        """Whether the last work was cancelled."""
        return self.problem in (CANCELLED, CANCELLED_FIRST)

    @property
    def _cancelled(self) -> str:
        return CANCELLED_FIRST if self.result is None else CANCELLED

    @property
    def running(self) -> bool:
        """Whether work is under way; takes the result over once it is not."""
        if self._future is None:
            return False
        if not self._future.done():
            return True
        future, self._future = self._future, None
        try:
            self.result, self.made_for, self.problem = future.result(), self._tag, ""
        except (Stopped, concurrent.futures.CancelledError):
            self.problem = self._cancelled
        except InputError as error:
            self.problem = str(error)
        return False

    @property
    def asked_for(self) -> object:
        """What the work under way, or the last there was, is for: the ``tag`` given to `start`."""
        return self._tag

    def start(self, work: Work[R], tag: object = None) -> None:
        """Begin; work that is still under way is cancelled first.

        Parameters
        ----------
        work : callable
            Given ``progress`` and ``should_stop``.
        tag : object
            What the result is for, for example the choices; see ``made_for``.
        """
        self.cancel()
        stop = self._stop = threading.Event()
        self._told, self._begun, self._tag, self.problem = (
            (0.0, 0.0, "waiting for a free worker"),
            time.monotonic(),
            tag,
            "",
        )

        if self._last is not None:
            self._last.detach()
        self._last = weakref.finalize(self, stop.set)  # a session that is gone needs no result
        owner = weakref.ref(self)  # the work must not keep the session alive

        def tell(done: float, total: float, message: str) -> None:
            job = owner()
            if job is not None and not stop.is_set():
                job._told = (done, total, message)

        self._future = _pool(self.lasting).submit(work, tell, stop.is_set)

    def cancel(self) -> None:
        """Ask the work to stop; returns at once, and a late result is dropped."""
        self._stop.set()
        if self._future is not None:
            self._future.cancel()
            self._future = None
            self.problem = self._cancelled

    def status(self) -> tuple[float, str]:
        """Return the fraction done (0 … 1) and a line with the stage, k of n and the time left."""
        done, total, message = self._told
        if total <= 0:
            return 0.0, message
        fraction = min(max(done / total, 0.0), 1.0)
        spent = time.monotonic() - self._begun
        left = f", about {spent * (1 / fraction - 1):.0f} s left" if fraction > 0.02 and spent > 0.5 else ""
        return fraction, f"{message} ({done:g} of {total:g}{left})"

    def show(self) -> None:
        """Draw the progress bar with Cancel while work is under way, or why the last run gave nothing."""
        if self.running:
            _watch(self)
        elif self.problem:
            st.info(self.problem)


@st.fragment(run_every=0.3)
def _watch(job: Job[Any]) -> None:
    if not job.running:
        st.rerun()
    fraction, line = job.status()
    bar, button = st.columns([5, 1], vertical_alignment="center")
    bar.progress(fraction, text=line)
    if button.button("Cancel", key=f"_cancel {id(job)}", help="Stop; the previous result stays."):
        job.cancel()
        st.rerun()


def slot(name: str, *, lasting: bool = False) -> Job[Any]:
    """Return this session's job of that name, the same one in every run of the page."""
    job: Job[Any] = st.session_state.setdefault(f"_job {name}", Job(lasting=lasting))
    return job


def stop_all() -> None:
    """Ask the work of all sessions to stop, so that the server need not wait for it when it ends."""
    for job in list(_jobs):
        job.cancel()
