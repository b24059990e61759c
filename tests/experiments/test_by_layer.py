"""What is told before the work, layer after layer: its sizes against those that come out, its rows by shape."""

import math

import pytest
import torch
from torch import nn

import sdqviz as sq
from sdqviz.error import InputError
from sdqviz.experiments import by_layer
from sdqviz.experiments.cost_model import Machine, network_cost


class Mixed(nn.Module):
    """A convolution at 36 positions, then a dense layer for each of 8 tokens, then one for all."""

    def __init__(self):
        super().__init__()
        self.first, self.token, self.last = nn.Conv2d(3, 8, 3), nn.Linear(36, 32), nn.Linear(256, 10)

    def forward(self, x):
        return self.last(self.token(self.first(x).flatten(2)).relu().flatten(1))


@pytest.fixture
def mixed():
    torch.manual_seed(0)
    x = torch.randn(48, 3, 8, 8)
    return sq.Network(Mixed(), x[:2]), x


@pytest.mark.parametrize("name", ["gptq", "round-to-nearest", "frame-calibrated", "frame"])
def test_bytes_are_about_those_that_come_out(mixed, tmp_path, name):
    network, x = mixed
    method = sq.METHODS.from_dict({"name": name, "bits": 4} | ({"redundancy": 1.0} if "frame" in name else {}))
    told = []
    tell = lambda task: told.append(by_layer.estimate(task, method))  # noqa: E731
    found = sq.compress_to_file(network, method, tmp_path / "a.sdq", x, announce=tell)
    (estimate,) = told
    assert estimate.layers == len(found.layers) == 3 and estimate.finished == 0 and not estimate.too_large
    assert estimate.read == 4 * network.parameter_count
    packed = sum(array.bits / 8 for array in sq.compress(network, method, x).layers)  # the head of the file left out
    assert estimate.written - 4 * 50 == pytest.approx(packed, rel=0.6)
    assert estimate.largest == "last" and 0 < estimate.seconds < 60


def test_time_is_that_of_the_rows_each_layer_meets(mixed, tmp_path, monkeypatch):
    network, x = mixed
    machine = Machine(1e6, 2e6, 3e6, 4e6, 5e6, disk=math.inf)
    monkeypatch.setattr(by_layer, "measured_machine", lambda *_: machine)
    method, told = sq.METHODS["gptq"](bits=4), []
    tell = lambda task: told.append(by_layer.estimate(task, method))  # noqa: E731
    sq.compress_to_file(network, method, tmp_path / "a.sdq", [x[:32], x[32:]], announce=tell)
    cost = network_cost([(8, 27), (32, 36), (10, 256)], [48 * 36, 48 * 8, 48])
    assert told[0].seconds == pytest.approx(cost.seconds(machine), rel=1e-3)


def test_what_is_done_before_is_not_counted_again(mixed, tmp_path):
    network, x = mixed
    method, told = sq.METHODS["gptq"](bits=4), []

    def stop(done, total, message):
        if message == "last":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sq.compress_to_file(network, method, tmp_path / "a.sdq", x, progress=stop)
    tell = lambda task: told.append(by_layer.estimate(task, method))  # noqa: E731
    sq.compress_to_file(network, method, tmp_path / "a.sdq", x, announce=tell)
    assert told[0].finished == 2 and "3 layers, 2 of them done before, " in str(told[0])


def test_what_cannot_be_is_said_before(mixed, tmp_path, monkeypatch):
    network, x = mixed
    method, told = sq.METHODS["gptq"](bits=4), []
    monkeypatch.setattr(by_layer.shutil, "disk_usage", lambda _: type("Disk", (), {"free": 1000}))
    monkeypatch.setattr("sdqviz.memory.LIMIT", 8 * 200**2)
    tell = lambda task: told.append(by_layer.estimate(task, method))  # noqa: E731
    sq.compress_to_file(network, method, tmp_path / "a.sdq", x, announce=tell)
    assert list(told[0].too_large) == ["last"] and "last will be left alone: its 256 inputs need" in str(told[0])
    with pytest.raises(InputError, match="output must have about 0 MiB of room"):
        told[0].require_room(tmp_path)
    geta = sq.METHODS["geta"]()
    with pytest.raises(InputError, match="which trains all"):
        sq.compress_to_file(network, geta, tmp_path / "b.sdq", x)
