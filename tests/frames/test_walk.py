"""The walk through a frame: against the matrix of its vectors, closed forms, one cache, and Cancel while measuring."""

import contextlib
import dataclasses
import math
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import sdqviz as sq
from sdqviz.error import InputError, Stopped
from sdqviz.frames import walk as walk_module
from sdqviz.frames.half_frequency import HalfFrequency
from sdqviz.frames.harmonic import Harmonic
from sdqviz.frames.signs import signed
from sdqviz.frames.walk import Walk, harmonic_variation, harmonic_variation_limit, walked


def harmonic_walk(dimension=4, size=40, order=None):
    return Walk.of(Harmonic(dimension=dimension, size=size).build(), order)


def harmonic_limit(dimension):
    """Limit of σ of the harmonic frame for N → ∞, which bounds it for every N."""
    d = dimension
    return 2 * math.pi * math.sqrt(((d + 1) * (d + 2) if d % 2 == 0 else (d - 1) * (d + 1)) / 12)


def small_frame(name):
    family = sq.FRAMES[name]
    for dimension, least in [(4, 7), (4, 1), (3, 1), (2, 1)]:
        with contextlib.suppress(InputError):
            return family(dimension=dimension, size=family.admissible_size(dimension, least)).build(seed=2)
    return family().build(seed=2)


@pytest.mark.parametrize("name", sorted(sq.FRAMES))
@pytest.mark.parametrize("shuffled", [False, True])
def test_walk_agrees_with_the_matrix_of_vectors(name, shuffled):
    frame = small_frame(name)
    d = frame.dimension
    order = np.random.default_rng(0).permutation(frame.size) if shuffled else np.arange(frame.size)
    walk = Walk.of(frame, order)
    difference = -np.diff(frame.vectors[order], axis=0)
    np.testing.assert_allclose(walk.variation, np.linalg.norm(difference, axis=1).sum(), rtol=1e-12)
    np.testing.assert_allclose(walk.difference_norm, np.linalg.norm(difference, 2), rtol=1e-10)
    closed = np.vstack([difference, frame.vectors[order[-1:]]])
    if walk.closing:
        np.testing.assert_allclose(walk.closed_norm, np.linalg.norm(closed, 2), rtol=1e-10)
    assert walk.zero_sum == (np.linalg.norm(frame.vectors.sum(axis=0)) < 1e-10)
    gram = frame.vectors.T @ frame.vectors
    funtf = np.allclose(gram, frame.size / d * np.eye(d), atol=1e-9) and np.allclose(
        np.linalg.norm(frame.vectors, axis=1), 1, atol=1e-9
    )
    assert walk.tight == funtf


def test_walk_in_blocks_is_the_same_walk(monkeypatch):
    frame = Harmonic(dimension=6, size=50).build()
    order = np.random.default_rng(1).permutation(50)
    whole = Walk.of(frame, order)
    monkeypatch.setattr(walk_module, "WORK_AT_ONCE", 7 * 36)
    pieces = Walk.of(frame, order)
    for item in dataclasses.fields(Walk):
        np.testing.assert_allclose(getattr(pieces, item.name), getattr(whole, item.name), rtol=1e-12)


@pytest.mark.parametrize("dimension", [1, 2, 3, 4, 5, 8, 9])
@pytest.mark.parametrize("extra", [1, 2, 7, 100])
def test_closed_forms_of_harmonic_frames(dimension, extra):
    size = dimension + extra
    measured, closed = harmonic_walk(dimension, size), Walk.harmonic(dimension, size)
    np.testing.assert_allclose(closed.variation, measured.variation, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(harmonic_variation(dimension, size), measured.variation, rtol=1e-10, atol=1e-12)
    assert measured.variation <= harmonic_limit(dimension) + 1e-12
    assert harmonic_limit(dimension) <= harmonic_variation_limit(dimension)
    np.testing.assert_allclose(closed.difference_norm, measured.difference_norm, rtol=1e-10, atol=1e-12)
    assert measured.closed_norm <= closed.closed_norm * (1 + 1e-12)
    assert (closed.zero_sum, closed.closing) == (measured.zero_sum, measured.closing)


@given(st.integers(0, 20), st.integers(0, 60), st.sampled_from(["odd", "even", "half"]), st.booleans())
def test_waves_as_written_need_no_vectors(pairs, extra, kind, spread):
    odd, half = kind == "odd", kind == "half"
    family = HalfFrequency if half else Harmonic
    d = 2 * pairs + odd or 2
    pairs = d // 2
    size = family.admissible_size(d, d + extra)
    frame = family(dimension=d, size=size).build()
    walk = Walk.of(signed(frame, 7) if spread else frame)
    difference = -np.diff(frame.vectors, axis=0)
    assert walk.variation == pytest.approx(np.linalg.norm(difference, axis=1).sum(), rel=1e-12)
    longest = 2 * math.sqrt(size / d) * math.sin(math.pi * (pairs - half / 2) / size)
    assert walk.difference_norm == pytest.approx(longest, rel=1e-12, abs=1e-15)
    if size > 1:
        assert walk.difference_norm == pytest.approx(np.linalg.norm(difference, 2), rel=1e-12, abs=1e-12)
    if walk.closing:
        assert walk.closed_norm == pytest.approx(
            np.linalg.norm(np.vstack([difference, frame.vectors[-1:]]), 2), rel=1e-12
        )
    else:
        assert walk.closed_norm == walk.difference_norm


def test_a_hand_worked_walk_of_waves():
    """e_0 = (1, 0), e_1 = (0, 1): one step of length √2; with e_1 below, rows of Gram matrix [2 -1; -1 1]."""
    walk = Walk.of(HalfFrequency(dimension=2, size=2).build())
    assert (walk.variation, walk.difference_norm) == pytest.approx((math.sqrt(2), math.sqrt(2)))
    assert walk.closed_norm == pytest.approx(math.sqrt((3 + math.sqrt(5)) / 2))


def test_waves_of_any_dimension_are_walked_where_no_square_matrix_would_fit(monkeypatch):
    monkeypatch.setattr("sdqviz.memory.LIMIT", 1 << 20)
    frame = HalfFrequency(dimension=65536, size=70000).build()
    walk, (first, second) = Walk.of(frame), frame.operator.rows(np.array([0, 1]))
    assert walk.variation == pytest.approx(69999 * np.linalg.norm(first - second), rel=1e-10)
    assert 0 <= walk.closed_norm**2 - walk.difference_norm**2 <= 1


def test_sharp_harmonic_limit_is_reached_for_large_frames():
    for dimension in (4, 5):
        ratio = harmonic_variation(dimension, 1_000_000) / harmonic_limit(dimension)
        assert 0.9999 < ratio < 1


@pytest.mark.parametrize("dimension", [2, 4, 8])
@pytest.mark.parametrize("extra", [0, 1, 50])
def test_half_frequency_limit(dimension, extra):
    size = dimension + extra
    k = np.arange(1, dimension // 2 + 1) - 0.5
    angle = 2 * np.pi * np.outer(np.arange(size), k) / size
    vectors = np.sqrt(2 / dimension) * np.concatenate([np.cos(angle), np.sin(angle)], axis=1)
    variation = np.linalg.norm(np.diff(vectors, axis=0), axis=1).sum()
    np.testing.assert_allclose(HalfFrequency(dimension=dimension, size=size).build().variation(), variation, rtol=1e-10)
    assert variation <= 2 * math.pi * math.sqrt((dimension**2 - 1) / 12)


# -- one cache, and Cancel --------------------------------------------------------------------------


def test_a_walk_is_measured_once():
    choice, ordering = Harmonic(dimension=6, size=50), sq.PERMUTATIONS["random"]()
    first = walked(choice, ordering, 3)
    assert walked(choice, ordering, 3) is first
    assert walked(choice, ordering, 4) is not first
    assert first.walk == Walk.of(choice.build(3), first.order)
    np.testing.assert_array_equal(first.order, ordering.order(choice.build(3), 3))
    assert walked(choice, sq.PERMUTATIONS["identity"](), 3).order is None


def test_a_walk_too_wide_for_memory_is_refused(monkeypatch):
    monkeypatch.setattr("sdqviz.memory.LIMIT", 1000)
    with pytest.raises(InputError, match="the geometry of a walk must fit"):
        harmonic_walk(40, 60, np.arange(60)[::-1])


def test_measuring_stops_between_blocks_and_nothing_is_kept(monkeypatch):
    monkeypatch.setattr(walk_module, "WORK_AT_ONCE", 1)
    asked = []

    def stop():
        asked.append(True)
        return len(asked) > 5

    with pytest.raises(Stopped):
        walked(Harmonic(dimension=7, size=60), sq.PERMUTATIONS["random"](), 0, should_stop=stop)
    assert len(asked) == 6
    found = walked(Harmonic(dimension=7, size=60), sq.PERMUTATIONS["random"](), 0)
    assert found.walk.variation == pytest.approx(found.frame.variation(found.order))


def test_eigenvalues_do_not_hold_up_a_stop(monkeypatch):
    """LAPACK cannot be interrupted: the caller leaves at once, and the thread ends by itself."""
    monkeypatch.setattr(walk_module, "WIDE", 3)
    begun, may_end, ended = threading.Event(), threading.Event(), threading.Event()
    backwards = np.arange(9)[::-1]
    real = walk_module.largest_eigenvalue

    def slow(matrix):
        begun.set()
        may_end.wait(10)
        ended.set()
        return real(matrix)

    monkeypatch.setattr(walk_module, "largest_eigenvalue", slow)
    with pytest.raises(Stopped):
        Walk.of(Harmonic(dimension=5, size=9).build(), backwards, should_stop=begun.is_set)
    assert begun.is_set() and not ended.is_set()
    may_end.set()
    monkeypatch.setattr(walk_module, "largest_eigenvalue", real)
    assert Walk.of(Harmonic(dimension=5, size=9).build(), backwards, lambda: False) == harmonic_walk(5, 9, backwards)
