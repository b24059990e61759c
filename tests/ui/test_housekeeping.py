"""What visitors leave behind is dropped, and memory returns to the system."""

import functools
import gc
import subprocess
import sys
import time
import weakref

import numpy as np
import pytest
from streamlit.runtime import Runtime
from streamlit.runtime.memory_session_storage import MemorySessionStorage

from sdqviz.recent import Recent
from sdqviz.ui import housekeeping
from sdqviz.ui.housekeeping import Housekeeper


class Session:
    """Stands where Streamlit keeps a session: a name, something large, and how it was ended."""

    def __init__(self, name):
        self.id, self.ended, self.myself = name, 0, self  # a circle, as in Streamlit's

    def shutdown(self):
        self.ended += 1


@pytest.fixture
def visitors(monkeypatch):
    """Streamlit's own storage of sessions that may come back, for 50 ms, with a list of those that are here."""

    class Sessions:
        _session_storage = MemorySessionStorage(ttl_seconds=0.05)
        here: list = []  # noqa: RUF012

        def num_active_sessions(self):
            return len(self.here)

        def is_active_session(self, name):
            return any(one.session.id == name for one in self.here)

        def list_sessions(self):
            return [*self.here, *self._session_storage.list()]

        def leaves(self, info):
            self.here.remove(info)
            self._session_storage.save(info)

    class Info:
        def __init__(self, name):
            self.session = Session(name)

    made = Sessions()
    made.here = [Info("a"), Info("b")]

    class One:
        _session_mgr = made

    monkeypatch.setattr(Runtime, "exists", staticmethod(lambda: True))
    monkeypatch.setattr(Runtime, "instance", staticmethod(lambda: One))
    return made


def test_a_session_that_does_not_come_back_is_ended_and_its_memory_is_free(visitors):
    keeper = Housekeeper()
    keeper.sessions()
    session = weakref.ref(visitors.here[0].session)
    visitors.leaves(visitors.here[0])
    keeper.sessions()
    assert session().ended == 0 and list(keeper.left) == ["a"], "it may still come back"
    time.sleep(0.06)
    keeper.sessions()
    keeper.memory()
    assert session() is None and keeper.left == {}
    assert visitors.here[0].session.ended == 0


@pytest.mark.parametrize("seen", [False, True])
def test_of_many_that_left_the_last_are_kept(visitors, monkeypatch, seen):
    monkeypatch.setattr(housekeeping, "AWAY", 1)
    visitors._session_storage._cache = MemorySessionStorage(ttl_seconds=60)._cache
    keeper, (first, second) = Housekeeper(), list(visitors.here)
    visitors.leaves(first)
    if seen:
        keeper.sessions()
    visitors.leaves(second)
    keeper.sessions()
    assert (first.session.ended, second.session.ended) == (1, 0) and list(keeper.left) == ["b"]
    keeper.sessions()
    assert (first.session.ended, second.session.ended) == (1, 0), "once is enough"


def test_memory_is_let_be_for_a_while_after_it_was_given_back(visitors, monkeypatch):
    given = []
    monkeypatch.setattr(housekeeping, "give_back", lambda: given.append(1))
    keeper = Housekeeper()
    for name in list(visitors.here):
        visitors.leaves(name)
        keeper.sessions()
        time.sleep(0.06)
        keeper.sessions()
        keeper.memory()
    assert len(given) == 1 and keeper._dirty
    keeper._given -= housekeeping.BETWEEN
    keeper.memory()
    assert len(given) == 2 and not keeper._dirty


def test_when_nobody_has_been_here_for_long_memory_is_given_back_at_once(visitors, monkeypatch):
    monkeypatch.setattr(housekeeping, "QUIET", 0.0)
    given = []
    monkeypatch.setattr(housekeeping, "give_back", lambda: given.append(1))
    keeper = Housekeeper()
    keeper._given, keeper._busy = time.monotonic(), keeper._busy - 1
    keeper.memory()
    assert given and gc.get_freeze_count() > 10_000


def test_what_all_share_is_dropped_when_nobody_has_been_here_for_long(visitors, monkeypatch):
    monkeypatch.setattr(housekeeping, "QUIET", 0.0)
    kept = Recent(3)
    kept.put("a", "answer")
    keeper = Housekeeper()
    keeper.sessions()
    keeper._busy += 60
    keeper.memory()
    assert kept.get("a") == "answer", "somebody is here"
    keeper._busy -= 120
    keeper.memory()
    assert kept.get("a") is None


@pytest.fixture(autouse=True)
def unsettled():
    yield
    gc.unfreeze()


class Knot:
    """Refers to itself: only a collection finds that nobody else does."""

    def __init__(self):
        self.own = self


def test_what_is_there_for_good_is_left_out_of_collections_until_nobody_is_here():
    knot = Knot()
    seen = weakref.ref(knot)
    housekeeping.settle()
    assert gc.get_freeze_count() > 10_000
    later = Knot()
    fresh = weakref.ref(later)
    del knot, later
    gc.collect()
    assert fresh() is None and seen() is not None
    housekeeping.forget()
    housekeeping.give_back()
    assert seen() is None and gc.get_freeze_count() == 0


@pytest.mark.parametrize("settled", [False, True])
def test_only_what_can_be_computed_again_is_forgotten(settled):
    def calls():
        return object()

    calls.__module__ = "sdqviz.of_a_test"
    bounded, once = functools.lru_cache(4)(calls), functools.cache(calls)
    foreign = functools.lru_cache(4)(object)
    before = bounded(), once(), foreign()
    if settled:
        housekeeping.settle()
    housekeeping.forget()
    after = bounded(), once(), foreign()
    assert [one is other for one, other in zip(before, after, strict=True)] == [False, True, True]


def test_streamlit_has_what_is_used_of_it():
    from streamlit.runtime.app_session import AppSession
    from streamlit.runtime.websocket_session_manager import WebsocketSessionManager

    manager = WebsocketSessionManager(MemorySessionStorage(), None, None, None)
    assert manager.num_active_sessions() == 0 and manager.list_sessions() == []
    assert len(manager._session_storage._cache) == 0 and not manager.is_active_session("a")
    assert callable(AppSession.shutdown)


USED_AGAIN = """
import resource, threading
import numpy as np
from sdqviz.ui import housekeeping

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096

def work(times):  # arrays of one answer: made, used and freed
    for _ in range(times):
        held = [np.ones(size >> 3) for size in (1 << 19, 4 << 20, 16 << 20)]
    return sum(one[0] for one in held)

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    work(20)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def measure():
    work(3)
    with housekeeping.memory_used_again():
        with housekeeping.memory_used_again():  # a second visitor
            work(3)
        inside, before = faults(), resident()
    returned = before - resident()
    print(inside, returned, faults(), overlapped())

def overlapped():  # of two answers at once the one that ends later
    with housekeeping.memory_used_again():
        work(3)
        housekeeping.OVERLAP, before = 1e9, resident()
        with housekeeping.memory_used_again():
            pass
        kept, housekeeping.OVERLAP = before - resident(), 0.0
        with housekeeping.memory_used_again():
            pass
        return f"{kept} {before - resident()}"

housekeeping.few_heaps()
thread = threading.Thread(target=measure)
thread.start()
thread.join()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's")
def test_arrays_of_an_answer_take_the_same_memory_again_and_it_is_given_back():
    done = subprocess.run([sys.executable, "-c", USED_AGAIN], capture_output=True, text=True, check=True, timeout=120)
    inside, returned, after, kept, given = map(int, done.stdout.split())
    pages = 20 * (20 << 20) / 4096
    assert inside < pages / 20, "pages were returned and cleared again"
    assert returned > 3e6 and after > pages / 20, "what is freed is returned at once, as before"  # some pages are huge
    assert kept < 1e6 and given > 3e6, "while another answer is computed it is returned too, now and then"


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's")
def test_free_memory_returns_to_the_system():
    def resident():
        with open("/proc/self/statm") as file:  # noqa: PTH123
            return int(file.read().split()[1]) * 4096

    held = [np.ones(12_000) for _ in range(1500)]  # 96 kB each: taken from the heap, 144 MB
    last = np.ones(100)
    before = resident()
    del held
    gc.collect()
    housekeeping.give_back()
    assert resident() < before - 100e6 and last.sum() == 100
