"""Layers walked some neurons at a time: what is stored of them is what all neurons at once give."""

import itertools

import numpy as np
import pytest
import torch
from torch import nn

import sdqviz as sq
from sdqviz.methods.calibrated import group_work
from sdqviz.methods.method import Task
from sdqviz.path_following import gram
from sdqviz.path_following.gram import squared_lengths
from sdqviz.storage import codes

CASES = [
    {"name": "gptq"},
    {"name": "gptq", "fit": "max", "alphabet": "midtread", "scale": "per-32"},
    {"name": "gptq", "scale": "per-layer", "refinement": 1, "biases": "corrected"},
    {"name": "gpfq", "threshold": "soft", "pruning_ratio": 0.4, "bits": 2},
    {"name": "spfq", "finite": False, "biases": "quantized"},
    {"name": "unified", "operator": "prune"},
    {"name": "unified", "operator": "one-bit"},
    {"name": "qronos", "bits": 2, "biases": "quantized"},
]


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(24, 40), nn.ReLU(), nn.Linear(40, 2 * group_work.TOGETHER + 100))
    with torch.no_grad():
        module[0].weight[3] = 0.0
        module[0].bias[3] = -1.0  # an input of the second layer that is dead
    inputs = torch.randn(200, 24)
    return sq.Network(module, inputs[:1]), inputs


def compressed(network, inputs, case, on_demand):
    layers = network.layers_on_demand if on_demand else network.layers
    return list(sq.METHODS.from_dict(case).compress_layers(Task(layers, 0, network=network, inputs=inputs)))


@pytest.mark.parametrize("case", CASES, ids=lambda case: "-".join(str(value) for value in case.values()))
def test_levels_do_not_depend_on_how_many_neurons_are_walked_together(network, case, monkeypatch):
    whole = compressed(*network, case, on_demand=False)
    monkeypatch.setattr(group_work, "PART", 0)
    monkeypatch.setattr(group_work, "threads", lambda: 1)
    monkeypatch.setattr(codes, "AT_ONCE", 1000)
    parts = compressed(*network, case, on_demand=True)
    for one, other in zip(whole, parts, strict=True):
        assert np.array_equal(one.weight, other.weight) and one.parameters == other.parameters
        assert one.stored.keys() == other.stored.keys() and one.overload == other.overload
        for key, packed in one.stored.items():
            assert packed.bits == other.stored[key].bits
            assert np.array_equal(packed.to_bytes(), other.stored[key].to_bytes())
        assert (one.bias is None) == (other.bias is None)
        assert one.bias is None or np.array_equal(one.bias, other.bias)
        for name in ("errors", "target_norms", "alignment_errors", "aligned_range", "error_limit"):
            expected = np.asarray(getattr(one.path, name))
            scale = one.path.target_norms.max() if name == "alignment_errors" else 0.0  # mostly what rounding leaves
            np.testing.assert_allclose(getattr(other.path, name), expected, rtol=1e-9, atol=1e-9 * scale)


def test_parts_are_all_neurons_once_and_whole_tiles():
    for count, width in itertools.product((1, 1023, 1024, 5000), (1, 300, 3000)):
        parts = group_work.parts_of(slice(7, 7 + count), width)
        assert [place for part in parts for place in range(part.start, part.stop)] == list(range(7, 7 + count))
        assert all((part.stop - part.start) % group_work.TOGETHER == 0 for part in parts[:-1])


def test_square_lengths_are_those_of_the_products(monkeypatch):
    monkeypatch.setattr(gram, "AT_ONCE", 16)
    rng = np.random.default_rng(0)
    inputs, columns = rng.normal(size=(30, 12)), rng.normal(size=(12, 50))
    for given in (columns, np.asfortranarray(columns)):
        np.testing.assert_allclose(squared_lengths(inputs.T @ inputs, given), ((inputs @ columns) ** 2).sum(axis=0))
