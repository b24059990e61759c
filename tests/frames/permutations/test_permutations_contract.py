"""Every registered ordering returns a permutation, the same one each time, and stops when asked to."""

import json
import threading
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdqviz import memory
from sdqviz.error import InputError, Stopped
from sdqviz.frames import FRAMES
from sdqviz.frames.frame import DenseOperator, Frame
from sdqviz.frames.permutations import PERMUTATIONS

NAMES = sorted(PERMUTATIONS)
IGNORE_THE_SEED = set(NAMES) - {"random"}
LOOK_AT_THE_VECTORS = {"nearest-neighbour", "two-opt", "wang"}


def sphere_frame(dimension: int, size: int, seed: int) -> Frame:
    """Unit vectors, some of them equal: not tight, but an ordering does not care."""
    random = np.random.default_rng(seed)
    vectors = random.standard_normal((size, dimension))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors[random.integers(0, size, size // 4)] = vectors[0]
    return Frame(DenseOperator(vectors), dimension, size, tight=False)


def test_every_ordering_is_registered():
    assert set(NAMES) == {"identity", "nearest-neighbour", "random", "reversed-bits", "two-opt", "wang"}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("family", "fields"),
    [
        ("harmonic", {"dimension": 1, "size": 1}),
        ("harmonic", {"dimension": 1, "size": 2}),
        ("harmonic", {"dimension": 8, "size": 24}),
        ("roots-of-unity", {"size": 3}),
        ("platonic", {"size": 20}),
        ("simplex", {"dimension": 12, "size": 13}),
        ("hadamard", {"dimension": 5, "size": 64}),
        ("spectral-tetris", {"dimension": 3, "size": 50}),
        ("random", {"dimension": 16, "size": 300}),
    ],
)
def test_orders_are_permutations_and_repeatable(name, family, fields):
    frame = FRAMES[family](**fields).build(seed=1)
    order = PERMUTATIONS[name]().order(frame, seed=5)
    assert order.shape == (frame.size,)
    assert order.dtype == np.int64
    assert np.array_equal(np.sort(order), np.arange(frame.size))
    assert np.array_equal(order, PERMUTATIONS[name]().order(frame, seed=5))
    if name in IGNORE_THE_SEED:
        assert np.array_equal(order, PERMUTATIONS[name]().order(frame, seed=6))
    elif frame.size > 20:
        assert not np.array_equal(order, PERMUTATIONS[name]().order(frame, seed=6))


@settings(max_examples=60)
@given(
    name=st.sampled_from(NAMES),
    dimension=st.integers(1, 9),
    size=st.integers(1, 120),
    seed=st.integers(0, 2**32 - 1),
)
def test_orders_of_any_vectors_are_permutations(name, dimension, size, seed):
    frame = sphere_frame(dimension, size, seed)
    order = PERMUTATIONS[name]().order(frame, seed=seed)
    assert np.array_equal(frame.check_order(order), order)


@pytest.mark.parametrize("name", NAMES)
def test_the_vectors_are_left_alone(name):
    frame = FRAMES["random"](dimension=4, size=60).build()
    before = frame.vectors.copy()
    PERMUTATIONS[name]().order(frame)
    assert np.array_equal(frame.vectors, before)


@pytest.mark.parametrize("name", sorted(LOOK_AT_THE_VECTORS))
def test_a_request_to_stop_ends_the_work(name):
    frame = FRAMES["random"](dimension=6, size=400).build()
    with pytest.raises(Stopped):
        PERMUTATIONS[name]().order(frame, should_stop=lambda: True)


@pytest.mark.parametrize("name", ["nearest-neighbour", "two-opt"])
def test_a_request_to_stop_is_looked_at_often(name):
    frame = FRAMES["harmonic"](dimension=256, size=3001).build()
    PERMUTATIONS[name]().order(FRAMES["harmonic"](dimension=4, size=9).build())  # compiled before the clock runs
    looks = []
    PERMUTATIONS[name](seconds=60).order(frame, should_stop=lambda: bool(looks.append(time.thread_time())))
    gaps = np.diff(looks)  # processor time, so that a busy machine does not fail the test
    assert len(looks) > 10
    assert gaps.max() < 0.1


@pytest.mark.parametrize("name", sorted(LOOK_AT_THE_VECTORS))
def test_vectors_that_do_not_fit_are_refused(name, monkeypatch):
    monkeypatch.setattr(memory, "LIMIT", 1000)
    with pytest.raises(InputError, match="the matrix of frame vectors must fit"):
        PERMUTATIONS[name]().order(FRAMES["harmonic"](dimension=8, size=24).build())


@pytest.mark.parametrize("name", NAMES)
def test_choice_survives_json(name):
    choice = PERMUTATIONS[name]()
    assert PERMUTATIONS.from_dict(json.loads(json.dumps(choice.to_dict()))) == choice


@pytest.mark.parametrize("name", NAMES)
def test_numbers_outside_their_range_are_refused(name):
    cls = PERMUTATIONS[name]
    for field, spec in cls.specs().items():
        for bad in (spec.minimum / 2, spec.maximum + 1, float("nan"), "soon", None):
            with pytest.raises(InputError, match=f"^{field} must be "):
                cls(**{field: bad})


def test_threads_at_once_get_the_same_orders():
    frame = FRAMES["random"](dimension=5, size=300).build()
    expected = PERMUTATIONS["two-opt"]().order(frame)
    found = []
    threads = [threading.Thread(target=lambda: found.append(PERMUTATIONS["two-opt"]().order(frame))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert all(np.array_equal(order, expected) for order in found)
