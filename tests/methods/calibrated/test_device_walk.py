"""The walk in torch against the compiled one, on the processor and, where there is one, on a CUDA device."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

import sdqviz as sq
from sdqviz.kernels import draws
from sdqviz.methods.calibrated.device_walk import device_walk
from sdqviz.methods.calibrated.layer_by_layer import told_where
from sdqviz.path_following.feedback import conditional_feedback, path_gain
from sdqviz.path_following.gram import Gram
from sdqviz.path_following.walk import Tally, walk
from sdqviz.quantizers import QUANTIZERS
from sdqviz.quantizers.quantizer import Grid

DEVICES = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no CUDA here")),
]


def problem(width=150, neurons=70, seed=0):
    rng = np.random.default_rng(seed)
    inputs = np.maximum(rng.standard_normal((200, 40)) @ rng.standard_normal((40, width)), 0)
    inputs[:, [0, 3, width - 1]] = 0
    weights = rng.standard_normal((width, neurons)) / np.sqrt(width)
    return Gram.of(inputs, weights), weights, draws.neuron_keys(7, neurons)


def grids(weights):
    step = np.abs(weights).max(axis=0) / 2
    step[5] = 0.0  # all its levels are 0
    blocks = np.abs(weights).max() / np.linspace(2, 4, 3)[:, None] * np.ones(weights.shape[1])
    zero = np.arange(weights.shape[1]) % 5
    return [
        Grid.finite("midtread", 3, step),
        Grid.finite("affine", 3, step, zero),
        Grid.finite("midrise", 2, blocks, block=64),
        Grid.infinite("midtread", step + 0.01),
    ]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", sorted(QUANTIZERS))
@pytest.mark.parametrize("kind", range(4))
def test_levels_are_those_of_the_kernel(device, name, kind):
    gram, weights, keys = problem()
    grid = grids(weights)[kind] if name != "one-bit" else Grid.finite("midrise", 1, np.abs(weights).max(axis=0))
    cut = {"threshold": 0.02} if "threshold" in QUANTIZERS[name].specs() else {}
    quantizer = QUANTIZERS.from_dict({"name": name, **cut})
    order, factor = np.random.default_rng(1).permutation(len(weights)), conditional_feedback(gram)
    ways = [
        (weights, gram.inputs, path_gain(gram), {"alive": gram.alive, "tally": Tally(gram.squares, True)}),
        (
            weights[order], factor.feedback, np.ones(len(weights)),
            {"names": order, "reference": weights[order] * 0.99, "tally": Tally(factor.pivots, False), "block": 17},
        ),
    ]  # fmt: skip
    for base, feedback, gain, options in ways:
        expected = walk(base, feedback, gain, quantizer, grid, keys, **options)
        found = device_walk(device, base, feedback, gain, quantizer, grid, keys, **options)
        assert_allclose(found.quantized, expected.quantized, atol=1e-12)
        assert_allclose(found.error, expected.error, atol=1e-12)
        assert_array_equal(found.overload, expected.overload)
        assert_allclose(found.missed, expected.missed, rtol=1e-9)


def test_a_quantizer_without_a_rule_walks_too(monkeypatch):
    gram, weights, keys = problem(40, 8)
    monkeypatch.setattr(QUANTIZERS["nearest"], "rule", None)
    given = weights, gram.inputs, path_gain(gram), QUANTIZERS["nearest"](), grids(weights)[0], keys
    assert_array_equal(device_walk("cpu", *given).quantized, walk(*given).quantized)


METHODS = [
    {"name": "gptq", "bits": 3},
    {"name": "gpfq", "bits": 3},
    {"name": "qronos", "bits": 3},
    {"name": "spfq", "bits": 3},
    {"name": "unified", "bits": 3, "operator": "quantize-prune", "pruning_ratio": 0.3},
    {"name": "unified", "operator": "one-bit"},
    {"name": "frame-calibrated", "bits": 2},
    {"name": "frame-calibrated", "bits": 1, "redundancy": 1.5},
    {"name": "frame-calibrated", "bits": 1, "redundancy": 0.5},
    {"name": "frame-coded"},
    {"name": "frame-coded", "basis": "pixels"},
]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("choice", METHODS, ids=lambda one: "-".join(map(str, one.values())))
def test_a_network_compressed_on_a_device_is_that_of_the_processor(device, choice, monkeypatch):
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Linear(24, 32), torch.nn.ReLU(), torch.nn.Linear(32, 6)).double()
    inputs = torch.randn(100, 24, dtype=torch.float64)
    network = sq.Network(module, inputs[:2])
    expected = sq.compress(network, sq.METHODS.from_dict({**choice, "device": "cpu"}), inputs)
    walks = []
    if device == "cpu":  # the same way through the method, with the torch form in place of the kernel

        def form(*given, **named):
            walks.append(given)
            return device_walk("cpu", *given, **named)

        for file in ("calibrated.path_following", "frame_calibrated", "frame_coded"):
            monkeypatch.setattr(f"sdqviz.methods.{file}.walker_on", lambda _: form)
    found = sq.compress(network, sq.METHODS.from_dict({**choice, "device": device}), inputs)
    assert walks or device != "cpu"
    for mine, theirs in zip(found.network.layers, expected.network.layers, strict=True):
        assert_allclose(mine.weight, theirs.weight, atol=1e-6)


@pytest.mark.parametrize(
    ("choice", "stays"),
    [
        ({"name": "frame-columns"}, True),
        ({"name": "frame-calibrated", "paths": 4}, True),
        ({"name": "frame-calibrated"}, False),
    ],
)
def test_a_walk_that_stays_on_the_processor_says_why(choice, stays, monkeypatch):
    told = []

    def kept(item, device, why):
        told.append(told_where(item, "cuda", why).note)
        return told_where(item, device, why)

    monkeypatch.setattr("sdqviz.methods.calibrated.layer_by_layer.told_where", kept)
    method = sq.METHODS.from_dict({**choice, "device": "cpu"})
    torch.manual_seed(0)
    network = sq.Network(torch.nn.Sequential(torch.nn.Linear(8, 20)), torch.randn(2, 8))
    sq.compress(network, method, torch.randn(30, 8))
    (note,) = told
    assert ("summed up on cuda and walked on the processor: " in note) == stays
    assert "processor: " in type(method).specs()["device"].help
    if stays:
        assert note.split("processor: ")[1] in type(method).specs()["device"].help
