"""How fast this machine does what the cost model counts, measured on small layers by the code that does the work."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from sdqviz.error import InputError
from sdqviz.experiments.cost_model import Cost, Machine, layer_cost
from sdqviz.methods import METHODS
from sdqviz.methods.calibrated.sums import Sums
from sdqviz.methods.method import CompressedLayer, MethodChoice, Task
from sdqviz.networks.network import Network

if TYPE_CHECKING:
    from torch import Tensor, nn

Clock = Callable[[], float]

LEAST, PATIENCE = 0.05, 2.0
"""Seconds that a measurement lasts, and after which it ends though its clock has moved less. Clocks of the processor
may move in steps of some milliseconds: what ends between two of them takes no time at all, at an infinite rate."""


def measured_machine(
    width: int = 768, clock: Clock = time.process_time, method: MethodChoice | None = None, walks: float | None = None
) -> Machine:
    """Return the rates of this process, of layers of so many inputs: products, forward passes, walks and more.

    Parameters
    ----------
    width : int
        Inputs of the layers; some seconds for 768.
    clock : callable
        What is counted: time of the processor by default, which others that use the machine disturb less.
    method : MethodChoice, optional
        Whose walks; GPTQ at 4 bits by default.
    walks : float, optional
        How many it takes, as for `sdqviz.experiments.cost_model.layer_cost`.

    Raises
    ------
    InputError
        If the clock stands still, or the method does not take layers of these sizes.
    """
    method = method or METHODS.from_dict({"name": "gptq", "bits": 4})
    products, forward = _products(width, clock), _forward(width, clock)
    machine = dataclasses.replace(Machine(), products=products, forward=forward)
    fastest = max(products, _bare(width, clock))
    rate, weights, copies, steps = _walks(width, machine, fastest, clock, method, walks)
    return dataclasses.replace(machine, walks=rate, weights=weights, copies=copies, steps=steps)


def lasting(measured: Callable[[], float]) -> float:
    """Return what a piece of work takes: the mean over as often as its clock needs to move by `LEAST`.

    Parameters
    ----------
    measured : callable
        Does the work once, and returns by how many seconds the clock moved meanwhile.

    Raises
    ------
    InputError
        If the clock has not moved at all after `PATIENCE`.
    """
    total, done, until = 0.0, 0, time.monotonic() + PATIENCE
    while total < LEAST and (not done or time.monotonic() < until):
        total, done = total + measured(), done + 1
    if total <= 0:
        raise InputError(f"clock must move while work is done, got {total:g} s in {done} times")
    return total / done


def small_layer(
    method: MethodChoice, width: int, clock: Clock = time.perf_counter, calibrated: bool = True
) -> tuple[float, float]:
    """Compress a dense layer of so many inputs and outputs, and return how long it took and the bits of a weight.

    Parameters
    ----------
    method : MethodChoice
        What compresses it.
    width : int
        Inputs and outputs.
    clock : callable
        What is counted.
    calibrated : bool
        Whether there are data, as many rows as inputs.

    Raises
    ------
    InputError
        If the method needs data and there are none, or does not take a layer of this size.
    """
    import torch
    from torch import nn

    torch.manual_seed(0)
    network = Network(nn.Sequential(nn.Linear(width, width)), torch.randn(1, width))
    task = Task(network.layers, 0, None, None, network, torch.randn(width, width) if calibrated else None)
    list(method.compress_layers(task))  # compiles
    begun = clock()
    found = [item for item in method.compress_layers(task) if isinstance(item, CompressedLayer)]
    return clock() - begun, sum(item.bits for item in found) / width**2


def _products(width: int, clock: Clock) -> float:
    import torch

    rng = np.random.default_rng(0)
    rows = torch.from_numpy(rng.standard_normal((1, width, width)))
    sums = Sums(rng.standard_normal((1, width, width // 2)), agree=False)
    sums.add(rows, rows)  # wakes the threads

    def measured() -> float:
        begun = clock()
        for _ in range(4):
            sums.add(rows, rows)
        return clock() - begun

    operations = 4 * 4.0 * width**3  # of H, G and the norms of half as many outputs, four times
    return operations / lasting(measured)


def _bare(width: int, clock: Clock) -> float:
    square = np.random.default_rng(0).standard_normal((width, width))
    found = square @ square  # wakes the threads

    def measured() -> float:
        begun = clock()
        for _ in range(4):
            np.matmul(square, square, out=found)
        return clock() - begun

    return 4 * 2.0 * width**3 / lasting(measured)


def _forward(width: int, clock: Clock) -> float:
    import torch
    from torch import nn

    layer, rows = nn.Linear(width, 4 * width), torch.randn(width, width)

    def measured() -> float:
        begun = clock()
        for _ in range(4):
            layer(rows)
        return clock() - begun

    with torch.no_grad():
        layer(rows)
        return 4 * 2.0 * width * layer.weight.numel() / lasting(measured)


def _walks(
    width: int, machine: Machine, fastest: float, clock: Clock, method: MethodChoice, walks: float | None
) -> tuple[float, float, float, float]:
    """Return the rates of walks, of what is done for each weight and each number of H, and of steps.

    Four layers are compressed, each behind one that is done already. Products and passes are subtracted: the data
    pass the layer in front, in two networks, and not the last one itself. Few outputs tell numbers of H from walks, few
    inputs tell weights from walks, and many outputs tell weights from steps.
    """
    import torch
    from scipy.optimize import nnls
    from torch import nn

    def passed(inputs: int, outputs: int) -> tuple[Cost, float, float]:
        torch.manual_seed(0)
        module = nn.Sequential(nn.Linear(inputs, inputs), nn.ReLU(), nn.Linear(inputs, outputs))
        rows = torch.randn(width, inputs)
        taken = lasting(lambda: _last_layer(module, rows, clock, method))
        cost = layer_cost(outputs, inputs, width, walks=walks, passed=inputs**2)
        return cost, taken, taken - cost.forward / machine.forward - cost.products / machine.products

    small = nn.Sequential(nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 32))
    _last_layer(small, torch.randn(32, 32), clock, method)  # compiles
    sizes = ((width // 2, width // 2), (2 * width, width // 2), (2 * width, width), (width // 2, 4 * width))
    costs, seconds, rest = zip(*(passed(*size) for size in sizes), strict=True)
    parts = np.array([[cost.walks, cost.weights, cost.copied, cost.steps] for cost in costs])
    taken = np.array(seconds)
    # walks are products of thin blocks: they may be faster than those of H, into which rows are copied, but not than
    # bare ones; what is left may be nothing, or less by chance
    least = np.array([1 / fastest, 1e-15, 1e-15, 1e-15])
    more, _ = nnls(parts / taken[:, None], (np.array(rest) - parts @ least) / taken)  # each layer counts alike
    walk, weight, copy, step = 1 / (least + more)
    return float(walk), float(weight), float(copy), float(step)


def _last_layer(module: nn.Module, inputs: Tensor, clock: Clock, method: MethodChoice) -> float:
    network = Network(module, inputs[:1])
    task = Task(network.layers, 0, None, None, network, inputs)
    taken, begun = 0.0, clock()
    for _ in method.compress_layers(task):
        taken, begun = clock() - begun, clock()
    return taken
