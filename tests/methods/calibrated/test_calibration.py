"""Sums over calibration data against unfolding by torch, and the ways through a network against each other."""

import tracemalloc

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from torch import nn
from torch.nn import functional

import sdqviz as sq
from sdqviz import memory
from sdqviz.methods.calibrated.calibration import Calibration


class Twisted(nn.Module):
    """A residual network with changes in place, a concatenation and a layer that is never called."""

    def __init__(self, data_dependent=False):
        super().__init__()
        self.first = nn.Conv2d(2, 6, 3, padding=1)
        self.bn = nn.BatchNorm2d(6)
        self.inner = nn.Conv2d(6, 6, 3, padding=1, groups=3, bias=False)
        self.act = nn.ReLU(inplace=True)
        self.head = nn.Linear(24, 5)
        self.unused = nn.Linear(3, 3)
        self.data_dependent = data_dependent

    def forward(self, x):
        x = self.act(self.bn(self.first(x)))
        if self.data_dependent and x.sum() > 1e9:
            x = -x
        y = self.act(self.inner(x))
        y += x
        pooled = functional.adaptive_avg_pool2d(y, 2)
        return self.head(pooled.flatten(1))


def twisted(data_dependent=False):
    torch.manual_seed(0)
    network = Twisted(data_dependent)
    network.bn.running_mean.uniform_(-1, 1)
    network.bn.running_var.uniform_(0.5, 2)
    return sq.Network(network, torch.zeros(1, 2, 6, 6))


def inputs(count=40, *shape, seed=0):
    return np.random.default_rng(seed).standard_normal((count, *(shape or (2, 6, 6)))).astype(np.float32)


CONVOLUTIONS = [
    (nn.Conv2d, (4, 6, 3), {"stride": 2, "padding": 1, "dilation": 2, "groups": 2}, (4, 9, 8)),
    (nn.Conv2d, (4, 4, (3, 1)), {"groups": 4, "padding": (1, 0), "padding_mode": "reflect"}, (4, 7, 5)),
    (nn.Conv2d, (3, 5, 3), {"padding": "same", "dilation": 2}, (3, 5, 6)),
    (nn.Conv1d, (4, 8, 3), {"padding": 2, "padding_mode": "circular", "stride": 2}, (4, 11)),
]


@pytest.mark.parametrize(("kind", "sizes", "options", "shape"), CONVOLUTIONS)
def test_moments_of_convolutions_equal_those_of_unfolded_inputs(kind, sizes, options, shape, monkeypatch):
    torch.manual_seed(0)
    network = sq.Network(nn.Sequential(kind(*sizes, **options)), torch.zeros(1, *shape))
    x = inputs(7, *shape)
    monkeypatch.setattr("sdqviz.networks.unfolding.PATCH_VALUES", 300)  # many small pieces
    monkeypatch.setattr("sdqviz.networks.unfolding.MOST_ROWS", 1)
    layer = network.layers[0]
    found = Calibration(network, x).moments(layer)
    # apply the layer with one-hot kernels to see every entry of every patch
    part = network.module[0]
    width = layer.weight[0].size
    assert found.ratio == 1.0
    for group, sums in enumerate(found.groups):
        probe = nn.Conv2d if kind is nn.Conv2d else nn.Conv1d
        per_group = sizes[0] // part.groups
        eye = torch.eye(width).reshape(width, per_group, *part.kernel_size)
        conv = probe(
            per_group, width, part.kernel_size, bias=False, **{k: v for k, v in options.items() if k != "groups"}
        )
        with torch.no_grad():
            conv.weight.copy_(eye)
            rows = conv(torch.from_numpy(x[:, group * per_group : (group + 1) * per_group]))
        rows = rows.movedim(1, -1).reshape(-1, width).double().numpy()
        weights = layer.weight.reshape(part.groups, -1, width)[group].T
        assert_allclose(sums.inputs, rows.T @ rows, atol=1e-10)
        assert sums.cross is None and sums.samples == len(rows)
        assert_allclose(sums.total, rows.sum(axis=0), atol=1e-10)
        assert_allclose(sums.target, ((rows @ weights) ** 2).sum(axis=0), rtol=1e-12)


def all_moments(network, x, replaced, **options):
    """Walk through the network, replacing each layer as it comes; return every layer's moments in order."""
    calibration = Calibration(network, x, **options)
    layers = {layer.name: layer for layer in network.layers}
    found = []
    for name in calibration.stops:
        if name in layers:
            found.append((name, calibration.moments(layers[name])))
            calibration.replace(name, replaced[name], None)
    calibration.close()
    return calibration, found


def test_every_way_through_the_network_sees_the_same(monkeypatch):
    """Traced, traced through files, run again for each layer: all against hooks on two whole networks."""
    monkeypatch.setattr("sdqviz.networks.batch.BATCH", 16)
    network, x = twisted(), inputs()
    rng = np.random.default_rng(1)
    replaced = {layer.name: layer.weight + 0.1 * rng.standard_normal(layer.weight.shape) for layer in network.layers}
    traced, in_memory = all_moments(network, x, replaced)
    _, in_files = all_moments(network, x, replaced, store_bytes=0)
    rerun, again = all_moments(twisted(data_dependent=True), x, replaced)
    assert traced.traced and not rerun.traced
    assert traced.stops == rerun.stops == ("first", "bn", "inner", "head")
    names = ["first", "inner", "head"]
    for position, name in enumerate(names):
        partly = network.replaced({earlier: replaced[earlier] for earlier in names[:position]})
        seen = []
        for whole in (network, partly):
            module = whole.shadow()
            module.get_submodule(name).register_forward_pre_hook(lambda _, a, seen=seen: seen.append(a[0].clone()))
            with torch.no_grad():
                module(torch.from_numpy(x))
        before, after = seen
        if name == "head":
            rows, rows_after = before.double().numpy(), after.double().numpy()
            group = in_memory[position][1].groups[0]
            assert_allclose(group.cross, rows_after.T @ rows, rtol=1e-5, atol=1e-4)
            assert_allclose(group.inputs, rows_after.T @ rows_after, rtol=1e-5, atol=1e-4)
        for other in (in_files, again):
            assert other[position][0] == in_memory[position][0] == name
            for a, b in zip(in_memory[position][1].groups, other[position][1].groups, strict=True):
                assert_allclose(a.inputs, b.inputs, rtol=1e-6, atol=1e-6)
                assert_allclose(a.original_total, b.original_total, rtol=1e-6, atol=1e-6)
                assert (a.cross is None) == (b.cross is None) == (position == 0)
                if a.cross is not None:
                    assert_allclose(a.cross, b.cross, rtol=1e-6, atol=1e-6)
        totals = torch.stack([before.double().sum(), after.double().sum()]).numpy()
        if name == "head":
            group = in_memory[position][1].groups[0]
            assert_allclose([group.original_total.sum(), group.total.sum()], totals, rtol=1e-5)


def test_no_layer_is_computed_twice(monkeypatch):
    """Each module of a traced network runs once a batch in each network, however many layers there are."""
    monkeypatch.setattr("sdqviz.networks.batch.BATCH", 10)
    torch.manual_seed(0)
    depth = 6
    network = sq.Network(nn.Sequential(*[nn.Linear(5, 5) for _ in range(depth)]), torch.zeros(1, 5))
    x = inputs(30, 5)
    calls = []
    original_forward = nn.Linear.forward
    monkeypatch.setattr(nn.Linear, "forward", lambda self, x: calls.append(1) or original_forward(self, x))
    calibration = Calibration(network, x)
    calls.clear()
    for layer in network.layers:
        calibration.moments(layer)
        calibration.replace(layer.name, layer.weight * 1.01, None)
    assert len(calls) == (depth - 1) * 2 * 3  # three batches; the last layer's output is not needed


def test_given_network_and_inputs_stay_as_they_are():
    network, x = twisted(), inputs()
    before, copy = network.fingerprint, x.copy()
    all_moments(network, x, {layer.name: layer.weight * 2 for layer in network.layers})
    assert network.fingerprint == before
    assert_array_equal(x, copy)


def test_a_share_of_the_patches_is_a_fair_sample(monkeypatch):
    monkeypatch.setattr("sdqviz.networks.batch.BATCH", 64)
    torch.manual_seed(0)
    network = sq.Network(nn.Sequential(nn.Conv2d(2, 3, 3)), torch.zeros(1, 2, 22, 22))
    x = inputs(640, 2, 22, 22)
    layer = network.layers[0]
    whole = Calibration(network, x).moments(layer)
    part = Calibration(network, x).moments(layer, patches=0.25, seed=1)
    same = Calibration(network, x).moments(layer, patches=0.25, seed=1)
    other = Calibration(network, x).moments(layer, patches=0.25, seed=2)
    assert part.ratio == 0.25 and part.groups[0].samples == 640 * 100
    assert_array_equal(part.groups[0].inputs, same.groups[0].inputs)
    assert (part.groups[0].inputs != other.groups[0].inputs).any()
    difference = part.groups[0].inputs / part.groups[0].samples - whole.groups[0].inputs / whole.groups[0].samples
    assert np.abs(difference).max() < 5 / np.sqrt(640 * 100)


def test_statistics_are_those_of_the_compressed_activations(monkeypatch):
    monkeypatch.setattr("sdqviz.networks.batch.BATCH", 16)
    network, x = twisted(), inputs()
    calibration = Calibration(network, x)
    first = network.layers[0]
    assert calibration.renew_statistics("bn") == {}  # nothing is compressed yet
    calibration = Calibration(network, x)
    calibration.moments(first)
    calibration.replace("first", np.round(first.weight, 1), None)
    found = calibration.renew_statistics("bn")
    changed = network.replaced({"first": np.round(first.weight, 1)}).module
    with torch.no_grad():
        values = changed.first(torch.from_numpy(x)).movedim(1, -1).reshape(-1, 6).double().numpy()
    assert_allclose(found["running_mean"], values.mean(axis=0), rtol=1e-5, atol=1e-6)
    assert_allclose(found["running_var"], values.var(axis=0, ddof=1), rtol=1e-5)
    result = sq.compress(network, sq.METHODS["gpfq"](bits=2, batch_norm="estimated"), x)
    assert (result.network.module.bn.running_var != network.module.bn.running_var).all()
    kept = sq.compress(network, sq.METHODS["gpfq"](bits=2), x)
    assert (kept.network.module.bn.running_var == network.module.bn.running_var).all()


def test_layers_beyond_memory_or_reach_are_named_and_left_alone(monkeypatch):
    monkeypatch.setattr(memory, "LIMIT", 11_000)  # three groups of 18 inputs are too many, the head's 24 are not
    network = twisted()
    report = sq.compress(network, sq.METHODS["gpfq"](bits=3), inputs()).report
    assert [row.name for row in report.layers] == ["first", "head"]
    reasons = " | ".join(report.left_alone)
    assert "inner (Conv2d): its 18 inputs need" in reasons
    assert "unused (Linear): the data do not pass through it" in reasons
    assert not report.output_bound_holds


def test_unknown_layers_are_named():
    class Recurrent(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = nn.Linear(4, 6)
            self.lstm = nn.LSTM(6, 5, batch_first=True)
            self.head = nn.Linear(5, 3)

        def forward(self, x):
            return self.head(self.lstm(torch.relu(self.embed(x)))[0][:, -1])

    torch.manual_seed(0)
    network = sq.Network(Recurrent(), torch.zeros(2, 7, 4))
    report = sq.compress(network, sq.METHODS["gptq"](bits=4), inputs(20, 7, 4)).report
    assert report.left_alone == ("lstm (LSTM): not a layer that is compressed",)
    assert [row.name for row in report.layers] == ["embed", "head"]


def test_dicts_tuples_lists_of_batches_and_tied_layers():
    class Pair(nn.Module):
        def __init__(self):
            super().__init__()
            self.left = nn.Linear(6, 6, bias=False)
            self.right = nn.Linear(6, 6, bias=False)
            self.right.weight = self.left.weight

        def forward(self, x, scale):
            return {"out": self.right(torch.relu(self.left(x))) * scale}

    torch.manual_seed(0)
    example = {"x": torch.randn(8, 6), "scale": torch.tensor(2.0)}
    network = sq.Network(Pair(), example)
    result = sq.compress(network, sq.METHODS["gpfq"](bits=3))
    assert [row.name for row in result.report.layers] == ["left"]
    assert result.network.module.right.weight is result.network.module.left.weight
    plain = sq.Network(nn.Sequential(nn.Linear(6, 4)), torch.zeros(1, 6))
    x = inputs(30, 6)
    whole = Calibration(plain, x).moments(plain.layers[0]).groups[0]
    parts = Calibration(plain, [x[:11], torch.from_numpy(x[11:])]).moments(plain.layers[0]).groups[0]
    assert_allclose(whole.inputs, parts.inputs, rtol=1e-12)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (np.zeros((0, 2, 6, 6), np.float32), "at least one sample"),
        ([], "at least one sample"),
        (np.zeros((3, 2, 5), np.float32), "must be accepted by the network"),
        (np.full((3, 2, 6, 6), np.inf, np.float32), "NaN or infinity before layer 'first'"),
    ],
)
def test_bad_data_are_refused(given, message):
    network = twisted()
    with pytest.raises(sq.InputError, match=message):
        Calibration(network, given).moments(network.layers[0])


def test_bad_devices_are_refused():
    with pytest.raises(sq.InputError, match="device must be one of auto, cpu, cuda"):
        Calibration(twisted(), inputs(), device="tpu")
    if not torch.cuda.is_available():
        with pytest.raises(sq.InputError, match="torch finds no CUDA"):
            Calibration(twisted(), inputs(), device="cuda")


def test_memory_of_sums_does_not_grow_with_the_samples(monkeypatch):
    """Python's own allocations, numpy's included; torch's are bounded by the same pieces."""
    monkeypatch.setattr("sdqviz.networks.batch.BATCH", 8)
    torch.manual_seed(0)
    network = sq.Network(nn.Sequential(nn.Conv2d(4, 8, 3)), torch.zeros(1, 4, 12, 12))
    peaks = []
    for count in (32, 512):
        x = inputs(count, 4, 12, 12)
        tracemalloc.start()
        with Calibration(network, x, store_bytes=0) as calibration:
            calibration.moments(network.layers[0])
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] <= peaks[0] + 500_000  # all patches at once would be 15 MB
