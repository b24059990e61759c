"""Sweeps: the same results wherever they run, and nothing that is finished is lost or done twice."""

import contextlib
import json
import os
import re
import signal
import socket
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
from sdqviz.experiments.run_store import RunStore, read_runs
from sdqviz.experiments.sweep import Limits, Plan
from sdqviz.experiments.sweep_plan import MOST_RUNS, describe
from sdqviz.methods import METHODS
from sdqviz.networks.catalogue import NETWORKS

# a worker whose memory has grown is replaced by joblib, with a warning; nothing is lost by it
pytestmark = pytest.mark.filterwarnings("ignore:A worker stopped while some jobs were given to the executor")

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


def figures(result):
    return [run.figures() for run in result.runs]


def do(folder, plan=SMALL, name="runs.sqlite", **options):
    with RunStore(folder / name) as store:
        return sweep.run(Plan.from_dict(plan), store, **options)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("sweep")


@pytest.fixture(scope="module")
def told():
    """What was told of the progress of the small plan."""
    return []


@pytest.fixture(scope="module")
def small(folder, told):
    """The small plan on two workers."""
    return do(folder, jobs=2, progress=lambda *at: told.append(at))


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


# -- plans --------------------------------------------------------------------------------------------


def test_a_plan_is_the_union_of_its_grids_each_run_once_in_order():
    plan = Plan.from_dict(
        {
            "title": "t",
            "network": ["mnist-fnn", "mnist-lenet"],
            "seed": 3,
            "runs": [
                {"method": "frame", "choices": {"bits": [1, 2], "bits_by_layer": [{}, {"output": 4}]}},
                {"method": ["frame", "gptq"], "choices": {"bits": 2}, "calibration": 64},
                {"method": "frame", "choices": {"bits": 2}, "network": "mnist-fnn", "label": "again"},
                {"method": "gpfq", "network_choices": {"seed": [0, 2]}, "calibration": [0, 9], "seed": [0, 1]},
            ],
        }
    )
    assert plan.title == "t" and len(plan) == 8 + 4 + 0 + 16
    frames = [planned.question for planned in plan.runs[:8]]
    expected = [
        (NETWORKS[name](), METHODS["frame"](bits=bits, bits_by_layer=by_layer), 512, 3)
        for name in ("mnist-fnn", "mnist-lenet")
        for bits in (1, 2)
        for by_layer in ({}, {"output": 4})
    ]
    assert [(q.network, q.method, q.calibration, q.seed) for q in frames] == expected
    last = plan.runs[-1].question
    assert (last.network, last.calibration, last.seed) == (NETWORKS["mnist-lenet"](seed=2), 9, 1)
    assert [planned.label for planned in plan.runs[:3]] == [
        "frame",
        "frame: bits_by_layer={output: 4}",
        "frame: bits=2",
    ]


def test_a_label_tells_what_differs():
    values = {
        "network": "mnist-fnn",
        "label": "mine",
        "method": ["gpfq", "gptq"],
        "choices": {"bits": [2, 3], "fit": "mse"},
    }
    assert Plan.from_dict({"runs": [values]}).runs[1].label == "mine (gpfq, bits=3)"
    assert Plan.from_dict({"runs": [values | {"method": "gptq", "choices": {"bits": 2}}]}).runs[0].label == "mine"
    assert describe(METHODS["frame"](bits=2, step=0.25, size_by_layer={"output": 12})) == (
        "frame: bits=2, step=0.25, size_by_layer={output: 12}"
    )


GOOD = {"network": "mnist-fnn", "method": "frame"}


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({}, "a plan must have at least one table [[runs]], got none"),
        ({"runs": []}, "a plan must have at least one table [[runs]], got none"),
        ({"runs": [3]}, "a plan must have at least one table [[runs]], got none"),
        ({"run": [GOOD]}, "a plan has no key 'run'; its keys are title, runs, network,"),
        ({"runs": [GOOD, GOOD | {"choice": {}}]}, "runs 2: it has no key 'choice'; its keys are label, network,"),
        ({"runs": [{"method": "frame"}]}, "runs 1: network must be given, got none"),
        ({"runs": [{"network": "mnist-fnn"}]}, "runs 1: method must be given, got none"),
        ({"runs": [GOOD | {"method": "magic"}]}, "runs 1: method must be one of frame, "),
        ({"runs": [GOOD | {"method": 3}]}, "runs 1: a method needs a name, got 3"),
        ({"runs": [GOOD | {"choices": {"bits": [1, 17]}}]}, "runs 1: bits must be at most 16, got 17"),
        ({"runs": [GOOD | {"choices": {"colour": 1}}]}, "runs 1: frame has no field 'colour'"),
        ({"runs": [GOOD | {"choices": {"bits": []}}]}, "runs 1: choices.bits must have at least one value"),
        ({"runs": [GOOD | {"choices": [1]}]}, "runs 1: choices must be a table of fields, got [1]"),
        ({"runs": [GOOD | {"network_choices": {"seed": -1}}]}, "runs 1: seed must be at least 0, got -1"),
        ({"runs": [GOOD | {"seed": -1}]}, "runs 1: seed must be a whole number from 0 to 2147483647, got -1"),
        ({"runs": [GOOD | {"calibration": True}]}, "calibration must be a whole number from 0 to 60000, got True"),
        ({"runs": [GOOD | {"label": 7}]}, "runs 1: label must be a text of at most 200 characters, got '7'"),
        (
            {"runs": [GOOD | {"seed": list(range(101)), "calibration": list(range(100))}]},
            f"runs 1: a plan must have at most {MOST_RUNS:,} runs, got 10,100 or more",
        ),
        ({"runs": [GOOD | {"seed": list(range(6000))}] * 2}, "runs 2: a plan must have at most 10,000 runs"),
    ],
)  # fmt: skip
def test_a_plan_that_cannot_be_run_is_refused_before_anything_runs(values, sentence):
    with pytest.raises(InputError, match=re.escape(sentence)):
        Plan.from_dict(values)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"runs = [", "must be a TOML file that can be read"),
        (b"\xff\xfe", "must be a TOML file that can be read"),
        (b"#" * (1 << 21), "must be at most 1 MiB, got 2.0 MiB"),
        (None, "must be a TOML file that can be read"),
    ],
)
def test_a_file_that_is_no_plan_is_refused(tmp_path, content, words):
    file = tmp_path / "plan.toml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(InputError, match=f"plan plan.toml {words}"):
        Plan.read(file)


def test_the_example_shows_every_key():
    file = asset.folder() / "sweeps" / "example.toml"
    assert len(Plan.read(file)) == 14
    text = file.read_text("utf-8")
    for key in ("title", "network", "network_choices", "method", "choices", "calibration", "seed", "label"):
        assert re.search(rf"^{key} = ", text, re.MULTILINE), key


# -- results ------------------------------------------------------------------------------------------


def test_every_run_has_its_row_and_every_failure_its_reason(small):
    assert (small.computed, small.reused, len(small.runs)) == (8, 0, 8)
    assert [run.problem for run in small.failures] == [
        "layer hidden1: size must be at least 257 for dimension 256, got 256: an even-dimensional harmonic frame with "
        "N = d is singular"
    ] * 2
    network = sq.NETWORKS["mnist-fnn"]().load()
    for run in small.runs:
        if run.report is not None:
            direct = sq.compress(network, METHODS.from_dict(run.method), run.calibration, run.seed).report
            assert run.report.accuracy_after == direct.accuracy_after
            assert run.report.relative_output_error == pytest.approx(direct.relative_output_error, rel=1e-12)
            assert run.report.bytes == direct.bytes and run.seconds > 0 and run.version == sq.__version__


@pytest.mark.slow
def test_one_worker_that_is_killed_on_the_way_gives_bit_for_bit_what_two_give(small, tmp_path):
    killed = []

    def kill_one(done, *_):
        if done == 2 and not killed:
            killed.append(workers()[0])
            killed[0].kill()

    result = do(tmp_path, jobs=1, progress=kill_one)
    assert killed and result.computed == 8 and figures(result) == figures(small)


def test_what_is_in_the_store_costs_nothing(small, folder, monkeypatch):
    monkeypatch.setattr(sweep, "_attempt", None)  # whoever asked for a worker would fail
    again_told = []
    again = do(folder, jobs=2, progress=lambda *at: again_told.append(at))
    assert (again.computed, again.reused) == (0, 8)
    assert [run.to_dict() for run in again.runs] == [run.to_dict() for run in small.runs]
    assert again_told == [(8, 8, "8 runs, 8 of them in the store")]


def test_failed_runs_are_tried_again_only_when_asked(small, folder, monkeypatch):
    def refuse(jobs, _, finish, __):
        for job in jobs:
            finish(job, job.row(None, "again"))

    monkeypatch.setattr(sweep, "_on_this_computer", refuse)
    again = do(folder, retry=True)
    assert (again.computed, again.reused) == (2, 6)
    assert [run.problem for run in again.failures] == ["again"] * 2


def test_progress_counts_the_runs(small, told):
    assert [at[:2] for at in told] == [(done, 8) for done in range(9)]
    assert told[0][2] == "8 runs, 0 of them in the store"
    assert {re.sub(r"run \d of 8: ", "", message) for _, _, message in told[1:]} == {
        f"mnist-fnn 0, {run.label}" for run in small.runs
    }


@pytest.mark.parametrize("jobs", [0, -1, 257, 1.5, True])
def test_a_number_of_workers_that_makes_no_sense_is_refused(tmp_path, jobs):
    with pytest.raises(InputError, match="jobs must be a whole number from 1 to 256"):
        do(tmp_path, jobs=jobs)


def test_a_network_that_cannot_be_had_is_a_row_with_the_reason(tmp_path, monkeypatch):
    monkeypatch.setattr(asset, "folder", lambda: tmp_path)  # an installation without its files
    result = do(tmp_path, {"network": "mnist-fnn", "runs": [{"method": "frame"}]})
    assert re.match("asset manifest.json must be readable .*: install sdqviz again", result.runs[0].problem)


# -- guards -------------------------------------------------------------------------------------------


def test_a_run_beyond_its_limits_is_a_row_with_the_reason_and_the_others_go_on(small, tmp_path):
    slow = dict(SLOW["runs"][0], seed=0)
    huge = {"method": "round-to-nearest", "calibration": 60_000}  # two arrays of 179 MiB, and more
    plan = SMALL | {"runs": [*SMALL["runs"], slow, huge]}
    result = do(tmp_path, plan, jobs=1, limits=Limits(seconds=2.0, memory=170.0))
    *fine, late, large = result.runs
    assert re.match(r"the run must end within 2 s, got 2\.\d s: it was stopped", late.problem)
    assert late.seconds > 2.0
    assert "the run must add at most 170 MiB to its process, got " in large.problem
    assert [run.figures() for run in fine] == figures(small), "one worker gives bit for bit what two give"


def test_memory_that_comes_at_once_is_refused_before_it_is_taken():
    with sweep_worker._memory_limited(Limits(memory=50.0)):
        assert np.ones(1 << 20).sum() == 1 << 20
        with pytest.raises(MemoryError) as caught:
            np.ones(1 << 24)
    assert sweep_worker._out_of_memory(caught.value, Limits(memory=50.0)).startswith(
        "the run must add at most 50 MiB to its process, got Unable to allocate 128. MiB"
    )
    assert np.ones(1 << 24).size == 1 << 24, "the next run may take it"


def test_memory_that_comes_in_small_pieces_is_seen_too():
    guard = sweep_worker._Guard(Limits(memory=40.0), lambda: False)
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


def test_a_run_that_takes_its_process_down_is_a_row_with_the_reason(tmp_path):
    finished = threading.Event()

    def kill_every_worker():
        while not finished.wait(0.02):
            for worker in workers():
                with contextlib.suppress(psutil.Error):
                    worker.kill()

    killer = threading.Thread(target=kill_every_worker)
    killer.start()
    try:
        result = do(tmp_path, {"network": "mnist-fnn", "runs": [{"method": "round-to-nearest"}]})
    finally:
        finished.set()
        killer.join()
    assert result.runs[0].problem == sweep.DIED


# -- stopping and resuming ----------------------------------------------------------------------------


def test_a_stop_ends_the_workers_soon_and_keeps_what_is_finished(small, tmp_path):
    asked = []
    plan = SMALL | {"runs": [SMALL["runs"][2], SMALL["runs"][0], SLOW["runs"][0]]}

    def stop_after_three(done, *_):
        if done == 3 and not asked:
            asked.append(done)

    with pytest.raises(Stopped):
        do(tmp_path, plan, jobs=2, progress=stop_after_three, should_stop=lambda: bool(asked))
    wait_for(lambda: not workers(), 5)
    with RunStore(tmp_path / "runs.sqlite") as store:
        known = {run["key"]: run for run in figures(small)}
        assert len(store) >= 3 and all(run.figures() == known[run.key] for run in store.runs())


LONG = {
    "network": "mnist-fnn",
    "calibration": 64,
    "runs": [{"method": "spfq", "choices": {"bits": [2, 3], "fit": "mse"}, "seed": [0, 1, 2]}],
}


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


def wait_for_runs(process, folder, count):
    def enough():
        assert process.poll() is None, process.communicate()
        return (folder / "runs.sqlite").is_file() and len(stored(folder)) >= count

    wait_for(enough)


def test_a_killed_sweep_goes_on_and_does_nothing_twice(tmp_path):
    process = start(tmp_path, LONG)
    wait_for_runs(process, tmp_path, 2)
    children = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    before = stored(tmp_path)
    assert 2 <= len(before) < 6
    wait_for(lambda: not any(child.is_running() and child.status() != psutil.STATUS_ZOMBIE for child in children), 20)

    process = start(tmp_path, LONG, "--json", str(tmp_path / "all.json"))
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    after = stored(tmp_path)
    assert f"6 runs: {6 - len(before)} done now" in out and f"{len(before)} from the store, 0 failed" in out
    assert len(after) == 6 and all(after[key] == row for key, row in before.items()), "times included"
    assert [run.to_dict() for run in read_runs(tmp_path / "all.json")] == sorted(
        after.values(), key=lambda row: (row["method"]["bits"], row["seed"])
    )

    process = start(tmp_path, LONG)
    out, err = process.communicate(timeout=60)
    assert "0 done now" in out and "6 from the store" in out


@pytest.mark.slow
def test_ctrl_c_keeps_what_is_finished(tmp_path):
    process = start(tmp_path, LONG)
    wait_for_runs(process, tmp_path, 2)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 130 and "stopped; what was finished is kept" in err and "Traceback" not in err
    assert len(stored(tmp_path)) >= 2


# -- on a cluster -------------------------------------------------------------------------------------


class Cluster:
    """A Dask scheduler and its workers, each a process of its own on this computer."""

    def __init__(self, folder):
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
def cluster(tmp_path):
    made = Cluster(tmp_path)
    yield made
    made.close()


def test_a_cluster_gives_the_same_rows_and_loses_none_when_a_worker_is_killed(small, cluster, tmp_path):
    cluster.add_worker()
    cluster.add_worker()
    plan = {**LONG, "runs": [*SMALL["runs"], *LONG["runs"]]}
    killed = []

    def kill_one(done, *_):
        if done == 4 and not killed:
            cluster.workers[0].send_signal(signal.SIGKILL)
            killed.append(done)

    result = do(tmp_path, plan, dask=cluster.address, progress=kill_one)
    assert killed and cluster.workers[0].wait(5) == -signal.SIGKILL
    assert result.computed == len(result.runs) == 12 and figures(result)[:8] == figures(small)
    assert [run.problem for run in result.runs[8:]] == [""] * 4
    assert do(tmp_path, plan, dask=cluster.address).computed == 0


@pytest.mark.slow
def test_a_stop_reaches_the_workers_of_a_cluster(cluster, tmp_path):
    cluster.add_worker()
    worker = psutil.Process(cluster.workers[0].pid)
    begun = time.monotonic()

    def busy():
        return time.monotonic() > begun + 1 and worker.cpu_times().user > 6

    with pytest.raises(Stopped):
        do(tmp_path, SLOW, dask=cluster.address, should_stop=busy)

    def idle():
        before = worker.cpu_times().user
        time.sleep(0.5)
        return worker.cpu_times().user - before < 0.2

    wait_for(idle, 10)


def test_workers_of_another_version_are_refused_in_one_sentence(cluster, tmp_path):
    other = tmp_path / "other_version.py"
    other.write_text("from sdqviz import version\nversion.__version__ = '0.0.1'\n")
    cluster.add_worker("--preload", str(other))
    import distributed

    with distributed.Client(cluster.address, set_as_default=False) as client:
        client.wait_for_workers(1)
    with pytest.raises(
        InputError, match=rf"workers must have sdqviz {sq.__version__} as the sweep has, got 0.0.1 on tcp"
    ):
        do(tmp_path, dask=cluster.address)


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:9", "nonsense://x", "", "127.0.0.1"])
def test_an_address_without_a_scheduler_is_refused(tmp_path, address, monkeypatch):
    monkeypatch.setattr(sweep, "CONNECT", 0.5)
    with pytest.raises(InputError, match="dask must be the address of a running scheduler, got"):
        do(tmp_path, dask=address)


# -- the shipped sweep --------------------------------------------------------------------------------

SHIPPED = asset.folder() / "sweeps"


@pytest.fixture(scope="module")
def shipped():
    return read_runs(asset.path("sweeps/mnist.json.gz"))


def test_the_shipped_sweep_is_large_enough_to_choose_from_and_small_enough_to_ship(shipped):
    assert len(shipped) >= 300 and (SHIPPED / "mnist.json.gz").stat().st_size < 1.5e6
    assert {run.network["name"] for run in shipped} == {"mnist-fnn", "mnist-residual", "mnist-lenet"}
    assert {run.method["name"] for run in shipped} == set(METHODS)
    assert not [run.problem for run in shipped if run.problem]
    assert len({run.key for run in shipped}) == len(shipped)
    for run in shipped:
        assert len(run.report.layers) >= 3 and 0.05 < run.report.accuracy_after <= 1
        assert run.report.bits_per_weight > 0 and run.report.bytes > 0


def test_the_shipped_sweep_is_that_of_its_plan(shipped):
    plan = Plan.read(SHIPPED / "mnist.toml")
    asked = [(p.question.network.to_dict(), p.question.method.to_dict(), p.question.calibration) for p in plan.runs]
    assert [(run.network, run.method, run.calibration) for run in shipped] == asked
    assert [(run.seed, run.label) for run in shipped] == [(p.question.seed, p.label) for p in plan.runs]


def recomputed(run):
    network = NETWORKS.from_dict(run.network).load()
    again = sq.compress(network, METHODS.from_dict(run.method), run.calibration, run.seed).report
    assert again.bytes == run.report.bytes and again.bits_per_weight == run.report.bits_per_weight
    assert again.accuracy_after == pytest.approx(run.report.accuracy_after, abs=2e-3)
    assert again.relative_output_error == pytest.approx(run.report.relative_output_error, rel=2e-2)
    for mine, theirs in zip(again.layers, run.report.layers, strict=True):
        assert mine.weight_error == pytest.approx(theirs.weight_error, rel=2e-2)


def test_a_part_of_the_shipped_sweep_is_recomputed(shipped):
    quick = {"frame", "round-to-nearest", "magnitude-pruning"}
    for run in [run for run in shipped if run.method["name"] in quick and run.network["name"] == "mnist-fnn"][::12]:
        recomputed(run)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mnist-fnn", "mnist-residual", "mnist-lenet"])
def test_more_of_the_shipped_sweep_is_recomputed(shipped, name):
    for run in [run for run in shipped if run.network["name"] == name and run.method["name"] != "geta"][::9]:
        recomputed(run)
