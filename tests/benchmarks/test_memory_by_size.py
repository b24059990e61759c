"""Peak memory of every method against the size of a network and the number of inputs, each in a process of its own."""

import json
import os
import subprocess
import sys

import pytest

import sdqviz as sq

pytestmark = pytest.mark.slow

RUN = """
import json, resource, sys
import torch
import sdqviz as sq
width, count, name = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
def network(width):
    torch.manual_seed(0)
    parts = [torch.nn.Linear(64, width), torch.nn.ReLU(), torch.nn.Linear(width, width), torch.nn.ReLU(),
             torch.nn.Linear(width, 10)]
    return sq.Network(torch.nn.Sequential(*parts), torch.zeros(1, 64))
class Batches:  # of one batch after the other, so that the inputs themselves take no room
    def __iter__(self):
        generator = torch.Generator().manual_seed(1)
        return iter(torch.randn(256, 64, generator=generator) for _ in range(count // 256))
fields = {"redundancy": 1.0} if name in ("frame", "frame-calibrated") else {}
method = sq.METHODS.from_dict({"name": name, **fields})
from sdqviz.compression.block_by_block import compress_to_file
small = network(32)
compress_to_file(small, method, sys.argv[4] + "-warm", torch.zeros(2, 64) + torch.eye(2, 64))
big = network(width)
inputs = list(Batches())
bare = peak()
compress_to_file(big, method, sys.argv[4], inputs)
print(json.dumps({"bare": bare, "peak": peak(), "weights": sum(p.numel() for p in big.module.parameters())}))
"""

GROWING = """
import gc, json, resource, sys
import torch
import sdqviz as sq
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
name, counts = sys.argv[1], [int(count) for count in sys.argv[2:]]
torch.manual_seed(0)
parts = [torch.nn.Linear(64, 512), torch.nn.ReLU(), torch.nn.Linear(512, 512), torch.nn.ReLU()]
network = sq.Network(torch.nn.Sequential(*parts, torch.nn.Linear(512, 10)), torch.zeros(1, 64))
fields = {"redundancy": 1.0} if name in ("frame", "frame-calibrated") else {}
method = sq.METHODS.from_dict({"name": name, **fields})
inputs = torch.randn(max(counts), 64)
sq.compress(network, method, inputs[:2])
told = [peak()]
for count in counts:  # from few to many: the highest so far does not rise where more take no more
    gc.collect()
    sq.compress(network, method, inputs[:count])
    told.append(peak())
print(json.dumps(told))
"""

WIDTHS, COUNT = (512, 1024, 2048), 256
COUNTS, MANY = (64, 256, 1024, 4096), (4096, 8192, 16384, 32768)
RETURNED = {"MALLOC_ARENA_MAX": "1", "MALLOC_MMAP_THRESHOLD_": "131072", "MALLOC_TRIM_THRESHOLD_": "131072"}
"""Lets the C library give every large block back at once, so that the peak is what was needed at one time; by default
it keeps some, more by chance than by need."""
NAMES = [name for name in sq.METHODS if name != "geta"]


def run(code, *arguments, **settings):
    command = [sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | settings)
    assert done.returncode == 0, done.stderr[-1500:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("name", NAMES)
def test_peak_memory_by_the_size_of_the_network(tmp_path, name):
    lines = []
    for width in WIDTHS:
        told = run(RUN, width, COUNT, name, tmp_path / f"{width}.sdq")
        more, weights = told["peak"] - told["bare"], told["weights"]
        lines.append(f"{weights / 1e6:.1f} M weights: {more / 2**20:.0f} MiB, {more / weights:.0f} B a weight")
    print(f"\n{name}\n  " + "\n  ".join(lines))


@pytest.mark.parametrize("name", NAMES)
def test_peak_memory_does_not_grow_with_the_inputs(name):
    bare, *peaks = run(GROWING, name, *COUNTS)
    told = ", ".join(f"{count}: {(peak - bare) / 2**20:.0f}" for count, peak in zip(COUNTS, peaks, strict=True))
    print(f"\n{name}, compressed and measured, MiB beyond two inputs: {told}")
    # a batch holds some 3,800 inputs at most; kept at once, inputs and outputs of 4096 in double would be 143 MiB
    assert peaks[-1] - peaks[1] <= 24 * 2**20


@pytest.mark.parametrize("name", NAMES)
def test_what_is_needed_does_not_grow_once_a_batch_is_full(name):
    bare, *peaks = run(GROWING, name, *MANY, **RETURNED)
    told = ", ".join(f"{count}: {(peak - bare) / 2**20:.1f}" for count, peak in zip(MANY, peaks, strict=True))
    print(f"\n{name}, blocks given back, MiB beyond two inputs: {told}")
    outputs = 3 * 8 * 10 * (MANY[-1] - MANY[0])  # of both networks, and their difference, in double
    assert peaks[-1] - peaks[0] <= outputs + 2**20
