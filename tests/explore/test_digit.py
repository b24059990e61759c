"""A drawing becomes a picture as MNIST has them: cropped, fitted, centred; nothing drawn is one sentence."""

import base64
import string

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import sdqviz as sq
from sdqviz.explore import digit, toy


def text_of(side, ink=0):
    return base64.b64encode(bytes([ink]) * side**2).decode()


def test_a_drawing_travels_as_base_64():
    ink = np.arange(64, dtype=np.uint8).reshape(8, 8)
    read = digit.from_text(base64.b64encode(ink.tobytes()).decode())
    np.testing.assert_allclose(read, ink / 255)


@given(st.integers(0, 2**32 - 1))
def test_a_drawing_stands_in_a_link_within_half_a_shade(seed):
    picture = np.random.default_rng(seed).random((digit.SIDE, digit.SIDE))
    text = digit.to_link(picture)
    assert len(text) <= 800 and set(text) <= set(string.ascii_letters + string.digits + "-_")
    assert np.abs(digit.from_link(text) - picture).max() <= 0.5 / (digit.SHADES - 1) + 1e-12
    assert digit.to_link(digit.from_link(text)) == text


@pytest.mark.parametrize("text", ["", "AAAA", "no base 64!", "A" * 524, "é" * 523])
def test_what_is_no_picture_in_a_link_is_refused(text):
    with pytest.raises(sq.InputError, match="ink must be a picture of 28 by 28 pixels in base 64, got"):
        digit.from_link(text)


@pytest.mark.parametrize("text", ["", "AAAA", "no base 64!", text_of(7), text_of(513)])
def test_what_is_no_square_is_refused(text):
    with pytest.raises(sq.InputError, match="drawing must be a square"):
        digit.from_text(text)


@pytest.mark.parametrize("ink", [np.zeros((56, 56)), np.full((56, 56), 0.05)])
def test_an_empty_drawing_is_one_sentence(ink):
    with pytest.raises(sq.InputError, match="drawing must hold some ink, got an empty one: draw a digit"):
        digit.to_picture(ink)


@given(st.integers(0, 30), st.integers(0, 30), st.integers(1, 25), st.integers(1, 25))
def test_place_and_size_of_a_block_do_not_matter_but_its_shape_does(top, left, height, width):
    ink = np.zeros((56, 56))
    ink[top : top + height, left : left + width] = 1
    picture = digit.to_picture(ink)
    rows, columns = np.nonzero(picture > 0.5)
    long, short = max(height, width), min(height, width)
    assert max(np.ptp(rows), np.ptp(columns)) + 1 == digit.BOX
    assert min(np.ptp(rows), np.ptp(columns)) + 1 == max(1, round(short * digit.BOX / long))
    assert abs(rows.mean() - 13.5) <= 1 and abs(columns.mean() - 13.5) <= 1
    assert picture.max() == 1 and picture.min() == 0


def test_test_digits_drawn_large_and_aside_are_read_as_before():
    pictures, labels = toy.pictures()
    drawn = []
    for one in pictures[::2]:  # the others are misread by some copy as they are
        ink = np.zeros((84, 84))
        ink[2:58, 20:76] = np.kron(one, np.ones((2, 2)))
        drawn.append(digit.to_picture(ink))
    assert toy.trained().answer(np.array(drawn)).argmax(axis=1).tolist() == list(labels[::2])
