import dataclasses
import json

import numpy as np
import pytest

import sdqviz as sq
from sdqviz.compression.question import Question
from sdqviz.error import InputError
from sdqviz.explore import preset, what_if
from sdqviz.explore.network import changed, link, words
from sdqviz.explore.network import table as layer_table
from sdqviz.explore.network.errors import errors_info
from sdqviz.explore.network.histogram import histogram_info
from sdqviz.explore.rounding_beside import Comparison
from sdqviz.explore.stored import recompute
from sdqviz.explore.wording import number
from sdqviz.plots import theme
from sdqviz.plots.network import bounds as network_bounds
from sdqviz.plots.network import bytes as network_bytes
from sdqviz.plots.network import errors as network_errors
from sdqviz.plots.network import images as network_images
from sdqviz.plots.network import layers_axis
from sdqviz.plots.network import overview as panels
from sdqviz.plots.network import vector as network_vector
from sdqviz.plots.theme import Ink

SMALL = {"size": 300, "bits": 1, "calibration": 32}
PRESETS = preset.of_page("network")


@pytest.fixture(scope="module")
def answer():
    return what_if.answer(link.question(SMALL))


def spec(panel):
    """Return the figure as the browser gets it."""
    return json.loads(panel.figure.to_json())


def same(actual, expected, where):
    if isinstance(expected, dict):
        assert set(actual) == set(expected), where
        for key, value in expected.items():
            same(actual[key], value, f"{where} {key}")
    elif isinstance(expected, list):
        assert len(actual) == len(expected), where
        for place, value in enumerate(expected):
            same(actual[place], value, f"{where} {place}")
    elif isinstance(expected, float):
        np.testing.assert_allclose(actual, expected, rtol=1e-4, err_msg=where)
    else:
        assert actual == expected, where


@pytest.mark.parametrize("one", PRESETS.values(), ids=list(PRESETS))
def test_preset_stores_what_the_page_computes(one):
    same(recompute(one), one.result, one.name)


def test_presets_cover_the_quick_networks_and_the_default():
    assert len(PRESETS) >= 3
    assert {one.choices["network"] for one in PRESETS.values()} >= {"mnist-fnn", "mnist-residual", "mnist-lenet"}
    default = link.question(PRESETS["network-two-bits"].choices)
    assert link.stored_comparison(default) is not None
    assert link.stored_comparison(link.question({"size": 999})) is None


@pytest.mark.parametrize("name", sorted(sq.NETWORKS))
def test_outline_from_the_store_is_that_of_the_network(name):
    choice = sq.NETWORKS[name]()
    assert link.outline(choice) == what_if.outline(choice)


def test_question_reads_the_link():
    found = link.question(
        {"network": "mnist-residual", "network_seed": 2, "method": "round-to-nearest", "bits": 3, "seed": 4,
         "calibration": 99, "bits_by_layer.input": 5, "bits_by_layer.output": None, "picture": "svg"}
    )  # fmt: skip
    method = sq.METHODS["round-to-nearest"](bits=3, bits_by_layer={"input": 5})
    assert found == Question(sq.NETWORKS["mnist-residual"](seed=2), method, 99, 4)
    with pytest.raises(InputError, match="bits_by_layer must name layers of the network"):
        what_if.answer(link.question({"bits_by_layer.nowhere": 2, "size": 300}))


def test_errors_are_the_reports(answer):
    series = errors_info(answer.comparison)
    assert len(series) == 3
    np.testing.assert_array_equal(series[0].same_input, [row.relative_error for row in answer.comparison.report.layers])
    beside = answer.comparison.rounding.reports["mse"]
    np.testing.assert_array_equal(series[2].propagated, [row.propagated_error for row in beside.layers])
    drawn = spec(network_errors.draw_errors(answer.comparison, Ink(), "hidden2"))
    bars = [trace for trace in drawn["data"] if trace["type"] == "bar"]
    assert [bar["x"] for bar in bars] == [["hidden1", "hidden2", "output"]] * 3
    assert drawn["layout"]["shapes"][0]["x0"] == 0.5  # the chosen layer is marked


def test_every_layers_bound_is_above_its_measured_error(answer):
    panel = network_bounds.draw_layer_bounds(answer.comparison.report, Ink(), answer.layer("hidden1").bounds)
    table = panel.table()
    assert table["holds"].all() and (table["measured"] <= table["bound"]).all()
    assert len(panel.formulas) == len(answer.layer("hidden1").bounds)
    assert all(formula.text for formula in panel.formulas)


def test_bounds_of_a_stochastic_walk_are_named_for_what_they_are_about():
    found = what_if.answer(link.question({"method": "spfq", "fit": "max", "finite": False, "calibration": 32}))
    first, *_ = panels.overview(found.comparison, found, "hidden1", None, Ink())
    assert spec(first)["layout"]["yaxis"]["title"]["text"] == "max ‖Xw − X̃q‖₂"
    table = first.table()
    assert table["holds"].all() and (table["measured"] < table["bound"]).all()
    (formula,) = first.formulas
    assert formula.text == "hoeffding" and "probability 0.95" in formula.source
    assert "max ‖Xw−X̃q‖₂" in layer_table.shown_table(found.comparison.report)


def test_broken_stability_is_drawn_as_not_applicable():
    found = what_if.answer(link.question(SMALL | {"step": 0.02}))
    report = found.comparison.report
    assert all(row.unstable > 0 and not row.bound_holds for row in report.layers)
    panel = network_bounds.draw_layer_bounds(report, Ink())
    assert {trace["name"] for trace in spec(panel)["data"]} == {"bound, not applicable", "measured"}
    assert "No bound applies" in panel.look
    assert words.verdict(report).startswith("bound not applicable: the bound on W")
    overload, unstable, _ = words.counts(report)
    assert f"hidden1 {report.layers[0].overload:,}" in overload and "output" in unstable
    walk = network_vector.draw_vector(found, "hidden1", "worst", Ink())
    assert "leaves its band" in walk.look and np.abs(walk.table()["state"]).max() > 0.01


def test_output_panel_shows_the_ladder_or_says_why_not(answer):
    report = answer.comparison.report
    alone = network_bounds.draw_output_bounds(report, Ink(), answer.bounds)
    assert alone.table()["bound"].tolist() == ["a priori", "measured"]
    full = network_bounds.draw_output_bounds(report, Ink(), answer.bounds, what_if.ladder(answer)).table()
    assert full["bound"].tolist() == ["a priori", "P0", "P1", "P2", "P3", "P4", "measured"]
    assert full["value"][0] >= full["value"][1]
    conv = what_if.answer(link.question({"network": "mnist-lenet", "size": 300, "calibration": 16}))
    panel = network_bounds.draw_output_bounds(conv.comparison.report, Ink(), conv.bounds)
    assert "Not applicable: layer conv1 is a convolution" in panel.look
    assert "convolution" in spec(panel)["layout"]["annotations"][0]["text"]
    assert words.verdict(conv.comparison.report).startswith("bound not applicable: layer conv1")


def test_bytes_of_each_bar_add_up(answer):
    info = layer_table.bytes_info(answer.comparison)
    totals = [sum(parts.values()) for parts in info.values()]
    report, beside = answer.comparison.report, answer.comparison.rounding
    np.testing.assert_allclose(totals, [report.original_bytes, report.bytes, beside.reports["max"].bytes])
    n = sum(row.weights for row in report.layers)
    np.testing.assert_allclose(info["frame"]["levels"], 300 * (784 + 256 + 256) / 8)
    np.testing.assert_allclose(8 * totals[1] / n, report.bits_per_weight, rtol=1e-4)
    assert "KiB" in network_bytes.draw_bytes(answer.comparison, Ink()).alt


def test_histograms_count_every_weight_in_the_same_bins(answer):
    info = histogram_info(answer, "hidden2")
    for counts in (info.before, info.after, info.rounded):
        assert counts.sum() == 256 * 256
    rounded = answer.comparison.rounding.weights["hidden2"]
    assert np.count_nonzero(info.rounded) < np.count_nonzero(info.before) or len(np.unique(rounded)) > 100


def test_flips_are_the_images_of_the_test_set(answer):
    info = changed.flips_info(answer)
    dataset = answer.compression.original.dataset
    assert len(info.index) == answer.comparison.report.changed_predictions
    assert len(info.images) == min(len(info.index), changed.DRAWN_IMAGES)
    np.testing.assert_allclose(info.images[0], dataset.test_inputs[info.index[0]][0], atol=1e-6)
    before, after = answer.comparison.report.accuracy_before, answer.comparison.report.accuracy_after
    np.testing.assert_allclose((info.won - info.lost) / info.total, after - before, atol=1e-12)
    panel = network_images.draw_flips(answer, Ink(dark=True))
    captions = [one["text"] for one in spec(panel)["layout"]["annotations"]]
    assert captions[0] == f"<b>{info.label[0]}</b>: {info.before[0]} → {info.after[0]}"
    assert len(captions) == len(info.images)


def test_no_flip_is_said_not_drawn():
    fine = what_if.answer(link.question({"method": "round-to-nearest", "bits": 16, "calibration": 16}))
    assert len(fine.changed) == 0
    panel = network_images.draw_flips(fine, Ink())
    assert spec(panel)["layout"]["annotations"][0]["text"] == "No prediction changed."
    assert "no state to walk" in network_vector.draw_vector(fine, "hidden1", "worst", Ink()).look


def test_rounding_that_wins_is_told_with_both_numbers(answer):
    comparison = answer.comparison
    assert not comparison.rounding_wins or "wins" in words.verdict_on_rounding(comparison)
    best = comparison.rounding.best.relative_output_error
    assert best == min(one.relative_output_error for one in comparison.rounding.reports.values())
    strong = what_if.answer(link.question({"size": 1000, "calibration": 32}))
    assert strong.comparison.rounding_wins
    spent = strong.comparison.rounding.best.bits_per_weight
    assert 4 < spent <= strong.comparison.report.bits_per_weight
    assert f"Plain rounding wins here: with {number(spent)} bits" in words.verdict_on_rounding(strong.comparison)


def test_rounding_that_only_keeps_more_accuracy_is_told_too(answer):
    report, beside = answer.comparison.report, answer.comparison.rounding
    best = dataclasses.replace(beside.best, relative_output_error=0.9, accuracy_after=0.91)
    rounding = dataclasses.replace(beside, reports={"max": best})
    mine = dataclasses.replace(report, relative_output_error=0.4, accuracy_after=0.9)
    told = words.verdict_on_rounding(Comparison(mine, answer.comparison.parts, rounding))
    assert told.startswith("Plain rounding keeps more accuracy here, 91.0 %") and "90.0 %" in told
    better = dataclasses.replace(mine, accuracy_after=0.92)
    assert words.verdict_on_rounding(Comparison(better, answer.comparison.parts, rounding)) is None
    dear = dataclasses.replace(rounding, affordable=False)
    assert words.verdict_on_rounding(Comparison(mine, answer.comparison.parts, dear)) is None


def test_code_gives_the_numbers_of_the_page(answer, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(link.code(answer.question, answer.comparison), names)
    assert names["report"].to_dict()["accuracy_after"] == answer.comparison.report.accuracy_after
    assert names["report"].relative_output_error == answer.comparison.report.relative_output_error
    printed = [float(line) for line in capsys.readouterr().out.split()]
    assert printed == [one.relative_output_error for one in answer.comparison.rounding.reports.values()]
    assert (tmp_path / "compressed.sdq").stat().st_size > answer.comparison.report.bytes


def test_tables_and_report_are_complete(answer):
    report = answer.comparison.report
    lines = layer_table.table_csv(report).decode().splitlines()
    assert len(lines) == 4 and lines[1].startswith("hidden1,Linear,256×784,200704,")
    assert len(layer_table.shown_table(report)) == len(layer_table.SHOWN)
    conv = what_if.answer(link.question({"network": "mnist-lenet", "size": 300, "calibration": 16})).comparison.report
    values = json.loads(layer_table.report_json(conv))
    assert values["output_bound"] is None and len(values["layers"]) == 4


def test_stored_comparison_draws_the_same_panels(answer):
    stored = Comparison.from_dict(answer.comparison.to_dict())
    for live, kept in zip(
        panels.overview(answer.comparison, None, "hidden1", None, Ink()),
        panels.overview(stored, None, "hidden1", None, Ink()),
        strict=True,
    ):
        assert live.figure.to_json() == kept.figure.to_json()


@pytest.mark.parametrize("dark", [False, True])
def test_every_panel_has_words_formula_and_data(answer, dark):
    ink = Ink(dark)
    drawn = [
        network_errors.draw_errors(answer.comparison, ink),
        *panels.overview(answer.comparison, answer, "hidden1", None, ink),
        *panels.closely(answer, "hidden1", "median", ink),
    ]
    assert len({panel.name for panel in drawn}) == len(drawn)
    for panel in drawn:
        assert len(panel.alt) > 40 and panel.look.endswith((".", ":"))
        assert panel.formulas and all(formula.latex for formula in panel.formulas)
        assert all(symbol for formula in panel.formulas for symbol, _, _ in formula.symbols)
        assert panel.csv().count(b"\n") > 1
        assert len(panel.figure.to_json()) < 300_000


def test_long_names_of_layers_are_written_from_a_dot_on_and_stand_inside_the_picture():
    names = [f"bert.encoder.layer.{k}.attention.{part}" for k in range(2) for part in ("self.query", "output.dense")]
    figure = theme.figure(Ink(), y="error", height=340)
    figure.add_scatter(x=names, y=[1.0, 2.0, 3.0, 4.0])
    layers_axis.name_layers(figure, names, 60)
    axis, written = figure.layout.xaxis, [layers_axis.written_name(name) for name in names]
    assert written[:2] == ["…0.attention.self.query", "…0.attention.output.dense"]
    assert len(set(written)) == len(names) and max(map(len, written)) <= layers_axis.LONGEST_NAME
    assert list(axis.categoryarray) == names and dict(axis.labelalias) == dict(zip(names, written, strict=True))
    assert axis.tickangle == layers_axis.SLANTED
    assert figure.layout.margin.l >= layers_axis.SIDEWAYS * len(written[0])
    assert layers_axis.written_name("hidden1") == "hidden1" and len(layers_axis.written_name("x" * 99)) == 26
