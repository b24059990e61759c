"""The run store: nothing is lost, nothing foreign is taken, several processes share one file."""

import dataclasses
import gzip
import json
import math
import multiprocessing
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time

import pytest

import sdqviz as sq
from sdqviz.error import InputError
from sdqviz.experiments.run import Run, fingerprint, run_key
from sdqviz.experiments.run_file import MOST_BYTES, read_runs, write_runs
from sdqviz.experiments.run_store import RunStore
from sdqviz.report import LayerReport, Report

NETWORK = {"name": "mnist-fnn", "seed": 0}
METHOD = {"name": "frame", "bits": 1, "bits_by_layer": {"hidden1": 2.0}}

LAYER = LayerReport(
    name="NaN", kind="Linear", shape=(3, 4), weights=12, error=0.5, relative_error=math.nan, propagated_error=0.1,
    weight_error=0.25, bound=math.inf, bound_holds=False, bound_because="none", bound_name="", bits_per_weight=1.5,
    sparsity=0.0, step=0.1, levels=2, size=4, overload=0, unstable=0, dead_inputs=0, bits=18, seconds=0.2,
)  # fmt: skip
REPORT = Report(
    network="mnist-fnn", seed=1, method=METHOD, layers=(LAYER,), left_alone=("relu (ReLU): nothing in it",),
    accuracy_before=0.98, accuracy_after=None, changed_predictions=None, output_error=-math.inf,
    mean_output_error=math.nan, relative_output_error=1e-300, output_bound=0.1 + 0.2, output_bound_holds=True,
    output_bound_because="δ and ‖·‖", inputs=5, bits_per_weight=1.5, sparsity=0.0, bytes=3, original_bytes=48,
    seconds=0.2, version="0.2.0",
)  # fmt: skip


def example(number=0, **changes):
    key = run_key(NETWORK, METHOD, 512, number, "f" * 64)
    return dataclasses.replace(Run(key, NETWORK, METHOD, 512, number, REPORT, seconds=0.5), **changes)


def same(one, other):
    return one.to_dict() == other.to_dict()


# -- runs ---------------------------------------------------------------------------------------------


def test_a_run_survives_strict_json_with_numbers_that_json_lacks():
    text = json.dumps(example().to_dict(), allow_nan=False)
    back = Run.from_dict(json.loads(text))
    assert same(back, example())
    assert math.isnan(back.report.mean_output_error) and math.isnan(back.report.layers[0].relative_error)
    assert back.report.output_error == -math.inf and back.report.layers[0].bound == math.inf
    assert back.report.accuracy_after is None, "not tested is not the same as not a number"
    assert back.report.layers[0].name == "NaN", "words are numbers only in fields that are numbers"
    assert back.report.layers[0].shape == (3, 4) and back.report.output_bound == 0.1 + 0.2


def test_figures_leave_out_what_differs_from_run_to_run():
    other = example(label="mine", seconds=9.0, report=dataclasses.replace(REPORT, seconds=7.0))
    assert other.figures() == example().figures() and not same(other, example())
    assert example(1).figures() != example().figures()


def test_the_key_depends_on_everything_and_on_no_order():
    key = run_key(NETWORK, METHOD, 512, 0, "abc", "0.2.0")
    assert key == run_key(dict(reversed(NETWORK.items())), dict(reversed(METHOD.items())), 512, 0, "abc", "0.2.0")
    others = {
        run_key(NETWORK | {"seed": 1}, METHOD, 512, 0, "abc", "0.2.0"),
        run_key(NETWORK, METHOD | {"bits": 2}, 512, 0, "abc", "0.2.0"),
        run_key(NETWORK, METHOD, 256, 0, "abc", "0.2.0"),
        run_key(NETWORK, METHOD, 512, 1, "abc", "0.2.0"),
        run_key(NETWORK, METHOD, 512, 0, "abd", "0.2.0"),
        run_key(NETWORK, METHOD, 512, 0, "abc", "0.2.1"),
    }
    assert len(others | {key}) == 7 and all(len(text) == 64 for text in others)


def test_a_fingerprint_needs_no_loading_and_follows_the_weights():
    code = (
        "import sys, sdqviz as sq; from sdqviz.experiments.run import fingerprint;"
        "print([fingerprint(sq.NETWORKS['mnist-fnn'](seed=s)) for s in (0, 0, 1)], 'torch' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    first, again, other = out.split("'")[1::2]
    assert first == again != other and out.rstrip().endswith("False")


def test_a_network_that_must_be_trained_has_no_fingerprint_yet(tmp_path, monkeypatch):
    monkeypatch.setattr("sdqviz.networks.training.cache_folder", lambda: tmp_path)
    with pytest.raises(InputError, match="network mnist-fnn with seed 77 must be trained first, got no weights"):
        fingerprint(sq.NETWORKS["mnist-fnn"](seed=77))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"seed": "x"}, "seed 'x'"),
        ({"method": []}, "method \\[\\]"),
        ({"report": None}, "neither a report nor a problem"),
        ({"problem": "it failed"}, "a report and a problem"),
        ({"colour": 1}, "colour"),
        ({"report": {"layers": []}}, "left_alone"),
        ({"report": {**REPORT.to_dict(), "bytes": "<b>"}}, "bytes '<b>'"),
        ({"report": {**REPORT.to_dict(), "bits_per_weight": "many"}}, "bits_per_weight 'many'"),
        ({"report": {**REPORT.to_dict(), "output_bound_holds": 1}}, "output_bound_holds 1"),
        ({"report": {**REPORT.to_dict(), "note": None}}, "note None"),
        ({"report": {**REPORT.to_dict(), "unheard": 1}}, "unheard"),
        ({"report": [1]}, "TypeError"),
    ],
)
def test_a_row_of_another_kind_is_refused_in_one_sentence(change, words):
    with pytest.raises(InputError, match=f"a stored run must have the fields of this version .*{words}"):
        Run.from_dict(example().to_dict() | change)


# -- the store ----------------------------------------------------------------------------------------


def test_what_is_put_is_there_at_once_and_after_opening_again(tmp_path):
    file = tmp_path / "runs.sqlite"
    with RunStore(file) as store, RunStore(str(file)) as beside:
        assert len(store) == 0 and store.get("nothing") is None and store.runs() == ()
        for number in range(3):
            store.put(example(number))
            assert same(beside.get(example(number).key), example(number))
        store.put(example(1, report=None, problem="it was stopped"))
        assert len(beside) == 3
        assert [run.seed for run in beside.runs()] == [0, 1, 2], "a run that is replaced keeps its place"
        assert beside.get(example(1).key).problem == "it was stopped"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["runs.sqlite"]
    with RunStore(file) as store:
        assert [run.problem for run in store.runs()] == ["", "it was stopped", ""]


def write_some(file, first, count):
    with RunStore(file) as store:
        for number in range(first, first + count):
            store.put(example(number))


def test_processes_write_into_one_new_file_at_the_same_time(tmp_path):
    file, count = tmp_path / "runs.sqlite", 40
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=write_some, args=(file, count * n, count)) for n in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    with RunStore(file) as store:
        assert {run.seed for run in store.runs()} == set(range(3 * count))


def test_a_killed_writer_loses_nothing_that_it_had_put(tmp_path):
    file = tmp_path / "runs.sqlite"
    code = (
        "import sys; from sdqviz.experiments.run import Run\n"
        "from sdqviz.experiments.run_store import RunStore; store = RunStore(sys.argv[1]); n = 0\n"
        "while True:\n"
        "    store.put(Run(str(n), {}, {}, 0, n, None, 'none')); print(n, flush=True); n += 1"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(file)], stdout=subprocess.PIPE, text=True)
    for _ in range(25):
        told = int(process.stdout.readline())
    process.send_signal(signal.SIGKILL)
    told = max([told, *(int(line) for line in process.stdout.read().split("\n")[:-1])])
    process.wait()
    process.stdout.close()
    with RunStore(file) as store:
        assert len(store) in (told + 1, told + 2)


def test_a_store_waits_for_another_that_is_writing(tmp_path):
    file = tmp_path / "runs.sqlite"
    with RunStore(file) as store:
        other = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
        other.execute("BEGIN IMMEDIATE")
        ended = threading.Event()

        def end():
            ended.set()
            other.execute("COMMIT")

        threading.Timer(0.3, end).start()
        store.put(example())
        assert ended.is_set() and len(store) == 1
        other.close()


def foreign(file):
    database = sqlite3.connect(file)
    database.execute("CREATE TABLE notes (text)")
    database.commit()
    database.close()


def newer(file):
    RunStore(file).close()
    database = sqlite3.connect(file)
    database.execute("PRAGMA user_version = 99")
    database.close()


def other_program(file):
    database = sqlite3.connect(file)
    database.execute("PRAGMA application_id = 7")
    database.execute("CREATE TABLE run (key)")
    database.close()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda file: file.write_bytes(b"not a database, " * 100), "whole file that sdqviz made.*not a database"),
        (foreign, "a file that sdqviz made, got another program's database"),
        (other_program, "a file that sdqviz made, got another program's database"),
        (newer, "schema 1, got 99"),
        (lambda file: file.mkdir(), "a file in a folder that exists"),
    ],
)
def test_a_file_that_is_not_a_store_is_refused_and_left_as_it_was(tmp_path, make, words):
    file = tmp_path / "runs.sqlite"
    make(file)
    before = file.read_bytes() if file.is_file() else None
    with pytest.raises(InputError, match=words):
        RunStore(file)
    assert before is None or file.read_bytes() == before


def test_a_store_without_its_folder_is_refused(tmp_path):
    with pytest.raises(InputError, match="store must be a file in a folder that exists"):
        RunStore(tmp_path / "none" / "runs.sqlite")


def test_damaged_pages_and_damaged_rows_are_told_in_one_sentence(tmp_path):
    file = tmp_path / "runs.sqlite"
    with RunStore(file) as store:
        for number in range(50):
            store.put(example(number))
    data = bytearray(file.read_bytes())
    data[4096:-4096] = os.urandom(len(data) - 8192)
    file.write_bytes(data)
    with pytest.raises(InputError, match="store must be"), RunStore(file) as store:
        store.runs()

    other = tmp_path / "rows.sqlite"
    with RunStore(other) as store:
        store.put(example())
        database = sqlite3.connect(other)
        database.execute("""UPDATE run SET content = '{"key": 1'""")
        database.commit()
        database.close()
        with pytest.raises(InputError, match=r"store .* must hold whole runs, got one that cannot be read"):
            store.get(example().key)


# -- files --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["runs.json", "runs.json.gz"])
def test_a_file_of_runs_comes_back_and_is_the_same_each_time(tmp_path, name):
    runs = [example(), example(1, report=None, problem="no such frame", label="δ = ½")]
    file = tmp_path / name
    write_runs(runs, file)
    first = file.read_bytes()
    time.sleep(1.1 if name.endswith("gz") else 0)  # gzip would write the time, in seconds
    write_runs(iter(runs), str(file))
    assert file.read_bytes() == first
    assert first.startswith(b"\x1f\x8b") == name.endswith("gz")
    for source in (file, str(file), first):
        assert [run.to_dict() for run in read_runs(source)] == [run.to_dict() for run in runs]


def bomb():
    return gzip.compress(b"\0" * (MOST_BYTES + 1))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (lambda: b"", "Expecting value"),
        (lambda: b"[1, 2]", "JSON object"),
        (lambda: b'{"format": "sdqviz runs 1"}', "runs"),
        (lambda: b'{"format": "sdqviz runs 1", "runs": 3}', "not iterable"),
        (lambda: b'{"format": "sdqviz runs 1", "runs": [{}]}', "report"),
        (lambda: gzip.compress(b"{}")[:-9], "cut short"),
        (lambda: b"\x1f\x8b" + b"?" * 50, "compress"),
        (lambda: b"[" * 100_000, "nested too deep"),
        (bomb, "more than 256 MiB"),
        (lambda: b"\x80\x81{}", "decode"),
    ],
)
def test_a_file_that_is_none_of_ours_is_refused_in_one_sentence(data, words):
    with pytest.raises(InputError, match=f"file of runs must be one that sdqviz wrote, got .*{words}"):
        read_runs(data())


def test_files_that_cannot_be_read_or_written_are_refused(tmp_path):
    with pytest.raises(InputError, match="file of runs must be one that sdqviz wrote"):
        read_runs(tmp_path / "none.json")
    with pytest.raises(InputError, match="file of runs must be one that can be written"):
        write_runs([], tmp_path / "none" / "runs.json")
