"""The cost model's time of a larger size, predicted from rates measured on small layers in the same run (``-s``)."""

import itertools
import resource

import numpy as np
import pytest
import torch
from torch import nn

import sdqviz as sq
from sdqviz.experiments.cost_model import network_cost
from sdqviz.experiments.machine_rates import measured_machine
from sdqviz.methods.method import Task

pytestmark = pytest.mark.slow

SAMPLES = 2048


def processor():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


# three layers, and the two largest of a block of the decoder of 551 M weights
@pytest.mark.parametrize(
    ("widths", "known"), [((1024, 1024, 1024, 2048), 768), ((1536, 1536, 1536, 3072), 768), ((1536, 4096, 1536), 1536)]
)
def test_a_larger_size_is_predicted_within_a_third(widths, known):
    machines = [measured_machine(known, processor)]  # on layers of half and of twice as many inputs
    torch.manual_seed(0)
    layers = [nn.Linear(*pair) for pair in itertools.pairwise(widths)]
    module = nn.Sequential(*[part for layer in layers for part in (layer, nn.ReLU())][:-1])
    inputs = torch.randn(SAMPLES, widths[0])
    network = sq.Network(module, inputs[:1])
    begun = processor()
    items = list(sq.METHODS["gptq"](bits=4).compress_layers(Task(network.layers, 0, None, None, network, inputs)))
    seconds = processor() - begun
    machines.append(measured_machine(known, processor))  # once more: the pace of a shared machine drifts
    cost = network_cost([item.layer.shape for item in items], SAMPLES)
    predicted = np.mean([cost.seconds(machine) for machine in machines])
    rates = ", then ".join(
        f"{machine.products / 1e9:.1f} G products, {machine.walks / 1e9:.1f} G of walks a second"
        for machine in machines
    )
    print(f"\n{rates}; predicted {predicted:.1f} s of processor time for widths {widths}, measured {seconds:.1f} s")
    assert np.isclose(predicted, seconds, rtol=0.3)
