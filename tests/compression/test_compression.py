"""Measurements and counts of `compress` against forward passes written out by hand."""

import threading

import numpy as np
import pytest
import torch
from torch import nn

import sdqviz as sq


def two_layers() -> sq.Network:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(10, 8), nn.ReLU(), nn.Linear(8, 5))
    return sq.Network(module, torch.zeros(1, 10))


def test_errors_equal_those_of_a_forward_pass_by_hand():
    network = two_layers()
    inputs = np.random.default_rng(0).standard_normal((700, 10)).astype(np.float32)  # more than one batch
    inputs[:, 3] = 0
    result = sq.compress(network, sq.METHODS["frame"](redundancy=2.0, bits=2), calibration=inputs)
    x = inputs.astype(float)
    first, second = network.layers
    q1, q2 = (item.weight for item in result.network.layers)
    z, zq = np.maximum(x @ first.weight.T + first.bias, 0), np.maximum(x @ q1.T + first.bias, 0)
    y, yq = z @ second.weight.T + second.bias, zq @ q2.T + second.bias
    rows = result.report.layers
    fro = np.linalg.norm
    products = fro(x @ first.weight.T), fro(z @ second.weight.T)  # without the biases, which are no part of the formula
    np.testing.assert_allclose(rows[0].relative_error, fro(x @ (first.weight - q1).T) / products[0])
    np.testing.assert_allclose(rows[0].propagated_error, rows[0].relative_error)
    np.testing.assert_allclose(rows[1].relative_error, fro(z @ (second.weight - q2).T) / products[1])
    np.testing.assert_allclose(rows[1].propagated_error, fro(y - yq) / products[1])
    np.testing.assert_allclose(rows[1].weight_error, fro(second.weight - q2) / fro(second.weight), rtol=1e-6)
    np.testing.assert_allclose(rows[1].error, np.linalg.norm(second.weight - q2, 2), rtol=1e-6)
    error = fro(y - yq, axis=1)
    np.testing.assert_allclose(result.report.output_error, error.max())
    np.testing.assert_allclose(result.report.mean_output_error, error.mean())
    np.testing.assert_allclose(result.report.relative_output_error, fro(y - yq) / fro(y))
    assert [row.dead_inputs for row in rows] == [1, int((z == 0).all(axis=0).sum())]
    assert result.report.inputs == 700
    assert result.report.output_error <= result.report.output_bound
    assert result.report.output_bound_holds


def test_weights_of_the_result_are_the_decoded_ones_in_single_precision():
    result = sq.compress(two_layers(), sq.METHODS["frame"](redundancy=2.0))
    for item in result.layers:
        weight = result.network.module.get_submodule(item.layer.name).weight
        np.testing.assert_array_equal(weight.numpy(), item.weight.astype(np.float32))


def test_calibration_zero_measures_nothing():
    report = sq.compress(two_layers(), sq.METHODS["round-to-nearest"](), calibration=0).report
    assert report.inputs == 0
    assert np.isnan(report.output_error)
    assert not report.output_bound_holds


@pytest.mark.parametrize(
    ("module", "example", "inside"),
    [
        (
            nn.Sequential(nn.Conv1d(2, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(24, 3)),
            torch.zeros(2, 2, 8),
            "convolution",
        ),
        (nn.Sequential(nn.Linear(6, 6), nn.BatchNorm1d(6), nn.Linear(6, 3)), torch.zeros(2, 6), "BatchNorm"),
    ],
)
def test_networks_outside_the_theorems_say_so(module, example, inside):
    report = sq.compress(sq.Network(module, example), sq.METHODS["frame"]()).report
    assert not report.output_bound_holds
    assert np.isnan(report.output_bound)
    assert report.output_bound_because.startswith("Not applicable: ")
    assert inside in report.output_bound_because


def test_dict_inputs_and_tied_weights():
    class Pair(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = nn.Embedding(7, 6)
            self.left = nn.Linear(6, 6, bias=False)
            self.right = nn.Linear(6, 6, bias=False)
            self.right.weight = self.left.weight

        def forward(self, tokens, scale):
            return {"out": self.right(torch.relu(self.left(self.embed(tokens)))) * scale}

    torch.manual_seed(0)
    example = {"tokens": torch.tensor([[0, 1, 2], [3, 4, 5]]), "scale": torch.tensor(2.0)}
    network = sq.Network(Pair(), example)
    result = sq.compress(network, sq.METHODS["frame"](redundancy=2.0, bits=3))
    assert [row.name for row in result.report.layers] == ["left"]
    assert result.network.module.right.weight is result.network.module.left.weight
    assert result.report.output_error > 0
    # 36 tied weights once, the embedding's 42 in float
    assert result.report.bits_per_weight == (result.layers[0].bits + 42 * 32) / 78


def test_two_threads_sharing_a_network_get_the_numbers_they_would_get_alone():
    network = two_layers()
    inputs = np.random.default_rng(0).standard_normal((600, 10)).astype(np.float32)
    methods = [sq.METHODS["frame"](redundancy=2.0, bits=bits) for bits in (1, 2, 3, 4)]
    alone = [sq.compress(network, method, inputs).report for method in methods]
    together: dict[int, object] = {}

    def work(index: int) -> None:
        together[index] = sq.compress(network, methods[index], inputs).report

    for _ in range(5):
        threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for index, report in enumerate(alone):
            assert [row.propagated_error for row in together[index].layers] == pytest.approx(
                [row.propagated_error for row in report.layers], rel=1e-12
            )


def test_load_refuses_other_files_and_other_networks(tmp_path):
    network = two_layers()
    result = sq.compress(network, sq.METHODS["frame"](redundancy=2.0))
    path = tmp_path / "a.sdq"
    result.save(path)
    with pytest.raises(sq.InputError, match="network must be given"):
        sq.load(path)
    other = sq.Network(nn.Sequential(nn.Linear(10, 8)), torch.zeros(1, 10))
    with pytest.raises(sq.InputError, match="must have a layer 2"):
        sq.load(path, other)
    (tmp_path / "b.sdq").write_bytes(b"nonsense")
    with pytest.raises(sq.InputError, match=r"b\.sdq must be a file that sdqviz saved"):
        sq.load(tmp_path / "b.sdq")


def test_bad_calibration_is_refused():
    with pytest.raises(sq.InputError, match="calibration must be at least 0, got -1"):
        sq.compress(two_layers(), sq.METHODS["frame"](), calibration=-1)
    with pytest.raises(sq.InputError, match="inputs themselves"):
        sq.compress(two_layers(), sq.METHODS["frame"](), calibration=10)


def test_batches_give_what_one_array_gives():
    network = two_layers()
    inputs = np.random.default_rng(1).standard_normal((60, 10)).astype(np.float32)
    labels = np.zeros(30, int)
    for method in (sq.METHODS["frame"](redundancy=2.0), sq.METHODS["gpfq"](bits=3)):
        whole = sq.compress(network, method, inputs).report
        for batches in ([inputs[:30], inputs[30:]], iter([(inputs[:30], labels), (inputs[30:], labels)])):
            parts = sq.compress(network, method, batches).report
            assert [row.relative_error for row in parts.layers] == [row.relative_error for row in whole.layers]
    with pytest.raises(sq.InputError, match="at least one batch"):
        sq.compress(network, sq.METHODS["frame"](), [])


def test_recurrent_layers_are_left_alone_by_name():
    class Reader(nn.Module):
        def __init__(self):
            super().__init__()
            self.memory = nn.LSTM(8, 6, batch_first=True)
            self.output = nn.Linear(6, 3)

        def forward(self, x):
            return self.output(self.memory(x)[0][:, -1])

    torch.manual_seed(0)
    report = sq.compress(sq.Network(Reader(), torch.randn(3, 5, 8)), sq.METHODS["gpfq"]()).report
    assert report.left_alone == ("memory (LSTM): not a layer that is compressed",)
    assert [row.name for row in report.layers] == ["output"]


def test_large_layers_are_reported_in_their_place_among_small_ones():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(12, 9), nn.Linear(9, 1050), nn.Linear(1050, 1050), nn.Linear(1050, 5))
    network = sq.Network(module, torch.zeros(1, 12))
    result = sq.compress(network, sq.METHODS["round-to-nearest"](bits=3), calibration=0)
    assert [row.name for row in result.report.layers] == ["0", "1", "2", "3"]
    for row, item in zip(result.report.layers, result.layers, strict=True):
        assert row.error == pytest.approx(np.linalg.norm(item.layer.weight - item.weight, 2), rel=1e-9)
