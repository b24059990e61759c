"""Peak memory of every method against the size of a network and the number of inputs, each in a process of its own."""

import json
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

WIDTHS, COUNTS = (512, 1024, 2048), (256, 1024, 4096)
NAMES = [name for name in sq.METHODS if name != "geta"]


def measured(tmp_path, width, count, name):
    command = [sys.executable, "-c", RUN, str(width), str(count), name, str(tmp_path / f"{width}-{count}.sdq")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-1500:]
    told = json.loads(done.stdout.splitlines()[-1])
    return told["peak"] - told["bare"], told["weights"]


@pytest.mark.parametrize("name", NAMES)
def test_peak_memory(tmp_path, name):
    lines, by_count = [], []
    for width in WIDTHS:
        more, weights = measured(tmp_path, width, COUNTS[0], name)
        lines.append(f"{weights / 1e6:.1f} M weights: {more / 2**20:.0f} MiB, {more / weights:.0f} B a weight")
    for count in COUNTS:
        by_count.append(measured(tmp_path, WIDTHS[0], count, name)[0])
    told = ", ".join(f"{count}: {more / 2**20:.0f} MiB" for count, more in zip(COUNTS, by_count, strict=True))
    print(f"\n{name}\n  " + "\n  ".join(lines) + f"\n  by inputs at width {WIDTHS[0]}: {told}")
    # activations beyond the store wait on disk; what grows may not exceed the store of 128 MiB
    assert by_count[-1] - by_count[0] <= 160 * 2**20
