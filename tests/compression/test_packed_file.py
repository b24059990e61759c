"""Packed files: what lies in them byte for byte, that loading gives the same outputs, and what is refused."""

import json
import struct
import subprocess
import sys

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from safetensors import safe_open
from torch import nn

import sdqviz as sq
from sdqviz import tensor_file
from sdqviz.compression import packed_file, packing
from sdqviz.compression.packing import checksum

WAYS = {
    "frame": {"bits": 1, "redundancy": 2.0},
    "frame, rows, biases": {"method": "frame", "bits": 3, "redundancy": 2.0, "axis": "rows", "biases": "quantized"},
    "round-to-nearest": {"bits": 3, "biases": "quantized"},
    "magnitude-pruning": {"pruning_ratio": 0.9},
    "pruned and rounded": {"method": "magnitude-pruning", "pruning_ratio": 0.9, "bits": 4},
    "gpfq": {"bits": 3, "threshold": "hard", "pruning_ratio": 0.4, "biases": "corrected"},
    "unified": {"bits": 3, "finite": False, "operator": "quantize-prune", "pruning_ratio": 0.6},
}


def small():
    generator = torch.Generator().manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(2, 6, 3, groups=2), nn.BatchNorm2d(6), nn.ReLU(), nn.Flatten(), nn.Linear(96, 12), nn.ReLU(),
        nn.Linear(12, 4),
    )  # fmt: skip
    for tensor in module.parameters():
        nn.init.uniform_(tensor, -1, 1, generator=generator)
    return sq.Network(module, torch.randn(8, 2, 6, 6, generator=generator))


def compressed(way="frame"):
    fields = dict(WAYS[way])
    network = small()
    return sq.compress(network, sq.METHODS[fields.pop("method", way)](**fields), network.example_input)


def parsed(data):
    length = struct.unpack("<Q", data[:8])[0]
    return json.loads(data[8 : 8 + length]), data[8 + length :]


def assembled(table, body):
    text = json.dumps(table).encode()
    return struct.pack("<Q", len(text)) + text + body


def altered(data, change):
    """Return the file with its recipe changed, and its checksum computed anew, so that it is believed so far."""
    table, body = parsed(data)
    recipe = json.loads(table["__metadata__"]["sdqviz"])
    change(recipe, table)
    parts = {name: body[slice(*entry["data_offsets"])] for name, entry in table.items() if name != "__metadata__"}
    recipe["checksum"] = checksum(recipe, parts)
    table["__metadata__"]["sdqviz"] = json.dumps(recipe)
    return assembled(table, body)


# -- what lies in a file -------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
def test_loading_gives_the_same_outputs_and_the_size_is_the_reported_one(way, tmp_path):
    result, path = compressed(way), tmp_path / "small.sdq"
    result.save(path)
    loaded = sq.load(path, small())
    inputs = np.random.default_rng(1).standard_normal((50, 2, 6, 6)).astype(np.float32)
    assert_array_equal(loaded.outputs(inputs), result.network.outputs(inputs))
    assert loaded.fingerprint == result.network.fingerprint
    _, body = parsed(path.read_bytes())
    in_recipe = sum(item.parameter_bits for item in result.layers)
    reported = sum(item.bits for item in result.layers)
    reported += 8 * sum(v.nbytes for v in packing.kept_tensors(result.network, result.layers).values())
    assert result.report.bytes == -(-reported // 8)
    assert len(body) == (reported - in_recipe) / 8  # exactly: the parameters are in the recipe, which is in the header
    assert packed_file.read(path).data_size == len(body)


def test_levels_of_one_bit_take_one_bit_and_other_tools_can_read_them(tmp_path):
    result, path = compressed("frame"), tmp_path / "small.sdq"
    result.save(path)
    with safe_open(path, "np") as file:
        for item in result.layers:
            levels = item.stored["levels"].values
            packed = file.get_tensor(f"{item.layer.name}:levels")
            assert len(packed) == -(-levels.size // 8)
            assert_array_equal(np.unpackbits(packed, bitorder="little")[: levels.size], levels.ravel())
            step = file.get_tensor(f"{item.layer.name}:step").view(np.float32)
            assert_array_equal(step, item.stored["step"].values.astype(np.float32))
        assert_array_equal(file.get_tensor("kept:1.running_var"), result.network.module[1].running_var.numpy())
        assert file.get_tensor("kept:1.num_batches_tracked").dtype == np.int64


def test_recipe_says_what_was_done():
    result = compressed("gpfq")
    recipe = packed_file.read(result.to_bytes()).recipe
    assert recipe["original"] == result.original.fingerprint
    assert recipe["method"] == result.method.to_dict()
    assert recipe["version"] == sq.__version__ and recipe["seed"] == 0 and recipe["format"] == packing.FORMAT
    assert set(recipe["kept"]) == {
        f"1.{name}" for name in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    }
    file = packed_file.read(result.to_bytes())
    assert recipe["numbers"] == result.original.parameter_count + 6 + 6 + 1  # and the statistics
    assert file.bits_per_weight == 8 * len(result.to_bytes()) / recipe["numbers"]


def test_sparse_maps_are_stored_by_their_runs():
    result = compressed("magnitude-pruning")
    mask = result.layers[1].stored["mask"]
    assert mask.runs and mask.byte_count < mask.values.size / 8 * 0.8
    dense = sq.compress(small(), sq.METHODS["magnitude-pruning"](pruning_ratio=0.5), 0).layers[1].stored["mask"]
    assert not dense.runs and dense.byte_count == dense.values.size / 8


@pytest.mark.parametrize(("fields", "limit"), [({"redundancy": 2.0}, 2.1), ({"size": 512}, 2.55)])
def test_one_bit_files_of_mnist_fnn_are_as_small_as_promised(fields, limit, tmp_path):
    network = sq.NETWORKS["mnist-fnn"](seed=0).load()
    result = sq.compress(network, sq.METHODS["frame"](bits=1, step_rule="range-layer", **fields), 0)
    path = tmp_path / "fnn.sdq"
    result.save(path)
    assert 8 * path.stat().st_size / network.parameter_count <= limit
    assert packed_file.read(path).bits_per_weight == 8 * path.stat().st_size / network.parameter_count
    loaded = sq.load(path)
    assert loaded.accuracy() == result.report.accuracy_after
    assert loaded.fingerprint == result.network.fingerprint


# -- what is refused -----------------------------------------------------------------------------------------


def refused(data, match, network=None):
    with pytest.raises(sq.InputError, match=match) as caught:
        packed_file.read(data).rebuild(network or small())
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_no_byte_can_change_unnoticed():
    data = compressed("gpfq").to_bytes()
    network = small()
    for place in range(0, len(data), 7):
        changed = bytearray(data)
        changed[place] ^= 1 << (place % 8)
        refused(bytes(changed), "must be a file that sdqviz saved, whole and unchanged", network)


def test_truncated_and_foreign_files_are_refused(tmp_path):
    data = compressed().to_bytes()
    for length in (0, 5, 8, 100, len(data) // 2, len(data) - 1):
        refused(data[:length], "must be a file that sdqviz saved")
    refused(data + b"\0", "got .* bytes")
    refused(b"PK\x03\x04" + bytes(1000), "must be a file that sdqviz saved")
    refused(tensor_file.write_tensors({"weight": np.zeros((2, 2), np.float32)}, {}), "hold a recipe, got none")
    for path, reason in ((tmp_path / "none.sdq", "No such file"), (tmp_path, "directory")):
        with pytest.raises(sq.InputError, match=f"must be a file that can be read, got .*{reason}"):
            packed_file.read(path)


def lie(path, value):
    """Return a change that puts a value at a place of the recipe."""

    def change(recipe, _table):
        *way, last = path
        for key in way:
            recipe = recipe[key]
        recipe[last] = value

    return change


@pytest.mark.parametrize(
    ("path", "value", "match"),
    [
        (("format",), 1, "format must be 2, got 1"),
        (("format",), 3, "format must be 2, got 3"),
        (("seed",), -1, "in range"),
        (("numbers",), 0, "in range"),
        (("method",), "frame", "method must be of type dict"),
        (("method", "name"), "squash", "method must be one of"),
        (("method", "name"), 3, "name must be a text"),
        (("kept",), ["1.weight"], "those that the recipe names"),
        (("kept", 0), "1.wait", "kept tensors must all be there"),
        (("layers", 0, "name"), "9", "be among the tensors"),
        (("layers", 0, "shape"), [6, 1, 3, 4], "must have shape"),
        (("layers", 0, "shape"), [2**40, 2**40], "must have shape"),
        (("layers", 0, "shape"), [-1, 3], "shape of a weight"),
        (("layers", 1, "stored", "levels", "shape"), [96, 2**40], "take .* bytes"),
        (("layers", 1, "stored", "levels", "shape"), [12, 192], r"levels must have shape \(96, 24\)"),
        (("layers", 1, "stored", "levels", "bits"), 2, "take .* bytes"),
        (("layers", 1, "stored", "levels", "bits"), 25, "bits from 1 to 24"),
        (("layers", 1, "stored", "levels", "runs"), True, "packed runs must be those|at most"),
        (("layers", 1, "parameters", "frame", "size"), 10**6, "levels must have shape"),
        (("layers", 1, "parameters", "frame", "dimension"), 60000, "must hold what layer 4 needs: size must be"),
        (("layers", 1, "parameters", "frame"), {"name": "random"}, "must hold what layer 4 needs"),
        (("layers", 1, "parameters"), {}, "got parts that do not fit"),
        (("layers", 1, "parameters", "bias"), True, "levels must have shape"),
    ],
)
def test_a_recipe_that_lies_is_refused_though_its_checksum_is_right(path, value, match):
    refused(altered(compressed().to_bytes(), lie(path, value)), match)


def test_a_recipe_may_not_be_nested_deep_or_hold_more():
    data = compressed().to_bytes()
    deep = []
    for _ in range(30):
        deep = [deep]
    refused(altered(data, lie(("method", "deep"), deep)), "at most 16 deep")
    refused(altered(data, lie(("code",), "print(1)")), "no others, got a difference in code")
    table, body = parsed(data)
    table["__metadata__"]["sdqviz"] = "[" * 100_000
    refused(assembled(table, body), "nested too deep")
    refused(assembled(table, body).replace(b'"[[[', b'"NaN', 1), "in JSON")


def test_a_refusal_does_not_repeat_the_whole_file():
    change = lie(("layers", 1, "parameters", "frame", "name"), "x" * 10**5)
    long = refused(altered(compressed().to_bytes(), change), "layer 4 needs")
    assert len(long) < 700


def test_tensors_must_fill_the_file():
    table, body = parsed(compressed().to_bytes())
    first = next(name for name in table if name != "__metadata__")
    for offsets, match in (([0, 2**40], "a place in the file"), ([1, 2], "bytes for its shape|one after the other")):
        changed = {**table, first: {**table[first], "data_offsets": offsets}}
        refused(assembled(changed, body), match)
    refused(assembled({**table, first: {**table[first], "dtype": "F8"}}, body), "one of the types")
    refused(assembled({**table, first: {**table[first], "shape": [2**48, 2**48]}}, body), "bytes for its shape")


def test_files_and_networks_must_fit_each_other():
    data = compressed().to_bytes()
    with pytest.raises(sq.InputError, match="network must be given"):
        packed_file.read(data).rebuild()
    module = small().module
    wider = nn.Sequential(*module[:6], nn.Linear(12, 5))
    refused(data, r"layer 6 of the network must have shape \(4, 12\) and 1 groups for this file, got \(\(5, 12\), 1\)",
            sq.Network(wider, torch.randn(8, 2, 6, 6)))  # fmt: skip
    longer = nn.Sequential(*module, nn.Linear(4, 4))
    refused(data, "must hold the tensor 7.weight", sq.Network(longer, torch.randn(8, 2, 6, 6)))


@pytest.mark.slow
def test_a_tiny_file_that_names_a_large_network_costs_no_memory():
    """It names a network of 632 million weights; the process may take 300 MB more than it has."""
    script = """
import resource, sys
sys.path.insert(0, sys.argv[1])
import test_packed_file as tests
import sdqviz as sq, torch, torchvision
from sdqviz.compression import packed_file
data = tests.compressed().to_bytes()
data = tests.altered(data, tests.lie(("network", "choice"), {"name": "vit_h_14"}))
pages = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (pages + 300 * 2**20,) * 2)
try:
    packed_file.read(data).rebuild()
except sq.InputError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(__file__).rsplit("/", 1)[0]], capture_output=True, text=True, check=False
    )
    assert "the network must have a layer 0" in done.stdout, done.stderr[-2000:]
