"""Sweeps on a Dask cluster: the same rows as on one computer, and none lost with a worker."""

import gc
import signal
import time

import psutil
import pytest

import sdqviz as sq
from sdqviz.error import InputError, Stopped
from sdqviz.experiments import sweep


@pytest.mark.slow
def test_a_cluster_gives_the_same_rows_and_loses_none_when_a_worker_is_killed(small, cluster, tmp_path, sweeping):
    cluster.add_worker()
    cluster.add_worker()
    plan = {**sweeping.LONG, "runs": [*sweeping.SMALL["runs"], *sweeping.LONG["runs"]]}
    killed = []

    def kill_one(done, *_):
        if done == 4 and not killed:
            cluster.workers[0].send_signal(signal.SIGKILL)
            killed.append(done)

    result = sweeping.do(tmp_path, plan, dask=cluster.address, progress=kill_one)
    assert killed and cluster.workers[0].wait(5) == -signal.SIGKILL
    assert result.computed == len(result.runs) == 12 and sweeping.figures(result)[:8] == sweeping.figures(small.result)
    assert [run.problem for run in result.runs[8:]] == [""] * 4
    assert sweeping.do(tmp_path, plan, dask=cluster.address).computed == 0


@pytest.mark.slow
def test_a_stop_reaches_the_workers_of_a_cluster(cluster, tmp_path, sweeping):
    cluster.add_worker()
    worker = psutil.Process(cluster.workers[0].pid)
    begun = time.monotonic()

    def busy():
        return time.monotonic() > begun + 1 and worker.cpu_times().user > 6

    with pytest.raises(Stopped):
        sweeping.do(tmp_path, sweeping.SLOW, dask=cluster.address, should_stop=busy)

    def idle():
        before = worker.cpu_times().user
        time.sleep(0.5)
        return worker.cpu_times().user - before < 0.2

    sweeping.wait_for(idle, 10)


def test_workers_of_another_version_are_refused_in_one_sentence(cluster, tmp_path, sweeping):
    other = tmp_path / "other_version.py"
    other.write_text("from sdqviz import version\nversion.__version__ = '0.0.1'\n")
    cluster.add_worker("--preload", str(other))
    import distributed

    with distributed.Client(cluster.address, set_as_default=False) as client:
        client.wait_for_workers(1)
    with pytest.raises(
        InputError, match=rf"workers must have sdqviz {sq.__version__} as the sweep has, got 0.0.1 on tcp"
    ):
        sweeping.do(tmp_path, dask=cluster.address)


def clients():
    """Return how many clients of clusters there are, whether anybody still holds them or not."""
    import distributed

    return sum(type(one) is distributed.Client for one in gc.get_objects())


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:9", "nonsense://x", "", "127.0.0.1"])
def test_an_address_without_a_scheduler_is_refused(tmp_path, address, monkeypatch, sweeping):
    monkeypatch.setattr(sweep, "CONNECT", 0.5)
    before = clients()
    with pytest.raises(InputError, match="dask must be the address of a running scheduler, got"):
        sweeping.do(tmp_path, dask=address)
    # a client that came to nothing must not be collected while another one starts: the two would wait forever
    assert clients() <= before
