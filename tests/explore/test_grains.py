"""The walk taken apart: the correction is what the recursion says, and the residual is a plain sum."""

import numpy as np
import pytest

from sdqviz.explore.layer_walks import grains
from sdqviz.explore.layer_walks import walk as walks
from sdqviz.explore.layer_walks.choice import WalkChoice


@pytest.fixture(scope="module")
def run():
    return walks.run(WalkChoice(inputs=20, samples=5, neurons=3, seeds=1, scaling=1.5), 0)


def test_each_correction_follows_from_the_residual_before_it(run):
    walk = grains.weight_walk(run, 2)
    state = np.zeros(5)
    for t, x in enumerate(run.data.inputs.T):
        assert walk.correction[t] == pytest.approx(x @ state / (1.5 * x @ x), abs=1e-9)
        state += (walk.aligned[t] - walk.levels[t]) * x
        np.testing.assert_allclose(walk.residual[t], state, atol=1e-9)
        assert walk.norms[t] == pytest.approx(np.sqrt(state @ state))


def test_the_plane_is_the_one_that_shows_most(run):
    walk = grains.weight_walk(run, 1)
    lengths = (walk.plane**2).sum() / (walk.residual**2).sum()
    assert lengths == pytest.approx(walk.shown) and walk.plane.shape == (20, 2)
    basis = np.linalg.qr(np.random.default_rng(0).standard_normal((5, 2)))[0]
    assert ((walk.residual @ basis) ** 2).sum() <= (walk.plane**2).sum()


@pytest.mark.parametrize("samples", [2, 3])
def test_two_and_three_samples_are_drawn_as_they_are(samples):
    run = walks.run(WalkChoice(inputs=9, samples=samples, neurons=1, seeds=1), 0)
    walk = grains.weight_walk(run, 7)
    assert walk.neuron == 1 and walk.shown == 1 and walk.plane is walk.residual
    assert walk.plane.shape == (9, samples)


def test_neurons_and_layers_have_the_errors_of_their_walks(run):
    found = grains.neurons(run)
    whole = run.data.norms @ run.data.norms
    for name, errors in found.errors.items():
        together = np.sqrt(((errors * run.data.norms) ** 2).sum() / whole)
        assert together == pytest.approx(run.relative_error(name))
    (error,) = grains.layers(run.choice, 0).errors["gpfq"]
    assert error == pytest.approx(run.relative_error("gpfq"))


def test_a_network_is_stepped_through_layer_by_layer():
    choice = WalkChoice(source="network", network="mnist-fnn", samples=8, neurons=2, seeds=1)
    found = grains.layers(choice, 0)
    assert found.names == ("1", "2", "3")
    third = walks.run(WalkChoice(source="network", network="mnist-fnn", samples=8, neurons=2, seeds=1, layer=3), 0)
    assert found.errors["spfq"][2] == pytest.approx(third.relative_error("spfq"))
