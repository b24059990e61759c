"""The one way to run parallel kernels from several threads at once.

Streamlit calls the engine from many threads. With numba's workqueue threading layer two parallel
kernels running at the same time abort the process, so every parallel kernel goes through `run`,
which takes a process-wide lock unless the layer is one that allows concurrent callers.
"""

from __future__ import annotations

import collections
import contextlib
import functools
import os
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

import numba
import numpy as np

from sdqviz.kernels.heap import use_memory_again

TILE = 16
"""Sequences one thread walks at once: several vector registers wide."""

REORDER = {"reassoc", "contract", "nsz"}
"""Licence to sum in any order, which vector instructions need; NaN and infinity stay what they are."""

Piece = TypeVar("Piece")
Result = TypeVar("Result")


class _Blas:
    """The threads of the BLAS libraries, which are the whole process's: one as long as anybody asks for that."""

    def __init__(self) -> None:
        self._lock, self._asked, self._limits = threading.Lock(), 0, contextlib.ExitStack()

    @contextlib.contextmanager
    def one_thread(self) -> Iterator[None]:
        """Let a product of matrices take one thread meanwhile."""
        with self._lock:
            if self._asked == 0:
                self._limits.enter_context(_controller().limit(limits=1, user_api="blas"))
            self._asked += 1
        try:
            yield
        finally:
            with self._lock:
                self._asked -= 1
                if self._asked == 0:
                    self._limits.close()


@functools.cache
def _controller() -> Any:
    import scipy.linalg  # noqa: F401 - it brings a BLAS of its own; a controller knows those that are loaded by now
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


_blas = _Blas()


def one_blas_thread() -> contextlib.AbstractContextManager[None]:
    """Let BLAS take one thread meanwhile: for many small products, and small eigenproblems, whose threads only wait."""
    return _blas.one_thread()


_lock = threading.Lock()
_concurrent_layer: bool | None = None


def run(kernel: Callable[..., Any], *arguments: Any) -> Any:
    """Call a parallel kernel safely from any thread."""
    global _concurrent_layer  # noqa: PLW0603 - decided once for the process, under the lock
    if _concurrent_layer:
        return kernel(*arguments)
    with _lock:
        result = kernel(*arguments)
        if _concurrent_layer is None:
            _concurrent_layer = numba.threading_layer() in {"omp", "tbb"}
    return result


@numba.njit(parallel=True, cache=True)  # type: ignore[untyped-decorator]
def _start(values):  # type: ignore[no-untyped-def]
    for place in numba.prange(len(values)):
        values[place] = place


def threading_layer() -> str:
    """Return numba's threading layer, starting it if no kernel has run yet."""
    run(_start, np.empty(2))
    return str(numba.threading_layer())


def threads() -> int:
    """Return how many threads a parallel kernel uses."""
    return int(numba.get_num_threads())


def set_threads(count: int) -> None:
    """Limit the threads of parallel kernels in this process (sweep workers use one)."""
    numba.set_num_threads(max(1, min(count, os.cpu_count() or 1)))


def spread(work: Callable[[Piece], Result], pieces: Iterable[Piece]) -> Iterator[Result]:
    """Yield ``work(piece)`` of independent pieces in their order, each done on one thread from beginning to end.

    What a piece touches then stays in that thread's cache, and no step waits for the other threads; products of
    matrices take one thread as well, so that those of BLAS and of kernels never fight for the same cores. The calling
    thread does pieces too, and kept threads of its own priority help: whoever else they help, work gets on. A piece
    that spreads others does them itself. Work that has not begun is given up when the caller stops asking.
    """
    count, todo = threads(), list(pieces)
    if count == 1 or len(todo) <= 1:
        yield from map(work, todo)
        return
    use_memory_again()
    asked: _Pieces = collections.deque((Future(), functools.partial(work, piece)) for piece in todo)
    waiting = asked.copy()
    with _blas.one_thread():
        helped = [_pool().submit(_help, waiting) for _ in range(min(count, len(todo)) - 1)]
        try:
            while asked:  # what was asked for is let go: a result, and an error, which knows this frame
                while waiting and not asked[0][0].done():
                    _do_next(waiting)
                yield asked.popleft()[0].result()
        finally:
            waiting.clear()
            for one in helped:
                if not one.cancel():
                    one.result()


_Pieces = collections.deque[tuple[Future[Any], Callable[[], Any]]]


def _help(pieces: _Pieces) -> None:
    """Do pieces as long as there are some that nobody has begun."""
    while pieces:
        _do_next(pieces)


def _do_next(pieces: _Pieces) -> None:
    """Do the next piece, unless somebody else has just taken the last, with one thread for kernels."""
    try:
        future, work = pieces.popleft()
    except IndexError:
        return
    before = threads()
    numba.set_num_threads(1)
    try:
        future.set_result(work())
    except BaseException as error:
        future.set_exception(error)
        if not isinstance(error, Exception):
            raise  # an interrupt does not wait for its turn
    finally:
        numba.set_num_threads(before)
        del future  # an error knows this frame


_pools: dict[int, ThreadPoolExecutor] = {}
"""Threads that are kept, since starting one takes longer than many a piece; by their priority."""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pools.clear)  # a child has none of its parent's threads


def _pool() -> ThreadPoolExecutor:
    """Return the threads that help callers of this thread's priority, which those started by it inherit."""
    own = os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) if sys.platform == "linux" else 0
    if own not in _pools:
        most = max(1, numba.config.NUMBA_NUM_THREADS - 1)
        _pools.setdefault(own, ThreadPoolExecutor(most, f"sdqviz pieces {own}"))
    return _pools[own]
