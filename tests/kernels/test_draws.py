"""The numbers of `draws` against the compiled generator, and against what uniform numbers look like."""

import numpy as np
from scipy import stats

from sdqviz.kernels import draws
from sdqviz.path_following.walk import walk
from sdqviz.quantizers import QUANTIZERS
from sdqviz.quantizers.quantizer import Grid

KEYS = draws.neuron_keys(draws.layer_key(3, "fc"), 300)


def test_the_walk_draws_the_same_numbers():
    values = np.random.default_rng(0).uniform(-3, 3, (70, 300))
    grid = Grid.infinite("midtread", np.full(300, 0.7))
    quantizer = QUANTIZERS["stochastic"]()
    got = walk(values, np.zeros((70, 70)), np.ones(70), quantizer, grid, KEYS).quantized
    expected = quantizer.apply(values, grid, draws.uniforms(KEYS, np.arange(70)[:, None]))
    np.testing.assert_array_equal(got, expected)


def test_numbers_are_uniform_and_unrelated():
    numbers = draws.uniforms(KEYS[:, None], np.arange(700))
    assert numbers.min() >= 0 and numbers.max() < 1
    assert stats.kstest(numbers.ravel(), "uniform").pvalue > 1e-3
    assert stats.kstest(numbers[:, 0], "uniform").pvalue > 1e-3  # across neurons as well as along one
    centred = (numbers - 0.5) * np.sqrt(12)
    correlation = centred @ centred.T / 700
    np.fill_diagonal(correlation, 0)
    assert np.abs(correlation).max() < 6 / np.sqrt(700)
    lagged = (centred[:, 1:] * centred[:, :-1]).mean()
    assert abs(lagged) < 4 / np.sqrt(300 * 699)


def test_a_number_belongs_to_its_seed_layer_neuron_and_weight():
    some = draws.uniforms(draws.neuron_keys(draws.layer_key(3, "fc"), 5)[:, None], np.array([7, 2]))
    np.testing.assert_array_equal(some, draws.uniforms(KEYS[:5, None], np.arange(8))[:, [7, 2]])
    for other in (draws.layer_key(4, "fc"), draws.layer_key(3, "fc2")):
        assert (draws.uniforms(draws.neuron_keys(other, 5)[:, None], np.array([7, 2])) != some).all()
