import json

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from sdqviz.plots.panel import library
from sdqviz.ui import chart


@pytest.fixture
def browser_of_scripts():
    return TestClient(Starlette(routes=[chart.route()]))


def test_scripts_are_kept_for_ever_and_sent_as_they_are(browser_of_scripts):
    for address, content in zip(chart.scripts(), (chart.SCRIPT.read_text("utf-8"), library()), strict=True):
        answer = browser_of_scripts.get(f"/{address}")
        assert answer.status_code == 200 and answer.text == content
        assert "immutable" in answer.headers["cache-control"] and answer.headers["content-type"].startswith("text/java")
        assert int(answer.headers["content-length"]) == len(content.encode())


@pytest.mark.parametrize("name", ["chart.py", "..%2Fchart.py", "", "plotly.js/x"])
def test_nothing_else_is_served(browser_of_scripts, name):
    assert browser_of_scripts.get(f"/{chart.ADDRESS}/{name}").status_code == 404


def test_another_state_of_the_scripts_has_another_name(monkeypatch, tmp_path):
    before = chart.scripts()
    (tmp_path / "chart.js").write_bytes(chart.SCRIPT.read_bytes() + b"\n")
    monkeypatch.setattr(chart, "SCRIPT", tmp_path / "chart.js")
    assert all(one != other for one, other in zip(before, chart.scripts.__wrapped__(), strict=True))
    monkeypatch.undo()
    monkeypatch.setattr(chart.importlib.metadata, "version", lambda name: "0.0")
    assert all(one != other for one, other in zip(before, chart.scripts.__wrapped__(), strict=True))


SELECTING = """
import streamlit as st
from sdqviz.plots.theme import Ink, figure
from sdqviz.ui.chart import chart

drawn = figure(Ink())
drawn.add_scatter(x=[1, 2], y=[3, 4])
chart(drawn, key="plain", alt="Two points.", config={"displaylogo": False})
chart(drawn, key="chosen", alt="Two points.", config={}, on_select=lambda told: st.session_state.update(told=told))
"""


def test_what_is_sent_holds_figure_words_and_whether_it_can_be_selected():
    from streamlit.testing.v1 import AppTest

    at = AppTest.from_string(SELECTING).run()
    assert not at.exception
    plain, chosen = (json.loads(one.proto.bytes) for one in at.get("bidi_component"))
    assert plain["alt"] == "Two points." and plain["config"] == {"displaylogo": False} and plain["selects"] == ""
    assert plain["figure"]["data"][0]["y"] == [3, 4] and plain["figure"]["layout"]["height"] == 320
    assert chosen["selects"] == "points" and chosen["figure"] == plain["figure"]
    first = [one.proto.id for one in at.get("bidi_component")]
    at.run()
    assert [one.proto.id for one in at.get("bidi_component")] == first
