"""Exported files, read with the libraries they are for."""

import importlib.util

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from safetensors.torch import load, save
from torch import nn

import sdqviz as sq
from sdqviz.compression import export, packed_file
from sdqviz.networks import own_weights


@pytest.fixture(scope="module")
def result():
    return sq.compress(sq.NETWORKS["mnist-lenet"]().load(), sq.METHODS["round-to-nearest"](bits=3), 16)


def test_safetensors_hold_the_dequantized_weights_under_torchs_names(result):
    state = load(export.safetensors(result.network))
    module = sq.NETWORKS["mnist-lenet"]().build()
    module.load_state_dict(state)
    inputs = torch.from_numpy(result.inputs[:8])
    assert_array_equal(module.eval()(inputs).detach().numpy(), result.network.outputs(result.inputs[:8]))
    layer = result.layers[0]
    assert len(np.unique(state[f"{layer.layer.name}.weight"][0])) <= 8  # three bits a neuron


def test_a_packed_file_gives_the_same_weights_without_its_network(result):
    whole, alone = load(export.safetensors(result.network)), load(
        export.packed_safetensors(packed_file.read(result.to_bytes()))
    )  # fmt: skip
    assert set(whole) == set(alone)
    for name, tensor in whole.items():
        assert_array_equal(tensor.numpy(), alone[name].numpy())


def test_weights_alone_come_back_under_their_names():
    given = {"a.weight": torch.randn(6, 5), "a.bias": torch.randn(6), "norm.weight": torch.randn(4)}
    found = sq.compress(own_weights.read_weights(save(given)), sq.METHODS["frame"](bits=4))
    back = load(export.packed_safetensors(packed_file.read(found.to_bytes())))
    assert set(back) == set(given)
    assert_array_equal(back["norm.weight"].numpy(), given["norm.weight"].numpy())
    assert_array_equal(back["a.weight"].numpy(), found.layers[0].weight.astype(np.float32))


def test_cut_channels_need_the_network():
    generator = torch.Generator().manual_seed(0)
    inputs = torch.rand(64, 12, generator=generator)
    module = nn.Sequential(nn.Linear(12, 10), nn.ReLU(), nn.Linear(10, 4))
    for tensor in module.parameters():
        nn.init.uniform_(tensor, -1, 1, generator=generator)
    data = sq.Dataset("noise", inputs.numpy(), np.arange(64) % 4, inputs.numpy(), np.arange(64) % 4)
    method = sq.METHODS["geta"](
        sparsity=0.4, batch=8, warm_up_steps=0, projection_steps=1, joint_steps=2, cool_down_steps=0,
        projection_periods=1, pruning_periods=1,
    )  # fmt: skip
    found = sq.compress(sq.Network(module, inputs[:1], data), method, 16)
    state = load(export.safetensors(found.network))
    assert len(state["0.weight"]) < 10 and state["2.weight"].shape[1] == len(state["0.weight"])
    with pytest.raises(sq.InputError, match="must be exported with its network, from which channels were cut"):
        export.packed_safetensors(packed_file.read(found.to_bytes()))


def test_without_the_extra_onnx_says_why(monkeypatch, result):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "onnxscript" else object())
    assert export.missing_for_onnx().startswith("ONNX needs onnxscript, which")
    with pytest.raises(sq.InputError, match="extra onnx must be installed"):
        export.onnx(result.network)


def test_weights_alone_are_not_onnx():
    pytest.importorskip("onnxscript")
    with pytest.raises(sq.InputError, match="must have a forward pass to be written as ONNX"):
        export.onnx(own_weights.read_weights(save({"a": torch.ones(2, 2)})))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mnist-fnn", "mnist-residual", "mnist-lenet", "resnet18"])
def test_onnx_computes_what_torch_computes(name):
    pytest.importorskip("onnxscript")
    runtime = pytest.importorskip("onnxruntime")
    network = sq.NETWORKS[name]().load()
    small = sq.compress(network, sq.METHODS["round-to-nearest"](bits=4), 0).network
    session = runtime.InferenceSession(export.onnx(small), providers=["CPUExecutionProvider"])
    example = np.asarray(small.example_input)
    for count in (1, 3):
        inputs = np.random.default_rng(count).random((count, *example.shape[1:])).astype(np.float32)
        (outputs,) = session.run(None, {session.get_inputs()[0].name: inputs})
        expected = small.outputs(inputs)
        assert_allclose(outputs, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())


@pytest.mark.slow
def test_a_network_torch_cannot_write_is_one_sentence():
    pytest.importorskip("onnxscript")

    class Branching(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(4, 4)

        def forward(self, x):
            y = self.layer(x)
            return y if float(y.sum()) > 0 else -y

    with pytest.raises(sq.InputError, match="must be one that torch can write as ONNX") as caught:
        export.onnx(sq.Network(Branching(), torch.randn(2, 4)))
    assert "\n" not in str(caught.value)
