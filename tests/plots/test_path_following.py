import dataclasses

import numpy as np
import plotly.io
import pytest

from sdqviz.explore import monte_carlo
from sdqviz.explore.layer_walks import bands, link, words
from sdqviz.methods.unified import OPERATORS
from sdqviz.plots.path_following import alignment as alignment_plot
from sdqviz.plots.path_following import cloud, paths
from sdqviz.plots.path_following import width as width_plots
from sdqviz.plots.theme import DRAWN, Ink


def everything(choices, ink=None):
    ink = ink or Ink()
    run = link.build(choices)
    return run, [paths.draw_paths(run, ink), *paths.panels(run, link.align(choices), link.widen(choices), ink)]


@pytest.mark.parametrize(
    ("choices", "names"),
    [
        ({}, ["walk", "operator", "cloud", "alignment", "width", "bits"]),
        ({"operator": "one-bit", "scaling": 50.0}, ["walk", "operator", "cloud", "alignment", "width"]),
        ({"operator": "prune", "norm": "euclidean", "drift": 0.0}, ["walk", "operator", "cloud", "width"]),
        ({"operator": "quantize", "bits": 1, "seeds": 1}, ["walk", "operator", "cloud", "alignment", "width", "bits"]),
        ({"inputs": 1024, "neurons": 2, "seeds": 2500}, ["walk", "operator", "cloud", "alignment", "width", "bits"]),
    ],
)
def test_panels_are_whole_and_small_enough(choices, names):
    run, drawn = everything(choices, Ink(dark=True))
    assert [panel.name for panel in drawn] == names
    sent = 0
    for panel in drawn:
        text = plotly.io.to_json(panel.figure)
        sent += len(text)
        assert any(c.isdigit() for c in panel.alt) and panel.look and panel.formulas
        for trace in panel.figure.data:
            assert 0 < len(trace.x) <= DRAWN, (panel.name, trace.name)
            x, y = np.asarray(trace.x, float), np.asarray(trace.y, float)
            assert np.isfinite(y[np.isfinite(x)]).all() and np.isfinite(y).any(), (panel.name, trace.name)
        columns = panel.table()
        assert len(panel.csv().splitlines()) == 1 + max(len(c) for c in columns.values())
    assert sent <= 300_000
    if run.choice.seeds > DRAWN:
        assert "points drawn" in plotly.io.to_json(drawn[2].figure)


def test_runs_are_drawn_in_the_order_of_their_errors_and_marked_above_the_sharpest_bound():
    run = link.build({})
    figure, table = cloud.draw_cloud(run, Ink()).figure, cloud.draw_cloud(run, Ink()).table()
    measured = next(trace for trace in figure.data if trace.name == "measured")
    np.testing.assert_allclose(measured.y, np.sort(run.cloud.infinity.max(axis=1)), rtol=1e-6)
    np.testing.assert_allclose(measured.x, (np.arange(500) + 0.5) / 500, rtol=1e-6)
    assert [shape.x0 for shape in figure.layout.shapes] == [1 - run.choice.failure]
    np.testing.assert_array_equal(table["error"], run.cloud.infinity.max(axis=1))  # still in the order of the seeds
    lowered = dataclasses.replace(
        run, bounds=tuple(dataclasses.replace(one, value=float(np.median(run.measured))) for one in run.bounds)
    )
    marked = [t for t in cloud.draw_cloud(lowered, Ink()).figure.data if t.name == "above the sharpest bound"]
    assert len(marked) == 1 and len(marked[0].x) == 250 and min(marked[0].x) > 0.5


def test_bands_are_quantiles_of_the_relative_states():
    run = link.build({"neurons": 11})
    band = bands.bands(run)["gpfq"]
    ratio = np.sort(run.path("gpfq").state / run.data.norms, axis=1)
    np.testing.assert_allclose(band.median, ratio[:, 5])
    np.testing.assert_allclose(band.low, ratio[:, 1])
    np.testing.assert_allclose(band.high, ratio[:, 9])


@pytest.mark.parametrize("operator", OPERATORS)
def test_the_operator_is_drawn_right_on_average_within_its_range(operator):
    run = link.build({"operator": operator, "room": 2.0})
    info = bands.operator_info(run)
    inside = np.abs(info.value) <= run.grid.radius[0]
    limit = float(run.quantizer.error_limit(run.grid).max())
    np.testing.assert_allclose(info.mean[inside], info.value[inside], atol=limit / 64)
    assert (np.abs(info.drawn - info.value)[inside] <= limit + 1e-12).all()
    assert inside.sum() > 100 and np.ptp(info.drawn - info.mean) > limit / 2
    if operator == "one-bit":
        assert set(info.drawn) == {-run.grid.radius[0], run.grid.radius[0]}


def test_what_is_said_about_the_bound_is_what_was_measured():
    run = link.build({})
    word, line = words.bound_verdict(run)
    assert word == "Yes" and f"{run.verdict.failures} of 500 runs" in line and "99.0 %" in line
    assert words.range_advice(run) is None
    table = words.bound_table(run)
    assert table.count("\n") == 1 + len(run.bounds) and all(one.title in table for one in run.bounds)
    clipped = link.build({"room": 0.5})
    assert words.bound_verdict(clipped)[0] == "Not applicable" and "clipped" in words.bound_verdict(clipped)[1]
    assert "lay beyond the last level" in words.range_advice(clipped)
    assert "No bound applies" in cloud.draw_cloud(clipped, Ink()).look
    assert "for C ≥" in words.range_advice(link.build({"operator": "one-bit", "room": 3.0}))
    assert "no room" in words.range_advice(link.build({"operator": "one-bit", "room": 0.9}))


def test_a_broken_bound_would_be_called_violated():
    run = link.build({})
    shrunk = tuple(_with(one, value=one.value / 100) for one in run.bounds)
    verdicts = tuple(monte_carlo.compare(run.measured, one) for one in shrunk)
    word, line = words.bound_verdict(_with(run, bounds=shrunk, verdicts=verdicts))
    assert word == "Violated" and "500 of 500 runs above it" in line


def _with(thing, **changes):
    import dataclasses

    return dataclasses.replace(thing, **changes)


def test_the_shown_code_gives_the_shown_numbers():
    choices = {"operator": "quantize", "bits": 3, "scaling": 2.0, "inputs": 60, "seeds": 40, "seed": 3}
    run = link.build(choices)
    found = {}
    exec(link.code(choices, run), found)
    assert found["run"].relative_error("unified") == run.relative_error("unified")
    assert f"{run.bits_per_weight:.6g}" in link.code(choices, run)
    np.testing.assert_array_equal(found["aligned"], run.aligned)


def test_looks_follow_the_numbers():
    assert "pile up" in paths.draw_paths(link.build({}), Ink()).look
    assert "half the square error" in width_plots.draw_width(link.widen({}), Ink()).look
    assert "not −1 here" in width_plots.draw_width(link.widen({"operator": "one-bit", "scaling": 100.0}), Ink()).look
    run = link.build({"samples": 200, "inputs": 20})
    info = link.align({"samples": 200, "inputs": 20})
    names = [trace.name for trace in alignment_plot.draw_alignment(run, info, Ink()).figure.data]
    assert info.least > 0.01 and "least squares" in names
