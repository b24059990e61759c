"""Threads with networks of their own disturb neither each other nor a plain forward, and nobody's inputs change."""

import hashlib
import threading

import numpy as np
import pytest
import torch
from torch import nn

import sdqviz as sq


class Writes(nn.Module):
    """Writes into what it is given, and into what leaves its layers."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(8, 8), nn.Linear(8, 3)

    def forward(self, x):
        x.sub_(3.0)
        y = self.a(x)
        y.relu_()
        return self.b(y).mul_(2)


def digest(*tensors):
    return hashlib.sha256(b"".join(tensor.numpy().tobytes() for tensor in tensors)).hexdigest()


METHODS = {
    "round-to-nearest": {"bits": 4}, "gptq": {"bits": 3}, "spfq": {"bits": 3},
    "frame": {"redundancy": 2.0}, "magnitude-pruning": {},
}  # fmt: skip


@pytest.mark.parametrize("name", METHODS)
def test_inputs_stay_as_they_were(name):
    torch.manual_seed(0)
    x = torch.randn(40, 8)
    given, example = x.clone(), x[:4].clone()
    before = digest(given, example)
    network = sq.Network(Writes(), example)
    method = sq.METHODS[name](**METHODS[name])
    report = sq.compress(network, method, calibration=given).report
    sq.compress(network, method, calibration=[given, given]).report.to_dict()
    assert digest(given, example) == before
    assert torch.equal(network.example_input, example)
    other = sq.compress(network, method, calibration=given.numpy()).report
    assert other.relative_output_error == report.relative_output_error


@pytest.mark.parametrize("rounds", [5, pytest.param(200, marks=pytest.mark.slow)])
def test_threads_disturb_nobody(rounds):
    torch.manual_seed(0)
    x = torch.randn(32, 16)
    module = nn.Sequential(nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 4)).eval()
    with torch.no_grad():
        expected = module(x)
    method = sq.METHODS["gptq"](bits=3)
    error = sq.compress(sq.Network(module, x[:2]), method, calibration=x).report.relative_output_error
    wrong, done = [], threading.Event()

    def compresses():
        try:
            for _ in range(rounds):
                found = sq.compress(sq.Network(module, x[:2]), method, calibration=x).report.relative_output_error
                if found != pytest.approx(error, rel=1e-6):
                    wrong.append(found)
        except Exception as failure:
            wrong.append(repr(failure))

    def runs():
        while not done.is_set():
            with torch.no_grad():
                if not torch.allclose(module(x), expected, rtol=1e-5, atol=1e-6):
                    wrong.append("a plain forward gave something else")

    threads = [threading.Thread(target=compresses) for _ in range(4)]
    beside = threading.Thread(target=runs)
    for thread in (*threads, beside):
        thread.start()
    for thread in threads:
        thread.join()
    done.set()
    beside.join()
    assert not wrong, wrong[:3]


def test_the_number_of_threads_is_set_for_torch_and_the_kernels():
    from sdqviz.kernels import threads

    before, kernels = torch.get_num_threads(), threads.threads()
    try:
        sq.set_threads(1)
        assert torch.get_num_threads() == 1 and threads.threads() == 1
        for wrong in (0, 1.5, True, None):
            with pytest.raises(sq.InputError, match="threads must be a whole number of at least 1"):
                sq.set_threads(wrong)
    finally:
        torch.set_num_threads(before)
        threads.set_threads(kernels)


def test_a_network_with_other_data_weights_or_module_keeps_the_rest():
    torch.manual_seed(0)
    x = np.random.default_rng(0).standard_normal((20, 8)).astype(np.float32)
    data = sq.Dataset("d", x, np.arange(20) % 3, x, np.arange(20) % 3)
    network = sq.Network(nn.Sequential(nn.Linear(8, 3)), torch.zeros(1, 8), name="mine", note="a note", seed=4)
    tested = network.with_data(data)
    assert (tested.name, tested.note, tested.seed) == ("mine", "a note", 4) and tested.accuracy() >= 0
    assert network.dataset is None and tested.with_data(None).dataset is None
    other = tested.with_module(nn.Sequential(nn.Linear(8, 3)))
    assert (other.name, other.note, other.seed, other.dataset) == ("mine", "a note", 4, data)
    assert other.fingerprint != tested.fingerprint
    assert not np.array_equal(other.layers[0].weight, tested.layers[0].weight)
