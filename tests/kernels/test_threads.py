"""Work in pieces on kept threads: who does it, when it ends, and what does not stay behind."""

import functools
import gc
import os
import subprocess
import sys
import textwrap
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor

import numba
import pytest
from threadpoolctl import threadpool_info

from sdqviz.kernels.threads import set_threads, spread, threads

ALL, PATIENCE = numba.config.NUMBA_NUM_THREADS, 20.0

pytestmark = pytest.mark.skipif(ALL < 2, reason="there is one core")


@pytest.fixture(autouse=True)
def two_threads():
    before = threads()
    set_threads(2)
    yield
    assert threads() == 2
    set_threads(before)


def who(piece=None):
    time.sleep(0.002)  # time enough for a helper to wake up
    return threading.get_ident()


def together(barrier, piece):
    """Two pieces that are done at the same time, and on different threads."""
    barrier.wait(PATIENCE)
    return threading.get_ident()


def both_at_once():
    return list(spread(functools.partial(together, threading.Barrier(2)), range(2)))


def blas_threads():
    return [found["num_threads"] for found in threadpool_info() if found["user_api"] == "blas"]


def test_results_come_in_the_order_of_the_pieces():
    delays = [0.03, 0.0, 0.02, 0.0, 0.01, 0.0]
    assert list(spread(lambda piece: time.sleep(delays[piece]) or piece, range(6))) == list(range(6))
    assert list(spread(abs, [])) == [] and list(spread(abs, [-1])) == [1]


def test_the_caller_works_too_and_threads_are_kept():
    first = both_at_once()
    assert len(set(first)) == 2 and threading.get_ident() in first
    running = threading.active_count()
    others = {one for _ in range(20) for one in spread(who, range(6))} - {threading.get_ident()}
    assert len(others) <= threads() and threading.active_count() <= running + 1


def test_one_thread_does_all_itself():
    set_threads(1)
    assert {*spread(who, range(5))} == {threading.get_ident()}
    set_threads(2)


def test_a_result_is_there_before_the_others_are_done():
    go = threading.Event()
    pieces = spread(lambda piece: piece == 0 or go.wait(PATIENCE), range(2))
    assert next(pieces) is True and not go.is_set()
    go.set()
    assert list(pieces) == [True]


def test_a_piece_that_spreads_others_does_them_on_its_own_thread():
    def piece(_):
        assert threads() == 1
        return {threading.get_ident()} == {*spread(who, range(3))}

    assert all(spread(piece, range(8)))


def test_kernels_and_blas_take_one_thread_meanwhile():
    before = blas_threads()
    pieces = spread(lambda _: (threads(), *blas_threads()), range(4))
    assert {*next(pieces)} == {1} and threads() == 2
    assert all({*found} == {1} for found in pieces)
    assert blas_threads() == before


LATER = """
    from sdqviz.kernels.threads import one_blas_thread
    import numpy as np, threadpoolctl

    with one_blas_thread():  # the first to ask, when scipy's BLAS need not be there yet
        from scipy.linalg import cython_lapack
        found = [one for one in threadpoolctl.threadpool_info() if one["user_api"] == "blas"]
        assert len(found) >= 2 and all(one["num_threads"] == 1 for one in found), found
    """


def test_the_blas_of_scipy_takes_one_thread_too_whenever_it_is_loaded():
    subprocess.run([sys.executable, "-c", textwrap.dedent(LATER)], check=True)


def test_many_callers_share_the_helpers():
    def call(first):
        return [sum(spread(lambda piece: piece + who() * 0, range(first, first + 5))) for _ in range(20)]

    before = threading.active_count()
    with ThreadPoolExecutor(8) as callers:
        found = [callers.submit(call, first) for first in range(8)]
        assert [one.result(PATIENCE) for one in found] == [[5 * first + 10] * 20 for first in range(8)]
    assert threading.active_count() <= before + threads()


def test_a_caller_gets_on_where_all_helpers_are_busy_and_leaves_nothing_with_them():
    busy, go = threading.Barrier(ALL + 1), threading.Event()

    def hold(_):
        busy.wait(PATIENCE)
        return go.wait(PATIENCE)

    class Load:
        def touched(self, piece):
            return who()

    set_threads(ALL)
    with ThreadPoolExecutor(1) as other:
        held = other.submit(lambda: list(spread(hold, range(ALL))))
        busy.wait(PATIENCE)
        load = Load()
        assert {*spread(load.touched, range(3))} == {threading.get_ident()}
        gone = weakref.ref(load)
        del load
        assert gone() is None  # though helpers may still find that they were asked
        go.set()
        assert held.result(PATIENCE) == [True] * ALL
    set_threads(2)


def test_what_has_not_begun_is_given_up_and_what_has_is_waited_for():
    begun, ended, started = [], [], threading.Barrier(2)

    def piece(place):
        begun.append(place)
        if place < 2:
            started.wait(PATIENCE)
        if place == 1:
            time.sleep(0.1)
        ended.append(place)

    before, pieces = blas_threads(), spread(piece, range(50))
    next(pieces)
    pieces.close()
    assert sorted(begun) == sorted(ended) and len(begun) < 50 and blas_threads() == before
    time.sleep(0.05)
    assert sorted(begun) == sorted(ended)


def test_nothing_begins_before_it_is_asked_for():
    begun = []
    pieces = spread(begun.append, range(3))
    time.sleep(0.02)
    assert begun == []
    pieces.close()
    assert begun == []


def test_an_error_comes_in_its_turn_and_stops_the_rest():
    begun = []

    def piece(place):
        begun.append(place)
        time.sleep(0.005)
        if place in (2, 3):
            raise ValueError(f"piece {place}")
        return place

    pieces, before = spread(piece, range(40)), blas_threads()
    assert [next(pieces), next(pieces)] == [0, 1]
    with pytest.raises(ValueError, match="piece 2"):
        next(pieces)
    assert len(begun) < 10 and blas_threads() == before
    assert len(set(both_at_once())) == 2  # the helpers are still there


def test_an_error_is_not_kept():
    class Failure(Exception):
        pass

    def piece(place):
        who()
        raise Failure

    gc.disable()
    try:
        for _ in range(20):
            try:
                list(spread(piece, range(2)))
            except Failure as error:
                gone = weakref.ref(error)
            assert gone() is None
    finally:
        gc.enable()


def test_an_interrupt_does_not_wait_for_its_turn():
    main, go = threading.get_ident(), threading.Event()

    def piece(place):
        if threading.get_ident() == main:
            go.set()
            raise KeyboardInterrupt
        return go.wait(PATIENCE)

    with pytest.raises(KeyboardInterrupt):
        list(spread(piece, range(100)))
    assert len(set(both_at_once())) == 2


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere threads have no priority of their own")
def test_helpers_have_the_priority_of_whom_they_help():
    def priority():
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    def priorities():
        barrier = threading.Barrier(2)
        return list(spread(lambda _: (together(barrier, None), priority()), range(2)))

    def behind():
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), mine + 1)
        return priorities()

    mine = priority()
    if mine >= 19:
        pytest.skip("nothing stands behind this process")
    before = priorities()
    with ThreadPoolExecutor(1) as pool:
        stepped_back = pool.submit(behind).result(PATIENCE)
    after = priorities()
    assert {found for _, found in stepped_back} == {mine + 1}
    assert {found for _, found in (*before, *after)} == {mine}
    assert not {who for who, _ in stepped_back} & {who for who, _ in (*before, *after)}


FORKED = """
    import os, threading
    from sdqviz.kernels.threads import set_threads, spread

    set_threads(2)

    def both():
        barrier = threading.Barrier(2)
        return list(spread(lambda piece: barrier.wait(20) is not None and piece, range(2))) == [0, 1]

    assert both()
    child = os.fork()
    if child == 0:
        os._exit(0 if both() and both() else 1)
    assert os.waitpid(child, 0)[1] == 0 and both()
    child = os.fork()
    if child:
        assert os.waitpid(child, 0)[1] == 0
        print("survived")
    else:
        assert both()  # and ends as any process does
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are not forked here")
def test_a_forked_process_has_threads_of_its_own():
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(FORKED)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert run.returncode == 0 and run.stdout == "survived\n", run.stderr
