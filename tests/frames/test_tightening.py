"""The finish by rotations reaches a unit-norm tight frame wherever the descent stops."""

import numpy as np
import pytest

from sdqviz.frames import tightening


@pytest.mark.parametrize(("dimension", "size"), [(1, 1), (1, 5), (2, 3), (3, 4), (64, 65), (31, 47), (20, 300)])
@pytest.mark.parametrize("steps", [0, 1, 8])
def test_any_number_of_descent_steps_is_enough(dimension, size, steps, monkeypatch):
    monkeypatch.setattr(tightening, "STEPS", steps)
    vectors = tightening.unit_norm_tight(np.random.default_rng(0).standard_normal((size, dimension)))
    assert np.abs(np.linalg.norm(vectors, axis=1) - 1).max() < 1e-14
    assert np.abs(np.linalg.svd(vectors, compute_uv=False) ** 2 * dimension / size - 1).max() < 1e-12


def test_the_nearest_tight_frame_is_the_polar_factor():
    vectors = np.random.default_rng(0).standard_normal((30, 7))
    left, _, right = np.linalg.svd(vectors, full_matrices=False)
    assert np.allclose(tightening.tight(vectors), np.sqrt(30 / 7) * left @ right, rtol=0, atol=1e-12)


def test_badly_conditioned_vectors_become_tight():
    vectors = np.random.default_rng(0).standard_normal((30, 7)) * 10.0 ** -np.arange(7)
    tight = tightening.tight(vectors)
    assert np.abs(np.linalg.svd(tight, compute_uv=False) ** 2 * 7 / 30 - 1).max() < 1e-10
