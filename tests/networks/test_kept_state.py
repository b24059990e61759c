"""What a forward keeps for the next one: every pass begins as the first did, in the original and in what it becomes."""

import collections

import numpy as np
import pytest
import torch
from torch import nn

import sdqviz as sq

X = torch.randn(24, 8, generator=torch.Generator().manual_seed(0))


class Keeping(nn.Module):
    """A layer whose forward does something with what it kept."""

    def __init__(self, keep):
        super().__init__()
        self.layer, self.keep = nn.Linear(8, 8), keep
        self.register_buffer("count", torch.zeros(()))
        self.nested, self.object, self.array = {"all": []}, Counter(), np.zeros(1)
        self.deque = collections.deque(maxlen=3)
        self.tensor, self.number, self.list, self.dict = torch.zeros(1), 0, [], {}

    def forward(self, x):
        return self.keep(self, self.layer(x))


def in_a_buffer(self, y):
    self.count += 1
    return y * self.count


def in_another_buffer(self, y):
    self.count = self.count + 1
    return y * self.count


def in_a_tensor(self, y):
    self.tensor.add_(1)
    return y * self.tensor.to(y.dtype)


def in_a_number(self, y):
    self.number += 1
    return y * self.number


def in_a_list(self, y):
    self.list.append(y.mean())
    return y * len(self.list)


def in_a_dict(self, y):
    return y + self.dict.setdefault("first", y.detach().mean())


def in_a_new_attribute(self, y):
    if not hasattr(self, "cached"):
        self.cached = self.layer.weight.detach().sum()
    return y + self.cached


def in_a_list_in_a_dict(self, y):
    self.nested["all"].append(1)
    return y * len(self.nested["all"])


def in_an_object(self, y):
    self.object.count += 1
    return y * self.object.count


def in_an_array(self, y):
    self.array += 1
    return y * float(self.array[0])


def in_a_deque(self, y):
    self.deque.append(1)
    return y * len(self.deque)


class Counter:
    count = 0

    def __init__(self):
        self.count = 0
        self.me = self


KEEPS = [
    in_a_list_in_a_dict,
    in_an_object,
    in_an_array,
    in_a_deque,
    in_a_buffer,
    in_another_buffer,
    in_a_tensor,
    in_a_number,
    in_a_list,
    in_a_dict,
    in_a_new_attribute,
]


@pytest.mark.parametrize("keep", KEEPS)
def test_every_pass_begins_as_the_first(keep):
    torch.manual_seed(0)
    module = Keeping(keep)
    with torch.no_grad():
        module.layer.bias += 1
    network = sq.Network(module, X)
    expected = Keeping(keep)  # never passed through before
    expected.load_state_dict(module.state_dict())
    with torch.no_grad():
        np.testing.assert_allclose(network.outputs(X), expected(X).numpy(), rtol=1e-6)
    np.testing.assert_array_equal(network.outputs(X), network.outputs(X))
    assert module.count == 0 and module.number == 0 and not module.list and not module.dict
    for name in ("round-to-nearest", "gpfq"):
        report = sq.compress(network, sq.METHODS[name](bits=3), X).report
        assert "every pass began as the first" in report.note
        assert 0.001 < report.relative_output_error < 0.7


class Copying(nn.Module):
    """Computes with a copy of its weight that it makes at its first use."""

    def __init__(self):
        super().__init__()
        self.layer, self.turned = nn.Linear(8, 4), None

    def forward(self, x):
        if self.turned is None:
            self.turned = self.layer.weight.t().clone()
        return x @ self.turned.to(x.dtype)


def test_a_compressed_network_computes_with_its_own_weights_not_with_a_copy_of_the_originals():
    network = sq.Network(Copying(), X)
    network.outputs(X)
    result = sq.compress(network, sq.METHODS["round-to-nearest"](bits=2), X)
    expected = X.numpy() @ result.network.layers[0].weight.T
    np.testing.assert_allclose(result.network.outputs(X), expected, rtol=1e-4, atol=1e-5)
    before = X.double().numpy() @ network.layers[0].weight.T
    wanted = np.linalg.norm(before - expected) / np.linalg.norm(before)
    np.testing.assert_allclose(result.report.relative_output_error, wanted, rtol=1e-5)


def test_modules_that_keep_nothing_are_not_told_of():
    network = sq.Network(nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8), nn.Dropout(), nn.Linear(8, 2)), X)
    assert not network.passes.keeps
