"""Peak memory of every method against the size of a network and the number of inputs, each in a process of its own."""

import json
import os
import subprocess
import sys

import pytest

import sdqviz as sq

pytestmark = pytest.mark.slow

PEAKS = """
import gc, json, resource, sys
import torch
import sdqviz as sq
from sdqviz.compression.block_by_block import compress_to_file
from sdqviz.experiments.by_layer import estimate
from sdqviz.methods.method import Task
from sdqviz.networks.watched import watched_batches

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

def bare():  # what the process takes now, which becomes its peak
    gc.collect()
    if sys.platform == "linux":
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
    return peak()

def network(width):
    torch.manual_seed(0)
    parts = [torch.nn.Linear(64, width), torch.nn.ReLU(), torch.nn.Linear(width, width), torch.nn.ReLU()]
    return sq.Network(torch.nn.Sequential(*parts, torch.nn.Linear(width, 10)), torch.zeros(1, 64))

name, output = sys.argv[1:]
method = sq.METHODS.from_dict({"name": name, **({"redundancy": 1.0} if name in ("frame", "frame-calibrated") else {})})
compress_to_file(network(32), method, output + "-warm", torch.randn(64, 64))  # libraries and kernels are the process
sizes, counts = [], []
for width in WIDTHS:
    large, inputs = network(width), torch.randn(512, 64)
    begun = bare()
    compress_to_file(large, method, f"{output}-{width}", inputs)
    more = peak() - begun
    sizes.append((sum(one.numel() for one in large.module.parameters()), more))
said = estimate(Task(large.layers_on_demand, 0, None, None, large, inputs), method).memory
large = network(512)
length = len(next(iter(watched_batches(large, large.layer_names, torch.randn(8192, 64)))))
for batches in (FEW, MANY):
    inputs = torch.randn(batches * length, 64)
    begun = bare()
    sq.compress(large, method, inputs)
    counts.append((len(inputs), peak() - begun))
print(json.dumps({"sizes": sizes, "said": said, "counts": counts}))
"""

CHOSEN = "WIDTHS, FEW, MANY = (256, 512, 1024), 16, 48"
RETURNED = {"MALLOC_ARENA_MAX": "1", "MALLOC_MMAP_THRESHOLD_": "131072", "MALLOC_TRIM_THRESHOLD_": "131072"}
"""Lets the C library give every large block back at once, so that the peak is what was needed at one time; by default
it keeps some, more by chance than by need."""
NAMES = [name for name in sq.METHODS if not sq.METHODS.from_dict({"name": name}).trains]
MIB = 2**20


@pytest.fixture(scope="module", params=NAMES)
def peaks(request, tmp_path_factory):
    """Return what a method took, in a process of its own."""
    output = tmp_path_factory.mktemp("peaks") / "out.sdq"
    command = [sys.executable, "-c", f"{CHOSEN}\n{PEAKS}", request.param, str(output)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | RETURNED)
    assert done.returncode == 0, done.stderr[-1500:]
    return request.param, json.loads(done.stdout.splitlines()[-1])


def test_the_peak_is_no_more_than_is_said_before_the_work(peaks):
    name, told = peaks
    for weights, more in told["sizes"]:
        print(
            f"{name}, {weights / 1e6:.2f} M weights: {more / MIB:.1f} MiB, {more / weights:.0f} B a weight", flush=True
        )
    print(f"{name}: {told['said'] / MIB:.1f} MiB said of the last", flush=True)
    assert told["sizes"][-1][1] <= told["said"]


def test_more_batches_take_no_more(peaks):
    """From where all that is kept of one run for the next, at most `reference.KEPT`, is more than is kept."""
    name, told = peaks
    (few, first), (many, last) = told["counts"]
    print(f"{name}, compressed and measured: {few} inputs {first / MIB:.1f} MiB, {many} {last / MIB:.1f}", flush=True)
    # of every input three norms are told, gathered from those of the batches; kept at once, what enters the layers and
    # what leaves them would be 130 MiB more
    assert last - first <= 2 * 3 * 8 * (many - few) + MIB // 2
