"""Frame rounding and the range of coefficients behind random signs, against what is measured."""

import numpy as np
import pytest

import sdqviz as sq
from sdqviz.bounds.spreading import coefficient_range, layer_bound_rounding
from sdqviz.frames.signs import random_signs
from sdqviz.frames.walk import Walk
from sdqviz.quantizers.alphabet import nearest_index


@pytest.mark.parametrize(("dimension", "size"), [(6, 6), (16, 21), (8, 40)])
def test_rounding_of_coefficients_stays_below_its_bound_whatever_the_columns(dimension, size):
    rng = np.random.default_rng(size)
    frame = sq.FRAMES["half-frequency"](dimension=dimension, size=size).build()
    walk = Walk.of(frame)
    for trial in range(50):
        columns = rng.standard_normal((7, dimension)) * rng.exponential(1.0, (7, 1))
        coefficients = frame.analyze(columns)
        steps = np.abs(coefficients).max(axis=1) / 2
        levels = (nearest_index(coefficients, steps[:, None], 2) + 0.5) * steps[:, None]
        error = np.linalg.norm(columns - frame.synthesize(levels), 2)
        found = layer_bound_rounding(walk, steps, np.abs(coefficients).max(axis=1) <= 2 * steps)
        assert found.holds and error <= found.value, trial
    assert found.value == pytest.approx(np.sqrt(dimension) * np.linalg.norm(steps) / 2)
    assert not layer_bound_rounding(walk, steps, np.zeros(7, bool)).holds


def test_hand_case_of_the_range():
    found = coefficient_range(3.0, dimension=8, size=10, failure=0.01)
    assert found.value == pytest.approx(2 * 3 * np.sqrt(np.log(2 * 10 / 0.01) / 8))
    assert found.probability == pytest.approx(0.99) and found.holds
    assert coefficient_range(1.0, 8, 10, 0.01, largest_entry=1.0).value == pytest.approx(
        np.sqrt(2 * np.log(2 * 10 / 0.01))
    )
    for failure in (0.0, 1.0, -1.0):
        with pytest.raises(sq.InputError, match="failure"):
            coefficient_range(1.0, 8, 10, failure)


@pytest.mark.parametrize(("dimension", "size"), [(32, 37), (64, 64)])
def test_range_is_left_no_more_often_than_stated_and_a_frame_vector_itself_is_tamed(dimension, size):
    frame = sq.FRAMES["half-frequency"](dimension=dimension, size=size).build()
    vectors = [frame.vectors[3], np.eye(dimension)[0], np.random.default_rng(0).standard_normal(dimension)]
    trials, failure = 1000, 0.1
    for vector in vectors:
        limit = coefficient_range(float(np.linalg.norm(vector)), dimension, size, failure).value
        spread = np.stack([vector * random_signs(dimension, seed) for seed in range(trials)])
        left = (np.abs(frame.analyze(spread)).max(axis=1) > limit).mean()
        assert left <= failure + 3 * np.sqrt(failure / trials)
    limit = coefficient_range(1.0, 256, 256, failure).value
    frame = sq.FRAMES["half-frequency"](dimension=256, size=256).build()
    assert np.abs(frame.analyze(frame.vectors[3])).max() == pytest.approx(1.0)
    assert np.abs(frame.analyze(frame.vectors[3] * random_signs(256, 0))).max() < limit < 1
