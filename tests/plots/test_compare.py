import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import sdqviz as sq
from sdqviz.experiments.compare import coordinates, difference
from sdqviz.experiments.compare.entry import Entry, entries
from sdqviz.experiments.compare.filters import brushed
from sdqviz.experiments.compare.front import front, headlines, pareto_info, rounding_verdict
from sdqviz.experiments.compare.published import one_bit_cost, published
from sdqviz.experiments.compare.table import shown_table
from sdqviz.experiments.paper.plan import PUBLISHED
from sdqviz.plots import compare
from sdqviz.plots import difference as drawn_difference
from sdqviz.plots.coordinates import draw_coordinates
from sdqviz.plots.theme import Ink

DRAWN = (Ink(), Ink(dark=True))


def points(*runs):
    return entries(((run, "here") for run in runs), averaged=False)


def naive_front(sizes, losses):
    """The definition, every pair looked at."""
    found = []
    for i, (s, loss) in enumerate(zip(sizes, losses, strict=True)):
        if math.isnan(s) or math.isnan(loss):
            continue
        beaten = any(
            t <= s and k <= loss and (t < s or k < loss)
            for t, k in zip(sizes, losses, strict=True)
            if not math.isnan(t + k)
        )
        if not beaten:
            found.append(i)
    return sorted(found)


FEW = st.sampled_from([0.0, 1.0, 1.5, 2.0, 3.0, math.nan])  # few values, so that ties are common


@given(st.lists(st.tuples(FEW, FEW), max_size=30))
def test_the_front_is_the_naive_one(pairs):
    sizes, losses = np.array([p[0] for p in pairs], float), np.array([p[1] for p in pairs], float)
    found = front(sizes, losses)
    assert sorted(found.tolist()) == naive_front(sizes, losses)
    assert (np.diff(sizes[found]) >= 0).all()


def test_the_front_of_many_random_points_is_the_naive_one():
    sizes, losses = np.random.default_rng(3).normal(size=(2, 400))
    assert sorted(front(sizes, losses).tolist()) == naive_front(sizes, losses)


def test_info_by_hand(made_run):
    some = points(
        made_run("gpfq", bits=2.0, accuracy=0.976),
        made_run("round-to-nearest", bits=2.1, accuracy=0.95),
        made_run("round-to-nearest", bits=3.0, accuracy=0.979),
        made_run("frame", bits=3.5, accuracy=0.977),
        made_run("frame", problem="no"),
    )
    info = pareto_info(some, "bits", "accuracy", 2.5)
    assert [info.points[i].values["bits"] for i in info.front] == [2.0, 3.0]
    assert [info.points[i].values["bits"] for i in info.rounding] == [2.1, 3.0]
    assert info.unharmed.values["bits"] == 2.0  # 0.98 - 0.976 is within half a point
    assert (info.best.method, info.best_rounding.values["accuracy"]) == ("gpfq", 0.95)
    assert rounding_verdict(info) == "Plain rounding wins at 3 bits: 1 of the 2 points of the front is its own."
    told = headlines(some, 9, info)
    assert told[2][2] == "GPFQ with 2 bits; rounding nearest in size: 95.00 % with 2.1 bits"
    assert [value for _, value, _, _ in told] == ["5", "2", "97.60 %"]
    assert told[0][2] == "of 9; 3 methods, 1 failed"


def test_rounding_beside_the_best_is_the_nearest_in_size_not_the_dearest_within_the_budget(made_run):
    some = points(
        made_run("gpfq", bits=2.15, accuracy=0.97),
        made_run("round-to-nearest", bits=1.1, accuracy=0.58),
        made_run("round-to-nearest", bits=2.23, accuracy=0.9),  # 3 % beyond the budget, and nearest in size
        made_run("round-to-nearest", bits=2.24, accuracy=0.92, choices={"bits": 2, "fit": "mse"}),  # as near
        made_run("round-to-nearest", bits=2.15, accuracy=0.6, network="mnist-lenet"),  # of another network
    )
    info = pareto_info(some, "bits", "accuracy", 2.2)
    assert info.best.method == "gpfq" and info.best_rounding.values["bits"] == 2.24
    assert pareto_info(some[:1], "bits", "accuracy", 2.2).best_rounding is None


def test_where_rounding_wins_nowhere_or_is_missing_the_page_says_so(made_run):
    low = pareto_info(points(made_run(), made_run("round-to-nearest", accuracy=0.5)), "bits", "accuracy", 4)
    assert rounding_verdict(low).startswith("Plain rounding is nowhere on the front")
    none = pareto_info(points(made_run()), "bits", "error", 4)
    assert rounding_verdict(none).startswith("No run of plain rounding")


def test_nothing_within_reach_is_said(made_run):
    info = pareto_info(points(made_run(bits=4.0, accuracy=0.5)), "bits", "accuracy", 2.0)
    values = [value for _, value, _, _ in headlines((), 1, info)]
    assert values == ["0", "none", "none"]


def specs(panel):
    return json.loads(panel.figure.to_json())


@pytest.mark.parametrize("ink", DRAWN)
def test_drawn_methods_have_colour_marker_and_fronts_a_dash_each(made_run, ink):
    some = points(*(made_run(name, bits=1.0 + k, accuracy=0.9 + k / 100) for k, name in enumerate(sorted(sq.METHODS))))
    panel = compare.draw_pareto(pareto_info(some, "bits", "accuracy", 3), ink, marked={some[0].key: "A"})
    traces = {trace["name"]: trace for trace in specs(panel)["data"]}
    looks = {
        (trace["marker"]["color"], trace["marker"]["symbol"])
        for trace in map(traces.get, map(sq.METHODS.called_shortly, sq.METHODS))
    }
    assert len(looks) == len(sq.METHODS)
    fronts = [traces["front, rounding"]["line"], traces["front, all"]["line"]]
    assert fronts[0]["dash"] != fronts[1].get("dash", "solid") and {line["shape"] for line in fronts} == {"hv"}
    assert "<b>A</b>" in [note.get("text") for note in specs(panel)["layout"]["annotations"]]
    assert any(c.isdigit() for c in panel.alt)
    assert len(panel.table()["method"]) == len(some)


def test_a_name_from_a_file_is_drawn_in_grey_and_sorted_last(made_run):
    some = points(made_run("of another program"), made_run("gptq"))
    panel = compare.draw_pareto(pareto_info(some, "bits", "error", 3), Ink())
    assert [trace["name"] for trace in specs(panel)["data"]][-1] == "of another program"


def test_published_marks_stand_at_the_bits_of_our_widths():
    network = sq.NETWORKS["mnist-fnn"]().load()
    report = sq.compress(network, sq.METHODS["frame"](size=1000, bits=1, step_rule="norm-global"), 0).report
    assert one_bit_cost(report, 1000) == pytest.approx(report.bits_per_weight, rel=2e-3)  # all but δ and the parameters
    run = Entry((_run(report),), "here")
    found = published([run], "mnist-fnn")
    assert [(one.size, round(100 * one.accuracy, 2)) for one in found] == [
        (size, mean) for size, (mean, _) in PUBLISHED["table3"].items()
    ]
    assert published([run], "mnist-lenet") == () and published([], "mnist-fnn") == ()
    panel = compare.draw_pareto(pareto_info([run], "bits", "accuracy", 3), Ink(), prints=found)
    mark = next(trace for trace in specs(panel)["data"] if trace["name"].startswith("published"))
    assert mark["marker"]["symbol"].endswith("-open") and "arXiv 2404.08131" in mark["text"][0]


def _run(report):
    from sdqviz.experiments.run import Run

    return Run("k", {"name": report.network, "seed": 0}, report.method, 0, 0, report)


def test_the_table_has_a_row_a_point_and_tells_bounds_and_problems(made_run):
    some = points(
        made_run(output_bound_holds=True, output_bound=2.0, output_error=1.0),
        made_run(output_bound_holds=True, output_bound=1.0, output_error=2.0, bits=3.0),
        made_run(bits=5.0),
        made_run(problem="size must be larger"),
    )
    table = shown_table(some)
    assert table["bound holds"] == ["yes", "violated in 1", "not applicable", "not applicable"]
    assert table["problem"] == ["", "", "", "size must be larger"] and table["bits per weight"][3] is None
    assert len({len(column) for column in table.values()}) == 1


# -- parallel coordinates and the brush -----------------------------------------------------------------


def test_a_box_over_an_axis_keeps_the_runs_whose_lines_pass_through_it(made_run):
    rng = np.random.default_rng(0)
    some = points(
        *(
            made_run(name, bits=float(b), accuracy=float(a), error=float(e), seconds=0.1 + k)
            for k, (name, b, a, e) in enumerate(
                zip(["gpfq", "frame", "gptq"] * 10, rng.uniform(1, 8, 30), rng.uniform(0.1, 0.99, 30),
                    rng.uniform(0.01, 2, 30), strict=True)
            )
        )
    )  # fmt: skip
    info = coordinates.coordinates_info(some, compare.order_of)
    for name, low, high in (("bits", 0.2, 0.6), ("accuracy", 0.5, 1.1), ("error", -0.1, 0.3), ("method", 0.5, 1.0)):
        at = info.axes.index(name)
        brush = coordinates.brush_of([{"x": [at - 0.2, at + 0.3], "y": [low, high]}], info)
        assert list(brush) == [name]
        wanted = [one.key for one, h in zip(some, info.heights[:, at], strict=True) if low <= h <= high]
        assert [one.key for one in brushed(some, brush)] == wanted and wanted
    both = coordinates.brush_of([{"x": [-1, 9], "y": [0.1, 0.9]}], info)
    assert set(both) == set(info.axes)
    assert coordinates.brush_of([{"x": [0.2, 0.4], "y": [0, 1]}], info) == {} == coordinates.brush_of([], info)


@pytest.mark.parametrize("ink", DRAWN)
def test_lines_outside_the_brush_are_faint(made_run, ink):
    some = points(made_run(bits=1.0), made_run("frame", bits=2.0), made_run(problem="no"))
    panel = draw_coordinates(coordinates.coordinates_info(some, compare.order_of), some[:1], ink)
    lines = [trace for trace in specs(panel)["data"] if trace["mode"].startswith("lines")]
    assert [line["name"] for line in lines] == ["outside the brush", "GPFQ"]
    assert lines[0]["line"]["color"] == ink.faint and panel.alt.startswith("1 of 2 points")


def test_axes_without_figures_and_without_points(made_run):
    untested = points(made_run(accuracy=None), made_run(accuracy=None, bits=3.0))
    assert "accuracy" not in coordinates.coordinates_info(untested, compare.order_of).axes
    empty = coordinates.coordinates_info((), compare.order_of)
    assert draw_coordinates(empty, (), Ink()).alt.startswith("0 of 0")
    compare.draw_pareto(pareto_info((), "bits", "accuracy", 2), Ink())


# -- A against B -----------------------------------------------------------------------------------------


def test_difference_by_hand(made_run):
    rows = [{"name": "one", "relative_error": 0.1, "bits_per_weight": 2.0}, {"name": "two", "relative_error": 0.2}]
    other = [{"name": "one", "relative_error": 0.4, "bits_per_weight": 3.0}, {"name": "three", "relative_error": 0.3}]
    info = difference.difference_info(
        made_run(layers=rows, bits=2.0), made_run("frame", layers=other, bits=4.0, choices={"bits": 1, "size": 9})
    )
    assert info.layers == ("one", "two", "three")
    np.testing.assert_allclose(info.column("relative_error", 0), [0.1, 0.2, np.nan])
    np.testing.assert_allclose(difference.table(info)["error, same input, B/A"], [4.0, np.nan, np.nan])
    assert ("method", "GPFQ", "Frame quantization (ΣΔ)") in info.settings and (
        "frame size N",
        "–",
        "9",
    ) in info.settings
    assert not any(name.startswith("network") for name, _, _ in info.settings)
    assert "bits per original weight 2 in A, 4 in B" in difference.sentence(info)
    assert "Only 1 of 3 layers are in both" in difference.sentence(info)
    assert (
        "Largest difference at one: 10.0 % in A, 40.0 % in B, ratio 4" in drawn_difference.draw_errors(info, Ink()).look
    )
    assert len(difference.shown_table(info)["layer"]) == 3


@pytest.mark.parametrize("ink", DRAWN)
def test_a_run_against_itself_differs_in_nothing(made_run, ink):
    run = made_run(layers=[{"name": "one", "relative_error": 0.1}])
    info = difference.difference_info(run, run)
    assert info.settings == ()
    columns = difference.settings_columns(info)
    assert columns["A"] == columns["B"] and len(columns[""]) == len(difference.COMPARED)
    for panel in (drawn_difference.draw_errors(info, ink), drawn_difference.draw_bits(info, ink)):
        names = [trace["name"] for trace in specs(panel)["data"]]
        assert len(names) == len(set(names)) and any(c.isdigit() for c in panel.alt)


def test_many_points_are_thinned_and_the_plot_says_so(made_run):
    count = 2300
    some = points(*(made_run(bits=1.0 + k / 100, error=1 / (1 + k), layers=()) for k in range(count)))
    info = pareto_info(some, "bits", "error", 3)
    assert len(info.front) == count  # every one beats the others: all are drawn
    worse = points(*(made_run(bits=1.0 + k / 100, error=1.0 + k) for k in range(count)))
    for panel in (
        compare.draw_pareto(pareto_info(worse, "bits", "error", 3), Ink()),
        draw_coordinates(coordinates.coordinates_info(worse, compare.order_of), worse, Ink()),
    ):
        spec = specs(panel)
        notes = [note["text"] for note in spec["layout"]["annotations"] if "text" in note]
        assert any(f"of {count:,} points drawn" in note for note in notes)
        assert all(len(trace["text"]) <= 2001 for trace in spec["data"] if "text" in trace)
        assert len(panel.table()["method"]) == count


def test_three_hundred_single_runs_stay_light(made_run):
    names = sorted(sq.METHODS)
    some = points(*(made_run(names[k % 9], bits=1 + k / 50, error=0.1 + k / 1000, seed=k) for k in range(320)))
    info = pareto_info(some, "bits", "error", 3)
    drawn = [
        compare.draw_pareto(info, Ink()),
        draw_coordinates(coordinates.coordinates_info(some, compare.order_of), some, Ink()),
    ]
    assert sum(len(panel.figure.to_json()) for panel in drawn) <= 300_000
