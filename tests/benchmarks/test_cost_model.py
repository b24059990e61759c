"""The cost model's time at one size, predicted from rates measured at smaller ones in the same run (``-m slow -s``)."""

import time

import numpy as np
import pytest
import torch
from torch import nn

import sdqviz as sq
from sdqviz.experiments.cost_model import Machine, fitted, network_cost

pytestmark = pytest.mark.slow

SAMPLES = 2048


def measured(width):
    torch.manual_seed(0)
    module = nn.Sequential(*[nn.Linear(width, width), nn.ReLU()] * 2, nn.Linear(width, width))
    inputs = torch.randn(SAMPLES, width)
    network = sq.Network(module, inputs[:1])
    method = sq.METHODS["gptq"](bits=4)
    items = list(method.compress_layers(sq_task(network, inputs)))
    begun = time.process_time()
    items = list(method.compress_layers(sq_task(network, inputs)))
    seconds = time.process_time() - begun
    shapes = [tuple(item.layer.weight.shape) for item in items]
    return network_cost(shapes, SAMPLES), seconds


def sq_task(network, inputs):
    from sdqviz.methods.method import Task

    return Task(network.layers, 0, None, None, network, inputs)


def test_a_larger_size_is_predicted_within_a_third():
    sizes = [measured(width) for width in (384, 768)]
    machine = fitted(sizes, Machine())
    cost, seconds = measured(1536)
    predicted = cost.seconds(machine)
    rates = f"{machine.products / 1e9:.2f} G products, {machine.walks / 1e9:.2f} G of walks a second"
    print(f"\n{rates}; predicted {predicted:.1f} s of processor time at width 1536, measured {seconds:.1f} s")
    assert np.isclose(predicted, seconds, rtol=0.3)
