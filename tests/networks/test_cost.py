"""Costs: counted by hand, against torch's own counter, and as reports carry them."""

import dataclasses
import math
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

import sdqviz as sq
from sdqviz.cli.text import report_text
from sdqviz.networks import cost
from sdqviz.networks.cost import Macs, bops, compare, count
from sdqviz.networks.learned_quantizer import LearnedQuantizer, quantize_input
from sdqviz.report import Report


def wrapped(module, *shape):
    return sq.Network(module, torch.zeros(shape))


# -- counting --------------------------------------------------------------------------------------


def test_convolutions_and_dense_layers_counted_by_hand():
    module = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, padding=1),  # 10 × 10 to 5 × 5
        nn.BatchNorm2d(8),
        nn.Conv2d(8, 8, (1, 3), groups=4, bias=False),  # to 5 × 3
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(120, 7),
    )
    found = count(wrapped(module, 4, 3, 10, 10))  # four inputs, the cost of one
    assert found == Macs({"0": 25 * 8 * 27.0, "2": 15 * 8 * 2 * 3.0, "5": 840.0}, 0.0)
    assert found.total == 5400 + 720 + 840


def test_one_dimension_and_leading_axes():
    assert count(wrapped(nn.Conv1d(4, 6, 3, dilation=2, groups=2), 1, 4, 11)).layers == {"layer": 7 * 6 * 2 * 3.0}
    for bias in (True, False):
        found = count(wrapped(nn.Sequential(nn.Linear(5, 3, bias=bias)), 2, 7, 4, 5))
        assert found.layers == {"0": 7 * 4 * 15.0}


class Wrapped(nn.Module):
    """A function of one tensor beside one dense layer."""

    def __init__(self, function):
        super().__init__()
        self.layer = nn.Linear(6, 6)
        self.function = function

    def forward(self, x):
        return self.function(self.layer(x))


@pytest.mark.parametrize(
    ("function", "macs"),
    [
        (lambda x: torch.matmul(x, x.transpose(1, 2)), 5 * 5 * 6),
        (lambda x: x @ torch.ones(6, 2), 5 * 6 * 2),
        (lambda x: functional.scaled_dot_product_attention(x, x, x), 2 * 5 * 5 * 6),
        (lambda x: functional.scaled_dot_product_attention(x, x[:, :3], x[:, :3, :4]), 5 * 3 * (6 + 4)),
        (lambda x: torch.einsum("bij,bkj->bik", x, x), 5 * 5 * 6),
        (lambda x: torch.baddbmm(x, x, torch.ones(len(x), 6, 6)), 5 * 6 * 6),
        (lambda x: functional.conv_transpose1d(x, torch.ones(5, 2, 3)), 5 * 6 * 2 * 3),
        (lambda x: torch.stack([torch.mv(one, torch.ones(6)) for one in x]), 5 * 6),
        (torch.relu, 0),
        (lambda x: functional.avg_pool1d(x, 2), 0),
    ],
)
def test_products_of_activations(function, macs):
    found = count(wrapped(Wrapped(function), 2, 5, 6))
    assert found == Macs({"layer": 5 * 36.0}, float(macs))


def test_a_layer_used_twice_or_never():
    shared = nn.Linear(4, 4)
    assert count(wrapped(nn.Sequential(shared, nn.ReLU(), shared), 1, 4)).layers == {"0": 32.0}
    idle = Wrapped(torch.relu)
    idle.extra = nn.Linear(3, 3)
    assert count(wrapped(idle, 1, 6)).layers == {"layer": 36.0, "extra": 0.0}


def test_weights_that_are_used_without_their_module():
    """Torch's attention multiplies with its projections itself; the fused kernels must not hide that."""
    module = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    found = count(wrapped(module, 1, 3, 8))
    assert found.layers == {"self_attn.out_proj": 3 * 64.0, "linear1": 3 * 128.0, "linear2": 3 * 128.0}
    assert found.products == 3 * 8 * 24 + 2 * 3 * 3 * 8  # the three projections in, and the two products of heads


TOTALS = {
    # 784 positions of stage 1, 196 of stage 2, 49 of stage 3, each product of channels times 9, or 1 on a shortcut
    "resnet20": 784 * 9 * (8 + 6 * 64) + 196 * (9 * (8 * 16 + 5 * 256) + 8 * 16)
    + 49 * (9 * (16 * 32 + 5 * 1024) + 16 * 32) + 320,
    "vgg7": 784 * 9 * (16 + 256) + 196 * 9 * (512 + 1024) + 49 * 9 * (2048 + 4096) + 576 * 128 + 1280,
    # 16 patches of 49 pixels; four blocks on 17 tokens; two products of attention; the class token's scores
    "vit-tiny": 16 * 49 * 48 + 4 * (17 * (4 * 48**2 + 2 * 48 * 96) + 2 * 17 * 17 * 48) + 480,
    "mnist-lenet": 784 * 6 * 25 + 100 * 16 * 150 + 400 * 120 + 1200,
}  # fmt: skip


@pytest.mark.parametrize("name", TOTALS)
def test_catalogue_by_hand_and_by_torchs_own_counter(name):
    choice = sq.NETWORKS[name]()
    network = choice.wrap(choice.build())
    found = count(network)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network.module(network.example_input)
    assert found.total == TOTALS[name] == counter.get_total_flops() / 2
    by_module = counter.get_flop_counts()
    root = type(network.module).__name__
    for layer, macs in found.layers.items():
        assert macs == sum(by_module[f"{root}.{layer}"].values()) / 2


@pytest.mark.parametrize("name", ["mobilenet_v3_small", "squeezenet1_1", "shufflenet_v2_x0_5"])
def test_torchvision_by_torchs_own_counter(name):
    network = sq.NETWORKS[name](size=64).load()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network.module(network.example_input)
    assert count(network).total == counter.get_total_flops() / 2


def test_counting_does_not_load_the_compiler():
    code = (
        "import sys, sdqviz as sq; from sdqviz.networks import cost; choice = sq.NETWORKS['vit-tiny']();"
        "cost.count(choice.wrap(choice.build())); assert 'torch._dynamo' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# -- bit operations ----------------------------------------------------------------------------------


def test_bit_operations_by_hand():
    macs = Macs({"a": 10.0, "b": 20.0, "c": 5.0}, 3.0)
    assert bops(macs, {}, {}) == 38 * 1024
    assert bops(macs, {"a": 4, "b": 1}, {"b": 8}) == 10 * 4 * 32 + 20 * 1 * 8 + (5 + 3) * 1024


def test_a_smaller_network_is_compared_with_the_whole_one():
    whole = wrapped(nn.Sequential(nn.Linear(10, 8), nn.ReLU(), nn.Linear(8, 4)), 1, 10)
    cut = wrapped(nn.Sequential(nn.Linear(10, 4), nn.ReLU(), nn.Linear(4, 4)), 1, 10)
    quantize_input(cut.module.get_submodule("2"), LearnedQuantizer(reach=1.0, bits=8))
    found = compare(whole, cut, {"0": 4, "2": 8})
    assert (found.macs, found.original_macs) == (56.0, 112.0)
    assert found.bops == 40 * 4 * 32 + 16 * 8 * 8
    assert found.relative_bops == found.bops / (112 * 1024)
    assert (found.parameters, found.original_parameters) == (44 + 20 + 3, 88 + 36)  # a step, a range, an exponent
    assert math.isnan(compare(idle := wrapped(Unused(), 1, 3), idle, {}).relative_bops)


class Unused(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 3)

    def forward(self, x):
        return x + 1


# -- as methods report it ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def small():
    generator = torch.Generator().manual_seed(1)
    module = nn.Sequential(nn.Linear(12, 9), nn.ReLU(), nn.Linear(9, 6))
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return sq.Network(module, torch.randn(40, 12, generator=generator))


@pytest.mark.parametrize(
    ("method", "values", "bits"),
    [
        ("round-to-nearest", {"bits": 3}, 3),
        ("round-to-nearest", {"bits": 5, "scale": "per-layer"}, 5),
        ("gpfq", {"bits": 4, "alphabet": "midtread"}, 4),  # 15 levels
        ("gpfq", {"bits": 4, "alphabet": "midrise"}, 4),
        ("spfq", {"bits": 3, "fit": "max"}, 3),
        ("gptq", {"bits": 2}, 2),
        ("qronos", {"bits": 2}, 2),
        ("unified", {"operator": "one-bit"}, 1),
        ("unified", {"operator": "prune", "pruning_ratio": 0.5}, 32),  # the survivors are real numbers
        ("magnitude-pruning", {"pruning_ratio": 0.5}, 32),
        (
            "magnitude-pruning",
            {"pruning_ratio": 0.5, "bits": 3, "alphabet": "midrise"},
            4,
        ),  # 8 levels without a zero, and zero
        ("magnitude-pruning", {"pruning_ratio": 0.5, "bits": 1}, 2),  # −1, 0 and 1
        ("frame", {"redundancy": 2.0, "bits": 1}, 32),  # decoded weights are real numbers
    ],
)
def test_bits_that_arithmetic_could_run_on(method, values, bits, small):
    result = sq.compress(small, sq.METHODS[method](**values))
    report = result.report
    assert {item.weight_bits for item in result.layers} == {bits}
    assert report.relative_bops == bits / 32
    assert report.macs == report.original_macs == 12 * 9 + 9 * 6
    assert report.bops == (12 * 9 + 9 * 6) * bits * 32
    assert report.parameters == report.original_parameters == 13 * 9 + 10 * 6
    if bits < 32:  # as many different whole numbers as the bits tell apart
        for item in result.layers:
            for neuron in item.weight.reshape(len(item.weight), -1):
                sizes = np.abs(neuron[neuron != 0])
                if sizes.size:
                    multiples = neuron / np.abs(sizes).min()
                    assert len(np.unique(np.round(multiples, 6))) <= 2**bits


def test_bits_by_layer_and_layers_left_alone(small):
    report = sq.compress(small, sq.METHODS["round-to-nearest"](bits=2, bits_by_layer={"2": 8})).report
    assert report.bops == 108 * 2 * 32 + 54 * 8 * 32


def test_reports_carry_and_tell_the_cost(small):
    report = sq.compress(small, sq.METHODS["round-to-nearest"](bits=4)).report
    assert Report.from_dict(report.to_dict()) == report
    older = {key: value for key, value in report.to_dict().items() if key not in COUNTED}
    assert math.isnan(Report.from_dict(older).relative_bops)
    text = report_text(report)
    assert "MACs of one input" in text and "162 (was 162)" in text
    assert "12.50% of 32 × 32 bits" in text
    assert "MACs" not in report_text(Report.from_dict(older))


COUNTED = {field.name for field in dataclasses.fields(cost.Cost)}
