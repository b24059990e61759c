"""Random signs leave the geometry of every family as it is, and the coefficients alike."""

import numpy as np
import pytest

import sdqviz as sq
from sdqviz.frames.signs import TOGETHER, random_signs, signed
from sdqviz.frames.walk import Walk

FAMILIES = {
    "harmonic": (6, 11), "half-frequency": (6, 6), "hadamard": (6, 8), "random": (6, 12), "simplex": (6, 7),
    "spectral-tetris": (5, 12), "roots-of-unity": (2, 5),
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_signs_change_coordinates_and_nothing_else(name):
    dimension, size = FAMILIES[name]
    frame = sq.FRAMES[name](dimension=dimension, size=size).build(seed=1)
    spread, signs = signed(frame, seed=4), random_signs(dimension, 4)
    np.testing.assert_array_equal(spread.vectors, frame.vectors * signs)
    x = np.random.default_rng(0).standard_normal((3, dimension))
    np.testing.assert_allclose(spread.analyze(x), x @ spread.vectors.T, atol=1e-12)
    np.testing.assert_allclose(spread.synthesize(spread.analyze(x)), x, atol=1e-12)
    many = np.random.default_rng(2).standard_normal((2 * TOGETHER + 9, dimension))
    np.testing.assert_allclose(spread.analyze(many), many @ spread.vectors.T, atol=1e-12)
    np.testing.assert_allclose(spread.synthesize(spread.analyze(many)), many, atol=1e-12)
    order = np.random.default_rng(1).permutation(size)
    before, after = Walk.of(frame, order), Walk.of(spread, order)
    for fact in ("variation", "difference_norm", "closed_norm"):
        assert getattr(after, fact) == pytest.approx(getattr(before, fact), rel=1e-10)
    assert (after.tight, after.zero_sum, after.closing) == (before.tight, before.zero_sum, before.closing)
    assert spread.bounds == pytest.approx(frame.bounds)


def test_signs_are_those_of_the_seed_for_ever():
    assert random_signs(12, 7).tolist() == random_signs(40, 7)[:12].tolist()
    assert random_signs(16, 0).tolist() == [-1, 1, 1, -1, 1, -1, -1, 1, 1, 1, -1, -1, 1, 1, -1, 1]
    assert random_signs(8, 2**62 + 5).tolist() == [1, 1, -1, -1, 1, -1, -1, -1]
    signs = random_signs(100_000, 3)
    assert set(signs) == {-1.0, 1.0} and abs(signs.mean()) < 0.01
    assert abs((signs * random_signs(100_000, 4)).mean()) < 0.01
