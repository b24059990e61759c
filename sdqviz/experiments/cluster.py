"""A Dask cluster that does part of one compression: blocks of neurons as tasks, what they share sent once."""

from __future__ import annotations

import concurrent.futures
import contextlib
import pickle
import queue
from collections.abc import Callable, Sequence
from typing import Any, Self

from sdqviz.error import InputError
from sdqviz.experiments.sweep import POLL, connected, require_same_engine
from sdqviz.experiments.sweep_worker import engine
from sdqviz.methods.method import Whole
from sdqviz.progress import ShouldStop, stop_if

ATTEMPTS = 5
"""How often blocks are sent anew when workers are lost with what they were sent."""

EACH = 2
"""Blocks for each worker, so that none waits long for the slowest."""


class Cluster:
    """Workers that walk blocks of neurons; used as ``with Cluster(address) as cluster``.

    Parameters
    ----------
    address : str
        Of a running scheduler, for example ``"tcp://127.0.0.1:8786"``; its workers must have this version of sdqviz.
    should_stop : callable, optional
        Polled while workers are busy.

    Attributes
    ----------
    broadcast, sent, received : int
        Bytes of what all blocks share times the workers, of the blocks' own parts, and of their results.

    Raises
    ------
    InputError
        If there is no such scheduler, it has no workers, or they have another version.
    """

    def __init__(self, address: str, should_stop: ShouldStop | None = None) -> None:
        self._client = connected(address)
        self._address, self._should_stop = address, should_stop
        self.broadcast = self.sent = self.received = 0
        self._sent: tuple[Whole, Any] | None = None
        try:
            require_same_engine(self._client.run(engine, on_error="return"))
            if not self._workers():
                raise InputError(f"dask must have at least one worker, got none at {address}")
        except InputError:
            self.close()
            raise

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the cluster."""
        self.close()

    def close(self) -> None:
        """Leave the cluster, which forgets what it was sent."""
        self._client.close()

    @property
    def blocks(self) -> int:
        """Into how many blocks neurons are best divided."""
        return EACH * max(1, self._workers())

    def __str__(self) -> str:
        """Say how many bytes were moved."""
        named = (("broadcast", self.broadcast), ("sent", self.sent), ("received", self.received))
        return "moved: " + ", ".join(f"{count / 2**20:,.1f} MiB {name}" for name, count in named)

    def map(self, shared: Whole, parts: Sequence[tuple[Any, Callable[[Any], Any]]]) -> list[Any]:
        """Do each part's work; what a lost worker was at, or alone held, is sent to the others anew.

        Raises
        ------
        InputError
            If workers are lost again and again.
        Stopped
            If asked to stop.
        """
        found: dict[int, Any] = {}
        for attempt in range(ATTEMPTS):
            self._try(shared, parts, found, attempt)
            if len(found) == len(parts):
                return [found[place] for place in range(len(parts))]
        raise InputError(f"dask must have workers that stay, got them lost again and again at {self._address}")

    def _together(self, shared: Whole, anew: bool) -> Any:
        """Send what all blocks share to every worker, unless that is where it is already."""
        if anew or self._sent is None or not shared.same(self._sent[0]):
            self._sent = None  # workers forget what came before
            sent = self._client.scatter(pickle.dumps(shared, protocol=5), broadcast=True, hash=False)
            self.broadcast += _size(shared) * self._workers()
            self._sent = shared, sent
        return self._sent[1]

    def _workers(self) -> int:
        return len(self._client.scheduler_info(n_workers=-1)["workers"])

    def _try(
        self, shared: Whole, parts: Sequence[tuple[Any, Callable[[Any], Any]]], found: dict[int, Any], attempt: int
    ) -> None:
        """Send everything that is not found yet, and collect what comes back."""
        import distributed

        lost = (distributed.scheduler.KilledWorker, concurrent.futures.CancelledError, KeyError, OSError)
        futures: dict[Any, int] = {}
        try:
            together = self._together(shared, anew=attempt > 0)
            for place, (group, work) in enumerate(parts):
                if place not in found:
                    own = shared.without(group)
                    self.sent += _size(own)
                    futures[self._client.submit(_done, together, own, work, pure=False)] = place
            done: queue.SimpleQueue[Any] = queue.SimpleQueue()
            for future in futures:
                future.add_done_callback(done.put)
            left = len(futures)
            while left:
                stop_if(self._should_stop)
                with contextlib.suppress(queue.Empty):
                    future = done.get(timeout=POLL)
                    found[futures[future]] = future.result()
                    self.received += _size(found[futures[future]])
                    left -= 1
        except lost:
            return
        finally:
            self._client.cancel(list(futures))


def _done(together: bytes, own: Any, work: Callable[[Any], Any]) -> Any:
    """Do the work of one block, in a worker."""
    shared: Whole = pickle.loads(together)
    return work(shared.with_own(own))


def _size(value: Any) -> int:
    """Return the bytes of all arrays in a value, as they are sent."""
    buffers: list[pickle.PickleBuffer] = []
    head = pickle.dumps(value, protocol=5, buffer_callback=buffers.append)
    return len(head) + sum(len(buffer.raw()) for buffer in buffers)
