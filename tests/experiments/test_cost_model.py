"""The cost of layers by formula, held against counts and sizes that are measured."""

import dataclasses
import time

import numpy as np
import pytest
import torch
from torch import nn

import sdqviz as sq
from sdqviz.experiments import machine_rates
from sdqviz.experiments.cost_model import (
    HELD,
    SEVEN,
    SEVENTY,
    TOGETHER,
    Machine,
    decoder_cost,
    layer_cost,
    layer_memory,
    network_cost,
    searched,
)
from sdqviz.experiments.machine_rates import measured_machine
from sdqviz.methods.calibrated import device_walk
from sdqviz.methods.calibrated.layer_work import RIDERS
from sdqviz.methods.method import Task
from sdqviz.path_following import gram, walk


def test_decoders_have_the_weights_their_names_say():
    assert SEVEN.weights == pytest.approx(6.5e9, rel=0.01) and SEVENTY.weights == pytest.approx(68.5e9, rel=0.01)


def test_operations_are_those_of_the_loops():
    outputs, inputs, samples = 3, 5, 7
    first, later = (layer_cost(outputs, inputs, samples, walks=1, differ=differ) for differ in (False, True))
    lower = sum(1 for i in range(inputs) for j in range(i + 1)) * 2 * samples  # H, an addition and a product each
    triangle = sum(2 * (i + 1) for i in range(inputs)) * outputs  # of one triangle of H and weights
    feedback = sum(2 * t for t in range(inputs)) * outputs
    assert first.walks == later.walks == pytest.approx(feedback, abs=2 * outputs * inputs)
    factor = sum(2 * (j + 1) for i in range(inputs) for j in range(i + 1)) / 2
    alone = lower + triangle + factor  # norms; a walk finds its own error
    assert first.products == pytest.approx(alone, abs=2 * samples * inputs + 4 * outputs * inputs + inputs**2)
    # two networks: G, norms from outputs, G·W, and errors of the trial, of the last walk and of the alignment
    more = 2 * samples * inputs**2 + 2 * samples * outputs * inputs - inputs**2 * outputs
    assert later.products - first.products == pytest.approx(more + (2 + 2) * inputs**2 * outputs)
    assert first.forward == 2 * samples * outputs * inputs and later.forward == 2 * first.forward


def test_walks_and_products_are_as_often_as_they_are_counted(monkeypatch):
    counts = dict.fromkeys(("walks", "errors", "aimed"), 0)

    def counted(name, work, columns):
        def call(*given, **named):
            counts[name] += given[columns].shape[1]
            return work(*given, **named)

        return call

    monkeypatch.setattr(device_walk, "walk", counted("walks", device_walk.walk, 0))
    monkeypatch.setattr(gram, "squared_lengths", counted("errors", gram.squared_lengths, 1))
    monkeypatch.setattr(gram.Gram, "aimed", counted("aimed", gram.Gram.aimed, 1))
    for outputs in (24, 320):
        module = nn.Sequential(nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, outputs))
        network = sq.Network(module, torch.randn(1, 12))
        task = Task(network.layers, 0, None, None, network, torch.randn(64, 12))
        for place, _ in enumerate(sq.METHODS["gptq"](bits=4).compress_layers(task)):
            neurons = (8, outputs)[place]
            assert counts["walks"] == searched(neurons) * neurons
            assert counts["errors"] == (searched(neurons) + 1 if place else 0) * neurons
            assert counts["aimed"] == (neurons if place else 0)
            counts.update(dict.fromkeys(counts, 0))


def test_a_block_is_run_again_for_each_of_its_layers():
    layers = [(2, 2), (3, 2), (2, 3)] * 2
    cost = network_cost(layers, 10, blocks=[0, 0, 0, 1, 1, 1])
    # in one network before the first layer; to the second and third, and on through the block in two
    assert cost.forward == 40 * (4 + 10 + 16) + 40 * (4 + 10 + 16)
    assert network_cost(layers, 10).forward == 20 * 4 + 40 * (6 + 6 + 4 + 6 + 6)


def test_layers_with_the_inputs_of_the_one_before_sum_nothing_up():
    layers, shared = [(4, 8), (4, 8), (8, 4)], [False, True, False]
    own, taken = network_cost(layers, 100), network_cost(layers, 100, shared=shared)
    # the second: no H, no G, no factor, nothing turned; and, as only one network was looked at, no error of a trial
    alone = layer_cost(4, 8, 100, differ=False)
    assert taken.products == own.products - layer_cost(4, 8, 100).products + alone.products - 100 * 64 - 8**3 / 3
    assert taken.copied == own.copied - 6 * 64 and taken.walks == own.walks


def test_costs_add_up_and_more_machines_share_only_walks():
    one, two = layer_cost(8, 4, 10), layer_cost(4, 8, 10)
    both = network_cost([(8, 4), (4, 8)], 10)
    assert both.walks == one.walks + two.walks and both.memory == max(one.memory, two.memory)
    cost, machine = decoder_cost(SEVEN), Machine(network=1e30)
    times = [cost.seconds(machine, k) for k in (1, 2, 4, 1000000)]
    assert np.all(np.diff(times) < 0)
    alone = cost.alone(machine)
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


def looked(known, *, walks=None, bare=3e6):
    """Return rates found by a clock on which all is done as fast as told; walks, and bare products, faster if told."""

    def taken(inputs, outputs):
        cost = layer_cost(outputs, inputs, 64, passed=inputs**2)
        return (
            cost.forward / known.forward + cost.products / known.products + cost.walks / (walks or known.walks)
            + cost.weights / known.weights + cost.copied / known.copies + cost.steps / known.steps
        )  # fmt: skip

    products, forward, plain = 16 * 64**3 / 3e6, 4 * 2 * 64 * 4 * 64**2 / 5e6, 8 * 64**3 / bare
    looks = [
        0,
        products,
        0,
        forward,
        0,
        plain,
        *[0] * 5,
    ]  # and of two layers when the first begins and when each is done
    for size in ((32, 32), (128, 32), (128, 64), (32, 256)):
        looks += [0, 0, 0, taken(*size), 0]
    times = iter(looks)
    found = measured_machine(64, lambda: float(next(times)))
    assert next(times, None) is None
    return found


def test_rates_are_found_from_what_layers_take():
    known = Machine(products=3e6, forward=5e6, walks=7e5, weights=11.0, copies=13.0, steps=17.0)
    found = looked(known)
    for rate in ("products", "forward", "walks", "weights", "copies", "steps"):
        assert getattr(found, rate) == pytest.approx(getattr(known, rate), rel=1e-6)


@pytest.mark.parametrize("bare", [1e6, 4e6])
def test_walks_are_no_faster_than_the_products_they_are_made_of(bare):
    """A machine that slowed down while products were measured has layers which take less than their products."""
    known = Machine(products=3e6, forward=5e6, walks=7e5, weights=11.0, copies=13.0, steps=17.0)
    found = looked(known, walks=1e18, bare=bare)
    assert found.walks == pytest.approx(max(found.products, bare)) and found.weights < 1e3 and found.copies < 1e3


@pytest.mark.parametrize("step", [1e-6, 0.02])
def test_rates_are_those_of_the_work_however_coarse_the_clock(step):
    """A clock that moves in steps longer than the work tells the rate of many repeats, and never an infinite one."""
    now = 0.0

    def work():
        nonlocal now
        begun, now = now, now + 0.003
        return (now // step - begun // step) * step

    assert machine_rates.lasting(work) == pytest.approx(0.003, rel=step / machine_rates.LEAST)
    assert now <= machine_rates.LEAST + 0.003 + step  # no longer than it takes


def test_rates_by_a_clock_of_large_steps_are_those_of_a_machine():
    step = 0.01  # as of processors that are charged by the tick
    found = measured_machine(64, lambda: time.process_time() // step * step)
    assert np.isfinite(dataclasses.astuple(found)).all()
    assert found.products < 1e14 and found.forward < 1e14  # where no time at all was taken for a nanosecond, 1e15


def test_a_clock_that_stands_still_has_no_rate(monkeypatch):
    monkeypatch.setattr(machine_rates, "PATIENCE", 0.0)
    with pytest.raises(sq.InputError, match="clock must move while work is done, got 0 s in 1 times"):
        measured_machine(16, lambda: 1.0)


def test_memory_is_that_of_the_method():
    assert sq.METHODS["gptq"]().numbers_held == HELD and TOGETHER == RIDERS == 2 * walk.TOGETHER
    assert layer_memory(2, 3, (5, 7, 11), 13) == 8 * (5 * 9 + 7 * 6 + 11 * 13 * 3)
