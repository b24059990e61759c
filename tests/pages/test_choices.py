"""The choices of a page: its own, kept while one is elsewhere, undone one by one, never leading to an empty page."""

import pytest
from visitor import arrive, charts, control, press, turn, visit

from sdqviz.explore.glossary import TERMS


@pytest.fixture
def at():
    return arrive()


def given(at, key):
    """Return what the address holds."""
    value = at.query_params.get(key, "")
    return value if isinstance(value, str) else "".join(value)


def test_the_choices_of_a_page_stay_its_own(at):
    turn(at, "sigma-delta")
    control(at, "bits").set_value(3).run()
    turn(at, "path-following")
    assert control(at, "bits").value == 4 and not at.warning and not at.exception
    turn(at, "frames")
    control(at, "size").set_value(64).run()
    turn(at, "sigma-delta")
    assert control(at, "size").value == 64 and control(at, "bits").value == 3
    turn(at, "frames")
    assert control(at, "size").value == 64 and control(at, "dimension").value == 3


def test_a_page_is_found_as_it_was_left_and_a_link_overrules_it(at):
    turn(at, "frames")
    control(at, "frame").set_value("hadamard").run()
    control(at, "size").set_value(128).run()
    numbers = [one.value for one in at.metric]
    turn(at, "bounds")
    turn(at, "frames")
    assert [one.value for one in at.metric] == numbers and control(at, "frame").value == "hadamard"
    turn(at, "path-following")
    turn(at, "frames", dimension=4)
    assert control(at, "dimension").value == 4 and control(at, "frame").value == "harmonic"


def test_a_box_shows_words_and_the_address_holds_names(at):
    turn(at, "frames", frame="hadamard", size=64)
    assert control(at, "frame").value == "hadamard" and "Randomized Hadamard" in control(at, "frame").options
    control(at, "frame").set_value("random").run()
    assert given(at, "frame") == "random"
    at.query_params["frame"] = "hadamard"  # the browser's Back
    at.run()
    assert control(at, "frame").value == "hadamard" and not at.warning
    control(at, "frame").set_value("harmonic").run()
    assert given(at, "frame") == "", "a default is not in the address"
    at.query_params["frame"] = "no such family"
    at.run()
    assert control(at, "frame").value == "harmonic" and "frame must be one of" in at.warning[0].value


def test_undo_takes_back_one_choice_after_the_other(at):
    turn(at, "sigma-delta")
    before = [[one.value for one in at.metric]]
    assert next(button for button in at.button if button.label == "Undo").disabled
    for key, value in (("bits", 2), ("frame", "hadamard"), ("dimension", 5)):
        control(at, key).set_value(value).run()
        before.append([one.value for one in at.metric])
    for expected in before[-2::-1]:
        press(at, "Undo")
        assert not at.exception and [one.value for one in at.metric] == expected
    assert control(at, "bits").value == 1 and control(at, "dimension").value == 8
    assert next(button for button in at.button if button.label == "Undo").disabled


@pytest.mark.parametrize(
    ("address", "given", "moved", "sentence"),
    [
        ("sigma-delta", {"size": 4, "dimension": 64}, ("size", 65), "size must be at least 65 for dimension 64, got 4"),
        ("frames", {"frame": "hadamard", "size": 60}, ("size", 64), "size must be a power of two"),
        ("frames", {"frame": "half-frequency", "dimension": 3}, ("dimension", 4), "dimension must be even"),
        ("sigma-delta", {"input": "weights", "layer": 6, "size": 600}, ("layer", 3), "layer must be between 1 and 3"),
        ("sigma-delta", {"input": "weights", "layer": 3, "column": 700, "size": 600}, ("column", 255),
         "column must be between 0 and"),
        ("path-following", {"bits": 1}, ("bits", 2), "bits must be at least 2 for the operator quantize-prune, got 1"),
        ("path-following", {"operator": "prune", "threshold": 0.0}, ("threshold", 0.01), "threshold must be above 0"),
        ("path-following", {"source": "network", "layer": 4}, ("layer", 3), "layer must be between 1 and 3"),
        pytest.param("path-following", {"inputs": 1024, "neurons": 64}, ("seeds", 89), "seeds must be at most",
                     marks=pytest.mark.slow),
        ("bounds", {"size_from": 900, "size_to": 100}, ("size_from", 64), "the end of the range must be above"),
        ("bounds", {"subject": "layer", "source": "network", "layer": 5}, ("layer", 3), "layer must be between 1 and"),
    ],
)  # fmt: skip
def test_controls_move_to_what_goes_with_the_others_and_say_so(address, given, moved, sentence):
    at = visit(address, **given)
    assert not at.exception and not at.error and charts(at)
    assert control(at, moved[0]).value == moved[1]
    assert sentence in at.warning[0].value
    control(at, "seed").set_value(5).run()
    assert not at.warning and charts(at)  # told once


def test_what_has_no_remedy_keeps_the_text_and_the_last_picture(at):
    turn(at, "sigma-delta")
    control(at, "input").set_value("pasted").run()
    numbers = [one.value for one in at.metric]
    for text, word in (("0.5, hello", "'hello'"), ("hello", "'hello'"), ("1e308 1e308", "'1e308'"), ("0 0 0", "zero")):
        control(at, "pasted").set_value(text).run()
        assert not at.exception and word in at.error[0].value
        assert "step" not in at.error[0].value.split(".")[0]
        assert control(at, "pasted").value == text  # nothing is lost
        assert [one.value for one in at.metric] == numbers and charts(at)
        assert any("stale" in one.proto.body for one in at.get("html"))
    control(at, "pasted").set_value("0.5, 0.25, 1").run()
    assert not at.error and not any("stale" in one.proto.body for one in at.get("html"))


def test_a_bad_paste_in_a_link_falls_to_the_default_with_a_notice(at):
    turn(at, "sigma-delta", input="pasted", pasted="1, two")
    assert not at.exception and not at.error and charts(at)
    assert "'two' as entry 2" in at.warning[0].value and "defaults" in at.warning[0].value


@pytest.mark.parametrize("address", ["", "sigma-delta", "frames", "path-following", "bounds"])
def test_the_words_of_a_page_are_explained_from_the_one_list(address):
    at = visit(address)
    (words,) = [text.value for text in at.markdown if text.value.startswith("**") and "**: " in text.value
                and text.value.split("**")[1] in TERMS]  # fmt: skip
    for line in words.split("\n\n"):
        term, _, meaning = line.removeprefix("**").partition("**: ")
        assert TERMS[term] == meaning
    assert "**bound**" in words or "**rounding**" in words
