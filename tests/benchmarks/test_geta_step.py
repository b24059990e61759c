"""What a joint step of pruning and quantization costs beside a plain step of the same fake-quantized network.

Both fetch a batch and are a forward pass, a backward pass and an update by the same optimizer (Adam). Durations are
the smallest of interleaved repeats in one run on one thread (``-m slow -s`` shows the figures).
"""

import copy
import time

import pytest
import torch
from torch import nn

import sdqviz as sq
from sdqviz.methods.geta.run import Run

pytestmark = pytest.mark.slow
GOAL = 1.5


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def plain_step(module: nn.Module, optimizer: torch.optim.Optimizer, inputs: torch.Tensor, labels: torch.Tensor) -> None:
    optimizer.zero_grad()
    nn.functional.cross_entropy(module(inputs), labels).backward()
    optimizer.step()


@pytest.mark.parametrize(("name", "repeats"), [("mnist-lenet", 60), ("mnist-fnn", 60), ("resnet20", 12)])
def test_joint_step_costs_little_more_than_a_plain_one(name, repeats, record_property):
    network = sq.NETWORKS[name](seed=0).load()
    choice = sq.METHODS["geta"](
        warm_up_steps=0, projection_steps=1, projection_periods=1, joint_steps=10_000, pruning_periods=1
    )
    training = Run(network, choice, 0, network.dataset, None, None)
    plain = copy.deepcopy(training.module)  # with the same quantizers
    peer = torch.optim.Adam(plain.parameters(), choice.rate)
    for _ in range(3):  # into the joint stage: half of the units are being forgotten
        training.step()
    assert training.optimizer.redundant.any() and not training.optimizer.zero.any()
    joint_times, plain_times = [], []
    for repeat in range(repeats):
        begun = time.perf_counter()
        training.step()
        joint_times.append(time.perf_counter() - begun)
        begun = time.perf_counter()
        plain_step(plain, peer, *training.batches.of(repeat))
        plain_times.append(time.perf_counter() - begun)
    joint, base = min(joint_times), min(plain_times)
    ratio = joint / base
    record_property(f"joint over plain step, {name}", round(ratio, 3))
    print(f"\n{name}: joint step {1e3 * joint:.1f} ms, plain {1e3 * base:.1f} ms, ratio {ratio:.2f} (goal {GOAL})")
    assert ratio <= GOAL
