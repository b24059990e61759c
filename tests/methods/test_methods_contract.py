"""What every registered method promises, on a dense and on a convolutional network of a few weights."""

import json

import numpy as np
import pytest
import torch
from torch import nn

import sdqviz as sq
from sdqviz.report import Report

SMALL = {
    "frame": [
        {"redundancy": 2.0, "bits": 1},
        {"size": 40, "bits": 3, "step_rule": "range-column", "biases": "quantized"},
        {"redundancy": 3.0, "bits": 2, "step_rule": "norm-global", "axis": "rows", "biases": "quantized"},
        {"redundancy": 1.5, "bits": 4, "frame": "half-frequency", "permutation": "random", "step_rule": "norm-layer"},
        {
            "redundancy": 1.25,
            "bits": 2,
            "frame": "half-frequency",
            "signs": True,
            "order": 0,
            "step_bits": "16",
            "step_rule": "range-column",
        },
        {"redundancy": 1.0, "bits": 1, "signs": True, "order": 0, "step_rule": "fitted", "biases": "quantized"},
        {"size": 21, "bits": 2, "signs": True, "step_rule": "fitted", "step_bits": "16"},
    ],
    "frame-calibrated": [
        {"bits": 3},
        {"redundancy": 0.5, "paths": 4, "biases": "corrected", "batch_norm": "estimated"},
        {"bits": 2, "redundancy": 1.5, "signs": False, "alignment": "none", "keep_dead": True, "patches": 0.5},
    ],
    "frame-coded": [
        {"rate": 0.1},
        {"rate": 0.5, "basis": "pixels", "alignment": "none", "biases": "corrected"},
        {"rate": 2.0, "keep_dead": True, "patches": 0.5},
    ],
    "frame-columns": [
        {"bits": 3},
        {"bits": 1, "step_rule": "fitted", "alignment": "least-squares", "biases": "corrected"},
        {"bits": 2, "redundancy": 1.5, "order": 1, "signs": False, "keep_dead": True, "patches": 0.5},
    ],
    "round-to-nearest": [
        {"bits": 3},
        {"bits": 2, "scale": "per-layer", "fit": "mse", "biases": "quantized"},
    ],
    "gpfq": [
        {"bits": 3},
        {"bits": 1, "biases": "corrected", "order": 3, "refinement": 2, "batch_norm": "estimated"},
        {"bits": 3, "alphabet": "midtread", "biases": "quantized", "threshold": "hard", "pruning_ratio": 0.4},
        {"bits": 2, "scale": "per-layer", "fit": "max", "threshold": "soft", "pruning_ratio": 0.3, "patches": 0.5},
    ],
    "spfq": [
        {"bits": 3, "order": 2},
        {"bits": 4, "alphabet": "midtread", "finite": False, "fit": "percentile", "percentile": 90.0},
        {"bits": 2, "alignment": "least-squares", "biases": "quantized", "scale": "per-layer"},
    ],
    "unified": [
        {"bits": 3},
        {"operator": "prune", "pruning_ratio": 0.6, "biases": "quantized"},
        {"operator": "one-bit", "scaling": 2.0, "placement": "largest"},
        {"operator": "quantize", "bits": 3, "finite": False, "biases": "quantized", "alignment": "smallest-range"},
        {"bits": 2, "pruning_ratio": 0.2, "finite": False, "fit": "mse", "biases": "corrected"},
    ],
    "gptq": [
        {"bits": 3},
        {"bits": 2, "visit": "as-is", "biases": "quantized", "damping": 0.0, "refinement": 1},
    ],
    "qronos": [
        {"bits": 3},
        {"bits": 2, "visit": "as-is", "biases": "quantized", "scale": "per-layer"},
        {"bits": 4, "alphabet": "midtread", "biases": "corrected", "batch_norm": "estimated"},
    ],
    "magnitude-pruning": [
        {"pruning_ratio": 0.5},
        {"pruning_ratio": 0.3, "bits": 3, "biases": "quantized", "scope": "neuron"},
        {"pruning_ratio": 0.4, "bits": 2, "scope": "network", "scale": "per-layer"},
    ],
}
SMALL["geta"] = [
    {
        "sparsity": 0.3, "batch": 16, "warm_up_steps": 2, "projection_steps": 6, "joint_steps": 4,
        "cool_down_steps": 3, "projection_periods": 3, "pruning_periods": 2,
    },
    {
        "sparsity": 0.5, "batch": 8, "warm_up_steps": 0, "projection_steps": 1, "joint_steps": 2,
        "cool_down_steps": 0, "projection_periods": 1, "pruning_periods": 1, "bits_low": 3, "bits_high": 8,
        "optimizer": "sgd", "rate": 0.01, "quantize_activations": False, "safeguard": False,
    },
]  # fmt: skip
FINE = {
    "frame": {"redundancy": 4.0, "bits": 12, "step_rule": "range-column"},
    "frame-calibrated": {"bits": 8, "redundancy": 8.0, "damping": 0.001},
    "frame-coded": {"rate": 0.0005},
    "frame-columns": {"bits": 8, "redundancy": 16.0, "order": 1},
    "round-to-nearest": {"bits": 14},
    "gpfq": {"bits": 14},
    "spfq": {"bits": 16},
    "unified": {"bits": 16, "operator": "quantize"},
    "gptq": {"bits": 14},
    "qronos": {"bits": 14, "damping": 0.0},
    "magnitude-pruning": {"pruning_ratio": 0.001},
}
TRAINING = {"geta"}
"""Methods that train, and prune in any case: near no alphabet are they the identity, and they need labels."""
DATA_FREE = {"frame", "round-to-nearest", "magnitude-pruning"}
BOUNDED = {"frame", "frame-calibrated", "frame-coded", "frame-columns", "round-to-nearest", "spfq", "unified"}
"""Methods with a bound on a layer; no theorem here bounds walks that draw nothing, or pruning by size."""
PROMISED = {
    "frame": [True] * 6 + [False],  # a fitted step may leave ΣΔ unstable
    "frame-columns": [True] * 3,
    "round-to-nearest": [True, False],  # the largest weight is a level; the least square error clips
    "spfq": [False, True, False],  # endless levels are never left, finite ones are
    "unified": [False, True, False, True, True],
}
"""Which of the cases above must have a bound that holds in every layer; all others may."""
TO_THE_OUTPUT = {"frame", "round-to-nearest"}
"""Methods whose bounds on dense layers make one on the output."""
CASES = [(name, choice) for name, choices in SMALL.items() for choice in choices]


def dense_network() -> sq.Network:
    torch.manual_seed(1)
    module = nn.Sequential(nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 4))
    return sq.Network(module, torch.zeros(1, 12), dataset(12))


def conv_network() -> sq.Network:
    torch.manual_seed(2)
    module = nn.Sequential(
        nn.Conv2d(2, 8, 3, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, groups=2, stride=2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(32, 4),
    )
    return sq.Network(module, torch.zeros(1, 2, 8, 8), dataset(2, 8, 8))


def dataset(*shape: int) -> sq.Dataset:
    rng = np.random.default_rng(0)
    inputs = rng.standard_normal((200, *shape)).astype(np.float32)
    labels = rng.integers(0, 4, 200)
    return sq.Dataset("noise", inputs[:100], labels[:100], inputs[100:], labels[100:])


@pytest.fixture(params=[dense_network, conv_network])
def network(request):
    return request.param()


def test_every_method_is_covered():
    assert all(len(PROMISED[name]) == len(SMALL[name]) for name in PROMISED) and set(PROMISED) <= BOUNDED
    assert dense_network().structure.applicable
    assert set(SMALL) == set(sq.METHODS) == set(FINE) | TRAINING


@pytest.mark.parametrize(("name", "choice"), CASES)
def test_weights_are_what_the_stored_parts_decode_to(network, name, choice):
    method = sq.METHODS[name](**choice)
    result = sq.compress(network, method, calibration=32)
    for item in result.layers:
        for part in item.stored.values():
            assert part.bits == 32 or part.values.max(initial=0) < 2**part.bits
        weight, bias = method.decode(item.stored, item.parameters, item.layer.weight.shape, item.layer.groups)
        np.testing.assert_array_equal(weight, item.weight)
        if choice.get("biases", "float") != "float" and item.layer.bias is not None:
            np.testing.assert_array_equal(bias, item.bias)
        else:
            assert bias is None and item.bias is None


@pytest.mark.parametrize(("name", "choice"), CASES)
def test_given_network_is_unchanged_and_the_seed_decides(network, name, choice):
    before = network.fingerprint
    method = sq.METHODS[name](**choice)
    first = sq.compress(network, method, calibration=32, seed=3)
    second = sq.compress(network, method, calibration=32, seed=3)
    assert network.fingerprint == before
    assert first.network.fingerprint == second.network.fingerprint != before
    assert without_times(first.report) == without_times(second.report)


@pytest.mark.parametrize("name", sorted(FINE))
def test_fine_alphabet_is_nearly_the_identity(network, name):
    report = sq.compress(network, sq.METHODS[name](**FINE[name]), calibration=64).report
    assert report.relative_output_error < 2e-3
    assert report.accuracy_after == pytest.approx(report.accuracy_before, abs=0.02)


@pytest.mark.parametrize(("name", "choice"), CASES)
def test_report_and_choice_survive_json(network, name, choice):
    method = sq.METHODS[name](**choice)
    report = sq.compress(network, method, calibration=16).report
    text = json.dumps(report.to_dict())
    assert json.dumps(Report.from_dict(json.loads(text)).to_dict()) == text
    assert sq.METHODS.from_dict(json.loads(json.dumps(method.to_dict()))) == method


@pytest.mark.parametrize(("name", "choice"), CASES)
def test_measured_errors_stay_below_bounds_that_hold(network, name, choice):
    report = sq.compress(network, sq.METHODS[name](**choice), calibration=64).report
    promised = name in PROMISED and PROMISED[name][SMALL[name].index(choice)]
    assert not promised or all(row.bound_holds for row in report.layers)
    if promised and name in TO_THE_OUTPUT and network.structure.applicable:
        assert report.output_bound_holds
    for row in report.layers:
        assert np.isfinite(row.bound) == (name in BOUNDED)
        assert np.isfinite(row.error) and row.bound_because
        if row.bound_holds:
            assert row.error <= row.bound * (1 + 1e-6)  # weights are rounded to float32 at the end
    if report.output_bound_holds:
        assert report.output_error <= report.output_bound * (1 + 1e-6)


@pytest.mark.parametrize("name", sorted(SMALL))
@pytest.mark.parametrize("polls", [0, 1, 3])
def test_stop_changes_nothing(network, name, polls):
    before = network.fingerprint
    left = [polls]

    def should_stop() -> bool:
        left[0] -= 1
        return left[0] < 0

    with pytest.raises(sq.Stopped):
        sq.compress(network, sq.METHODS[name](**SMALL[name][0]), calibration=32, should_stop=should_stop)
    assert network.fingerprint == before


@pytest.mark.parametrize("name", sorted(SMALL))
def test_progress_grows_to_the_end(network, name):
    seen: list[float] = []
    sq.compress(
        network, sq.METHODS[name](**SMALL[name][0]), 16, progress=lambda done, total, _: seen.append(done / total)
    )
    assert seen == sorted(seen)
    assert 0 <= seen[0] <= seen[-1] == 1.0


@pytest.mark.parametrize(("name", "choice"), CASES)
def test_saved_file_has_the_reported_size_and_gives_the_same_outputs(network, name, choice, tmp_path):
    result = sq.compress(network, sq.METHODS[name](**choice), calibration=16)
    path = tmp_path / "small.sdq"
    result.save(path)
    inputs = network.dataset.test(20)[0]
    np.testing.assert_array_equal(sq.load(path, network).outputs(inputs), result.network.outputs(inputs))
    data = path.read_bytes()
    header = 8 + int.from_bytes(data[:8], "little")
    parameters = sum(item.parameter_bits for item in result.layers) // 8  # these live in the header's recipe
    assert len(data) - header == result.report.bytes - parameters


@pytest.mark.parametrize("name", sorted(SMALL))
def test_nan_weights_are_refused_by_layer_name(name):
    module = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 4))
    with torch.no_grad():
        module[2].weight[1, 1] = float("nan")
    with pytest.raises(sq.InputError, match="layer '2'"):
        sq.compress(sq.Network(module, torch.zeros(1, 6)), sq.METHODS[name]())


@pytest.mark.parametrize("name", sorted(SMALL))
def test_network_without_layers_is_refused(name):
    with pytest.raises(sq.InputError, match="layer"):
        sq.compress(sq.Network(nn.Sequential(nn.ReLU()), torch.zeros(1, 6)), sq.METHODS[name]())


@pytest.mark.parametrize("name", sorted(set(SMALL) - TRAINING))
def test_zero_weights_stay_zero_or_are_bounded(name):
    module = nn.Sequential(nn.Linear(6, 5, bias=False))
    nn.init.zeros_(module[0].weight)
    report = sq.compress(sq.Network(module, torch.ones(3, 6)), sq.METHODS[name]()).report
    assert report.layers[0].error == 0.0
    assert report.layers[0].overload == 0


def without_times(report: Report) -> dict:
    values = report.to_dict()
    values.pop("seconds")
    for row in values["layers"]:
        row.pop("seconds")
    return json.loads(json.dumps(values).replace("NaN", "null"))


@pytest.mark.parametrize("name", sorted(set(SMALL) - DATA_FREE - TRAINING))
def test_methods_that_calibrate_ask_for_data(network, name):
    for nothing in (0, np.zeros((0, 12), np.float32)):
        with pytest.raises(sq.InputError, match="calibration must"):
            sq.compress(network, sq.METHODS[name](), calibration=nothing)
    wrong = np.zeros((4, 5), np.float32)
    with pytest.raises(sq.InputError, match="calibration inputs must be accepted"):
        sq.compress(network, sq.METHODS[name](), calibration=wrong)
    bad = network.dataset.calibration(8, 0).copy()
    bad[3] = np.nan
    with pytest.raises(sq.InputError, match="calibration must be finite"):
        sq.compress(network, sq.METHODS[name](), calibration=bad)
    one = sq.compress(network, sq.METHODS[name](**SMALL[name][0]), calibration=1).report
    assert np.isfinite(one.relative_output_error)
