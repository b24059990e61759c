"""A class on the page Learn, each visitor in a session of their own; and the presenter's view."""

import json

import pytest
from streamlit.testing.v1 import AppTest
from visitor import charts

from sdqviz.lessons import LESSONS
from sdqviz.ui import classroom
from sdqviz.ui.launch import MAIN


def visit(**parameters):
    at = AppTest.from_file(str(MAIN), default_timeout=60).run()
    at.switch_page("../../pages/learn.py")
    at.query_params.update({name: str(value) for name, value in parameters.items()})
    return again(at)


def again(at):
    at.run()
    assert not at.exception
    return at


def press(at, label):
    next(button for button in at.button if button.label == label).click()
    return again(at)


def told(at):
    return " ".join(one.value for one in [*at.markdown, *at.caption, *at.success, *at.warning, *at.error])


def labels(at):
    return [button.label for button in at.button]


@pytest.fixture(autouse=True)
def own_rooms():
    """Give each test a server without rooms."""
    classroom.rooms.cache_clear()


def opened(word="calm-walk-10", **parameters):
    at = visit(**parameters)
    at.text_input(key="_class word").set_value(word)
    return press(at, "Open the room")


def test_a_class_guesses_waits_and_sees_the_answers_beside_the_truth():
    lecturer = opened()
    assert lecturer.query_params["class"] in ("calm-walk-10", ["calm-walk-10"]) and "Reveal" in labels(lecturer)
    student = visit(**{"class": "calm-walk-10"})
    assert LESSONS["passing-on"].question in told(student) and "Reveal" not in labels(student)
    assert not charts(student)
    student.slider(key="_guess passing-on").set_value(5.0)
    press(student, "Send my guess")
    assert "Your guess is in" in told(student) and "1 has guessed so far" in told(student)
    assert not charts(student), "nobody but the lecturer sees guesses before the answer"
    (chart,) = charts(again(lecturer))
    assert chart.alt.startswith("1 guess to “Passing the rest on”") and "answer" not in chart.alt
    press(lecturer, "Reveal")
    found = LESSONS["passing-on"]().reveal()
    for at in (lecturer, again(student)):
        assert found.sentence in told(at)
        assert f"the answer is {found.truth:.3g}" in charts(at)[0].alt
    assert "You guessed 5" in told(student) and "you: 5" in charts(student)[0].spec
    late = visit(**{"class": "calm-walk-10"})
    assert "You did not guess." in told(late) and "Send my guess" not in labels(late)
    press(lecturer, "Next question")
    student.session_state["_sketched noise-shaping"] = (-10.0, -5.0, -5.0, -5.0, -5.0)
    press(again(student), "Send my guess")
    assert "1 has guessed so far" in told(student)
    press(lecturer, "Reveal")
    assert "the median is off by" in charts(again(lecturer))[0].alt
    press(lecturer, "Close the room")
    assert "class must be a room that is open, got 'calm-walk-10'" in told(again(student))
    assert "This is my guess" in labels(student), "the lessons go on alone"


def test_a_second_lecturer_and_a_wrong_key_are_told_so_and_the_right_key_leads():
    opened("tight-frame-11")
    other = opened("tight-frame-11")
    assert "class must be a word no other lecturer uses now, got 'tight-frame-11'" in told(other)
    assert "This is my guess" in labels(other)
    student = visit(**{"class": "tight-frame-11"})
    student.text_input(key="_class claim").set_value("0000")
    assert "key must be that of the lecturer who opened 'tight-frame-11'" in told(again(student))
    assert "Reveal" not in labels(student)
    lecturer = opened("short-tour-12")
    (key,) = [code.value for code in lecturer.code if len(code.value) == 8]
    reloaded = visit(**{"class": "short-tour-12"})  # a page that was loaded again has forgotten who it is
    reloaded.text_input(key="_class claim").set_value(key)
    assert "Reveal" in labels(again(reloaded))


def test_a_room_that_is_full_or_does_not_exist_is_said_in_one_sentence(monkeypatch):
    monkeypatch.setattr("sdqviz.lessons.room.MOST_GUESSES", 0)
    opened("swift-step-13")
    student = visit(**{"class": "swift-step-13"})
    press(student, "Send my guess")
    assert "guesses must be at most 0 in a room, got one more: it is full." in told(student)
    nobody = visit(**{"class": "<b>nowhere</b>"})
    assert "class must be a room that is open" in told(nobody) and "This is my guess" in labels(nobody)


def test_a_presentation_is_large_alone_and_steps_through_all_cards():
    at = visit(present="true")
    styles = " ".join(html.proto.body for html in at.get("html"))
    assert 'id="large"' in styles and 'id="alone"' in styles
    assert not at.tabs and [at.button[k].proto.shortcut for k in (1, 2, 3)] == ["left", "right", "escape"]
    assert at.button[1].disabled, "there is nothing before the first card"
    keys = {button.label: button.proto.shortcut for button in at.button}
    assert keys["Next (remote)"] == "pagedown" and "Back (remote)" not in keys
    seen = []
    for turned in range(5):
        seen.append((at.selectbox(key="lesson").value, at.slider(key="card").value))
        press(at, "Next (remote)" if turned % 2 else "Next")
    assert seen == [("passing-on", 1), ("passing-on", 2), ("passing-on", 3), ("passing-on", 4), ("noise-shaping", 1)]
    press(press(at, "Back"), "Back")
    assert (at.selectbox(key="lesson").value, at.slider(key="card").value) == ("passing-on", 4)
    press(at, "End")
    assert at.tabs and "Present" in labels(at)


@pytest.mark.slow
def test_thirty_sessions_in_one_room():
    lecturer = opened("round-neuron-14", lesson="double-frame")
    students = [visit(**{"class": "round-neuron-14"}) for _ in range(30)]
    names = list(LESSONS["double-frame"].guess.options)
    for number, student in enumerate(students):
        student.radio(key="_guess double-frame").set_value(names[number % 3])
        press(again(student), "Send my guess")
    press(lecturer, "Reveal")
    for number, student in enumerate(students):
        chart = charts(again(student))[0]
        assert chart.alt.startswith("30 guesses")
        said = [f"10{' · you' if k == number % 3 else ''}" for k in range(3)]
        assert json.loads(chart.spec)["data"][0]["text"] == [*said, "0 · the answer"]
        assert LESSONS["double-frame"]().surprise(names[number % 3], classroom.learn.revealed("double-frame")) in told(
            student
        )
