"""How fast this machine does what the cost model counts, measured on small layers by the code that does the work."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from sdqviz.experiments.cost_model import FACTOR, Cost, Machine, layer_cost
from sdqviz.methods import METHODS
from sdqviz.methods.calibrated.sums import Sums
from sdqviz.methods.method import Task
from sdqviz.networks.network import Network
from sdqviz.path_following.factor import factorize

if TYPE_CHECKING:
    from torch import Tensor, nn

Clock = Callable[[], float]


def measured_machine(width: int = 768, clock: Clock = time.process_time) -> Machine:
    """Return the rates of this process: of products, walks and forward passes, of layers of so many inputs.

    Parameters
    ----------
    width : int
        Inputs of the layers; some seconds for 768.
    clock : callable
        What is counted: time of the processor by default, which others that use the machine disturb less.
    """
    products = _products(width, clock)
    forward = _forward(width, clock)
    machine = dataclasses.replace(Machine(), products=products, forward=forward)
    walks, weights = _walks(width, machine, clock)
    return dataclasses.replace(machine, walks=walks, weights=weights)


def _products(width: int, clock: Clock) -> float:
    import torch

    rng = np.random.default_rng(0)
    rows = torch.from_numpy(rng.standard_normal((1, width, width)))
    sums = Sums(rng.standard_normal((1, width, width // 2)), agree=False)
    sums.add(rows, rows)  # wakes the threads
    begun = clock()
    for _ in range(4):
        sums.add(rows, rows)
    matrix = sums.finish()[0].inputs
    factorize(matrix)
    operations = 4 * 4.0 * width**3 + FACTOR * width**3  # of H, G and the norms of half as many outputs, four times
    return operations / max(clock() - begun, 1e-9)


def _forward(width: int, clock: Clock) -> float:
    import torch
    from torch import nn

    layer, rows = nn.Linear(width, 4 * width), torch.randn(width, width)
    with torch.no_grad():
        layer(rows)
        begun = clock()
        for _ in range(4):
            layer(rows)
    return 4 * 2.0 * width * layer.weight.numel() / max(clock() - begun, 1e-9)


def _walks(width: int, machine: Machine, clock: Clock) -> tuple[float, float]:
    """Return the rates of walks and of what is done weight by weight: two layers by GPTQ, less products and passes."""
    import torch
    from torch import nn

    def passed(inputs: int) -> tuple[Cost, float]:
        torch.manual_seed(0)
        module = nn.Sequential(nn.Linear(inputs, inputs), nn.ReLU(), nn.Linear(inputs, width // 2))
        taken = _last_layer(module, torch.randn(width, inputs), clock)
        cost = layer_cost(width // 2, inputs, width)
        return cost, taken - cost.forward / machine.forward - cost.products / machine.products

    _last_layer(nn.Sequential(nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 32)), torch.randn(32, 32), clock)  # compiles
    costs, seconds = zip(*(passed(inputs) for inputs in (width // 2, 2 * width)), strict=True)
    each = np.linalg.solve([[cost.walks, cost.weights] for cost in costs], seconds)
    walk, weight = np.maximum(each, 1e-15)
    return float(1 / walk), float(1 / weight)


def _last_layer(module: nn.Module, inputs: Tensor, clock: Clock) -> float:
    network = Network(module, inputs[:1])
    task = Task(network.layers, 0, None, None, network, inputs)
    taken, begun = 0.0, clock()
    for _ in METHODS.from_dict({"name": "gptq", "bits": 4}).compress_layers(task):
        taken, begun = clock() - begun, clock()
    return taken
