"""What is sent of a figure says what Plotly's own figure says."""

import base64
import copy
import json

import numpy as np
import plotly.graph_objects as go
import plotly.io
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdqviz.plots import theme
from sdqviz.plots.drawing import LISTED, Drawing
from sdqviz.plots.theme import Ink


def sent(figure):
    return json.loads(plotly.io.to_json(figure, validate=False))


def numbers(spec):
    """Read an array as plotly.js does."""
    if not isinstance(spec, dict):
        return np.array(spec)
    flat = np.frombuffer(base64.b64decode(spec["bdata"]), "<" + spec["dtype"])
    return flat.reshape([int(side) for side in spec.get("shape", str(len(flat))).split(",")])


@pytest.mark.parametrize("values", [
    np.arange(300), np.array([-1, 200]), np.array([0, 2**40]), np.array([7], np.uint8), np.array([0.1, np.nan, -3e300]),
    np.array([1, 2.5], np.float32), np.array([1, 2.5], np.float16), np.arange(10.0)[::3], np.array([2.0], ">f8"),
    np.arange(6.0).reshape(2, 3)[:, ::2],
], ids=lambda values: f"{values.dtype}-{values.ndim}")  # fmt: skip
def test_numbers_arrive_as_they_were(values):
    figure = Drawing([go.Heatmap(z=values) if values.ndim == 2 else go.Scatter(y=values)])
    (trace,) = sent(figure)["data"]
    found = trace["z" if values.ndim == 2 else "y"]
    assert isinstance(found, list)
    found = np.array(found, np.float64 if values.dtype.kind == "f" else None)  # None is NaN
    np.testing.assert_array_equal(found if values.dtype.itemsize > 4 else found.astype(values.dtype), values)
    assert len(json.dumps(trace["z" if values.ndim == 2 else "y"])) < 28 * values.size
    long = Drawing([go.Scatter(y=np.resize(values, LISTED + 1))])
    assert isinstance(sent(long)["data"][0]["y"], dict)
    np.testing.assert_array_equal(numbers(sent(long)["data"][0]["y"]), np.resize(values, LISTED + 1))


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_every_number_of_four_bytes_is_sent_in_short_and_exactly(value):
    (found,) = sent(Drawing([go.Scatter(y=np.array([value], np.float32))]))["data"][0]["y"]
    assert np.float32(found) == np.float32(value)


def test_what_a_template_says_is_sent_with_the_figure_itself():
    """Plotly compares no templates, and would draw anew."""
    figure = theme.figure(Ink(), x="step", hovermode="x")
    figure.add_scatter(y=[1, 2], xaxis="x", yaxis="y")
    figure.add_scatter(y=[1, 2], xaxis="x2", yaxis="y2")
    figure.add_annotation(text="here", font={"size": 9})
    layout, usual = sent(figure)["layout"], theme.template(Ink())["layout"]
    assert "template" not in layout and layout["hovermode"] == "x" and layout["legend"] == usual["legend"]
    for axis in ("xaxis", "yaxis", "xaxis2", "yaxis2"):
        title = layout[axis].pop("title")
        assert layout[axis] == {name: value for name, value in usual[axis[:5]].items() if name != "title"}
        assert title["font"] == usual["xaxis"]["title"]["font"]
        assert title.get("text", "") == ("step" if axis == "xaxis" else "")
    (note,) = layout["annotations"]
    assert note["text"] == "here" and note["font"] == usual["annotationdefaults"]["font"] | {"size": 9}


def test_all_but_frames_is_what_plotly_would_send():
    given = {
        "data": [{"type": "bar", "x": np.array(["a", "b"]), "y": [1, None]}, {"type": "scatter", "y": np.zeros(0)}],
        "layout": {"title": {"text": "b"}, "shapes": [{"x0": 1, "x1": 2}], "xaxis": {"tickvals": np.array([True])}},
    }
    assert sent(Drawing(given)) == sent(go.Figure(given))  # whose template speaks of traces too


def test_frames_are_sent_as_given_and_go_with_a_copy():
    figure = Drawing({"data": [{"type": "scatter", "y": [1, 2]}]})
    assert "frames" not in sent(figure) and figure.frames == ()
    figure.frames = [{"name": "1", "data": [{"y": np.array([1.5, 2.5])}], "traces": [0]}]
    twin = copy.deepcopy(figure)
    for one in (figure, twin, Drawing(figure)):
        (frame,) = sent(one)["frames"]
        assert frame["name"] == "1" and frame["traces"] == [0]
        np.testing.assert_array_equal(numbers(frame["data"][0]["y"]), [1.5, 2.5])
    twin.data[0].y = [3]
    assert figure.data[0].y == (1, 2)
