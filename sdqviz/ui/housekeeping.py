"""Gives memory back: what visitors leave behind is dropped, and what is free returns to the system."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import functools
import gc
import math
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

from sdqviz import recent

EVERY = 5.0
"""Seconds between two rounds."""

BETWEEN = 20.0
"""Seconds that memory is let be after it was given back: what was free is cleared by the system before it is used."""

AWAY = 40
"""Sessions whose visitors may come back that are kept at most, a class whose network has failed; then the oldest go."""

QUIET = 120.0
"""Seconds without a visitor after which what was kept for all of them is dropped too."""

_ARENA_MAX, _MMAP_THRESHOLD, _TRIM_THRESHOLD = -8, -3, -1
"""Options of glibc's ``mallopt`` (``malloc.h``)."""

ARENAS, LARGE, TOP = 2, 1 << 18, 16 << 20
"""Heaps of all threads together; bytes from which an array is mapped on its own, and returned when it is freed; free
bytes at the end of a heap that are returned at once."""

USED_AGAIN = (32 << 20, 128 << 20)
"""The last two while an answer is computed; glibc maps from 32 MiB at the latest."""

OVERLAP = 5.0
"""Seconds after which free memory is given back although another answer is being computed: under load one always is."""


def _libc() -> Any:
    """Return the C library where it is glibc, which alone has these functions; else None."""
    if not sys.platform.startswith("linux"):
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "malloc_trim") and hasattr(library, "mallopt") else None


def few_heaps() -> None:
    """Let the threads share a few heaps: each of its own keeps what its largest work took, forever."""
    library = _libc()
    if library is not None:
        library.mallopt(_ARENA_MAX, ARENAS)
        _heaps.apply(library, LARGE, TOP)


class _Heaps:
    """When heaps return what is freed; that is the whole process's, whoever asks."""

    def __init__(self) -> None:
        self._lock, self._asked, self._set, self._given = threading.Lock(), 0, False, 0.0

    def apply(self, library: Any, large: int, top: int) -> None:
        """Return arrays of ``large`` bytes and more, and ``top`` free bytes at the end of a heap, at once."""
        self._set = True
        library.mallopt(_MMAP_THRESHOLD, large)
        library.mallopt(_TRIM_THRESHOLD, top)

    @contextlib.contextmanager
    def used_again(self) -> Iterator[None]:
        """Let arrays take the memory of earlier ones meanwhile, and give back what is free afterwards."""
        library = _libc() if self._set else None  # where nobody asked for few heaps, they are as they are
        if library is None:
            yield
            return
        with self._lock:
            if self._asked == 0:
                self.apply(library, *USED_AGAIN)
            self._asked += 1
        try:
            yield
        finally:
            with self._lock:
                self._asked -= 1
                if self._asked == 0 or time.monotonic() - self._given >= OVERLAP:
                    self.apply(library, LARGE, TOP)
                    bytearray(LARGE // 2)  # freed, it makes this thread's heap return its end, which a trim cannot
                    library.malloc_trim(0)
                    self._given = time.monotonic()
                if self._asked:
                    self.apply(library, *USED_AGAIN)


_heaps = _Heaps()


def memory_used_again() -> contextlib.AbstractContextManager[None]:
    """Let the arrays of an answer take the same memory again and again until it is there; then it is given back.

    A page of memory that the system gives is cleared first. The arrays of an answer are made by the hundred, of up to
    20 MiB and for milliseconds: mapped each anew, clearing them took as long as computing with them.
    """
    return _heaps.used_again()


def give_back() -> None:
    """Collect what refers to itself, sessions first of all, and return free memory to the system."""
    gc.collect()
    library = _libc()
    if library is not None:
        library.malloc_trim(0)


def settle() -> None:
    """Take what is there for good, modules above all, out of all later collections.

    Once in some twenty answers there are enough new objects for a full collection. Through all that torch and the pages
    are made of it took 200 to 300 ms, in which nobody was served; through the rest it takes 15.
    """
    gc.collect()
    gc.freeze()


def forget() -> None:
    """Drop what is kept of answers for all visitors; each is computed anew when it is asked for."""
    import streamlit as st

    gc.unfreeze()  # what a visitor had while the rest was settled is looked at again
    st.cache_resource.clear()
    recent.forget()
    bounded = [one for one in gc.get_objects() if type(one) is functools._lru_cache_wrapper]
    for one in bounded:  # those without a limit hold what there is once: pools, tables, files
        if str(one.__module__).startswith("sdqviz.") and one.cache_parameters()["maxsize"] is not None:
            one.cache_clear()


class Housekeeper:
    """Looks after one process.

    Attributes
    ----------
    left : dict
        Sessions that have gone and may come back for a while, by name.
    """

    def __init__(self) -> None:
        self.left: dict[str, Any] = {}
        self._busy = time.monotonic()
        self._given = -math.inf
        self._dirty = self._empty = False

    async def work(self) -> None:
        """Make a round now and then, until cancelled."""
        while True:
            await asyncio.sleep(EVERY)
            self.sessions()
            await asyncio.to_thread(self.memory)

    def sessions(self) -> None:
        """Drop sessions that did not come back in time, with their files; on the server's own thread.

        Streamlit lets them expire, but removes them only when the next visitor leaves; and it keeps 128 of them, which
        with a result of a network each are hundreds of MB.
        """
        from streamlit.runtime import Runtime

        if not Runtime.exists():
            return
        sessions: Any = Runtime.instance()._session_mgr
        storage: Any = sessions._session_storage  # type: ignore[attr-defined]
        away = [one.session for one in storage.list()]  # those that left first come first
        for session in away[: max(0, len(away) - AWAY)]:
            self.left[session.id] = session
            storage.delete(session.id)
        known = {one.session.id: one.session for one in sessions.list_sessions()}
        if sessions.num_active_sessions():
            self._busy, self._empty = time.monotonic(), False
        for name, session in self.left.items():
            if name not in known:
                session.shutdown()
                self._dirty = True
        self.left = {name: one for name, one in known.items() if not sessions.is_active_session(name)}
        len(storage._cache)  # asked for its length, it lets go of what has expired

    def memory(self) -> None:
        """Give back what is free, once a visitor has left; what all shared too, when nobody has been here for long."""
        if not self._empty and time.monotonic() - self._busy > QUIET:
            forget()
            self._dirty = self._empty = True
            self._given = -math.inf  # nobody is kept waiting
        if self._dirty and time.monotonic() - self._given >= BETWEEN:
            self._dirty, self._given = False, time.monotonic()
            give_back()
            if self._empty:
                settle()
