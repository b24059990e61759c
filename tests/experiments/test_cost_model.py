"""The cost of layers by formula, held against counts and sizes that are measured."""

import numpy as np
import pytest
import torch
from torch import nn

import sdqviz as sq
from sdqviz.experiments.cost_model import SEVEN, SEVENTY, Machine, decoder_cost, layer_cost, network_cost
from sdqviz.experiments.machine_rates import measured_machine


def test_decoders_have_the_weights_their_names_say():
    assert SEVEN.weights == pytest.approx(6.5e9, rel=0.01) and SEVENTY.weights == pytest.approx(68.5e9, rel=0.01)


def test_operations_are_those_of_the_loops():
    outputs, inputs, samples = 3, 5, 7
    wide = layer_cost(5, 3, samples, differ=False)  # the norms of many outputs come from H
    assert wide.products == samples * 9 + 2 * 9 * 5 + 5 / 3 * 27
    assert layer_cost(5, 3, samples).products == wide.products + 3 * samples * 9
    lower = sum(1 for i in range(inputs) for j in range(i + 1)) * 2 * samples  # H, an addition and a product each
    feedback = sum(2 * t for t in range(inputs)) * outputs
    cost = layer_cost(outputs, inputs, samples, walks=1, differ=False)
    products = 2 * samples * outputs * inputs + 5 / 3 * inputs**3
    assert cost.products == pytest.approx(lower + products, abs=2 * samples * inputs)
    assert cost.walks == pytest.approx(feedback, abs=2 * outputs * inputs)
    more = layer_cost(outputs, inputs, samples).products - cost.products
    assert more == (2 * samples * inputs**2)


def test_costs_add_up_and_more_machines_share_only_walks():
    one, two = layer_cost(8, 4, 10), layer_cost(4, 8, 10)
    both = network_cost([(8, 4), (4, 8)], 10)
    assert both.walks == one.walks + two.walks and both.memory == max(one.memory, two.memory)
    cost, machine = decoder_cost(SEVEN), Machine(network=1e30)
    times = [cost.seconds(machine, k) for k in (1, 2, 4, 1000000)]
    assert np.all(np.diff(times) < 0)
    alone = cost.forward / machine.forward + cost.products / machine.products + cost.weights / machine.weights
    alone += (cost.read + cost.written) / machine.disk
    assert times[-1] == pytest.approx(alone, rel=1e-3) and times[0] == pytest.approx(alone + cost.walks / machine.walks)
    slow = Machine(network=1e8)
    assert decoder_cost(SEVENTY).seconds(slow, 64) > decoder_cost(SEVENTY).seconds(slow, 8)  # the broadcast grows


def test_bytes_written_are_those_of_a_packed_file():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(200, 300), nn.ReLU(), nn.Linear(300, 100))
    inputs = torch.randn(400, 200)
    found = sq.compress(sq.Network(module, inputs[:1]), sq.METHODS["gptq"](bits=4), inputs)
    shapes = [tuple(item.layer.weight.shape) for item in found.layers]
    predicted = network_cost(shapes, 400, bits=4).written
    assert predicted == pytest.approx(sum(item.bits for item in found.layers) / 8, rel=0.05)


def test_rates_are_found_from_what_layers_take():
    known = Machine(products=3e6, forward=5e6, walks=7e5, weights=11.0)

    def taken(inputs):
        cost = layer_cost(32, inputs, 64)
        return (
            cost.forward / known.forward + cost.products / known.products + cost.walks / known.walks
            + cost.weights / known.weights
        )  # fmt: skip

    products, forward = (16 * 64**3 + 5 / 3 * 64**3) / 3e6, 4 * 2 * 64 * 4 * 64**2 / 5e6
    looks = [0, products, 0, forward, *[0] * 5]  # and of two layers when the first begins and when each is done
    for inputs in (32, 128):
        looks += [0, 0, 0, taken(inputs), 0]
    times = iter(looks)
    found = measured_machine(64, lambda: float(next(times)))
    for rate in ("products", "forward", "walks", "weights"):
        assert getattr(found, rate) == pytest.approx(getattr(known, rate), rel=1e-6)
    assert next(times, None) is None
