"""Sweeps: many runs on local worker processes or on a Dask cluster, each stored as soon as it is finished."""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import gc
import os
import queue
import signal
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from sdqviz.error import InputError
from sdqviz.experiments.run import Run, fingerprint, question_key
from sdqviz.experiments.run_store import RunStore
from sdqviz.experiments.sweep_plan import Plan
from sdqviz.experiments.sweep_worker import Job, Limits, engine, work
from sdqviz.networks.catalogue.network_choice import NetworkChoice
from sdqviz.progress import Progress, ShouldStop, report, stop_if

__all__ = ["Limits", "Plan", "Sweep", "run"]

MOST_JOBS = 256
"""Worker processes of one sweep."""

POLL = 0.05
"""Seconds between two looks at whether to stop."""

ORPHAN = 1.0
"""Seconds between two looks of a worker at whether the process it works for is still there."""

CONNECT = 10.0
"""Seconds to wait for the answer of a scheduler."""

ONE_THREAD = {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")}
"""Environment of a worker: with one thread each, sums do not depend on how many cores there are."""

DIED = "the run must leave its process alive, got one that died again and again: out of memory, or a fault in it"

Finish = Callable[[Job, Run], None]


@dataclasses.dataclass(frozen=True, eq=False)
class Sweep:
    """What came of a plan.

    Attributes
    ----------
    runs : tuple of Run
        One for each run of the plan, in its order.
    computed, reused : int
        How many were run now, and how many were in the store already.
    seconds : float
        Time the sweep took.
    """

    runs: tuple[Run, ...]
    computed: int
    reused: int
    seconds: float

    @property
    def failures(self) -> tuple[Run, ...]:
        """The runs that have no report."""
        return tuple(run for run in self.runs if run.report is None)


def run(
    plan: Plan,
    store: RunStore,
    *,
    jobs: int = 1,
    dask: str | None = None,
    limits: Limits | None = None,
    retry: bool = False,
    progress: Progress | None = None,
    should_stop: ShouldStop | None = None,
) -> Sweep:
    """Do the runs of a plan that are not in the store, and put each there as soon as it is finished.

    Parameters
    ----------
    plan : Plan
        What to run.
    store : RunStore
        Where finished runs are looked for and kept. A run is known by its choices, the weights of its network and the
        version of the engine.
    jobs : int
        Worker processes on this computer, each with one thread.
    dask : str, optional
        Address of the scheduler of a running Dask cluster, for example ``"tcp://127.0.0.1:8786"``, whose workers then
        do the work; ``jobs`` does not matter then. They must have this version of sdqviz, and one BLAS thread each,
        as ``dask worker`` gives them.
    limits : Limits, optional
        What one run may take; a run that goes beyond becomes a row with the reason, and the sweep goes on.
    retry : bool
        Whether to run failed runs of the store again; otherwise their rows stay.
    progress, should_stop : callable, optional
        Told how many runs are done; asked whether to stop.

    Returns
    -------
    Sweep
        A row for every run of the plan. A run that cannot be done has its reason in ``problem``.

    Raises
    ------
    InputError
        If the number of jobs is not sensible, there is no such cluster or it goes away, or its workers have another
        version. What was finished is in the store.
    Stopped
        If asked to stop; the workers are ended, and what was finished is in the store.
    """
    if isinstance(jobs, bool) or not isinstance(jobs, int) or not 1 <= jobs <= MOST_JOBS:
        raise InputError(f"jobs must be a whole number from 1 to {MOST_JOBS}, got {jobs!r}")
    begun = time.monotonic()
    planned, reasons = _planned(plan, limits or Limits(), progress, should_stop)
    rows: dict[str, Run] = {}
    for job in planned:
        known = store.get(job.key)
        if known is not None and not (retry and known.problem):
            rows[job.key] = known
    reused = len(rows)
    report(progress, reused, len(planned), f"{len(planned)} runs, {reused} of them in the store")

    def finish(job: Job, row: Run) -> None:
        store.put(row)
        rows[job.key] = row
        report(progress, len(rows), len(planned), f"run {len(rows)} of {len(planned)}: {job.question}")

    for job in planned:
        if job.key in reasons and job.key not in rows:
            finish(job, job.refused(reasons[job.key]))
    todo = [job for job in planned if job.key not in rows]
    if todo and dask is not None:
        _on_cluster(todo, dask, finish, should_stop)
    elif todo:
        _on_this_computer(todo, jobs, finish, should_stop)
    return Sweep(tuple(rows[job.key] for job in planned), len(planned) - reused, reused, time.monotonic() - begun)


def _planned(
    plan: Plan, limits: Limits, progress: Progress | None, should_stop: ShouldStop | None
) -> tuple[list[Job], dict[str, str]]:
    """Give every run its key, and those whose network cannot be had their reason.

    A network without weights is trained here, before all workers would begin to: the key depends on them.
    """
    weights: dict[NetworkChoice, tuple[str, str]] = {}
    jobs, reasons = [], {}
    for asked in plan.runs:
        if asked.network not in weights:
            stop_if(should_stop)
            weights[asked.network] = _weights(asked.network, progress, should_stop)
        digest, reason = weights[asked.network]
        key = question_key(asked, digest)
        jobs.append(Job(key, asked, digest, limits))
        if reason:
            reasons[key] = reason
    return jobs, reasons


def _weights(choice: NetworkChoice, progress: Progress | None, should_stop: ShouldStop | None) -> tuple[str, str]:
    """Return the fingerprint of a network and "", or "" and why it has none."""
    try:
        if not choice.ready:
            choice.load(progress, should_stop)
        return fingerprint(choice), ""
    except InputError as error:
        return "", str(error)


# -- on this computer ---------------------------------------------------------------------------------


def _on_this_computer(jobs: Sequence[Job], workers: int, finish: Finish, should_stop: ShouldStop | None) -> None:
    """Run jobs in worker processes; one whose process dies even when it is alone becomes a failed row."""
    waiting = deque(jobs)
    while waiting:
        suspects = deque(_until_one_dies(waiting, workers, workers + 1, finish, should_stop))
        while suspects:  # one after the other, so that the next process to die tells which it was
            for culprit in _until_one_dies(suspects, 1, 1, finish, should_stop):
                finish(culprit, culprit.refused(DIED))


def _until_one_dies(
    waiting: deque[Job], workers: int, most: int, finish: Finish, should_stop: ShouldStop | None
) -> list[Job]:  # fmt: skip
    """Take jobs from the left until none is left or a worker process dies; return those then in flight.

    ``most`` jobs are in flight at once: one more than there are workers, so that none has to wait for its next.
    """
    from joblib.externals.loky import ProcessPoolExecutor

    done: queue.SimpleQueue[concurrent.futures.Future[Run]] = queue.SimpleQueue()
    flying: dict[concurrent.futures.Future[Run], Job] = {}
    pool = ProcessPoolExecutor(
        min(workers, len(waiting)), initializer=_start_worker, initargs=(os.getpid(),), env=ONE_THREAD
    )
    whole = False
    try:
        while waiting or flying:
            stop_if(should_stop)
            while waiting and len(flying) < most:
                future = pool.submit(_local_work, waiting[0])
                flying[future] = waiting.popleft()
                future.add_done_callback(done.put)
            with contextlib.suppress(queue.Empty):
                future = done.get(timeout=POLL)
                row = future.result()
                finish(flying.pop(future), row)
        whole = True
    except concurrent.futures.BrokenExecutor:
        return list(flying.values())
    finally:
        if not whole:
            _let_settle(flying)
        pool.shutdown(kill_workers=not whole)
    return []


def _let_settle(flying: Iterable[concurrent.futures.Future[Run]]) -> None:
    """Wait until the pool has taken over what was submitted: it must not be killed in between."""
    deadline = time.monotonic() + 1.0
    while not all(future.running() or future.done() for future in flying) and time.monotonic() < deadline:
        time.sleep(0.005)


def _start_worker(parent: int) -> None:
    """Leave Ctrl-C, which reaches all processes of a terminal, to the one that asks for work, and end with it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(ORPHAN)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _local_work(job: Job) -> Run:
    return work(job, lambda: False, alone=True)


# -- on a cluster -------------------------------------------------------------------------------------


def connected(address: str) -> Any:
    """Return a client of a running scheduler, to be closed by whoever asked.

    Raises
    ------
    InputError
        If dask is missing, or there is no scheduler.
    """
    try:
        import distributed
    except ImportError:
        raise InputError('dask must be installed, got none: pip install "sdqviz[cluster]"') from None
    try:
        return distributed.Client(address, timeout=CONNECT, set_as_default=False)
    except (OSError, ValueError) as error:
        refused = InputError(f"dask must be the address of a running scheduler, got {address!r}: {error}")
        traceback.clear_frames(error.__traceback__)
    # The client that came to nothing ends its threads when it is collected: now, for if that happens while another
    # one starts, it waits for a lock that the same thread holds, forever.
    gc.collect()
    raise refused


def _on_cluster(jobs: Sequence[Job], address: str, finish: Finish, should_stop: ShouldStop | None) -> None:
    """Run jobs on a Dask cluster; what a lost worker was at goes to another one."""
    client = connected(address)
    done: queue.SimpleQueue[Any] = queue.SimpleQueue()
    flying: dict[Any, Job] = {}
    try:
        require_same_engine(client.run(engine, on_error="return"))
        ticket = time.time_ns()  # a sweep that does the same runs must not share its futures
        for job in jobs:
            future = client.submit(_cluster_work, job, key=f"sdqviz-{job.key}-{ticket}", pure=False)
            flying[future] = job
            future.add_done_callback(done.put)
        while flying:
            stop_if(should_stop)
            with contextlib.suppress(queue.Empty):
                future = done.get(timeout=POLL)
                job = flying.pop(future)
                finish(job, _gathered(future, job, address))
    finally:
        if flying:
            client.cancel(list(flying))
        client.close()


def require_same_engine(found: Mapping[str, Any]) -> None:
    """Refuse workers of another version; ``found`` is what each says of itself."""
    for worker, version in found.items():
        if version != engine():
            raise InputError(f"workers must have sdqviz {engine()} as the sweep has, got {version} on {worker}")


def _gathered(future: Any, job: Job, address: str) -> Run:
    import distributed

    try:
        return future.result()
    except distributed.scheduler.KilledWorker:
        return job.refused(DIED)
    except (concurrent.futures.CancelledError, OSError) as error:
        raise InputError(f"dask must be the address of a scheduler that stays, got {address!r}: {error}") from None


def _cluster_work(job: Job) -> Run:
    import distributed

    worker = distributed.get_worker()
    key = worker.get_current_task()

    def cancelled() -> bool:
        """Whether the scheduler has told the worker to forget the task; it cannot end a thread."""
        task = worker.state.tasks.get(key)
        return task is None or task.state == "cancelled"

    return work(job, cancelled, alone=False)
