"""All of a decoder of half a billion random weights by GPTQ from its shards, killed in a block and resumed (``-s``)."""

import json
import shutil
import signal
import subprocess
import sys
import time

import pytest

from sdqviz.experiments.cost_model import layer_cost

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
def small():
    return decoder(4000, 64, 128, 2, 8), texts(4000)
"""

MAKE = """
import sys, torch
sys.path.insert(0, sys.argv[1])
import mine
for name in ("large", "small"):
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
folder, output = sys.argv[1:]
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
network, found, size = compressed("large", output, tell)
told = {"bare": bare, "peak": peak(), "size": size, "layers": len(found.layers), "reused": found.reused,
        "bytes": found.bytes, "seconds": time.monotonic() - begun, "processor": processor() - spent}
shapes = {layer.name: tuple(layer.shape) for layer in network.layers_on_demand}
machine = measured_machine(1536, processor, METHOD, walks=1)  # in this process, under the load that there is
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

KILLED, KEPT = 10, 8
"""Layers after which a run is killed, in its second block; and what the other run that goes on has of them."""


def start(folder, output):
    return subprocess.Popen([sys.executable, "-c", RUN, str(folder), str(output)], stdout=subprocess.PIPE, text=True)


def killed(folder, output):
    """Run until so many layers are on disk, kill, and return their files."""
    process, parts = start(folder, output), output.with_name(output.name + ".unfinished")
    while process.poll() is None and len(list(parts.glob("*.layer"))) < KILLED:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    return sorted(parts.glob("*.layer"))


def test_half_a_billion_weights_by_gptq_go_on_where_they_were_killed(tmp_path):
    pytest.importorskip("transformers")
    (tmp_path / "mine.py").write_text(NETWORK)
    subprocess.run([sys.executable, "-c", MAKE, str(tmp_path)], check=True, capture_output=True)
    first, second = tmp_path / "first.sdq", tmp_path / "second.sdq"
    unbroken = killed(tmp_path, first)[:KILLED]
    again = second.with_name(second.name + ".unfinished")
    shutil.copytree(unbroken[0].parent, again)
    for part in sorted(again.glob("*.layer"))[KEPT:]:
        part.unlink()
    resumed = killed(tmp_path, second)[:KILLED]
    same = sum(one.read_bytes() == other.read_bytes() for one, other in zip(unbroken, resumed, strict=True))
    print(f"\n{same} of {KILLED} layers the same, {KILLED - KEPT} of them after a kill and unbroken", flush=True)
    assert same == KILLED
    process = start(tmp_path, first)
    told, mib = json.loads(process.communicate()[0].splitlines()[-1]), 2**20
    # of the largest layer, which closes the network, what the cost model says; a block in two networks, of which the
    # compressed one is in memory; activations that wait in memory up to a limit
    block, last = 4 * (4 * 1536**2 + 3 * 1536 * 4096), layer_cost(32000, 1536, 32 * 64).memory
    allowed = last + 2 * block + 128 * mib
    more = told["peak"] - told["bare"]
    print(
        f"GPTQ 4 bits from shards, 32 texts of 64 tokens: {told['size'] / mib:,.0f} MiB in {told['layers']} layers, "
        f"{told['reused']} of them from before the kill; {told['bare'] / mib:,.0f} MiB bare, {more / mib:,.0f} MiB "
        f"more at the peak ({allowed / mib:,.0f} allowed); {told['bytes'] / mib:,.0f} MiB packed; the "
        f"{told['weights'] / 1e6:.0f} M weights after it took {told['seconds'] / 60:.1f} minutes, "
        f"{told['processor'] / 60:.1f} of the processor ({told['predicted'] / 60:.1f} by the cost model)"
    )
    assert more <= allowed
