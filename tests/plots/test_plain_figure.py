"""Figures built of dictionaries are those that Plotly builds of its objects, and pass its checks."""

import json

import numpy as np
import plotly.graph_objects as go
import plotly.io
import pytest
from plotly.subplots import make_subplots

from sdqviz.explore import frames, orders, sigma_delta, signs
from sdqviz.explore.layer_walks import link as layer_walks
from sdqviz.explore.scrub import sigma_delta as dragged
from sdqviz.plots import plain_figure, theme
from sdqviz.plots.drawing import Drawing
from sdqviz.plots.frames import gram, orderings, tour
from sdqviz.plots.frames import signs as sign_plots
from sdqviz.plots.path_following import grains, paths
from sdqviz.plots.scrubber import draw_scrubber
from sdqviz.plots.sigma_delta import orders as order_plots
from sdqviz.plots.sigma_delta import steps, vector
from sdqviz.plots.theme import Ink


def lab(choices, ink):
    run = sigma_delta.build(choices)
    every = orders.orders(run.vector)
    return [
        steps.draw_steps(run, ink), *vector.panels(run, ink), order_plots.draw_orders(every, ink),
        order_plots.draw_best(every, ink), draw_scrubber(dragged.scrub({**choices, "along": "size"}), ink),
    ]  # fmt: skip


def frame(choices, ink):
    found, compared = frames.build(choices), frames.compare_orderings(choices)
    return [
        tour.draw_tour(found, ink), gram.draw_gram(found, ink), tour.draw_running(found, ink),
        sign_plots.draw_signs(signs.spread(found.frame), ink),
        orderings.draw_growth(found, frames.growth(choices), ink),
        orderings.draw_orderings(found, compared, "identity", ink),
    ]  # fmt: skip


def walk(choices, ink):
    run = layer_walks.build(choices)
    pieces, aligned, widths = (one(choices) for one in (layer_walks.step, layer_walks.align, layer_walks.widen))
    return [
        grains.draw(run, pieces, ink),
        paths.draw_paths(run, ink),
        *paths.panels(run, aligned, widths, ink),
    ]


def sent(figure):
    return json.loads(plotly.io.to_json(figure, validate=False))


class Whole(Drawing):
    """Plotly's own objects from the first moment."""

    def __init__(self, *given, **more):
        super().__init__(*given, **more)
        assert self.layout is not None and self.content[1] is self._layout


@pytest.mark.parametrize(("draw", "choices"), [
    (lab, {"size": 40, "dimension": 6}), (lab, {"order": 2, "size": 300, "dimension": 3, "bits": 2}),
    (frame, {"dimension": 3, "size": 30}), (frame, {"dimension": 2, "size": 12, "permutation": "two-opt"}),
    (walk, {"grain": "weight", "neuron": 1, "neurons": 8}), (walk, {"grain": "neuron", "operator": "quantize-prune"}),
])  # fmt: skip
def test_every_figure_of_a_page_is_what_plotly_makes(draw, choices, monkeypatch):
    ink = Ink(dark=True)
    plain = [one.figure for one in draw(choices, ink)]
    before = [sent(figure) for figure in plain]
    assert [one for one in plain if "_layout" in vars(one)] == []
    monkeypatch.setattr(theme, "Drawing", Whole)
    for name, figure, found in zip(draw(choices, ink), plain, before, strict=True):
        assert found == sent(name.figure), name.name
        assert figure.layout.height == name.figure.layout.height  # Plotly takes the plain one, and checks it
        assert found == sent(figure), name.name


CALLS = (
    ("update_layout", (), {"margin_t": 7, "legend_title": "what", "title": "all", "bargap": 0.1}),
    ("update_layout", ({"margin": {"l": 3}},), {"shapes": [{"x0": 1, "xref": "x"}, {"x0": 2}]}),
    ("update_layout", (), {"shapes": [{"line_width": 3}]}),
    ("update_layout", (), {"shapes": [{}, {}, {"x0": 5, "line": {"color": "red"}}]}),
    ("add_annotation", ({"text": "a"},), {"font_size": 9}),
    ("add_annotation", (), {"text": "b", "row": 2, "col": 1, "xref": "x domain", "yref": "y domain"}),
    ("add_annotation", (), {"text": "c", "row": 1, "col": 2, "yref": "paper"}),
    ("update_annotations", (), {"font": {"color": "blue"}}),
    ("add_bar", (), {"x": [1, 2], "y": np.array([1.5, 2]), "marker_color": "red", "row": 1, "col": 2}),
    ("add_scatter", (), {"y": [1, None, 3], "line": {"width": 2}, "row": 2, "col": 1}),
    ("add_heatmap", (), {"z": np.eye(2), "colorbar": {"title": "z"}, "row": 2, "col": 2}),
    ("add_hline", (0.5,), {"line_width": 3}),
    ("add_vline", (), {"x": 2, "annotation": {"text": "v", "yref": "paper", "y": 0.1}}),
    ("add_hrect", (0, 1), {"row": 2, "col": 1, "fillcolor": "red", "annotation_text": "h", "layer": "below"}),
    ("add_vrect", (0, 1), {"row": "all", "col": 1}),
    ("add_shape", (), {"type": "rect", "x0": 0, "row": 1, "col": 1, "line_width": 0}),
    ("update_xaxes", (), {"title_text": "x", "range": [0, 1], "col": 2}),
    ("update_yaxes", ({"type": "log", "tickvals": np.array([1, 2])},), {"title": "y", "row": 1, "col": 1}),
    ("update_xaxes", (), {"range": None, "title": {"font": {"size": 9}}, "visible": False}),
)


def without_places(calls):
    for name, given, more in calls:
        yield name, given, {key: value for key, value in more.items() if key not in ("row", "col")}


@pytest.mark.parametrize("several", [True, False])
def test_every_call_does_what_plotly_does(several):
    grid = {"rows": 2, "cols": 2, "shared_xaxes": True, "subplot_titles": ["one", "two"]}
    usual = {"template": {"layout": {"font": {"size": 3}}}}
    other = make_subplots(figure=go.Figure(layout=usual), **grid) if several else go.Figure(layout=usual)
    mine = Drawing(grid=plain_figure.grid(**grid), layout=usual) if several else Drawing(layout=usual)
    for name, given, more in CALLS if several else without_places(CALLS):
        for figure in (mine, other):
            getattr(figure, name)(*given, **more)
        assert json.loads(plotly.io.to_json(go.Figure(mine.content[0], mine.content[1]))) == json.loads(
            plotly.io.to_json(other)
        ), name
    assert "_layout" not in vars(mine) and mine.count == 3 == len(other.data)
    assert mine.given("margin", "t") == 7 and mine.given("shapes", 2, "line", "color") == "red"
    assert mine.given("margin", "b") is None is mine.given("images", 0)


def test_what_plotly_alone_can_do_makes_its_objects_first():
    figure = theme.panes(Ink(), height=300, columns=2)
    figure.add_scatter(y=[1, 2], row=1, col=2)
    figure.add_trace(go.Bar(y=[3]), row=1, col=1)
    figure.add_scatter(y=[4], row=1, col=1)
    assert [(one.type, one.xaxis) for one in figure.data] == [("scatter", "x2"), ("bar", "x"), ("scatter", "x")]
    with pytest.raises(ValueError, match="colour"):
        theme.figure(Ink()).add_scatter(y=[1], colour="red").data  # noqa: B018
    with pytest.raises(AttributeError):
        theme.figure(Ink()).nothing  # noqa: B018
