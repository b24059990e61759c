"""The table of accuracy against size: settings are tuned on training images, tested on test images, counted whole."""

import dataclasses
import json
import math

import numpy as np
import pytest

import sdqviz as sq
from sdqviz.error import InputError, Stopped
from sdqviz.experiments import pareto
from sdqviz.experiments.pareto_table import SLACK, Cell, Table
from sdqviz.experiments.run_store import RunStore
from sdqviz.methods import METHODS


def few_frames():
    yield METHODS["frame"](frame="random", redundancy=1.001, bits=2, step_rule="range-column", step_bits="16")
    yield METHODS["frame"](frame="harmonic", redundancy=1.05, bits=1, step_rule="range-column")
    yield METHODS["frame"](size=256)  # there is no such frame: it takes no part


FEW = {
    "rounding, max": lambda: [METHODS["round-to-nearest"](bits=bits) for bits in (1, 2)],
    "rounding, MSE": lambda: [METHODS["round-to-nearest"](bits=bits, fit="mse") for bits in (1, 2)],
    "frame quantization": few_frames,
    "magnitude pruning": lambda: [METHODS["magnitude-pruning"](pruning_ratio=0.3)],  # the survivors alone take 22 bits
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("pareto")


@pytest.fixture(scope="module")
def table(folder):
    """Two budgets, one network, few settings."""
    with RunStore(folder / "runs.sqlite") as store:
        return pareto.run(store, settings=FEW, budgets=(1, 2), nets=1)


def test_a_cell_holds_the_best_setting_that_keeps_the_budget(table):
    picks = {(cell.line, cell.budget): cell.method for cell in table.cells}
    one, two = FEW["rounding, max"]()
    assert picks["rounding, max", 1] == one and picks["rounding, max", 2] == two
    fine, coarse, _ = few_frames()
    assert picks["frame quantization", 1] is None, "1.206 bits are more than 1.1"
    assert picks["frame quantization", 2] == fine != coarse
    assert picks["magnitude pruning", 2] is None
    assert table.tried == 8
    for cell in table.cells:
        assert all(bits <= cell.budget + SLACK for bits in cell.bits)


def test_a_cell_holds_the_accuracy_and_the_size_of_the_compressed_network(table):
    network = sq.NETWORKS["mnist-fnn"]().load()
    assert table.exact == (network.accuracy(),)
    for line in ("rounding, MSE", "frame quantization"):
        cell = table.cell(line, 2)
        expected = sq.compress(network, cell.method, pareto.CALIBRATION, 0).report
        assert cell.accuracies == (expected.accuracy_after,) and cell.bits == (expected.bits_per_weight,)
        assert cell.mean == expected.accuracy_after and math.isnan(cell.deviation)


def test_settings_are_judged_on_training_images_that_calibration_does_not_see(table):
    network = sq.NETWORKS["mnist-fnn"]().load()
    held = pareto.judged_on_training_images(network)
    full = network.dataset
    assert (held.dataset.calibration_size, held.dataset.test_size) == (50_000, 10_000)
    np.testing.assert_array_equal(held.dataset.test_labels, full.calibration_labels[50_000:])
    np.testing.assert_array_equal(held.dataset.test_inputs[-1], full.calibration_inputs[-1])
    np.testing.assert_array_equal(held.dataset.calibration_labels, full.calibration_labels[:50_000])
    cell = table.cell("rounding, MSE", 2)
    assert cell.tuned == sq.compress(held, cell.method, pareto.CALIBRATION).report.accuracy_after != cell.mean


def test_everything_is_resumed_from_the_store(table, folder, monkeypatch):
    monkeypatch.setattr("sdqviz.compression.compress.compress", None)  # whoever compressed would fail
    told = []
    with RunStore(folder / "runs.sqlite") as store:
        again = pareto.run(store, settings=FEW, budgets=(1, 2), nets=1, progress=lambda *at: told.append(at))
    assert again == table
    assert told[0] == (0, 16, "mnist-fnn 0, round-to-nearest: bits=1") and told[-1][0] < 16


def test_a_stop_keeps_what_is_finished(tmp_path):
    done = []
    with RunStore(tmp_path / "runs.sqlite") as store:
        with pytest.raises(Stopped):
            pareto.run(store, settings=FEW, progress=lambda at, *_: done.append(at), should_stop=lambda: len(done) > 1)
        assert len(store) >= 1 and store.runs()[0].network == {"name": "mnist-fnn", "seed": 0, "judged": "held-out"}


def test_the_table_tells_numbers_sizes_settings_and_losses(table, tmp_path):
    text = table.to_markdown()
    frame, rounding = table.cell("frame quantization", 2), table.cell("rounding, MSE", 2)
    assert "| method | budget 1 | budget 2 |" in text
    assert f"| frame quantization | none fits | **{100 * frame.mean:.2f}** (2.09) |" in text
    assert (
        f"At a budget of 2 frame quantization beats plain rounding: {100 * frame.mean:.2f} against "
        f"{100 * rounding.mean:.2f} (rounding, MSE)."
    ) in text
    assert (
        "- frame quantization, 2: frame: frame=random, redundancy=1.001, bits=2, step_rule=range-column, step_bits=16"
        in text
    )
    table.write(tmp_path)
    assert (tmp_path / "pareto.md").read_text("utf-8") == text + "\n"
    values = json.loads((tmp_path / "pareto.json").read_text("utf-8"), parse_constant=pytest.fail)
    assert len(values["cells"]) == 8 and values["tried"] == 8
    assert METHODS.from_dict(values["cells"][5]["method"]) == frame.method


def test_a_loss_is_called_a_loss_and_a_mean_has_its_deviation():
    worse = Cell("frame quantization", 1, METHODS["frame"](), 0.5, (0.5, 0.7), (1.1, 1.1))
    better = Cell("rounding, max", 1, METHODS["round-to-nearest"](bits=1), 0.8, (0.8, 0.9), (1.0, 1.0))
    close = dataclasses.replace(better, accuracies=(0.62, 0.6))
    assert (
        "60.00 against 61.00 (rounding, max), a difference within the spread."
        in Table((close, worse), (0.98, 0.99), 2).to_markdown()
    )
    text = Table((better, worse), (0.98, 0.99), 2).to_markdown()
    assert "At a budget of 1 frame quantization loses to plain rounding: 60.00 against 85.00 (rounding, max). " in text
    assert " The best of all is rounding, max: 85.00." in text and "within the spread" not in text
    assert "**85.00 ± 7.07** (1.00)" in text and "60.00 ± 14.14 (1.10)" in text


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"lines": ["magic"]}, "line must be one of rounding, max, rounding, MSE, frame quantization, .*, got 'magic'"),
        ({"budgets": ()}, "budgets must be positive, got none"),
        ({"budgets": (2, -1)}, "budgets must be positive, got 2, -1"),
        ({"nets": 0}, "nets must be at least 1, got 0"),
    ],
)
def test_what_makes_no_table_is_refused(tmp_path, options, sentence):
    with RunStore(tmp_path / "runs.sqlite") as store, pytest.raises(InputError, match=sentence):
        pareto.run(store, **options)


def test_every_line_has_settings_for_its_own_method_within_the_smallest_and_the_largest_budget():
    for line, settings in pareto.LINES.items():
        found = tuple(settings())
        assert len({method.name for method in found}) == 1, line
        assert len(found) >= 3 and len(set(found)) == len(found), line
    used = {next(iter(settings())).name for settings in pareto.LINES.values()}
    assert used == set(METHODS)


def test_where_neither_frames_nor_rounding_fit_the_best_of_all_is_named():
    none = [Cell(line, 0.5, None) for line in ("rounding, max", "spread frames")]
    coded = Cell("coded frames", 0.5, METHODS["frame-coded"](), 0.9, (0.95, 0.97), (0.5, 0.5))
    assert (
        "At a budget of 0.5 the best of all is coded frames: 96.00." in Table((*none, coded), (1.0,), 3).to_markdown()
    )


@pytest.mark.slow
def test_at_two_bits_spread_frames_beat_plain_rounding_beyond_the_spread(tmp_path):
    lines = ["rounding, max", "rounding, MSE", "spread frames"]
    with RunStore(tmp_path / "runs.sqlite") as store:
        found = pareto.run(store, lines=lines, budgets=(2,), nets=3)
    print("\n" + found.to_markdown())
    frame, largest, square = (found.cell(line, 2) for line in (lines[2], *lines[:2]))
    assert len(frame.accuracies) == 3 and max(frame.bits) <= 2.1 and max(square.bits) <= 2.1
    better = max(largest, square, key=lambda cell: cell.mean)
    assert frame.mean - better.mean > max(frame.deviation, better.deviation)
