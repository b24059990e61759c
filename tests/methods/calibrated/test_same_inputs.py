"""Layers with the same inputs: what they share, and what they do not when they only begin alike."""

import numpy as np
import pytest
import torch
from torch import nn

import sdqviz as sq
from sdqviz.methods.calibrated.calibration import Calibration
from sdqviz.methods.calibrated.group_work import groups_of
from sdqviz.methods.method import Task

WIDTH = 12


class Attention(nn.Module):
    """Query, key and value behind a first layer; ``other`` changes what the value gets where an input is large."""

    def __init__(self, other=False):
        super().__init__()
        self.first = nn.Linear(5, WIDTH)
        self.query, self.key, self.value = (nn.Linear(WIDTH, WIDTH, bias=False) for _ in range(3))
        self.out = nn.Linear(WIDTH, 3)
        self.other = other

    def forward(self, x):
        h = torch.tanh(self.first(x))
        v = h * torch.where(x[:, :1].abs().amax() > 50, 2.0, 1.0) if self.other else h
        return self.out(torch.sigmoid(self.query(h) * self.key(h)) * self.value(v))


def calibration(other=False):
    torch.manual_seed(1)
    network = sq.Network(Attention(other), torch.randn(2, 5))
    torch.manual_seed(2)
    batches = [torch.randn(30, 5), torch.randn(30, 5)]
    batches[1][3, 0] = 60.0  # only the second batch is another for the value
    return network, batches


@pytest.mark.parametrize("other", [False, True])
@pytest.mark.parametrize("apart", [False, True])
def test_sums_of_layers_with_the_same_inputs_are_shared_and_right(other, apart):
    network, batches = calibration(other)
    layers = {layer.name: layer for layer in network.layers}
    x = [torch.cat(batches)]
    with Calibration(network, batches, "cpu") as data, torch.no_grad():
        found = {}
        for name in data.stops:
            found[name] = data.moments(layers[name]).groups[0]
            if apart and name in ("first", "query"):
                data.replace(name, np.round(layers[name].weight, 1), None)
        first = nn.Linear(5, WIDTH)
        first.load_state_dict(network.module.first.state_dict())
        original = torch.tanh(first(x[0])).double().numpy()
        if apart:
            first.weight.copy_(torch.from_numpy(np.round(layers["first"].weight, 1)).float())
        inputs = torch.tanh(first(x[0])).double().numpy()
    changed = np.repeat([1.0, 2.0 if other else 1.0], 30)[:, None]
    for name in ("query", "key", "value"):
        own, before = (part * (changed if name == "value" else 1.0) for part in (inputs, original))
        np.testing.assert_allclose(found[name].inputs, own.T @ own, atol=1e-5)
        np.testing.assert_allclose(found[name].total, own.sum(axis=0), atol=1e-5)
        np.testing.assert_allclose(found[name].target, ((before @ layers[name].weight.T) ** 2).sum(axis=0), rtol=1e-5)
        if apart:
            np.testing.assert_allclose(found[name].cross, own.T @ before, atol=1e-5)
        assert found[name].samples == 60
    assert found["key"].inputs is found["query"].inputs
    assert (found["value"].inputs is found["query"].inputs) == (not other)
    assert found["out"].inputs is not found["value"].inputs


def test_one_factor_serves_layers_with_the_same_inputs():
    network, batches = calibration()
    layers = {layer.name: layer for layer in network.layers}
    plan, task = sq.METHODS["gptq"]().plan(), Task(network.layers, 0, network=network, inputs=batches)
    starts = {}
    with Calibration(network, batches, "cpu") as data:
        for name in data.stops:
            (group,) = groups_of(plan, "float", layers[name], data.moments(layers[name]).groups, task)
            (work,) = group.works()
            starts[name] = work.start
    assert starts["key"].feedback is starts["query"].feedback is starts["value"].feedback
    assert starts["out"].feedback is not starts["value"].feedback
    again = sq.METHODS["gptq"](damping=0.3).plan().start(work.gram, work.weights, None)
    assert not np.array_equal(again.feedback, work.start.feedback)
