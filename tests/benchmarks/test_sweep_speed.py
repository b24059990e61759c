"""A sweep of 300 runs: two workers against one, the same again from the store, and what a resumed sweep does anew."""

import contextlib
import os
import subprocess
import sys
import time

import psutil
import pytest

from sdqviz.experiments.run_store import RunStore
from sdqviz.experiments.sweep import Plan

GOAL, RERUN_SECONDS = 1.7, 2.0

PLAN = """
calibration = 512
[[runs]]
network = ["mnist-fnn", "mnist-residual"]
network_choices = { seed = [0, 1, 2] }
method = "frame"
choices = { bits = [1, 2], redundancy = [1.25, 1.5, 2.0, 3.0, 4.0], step_rule = "range-column" }
seed = [0, 1, 2, 3, 4]
"""


def sweep(folder, name, jobs):
    """Return the seconds of ``sdqviz sweep``, those its busiest process computed, and its last line."""
    command = [sys.executable, "-m", "sdqviz.cli.main", "sweep", str(folder / "plan.toml"), "--jobs", str(jobs)]
    busy = {}
    begun = time.perf_counter()
    with (folder / "out.txt").open("w") as out:
        process = subprocess.Popen([*command, "--store", str(folder / f"{name}.sqlite")], stdout=out)
        while process.poll() is None:
            with contextlib.suppress(psutil.Error):
                for child in psutil.Process(process.pid).children(recursive=True):
                    used = child.cpu_times()
                    busy[child.pid] = used.user + used.system
            time.sleep(0.05)
    seconds = time.perf_counter() - begun
    assert process.returncode == 0
    return seconds, max(busy.values(), default=0.0), (folder / "out.txt").read_text().splitlines()[-1]


@pytest.mark.slow
def test_two_workers_against_one_and_a_rerun_from_the_store(tmp_path, record_property):
    (tmp_path / "plan.toml").write_text(PLAN)
    assert len(Plan.read(tmp_path / "plan.toml")) == 300
    one, busy_one, told = sweep(tmp_path, "one", 1)
    assert "300 runs: 300 done now" in told
    two, busy_two, _ = sweep(tmp_path, "two", 2)
    again, _, told = sweep(tmp_path, "two", 2)
    assert "300 runs: 0 done now" in told and "300 from the store" in told
    load = os.getloadavg()[0]
    print(f"\n300 runs: one worker {one:.1f} s, two {two:.1f} s, {one / two:.2f}× (goal {GOAL}×)")
    print(f"computing: one worker {busy_one:.1f} s, the busier of two {busy_two:.1f} s, {busy_one / busy_two:.2f}×")
    print(f"again from the store: {again:.2f} s (goal {RERUN_SECONDS} s); load average {load:.1f}")
    figures = {"speed-up": one / two, "speed-up of computing": busy_one / busy_two, "rerun seconds": again}
    for key, value in (figures | {"load average": load}).items():
        record_property(key, round(value, 2))
    with RunStore(tmp_path / "one.sqlite") as left, RunStore(tmp_path / "two.sqlite") as right:
        assert {run.key: run.figures() for run in left.runs()} == {run.key: run.figures() for run in right.runs()}
    # other work on the computer takes its share of the clock, not of the time that a process computes
    assert busy_one / busy_two >= GOAL and again <= RERUN_SECONDS
