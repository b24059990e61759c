"""A coarse frame of the same waves bounds every coefficient of a fine one, and seldom by much."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import sdqviz as sq
from sdqviz.array import heights
from sdqviz.frames.ceiling import Ceiling
from sdqviz.frames.signs import random_signs

WAVES = sorted(name for name in sq.FRAMES if sq.FRAMES[name].waves)


def vectors_of(choice, signs=False, seed=0):
    """All frame vectors from their definition, a cosine at a time."""
    d, n = choice.dimension, np.arange(choice.size)[:, None]
    k = np.arange(1, d // 2 + 1) - (0.5 if choice.name == "half-frequency" else 0.0)
    angle = 2 * np.pi * k * n / choice.size
    found = np.sqrt(2 / d) * np.stack([np.cos(angle), np.sin(angle)], axis=2).reshape(choice.size, -1)
    if d % 2:
        found = np.concatenate([np.full((choice.size, 1), np.sqrt(1 / d)), found], axis=1)
    return found * random_signs(d, seed) if signs else found


@given(
    name=st.sampled_from(WAVES),
    half=st.integers(1, 12),
    odd=st.booleans(),
    signs=st.booleans(),
    seed=st.integers(0, 2**16),
    more=st.integers(0, 97),
)
def test_no_coefficient_exceeds_the_ceiling(name, half, odd, signs, seed, more):
    dimension = 2 * half + (odd and name == "harmonic")
    choice = sq.FRAMES[name](dimension=dimension, size=40 * dimension + more)
    ceiling, vectors = Ceiling.of(choice, signs, seed), vectors_of(choice, signs, seed)
    rng = np.random.default_rng(seed)
    x = np.concatenate(
        [rng.standard_normal((6, dimension)), np.eye(dimension), vectors[rng.integers(choice.size, size=6)]]
    )  # of those the last have the narrowest peaks, somewhere between two samples
    truly = np.abs(x @ vectors.T).max(axis=1)
    assert (ceiling.over(x) >= truly).all()
    assert (ceiling.over(x) <= 1.1 * truly).all()  # 1/cos(π/8), and how far the frame itself misses a peak


def test_the_worst_wave_is_met_with_equality():
    choice = sq.FRAMES["harmonic"](dimension=8, size=32 * 64)
    ceiling = Ceiling.of(choice)
    assert ceiling.frame.size == 32
    middle = np.zeros((1, 8))  # cos(4(t − t₀)), t₀ halfway between two samples
    middle[0, 6:] = np.cos(np.pi / 8), np.sin(np.pi / 8)
    assert ceiling.over(middle)[0] == pytest.approx(np.sqrt(2 / 8), rel=1e-11)
    assert heights(choice.build().analyze(middle))[0] == pytest.approx(np.sqrt(2 / 8), rel=1e-12)


@pytest.mark.parametrize("name", WAVES)
def test_waves_do_not_depend_on_how_often_they_are_sampled(name):
    once, thrice = (sq.FRAMES[name](dimension=6, size=size).build().vectors for size in (20, 60))
    np.testing.assert_allclose(thrice[::3], once, atol=1e-14)


def test_no_ceiling_where_it_does_not_pay_or_is_not_known():
    assert Ceiling.of(sq.FRAMES["harmonic"](dimension=8, size=100)) is None
    assert Ceiling.of(sq.FRAMES["random"](dimension=8, size=4096)) is None
    assert Ceiling.of(sq.FRAMES["harmonic"](dimension=1, size=50)).over(np.array([[-3.0]])) >= 3
