"""Weights, state dicts and data of one's own: read, compressed with the ordinary engine, or refused in a sentence."""

import io
import os
import pickle
import zipfile

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from safetensors.torch import load, save
from torch import nn

import sdqviz as sq
from sdqviz.compression import export, packed_file
from sdqviz.networks import own_weights
from sdqviz.networks.dataset import mnist


def tensors():
    generator = torch.Generator().manual_seed(0)

    def draw(*shape):
        return torch.randn(shape, generator=generator)

    return {
        "conv.weight": draw(8, 3, 3, 3), "conv.bias": draw(8), "block.0.fc.weight": draw(10, 16),
        "block.0.fc.bias": draw(10), "block.0.norm.weight": draw(16), "head.weight": draw(6, 10).bfloat16(),
        "turned.weight": draw(5, 9), "turned.bias": draw(9), "table": draw(4, 7), "steps": torch.tensor(3),
        "cube": draw(2, 2, 2), "conv.inner.weight": draw(2, 3),
    }  # fmt: skip


def test_matrices_become_layers_and_the_rest_is_kept():
    given = tensors()
    network = own_weights.read_weights(save(given), "mine.safetensors")
    layers = {layer.name: layer for layer in network.layers}
    assert {name: (layer.kind, layer.weight.shape) for name, layer in layers.items()} == {
        "conv": ("Conv2d", (8, 3, 3, 3)), "block.0.fc": ("Linear", (10, 16)), "head": ("Linear", (6, 10)),
        "turned.weight": ("Linear", (5, 9)), "table": ("Linear", (4, 7)), "conv.inner": ("Linear", (2, 3)),
    }  # fmt: skip
    assert layers["turned.weight"].bias is None  # its bias has nine entries for five outputs
    for name in ("conv", "block.0.fc", "head"):
        assert_array_equal(layers[name].weight, given[f"{name}.weight"].double().numpy())
    assert_array_equal(layers["conv"].bias, given["conv.bias"].double().numpy())
    state = network.module.state_dict()
    for name in ("block.0.norm.weight", "turned.bias", "steps", "cube"):
        assert_array_equal(state[name].numpy(), given[name].numpy())
    assert network.name == "mine.safetensors" and "no forward pass" in network.note


@pytest.mark.parametrize(
    ("method", "fields"),
    [
        ("round-to-nearest", {"bits": 3}),
        ("frame", {"bits": 2, "redundancy": 2.0}),
        ("magnitude-pruning", {"pruning_ratio": 0.8}),
    ],
)
def test_methods_without_data_work_as_on_a_network(method, fields):
    network = own_weights.read_weights(save(tensors()), "mine")
    choice = sq.METHODS[method](**fields)
    result = sq.compress(network, choice)
    assert result.report.accuracy_before is None and result.report.inputs == 0
    assert np.isnan(result.report.output_error) and "no errors were measured" in result.report.output_bound_because
    given = tensors()
    for row, item in zip(result.report.layers, result.layers, strict=True):
        alone = sq.Network(nn.Linear(*reversed(item.layer.weight.reshape(len(item.layer.weight), -1).shape)), torch.zeros(1, item.layer.weight[0].size))  # fmt: skip  # noqa: E501
        if item.layer.weight.ndim == 2:
            as_network = sq.compress(alone.replaced({"layer": item.layer.weight}), choice, 0).layers[0]
            assert_array_equal(item.weight, as_network.weight)
        matrix = (item.layer.weight - item.weight).reshape(len(item.weight), -1)
        np.testing.assert_allclose(row.error, np.linalg.norm(matrix, 2), rtol=1e-6)
        np.testing.assert_allclose(row.weight_error, np.linalg.norm(matrix) / np.linalg.norm(item.layer.weight))
        if method == "frame":
            assert row.bound_holds and row.error <= row.bound
    total = sum(tensor.numel() for tensor in given.values())
    assert result.report.original_bytes == 4 * total + 4  # one whole number of eight bytes
    again = packed_file.read(result.to_bytes()).rebuild(own_weights.read_weights(save(given), "mine"))
    assert again.fingerprint == result.network.fingerprint


@pytest.mark.parametrize("method", ["gpfq", "spfq", "unified", "gptq", "qronos"])
def test_methods_that_need_data_say_so(method):
    network = own_weights.read_weights(save(tensors()), "mine")
    with pytest.raises(sq.InputError, match=f"calibration must hold at least one sample for the method {method}"):
        sq.compress(network, sq.METHODS[method]())
    with pytest.raises(sq.InputError, match="must be left out for mine, which has no forward pass"):
        sq.compress(network, sq.METHODS[method](), 10)
    with pytest.raises(sq.InputError, match="must be left out for mine, which has no forward pass"):
        sq.compress(network, sq.METHODS["frame"](), np.zeros((2, 3)))
    with pytest.raises(sq.InputError, match="forward pass, got mine: weights alone"):
        network.with_data(mnist())


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"", "got mine: a safetensors file must begin"),
        (b"PK\3\4" + bytes(50), "got mine: a safetensors file must hold its table"),
        (save({"a": torch.ones(3)}), "two or four axes, got none among 1"),
        (save({"a": torch.ones(3, 3, dtype=torch.int32)}), "two or four axes"),
        (save({"a": torch.ones(0, 3)}), "two or four axes"),
        (save({"a..weight": torch.ones(2, 2)}), "must have a name a module can have"),
        (save({"forward.weight": torch.ones(2, 2)}), "must have a name a module can have"),
        (save({"a": torch.ones(2, 2), "training": torch.ones(2)}), "must have a name a module can have, .*: rename it"),
    ],
)
def test_files_that_hold_no_weights_are_refused(content, match):
    with pytest.raises(sq.InputError, match=match):
        own_weights.read_weights(content, "mine")


@pytest.mark.parametrize(
    "shapes",
    [
        {"a": (3, 4), "a.weight": (2, 5)},
        {"a": (3,), "a.weight": (2, 5), "a.bias": (2,)},
        {"a": (3, 4), "a.weight": (5,), "a.bias": (7,)},
        {"a": (3, 4), "a.b": (5, 2), "a.b.weight": (2, 2), "a (itself)": (6, 2), "a.bias": (3,)},
        {"m": (2, 2), "a": (3,), "a.b": (4,), "a.b.c": (5,)},
    ],
)
def test_a_tensor_called_like_what_holds_others_is_told_apart(shapes):
    torch.manual_seed(0)
    tensors = {name: torch.randn(shape) for name, shape in shapes.items()}
    network = own_weights.read_weights(save(tensors))
    matrices = [name for name, shape in shapes.items() if len(shape) == 2]
    assert len({layer.name for layer in network.layers}) == len(network.layers) == len(matrices)
    result = sq.compress(network, sq.METHODS["round-to-nearest"](bits=16), 0)
    again = load(export.safetensors(result.network))
    assert set(again) == set(tensors)
    for name, tensor in tensors.items():
        assert again[name].shape == tensor.shape
        torch.testing.assert_close(again[name], tensor, rtol=0, atol=1e-3 if name in matrices else 0)


def test_layers_come_in_the_order_of_their_blocks():
    names = ["block.10.weight", "block.9.weight", "block.9.inner.weight", "a.weight", "block.2.x.weight"]
    network = own_weights.read_weights(save({name: torch.ones(2, 2) for name in names}))
    expected = ["a", "block.2.x", "block.9", "block.9.inner", "block.10"]
    assert [layer.name for layer in network.layers] == expected


def test_weights_that_are_not_numbers_and_large_files_are_refused(tmp_path):
    broken = own_weights.read_weights(save({"a": torch.tensor([[1.0, float("nan")]])}))
    with pytest.raises(sq.InputError, match="finite weight"):
        sq.compress(broken, sq.METHODS["frame"]())
    with pytest.raises(sq.InputError, match=r"weights must have at most 1 MiB, got 3.8.* MiB in the file"):
        own_weights.read_weights(save({"a": torch.ones(1000, 1000)}), largest=1 << 20)
    with pytest.raises(sq.InputError, match=r"got none.safetensors: No such file"):
        own_weights.read_weights(tmp_path / "none.safetensors")


# -- state dicts ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["safetensors", "pt", "pth"])
def test_a_state_dict_gives_the_network_it_came_from(kind, tmp_path):
    original = sq.NETWORKS["mnist-residual"](seed=1).load()
    state = original.module.state_dict()
    file = tmp_path / f"mine.{kind}"
    if kind == "safetensors":
        file.write_bytes(save(state))
    else:
        torch.save(state, file)
    for source, name in ((file, ""), (file.read_bytes(), file.name)):
        found = own_weights.network(sq.NETWORKS["mnist-residual"](), source, name)
        assert found.fingerprint == original.fingerprint
        assert found.accuracy(500) == original.accuracy(500)
        assert found.name == f"mnist-residual with mine.{kind}"
    result = sq.compress(found, sq.METHODS["round-to-nearest"](bits=8), 16)
    assert packed_file.read(result.to_bytes()).rebuild().fingerprint == result.network.fingerprint


class Malicious:
    """Creates a file when it is unpickled."""

    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return os.mkdir, (str(self.file),)


@pytest.mark.parametrize("how", ["torch", "torch, old", "pickle", "beside tensors"])
def test_a_pickle_that_would_run_code_is_refused_and_does_not_run(how, tmp_path):
    trap, out = tmp_path / "trap", io.BytesIO()
    if how == "pickle":
        pickle.dump(Malicious(trap), out)
    else:
        content = {"fc.weight": torch.ones(2), "x": Malicious(trap)} if how == "beside tensors" else Malicious(trap)
        torch.save(content, out, _use_new_zipfile_serialization=how != "torch, old")
    with pytest.raises(sq.InputError, match=r"weights must be a file of tensors, got evil.pt"):
        own_weights.network(sq.NETWORKS["mnist-fnn"](), out.getvalue(), "evil.pt")
    assert not trap.exists()
    if how == "pickle":  # the trap is a real one
        pickle.loads(out.getvalue())
        assert trap.exists()


def test_state_dicts_that_do_not_fit_and_packed_archives_are_refused():
    fnn = sq.NETWORKS["mnist-fnn"]()
    state = sq.NETWORKS["mnist-lenet"]().build().state_dict()
    with pytest.raises(sq.InputError, match=r"weights a.safetensors must fit mnist-fnn, got no hidden1.weight"):
        own_weights.network(fnn, save(state), "a.safetensors")
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(10**6))
    with pytest.raises(sq.InputError, match="an archive that is compressed"):
        own_weights.network(fnn, out.getvalue(), "a.pt")
    with pytest.raises(sq.InputError, match="weights must have at most 0 MiB"):
        own_weights.network(fnn, save(state), "a.safetensors", largest=1000)


@pytest.mark.parametrize(
    "hold",
    [
        lambda state: {"epoch": 3, "net": state, "optimizer": {"state": {}, "param_groups": []}},
        lambda state: {"model_state_dict": state, "ema": state},
        lambda state: {"checkpoint": {"state_dict": state}},
        lambda state: {"state_dict": {f"model.{key}": value for key, value in state.items()}, "hyper": {"lr": 0.1}},
        lambda state: {f"module._orig_mod.{key}": value for key, value in state.items()},
    ],
    ids=["net", "two states", "nested", "a wrapper's names", "two wrappers"],
)
def test_checkpoints_hold_a_state_dict_somewhere_under_names_of_wrappers(hold):
    network, wanted = (sq.Network(nn.Sequential(nn.Linear(4, 3)), torch.ones(2, 4)) for _ in range(2))
    for one in (network, sq.Network(nn.DataParallel(network.module), torch.ones(2, 4))):
        out = io.BytesIO()
        torch.save(hold(wanted.module.state_dict()), out)
        assert_array_equal(one.with_state(out.getvalue()).outputs(torch.ones(2, 4)), wanted.outputs(torch.ones(2, 4)))


def test_of_two_states_without_a_known_name_none_is_taken_and_codes_are_no_weights():
    network, out = sq.Network(nn.Sequential(nn.Linear(4, 3)), torch.ones(2, 4)), io.BytesIO()
    state = network.module.state_dict()
    torch.save({"first": state, "second": state}, out)
    with pytest.raises(sq.InputError, match="where 'first' is OrderedDict"):
        network.with_state(out.getvalue())
    for kind in (torch.int8, torch.complex64):
        with pytest.raises(sq.InputError, match=rf"got 0.weight of {kind} instead of torch.float32"):
            network.with_state(save({**state, "0.weight": state["0.weight"].to(kind)}))
    for read in (network.with_state, sq.read_weights, sq.read_dataset):
        with pytest.raises(sq.InputError, match="must be the path of a file, or its bytes, got OrderedDict"):
            read(state)


# -- data --------------------------------------------------------------------------------------------------------


def packed_data(images, labels):
    out = io.BytesIO()
    np.savez_compressed(out, images=images, labels=labels)
    return out.getvalue()


def test_data_of_ones_own_test_a_network():
    rng = np.random.default_rng(0)
    chosen = np.sort(rng.choice(10_000, 300, replace=False))
    shown, labels = (np.asarray(part) for part in mnist().test())
    content = packed_data((shown[chosen, 0] * 255).round().astype(np.uint8), labels[chosen].astype(np.int64))
    network = sq.NETWORKS["mnist-fnn"]().load()
    found = network.with_data(own_weights.read_dataset(content, "few.npz"))
    tested = chosen[np.arange(300) % 5 != 0]
    assert found.accuracy() == (network.predictions()[tested] == labels[tested]).mean()
    result = sq.compress(found, sq.METHODS["gpfq"](bits=4), 40)
    assert result.report.inputs == 40 and result.report.accuracy_after is not None


def test_data_that_does_not_fit_is_refused():
    network = sq.NETWORKS["mnist-fnn"]().load()
    images = np.zeros((20, 28, 28), np.uint8)
    with pytest.raises(sq.InputError, match="labels must be below the 10 outputs of mnist-fnn, got 12"):
        network.with_data(own_weights.read_dataset(packed_data(images, np.full(20, 12))))
    with pytest.raises(sq.InputError, match="data must be accepted by the network mnist-fnn"):
        network.with_data(own_weights.read_dataset(packed_data(images[:, :20], np.zeros(20, int))))
    with pytest.raises(sq.InputError, match=r"data must be an \.npz archive"):
        own_weights.read_dataset(b"nonsense")
    with pytest.raises(sq.InputError, match="data must have at most"):
        own_weights.read_dataset(packed_data(images, np.zeros(20, int)), largest=10)


def test_the_choice_of_an_own_network_is_its_content():
    network = own_weights.read_weights(save(tensors()), "mine")
    one, same = own_weights.choice_of(network, "f()", b"a", b"b"), own_weights.choice_of(network, "f()", b"a", b"b")
    assert one == same and hash(one) == hash(same) and one.alone
    assert one != own_weights.choice_of(network, "f()", b"ab", b"") != own_weights.choice_of(network, "g()", b"ab", b"")
    with pytest.raises(sq.InputError, match="must be uploaded in this session"):
        one.load()
