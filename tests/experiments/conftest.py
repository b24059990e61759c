"""What the tests of sweeps share: plans, a sweep that is done once, and how worker processes are watched."""

import contextlib
import os
import socket
import subprocess
import sys
import time
import types

import psutil
import pytest

from sdqviz.experiments import sweep
from sdqviz.experiments.run_store import RunStore
from sdqviz.experiments.sweep_plan import Plan

SMALL = {
    "network": "mnist-fnn",
    "calibration": 64,
    "runs": [
        {"method": "round-to-nearest", "choices": {"bits": [1, 2]}},
        {"method": "frame", "choices": {"size": [256, 300], "bits": [1, 2]}},  # there is no harmonic frame of size 256
        {"method": "spfq", "choices": {"bits": 3, "fit": "mse"}, "seed": [0, 1]},
    ],
}
"""Eight runs, two of which cannot be done."""

SLOW = {
    "network": "mnist-fnn",
    "calibration": 256,
    "runs": [{"method": "gpfq", "choices": {"bits": 2, "order": 1000, "refinement": 100}, "seed": list(range(10))}],
}
"""Ten runs, each of many seconds."""

LONG = {
    "network": "mnist-fnn",
    "calibration": 64,
    "runs": [{"method": "spfq", "choices": {"bits": [2, 3], "fit": "mse"}, "seed": [0, 1, 2]}],
}
"""Six runs, each of about a second."""


def figures(result):
    return [run.figures() for run in result.runs]


def do(folder, plan=SMALL, name="runs.sqlite", **options):
    with RunStore(folder / name) as store:
        return sweep.run(Plan.from_dict(plan), store, **options)


def workers():
    """Worker processes of this one; loky also starts a process that looks after shared memory."""
    found = []
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.Error):
            if "popen_loky" in " ".join(child.cmdline()):
                found.append(child)
    return found


def wait_for(condition, seconds=60.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


@pytest.fixture(scope="session")
def sweeping():
    """Plans and functions for tests of sweeps."""
    return types.SimpleNamespace(
        SMALL=SMALL, SLOW=SLOW, LONG=LONG, do=do, figures=figures, workers=workers, wait_for=wait_for
    )


@pytest.fixture(scope="session")
def small(tmp_path_factory):
    """The small plan on two workers: its folder, its result, and what was told of its progress."""
    folder, told = tmp_path_factory.mktemp("sweep"), []
    result = do(folder, jobs=2, progress=lambda *at: told.append(at))
    return types.SimpleNamespace(folder=folder, result=result, told=told)


class Cluster:
    """A Dask scheduler and its workers, each a process of its own on this computer."""

    def __init__(self, folder, wait_for):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.address, self.folder = f"tcp://127.0.0.1:{port}", folder
        self.processes = [self._start("scheduler", "--port", str(port), "--no-show")]
        wait_for(lambda: self._answers(port))
        self.workers = []

    def _answers(self, port):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
        return False

    def _start(self, *arguments):
        here = ["--host", "127.0.0.1", "--dashboard-address", "127.0.0.1:0"]
        log = (self.folder / "log.txt").open("ab")
        environment = {**os.environ, **sweep.ONE_THREAD}
        command = [sys.executable, "-m", "dask", *arguments, *here]
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment, cwd=self.folder)
        log.close()
        return process

    def add_worker(self, *options):
        place = ["--local-directory", str(self.folder)]
        self.workers.append(self._start("worker", self.address, "--nthreads", "1", "--no-nanny", *place, *options))

    def close(self):
        for process in [*self.workers, *self.processes]:
            process.kill()
            process.wait()


@pytest.fixture
def cluster(tmp_path, sweeping):
    made = Cluster(tmp_path, sweeping.wait_for)
    yield made
    made.close()
