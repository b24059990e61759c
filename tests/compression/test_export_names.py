"""Exported files name every tensor as whoever gave the network does: bare, tied, shared and computed ones."""

import copy
import warnings

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from safetensors.torch import load, save
from torch import nn
from torch.nn.utils import parametrizations

import sdqviz as sq
from sdqviz.compression import export, packed_file
from sdqviz.networks import own_weights


class Tied(nn.Module):
    def __init__(self, first: bool) -> None:
        super().__init__()
        if first:
            self.head = nn.Linear(8, 11, bias=False)
        self.embed, self.a = nn.Embedding(11, 8), nn.Linear(8, 8)
        if not first:
            self.head = nn.Linear(8, 11, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.head(torch.relu(self.a(self.embed(ids))))


class Holding(nn.Module):
    """Buffers of several kinds, a bare number as parameter, and state that is no tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.bn, self.scale = nn.Linear(8, 4), nn.BatchNorm1d(4), nn.Parameter(torch.ones(()))
        self.register_buffer("mask", torch.ones(4, dtype=torch.bool))
        self.register_buffer("gone", torch.ones(4), persistent=False)

    def get_extra_state(self) -> dict[str, int]:
        return {"version": 3}

    def set_extra_state(self, state: dict[str, int]) -> None:
        assert state == {"version": 3}

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.bn(self.a(x)) * self.mask * self.scale * self.gone


def older_weight_norm() -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return nn.Sequential(nn.utils.weight_norm(nn.Linear(8, 6)), nn.ReLU(), nn.Linear(6, 3))


def shared() -> nn.Module:
    layer = nn.Linear(8, 8)
    return nn.Sequential(layer, nn.ReLU(), layer, nn.Linear(8, 2))


VECTORS = torch.randn(10, 8, generator=torch.Generator().manual_seed(0))
IDS = torch.arange(20).reshape(4, 5) % 11
MODULES = {
    "a bare layer": (lambda: nn.Linear(8, 4), VECTORS),
    "a bare convolution": (lambda: nn.Conv2d(2, 3, 3), VECTORS.reshape(1, 2, 5, 8)),
    "a layer called layer": (lambda: nn.Sequential(nn.Sequential(nn.Linear(8, 4))), VECTORS),
    "tied": (lambda: Tied(False), IDS),
    "tied the other way": (lambda: Tied(True), IDS),
    "buffers": (Holding, VECTORS),
    "shared": (shared, VECTORS),
    "wrapped": (lambda: nn.DataParallel(nn.Sequential(nn.Linear(8, 4))), VECTORS),
    "attention": (lambda: nn.Sequential(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)), VECTORS[:, None]),
}


def compressed(name: str) -> tuple[nn.Module, sq.Network, bytes]:
    make, x = MODULES[name]
    torch.manual_seed(1)
    module = make()
    result = sq.compress(sq.Network(module, x[:2]), sq.METHODS["round-to-nearest"](bits=4), calibration=x)
    return module, result.network, result.to_bytes()


def names_of(module: nn.Module) -> set[str]:
    return {name for name, value in module.state_dict().items() if isinstance(value, torch.Tensor)}


@pytest.mark.parametrize("name", MODULES)
def test_both_ways_to_safetensors_keep_all_names(name):
    module, network, packed = compressed(name)
    state = load(export.safetensors(network))
    alone = load(export.packed_safetensors(packed_file.read(packed)))
    assert set(state) == set(alone) == names_of(module)
    for key, value in state.items():
        assert_array_equal(value, alone[key])
    module.load_state_dict(dict(module.state_dict()) | state)
    x = MODULES[name][1]
    with torch.no_grad():
        np.testing.assert_allclose(module.eval()(x), network.outputs(x), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("older", [False, True])
def test_computed_weights_are_named_as_once_they_are_computed_no_more(older):
    torch.manual_seed(1)
    make = nn.Sequential(parametrizations.weight_norm(nn.Linear(8, 6)), nn.ReLU(), nn.Linear(6, 3))
    module = older_weight_norm() if older else make
    result = sq.compress(sq.Network(module, VECTORS[:2]), sq.METHODS["round-to-nearest"](bits=4), calibration=VECTORS)
    state = load(export.safetensors(result.network))
    alone = load(export.packed_safetensors(packed_file.read(result.to_bytes())))
    if older:
        nn.utils.remove_weight_norm(module[0])
    else:
        nn.utils.parametrize.remove_parametrizations(module[0], "weight")
    assert set(state) == set(alone) == names_of(module)
    module.load_state_dict(state)
    with torch.no_grad():
        np.testing.assert_allclose(module(VECTORS), result.network.outputs(VECTORS), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", ["a bare layer", "tied", "buffers"])
def test_a_saved_network_comes_back(name, tmp_path):
    module, network, packed = compressed(name)
    (tmp_path / "x.sdq").write_bytes(packed)
    x = MODULES[name][1]
    back = sq.load(tmp_path / "x.sdq", sq.Network(copy.deepcopy(module), x[:2]))
    assert_array_equal(back.outputs(x), network.outputs(x))
    assert set(load(export.safetensors(back))) == names_of(module)


@pytest.mark.parametrize(
    "given",
    [
        {"a.weight": (6, 5), "b": (4, 4), "c/d:0 kernel": (3, 7), "x.y.z": (2, 3, 3, 3), "n.weight": (4,)},
        {"weight": (4, 4), "bias": (4,)},
        {"w.weight": (3, 4), "w.bias": (5,), "tok.weight_orig": (3, 4), "steps": ()},
    ],
)
def test_weights_alone_keep_names_that_no_layer_has(given):
    state = {name: torch.ones(shape) for name, shape in given.items()}
    found = sq.compress(own_weights.read_weights(save(state)), sq.METHODS["round-to-nearest"](bits=4))
    for content in (export.packed_safetensors(packed_file.read(found.to_bytes())), export.safetensors(found.network)):
        back = load(content)
        assert {name: tuple(value.shape) for name, value in back.items()} == given


@pytest.mark.slow
@pytest.mark.parametrize("name", ["a bare layer", "tied", "buffers", "parametrized", "shared", "attention"])
def test_onnx_names_what_takes_part_as_torch_does(name):
    pytest.importorskip("onnxscript")
    onnx = pytest.importorskip("onnx")
    module, network, _ = compressed(name)
    graph = onnx.load_from_string(export.onnx(network)).graph
    found = {one.name for one in graph.initializer}
    tensors: dict[int, set[str]] = {}
    for key, value in module.state_dict(keep_vars=True).items():
        if isinstance(value, torch.Tensor) and not key.endswith("num_batches_tracked"):
            tensors.setdefault(id(value), set()).add(key)
    assert all(names & found for names in tensors.values())
    assert found <= set().union(*tensors.values()) | {"gone"}
