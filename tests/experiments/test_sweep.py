"""Sweeps: the same results wherever they run, and nothing that is finished is lost or done twice."""

import contextlib
import json
import re
import shutil
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import psutil
import pytest

import sdqviz as sq
from sdqviz import asset
from sdqviz.error import InputError, Stopped
from sdqviz.experiments import sweep, sweep_worker
from sdqviz.experiments.run_file import read_runs
from sdqviz.experiments.run_store import RunStore
from sdqviz.experiments.sweep import Limits
from sdqviz.methods import METHODS

# a worker whose memory has grown is replaced by joblib, with a warning; nothing is lost by it
pytestmark = pytest.mark.filterwarnings("ignore:A worker stopped while some jobs were given to the executor")


def test_every_run_has_its_row_and_every_failure_its_reason(small):
    result = small.result
    assert (result.computed, result.reused, len(result.runs)) == (8, 0, 8)
    assert [run.problem for run in result.failures] == [
        "layer hidden1: size must be at least 257 for dimension 256, got 256: an even-dimensional harmonic frame with "
        "N = d is singular"
    ] * 2
    network = sq.NETWORKS["mnist-fnn"]().load()
    for run in result.runs:
        if run.report is not None:
            direct = sq.compress(network, METHODS.from_dict(run.method), run.calibration, run.seed).report
            assert run.report.accuracy_after == direct.accuracy_after
            assert run.report.relative_output_error == pytest.approx(direct.relative_output_error, rel=1e-12)
            assert run.report.bytes == direct.bytes and run.seconds > 0 and run.version == sq.__version__


@pytest.mark.slow
def test_one_worker_that_is_killed_on_the_way_gives_bit_for_bit_what_two_give(small, tmp_path, sweeping):
    killed = []

    def kill_one(done, *_):
        if done == 2 and not killed:
            killed.append(sweeping.workers()[0])
            killed[0].kill()

    result = sweeping.do(tmp_path, jobs=1, progress=kill_one)
    assert killed and result.computed == 8 and sweeping.figures(result) == sweeping.figures(small.result)


def test_what_is_in_the_store_costs_nothing(small, sweeping):
    again_told, seen = [], []

    def look():
        seen.extend(sweeping.workers())
        return False

    again = sweeping.do(small.folder, jobs=2, progress=lambda *at: again_told.append(at), should_stop=look)
    assert not seen and not sweeping.workers(), "no process was started for it"
    assert (again.computed, again.reused) == (0, 8)
    assert [run.to_dict() for run in again.runs] == [run.to_dict() for run in small.result.runs]
    assert again_told == [(8, 8, "8 runs, 8 of them in the store")]


@pytest.mark.slow
def test_failed_runs_are_tried_again_only_when_asked(small, tmp_path, sweeping):
    shutil.copy(small.folder / "runs.sqlite", tmp_path)
    again = sweeping.do(tmp_path, retry=True)
    assert (again.computed, again.reused) == (2, 6)
    changed = [
        new.problem for new, old in zip(again.runs, small.result.runs, strict=True) if new.seconds != old.seconds
    ]
    assert changed == [run.problem for run in small.result.failures], "those that failed, and no other, took new time"


def test_progress_counts_the_runs(small):
    told = small.told
    assert [at[:2] for at in told] == [(done, 8) for done in range(9)]
    assert told[0][2] == "8 runs, 0 of them in the store"
    assert {re.sub(r"run \d of 8: ", "", message) for _, _, message in told[1:]} == {
        f"mnist-fnn 0, {run.label}" for run in small.result.runs
    }


@pytest.mark.parametrize("jobs", [0, -1, 257, 1.5, True])
def test_a_number_of_workers_that_makes_no_sense_is_refused(tmp_path, jobs, sweeping):
    with pytest.raises(InputError, match="jobs must be a whole number from 1 to 256"):
        sweeping.do(tmp_path, jobs=jobs)


def test_a_network_that_cannot_be_had_is_a_row_with_the_reason(tmp_path, monkeypatch, sweeping):
    monkeypatch.setattr(asset, "folder", lambda: tmp_path)  # an installation without its files
    result = sweeping.do(tmp_path, {"network": "mnist-fnn", "runs": [{"method": "frame"}]})
    assert re.match("asset manifest.json must be readable .*: install sdqviz again", result.runs[0].problem)


# -- guards -------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_run_beyond_its_limits_is_a_row_with_the_reason_and_the_others_go_on(small, tmp_path, sweeping):
    slow = dict(sweeping.SLOW["runs"][0], seed=0)
    huge = {"method": "round-to-nearest", "calibration": 60_000}  # two arrays of 179 MiB, and more
    plan = sweeping.SMALL | {"runs": [*sweeping.SMALL["runs"], slow, huge]}
    result = sweeping.do(tmp_path, plan, jobs=1, limits=Limits(seconds=2.0, memory=170.0))
    *fine, late, large = result.runs
    assert re.match(r"the run must end within 2 s, got \d+\.\d s: it was stopped", late.problem)
    assert late.seconds > 2.0
    assert "the run must add at most 170 MiB to its process, got " in large.problem
    assert [run.figures() for run in fine] == sweeping.figures(small.result), (
        "one worker gives bit for bit what two give"
    )


def test_memory_that_comes_at_once_is_refused_before_it_is_taken():
    with sweep_worker.memory_limited(Limits(memory=50.0)):
        assert np.ones(1 << 20).sum() == 1 << 20
        with pytest.raises(MemoryError) as caught:
            np.ones(1 << 24)
    assert sweep_worker.out_of_memory(caught.value, Limits(memory=50.0)).startswith(
        "the run must add at most 50 MiB to its process, got Unable to allocate 128. MiB"
    )
    assert np.ones(1 << 24).size == 1 << 24, "the next run may take it"


def test_memory_that_comes_in_small_pieces_is_seen_too():
    guard = sweep_worker.Guard(Limits(memory=40.0), lambda: False)
    taken = []
    while not guard() and len(taken) < 100:
        taken.append(np.ones(1 << 18))  # 2 MiB
        time.sleep(0.005)
    assert 15 <= len(taken) < 60
    assert re.match(r"the run must add at most 40 MiB to its process, got \d\d MiB: it was stopped", guard.reason)


@pytest.mark.parametrize("values", [{"seconds": 0}, {"seconds": float("nan")}, {"memory": -1}])
def test_limits_that_are_none_are_refused(values):
    with pytest.raises(InputError, match=f"{next(iter(values))} must be positive, got"):
        Limits(**values)


def test_a_run_that_takes_its_process_down_is_a_row_with_the_reason(tmp_path, sweeping):
    finished = threading.Event()

    def kill_every_worker():
        while not finished.wait(0.02):
            for worker in sweeping.workers():
                with contextlib.suppress(psutil.Error):
                    worker.kill()

    killer = threading.Thread(target=kill_every_worker)
    killer.start()
    try:
        result = sweeping.do(tmp_path, {"network": "mnist-fnn", "runs": [{"method": "round-to-nearest"}]})
    finally:
        finished.set()
        killer.join()
    assert result.runs[0].problem == sweep.DIED


# -- stopping and resuming ----------------------------------------------------------------------------


@pytest.mark.slow
def test_a_stop_ends_the_workers_soon_and_keeps_what_is_finished(small, tmp_path, sweeping):
    asked = []
    plan = sweeping.SMALL | {"runs": [sweeping.SMALL["runs"][2], sweeping.SMALL["runs"][0], sweeping.SLOW["runs"][0]]}

    def stop_after_three(done, *_):
        if done == 3 and not asked:
            asked.append(done)

    with pytest.raises(Stopped):
        sweeping.do(tmp_path, plan, jobs=2, progress=stop_after_three, should_stop=lambda: bool(asked))
    sweeping.wait_for(lambda: not sweeping.workers(), 5)
    with RunStore(tmp_path / "runs.sqlite") as store:
        known = {run["key"]: run for run in sweeping.figures(small.result)}
        assert len(store) >= 3 and all(run.figures() == known[run.key] for run in store.runs())


def start(folder, plan, *arguments):
    file = folder / "plan.toml"
    groups = [
        f"[[runs]]\nmethod = '{g['method']}'\nseed = {g['seed']}\nchoices = {_inline(g['choices'])}"
        for g in plan["runs"]
    ]
    file.write_text(f"network = '{plan['network']}'\ncalibration = {plan['calibration']}\n" + "\n".join(groups))
    command = [
        sys.executable,
        "-m",
        "sdqviz.cli.main",
        "sweep",
        str(file),
        "--store",
        str(folder / "runs.sqlite"),
        *arguments,
    ]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def _inline(choices):
    return "{" + ", ".join(f"{key} = {json.dumps(value)}" for key, value in choices.items()) + "}"


def stored(folder):
    with RunStore(folder / "runs.sqlite") as store:
        return {run.key: run.to_dict() for run in store.runs()}


def wait_for_runs(sweeping, process, folder, count):
    def enough():
        assert process.poll() is None, process.communicate()
        return (folder / "runs.sqlite").is_file() and len(stored(folder)) >= count

    sweeping.wait_for(enough)


@pytest.mark.slow
def test_a_killed_sweep_goes_on_and_does_nothing_twice(tmp_path, sweeping):
    process = start(tmp_path, sweeping.LONG)
    wait_for_runs(sweeping, process, tmp_path, 2)
    children = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    before = stored(tmp_path)
    assert 2 <= len(before) < 6
    sweeping.wait_for(
        lambda: not any(child.is_running() and child.status() != psutil.STATUS_ZOMBIE for child in children), 20
    )

    process = start(tmp_path, sweeping.LONG, "--json", str(tmp_path / "all.json"))
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    after = stored(tmp_path)
    assert f"6 runs: {6 - len(before)} done now" in out and f"{len(before)} from the store, 0 failed" in out
    assert len(after) == 6 and all(after[key] == row for key, row in before.items()), "times included"
    assert [run.to_dict() for run in read_runs(tmp_path / "all.json")] == sorted(
        after.values(), key=lambda row: (row["method"]["bits"], row["seed"])
    )

    process = start(tmp_path, sweeping.LONG)
    out, err = process.communicate(timeout=60)
    assert "0 done now" in out and "6 from the store" in out


@pytest.mark.slow
def test_ctrl_c_keeps_what_is_finished(tmp_path, sweeping):
    process = start(tmp_path, sweeping.LONG)
    wait_for_runs(sweeping, process, tmp_path, 2)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 130 and "stopped; what was finished is kept" in err and "Traceback" not in err
    assert len(stored(tmp_path)) >= 2
