"""Positions of a scrubber are runs of the engine; what is sent is bounded."""

import base64
import json

import numpy as np
import plotly.io
import pytest

from sdqviz.explore import frames as explored
from sdqviz.explore import sigma_delta as lab
from sdqviz.explore.bounds import link as bounds_link
from sdqviz.explore.bounds import words
from sdqviz.explore.layer_walks import link as path_link
from sdqviz.explore.scrub import bounds, frames, path_following, sigma_delta
from sdqviz.explore.scrub.scrubbed import POSITIONS, spread, visited
from sdqviz.explore.wording import number, percent
from sdqviz.plots.scrubber import draw_scrubber
from sdqviz.plots.theme import Ink

MOST_BYTES = 300_000


def sent(found):
    """Return the figure as the browser gets it."""
    text = plotly.io.to_json(draw_scrubber(found, Ink()).figure, validate=False)
    assert len(text) <= MOST_BYTES
    return json.loads(text)


def decoded(values):
    """Return numbers as the browser reads them."""
    return np.frombuffer(base64.b64decode(values["bdata"]), values["dtype"]) if isinstance(values, dict) else values


def texts(frame):
    return [text.split("<br>")[0].split(">")[1].removesuffix("</span") for text in frame["data"][-1]["text"]]


@pytest.mark.parametrize(("along", "choices"), [
    ("size", {"dimension": 5, "size": 40}),
    ("size", {"dimension": 7, "size": 30, "frame": "random", "permutation": "nearest-neighbour", "bits": 2}),
    ("step", {"dimension": 5, "size": 40, "step_rule": "by-hand", "step": 0.7}),
])  # fmt: skip
def test_every_position_of_the_lab_is_a_run_of_the_engine(along, choices):
    found = sigma_delta.scrub({**choices, "along": along})
    figure = sent(found)
    assert 24 <= len(found.values) <= POSITIONS + 1 and len(figure["frames"]) == len(found.values)
    assert found.values[found.own] == choices[along]
    assert [step["args"][0][0] for step in figure["layout"]["sliders"][0]["steps"]] == [
        frame["name"] for frame in figure["frames"]
    ]
    for place in (0, 3, found.own, len(found.values) - 1):
        value = {"size": int(found.values[place])} if along == "size" else {"step_rule": "by-hand"}
        told = lab.summary({**choices, along: found.values[place], **value})
        frame = figure["frames"][place]
        bound = percent(told["bound"]) if told["bound_holds"] else "none applies"
        assert texts(frame) == [percent(told["relative_error"]), number(told["bits_per_weight"]), bound]
        mark = frame["data"][-2]
        assert mark["x"][0] == found.values[place]
        assert mark["y"][:2] == pytest.approx([told["relative_error"], told["relative_error_pcm"]], rel=1e-5)
        run = lab.build({**choices, along: found.values[place], **value})
        drawn = decoded(frame["data"][1]["y"])
        np.testing.assert_allclose(drawn, run.reconstruction if along == "size" else run.trace.state, rtol=1e-5)


def test_every_position_of_frames_is_a_frame_of_that_size():
    choices = {"frame": "harmonic", "dimension": 3, "size": 50}
    found = frames.scrub({**choices, "along": "size"})
    figure = sent(found)
    assert len(found.values) >= 24 and found.values[found.own] == 50
    for place in (0, 7, len(found.values) - 1):
        told = explored.summary({**choices, "size": int(found.values[place])})
        frame = figure["frames"][place]
        assert texts(frame)[:2] == [number(told["variation"]), number(told["coherence"])]
        assert frame["data"][-2]["y"] == pytest.approx([told["variation"], told["wang_limit"]], rel=1e-5)


def test_every_position_of_path_following_is_a_run_with_that_scaling():
    choices = {"inputs": 24, "neurons": 3, "samples": 8, "seeds": 20}
    found = path_following.scrub({**choices, "along": "scaling"})
    figure = sent(found)
    assert len(found.values) == path_following.POSITIONS and found.values[0] == 1
    for place in (0, 11, 23):
        told = path_link.summary({**choices, "scaling": found.values[place]})
        assert texts(figure["frames"][place])[:2] == [
            percent(told["relative_error"]), number(told["bits_per_weight"])
        ]  # fmt: skip
        assert found.trends[1].y[place] == pytest.approx(told["bound"]) or not told["bound_holds"]


def test_every_position_of_bounds_is_the_sweep_with_those_bits():
    choices = {"subject": "vector", "dimension": 4, "size_to": 128, "points": 3, "draws": 4, "bits": 3}
    found = bounds.scrub({**choices, "along": "bits"})
    figure = sent(found)
    assert list(found.values) == list(range(1, bounds.MOST_BITS + 1)) and found.values[found.own] == 3
    for place in (0, 5):
        curve = bounds_link.build({**choices, "bits": place + 1})
        frame = figure["frames"][place]
        assert texts(frame) == [
            words.slope_value(curve.fit), words.ratio_headline(curve)[0], words.verdict(curve)[0]
        ]  # fmt: skip
        np.testing.assert_allclose(decoded(frame["data"][0]["y"]), curve.median, rtol=1e-5)
    assert bounds.along({"subject": "vector", "sweep": "bits"}) == bounds.along({"subject": "network"}) == {}


def test_long_vectors_and_large_frames_stay_within_the_bytes():
    sent(sigma_delta.scrub({"dimension": 256, "size": 500, "along": "size"}))
    sent(frames.scrub({"dimension": 2, "size": 500, "along": "size"}))


def test_what_has_no_other_value_says_so():
    assert "no other sizes" in frames.scrub({"frame": "simplex", "dimension": 4, "size": 5, "along": "size"})


@pytest.mark.parametrize("own", [1.0, 3.3, 900.0])
def test_the_own_value_is_among_those_dragged_through(own):
    values = spread(1.0, 100.0, own)
    assert own in values and values == sorted(values) and len(values) == POSITIONS


def test_what_there_is_no_time_for_is_counted_and_the_nearest_come_first():
    values, runs, left_out = visited([1.0, 2.0, 4.0, 8.0], 4.0, lambda value: value, seconds=-1.0)
    assert values == runs == [4.0] and left_out == 3
