"""A decoder of half a billion random weights in shards, compressed tensor by tensor: peak memory and time (``-s``)."""

import json
import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow

MAKE = """
import sys, torch
from transformers import LlamaConfig, LlamaForCausalLM
config = LlamaConfig(vocab_size=32000, hidden_size=1536, intermediate_size=4096, num_hidden_layers=16,
                     num_attention_heads=16, num_key_value_heads=16, tie_word_embeddings=False)
torch.manual_seed(0)
LlamaForCausalLM(config).save_pretrained(sys.argv[1], max_shard_size="400MB")
"""

RUN = """
import json, resource, sys, time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
import numpy as np
import sdqviz as sq
from sdqviz.compression import compress, tensor_by_tensor
from sdqviz.experiments.cost_model import Cost, Machine
used = lambda: resource.getrusage(resource.RUSAGE_SELF)
peak, processor = lambda: used().ru_maxrss * 1024, lambda: used().ru_utime + used().ru_stime
size = lambda found: sum(row.shape[0] * row.shape[1] for row in found.layers)

def compressed(source, given, out):
    method = sq.METHODS.from_dict(json.loads(given))
    begun = processor()
    return size(sq.compress_shards(source, method, out)), processor() - begun

def rate(few, many, given, out):  # of a file of some layers and one of more: what every file takes is left out
    return np.subtract(compressed(many, given, out + "-many"), compressed(few, given, out + "-few"))

if __name__ == "__main__":
    source, few, given, out, many = sys.argv[1:]
    compressed(few, given, out + "-warm")  # libraries and kernels count to the process
    with ProcessPoolExecutor(1, get_context("spawn")) as beside:  # what it takes is not this process's
        beside.submit(rate, few, many, given, out + "-before").result()
        rates, told, met, probing = [], [], [], []
        def tell(done, total, layer):  # the load of the machine changes: the rate is measured all along
            met.append(layer)
            if len(met) % 16 == 1:
                begun = time.monotonic()
                rates.append(beside.submit(rate, few, many, given, f"{out}-{len(met)}").result())
                probing.append(time.monotonic() - begun)
        bare, begun, spent = peak(), time.monotonic(), processor()
        method = sq.METHODS.from_dict(json.loads(given))
        found = sq.compress_shards(source, method, out, progress=tell, announce=told.append)
        seconds, spent, highest = time.monotonic() - begun - sum(probing), processor() - spent, peak()
    machine = Machine(weights=np.divide(*np.sum(rates, axis=0)), disk=np.inf)  # files are in the system's memory
    print(json.dumps({"bare": bare, "peak": highest, "seconds": seconds, "estimate": str(told[0]),
                      "processor": spent, "predicted": Cost(weights=size(found)).seconds(machine),
                      "largest": told[0].largest, "bits": found.bits_per_weight, "layers": len(found.layers),
                      "memory": told[0].memory, "expected": told[0].seconds, "read": told[0].read}))
"""

METHODS = [
    {"name": "round-to-nearest", "bits": 4},
    {"name": "round-to-nearest", "bits": 4, "alphabet": "midtread", "scale": "per-64"},
    {"name": "frame", "bits": 2, "redundancy": 1.0, "step_rule": "range-column", "axis": "rows"},
]


def run(code, folder, *arguments):
    script = folder / "script.py"  # a file, which a process beside it can read too
    script.write_text(code)
    done = subprocess.run([sys.executable, script, *map(str, arguments)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.fixture(scope="module")
def decoder(tmp_path_factory):
    pytest.importorskip("transformers")
    folder = tmp_path_factory.mktemp("decoder")
    run(MAKE, tmp_path_factory.mktemp("script"), folder)
    return folder / "model.safetensors.index.json"


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method["name"])
def test_memory_stays_within_twice_the_largest_tensor(decoder, method, tmp_path):
    from numpy.random import default_rng
    from safetensors.numpy import save_file

    small = tmp_path / "small.safetensors"
    save_file({"a.weight": default_rng(0).normal(size=(1024, 1536)).astype("float32")}, small)
    medium = tmp_path / "medium.safetensors"
    more = {
        f"{name}.weight": default_rng(0).normal(size=(1024, 1536)).astype("float32") for name in "abcdefghijklmnopqrst"
    }
    save_file(more, medium)
    told = json.loads(run(RUN, tmp_path, decoder, small, json.dumps(method), tmp_path / "out", medium).splitlines()[-1])
    more, mib = told["peak"] - told["bare"], 2**20
    print(
        f"\n{method}: {told['read'] / mib:,.0f} MiB in {told['layers']} layers; {told['bare'] / mib:,.0f} MiB bare, "
        f"{more / mib:,.0f} MiB more at the peak, {more / told['largest']:.2f} × the largest tensor of "
        f"{told['largest'] / mib:,.0f} MiB (estimated {told['memory'] / mib:,.0f}); {told['seconds'] / 60:.1f} minutes "
        f"(estimated {told['expected'] / 60:.1f}), {told['processor'] / 60:.2f} of the processor "
        f"({told['predicted'] / 60:.2f} by the rate of small layers); {told['bits']:.2f} bits a weight"
    )
    assert more <= 2 * told["largest"]
