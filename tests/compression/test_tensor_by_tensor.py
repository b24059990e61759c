"""Weights from disk to disk: the levels of a whole network, whatever is killed, and refusals in one sentence."""

import json
import os
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import sdqviz as sq
from sdqviz import tensor_file
from sdqviz.cli.main import main
from sdqviz.compression import packed_file, tensor_by_tensor
from sdqviz.error import InputError
from sdqviz.methods import frame_vectors, round_to_nearest

METHODS = {
    "auto": ("round-to-nearest", {"bits": 3, "alphabet": "auto", "fit": "mse"}),
    "blocks": ("round-to-nearest", {"bits": 2, "alphabet": "midtread", "scale": "per-32", "biases": "quantized"}),
    "affine": ("round-to-nearest", {"bits": 4, "alphabet": "affine", "bits_by_layer": {"b.1": 2}}),
    "one-step": ("round-to-nearest", {"bits": 4, "scale": "per-layer"}),
    "range-layer": ("frame", {"bits": 2, "redundancy": 1.5}),
    "range-column": ("frame", {"bits": 1, "redundancy": 2.0, "step_rule": "range-column", "signs": True}),
    "rows": ("frame", {"bits": 2, "redundancy": 1.5, "axis": "rows", "step_rule": "norm-layer"}),
    "pruning": ("magnitude-pruning", {"bits": 3}),
}


def tensors():
    rng = np.random.default_rng(0)
    return {
        "a.weight": rng.normal(size=(24, 40)).astype(np.float32),
        "a.bias": rng.normal(size=24).astype(np.float32),
        "b.1.weight": rng.standard_t(3, size=(30, 24)).astype(np.float32),
        "conv.weight": rng.normal(size=(6, 4, 3, 3)).astype(np.float32),
        "norm.weight": np.ones(7, np.float32),
        "empty.weight": np.zeros((5, 8), np.float32),
    }


@pytest.fixture
def shards(tmp_path):
    """Three shards and their index, the bias of a layer in another shard than its weight."""
    folder = tmp_path / "in"
    folder.mkdir()
    found, homes = tensors(), {}
    for number, names in enumerate(
        (["a.weight", "conv.weight"], ["a.bias", "b.1.weight"], ["norm.weight", "empty.weight"])
    ):
        file = f"model-0000{number + 1}-of-00003.safetensors"
        save_file({name: found[name] for name in names}, folder / file)
        homes |= dict.fromkeys(names, file)
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": homes}))
    return index


@pytest.fixture
def small_pieces(monkeypatch):
    """Pieces of a few vectors, so that every layer has many."""
    monkeypatch.setattr(round_to_nearest, "PIECE", 150)
    monkeypatch.setattr(frame_vectors, "CHUNK", 150)
    monkeypatch.setattr(frame_vectors, "ROWS", 1)
    monkeypatch.setattr("sdqviz.methods.frame_quantization.PIECES", 1)


@pytest.mark.parametrize("which", METHODS)
def test_levels_are_those_of_the_whole_network(shards, tmp_path, which, small_pieces):
    name, settings = METHODS[which]
    method = sq.METHODS.from_dict({"name": name, **settings})
    whole = tmp_path / "whole.safetensors"
    save_file(tensors(), whole)
    network = sq.read_weights(whole)
    sq.compress(network, method, seed=3).save(tmp_path / "whole.sdq")
    expected = packed_file.read(tmp_path / "whole.sdq")
    found = sq.compress_shards(shards, method, tmp_path / "out", seed=3)
    assert [row.name for row in found.layers] == [row.name for row in expected.rows]
    kept = {}
    for place, row in enumerate(found.layers):
        file = packed_file.read(found.index.parent / json.loads(found.index.read_text())["weight_map"][row.name])
        mine = next(one for one in file.rows if one.name == row.name)
        other = expected.rows[place]
        for one, two in zip(file.decode_layer(mine), expected.decode_layer(other), strict=True):
            assert (one is None) == (two is None) and (one is None or np.array_equal(one, two))
        if which not in ("blocks", "auto"):  # their maps of zeros may be shorter in one piece
            assert {k: bytes(p.data) for k, p in mine.parts.items()} == {
                k: bytes(p.data) for k, p in other.parts.items()
            }
        kept |= {key: stored.array() for key, stored in file.kept.items()}
    assert set(kept) | {f"{row.name}.bias" for row in found.layers} >= set(expected.kept)
    assert sq.compress_shards(shards, method, tmp_path / "out", seed=3) == found


def test_the_command_takes_shards_and_writes_shards(shards, tmp_path, capsys):
    files = sorted(map(str, shards.parent.glob("model-*")))
    out, plain = tmp_path / "out", tmp_path / "plain"
    asked = ["compress", "--weights", *files, "--method", "round-to-nearest", "--set", "bits=8", "-o", str(out)]
    with pytest.raises(SystemExit, match=r"0"):
        main(asked)
    told = capsys.readouterr()
    assert "4 layers" in told.err and "to write" in told.err and "of memory" in told.err and " s\n" in told.err
    assert "bits per weight, everything counted" in told.out
    plain.mkdir()
    with pytest.raises(SystemExit, match=r"0"):
        main(["export", str(out / "model.sdq.index.json"), "--to", str(plain / "model.safetensors.index.json")])
    homes = json.loads((plain / "model.safetensors.index.json").read_text())["weight_map"]
    assert homes == json.loads(shards.read_text())["weight_map"]
    for name, values in tensors().items():
        assert load_file(plain / homes[name])[name] == pytest.approx(values, abs=0.05)


KILLED = """
import os, signal, sys
from sdqviz.compression import tensor_by_tensor as engine
from sdqviz.methods import METHODS
write, done = engine.write_part, []
def kill(*arguments):
    if len(done) == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    done.append(write(*arguments))
engine.write_part = kill
engine.compress_shards(sys.argv[1], METHODS["round-to-nearest"](bits=3), sys.argv[2])
"""


def test_what_was_killed_goes_on_from_its_last_tensor(shards, tmp_path, monkeypatch):
    out = tmp_path / "out"
    gone = subprocess.run([sys.executable, "-c", KILLED, str(shards), str(out)], capture_output=True, check=False)
    assert gone.returncode == -signal.SIGKILL, gone.stderr.decode()
    done = []
    write = tensor_by_tensor.write_part
    monkeypatch.setattr(tensor_by_tensor, "write_part", lambda *given: done.append(given[2]) or write(*given))
    method = sq.METHODS["round-to-nearest"](bits=3)
    found = sq.compress_shards(shards, method, out)
    assert len(done) == len(found.layers) - 2
    whole = sq.compress_shards(shards, method, tmp_path / "again")
    for file in sorted((tmp_path / "again").glob("*.sdq")):
        assert (out / file.name).read_bytes() == file.read_bytes()
    assert whole.bytes == found.bytes and sorted(path.suffix for path in out.iterdir()).count(".sdq") == 3
    with pytest.raises(InputError, match=r"output must be a new folder or one of the same run"):
        sq.compress_shards(shards, method, out, seed=1)


def damage(folder, index, what):
    table = json.loads(index.read_text())
    if what == "missing":
        (folder / "model-00002-of-00003.safetensors").unlink()
    elif what == "nowhere":
        table["weight_map"]["c.weight"] = "model-00001-of-00003.safetensors"
    elif what == "twice":
        save_file({"a.bias": np.ones(24, np.float32), "norm.weight": np.ones(7, np.float32)},
                  folder / "model-00003-of-00003.safetensors")  # fmt: skip
    elif what == "away":
        table["weight_map"]["a.bias"] = "../a.safetensors"
    elif what == "type":
        content = (folder / "model-00001-of-00003.safetensors").read_bytes()
        (folder / "model-00001-of-00003.safetensors").write_bytes(content.replace(b'"F32"', b'"F08"'))
    elif what == "nan":
        save_file({"a.bias": np.ones(24, np.float32), "b.1.weight": np.full((30, 24), np.nan, np.float32)},
                  folder / "model-00002-of-00003.safetensors")  # fmt: skip
    index.write_text(json.dumps(table))


@pytest.mark.parametrize(
    ("what", "sentence"),
    [
        ("missing", r"must have every shard of model.safetensors.index.json, got no model-00002-of-00003.safetensors"),
        (
            "nowhere",
            "tensor c.weight must be in model-00001-of-00003.safetensors, as the index says, got it in no shard",
        ),
        ("twice", r"tensor a.bias must be in one shard, got it in model-00002-of-00003.safetensors and model-00003"),
        ("away", r"is in ../a.safetensors: no file beside it"),
        ("type", r"must have one of the types BOOL, .*, got F08"),
        ("nan", r"tensor b.1.weight must be finite, got NaN"),
    ],
)
def test_shards_that_do_not_go_together_are_refused_in_one_sentence(shards, tmp_path, what, sentence):
    damage(shards.parent, shards, what)
    with pytest.raises(InputError, match=sentence) as refused:
        sq.compress_shards(shards, sq.METHODS["round-to-nearest"](bits=3), tmp_path / "out")
    assert "\n" not in str(refused.value)


def test_a_shard_that_its_number_says_is_missing(shards, tmp_path):
    files = sorted(shards.parent.glob("model-*"))
    with pytest.raises(InputError, match=r"must have every shard of 00003, got no model-00002-of-00003.safetensors"):
        sq.compress_shards(files[::2], sq.METHODS["round-to-nearest"](), tmp_path / "out")


@pytest.mark.parametrize(
    ("name", "settings", "sentence"),
    [
        ("frame", {"step_rule": "norm-global"}, "must look at one layer at a time for weights on disk, got step_rule"),
        ("magnitude-pruning", {"scope": "network"}, "must look at one layer at a time .* got scope network"),
        ("gptq", {}, "calibration must hold at least one sample for the method gptq, got none"),
        ("round-to-nearest", {"bits_by_layer": {"zzz": 2}}, "bits_by_layer must name layers of the network, got 'zzz'"),
    ],
)
def test_methods_that_need_more_than_a_layer_are_refused(shards, tmp_path, name, settings, sentence):
    with pytest.raises(InputError, match=sentence):
        sq.compress_shards(shards, sq.METHODS.from_dict({"name": name, **settings}), tmp_path / "out")


def test_a_full_disk_is_refused_before_the_work_and_in_it(shards, tmp_path, monkeypatch):
    method = sq.METHODS["round-to-nearest"](bits=3)
    with monkeypatch.context() as patched:
        patched.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(1, 1, 0))
        with pytest.raises(InputError, match=r"output must have about .* MiB of room, got 0 MiB free"):
            sq.compress_shards(shards, method, tmp_path / "out")
    full = "/dev/full"
    if os.path.exists(full):  # noqa: PTH110
        monkeypatch.setattr(tensor_file, "UNFINISHED", ".part")
        target = tmp_path / "x.safetensors"
        target.with_name("x.safetensors.part").symlink_to(full)
        with pytest.raises(InputError, match=r"output must be where x.safetensors can be written, got a full disk"):
            tensor_file.write_file(target, {"a": tensor_file.Outgoing("U8", (9,), lambda: [b"123456789"])}, {})
        assert not target.exists()


FAULTS = """
import resource, sys
import sdqviz as sq
folder, method = sys.argv[1], sq.METHODS["round-to-nearest"](bits=4)
faults = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_minflt * resource.getpagesize()
sq.compress_shards(folder + "/small.safetensors", method, folder + "/first")  # libraries
before = faults()
sq.compress_shards(folder + "/many.safetensors", method, folder + "/second")
print(faults() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's")
def test_pieces_take_the_memory_of_those_before(tmp_path):
    """Otherwise 80 bytes a weight are handed over by the system, page by page, which takes as long as rounding."""
    rng = np.random.default_rng(0)
    many = {f"{name}.weight": rng.normal(size=(512, 1536)).astype(np.float32) for name in "abcdefgh"}
    save_file(many, tmp_path / "many.safetensors")
    save_file({"a.weight": rng.normal(size=(8, 8)).astype(np.float32)}, tmp_path / "small.safetensors")
    told = subprocess.run([sys.executable, "-c", FAULTS, tmp_path], capture_output=True, text=True, check=True)
    assert int(told.stdout) < 16 * sum(one.size for one in many.values())
