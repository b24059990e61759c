"""One meaning, one colour and one dash, on every page."""

import pytest

from sdqviz.explore import sigma_delta
from sdqviz.explore.bounds import link as bounds
from sdqviz.explore.layer_walks import link as walks
from sdqviz.plots import theme
from sdqviz.plots.bounds.curves import draw_curves
from sdqviz.plots.bounds.ladder import draw_ladder
from sdqviz.plots.path_following.paths import panels
from sdqviz.plots.sigma_delta.error import draw_error
from sdqviz.plots.theme import Ink


@pytest.fixture(scope="module", params=[False, True], ids=["light", "dark"])
def drawn(request):
    ink = Ink(request.param)
    walk, curve = walks.build({"seeds": 20}), bounds.build({"draws": 3, "points": 4})
    found = [draw_error(sigma_delta.build({}), ink), *panels(walk, walks.align({"seeds": 20}), walks.widen({}), ink)]
    return ink, [*found, draw_curves(curve, ink), draw_ladder(curve, 0, ink)]


def test_a_line_in_the_colour_of_the_text_is_a_bound_and_dashed(drawn):
    ink, shown = drawn
    lines = [
        (panel.name, trace)
        for panel in shown
        for trace in panel.figure.data
        if trace.type == "scatter" and "lines" in (trace.mode or "") and trace.line.color == ink.text
    ]
    assert {name for name, _ in lines} >= {"error", "cloud", "width", "curves"}
    for name, trace in lines:
        assert trace.line.dash in (theme.BOUND.dash, theme.UNMET.dash), (name, trace.name)


def test_what_is_called_a_bound_is_drawn_as_one_and_what_is_measured_as_an_error(drawn):
    ink, shown = drawn
    for panel in shown:
        for trace in panel.figure.data:
            told = trace.name or ""
            if told == "bound":
                assert (trace.line.color, trace.line.dash) == (ink.text, theme.BOUND.dash), panel.name
            if told.startswith("measured") and panel.name == "cloud":
                assert trace.marker.color == theme.ERROR.colour(ink)
    curves = next(panel for panel in shown if panel.name == "curves")
    measured = [trace for trace in curves.figure.data if "median" in (trace.hovertemplate or "")]
    assert measured and all(trace.marker.color == theme.ERROR.colour(ink) for trace in measured)
