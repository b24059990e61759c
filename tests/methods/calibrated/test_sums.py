"""Sums over rows that come piece by piece, against the rows held at once."""

import itertools

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from sdqviz.methods.calibrated.sums import LARGE, Sums


@pytest.mark.parametrize("rows", [1, 1200])
@pytest.mark.parametrize("agree", [True, False])
@pytest.mark.parametrize(("width", "neurons"), [(3, 11), (5, 5), (11, 3)])
def test_outputs_of_many_and_of_few_neurons_are_summed(width, neurons, agree, rows):
    rng = np.random.default_rng(0)
    weights, x = rng.normal(size=(2, width, neurons)), rng.normal(size=(2, 1200, width))
    y = x if agree else x + rng.normal(size=x.shape)
    sums = Sums(weights, agree, rows)
    for start, stop in itertools.pairwise((0, 7, 300, 900, 1190, 1200)):  # few rows wait for more
        piece, other = (torch.from_numpy(part[:, start:stop].copy()) for part in (x, y))
        sums.add(piece, None if agree else other)
        piece[:], other[:] = 0, 0  # what was added may change
    for group, found in enumerate(sums.finish()):
        assert_allclose(found.target, ((x[group] @ weights[group]) ** 2).sum(axis=0), rtol=1e-12)
        assert_allclose(found.inputs, y[group].T @ y[group], rtol=1e-12, atol=1e-12)
        if agree:
            assert found.cross is None
        else:
            assert_allclose(found.cross, y[group].T @ x[group], rtol=1e-12, atol=1e-12)
        assert_allclose(found.total, y[group].sum(axis=0), rtol=1e-12)


def test_many_float32_products_tell_the_square_lengths_to_six_places():
    rng = np.random.default_rng(5)
    x = rng.normal(size=(1, 512, 1100)).astype(np.float32).astype(float)
    weights = rng.normal(size=(1, 1100, 1300)).astype(np.float32).astype(float)
    assert x.shape[1] * weights.size >= LARGE
    exact = ((x @ weights) ** 2).sum(axis=1)
    for given, tolerance in ((weights, 1e-6), (weights + 1e-12, 1e-12)):  # the latter are no float32 numbers
        sums = Sums(given, agree=True, rows=512)
        sums.add(torch.from_numpy(x), None)
        (moments,) = sums.finish()
        np.testing.assert_allclose(moments.target, exact[0], rtol=max(tolerance, 1e-10))
    differing = Sums(weights, agree=False, rows=512)
    differing.by_gram = False
    differing.add(torch.from_numpy(x), torch.from_numpy(x))
    np.testing.assert_allclose(differing.finish()[0].target, exact[0], rtol=1e-12)
