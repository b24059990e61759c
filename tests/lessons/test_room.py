"""Rooms of a class: who sees what, limits, expiry, many at once."""

import subprocess
import sys
import threading

import pytest

from sdqviz.error import InputError
from sdqviz.lessons import room
from sdqviz.lessons.room import Rooms


@pytest.fixture
def rooms():
    made = Rooms()
    yield made
    made.close_all()


def test_a_class_guesses_and_sees_the_answers_only_when_they_are_revealed(rooms):
    key = rooms.open("Calm-Walk", "passing-on")
    rooms.guess("calm-walk", "one", "passing-on", 30)
    rooms.guess("CALM-walk ", "two", "passing-on", "5")
    rooms.guess("calm-walk", "one", "passing-on", 7)  # again: in place of the first
    seen = rooms.get("calm-walk")
    assert (seen.lesson, seen.revealed, seen.guesses) == ("passing-on", False, 2)
    assert rooms.guesses("calm-walk", key) == (5.0, 7.0)
    assert rooms.mine("calm-walk", "one") == 7.0 and rooms.mine("calm-walk", "three") is None
    for other in ("", "guess", rooms.open("other", "passing-on")):
        with pytest.raises(InputError, match="key must be that of the lecturer"):
            rooms.guesses("calm-walk", other)
    rooms.reveal("calm-walk", key)
    assert rooms.guesses("calm-walk") == (5.0, 7.0) and rooms.get("calm-walk").revealed
    rooms.ask("calm-walk", key, "noise-shaping")
    seen = rooms.get("calm-walk")
    assert (seen.lesson, seen.revealed, seen.guesses) == ("noise-shaping", False, 0)
    rooms.ask("calm-walk", key, "passing-on")
    assert rooms.guesses("calm-walk", key) == ()  # a question that is asked again begins anew
    assert rooms.guesses("other", other) == ()


@pytest.mark.parametrize(
    ("act", "sentence"),
    [
        (lambda r, key: r.open("class", "passing-on"), "class must be a word no other lecturer uses now, got 'class'"),
        (lambda r, key: r.open("CLASS ", "passing-on"), "no other lecturer uses now"),
        (lambda r, key: r.open("a b", "passing-on"), "class must be 3 to 24 letters, digits and hyphens, got 'a b'"),
        (lambda r, key: r.open("x" * 99, "passing-on"), "class must be 3 to 24"),
        (lambda r, key: r.open("new", "no-lesson"), "lesson must be one of"),
        (lambda r, key: r.get("gone"), "class must be a room that is open, got 'gone'"),
        (lambda r, key: r.guess("gone", "one", "passing-on", 5), "class must be a room that is open"),
        (lambda r, key: r.guess("class", "one", "passing-on", 1e9), "guess must be a number from"),
        (lambda r, key: r.guess("class", "one", "passing-on", "nan"), "guess must be a number from"),
        (lambda r, key: r.guess("class", "one", "passing-on", "many"), "guess must be a number from"),
        (lambda r, key: r.guess("class", "one", "past-errors", "gpfq"), "for the question asked now"),
        (lambda r, key: (r.reveal("class", key), r.guess("class", "a", "passing-on", 5)), "before the answer"),
        (lambda r, key: r.reveal("class", "1234"), "key must be that of the lecturer who opened 'class', got another"),
        (lambda r, key: r.ask("class", "é", "noise-shaping"), "key must be that of the lecturer"),
        (lambda r, key: r.close("class", ""), "key must be that of the lecturer"),
        (lambda r, key: (r.close("class", key), r.get("class")), "class must be a room that is open, got 'class'"),
    ],
)
def test_what_cannot_be_is_one_sentence_and_loses_nothing(rooms, act, sentence):
    key = rooms.open("class", "passing-on")
    rooms.guess("class", "first", "passing-on", 5)
    with pytest.raises(InputError, match=sentence):
        act(rooms, key)
    if "open, got 'class'" not in sentence:
        assert rooms.guesses("class", key) == (5.0,)


def test_rooms_are_few_full_and_gone_in_time(monkeypatch):
    now = [0.0]
    rooms = Rooms(clock=lambda: now[0])
    monkeypatch.setattr(room, "MOST_ROOMS", 3)
    monkeypatch.setattr(room, "MOST_GUESSES", 2)
    for name in ("one", "two", "three"):
        rooms.open(name, "passing-on")
    with pytest.raises(InputError, match="rooms must be at most 3 at a time"):
        rooms.open("four", "passing-on")
    rooms.guess("one", "a", "passing-on", 1)
    rooms.guess("one", "b", "passing-on", 2)
    with pytest.raises(InputError, match="guesses must be at most 2 in a room, got one more: it is full"):
        rooms.guess("one", "c", "passing-on", 3)
    rooms.guess("one", "b", "passing-on", 4)  # a full room still lets those in it think again
    now[0] = room.LIFETIME + 1
    with pytest.raises(InputError, match="must be a room that is open"):
        rooms.get("one")
    key = rooms.open("one", "passing-on")  # the word is free again, and nothing is left of the old room
    assert rooms.guesses("one", key) == ()
    rooms.close_all()


def test_thirty_at_once_lose_no_guess_and_the_room_stays_within_its_limit(rooms):
    key = rooms.open("class", "passing-on")
    problems = []

    def student(number):
        try:
            for again in range(10):
                rooms.guess("class", f"visitor {number}", "passing-on", (number + again) % 30)
                rooms.get("class")
        except Exception as error:  # told by the assertion below
            problems.append(error)

    threads = [threading.Thread(target=student, args=(number,)) for number in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    assert rooms.guesses("class", key) == tuple(sorted(float((number + 9) % 30) for number in range(30)))


def test_processes_share_a_file(tmp_path):
    rooms = Rooms(tmp_path / "rooms.sqlite")
    key = rooms.open("class", "passing-on")
    program = (
        "import sys; from sdqviz.lessons.room import Rooms; rooms = Rooms(sys.argv[1])\n"
        "for k in range(20): rooms.guess('class', f'{sys.argv[2]} {k}', 'passing-on', k)"
    )
    others = [
        subprocess.Popen([sys.executable, "-c", program, str(tmp_path / "rooms.sqlite"), name]) for name in ("a", "b")
    ]
    assert [other.wait(60) for other in others] == [0, 0]
    assert rooms.guesses("class", key) == tuple(sorted(2 * list(map(float, range(20)))))
    rooms.close_all()
