"""``sdqviz sweep`` and ``sdqviz reproduce pareto`` as a person meets them: tables, files, mistakes."""

import dataclasses
import json
import math

import pytest

from sdqviz.cli import main as cli
from sdqviz.cli.settings import plan_file
from sdqviz.cli.text import sweep_text
from sdqviz.compression.question import Attempt
from sdqviz.experiments import pareto, sweep
from sdqviz.experiments.pareto_table import BUDGETS
from sdqviz.experiments.run import Run, fingerprint
from sdqviz.experiments.run_file import read_runs
from sdqviz.experiments.run_store import RunStore, default_path
from sdqviz.experiments.sweep_plan import Plan
from sdqviz.methods import METHODS
from sdqviz.report import Report

REPORT = Report(
    network="mnist-fnn", seed=1, method={}, layers=(), left_alone=(), accuracy_before=0.98, accuracy_after=0.9631,
    changed_predictions=7, output_error=1.0, mean_output_error=0.5, relative_output_error=0.1234, output_bound=math.nan,
    output_bound_holds=False, output_bound_because="none", inputs=5, bits_per_weight=2.165, sparsity=0.25, bytes=3,
    original_bytes=48, seconds=0.2, version="0.2.0",
)  # fmt: skip
RUN = Run("k", {"name": "mnist-fnn", "seed": 2}, {"name": "gptq"}, 512, 3, REPORT, seconds=0.75, label="gptq: bits=2")


def call(capsys, *arguments):
    with pytest.raises(SystemExit) as left:
        cli.main(arguments)
    captured = capsys.readouterr()
    return left.value.code or 0, captured.out, captured.err


def test_a_sweep_is_told_as_a_table_with_its_failures():
    failed = dataclasses.replace(RUN, report=None, problem="there is no such frame", label="frame: size=256")
    untested = dataclasses.replace(RUN, report=dataclasses.replace(REPORT, accuracy_after=None))
    text = sweep_text(sweep.Sweep((RUN, failed, untested), 2, 1, 3.14))
    head, first, second, *rest = text.splitlines()
    assert " ".join(head.split()) == "network run seed inputs accuracy bits/weight sparsity rel. error seconds"
    assert " ".join(first.split()) == "mnist-fnn 2 gptq: bits=2 3 512 96.31% 2.17 0.25 0.123 0.75"
    assert " – " in second
    assert rest == [
        "failed: mnist-fnn, frame: size=256: there is no such frame",
        "3 runs: 2 done now in 3.1 s, 1 from the store, 1 failed",
    ]
    assert sweep_text(sweep.Sweep((failed,), 1, 0, 1)).startswith("failed: ")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["none.toml"], "plan none.toml must be a TOML file that can be read, got"),
        (["example", "--store", "/nowhere/runs.sqlite"], "store must be a file in a folder that exists, got /nowhere"),
        (["example", "--store", __file__], "store must be a whole file that sdqviz made"),
        (["example", "--seconds", "0"], "seconds must be positive, got 0"),
        (["example", "--memory", "-1"], "memory must be positive, got -1"),
        (["example", "--json", "/nowhere/runs.json"], "output must be a file in a folder that exists"),
    ],
)
def test_a_mistake_is_one_sentence(capsys, arguments, sentence):
    code, out, err = call(capsys, "sweep", *arguments)
    assert (code, out) == (2, "") and err.startswith(f"sdqviz: {sentence}") and err.count("\n") == 1


def test_the_shipped_example_is_known_by_name_and_its_runs_are_written(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("SDQVIZ_CACHE", str(tmp_path / "cache"))
    with RunStore(default_path()) as store:  # as if they had been done before
        for asked in Plan.read(plan_file("example")).runs:
            tried = Attempt(asked, None, "there is no such frame", 0.5)
            store.put(dataclasses.replace(Run.of(tried, fingerprint(asked.network)), report=REPORT, problem=""))
    file = tmp_path / "runs.json.gz"
    code, out, err = call(capsys, "sweep", "example", "--jobs", "3", "--json", str(file))
    assert (
        code == 0
        and "14 runs: 0 done now in" in out
        and "14 from the store, 0 failed" in out
        and "14 runs; kept in" in err
    )
    runs = read_runs(file)
    assert [run.label for run in runs] == [p.label for p in Plan.read(plan_file("example")).runs]


def test_a_file_of_ones_own_comes_before_a_shipped_one_of_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert plan_file("example").is_absolute()
    (tmp_path / "example").write_text("")
    assert not plan_file("example").is_absolute() and not plan_file("other.toml").is_absolute()


def test_the_pareto_table_is_printed_and_written(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(pareto, "LINES", {"rounding, max": lambda: [METHODS["round-to-nearest"](bits=2)]})
    code, out, _ = call(capsys, "reproduce", "pareto", "--nets", "1", "--output", str(tmp_path / "new"))
    assert code == 0 and "| rounding, max | none fits | none fits | none fits | none fits | **" in out
    assert f"written to {tmp_path / 'new'}: pareto.md/.json" in out
    values = json.loads((tmp_path / "new" / "pareto.json").read_text())
    assert [cell["budget"] for cell in values["cells"]] == list(BUDGETS)
    (tmp_path / "file").write_text("")
    code, _, err = call(capsys, "reproduce", "pareto", "--output", str(tmp_path / "file"))
    assert code == 2 and err.startswith("sdqviz: output must be a folder that can be written")
