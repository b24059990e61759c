"""A decoder of a hundred million random weights in shards, by GPTQ layer after layer: peak memory and time (``-s``)."""

import json
import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow

NETWORK = """
import torch
from transformers import LlamaConfig, LlamaForCausalLM
def decoder(width, inner, blocks):
    return LlamaForCausalLM(LlamaConfig(
        vocab_size=4000, hidden_size=width, intermediate_size=inner, num_hidden_layers=blocks, num_attention_heads=8,
        num_key_value_heads=8, tie_word_embeddings=False, use_cache=False))
def texts(count):
    return {"input_ids": torch.randint(0, 4000, (count, 64), generator=torch.Generator().manual_seed(0))}
def large():
    return decoder(512, 1408, 32), texts(32)
def small():
    return decoder(64, 128, 2), texts(32)
"""

MAKE = """
import sys, torch
sys.path.insert(0, sys.argv[1])
import mine
for name in ("large", "small"):
    torch.manual_seed(0)
    getattr(mine, name)()[0].save_pretrained(f"{sys.argv[1]}/{name}", max_shard_size="100MB")
"""

RUN = """
import json, resource, sys, time
import sdqviz as sq
from sdqviz.networks.module_file import on_disk
from sdqviz.networks.shards import read_shards
used = lambda: resource.getrusage(resource.RUSAGE_SELF)
processor = lambda: used().ru_utime + used().ru_stime
folder = sys.argv[1]
def compressed(name):
    weights = read_shards([next(iter(__import__("pathlib").Path(folder, name).glob(pattern)))
                           for pattern in (("*.index.json",) if name == "large" else ("*.safetensors",))])
    network = on_disk(f"{folder}/mine.py:{name}", weights)
    found = sq.compress_to_file(network, sq.METHODS["gptq"](bits=4), f"{folder}/{name}.sdq")
    return found, sum(entry.end - entry.begin for entry in weights.entries.values())
compressed("small")  # libraries and kernels count to the process
bare, begun, spent = used().ru_maxrss * 1024, time.monotonic(), processor()
found, size = compressed("large")
print(json.dumps({"bare": bare, "peak": used().ru_maxrss * 1024, "size": size, "layers": len(found.layers),
                  "bytes": found.bytes, "seconds": time.monotonic() - begun, "processor": processor() - spent}))
"""


def run(code, *arguments):
    command = [sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_original_weights_do_not_stay_in_memory(tmp_path):
    pytest.importorskip("transformers")
    (tmp_path / "mine.py").write_text(NETWORK)
    run(MAKE, tmp_path)
    told, mib = json.loads(run(RUN, tmp_path).splitlines()[-1]), 2**20
    block = 4 * (4 * 512**2 + 3 * 512 * 1408)
    # of the largest layer: four matrices of its inputs, and its weights, which walk with copies for the search; and
    # activations, which wait in memory up to a limit
    allowed = 2 * block + 4 * 8 * 1408**2 + 6 * 8 * 512 * 2048 + 128 * mib
    more = told["peak"] - told["bare"]
    print(
        f"\nGPTQ 4 bits from shards, 32 texts of 64 tokens: {told['size'] / mib:,.0f} MiB in {told['layers']} layers; "
        f"{told['bare'] / mib:,.0f} MiB bare, {more / mib:,.0f} MiB more at the peak ({allowed / mib:,.0f} allowed; a "
        f"block has {block / mib:.0f}); {told['bytes'] / mib:,.0f} MiB packed; {told['seconds'] / 60:.1f} minutes, "
        f"{told['processor'] / 60:.1f} of the processor"
    )
    assert more <= allowed < told["size"]
