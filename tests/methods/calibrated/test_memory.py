"""Calibration and measurement stream: what they take does not grow with the inputs, however they are given."""

import subprocess
import sys

import pytest

PROGRAM = """
import resource, sys
import numpy as np, torch
from torch import nn
import sdqviz as sq
from sdqviz.methods.calibrated.calibration import Calibration

class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner, self.outer = nn.Linear(64, 512), nn.Linear(512, 64)

    def forward(self, x):
        if sys.argv[2] == "untraced" and x.sum() > 1e30:
            x = -x
        return x + self.outer(torch.relu(self.inner(x)))

torch.manual_seed(0)
torch.set_num_threads(1)
network = sq.Network(nn.Sequential(nn.Embedding(50, 64), *(Block() for _ in range(6))), torch.zeros(2, 48).long())
x = torch.randint(0, 50, (int(sys.argv[1]), 48))
with Calibration(network, x[:2]) as warm:
    warm.moments(network.layers[0])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
sq.compress(network, sq.METHODS["gptq"](bits=4), x)
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
own = sum(8 * p.numel() for p in network.module.parameters())
print((after - before) * 1024 - own)
"""


@pytest.mark.slow
@pytest.mark.parametrize("way", ["traced", "untraced"])
def test_peak_memory_is_the_network_and_half_a_gibibyte(way):
    """1,024 texts of 48 tokens: what enters their layers would be 0.7 GB in each of the two networks."""
    done = subprocess.run([sys.executable, "-c", PROGRAM, "1024", way], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    print(f"{way}: {int(done.stdout) / 2**20:.0f} MiB above the network in float64")
    assert int(done.stdout) <= 512 * 2**20
