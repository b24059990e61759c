import dataclasses

import numpy as np
import pytest

from sdqviz.error import InputError
from sdqviz.explore.layer_walks import alignment, width
from sdqviz.explore.layer_walks import walk as walks
from sdqviz.explore.layer_walks.choice import NORMS, WalkChoice
from sdqviz.explore.layer_walks.data import layer_data
from sdqviz.kernels import draws
from sdqviz.methods.unified import OPERATORS

SMALL = WalkChoice(samples=12, inputs=40, neurons=3, seeds=60)


def naive(choice, seed, name):
    """Follow the path with u in R^m as the papers write it, one neuron and weight at a time."""
    data = layer_data(choice, seed)
    run = walks.run(choice, seed)
    x, scaling = data.inputs, choice.scaling if name == "unified" else 1.0
    quantized = np.zeros_like(data.weights)
    keys = draws.neuron_keys(draws.layer_key(seed, walks.LAYER), data.weights.shape[1])
    for m in range(data.weights.shape[1]):
        behind = np.zeros(len(x))
        aligned = np.zeros(len(data.weights))
        for t in range(len(aligned)):
            aligned[t] = x[:, t] @ (behind + data.weights[t, m] * data.original[:, t]) / (x[:, t] @ x[:, t])
            behind += data.weights[t, m] * data.original[:, t] - aligned[t] * x[:, t]
        state = np.zeros(len(x))
        for t, weight in enumerate(aligned):
            value = weight + x[:, t] @ state / (scaling * (x[:, t] @ x[:, t]))
            drawn = draws.uniforms(keys[m : m + 1], t)
            if name == "gpfq":
                level = run.grid.nearest(np.array([value]))[0]
            elif name == "spfq" or abs(value) >= run.cut:
                level = run.grid.stochastic(np.array([value]), drawn)[0]
            else:
                level = np.sign(value) * run.cut * (drawn[0] < abs(value) / run.cut)
            quantized[t, m] = level
            state += (weight - level) * x[:, t]
    return run, quantized


@pytest.mark.parametrize("name", ["gpfq", "spfq", "unified"])
def test_walks_are_those_of_the_papers_recursion(name):
    run, expected = naive(dataclasses.replace(SMALL, scaling=1.7), 5, name)
    np.testing.assert_allclose(run.path(name).quantized, expected, atol=1e-9)


@pytest.mark.parametrize("operator", OPERATORS)
def test_states_end_at_the_error_and_the_first_run_of_the_cloud_is_the_walk(operator):
    run = walks.run(dataclasses.replace(SMALL, operator=operator, norm="euclidean", order=3), 2)
    data = run.data
    for path in run.paths:
        error = data.original @ data.weights - data.inputs @ path.quantized
        np.testing.assert_allclose(path.state[-1], np.linalg.norm(error, axis=0), rtol=1e-9)
    np.testing.assert_allclose(run.cloud.euclidean[0], run.path("unified").state[-1], rtol=1e-8)
    assert run.verdict.consistent() or not run.sharpest.holds


def test_with_c_1_and_rounding_the_unified_framework_is_spfq():
    run = walks.run(dataclasses.replace(SMALL, operator="quantize"), 0)
    np.testing.assert_array_equal(run.path("unified").quantized, run.path("spfq").quantized)
    other = walks.run(dataclasses.replace(SMALL, operator="quantize", scaling=20.0), 0)
    feedback = np.abs(other.values - other.aligned).max()
    assert 0 < feedback < np.abs(other.plain_values - other.aligned).max() / 2
    assert other.relative_error("unified") > other.relative_error("spfq")


def test_every_bound_is_kept_as_often_as_stated_and_ours_is_the_lower():
    for norm in NORMS:
        run = walks.run(WalkChoice(norm=norm, seeds=1000), 1)
        paper, hoeffding, sharp = run.bounds
        assert all(one.holds and v.consistent() for one, v in zip(run.bounds, run.verdicts, strict=True))
        assert sharp.value < hoeffding.value < paper.value
        assert 0.2 < run.verdict.median < run.verdict.largest < 1.2


def test_clipping_takes_the_bound_away_and_an_endless_alphabet_gives_it_back():
    tight = dataclasses.replace(SMALL, room=0.4)
    run = walks.run(tight, 0)
    assert run.cloud.overload.sum() > 0 and not run.sharpest.holds and "clipped" in run.sharpest.because
    assert walks.run(dataclasses.replace(tight, finite=False), 0).sharpest.holds


def test_one_bit_stays_in_range_at_the_c_that_is_asked_for():
    choice = dataclasses.replace(SMALL, operator="one-bit", room=4.0, placement="largest")
    clipped = walks.run(choice, 0)
    needed = walks.one_bit_scaling(clipped)
    assert clipped.cloud.overload.sum() > 0 and not needed.holds and 1 < needed.value < 100
    enough = walks.run(dataclasses.replace(choice, scaling=needed.value * 1.001), 0)
    assert enough.cloud.overload.sum() == 0 and walks.one_bit_scaling(enough).holds and enough.sharpest.holds
    assert walks.one_bit_scaling(walks.run(SMALL, 0)) is None


def test_bits_count_the_map_of_zeros_and_floats_in_full():
    run = walks.run(dataclasses.replace(SMALL, operator="prune", threshold=0.5), 0)
    kept = (run.path("unified").quantized != 0).mean()
    assert run.bits_per_weight == pytest.approx(1 + 32 * kept + 8 / 120)
    coarse = walks.run(dataclasses.replace(SMALL, operator="one-bit"), 0)
    assert coarse.bits_per_weight == pytest.approx(1 + (32 + 8) / 120)


def test_alignment_falls_to_least_squares():
    tall = dataclasses.replace(SMALL, samples=60, inputs=10, drift=0.5)
    info = alignment.alignment(tall, 0)
    data = layer_data(tall, 0)
    target = data.original @ data.weights
    solved = np.linalg.lstsq(data.inputs, target, rcond=None)[0]
    expected = np.linalg.norm(target - data.inputs @ solved) / np.linalg.norm(target)
    assert info.least == pytest.approx(expected) and info.residual[-1] == pytest.approx(expected, rel=1e-6)
    assert (np.diff(info.residual) <= 1e-12).all() and info.residual[0] > 1.02 * expected
    assert alignment.alignment(dataclasses.replace(SMALL, drift=0.0), 0) is None


@pytest.mark.parametrize("operator", ["quantize", "quantize-prune", "prune"])
def test_error_of_gaussian_layers_falls_with_slope_minus_1_below_its_bound(operator):
    info = width.width_experiment(WalkChoice(operator=operator), 0)
    assert abs(info.slope + 1) < 0.15 and info.interval < 0.2
    assert np.isfinite(info.bound).all() and (info.errors <= info.bound[:, None]).all()
    if len(info.far):
        assert (info.bits <= np.interp(info.widths, info.far, info.far_bits)).all()
        assert 0.3 < info.far_bits[-1] - info.far_bits[0] < 1.2  # ½ log2 log N from 2^6 to 2^40 is 1.37 at most
    else:
        assert operator == "prune"


def test_layers_of_networks_come_with_their_own_inputs():
    first = layer_data(WalkChoice(source="network", layer=1, samples=20), 0)
    assert first.agree and first.inputs.shape == (20, 784) and first.weights.shape == (784, 8)
    second = layer_data(WalkChoice(source="network", layer=2, samples=20, neurons=3), 0)
    assert not second.agree and second.weights.shape == (256, 3) and (second.inputs >= 0).all()
    gap = np.linalg.norm(second.original - second.inputs) / np.linalg.norm(second.original)
    assert 0.001 < gap < 0.5
    convolution = layer_data(WalkChoice(source="network", network="mnist-lenet", layer=2, samples=20), 0)
    assert convolution.inputs.shape == (20, len(convolution.weights))
    assert layer_data(WalkChoice(source="network", layer=3, neurons=64), 0).weights.shape == (256, 10)


def test_first_layer_sees_the_images_themselves():
    from sdqviz.networks.dataset import mnist

    data = layer_data(WalkChoice(source="network", layer=1, samples=9), 4)
    np.testing.assert_allclose(data.inputs, mnist().calibration(9, 4).reshape(9, -1), atol=1e-7)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"bits": 1}, "bits must be at least 2 for the operator quantize-prune, got 1"),
        ({"operator": "prune", "threshold": 0.0}, "threshold must be above 0 for the operator prune, got 0"),
        ({"scaling": 0.5}, "scaling must be at least 1, got 0.5"),
        ({"seeds": 0}, "seeds must be at least 1, got 0"),
        ({"order": 0}, "order must be at least 1, got 0"),
        ({"inputs": 1024, "neurons": 64}, "seeds must be at most 89 for 64 neurons of 1024 inputs, got 500"),
        ({"source": "network", "layer": 5}, "layer must be between 1 and 3 for mnist-fnn, got 5"),
    ],
)
def test_bad_choices_are_told_in_a_sentence(given, sentence):
    with pytest.raises(InputError) as told:
        walks.run(WalkChoice(**given), 0)
    assert sentence in str(told.value)


@pytest.mark.parametrize("given", [{"inputs": 2, "samples": 2, "neurons": 1, "seeds": 1}, {"samples": 64, "inputs": 5}])
def test_smallest_layers_run(given):
    choice = WalkChoice(**given)
    assert np.isfinite(walks.run(choice, 0).relative_error("unified"))
    assert np.isfinite(alignment.alignment(choice, 0).error).all()


def test_a_slope_needs_points_and_positive_values():
    x = np.array([1.0, 2.0, 3.0, 5.0, 9.0])
    noisy = 3 * x**-1.5 * np.array([1.1, 0.9, 1.0, 1.05, 0.97])
    slope, interval = width.fitted_slope(x, noisy)
    from scipy.stats import linregress, t

    fit = linregress(np.log(x), np.log(noisy))
    assert slope == pytest.approx(fit.slope) and interval == pytest.approx(fit.stderr * t.ppf(0.975, 3))
    assert np.isnan(width.fitted_slope(x[:2], noisy[:2])[0]) and np.isnan(width.fitted_slope(x, 0 * x)[0])
