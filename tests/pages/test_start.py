"""The Start page: the toy answers, the link carries it, the examples have pictures."""

import base64

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest
from visitor import link

from sdqviz.experiments import bench_figures
from sdqviz.explore import preset, toy
from sdqviz.plots import thumbnail
from sdqviz.plots.theme import Ink
from sdqviz.ui.launch import MAIN


def visit(**parameters):
    at = AppTest.from_file(str(MAIN), default_timeout=60)
    at.query_params.update(parameters)
    return at.run()


def read(at):
    return [int(one.value) for one in at.metric]


def test_the_slider_goes_from_32_bits_to_1_and_every_stop_answers():
    at = visit()
    assert at.select_slider(key="toy_bits").options == ["32", "8", "4", "3", "2", "1"]
    pictures, labels = toy.pictures()
    for bits in toy.BITS:
        at.select_slider(key="toy_bits").set_value(str(bits)).run()
        assert not at.exception
        assert read(at) == [int(copy.answer(pictures[15:16]).argmax()) for copy in toy.copies(bits)]
        if bits == 32:
            assert read(at) == [labels[15]] * 3


def test_at_first_one_bit_shows_what_the_title_asks():
    at = visit()
    rounding, frame, path = read(at)
    assert rounding != 7 and frame == path == 7
    told = " ".join(text.value for text in at.markdown)
    assert "The picture is a 7. Rounding reads an 8" in told
    known = bench_figures.reference()
    (table,) = (text.value for text in at.markdown if text.value.startswith("| figure"))
    assert table.count("\n") == len(known.figures) + 1 and "| ratio | goal | threads |" in table
    assert known.processor in told


def test_the_link_carries_picture_and_bits():
    at = visit(digit="3", toy_bits="2")
    assert read(at) == [1, 1, 1] and at.select_slider(key="toy_bits").value == "2" and not at.warning
    at = visit(digit="21", toy_bits="5")
    assert not at.exception and "digit must be drawn or a number from 1 to 20, got '21'" in at.warning[0].value
    assert "toy_bits must be one of 32, 8, 4, 3, 2, 1, got '5'" in at.warning[0].value


@pytest.mark.parametrize("drawing", [None, base64.b64encode(bytes(56 * 56)).decode()])
def test_an_empty_drawing_is_one_sentence(drawing):
    at = visit(digit="drawn")
    if drawing is not None:
        at.session_state["_drawing"] = drawing
        at.run()
    assert not at.exception and not at.error
    assert at.info[0].value.startswith("Drawing must hold some ink, got an empty one: draw a digit")


def test_a_drawing_is_read():
    at = visit(digit="drawn", toy_bits="8")
    ink = np.zeros((56, 56), np.uint8)
    ink[8:48, 26:31] = 255
    at.session_state["_drawing"] = base64.b64encode(ink.tobytes()).decode()
    at.run()
    assert read(at) == [1, 1, 1] and not at.info
    sent = link(at)
    elsewhere = visit(**{key: sent[key] for key in ("digit", "ink", "toy_bits")})
    assert read(elsewhere) == [1, 1, 1] and not elsewhere.info and not elsewhere.warning
    assert [one.value for one in elsewhere.caption] == [one.value for one in at.caption], "as sure, to the last digit"
    assert link(elsewhere)["ink"] == sent["ink"] and sent["ink"] in next(c.value for c in at.code if "digit" in c.value)


def test_a_drawing_of_a_link_that_is_none_is_told():
    at = visit(digit="drawn", ink="abc")
    assert not at.exception and "ink must be a picture of 28 by 28 pixels" in at.warning[0].value and at.info


@pytest.mark.parametrize("one", [one for one in preset.load() if one.page], ids=lambda one: one.name)
def test_every_example_has_a_picture_that_says_its_numbers(one):
    for dark in (False, True):
        drawn = thumbnail.draw(one.page, one.result, Ink(dark=dark))
        alt = drawn.partition('alt="')[2].partition('"')[0]
        assert drawn.startswith("<img") and any(char.isdigit() for char in alt) and "nan" not in alt
