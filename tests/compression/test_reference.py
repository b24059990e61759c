"""What the original network does with inputs is kept by what they hold, and changes no figure."""

import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

import sdqviz as sq
from sdqviz.compression import reference


@pytest.fixture
def network():
    torch.manual_seed(0)
    return sq.Network(nn.Sequential(nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 3)), torch.randn(2, 8))


def batches(network, inputs):
    return list(reference.seen(network, network.layer_names, inputs))


def test_the_same_inputs_are_passed_through_once(network):
    inputs = np.random.default_rng(0).normal(size=(20, 8)).astype(np.float32)
    first = batches(network, inputs)
    assert batches(network, inputs.copy()) == first
    inputs[3, 4] += 1  # in place: what they hold counts, not where they lie
    other = batches(network, inputs)
    assert other != first
    assert not torch.equal(other[0].output, first[0].output)
    changed = network.replaced({"0": np.ones((6, 8))})
    assert not torch.equal(batches(changed, inputs)[0].output, other[0].output)


def test_what_is_large_is_not_kept(network, monkeypatch):
    monkeypatch.setattr(reference, "KEPT", 1000)
    inputs = np.random.default_rng(1).normal(size=(20, 8)).astype(np.float32)
    assert batches(network, inputs) != batches(network, inputs)


@pytest.mark.parametrize("name", ["round-to-nearest", "frame"])
def test_figures_with_it_are_those_without(network, name):
    inputs = np.random.default_rng(2).normal(size=(20, 8)).astype(np.float32)
    reports = [sq.compress(network, sq.METHODS[name](), inputs).report for _ in range(2)]
    first, again = ([dataclasses.replace(row, seconds=0) for row in one.layers] for one in reports)
    assert first == again
    assert reports[0].output_error == reports[1].output_error


def test_errors_are_those_of_the_definition(network):
    inputs = np.random.default_rng(3).normal(size=(20, 8)).astype(np.float32)
    run = sq.compress(network, sq.METHODS["round-to-nearest"](bits=3), inputs)
    before, after = network.layers, run.network.layers
    z = [inputs.astype(float)] * 2
    for one, other, row in zip(before, after, run.report.layers, strict=True):
        wanted, got = z[0] @ one.weight.T, z[1] @ other.weight.T
        same = z[0] @ (one.weight - other.weight).T
        assert row.relative_error == pytest.approx(np.linalg.norm(same) / np.linalg.norm(wanted), rel=1e-12)
        assert row.propagated_error == pytest.approx(np.linalg.norm(wanted - got) / np.linalg.norm(wanted), rel=1e-12)
        z = [np.maximum(wanted + one.bias, 0), np.maximum(got + other.bias, 0)]
