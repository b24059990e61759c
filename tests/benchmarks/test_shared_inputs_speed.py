"""Query, key and value of one block, which share their sums and GPTQ's factor, beside the same without sharing.

``-m slow -s`` shows the figures. Each way runs in processes of its own, in turn, and the best of each counts.
"""

import json
import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow

SCRIPT = """
import json, resource, sys, time
import numpy as np, torch
from torch import nn
import sdqviz as sq
from sdqviz.methods.calibrated import calibration
from sdqviz.methods.method import Task

way, width, rows = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
if way == "apart":  # no layer is looked upon as one with the inputs of another
    calibration.neighbours = lambda module, stops: set()

class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.out = nn.Linear(width, width)

    def forward(self, x):
        h = self.norm(x)
        return x + self.out(nn.functional.scaled_dot_product_attention(self.query(h), self.key(h), self.value(h)))

def compress(width, rows):
    torch.manual_seed(0)
    x = torch.randn(rows // 64, 64, width) * torch.rand(width)
    network = sq.Network(Block(width), x[:2])
    names = ("query", "key", "value")
    layers = [layer for layer in network.layers if layer.name in names]
    method = sq.METHODS["gptq"](bits=4, fit="max", alphabet="midtread")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    busy = time.process_time()
    found = list(method.compress_layers(Task(layers, 0, network=network, inputs=x)))
    busy = time.process_time() - busy
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return busy, (peak - before) / 1024, [float(np.abs(item.weight).sum()) for item in found]

compress(64, 128)  # imports and compiles
print(json.dumps(compress(width, rows)))
"""


@pytest.mark.parametrize(("width", "rows"), [(1024, 2048), (2048, 2048)])
def test_layers_with_the_same_inputs(width, rows, record_property):
    seconds, peaks, sums = {}, {}, {}
    for way in ("shared", "apart") * 2:
        run = [sys.executable, "-c", SCRIPT, way, str(width), str(rows)]
        busy, peak, found = json.loads(subprocess.run(run, capture_output=True, text=True, check=True).stdout)
        seconds[way], peaks[way] = min(busy, seconds.get(way, busy)), min(peak, peaks.get(way, peak))
        assert sums.setdefault("all", found) == found  # the same weights either way
    ratio = seconds["apart"] / seconds["shared"]
    record_property(f"sharing {width}", ratio)
    print(f"\nquery, key and value of {width} inputs and outputs, {rows} rows, GPTQ by one walk: shared "
          f"{seconds['shared']:.2f} s of processor time and {peaks['shared']:.0f} MiB, apart {seconds['apart']:.2f} s "
          f"and {peaks['apart']:.0f} MiB: {ratio:.2f} times as fast")  # fmt: skip
    assert ratio > 1
