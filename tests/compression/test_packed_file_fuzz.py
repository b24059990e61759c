"""Thousands of damaged and lying files: each is read or refused in one sentence, quickly and in little memory."""

import contextlib
import copy
import json
import resource
import signal
import struct
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
import torch
from torch import nn

import sdqviz as sq
from sdqviz.compression import packed_file
from sdqviz.compression.packing import checksum

SECONDS = 10.0
"""Time for one file; a hundred times what it takes on a quiet machine."""

ROOM = 24 << 20
"""Bytes that reading one of these small files may take: a few copies of the largest, and its unpacked layers."""

WAYS = (
    ("frame", {"bits": 1, "redundancy": 2.0}),
    ("frame", {"bits": 3, "redundancy": 2.0, "axis": "rows", "biases": "quantized", "step_rule": "range-column"}),
    ("round-to-nearest", {"bits": 3, "biases": "quantized"}),
    ("magnitude-pruning", {"pruning_ratio": 0.9}),
    ("gpfq", {"bits": 3, "threshold": "hard", "pruning_ratio": 0.4, "biases": "corrected"}),
    ("unified", {"bits": 2, "finite": False, "operator": "quantize-prune", "pruning_ratio": 0.6}),
)

NASTY = (
    0, -1, 1, 2, 8, 31, 32, 2**31, 2**48, 2**63, 10**30, 10**400, 0.5, 1e308, -1e308, "", "x", None, True, False, [],
    {}, [[]], [0], [1], [2**40], [2**40, 2**40], [0] * 1000, "frame", "gpfq", "columns", "rows", "harmonic", "random",
    "spectral-tetris", "values", "masked", "dense", "quantized", "mnist-lenet", "resnet18",
    {"name": "random"}, "\ud800",
)  # fmt: skip


PRUNED = {
    "sparsity": 0.4, "batch": 8, "warm_up_steps": 0, "projection_steps": 1, "joint_steps": 2, "cool_down_steps": 0,
    "projection_periods": 1, "pruning_periods": 1,
}  # fmt: skip
"""A short run that cuts channels out and quantizes activations: what is learned does not matter here."""


def small():
    generator = torch.Generator().manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(2, 6, 3, groups=2), nn.BatchNorm2d(6), nn.ReLU(), nn.Flatten(), nn.Linear(96, 12), nn.Linear(12, 4)
    )
    for tensor in module.parameters():
        nn.init.uniform_(tensor, -1, 1, generator=generator)
    inputs = torch.randn(8, 2, 6, 6, generator=generator)
    inputs[:, 0, :, :3] = 0
    images, labels = inputs.repeat(8, 1, 1, 1).numpy(), np.arange(64) % 4
    return sq.Network(module, inputs, sq.Dataset("noise", images, labels, images, labels))


def originals():
    """Return files of a network of one's own, and one of a catalogue network."""
    network = small()
    files = [
        sq.compress(network, sq.METHODS[name](**fields), network.example_input).to_bytes() for name, fields in WAYS
    ]
    files += [sq.compress(network, sq.METHODS["geta"](**PRUNED), 16).to_bytes()] * 2
    catalogue = sq.NETWORKS["mnist-fnn"]().load()
    return network, [*files, sq.compress(catalogue, sq.METHODS["frame"](redundancy=1.2), 0).to_bytes()]


def taken_apart(data):
    length = struct.unpack("<Q", data[:8])[0]
    table, body = json.loads(data[8 : 8 + length]), data[8 + length :]
    recipe = json.loads(table.pop("__metadata__")["sdqviz"])
    return recipe, {name: [e["dtype"], e["shape"], body[slice(*e["data_offsets"])]] for name, e in table.items()}


def put_together(recipe, tensors):
    """Return a file that holds together, whatever it says: offsets and checksum are right."""
    with contextlib.suppress(TypeError, ValueError, RecursionError):
        recipe["checksum"] = checksum(recipe, {name: data for name, (_, _, data) in tensors.items()})
    table, place = {"__metadata__": {"sdqviz": json.dumps(recipe)}}, 0
    for name, (dtype, shape, data) in tensors.items():
        table[name] = {"dtype": dtype, "shape": shape, "data_offsets": [place, place + len(data)]}
        place += len(data)
    text = json.dumps(table).encode()
    return struct.pack("<Q", len(text)) + text + b"".join(data for _, _, data in tensors.values())


def places(value, way=()):
    """List every place of a JSON value."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [(*way, key) for key, _ in inside] + [p for key, entry in inside for p in places(entry, (*way, key))]


# -- the ways to damage a file: each takes the random numbers, the file and another, and returns bytes ------------


def flip(rng, data, _other):
    changed = bytearray(data)
    for place in rng.integers(0, len(data), rng.integers(1, 9)):
        changed[place] ^= 1 << rng.integers(0, 8)
    return bytes(changed)


def flip_header(rng, data, _other):
    changed = bytearray(data)
    for place in rng.integers(0, min(400, len(data)), rng.integers(1, 4)):
        changed[place] = rng.integers(0, 256)
    return bytes(changed)


def cut(rng, data, _other):
    return data[: rng.integers(0, len(data))] if rng.random() < 0.7 else data + rng.bytes(rng.integers(1, 50))


def splice(rng, data, other):
    if rng.random() < 0.5:  # the header of one, the tensors of the other
        ends = [8 + struct.unpack("<Q", one[:8])[0] for one in (data, other)]
        return data[: ends[0]] + other[ends[1] :]
    at = rng.integers(0, min(len(data), len(other)))
    return data[:at] + other[at:]


def splice_recipe(_rng, data, other):
    return put_together(taken_apart(data)[0], taken_apart(other)[1])


def alter_recipe(rng, data, _other):
    recipe, tensors = taken_apart(data)
    for _ in range(rng.integers(1, 4)):
        known = places(recipe)
        *way, last = known[rng.integers(0, len(known))]
        inside = recipe
        for key in way:
            inside = inside[key]
        if rng.random() < 0.15:
            del inside[last]
        else:
            inside[last] = copy.deepcopy(NASTY[rng.integers(0, len(NASTY))])
    return put_together(recipe, tensors)


def alter_number(rng, data, _other):
    """Change one number a little, or exchange two texts: what is nearly right gets deepest."""
    recipe, tensors = taken_apart(data)
    known = [p for p in places(recipe["layers"])]
    rng.shuffle(known)
    for *way, last in known:
        inside = recipe["layers"]
        for key in way:
            inside = inside[key]
        if isinstance(inside[last], int | float):
            inside[last] = inside[last] * 2 if rng.random() < 0.4 else inside[last] + int(rng.integers(-2, 3))
            break
    return put_together(recipe, tensors)


def alter_tensor(rng, data, _other):
    """Put other bytes into a tensor: scales that are not numbers, runs that go nowhere."""
    recipe, tensors = taken_apart(data)
    for _ in range(rng.integers(1, 4)):
        entry = tensors[sorted(tensors)[rng.integers(0, len(tensors))]]
        if entry[2]:
            content, count = bytearray(entry[2]), rng.integers(1, 9)
            at = rng.integers(0, len(content))
            content[at : at + count] = rng.choice([b"\0", b"\xff", b"\x7f", b"\x80"]) * len(content[at : at + count])
            entry[2] = bytes(content)
    return put_together(recipe, tensors)


def resize_tensor(rng, data, _other):
    """Change the length of a packed tensor, with the recipe sometimes in agreement."""
    recipe, tensors = taken_apart(data)
    rows = recipe["layers"]
    row = rows[rng.integers(0, len(rows))]
    key = sorted(row["stored"])[rng.integers(0, len(row["stored"]))]
    part, entry = row["stored"][key], tensors[f"{row['name']}:{key}"]
    shape = [int(n * rng.choice([0, 1, 2, 3])) for n in part["shape"]]
    if rng.random() < 0.3:
        shape = [1, int(np.prod(shape))]
    length = -(-int(np.prod(shape)) * part["bits"] // 8)
    entry[1], entry[2] = [length], (entry[2] * 12)[:length].ljust(length, b"\1")
    if rng.random() < 0.9:
        part["shape"] = shape
    return put_together(recipe, tensors)


DAMAGES = (
    flip, flip_header, cut, splice, splice_recipe, alter_recipe, alter_recipe, alter_number, alter_tensor,
    resize_tensor,
)  # fmt: skip


class TooSlow(BaseException):
    """Not an Exception, so that nothing on the way can swallow it."""


def late(*_):
    raise TooSlow


def run(count, seed, *, traced):
    """Read ``count`` damaged files; return how many were refused deep in a file, and how many were read after all."""
    rng = np.random.default_rng(seed)
    network, files = originals()
    signal.signal(signal.SIGALRM, late)
    deep = whole = 0
    for number in range(count):
        data, other = (files[place] for place in rng.integers(0, len(files), 2))
        damage = DAMAGES[number % len(DAMAGES)]
        changed = damage(rng, data, other)
        own = b"mnist-fnn" not in changed
        signal.setitimer(signal.ITIMER_REAL, SECONDS)
        if traced:
            tracemalloc.start()
        try:
            file = packed_file.read(changed)
            deep += 1
            file.rebuild(network if own else None).outputs(
                network.example_input if own else np.zeros((1, 1, 28, 28), "f")
            )
            whole += 1
        except sq.InputError as error:
            assert "\n" not in str(error) and len(str(error)) < 2000, error
            assert "fits in memory" not in str(error), error
        except BaseException as error:
            raise AssertionError(f"file {number} of seed {seed}, {damage.__name__}: {error!r}") from error
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            if traced:
                peak = tracemalloc.get_traced_memory()[1]
                tracemalloc.stop()
        if traced:
            assert peak < ROOM, f"file {number} of seed {seed}, {damage.__name__}: {peak:,} bytes"
    return deep, whole


def test_two_hundred_damaged_files():
    deep, whole = run(200, 1, traced=True)
    assert deep > 60  # the checksum alone does not do all the work
    assert whole < deep


LIMITED = """
import resource, sys
sys.path.insert(0, sys.argv[1])
import numpy as np
import test_packed_file_fuzz as fuzz
fuzz.run(20, 0, traced=False)  # loads what is loaded late
pages = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (pages + 256 * 2**20,) * 2)
print(*fuzz.run(int(sys.argv[2]), int(sys.argv[3]), traced=False))
"""


@pytest.mark.slow
@pytest.mark.parametrize("seed", [2, 3])
def test_five_thousand_damaged_files_in_a_process_of_little_memory(seed):
    folder = str(__file__).rsplit("/", 1)[0]
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", LIMITED, folder, "2500", str(seed)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    deep, whole = map(int, done.stdout.split())
    assert deep > 700 and whole < deep
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss < 3 << 20  # KiB: torch and all
