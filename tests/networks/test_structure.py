"""How modules are read for the theorems: chains are recognised, everything else is refused by name."""

import pytest
import torch
from torch import nn

import sdqviz as sq
from sdqviz.networks.structure import DenseNode, ResidualBlock, ResidualNode, read


def test_the_three_networks():
    fnn, residual, lenet = (read(sq.NETWORKS[f"mnist-{name}"]().build()) for name in ("fnn", "residual", "lenet"))
    assert fnn.nodes == (
        DenseNode("hidden1", 1.0, ("ReLU",)),
        DenseNode("hidden2", 1.0, ("ReLU",)),
        DenseNode("output", 1.0),
    )
    assert residual.nodes == (
        DenseNode("input", 1.0, ("ReLU",)),
        ResidualNode("block1.inner", "block1.outer", relu_after=False),
        ResidualNode("block2.inner", "block2.outer", relu_after=False),
        DenseNode("output", 1.0),
    )
    assert residual.because == (
        "the network is a chain of 2 dense layers and 2 residual blocks with activations that are 0 at 0"
    )
    assert not lenet.applicable
    assert lenet.because == "layer conv1 is a convolution; the theorems speak of dense layers"


def test_nested_chains_and_products_of_constants():
    inner = nn.Sequential(nn.Linear(4, 4), nn.LeakyReLU(-3.0), nn.Identity(), nn.ELU(2.0))
    module = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), inner, ResidualBlock(4), nn.ReLU(), nn.Linear(4, 3))
    found = read(module)
    assert found.applicable
    assert found.nodes == (
        DenseNode("2.0", 6.0, ("LeakyReLU", "ELU")),
        ResidualNode("3.inner", "3.outer", relu_after=True),
        DenseNode("5", 1.0),
    )
    assert read(nn.Linear(2, 2)).nodes == (DenseNode("", 1.0),)


def test_a_layer_applied_twice_keeps_its_first_name():
    layer = nn.Linear(3, 3)
    assert [node.layer for node in read(nn.Sequential(layer, nn.ReLU(), layer)).nodes] == ["0", "0"]
    other = nn.Linear(3, 3)
    other.weight = layer.weight
    assert read(nn.Sequential(layer, other)).because == (
        "layer 1 shares its weight with layer 0 but not its shape or bias"
    )


class Skips(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 3)

    def forward(self, x):
        return x + self.linear(x)


class Reversed(nn.Sequential):
    def forward(self, x):
        for part in reversed(self):
            x = part(x)
        return x


def hooked() -> nn.Module:
    module = nn.Sequential(nn.Linear(3, 3))
    module[0].register_forward_hook(lambda *_: None)
    return module


def patched() -> nn.Module:
    module = nn.Sequential(nn.Linear(3, 3))
    module[0].forward = torch.relu
    return module


def block_with_convolution() -> nn.Module:
    block = ResidualBlock(4)
    block.outer = nn.Conv1d(4, 4, 1)
    return nn.Sequential(nn.Linear(4, 4), block)


@pytest.mark.parametrize(
    ("module", "because"),
    [
        (Skips(), "the network (Skips) has a forward of its own; the theorems speak of chains of known layers"),
        (nn.Sequential(Skips()), "module 0 (Skips) has a forward of its own"),
        (Reversed(nn.Linear(3, 3)), "the network (Reversed) has a forward of its own"),
        (nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3)), "module 1 (BatchNorm1d) is a normalisation"),
        (nn.Sequential(nn.LayerNorm(3)), "module 0 (LayerNorm) is a normalisation"),
        (nn.Sequential(nn.Linear(3, 3), nn.Sigmoid()), "activation 1 (Sigmoid) is not 0 at 0"),
        (nn.Sequential(nn.Linear(3, 3), nn.Hardtanh(1.0, 2.0)), "activation 1 (Hardtanh) is not 0 at 0"),
        (nn.Sequential(nn.Linear(3, 3), nn.Softmax(1)), "module 1 (Softmax) is not a dense layer or an activation"),
        (nn.Sequential(nn.Tanh(), nn.Linear(3, 3)), "activation 0 comes before the first layer"),
        (nn.Sequential(nn.Linear(3, 3), nn.Flatten(2)), "module 1 (Flatten) is not"),
        (nn.Sequential(ResidualBlock(3), nn.Tanh()), "activation 1 (Tanh) follows a residual block"),
        (block_with_convolution(), "layer 1.outer is a convolution"),
        (nn.Sequential(nn.Flatten()), "the network has no dense layer"),
        (hooked(), "0 has forward hooks"),
        (patched(), "0 has a forward of its own"),
        (
            nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(3, 3))),
            "module 0 (ParametrizedLinear) has a forward of its own",
        ),
    ],
)
def test_other_networks_are_refused_by_name(module, because):
    found = read(module)
    assert (found.applicable, found.nodes) == (False, ())
    assert because in found.because


def test_vectors_only_a_sequence_is_refused():
    module = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))
    assert sq.Network(module, torch.zeros(1, 4)).structure.applicable
    sequence = sq.Network(module, torch.zeros(1, 7, 4)).structure
    assert not sequence.applicable
    assert "layer 0 acts on inputs of 3 axes" in sequence.because
