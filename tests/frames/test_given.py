"""A frame of the user's own: what is accepted, what is mended, what is refused and in which words."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdqviz.error import InputError
from sdqviz.frames import FRAMES
from sdqviz.frames.given import LARGEST, GivenFrame
from sdqviz.frames.harmonic import Harmonic


def test_unit_norm_tight_vectors_are_used_as_they_are():
    vectors = Harmonic(dimension=5, size=12).build().vectors
    choice = GivenFrame.from_array(vectors)
    assert (choice.dimension, choice.size) == (5, 12)
    assert np.array_equal(choice.build().vectors, vectors)


def test_dimension_and_size_follow_the_vectors():
    rows = [[1, 0, 0], [0, 1, 0], [0, 0, 1]]
    choice = GivenFrame(vectors=rows)
    assert (choice.dimension, choice.size) == (3, 3)
    assert choice == GivenFrame.from_array(np.eye(3))


def test_tall_choices_survive_json_and_are_hashable():
    choice = GivenFrame.from_array(np.random.default_rng(0).standard_normal((9, 4)), tighten=True)
    again = FRAMES.from_dict(json.loads(json.dumps(choice.to_dict())))
    assert again == choice
    assert hash(again) == hash(choice)
    assert np.array_equal(again.build().vectors, choice.build().vectors)


@pytest.mark.parametrize(
    "rows",
    [
        [[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]],  # splits into orthogonal parts
        [[1.0, 0.0], [0.0, 0.0], [0.0, 1.0]],  # a zero vector
        [[1.0, 0.0], [1.0, 1e-4], [1.0, -1e-4]],  # nearly parallel
        [[1e-8, 0.0], [1e-8, 1e-8], [0.0, 3e-8], [2e-8, 2e-8]],  # tiny
        [[5.0]],
        np.vander(np.linspace(0.1, 1, 12), 5).tolist(),
    ],
)
def test_any_spanning_vectors_can_be_made_tight(rows):
    frame = GivenFrame.from_array(rows, tighten=True).build()
    assert frame.tightness <= 1e-10
    assert frame.norm_deviation <= 1e-12


def test_nearly_tight_vectors_stay_near():
    vectors = Harmonic(dimension=4, size=20).build().vectors
    noisy = vectors + 1e-4 * np.random.default_rng(0).standard_normal(vectors.shape)
    assert np.abs(GivenFrame.from_array(noisy, tighten=True).build().vectors - vectors).max() < 1e-3


@settings(max_examples=80)
@given(dimension=st.integers(1, 12), extra=st.integers(0, 20), seed=st.integers(0, 2**32 - 1), spread=st.integers(0, 4))
def test_random_vectors_of_any_scale_can_be_made_tight(dimension, extra, seed, spread):
    random = np.random.default_rng(seed)
    rows = random.standard_normal((dimension + extra, dimension)) * 10.0 ** random.integers(-spread, 1, (1, dimension))
    try:
        frame = GivenFrame.from_array(rows, tighten=True).build()
    except InputError as error:
        assert "span" in str(error)  # only numerically singular draws may be refused
        assert np.linalg.cond(rows) > 1e5
        return
    assert frame.tightness <= 1e-10
    assert frame.norm_deviation <= 1e-12


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ([1.0, 2.0], "vectors must be a table with one vector a row, got shape (2,)"),
        ([[[1.0]]], "vectors must be a table with one vector a row, got shape (1, 1, 1)"),
        ([], "vectors must be a table with one vector a row, got shape (0,)"),
        ([[1.0, 2.0], [3.0]], "vectors must be rows of numbers, all of one length"),
        ([["a", "b"]], "vectors must be rows of numbers, all of one length"),
        (None, "vectors must be a table with one vector a row, got shape ()"),
        ([[1.0, float("nan")], [0.0, 1.0]], "vectors must be finite, got 1 numbers that are not"),
        ([[1.0, 0.0], [2.0, 0.0]], "vectors must span R^2 to be a frame, got 2 vectors that span only 1 dimensions"),
        ([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]], "vectors must span R^3 to be a frame, got 2 vectors that span only 2"),
        (np.zeros((3, 2)), "vectors must span R^2 to be a frame, got 3 vectors that span only 0 dimensions"),
        ([[2.0, 0.0], [0.0, 1.0]], "vectors must have norm 1, got norms from 1 to 2: ask to make them tight"),
        ([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]], "vectors must form a tight frame, got frame bounds 1 and 2: ask to"),
        (np.zeros((LARGEST + 1, 1)), f"vectors must have at most {LARGEST} numbers, got {LARGEST + 1}"),
    ],
)
def test_vectors_that_cannot_serve_are_refused(rows, sentence):
    with pytest.raises(InputError) as error:
        GivenFrame.from_array(rows)
    assert str(error.value).startswith(sentence)
    with pytest.raises(InputError):
        GivenFrame(vectors=rows)


def test_a_shape_that_contradicts_the_vectors_is_refused():
    with pytest.raises(InputError, match=r"dimension must be 2 for the given vectors of shape \(3, 2\), got 256"):
        GivenFrame(dimension=256, size=3)
    with pytest.raises(InputError, match=r"size must be 3 for the given vectors of shape \(3, 2\), got 1000"):
        GivenFrame(dimension=2, size=1000)
