"""The page Learn without a browser: cards, guesses, answers, and the lists beside the lessons."""

import functools
import re

import pytest
import visitor
from visitor import charts, press, told

from sdqviz.explore.glossary import TERMS
from sdqviz.lessons import LESSONS

visit = functools.partial(visitor.visit, "learn")


def test_a_number_is_guessed_then_answered_explained_and_broken():
    at = visit()
    assert "1 · Passing the rest on" in [one.value for one in at.subheader]
    assert not charts(at), "nothing is shown before the guess"
    at.slider(key="_guess passing-on").set_value(5.0).run()
    press(at, "This is my guess")
    found = LESSONS["passing-on"]().reveal()
    assert LESSONS["passing-on"]().surprise(5, found) in told(at) and "more than you thought" in told(at)
    (chart,) = charts(at)
    assert "your guess 5" in chart.spec and found.sentence in chart.alt
    press(at, "Next")
    assert found.sentence in told(at) and LESSONS["passing-on"].why in told(at)
    press(at, "Next")
    assert LESSONS["passing-on"].break_it in told(at)
    press(at, "Next lesson")
    assert at.selectbox(key="lesson").value == "noise-shaping" and at.slider(key="card").value == 1
    press_back = [button for button in at.button if button.label == "Back"]
    assert not press_back


def test_a_choice_must_be_made_before_it_is_answered():
    at = visit(lesson="past-errors")
    assert next(button for button in at.button if button.label == "This is my guess").disabled
    at.radio(key="_guess past-errors").set_value("gpfq").run()
    press(at, "This is my guess")
    assert "Your guess was right." in told(at)
    press(at, "Back")
    assert at.radio(key="_guess past-errors").value == "gpfq", "the guess is still there"


def test_a_curve_is_drawn_by_its_points_then_answered():
    at = visit(lesson="noise-shaping")
    assert "-5 at 0.05, -5 at 0.15, -5 at 0.25, -5 at 0.35, -5 at 0.45" in told(at), "level before anybody drew"
    at.session_state["_sketched noise-shaping"] = (-14.0, -3.0, 0.0, 4.0, 20.0)
    at.run()
    assert "20 at 0.45" in told(at)
    press(at, "This is my guess")
    found = LESSONS["noise-shaping"]().reveal()
    assert LESSONS["noise-shaping"]().surprise([-14, -3, 0, 4, 20], found) in told(at)
    assert "your guess" in charts(at)[0].spec
    press(at, "Back")
    assert "20 at 0.45" in told(at), "the guess is still there"


def test_a_link_to_an_answer_says_that_nobody_guessed():
    at = visit(lesson="which-channels", card=2)
    assert "No guess was made." in told(at) and len(charts(at)) == 1


@pytest.mark.parametrize("name", sorted(LESSONS))
def test_every_lesson_asks(name):
    at = visit(lesson=name)
    assert LESSONS[name].question in told(at)


def test_the_lists_are_complete():
    at = visit()
    text = told(at)
    assert all(f"**{term}**: {meaning}" in text for term, meaning in TERMS.items())
    assert "| $\\delta$ | the step between levels |" in text and "GPTQ: Accurate" in text
    rows = re.findall(r"^\| .*`methods/gptq.py`", text, re.MULTILINE)
    assert len(rows) == 1, "the table from the papers to the code is README's"
