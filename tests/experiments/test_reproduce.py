"""Recomputing the paper: the numbers of a cell, what is refused, and what survives a kill."""

import dataclasses
import json
import math
import pathlib
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import sdqviz as sq
from sdqviz.cli.experiments import paper_page
from sdqviz.error import InputError, Stopped
from sdqviz.experiments.paper import plan as paper
from sdqviz.experiments.paper import reproduce
from sdqviz.experiments.run_store import RunStore
from sdqviz.plots.bounds.paper import draw_lines
from sdqviz.plots.theme import Ink

RULES = ("norm-global", "range-column")


@pytest.fixture(scope="module")
def network():
    return sq.NETWORKS["mnist-fnn"](seed=0).load()


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """Table 3 over two networks, two sizes and two rules, computed once for all tests that look at it."""
    (target,) = paper.plan("table3", sizes=[300, 1000]).targets
    chosen = paper.Plan((dataclasses.replace(target, rules=RULES),), nets=2)
    return reproduce.run(chosen, tmp_path_factory.mktemp("table"))[0]


def cells_in(folder):
    with RunStore(folder / reproduce.STORE) as store:
        return [run.to_dict() for run in store.runs()]


def run(folder, what, **choices):
    return reproduce.run(paper.plan(what, **choices), folder)


def start(folder, *arguments):
    command = [sys.executable, "-m", "sdqviz.cli.main", "reproduce", *arguments, "--output", str(folder)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for_cells(process, folder, count):
    for _ in range(1200):
        if (folder / reproduce.STORE).is_file() and len(cells_in(folder)) >= count:
            return
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    raise AssertionError(f"no {count} cells after a minute")


# -- numbers ------------------------------------------------------------------------------------------


def test_a_one_bit_table_has_the_accuracy_of_the_compressed_network(table, network):
    for line, rule in zip(table.lines[1:], RULES, strict=False):
        method = sq.METHODS["frame"](frame="harmonic", size=300, bits=1, step_rule=rule)
        expected = sq.compress(network, method, calibration=0).report
        assert line.values[300][0] == pytest.approx(100 * expected.accuracy_after, abs=1e-9)
        assert rule in line.label and not line.published
    assert table.lines[-1].values[300][0] == pytest.approx(expected.bits_per_weight)  # range-column, scales included


def test_the_figures_are_the_errors_of_the_outputs(tmp_path, network):
    worst = run(tmp_path, "figure1", nets=1, sizes=[320], steps=[0.25])[0]
    logs = run(tmp_path, "figure2", nets=1, sizes=[320], steps=[0.25])[0]
    assert len(cells_in(tmp_path)) == 1, "both figures read the same cell"
    norm = max(np.linalg.norm(layer.weight, axis=0).max() for layer in network.layers)
    bits = next(b for b in range(1, 17) if (2 ** (b - 1) - 0.5) * 0.25 >= norm)
    compressed = sq.compress(network, sq.METHODS["frame"](size=320, bits=bits, step=0.25), calibration=0).network
    inputs, _ = network.dataset.test()
    errors = np.linalg.norm(network.outputs(inputs) - compressed.outputs(inputs), axis=1)
    assert worst.lines[0].mean(320) == pytest.approx(errors.max(), rel=1e-4)
    assert logs.lines[0].mean(320) == pytest.approx(math.log(errors.mean() / 0.25 * 320), rel=1e-4)
    assert f"{bits} bits" in logs.lines[0].label


def test_published_numbers_are_marked_and_stand_first(table):
    published, paper_rule = table.lines[:2]
    assert published.published and published.cell_text(1000) == "36.18 (7.65)" and published.cell_text(300) == "–"
    assert "published" in published.label and "the paper's rule" in paper_rule.label
    assert not any(line.published for line in table.lines[1:])


def test_mean_and_deviation_over_networks(table):
    line = table.lines[1]
    one, two = line.values[300]
    assert line.mean(300) == pytest.approx((one + two) / 2)
    assert line.spread[300] == pytest.approx(abs(one - two) / math.sqrt(2))
    assert line.cell_text(300) == f"{(one + two) / 2:.2f} ({abs(one - two) / math.sqrt(2):.2f})"


def test_a_size_that_makes_no_frame_is_said_to_be_none(tmp_path):
    (result,) = run(tmp_path, "table1", nets=1, sizes=[256, 257], steps=[0.25, 1e-6])
    assert result.lines[0].cell_text(256) == "not a frame"
    assert float(result.lines[0].cell_text(257)) > 20
    assert result.lines[1].cell_text(257) == "refused"  # no 16 bits are enough for so small a step
    notes = " ".join(result.notes)
    assert "an even-dimensional harmonic frame with N = d is singular" in notes
    assert "for 16 bits, got 1e-06" in notes
    json.loads(json.dumps(result.to_dict(), allow_nan=False))


@given(norm=st.floats(1e-3, 1e3), step=st.floats(1e-3, 1e3))
def test_bits_are_enough_and_one_less_is_not(norm, step):
    if norm > (2**15 - 0.5) * step:
        with pytest.raises(InputError, match="for 16 bits"):
            paper.bits_needed(norm, step)
        return
    bits = paper.bits_needed(norm, step)
    assert (2 ** (bits - 1) - 0.5) * step >= norm
    assert bits == 1 or (2 ** (bits - 2) - 0.5) * step < norm


# -- choosing -----------------------------------------------------------------------------------------


def test_the_whole_plan_shares_its_cells():
    whole = paper.plan("all", nets=3)
    assert [target.name for target in whole.targets] == [*paper.NAMES]
    assert len(whole.cells) == len(set(whole.cells))
    # tables 3 and 4: 7 sizes × 4 rules; table 2: 5 × 5 steps; table 1 and both figures share theirs
    sizes = set(paper.GRID_SIZES) | set(paper.FIGURE_SIZES)
    assert len(whole.cells) == 3 * (2 * 7 * 4 + 5 * 5 + len(sizes) * 5)


@pytest.mark.parametrize(
    ("choices", "sentence"),
    [
        ({"what": "table9"}, "what to reproduce must be one of table1, .* or all, got 'table9'"),
        ({"nets": 0}, "nets must be at least 1, got 0"),
        ({"sizes": [0]}, "sizes must be positive, got 0"),
        ({"steps": [0.5, -1.0]}, "steps must be positive, got 0.5, -1"),
        ({"steps": [math.nan]}, "steps must be positive, got nan"),
    ],
)
def test_a_plan_that_cannot_be_is_refused(choices, sentence):
    with pytest.raises(InputError, match=sentence):
        paper.plan(**choices)


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="output must be a folder that can be written"):
        run(tmp_path / "file" / "below", "table3", nets=1, sizes=[300])


# -- stopping and going on ----------------------------------------------------------------------------


BEFORE = pathlib.Path(__file__).parents[1] / "data" / "0.2" / "cells.jsonl"
"""Cells that `sdqviz reproduce table3 --nets 1 --sizes 256,300` of version 0.2.0 finished."""


def test_cells_of_before_are_taken_as_they_are(tmp_path):
    shutil.copy(BEFORE, tmp_path / reproduce.BEFORE)
    told = []
    chosen = paper.plan("table3", nets=1, sizes=[256, 300])
    (result,) = reproduce.run(chosen, tmp_path, lambda done, total, message: told.append(message))
    assert told == ["done"] and cells_in(tmp_path) == []
    lines = BEFORE.read_text("utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    keys = [json.loads(row["key"]) for row in rows]
    for rule in paper.RULES:
        (expected,) = [
            row["figures"]["accuracy"]
            for row, key in zip(rows, keys, strict=True)
            if (key["rule"], key["size"]) == (rule, 300)
        ]
        line = next(line for line in result.lines if line.label.startswith(f"ours, {rule}"))
        assert line.values == {300: (100 * expected,)} and line.refused[256][0] == "not a frame"
    assert "8 cells were computed by sdqviz 0.2.0 and stand as they were." in result.notes


def test_cells_of_before_that_are_cut_short_or_of_another_recipe_are_computed(tmp_path):
    lines = BEFORE.read_text("utf-8").splitlines()
    file = tmp_path / reproduce.BEFORE
    file.write_text("\n".join([lines[0].replace("epochs", "passes"), lines[1], lines[2][:-20], "[1]", "{}"]), "utf-8")
    found = reproduce.read_before(file)
    assert len(found) == 1 and next(iter(found)).rule == json.loads(json.loads(lines[1])["key"])["rule"]
    assert reproduce.read_before(tmp_path / "none") == {}


def test_progress_grows_and_a_stop_keeps_what_is_finished(tmp_path):
    seen, asked = [], []

    def progress(done, total, message):
        seen.append(done / total)
        if "cell 3 of" in message:
            asked.append(True)

    with pytest.raises(Stopped):
        reproduce.run(paper.plan("table3", nets=1, sizes=[300]), tmp_path, progress, lambda: bool(asked))
    assert len(cells_in(tmp_path)) == 2
    assert seen == sorted(seen) and 0 < seen[-1] < 1
    run(tmp_path, "table3", nets=1, sizes=[300])
    assert len(cells_in(tmp_path)) == 4


@pytest.mark.slow
def test_a_killed_run_goes_on_where_it_was(tmp_path):
    arguments = ("table3", "--nets", "1", "--sizes", "500,600,700")
    killed = start(tmp_path, *arguments)
    wait_for_cells(killed, tmp_path, 2)
    killed.kill()
    killed.communicate()
    kept = cells_in(tmp_path)
    assert 2 <= len(kept) < 12, "the kill must come in mid-run"

    second = start(tmp_path, *arguments)
    out, err = second.communicate(timeout=300)
    assert second.returncode == 0, err
    after = cells_in(tmp_path)
    assert after[: len(kept)] == kept, "finished cells are kept as they are, times included"
    assert len(after) == 12, "no cell is computed twice"
    assert "| ours, range-column, 1 network |" in out
    assert {path.name for path in tmp_path.iterdir()} == {"cells.sqlite", "table3.md", "table3.json", "table3.html"}


@pytest.mark.slow
def test_ctrl_c_ends_cleanly(tmp_path):
    process = start(tmp_path, "table4", "--nets", "1", "--sizes", "3000,4000,5000")
    wait_for_cells(process, tmp_path, 1)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err.splitlines()[-1] == "sdqviz: stopped; what was finished is kept"
    assert "Traceback" not in err


@pytest.mark.slow
def test_more_networks_than_are_shipped_are_trained_once(tmp_path, monkeypatch):
    monkeypatch.setenv("SDQVIZ_CACHE", str(tmp_path / "cache"))
    seen = []
    chosen = paper.plan("table3", nets=4, sizes=[300])
    (result,) = reproduce.run(chosen, tmp_path, lambda done, total, message: seen.append((done / total, message)))
    assert len(result.lines[0].values[300]) == 4
    assert any("training" in message for _, message in seen)
    assert [share for share, _ in seen] == sorted(share for share, _ in seen)
    assert [file.name for file in (tmp_path / "cache").iterdir()] == ["mnist-fnn-seed3.safetensors"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("table", "network", "needs"),
    [
        (
            "table3",
            "mnist-fnn",
            {("norm-global", 7000): 97.0, ("range-layer", 1000): 97.0, ("range-column", 1000): 97.4},
        ),
        (
            "table4",
            "mnist-residual",
            {("norm-global", 7000): 97.5, ("range-layer", 1000): 97.0, ("range-column", 1000): 97.8},
        ),
    ],
)
def test_one_bit_accuracies_on_every_shipped_network(tmp_path, table, network, needs):
    (result,) = run(tmp_path, table, nets=3, sizes=[1000, 7000])
    print("\n" + result.to_markdown())
    for (rule, size), least in needs.items():
        line = next(line for line in result.lines if f"ours, {rule}" in line.label)
        assert len(line.values[size]) == 3
        assert min(line.values[size]) >= least, f"{network}, {rule}, N={size}: {line.values[size]}"


# -- what is written ----------------------------------------------------------------------------------


def test_what_is_written_can_be_read_and_drawn(tmp_path, table):
    table.write(tmp_path)
    values = json.loads((tmp_path / "table3.json").read_text())
    assert values["lines"][0]["published"] is True and values["lines"][0]["mean"] == {"1000": 36.18}
    rows = [line for line in (tmp_path / "table3.md").read_text().splitlines() if line.startswith("|")]
    assert {row.count("|") for row in rows} == {4} and len(rows) == 2 + len(table.lines)
    drawn = draw_lines(table, Ink())
    assert [trace.name for trace in drawn.data] == [line.label for line in table.lines if line.kind != "bits"]
    assert list(drawn.data[1].x) == [300, 1000]
    assert drawn.data[1].y[0] == table.lines[1].mean(300)
    page = paper_page(table).decode()
    assert "<td>36.18 (7.65)</td>" in page and 'src="http' not in page, "the page must open offline"
    assert "36.18 (7.65) at N = 1000" in table.alt


def test_curves_skip_what_was_refused(tmp_path):
    (result,) = run(tmp_path, "figure1", nets=1, sizes=[256, 300], steps=[0.5])
    assert list(draw_lines(result, Ink()).data[0].x) == [300]
    assert len(paper_page(result)) > 1000
