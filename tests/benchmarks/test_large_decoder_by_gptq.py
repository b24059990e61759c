"""Decoders of random weights by GPTQ from their shards, up to half a billion of them, killed and resumed (``-s``)."""

import json
import signal
import subprocess
import sys
import time

import pytest

from sdqviz.experiments.cost_model import layer_cost
from sdqviz.methods.calibrated.calibration import STORE_BYTES

pytestmark = pytest.mark.slow

NETWORK = """
import torch
from transformers import LlamaConfig, LlamaForCausalLM
def decoder(vocabulary, width, inner, blocks, heads):
    return LlamaForCausalLM(LlamaConfig(
        vocab_size=vocabulary, hidden_size=width, intermediate_size=inner, num_hidden_layers=blocks,
        num_attention_heads=heads, num_key_value_heads=heads, tie_word_embeddings=False, use_cache=False))
def texts(vocabulary):
    return {"input_ids": torch.randint(0, vocabulary, (32, 64), generator=torch.Generator().manual_seed(0))}
def large():
    return decoder(32000, 1536, 4096, 16, 16), texts(32000)
def wide():
    return decoder(32000, 1536, 4096, 1, 16), texts(32000)
def medium():
    return decoder(4000, 384, 1024, 6, 8), texts(4000)
def small():
    return decoder(4000, 64, 128, 2, 8), texts(4000)
"""

MAKE = """
import sys, torch
sys.path.insert(0, sys.argv[1])
import mine
for name in sys.argv[2:]:
    torch.manual_seed(0)
    getattr(mine, name)()[0].save_pretrained(f"{sys.argv[1]}/{name}", max_shard_size="400MB")
"""

RUN = """
import json, resource, sys, time
from pathlib import Path
import sdqviz as sq
from sdqviz.experiments.cost_model import Cost, layer_costs
from sdqviz.experiments.machine_rates import measured_machine
from sdqviz.networks.module_file import on_disk
from sdqviz.networks.shards import read_shards
used = lambda: resource.getrusage(resource.RUSAGE_SELF)
processor, peak = lambda: used().ru_utime + used().ru_stime, lambda: used().ru_maxrss * 1024
folder, name, output = sys.argv[1:]
METHOD = sq.METHODS["gptq"](bits=4, fit="max", alphabet="midtread")  # one walk: as published, without a search
def compressed(name, output, progress=None):
    files = Path(folder, name)
    weights = read_shards([next(iter([*files.glob("*.index.json"), *files.glob("*.safetensors")]))])
    network = on_disk(f"{folder}/mine.py:{name}", weights)
    found = sq.compress_to_file(network, METHOD, output, progress=progress)
    return network, found, sum(entry.end - entry.begin for entry in weights.entries.values())
compressed("small", output + "-small")  # libraries and kernels count to the process
bare, begun, spent = peak(), time.monotonic(), processor()
def tell(done, total, layer):
    print(f"{time.monotonic() - begun:6.0f} s, {processor() - spent:7.1f} of the processor, "
          f"{(peak() - bare) / 2**20:6.0f} MiB more: {layer}", file=sys.stderr, flush=True)
network, found, size = compressed(name, output, tell)
told = {"bare": bare, "peak": peak(), "size": size, "layers": len(found.layers), "reused": found.reused,
        "bytes": found.bytes, "seconds": time.monotonic() - begun, "processor": processor() - spent}
shapes = {layer.name: tuple(layer.shape) for layer in network.layers_on_demand}
width = network.module.config.hidden_size
machine = measured_machine(width, processor, METHOD, walks=1)  # in this process, under the load that there is
print(machine, file=sys.stderr, flush=True)
blocks = [int(name.split(".")[2]) if "layers." in name else -1 for name in found.layers]
costs = layer_costs([shapes[name] for name in found.layers], 32 * 64, walks=1, blocks=blocks,
                    shared=[name.endswith(("k_proj", "v_proj", "up_proj")) for name in found.layers])
cost = sum(costs[found.reused:], Cost())
# to make the network all texts pass through it once; what was done before is passed once in two networks
passed = sum(cost.weights for cost in costs) + 2 * sum(cost.weights for cost in costs[:found.reused])
cost += Cost(forward=2.0 * 32 * 64 * passed)
print(json.dumps(told | {"weights": cost.weights, "predicted": cost.seconds(machine)}))
"""

VOCABULARY, WIDTH, INNER = 32000, 1536, 4096
MIB = 2**20


def start(folder, name, output):
    command = [sys.executable, "-c", RUN, str(folder), name, str(output)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def killed(folder, name, output, layers):
    """Run until so many layers are on disk, kill, and return what is stored of each."""
    process, parts = start(folder, name, output), output.with_name(output.name + ".unfinished")
    while process.poll() is None and len(list(parts.glob("*.layer"))) < layers:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    return {part.name: part.read_bytes() for part in parts.glob("*.layer")}


def finished(folder, name, output):
    process = start(folder, name, output)
    told = process.communicate()[0]
    assert process.returncode == 0
    return json.loads(told.splitlines()[-1])


@pytest.fixture
def made(tmp_path):
    """Return what makes decoders by name, and gives the folder with them."""
    pytest.importorskip("transformers")
    (tmp_path / "mine.py").write_text(NETWORK)

    def make(*names):
        subprocess.run([sys.executable, "-c", MAKE, str(tmp_path), *names, "small"], check=True, capture_output=True)
        return tmp_path

    return make


def within_bound(told):
    """Print how the decoder with the large last layer went, and hold its peak against what is needed at once."""
    # of the largest layer, which closes the network, what the cost model says; a block in two networks, of which the
    # compressed one is in memory; activations that wait in memory up to a limit
    block, last = 4 * (4 * WIDTH**2 + 3 * WIDTH * INNER), layer_cost(VOCABULARY, WIDTH, 32 * 64).memory
    allowed, more = last + 2 * block + 2 * STORE_BYTES, told["peak"] - told["bare"]
    print(
        f"\nGPTQ 4 bits from shards, 32 texts of 64 tokens: {told['size'] / MIB:,.0f} MiB in {told['layers']} layers, "
        f"{told['reused']} of them from before the kill; {told['bare'] / MIB:,.0f} MiB bare, {more / MIB:,.0f} MiB "
        f"more at the peak ({allowed / MIB:,.0f} allowed); {told['bytes'] / MIB:,.0f} MiB packed; the "
        f"{told['weights'] / 1e6:.0f} M weights after it took {told['seconds'] / 60:.1f} minutes, "
        f"{told['processor'] / 60:.1f} of the processor ({told['predicted'] / 60:.1f} by the cost model)"
    )
    assert more <= allowed


def test_what_was_killed_half_way_comes_out_as_if_nobody_had(made):
    """All of 12 M weights: the packed file, every byte, after a kill in the middle of the fourth of six blocks."""
    folder = made("medium")
    unbroken, broken = folder / "unbroken.sdq", folder / "broken.sdq"
    told = finished(folder, "medium", unbroken)
    assert told["reused"] == 0
    before = killed(folder, "medium", broken, 3 * 7 + 3)
    resumed = finished(folder, "medium", broken)
    assert len(before) <= resumed["reused"] < told["layers"] == resumed["layers"] == 6 * 7 + 1
    print(f"\n{resumed['reused']} of {told['layers']} layers before the kill, {told['bytes'] / MIB:.1f} MiB compared")
    assert unbroken.read_bytes() == broken.read_bytes()


def test_the_last_layer_of_the_large_decoder_behind_one_block(made):
    folder = made("wide")
    within_bound(finished(folder, "wide", folder / "wide.sdq"))


def test_half_a_billion_weights_by_gptq_go_on_where_they_were_killed(made):
    folder = made("large")
    before = killed(folder, "large", folder / "out.sdq", 10)  # in its second block
    told = finished(folder, "large", folder / "out.sdq")
    assert told["reused"] >= len(before) and told["layers"] == 16 * 7 + 1
    within_bound(told)
