"""Wang's order keeps bound (8) for every set of unit vectors, including those that try to break it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdqviz.frames import FRAMES
from sdqviz.frames.frame import DenseOperator, Frame
from sdqviz.frames.permutations.wang import Wang


def bound(dimension, size):
    return 4 * np.sqrt(dimension + 3) * (size ** (1 - 1 / dimension) - 1)


def frame_of(vectors) -> Frame:
    return Frame(DenseOperator(vectors), vectors.shape[1], vectors.shape[0], tight=False)


def recursive(vectors, indices, centre, side, backwards, depth=0):
    """The construction as one would say it: cut the cube, order the pieces, join them."""
    if len(indices) < 2 or depth == 30:
        return list(indices)
    digits = vectors[indices] >= centre
    ranks = np.bitwise_xor.accumulate(digits, axis=1) ^ backwards
    walk = []
    for rank in sorted({tuple(row) for row in ranks.tolist()}):
        inside = (ranks == np.array(rank)).all(axis=1)
        own = digits[inside][0]
        middle = centre + np.where(own, side / 4, -side / 4)
        walk += recursive(vectors, indices[inside], middle, side / 2, rank[-1], depth + 1)
    return walk


@pytest.mark.parametrize(("dimension", "size"), [(1, 5), (2, 50), (3, 300), (5, 200), (20, 100)])
def test_the_order_is_the_recursive_construction(dimension, size):
    vectors = np.random.default_rng(0).standard_normal((size, dimension))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors[size // 2 : size // 2 + 3] = vectors[0]
    expected = recursive(vectors, np.arange(size), np.zeros(dimension), 2.0, False)
    assert Wang().order(frame_of(vectors)).tolist() == expected


@settings(max_examples=300)
@given(
    dimension=st.integers(2, 12),
    size=st.integers(1, 400),
    clusters=st.integers(1, 30),
    spread=st.sampled_from([0.0, 1e-12, 1e-3, 0.1, 10.0]),
    corners=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_unit_vectors_keep_the_bound(dimension, size, clusters, spread, corners, seed):
    random = np.random.default_rng(seed)
    centres = random.standard_normal((clusters, dimension))
    if corners:
        centres = np.sign(centres)
    vectors = centres[random.integers(0, clusters, size)] + spread * random.standard_normal((size, dimension))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    frame = frame_of(vectors)
    assert frame.variation(Wang().order(frame)) <= bound(dimension, size) * (1 + 1e-9)


@pytest.mark.parametrize("name", sorted(set(FRAMES) - {"given", "platonic", "roots-of-unity", "simplex"}))
@pytest.mark.parametrize(("dimension", "at_least"), [(4, 64), (4, 4000), (16, 1000), (64, 1000)])
def test_registered_frames_keep_the_bound(name, dimension, at_least):
    size = FRAMES[name].admissible_size(dimension, at_least)
    frame = FRAMES[name](dimension=dimension, size=size).build(seed=0)
    assert frame.variation(Wang().order(frame)) <= bound(dimension, size)


def test_the_bound_says_something_in_space_and_is_far_from_reached():
    ratios = {}
    for size in (500, 5000, 50000):
        frame = FRAMES["random"](dimension=3, size=size).build(seed=0)
        assert bound(3, size) < 2 * size  # below what any walk at all would keep
        ratios[size] = frame.variation(Wang().order(frame)) / bound(3, size)
    assert max(ratios.values()) < 0.3


def test_its_variation_grows_as_the_bound_says():
    # unit vectors of space fill a surface: the walk grows like √N, more slowly than N^(2/3)
    lengths = []
    for size in (1000, 16000):
        frame = FRAMES["random"](dimension=3, size=size).build(seed=0)
        lengths.append(frame.variation(Wang().order(frame)))
    assert np.log(lengths[1] / lengths[0]) / np.log(16) == pytest.approx(0.5, abs=0.1)


def test_vectors_beyond_the_cube_are_scaled_into_it():
    vectors = np.random.default_rng(0).standard_normal((100, 3)) * 50
    scaled = vectors / np.abs(vectors).max()
    assert np.array_equal(Wang().order(frame_of(vectors)), Wang().order(frame_of(scaled)))
