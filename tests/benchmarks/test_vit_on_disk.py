"""``vit_b_16`` with random weights: GPTQ at 4 bits with 64 images, layer after layer to disk (``-m slow -s``)."""

import json
import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow

RUN = """
import json, resource, sys, time
import numpy as np, torch, torchvision
import sdqviz as sq
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
torch.manual_seed(0)
module = torchvision.models.vit_b_16()
torch.nn.init.normal_(module.heads.head.weight, std=0.02)  # torchvision begins with zeros
images = torch.randn(64, 3, 224, 224)
network = sq.Network(module, images[:1], name="vit_b_16", note="random weights")
del module
bare, begun = peak(), time.monotonic()
found = sq.compress_to_file(network, sq.METHODS["gptq"](bits=4), sys.argv[1], images)
seconds = time.monotonic() - begun
at_work = peak()
few = images[:8]
error = network.outputs(few) - sq.load(sys.argv[1], network).outputs(few)
print(json.dumps({"bare": bare, "peak": at_work, "seconds": seconds, "bytes": found.bytes, "layers": len(found.layers),
                  "error": float(np.linalg.norm(error) / np.linalg.norm(network.outputs(few)))}))
"""


def test_vit_b_16_within_six_gigabytes(tmp_path):
    command = [sys.executable, "-c", RUN, str(tmp_path / "vit.sdq")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    told, gib = json.loads(done.stdout.splitlines()[-1]), 2**30
    print(
        f"\nvit_b_16, GPTQ 4 bits, 64 images: {told['layers']} layers in {told['seconds'] / 60:.1f} minutes; "
        f"{told['peak'] / gib:.2f} GiB at the peak, {told['bare'] / gib:.2f} before; {told['bytes'] / 2**20:.0f} MiB "
        f"packed; relative output error {told['error']:.3f}"
    )
    assert told["peak"] <= 6e9
