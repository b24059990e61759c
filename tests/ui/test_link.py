import pytest

from sdqviz.choice import Spec
from sdqviz.ui import link as address
from sdqviz.ui.link import Link, parse, query
from sdqviz.ui.ranges import step_values
from sdqviz.version import __version__

NUMBER = Spec("N", "", minimum=2, maximum=100)


@pytest.mark.parametrize(
    ("text", "kind", "spec", "value"),
    [
        ("7", int, NUMBER, 7),
        ("7.5", float, NUMBER, 7.5),
        ("True", bool, Spec("", ""), True),
        ("a", str, Spec("", "", options=("a", "b")), "a"),
        ("any text", str, Spec("", ""), "any text"),
    ],
)
def test_good_values_are_read(text, kind, spec, value):
    assert parse("size", text, kind, spec) == (value, None)


@pytest.mark.parametrize(
    ("text", "kind", "spec", "reason"),
    [
        ("x", int, NUMBER, "size must be a whole number, got 'x'"),
        ("7.5", int, NUMBER, "size must be a whole number, got '7.5'"),
        ("1", int, NUMBER, "size must be between 2 and 100, got 1"),
        ("nan", float, NUMBER, "size must be between 2 and 100, got nan"),
        ("inf", float, NUMBER, "size must be between 2 and 100, got inf"),
        ("yes", bool, Spec("", ""), "size must be true or false, got 'yes'"),
        ("c", str, Spec("", "", options=("a", "b")), "size must be one of a, b, got 'c'"),
        ("0.1", float, Spec("", "", minimum=1), "size must be at least 1, got 0.1"),
    ],
)
def test_bad_values_give_a_reason(text, kind, spec, reason):
    assert parse("size", text, kind, spec) == (None, reason)


def test_a_link_names_every_choice_and_the_version():
    given = query({"size": 8, "step": 0.1, "on": True, "frame": "harmonic", "redundancy": None})
    assert given == {"size": "8", "step": "0.1", "on": "true", "frame": "harmonic", "v": __version__}


@pytest.mark.parametrize(("low", "high"), [(2, 4096), (257, 300), (1, 1)])
def test_slider_positions_rise_from_end_to_end(low, high):
    values = step_values(low, high)
    assert values[0] == low and values[-1] == high and values == sorted(set(values))


def test_steps_through_the_history_are_followed_though_the_run_before_was_cut_short(monkeypatch):
    """Back and at once Forward: the browser is where the page last settled, and its box is not."""
    state, given = {"_written frames": {"family": "random"}, "family": "random"}, {}
    monkeypatch.setattr(address.st, "session_state", state)
    monkeypatch.setattr(address.st, "query_params", given)
    spec = Spec("Family", "", options=("harmonic", "random"))

    def run(name, whole=True):
        given.clear()
        given.update({"family": name} if name else {})
        link = Link("frames", dict(given))
        link.follow("family", spec, "harmonic")
        if whole:
            link.values["family"] = state["family"]
            link.write("family", state["family"], "harmonic")
            link.settle()
        return state["family"]

    assert run("random") == "random"
    assert run("", whole=False) == "harmonic"
    assert run("random") == "random" and given == {"family": "random"}  # the address is not written over
    assert run("") == "harmonic" and given == {}


def test_texts_of_the_link_are_followed_though_the_run_before_was_cut_short(monkeypatch):
    given = {}
    monkeypatch.setattr(address.st, "session_state", {})
    monkeypatch.setattr(address.st, "query_params", given)

    def run(text, whole=True):
        given["drawn"] = text
        link = Link("frames", dict(given))
        read = address.linked(link, "drawn")
        if whole:
            address.write_linked(link, "drawn", read, Spec("Drawn", ""))
        return read

    assert [run("one"), run("two", whole=False), run("one"), run("two")] == ["one", "two", "one", "two"]
    assert given == {"drawn": "two"}
