"""Recorded runs with baselines: how they are made, and what the shipped ones say."""

import json
import math

import numpy as np
import pytest
import torch
from torch import nn

import sdqviz as sq
from sdqviz.experiments import geta_baselines, geta_figures, geta_tables
from sdqviz.methods.geta import recording as recordings
from sdqviz.methods.geta.recording import Recording
from sdqviz.networks import cost
from sdqviz.networks.learned_quantizer import LearnedQuantizer

GETA = sq.METHODS["geta"]
SHORT = {
    "batch": 32, "warm_up_steps": 2, "projection_steps": 6, "joint_steps": 4, "cool_down_steps": 4,
    "pruning_periods": 2,
}  # fmt: skip


def small() -> sq.Network:
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 400)
    inputs = rng.standard_normal((400, 6)).astype(np.float32)
    inputs[np.arange(400), labels] += 3.0
    data = sq.Dataset("blobs", inputs[:200], labels[:200], inputs[200:], labels[200:])
    module = nn.Sequential(nn.Linear(6, 12), nn.BatchNorm1d(12), nn.ReLU(), nn.Linear(12, 3))
    return sq.Network(module, torch.zeros(1, 6), data)


def test_affordable_bits_are_the_most_that_fit():
    assert geta_baselines.affordable_bits(16 / 1024) == (4, 4)
    assert geta_baselines.affordable_bits(15.9 / 1024) == (3, 4)
    assert geta_baselines.affordable_bits(20 / 1024) == (4, 5)
    assert geta_baselines.affordable_bits(0.0) == (1, 1)


def test_quantized_inputs_take_their_range_from_the_largest_value():
    network = small()
    quantized = geta_baselines.quantized_inputs(network, 5)
    inputs = network.dataset.calibration(200, 0)
    first = quantized.module[0].input_quantizer
    assert isinstance(first, LearnedQuantizer) and first.whole_bits == 5
    assert first.reach.item() == pytest.approx(1.05 * np.abs(inputs).max(), rel=1e-6)
    assert cost.activation_bits(quantized) == pytest.approx({"0": 5.0, "3": 5.0})


def test_fine_tuned_baseline_removes_the_smallest_and_learns():
    network = small()
    sizes = np.array([*network.module[0].weight.square().sum(1).numpy()]) + network.module[0].bias.square().numpy()
    sizes += network.module[1].weight.square().numpy() + network.module[1].bias.square().numpy()
    module = geta_baselines.without_smallest(network, GETA(**SHORT))
    kept = np.sort(np.argsort(sizes)[6:])
    torch.testing.assert_close(module[0].weight, network.module[0].weight[kept])
    torch.testing.assert_close(module[3].weight, network.module[3].weight[:, kept])
    tuned = geta_baselines.fine_tuned(network, GETA(**{**SHORT, "cool_down_steps": 60}, rate=0.02))
    assert tuned.accuracy() > max(0.8, network.accuracy())
    fine, coarse = (geta_baselines.rounded(network, tuned, *bits, 0.5) for bits in ((8, 8), (2, 3)))
    assert fine.accuracy == pytest.approx(tuned.accuracy(), abs=0.02) and fine.accuracy > coarse.accuracy
    # half of the products are left, at 8 × 8 and at 2 × 3 of 32 × 32 bits
    assert fine.relative_bops == pytest.approx(0.5 / 16) and coarse.relative_bops == pytest.approx(0.5 * 6 / 1024)
    assert fine.sparsity == 0.5 and coarse.bits_per_weight < fine.bits_per_weight < 16


def test_trained_with_bits_keeps_them_and_counts_what_is_stored():
    network, method = small(), GETA(**{**SHORT, "cool_down_steps": 60}, rate=0.02)
    tuned = geta_baselines.fine_tuned(network, method, bits=(3, 4))
    assert tuned.accuracy() > max(0.8, network.accuracy())
    for layer in (tuned.module[0], tuned.module[3]):
        assert type(layer) is nn.Linear and layer.input_quantizer.whole_bits == 4
        levels = torch.unique(layer.weight.abs())  # 0 and three steps at most
        assert len(levels) <= 4
        shares = (levels / levels[-1]).numpy()  # the largest is the first, second or third step
        assert any(np.allclose(k * shares, np.round(k * shares), atol=1e-5) for k in (1, 2, 3))
    one = geta_baselines.trained_with_bits(network, method, (3, 4), 0, None, None)
    assert one.accuracy == tuned.accuracy() and one.relative_bops == pytest.approx(0.5 * 12 / 1024)
    # 6·6 + 6·3 levels of 3 bits; in float a step a layer, 6 + 3 biases, 4·6 of the normalisation and its counter, and
    # three numbers for what enters each layer
    numbers = 6 * 12 + 12 * 3 + 12 + 3 + 4 * 12 + 1
    assert one.bits_per_weight == pytest.approx((54 * 3 + 32 * (2 + 9 + 25 + 6)) / numbers)


def shipped(name):
    return Recording.load(recordings.shipped()[name])


def most_bits(product):
    """Return the largest bits of weights and activations, equal or one more, whose product is at most a number."""
    bits = (1, 1)
    while math.prod(more := (bits[0], bits[1] + 1) if bits[0] == bits[1] else (bits[1], bits[1])) <= product + 1e-6:
        bits = more
    return bits


def test_recording_holds_report_and_baselines(tmp_path):
    choice = sq.NETWORKS["mnist-fnn"](seed=0)
    method = GETA(**SHORT, bits_high=10, projection_periods=4, quantizer_rate=1e-2)
    seen: list[Recording] = []
    progress: list[float] = []
    finished = geta_figures.run(
        choice, method, 0, lambda done, total, _: progress.append(done / total), None, tmp_path / "state",
        seen.append, beside=True,
    )  # fmt: skip
    recording = finished.recording
    assert progress == sorted(progress) and progress[-1] == 1.0
    assert recording.finished and not seen[-1].finished and recording.moments == seen[-1].moments
    assert recording.network == choice.to_dict() and recording.steps == 16
    assert recording.report == finished.compression.report.to_dict()
    budget, left = recording.report["relative_bops"], recording.beside[0].relative_bops * 1024 / 64
    (w, a), (cut_w, cut_a) = most_bits(1024 * budget), most_bits(1024 * budget / left)
    assert w * a < cut_w * cut_a, "half of the units are gone, so the same BOPs buy the uncut network fewer bits"
    assert [one.label for one in recording.beside] == [
        "Smallest units removed, fine-tuned, 8 bits, activations 8",
        f"Smallest units removed, fine-tuned, {cut_w} bits, activations {cut_a}",
        f"Smallest units removed, trained at {cut_w} bits, activations {cut_a}",
        f"Rounding to nearest, {w} bits, activations {a}",
        f"GPFQ, {w} bits, activations {a}",
    ]
    assert all(one.relative_bops == pytest.approx(w * a / 1024) for one in recording.beside[3:])
    assert all(one.relative_bops <= budget * (1 + 1e-6) for one in recording.beside[1:])
    recording.save(tmp_path / "one.json.gz")
    assert json.dumps(Recording.load(tmp_path / "one.json.gz").to_dict()) == json.dumps(recording.to_dict())
    table = geta_tables.table({"fnn": recording})
    assert table.count("| fnn |") == 7 and "GETA" in table


def test_finished_cases_are_not_run_again(tmp_path):
    case = geta_figures.cases()[0]
    recording = shipped(case.name)
    recording.save(tmp_path / f"{case.name}.json.gz")
    assert geta_figures.already_recorded(tmp_path / f"{case.name}.json.gz", case) is not None
    assert geta_figures.already_recorded(tmp_path / f"{case.name}.json.gz", geta_figures.cases()[1]) is None
    assert geta_figures.reproduce(tmp_path, [case.name])[case.name].to_dict() == recording.to_dict()
    with pytest.raises(sq.InputError, match="case must be one of mnist-lenet-50-seed0"):
        geta_figures.reproduce(tmp_path, ["nothing"])


@pytest.mark.parametrize(
    ("name", "drop", "bops"),
    [("mnist-lenet-50-seed0", 0.005, 0.03), ("mnist-lenet-70-seed0", 0.015, 0.04), ("resnet20-50-seed0", 0.01, 0.05)],
)
def test_shipped_recordings_reach_their_figures(name, drop, bops):
    recording = shipped(name)
    case = {case.name: case for case in geta_figures.cases()}[name]
    assert recording.method == case.method.to_dict() and len(recording.moments) <= 200
    assert recording.report["accuracy_after"] >= recording.accuracy_before - drop
    assert recording.report["relative_bops"] <= bops
    removed = sum(len(group.removed) for group in recording.groups)
    assert removed == round(case.method.sparsity * sum(group.units for group in recording.groups if group.prunable))
    last = recording.moments[-1]
    learned = [*last.weight_bits.values(), *last.activation_bits.values()]
    assert all(case.method.bits_low <= round(bits) <= case.method.bits_high for bits in learned)
    assert last.relative_bops == pytest.approx(recording.report["relative_bops"], rel=1e-6)


@pytest.mark.parametrize("name", ["mnist-lenet-50-seed0", "mnist-lenet-70-seed0"])
def test_layers_learn_bits_of_their_own(name):
    last = shipped(name).moments[-1]
    assert len({round(bits) for bits in last.weight_bits.values()}) >= 2


def test_the_limits_of_bits_stay_apart_by_default():
    method = sq.METHODS["geta"]()
    lowered = method.bits_high - method.bit_reduction * method.projection_periods
    assert lowered - method.bits_low >= 2 and lowered - method.fewest_activation_bits >= 2


@pytest.mark.slow
def test_shipped_recording_is_what_the_command_computes(tmp_path):
    name = "mnist-lenet-50-seed0"
    known, case = shipped(name), geta_figures.cases()[0]
    again = geta_figures.run(sq.NETWORKS[case.network](seed=case.seed), case.method).recording
    assert again.report["accuracy_after"] == pytest.approx(known.report["accuracy_after"], abs=0.003)
    assert again.report["relative_bops"] == pytest.approx(known.report["relative_bops"], rel=0.02)
