"""What the default, with its search for alphabets and scales, costs beside a plain walk.

Run alone: pytest -m slow -s -n 0 tests/benchmarks/test_scale_search_speed.py
"""

import time

import pytest
import torch
from torch import nn

import sdqviz as sq
from sdqviz.methods.method import Task

SHAPES = [(384, 384), (384, 1536), (1536, 384), (768, 768)]
"""Inputs and outputs of the dense layers of a small sentence transformer, and a square one of a larger."""

ROWS = 6144


def seconds(module: nn.Module, x: torch.Tensor, method) -> float:
    network = sq.Network(module, x[:2])
    begun = time.process_time()  # of all threads: others may use the machine too
    for _ in method.compress_layers(Task(network.layers, 0, network=network, inputs=x)):
        pass
    return time.process_time() - begun


@pytest.mark.slow
@pytest.mark.parametrize("name", ["gptq", "gpfq", "qronos", "spfq"])
def test_searching_beside_a_plain_walk(name):
    torch.manual_seed(0)
    print()
    ratios = []
    for inputs, outputs in SHAPES:
        module = nn.Sequential(nn.Linear(inputs, outputs))
        x = torch.randn(ROWS, inputs) * torch.rand(inputs)
        plain = sq.METHODS[name](bits=4, fit="max", alphabet="midtread")
        default = sq.METHODS[name](bits=4)
        seconds(module, x, plain)  # compiles
        once, searched = (min(seconds(module, x, method) for _ in range(3)) for method in (plain, default))
        ratios.append(searched / once)
        print(f"{name} {inputs} x {outputs}: plain {once:.2f} s, default {searched:.2f} s, ratio {ratios[-1]:.2f}")
    assert max(ratios) <= 2.5
    assert ratios[-1] <= 2.3
