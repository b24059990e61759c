"""Rounding against an exhaustive search over the levels."""

import numpy as np
import pytest
import torch
from torch import nn

import sdqviz as sq
from sdqviz.methods.calibrated.scale import SHRINKS


@pytest.mark.parametrize("bits", [1, 2, 4])
@pytest.mark.parametrize("scale", ["per-neuron", "per-layer"])
@pytest.mark.parametrize("fit", ["max", "mse"])
def test_each_weight_takes_the_closest_level(bits, scale, fit):
    torch.manual_seed(0)
    network = sq.Network(nn.Sequential(nn.Linear(9, 6, bias=False)), torch.zeros(1, 9))
    weight = network.layers[0].weight
    result = sq.compress(network, sq.METHODS["round-to-nearest"](bits=bits, scale=scale, fit=fit, alphabet="midrise"))
    step = np.broadcast_to(result.layers[0].step, 6)
    half = 2 ** (bits - 1)
    for row, delta, got in zip(weight, step, result.layers[0].weight, strict=True):
        levels = (np.arange(-half, half) + 0.5) * delta
        np.testing.assert_array_equal(got, levels[np.abs(row[:, None] - levels).argmin(axis=1)])
    if fit == "max":
        largest = np.abs(weight).max(axis=1 if scale == "per-neuron" else None)
        np.testing.assert_allclose(step, np.broadcast_to(largest / half, 6), rtol=3e-7)
        assert result.report.layers[0].overload == 0


def test_mse_fit_never_loses_to_max_fit_in_square_error():
    torch.manual_seed(3)
    network = sq.Network(nn.Sequential(nn.Linear(64, 32, bias=False)), torch.zeros(1, 64))
    for bits in (1, 2, 3, 4):
        errors = {
            fit: sq.compress(network, sq.METHODS["round-to-nearest"](bits=bits, fit=fit)).report.layers[0].weight_error
            for fit in ("max", "mse")
        }
        assert errors["mse"] <= errors["max"] * (1 + 1e-6)


@pytest.mark.parametrize("scale", ["per-neuron", "per-layer"])
@pytest.mark.parametrize("bits", [1, 3])
def test_mse_fit_is_the_best_of_all_candidates(bits, scale):
    torch.manual_seed(5)
    network = sq.Network(nn.Sequential(nn.Linear(50, 7, bias=False)), torch.zeros(1, 50))
    weight, half = network.layers[0].weight, 2 ** (bits - 1)
    result = sq.compress(network, sq.METHODS["round-to-nearest"](bits=bits, scale=scale, fit="mse", alphabet="midrise"))
    steps = result.layers[0].step if scale == "per-neuron" else np.unique(result.layers[0].step)
    for row, chosen in zip(weight if scale == "per-neuron" else [weight.ravel()], steps, strict=True):
        candidates = SHRINKS * np.abs(row).max() / (half - 0.5)
        levels = (np.arange(-half, half) + 0.5)[:, None, None] * candidates[:, None]
        missed = (np.abs(row - levels).min(axis=0) ** 2).sum(axis=1)
        np.testing.assert_allclose(chosen, candidates[missed.argmin()], rtol=3e-7)


def test_one_bit_mse_scale_is_the_mean_of_the_magnitudes():
    """Closed form: the best ±s for a row is s = mean|w|; the search must come within its grid of it."""
    torch.manual_seed(4)
    network = sq.Network(nn.Sequential(nn.Linear(200, 4, bias=False)), torch.zeros(1, 200))
    weight = network.layers[0].weight
    result = sq.compress(network, sq.METHODS["round-to-nearest"](bits=1, fit="mse"))
    spacing = np.abs(weight).max(axis=1) / 98
    assert (np.abs(result.layers[0].step / 2 - np.abs(weight).mean(axis=1)) <= spacing).all()


def test_bits_are_counted_by_hand():
    torch.manual_seed(0)
    network = sq.Network(nn.Sequential(nn.Linear(10, 8)), torch.zeros(1, 10))
    report = sq.compress(network, sq.METHODS["round-to-nearest"](bits=3, alphabet="midrise")).report
    assert report.layers[0].bits == 8 * 10 * 3 + 8 * 32 + 8  # 8 say how they are coded
    assert report.bits_per_weight == (8 * 10 * 3 + 8 * 32 + 8 + 8 * 32) / 88
