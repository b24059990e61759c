import gc
import os
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from sdqviz.error import InputError
from sdqviz.progress import report, stop_if
from sdqviz.ui.job import BEHIND, Job, stop_all


def wait(job, seconds=5.0):
    end = time.monotonic() + seconds
    while job.running:
        assert time.monotonic() < end, "the job did not end"
        time.sleep(0.01)


def test_result_and_what_it_was_made_for():
    job = Job()
    job.start(lambda progress, should_stop: 42, tag=("frame", 8))
    wait(job)
    assert (job.result, job.made_for, job.problem) == (42, ("frame", 8), "")


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere threads have no priority of their own")
def test_long_work_and_the_threads_it_starts_stand_behind_pages():
    def priorities(progress, should_stop):
        with ThreadPoolExecutor(1) as pool:
            return priority(), pool.submit(priority).result()

    def priority():
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    job, lasting, mine = Job(), Job(lasting=True), priority()
    for one in (job, lasting):
        one.start(priorities)
        wait(one)
        assert one.result == (min(mine + BEHIND, 19),) * 2 and priority() == mine


def test_progress_is_told_with_an_estimate():
    job, go = Job(), threading.Event()

    def work(progress, should_stop):
        time.sleep(0.6)
        report(progress, 1, 4, "layer hidden1")
        go.wait(5)

    job.start(work)
    while job.status()[0] == 0:
        time.sleep(0.01)
    fraction, line = job.status()
    go.set()
    assert fraction == 0.25 and line.startswith("layer hidden1 (1 of 4, about ") and line.endswith(" s left)")
    wait(job)


def test_cancel_is_idle_at_once_and_keeps_the_previous_result():
    job, began, ended = Job(), threading.Event(), threading.Event()
    job.start(lambda progress, should_stop: "first")
    wait(job)

    def endless(progress, should_stop):
        began.set()
        try:
            while True:
                stop_if(should_stop)
                time.sleep(0.01)
        finally:
            ended.set()

    job.start(endless)
    assert began.wait(5.0) and job.running
    job.cancel()
    assert not job.running
    assert ended.wait(2.0)
    assert job.result == "first" and "Cancelled" in job.problem


def test_an_input_error_becomes_its_sentence():
    job = Job()

    def work(progress, should_stop):
        raise InputError("size must be at least 9, got 8")

    job.start(work)
    wait(job)
    assert job.problem == "size must be at least 9, got 8" and job.result is None


def test_a_new_start_drops_the_late_result_of_the_old():
    job, go = Job(), threading.Event()

    def late(progress, should_stop):
        go.wait(5)
        return "old"

    job.start(late)
    go_new = threading.Timer(0.05, go.set)
    go_new.start()
    job.start(lambda progress, should_stop: "new")
    wait(job)
    time.sleep(0.2)
    assert job.result == "new" and not job.running


def until_stopped(began, ended):
    def work(progress, should_stop):
        began.set()
        try:
            while True:
                report(progress, 1, 2, "working")
                stop_if(should_stop)
                time.sleep(0.01)
        finally:
            ended.set()

    return work


def test_lasting_work_keeps_no_short_work_waiting():
    lasting, short = Job(lasting=True), Job()
    began, ended = threading.Event(), threading.Event()
    lasting.start(until_stopped(began, ended))
    assert began.wait(5.0)
    short.start(lambda progress, should_stop: "done")
    wait(short)
    assert short.result == "done" and lasting.running
    lasting.cancel()
    assert ended.wait(2.0)


def test_work_of_a_session_that_is_gone_stops():
    job, began, ended = Job(lasting=True), threading.Event(), threading.Event()
    job.start(until_stopped(began, ended))
    assert began.wait(5.0)
    del job
    gc.collect()
    assert ended.wait(2.0)


def test_all_work_stops_with_the_server():
    job, began, ended = Job(lasting=True), threading.Event(), threading.Event()
    job.start(until_stopped(began, ended))
    assert began.wait(5.0)
    stop_all()
    assert ended.wait(2.0) and not job.running
