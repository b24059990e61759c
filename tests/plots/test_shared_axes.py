"""Two figures on the same axes: what is larger looks larger."""

import numpy as np
import plotly.graph_objects as go
import pytest

from sdqviz.plots import shared_axes, theme
from sdqviz.plots.panel import Panel
from sdqviz.plots.theme import Ink


def figure(x, y, kind="scatter", **layout):
    return go.Figure([{"type": kind, "x": x, "y": y}], layout={"xaxis": {}, "yaxis": {}} | layout)


def test_both_show_what_either_has():
    one, other = figure([0, 1], [0, 5]), figure([10, 20], [-40, 1])
    shared_axes.share(one, other)
    for axis in ("xaxis", "yaxis"):
        assert one.layout[axis].range == other.layout[axis].range
    low, high = one.layout.yaxis.range
    assert low <= -40 and high >= 5 and high - low < 1.2 * 45
    assert one.layout.xaxis.range[0] == 0 and 20 <= one.layout.xaxis.range[1] < 22


def test_bars_keep_their_foot_logarithms_their_powers_and_what_is_given_its_range():
    one, other = figure([0, 1], [3.0, 4.0], "bar"), figure([0, 1], [30.0, 40.0], "bar")
    shared_axes.share(one, other)
    assert one.layout.yaxis.range[0] == 0 and other.layout.yaxis.range[1] >= 40
    log = {"yaxis": {"type": "log"}}
    one, other = figure([1], [1e-3], **log), figure([1], [1e2], **log)
    shared_axes.share(one, other)
    np.testing.assert_allclose(one.layout.yaxis.range, [-3 - 0.04 * 5, 2 + 0.04 * 5])
    one, other = figure([1], [1], yaxis={"range": [-2, 2]}), figure([1], [1], yaxis={"range": [7, 1]})
    shared_axes.share(one, other)
    assert one.layout.yaxis.range == (7, -2)


def test_what_is_written_at_a_logarithmic_axis_covers_what_both_show():
    one, other = (figure([1], [y], yaxis=theme.log_axis(y / 2, y * 2)) for y in (1e-3, 1e2))
    shared_axes.share(one, other)
    written = [float(value) for value in one.layout.yaxis.tickvals]
    assert min(written) <= 1e-2 and max(written) >= 10
    assert one.layout.yaxis.tickvals == other.layout.yaxis.tickvals
    assert one.layout.yaxis.ticktext == other.layout.yaxis.ticktext


def test_words_are_joined_in_their_order():
    one, other = figure(["b", "a"], [1, 2], "bar"), figure(["a", "c"], [1, 2], "bar")
    shared_axes.share(one, other)
    assert one.layout.xaxis.categoryarray == other.layout.xaxis.categoryarray == ("b", "a", "c")
    assert one.layout.xaxis.range == (-0.5, 2.5)


def test_words_that_run_downwards_still_do_and_all_of_them_are_shown():
    downwards = {"yaxis": {"type": "category", "autorange": "reversed"}}
    one, other = figure([1, 2], ["float", "a"], **downwards), figure([1, 3], ["float", "b"], **downwards)
    shared_axes.share(one, other)
    for drawn in (one, other):
        axis = drawn.layout.yaxis
        assert axis.categoryarray == ("float", "a", "b")
        assert axis.range == (2.5, -0.5) and axis.autorange is None


def test_panes_are_matched_one_by_one_and_what_cannot_be_compared_is_left():
    one, other = (theme.panes(Ink(), height=200, columns=2) for _ in range(2))
    one.add_scatter(x=[0, 1], y=[0, 1], row=1, col=1)
    one.add_scatter(x=[0, 1], y=[0, 7], row=1, col=2)
    other.add_scatter(x=[0, 1], y=[0, 3], row=1, col=1)
    other.add_scatter(x=["p", "q"], y=[0, 9], row=1, col=2)
    shared_axes.share(one, other)
    assert one.layout.yaxis.range[1] == other.layout.yaxis.range[1] == pytest.approx(3.12)
    assert one.layout.yaxis2.range[1] == other.layout.yaxis2.range[1] == pytest.approx(9.36)
    assert one.layout.xaxis2.range is None


def test_the_panels_given_are_not_changed():
    def panel(y):
        return Panel("a", "", "", "", figure([0, 1], y), [], dict)

    one, other = panel([0, 1]), panel([0, 9])
    pair = shared_axes.pair(one, other)
    assert pair[0].figure.layout.yaxis.range == pair[1].figure.layout.yaxis.range
    assert one.figure.layout.yaxis.range is None and other.figure.layout.yaxis.range is None
    assert shared_axes.pair(one, None) == (one, None)
