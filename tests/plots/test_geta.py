import dataclasses
import json

import numpy as np
import plotly.io
import pytest

from sdqviz.explore import preset
from sdqviz.explore.geta import beside as ways
from sdqviz.explore.geta import curves, formulas, words
from sdqviz.explore.geta import graph as places
from sdqviz.explore.geta import run as runs
from sdqviz.methods.geta import recording
from sdqviz.methods.geta.recording import Beside, Moment, Recording, Stage
from sdqviz.plots import theme
from sdqviz.plots.geta import beside as picture
from sdqviz.plots.geta import channels, graph, steps
from sdqviz.plots.geta.look import group_colour
from sdqviz.plots.theme import DRAWN, Ink
from sdqviz.pruning.outline import GroupOutline, Vertex

LAYERS = ("stem", "inner", "outer", "shortcut", "head")


def residual():
    """Vertices, edges and groups of a stem, one block with a convolution on its shortcut, and a head."""
    vertices = (
        Vertex("stem", "Conv2d", (0,), 4, 2),
        Vertex("norm", "BatchNorm2d", (0,), 4, 2),
        Vertex("relu", "relu", (), 0, 0),
        Vertex("inner", "Conv2d", (0, 1), 8, 5),
        Vertex("relu_1", "relu", (), 0, 0),
        Vertex("outer", "Conv2d", (1, 2), 6, 6),
        Vertex("shortcut", "Conv2d", (0, 2), 6, 6),
        Vertex("add", "add", (), 0, 0),
        Vertex("head", "Linear", (2, 3), 10, 10),
    )
    edges = ((0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (5, 7), (2, 6), (6, 7), (7, 8))
    groups = (
        GroupOutline("stem", 4, True, "", ("stem.weight, 0: produces", "inner.weight, 1: consumes"), (0, 3)),
        GroupOutline("inner", 8, True, "", ("inner.weight, 0: produces",), (1, 2, 7)),
        GroupOutline("outer", 6, True, "", ("outer.weight, 0: produces",), ()),
        GroupOutline("head", 10, False, "it reaches the output", ("head.weight, 0: produces",)),
    )
    return vertices, edges, groups


def grown(count=5, *, steps=40, seed=0, activations=True, finished=False, ascents=0, layers=LAYERS):
    rng = np.random.default_rng(seed)
    stages = (Stage("warm-up", 0, 4), Stage("projection", 4, 10), Stage("joint", 10, 30), Stage("cool-down", 30, steps))
    at = np.unique(np.linspace(0, steps, count).astype(int))
    moments = tuple(
        Moment(
            int(step), next((s.name for s in stages if step < s.last), "cool-down"),
            float(rng.uniform(0.1, 2)) if step else float("nan"), float(rng.uniform(0.9, 1)) if k % 2 == 0 else None,
            0.5 if step > 10 else 0.0, 0.5 if step > 30 else 0.0, float(rng.uniform(0.01, 0.3)),
            {name: float(rng.uniform(4, 16)) for name in layers},
            {name: float(rng.uniform(4, 16)) for name in layers[1:]} if activations else {}, ascents,
        )
        for k, step in enumerate(at)
    )  # fmt: skip
    report = None
    if finished:
        stored = preset.of_page("network")["network-convolutions"].result["comparison"]["report"]
        report = dict(stored) | {
            "bits_per_weight": 2.5, "accuracy_before": 0.99, "accuracy_after": 0.98, "bytes": 1000,
            "original_bytes": 12800, "macs": 500, "original_macs": 2000, "bops": 16_000.0, "relative_bops": 0.0078125,
            "parameters": 800, "original_parameters": 3200,
        }  # fmt: skip
    vertices, edges, groups = residual()
    method = {"name": "geta", "sparsity": 0.5, "bits_low": 4, "bits_high": 16, "tau": 0.1, "rate": 0.002,
              "optimizer": "adam", "safeguard": True}  # fmt: skip
    network = {"name": "mnist-lenet", "seed": 0}
    return Recording(network, method, seed, stages, vertices, edges, groups, moments, 0.99, report, (), 9.5, "0.2.0")


def all_panels(run, ink):
    drawn = [steps.draw_steps(run, ink), graph.draw_graph(run, ink), channels.draw_channels(run, ink)]
    return [*drawn, channels.draw_widths(run, ink), picture.draw_beside(run, ink)]


def shipped_runs():
    return [pytest.param(name, id=name) for name in recording.shipped()]


def assert_whole(run, ink):
    sent = 0
    for panel in all_panels(run, ink):
        text = plotly.io.to_json(panel.figure)
        sent += len(text)
        assert any(c.isdigit() for c in panel.alt) and panel.look and panel.formulas and "nan" not in panel.alt
        for trace in panel.figure.data:
            assert trace.x is None or len(trace.x) <= DRAWN
        columns = panel.table()
        assert len(panel.csv().splitlines()) == 1 + max(len(c) for c in columns.values())
        for formula in panel.formulas:
            assert formula.latex.count("{") == formula.latex.count("}")
    assert sent <= 300_000


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("run", [grown(), grown(1), grown(activations=False), grown(300, steps=900, finished=True)])
def test_panels_are_whole_at_every_state_of_a_run(run, dark):
    assert_whole(run, Ink(dark))


@pytest.mark.parametrize("name", shipped_runs())
def test_panels_of_shipped_recordings_are_whole_and_small_enough(name):
    assert_whole(runs.load(name), Ink())


# -- steps ---------------------------------------------------------------------------------------------


def test_curves_hold_what_was_recorded():
    run = grown(7)
    info = curves.curves(run)
    assert info.layers == LAYERS
    np.testing.assert_array_equal(info.step, [one.step for one in run.moments])
    np.testing.assert_array_equal(info.accuracy, [one.accuracy for one in run.moments if one.accuracy is not None])
    assert info.weight_bits[3, 2] == run.moments[3].weight_bits["outer"]
    assert (
        np.isnan(info.activation_bits[:, 0]).all()
        and info.activation_bits[2, 4] == run.moments[2].activation_bits["head"]
    )
    columns = curves.table(run)
    assert "activation_bits.stem" not in columns and len(columns["weight_bits.head"]) == 7


def test_the_slider_shows_each_layers_bits_and_the_sparsity_of_its_step():
    run = grown(6)
    figure = steps.draw_steps(run, Ink()).figure
    assert [frame["name"] for frame in figure.frames] == [step.args[0][0] for step in figure.layout.sliders[0].steps]
    for frame, moment in zip(figure.frames, run.moments, strict=True):
        text = frame["data"][0]["text"][0]
        assert f"step {moment.step} of 40: {moment.stage}" in text and f"zero {100 * moment.zero:.1f} %" in text
        lines = frame["data"][1:-2]
        assert len(lines) == 7 and all(tuple(line["x"]) == (moment.step, moment.step) for line in lines)
        np.testing.assert_allclose(frame["data"][-2]["x"], list(moment.weight_bits.values()), atol=0.005)
        assert frame["data"][-1]["x"][0] is None  # the stem's input is not quantized
        assert len(frame["data"]) == len(frame["traces"])
    moved = [figure.data[k] for k in figure.frames[0]["traces"]]
    assert moved[0].mode == "text" and moved[-1].marker.symbol == "diamond-open"
    assert figure.layout.sliders[0].active == 5


def test_a_growing_run_has_no_slider_and_keeps_the_axis_of_the_whole_plan():
    run = grown(4, steps=40)
    half = dataclasses.replace(run, moments=run.moments[:2])
    figure = steps.draw_steps(half, Ink(), scrub=False).figure
    assert not figure.frames and not figure.layout.sliders
    assert tuple(figure.layout.xaxis.range) == (0, 40)


def test_many_moments_are_scrubbed_evenly_and_the_plot_says_so():
    run = grown(500, steps=2000)
    panel = steps.draw_steps(run, Ink())
    assert len(panel.figure.frames) == curves.SCRUBBED and "120 of 500 moments" in panel.look
    assert len(panel.table()["step"]) == 500


# -- graph ---------------------------------------------------------------------------------------------


def test_layers_stand_in_order_branches_beside_and_norms_folded_in():
    info = places.layout(grown())
    names = [grown().vertices[node.vertex].name for node in info.nodes]
    assert sorted(names) == sorted(["stem", "inner", "outer", "shortcut", "add", "head"])
    at = dict(zip(names, info.nodes, strict=True))
    assert [at[name].depth for name in ("stem", "inner", "outer", "add", "head")] == [0, 1, 2, 3, 4]
    assert at["shortcut"].depth == 1 and at["shortcut"].lane == 1 and at["inner"].lane == 0
    assert [grown().vertices[k].name for k in at["stem"].after] == ["norm", "relu"]
    assert [at[name].group for name in ("stem", "inner", "outer", "shortcut", "add", "head")] == [0, 1, 2, 2, 2, 3]
    edges = {(names[a], names[b]) for a, b in info.edges}
    assert edges == {
        ("stem", "inner"), ("inner", "outer"), ("outer", "add"), ("stem", "shortcut"), ("shortcut", "add"),
        ("add", "head"),
    }  # fmt: skip


def test_what_a_node_hands_on():
    assert places.handed_on((0, 1), [1]) == 0  # back onto a residual stream
    assert places.handed_on((2,), [2, 2]) == 2 and places.handed_on((), [2, 2]) == 2
    assert places.handed_on((), [1, 2]) is None and places.handed_on((), []) is None


@pytest.mark.parametrize("seed", range(20))
def test_any_graph_is_drawn_forwards_and_no_two_marks_lie_on_each_other(seed):
    rng = np.random.default_rng(seed)
    count = int(rng.integers(2, 40))
    edges = [(int(rng.integers(0, k)), k) for k in range(1, count) for _ in range(rng.integers(1, 3))]
    vertices = tuple(
        Vertex(f"v{k}", "Conv2d" if rng.random() < 0.5 else "add", (0,), int(rng.integers(0, 3)), 0)
        for k in range(count)
    )
    run = dataclasses.replace(grown(1, layers=("v0", "v1")), vertices=vertices, edges=tuple(edges))
    info = places.layout(run)
    assert all(info.nodes[a].depth < info.nodes[b].depth for a, b in info.edges)
    spots = [(node.depth, node.lane) for node in info.nodes]
    assert len(set(spots)) == len(spots)
    drawn = [k for node in info.nodes for k in (node.vertex, *node.after)]
    assert sorted(drawn) == list(range(count))
    # an edge is only folded away inside a chain
    host = {k: n for n, node in enumerate(info.nodes) for k in (node.vertex, *node.after)}
    assert set(info.edges) == {(host[a], host[b]) for a, b in edges if host[a] != host[b]}
    marks = [t for t in graph.draw_graph(run, Ink()).figure.data if t.mode.startswith("markers") and t.hovertext]
    points = [(x, y) for trace in marks for x, y in zip(trace.x, trace.y, strict=True)]
    assert len(set(points)) == len(info.nodes)


def test_pointing_at_a_layer_tells_its_group_and_why_it_stays():
    figure = graph.draw_graph(grown(), Ink()).figure
    told = " ".join(text for trace in figure.data for text in trace.hovertext or ())
    for part in ("2 of 4 units removed", "kept: it reaches the output", "inner.weight, 1: consumes", "then norm, relu"):
        assert part in told
    table = graph.draw_graph(grown(), Ink()).table()
    assert table["member"].tolist()[:2] == ["stem.weight, 0: produces", "inner.weight, 1: consumes"]


def test_removed_units_are_hatched_and_add_up():
    panel = channels.draw_channels(grown(), Ink())
    hatched = [trace for trace in panel.figure.data if trace.marker.pattern.shape]
    assert sum(sum(trace.x) for trace in hatched) == 5
    assert list(zip(hatched[0].y, hatched[0].base, hatched[0].x, strict=True)) == [
        (0, 0, 1), (0, 3, 1), (1, 1, 2), (1, 7, 1)
    ]  # fmt: skip
    assert "5 of 18 prunable units" in panel.alt
    assert panel.table()["removed"].sum() == 5
    assert formulas.totals(grown()) == (5, 18)


def test_widths_are_those_of_the_layers_with_the_cut_on_top():
    panel = channels.draw_widths(grown(), Ink())
    before, after, removed = panel.figure.data
    assert [*before.customdata] == list(LAYERS)
    np.testing.assert_array_equal(before.y, [4, 8, 6, 6, 10])
    np.testing.assert_array_equal(after.y, [2, 5, 6, 6, 10])
    np.testing.assert_array_equal(np.add(removed.base, removed.y), before.y)
    assert "stem lost most: 2 of 4" in panel.look


# -- figures and sentences -------------------------------------------------------------------------------


def test_figures_are_those_of_the_report_or_of_the_last_moment():
    found = runs.figures(grown(finished=True))
    assert (found.bits_per_weight, found.accuracy_after, found.relative_bops) == (2.5, 0.98, 0.0078125)
    run = grown(6)
    found = runs.figures(run)
    assert found.bits_per_weight is None and found.accuracy_before == 0.99
    assert found.accuracy_after == run.moments[4].accuracy  # the last one that was tested
    assert found.relative_bops == run.moments[-1].relative_bops and (found.removed, found.units) == (5, 18)


@pytest.mark.parametrize(
    ("beside", "start"),
    [
        ((Beside("fine-tuned", 0.985, 0.005, 3.0, 0.5),), "A baseline wins here: fine-tuned keeps 98.50 %"),
        ((Beside("fine-tuned", 0.985, 0.05, 3.0, 0.5),), "More accuracy is to be had for more arithmetic"),
        ((Beside("fine-tuned", 0.975, 0.005, 3.0, 0.5),), None),
        ((Beside("fine-tuned", None, 0.005, 3.0, 0.5),), None),
        ((), None),
    ],
)
def test_a_baseline_that_wins_is_named(beside, start):
    told = words.verdict(dataclasses.replace(grown(finished=True), beside=beside))
    assert told is None if start is None else told.startswith(start)
    assert words.verdict(dataclasses.replace(grown(), beside=beside)) is None  # not before the end


def test_steps_uphill_are_counted_and_the_rule_is_named():
    assert (
        words.descent(grown(2))
        == "Every one of the 20 joint steps with the safeguard went downhill for the redundant units."
    )
    run = grown(2, ascents=3)
    published = dataclasses.replace(run, method={**run.method, "safeguard": False})
    assert words.descent(published).startswith("3 of 20 joint steps with the published rule")
    assert words.descent(dataclasses.replace(run, moments=run.moments[:1])).startswith(
        "No joint step has been taken yet"
    )


def test_costs_before_and_after_are_those_of_the_report():
    table = words.counts(grown(finished=True))
    assert "| MACs an input | 2 k | 500 | 25.0\u00a0% |" in table
    assert "| BOPs an input | 2.05 M | 16 k | 0.8\u00a0% |" in table  # 32·32·2000
    assert "| parameters | 3.2 k | 800 | 25.0\u00a0% |" in table and "98.00\u00a0%" in table
    assert words.counts(grown()) == ""
    assert "25.0 % of the parameters left" in words.removal_note(grown(finished=True))


def test_run_and_baselines_stand_in_one_picture():
    beside = (Beside("GPFQ, 5 bits", 0.96, 0.02, 5.1, 0.0), Beside("not tested", None, 0.02, 5.0, 0.0))
    run = dataclasses.replace(grown(finished=True), beside=beside)
    panel = picture.draw_beside(run, Ink())
    assert [(t.name, t.x[0], t.y[0]) for t in panel.figure.data] == [
        ("GETA", 0.0078125, 0.98), ("GPFQ, 5 bits", 0.02, 0.96), ("original", 1.0, 0.99)
    ]  # fmt: skip
    assert panel.figure.data[1].marker.symbol == "triangle-up"  # as on every page
    assert len(panel.table()["what"]) == 4 and ways.beside_lines(run).count("\n") == 5
    assert words.accuracy_note(run) == "before 99.00 %; GPFQ, 5 bits: 96.00 % at 2.0 % of the BOPs"
    tuned = [Beside(f"Smallest units removed, fine-tuned, {n}", 0.9 + n / 100, n / 100, 4.0, 0.5) for n in (1, 6)]
    run = dataclasses.replace(run, beside=(*beside, *tuned))  # 1 % is nearer to 0.8 % than 6 %
    assert words.accuracy_note(run) == "before 99.00 %; pruned, then fine-tuned: 91.00 % at 1.0 % of the BOPs"


def test_the_code_names_every_choice():
    lines = words.code(grown(finished=True))
    compile(lines, "page", "exec")
    assert "sq.NETWORKS['mnist-lenet'](seed=0)" in lines and "sparsity=0.5" in lines and "seed=0" in lines
    assert "bits_per_weight         # 2.5" in lines


# -- shipped recordings and presets ------------------------------------------------------------------------


def test_two_recordings_and_two_presets_are_shipped():
    assert len(runs.names()) >= 2
    shown = preset.of_page(runs.ADDRESS)
    assert len(shown) >= 2
    for one in shown.values():
        run = runs.load(one.choices["recording"])
        assert run.finished and json.loads(json.dumps(runs.summary(one.choices))) == dict(one.result)


@pytest.mark.parametrize("name", shipped_runs())
def test_shipped_runs_keep_what_the_method_promises(name):
    run = runs.load(name)
    found = runs.figures(run)
    share, low, high = run.method["sparsity"], run.method["bits_low"], run.method["bits_high"]
    low = min(low, run.method.get("activation_bits_low") or low)
    assert found.removed == round(share * found.units)
    bits = [*run.moments[-1].weight_bits.values(), *run.moments[-1].activation_bits.values()]
    assert all(low <= value <= high and value == round(value) for value in np.round(bits, 3))
    assert run.moments[-1].step == run.steps and run.moments[-1].zero == run.moments[-1].redundant
    for vertex in run.vertices:
        assert 0 <= vertex.after <= vertex.before
    if run.method["safeguard"]:
        assert found.ascents == 0


# -- what cannot be misread --------------------------------------------------------------------------------


@pytest.mark.parametrize("dark", [False, True])
def test_every_layer_and_group_can_be_seen_on_the_page(dark):
    ink, run = Ink(dark), runs.load(runs.names()[0])
    colours = [*steps.layer_colours(9, ink), *(group_colour(run, place, ink) for place in range(len(run.groups)))]
    assert all(theme.contrast(colour, ink.page) >= 3 for colour in colours)  # marks and lines; text needs more


def test_no_tick_of_the_widths_reaches_the_legend():
    figure = channels.draw_widths(grown(), Ink()).figure
    highest = max(one.before for one in grown().vertices)
    assert figure.layout.yaxis.range[1] > 1.1 * highest and figure.layout.margin.t >= 48


def test_a_run_that_was_stopped_is_named_by_what_was_recorded():
    run = grown()
    last = run.moments[-1]
    told = runs.title(run)
    assert f"{last.step:,} of {run.steps:,} steps" in told and "of the units removed so far" in told
    assert runs.title(grown(finished=True)).startswith("mnist-lenet, 50.0 % of the units removed")
